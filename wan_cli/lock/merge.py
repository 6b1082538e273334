"""Two branches' locks made one, as git's merge driver does it: asset by asset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from wan_cli.lock.entry import Entry, Flight

_NOTHING = Entry()


def merge(
    base: Mapping[str, Entry], ours: Mapping[str, Entry], theirs: Mapping[str, Entry]
) -> tuple[dict[str, Entry], list[str]]:
    """Return the merged lock, and the ids that both sides changed differently: there ours stands.

    A purchase under way on either side stays in the lock: what was bought is never merged away.
    """
    merged: dict[str, Entry] = {}
    clashes: list[str] = []
    for name in sorted({*ours, *theirs}):
        sides = [side.get(name, _NOTHING) for side in (base, ours, theirs)]
        was, one, other = map(_finished, sides)
        kept = other if one == was else one
        if was not in (one, other) and one != other:
            clashes.append(name)
            kept = other if one == _NOTHING else one  # what one side made is not lost where the other gave it up
        tried = max(side.tried for side in sides)
        open_ones = _flights(sides[0].open, _not_in(sides[2], sides[1]), _not_in(sides[1], sides[2]))
        fresh = replace(kept, open=open_ones, tried=tried)
        given_up = name in base and not (name in ours and name in theirs)
        if kept != _NOTHING or fresh.open or (tried and not given_up):
            merged[name] = fresh
    return merged, clashes


def _finished(entry: Entry) -> Entry:
    return replace(entry, open=(), tried=0)


def _not_in(other: Entry, one: Entry) -> tuple[Flight, ...]:
    """Return what is under way on one side, without what the other side has brought in meanwhile."""
    brought = {other.handle, *other.handles} - {one.handle, *one.handles, None}
    return tuple(flight for flight in one.open if flight.handle not in brought)


def _flights(was: tuple[Flight, ...], one: tuple[Flight, ...], other: tuple[Flight, ...]) -> tuple[Flight, ...]:
    """Return what is under way on either side, without what one side has seen end.

    A purchase is known by its token. Two that were begun apart under one token are two where their tasks differ, or
    where one of them is not known to be the other's.
    """
    before = {flight.token for flight in was}
    ended = {token for token in before for side in (one, other) if token not in {flight.token for flight in side}}
    kept: list[Flight] = []
    for flight in (*one, *other):
        if flight.token in ended or any(_same(flight, known, before) for known in kept):
            continue
        kept = [known for known in kept if not _same(known, flight, before)]
        kept.append(flight)
    return tuple(sorted(kept, key=lambda flight: (flight.take, flight.item, flight.token, flight.task or "")))


def _same(flight: Flight, known: Flight, before: set[str]) -> bool:
    """Tell whether ``flight`` is the purchase ``known``, which knows as much or more of it."""
    if flight.token != known.token:
        return False
    if flight.task is None:
        return known.task is None or flight.token in before
    return flight.task == known.task and flight.provider == known.provider
