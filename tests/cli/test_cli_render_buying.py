"""What ``wan render`` buys, and what it records of it (interface.md, section 6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support_cli import MODELVERSE_KEY, Cli, picture
from support_provider import Say
from support_render import assets, block, elsewhere, one, prompts, refusal, sent

RENDER = ("render", "assets.toml")


@pytest.mark.parametrize("name", ["rivya", "modelverse"])
def test_once(live: Cli, name: str) -> None:
    """Each asset is bought once, recorded with its file, and a second run asks nobody."""
    assets(live, one("fox"), one("owl"), defaults={"provider": name})
    ran = live.run(*RENDER)
    assert ran.code == 0, ran.err
    assert ran.lines == ["fox.png", "owl.png"]
    assert sorted(prompts(live)) == ["fox", "owl"]
    entry = block(live, "fox")
    assert entry["handle"].startswith(f"{name}:")
    assert [made["path"] for made in entry["files"]] == ["fox.png"]
    assert not {"open", "pinned", "tried"} & entry.keys()
    assert live.files() == ["assets.lock", "assets.toml", "fox.png", "owl.png"]
    asked = len(live.provider.seen)
    assert live.run(*RENDER).code == 0
    assert len(live.provider.seen) == asked


def test_c17_without_a_ledger(live: Cli) -> None:
    """C17: a fresh machine with lock and files, and without key and ledger, finds everything up to date."""
    assets(live, one("fox"))
    assert live.run(*RENDER).code == 0
    elsewhere(live)
    live.env |= {"RIVYA_API_KEY": "", "MODELVERSE_API_KEY": ""}
    assert live.run(*RENDER).code == 0
    assert live.run(*RENDER, "--check").code == 0
    assert live.provider.purchases == 1


def test_only_what_changed(live: Cli) -> None:
    """Another prompt buys that asset again, in its place, and nothing else."""
    assets(live, one("fox"), one("owl"))
    live.run(*RENDER)
    assets(live, one("fox") | {"prompt": "a picture of two foxes"}, one("owl"))
    live.provider.deliver = lambda order, _: picture(1024, 1024)
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    assert sorted(prompts(live)) == ["fox", "owl", "two foxes"]
    assert block(live, "fox")["take"] == 2


def test_back_again(live: Cli) -> None:
    """A request that comes back is another purchase: the file of the first one was replaced."""
    for prompt in ("a picture of day", "a picture of night", "a picture of day"):
        assets(live, one("fox", provider="rivya") | {"prompt": prompt})
        assert live.run(*RENDER).code == 0
    assert prompts(live) == ["day", "night", "day"]
    assert block(live, "fox")["take"] == 3


def test_a_chain(live: Cli) -> None:
    """An asset that uses another comes after it, with its picture; one whose input came out the same is not bought."""
    rows = one("hero", provider="modelverse"), one("poster", provider="modelverse", verb="edit", images=["@hero"])
    assets(live, *rows)
    assert live.run(*RENDER).lines == ["hero.png", "poster.png"]
    digest = block(live, "hero")["files"][0]["sha256"]
    assert block(live, "poster")["inputs"] == {"@hero": digest}
    ran = live.run(*RENDER, "--again", "--only", "hero", "--json")
    assert (ran.code, prompts(live)) == (0, ["hero", "poster", "hero"])  # the same bytes once more
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 3


def test_came_out_the_same(live: Cli) -> None:
    """A dependant of an asset that is bought anew is not bought where the new file is the old one."""
    rows = one("hero", provider="modelverse"), one("poster", provider="modelverse", verb="edit", images=["@hero"])
    assets(live, *rows)
    live.run(*RENDER)
    assets(live, rows[0] | {"seed": 7}, rows[1])
    ran = live.run(*RENDER, "--json")
    assert ran.code == 0, ran.err
    endings = {row["id"]: row["ending"] for row in ran.json["assets"]}
    assert endings == {"hero": "made", "poster": "current"}
    assert prompts(live) == ["hero", "poster", "hero"]


def test_the_same_but_gone(live: Cli) -> None:
    """Where the dependant's own file is gone it is bought, though its input came out the same."""
    rows = one("hero", provider="modelverse"), one("poster", provider="modelverse", verb="edit", images=["@hero"])
    assets(live, *rows)
    live.run(*RENDER)
    (live.cwd / "poster.png").unlink()
    assets(live, rows[0] | {"seed": 7}, rows[1])
    assert live.run(*RENDER).code == 0
    assert prompts(live) == ["hero", "poster", "hero", "poster"]


