"""When to ask next: one pure function."""

from __future__ import annotations

from dataclasses import dataclass

from wan_cli.models import Kind

GROWTH = 1.3
JITTER = 0.2
ASKED_TO_WAIT = (2.0, 60.0)
"""Seconds between which a ``Retry-After`` on an answered poll is followed (reliability.md H18)."""
BROKEN_CAP_S = 30.0
"""Longest pause between polls that fail (reliability.md N16)."""

_STEPS = 32
"""More steps change no pause, and after some thousand (``--timeout 24h``) they would no longer fit a float."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds to the first poll, and the least and most between later ones."""

    first: float
    least: float
    most: float


RHYTHMS: dict[Kind, Rhythm] = {
    "image": Rhythm(2.5, 5.0, 10.0),  # Rivya: first after 2-3 s, then 5-10 s (contracts.md 1.4)
    "video": Rhythm(5.0, 15.0, 30.0),  # Aliyun's guides: 15 s for video (contracts.md 5.4)
}
DEADLINES_S: dict[Kind, float] = {"image": 15 * 60.0, "video": 60 * 60.0}
"""How long ``--timeout`` is when nobody says (reliability.md section 5)."""


def pause(kind: Kind, polls: int, rand: float, *, asked: float | None = None, failures: int = 0) -> float:
    """Return seconds until the next poll, after ``polls`` of them, the last ``failures`` of which broke.

    ``asked`` is the provider's ``Retry-After`` in seconds; ``rand`` is 0..1.
    """
    rhythm = RHYTHMS.get(kind, RHYTHMS["image"])
    if asked is not None:
        return min(max(asked, ASKED_TO_WAIT[0]), ASKED_TO_WAIT[1])
    if polls == 0:
        return rhythm.first
    base = min(rhythm.most, rhythm.least * GROWTH ** min(polls - 1, _STEPS))
    if failures:
        base = min(BROKEN_CAP_S, base * 2.0 ** min(failures - 1, _STEPS))
    return base * (1 - JITTER + 2 * JITTER * rand)
