"""The crash sweep: a purchase that is killed at every point where the disk or the provider changes, and then run again.

In this process nothing is killed: one purchase runs to its end, and before each call that changes something (and in the
middle of each write) the whole machine is copied: state folder, working folder, the provider's books. A copy is what
``kill -9`` would have left at that point, byte for byte, for no ``finally`` has run in it. Then the same call is made
on each copy, by what counts as another process. Real processes are killed with strace in :mod:`sweep_processes`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conformance import filmed
from PIL import Image
from support_cli import Cli
from support_wire import Way

from wan_cli.ledger import Ledger, local
from wan_cli.ledger.owner import Owner, this_process
from wan_cli.sandbox import World
from wan_cli.sandbox.transport import InProcess

KEY = "night-1"
"""A step of CI that is retried is the same call with the same ``--idempotency-key``."""
CALLS = ("open", "write", "fsync", "link", "replace", "rename", "unlink", "ftruncate", "mkdir", "chmod", "fchmod")
"""The functions of :mod:`os` through which wan changes files; SQLite's own are seen by statement."""
NOBODY = 2**22 + 1
"""No process has this number: Linux counts to 2**22 (proc_sys_kernel(5), pid_max)."""


def whole(path: Path) -> bool:
    """Tell whether a result is complete."""
    try:
        if path.suffix == ".mp4":
            return path.read_bytes()[4:8] == b"ftyp" and b"mdat" in path.read_bytes()
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError):
        return False
    return True


@dataclass(frozen=True)
class Row:
    """What came of one point: exit code, purchases at the provider, and what is wrong with it (nothing, one hopes)."""

    point: str
    code: int
    purchases: int
    wrong: str = ""


@dataclass
class Table:
    """The rows of one sweep."""

    name: str
    rows: list[Row] = field(default_factory=list)

    @property
    def double(self) -> list[Row]:
        """Points after which the provider was paid twice."""
        return [row for row in self.rows if row.purchases > 1]

    @property
    def wrong(self) -> list[Row]:
        """Points after which anything promised did not hold."""
        return [row for row in self.rows if row.wrong]

    def __str__(self) -> str:
        kinds = Counter(
            "double" if row.purchases > 1 else "wrong" if row.wrong else f"rc {row.code}, charged {row.purchases}"
            for row in self.rows
        )
        return f"{self.name}: {len(self.rows)} points; " + "; ".join(f"{k}: {n}" for k, n in sorted(kinds.items()))


def judged(
    point: str, code: int, purchases: int, *, work: Path, states: list[str], hashes: set[str], names: tuple[str, ...],
    said: str = "",
) -> Row:  # fmt: skip
    """Hold what a crash and its repeats left against what is promised (reliability.md 4.9).

    ``names`` are the files that belong there, the result first; ``states`` what the ledger says of its tasks.
    """
    name, files = names[0], sorted(path.name for path in work.iterdir())
    wrong = []
    if purchases > 1:
        wrong.append(f"{purchases} purchases")
    if code == 0:
        if files != sorted(names):
            wrong.append(f"files {files}")
        elif not whole(work / name):
            wrong.append("half a file under its final name")
        elif hashlib.sha256((work / name).read_bytes()).hexdigest() not in hashes:
            wrong.append("a hash that the ledger does not know")
        if purchases != 1:
            wrong.append(f"exit 0 with {purchases} purchases")
    elif code == 9:
        if files:
            wrong.append(f"files {files}")
        if states != ["unknown"]:
            wrong.append(f"exit 9 with {states}")
    else:
        wrong.append(f"exit {code}: {said}")
    return Row(point, code, purchases, "; ".join(wrong))


def recorded(state: Path) -> tuple[list[str], set[str]]:
    """Return the kinds of the tasks in a ledger, and the sha256 of each file that it knows."""
    with Ledger.open(state) as ledger:
        tasks = ledger.recent()
    return [task.state.kind for task in tasks], {
        file.sha256 for task in tasks for file in getattr(task.state, "files", ())
    }


# -- in this process


