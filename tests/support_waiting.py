"""Simulated waiting: tasks with log-normal durations, asked about by the policy of wan and by others."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from wan_cli.engine.durations import Span, expected
from wan_cli.engine.waiting import pause
from wan_cli.models import Kind

ROUND_TRIP_S = 0.15
"""An answer tells how the task was half of it before."""
MEDIANS_S: dict[Kind, float] = {"image": 23.0, "video": 198.0}
BETWEEN, WITHIN = 0.6, 0.3
"""Deviations of log(duration) between models and within one."""
SLOW_TAIL = 0.05
"""Share of the tasks that take two to four times as long as they should."""
RIVALS_S: dict[Kind, float] = {"image": 5.0, "video": 15.0}
"""The fixed intervals that are held against the policy."""

Workload = Sequence[Sequence[float]]
"""Durations in seconds: of each model, task after task."""


@dataclass(frozen=True)
class Outcome:
    """Means over all tasks: seconds of lateness, and polls."""

    late: float
    polls: float


def workload(kind: Kind, seed: int, *, models: int = 8, tasks: int = 60) -> Workload:
    """Draw durations of models whose medians are spread evenly over their distribution."""
    rng = random.Random(seed)  # noqa: S311 - a simulation

    def took(median: float) -> float:
        slow = rng.uniform(2, 4) if rng.random() < SLOW_TAIL else 1.0
        return median * math.exp(rng.gauss(0, WITHIN)) * slow

    places = [NormalDist(0, BETWEEN).inv_cdf((number + 0.5) / models) for number in range(models)]
    return [[took(MEDIANS_S[kind] * math.exp(place)) for _ in range(tasks)] for place in places]


def fixed(interval: float, first: float | None = None) -> Iterator[float]:
    """Yield pauses that are all alike, but for the first one where it is given."""
    yield interval if first is None else first
    while True:
        yield interval


def growing(start: float, factor: float, cap: float = math.inf) -> Iterator[float]:
    """Yield pauses that grow by a factor up to a cap."""
    while True:
        yield start
        start = min(cap, start * factor)


def blind(work: Workload, pauses: Iterator[float]) -> Outcome:
    """Wait with pauses that do not depend on anything seen."""
    tasks = [duration for model in work for duration in model]
    asked, longest, now = [], max(tasks), 0.0
    while not asked or asked[-1] < longest:
        now += next(pauses)
        asked.append(now)
        now += ROUND_TRIP_S
    found = [bisect.bisect_left(asked, duration - ROUND_TRIP_S / 2) for duration in tasks]
    late = sum(asked[at] + ROUND_TRIP_S - duration for at, duration in zip(found, tasks, strict=True))
    return Outcome(late / len(tasks), (sum(found) + len(found)) / len(tasks))


def at_polls(work: Workload, shape: Callable[[float], Iterator[float]], polls: float) -> Outcome:
    """Return the outcome of the policy of that shape, slow enough for at least so many polls a task."""
    fast, slow = 0.02, 300.0
    for _ in range(16):
        middle = math.sqrt(fast * slow)
        fast, slow = (middle, slow) if blind(work, shape(middle)).polls >= polls else (fast, middle)
    return blind(work, shape(fast))


def learning(work: Workload, kind: Kind, *, seed: int = 1, counted_from: int = 0) -> Outcome:
    """Wait with the policy of wan, which knows nothing at first and learns each model from what it sees itself.

    Only tasks from number ``counted_from`` of each model on are counted.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation
    late = polls = count = 0.0
    for model in work:
        spans: list[Span] = []
        for number, duration in enumerate(model):
            over, asked, span = _waited(kind, duration, spans, rng)
            spans.append(span)
            if number >= counted_from:
                late, polls, count = late + over, polls + asked, count + 1
    return Outcome(late / count, polls / count)


def _waited(kind: Kind, duration: float, spans: Sequence[Span], rng: random.Random) -> tuple[float, int, Span]:
    known, now, polls, running = expected(kind, spans), 0.0, 0, 0.0
    while True:
        now += pause(kind, known, now, polls, rng.random()) + ROUND_TRIP_S
        polls += 1
        if now - ROUND_TRIP_S / 2 >= duration:
            return now - duration, polls, (running, now)
        running = now


def changed(work: Workload, factor: float, since: int) -> Workload:
    """Return the workload with all durations from number ``since`` of each model on multiplied by ``factor``."""
    return [[duration * (factor if at >= since else 1) for at, duration in enumerate(model)] for model in work]
