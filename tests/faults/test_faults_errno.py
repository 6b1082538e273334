"""A disk that is full, failing, read-only or not ours, at every call: nothing is bought, or what was bought is kept.

``WAN_TEST_SWEEP=full`` tries every errno at every call, and refuses every write of SQLite; ``-s`` shows the tables.
"""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from support_wire import WAYS, Way, every
from sweep import Bench, whole, without_syncs
from sweep_errno import Disk
from sweep_processes import AT_ONCE, FULL, Point, Traced, needs_strace, points_of

RIVYA, MODELVERSE, SYNC, _, BASE64, _ = WAYS


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync nothing in this process."""
    without_syncs(monkeypatch)


NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS)


@dataclass(frozen=True)
class End:
    """How a command line ended."""

    code: int
    err: str


@dataclass(frozen=True)
class Scene:
    """A machine whose disk refused something, and is well again: ``run`` makes a command line there."""

    call: tuple[str, ...]
    run: Callable[..., End]
    purchases: Callable[[], int]
    work: Path
    name: str

    def fault(self, ended: End, *, bought: int, refusal: int) -> str:
        """Return what is wrong with how the call ended under the fault, or with what can be made of it afterwards.

        ``refusal`` is the exit code of one that was refused before the purchase.
        """
        there = (self.work / self.name).exists()
        said = dict(re.findall(r"(?m)^(charged|hint): (.*)$", ended.err))
        if bought > 1:
            return f"{bought} purchases"
        if "a bug in wan" in ended.err or "Traceback" in ended.err:
            return ended.err
        if there and not whole(self.work / self.name):
            return "half a file under its final name"
        if ended.code == 0 and not (there and bought == 1):
            return f"exit 0 with {bought} purchases, {sorted(self.work.iterdir())}"
        if not bought and (ended.code, said.get("charged")) != (refusal, "no"):
            return f"exit {ended.code} before the purchase: {ended.err}"
        if ended.code and not said.get("hint"):
            return f"no hint: {ended.err}"
        return self.mended(ended)

    def mended(self, ended: End) -> str:
        """Do what the hints say, then make the call again; return what is wrong in the end."""
        told = re.findall(r"wan recover --import (\S+)", ended.err)
        if told and Path(told[-1]).exists():  # else the ledger took it after all
            read = self.run("recover", "--import", told[-1], *self.call[-1:])
            if read.code and "the ledger knows as much" not in read.err:
                return f"import: exit {read.code}: {read.err}"
        again = self.run(*self.call)
        if again.code in (8, 12):
            again = self.run("wait", *self.call[-1:])
        if again.code:
            return f"first exit {ended.code}, {ended.err}\nthen exit {again.code}: {again.err}"
        if self.purchases() != 1:
            return f"{self.purchases()} purchases in the end"
        if not whole(self.work / self.name):
            return f"in the end there are {sorted(self.work.iterdir())}"
        left = [path.name for path in self.work.iterdir() if path.name.endswith(".part")]
        return f"left behind: {left}" if left else ""


def show(name: str, calls: int, ends: Counter[str]) -> None:
    """Print a sweep's table, for ``-s``."""
    print(f"\n{name}: {calls} calls; {dict(sorted(ends.items()))}")  # noqa: T201 - what the sweep is run for


# -- the calls of wan itself, in this process


def refused(bench: Bench, disk: Disk) -> tuple[End, int]:
    """Make the purchase on a fresh machine with such a disk; return how it ended, and what was bought."""
    shutil.rmtree(bench.root)
    bench.cli.cwd.mkdir(parents=True)
    (bench.root / "tmp").mkdir()
    bench.cli.env["TMPDIR"] = str(bench.root / "tmp")
    with disk.turning():
        ran = bench.cli.run(*bench.call)
    return End(ran.code, ran.err), bench.purchases


