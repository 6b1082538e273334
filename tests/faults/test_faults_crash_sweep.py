"""Killed at any point and run again: never two purchases, never a lost or half result (reliability.md 4.9).

In this process every point is swept; of real processes a selection, and with ``WAN_TEST_SWEEP=full`` every system call.
``-s`` shows the tables.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support_wire import UNKEYED, WAYS, Way, every
from sweep import Bench, Table, without_syncs
from sweep_processes import FULL, NAIVE, needs_strace, points_of, selection, swept

from wan_cli.engine import Engine, submit
from wan_cli.models import New, Task

RIVYA, MODELVERSE, AT_ONCE, _, BASE64, _ = WAYS
SAMPLE = 12
"""Points of a way that are killed in an ordinary run, 1 s each."""
PROCESSES = (RIVYA, MODELVERSE, BASE64, *([AT_ONCE] if FULL else []))


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync nothing in this process."""
    without_syncs(monkeypatch)


def shown(table: Table) -> None:
    """Print a sweep's table, for ``-s``."""
    print(f"\n{table}")  # noqa: T201 - what the sweep is run for


@every()
def test_p01_p02_p03_p04_p05_p12_the_same_call_after_a_crash_at_every_point(tmp_path: Path, way: Way) -> None:
    """After a crash at any point the same call ends with the one file of one purchase, or says honestly: unknown.

    With a key there is no doubt at all; without one only a purchase that was under way is in doubt.
    """
    table = Bench(tmp_path, way).sweep()
    shown(table)
    assert not table.wrong
    assert len(table.rows) > 30
    unknown = [row for row in table.rows if row.code == 9]
    assert (len(unknown) == 0) if way.keyed else (0 < len(unknown) < 8)
    assert {row.purchases for row in unknown} <= {0, 1}


@every(WAYS if FULL else (MODELVERSE,))
def test_p01_p02_p03_p04_p05_waiting_first_after_a_crash_at_every_point(tmp_path: Path, way: Way) -> None:
    """``wan wait`` after the crash, and then the same call: waiting never buys, and the call still buys once."""
    table = Bench(tmp_path, way).sweep(first=("wait", "--sandbox"))
    shown(table)
    assert not table.wrong


def test_p02_a_key_is_not_trusted_for_ever_after_a_crash(tmp_path: Path) -> None:
    """An hour after the crash even a keyed purchase that was under way is unknown, and never sent again."""
    table = Bench(tmp_path, RIVYA).sweep(later=3600.0)
    shown(table)
    assert not table.wrong
    assert {row.purchases for row in table.rows if row.code == 9} == {0, 1}


@every(WAYS if FULL else (RIVYA, MODELVERSE))
def test_p02_p03_a_crash_in_the_call_after_a_crash(tmp_path: Path, way: Way) -> None:
    """Killed around the purchase, and killed again at any point of the call that takes it up: the same still holds."""
    table = Bench(tmp_path, way).sweep_twice()
    shown(table)
    assert not table.wrong
    assert len(table.rows) > 10
    assert not way.keyed or all(row.code == 0 for row in table.rows)


def test_p05_a_crash_around_the_second_file_of_a_result(tmp_path: Path) -> None:
    """With a label in the picture and a sidecar beside it the same holds: both files in the end, and nothing else."""
    call = (*RIVYA.call(), "--sidecar", "--embed")
    table = Bench(tmp_path, RIVYA, *call, names=("fox.png", "fox.png.json")).sweep()
    shown(table)
    assert not table.wrong


@every(UNKEYED if FULL else (MODELVERSE, BASE64))
def test_the_sweep_finds_an_engine_that_resends(tmp_path: Path, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that buys again from "sending" without a key pays twice, and the sweep says so: it can fail."""

    async def resume(engine: Engine, task: Task) -> Task:
        return await submit.submit(engine, replace(task, state=New()))

    monkeypatch.setattr(submit, "resume", resume)
    table = Bench(tmp_path, way).sweep(to_double=True)
    shown(table)
    assert table.double


@every(PROCESSES)
@pytest.mark.timeout(3600)
def test_p01_p02_p03_p04_p05_p12_a_process_killed_at_a_system_call(tmp_path: Path, way: Way) -> None:
    """A process that is killed with SIGKILL at a system call, and started again, pays once and delivers, or asks."""
    needs_strace()
    points = points_of(tmp_path, way)
    assert len(points) > 60
    table = swept(tmp_path, way, selection(points, SAMPLE))
    shown(table)
    assert not table.wrong
    assert not way.keyed or all(row.code == 0 for row in table.rows)


def test_the_sweep_of_processes_finds_an_engine_that_resends(tmp_path: Path) -> None:
    """Killed where it waits for the purchase's answer, a process of the naive engine pays twice."""
    needs_strace()
    answers = [point for point in points_of(tmp_path, MODELVERSE) if point.call == "recvfrom"]
    table = swept(tmp_path, MODELVERSE, answers[:2], patch=NAIVE)
    shown(table)
    assert table.double
