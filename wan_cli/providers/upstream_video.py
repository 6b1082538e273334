"""The body of a Wan 2.7 video as DashScope has it, and those who resell it (contracts.md 5.3, 2.8 A).

One canonical model here is four there, told apart by verb and media.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wan_cli.catalog import Capabilities
from wan_cli.models import Job, Media
from wan_cli.providers.bodies import without_unsaid

_FRAMES = frozenset({"first_frame", "last_frame", "first_clip"})


def video_model(job: Job, offered: Capabilities) -> str:
    """Choose among the four by verb and media; a model that is not in the catalogue is taken at its word."""
    if offered.find(job.model) is None:
        return job.model
    frames = _FRAMES.intersection(media.role for media in job.media)
    made = {"edit": "videoedit", "fuse": "r2v"}.get(job.verb, "i2v" if frames else "t2v")
    return f"wan2.7-{made}"


def video_body(job: Job, offered: Capabilities, media: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with these media; what was not said leaves no key."""
    parameters = without_unsaid({
        "resolution": job.resolution and job.resolution.upper(), "ratio": job.aspect, "duration": job.duration,
        "seed": job.seed, "watermark": job.watermark, "audio_setting": job.audio_setting,
    }) | dict(job.params)  # fmt: skip
    wanted = without_unsaid({"prompt": job.prompt, "negative_prompt": job.negative}) | dict(media)
    body: dict[str, Any] = {"model": video_model(job, offered), "input": wanted}
    return body | ({"parameters": parameters} if parameters else {})


def video_media(job: Job, address: Callable[[Media], str | None]) -> dict[str, Any]:
    """Return ``media`` of the input; sound for a text alone is ``audio_url``. ``address`` says what stands for each."""
    if [media.role for media in job.media] == ["driving_audio"]:
        return {"audio_url": address(job.media[0])}
    voice = next((address(media) for media in job.media if media.role == "voice"), None)
    items = [_medium(media, address(media), voice) for media in job.media if media.role != "voice"]
    return {"media": items} if items else {}


def _medium(media: Media, address: str | None, voice: str | None) -> dict[str, Any]:
    kinds = {"edit_source": "video", "reference": f"reference_{media.kind}"}
    item = {"type": kinds.get(media.role, media.role), "url": address}
    return item | ({"reference_voice": voice} if voice and media.role == "reference" else {})
