"""Limits that all workers share: who may send the next requests with a key, decided in one transaction.

Three things hold a request back: as many as are allowed are under way, the minute's share is used up, or another batch
has had less. The first two shrink by half after a 429 and grow again with every success (additive increase,
multiplicative decrease: RFC 5681 section 3.1 for the idea); the third is start-time fair queueing with a request as the
unit (Goyal, Vin, Cheng 1996). A worker asks for all its requests at once, so hundreds under way cost what one does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from wan_cli.dataclass import dataclass, replace
from wan_cli.ledger.database import Database
from wan_cli.ledger.postgres.schema import NOW
from wan_cli.ledger.turns import Ask, Given, Turn, next_slot

LONGEST_S = 1.0
"""At most so long until the next look: limits grow, and others give their turns back."""
FULL_S = 0.25
"""Seconds until the next look while all turns are out, or another batch is first."""
HUNGRY_S = 3.0
"""A batch that did not ask again in so long wants nothing any more; longer than anyone is told to wait."""
RECOVERS_S = 600.0
"""Seconds in which a rate grows from nothing to all that is allowed, while requests are accepted."""

_SCOPE = "provider = ? AND key_print = ?"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What is known of a key: how many may be out, and a minute (``rate``), and until when nothing may."""

    most: float
    limit: float
    per_minute: float | None
    rate: float | None
    next_at: float
    closed_until: float
    cut_at: float


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


def learnt(pace: Pace, ask: Ask, now: float) -> Pace:
    """Return the pace after what a worker tells of its requests, under the settings that it has."""
    limit, rate, cut_at = pace.limit, pace.rate, pace.cut_at
    if pace.most != ask.most:  # the settings were changed: the share of them that is in use stays as it is
        limit = max(1.0, limit * ask.most / pace.most)
    if pace.per_minute != ask.per_minute:
        rate = ask.per_minute
    for _ in range(ask.accepted):
        limit = min(ask.most, limit + 1 / limit)
        if rate and ask.per_minute:
            rate = min(ask.per_minute, rate + ask.per_minute / rate * 60.0 / RECOVERS_S)
    # What left before the limit was cut tells nothing of the limit after it.
    if ask.refused_at is not None and ask.refused_at > cut_at:
        limit, rate, cut_at = max(1.0, limit / 2), max(1.0, rate / 2) if rate else None, now
    pause_s = ask.pause_s if math.isfinite(ask.pause_s) and ask.pause_s > 0 else 0.0
    return Pace(
        most=ask.most, limit=limit, per_minute=ask.per_minute, rate=rate, next_at=pace.next_at if rate else 0.0,
        closed_until=max(pace.closed_until, now + pause_s) if pause_s else pace.closed_until, cut_at=cut_at,
    )  # fmt: skip


def shared_out(facts: Facts, ask: Ask, served: dict[str, float], hungry: frozenset[str], rate: float | None) -> Given:
    """Choose whose turns they are, one after the other; ``number`` counts them here, ``served`` is brought up to date.

    ``facts`` are those of no batch; ``served`` has all known ones and those that are asked for, ``hungry`` the ones
    that wait elsewhere.
    """
    wanted, given, wait = {name: many for name, many in ask.wanted.items() if many > 0}, list[Turn](), 0.0
    while wanted and len(given) < ask.room:
        name = min(wanted, key=lambda each: (served[each], each))
        others = (hungry | wanted.keys()) - {name}
        facts = replace(
            facts, served=served[name], least=min((served[each] for each in others), default=None), hungry=len(others)
        )
        if wait := pause(facts):
            break
        given.append(Turn(len(given), name, facts.now))
        served[name] += 1
        wanted[name] -= 1
        if not wanted[name]:
            del wanted[name]
        next_at = next_slot(facts.next_at, facts.now, rate) if rate else 0.0
        facts = replace(facts, active=facts.active + 1, next_at=next_at)
    return Given(tuple(given), wait)


