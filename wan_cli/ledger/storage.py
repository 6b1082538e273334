"""Database and journal as one: transactions that are journaled first, and the mending of what a crash left."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from wan_cli.ledger import folder, schema, tasks
from wan_cli.ledger.database import Database
from wan_cli.ledger.faults import damaged, translated
from wan_cli.ledger.journal import Entry, Journal, answers_first
from wan_cli.models import Task
from wan_cli.record import from_document


class Storage:
    """The two files of a ledger, open. ``clock`` gives seconds since the epoch."""

    def __init__(self, place: Path, clock: Callable[[], float]) -> None:
        """Open the files in ``place``, made where they are not there. Raises ``StateUnusable``."""
        self.path = place / "ledger.db"
        self.journal = Journal(place / "journal.jsonl")
        self._clock = clock
        self._untold: list[Entry] | None = None
        self.dialect = tasks.SQLITE
        with translated(self.path, self.journal.path, "opened"):
            folder.prepare(place)
            folder.inspect(self.journal.path)
            self.db = schema.connect(self.path, self.journal.path)
        try:
            self._start()
        except BaseException:
            self.db.close()
            raise

    def _start(self) -> None:
        with translated(self.path, self.journal.path, "opened"):
            self.journal.create()
        # Finds out whether it can be written at all, and catches up with the journal.
        with self.writing():
            pass

    @property
    def name(self) -> str:
        """The database's path."""
        return str(self.path)

    def close(self) -> None:
        """Close the files. What was written is durable already."""
        self.db.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; what goes wrong becomes ``StateUnusable``."""
        with translated(self.path, self.journal.path, "read"):
            yield self.db

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock; commit at the end, or nothing at all when anything is raised.

        Within :meth:`together` it is a part of that transaction, and durable when that is.
        """
        with translated(self.path, self.journal.path, "written"):
            if self._untold is not None:
                yield self.db
                return
            self.db.execute("BEGIN IMMEDIATE")
            begin: int | None = None
            try:
                self._catch_up()
                begin = self.journal.size()
                yield self.db
                self._note_size()
                self.db.execute("COMMIT")
            except BaseException:
                self._give_up(begin)
                raise

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make everything that is written within one transaction, with one sync of the journal and one commit."""
        with self.writing():
            self._untold = []
            try:
                yield
                untold = self._untold
            finally:
                self._untold = None
            if untold:
                self.journal.append(answers_first(untold))

    def tell(self, entries: Iterable[Entry]) -> None:
        """Write lines of the transaction that is under way into the journal, synced before it commits."""
        if self._untold is None:
            self.journal.append(entries)
        else:
            self._untold += entries

    def alone(self, db: Database, what: str) -> None:
        """Do nothing: whoever writes holds the write lock of the whole ledger."""

    def shorten(self) -> None:
        """Write the journal anew, without what is no longer in the database. Runs inside a write transaction."""
        self.journal.rewrite(self.snapshot())

    def scrub(self) -> None:
        """Empty the write-ahead log, which still has old pages. A reader in the way leaves it to the next one."""
        with self.reading() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _give_up(self, begin: int | None) -> None:
        """Take back what a transaction did; its lines go while the write lock keeps others from adding theirs.

        A full disk makes SQLite roll back by itself (sqlite.org/lang_transaction.html, 2.2): the lock is taken anew.
        """
        with contextlib.suppress(sqlite3.Error, OSError):
            if not self.db.in_transaction:
                self.db.execute("BEGIN IMMEDIATE")
            if begin is not None:
                self.journal.take_back(begin)
        with contextlib.suppress(sqlite3.Error):
            self.db.execute("ROLLBACK")

    def tasks(self, rest: str, values: Iterable[object] = ()) -> list[Task]:
        """Return the tasks of ``SELECT document FROM task`` + ``rest``."""
        with self.reading():
            docs = list(tasks.documents(self.db, rest, values))
        try:
            return [from_document(json.loads(doc)) for doc in docs]
        except (ValueError, RecursionError) as error:
            raise damaged(self.path, self.journal.path, error) from error

    def snapshot(self) -> Iterator[Entry]:
        """Yield an entry for each task as the database has it, oldest first: the shortest journal there can be."""
        now = self._clock()
        for doc in tasks.documents(self.db, "ORDER BY created, rowid"):
            yield {"at": now, "task": json.loads(doc)}

    def _catch_up(self) -> None:
        """Mend what a process that died, or a full disk, left between journal and database.

        The database knows how long the journal was at its last commit. Lines beyond that were synced and not
        committed, or the database is an older one that somebody put back: an answer among them (a task's id at the
        provider, say) is taken over, and so is "sending", for the request may have left. Only a "new" task is not. A
        journal that is shorter was lost, or is of a prune that was not committed: it is written again.
        """
        known, actual = self._noted_size(), self.journal.size()
        if actual < known:
            self.journal.rewrite(self.snapshot())
        elif actual > known:
            for entry in self.journal.entries(after=known):
                if "task" not in entry:
                    self.db.executemany("DELETE FROM task WHERE id = ?", [(gone,) for gone in entry["forget"]])
                elif entry["task"]["state"]["kind"] != "new":
                    tasks.upsert(self.db, entry["task"], entry["at"])

    def _noted_size(self) -> int:
        return int(self.db.execute("SELECT size FROM journal").fetchone()[0])

    def _note_size(self) -> None:
        actual = self.journal.size()
        if actual != self._noted_size():
            self.db.execute("UPDATE journal SET size = ?", (actual,))
