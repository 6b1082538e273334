"""What the live display shows, as rows of cells: which tasks, in which order, cut to the width."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from wan_cli.dataclass import dataclass, field
from wan_cli.models import Transfer
from wan_cli.text import one_line
from wan_cli.ui.wording import ENDED, cost, elapsed, remark, transferred, under_way

if TYPE_CHECKING:
    from wan_cli.models import Task, TaskChanged

MAX_ROWS = 12
"""Tasks that are shown one by one; with more, one line sums up and the active ones follow."""
NOTE_CELLS = 28
STATE_CELLS = 11
TIME_CELLS = 6


@dataclass(slots=True)
class Row:
    """One task on the board. Times are in the clock's seconds; ``ended`` is ``None`` while the task goes on.

    ``left`` says how many seconds it probably has left, as of ``told``.
    """

    task: Task
    state: str
    note: str
    began: float
    ended: float | None = None
    told: float = 0.0
    left: Callable[[], float] | None = None
    transfers: dict[str, tuple[int, int | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the display: the name before the state, the state, and the rest, all plain text."""

    head: str
    state: str
    rest: str
    style: str = ""
    """How the state is shown, where its word alone does not say it."""


def cut(text: str, cells: int, mark: str) -> str:
    """Return ``text`` in at most ``cells`` terminal cells; ``mark`` stands for what was cut off."""
    if cell_len(text) <= cells:
        return text
    return set_cell_size(text, max(0, cells - len(mark))).rstrip() + mark[: max(0, cells)]


class Board:
    """Keeps the newest of each task. ``clock`` is monotonic, in seconds; ``mark`` is the ellipsis to use."""

    def __init__(self, clock: Callable[[], float], mark: str = "…") -> None:
        """Start empty."""
        self._clock = clock
        self._mark = mark
        self._rows: dict[str, Row] = {}
        self._active: dict[str, Row] = {}
        self._states: Counter[str] = Counter()

    def note(self, event: TaskChanged | Transfer) -> None:
        """Take in an event."""
        row = self._rows.get(event.task.id)
        if isinstance(event, Transfer):
            if row:
                row.transfers[event.name] = (event.done, event.total)
            return
        task, now = event.task, self._clock()
        if row:
            self._states[row.state] -= 1
        else:
            row = self._rows[task.id] = Row(task, "", "", now)
        row.task, row.state, row.note = task, under_way(task), remark(task, event.note)
        row.ended = now if row.state in ENDED else None
        row.told, row.left = now, event.left
        self._states[row.state] += 1
        if row.state in ENDED or row.state == "planned":
            self._active.pop(task.id, None)
        else:
            self._active[task.id] = row

    def forget(self, task_id: str) -> None:
        """Drop a task."""
        row = self._rows.pop(task_id, None)
        if row is not None:
            self._states[row.state] -= 1
            self._active.pop(task_id, None)

    def lines(self, width: int, height: int) -> list[Line]:
        """Return what fits into ``width`` cells and ``height`` lines, both at least 1."""
        if len(self._rows) <= min(MAX_ROWS, height):
            return [self._line(row, width) for row in self._rows.values()]
        active = islice(self._active.values(), min(MAX_ROWS, height - 1))
        return [self._counts(width), *(self._line(row, width) for row in active)]

    def _counts(self, width: int) -> Line:
        counts = [f"{count} {state}" for state, count in self._states.items() if count]
        return Line(cut(f"{len(self._rows)} tasks: {', '.join(counts)}", width, self._mark), "", "")

    def _line(self, row: Row, width: int) -> Line:
        task = row.task
        spent = (row.ended if row.ended is not None else self._clock()) - row.began
        parts = [
            elapsed(spent).rjust(TIME_CELLS),
            self._left(row),
            cut(self._progress(row), NOTE_CELLS, self._mark),
            cost(task) + (" (sandbox)" if task.sandbox else ""),
            one_line(task.handle or ""),
        ]
        head, state = self._head(task) + "  ", row.state.ljust(STATE_CELLS)
        rest = "  ".join(part for part in parts if part)
        return Line(head, state, cut(rest, max(1, width - cell_len(head) - len(state)), self._mark))

    def _head(self, task: Task) -> str:
        return one_line(task.id)

    def _left(self, row: Row) -> str:
        """Return the time that is probably left; nothing where nobody can say, or it is over already."""
        left = row.left() - (self._clock() - row.told) if row.left else 0.0
        return f"~{elapsed(left)} left" if left >= 1 else ""

    @staticmethod
    def _progress(row: Row) -> str:
        if row.state != "downloading" or not row.transfers:
            return row.note
        done = sum(part for part, _ in row.transfers.values())
        whole = [total for _, total in row.transfers.values() if total is not None]
        return transferred(done, sum(whole) if len(whole) == len(row.transfers) else None)
