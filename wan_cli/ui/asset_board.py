"""The live display of a render: a bar for all of it, and below it the assets under way."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from wan_cli.models import TaskChanged
from wan_cli.text import one_line
from wan_cli.ui.board import MAX_ROWS, Board, Line, cut
from wan_cli.ui.overall import AssetEnded, Overall, Workload
from wan_cli.ui.wording import ENDED, elapsed, under_way

if TYPE_CHECKING:
    from wan_cli.models import Task, Transfer

NAME_CELLS = 28
"""An asset's id takes at most this much of a line, and less than half of a narrow one."""
BAR = (10, 30)
"""Cells of the bar, least and most; where there is no room for the least, the numbers stand alone."""


class AssetBoard(Board):
    """Shows assets instead of tasks, and forgets each when it has ended."""

    def __init__(self, clock: Callable[[], float], mark: str, load: Workload) -> None:
        """Start empty; ``mark`` is the ellipsis to use."""
        super().__init__(clock, mark)
        self._overall = Overall(load, clock)
        self._marks = "#-" if mark.isascii() else "━─"
        self._wide = 0

    def note(self, event: TaskChanged | Transfer) -> None:
        """Take in an event."""
        super().note(event)
        self._overall.note(event)
        if isinstance(event, TaskChanged) and under_way(event.task) in ENDED:
            self.forget(event.task.id)

    def ended(self, asset: AssetEnded) -> None:
        """Take in the end of an asset."""
        self._overall.ended(asset)

    def lines(self, width: int, height: int) -> list[Line]:
        """Return what fits into ``width`` cells and ``height`` lines, both at least 1."""
        rows = list(islice(self._active.values(), max(0, min(MAX_ROWS, height - 1))))
        self._wide = min(
            NAME_CELLS, max(4, width // 2 - 7), max((cell_len(self._name(row.task)) for row in rows), default=0)
        )
        return [self._bar(width), *(self._line(row, width) for row in rows)]

    def _name(self, task: Task) -> str:
        name = one_line(self._overall.load.name_of(task))
        return f"{name} {task.item}/{task.siblings}" if task.siblings > 1 else name

    def _head(self, task: Task) -> str:
        return set_cell_size(cut(self._name(task), self._wide, self._mark), self._wide)

    def _bar(self, width: int) -> Line:
        now = self._overall
        failed, left = now.endings["failed"], now.left
        parts = [f"{now.done}/{now.load.total}", f"{failed} failed" if failed else "", now.price]
        parts.append(elapsed(now.elapsed) + (f", about {elapsed(left)} left" if left is not None else ""))
        parts = [part for part in parts if part]
        least, most = BAR
        while len(parts) > 1 and cell_len("  ".join(parts)) + least + 2 > width:
            parts.pop()
        text = "  ".join(parts)
        cells = min(most, width - cell_len(text) - 2)
        if cells < least:
            return Line("", "", cut(text, width, self._mark))
        full = cells * now.done // max(1, now.load.total)
        style = "red" if failed else "green"
        return Line("", self._marks[0] * full, self._marks[1] * (cells - full) + "  " + text, style)
