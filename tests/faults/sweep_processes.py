"""Real processes of wan under strace: killed, or refused by the system, at one call after the other.

A traced run without an injection counts the calls first; calls before the ledger is opened are the interpreter's own.
Every point has a machine and a provider of its own: raw sockets on loopback in front of the sandbox's contracts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from support_wire import Seen, Way, Wire
from sweep import KEY, Row, Table, judged, recorded

STRACE = shutil.which("strace")
FULL = os.environ.get("WAN_TEST_SWEEP") == "full"
"""Every point instead of a selection: ``WAN_TEST_SWEEP=full python -m pytest -s tests/faults -k sweep``."""
BY_PATH = frozenset({"openat", "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir"})
"""Calls that count where they name something of the machine."""
CALLS = (*sorted(BY_PATH), "connect", "sendto", "sendmsg", "recvfrom", "recvmsg", "fsync", "fdatasync", "pwrite64",
         "write", "ftruncate")  # fmt: skip
DENSE = 5
"""Calls from the purchase's first byte on that are always among the points: here a careless engine pays twice."""
PATIENCE_S = 60.0
AT_ONCE = 2

LAUNCH = """
import runpy
from wan_cli.engine import collect
collect.pause = lambda *_, **__: 0.01
%s
runpy.run_module("wan_cli", run_name="__main__", alter_sys=True)
"""
"""``python -m wan_cli`` with hardly a pause between polls."""
NAIVE = """
from dataclasses import replace
from wan_cli.engine import submit
from wan_cli.models import New
async def resume(engine, task):
    return await submit.submit(engine, replace(task, state=New()))
submit.resume = resume
"""
"""The engine that resends when in doubt: what the sweep has to find out about (reliability.md 4.9, third row)."""


def needs_strace() -> None:
    """Skip, visibly, where processes cannot be traced."""
    if STRACE is None:
        pytest.skip("strace is not installed")
    probe = subprocess.run([STRACE, "-f", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"processes cannot be traced here: {probe.stderr.strip()[:200]}")


@dataclass(frozen=True)
class Point:
    """The ``when``-th call of a name by the process, and what it was in the traced run."""

    call: str
    when: int
    shown: str
    place: int
    """Where it stands among all points."""

    def __str__(self) -> str:
        return f"{self.call} {self.when} ({self.shown[:60]})"


class Provider(Wire):
    """A provider to whom a request that was cut off is no request."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, time.time)
        self.world.latency = 0

    def _one(self, sock: Any, seen: Seen) -> bool:
        if len(seen.body) != int(seen.headers.get("content-length", "0")):
            return False
        return super()._one(sock, seen)


class Traced:
    """One machine, one provider, and the same call again and again."""

    def __init__(self, root: Path, way: Way, *, patch: str = "", state: Path | None = None) -> None:
        self.way = way
        self.root = root
        self.work = root / "work"
        self.work.mkdir(parents=True)
        self.state = state or root / "state"
        self.provider = Provider(root / "world")
        self.call = (*way.call(), "--idempotency-key", KEY)
        self.name = f"fox{way.ext}"
        self._launch = [sys.executable, "-c", LAUNCH % patch]
        self._env = {
            "PATH": os.environ["PATH"], "HOME": str(root / "home"), "WAN_STATE_DIR": str(self.state), "LANG": "C.UTF-8",
            "PYTHONPATH": str(Path(__file__).parent.parent.parent), "PYTHONDONTWRITEBYTECODE": "1",
        } | self.provider.env()  # fmt: skip

    def __enter__(self) -> Self:
        self.provider.__enter__()
        return self

    def __exit__(self, *how: object) -> None:
        self.provider.__exit__(*how)

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """Start a command line of wan whose words nobody listens to."""
        return subprocess.Popen(
            [*self._launch, *argv], cwd=self.work, env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, *argv: str, under: Iterable[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run a command line of wan, with ``under`` before it."""
        return subprocess.run(
            [*under, *self._launch, *argv], cwd=self.work, env=self._env, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

    def move_state(self, folder: Path) -> None:
        """Let the state folder be another one from now on."""
        self.state = folder
        self._env["WAN_STATE_DIR"] = str(folder)

    def injected(self, call: str, what: str) -> subprocess.CompletedProcess[str]:
        """Make the call while strace does ``what`` at a system call."""
        assert STRACE
        how = [STRACE, "-f", "-qq", "-o", os.devnull, f"--trace={call}", f"--inject={call}:{what}"]
        return self.run(*self.call, under=how)

    def traced(self, calls: Iterable[str] = CALLS) -> list[tuple[str, str]]:
        """Make the call once, whole, and return the system calls of its main thread: name and arguments."""
        assert STRACE
        trace = self.root / "trace"
        ran = self.run(*self.call, under=[STRACE, "-f", "-qq", "-y", "-o", str(trace), f"--trace={','.join(calls)}"])
        assert ran.returncode == 0, ran.stderr
        found = re.findall(r"(?m)^(\d+) +(\w+)\((.*)$", trace.read_text("utf-8", "replace"))
        return [(name, rest) for number, name, rest in found if number == found[0][0]]

    def points(self) -> list[Point]:
        """Return the points of a purchase from the first file of the ledger on."""
        counts: defaultdict[str, int] = defaultdict(int)
        found: list[Point] = []
        for name, rest in self.traced():
            counts[name] += 1
            ours = (str(self.work), str(self.state)) if found else str(self.state)
            named = any(path.startswith(ours) for path in re.findall(r'"([^"]*)"', rest))
            if named if name in BY_PATH else found:
                found.append(Point(name, counts[name], rest, len(found)))
        return found

    def again(self, point: str) -> Row:
        """Return what comes of making the call again, and of waiting where that is the hint."""
        ran = self.run(*self.call)
        if ran.returncode in (8, 12):
            ran = self.run("wait")
        states, hashes = recorded(self.state)
        return judged(
            point, ran.returncode, self.provider.purchases, work=self.work, states=states, hashes=hashes,
            names=(self.name,), said=ran.stderr,
        )  # fmt: skip


def selection(points: list[Point], most: int) -> list[Point]:
    """Return at most ``most`` points: both ends, the purchase, and first, last and some between of every call."""
    if FULL or len(points) <= most:
        return points
    kinds: defaultdict[str, list[Point]] = defaultdict(list)
    for point in points:
        kinds[point.call].append(point)
    bought = kinds["sendto"][0].place
    chosen = {points[0].place, points[-1].place, *range(bought, bought + DENSE)}
    for share in (0.0, 1.0, 0.5, 0.25, 0.75, 0.125):
        for found in kinds.values():
            if len(chosen) < most:
                chosen.add(found[round(share * (len(found) - 1))].place)
    return [points[place] for place in sorted(chosen)]


def swept(root: Path, way: Way, points: Iterable[Point], *, patch: str = "") -> Table:
    """Kill the call at every point, and make it again."""
    table = Table(str(way))

    def one(point: Point) -> Row:
        with ExitStack() as stack:
            machine = stack.enter_context(Traced(root / f"{point.call}-{point.when}", way, patch=patch))
            killed = machine.injected(point.call, f"signal=SIGKILL:when={point.when}")
            return machine.again(str(point) if killed.returncode == -9 else f"{point}: not come to")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        table.rows.extend(pool.map(one, points))
    return table


def points_of(root: Path, way: Way) -> list[Point]:
    """Return every point of a purchase."""
    with Traced(root / "counted", way) as machine:
        return machine.points()