def give(db: Database, scope: tuple[str, str], ask: Ask, *, worker: str, lease_s: float) -> Given:
    """Learn what a worker tells, take back what it has no more, and give it turns. Runs inside a write transaction."""
    now, pace = _locked(db, scope, ask)
    pace = learnt(pace, ask, now)
    db.execute(f"DELETE FROM turn WHERE {_SCOPE} AND worker = ? AND NOT id = ANY(?)", (*scope, worker, list(ask.held)))  # noqa: S608
    out = db.execute(
        f"SELECT count(*) FROM turn WHERE {_SCOPE} AND EXISTS (SELECT FROM worker"  # noqa: S608 - ours
        f" WHERE worker.id = turn.worker AND worker.seen > {NOW} - ?)",
        (*scope, lease_s),
    )
    recent = (*scope, now - HUNGRY_S)
    batches = db.execute(f"SELECT name, served FROM batch WHERE {_SCOPE} AND seen > ?", recent)  # noqa: S608 - ours
    others = f"SELECT DISTINCT batch FROM waiting WHERE {_SCOPE} AND at > ? AND worker <> ?"  # noqa: S608 - ours
    hungry = frozenset(row[0] for row in db.execute(others, (*recent, worker)).fetchall())
    known: dict[str, float] = dict(batches.fetchall())
    # Whoever comes anew, or again, has no claim to what was given while it was away.
    least = min(known.values(), default=0.0)
    served = {name: known.get(name, least) for name in {*known, *ask.wanted, *hungry}}
    facts = Facts(
        now=now, limit=pace.limit, active=out.fetchone()[0], next_at=pace.next_at, closed_until=pace.closed_until,
        served=0.0, least=None, hungry=0,
    )  # fmt: skip
    found = shared_out(facts, ask, served, hungry, pace.rate)
    if pace.rate:
        for turn in found.turns:
            pace = replace(pace, next_at=next_slot(pace.next_at, turn.at, pace.rate))
    return _noted(db, scope, pace, ask, {name: served[name] for name in ask.wanted}, found, worker)


def _locked(db: Database, scope: tuple[str, str], ask: Ask) -> tuple[float, Pace]:
    """Lock what all workers share; return the time, and that."""
    db.execute(
        "INSERT INTO pace (provider, key_print, most, limited, per_minute, rate) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (provider, key_print) DO NOTHING",
        (*scope, ask.most, ask.most, ask.per_minute, ask.per_minute),
    )
    names = "most, limited, per_minute, rate, next_at, closed_until, cut_at"
    row = db.execute(f"SELECT {names} FROM pace WHERE {_SCOPE} FOR UPDATE", scope)  # noqa: S608 - ours
    clock = db.execute(f"SELECT {NOW}")  # in a statement of its own: it is the time at which the lock was there
    most, limit, per_minute, rate, next_at, closed_until, cut_at = row.fetchone()
    return clock.fetchone()[0], Pace(
        most=most, limit=limit, per_minute=per_minute, rate=rate, next_at=next_at, closed_until=closed_until,
        cut_at=cut_at,
    )  # fmt: skip


def _noted(
    db: Database, scope: tuple[str, str], pace: Pace, ask: Ask, served: Mapping[str, float], found: Given, worker: str
) -> Given:
    """Write down what was decided, and number the turns."""
    db.execute(
        "UPDATE pace SET most = ?, limited = ?, per_minute = ?, rate = ?, next_at = ?, closed_until = ?, cut_at = ?"  # noqa: S608
        f" WHERE {_SCOPE}",
        (pace.most, pace.limit, pace.per_minute, pace.rate, pace.next_at, pace.closed_until, pace.cut_at, *scope),
    )
    if served:
        db.execute(
            f"INSERT INTO batch (provider, key_print, name, served, seen) SELECT ?, ?, name, served, {NOW}"  # noqa: S608
            " FROM unnest(?::text[], ?::double precision[]) AS b (name, served)"
            " ON CONFLICT (provider, key_print, name) DO UPDATE SET served = excluded.served, seen = excluded.seen",
            (*scope, list(served), list(served.values())),
        )
    db.execute(f"DELETE FROM waiting WHERE {_SCOPE} AND worker = ?", (*scope, worker))  # noqa: S608 - ours
    got = [turn.batch for turn in found.turns]
    if found.again_s:
        db.execute(
            f"INSERT INTO waiting (provider, key_print, batch, worker, at) SELECT ?, ?, name, ?, {NOW}"  # noqa: S608
            " FROM unnest(?::text[]) AS b (name)",
            (*scope, worker, [name for name, many in ask.wanted.items() if many > got.count(name)]),
        )
    if not got:
        return found
    rows = db.execute(
        "INSERT INTO turn (provider, key_print, batch, worker, at) SELECT ?, ?, b, ?, at"
        " FROM unnest(?::text[], ?::double precision[]) WITH ORDINALITY AS g (b, at, n) ORDER BY n"
        " RETURNING id, batch, at",
        (*scope, worker, got, [turn.at for turn in found.turns]),
    )
    return Given(tuple(Turn(*row) for row in rows.fetchall()), found.again_s)
