"""The crash sweep over the ledger of several machines: a worker killed at any point, and followed by another one.

Here processes really die: a child makes the call and kills itself, with SIGKILL, around what it says to the database
or to the provider. Then its lease runs out, and another worker makes the same call. ``-s`` shows the table, and
``WAN_TEST_SWEEP=full`` takes every point.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support_wire import WAYS, Way
from sweep import Bench, Table
from sweep_processes import FULL

from wan_cli.engine import Engine, submit
from wan_cli.ledger import Ledger
from wan_cli.models import New, Task
from wan_cli.sandbox.transport import InProcess

if TYPE_CHECKING:
    from support_postgres import PostgresServer

RIVYA, MODELVERSE = WAYS[:2]
FORK = multiprocessing.get_context("fork")
SAMPLE = 7
"""Points of a way that are taken in an ordinary run."""


@pytest.fixture(autouse=True)
def on_postgres(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every command use the shared ledger, as a worker does."""

    def opened(folder: Path, **how: Any) -> Ledger:
        return Ledger.open_url(postgres.url, **{name: how[name] for name in ("store_prompts", "clock") if name in how})

    monkeypatch.setattr(Ledger, "open", opened)


def watched(patch: pytest.MonkeyPatch, point: Callable[[str], None]) -> None:
    """Call ``point`` before each statement, before and after each commit, and around each request to the provider."""
    import psycopg

    execute, sync, handle = psycopg.Connection.execute, psycopg.Pipeline.sync, InProcess.handle_async_request

    def executed(connection: Any, sql: str, *rest: Any, **named: Any) -> Any:
        point(f"before {' '.join(sql.split()[:3])}")
        return execute(connection, sql, *rest, **named)

    def synced(pipeline: Any) -> None:
        point("before the commit arrives")
        sync(pipeline)
        point("after the commit")

    async def handled(wire: InProcess, request: Any) -> Any:
        point(f"before {request.method} {request.url.path}")
        try:
            return await handle(wire, request)
        finally:
            point(f"after {request.method} {request.url.path}")

    patch.setattr(psycopg.Connection, "execute", executed)
    patch.setattr(psycopg.Pipeline, "sync", synced)
    patch.setattr(InProcess, "handle_async_request", handled)


def run_until(bench: Bench, number: int | None) -> list[str]:
    """Make the call in a child that dies at that point; return the points that it came to."""
    told = FORK.SimpleQueue()

    def child() -> None:
        seen: list[str] = []

        def point(label: str) -> None:
            seen.append(label)
            if len(seen) - 1 == number:
                told.put(seen)
                os.kill(os.getpid(), signal.SIGKILL)

        with pytest.MonkeyPatch.context() as patch:
            watched(patch, point)
            bench.cli.run(*bench.call)
        told.put(seen)

    process = FORK.Process(target=child, daemon=True)
    process.start()
    found: list[str] = told.get()
    process.join(30)
    assert process.exitcode == (0 if number is None else -signal.SIGKILL)
    return found


def machine(tmp_path: Path, way: Way, name: str) -> Bench:
    """Return a machine with nothing on it."""
    place = tmp_path / name
    place.mkdir()
    return Bench(place, way)


def swept(tmp_path: Path, server: PostgresServer, way: Way, *, to_double: bool = False) -> Table:
    """Kill a worker at each point of a purchase, or at some, and let another one make the call."""
    points = run_until(machine(tmp_path, way, "all"), None)
    sent = next(number for number, label in enumerate(points) if "POST" in label)
    near = range(sent - 3, sent + 8)
    chosen = [n for n in range(len(points)) if FULL or n in near or n % max(1, len(points) // SAMPLE) == 0]
    table = Table(f"{way}, shared ledger, {len(points)} points")
    for number in chosen:
        server.clean()
        bench = machine(tmp_path, way, str(number))
        label = run_until(bench, number)[-1]
        if server.ask("SELECT to_regclass('wan.worker')::text") != [(None,)]:
            server.ask("UPDATE wan.worker SET seen = 0")
        table.rows.append(bench.again(f"{number} {label}"))
        if to_double and table.double:
            break
    print(f"\n{table}")  # noqa: T201 - what the sweep is run for
    return table


@pytest.mark.parametrize("way", [RIVYA, MODELVERSE], ids=str)
def test_a_killed_worker_is_followed_by_another_at_every_point(
    tmp_path: Path, postgres: PostgresServer, way: Way
) -> None:
    """Nothing is bought twice and nothing lost: one file of one purchase, or without a key an honest "unknown"."""
    table = swept(tmp_path, postgres, way)
    assert not table.wrong, table.wrong
    assert not table.double
    unknown = [row for row in table.rows if row.code == 9]
    assert (not unknown) if way.keyed else unknown


def test_the_sweep_finds_a_worker_that_resends(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that buys again from "sending" without a key pays twice, and the sweep says so: it can fail."""

    async def resume(engine: Engine, task: Task) -> Task:
        return await submit.submit(engine, replace(task, state=New()))

    monkeypatch.setattr(submit, "resume", resume)
    assert swept(tmp_path, postgres, MODELVERSE, to_double=True).double
