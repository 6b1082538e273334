"""The line beside the shared ledger, and what a queue asks of the ledger itself: plans, takeovers, one look for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from wan_cli.errors import StateUnusable
from wan_cli.ledger import Ledger
from wan_cli.models import Failed, Job, New, Pending, State, Target, Task

pytest.importorskip("procrastinate")

from wan_cli.ledger.postgres import line as lines
from wan_cli.ledger.postgres.line import Job as Place
from wan_cli.ledger.postgres.line import Line, queue_name
from wan_cli.ledger.postgres.roster import Roster

if TYPE_CHECKING:
    from support_postgres import PostgresServer

    from wan_cli.ledger.postgres.shared import SharedLedger

REFUSED = Failed(code="rejected", message="no", charged="no")


def a_task(name: str, state: State | None = None, **changes: Any) -> Task:
    task = Task(
        id=name, provider="rivya", origin="https://rivya.ai", provider_model="m", token=f"wan-{name}",
        job=Job(verb="generate", provider="rivya", model="wan2.7-image", prompt="a fox"), user_key="k",
        target=Target(template="/out/{id}{ext}"), created_at=1_000.0, state=state or New(),
    )  # fmt: skip
    return replace(task, **changes)


@pytest.fixture
def one(postgres: PostgresServer) -> Iterator[SharedLedger]:
    """Open the ledger as a render does."""
    with Ledger.open_url(postgres.url) as opened:
        yield opened


@pytest.fixture
def two(one: SharedLedger, postgres: PostgresServer) -> Iterator[SharedLedger]:
    """Open it as a worker does."""
    with Ledger.open_url(postgres.url) as opened:
        yield opened


def at_the_line(ledger: SharedLedger, url: str, work: Callable[[Line], Awaitable[Any]]) -> Any:
    """Let ``work`` be done at the line."""

    async def there() -> Any:
        lines.ready(ledger)
        async with Line(ledger, url, durable=False) as line:
            return await work(line)

    return asyncio.run(there())


def test_jobs_wait_once_and_are_taken_in_order(one: SharedLedger, postgres: PostgresServer) -> None:
    """What waits already is not put in twice; each job is one worker's; what is done or gone is no error."""

    async def work(line: Line) -> None:
        await line.put([Place("a", "q"), Place("b", "q")])
        await line.put([Place("b", "q"), Place("c", "q"), Place("a", "q")])
        taken = [*await line.fetch(["q", "other"], 2), *await line.fetch(["q"], 9)]
        assert [job.task for job in taken] == ["a", "b", "c"]
        first, second, third = taken
        line.done(first)
        await line.tidy()
        await line.tidy()
        await line.back(first)
        await line.put([Place("b", "q")])
        await line.back(second)
        await line.back(third, after_s=60)
        assert Roster(one).lengths() == {"q": 2}
        assert [job.task for job in await line.fetch(["q"], 9)] == ["b"]

    at_the_line(one, postgres.url, work)


def test_jobs_that_others_put_there_meanwhile(
    one: SharedLedger, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where renders put the same in at once, each job is there once."""

    async def nothing(self: Line, tasks: list[str]) -> set[str]:
        return set()

    async def work(line: Line) -> None:
        await line.put([Place("a", "q")])
        monkeypatch.setattr(Line, "_waiting", nothing)
        await line.put([Place("a", "q"), Place("b", "q")])

    at_the_line(one, postgres.url, work)
    assert Roster(one).lengths() == {"q": 2}


def test_jobs_of_the_dead(one: SharedLedger, postgres: PostgresServer) -> None:
    """The jobs of a worker of which nothing was heard for a lease are found by the others."""

    async def work(line: Line) -> list[str]:
        await line.put([Place("a", "q")])
        await line.fetch(["q"], 1)
        assert await line.stalled() == []
        postgres.ask("UPDATE wan_queue.procrastinate_workers SET last_heartbeat = now() - interval '61 s'")
        return [job.task for job in await line.stalled()]

    assert at_the_line(one, postgres.url, work) == ["a"]


def test_a_line_whose_database_is_away(one: SharedLedger, postgres: PostgresServer) -> None:
    """What the line cannot do is told as what the ledger cannot do; afterwards it goes on."""

    async def work(line: Line) -> None:
        await line.put([Place("a", "q")])
        postgres.stop()
        line._connector._pool_args["timeout"] = line._connector.pool.timeout = 0.3  # nothing is there to wait for
        try:
            with pytest.raises(StateUnusable):
                await line.fetch(["q"], 1)
        finally:
            postgres.start()
        line._connector.pool.timeout = 10
        assert await line.fetch(["q"], 1)

    at_the_line(one, postgres.url, work)


def test_names_of_queues_fit_a_channel() -> None:
    """PostgreSQL's channels have 63 bytes, of which Procrastinate takes 23."""
    name = queue_name("0123456789abcdef", "a-provider-with-a-long-name", "https://x.example")
    assert len(name) <= 40
    assert name != queue_name("0123456789abcdef", "a-provider-with-a-long-name", "https://y.example")


def test_a_plan_is_written_once(one: SharedLedger, two: SharedLedger, postgres: PostgresServer) -> None:
    """A purchase is known by key and item; only what nobody holds, and nothing was bought of, is planned anew."""
    assert one.plan(a_task("a")).id == "a"
    assert two.plan(a_task("b")).id == "a"
    assert two.plan(a_task("c", item=2)).id == "c"
    other = a_task("d", target=Target(template="/new"))
    assert two.plan(other).target == other.target
    assert one.get("a").target == other.target
    one.claim("a")
    assert two.plan(a_task("e")).target == other.target
    one.save(replace(one.get("a"), state=REFUSED))
    one.release("a")
    assert two.plan(a_task("e")).state == New()
    one.claim("a")
    one.save(replace(one.get("a"), state=Pending(task_id="t"), task_id="t", charged="yes"))
    assert two.plan(a_task("e")).state.kind == "pending"
    postgres.ask("UPDATE wan.worker SET seen = seen - 61")
    assert two.plan(a_task("e")).state.kind == "pending"


def test_a_takeover_of_what_a_worker_can_do(one: SharedLedger, two: SharedLedger) -> None:
    """Tasks of other providers and keys, and those that are named, are left to others."""
    pending = Pending(task_id="t")
    one.add([
        a_task("a", pending, key_print="mine"), a_task("b", pending, key_print="other"),
        a_task("c", pending, provider="modelverse", key_print="mine"), a_task("d", pending, key_print="mine"),
    ])  # fmt: skip
    assert [task.id for task in two.take_over(9, [("rivya", "mine")], ["d"])] == ["a"]
    assert [task.id for task in two.take_over(9)] == ["b", "c", "d"]


def test_one_look_for_all_tasks(one: SharedLedger, two: SharedLedger) -> None:
    """A look brings what changed since the last one, and whether somebody alive holds it."""
    roster = Roster(one)
    one.add([a_task("a"), a_task("b")])
    first = {seen.task.id: seen for seen in roster.changed({"a": "", "b": "", "gone": ""})}
    assert set(first) == {"a", "b"}
    known = {name: seen.mark for name, seen in first.items()}
    assert roster.changed(known) == []
    assert roster.idle(["a", "b"]) == {"a", "b"}
    two.claim("a")
    (seen,) = roster.changed(known)
    assert (seen.task.id, seen.held) == ("a", True)
    assert roster.idle(["a", "b"]) == {"b"}
    assert roster.states() == {}
