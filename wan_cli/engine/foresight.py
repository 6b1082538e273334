"""What this process knows of how long tasks take: the ledger's history, and what it sees itself."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from wan_cli.dataclass import dataclass, field
from wan_cli.engine.durations import KEPT, Expected, Span, expected
from wan_cli.errors import StateUnusable
from wan_cli.models import TaskChanged

if TYPE_CHECKING:
    from wan_cli.ledger import Ledger
    from wan_cli.models import Event, Task

Maker: TypeAlias = tuple[str, str, str]
"""Provider, its origin, and the model: the same provider elsewhere is another machine."""

OVERSLEPT, OVERSLEPT_S = 1.5, 10.0
"""A question that comes later than so many times its pause, and so many seconds more, is too late to tell anything."""


@dataclass(slots=True)
class Foresight:
    """Durations by maker, read once and then kept up; and when the tasks under way here were accepted (epoch s)."""

    _spans: dict[Maker, deque[Span]] = field(default_factory=dict)
    _expected: dict[Maker, Expected] = field(default_factory=dict)
    _accepted: dict[str, float] = field(default_factory=dict)

    def accepted(self, task: Task, now: float) -> None:
        """Take down that a task was accepted just now."""
        self._accepted[task.id] = now

    def since_acceptance(self, task: Task) -> float | None:
        """Return 0 for a task that this process saw accepted: it was running then. ``None`` for any other."""
        return 0.0 if task.id in self._accepted else None

    def age(self, task: Task, now: float) -> float:
        """Return the seconds since a task was accepted; since it was sent where another process did that."""
        return max(0.0, now - self._accepted.get(task.id, task.submitted_at or task.created_at))

    def expected(self, ledger: Ledger, task: Task) -> Expected:
        """Return what to expect of the task's model. A ledger that cannot be read costs no more than the history."""
        maker = _maker(task)
        if maker not in self._expected:
            self._expected[maker] = expected(task.job.makes, list(self._known(ledger, maker)))
        return self._expected[maker]

    def ended(self, ledger: Ledger, task: Task, running: float | None, age: float, pause: float | None) -> None:
        """Learn from a task that was found done at ``age``, and last found running at ``running`` (seconds).

        Only what was asked in time counts: a ``pause`` of the policy's own, after which the question came. A task that
        was taken up again, or not asked for a while, ended at any time before.
        """
        self._accepted.pop(task.id, None)
        maker = _maker(task)
        if running is None or pause is None or not task.job.model or not running < age:
            return
        if age - running > OVERSLEPT * pause + OVERSLEPT_S:
            return
        self._known(ledger, maker).append((running, age))
        self._expected.pop(maker, None)
        ledger.learn_duration(*maker, least=running, most=age)

    def timed(self, ledger: Ledger, event: Event, now: float) -> Event:
        """Return the event, with the time that is left where it tells of a task that goes on at its provider."""
        if not isinstance(event, TaskChanged) or event.task.state.kind != "pending":
            return event
        left = partial(self.expected(ledger, event.task).left, self.age(event.task, now))
        return TaskChanged(task=event.task, note=event.note, left=left)

    def _known(self, ledger: Ledger, maker: Maker) -> deque[Span]:
        if maker not in self._spans:
            try:
                found = ledger.durations(*maker, limit=KEPT)
            except StateUnusable:
                found = []
            self._spans[maker] = deque(found, maxlen=KEPT)
        return self._spans[maker]


def _maker(task: Task) -> Maker:
    return task.provider, task.origin, task.job.model
