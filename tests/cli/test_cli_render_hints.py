"""How a render that did not do all of it ends: each error once and with its asset, and hints that can be pasted."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
from collections.abc import Callable
from typing import Any

import pytest
from support_cli import Cli, Ran
from support_provider import Say
from support_render import answering, assets, block, one, prompts, refusal

from wan_cli.engine import Engine
from wan_cli.engine.signals import Stopped

PLACE = "my art/as sets.toml"
RENDER = ("render", PLACE)
NO = refusal(400, "invalid", "no such style")


def three(cli: Cli, **fields: Any) -> None:
    """Write a manifest of three assets into a folder with a blank in its name."""
    assets(cli, *(one(name, provider="modelverse", **fields) for name in ("fox", "owl", "bear")), name=PLACE)


def follow(cli: Cli, ran: Ran) -> Ran:
    """Paste every hint into a shell, and return what the last one did."""
    hints = re.findall(r"(?m)^hint: (.*)$", ran.err)
    assert hints, ran.err
    for hint in hints:
        wan, *words = shlex.split(hint)
        assert wan == "wan", hint
        ran = cli.run(*words)
        assert ran.code in (0, 7, 11), (hint, ran.err)
    return ran


def on_ctrl_c(cli: Cli, polled: int) -> None:
    """Press Ctrl-C once, when so many tasks were asked about; none of them ends."""
    cli.provider.always["poll"] = Say(200, {"output": {"task_id": "t", "task_status": "Running"}})
    sleep, pressed = cli.clock.sleep, [False]

    async def waited(seconds: float) -> None:
        if not pressed[0] and len({seen.path for seen in cli.provider.asked("poll")}) == polled:
            pressed[0] = True
            os.kill(os.getpid(), signal.SIGINT)
        await sleep(seconds)

    cli.engine["sleep"] = waited


def checked(cli: Cli) -> Ran:
    """Check one of three that were never rendered."""
    three(cli)
    return cli.run(*RENDER, "--check", "--only", "fox")


def failed_fast(cli: Cli) -> Ran:
    """Let the first fail, and buy nothing after it, below a cap."""
    three(cli)
    answering(cli, {"fox": NO})
    ran = cli.run(*RENDER, "--fail-fast", "--jobs", "1", "--max-results", "3", "--only", "[fo]*")
    cli.provider._usual = type(cli.provider)._usual.__get__(cli.provider)
    return ran


def edited(cli: Cli) -> Ran:
    """Change a file by hand."""
    three(cli)
    cli.run(*RENDER)
    cli.write("my art/fox.png", b"mine")
    return cli.run(*RENDER)


def not_named(cli: Cli) -> Ran:
    """Name an asset that is not there."""
    three(cli)
    return cli.run(*RENDER, "--only", "nobody")


def taken_too_early(cli: Cli) -> Ran:
    """Ask for takes of an asset that uses one that is not there."""
    rows = one("hero", provider="modelverse"), one("poster", provider="modelverse", verb="edit", images=["@hero"])
    assets(cli, *rows, name=PLACE)
    return cli.run(*RENDER, "--again", "-n", "2", "--only", "poster")


def kept_too_early(cli: Cli) -> Ran:
    """Keep a file as an asset that is just being bought."""
    three(cli)
    cli.run("generate", "a cat", "-p", "modelverse", "-o", "my art/cat.png")
    cli.run(*RENDER, "--no-wait", "--root", "my art")
    return cli.run("keep", "my art/cat.png", "--as", "fox", "--into", PLACE, "--root", "my art")


def changed_meanwhile(cli: Cli) -> Ran:
    """Change the request of what is under way."""
    three(cli)
    cli.run(*RENDER, "--no-wait")
    three(cli, aspect="16:9")
    return cli.run(*RENDER, "--only", "owl")


def reported_as_what(cli: Cli) -> Ran:
    """Ask for a report of an unknown kind."""
    three(cli)
    return cli.run(*RENDER, "--report", "out.doc")


def interrupted(cli: Cli) -> Ran:
    """Press Ctrl-C while all three are awaited."""
    three(cli)
    on_ctrl_c(cli, 3)
    ran = cli.run(*RENDER)
    cli.provider.always.clear()
    cli.engine.clear()
    return ran


@pytest.mark.parametrize(
    ("ending", "code", "rendered"),
    [
        (checked, 13, 1), (failed_fast, 11, 2), (edited, 13, 3), (not_named, 2, 0), (taken_too_early, 2, 2),
        (kept_too_early, 2, 3), (changed_meanwhile, 13, 1), (reported_as_what, 2, 3), (interrupted, 130, 3),
    ],
)  # fmt: skip
def test_hints_are_commands(live: Cli, ending: Callable[[Cli], Ran], code: int, rendered: int) -> None:
    """The hint of each ending can be pasted where the call was made, and is about the same assets."""
    ran = ending(live)
    assert ran.code == code, ran.err
    errors = re.findall(r"(?m)^error: (.*)$", ran.err)
    assert len(errors) == len(set(errors)), ran.err
    assert all(error.count("as sets.toml:") <= 1 for error in errors), ran.err
    then = follow(live, ran)
    assert then.code == 0, then.err
    assert sum("files" in entry for entry in block(live, lock="my art/as sets.lock").values()) == rendered


def test_hints_of_the_sandbox(cli: Cli) -> None:
    """A hint about the sandbox's assets says so once, and one that only mentions a command is left as it is."""
    three(cli)
    ran = cli.run(*RENDER, "--sandbox", "--check", "--only", "owl")
    assert ran.said("hint") == f"wan render '{PLACE}' --sandbox --only owl"
    cli.write("my art/as sets.sandbox.lock", "{\n<<<<<<< ours\n=======\n>>>>>>> theirs\n}\n")
    ran = cli.run(*RENDER, "--sandbox", command=False)
    assert ran.code == 2
    assert ran.said("hint").endswith("(wan render --merge)")


