"""The ledger of several machines: who works on a task holds a lease on it, and what is stale is refused.

A worker is alive as long as it was heard of within :data:`LEASE_S`, by the server's clock. What a dead one held may be
taken over; then the task's ``fence`` grows, and nothing that the old owner still writes of it is taken: of two who
think that a task is theirs one at most can record a purchase, and nobody sends what is not recorded.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from wan_cli.dataclass import dataclass, replace
from wan_cli.errors import StateUnusable
from wan_cli.ledger import tasks
from wan_cli.ledger.database import Database
from wan_cli.ledger.owner import this_process
from wan_cli.ledger.postgres import pacing, schema
from wan_cli.ledger.postgres.schema import NOW
from wan_cli.ledger.postgres.server import Connection
from wan_cli.ledger.postgres.storage import Storage
from wan_cli.ledger.store import Ledger
from wan_cli.ledger.turns import Ask, Given, Limits
from wan_cli.models import Cancelled, Failed, New, Task

LEASE_S = 60.0
"""Seconds without a word after which a worker counts as dead, and what it held may be taken over."""
HEARTBEAT_S = LEASE_S / 6
"""How often a worker should be heard of: five words may be lost. A save says as much, no more often than that."""
REMEMBERED = 10_000
"""Tasks that were given back of which a worker still knows with which token it held them."""
FORGOTTEN_S = 86_400.0
"""Workers of which nothing was heard for a day are not listed any more."""

_ALIVE = f"EXISTS (SELECT FROM worker WHERE worker.id = task.worker AND worker.seen > {NOW} - ?)"


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that has or had tasks. ``age_s``: how long ago it was heard of; ``tasks``: how many it holds."""

    id: str
    host: str
    pid: int
    age_s: float
    tasks: int

    @property
    def alive(self) -> bool:
        """Does it still hold what it took?"""
        return self.age_s < LEASE_S


def is_unbought(task: Task) -> bool:
    """Tell whether nothing of a task was sent, or what was sent was certainly not taken."""
    state = task.state
    return task.charged == "no" and task.task_id is None and isinstance(state, New | Failed | Cancelled)


