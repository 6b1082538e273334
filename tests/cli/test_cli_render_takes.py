"""``--again``: another take in an asset's place; with ``-n`` takes to choose from, beside it."""

from __future__ import annotations

import pytest
from support_cli import Cli, picture
from support_render import assets, block, one, prompts

RENDER = ("render", "assets.toml")


def test_another_take(live: Cli) -> None:
    """--again buys another take in the place of the one that is there, under another idempotency key."""
    assets(live, one("fox", provider="rivya"), one("owl", provider="rivya"))
    live.run(*RENDER)
    ran = live.run(*RENDER, "--again", "--only", "fox")
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    assert (sorted(prompts(live)[:2]), prompts(live)[2:]) == (["fox", "owl"], ["fox"])
    assert len({seen.headers["idempotency-key"] for seen in live.provider.asked("submit")}) == 3
    assert (block(live, "fox")["take"], block(live, "owl").get("take")) == (2, None)


def test_another_take_is_bought_once(live: Cli) -> None:
    """A take that is under way is collected, not bought once more, by the same call."""
    assets(live, one("fox", provider="rivya"))
    live.run(*RENDER)
    live.run(*RENDER, "--again", "--no-wait")
    assert live.run(*RENDER, "--again").code == 0
    assert live.provider.purchases == 2


@pytest.mark.parametrize("rendered", [True, False])
def test_takes_to_choose_from(live: Cli, *, rendered: bool) -> None:
    """--again -n N puts N takes beside the asset's file; neither that file nor the lock changes."""
    assets(live, one("fox", provider="rivya"), one("owl", provider="rivya"))
    if rendered:
        live.run(*RENDER)
    before = {path.name: path.read_bytes() for path in live.cwd.iterdir()}
    live.provider.deliver = lambda order, _: picture(1024 + 16 * int(order.id[5:]), 1024)
    ran = live.run(*RENDER, "--again", "-n", "3", "--only", "fox", "--json")
    assert ran.code == 0, ran.err
    takes = [f"fox.take-{number}.png" for number in (1, 2, 3)]
    assert sorted(file["path"] for task in ran.json["tasks"] for file in task["files"]) == takes
    assert {path.name: path.read_bytes() for path in live.cwd.iterdir() if "take" not in path.name} == before
    assert live.run(*RENDER, "--again", "-n", "1", "--only", "fox").lines == ["fox.take-4.png"]


def test_a_take_is_chosen(live: Cli) -> None:
    """``wan keep`` makes a take the asset's file, and nothing is bought for it then."""
    assets(live, one("fox", provider="rivya"))
    live.run(*RENDER)
    live.provider.deliver = lambda order, _: picture(1024 + 16 * int(order.id[5:]), 1024)
    live.run(*RENDER, "--again", "-n", "2")
    chosen = (live.cwd / "fox.take-2.png").read_bytes()
    ran = live.run("keep", "fox.take-2.png", "--as", "fox")
    assert ran.code == 0, ran.err
    (made,) = block(live, "fox")["files"]
    assert (live.cwd / made["path"]).read_bytes() == chosen
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 3
    assert live.run(*RENDER, "--again").code == 0
    assert live.provider.purchases == 4
    assert len({seen.headers["idempotency-key"] for seen in live.provider.asked("submit")}) == 4


def test_takes_of_several_results(live: Cli) -> None:
    """A take of an asset with several results has them all, numbered."""
    assets(live, one("fox", provider="modelverse", count=2, output="art/{id}.png"))
    ran = live.run(*RENDER, "--again", "-n", "2")
    assert ran.lines == [f"art/fox.take-{take}-{number}.png" for take in (1, 2) for number in (1, 2)]


def test_takes_pass_the_gate(live: Cli) -> None:
    """Every take is priced; --plan shows it, and nothing is sent."""
    assets(live, one("fox", provider="rivya"))
    words = (*RENDER, "--again", "-n", "4")
    assert live.run(*words, "--max-cost", "19credits").code == 5
    assert live.run(*words, "--plan", "--json").json["estimate"] == [{"amount": 20, "unit": "credits"}]
    assert live.provider.seen == []


def test_takes_of_what_is_not_there(live: Cli) -> None:
    """Takes of what uses an asset that is not there yet are refused: that one comes first."""
    rows = one("hero", provider="modelverse"), one("poster", provider="modelverse", verb="edit", images=["@hero"])
    assets(live, *rows)
    assert live.run(*RENDER, "--again", "-n", "2", "--only", "poster").code == 2
    live.run(*RENDER)
    ran = live.run(*RENDER, "--again", "-n", "2", "--only", "poster")
    assert (ran.code, len(ran.lines)) == (0, 2), ran.err
    assert prompts(live) == ["hero", "poster", "poster", "poster"]


@pytest.mark.parametrize("words", [("-n", "2"), ("--again", "--force"), ("--shard", "3/2"), ("--shard", "0/1")])
def test_words_that_do_not_go_together(live: Cli, words: tuple[str, ...]) -> None:
    """-n goes with --again, --again not with --force, and a part is one of the parts."""
    assets(live, one("fox"))
    assert live.run(*RENDER, *words).code == 2


@pytest.mark.parametrize("more", [("-n", "2"), ("-n", "2", "--plan"), ()])
def test_takes_with_one_seed(live: Cli, more: tuple[str, ...]) -> None:
    """A fixed seed is told of before takes are bought that may come out alike; they are bought all the same."""
    assets(live, one("fox", provider="modelverse", seed=7), one("owl", provider="modelverse"))
    live.run(*RENDER)
    ran = live.run(*RENDER, "--again", *more)
    assert ran.code == 0, ran.err
    assert ran.err.count("warning: assets.toml:1: fox: seed = 7 is fixed") == ran.err.count("fixed") == 1
    assert live.provider.purchases == {2: 6, 3: 2, 0: 4}[len(more)]
