"""Any server with OpenAI's image API: generations as JSON, edits as multipart.

Source: contracts.md section 6. Only what the user asked for is sent (6.3 rule 1); what servers differ in is a switch:
``response_format`` (``url``, ``b64_json``; by default none is sent), ``image_field`` (``auto``: ``image`` for one and
``image[]`` for several), ``mask_field``, ``size_separator``, and the fields that OpenAI does not have, ``seed`` and
``negative`` (off by default: the API refuses unknown parameters).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from wan_cli import errors
from wan_cli.geometry import parse_pixels
from wan_cli.models import Answer, Flow, Job, LocalFile, Media, Pending
from wan_cli.providers.base import Form, Provider, path_part, without_unsaid
from wan_cli.providers.images import Images, ImageTask

GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"


class OpenAI(Provider):
    """Pictures in the answer; a relay that answers with a task is followed."""

    name = "openai"
    endpoints = (GENERATIONS, EDITS, "/v1")
    synchronous = True
    quirk_values = MappingProxyType(
        {
            "response_format": (None, "url", "b64_json"),
            "image_field": ("auto", "image", "image[]"),
            "mask_field": ("mask", "mask_image"),
            "size_separator": ("x", "*"),
            "seed": (False, True),
            "negative": (False, True),
        }
    )
    errors = MappingProxyType(  # contracts.md 6.1
        {
            "invalid_api_key": errors.KeyRejected,
            "insufficient_quota": errors.InsufficientCredits,
            "billing_hard_limit_reached": errors.InsufficientCredits,
            "rate_limit_exceeded": errors.RateLimited,
            "model_not_found": errors.ModelUnknown,
            "moderation_blocked": errors.Moderation,
            "content_policy_violation": errors.Moderation,
            "invalid_request_error": errors.RequestRejected,
        }
    )

    def submit(self, job: Job, *, token: str) -> Flow[Answer]:
        """Ask for pictures. The API documents no idempotency key (OpenAI's own SDK makes one and never sends it)."""
        del token
        if job.media:
            response = yield self.request("POST", EDITS, form=self._form(job))
        else:
            response = yield self.request("POST", GENERATIONS, body=self._body(job))
        return self.parse(response, Images).state(response.headers.get("x-request-id"))

    def poll(self, pending: Pending) -> Flow[Answer]:
        """Ask a relay for the task it answered with (contracts.md 4.3)."""
        response = yield self.request("GET", f"{GENERATIONS}/{path_part(pending.task_id)}")
        return self.parse(response, ImageTask).state(pending)

    def _body(self, job: Job) -> dict[str, Any]:
        size, count = self._size(job), job.stated_n
        return without_unsaid(
            {
                "model": self.model_id(job.model), "prompt": job.prompt, "n": count,
                "size": size, "response_format": self.quirks["response_format"],
                "seed": job.seed, "negative_prompt": job.negative,
            }
        ) | dict(job.params)  # fmt: skip

    def _size(self, job: Job) -> str | None:
        pixels = parse_pixels(job.size) if job.size else None
        return f"{pixels[0]}{self.quirks['size_separator']}{pixels[1]}" if pixels else job.size

    def _form(self, job: Job) -> Form:
        fields = {name: value if isinstance(value, str) else str(value) for name, value in self._body(job).items()}
        pictures = [_local(media) for media in job.media if media.role != "mask"]
        chosen = self.quirks["image_field"]
        field = ("image" if len(pictures) == 1 else "image[]") if chosen == "auto" else chosen
        masks = [(self.quirks["mask_field"], _local(media)) for media in job.media if media.role == "mask"]
        return Form(fields, [*((field, file) for file in pictures), *masks])


def _local(media: Media) -> LocalFile:
    if media.file is None:
        msg = "an edit sends local files only"
        raise ValueError(msg)
    return media.file


PROVIDER = OpenAI