def test_other_bytes(live: Cli) -> None:
    """A dependant is bought again when what it uses came out differently, and with --only what it uses comes along."""
    live.provider.deliver = lambda order, _: picture(1024 + 16 * len(live.provider.orders), 1024)
    rows = one("hero", provider="modelverse"), one("poster", provider="modelverse", verb="edit", images=["@hero"])
    assets(live, *rows, one("other"))
    assert live.run(*RENDER, "--only", "post*").code == 0
    assert prompts(live) == ["hero", "poster"]
    assert block(live, "other") is None
    assert live.run(*RENDER, "--again", "--only", "hero").code == 0
    ran = live.run(*RENDER, "--only", "poster")
    assert ran.code == 0, ran.err
    assert prompts(live) == ["hero", "poster", "hero", "poster"]


@pytest.mark.parametrize(("name", "purchases"), [("rivya", 3), ("modelverse", 1)])
def test_several_results(live: Cli, name: str, purchases: int) -> None:
    """Several results are one purchase where the provider counts, else one each; all are the asset's files."""
    assets(live, one("fox", provider=name, count=3))
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (0, ["fox-1.png", "fox-2.png", "fox-3.png"]), ran.err
    assert live.provider.purchases == purchases
    assert len(block(live, "fox").get("handles", [])) == (purchases if purchases > 1 else 0)
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == purchases


def test_fewer_than_asked_for(live: Cli) -> None:
    """A set that came with fewer results is 11 and is not bought again by itself; each run says how it would be."""
    assets(live, one("fox", provider="modelverse", count=3))
    live.provider.results = lambda order: order.n - 1
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (11, ["fox-1.png", "fox-2.png"]), ran.err
    ran = live.run(*RENDER)
    assert (ran.code, live.provider.purchases) == (0, 1)
    assert "count = 3, and 2 came" in ran.err
    assert "wan render assets.toml --force --only fox" in ran.err


def test_the_missing_one(live: Cli) -> None:
    """Of several purchases for one asset only the one that failed is made again, under its own key."""
    live.provider.script["submit"] = [refusal(400, "invalid", "no such style")]
    assets(live, one("fox", provider="rivya", count=3))
    ran = live.run(*RENDER, "--jobs", "1")
    assert ran.code == 11, ran.err
    assert len(block(live, "fox")["open"]) == 2
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (0, ["fox-1.png", "fox-2.png", "fox-3.png"]), ran.err
    assert live.provider.purchases == 3
    assert "open" not in block(live, "fox")


@pytest.mark.parametrize("there", ["ledger", "lock alone"])
def test_a_failed_task_gets_another_key(live: Cli, there: str) -> None:
    """A task that the provider took and failed is bought again by the next run, under another idempotency key."""
    live.provider.script["poll"] = [Say(200, {"id": "task_1", "status": "failed", "final_credits": 0})]
    assets(live, one("fox", provider="rivya"))
    ran = live.run(*RENDER)
    assert ran.code == 7, ran.err
    assert block(live, "fox") == {"tried": 1}
    if there != "ledger":
        elsewhere(live)
    assert live.run(*RENDER).code == 0
    first, second = (seen.headers["idempotency-key"] for seen in live.provider.asked("submit"))
    assert first != second
    assert block(live, "fox")["take"] == 2


def test_keys_are_the_same_everywhere(live: Cli, tmp_path: Path) -> None:
    """Two machines that render the same asset send the same idempotency key, and pay once."""
    assets(live, one("fox", provider="rivya"))
    live.run(*RENDER)
    elsewhere(live)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "assets.toml").write_bytes((live.cwd / "assets.toml").read_bytes())
    assert live.run(*RENDER, cwd=copy).code == 0
    assert live.provider.purchases == 1
    assert len(sent(live)) == 2


# Who makes it.


