"""What can still be read of a damaged database, row by row, from a copy of it."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wan_cli.dataclass import dataclass, field
from wan_cli.ledger import schema
from wan_cli.record import from_document

HEADER = 100
"""Bytes at the beginning of every SQLite file (sqlite.org/fileformat2.html, section 1.3): ours are all alike."""

_COLUMNS = {
    "task": ("document",),
    "attempt": ("task", "n", "at", "body", "body_sha256", "verdict", "http_status", "raw"),
    "upload": ("sha256", "provider", "origin", "key_print", "at", "url", "file_id", "duration_token", "expires_at"),
    "journal": ("size",),
    "claim": ("pid", "started", "boot", "space", "at"),
}
_BEYOND = 1_000
"""Rows that are tried beyond the last readable one."""
_MOST_GAPS = 10_000
"""Rows between the two readable ends of a table that are asked for one by one."""


@dataclass(slots=True, kw_only=True)
class Salvage:
    """Documents by the task's id, rows of attempts, uploads and claims, the journal's size at the last commit.

    ``whole`` names the tables that were read from end to end.
    """

    docs: dict[str, Any] = field(default_factory=dict)
    attempts: list[tuple[Any, ...]] = field(default_factory=list)
    uploads: list[tuple[Any, ...]] = field(default_factory=list)
    claims: list[tuple[Any, ...]] = field(default_factory=list)
    noted: int | None = None
    whole: set[str] = field(default_factory=set)


def salvage(database: Path, log: Path) -> Salvage:
    """Read what can be read of ``database`` and its write-ahead log; neither is touched. Raises ``OSError``."""
    found = Salvage()
    if not database.exists() or not database.stat().st_size:
        return found
    with tempfile.TemporaryDirectory(prefix=".salvage-", dir=database.parent) as folder:
        copy = Path(folder) / "copy.db"
        shutil.copyfile(database, copy)
        if log.exists():
            shutil.copyfile(log, schema.log_of(copy))
        if not _readable(copy):
            _new_header(copy, Path(folder) / "fresh.db")
        with contextlib.suppress(sqlite3.Error), contextlib.closing(_open(copy)) as db:
            _collect(db, found)
    return found


def _readable(copy: Path) -> bool:
    try:
        with contextlib.closing(_open(copy)) as db:
            names = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        return False
    return names >= schema.TABLES


def _new_header(copy: Path, fresh: Path) -> None:
    """Put an intact header in front of the copy: often the beginning is all that is damaged."""
    schema.make(fresh)
    header = bytearray(fresh.read_bytes()[:HEADER])
    page = int.from_bytes(header[16:18], "big")
    header[28:32] = (copy.stat().st_size // page).to_bytes(4, "big")  # its length in pages
    header[32:40] = bytes(8)  # no free pages: those that there were are only not used again
    with copy.open("r+b") as file:
        file.write(header)


def _open(copy: Path) -> sqlite3.Connection:
    db = sqlite3.connect(copy, isolation_level=None)
    db.text_factory = lambda data: data.decode("utf-8", "replace")
    return db


def _collect(db: sqlite3.Connection, found: Salvage) -> None:
    for (text,) in _rows(db, "task", found):
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            doc = json.loads(text)
            found.docs[from_document(doc).id] = doc
    found.attempts = list(_rows(db, "attempt", found))
    found.uploads = list(_rows(db, "upload", found))
    found.claims = list(_rows(db, "claim", found))
    sizes = [size for (size,) in _rows(db, "journal", found) if isinstance(size, int)]
    found.noted = max(sizes, default=None)


def _rows(db: sqlite3.Connection, table: str, found: Salvage) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table that can be read: from the beginning, else from both ends and one by one between."""
    select = f"SELECT rowid, {', '.join(_COLUMNS[table])} FROM {table}"  # noqa: S608 - ours
    rows: dict[int, tuple[Any, ...]] = {}
    try:
        _take(db, f"{select} ORDER BY rowid", rows)
        found.whole.add(table)
    except sqlite3.Error:
        first = max(rows, default=0)
        with contextlib.suppress(sqlite3.Error):
            _take(db, f"{select} ORDER BY rowid DESC", rows)
        beyond = first + _BEYOND if rows else first  # where nothing can be read at all, no row is tried
        last = min((number for number in rows if number > first), default=beyond)
        for number in range(first + 1, min(last, first + _MOST_GAPS)):
            with contextlib.suppress(sqlite3.Error):
                _take(db, f"{select} WHERE rowid = {number}", rows)
    return (rows[number] for number in sorted(rows))


def _take(db: sqlite3.Connection, query: str, rows: dict[int, tuple[Any, ...]]) -> None:
    for row in db.execute(query):
        rows[row[0]] = row[1:]
