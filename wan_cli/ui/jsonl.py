"""``--jsonl``: a line per event on stdout (interface.md, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wan_cli.models import Task, TaskChanged, Transfer
from wan_cli.ui.document import VERSION, error_object, jsonl_line, task_document, totals
from wan_cli.ui.reporter import EventReporter
from wan_cli.ui.wording import under_way

if TYPE_CHECKING:
    from wan_cli.errors import WanError
    from wan_cli.models import Event, Warned
    from wan_cli.ui.overall import AssetEnded
    from wan_cli.ui.streams import Streams

TRANSFER_EVERY_S = 0.25
"""Seconds between two lines about the bytes of one file."""


def _event(event: str, /, **fields: object) -> dict[str, Any]:
    return {"wan": VERSION, "event": event, **fields}


def task_event(changed: TaskChanged, *, cwd: str) -> dict[str, Any]:
    """Return the event of a task that reached a state; ``note`` is ``None`` where there is nothing to add."""
    fetching = under_way(changed.task) == "downloading"
    task = task_document(changed.task, cwd=cwd, fetching=fetching)
    return _event("task", note=changed.note or None, task=task)


def transfer_event(transfer: Transfer) -> dict[str, Any]:
    """Return the event of bytes: ``done`` of ``total``, which is ``None`` where it is unknown."""
    task = transfer.task
    return _event(
        "transfer", id=task.id, handle=task.handle, name=transfer.name, done=transfer.done, total=transfer.total
    )


def warning_event(warned: Warned) -> dict[str, Any]:
    """Return the event of a warning; ``id`` is the task's, if it is about one."""
    return _event("warning", id=warned.task.id if warned.task else None, message=warned.message)


def request_event(request: dict[str, Any]) -> dict[str, Any]:
    """Return the event of a request that a dry run would send."""
    return _event("request", request=request)


def row_event(event: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event of one row of a listing: ``plan`` or ``finding``."""
    return _event(event, **{event: dict(row)})


def worker_event(what: str, message: str, at: float, more: Mapping[str, object]) -> dict[str, Any]:
    """Return the event of a worker of a queue, about itself; ``at`` is seconds since the epoch."""
    return _event("worker", at=at, what=what, message=message, **more)


def asset_event(asset: AssetEnded) -> dict[str, Any]:
    """Return the event of an asset that has ended."""
    return _event("asset", asset=dict(asset.document))


def summary_event(
    command: str, tasks: Sequence[Task], error: WanError | None, exit_code: int, *, ok: bool, **extra: object
) -> dict[str, Any]:
    """Return the last event: how the command ends, what it costs in each unit, and what the command adds."""
    return _event(
        "summary", command=command, ok=ok, exit_code=exit_code, tasks=len(tasks), totals=totals(tasks), **extra,
        error=error_object(error),
    )  # fmt: skip


class JsonlReporter(EventReporter):
    """Writes each event as a line of JSON. ``clock`` is in seconds; ``cwd`` is what paths are relative to.

    Bytes of one file are told of at most four times a second; the last count is never lost.
    """

    def __init__(self, streams: Streams, *, cwd: str, clock: Callable[[], float]) -> None:
        """Remember where to write."""
        self._streams = streams
        self._cwd = cwd
        self._clock = clock
        self._told: dict[str, dict[str, float]] = {}
        self._held: dict[tuple[str, str], Transfer] = {}
        self._fetching: dict[str, dict[str, Any]] = {}

    def __call__(self, event: Event) -> None:
        """Write the event, or hold it back where it is one of many about bytes."""
        if isinstance(event, Transfer):
            self._transfer(event)
        elif isinstance(event, TaskChanged):
            self._release(event.task.id)
            self._told.pop(event.task.id, None)
            self._task(task_event(event, cwd=self._cwd))
        else:
            self._write(warning_event(event))

    def ended(self, asset: AssetEnded) -> None:
        """Write the asset's event."""
        self._write(asset_event(asset))

    def close(self) -> None:
        """Write what was held back."""
        for task_id in [task_id for task_id, _ in self._held]:
            self._release(task_id)

    def _task(self, line: dict[str, Any]) -> None:
        """Write the event of a task. That it is being fetched is told twice, before and as it begins: once will do."""
        task = line["task"]
        if self._fetching.get(task["id"]) != line:
            self._write(line)
        self._fetching.pop(task["id"], None)
        if task["state"] == "downloading":
            self._fetching[task["id"]] = line

    def _transfer(self, event: Transfer) -> None:
        key, now = (event.task.id, event.name), self._clock()
        told = self._told.setdefault(event.task.id, {})
        if event.done != event.total and event.name in told and now - told[event.name] < TRANSFER_EVERY_S:
            self._held[key] = event
            return
        told[event.name] = now
        self._held.pop(key, None)
        self._write(transfer_event(event))

    def _release(self, task_id: str) -> None:
        for key in [key for key in self._held if key[0] == task_id]:
            self._write(transfer_event(self._held.pop(key)))

    def _write(self, event: dict[str, Any]) -> None:
        self._streams.out(jsonl_line(event))
