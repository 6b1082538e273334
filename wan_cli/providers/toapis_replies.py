"""The shapes of ToAPIs' answers (contracts.md 4.3, 4.4)."""

from __future__ import annotations

from typing import Annotated

from wan_cli.models import Answer, Cancelled, Done, Facts, Failed, Pending
from wan_cli.providers.base import Unreadable, outputs
from wan_cli.providers.reply import Aside, Reply, TaskId

_STATUS = {"queued": "queued", "submitted": "queued", "pending": "queued", "in_progress": "processing"}


class _Item(Reply):
    url: str | None = None
    status: str | None = None
    task_id: TaskId | None = None


class _Result(Reply):
    data: tuple[_Item, ...] = ()


class _Error(Reply):
    code: str | int | None = None
    message: str | None = None


class Task(Reply):
    """Every form of a task that the documents show (contracts.md 4.3): ``id`` or ``task_id``, old list, or nested."""

    id: Annotated[TaskId | None, Aside] = None
    task_id: Annotated[TaskId | None, Aside] = None
    status: str | None = None
    progress: Annotated[int | None, Aside] = None
    url: str | None = None
    result: _Result | None = None
    data: list[_Item] | None = None
    error: Annotated[_Error | str | None, Aside] = None
    fail_reason: Annotated[str | None, Aside] = None

    def accepted(self) -> Answer:
        """Read the answer to the submit, whose task id is all that matters."""
        first = self.data[0] if self.data else _Item()
        task_id = self.id or self.task_id or first.task_id  # its own client reads both (contracts.md 4.3)
        if task_id is None:
            raise Unreadable("the answer to the submit has no task id")
        return self.state(Pending(task_id=task_id, ref={"task_id": task_id}))

    def state(self, pending: Pending) -> Answer:
        """Return what has become of the task; an unknown status is still under way (reliability.md R09)."""
        first = self.data[0] if self.data else _Item()
        status = (self.status or first.status or "queued").casefold()
        if status in ("completed", "succeeded", "success"):
            found = [item.url for item in self.result.data] if self.result else []
            return Done(outputs=outputs([*found, self.url, first.url]), task_id=pending.task_id)
        if status in ("cancelled", "canceled"):
            return Cancelled(task_id=pending.task_id)
        if status in ("failed", "failure", "expired"):
            error = self.error if isinstance(self.error, _Error) else _Error(message=self.error)
            message = error.message or self.fail_reason or "the provider gives no reason"
            code = None if error.code is None else str(error.code)
            return Failed(
                code="task_failed", message=message, provider_code=code, task_id=pending.task_id,
                hint="if it was charged all the same, ask ToAPIs' support with the task id and this message",
            )  # fmt: skip
        note = _STATUS.get(status, f"status {status!r}")
        return Pending(task_id=pending.task_id, ref=pending.ref, note=note, progress=self.progress, facts=Facts())


class _Stored(Reply):
    url: str
    id: str | None = None


class Uploaded(Reply):
    """The answer to an upload (contracts.md 4.4)."""

    data: _Stored