def swept(
    bench: Bench, numbers: Callable[[int], Iterable[int]], *, both: bool = False, once: bool = False
) -> list[str]:
    """Refuse every call in turn (and those after it, unless ``once``); return what was wrong.

    ``numbers`` are the errnos for a call. With ``both``, state and target are on one disk.
    """
    areas = (bench.root / "state", bench.root / "work")

    def run(*argv: str) -> End:
        ran = bench.cli.run(*argv)
        return End(ran.code, ran.err)

    scene = Scene(bench.call, run, lambda: bench.purchases, bench.cli.cwd, bench.names[0])
    calls = (whole_run := Disk(areas)).calls
    refused(bench, whole_run)
    assert len(calls) > 20, calls
    wrong, ends = [], Counter[str]()
    for at, (name, path) in enumerate(calls):
        own = areas if both else tuple(area for area in areas if path.is_relative_to(area))
        before = sum(any(earlier.is_relative_to(area) for area in own) for _, earlier in calls[:at])
        for number in numbers(at):
            ended, bought = refused(bench, Disk(own, before, number, once))
            ends[f"exit {ended.code}, charged {bought}"] += 1
            if fault := scene.fault(ended, bought=bought, refusal=3 if path.is_relative_to(areas[0]) else 2):
                wrong.append(f"{errno.errorcode[number]} at {name} {path.relative_to(bench.root)}: {fault}")
    show(str(bench.way), len(calls), ends)
    return wrong


def test_s01_s02_s03_s04_s05_every_errno_at_every_call(tmp_path: Path) -> None:
    """Whatever the system refuses from any call on: no purchase, or one whose result is brought in once it is well."""

    def numbers(at: int) -> Iterable[int]:
        return NUMBERS if FULL else NUMBERS[at % 5 :][:1]

    assert not swept(Bench(tmp_path, MODELVERSE), numbers)


@every((RIVYA, BASE64, *([SYNC] if FULL else [])))
def test_s01_s02_s03_a_disk_that_is_full_from_any_call_on(tmp_path: Path, way: Way) -> None:
    """State and result on one disk that fills up at any call: the same, with a key, and where the answer is all."""
    assert not swept(Bench(tmp_path, way), lambda _: [errno.ENOSPC], both=True)


@every((MODELVERSE,))
def test_s05_one_call_that_fails(tmp_path: Path, way: Way) -> None:
    """A single EIO at any call is survived likewise."""
    assert not swept(Bench(tmp_path, way), lambda _: [errno.EIO], once=True)


def test_s02_quiet_leaves_out_no_recovery_file(tmp_path: Path) -> None:
    """With -q the command that reads the recovery file is said nevertheless, for nothing else names it."""
    bench = Bench(tmp_path, MODELVERSE)
    state = (bench.root / "state",)
    refused(bench, whole_run := Disk(state))
    bench.call = (*bench.call, "-q")
    ended, bought = refused(bench, Disk(state, len(whole_run.calls) - 3, errno.ENOSPC))
    assert (ended.code, bought) == (0, 1), ended
    (said,) = ended.err.splitlines()
    assert said.startswith("warning: the ledger could not be written, so: wan recover --import ")
    assert bench.cli.run(*said.partition("wan ")[2].split(), "-q").code == 0
    assert bench.purchases == 1


# -- the calls of SQLite


