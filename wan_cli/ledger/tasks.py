"""The table of tasks: a JSON document each, and the columns that are looked up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from wan_cli.errors import UsageError
from wan_cli.ledger.database import Database, Dialect
from wan_cli.record import Document

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base32: no i, l, o or u. 32 characters, so that five bits of any byte are one."""

FINISHED = ("saved", "failed", "cancelled", "lost")
_UNFINISHED = ("sending", "pending", "done", "unknown")

IS_OPEN = f"(kind IN {_UNFINISHED} OR (kind = 'new' AND charged <> 'no'))"
IS_FINISHED = f"kind IN {FINISHED}"

_CANDIDATES = 10
"""Tasks that are listed when a prefix fits several."""

_COLUMNS = ("id", "kind", "provider", "task_id", "user_key", "item", "charged", "created", "finished", "document")

RECENT = (
    f"WHERE rowid IN (SELECT rowid FROM (SELECT rowid FROM task WHERE {IS_OPEN}"  # noqa: S608 - ours
    " ORDER BY created DESC, rowid DESC LIMIT ?) AS open UNION ALL SELECT rowid FROM (SELECT rowid FROM task"
    f" WHERE NOT {IS_OPEN} ORDER BY created DESC, rowid DESC LIMIT ?) AS rest)"
    f" ORDER BY {IS_OPEN} DESC, created DESC, rowid DESC LIMIT ?"
)
"""Open tasks first, and each kind newest first: the open ones are few, the others are taken from an index's end.

The limit is asked for three times.
"""

_MADE = (
    "instr(document, ?) AND EXISTS (SELECT 1 FROM json_each(document, '$.state.files') WHERE value ->> '$.sha256' = ?)"
)
"""The first condition is quick, and the second one sure."""

SQLITE = Dialect(
    # Most transitions change no more: columns that stay as they are cost no entry in their indexes.
    update=(
        "UPDATE task SET kind = ?, charged = ?, finished = ?, document = ? WHERE id = ? AND provider = ?"
        " AND task_id IS ? AND user_key IS ? AND item = ? AND created = ?"
    ),
    number="json_extract(document, '$.%s')",
    made=lambda sha256: (_MADE, (f'"sha256":"{sha256}"', sha256)),
    # Eight collisions in a row mean that six characters are crowded.
    id_lengths=(6,) * 8 + (8,) * 8,
)
"""A ledger of one machine."""


@functools.cache
def _statements(dialect: Dialect) -> tuple[str, str]:
    columns = (*_COLUMNS, *dialect.columns)
    insert = f"INSERT INTO task ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - ours
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns[1:])
    return insert, f"{insert} ON CONFLICT (id) DO UPDATE SET {changes}"


def insert(db: Database, doc: Mapping[str, Any], at: float, dialect: Dialect = SQLITE) -> None:
    """Add a task that is not there; ``at`` is now. Raises the database's error for one that is."""
    db.execute(_statements(dialect)[0], (*_row(doc, at), *dialect.more(doc)))


def upsert(db: Database, doc: Mapping[str, Any], at: float, dialect: Dialect = SQLITE) -> None:
    """Put a task's document, whether it is there or not; ``at`` is when it reached this state."""
    row = name, kind, provider, task_id, user_key, item, charged, created, finished, document = _row(doc, at)
    same = name, provider, task_id, user_key, item, created
    if dialect.update is None or not db.execute(dialect.update, (kind, charged, finished, document, *same)).rowcount:
        db.execute(_statements(dialect)[1], (*row, *dialect.more(doc)))


def _row(doc: Mapping[str, Any], at: float) -> tuple[Any, ...]:
    kind = doc["state"]["kind"]
    finished = (doc.get("finished_at") or at) if kind in FINISHED else None
    return (
        doc["id"], kind, doc["provider"], doc.get("task_id"), doc.get("user_key"), doc["item"], doc["charged"],
        doc["created_at"], finished, doc.text if isinstance(doc, Document) else Document(doc).text,
    )  # fmt: skip


def documents(db: Database, rest: str, values: Iterable[object] = ()) -> Iterator[str]:
    """Yield the documents of ``SELECT document FROM task`` + ``rest`` (SQL of ours, never anyone's text)."""
    return (row[0] for row in db.execute(f"SELECT document FROM task {rest}", tuple(values)))  # noqa: S608 - ours


def concerns(db: Database, dialect: Dialect) -> list[tuple[str, str, str, float | None, float | None]]:
    """Return id, kind, provider, ``expires_at`` and ``submitted_at`` (epoch s) of what is bought, or may be."""
    return db.execute(
        f"SELECT id, kind, provider, {dialect.number % 'expires_at'}, {dialect.number % 'submitted_at'}"  # noqa: S608
        " FROM task WHERE kind IN ('unknown', 'pending', 'done') ORDER BY created, rowid"
    ).fetchall()


def find_id(db: Database, name: str) -> str:
    """Return the local id that ``name`` means: itself, or the one id that begins so.

    Raises ``UsageError`` when there is none, or when there are several (the message lists them, newest first).
    """
    if db.execute("SELECT 1 FROM task WHERE id = ?", (name,)).fetchone():
        return name
    rows = db.execute(
        "SELECT id, kind FROM task WHERE id >= ? AND id < ? ORDER BY created DESC, rowid DESC",
        (name.lower(), f"{name.lower()}\U0010ffff"),
    ).fetchall()
    if not name or not rows:
        raise no_such(name)
    if len(rows) > 1:
        shown = ", ".join(f"{found} ({kind})" for found, kind in rows[:_CANDIDATES])
        more = f" and {len(rows) - _CANDIDATES} more" if len(rows) > _CANDIDATES else ""
        msg = f"{name!r} fits {len(rows)} tasks: {shown}{more}"
        raise UsageError(msg, hint="give more characters of the id")
    return str(rows[0][0])


def free_id(
    db: Database, given: Collection[str], entropy: Callable[[int], bytes], lengths: Iterable[int]
) -> str | None:
    """Return an id that no task has and that is not among ``given``; ``lengths`` has one for each try."""
    for length in lengths:
        candidate = "".join(ALPHABET[byte % len(ALPHABET)] for byte in entropy(length))
        if candidate not in given and not db.execute("SELECT 1 FROM task WHERE id = ?", (candidate,)).fetchone():
            return candidate
    return None


def no_such(name: str) -> UsageError:
    """Return the error for a name that fits no task here."""
    return UsageError(f"no task {name!r} on this machine", hint="wan status")