def test_a_provider_is_pinned(live: Cli) -> None:
    """Who made an asset that names nobody makes it again, whatever keys there are; without that key it is 3."""
    assets(live, one("fox"))
    live.run(*RENDER, env={"RIVYA_API_KEY": ""})
    assert block(live, "fox")["pinned"] == "modelverse"
    assets(live, one("fox", seed=5))
    assert live.run(*RENDER).code == 0
    assert block(live, "fox")["handle"].startswith("modelverse:")
    assets(live, one("fox", seed=6))
    ran = live.run(*RENDER, env={"MODELVERSE_API_KEY": ""})
    assert ran.code == 3, ran.err
    assert "MODELVERSE_API_KEY" in ran.err
    assert live.provider.purchases == 2


def test_failover_is_recorded(live: Cli) -> None:
    """Each item moves on by itself, and the lock says who made it; an order of preference makes nothing stale."""
    live.provider.script["submit"] = [refusal(402)]
    assets(live, one("fox"), one("owl"), defaults={"provider": ["rivya", "modelverse"]})
    ran = live.run(*RENDER, "--jobs", "1")
    assert ran.code == 0, ran.err
    assert [block(live, name)["provider"] for name in ("fox", "owl")] == ["modelverse", "rivya"]
    assert "pinned" not in block(live, "fox")
    assets(live, one("fox"), one("owl"), defaults={"provider": ["modelverse", "rivya"]})
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 2


def test_no_key_at_all(live: Cli) -> None:
    """Without any key nothing is sent, and every asset says which variable is missing."""
    assets(live, one("fox"), one("owl"))
    ran = live.run(*RENDER, env={"RIVYA_API_KEY": "", "MODELVERSE_API_KEY": ""})
    assert ran.code == 3, ran.err
    assert live.provider.seen == []


# What is there already.


def test_files_of_others(live: Cli) -> None:
    """A file that is not ours is never overwritten, not even when a purchase of its asset is collected (exit 13)."""
    live.write("fox.png", b"mine")
    assets(live, one("fox"))
    ran = live.run(*RENDER)
    assert ran.code == 13, ran.err
    assert live.provider.purchases == 0
    (live.cwd / "fox.png").unlink()
    live.run(*RENDER, "--no-wait")
    live.write("fox.png", b"mine again")
    ran = live.run(*RENDER)
    assert ran.code == 0, ran.err
    assert (live.cwd / "fox.png").read_bytes() == b"mine again"
    assert len(ran.lines) == 1
    assert (live.cwd / ran.lines[0]).read_bytes() == picture(2048, 2048)


def test_force(live: Cli) -> None:
    """--force replaces an edited file; without it the edit stays and the run is 13."""
    assets(live, one("fox"), one("owl"))
    live.run(*RENDER)
    live.write("fox.png", b"touched up")
    assert live.run(*RENDER).code == 13
    assert (live.cwd / "fox.png").read_bytes() == b"touched up"
    ran = live.run(*RENDER, "--force", "--only", "fox")
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    bought = prompts(live)
    assert (sorted(bought[:2]), bought[2:]) == (["fox", "owl"], ["fox"])


def test_a_name_that_changed(live: Cli) -> None:
    """Another output renames what is there, and buys nothing."""
    assets(live, one("fox", sidecar=True))
    live.run(*RENDER)
    assets(live, one("fox", sidecar=True, output="art/{id}{ext}"))
    ran = live.run(*RENDER)
    assert ran.code == 0, ran.err
    assert live.files() == ["art/fox.png", "art/fox.png.json", "assets.lock", "assets.toml"]
    assert live.run(*RENDER, "--check").code == 0
    assert live.provider.purchases == 1


def test_parts(live: Cli) -> None:
    """Every asset is in just one of the parts, and together they make everything; chains stay together."""
    rows = [one(f"pic{number}") for number in range(9)]
    chain = one("hero"), one("poster", verb="edit", images=["@hero"], provider="modelverse")
    assets(live, *rows, *chain)
    for part in (1, 2, 3):
        ran = live.run(*RENDER, "--shard", f"{part}/3")
        assert ran.code == 0, ran.err
    assert live.provider.purchases == 11
    assert len(block(live)) == 11
    assert live.run(*RENDER, "--check").code == 0


def test_another_key_of_the_same_account(live: Cli) -> None:
    """A rotated key makes nothing stale, and the next purchase goes with it."""
    assets(live, one("fox", provider="modelverse"))
    live.run(*RENDER)
    live.env["MODELVERSE_API_KEY"] = MODELVERSE_KEY
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 1


