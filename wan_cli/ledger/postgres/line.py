"""The line that workers take tasks from: Procrastinate's tables, in a schema of their own beside the ledger.

It tells workers that there is something to do, and nothing else: what a task is, who works on it and what was bought
stands in the ledger. So it may be lost, and what is in it twice or in vain costs nothing: whoever takes a job claims
its task first. The next ``wan render --queue`` puts back what is missing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from wan_cli.dataclass import dataclass
from wan_cli.errors import StateUnusable
from wan_cli.ledger.postgres import shared
from wan_cli.ledger.postgres.schema import LOCK

if TYPE_CHECKING:
    from wan_cli.ledger.postgres.server import Connection
    from wan_cli.ledger.postgres.shared import SharedLedger

SCHEMA = "wan_queue"
TASK = "wan.make"
"""What every job is called; its one argument is the id of a task of the ledger."""
OPEN_S = 10.0
POOL = 4
"""Connections of one process at most."""
MOST = 1_000
"""Jobs that leave the line in one statement."""


@dataclass(frozen=True, slots=True)
class Job:
    """A place in the line: the task's id, and which of the queues."""

    task: str
    queue: str
    id: int = 0


def queue_name(mark: str, provider: str, origin: str) -> str:
    """Return the queue of what a manifest buys at a provider; 40 bytes at most, for it names a channel of NOTIFY."""
    digest = hashlib.sha256(f"{provider}|{origin}".encode()).hexdigest()[:8]
    return f"{mark[:12]}.{provider[:12]}.{digest}"


def newest_schema() -> str:
    """Return the version of Procrastinate's tables: its newest migration."""
    from procrastinate.schema import SchemaManager

    return max(path.stem for path in Path(SchemaManager.get_migrations_path()).glob("*.sql"))


def ready(ledger: SharedLedger) -> None:
    """Make the tables where they are not there. Raises ``ConfigInvalid`` without the extra, ``StateUnusable``."""
    newest_schema()
    ledger.made(prepare)


def prepare(connection: Connection, name: str) -> None:
    """Make the tables where they are not there. Raises ``StateUnusable`` for those of another version or program."""
    from procrastinate.schema import SchemaManager

    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        there = connection.execute(
            "SELECT count(*) FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace"
            " WHERE nspname = %s AND relkind IN ('r', 'p', 'v')",
            (SCHEMA,),
        ).fetchone()
        row = connection.execute("SELECT procrastinate FROM wan.line").fetchone()
        if there is not None and there[0]:
            _same_version(row, name)
            return
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        connection.execute(f"SET LOCAL search_path = {SCHEMA}")
        connection.execute(SchemaManager.get_schema().encode())
        connection.execute("DELETE FROM wan.line")
        connection.execute("INSERT INTO wan.line VALUES (%s)", (newest_schema(),))


def _same_version(row: tuple[Any, ...] | None, name: str) -> None:
    if row is None:
        message = f"{name} has a schema {SCHEMA} that is no queue of wan; nothing was made or changed there"
        raise StateUnusable(message, hint="use another database: createdb wan")
    if row[0] != (here := newest_schema()):
        raise StateUnusable(
            f"the queue in {name} has Procrastinate's tables of {row[0]}, and the one that is installed has {here}",
            hint="install the same procrastinate on every machine; or stop all workers, then DROP SCHEMA "
            f"{SCHEMA} CASCADE: the tasks are in the ledger, and the next wan render --queue lines them up again",
        )


