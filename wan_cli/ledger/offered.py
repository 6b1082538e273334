"""The tasks that completion offers: read only, at once or not at all."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from wan_cli.ledger.schema import log_of

MOST = 20
"""Tasks that are offered, the newest."""
PATIENCE_S = 0.2
"""How long a writer is waited for."""


def offered(folder: Path, *, begins: str, kinds: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return local ids and handles that begin with ``begins``, each with what the task is, the newest first.

    ``folder`` is the ledger's; ``kinds`` are the states that count (none: all). Nothing is made, mended or written; a
    ledger that is missing, locked, damaged or of another version offers nothing.
    """
    where = f"WHERE kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
    database = folder / "ledger.db"
    try:
        # Even a reader makes a write-ahead log where there is none; a file that nobody writes to can be read as it is.
        how = "mode=ro" if _has_log(database) else "mode=ro&immutable=1"
        uri = f"{database.absolute().as_uri()}?{how}"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE_S)) as db:
            rows = db.execute(
                "SELECT id, CASE WHEN task_id <> '' THEN provider || ':' || task_id END, kind, provider,"  # noqa: S608
                f" json_extract(document, '$.job.prompt') FROM task {where} ORDER BY created DESC, rowid DESC",
                tuple(kinds),
            )
            found: list[tuple[str, str]] = []
            for name, handle, kind, provider, prompt in rows:
                names = [each for each in (name, handle) if each and each.startswith(begins)]
                found += [(each, f"{kind}, {provider}: {prompt or ''}") for each in names]
                if len(found) >= 2 * MOST:
                    break
    except (sqlite3.Error, OSError, ValueError):
        return []
    return found


def _has_log(database: Path) -> bool:
    log = log_of(database)
    return log.exists() and log.stat().st_size > 0