def test_an_edited_picture_is_used_as_it_is(live: Cli) -> None:
    """What uses a picture that was touched up is made from that, once; the edit stays 13 until it is accepted."""
    rows = one("hero", provider="modelverse"), one("poster", provider="modelverse", verb="edit", images=["@hero"])
    assets(live, *rows)
    live.run(*RENDER)
    live.write("hero.png", picture(1500, 1500))
    for _ in range(2):
        assert live.run(*RENDER).code == 13
        assert prompts(live) == ["hero", "poster", "poster"]
    assert live.run(*RENDER, "--accept", "hero").code == 0
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 3


def test_a_shared_reference(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that many assets use is opened and checked once a run, not once an asset."""
    from wan_cli.cli import assets as looking

    opened: list[str] = []
    real = looking.local_file

    def counted(path: str, *args: object, **named: object) -> object:
        opened.append(path)
        return real(path, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(looking, "local_file", counted)
    live.write("ref.png", picture(900, 900))
    assets(live, *(one(f"pic{n}", provider="modelverse", verb="edit", images=["ref.png"]) for n in range(6)))
    assert live.run(*RENDER).code == 0
    assert opened == [str(live.cwd / "ref.png")]


def test_another_machine_tried_the_same(live: Cli) -> None:
    """What this machine knows of its own attempt says nothing of the purchase that another one has in the lock."""
    live.provider.script["submit"] = [refusal(402)]
    assets(live, one("fox", provider="modelverse"))
    assert live.run(*RENDER).code == 5  # nothing was bought here
    elsewhere(live)
    live.clock.now += 60
    live.provider.script["submit"] = [Say(drop=True, accept=True)]
    assert live.run(*RENDER).code == 9  # and perhaps there
    live.env["WAN_STATE_DIR"] = str(live.root / "state")
    assert live.run(*RENDER).code == 9
    assert live.provider.purchases == 1
    (task,) = live.run("recover", "--json").json["tasks"]
    live.run("recover", task["id"], "--adopt", "mv-1")
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 1


def test_a_full_disk_at_the_end(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that takes no more lines costs no result: it is here, said to be bought, and found by the next run."""
    from wan_cli.errors import StateUnusable
    from wan_cli.lock import Entry, Lock

    put = Lock.put

    def full(self: Lock, name: str, entry: Entry | None) -> None:
        if entry is not None and entry.files:
            raise StateUnusable("the lock cannot be written: No space left on device", hint="free space")
        put(self, name, entry)

    monkeypatch.setattr(Lock, "put", full)
    assets(live, one("fox", provider="modelverse"))
    ran = live.run(*RENDER)
    assert (ran.code, ran.said("charged")) == (3, "yes"), ran.err
    monkeypatch.undo()
    live.env["WAN_STATE_DIR"] = str(live.root / "state")
    asked = len(live.provider.seen)
    assert live.run(*RENDER).code == 0
    assert len(live.provider.seen) == asked


def test_nothing_is_sent_without_a_record(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the lock cannot take the purchase before it is sent, nothing is sent (3)."""
    from wan_cli.errors import StateUnusable
    from wan_cli.lock import Entry, Lock

    def full(self: Lock, name: str, entry: Entry | None) -> None:
        raise StateUnusable(f"{self.path} cannot be written: {name} {entry}", hint="free space")

    monkeypatch.setattr(Lock, "put", full)
    assets(live, one("fox", provider="modelverse"))
    ran = live.run(*RENDER)
    assert (ran.code, ran.said("charged")) == (3, "no"), ran.err
    assert live.provider.seen == []


@pytest.mark.parametrize(
    ("output", "more", "hint"),
    [
        ("fox.jpg", {}, "convert = true in assets.toml"),
        ("fox.mp4", {"convert": True, "model": "wan2.7-image"}, "use output = {id}.png"),
    ],
)
def test_a_format_that_is_not_delivered(live: Cli, output: str, more: dict[str, Any], hint: str) -> None:
    """An output in a format that the provider does not deliver is refused before anything is bought (section 9)."""
    assets(live, one("fox", provider="rivya", output=output, **more))
    ran = live.run("render", "assets.toml")
    assert (ran.code, ran.said("charged")) == (2, "no")
    assert "assets.toml:" in ran.said("error")
    assert ran.said("hint").endswith(hint)
    assert live.provider.purchases == 0
