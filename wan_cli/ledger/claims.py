"""Who works on a task: one process at a time (reliability.md S07)."""

from __future__ import annotations

from wan_cli.ledger.database import Database
from wan_cli.ledger.owner import Owner, is_alive

_MINE = "pid = ? AND started = ? AND boot = ? AND space = ?"


def take(db: Database, task_id: str, here: Owner, now: float) -> bool:
    """Make ``here`` the owner unless another process that is alive is. Runs inside a write transaction."""
    row = db.execute("SELECT pid, started, boot, space, at FROM claim WHERE task = ?", (task_id,)).fetchone()
    if row is not None:
        owner, since = Owner(*row[:4]), row[4]
        if owner != here and is_alive(owner, here, now - since):
            return False
    db.execute("INSERT OR REPLACE INTO claim VALUES (?, ?, ?, ?, ?, ?)", (task_id, *_key(here), now))
    return True


def renew(db: Database, task_id: str, here: Owner, now: float) -> None:
    """Note that the owner, if it is ``here``, was alive at ``now``."""
    db.execute(f"UPDATE claim SET at = ? WHERE task = ? AND {_MINE}", (now, task_id, *_key(here)))  # noqa: S608 - ours


def drop(db: Database, task_id: str, here: Owner) -> None:
    """Give up ownership, if it is ``here``'s."""
    db.execute(f"DELETE FROM claim WHERE task = ? AND {_MINE}", (task_id, *_key(here)))  # noqa: S608 - ours


def _key(owner: Owner) -> tuple[int, str, str, str]:
    return owner.pid, owner.started, owner.boot, owner.space
