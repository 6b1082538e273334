"""The database: how it is made, opened, checked and brought up to date."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from wan_cli.errors import StateUnusable
from wan_cli.ledger import folder
from wan_cli.ledger.faults import ELSEWHERE, damaged
from wan_cli.ledger.holders import holders

BUSY_S = 10.0
"""Seconds that a connection waits for another's transaction (reliability.md 4.3)."""

CHECK_BELOW = 4 * 1024 * 1024
"""Bytes up to which every opening checks the whole database: 3 ms here, next to the 6 of importing sqlite3.

A larger one is checked when it was not closed cleanly, which its ``-wal`` file tells: the last connection to close
removes that. One that another process has open has it too, and that process has seen to it.
"""

APPLICATION_ID = 0x77616E31
"""``wan1``: what marks a SQLite file as a ledger."""

_FIRST = """
CREATE TABLE task (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, provider TEXT NOT NULL, task_id TEXT, user_key TEXT,
    item INTEGER NOT NULL, charged TEXT NOT NULL, created REAL NOT NULL, finished REAL, document TEXT NOT NULL);
CREATE INDEX task_kind ON task (kind);
CREATE INDEX task_handle ON task (provider, task_id) WHERE task_id IS NOT NULL;
CREATE INDEX task_user_key ON task (user_key) WHERE user_key IS NOT NULL;
CREATE INDEX task_created ON task (created);
CREATE TABLE claim (
    task TEXT PRIMARY KEY REFERENCES task (id) ON DELETE CASCADE,
    pid INTEGER NOT NULL, started TEXT NOT NULL, boot TEXT NOT NULL, space TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE attempt (
    task TEXT NOT NULL REFERENCES task (id) ON DELETE CASCADE, n INTEGER NOT NULL, at REAL NOT NULL,
    body TEXT, body_sha256 TEXT NOT NULL, verdict TEXT, http_status INTEGER, raw BLOB, PRIMARY KEY (task, n));
CREATE TABLE upload (
    sha256 TEXT NOT NULL, provider TEXT NOT NULL, origin TEXT NOT NULL, key_print TEXT NOT NULL, at REAL NOT NULL,
    url TEXT NOT NULL, file_id TEXT, duration_token TEXT, expires_at REAL,
    PRIMARY KEY (sha256, provider, origin, key_print));
CREATE TABLE journal (size INTEGER NOT NULL);
INSERT INTO journal VALUES (0);
"""

_DURATIONS = """
CREATE TABLE duration (
    id INTEGER PRIMARY KEY, provider TEXT NOT NULL, origin TEXT NOT NULL, model TEXT NOT NULL, least REAL NOT NULL,
    most REAL NOT NULL, at REAL NOT NULL);
CREATE INDEX duration_of ON duration (provider, origin, model, id);
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _DURATIONS)
"""In order: the n-th brings ``user_version`` from n-1 to n. Released ones are never edited."""

TABLES = frozenset({"task", "claim", "attempt", "upload", "journal"})
"""What every ledger has had since the first version: how a damaged one is told from another program's database."""

MOST_VERSIONS = 1_000
"""A higher number is no newer wan but damage: there will not be so many migrations."""


class Newer(StateUnusable):
    """A ledger that a newer ``wan`` wrote: it is left alone."""


class Foreign(StateUnusable):
    """Another program's database: it is left alone."""


def connect(database: Path, journal: Path) -> sqlite3.Connection:
    """Open the ledger, made anew where there is none, checked and migrated.

    Raises ``StateUnusable`` for one that is damaged, foreign, newer, or gone while its journal is not; also
    ``sqlite3.Error`` and ``OSError``.
    """
    if not folder.inspect(database):
        orphaned = folder.inspect(journal) and journal.stat().st_size > 0
        # Looked at again: another process may just have made both, and the database comes first.
        if orphaned and not folder.inspect(database):
            raise damaged(database, journal, "it is gone while its journal is there")
        make(database)
    unclean = _has_bytes(log_of(database)) and not holders(database)
    # An empty file is no new ledger: ours appear whole, so it is one that was cut off (S10).
    if database.stat().st_size == 0:
        raise damaged(database, journal, "it is empty")
    connection = open_there(database)
    try:
        examine(connection, database, journal, thorough=unclean or database.stat().st_size < CHECK_BELOW)
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def log_of(database: Path) -> Path:
    """Return the path of the write-ahead log."""
    return database.with_name(f"{database.name}-wal")


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def open_there(database: Path) -> sqlite3.Connection:
    """Open a database that is there, for reading and writing."""
    uri = f"{database.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    try:
        # Not in WAL mode here: that is written in the file once, since switching is not protected by the busy timeout.
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def make(database: Path, fill: Callable[[sqlite3.Connection], None] | None = None) -> bool:
    """Make the database under another name and link it into place, so that it is whole as soon as it is there.

    ``fill`` writes what it holds from the start. Returns whether it is this one that is there now.
    """
    draft = database.with_name(f".{database.name}.{os.getpid()}-{os.urandom(4).hex()}")
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | folder.NO_FOLLOW, folder.PRIVATE_FILE))
    try:
        with contextlib.closing(open_there(draft)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            _migrate(connection)
            if fill is not None:
                connection.execute("BEGIN IMMEDIATE")
                fill(connection)
                connection.execute("COMMIT")
            # Closing does this too, but in silence: on a full disk half of it would stay in a log that is not linked.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        # Several processes may do this at once: the first link wins, and the others use its database.
        try:
            os.link(draft, database)
        except FileExistsError:
            return False
    finally:
        for name in (draft, log_of(draft), draft.with_name(f"{draft.name}-shm")):  # the latter two after a failure
            name.unlink(missing_ok=True)
    folder.sync(database.parent)
    return True


def examine(connection: sqlite3.Connection, database: Path, journal: Path, *, thorough: bool) -> None:
    """Refuse what is not ours, what is newer, and what is damaged: flipped bits may make it look like either (S10)."""
    ours = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")} >= TABLES
    if _number(connection, "application_id") != APPLICATION_ID:
        if ours:
            raise damaged(database, journal, "its mark as a ledger is wrong")
        raise Foreign(f"{database} is not a ledger of wan", hint=f"move it away, {ELSEWHERE}")
    version = _number(connection, "user_version")
    if ours and not 1 <= version <= MOST_VERSIONS:
        raise damaged(database, journal, f"its version, {version}, is impossible")
    if version > len(MIGRATIONS):
        msg = f"the ledger {database} was written by a newer wan (version {version}; this one knows {len(MIGRATIONS)})"
        raise Newer(msg, hint=f"upgrade wan, {ELSEWHERE}")
    if _has_bytes(log_of(database)) and connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        raise damaged(database, journal, "it does not know of its own write-ahead log")
    if thorough:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise damaged(database, journal, " ".join(verdict.split()))


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _migrate(connection: sqlite3.Connection) -> None:
    if _number(connection, "user_version") == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again under the lock: another process may have migrated meanwhile.
        for version in range(_number(connection, "user_version"), len(MIGRATIONS)):
            for statement in filter(str.strip, MIGRATIONS[version].split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={version + 1}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