def cases(points: list[Point]) -> list[tuple[Point, str]]:
    """Return the writes of SQLite that are refused, each with its errno: a selection, or in the full sweep all."""
    writes = [(point, "ENOSPC") for point in points if point.call == "pwrite64" and "/state/" in point.shown]
    syncs = [(point, "EIO") for point in points if point.call in ("fdatasync", "fsync") and "/state/" in point.shown]
    if FULL:
        return writes + syncs
    making = (n for n, (point, _) in enumerate(writes) if re.search(r"/\.ledger\.db\.[\w-]+-wal>", point.shown))
    copied = (n for n in range(next(making), len(writes)) if "-wal>" not in writes[n][0].shown)
    first = writes[next(copied)]  # a ledger that is being made comes out of its log
    return [first, *(found[len(found) * share // 6] for found in (writes, syncs) for share in (0, 3, 4, 5))]


@every((MODELVERSE,))
@pytest.mark.timeout(3600)
def test_s01_s02_s05_a_write_of_sqlite_that_is_refused(tmp_path: Path, way: Way) -> None:
    """SQLite that cannot write or sync from any call on: no purchase, or one whose result is brought in afterwards."""
    needs_strace()
    points = cases(points_of(tmp_path, way))

    def one(case: tuple[Point, str]) -> tuple[str, str]:
        point, number = case
        with Traced(tmp_path / f"{point.call}-{point.when}", way) as machine:

            def run(*argv: str) -> End:
                ran = machine.run(*argv)
                return End(ran.returncode, ran.stderr)

            ran = machine.injected(point.call, f"error={number}:when={point.when}+")
            bought = machine.provider.purchases
            scene = Scene((*machine.call, "-q"), run, lambda: machine.provider.purchases, machine.work, machine.name)
            fault = scene.fault(End(ran.returncode, ran.stderr), bought=bought, refusal=3)
            return f"exit {ran.returncode}, charged {bought}", f"{number} at {point}: {fault}" if fault else ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(one, points))
    show(str(way), len(points), Counter(end for end, _ in found))
    assert not [fault for _, fault in found if fault]


# -- a real disk that is full

SIZE = 512
"""KiB of the disk; a new ledger and one purchase take about half."""
FILL = """
mount -t tmpfs -o size=${SIZE}k,mode=0700 tmpfs "$DISK" || exit 99
dd if=/dev/zero of="$DISK/filler" bs=1024 count=$((SIZE - FREE)) 2>/dev/null
"$@"
code=$?
rm "$DISK/filler"
cp -a "$DISK/." "$KEPT"
exit $code
"""
"""Runs a command while a disk of its own has so many KiB free; what it leaves there is copied out."""


def needs_mount() -> None:
    """Skip, visibly, where no file system can be mounted."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    tried = subprocess.run(probe, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no file system can be mounted here: {tried.stderr.strip()[:200]}")


def filled(root: Path, free: int, *, state: bool) -> tuple[str, str]:
    """Buy with state or target on a disk with so many KiB free; return the end, and what is wrong once it is well."""
    disk, kept = root / "disk", root / "kept"
    for folder in (root, disk, kept):
        folder.mkdir(mode=0o700)
    under = [
        "unshare",
        "-m",
        "env",
        f"DISK={disk}",
        f"KEPT={kept}",
        f"SIZE={SIZE}",
        f"FREE={free}",
        "sh",
        "-c",
        FILL,
        "sh",
    ]
    with Traced(root / "machine", MODELVERSE, state=disk if state else None) as machine:
        call = (*machine.call, "-q") if state else (*machine.call, "-o", str(disk / machine.name), "-q")

        def run(*argv: str) -> End:
            ran = machine.run(*argv)
            return End(ran.returncode, ran.stderr)

        ran = machine.run(*call, under=under)
        assert ran.returncode != 99, ran.stderr
        if state:
            machine.move_state(kept)
        else:
            assert not list(kept.glob("*")) or whole(kept / machine.name)
        bought = machine.provider.purchases
        scene = Scene(call, run, lambda: machine.provider.purchases, machine.work if state else disk, machine.name)
        if not state and ran.returncode == 0:
            return "exit 0", ""
        fault = scene.fault(End(ran.returncode, ran.stderr), bought=bought, refusal=3 if state else 2)
        return f"exit {ran.returncode}, charged {bought}", fault


@pytest.mark.timeout(600)
def test_s01_s02_a_real_disk_that_is_full_under_the_ledger(tmp_path: Path) -> None:
    """However much is free: nothing is bought, or the one purchase is collected once there is room."""
    needs_mount()
    frees = range(0, SIZE, 8) if FULL else (0, 100, 190, 220, 400)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda free: filled(tmp_path / str(free), free, state=True), frees))
    show("state on a full disk", len(found), Counter(end for end, _ in found))
    assert not [fault for _, fault in found if fault]
    assert (found[0][0], found[-1][0]) == ("exit 3, charged 0", "exit 0, charged 1")


@pytest.mark.timeout(600)
def test_s03_a_real_disk_that_is_full_under_the_result(tmp_path: Path) -> None:
    """The picture has no room: nothing of it stays, exit 12, and it is collected once there is room."""
    needs_mount()
    end, fault = filled(tmp_path / "0", 0, state=False)
    assert (end, fault) == ("exit 12, charged 1", "")
