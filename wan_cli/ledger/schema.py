"""The database: how it is made, opened, checked and brought up to date."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from wan_cli.errors import StateUnusable
from wan_cli.ledger import folder
from wan_cli.ledger.faults import ELSEWHERE, damaged

BUSY_S = 10.0
"""Seconds that a connection waits for another's transaction (reliability.md 4.3)."""

CHECK_BELOW = 4 * 1024 * 1024
"""Bytes up to which every opening checks the whole database: 3 ms here, next to the 6 of importing sqlite3.

A larger one is checked when it was not closed cleanly, which its ``-wal`` file tells: the last connection to close
removes that. One that another process has open has it too, and is checked too.
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

MIGRATIONS: tuple[str, ...] = (_FIRST,)
"""In order: the n-th brings ``user_version`` from n-1 to n. Released ones are never edited."""


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
        _make(database)
    unclean = _has_bytes(database.with_name(f"{database.name}-wal"))
    # An empty file is no new ledger: ours appear whole, so it is one that was cut off (S10).
    if database.stat().st_size == 0:
        raise damaged(database, journal, "it is empty")
    connection = _open(database)
    try:
        _examine(connection, database, journal, thorough=unclean or database.stat().st_size < CHECK_BELOW)
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _open(database: Path) -> sqlite3.Connection:
    uri = f"{database.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    # Not in WAL mode here: that is written in the file once, since switching is not protected by the busy timeout.
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _make(database: Path) -> None:
    """Make the database under another name and link it into place, so that it is whole as soon as it is there."""
    draft = database.with_name(f".{database.name}.{os.getpid()}-{os.urandom(4).hex()}")
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | folder.NO_FOLLOW, folder.PRIVATE_FILE))
    try:
        with contextlib.closing(_open(draft)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            _migrate(connection)
        # Several processes may do this at once: the first link wins, and the others use its database.
        with contextlib.suppress(FileExistsError):
            os.link(draft, database)
    finally:
        draft.unlink()
    folder.sync(database.parent)


def _examine(connection: sqlite3.Connection, database: Path, journal: Path, *, thorough: bool) -> None:
    if _number(connection, "application_id") != APPLICATION_ID:
        msg = f"{database} is not a ledger of wan"
        raise StateUnusable(msg, hint=f"move it away, {ELSEWHERE}")
    version = _number(connection, "user_version")
    if version > len(MIGRATIONS):
        msg = f"the ledger {database} was written by a newer wan (version {version}; this one knows {len(MIGRATIONS)})"
        raise StateUnusable(msg, hint=f"upgrade wan, {ELSEWHERE}")
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
