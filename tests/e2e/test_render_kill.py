"""A render that is killed again and again, here and on other machines, buys every asset once."""

from __future__ import annotations

import importlib.util
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support_cli import picture
from support_port import Server

import wan_cli

ASSETS, KILLS = 16, 10
PATIENCE_S = 60.0
pytestmark = pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="uvicorn is not installed")


def plain(_prompt: str, width: int, height: int, **_details: Any) -> bytes:
    """Stand in for the sandbox's drawing."""
    return picture(width, height)


class Project:
    """A manifest of many assets, and machines on which it is rendered."""

    def __init__(self, root: Path, server: Server, provider: str) -> None:
        self.root, self.server = root, server
        self.folder = root / "project"
        self.folder.mkdir()
        rows: list[Any] = [{"defaults": {"provider": provider, "size": "1K", "output": "art/{id}{ext}"}}]
        rows += [{"id": f"a{number:02}", "prompt": f"picture {number}"} for number in range(ASSETS)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / "assets.jsonl").write_text(text, encoding="utf-8")

    def start(self, machine: str) -> subprocess.Popen[str]:
        """Begin a render; another machine has another state folder, and the project."""
        env = {
            **self.server.env, "PATH": "/usr/bin:/bin", "HOME": str(self.root / "home"), "PYTHONWARNINGS": "error",
            "WAN_STATE_DIR": str(self.root / machine), "PYTHONPATH": str(Path(wan_cli.__file__).parents[1]),
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "wan_cli", "render", "assets.jsonl", "--yes", "--jobs", "4", "-q"],
            cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def kill(self, machine: str, more: int) -> None:
        """Render until so many more purchases were taken, and end the process there and then."""
        wanted = min(ASSETS, self.server.purchases + more)
        process = self.start(machine)
        ends = time.monotonic() + PATIENCE_S
        while self.server.purchases < wanted and process.poll() is None:
            assert time.monotonic() < ends
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_ten_kills_and_one_purchase_each(tmp_path: Path) -> None:
    """Killed ten times at random points on three machines in turn, and run to its end, each asset was charged once.

    Only the project goes from one machine to the next: what the lock holds is enough.
    """
    chance = random.Random(7)  # noqa: S311 - the points at which it is killed
    with Server(tmp_path / "port", draw=plain, latency=0.05) as server:
        project = Project(tmp_path, server, "rivya")
        for number in range(KILLS):
            project.kill(f"machine{number % 3}", chance.randint(1, 2))
        out, err = (last := project.start("machine0")).communicate(timeout=PATIENCE_S)
        assert last.returncode == 0, (out, err)
        assert server.purchases == ASSETS
        made = {one.name for one in (project.folder / "art").iterdir()}
        # what a machine that was killed had begun to fetch is its own to remove: no other can tell that it is dead
        assert {name for name in made if not (name[0] == "." and name.endswith(".part"))} == {
            f"a{number:02}.png" for number in range(ASSETS)
        }
        assert not (project.folder / "assets.lock.journal").exists()
        again = project.start("machine1")
        assert again.communicate(timeout=PATIENCE_S)[0] == ""
        assert again.returncode == 0
        assert server.purchases == ASSETS
