"""Modelverse (UCloud): synchronous pictures, or tasks; local pictures inside the JSON body; no idempotency key.

Source: seed 002; contracts.md section 2. Switches for what those leave open: ``image_encoding`` is ``data-uri``
(default) or ``raw`` for bare Base64 (contracts.md 2.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import AliasChoices, Field

from wan_cli import errors
from wan_cli.media import decode_b64
from wan_cli.models import Answer, Cancelled, Done, Facts, Failed, Flow, Job, Media, Output, Pending
from wan_cli.providers.base import Embedded, Fault, Provider, Reply, TaskId, Unreadable, outputs

IMAGES = "/v1/images/generations"
SUBMIT = "/v1/tasks/submit"
STATUS = "/v1/tasks/status"

_ENDED_BADLY = re.compile(r"code=(?P<code>[^,\s]+),\s*message=(?P<message>.*)", re.DOTALL)


class _Image(Reply):
    url: str | None = None
    b64_json: str | None = None

    def output(self) -> Output | None:
        """Return the first non-empty of the two (contracts.md 6.3 rule 2)."""
        if self.b64_json:
            decode_b64(self.b64_json)  # a wrong one is found before the answer counts as read
            return Output(b64=self.b64_json)
        return Output(url=self.url) if self.url else None


class _Images(Reply):
    """The synchronous answer (contracts.md 2.2)."""

    created: int | None = None
    data: list[_Image] | None = None
    request_id: str | None = None

    def state(self) -> Answer:
        try:
            found = [image.output() for image in self.data or []]
        except ValueError as error:
            raise Unreadable(f"b64_json: {error}") from error
        results = tuple(dict.fromkeys(output for output in found if output))
        return Done(outputs=results, facts=Facts(request_id=self.request_id or None))


class _Output(Reply):
    task_id: TaskId | None = Field(None, validation_alias=AliasChoices("task_id", "taskId"))
    task_status: str | None = Field(None, validation_alias=AliasChoices("task_status", "taskStatus"))
    urls: list[str] = Field(default_factory=list)
    finish_time: float | None = None
    error_message: str | None = None


class _Task(Reply):
    """The answer to submit and to status (contracts.md 2.3)."""

    output: _Output
    usage: dict[str, Any] | None = None
    request_id: str | None = None

    def facts(self) -> Facts:
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
            return Done(outputs=outputs(self.output.urls), task_id=pending.task_id, facts=self.facts())
        if status in ("failure", "failed", "expired"):
            text = self.output.error_message or "the provider gives no reason"
            parts = _ENDED_BADLY.fullmatch(text)
            return Failed(
                code="task_failed", message=parts["message"] if parts else text,
                provider_code=parts["code"] if parts else None, facts=self.facts(),
            )  # fmt: skip
        if status in ("cancelled", "canceled"):
            return Cancelled(facts=self.facts())
        note = {"pending": "queued", "queued": "queued", "running": "processing", "in_progress": "processing"}
        shown = note.get(status, f"status {self.output.task_status!r}")
        return Pending(task_id=pending.task_id, ref=pending.ref, note=shown, facts=self.facts())


class Modelverse(Provider):
    """Tasks by default, since a lost answer about a task can be asked for again; ``--sync`` for the other contract."""

    name = "modelverse"
    endpoints = (IMAGES, SUBMIT, STATUS, "/v1")
    quirk_values = MappingProxyType({"image_encoding": ("data-uri", "raw")})
    errors = MappingProxyType(  # contracts.md 2.6; the 500 and 504 codes are not here: the model may have run
        {
            "param_error": errors.RequestRejected,
            "invalid_messages": errors.RequestRejected,
            "sensitive_check_error": errors.Moderation,
            "websearch_error": errors.RequestRejected,
            "model_error": errors.ModelUnknown,
            "tokens_too_long": errors.RequestRejected,
            "auth_error": errors.KeyRejected,
            "rate_limit": errors.RateLimited,
            "InvalidParameter": errors.RequestRejected,
            "DataInspectionFailed": errors.Moderation,
            "permission_error": errors.InsufficientCredits,
            "forbidden": errors.InsufficientCredits,
        }
    )

    def submit(self, job: Job, *, token: str) -> Flow[Answer]:
        """Ask for pictures. Modelverse documents no idempotency key, so ``token`` is not sent."""
        del token
        embedded = tuple(self._embedded(media) for media in job.media if media.file)
        if job.route == "sync":
            response = yield self.request("POST", IMAGES, body=self._images_body(job), embedded=embedded)
            return self.parse(response, _Images).state()
        response = yield self.request("POST", SUBMIT, body=self._task_body(job), embedded=embedded)
        return self.parse(response, _Task).accepted()

    def poll(self, pending: Pending) -> Flow[Answer]:
        """Ask for the task's status (contracts.md 2.3)."""
        response = yield self.request("GET", STATUS, query={"task_id": pending.task_id})
        return self.parse(response, _Task).state(pending)

    def vanished(self, fault: Fault) -> bool:
        """Tell whether the task is unknown: HTTP 400 "invalid task_id" (contracts.md 2.6)."""
        return super().vanished(fault) or "invalid task_id" in fault.message.casefold()

    def _images_body(self, job: Job) -> dict[str, Any]:
        """Body of the synchronous contract (contracts.md 2.2)."""
        pictures = self._pictures(job, one="image")
        return _said({"model": self._model(job), "prompt": job.prompt, **pictures, "size": job.size,
                      "thinking_mode": job.thinking, "enable_sequential": job.verb == "sequence" or None,
                      "n": _count(job), "seed": job.seed, "watermark": job.watermark}) | dict(job.params)  # fmt: skip

    def _task_body(self, job: Job) -> dict[str, Any]:
        """Body of the asynchronous contract (contracts.md 2.3); thinking is called ``prompt_extend`` there."""
        parameters = _said({"size": job.size, "prompt_extend": job.thinking,
                            "enable_sequential": job.verb == "sequence" or None, "n": _count(job), "seed": job.seed,
                            "watermark": job.watermark}) | dict(job.params)  # fmt: skip
        body: dict[str, Any] = {
            "model": self._model(job),
            "input": _said({"prompt": job.prompt, **self._pictures(job, one="img_url")}),
        }
        return body | ({"parameters": parameters} if parameters else {})

    def _pictures(self, job: Job, *, one: str) -> Mapping[str, Any]:
        """One picture has a field of its own; several, and those of a sequence, go as ``images``."""
        values = [self._embedded(media).placeholder if media.file else media.url for media in job.media]
        if not values:
            return {}
        return {one: values[0]} if len(values) == 1 and job.verb != "sequence" else {"images": values}

    def _embedded(self, media: Media) -> Embedded:
        if media.file is None:
            msg = "only local files are embedded"
            raise ValueError(msg)
        return Embedded(media.file, raw=self.quirks["image_encoding"] == "raw")

    def _model(self, job: Job) -> str:
        known = self.capabilities.find(job.model)
        return known.id if known else job.model


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what the user did not say."""
    return {name: value for name, value in fields.items() if value is not None and value != ""}


def _count(job: Job) -> int | None:
    """``n`` where it is not the documented default of one; always for a sequence, whose upstream default is 12."""
    return job.n if job.n != 1 or job.verb == "sequence" else None


PROVIDER = Modelverse