class Line:
    """One process at the line. Methods raise ``StateUnusable`` where the database does not answer."""

    def __init__(self, ledger: SharedLedger, url: str, *, durable: bool) -> None:
        """Use tables that :func:`ready` made. ``durable``: what is put there survives a crash of the server at once."""
        from procrastinate import PsycopgConnector
        from procrastinate.manager import JobManager

        for name in ("procrastinate", "psycopg.pool"):
            logging.getLogger(name).addHandler(logging.NullHandler())
        self._ledger = ledger
        self._settings = {"search_path": SCHEMA, "synchronous_commit": "on" if durable else "off"}
        self._connector = PsycopgConnector(
            conninfo=url, min_size=1, max_size=POOL, timeout=OPEN_S, configure=self._configure,
            kwargs={"prepare_threshold": None, "application_name": "wan queue"},
        )  # fmt: skip
        self._manager = JobManager(self._connector)
        self._worker: int | None = None
        self._done: list[int] = []

    async def _configure(self, connection: Any) -> None:
        calls = ", ".join(["set_config(%s, %s, false)"] * len(self._settings))
        await connection.execute(f"SELECT {calls}", [word for pair in self._settings.items() for word in pair])
        await connection.commit()

    async def __aenter__(self) -> Self:
        """Connect."""
        async with self._translated():
            await self._connector.open_async()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave the line, where this is a worker, and disconnect."""
        with contextlib.suppress(StateUnusable):
            await self.tidy()
            if self._worker is not None:
                async with self._translated():
                    await self._manager.unregister_worker(self._worker)
        await self._connector.close_async()

    async def put(self, jobs: Sequence[Job]) -> None:
        """Put jobs in the line; those that wait there already stay where they are."""
        from procrastinate.exceptions import AlreadyEnqueued

        new = list(jobs)
        async with self._translated():
            for _ in range(2):
                try:
                    await self._defer(new)
                except AlreadyEnqueued:
                    waiting = await self._waiting([job.task for job in new])
                    new = [job for job in new if job.task not in waiting]
                else:
                    return
            for job in new:  # others put some of them there meanwhile
                with contextlib.suppress(AlreadyEnqueued):
                    await self._defer([job])

    async def _defer(self, jobs: Sequence[Job]) -> None:
        from procrastinate.jobs import Job as Deferred

        if jobs:
            await self._manager.batch_defer_jobs_async([
                Deferred(
                    queue=job.queue, lock=None, queueing_lock=job.task, task_name=TASK, task_kwargs={"task": job.task}
                ) for job in jobs
            ])  # fmt: skip

    async def _waiting(self, tasks: list[str]) -> set[str]:
        rows = await self._connector.execute_query_all_async(
            "SELECT queueing_lock FROM procrastinate_jobs WHERE status = 'todo' AND queueing_lock = ANY(%(tasks)s)",
            tasks=tasks,
        )
        return {row["queueing_lock"] for row in rows}

    # -- a worker

    async def beat(self) -> None:
        """Say that this worker is alive, and forget those of which nothing was heard for a lease."""
        async with self._translated():
            if self._worker is None:
                self._worker = await self._manager.register_worker()
            await self._manager.update_heartbeat(self._worker)

    async def fetch(self, queues: Iterable[str], most: int) -> list[Job]:
        """Take the next jobs of these queues, ``most`` of them, which nobody else gets then."""
        from procrastinate import sql
        from procrastinate.jobs import Job as Deferred

        if self._worker is None:
            await self.beat()
        # Procrastinate's own statement as often as wanted, in one: each call has to look different to the planner.
        once = sql.queries["fetch_job"].strip().rstrip(";").replace("%(worker_id)s", "(%(worker_id)s + 0 * turn)")
        often = "SELECT job.* FROM generate_series(1, %(most)s) AS turn, LATERAL"
        query = f"{often} ({once}) AS job WHERE job.id IS NOT NULL"
        async with self._translated():
            rows = await self._connector.execute_query_all_async(
                query, queues=list(queues), worker_id=self._worker, most=most
            )
        return [_job(Deferred.from_row(row)) for row in rows]

    def done(self, job: Job) -> None:
        """Let a job be taken out of the line: what becomes of its task is in the ledger.

        That is done with the next :meth:`tidy`. Where this process dies before, somebody looks at the task in vain.
        """
        self._done.append(job.id)

    async def tidy(self) -> None:
        """Take the jobs that are done out of the line."""
        ids = self._done[:MOST]
        if ids:
            async with self._translated():
                await self._connector.execute_query_async(
                    "DELETE FROM procrastinate_jobs WHERE id = ANY(%(ids)s) AND status = 'doing'", ids=ids
                )
            del self._done[: len(ids)]

    async def back(self, job: Job, *, after_s: float = 0.0) -> None:
        """Put a job back in the line, for whoever comes after so many seconds."""
        from procrastinate.exceptions import UniqueViolation

        when = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=after_s)
        try:
            async with self._translated(gone=True):
                await self._manager.retry_job_by_id_async(job.id, retry_at=when)
        except UniqueViolation:  # it is there once more already
            self.done(job)

    async def stalled(self) -> list[Job]:
        """Return the jobs of workers that are dead."""
        async with self._translated():
            await self._manager.prune_stalled_workers(shared.LEASE_S)  # their jobs are nobody's from here on
            found = await self._manager.get_stalled_jobs(seconds_since_heartbeat=shared.LEASE_S)
        return [_job(one) for one in found]

    @contextlib.asynccontextmanager
    async def _translated(self, *, gone: bool = False) -> AsyncIterator[None]:
        """Turn what goes wrong into ``StateUnusable``; ``gone``: another worker may have seen to the job before."""
        import psycopg
        from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, UniqueViolation

        try:
            yield
        except (AlreadyEnqueued, UniqueViolation):
            raise
        except (ConnectorException, psycopg.Error, OSError) as error:
            cause = error.__cause__ if isinstance(error, ConnectorException) else error
            if gone and isinstance(cause, psycopg.errors.RaiseException):
                return
            raise self._ledger.unusable(cause or error) from error


def _job(found: Any) -> Job:
    return Job(str(found.task_kwargs.get("task")), found.queue, found.id)
