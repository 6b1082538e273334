"""The shapes of DashScope's answers (contracts.md 5.2 to 5.5), in snake case and in the camel case of some relays."""

from __future__ import annotations

from typing import Annotated, Any

from wan_cli.models import Answer, Cancelled, Done, Facts, Failed, Pending
from wan_cli.providers.base import Unreadable, outputs
from wan_cli.providers.listed import Listed
from wan_cli.providers.reply import Aside, Called, Reply, TaskId

_MS = 1000


class _Content(Reply):
    image: str | None = None


class _Message(Reply):
    content: Annotated[list[Annotated[_Content | None, Aside]] | None, Aside] = None


class _Choice(Reply):
    message: Annotated[_Message | None, Aside] = None


class _Result(Reply):
    """One entry of ``results``; that of a subtask that failed has a code and no address (contracts.md 5.4)."""

    url: str | None = None


class _Output(Reply):
    task_id: Annotated[TaskId | None, Aside, Called(("task_id", "taskId"))] = None
    task_status: Annotated[str | None, Called(("task_status", "taskStatus"))] = None
    code: Annotated[str | None, Aside] = None
    message: Annotated[str | None, Aside] = None
    actual_prompt: Annotated[str | None, Aside] = None
    video_url: Annotated[str | None, Aside, Called(("video_url", "videoUrl"))] = None
    choices: Annotated[list[Annotated[_Choice | None, Aside]] | None, Aside] = None
    results: Annotated[list[Annotated[_Result | None, Aside]] | None, Aside] = None

    def urls(self) -> list[str | None]:
        """Return the address of every result, in order."""
        messages = [choice.message for choice in self.choices or () if choice]
        contents = [part for message in messages if message for part in message.content or ()]
        pictures = [part.image for part in contents if part]
        return [*pictures, *(result.url for result in self.results or () if result), self.video_url]


class Task(Reply):
    """The answer to a submit of either interface, and to a poll."""

    output: _Output
    usage: Annotated[dict[str, Any] | None, Aside] = None
    request_id: Annotated[str | None, Aside, Called(("request_id", "requestId"))] = None

    def facts(self) -> Facts:
        """Return what the answer says beside its state; its times have no zone, so they tell nothing."""
        return Facts(
            request_id=self.request_id or None, usage=self.usage, revised_prompt=self.output.actual_prompt or None
        )

    def at_once(self) -> Answer:
        """Read the answer of the synchronous interface; a relay may answer with a task all the same."""
        found = outputs(self.output.urls())
        if not found and self.output.task_id:
            return self.accepted()
        return Done(outputs=found, facts=self.facts())

    def accepted(self) -> Answer:
        """Read the answer to the submit, whose task id is all that matters."""
        if self.output.task_id is None:
            raise Unreadable("the answer to the submit has no task id")
        return self.state(Pending(task_id=self.output.task_id, ref={"task_id": self.output.task_id}))

    def state(self, pending: Pending) -> Answer:
        """Return what has become of the task; an unknown status is still under way (reliability.md R09)."""
        output, facts = self.output, self.facts()
        found = _ended(output.task_status, pending.task_id, output.code, output.message, facts)
        if isinstance(found, Done):
            return Done(outputs=outputs(output.urls()), task_id=pending.task_id, facts=facts)
        if found is not None:
            return found
        note = _NOTES.get((output.task_status or "pending").casefold(), f"status {output.task_status!r}")
        return Pending(task_id=pending.task_id, ref=pending.ref, note=note, facts=facts)


_NOTES = {"pending": "queued", "running": "processing"}


def _ended(status: str | None, task_id: str, code: str | None, message: str | None, facts: Facts) -> Answer | None:
    """Return the state that an ended task's status means, ``None`` for one that goes on (contracts.md 5.4, 7)."""
    word = (status or "").casefold()
    if word in ("succeeded", "success"):
        return Done(outputs=(), task_id=task_id, facts=facts)
    if word in ("canceled", "cancelled"):
        return Cancelled(task_id=task_id, facts=facts)
    if word in ("failed", "failure"):
        said = message or "the provider gives no reason"
        return Failed(code="task_failed", message=said, provider_code=code or None, task_id=task_id, facts=facts)
    return None


class Accepted(Reply):
    """The answer to a cancellation that was accepted."""

    request_id: Annotated[str | None, Aside] = None


class _Entry(Reply):
    task_id: TaskId
    status: str | None = None
    model_name: Annotated[str | None, Aside] = None
    gmt_create: Annotated[float | None, Aside] = None
    end_time: Annotated[float | None, Aside] = None
    request_id: Annotated[str | None, Aside] = None

    def listed(self) -> Listed:
        """Return the entry with its times in seconds."""
        state = _ended(self.status, self.task_id, None, None, Facts())
        word = (self.status or "").casefold()
        if state is None:
            state = Pending(task_id=self.task_id, note=_NOTES.get(word, f"status {self.status!r}"))
        return Listed(
            task_id=self.task_id, model=self.model_name or "", state=state, request_id=self.request_id,
            created_at=None if self.gmt_create is None else self.gmt_create / _MS,
            finished_at=None if self.end_time is None else self.end_time / _MS,
        )  # fmt: skip


class Page(Reply):
    """A page of the list of tasks; an entry with an id of another form is left out."""

    data: list[Annotated[_Entry | None, Aside]]
    total_page: Annotated[int | None, Aside] = None

    def listed(self) -> list[Listed]:
        """Return its entries."""
        return [entry.listed() for entry in self.data if entry]


class _PolicyData(Reply):
    policy: str
    signature: str
    upload_dir: str
    upload_host: str
    oss_access_key_id: str
    x_oss_object_acl: str = "private"
    x_oss_forbid_overwrite: str = "true"

    def fields(self, key: str) -> dict[str, str]:
        """Return the form's fields, the file itself apart: it goes last (contracts.md 5.5)."""
        return {
            "OSSAccessKeyId": self.oss_access_key_id, "Signature": self.signature, "policy": self.policy, "key": key,
            "x-oss-object-acl": self.x_oss_object_acl, "x-oss-forbid-overwrite": self.x_oss_forbid_overwrite,
            "success_action_status": "200",
        }  # fmt: skip


class Policy(Reply):
    """The permission to leave a file at the object store."""

    data: _PolicyData
