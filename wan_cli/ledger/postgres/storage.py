"""Transactions in PostgreSQL: what one writes goes to the server in one piece, and is durable when it answers."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from wan_cli.errors import StateUnusable
from wan_cli.ledger import tasks
from wan_cli.ledger.database import Database, Dialect, Rows
from wan_cli.ledger.postgres import schema
from wan_cli.ledger.postgres.server import Connection, Server, is_idle, push
from wan_cli.models import Task
from wan_cli.record import from_document


def _more(doc: Mapping[str, Any]) -> tuple[Any, ...]:
    state = doc["state"]
    made = [file["sha256"] for file in state["files"]] if state["kind"] == "saved" else None
    return doc.get("expires_at"), doc.get("submitted_at"), made


DIALECT = Dialect(
    columns=("expires_at", "submitted_at", "made"),
    more=_more,
    number="%s",
    made=lambda sha256: ("made @> ?::text[]", ([sha256],)),
    # In the index's own order it would rather read all tasks from the newest on than look up the few that match.
    newest_of_them="created + 0 DESC",
    # Other machines give out ids at the same time: with 32**8 of them two renders of 10,000 rarely meet (1 in 10,000).
    id_lengths=(8,) * 8 + (10,) * 8,
)
"""A task's numbers are columns: its document may hold what PostgreSQL's JSON cannot (``\\u0000``, lone surrogates)."""


@functools.cache
def _translated(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def _kept(value: Any) -> Any:
    """Text in PostgreSQL has no NUL; a document writes it as an escape, and what is looked up does without."""
    return value.replace("\0", "\\0") if isinstance(value, str) and "\0" in value else value


class Storage:
    """A connection, made again before a call where it was lost."""

    def __init__(self, server: Server) -> None:
        """Connect; make or migrate the tables. Raises ``StateUnusable``."""
        self.dialect = DIALECT
        self.server = server
        self._within = False
        self._closed = False
        self._undo: list[Callable[[], None]] = []
        self._connection = server.connect()
        try:
            with server.translated("opened"):
                schema.prepare(self._connection, self.name)
        except BaseException:
            self._connection.close()
            raise

    @property
    def name(self) -> str:
        """The database's address, without user and password."""
        return self.server.name

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self._connection.close()

    def execute(self, sql: str, values: Any = (), /) -> Rows:
        """Run one statement with a value for each ``?``. Within a transaction it is only on its way."""
        found: Rows = self._connection.execute(_translated(sql), [_kept(value) for value in values])
        push(self._connection)
        return found

    @contextlib.contextmanager
    def reading(self) -> Iterator[Database]:
        """Give the connection for a question; what goes wrong becomes ``StateUnusable``."""
        with self.server.translated("read"):
            if not self._within:
                self._ready()
            yield self

    @contextlib.contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Database]:
        """Send what is written within as one transaction; it is ``durable`` at the end, or within a second of it.

        When anything is raised nothing was committed. Only when the connection is lost in the commit itself nobody
        knows; that is raised as well, so whoever asked takes it for not written.
        """
        with self.server.translated("written"):
            if self._within:
                yield self
                return
            connection = self._ready()
            self._within = True
            try:
                with connection.pipeline() as pipeline:
                    connection.execute("BEGIN")
                    if not durable:
                        connection.execute("SET LOCAL synchronous_commit = off")
                    yield self
                    ended = connection.execute("COMMIT")
                    pipeline.sync()
                if ended.statusmessage != "COMMIT":  # the server's word for a transaction that had failed before
                    raise StateUnusable(f"the ledger {self.name} cannot be written: it was rolled back")
            except BaseException:
                self._give_up(connection)
                raise
            finally:
                self._within = False
                self._undo.clear()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make everything that is written within one transaction, which goes to the server in one piece."""
        with self.writing():
            yield

    def or_else(self, undo: Callable[[], None]) -> None:
        """Call ``undo`` should the transaction under way come to nothing."""
        self._undo.append(undo)

    def tell(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Do nothing: the server's write-ahead log is the journal."""

    def alone(self, db: Database, what: str) -> None:
        """Let nobody else in who asks for the same until the transaction ends."""
        db.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, ?))", (what, schema.LOCK))

    def tasks(self, rest: str, values: Iterable[object] = ()) -> list[Task]:
        """Return the tasks of ``SELECT document FROM task`` + ``rest``."""
        with self.reading() as db:
            docs = list(tasks.documents(db, rest, values))
        try:
            return [from_document(json.loads(doc)) for doc in docs]
        except (ValueError, RecursionError) as error:
            message = f"the ledger {self.name} holds a task that this wan cannot read ({error})"
            raise StateUnusable(message, hint="upgrade wan on this machine, or restore the database") from error

    def made(self, prepare: Callable[[Connection, str], None]) -> None:
        """Let ``prepare`` make what lies in the same database beside the tables. Raises ``StateUnusable``."""
        with self.server.translated("opened"):
            prepare(self._ready(), self.name)

    def shorten(self) -> None:
        """Do nothing: there is nothing beside the database."""

    def scrub(self) -> None:
        """Do nothing: what becomes of old pages is the server's business."""

    def _ready(self) -> Connection:
        """Return the connection; a new one where it was lost, which is looked at as the first one was."""
        if self._closed:
            raise StateUnusable(f"the ledger {self.name} cannot be read: it was closed")
        if not is_idle(self._connection):
            fresh = self.server.connect(again=True)
            try:
                schema.prepare(fresh, self.name)
            except BaseException:
                fresh.close()
                raise
            self._connection = fresh
        return self._connection

    def _give_up(self, connection: Connection) -> None:
        """Roll back what is there to be rolled back; a connection that cannot even do that is no good."""
        for undo in reversed(self._undo):
            undo()
        try:
            if not connection.closed and connection.info.transaction_status is not TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
        except (psycopg.Error, OSError):
            connection.close()
