"""What a worker says: one line for what began or ended, or with ``--jsonl`` one JSON object a line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wan_cli.models import TaskChanged, Warned
from wan_cli.text import one_line
from wan_cli.ui.document import jsonl_line
from wan_cli.ui.jsonl import task_event, warning_event, worker_event
from wan_cli.ui.messages import warning_line
from wan_cli.ui.reporter import EventReporter
from wan_cli.ui.wording import ENDED, remark, under_way

if TYPE_CHECKING:
    from wan_cli.models import Event
    from wan_cli.ui.streams import Streams


class WorkerReporter(EventReporter):
    """Tells of tasks and of the worker itself; nothing of what it told is kept, for a worker runs for weeks."""

    def __init__(self, streams: Streams, *, quiet: bool, jsonl: bool) -> None:
        """Remember where to write."""
        self._streams = streams
        self._quiet = quiet
        self._jsonl = jsonl

    def __call__(self, event: Event) -> None:
        """Tell of a task that was bought or has ended, and of warnings; with ``--jsonl`` of every state."""
        if isinstance(event, Warned):
            if self._jsonl:
                self._line(warning_event(event))
            else:
                self._streams.say(warning_line(event, color=self._streams.color))
        elif isinstance(event, TaskChanged) and self._jsonl:
            self._line(task_event(event, cwd="/"))
        elif isinstance(event, TaskChanged) and not self._quiet and (state := under_way(event.task)) in ENDED:
            task = event.task
            parts = (task.id, task.provider, state, remark(task, event.note), task.handle or "")
            self._streams.say("  ".join(one_line(part) for part in parts if part))

    def tell(self, what: str, said: str, **more: Any) -> None:
        """Tell of the worker itself: that it ``started``, is ``draining``, ``left`` tasks to others, and so on."""
        if self._jsonl:
            self._line(worker_event(what, said, round(time.time(), 3), more))
        elif not self._quiet or what == "database":
            self._streams.say(said)

    def _line(self, event: dict[str, Any]) -> None:
        self._streams.out(jsonl_line(event))

    def close(self) -> None:
        """Do nothing: every line is complete when it is written."""
