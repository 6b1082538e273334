"""The bodies of POST /v1/videos/generations on ToAPIs, in two shapes that share nothing but the endpoint.

`guide`: `{model, mode, input}` of `seeds/004` [S]. The seed documents `prompt` and `duration` of `input`, and no other
name for Wan (its table describes gemini_omni). The other names taken here are the configuration's defaults [I]:
aspect_ratio, resolution, negative_prompt, seed, watermark, prompt_extend, image_urls (first and last frame),
reference_urls, video_url and audio_setting. Resolutions may be 720p or 720P, since the guide family writes both.

`flat`: wan2.6 and wan2.6-flash as documented (`contracts.md` 4.7); wan-2-7-video is taken in this shape as well [I],
for an adapter that is switched to it.

Which media go together and the seconds of wan-2-7-video are Alibaba's rules (5.3). Inline base64 is refused (4.4).
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from pydantic import Field, ValidationError

from wan_cli.sandbox import filming
from wan_cli.sandbox.references import NoSuchUploadError, on_the_web, upload
from wan_cli.sandbox.strict import Strict
from wan_cli.sandbox.toapis_envelope import NAME, refuse

if TYPE_CHECKING:
    from wan_cli.sandbox.world import Clip, World

MODEL = "wan-2-7-video"
_SEEDS = 2147483647
_FLAT_SECONDS = (5, 10, 15)  # of wan2.6 (4.7)
_MODES: dict[str, filming.Mode] = {  # [S]
    "text-to-video": "t2v",
    "image-to-video": "i2v",
    "reference-to-video": "r2v",
    "video-edit": "edit",
}
_TAKES: dict[str, tuple[str, ...]] = {  # which media fields each mode reads [I]
    "text-to-video": (),
    "image-to-video": ("image_urls",),
    "reference-to-video": ("reference_urls",),
    "video-edit": ("video_url", "reference_urls"),
}
_MOVING = re.compile(r"\.(?:mp4|mov|webm|quicktime)(?:[?#]|$)", re.IGNORECASE)
_Urls = Annotated[list[str], Field(min_length=1)]
_Ratio = Literal["16:9", "9:16", "1:1", "4:3", "3:4"]
_Seed = Annotated[int, Field(ge=0, le=_SEEDS)]


class _Input(Strict):
    prompt: str = Field(min_length=1)
    duration: int = 5
    aspect_ratio: _Ratio | None = None
    resolution: Literal["720p", "1080p", "720P", "1080P"] = "720p"
    negative_prompt: str = ""
    seed: _Seed = -1
    watermark: bool = False
    prompt_extend: bool = True
    image_urls: Annotated[list[str], Field(min_length=1, max_length=2)] = Field(default=[])
    reference_urls: _Urls = Field(default=[])
    video_url: str = ""
    audio_setting: Literal["auto", "origin"] = "auto"


class Guide(Strict):
    """The seed's body [S]."""

    model: Literal["wan-2-7-video"]
    mode: Literal["text-to-video", "image-to-video", "reference-to-video", "video-edit"]
    input: _Input


class _Metadata(Strict):
    reference_urls: Annotated[list[str], Field(min_length=1, max_length=5)] = Field(default=[])


class Flat(Strict):
    """The documented body of wan2.6 and wan2.6-flash (4.7), with the general optional fields (4.2)."""

    model: Literal["wan2.6", "wan2.6-flash", "wan-2-7-video"]
    prompt: str = Field(min_length=1)
    image_urls: Annotated[list[str], Field(min_length=1, max_length=1)] = Field(default=[])
    metadata: _Metadata = _Metadata()
    aspect_ratio: _Ratio | None = None
    resolution: Literal["720p", "1080p"] = "1080p"
    duration: int = 5
    negative_prompt: str = ""
    seed: _Seed = -1
    prompt_extend: bool = True
    audio: bool = True
    shot_type: Literal["single", "multi"] = "single"
    watermark: bool = False
    client_business_id: str = Field(default="", max_length=128)
    trace_id: str = Field(default="", max_length=128)
    callback_url: str = ""


