"""How long tasks took: advice on when to ask, and no evidence of anything. The journal has none of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from wan_cli.ledger.database import Database

Duration: TypeAlias = tuple[str, str, str, float, float]
"""Provider, origin, model, and the seconds between which a task of theirs ended."""

KEPT = 100
"""Durations of one model that are kept: what is read is always less."""

_OF = "provider = ? AND origin = ? AND model = ?"


def record(db: Database, seen: Iterable[Duration], at: float) -> None:
    """Add durations, and drop the oldest beyond what is kept; ``at`` is now."""
    for duration in seen:
        db.execute("INSERT INTO duration (provider, origin, model, least, most, at) VALUES (?, ?, ?, ?, ?, ?)",
                   (*duration, at))  # fmt: skip
        newest = f"SELECT id FROM duration WHERE {_OF} ORDER BY id DESC LIMIT 1 OFFSET ?"  # noqa: S608 - ours
        db.execute(
            f"DELETE FROM duration WHERE {_OF} AND id <= ({newest})",  # noqa: S608 - ours
            (*duration[:3], *duration[:3], KEPT),
        )


def newest(db: Database, maker: tuple[str, str, str], limit: int) -> list[tuple[float, float]]:
    """Return at most ``limit`` spans in seconds, oldest first."""
    query = f"SELECT least, most FROM duration WHERE {_OF} ORDER BY id DESC LIMIT ?"  # noqa: S608 - ours
    return db.execute(query, (*maker, limit)).fetchall()[::-1]


def forget(db: Database, before: float) -> None:
    """Forget what was seen before a time (epoch s)."""
    db.execute("DELETE FROM duration WHERE at < ?", (before,))
