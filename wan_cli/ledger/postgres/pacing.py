"""Limits that all workers share: who may send the next request with a key, decided in one transaction.

Three things hold a request back: as many as are allowed are under way, the minute's share is used up, or another batch
has had less. The first two shrink by half after a 429 and grow again with every success (additive increase,
multiplicative decrease: RFC 5681 section 3.1 for the idea); the third is start-time fair queueing with a request as the
unit (Goyal, Vin, Cheng 1996).
"""

from __future__ import annotations

import math

from wan_cli.dataclass import dataclass
from wan_cli.ledger.database import Database
from wan_cli.ledger.postgres.schema import NOW

LONGEST_S = 1.0
"""At most so long until the next look: limits grow, and others give their turns back."""
FULL_S = 0.25
"""Seconds until the next look while all turns are out, or another batch is first."""
HUNGRY_S = 3.0
"""A batch that did not ask again in so long wants nothing any more; longer than anyone is told to wait."""
SLACK_S = 1.0
"""The share of so many seconds may be sent at once."""
RECOVERS_S = 600.0
"""Seconds in which a rate grows from nothing to all that is allowed, while requests are accepted."""

_SCOPE = "provider = ? AND key_print = ?"


@dataclass(frozen=True, slots=True)
class Turn:
    """Leave to send one request: to be given back by :meth:`SharedLedger.turn_ended`. ``at``: epoch s of the server."""

    number: int
    provider: str
    key_print: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a decision rests on; times in epoch s of the server.

    ``served`` and ``least``: what this batch has had, and what the hungry one has had that had least (``None``: nobody
    else is hungry); ``hungry``: how many other batches are.
    """

    now: float
    limit: float
    active: int
    next_at: float
    closed_until: float
    served: float
    least: float | None
    hungry: int


def pause(facts: Facts) -> float:
    """Return the seconds until another look, or 0 for a turn at once."""
    if facts.now < facts.closed_until:
        return min(facts.closed_until - facts.now, LONGEST_S)
    if facts.active >= int(facts.limit):
        return FULL_S
    if facts.now < facts.next_at:
        return min(facts.next_at - facts.now, LONGEST_S)
    # A little ahead is allowed: turns must not lie idle until whoever is next looks again.
    ahead = max(1.0, facts.limit / (2 * (facts.hungry + 1)))
    if facts.least is not None and facts.served >= facts.least + ahead:
        return FULL_S
    return 0.0


def next_slot(next_at: float, now: float, rate: float) -> float:
    """Return when the request after this one may be sent, at ``rate`` requests a minute.

    What was not used within the last second may be made up for; the interval is longer by as much, so that no minute
    has more than ``rate``. A share of less than one request is made up for never.
    """
    interval = (60.0 + SLACK_S) / rate
    slack = max(0.0, SLACK_S - interval)
    return max(next_at, now - slack) + interval


def take(
    db: Database,
    scope: tuple[str, str],
    batch: str,
    *,
    worker: str,
    most: int,
    per_minute: float | None,
    lease_s: float,
) -> Turn | float:
    """Take a turn, or return the seconds until another look. Runs inside a write transaction."""
    limit, rate, next_at, closed_until = _limits(db, scope, most, per_minute)
    facts = _facts(db, scope, batch, limit=limit, next_at=next_at, closed_until=closed_until, lease_s=lease_s)
    wait = pause(facts)
    if not wait and rate:
        next_at = next_slot(next_at, facts.now, rate)
    db.execute(
        f"UPDATE pace SET most = ?, limited = ?, per_minute = ?, rate = ?, next_at = ? WHERE {_SCOPE}",  # noqa: S608
        (most, limit, per_minute, rate, next_at, *scope),
    )
    db.execute(
        "INSERT INTO batch (provider, key_print, name, served, seen, hungry) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (provider, key_print, name) DO UPDATE"
        " SET served = excluded.served, seen = excluded.seen, hungry = excluded.hungry",
        (*scope, batch, facts.served if wait else facts.served + 1, facts.now, wait > 0),
    )
    if wait:
        return wait
    given = db.execute(
        "INSERT INTO turn (provider, key_print, batch, worker, at) VALUES (?, ?, ?, ?, ?) RETURNING id",
        (*scope, batch, worker, facts.now),
    )
    return Turn(given.fetchone()[0], *scope, facts.now)


def _limits(
    db: Database, scope: tuple[str, str], most: int, per_minute: float | None
) -> tuple[float, float | None, float, float]:
    """Lock what all workers share; return how many may be out, the rate, the next slot, and the end of a pause."""
    db.execute(
        "INSERT INTO pace (provider, key_print, most, limited, per_minute, rate) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (provider, key_print) DO NOTHING",
        (*scope, most, most, per_minute, per_minute),
    )
    was_most, limit, was_rate, rate, next_at, closed_until = db.execute(
        "SELECT most, limited, per_minute, rate, next_at, closed_until FROM pace"  # noqa: S608 - ours
        f" WHERE {_SCOPE} FOR UPDATE",
        scope,
    ).fetchone()
    if was_most != most:  # the settings were changed: the share of them that is in use stays as it is
        limit = max(1.0, limit * most / was_most)
    if was_rate != per_minute:
        rate = per_minute
    return limit, rate, next_at if rate else 0.0, closed_until


def _facts(
    db: Database,
    scope: tuple[str, str],
    batch: str,
    *,
    limit: float,
    next_at: float,
    closed_until: float,
    lease_s: float,
) -> Facts:
    around = db.execute(
        f"SELECT {NOW}, (SELECT count(*) FROM turn WHERE {_SCOPE} AND EXISTS (SELECT FROM worker"  # noqa: S608 - ours
        f" WHERE worker.id = turn.worker AND worker.seen > {NOW} - ?))",
        (*scope, lease_s),
    )
    batches = db.execute(f"SELECT name, served, seen, hungry FROM batch WHERE {_SCOPE}", scope)  # noqa: S608 - ours
    now, active = around.fetchone()
    known = {name: (served, hungry) for name, served, seen, hungry in batches.fetchall() if now - seen < HUNGRY_S}
    others = [found for name, found in known.items() if name != batch]
    # Whoever comes anew, or again, has no claim to what was given while it was away.
    served = known[batch][0] if batch in known else min((found for found, _ in others), default=0.0)
    hungry = [found for found, wants in others if wants]
    return Facts(
        now=now, limit=limit, active=active, next_at=next_at, closed_until=closed_until, served=served,
        least=min(hungry, default=None), hungry=len(hungry),
    )  # fmt: skip


def end(db: Database, turn: Turn, *, accepted: bool, slower: bool, pause_s: float) -> None:
    """Give a turn back, and learn from how it went. Runs inside a write transaction."""
    scope = (turn.provider, turn.key_print)
    if not math.isfinite(pause_s) or pause_s < 0:
        pause_s = 0.0
    if slower:
        # What left before the limit was cut tells nothing of the limit after it.
        db.execute(
            "UPDATE pace SET limited = greatest(1, limited / 2),"  # noqa: S608 - ours
            f" rate = CASE WHEN rate > 0 THEN greatest(1, rate / 2) END, cut_at = {NOW} WHERE {_SCOPE} AND cut_at < ?",
            (*scope, turn.at),
        )
        db.execute(
            f"UPDATE pace SET closed_until = greatest(closed_until, {NOW} + ?) WHERE {_SCOPE}",  # noqa: S608 - ours
            (pause_s, *scope),
        )
    elif accepted:
        db.execute(
            "UPDATE pace SET limited = least(most, limited + 1 / limited),"  # noqa: S608 - ours
            f" rate = least(per_minute, rate + per_minute / rate * ?) WHERE {_SCOPE}",
            (60.0 / RECOVERS_S, *scope),
        )
    db.execute("DELETE FROM turn WHERE id = ?", (turn.number,))
