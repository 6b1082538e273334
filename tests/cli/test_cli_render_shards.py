"""``--shard I/N`` beside other parts: each in its own part of the lock, and none in another's."""

from __future__ import annotations

import json

import pytest
from support_cli import Cli
from support_render import assets, block, one, prompts, refusal

from wan_cli.lock import Entry, Flight, Shard
from wan_cli.manifest import read
from wan_cli.render.plan import shard_of

RENDER = ("render", "assets.toml")
PARTS = {name: f"{shard_of(name, 2)}/2" for name in ("fox", "hen")}


@pytest.mark.parametrize("part", ["0/2", "3/2", "2", "-1/2", "1/0", "01/2", "1/2/3", "", "1/10000"])
def test_a_part_that_is_none(live: Cli, part: str) -> None:
    """A part out of range is exit 2, nothing is bought, and the hint says where the count begins."""
    assets(live, one("fox", provider="rivya"))
    ran = live.run(*RENDER, f"--shard={part}")
    assert (ran.code, live.provider.seen) == (2, [])
    assert "add 1 to an index that is counted from 0" in ran.err


def test_more_parts_than_assets(live: Cli) -> None:
    """A part with nothing in it is 0 at once; with all of them each asset was bought once."""
    assets(live, one("fox", provider="rivya"))
    for number in range(1, 6):
        assert live.run(*RENDER, "--shard", f"{number}/5").code == 0
    assert live.provider.purchases == 1


def test_another_number_of_parts_goes_on(live: Cli) -> None:
    """What one number of parts has submitted is collected by another, on another machine, and by a run over all."""
    assert len(set(PARTS.values())) == 2
    assets(live, one("fox", provider="rivya"), one("hen", provider="rivya"))
    assert live.run(*RENDER, "--shard", PARTS["fox"], "--no-wait").code == 0
    live.env["WAN_STATE_DIR"] = str(live.root / "other")
    ran = live.run(*RENDER, "--shard", f"{shard_of('fox', 7)}/7")
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    ran = live.run(*RENDER)
    assert ran.code == 0, ran.err
    assert prompts(live) == ["fox", "hen"]


def test_what_another_part_is_about_to_send_is_left_to_it(live: Cli) -> None:
    """A part drops no line of another that is at work, though this ledger knows that nothing was sent for it yet."""
    assets(live, one("fox", provider="modelverse"), one("hen", provider="modelverse"))
    live.provider.script["submit"] = [refusal(402)]
    assert live.run(*RENDER, "--only", "fox").code == 5
    request = read(live.cwd / "assets.toml").assets["fox"].request
    flight = Flight(
        state="sending", request=request, provider="modelverse", origin=live.provider.url, model="m", token="t",
        at=live.clock.now, key="none",
    )  # fmt: skip
    count = int(PARTS["fox"][-1])
    path, part = live.cwd / "assets.lock", (shard_of("fox", 2), count)
    with Shard(path, part) as earlier:
        earlier.put("fox", Entry(open=(flight,)))
    with Shard(path, part):
        ran = live.run(*RENDER, "--shard", PARTS["hen"])
        assert (ran.code, ran.lines) == (0, ["hen.png"]), ran.err
        for words in (("--shard", PARTS["fox"]), ("--shard", "1/3"), ()):
            ran = live.run(*RENDER, *words)
            assert ran.code == 3, ran.err
            assert f"another wan render (--shard {PARTS['fox']}) is at work on assets.lock" in ran.err
        assert live.run(*RENDER, "--check").code == 13
    assert block(live, "fox")["open"][0]["token"] == "t"
    assert json.loads((live.cwd / "assets.lock").read_text(encoding="utf-8"))["assets"].keys() == {"fox", "hen"}
    assert live.run(*RENDER, "--shard", PARTS["fox"]).code == 0
    assert prompts(live) == ["hen", "fox"]
