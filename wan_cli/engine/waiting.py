"""When to ask next: one pure function.

Lateness is the time between a task's end and our noticing. Where a task ends within the next second with probability
h, and one question is worth c seconds of lateness, questions every s seconds cost c/s for asking and h s/2 for being
late: least for s = sqrt(2 c / h). So they are few while a task is hardly done and frequent when it should be.
"""

from __future__ import annotations

import math

from wan_cli.dataclass import dataclass
from wan_cli.engine.durations import Expected
from wan_cli.models import Kind

WORTH_S = 0.25
"""Seconds of lateness that a question is worth: so there are fewer than one every 5 s, and for videos every 15 s."""
JITTER = 0.2
ASKED_TO_WAIT = (2.0, 60.0)
"""Seconds between which a ``Retry-After`` on an answered poll is followed (reliability.md H18)."""
BROKEN_CAP_S = 30.0
"""Longest pause between polls that fail (reliability.md N16)."""

_STEPS = 32
"""More steps change no pause, and after some thousand (``--timeout 24h``) they would no longer fit a float."""
_RARE = 1e-9
"""A hazard (1/s) below which the longest pause is taken anyway."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds to the first poll while nothing is known of a model, and the least and most between any two."""

    first: float
    least: float
    most: float


RHYTHMS: dict[Kind, Rhythm] = {
    "image": Rhythm(2.5, 1.0, 30.0),  # Rivya: first after 2-3 s (contracts.md 1.4); the others: performance.md 4
    "video": Rhythm(5.0, 1.0, 30.0),  # ToAPIs: first after 5 s (contracts.md 4.3)
}
DEADLINES_S: dict[Kind, float] = {"image": 15 * 60.0, "video": 60 * 60.0}
"""How long ``--timeout`` is when nobody says (reliability.md section 5)."""


def pause(
    kind: Kind, expected: Expected, age: float, polls: int, rand: float, *, stated: tuple[float, float] = (0.0, 0.0),
    asked: float | None = None, failures: int = 0,
) -> float:  # fmt: skip
    """Return seconds until the next poll of a task that was accepted ``age`` seconds ago, after ``polls`` of them.

    The last ``failures`` of those broke. ``stated`` is what the provider documents as the least before the first poll
    and between two, ``asked`` its ``Retry-After``, all in seconds; ``rand`` is 0..1.
    """
    rhythm = RHYTHMS.get(kind, RHYTHMS["image"])
    if asked is not None:
        return min(max(asked, ASKED_TO_WAIT[0]), ASKED_TO_WAIT[1])
    if polls == 0:
        first = expected.first if expected.learned else rhythm.first
        return max(max(first, stated[0]) - age, rhythm.least)  # one that is older was left by another process
    base = math.sqrt(2 * WORTH_S / max(expected.hazard(age), _RARE))
    if not expected.learned:  # a guess does not keep anybody waiting: what is quick by surprise is found soon
        base = min(base, max(2 * rhythm.first, age))
    base = min(max(base, rhythm.least), rhythm.most)
    if failures:
        base = min(BROKEN_CAP_S, base * 2.0 ** min(failures - 1, _STEPS))
    return max(base * (1 - JITTER + 2 * JITTER * rand), rhythm.least, stated[1])
