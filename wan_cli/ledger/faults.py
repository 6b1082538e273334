"""What SQLite and the system report, in the words of :mod:`wan_cli.errors`: the one place where it is translated."""

from __future__ import annotations

import errno
import json
import os
import shlex
import sqlite3
from pathlib import Path

from wan_cli.errors import StateUnusable
from wan_cli.ledger.holders import writers

ELSEWHERE = "or set WAN_STATE_DIR to another folder"
REPAIR = "wan doctor --repair"
"""What mends a damaged ledger: both files are kept, and a new database is made from what can be read of them."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_HELD = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def damaged(database: Path, journal: Path, reason: object) -> StateUnusable:
    """Return the error for a ledger whose content cannot be trusted (reliability.md S10). It is never replaced."""
    return StateUnusable(
        f"the ledger {database} is damaged ({reason}); nothing was bought and nothing was changed. "
        f"A repair keeps it, and takes what it can from it and from the journal {journal}",
        hint=REPAIR,
    )


class translated:  # noqa: N801 - it reads as a verb, and a function would cost three times as much, ten times a task
    """Turns any SQLite or system error inside into ``StateUnusable``; ``doing`` is "read", "written", "opened"."""

    __slots__ = ("_database", "_doing", "_journal")

    def __init__(self, database: Path, journal: Path, doing: str) -> None:
        """Say what is done to which files."""
        self._database, self._journal, self._doing = database, journal, doing

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise ``StateUnusable`` in place of what went wrong."""
        if isinstance(error, json.JSONDecodeError):
            raise damaged(self._database, self._journal, error) from error
        if isinstance(error, sqlite3.Error | OSError | UnicodeError):
            primary = _primary(error)
            if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise damaged(self._database, self._journal, error) from error
            path = getattr(error, "filename", None) or self._database
            reason = getattr(error, "strerror", None) or str(error)
            msg = f"the ledger {path} cannot be {self._doing}: {reason}"
            raise StateUnusable(msg, hint=_hint(error, primary, self._database)) from error


def is_held(error: BaseException | None) -> bool:
    """Tell whether ``error`` is that another connection kept the lock for as long as this one waits for it."""
    return isinstance(error, StateUnusable) and _primary(error.__cause__) in _HELD


def _primary(error: BaseException | None) -> int:
    """Return SQLite's primary result code, 0 where it is none of its errors."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _named(pids: list[int]) -> str:
    """Name who holds the ledger, where the system tells (S09)."""
    if not pids:
        return "another wan process holds it"
    numbers = ", ".join(map(str, pids))
    return f"process {numbers} holds it" if len(pids) == 1 else f"processes {numbers} hold it"


def _hint(error: Exception, primary: int, database: Path) -> str:
    number = getattr(error, "errno", None)
    if primary in _HELD:
        return f"{_named(writers(database))}; wait for that, {ELSEWHERE}"
    if primary == sqlite3.SQLITE_FULL or number in _FULL:
        return f"free space on the disk of {database.parent}, {ELSEWHERE}"
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or number in _DENIED:
        there = [f"chmod 700 {shlex.quote(str(database.parent))}"] if database.parent.is_dir() else []
        names = [path for path in (database, database.with_name("journal.jsonl")) if os.path.exists(path)]  # noqa: PTH110
        there += [f"chmod 600 {shlex.quote(str(path))}" for path in names]
        return " && ".join(there) or ELSEWHERE.removeprefix("or ")
    return ELSEWHERE.removeprefix("or ")
