"""The one gate before a render buys: the whole plan, each purchase at its dearest (interface.md, section 5)."""

from __future__ import annotations

import errno

import pytest
from support_cli import Cli, Output
from support_provider import Say, Seen
from support_render import assets, block, one, prompts

RENDER = ("render", "assets.toml")
PRICE = '[prices."modelverse/wan2.7-image"]\namount = {}\nunit = "{}"\nper = "image"\n'


def test_the_whole_plan(live: Cli) -> None:
    """A cap holds for all that would be bought together; nothing is sent where it is passed, and the lock stays."""
    assets(live, *(one(f"pic{number}", provider="rivya") for number in range(4)))
    ran = live.run(*RENDER, "--max-cost", "19credits")
    assert ran.code == 5, ran.err
    assert (live.provider.seen, live.files()) == ([], ["assets.toml"])
    assert live.run(*RENDER, "--max-cost", "20credits").code == 0
    assert live.run(*RENDER, "--max-cost", "0credits").code == 0  # nothing is bought
    assert live.provider.purchases == 4


def test_only_what_is_bought_counts(live: Cli) -> None:
    """What is up to date, and what was bought and is only collected, costs nothing any more."""
    assets(live, *(one(f"pic{number}", provider="rivya") for number in range(3)))
    live.run(*RENDER, "--only", "pic0")
    live.run(*RENDER, "--only", "pic1", "--no-wait")
    ran = live.run(*RENDER, "--plan", "--json")
    assert ran.json["estimate"] == [{"amount": 5, "unit": "credits"}]
    assert live.run(*RENDER, "--max-cost", "5credits").code == 0
    assert live.provider.purchases == 3


@pytest.mark.parametrize(("cap", "code"), [("9credits", 5), ("10credits", 0)])
def test_the_dearest_of_a_list(live: Cli, cap: str, code: int) -> None:
    """A list of providers counts at its dearest member, whoever comes first."""
    live.config(PRICE.format(10, "credits"))
    assets(live, one("fox", provider=["rivya", "modelverse"]))
    assert live.run(*RENDER, "--max-cost", cap).code == code


@pytest.mark.parametrize(
    ("caps", "code"),
    [(("5credits",), 5), (("5credits", "2CNY"), 0), (("5credits", "1CNY"), 5), (("7",), 2)],
)
def test_units(live: Cli, caps: tuple[str, ...], code: int) -> None:
    """Amounts in two units cannot be added: each needs its cap, and a bare number says too little."""
    live.config(PRICE.format(2, "CNY"))
    assets(live, one("fox", provider=["rivya", "modelverse"]))
    assert live.run(*RENDER, *(word for cap in caps for word in ("--max-cost", cap))).code == code


def test_an_unknown_price(live: Cli) -> None:
    """A price that is not known is shown so, and refused with a cap unless that is allowed; one of a list too."""
    assets(live, one("fox", provider="rivya"), one("owl", provider=["rivya", "modelverse"]))
    rows = live.run(*RENDER, "--plan", "--json").json["estimate"]
    assert rows == [{"amount": 10, "unit": "credits"}, {"amount": None, "unit": None}]
    assert live.run(*RENDER, "--max-cost", "50credits").code == 5
    assert live.provider.seen == []
    assert live.run(*RENDER, "--max-cost", "50credits", "--allow-unknown-cost").code == 0


def test_consent(live: Cli) -> None:
    """Above twenty results a yes is needed, counted over all assets; without a terminal it is 5."""
    assets(live, *(one(f"pic{number}", provider="modelverse", count=4) for number in range(6)))
    assert live.run(*RENDER).code == 5
    assert live.run(*RENDER, "--max-results", "23").code == 5
    ran = live.run(*RENDER, stdin="n\n", tty=("stdin", "stderr"), command=False)
    assert ran.code == 5
    assert "Buy 24 results for unknown?" in ran.err
    assert live.provider.seen == []
    assert live.run(*RENDER, "--max-results", "24").code == 0
    assert live.provider.purchases == 6


def test_a_price_of_ones_own(live: Cli) -> None:
    """What a purchase cost is in the lock, by the user's own price where the provider says nothing."""
    live.config(PRICE.format(1.5, "CNY"))
    assets(live, one("fox", provider="modelverse", count=2))
    assert live.run(*RENDER).code == 0
    assert (block(live, "fox")["cost"], block(live, "fox")["unit"]) == (3, "CNY")


def test_the_missing_part_counts(live: Cli) -> None:
    """Of several purchases for one asset, those that are still to be made pass the gate."""
    from support_render import refusal

    live.provider.script["submit"] = [refusal(400, "invalid", "no")] * 2
    assets(live, one("fox", provider="rivya", count=3))
    live.run(*RENDER, "--jobs", "1")
    ran = live.run(*RENDER, "--plan", "--json")
    assert ran.json["estimate"] == [{"amount": 10, "unit": "credits"}]
    assert live.run(*RENDER, "--max-cost", "9credits").code == 5
    assert live.run(*RENDER, "--max-cost", "10credits").code == 0
    assert live.provider.purchases == 3


# Found before anything is bought.


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([one("fox", size="9K")], "--size 9K"),
        ([one("fox", provider="rivya", size="4K")], "rivya renders 1K and 2K"),
        ([one("fox", provider="modelverse", seed=-1)], "--seed -1"),
        ([one("fox", provider="nobody")], "nobody is not a provider"),
        ([one("fox") | {"prompt": "x" * 6000}], "prompt has 6,000"),
        ([one("fox"), one("owl", verb="edit", images=["fox.png"])], "does not exist"),
        ([one("fox", model="wan2.7-image", duration=5)], "makes pictures"),
    ],
)
def test_all_that_is_wrong(live: Cli, rows: list[dict[str, object]], said: str) -> None:
    """What the verb would refuse is refused with the line and the asset, before anything is bought (2)."""
    assets(live, one("good"), *rows)
    ran = live.run(*RENDER)
    assert ran.code == 2, ran.err
    assert said in ran.err
    assert "assets.toml:" in ran.said("error")
    assert live.provider.seen == []


