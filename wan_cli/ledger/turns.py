"""Turns: leave to send one request, given out to all workers that share a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from wan_cli.dataclass import dataclass, field

SLACK_S = 1.0
"""The share of so many seconds may be sent at once."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Leave to send one request for a batch. ``at``: when it was given, epoch s by the clock of whoever gives them."""

    number: int
    batch: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a worker says of the requests that it sends with one key, and how many more it wants to send.

    ``wanted`` has turns by batch (a render's name), of which it takes at most ``room`` in all; ``held`` are the numbers
    of those that it still has: all others of it are given back, also such as it never heard of. ``most`` are out at a
    time, and ``per_minute`` given in any minute, over all workers.
    """

    wanted: Mapping[str, int] = field(default_factory=dict)
    room: int = 0
    held: tuple[int, ...] = ()
    most: int
    per_minute: float | None = None
    accepted: int = 0
    """Requests that were accepted since it asked last: a little faster."""
    refused_at: float | None = None
    """When the newest turn was given of those that met a 429 since then: half as fast."""
    pause_s: float = 0.0
    """For so long the provider wants to hear nothing."""


@dataclass(frozen=True, slots=True)
class Given:
    """The turns, and after how many seconds to ask for the rest; 0 where all that was wanted was given."""

    turns: tuple[Turn, ...]
    again_s: float


class Limits(Protocol):
    """Who gives them out."""

    def turns(self, provider: str, key_print: str, ask: Ask) -> Given:
        """Learn what a worker tells, and give it turns. Raises ``StateUnusable``."""


def next_slot(next_at: float, now: float, rate: float) -> float:
    """Return when the request after this one may be sent, at ``rate`` requests a minute.

    What was not used within the last second may be made up for; the interval is longer by as much, so that no minute
    has more than ``rate``. A share of less than one request is made up for never.
    """
    interval = (60.0 + SLACK_S) / rate
    slack = max(0.0, SLACK_S - interval)
    return max(next_at, now - slack) + interval
