"""Yunwu and other relays on new-api: one picture model, text to image only.

Source: seed 003; contracts.md section 3. Nothing but the schema's six fields is sent. Switches: ``response_format``
(never sent by default: the seed's own error sample refuses it), and ``passthrough``, which adds the upstream's
``input`` and ``parameters`` for relays that let them through (contracts.md 3.3), so that a seed is not dropped there.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from wan_cli import errors
from wan_cli.models import Answer, Flow, Job
from wan_cli.providers.base import Provider, without_unsaid
from wan_cli.providers.images import Images

GENERATIONS = "/v1/images/generations"


class Yunwu(Provider):
    """Synchronous pictures; the relay itself may wait for minutes inside one request (contracts.md 3.3)."""

    name = "yunwu"
    endpoints = (GENERATIONS, "/v1")
    synchronous = True
    quirk_values = MappingProxyType(
        {"response_format": (None, "url", "b64_json"), "passthrough": (False, True)}
    )  # fmt: skip
    errors = MappingProxyType(  # contracts.md 3.4: the code decides, the status varies by version
        {
            "invalid_request": errors.RequestRejected,
            "sensitive_words_detected": errors.Moderation,
            "prompt_blocked": errors.Moderation,
            "model_price_error": errors.ModelUnknown,
            "model_not_found": errors.ModelUnknown,
            "invalid_api_type": errors.ModelUnknown,
            "access_denied": errors.KeyRejected,
            "insufficient_user_quota": errors.InsufficientCredits,
            "pre_consume_token_quota_failed": errors.InsufficientCredits,
            "get_channel_failed": errors.ProviderUnavailable,
            "channel:no_available_key": errors.ProviderUnavailable,
            "convert_request_failed": errors.RequestRejected,
        }
    )

    def submit(self, job: Job, *, token: str) -> Flow[Answer]:
        """Ask for pictures (seed 003). No idempotency key is documented, so ``token`` is not sent."""
        del token
        response = yield self.request("POST", GENERATIONS, body=self._body(job))
        return self.parse(response, Images).state()

    def _body(self, job: Job) -> dict[str, Any]:
        said = {
            "size": job.size,
            "n": job.stated_n,
            "watermark": job.watermark,
            "seed": job.seed,
        }
        body = {"model": self.model_id(job.model), "prompt": job.prompt, **said,
                "response_format": self.quirks["response_format"]}  # fmt: skip
        if self.quirks["passthrough"]:
            size = job.size.replace("x", "*") if job.size else None
            upstream = {"size": size, "n": job.n, "watermark": job.watermark, "seed": job.seed}
            body["input"] = {"messages": [{"role": "user", "content": [{"text": job.prompt}]}]}
            body["parameters"] = without_unsaid(upstream)
        return without_unsaid(body) | dict(job.params)


PROVIDER = Yunwu
