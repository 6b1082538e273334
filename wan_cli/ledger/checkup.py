"""A look at a ledger that changes nothing, for ``wan doctor``: also at one that cannot be opened any more."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from wan_cli.dataclass import dataclass, field
from wan_cli.errors import StateUnusable
from wan_cli.ledger import schema, tasks
from wan_cli.ledger.faults import REPAIR, damaged, translated
from wan_cli.ledger.journal import BEFORE_SENDING, Story, replay
from wan_cli.models import Task
from wan_cli.record import from_document

Condition = Literal["absent", "whole", "damaged", "newer", "foreign", "unusable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What was found. ``error`` says what is wrong with the database, and what to do.

    ``tasks`` are those of the database, or of the journal where that cannot be read. ``strays`` are the ids about
    which the two disagree although they should not. ``bad_lines`` are the journal's lines, from 1, that nobody can
    read; ``unread`` says why the journal as a whole cannot be read. ``late`` says that the last transaction was cut
    off: the next command mends that.
    """

    condition: Condition
    database: Path
    journal: Path
    error: StateUnusable | None = None
    tasks: tuple[Task, ...] = ()
    strays: tuple[str, ...] = ()
    bad_lines: tuple[int, ...] = ()
    unread: str = ""
    late: bool = False


@dataclass(slots=True)
class Content:
    """What a database holds: its tasks' documents by id, and how long the journal was at its last commit."""

    docs: dict[str, Any] = field(default_factory=dict)
    noted: int = 0


def check(place: Path) -> Checkup:
    """Look at the ledger in ``place``. Nothing is made or mended there, and no error is raised."""
    database, journal = place / "ledger.db", place / "journal.jsonl"
    story, unread = _told(journal)
    content, condition = Content(), _condition(database, journal)
    error: StateUnusable | None = None
    if condition == "whole":
        try:
            content = read(database, journal)
        except StateUnusable as found:
            condition, error = _named(found), found
    elif condition == "damaged":
        why = "it is empty" if database.exists() else "it is gone while its journal is there"
        error = damaged(database, journal, why)
    seen = Checkup(
        condition=condition, database=database, journal=journal, error=error, unread=unread,
        bad_lines=tuple(story.damaged), tasks=_tasks([entry["task"] for entry in story.last.values()]),
    )  # fmt: skip
    return seen if condition != "whole" else _compared(seen, content)


def read(database: Path, journal: Path) -> Content:
    """Read a database through and through, without changing it. Raises ``StateUnusable`` for one with any damage."""
    with translated(database, journal, "read"), _opened(database) as db:
        schema.examine(db, database, journal, thorough=True)
        texts = list(tasks.documents(db, "ORDER BY created, rowid"))
        noted = int(db.execute("SELECT size FROM journal").fetchone()[0])
    try:
        docs = [json.loads(text) for text in texts]
        return Content({from_document(doc).id: doc for doc in docs}, noted)
    except (ValueError, RecursionError) as error:
        raise damaged(database, journal, error) from error


def _condition(database: Path, journal: Path) -> Condition:
    """Say what can be told without opening anything."""
    try:
        size = database.stat().st_size
    except FileNotFoundError:
        written = journal.exists() and journal.stat().st_size > 0
        return "damaged" if written else "absent"
    except OSError:
        return "whole"  # reading it says what stands in the way
    return "whole" if size else "damaged"


def _named(error: StateUnusable) -> Condition:
    if isinstance(error, schema.Newer):
        return "newer"
    if isinstance(error, schema.Foreign):
        return "foreign"
    return "damaged" if error.hint == REPAIR else "unusable"


def _told(journal: Path) -> tuple[Story, str]:
    try:
        return replay(journal), ""
    except FileNotFoundError:
        return Story(), ""
    except OSError as error:
        return Story(), error.strerror or str(error)


def _tasks(docs: list[Any]) -> tuple[Task, ...]:
    return tuple(sorted(map(from_document, docs), key=lambda task: task.created_at))


def differing(story: Story, docs: Mapping[str, Any]) -> set[str]:
    """Return the tasks of which the journal says something else than the database's documents.

    Not those that it leaves planned or being sent: when such a commit fails, nothing is sent, and the line stays.
    """
    return {
        name for name, entry in story.last.items()
        if docs.get(name) != entry["task"] and entry["task"]["state"]["kind"] not in BEFORE_SENDING
    }  # fmt: skip


def _compared(seen: Checkup, content: Content) -> Checkup:
    """Hold the database against the journal as it was at the last commit: the two say the same then."""
    strays: set[str] = set()
    late = False
    if not seen.unread and seen.journal.exists():
        actual = seen.journal.stat().st_size
        late = actual != content.noted
        if actual >= content.noted and not seen.bad_lines:
            story = replay(seen.journal, until=content.noted)
            strays = differing(story, content.docs) | (content.docs.keys() - story.last.keys())
    return Checkup(
        condition="whole", database=seen.database, journal=seen.journal, tasks=_tasks(list(content.docs.values())),
        strays=tuple(sorted(strays)), bad_lines=seen.bad_lines, unread=seen.unread, late=late,
    )  # fmt: skip


@contextlib.contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Open for reading. One without a write-ahead log is opened as usual, which leaves no new files beside it.

    With a log it is opened read-only, since the last to close would write that into the database. Where the folder
    takes no files, which both ways need, it is taken as it is, without the log.
    """
    log = schema.log_of(database)
    mode = "ro" if log.exists() and log.stat().st_size else "rw"
    address = database.absolute().as_uri()
    try:
        db = _connected(f"{address}?mode={mode}")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        db = _connected(f"{address}?mode=ro&immutable=1")
    with contextlib.closing(db):
        yield db


def _connected(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, timeout=schema.BUSY_S, isolation_level=None)
    try:
        db.execute("PRAGMA query_only=ON")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        db.close()
        raise
    return db
