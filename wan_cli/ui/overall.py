"""How far a render has come, as numbers: assets that ended, what was bought so far, the time that is left."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wan_cli.dataclass import dataclass, field
from wan_cli.models import TaskChanged, Warned
from wan_cli.ui.money import amount
from wan_cli.ui.wording import ENDED, under_way

if TYPE_CHECKING:
    from wan_cli.models import Event, Task

RATE_OVER = 50
"""Assets over whose ends the pace is measured: enough to be steady, few enough to follow a provider that slows down."""
RATE_FROM = 3
"""Ends before which the time that is left would be a guess."""
WORKED = frozenset({"made", "collected", "failed"})
"""Endings that took time; the others are over at once and would make the pace look better than it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a render has to do: ``total`` assets for ``estimate`` (as text); ``name_of`` says which asset a task is."""

    title: str
    total: int
    estimate: str = ""
    name_of: Callable[[Task], str] = lambda task: task.id

    def named(self, warned: Warned) -> Warned:
        """Return a warning about a task as one about its asset."""
        return Warned(message=f"{self.name_of(warned.task)}: {warned.message}") if warned.task else warned


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetEnded:
    """One asset has ended. ``counts`` tells that it was part of the work; ``document`` is what ``--jsonl`` says of it.

    ``made_by`` is ``PROVIDER MODEL``, ``files`` are as a user would type them, ``note`` is why it ended as it did.
    """

    id: str
    ending: str
    document: Mapping[str, Any] = field(default_factory=dict)
    counts: bool = True
    made_by: str = ""
    cost: str = ""
    files: Sequence[str] = ()
    note: str = ""


class Overall:
    """Counts. It keeps nothing of a task that has ended, so ten thousand of them take the room of those under way."""

    def __init__(self, load: Workload, clock: Callable[[], float]) -> None:
        """Start at nothing; ``clock`` is in seconds."""
        self.load = load
        self.endings: Counter[str] = Counter()
        self._clock = clock
        self._began = clock()
        self._ends: deque[float] = deque([self._began], maxlen=RATE_OVER + 1)
        self._open: dict[str, tuple[Task, bool]] = {}
        self._spent: dict[str | None, float] = {}
        self._unknown = False

    def note(self, event: Event) -> None:
        """Take in what a task has reached."""
        if not isinstance(event, TaskChanged):
            return
        task = event.task
        fresh = task.state.kind in ("new", "sending")  # one that is seen later first was bought by an earlier run
        _, ours = self._open.get(task.id, (task, fresh))
        if under_way(task) in ENDED:
            self._open.pop(task.id, None)
            if ours:
                self._spend(task)
        else:
            self._open[task.id] = task, ours

    def ended(self, asset: AssetEnded) -> None:
        """Take in the end of an asset."""
        if asset.counts:
            self.endings[asset.ending] += 1
            if asset.ending in WORKED:
                self._ends.append(self._clock())

    def _spend(self, task: Task) -> None:
        if task.charged == "no" or task.sandbox:
            return
        known = task.cost.estimated if task.cost.actual is None else task.cost.actual
        if known is None:
            self._unknown = True
        else:
            self._spent[task.cost.unit] = self._spent.get(task.cost.unit, 0.0) + known

    @property
    def done(self) -> int:
        """How many assets have ended."""
        return self.endings.total()

    @property
    def under_way(self) -> int:
        """How many purchases are under way."""
        return len(self._open)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    @property
    def left(self) -> float | None:
        """Seconds until the end at the pace of the last assets; ``None`` where nobody can say."""
        ends = len(self._ends) - 1
        rest = self.load.total - self.done
        if ends < RATE_FROM or rest <= 0:
            return None
        return (self._clock() - self._ends[0]) / ends * rest

    @property
    def spent(self) -> str:
        """What this run has bought so far, purchases under way with their estimate; empty for nothing."""
        sums, unknown = dict(self._spent), self._unknown
        for task, ours in self._open.values():
            if ours and task.charged != "no" and not task.sandbox:
                known = task.cost.estimated if task.cost.actual is None else task.cost.actual
                unknown = unknown or known is None
                sums[task.cost.unit] = sums.get(task.cost.unit, 0.0) + (known or 0.0)
        parts = [amount(total, unit) for unit, total in sums.items() if total]
        return " + ".join([*parts, "something unknown"] if unknown else parts)

    @property
    def price(self) -> str:
        """``24 of 680 credits``, or whichever half of it is known."""
        spent, whole = self.spent, self.load.estimate
        unit = spent.rpartition(" ")[2]
        if spent.count(" ") == whole.count(" ") == 1 and whole.endswith(f" {unit}"):
            return f"{spent.partition(' ')[0]} of {whole}"
        return f"{spent} of {whole}" if spent and whole else spent or (f"0 of {whole}" if whole else "")
