"""ToAPIs: videos as tasks, files uploaded first.

Source: seed 004 for wan-2-7-video (``{model, mode, input}``; of ``input`` it documents only ``prompt`` and
``duration``, so every other name is a switch), contracts.md 4.3 and 4.7 for the flat shape of the other models.
Switches: ``shape`` (``auto``: the seed's for wan-2-7-video, flat for the rest), ``images_field``,
``references_field``, ``video_field``.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field

from wan_cli import errors
from wan_cli.models import Answer, Cancelled, Done, Facts, Failed, Flow, Job, LocalFile, Pending, Upload
from wan_cli.providers.base import Aside, Provider, Reply, TaskId, Unreadable, form_for, outputs, path_part
from wan_cli.providers.images import without_unsaid

VIDEOS = "/v1/videos/generations"
UPLOADS = "/v1/uploads"

_STATUS = {"queued": "queued", "submitted": "queued", "pending": "queued", "in_progress": "processing"}


class _Item(Reply):
    url: str | None = None
    status: str | None = None
    task_id: TaskId | None = None


class _Result(Reply):
    data: list[_Item] = Field(default_factory=list)


class _Error(Reply):
    code: str | int | None = None
    message: str | None = None


class _Task(Reply):
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
        first = self.data[0] if self.data else _Item()
        task_id = self.id or self.task_id or first.task_id  # its own client reads both (contracts.md 4.3)
        if task_id is None:
            raise Unreadable("the answer to the submit has no task id")
        return self.state(Pending(task_id=task_id, ref={"task_id": task_id}))

    def state(self, pending: Pending) -> Answer:
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


class _Upload(Reply):
    data: _Stored


class ToApis(Provider):
    """Tasks under ``/v1/videos/generations``; no idempotency key, no cancel, no list (contracts.md 4.2)."""

    name = "toapis"
    endpoints = (VIDEOS, UPLOADS, "/v1")
    uploads = True
    quirk_values = MappingProxyType(
        {
            "shape": ("auto", "guide", "flat"),
            "images_field": ("image_urls", "images", "image_url"),
            "references_field": ("reference_urls", "references"),
            "video_field": ("video_url", "video"),
        }
    )
    errors = MappingProxyType(  # seed 004; contracts.md 4.5
        {
            "invalid_request_error": errors.RequestRejected,
            "invalid_request": errors.RequestRejected,
            "authentication_error": errors.KeyRejected,
            "unauthorized": errors.KeyRejected,
            "insufficient_quota": errors.InsufficientCredits,
            "content_policy_violation": errors.Moderation,
            "rate_limit_exceeded": errors.RateLimited,
            "rate_limit_unavailable": errors.RateLimited,
        }
    )
    hints = MappingProxyType(  # seed 004, FAQ
        {"invalid apitype": "the model was sent to a chat endpoint: check TOAPIS_BASE_URL, and wan models toapis"}
    )

    def submit(self, job: Job, *, token: str) -> Flow[Answer]:
        """Create a task. The documents name no idempotency key, so ``token`` is not sent."""
        del token
        model = self.model_id(job.model)
        shape = self.quirks["shape"]
        guide = shape == "guide" or (shape == "auto" and model == "wan-2-7-video")
        body = self._guide(job, model) if guide else self._flat(job, model)
        response = yield self.request("POST", VIDEOS, body=body)
        return self.parse(response, _Task).accepted()

    def poll(self, pending: Pending) -> Flow[Answer]:
        """Ask for the task (contracts.md 4.3)."""
        response = yield self.request("GET", f"{VIDEOS}/{path_part(pending.task_id)}")
        return self.parse(response, _Task).state(pending)

    def upload(self, file: LocalFile, *, model: str, trace: str) -> Flow[Upload]:
        """Bring a picture or a video (contracts.md 4.4); inline Base64 is refused there."""
        del model, trace
        kind = "videos" if file.mime.startswith("video/") else "images"
        response = yield self.request("POST", f"{UPLOADS}/{kind}", form=form_for(file, {"purpose": "generation"}))
        stored = self.parse(response, _Upload).data
        return Upload(url=stored.url, file_id=stored.id)

    def _guide(self, job: Job, model: str) -> dict[str, Any]:
        """Return the seed's shape: the mode follows from the verb and the media."""
        frames = _urls(job, "first_frame", "last_frame")
        modes = {"edit": "video-edit", "fuse": "reference-to-video"}
        mode = modes.get(job.verb, "image-to-video" if frames else "text-to-video")
        said = {
            "prompt": job.prompt, "duration": job.duration, "resolution": job.resolution, "aspect_ratio": job.aspect,
            "negative_prompt": job.negative, "seed": job.seed, "watermark": job.watermark,
            "audio_setting": job.audio_setting, self.quirks["images_field"]: frames or None,
            self.quirks["references_field"]: _urls(job, "reference") or None,
            self.quirks["video_field"]: next(iter(_urls(job, "edit_source")), None),
        }  # fmt: skip
        return {"model": model, "mode": mode, "input": without_unsaid(said) | dict(job.params)}

    @staticmethod
    def _flat(job: Job, model: str) -> dict[str, Any]:
        """Return the documented shape of wan2.6 and its kin (contracts.md 4.7)."""
        references = _urls(job, "reference")
        said = {
            "model": model, "prompt": job.prompt, "duration": job.duration, "resolution": job.resolution,
            "aspect_ratio": job.aspect, "negative_prompt": job.negative, "seed": job.seed, "watermark": job.watermark,
            "image_urls": _urls(job, "first_frame", "last_frame") or None,
            "metadata": {"reference_urls": references} if references else None,
        }  # fmt: skip
        return without_unsaid(said) | dict(job.params)


def _urls(job: Job, *roles: str) -> list[str]:
    """Return the addresses of the media in these roles, in the order of the roles."""
    return [media.url for role in roles for media in job.media if media.role == role and media.url]


PROVIDER = ToApis
