"""Rivya, Public API v1: asynchronous tasks, files uploaded first, an idempotency key.

Source: seeds 000 and 001; contracts.md section 1. Switch for what those leave open: ``role_key``, the name under which
an item of ``referenceMediaItems`` tells a video model what it is (``none``: it does not; the order has to do).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from wan_cli import errors
from wan_cli.errors import WanError
from wan_cli.media import mime_of_extension
from wan_cli.models import Answer, Flow, Job, LocalFile, Media, Pending, Upload
from wan_cli.providers.base import Fault, Provider, Unreadable, form_for, path_part, reference_name
from wan_cli.providers.rivya_replies import Credits, Generation, PublicFile

GENERATIONS = "/api/v1/generations"
FILES = "/api/v1/files"
CREDITS = "/api/v1/credits"
CONTENT_RULES = ("content policy", "content_policy", "moderation", "safety system", "sensitive content")
"""Words of a refused input that tell of content rules, as other providers of these models put it (contracts.md 6.1)."""


class Rivya(Provider):
    """Tasks under ``/api/v1/generations``; credits; ``Idempotency-Key`` honoured."""

    name = "rivya"
    endpoints = (GENERATIONS, FILES, CREDITS, "/api/v1")
    idempotent = True
    accepted_basis = "contract"  # credits are taken before the upstream call (reliability.md, finding 3)
    uploads = True
    quirk_values = MappingProxyType({"role_key": ("role", "type", "usage", "none")})
    errors = MappingProxyType(  # contracts.md 1.6
        {
            "public_api_disabled": errors.ProviderUnavailable,
            "api_key_missing": errors.KeyRejected,
            "api_key_invalid": errors.KeyRejected,
            "api_key_revoked": errors.KeyRejected,
            "api_key_expired": errors.KeyRejected,
            "api_scope_denied": errors.KeyRejected,
            "rate_limited": errors.RateLimited,
            "validation_failed": errors.RequestRejected,
            "not_found": errors.ModelUnknown,
            "webhook_url_rejected": errors.RequestRejected,
            "chat_model_not_supported": errors.ModelUnknown,
            "chat_attachment_not_supported": errors.RequestRejected,
            "chat_session_conflict": errors.RequestRejected,
            "idempotency_conflict": errors.RequestRejected,
            "insufficient_credits": errors.InsufficientCredits,
        }
    )

    def refusal(self, fault: Fault) -> type[WanError] | None:
        """Return what a code stands for. None is documented for content rules (contracts.md 1.6, seeds 000 and 001).

        So they come as what is wrong with the input, and only its message tells: both are 4, and neither is charged.
        """
        known = super().refusal(fault)
        said = fault.message.casefold()
        if known is errors.RequestRejected and any(words in said for words in CONTENT_RULES):
            return errors.Moderation
        return known

    def submit(self, job: Job, *, token: str) -> Flow[Answer]:
        """Create a task (contracts.md 1.3); ``watermark`` goes as the text "true" or "false"."""
        params: dict[str, Any] = {
            "aspect_ratio": job.aspect,
            "resolution": job.resolution if job.makes == "video" else job.size,
            "duration": None if job.duration is None else str(job.duration),
            "watermark": None if job.watermark is None else str(job.watermark).lower(),
            "negative_prompt": job.negative,
            "audio_setting": job.audio_setting,
            "seed": job.seed,
        }
        params["referenceMediaItems"] = [self._reference(media, job.makes) for media in job.media] or None
        body = {
            "model": self.model_id(job.model),
            "prompt": job.prompt,
            "params": {key: value for key, value in params.items() if value is not None} | dict(job.params),
            "client_request_id": token[:128],
        }
        response = yield self.request("POST", GENERATIONS, body=body, headers={"Idempotency-Key": token})
        return self.parse(response, Generation).state()

    def poll(self, pending: Pending) -> Flow[Answer]:
        """Ask for the task (contracts.md 1.4)."""
        response = yield self.request("GET", f"{GENERATIONS}/{path_part(pending.task_id)}")
        return self.parse(response, Generation).state(pending.task_id)

    def upload(self, file: LocalFile, *, model: str, trace: str) -> Flow[Upload]:
        """Bring a reference (contracts.md 1.5); with ``model`` the provider applies that model's limits."""
        fields = {"kind": file.mime.split("/")[0], "model": self.model_id(model), "client_request_id": trace[:128]}
        response = yield self.request("POST", FILES, form=form_for(file, fields))
        found = self.parse(response, PublicFile).innermost()
        if not found.url:
            raise Unreadable("the answer to the upload has no url")
        return Upload(url=found.url, file_id=found.id, duration_token=found.duration_token)

    def balance(self) -> Flow[str]:
        """Ask for the credits left (contracts.md 1.2)."""
        response = yield self.request("GET", CREDITS)
        return f"{self.parse(response, Credits).current_credits:g} credits"

    def _reference(self, media: Media, makes: str) -> dict[str, str]:
        name = reference_name(media)
        mime = media.file.mime if media.file else mime_of_extension(name)
        item = {"url": media.url or "", "kind": media.kind, "name": name, "mimeType": mime}
        item["durationToken"] = media.duration_token
        if makes == "video" and self.quirks["role_key"] != "none":
            item[self.quirks["role_key"]] = media.role
        return {key: value for key, value in item.items() if value is not None}


PROVIDER = Rivya
