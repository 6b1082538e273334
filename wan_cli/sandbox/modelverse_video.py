"""Modelverse's Wan 2.7 videos, from the server's side: wan2.7-t2v, -i2v, -r2v and -videoedit on /v1/tasks/submit.

No page of the provider describes them (`contracts.md` 2.8), so both shapes that are thought to work are taken [I]:
    A  Alibaba's: `input.media[]` of {type, url}, with `parameters` as in 5.3; the usual one
    B  flattened, as the gateway's HappyHorse and Wan 2.2 to 2.6 pages have it: `input.first_frame_url` (or `img_url`),
       `last_frame_url` and `audio_url`; `input.images[]` for references; `input.video_url` for an edit. Its pages mark
       the header `X-DashScope-Async: enable` as required, so it is required with any of these fields.
The two do not mix. Which media go together, and every range, is Alibaba's rule (5.3); its seeds end at 2147483647.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from wan_cli.sandbox import filming
from wan_cli.sandbox.modelverse_envelope import checked, refuse, refuse_input
from wan_cli.sandbox.modelverse_media import picture_source
from wan_cli.sandbox.references import on_the_web
from wan_cli.sandbox.strict import Strict

if TYPE_CHECKING:
    import httpx

    from wan_cli.sandbox.world import Clip, World

MODELS = ("wan2.7-t2v", "wan2.7-i2v", "wan2.7-r2v", "wan2.7-videoedit")
_MODES: dict[str, filming.Mode] = dict(zip(MODELS, ("t2v", "i2v", "r2v", "edit"), strict=True))
_SEEDS = 2147483647
_SOUND: filming.Role = "driving_audio"
# What each model does not take, of what `parameters` may hold.
_STRANGE = {
    "wan2.7-t2v": ("audio_setting",),
    "wan2.7-i2v": ("audio_setting", "ratio"),
    "wan2.7-r2v": ("audio_setting",),
    "wan2.7-videoedit": (),
}
_TYPES: dict[str, tuple[str, ...]] = {
    "wan2.7-t2v": (),
    "wan2.7-i2v": ("first_frame", "last_frame", "driving_audio", "first_clip"),
    "wan2.7-r2v": ("reference_image", "reference_video", "first_frame"),
    "wan2.7-videoedit": ("video", "reference_image"),
}
_FLAT: dict[str, tuple[str, ...]] = {
    "wan2.7-t2v": ("audio_url",),
    "wan2.7-i2v": ("first_frame_url", "img_url", "last_frame_url", "audio_url"),
    "wan2.7-r2v": ("images", "first_frame_url"),
    "wan2.7-videoedit": ("video_url", "images"),
}


class _Medium(Strict):
    type: Literal[
        "first_frame", "last_frame", "driving_audio", "first_clip", "reference_image", "reference_video", "video"
    ]
    url: str
    reference_voice: str = ""


class _Input(Strict):
    prompt: str = ""
    negative_prompt: str = ""
    media: Annotated[list[_Medium], Field(min_length=1)] | None = None
    audio_url: str = ""
    first_frame_url: str = ""
    img_url: str = ""
    last_frame_url: str = ""
    images: Annotated[list[str], Field(min_length=1)] = Field(default=[])
    video_url: str = ""


class _Parameters(Strict):
    resolution: Literal["720P", "1080P"] = "1080P"
    ratio: Literal["16:9", "9:16", "1:1", "4:3", "3:4"] | None = None
    duration: int = 5
    prompt_extend: bool = True
    watermark: bool = False
    seed: Annotated[int, Field(ge=0, le=_SEEDS)] = -1
    audio_setting: Literal["auto", "origin"] = "auto"


class _Film(Strict):
    model: Literal["wan2.7-t2v", "wan2.7-i2v", "wan2.7-r2v", "wan2.7-videoedit"]
    input: _Input
    parameters: _Parameters = _Parameters()


def clip(request: httpx.Request, world: World) -> Clip:
    """Return the clip to draw, or refuse the request."""
    sent = checked(_Film, request)
    mode, given = _MODES[sent.model], sent.parameters
    if "sandbox:moderation" in sent.input.prompt:
        refuse(400, "sensitive_check_error", "prompt: refused by the content check")
    if mode in {"t2v", "r2v"} and not sent.input.prompt:
        refuse_input(f"input.prompt: {sent.model} needs one")
    for name in _STRANGE[sent.model]:
        if name in given.model_fields_set:
            refuse_input(f"parameters.{name}: {sent.model} does not take it")
    media = _media(sent, world, is_async=request.headers.get("x-dashscope-async", "").lower() == "enable")
    wrong = filming.fault_of_set(mode, [medium for medium in media if mode != "t2v" or medium.role != _SOUND])
    if wrong:
        refuse_input(f"input.media: {wrong}")
    seconds = given.duration if mode != "edit" or "duration" in given.model_fields_set else 0
    wrong = filming.fault_of_seconds(mode, seconds, media)
    if wrong:
        refuse_input(f"parameters.duration: {wrong}")
    shoot = filming.Shoot(
        sent.input.prompt, mode, media, given.resolution, given.ratio, seconds, given.seed, given.watermark
    )
    return filming.clip(shoot, world, seed=secrets.randbelow(_SEEDS + 1))


def usage(clip_: Clip) -> dict[str, Any]:
    """Return the receipt of a finished video (`contracts.md` 2.8, B)."""
    size = clip_.width, clip_.height
    return {
        "duration": clip_.seconds,
        "output_video_duration": clip_.seconds,
        "video_count": 1,
        "SR": next((int(name[:-1]) for name, sizes in filming.SIZES.items() if size in sizes.values()), 720),
        "ratio": filming.ratio_of(clip_),
    }


def _media(sent: _Film, world: World, *, is_async: bool) -> list[filming.Medium]:
    flat = _flat(sent)
    if sent.input.media is not None:
        if flat:
            refuse_input("input: media and flat fields do not mix")
        strange = next((m.type for m in sent.input.media if m.type not in _TYPES[sent.model]), None)
        if strange is not None:
            refuse_input(f"input.media: {sent.model} takes no {strange}")
        return [_medium(_role(m.type), m.url, m.reference_voice, world) for m in sent.input.media]
    # Sound for text-to-video is the one flat field that Alibaba's own shape has too.
    if any(name != "audio_url" or sent.model != MODELS[0] for name, _, _ in flat) and not is_async:
        refuse_input("X-DashScope-Async: enable is required with these fields")
    return [_medium(role, url, "", world) for _, role, url in flat]


def _flat(sent: _Film) -> list[tuple[str, filming.Role, str]]:
    """Return the flat fields of a request: name, role, URL."""
    given, found = sent.input, list[tuple[str, filming.Role, str]]()
    singles: tuple[tuple[str, filming.Role], ...] = (
        ("first_frame_url", "first_frame"),
        ("img_url", "first_frame"),
        ("last_frame_url", "last_frame"),
        ("audio_url", _SOUND),
        ("video_url", "edit_source"),
    )
    found += [(name, role, getattr(given, name)) for name, role in singles if getattr(given, name)]
    found += [("images", "reference_image", url) for url in given.images]
    strange = next((name for name, _, _ in found if name not in _FLAT[sent.model]), None)
    if strange is not None:
        refuse_input(f"input.{strange}: {sent.model} does not take it")
    return found


def _role(type_: str) -> filming.Role:
    known: Any = "edit_source" if type_ == "video" else type_
    role: filming.Role = known
    return role


def _medium(role: filming.Role, url: str, voice: str, world: World) -> filming.Medium:
    """Return one medium. Pictures may be data URIs; video and sound are URLs only (`contracts.md` 5.3)."""
    if voice and (not role.startswith("reference") or not on_the_web(voice)):
        refuse_input("reference_voice: an https URL, beside a reference")
    if role in {"first_frame", "last_frame", "reference_image"}:
        return filming.Medium(role, picture_source(url, world, alpha=True).sha256)
    if not on_the_web(url):
        refuse_input(f"{role}: an https URL is required")
    return filming.Medium(role, world.keep_stand_in(url))