def test_alike_but_for_one(live: Cli) -> None:
    """Assets of one shape are priced together, and each prompt and seed is still looked at."""
    rows = [one(f"pic{number}", provider="modelverse", seed=number + 1) for number in range(5)]
    for wrong in ({"seed": -5}, {"prompt": "x" * 9000}, {"prompt": "bell \u0007"}):
        assets(live, *rows, one("bad", provider="modelverse", seed=9) | wrong)
        ran = live.run(*RENDER)
        assert (ran.code, "bad" in ran.said("error")) == (2, True), ran.err
    assets(live, *rows)
    assert live.run(*RENDER).code == 0
    assert sorted(seen.json["parameters"]["seed"] for seen in live.provider.asked("submit")) == [1, 2, 3, 4, 5]
    assert sorted(prompts(live)) == [row["id"] for row in rows]


VIDEO = {"provider": "modelverse", "model": "wan2.7-video", "prompt": "a picture of waves"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (one("still", provider="modelverse", verb="edit", images=["@clip"]), "makes pictures from pictures"),
        ({"id": "next", **VIDEO, "mask": "@clip"}, "@clip is a video, and a picture is wanted"),
        ({"id": "next", **VIDEO, "first_frame": "@four"}, "@four has 4 results"),
        ({"id": "next", **VIDEO, "first_frame": "@one", "audio": "@clip"}, "@clip is a video, and a sound is wanted"),
    ],
)
def test_videos_of_other_assets(live: Cli, row: dict[str, object], said: str) -> None:
    """A video in a picture's place, or several results in the place of one, is refused before either is bought."""
    clip = {"id": "clip", **VIDEO}
    assets(live, clip, one("four", provider="modelverse", count=4), one("one", provider="modelverse"), row)
    ran = live.run(*RENDER)
    assert ran.code == 2, ran.err
    assert said in ran.err
    assert live.provider.seen == []


def test_a_part_was_collected(live: Cli) -> None:
    """Of an asset of several tasks the plan counts what is still to be bought, and the end what this run bought."""
    assets(live, one("fox", provider="rivya", count=3))
    usual, failing = live.provider._poll, []

    def poll(seen: Seen) -> Say:
        failing.extend([] if failing else [seen.path])
        name = seen.path.rpartition("/")[2]
        bad = Say(200, {"id": name, "status": "failed", "final_credits": 0, "error": {"message": "no luck"}})
        said: Say = bad if seen.path in failing else usual(seen)
        return said

    live.provider._poll = poll
    ran = live.run(*RENDER)
    assert ran.code == 11, ran.err
    assert "; spent 10 credits\n" in ran.err
    ran = live.run(*RENDER, "--plan")
    assert "assets.toml: 1 to complete for 5 credits; 1 to collect, bought before\n" in ran.err
    ran = live.run(*RENDER, "--report", "out.md")
    assert (ran.code, live.provider.purchases) == (0, 4), ran.err
    assert "; spent 5 credits\n" in ran.err
    assert "Spent: 5 credits" in (live.cwd / "out.md").read_text(encoding="utf-8")


def test_a_failure_at_submit(live: Cli) -> None:
    """A task that failed in the answer to its submit is used up: the next run buys under another key."""
    assets(live, one("fox", provider="rivya"))
    failed = {"id": "task_9", "status": "failed", "final_credits": 0, "error": {"message": "no luck"}}
    live.provider.script["submit"] = [Say(200, failed)]
    ran = live.run(*RENDER, "--json")
    assert (ran.code, ran.task["handle"], ran.task["charged"]) == (7, "rivya:task_9", "no"), ran.err
    assert live.run(*RENDER).code == 0
    assert len({seen.headers["idempotency-key"] for seen in live.provider.asked("submit")}) == 2


@pytest.mark.parametrize(("cap", "code"), [("9credits", 5), ("10credits", 0), ("10", 0)])
def test_a_plan_holds_caps(live: Cli, cap: str, code: int) -> None:
    """--plan shows the plan and ends as the run would be refused, with nothing sent."""
    assets(live, one("fox", provider="rivya"), one("owl", provider="rivya"))
    ran = live.run(*RENDER, "--plan", "--max-cost", cap)
    assert ran.code == code, ran.err
    assert len(ran.lines) == 2
    assert live.provider.seen == []


def test_a_count_as_a_field(live: Cli) -> None:
    """A hint about an option of a verb says it as the asset's field, a number without quotes."""
    assets(live, one("fox", provider="modelverse", verb="sequence", count=99))
    ran = live.run(*RENDER, "--plan")
    assert ran.code == 2
    assert ran.said("hint") == "count = 12 in assets.toml"


def test_closed_standard_output(live: Cli) -> None:
    """Standard output that takes nothing is 1 after a plan, and 12 with the charge after something was bought."""
    assets(live, one("fox", provider="rivya"))
    closed = OSError(errno.EBADF, "standard output is closed")
    ran = live.run(*RENDER, "--plan", stdout=Output(closed))
    assert (ran.code, ran.said("charged")) == (1, "no"), ran.err
    ran = live.run(*RENDER, stdout=Output(closed))
    assert (ran.code, ran.said("charged")) == (12, "yes"), ran.err
    assert live.run(*RENDER, "--check").code == 0
