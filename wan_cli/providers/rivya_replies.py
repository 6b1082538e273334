"""The shapes of Rivya's answers (contracts.md section 1)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from wan_cli import errors
from wan_cli.models import Answer, Cancelled, Done, Facts, Failed, Pending
from wan_cli.providers.base import outputs
from wan_cli.providers.reply import Aside, Reply, TaskId


class _Result(Reply):
    primary_url: str | None = None
    urls: list[str | None] | None = None


class _Error(Reply):
    code: str | None = None
    message: str | None = None


class Generation(Reply):
    """The task object that create and status answer alike (contracts.md 1.3, 1.4)."""

    id: TaskId
    status: str
    reserved_credits: Annotated[float | None, Aside] = None
    final_credits: Annotated[float | None, Aside] = None
    updated_at: Annotated[datetime | None, Aside] = None
    result: _Result | None = None
    error: Annotated[_Error | None, Aside] = None

    def state(self, asked: str | None = None) -> Answer:
        """Return what has become of the task; it keeps the id that was ``asked`` for, whatever the answer names."""
        task_id = asked or self.id
        match self.status.casefold():
            case "succeeded" | "success" | "completed":  # the documented spelling first (reliability.md R10)
                found = self.result or _Result()
                return Done(outputs=outputs(found.urls or [found.primary_url]), task_id=task_id, facts=self.facts(1))
            case "cancelled" | "canceled":
                return Cancelled(task_id=task_id, facts=self.facts(1))
            case "failed" | "failure" | "expired":
                error = self.error or _Error()
                return Failed(
                    code="task_failed",
                    message=error.message or "the provider gives no reason",
                    provider_code=error.code,
                    charged=_charged(self.final_credits),
                    task_id=task_id,
                    facts=self.facts(1),
                )
            case "queued" | "processing" as status:
                return Pending(task_id=task_id, ref={"task_id": task_id}, note=status, facts=self.facts(0))
            case status:  # reliability.md R09: new values may appear; the task is still running then
                return Pending(task_id=task_id, ref={"task_id": task_id}, note=f"status {status!r}")

    def facts(self, ended: int) -> Facts:
        """Return what the answer says beside its state."""
        return Facts(
            charged_amount=self.final_credits if ended else None,
            reserved_amount=self.reserved_credits,
            finished_at=self.updated_at.timestamp() if ended and self.updated_at else None,
        )


def _charged(final: float | None) -> errors.Charged:
    """Return whether a failed task was charged, by its ``final_credits``; less than nothing says nothing (R16)."""
    return "unknown" if final is None or final < 0 else "yes" if final else "no"


class PublicFile(Reply):
    """What is known of the Files answer; its exact shape is not (contracts.md 1.5)."""

    id: str | None = None
    url: str | None = None
    duration_token: str | None = None
    file: PublicFile | None = None
    data: PublicFile | None = None

    def innermost(self) -> PublicFile:
        """Return the part that names the file."""
        return self if self.url else (self.file or self.data or self)


class Credits(Reply):
    """What is left on the account (contracts.md 1.2)."""

    current_credits: float
