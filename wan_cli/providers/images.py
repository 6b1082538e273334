"""The answer of ``/v1/images/generations``, as it comes from OpenAI, its relays and its imitators.

Source: contracts.md section 6.2 (what servers really send) and 6.3 (the rules of reading them).
"""

from __future__ import annotations

from typing import Annotated, Any

from wan_cli.models import Answer, Cancelled, Done, Facts, Failed, Output, Pending
from wan_cli.providers.base import Unreadable
from wan_cli.providers.reply import Aside, Reply, TaskId

QUEUED = frozenset({"queued", "pending", "submitted", "in_progress", "processing", "running", "not_start"})


class Image(Reply):
    """One item of ``data``: the first non-empty of ``b64_json`` and ``url`` counts (rule 2)."""

    url: str | None = None
    b64_json: str | None = None
    revised_prompt: str | None = None
    task_id: Annotated[TaskId | None, Aside] = None
    status: Annotated[str | None, Aside] = None

    def output(self) -> Output | None:
        """Return the result, ``None`` for an empty item.

        Base64 that cannot be decoded is a result too: it is paid for, so its text is kept (reliability.md R14).
        """
        if self.b64_json:
            return Output(b64=self.b64_json)
        return Output(url=self.url) if self.url else None


class Images(Reply):
    """The whole answer. ``created`` may be a number, a text or absent (rule 3); ``data`` may be null.

    An id of another form is only a label beside pictures: some servers number their answers.
    """

    data: list[Image] | None = None
    usage: Annotated[dict[str, Any] | None, Aside] = None
    request_id: Annotated[str | None, Aside] = None
    id: Annotated[TaskId | None, Aside] = None
    task_id: Annotated[TaskId | None, Aside] = None
    status: Annotated[str | None, Aside] = None

    def state(self, request_id: str | None = None) -> Answer:
        """Return pictures, or the task that a relay answers with instead (contracts.md 6.2, last row).

        ``request_id`` is that of the answer's headers, which counts where the body names none.
        """
        items = self.data or []
        found = [result for item in items if (result := item.output())]
        # each address once (reliability.md R13), while the same bytes twice are two results (D20)
        results = tuple(one for place, one in enumerate(found) if one.url is None or one not in found[:place])
        if not results and (task := self._task(items)):
            return task
        revised = next((item.revised_prompt for item in items if item.revised_prompt), None)
        facts = Facts(request_id=self.request_id or request_id or None, revised_prompt=revised, usage=self.usage)
        return Done(outputs=results, facts=facts)

    def _task(self, items: list[Image]) -> Pending | None:
        """Return the task, where the answer says that one is under way. Raises :class:`Unreadable` if it has no id."""
        first = items[0] if items else Image()
        task_id = self.task_id or first.task_id or self.id
        status = (self.status or first.status or "").casefold()
        if status not in QUEUED:
            return None
        if task_id is None:
            raise Unreadable("a task is under way, but the answer names no usable id for it")
        return Pending(task_id=task_id, ref={"task_id": task_id}, note=status, facts=Facts())


class _Result(Reply):
    data: tuple[Image, ...] = ()


class _Error(Reply):
    code: str | int | None = None
    message: str | None = None


class ImageTask(Reply):
    """A task of an asynchronous relay: ``GET /v1/images/generations/{id}`` (contracts.md 4.3, 6.2)."""

    status: str
    progress: Annotated[int | None, Aside] = None
    url: str | None = None
    result: _Result | None = None
    data: list[Image] | None = None
    error: Annotated[_Error | str | None, Aside] = None
    fail_reason: Annotated[str | None, Aside] = None

    def state(self, pending: Pending) -> Answer:
        """Return what the task has come to; an unknown status is still under way (reliability.md R09)."""
        status = self.status.casefold()
        if status in ("completed", "succeeded", "success"):
            items = [*(self.result.data if self.result else []), *(self.data or []), Image(url=self.url)]
            results = tuple(dict.fromkeys(found for item in items if (found := item.output())))
            return Done(outputs=results, task_id=pending.task_id)
        if status in ("cancelled", "canceled"):
            return Cancelled()
        if status in ("failed", "failure", "expired"):
            error = self.error if isinstance(self.error, _Error) else _Error(message=self.error)
            code = None if error.code is None else str(error.code)
            message = error.message or self.fail_reason or "the provider gives no reason"
            return Failed(code="task_failed", message=message, provider_code=code)
        shown = status if status in QUEUED else f"status {self.status!r}"
        return Pending(task_id=pending.task_id, ref=pending.ref, note=shown, progress=self.progress)
