"""Modelverse (UCloud): synchronous pictures, or tasks; local pictures inside the JSON body; no idempotency key.

Source: seed 002; contracts.md section 2. Switches for what those leave open: ``image_encoding`` is ``data-uri``
(default) or ``raw`` for bare Base64 (contracts.md 2.4); ``video_shape`` is ``media`` (shape A of contracts.md 2.8) or
``flat`` (shape B).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from wan_cli import errors
from wan_cli.errors import WanError
from wan_cli.models import Answer, Flow, Job, Media, Pending
from wan_cli.providers.base import Embedded, Fault, Provider, without_unsaid
from wan_cli.providers.images import Images
from wan_cli.providers.modelverse_replies import Task
from wan_cli.providers.upstream_video import video_body, video_media, video_model

IMAGES = "/v1/images/generations"
SUBMIT = "/v1/tasks/submit"
STATUS = "/v1/tasks/status"


class Modelverse(Provider):
    """Tasks by default, since a lost answer about a task can be asked for again; ``--sync`` for the other contract."""

    name = "modelverse"
    endpoints = (IMAGES, SUBMIT, STATUS, "/v1")
    quirk_values = MappingProxyType({"image_encoding": ("data-uri", "raw"), "video_shape": ("media", "flat")})
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

    hints = MappingProxyType({"whitelist": "allow this machine's address for the key at {docs}, then run it again"})

    def refusal(self, fault: Fault) -> type[WanError] | None:
        """Tell an address that the key is not for from a key without quota: their codes are the same (2.6)."""
        kind = super().refusal(fault)
        if kind is errors.InsufficientCredits and "whitelist" in fault.message.casefold():
            return errors.KeyRejected
        return kind

    def submit(self, job: Job, *, token: str) -> Flow[Answer]:
        """Ask for pictures. Modelverse documents no idempotency key, so ``token`` is not sent."""
        del token
        embedded = tuple(self._embedded(media) for media in job.media if media.file)
        if job.route == "sync":
            response = yield self.request("POST", IMAGES, body=self._images_body(job), embedded=embedded)
            return self.parse(response, Images).state()
        body = self._video_body(job) if job.makes == "video" else self._task_body(job)
        flat = job.makes == "video" and self.quirks["video_shape"] == "flat"
        headers = {"X-DashScope-Async": "enable"} if flat else None  # marked as required there (contracts.md 2.8 B)
        response = yield self.request("POST", SUBMIT, body=body, embedded=embedded, headers=headers)
        return self.parse(response, Task).accepted()

    def model_for(self, job: Job) -> str:
        """Return the gateway's model: the four of videos are one here."""
        return video_model(job, self.capabilities) if job.makes == "video" else self.model_id(job.model)

    def poll(self, pending: Pending) -> Flow[Answer]:
        """Ask for the task's status (contracts.md 2.3)."""
        response = yield self.request("GET", STATUS, query={"task_id": pending.task_id})
        return self.parse(response, Task).state(pending)

    def vanished(self, fault: Fault) -> bool:
        """Tell whether the task is unknown: HTTP 400 "invalid task_id" (contracts.md 2.6)."""
        return super().vanished(fault) or "invalid task_id" in fault.message.casefold()

    def _images_body(self, job: Job) -> dict[str, Any]:
        """Body of the synchronous contract (contracts.md 2.2)."""
        pictures = self._pictures(job, one="image")
        return without_unsaid({
            "model": self.model_id(job.model), "prompt": job.prompt, **pictures, "size": job.size,
            "thinking_mode": job.thinking, "enable_sequential": job.verb == "sequence" or None, "n": _count(job),
            "seed": job.seed, "watermark": job.watermark,
        }) | dict(job.params)  # fmt: skip

    def _task_body(self, job: Job) -> dict[str, Any]:
        """Body of the asynchronous contract (contracts.md 2.3); thinking is called ``prompt_extend`` there."""
        parameters = without_unsaid({
            "size": job.size, "prompt_extend": job.thinking, "enable_sequential": job.verb == "sequence" or None,
            "n": _count(job), "seed": job.seed, "watermark": job.watermark,
        }) | dict(job.params)  # fmt: skip
        body: dict[str, Any] = {
            "model": self.model_id(job.model),
            "input": without_unsaid({"prompt": job.prompt, **self._pictures(job, one="img_url")}),
        }
        return body | ({"parameters": parameters} if parameters else {})

    def _video_body(self, job: Job) -> dict[str, Any]:
        """Body of a video task: the upstream's shape (contracts.md 2.8 A and 5.3), or the flattened one (2.8 B)."""
        flat = self.quirks["video_shape"] == "flat"
        media = self._flat_media(job) if flat else video_media(job, self._address)
        return video_body(job, self.capabilities, media)

    def _flat_media(self, job: Job) -> dict[str, Any]:
        """Shape B, as the gateway's other video models have it (contracts.md 2.8)."""
        names = {"first_frame": "first_frame_url", "last_frame": "last_frame_url", "first_clip": "first_clip_url",
                 "driving_audio": "audio_url", "edit_source": "video_url", "voice": "reference_voice"}  # fmt: skip
        flat = {names[media.role]: self._address(media) for media in job.media if media.role in names}
        pictures = [self._address(media) for media in job.media if media.role == "reference"]
        return flat | ({"images": pictures} if pictures else {})

    def _address(self, media: Media) -> str | None:
        return self._embedded(media).placeholder if media.file else media.url

    def _pictures(self, job: Job, *, one: str) -> Mapping[str, Any]:
        """One picture has a field of its own; several, and those of a sequence, go as ``images``."""
        values = [self._address(media) for media in job.media]
        if not values:
            return {}
        return {one: values[0]} if len(values) == 1 and job.verb != "sequence" else {"images": values}

    def _embedded(self, media: Media) -> Embedded:
        if media.file is None:
            msg = "only local files are embedded"
            raise ValueError(msg)
        return Embedded(media.file, raw=self.quirks["image_encoding"] == "raw")


def _count(job: Job) -> int | None:
    """``n`` where it is not the documented default of one; always for a sequence, whose upstream default is 12."""
    return job.n if job.verb == "sequence" else job.stated_n


PROVIDER = Modelverse
