"""ToAPIs: videos as tasks, files uploaded first.

Source: seed 004 for wan-2-7-video (``{model, mode, input}``; of ``input`` it documents only ``prompt`` and
``duration``, so every other name is a switch), contracts.md 4.3 and 4.7 for the flat shape of the other models.
Switches: ``shape`` (``auto``: the seed's for wan-2-7-video, flat for the rest), ``images_field``,
``references_field``, ``video_field``.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from wan_cli import errors
from wan_cli.models import Answer, Flow, Job, LocalFile, Pending, Upload
from wan_cli.providers.base import Provider, form_for, path_part, without_unsaid
from wan_cli.providers.toapis_replies import Task, Uploaded

VIDEOS = "/v1/videos/generations"
UPLOADS = "/v1/uploads"


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
        return self.parse(response, Task).accepted()

    def poll(self, pending: Pending) -> Flow[Answer]:
        """Ask for the task (contracts.md 4.3)."""
        response = yield self.request("GET", f"{VIDEOS}/{path_part(pending.task_id)}")
        return self.parse(response, Task).state(pending)

    def upload(self, file: LocalFile, *, model: str, trace: str) -> Flow[Upload]:
        """Bring a picture or a video (contracts.md 4.4); inline Base64 is refused there."""
        del model, trace
        kind = "videos" if file.mime.startswith("video/") else "images"
        response = yield self.request("POST", f"{UPLOADS}/{kind}", form=form_for(file, {"purpose": "generation"}))
        stored = self.parse(response, Uploaded).data
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