def test_a_part_failed(live: Cli) -> None:
    """An error is said once and names its asset; the last one counts assets, and what was not begun is no failure."""
    names = [f"pic{number}" for number in range(7)]
    assets(live, *(one(name, provider="modelverse") for name in names))
    answering(live, {"pic0": NO})
    ran = live.run("render", "assets.toml", "-q", "--fail-fast", "--jobs", "1")
    assert (ran.code, ran.out) == (11, "")
    assert ran.err.count("no such style") == 1
    assert "error: assets.toml:1: pic0: " in ran.err
    assert ran.said("error") == "1 of 7 assets failed, 6 not begun: pic0"
    assert ran.said("hint") == "wan render assets.toml"


@pytest.mark.parametrize("alike", [1, 3])
def test_all_failed(live: Cli, alike: int) -> None:
    """Assets that all fail alike keep their code; one alone is told of once, in text and in JSON with its place."""
    names = [f"pic{number}" for number in range(alike)]
    assets(live, *(one(name, provider="modelverse") for name in names))
    answering(live, dict.fromkeys(names, NO))
    ran = live.run("render", "assets.toml", "--json", "-q")
    assert (ran.code, ran.json["error"]["code"]) == (4, "request_rejected")
    assert ran.err.count("no such style") == alike
    assert ran.err.count("error: ") == alike + (alike > 1)
    said = ran.json["error"]["message"]
    assert said.startswith("assets.toml:1: pic0: " if alike == 1 else "3 of 3 assets failed: pic0, pic1, pic2")
    assert not ran.json["assets"][0]["error"]["message"].startswith("assets.toml")  # its row names it


def test_interrupted_while_waiting(live: Cli) -> None:
    """After Ctrl-C what was bought is pending, named with its handle, and the same command collects it."""
    three(live)
    on_ctrl_c(live, 3)
    ran = live.run(*RENDER, "--json", "--only", "*")
    assert ran.code == 130, ran.err
    assert {row["ending"] for row in ran.json["assets"]} == {"pending"}
    handles = [task["handle"] for task in ran.json["tasks"]]
    assert ran.json["error"]["charged"] == "yes"
    assert all(handle in ran.said("error") for handle in handles)
    assert ran.err.count("error: ") == 1
    assert ran.said("hint") == f"wan render '{PLACE}' --only '*'"


def test_interrupted_at_once(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C before anything was sent nothing is charged, and the hint is the command to give again."""
    run = Engine.run

    async def stopped(self: Engine, task: Any, **how: Any) -> Any:
        if not self.stop.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(Stopped):
                await self.stop.ends(asyncio.sleep(30))
        return await run(self, task, **how)

    three(live)
    monkeypatch.setattr(Engine, "run", stopped)
    for more in ((), ("--again", "-n", "2")):
        ran = live.run(*RENDER, "--jobs", "1", *more)
        assert (ran.code, ran.said("charged")) == (130, "no"), ran.err
        assert shlex.split(ran.said("hint"))[:3] == ["wan", *RENDER]
        assert ("--again" in ran.said("hint")) == bool(more)
    assert prompts(live) == []