class SharedLedger(Ledger):
    """See :meth:`Ledger.open_url`. ``worker`` is the random name of this process among the workers."""

    _storage: Storage

    def __init__(
        self, storage: Storage, *, store_prompts: bool, clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Use :meth:`Ledger.open_url`."""
        super().__init__(storage, store_prompts=store_prompts, clock=clock)
        self.worker = secrets.token_hex(8)
        self._process = this_process()
        self._monotonic = monotonic
        self._heard: float | None = None
        self._tokens: dict[str, int] = {}
        self._given_back: dict[str, int] = {}

    def heartbeat(self) -> frozenset[str]:
        """Say that this worker is alive; call it every :data:`HEARTBEAT_S`, whether or not anything is saved.

        Returns the ids of tasks that it held and another one has taken over since: nothing may be done about them any
        more, and nothing that is saved of them will be taken. Raises ``StateUnusable`` also where a newer ``wan`` has
        changed the tables meanwhile.
        """
        with self._storage.writing() as db:
            self._say_alive(db)
            version = db.execute("SELECT version FROM about")
            lost = db.execute(
                "SELECT held.id FROM unnest(?::text[], ?::bigint[]) AS held (id, token)"
                " JOIN task ON task.id = held.id WHERE task.fence <> held.token",
                (list(self._tokens), list(self._tokens.values())),
            )
            found = frozenset(row[0] for row in lost.fetchall())
            if version.fetchone()[0] > len(schema.MIGRATIONS):
                message = f"a newer wan has changed the ledger {self.name}"
                raise schema.NewerWan(message, hint="upgrade this machine to the newest wan")
        return found

    def plan(self, task: Task) -> Task:
        """Write a purchase down that a worker is to make, or return the one that is there: one transaction.

        It is known by its ``user_key`` and item, whoever plans it on whichever machine. What nobody works on, and of
        which nothing was bought, becomes ``task``; anything else stays as it is.
        """
        with self._storage.writing() as db:
            self._storage.alone(db, f"{task.user_key}#{task.item}")
            which = "WHERE user_key = ? AND item = ? ORDER BY rowid DESC LIMIT 1"
            found = self._storage.tasks(which, (task.user_key, task.item))
            if not found:
                self._add(db, [task])
                return task
            (known,) = found
            free = f"SELECT 1 FROM task WHERE id = ? AND (worker IS NULL OR NOT {_ALIVE}) FOR NO KEY UPDATE"  # noqa: S608
            if not is_unbought(known) or db.execute(free, (known.id, LEASE_S)).fetchone() is None:
                return known
            (known,) = self._storage.tasks("WHERE id = ?", (known.id,))  # as it is now that the row is ours
            if not is_unbought(known):
                return known
            fresh = replace(task, id=known.id, created_at=known.created_at)
            tasks.upsert(db, self.document(fresh), self._clock(), self._storage.dialect)
            return fresh

    def take_over(
        self, limit: int, accounts: Sequence[tuple[str, str]] | None = None, but: Sequence[str] = ()
    ) -> list[Task]:
        """Become the owner of at most ``limit`` tasks that were begun and that nobody who is alive works on.

        ``accounts`` are the providers, each with the fingerprint of the key, of which tasks are taken; ``None``: of
        all. ``but`` are ids of tasks that are left alone.

        Oldest first: sending (which without a key is in doubt, and never sent again), pending, and done but not saved.
        Those of workers that died are among them a lease after their last word. Several workers that do this at once
        get different ones. Unknown tasks are left to a person, and planned ones to whoever planned them.
        """
        free = (
            f"SELECT id FROM task WHERE {tasks.IS_OPEN} AND kind IN ('sending', 'pending', 'done')"  # noqa: S608 - ours
            f" AND (worker IS NULL OR (worker <> ? AND NOT {_ALIVE}))"
            " AND id <> ALL(?::text[]) ORDER BY created, rowid LIMIT ?"
            " FOR NO KEY UPDATE SKIP LOCKED"
        )
        values: list[Any] = [self.worker, LEASE_S, list(but)]
        if accounts is not None:
            account = "(provider, coalesce(document::json ->> 'key_print', ''))"
            which = " IN (SELECT * FROM unnest(?::text[], ?::text[]))"
            free = free.replace(" ORDER BY", f" AND {account}{which} ORDER BY")
            values += [[provider for provider, _ in accounts], [print_ for _, print_ in accounts]]
        with self._storage.writing() as db:
            self._say_alive(db)
            names = [row[0] for row in db.execute(free, (*values, limit)).fetchall()]
            taken = self._own(db, names)
            return self._storage.tasks("WHERE id = ANY(?) ORDER BY created, rowid", (taken,))

    def workers(self) -> list[Worker]:
        """Return who works or did so within a day, the one heard of last first."""
        query = (
            f"SELECT id, host, pid, {NOW} - seen, (SELECT count(*) FROM task WHERE task.worker = worker.id"  # noqa: S608
            f" AND {tasks.IS_OPEN}) FROM worker ORDER BY seen DESC, id"
        )
        with self._storage.reading() as db:
            return [Worker(*row) for row in db.execute(query).fetchall()]

    def made(self, prepare: Callable[[Connection, str], None]) -> None:
        """Let ``prepare`` make what lies in the same database beside the ledger. Raises ``StateUnusable``."""
        self._storage.made(prepare)

    def unusable(self, error: BaseException) -> StateUnusable:
        """Return what an error of the database means that came beside the ledger's own connection."""
        return self._storage.server.unusable(error, "read")

    # -- limits that all workers share

    @property
    def limits(self) -> Limits:
        """What gives out turns: the ledger itself."""
        return self

    def turns(self, provider: str, key_print: str, ask: Ask) -> Given:
        """Take turns to send requests with that key; tell how the last ones went, and give them back.

        A turn of a worker that died ends with its lease. What the server forgets when it crashes is at most the last
        second of this, for which nothing waits for its disk.
        """
        with self._storage.writing(durable=False) as db:
            self._hear(db)
            return pacing.give(db, (provider, key_print), ask, worker=self.worker, lease_s=LEASE_S)

    # -- ownership

    def _take(self, db: Database, task_id: str, now: float) -> bool:  # noqa: ARG002 - the server's clock it is
        self._hear(db)
        there = db.execute("SELECT 1 FROM task WHERE id = ? FOR NO KEY UPDATE", (task_id,))
        if self._own(db, [task_id]):
            return True
        if there.fetchone() is None:
            raise StateUnusable(f"the task {task_id} is not in the ledger {self.name}", hint="wan status")
        return False

    def _own(self, db: Database, names: list[str]) -> list[str]:
        """Take those tasks that are free, of which this transaction has locked the rows; return their ids.

        The locks come first, in a statement of their own: this one then sees what others did before they let go, and
        above all that they are alive.
        """
        rows = db.execute(
            f"UPDATE task SET worker = ?, fence = fence + 1 WHERE id = ANY(?)"  # noqa: S608 - ours
            f" AND (worker IS NULL OR worker = ? OR NOT {_ALIVE}) RETURNING id, fence",
            (self.worker, names, self.worker, LEASE_S),
        ).fetchall()
        for name, token in rows:
            self._hold(name, token)
        return [name for name, _ in rows]

    def _renew(self, db: Database, task_id: str, now: float) -> None:  # noqa: ARG002
        if task_id in self._tokens:
            self._hear(db)

    def _drop(self, db: Database, task_id: str) -> None:
        token = self._tokens.get(task_id)
        if token is not None:
            db.execute("UPDATE task SET worker = NULL WHERE id = ? AND fence = ?", (task_id, token))
            self._hold(task_id, None)
            # What is still saved of it is taken as long as nobody else had it since.
            self._given_back[task_id] = token
            if len(self._given_back) > REMEMBERED:
                del self._given_back[next(iter(self._given_back))]

    def _guard(self, db: Database, task_id: str, *, attempt: int | None = None, created: float | None = None) -> None:
        token = self._tokens.get(task_id, self._given_back.get(task_id))
        values = (task_id, token, attempt, created)
        db.execute("SELECT permit(?, ?::bigint, ?::integer, ?::double precision)", values)

    def _hold(self, task_id: str, token: int | None) -> None:
        """Remember with which token the task is held, should the transaction be committed."""
        before = self._tokens.get(task_id)
        self._storage.or_else(lambda: self._set(task_id, before))
        self._set(task_id, token)

    def _set(self, task_id: str, token: int | None) -> None:
        if token is None:
            self._tokens.pop(task_id, None)
        else:
            self._tokens[task_id] = token

    def _hear(self, db: Database) -> None:
        """Say so where that was not done lately."""
        if self._heard is None or self._monotonic() - self._heard >= HEARTBEAT_S:
            self._say_alive(db)

    def _say_alive(self, db: Database) -> None:
        heard, before = self._monotonic(), self._heard
        if before is None:
            for table in ("worker", "batch"):
                db.execute(f"DELETE FROM {table} WHERE seen < {NOW} - ?", (FORGOTTEN_S,))  # noqa: S608 - ours
            for table in ("turn", "waiting"):
                gone = f"NOT EXISTS (SELECT FROM worker WHERE worker.id = {table}.worker)"
                db.execute(f"DELETE FROM {table} WHERE {gone}")  # noqa: S608 - ours
        values: tuple[Any, ...] = (self.worker, socket.gethostname(), self._process.pid, self._process.started)
        db.execute(
            f"INSERT INTO worker (id, host, pid, started, seen) VALUES (?, ?, ?, ?, {NOW})"  # noqa: S608 - ours
            " ON CONFLICT (id) DO UPDATE SET seen = excluded.seen",
            values,
        )
        self._storage.or_else(lambda: setattr(self, "_heard", before))
        self._heard = heard
