"""How long a task is likely to take: learned from earlier ones of the same provider and model.

Durations are log-normal within a model. Nobody sees one: what is seen is a :data:`Span`, between the last question that
found the task running and the one that found it done.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from wan_cli.dataclass import dataclass
from wan_cli.models import Kind

Span: TypeAlias = tuple[float, float]
"""Seconds after its acceptance between which a task ended; 0 where no question had found it running."""

KEPT = 20
"""Newest tasks of a model that count: as good as more, and soon of one mind about a model that became slower."""
QUANTILE = 0.03
"""Share of the tasks that may have ended before the first question; with 2 % a model that is twice as fast is late."""

_TYPICAL_S: dict[Kind, float] = {"image": 25.0, "video": 180.0}  # performance.md 4; 1-5 minutes in contracts.md 5.4
_BETWEEN = 0.7
"""Deviation of log(duration) between models, as far as anybody knows before one was waited for."""
_WITHIN, _WITHIN_WEIGHT = 0.35, 3.0
"""The same within a model, and how many tasks that belief is worth."""
_MEAN_WEIGHT = (_WITHIN / _BETWEEN) ** 2
"""How many tasks the typical duration is worth beside a model's own."""
_WIDE_SHARE, _WIDE = 0.15, 0.7
"""Weight and deviation of the doubt: a slow tail, and a model that became twice as fast or slow."""
_SOON, _LONGEST, _NEVER = 0.01, 1e7, 1e-12
"""Ages in seconds and a share beyond which nothing is told apart."""
_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of a model's tasks: mean and deviation of log(seconds), and how many tasks that is learned from.

    ``first`` is when so few have ended that asking earlier is in vain, in seconds.
    """

    mean: float
    deviation: float
    learned: int
    first: float = 0.0

    def open_at(self, age: float) -> float:
        """Return the share of the tasks that take longer than ``age`` seconds."""
        return sum(share * math.erfc(z / math.sqrt(2)) / 2 for share, _, z in self._parts(age))

    def hazard(self, age: float) -> float:
        """Return how likely a task ends in the next second, given that it has not after ``age`` (1/s)."""
        density = sum(share * math.exp(-z * z / 2) / width for share, width, z in self._parts(age))
        return density / (math.sqrt(2 * math.pi) * max(age, _SOON)) / max(self.open_at(age), _NEVER)

    def left(self, age: float) -> float:
        """Return the seconds after which half of the tasks have ended that have not after ``age``."""
        return self.reached(self.open_at(age) / 2) - age

    def reached(self, still_open: float) -> float:
        """Return the age in seconds at which only the share ``still_open`` of the tasks goes on."""
        below, above = 0.0, math.exp(self.mean)
        while self.open_at(above) > still_open and above < _LONGEST:
            below, above = above, above * 2
        for _ in range(_HALVINGS):
            middle = (below + above) / 2
            below, above = (middle, above) if self.open_at(middle) > still_open else (below, middle)
        return above

    def _parts(self, age: float) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Return share, deviation, and distance from the mean in deviations, of what was learned and of the doubt."""
        off = math.log(max(age, _SOON)) - self.mean
        wide = max(_WIDE, self.deviation)
        return (1 - _WIDE_SHARE, self.deviation, off / self.deviation), (_WIDE_SHARE, wide, off / wide)


def expected(kind: Kind, spans: Sequence[Span] = ()) -> Expected:
    """Return what to expect of a model that makes ``kind``, after its newest tasks took ``spans`` (oldest first)."""
    logs = [_log_of(*span) for span in spans[-KEPT:]]
    typical = math.log(_TYPICAL_S.get(kind, _TYPICAL_S["image"]))
    if not logs:
        return _with_first(typical, math.hypot(_WITHIN, _BETWEEN), 0)
    count, own = len(logs), sum(logs) / len(logs)
    weight = _MEAN_WEIGHT + count
    mean = (_MEAN_WEIGHT * typical + count * own) / weight
    spread = sum((value - own) ** 2 for value in logs) + _WITHIN_WEIGHT * _WITHIN**2
    # of the next task: the model's own spread, and what is not yet known about its mean
    return _with_first(mean, math.sqrt(spread / (_WITHIN_WEIGHT + count) * (1 + 1 / weight)), count)


def _with_first(mean: float, deviation: float, learned: int) -> Expected:
    plain = Expected(mean, deviation, learned)
    return Expected(mean, deviation, learned, plain.reached(1 - QUANTILE))


def _log_of(least: float, most: float) -> float:
    """Return the log of the middle of a span, of factors; where only its end is known it is taken as one of three."""
    most = max(most, _SOON)
    return (math.log(min(max(least, most / 3), most)) + math.log(most)) / 2
