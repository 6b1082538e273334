"""One plain line on stderr for each change of state: logs, CI, dumb and narrow terminals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wan_cli.models import TaskChanged, Warned
from wan_cli.text import one_line
from wan_cli.ui.messages import warning_line
from wan_cli.ui.reporter import EventReporter
from wan_cli.ui.wording import ENDED, cost, elapsed, remark, under_way

if TYPE_CHECKING:
    from wan_cli.models import Event, Task
    from wan_cli.ui.streams import Streams

GAP = "  "


class PlainReporter(EventReporter):
    """Writes ``ID  PROVIDER  STATE  REMARK``; the first line of a task adds its model and the estimate.

    The handle stands on the first line after there is one, so that an aborted log still says how to go on. ``quiet``
    silences all of it. ``clock`` is in seconds.
    """

    def __init__(self, streams: Streams, *, quiet: bool, clock: Callable[[], float]) -> None:
        """Remember where to write; nothing is written before the first event."""
        self._streams = streams
        self._quiet = quiet
        self._clock = clock
        self._began: dict[str, float] = {}
        self._said: dict[str, tuple[str, str]] = {}
        self._with_handle: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Write a line if the event tells something new; bytes are not worth one."""
        if self._quiet:
            return
        if isinstance(event, Warned):
            self._streams.say(warning_line(event, color=self._streams.color))
        elif isinstance(event, TaskChanged):
            said = under_way(event.task), remark(event.task, event.note)
            if self._said.get(event.task.id) != said:
                self._streams.say(self._line(event.task, *said))
                self._said[event.task.id] = said

    def close(self) -> None:
        """Do nothing: every line is complete when it is written."""

    def _line(self, task: Task, state: str, note: str) -> str:
        first = task.id not in self._began
        started = self._began.setdefault(task.id, self._clock())
        provider = one_line(task.provider)
        parts = [one_line(task.id), f"{provider} {one_line(task.job.model)}" if first else provider, state, note]
        if first or task.cost.actual is not None:
            parts.append(cost(task) + (" (sandbox)" if task.sandbox else ""))
        if state in ENDED:
            parts.append(elapsed(self._clock() - started))
        if task.handle and task.id not in self._with_handle:
            self._with_handle.add(task.id)
            parts.append(one_line(task.handle))
        return GAP.join(part for part in parts if part)
