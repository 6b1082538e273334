"""Wan 2.7 videos on DashScope: wan2.7-t2v, -i2v, -r2v and -videoedit, and their dated names.

Source: `contracts.md` 5.3, cited as [5.3]. The official SDK sends `extend_prompt` and `function` in every input, and a
`prompt` of null where there is none, so they are taken. A clip that an edit keeps is as long as its source; one on the
web, which nobody here can measure, five seconds.
"""

from __future__ import annotations

import secrets
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from wan_cli.sandbox import filming
from wan_cli.sandbox.dashscope_envelope import checked, refuse_input, refuse_steered
from wan_cli.sandbox.dashscope_media import Showing
from wan_cli.sandbox.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wan_cli.sandbox.dashscope_media import Shown
    from wan_cli.sandbox.world import Clip, World

_MODES: dict[str, filming.Mode] = {
    "wan2.7-t2v": "t2v",
    "wan2.7-t2v-2026-04-25": "t2v",
    "wan2.7-t2v-2026-06-12": "t2v",
    "wan2.7-i2v": "i2v",
    "wan2.7-i2v-2026-04-25": "i2v",
    "wan2.7-r2v": "r2v",
    "wan2.7-r2v-2026-06-12": "r2v",
    "wan2.7-videoedit": "edit",
}
MODELS = tuple(_MODES)
_SEEDS = 2147483647
_PROMPT, _NEGATIVE = 5000, 500  # characters, the rest is cut off
_TYPES: dict[filming.Mode, tuple[str, ...]] = {
    "t2v": (),
    "i2v": ("first_frame", "last_frame", "driving_audio", "first_clip"),
    "r2v": ("reference_image", "reference_video", "first_frame"),
    "edit": ("video", "reference_image"),
}
_STRANGE: dict[filming.Mode, tuple[str, ...]] = {  # what `parameters` may not hold
    "t2v": ("audio_setting",),
    "i2v": ("audio_setting", "ratio"),
    "r2v": ("audio_setting",),
    "edit": (),
}
_VIDEO_SECONDS = {"first_clip": range(2, 11), "video": range(2, 11), "reference_video": range(1, 31)}
_SOUND_SECONDS, _VOICE_SECONDS = range(2, 31), range(1, 11)


class _Medium(Strict):
    type: Literal[
        "first_frame", "last_frame", "driving_audio", "first_clip", "reference_image", "reference_video", "video"
    ]
    url: str = Field(min_length=1)
    reference_voice: str | None = None


class _Input(Strict):
    NULLS: ClassVar[frozenset[str]] = frozenset(("prompt", "negative_prompt"))
    prompt: str | None = None
    negative_prompt: str | None = None
    media: list[_Medium] | None = None
    audio_url: str | None = None
    extend_prompt: bool = True
    function: Literal["video-synthesis"] | None = None


class _Parameters(Strict):
    resolution: Literal["720P", "1080P"] = "1080P"
    ratio: Literal["16:9", "9:16", "1:1", "4:3", "3:4"] | None = None
    duration: int = 5
    prompt_extend: bool = True
    watermark: bool = False
    seed: Annotated[int, Field(ge=0, le=_SEEDS)] = -1
    audio_setting: Literal["auto", "origin"] = "auto"


class _Film(Strict):
    model: str
    input: _Input
    parameters: _Parameters = _Parameters()


def clip(sent: dict[str, Any], headers: Mapping[str, str], world: World) -> tuple[Clip, dict[str, Any]]:
    """Return the clip to draw and its receipt, or refuse the request."""
    order = checked(_Film, sent)
    mode, given, prompt = _MODES[order.model], order.parameters, (order.input.prompt or "")[:_PROMPT]
    refuse_steered(prompt)
    if mode in {"t2v", "r2v"} and not prompt:
        refuse_input("Field required: input.prompt")
    for name in _STRANGE[mode]:
        if name in given.model_fields_set:
            refuse_input(f"parameters.{name}: {order.model} does not take it")
    media = _media(order, mode, Showing(world, order.model, headers))
    seen = [medium for medium, _ in media]
    wrong = filming.fault_of_set(mode, seen)
    if wrong:
        refuse_input(f"input.media: {wrong}")
    seconds = given.duration if mode != "edit" or "duration" in given.model_fields_set else 0
    wrong = filming.fault_of_seconds(mode, seconds, seen)
    if wrong:
        refuse_input(f"parameters.duration: {wrong}")
    source = next((shown.seconds for medium, shown in media if medium.role == "edit_source"), None)
    if source is not None:
        seconds = min(seconds or ceil(source), ceil(source))
    shoot = filming.Shoot(prompt, mode, seen, given.resolution, given.ratio, seconds, given.seed, given.watermark)
    ordered = filming.clip(shoot, world, seed=secrets.randbelow(_SEEDS + 1))
    watched = sum(ceil(shown.seconds or 0) for medium, shown in media if medium.role in _WATCHED)
    return ordered, _usage(ordered, given.resolution, watched)


_WATCHED = ("edit_source", "reference_video")  # what is paid for by its length; a first clip is within `duration`


def _usage(ordered: Clip, resolution: str, watched: int) -> dict[str, Any]:
    """Return the receipt [5.3]; what counts is `duration`, seen and made together."""
    return {
        "duration": watched + ordered.seconds,
        "input_video_duration": watched,
        "output_video_duration": ordered.seconds,
        "video_count": 1,
        "SR": int(resolution[:-1]),
        "ratio": filming.ratio_of(ordered),
    }


def _media(order: _Film, mode: filming.Mode, showing: Showing) -> list[tuple[filming.Medium, Shown]]:
    if order.input.audio_url is not None:
        if mode != "t2v":
            refuse_input(f"input.audio_url: {order.model} does not take it")
        showing.sound(order.input.audio_url, "input.audio_url", _SOUND_SECONDS)
    media = []
    for n, sent in enumerate(order.input.media or ()):
        if sent.type not in _TYPES[mode]:
            refuse_input(f"input.media.{n}: {order.model} takes no {sent.type}")
        shown = _shown(sent, f"input.media.{n}.url", showing)
        if sent.reference_voice is not None:
            if not sent.type.startswith("reference_"):
                refuse_input(f"input.media.{n}.reference_voice: beside a reference only")
            showing.sound(sent.reference_voice, f"input.media.{n}.reference_voice", _VOICE_SECONDS)
        role: Any = "edit_source" if sent.type == "video" else sent.type
        media.append((filming.Medium(role, shown.sha256), shown))
    return media


def _shown(sent: _Medium, field: str, showing: Showing) -> Shown:
    """Return one medium. Pictures may be data URIs; video and sound are links only [5.3]."""
    if sent.type in _VIDEO_SECONDS:
        return showing.video(sent.url, field, _VIDEO_SECONDS[sent.type])
    if sent.type == "driving_audio":
        return showing.sound(sent.url, field, _SOUND_SECONDS)
    return showing.picture(sent.url, field)
