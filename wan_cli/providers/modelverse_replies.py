"""The shapes of Modelverse's answers about tasks (contracts.md 2.3)."""

from __future__ import annotations

import re
from typing import Annotated, Any

from wan_cli.models import Answer, Cancelled, Done, Facts, Failed, Pending
from wan_cli.pattern import pattern
from wan_cli.providers.base import Unreadable, outputs
from wan_cli.providers.reply import Aside, Called, Reply, TaskId

_ENDED_BADLY = pattern(r"code=(?P<code>[^,\s]+),\s*message=(?P<message>.*)", re.DOTALL)


class Output(Reply):
    """What both answers have inside."""

    task_id: Annotated[TaskId | None, Called(("task_id", "taskId"))] = None
    task_status: Annotated[str | None, Called(("task_status", "taskStatus"))] = None
    urls: list[str | None] | None = None
    finish_time: Annotated[float | None, Aside] = None
    error_message: Annotated[str | None, Aside] = None


class Task(Reply):
    """The answer to submit and to status (contracts.md 2.3)."""

    output: Output
    usage: Annotated[dict[str, Any] | None, Aside] = None
    request_id: Annotated[str | None, Aside] = None

    def facts(self) -> Facts:
        """Return what the answer says beside its state."""
        return Facts(
            request_id=self.request_id or None, usage=self.usage, finished_at=self.output.finish_time or None
        )  # fmt: skip

    def accepted(self) -> Answer:
        """Read the answer to submit, whose task id is all that matters."""
        if self.output.task_id is None:
            raise Unreadable("the answer to the submit has no task id")
        return Pending(task_id=self.output.task_id, ref={"task_id": self.output.task_id}, facts=self.facts())

    def state(self, pending: Pending) -> Answer:
        """Read the answer to status: both vocabularies of contracts.md 2.3, in any case."""
        status = (self.output.task_status or "").casefold()
        if status in ("success", "succeeded", "completed"):
            return Done(outputs=outputs(self.output.urls or ()), task_id=pending.task_id, facts=self.facts())
        if status in ("failure", "failed", "expired"):
            text = self.output.error_message or "the provider gives no reason"
            parts = _ENDED_BADLY.fullmatch(text)
            return Failed(
                code="task_failed", message=parts["message"] if parts else text,
                provider_code=parts["code"] if parts else None, task_id=pending.task_id, facts=self.facts(),
            )  # fmt: skip
        if status in ("cancelled", "canceled"):
            return Cancelled(task_id=pending.task_id, facts=self.facts())
        note = {"pending": "queued", "queued": "queued", "running": "processing", "in_progress": "processing"}
        shown = note.get(status, f"status {self.output.task_status!r}")
        return Pending(task_id=pending.task_id, ref=pending.ref, note=shown, facts=self.facts())