@dataclass
class Recorder:
    """Copies the machine at each point where it may have changed; a copy like the one before is not kept."""

    root: Path
    store: Path
    clock: Callable[[], float]
    points: list[tuple[str, Path, float]] = field(default_factory=list)
    seen: int = 0
    _last: str = ""
    _busy: bool = False

    def point(self, label: str) -> None:
        """Take a copy, unless nothing changed, or the provider's own thread is at work: that is another machine."""
        if self._busy or threading.current_thread() is not threading.main_thread():
            return
        self._busy = True
        try:
            self.seen += 1
            found = digest(self.root)
            if found != self._last:
                self._last = found
                place = self.store / str(len(self.points))
                shutil.copytree(self.root, place)
                self.points.append((label, place, self.clock()))
        finally:
            self._busy = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See every call that changes a file, every SQL statement and every request, before and after."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self._watched(name, getattr(os, name)))
            patch.setattr(os, "write", self._torn(os.write))
            opened = sqlite3.connect
            patch.setattr(sqlite3, "connect", lambda *place, **how: self._traced(opened(*place, **how)))
            handle = InProcess.handle_async_request

            async def handled(wire: InProcess, request: Any) -> Any:
                self.point(f"before {request.method} {request.url.path}")
                try:
                    return await handle(wire, request)
                finally:
                    self.point(f"after {request.method} {request.url.path}")

            patch.setattr(InProcess, "handle_async_request", handled)
            here = this_process()
            patch.setattr(local, "this_process", lambda boot: Owner(NOBODY, "1", here.boot, here.space))
            yield
        self.point("the end")

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self.point(f"{name} {args[0] if args else ''}")
            return real(*args, **named)

        return call

    def _torn(self, write: Callable[[int, bytes], int]) -> Callable[[int, bytes], int]:
        """A write is no single step: its first half may be on disk alone."""

        def call(descriptor: int, data: bytes) -> int:
            half = len(data) // 2
            done = write(descriptor, data[:half]) if half else 0
            self.point(f"half of write {descriptor}")
            return done + write(descriptor, data[done:])

        return call

    def _traced(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        connection.set_trace_callback(lambda sql: self.point(f"sql {' '.join(sql.split()[:3])}"))
        return connection


def digest(root: Path) -> str:
    """Return a hash of everything below ``root`` that survives a process (the index of a WAL is made anew)."""
    found = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if not path.name.endswith("-shm"):
            found.update(f"{path.relative_to(root)}\0{path.stat().st_mode}\0".encode())
            if path.is_file():
                found.update(path.read_bytes())
    return found.hexdigest()


class Bench:
    """A machine in one folder, whose sandbox is the provider, and which can be put back to any copy of itself."""

    def __init__(self, tmp_path: Path, way: Way, *call: str, names: tuple[str, ...] = ()) -> None:
        self.way = way
        self.root = tmp_path / "machine"
        self.root.mkdir()
        self.copies = tmp_path / "copies"
        self.cli = Cli(self.root)
        self.cli.env["WAN_STATE_DIR"] = str(self.root / "state")
        self.cli.world = {"latency": 1, "film": filmed}
        self.call = (*(call or way.call()), "--idempotency-key", KEY, "--sandbox")
        self.names = names or (f"fox{way.ext}",)

    @property
    def purchases(self) -> int:
        """How often the provider was paid."""
        return len(World(self.root / "state" / "sandbox" / "world").purchases())

    def record(self, place: str = "first") -> list[tuple[str, Path, float]]:
        """Make the call, and return a copy of the machine at every point of it: what it was, the copy, the time."""
        recorder = Recorder(self.root, self.copies / place, self.cli.clock)
        with recorder.watching():
            self.cli.run(*self.call)
        return recorder.points

    def put_back(self, copy: Path, now: float) -> None:
        """Let the machine be as it was."""
        shutil.rmtree(self.root)
        shutil.copytree(copy, self.root)
        self.cli.clock.now = now

    def sweep(self, *, first: tuple[str, ...] = (), later: float = 0.0, to_double: bool = False) -> Table:
        """Make the call again at every point of a purchase, ``later`` seconds after it; ``first`` comes before.

        ``to_double`` ends with the first point after which the provider was paid twice.
        """
        table = Table(str(self.way))
        for label, copy, now in self.record():
            self.put_back(copy, now + later)
            if first:
                self.cli.run(*first)
            table.rows.append(self.again(label))
            if to_double and table.double:
                break
        return table

    def sweep_twice(self) -> Table:
        """Crash around the purchase, make the call again, crash at every point of that, and make it once more."""
        table = Table(f"{self.way}, twice")
        points = self.record()
        bought = next(n for n, point in enumerate(points) if point[0].startswith("after POST"))
        for n, (first, copy, now) in enumerate(points[bought : bought + 2]):
            self.put_back(copy, now)
            for second, later_copy, later in self.record(f"again-{n}"):
                self.put_back(later_copy, later)
                table.rows.append(self.again(f"{first}, then {second}"))
        return table

    def again(self, label: str) -> Row:
        """Return what comes of making the call again, and of waiting where that is the hint."""
        ran = self.cli.run(*self.call)
        if ran.code in (8, 12):
            ran = self.cli.run("wait", "--sandbox")
        _, hashes = recorded(self.root / "state" / "sandbox")
        states = [task["state"] for task in self.cli.run("status", "--json", "--sandbox").json["tasks"]]
        return judged(
            label, ran.code, self.purchases, work=self.cli.cwd, states=states, hashes=hashes, names=self.names,
            said=ran.err,
        )  # fmt: skip


def without_syncs(patch: pytest.MonkeyPatch) -> None:
    """Leave out what only a power failure could tell: in this process every write is seen at once anyway."""
    opened = sqlite3.connect
    patch.setattr(sqlite3, "connect", lambda *place, **how: opened(*place, **how, factory=_Unsynced))
    patch.setattr(os, "fsync", lambda _: None)


class _Unsynced(sqlite3.Connection):
    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous=FULL", "synchronous=OFF"), *values)
