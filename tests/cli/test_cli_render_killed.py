"""Real processes that are killed at random points, and interrupted: every asset is bought exactly once."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_processes import Ended, Machine, SlowProvider, until
from support_provider import Say, Seen
from support_render import asked_for

KILLS = 10
NAMES = [f"pic{number}" for number in range(8)]
RENDER = ("render", "assets.toml")


class Deadly(SlowProvider):
    """Ends the process that talks to it at the ``at``-th request: before it is taken, or after."""

    def __init__(self) -> None:
        super().__init__()
        self.victim = 0
        self.at = 0
        self.after = False
        self.at_once = True
        vars(self._server)["handle_error"] = lambda *_: None  # connections of a process that was killed

    def aim(self, pid: int, at: int, *, after: bool) -> None:
        """Choose the process and the moment."""
        self.victim, self.at, self.after = pid, at, after

    def answer(self, seen: Seen) -> Say:
        if int(seen.headers.get("content-length", 0)) > len(seen.body):
            return Say(drop=True)  # it was killed while it sent this
        self.at -= 1
        hit = self.at == 0 and self.victim
        if hit and not self.after:
            os.kill(self.victim, signal.SIGKILL)
            return Say(drop=True)
        said = super().answer(seen)
        if hit:
            os.kill(self.victim, signal.SIGKILL)
        return said


@pytest.fixture
def deadly() -> Iterator[Deadly]:
    """Return a provider that kills."""
    with Deadly() as server:
        yield server


def manifest(machine: Machine, provider: str, names: list[str]) -> None:
    """Write a manifest: pictures, and one made from the first of them."""
    rows = [f'[[asset]]\nid = "{name}"\nprompt = "a picture of {name}"\n' for name in names]
    text = f'[defaults]\nprovider = "{provider}"\n' + "\n".join(rows)
    (machine.work / "assets.toml").write_text(text, encoding="utf-8")


def killed(machine: Machine, provider: Deadly, chance: random.Random) -> int:
    """Start a render, and end it at a random request or a random moment; return its exit code."""
    process = machine.start(*RENDER)
    if chance.random() < 0.7:
        provider.aim(process.pid, chance.randint(1, 14), after=chance.random() < 0.5)
    else:
        provider.aim(0, 0, after=False)
        time.sleep(chance.uniform(0.3, 1.2))  # in the middle of whatever it does
        process.kill()
    process.communicate(timeout=60)
    provider.aim(0, 0, after=False)
    return process.returncode


def entries(machine: Machine) -> Any:
    """Return what the lock has."""
    return json.loads((machine.work / "assets.lock").read_text(encoding="utf-8"))["assets"]


def test_killed_ten_times(tmp_path: Path, deadly: Deadly) -> None:
    """Ten kills at random points, and a run to the end: each asset was bought exactly once, and is there."""
    machine, chance = Machine(tmp_path, deadly), random.Random(1)  # noqa: S311 - the same kills every time
    manifest(machine, "rivya", NAMES)
    codes = [killed(machine, deadly, chance) for _ in range(KILLS)]
    assert -signal.SIGKILL in codes
    ended = machine.run(*RENDER)
    assert ended.code == 0, ended
    assert sorted(asked_for(order.body) for order in deadly.orders) == NAMES
    assert machine.files() == ["assets.lock", "assets.toml", *(f"{name}.png" for name in NAMES)]
    assert not any("open" in entry for entry in entries(machine).values())
    asked = len(deadly.seen)
    assert machine.run(*RENDER).code == 0
    assert len(deadly.seen) == asked


def test_killed_without_keys(tmp_path: Path, deadly: Deadly) -> None:
    """Where the provider knows no idempotency key, no asset is bought twice: what is not known is 9, and stays so."""
    machine, chance = Machine(tmp_path, deadly), random.Random(7)  # noqa: S311
    manifest(machine, "modelverse", NAMES)
    for _ in range(4):
        killed(machine, deadly, chance)
    ended = machine.run(*RENDER, "--timeout", "20s")
    bought = [asked_for(order.body) for order in deadly.orders]
    assert len(set(bought)) == len(bought)
    doubts = [name for name, entry in entries(machine).items() if entry.get("open")]
    assert ended.code == (9 if doubts else 0), ended
    assert {name for name in NAMES if name not in doubts} <= set(bought)
    assert all((machine.work / f"{name}.png").exists() for name in NAMES if name not in doubts)


def test_interrupted(tmp_path: Path, deadly: Deadly) -> None:
    """Ctrl-C saves the state and prints the command that continues; what was bought is collected by it."""
    machine = Machine(tmp_path, deadly)
    manifest(machine, "rivya", NAMES[:4])
    deadly.at_once = False
    deadly.hold("poll")
    process = machine.start(*RENDER, "--jobs", "2")
    until(deadly.reached["poll"].is_set, "a poll")
    process.send_signal(signal.SIGINT)
    ended: Ended = machine.end(process)
    deadly.let_go()
    assert ended.code == 128 + signal.SIGINT, ended
    assert "wan render assets.toml" in ended.err or "wan wait rivya:" in ended.err
    assert 1 <= len(deadly.orders) <= 2
    assert [entry["open"][0]["state"] for entry in entries(machine).values()] == ["pending"] * len(deadly.orders)
    assert not (machine.work / "assets.lock.journal").exists()
    deadly.at_once = True
    assert machine.run(*RENDER).code == 0
    assert sorted(asked_for(order.body) for order in deadly.orders) == NAMES[:4]