def read(sent: Any) -> Guide | Flat:
    """Return the body in the shape it has: with `mode` or `input` the guide's, else the flat one. May refuse."""
    guide = isinstance(sent, dict) and bool(sent.keys() & {"mode", "input"})
    try:
        return (Guide if guide else Flat).model_validate(sent)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        refuse_body(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}", guide=guide)


def refuse_body(message: str, *, guide: bool) -> NoReturn:
    """Refuse what was sent: the seed's code with its type, or the documents' code alone (4.5)."""
    if guide:
        refuse(400, "invalid_request_error", message, "invalid_request_error")
    refuse(400, "invalid_request", message)


def clip(order: Guide | Flat, world: World) -> Clip:
    """Return the clip to draw, or refuse the order for what no single field shows."""
    return _guided(order, world) if isinstance(order, Guide) else _flat(order, world)


def _guided(order: Guide, world: World) -> Clip:
    given, mode = order.input, _MODES[order.mode]
    for name in ("image_urls", "reference_urls", "video_url"):
        if getattr(given, name) and name not in _TAKES[order.mode]:
            refuse_body(f"input.{name}: {order.mode} does not take it", guide=True)
    frames: tuple[filming.Role, ...] = ("first_frame", "last_frame")
    named: list[tuple[filming.Role | None, str]] = [*zip(frames, given.image_urls, strict=False)]
    named += [("edit_source", given.video_url)] if given.video_url else []
    named += [(None, url) for url in given.reference_urls]
    media = [_medium(role, url, world, guide=True) for role, url in named]
    _check(mode, given.duration, media, guide=True)
    return _shot(order.input, mode, media, given.duration, world)


def _flat(order: Flat, world: World) -> Clip:
    references = order.metadata.reference_urls
    if order.image_urls and references:
        refuse_body("metadata.reference_urls: not together with image_urls", guide=False)
    if order.model == "wan2.6-flash" and not (order.image_urls or references):
        refuse_body("wan2.6-flash needs image_urls or metadata.reference_urls", guide=False)
    if order.image_urls and order.aspect_ratio is not None:
        refuse_body("aspect_ratio: image-to-video follows its picture", guide=False)
    named: list[tuple[filming.Role | None, str]] = [("first_frame", url) for url in order.image_urls]
    named += [(None, url) for url in references]
    media = [_medium(role, url, world, guide=False) for role, url in named]
    mode = filming.mode_of(media)
    if order.model == MODEL:
        _check(mode, order.duration, media, guide=False)
    elif order.duration not in _FLAT_SECONDS:
        refuse_body(f"duration: one of {', '.join(map(str, _FLAT_SECONDS))}", guide=False)
    return _shot(order, mode, media, order.duration, world)


def _check(mode: filming.Mode, seconds: int, media: list[filming.Medium], *, guide: bool) -> None:
    wrong = filming.fault_of_set(mode, media)
    if wrong:
        refuse_body(f"media: {wrong}", guide=guide)
    wrong = filming.fault_of_seconds(mode, seconds, media)
    if wrong:
        refuse_body(f"duration: {wrong}", guide=guide)


def _shot(given: _Input | Flat, mode: filming.Mode, media: list[filming.Medium], seconds: int, world: World) -> Clip:
    shoot = filming.Shoot(
        given.prompt, mode, media, given.resolution.upper(), given.aspect_ratio, seconds, given.seed, given.watermark
    )
    return filming.clip(shoot, world, seed=secrets.randbelow(_SEEDS + 1))


def _medium(role: filming.Role | None, url: str, world: World, *, guide: bool) -> filming.Medium:
    """Return one medium; a reference (role None) is a picture or a video by what was uploaded, else by its name."""
    try:
        file = upload(url, NAME, world)
    except NoSuchUploadError:
        refuse_body("no such upload", guide=guide)
    if file is None and not on_the_web(url):
        refuse_body("an https URL is required: upload the file first, inline data is not taken", guide=guide)
    moving = file.kind == "video" if file is not None else _MOVING.search(url) is not None
    if role is None:
        role = "reference_video" if moving else "reference_image"
    elif file is not None and moving != (role == "edit_source"):
        refuse_body(f"{role}: the upload is a {file.kind}", guide=guide)
    return filming.Medium(role, file.sha256 if file is not None else world.keep_stand_in(url))
