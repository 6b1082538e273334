"""Rivya's wan-2-7-video, from the server's side: 80 credits a task, FIXED.

Source: `contracts.md` 1.9, the table of its params: selects are strings, `duration` too; and 1.5 on tokens. How an item
is told to be a first frame or an edit's source was cut in every stored copy (section 9). So an item may carry `role`
[I], one of those of `_ROLES`; items without one are read as the documents suggest: a lone video is what is edited, a
lone picture the first frame, sound drives a first frame, everything else is a reference. Which media go together, and
that footage ends at 10 s ("edit capped at 10; Rivya normalises"), is Alibaba's rule (5.3).
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field

from wan_cli.sandbox import filming
from wan_cli.sandbox.references import NoSuchUploadError, on_the_web, upload
from wan_cli.sandbox.rivya_envelope import NAME, Strict, refuse_input
from wan_cli.sandbox.rivya_files import duration_token

if TYPE_CHECKING:
    from wan_cli.sandbox.world import Clip, World

MODEL = "wan-2-7-video"
PRICE = 80  # credits [1.9]
_SEEDS = 2147483647
_CAP = 10  # seconds, with footage to look at
_ROLES: dict[str, tuple[str, ...]] = {  # role [I] -> the kinds it can be
    "first_frame": ("image",),
    "last_frame": ("image",),
    "first_clip": ("video",),
    "reference": ("image", "video"),
    "edit_source": ("video",),
    "driving_audio": ("audio",),
}
_Mime = Literal[  # [1.5]
    "image/jpeg", "image/png", "image/webp",
    "video/mp4", "video/quicktime", "video/webm",
    "audio/mpeg", "audio/mp4", "audio/wav", "audio/x-wav", "audio/aac", "audio/ogg",
]  # fmt: skip


class _Item(Strict):
    url: str
    kind: Literal["image", "video", "audio"]
    role: Literal["first_frame", "last_frame", "first_clip", "reference", "edit_source", "driving_audio"] | None = None
    name: str = ""
    mime_type: _Mime | None = Field(default=None, alias="mimeType")
    duration_seconds: Annotated[float, Field(ge=0)] = Field(default=0, alias="durationSeconds")
    duration_token: str = Field(default="", alias="durationToken")


class _Params(Strict):
    resolution: Literal["720p", "1080p"] = "720p"
    duration: Literal["5", "10", "15"] = "5"
    aspect_ratio: Literal["16:9", "9:16", "1:1", "4:3", "3:4"] = "16:9"
    negative_prompt: str = Field(default="", max_length=5000)
    prompt_extend: Literal["true", "false"] = "true"
    watermark: Literal["false", "true"] = "false"
    audio_setting: Literal["auto", "origin"] = "auto"
    seed: Annotated[int, Field(ge=0, le=_SEEDS)] = -1
    references: Annotated[list[_Item], Field(min_length=1, max_length=9)] = Field(
        default=[], alias="referenceMediaItems"
    )


class Create(Strict):
    """POST /api/v1/generations for this model [1.3, 1.9]."""

    model: Literal["wan-2-7-video"]
    prompt: str = Field(min_length=1, max_length=5000)
    params: _Params = _Params()
    client_request_id: str = Field(default="", max_length=128)


def is_meant(body: bytes) -> bool:
    """Tell whether a request names this model; a body that is no JSON object does not."""
    try:
        sent = json.loads(body)
    except ValueError:
        return False
    return isinstance(sent, dict) and sent.get("model") == MODEL


def clip(order: Create, world: World) -> Clip:
    """Return the clip to draw. Refuses media that do not go together, or that the account does not have."""
    params = order.params
    media = [_medium(item, number, params.references, world) for number, item in enumerate(params.references)]
    mode = filming.mode_of(media)
    wrong = filming.fault_of_set(mode, media)
    if wrong:
        refuse_input(f"params.referenceMediaItems: {wrong}")
    seconds = int(params.duration)
    if mode == "edit" or any(medium.role == "reference_video" for medium in media):
        seconds = min(seconds, _CAP)
    ratio = params.aspect_ratio if "aspect_ratio" in params.model_fields_set else None
    shoot = filming.Shoot(
        order.prompt, mode, media, params.resolution.upper(), ratio, seconds, params.seed, params.watermark == "true"
    )
    return filming.clip(shoot, world, seed=secrets.randbelow(_SEEDS + 1))


def _medium(item: _Item, number: int, items: list[_Item], world: World) -> filming.Medium:
    field = f"params.referenceMediaItems.{number}"
    role = item.role or _role(item, items)
    if item.kind not in _ROLES[role]:
        refuse_input(f"{field}.role: {role} is not for {item.kind}")
    if item.mime_type is not None and not item.mime_type.startswith(item.kind):
        refuse_input(f"{field}.mimeType: {item.mime_type} is no {item.kind}")
    try:
        file = upload(item.url, NAME, world)
    except NoSuchUploadError:
        refuse_input(f"{field}.url: no such file, upload it first")
    if file is not None and file.kind != item.kind:
        refuse_input(f"{field}.url: the file is {file.kind}, not {item.kind}")
    if item.kind != "image" and (file is None or item.duration_token != duration_token(file)):
        refuse_input(f"{field}.durationToken: {item.kind} needs the token that POST /api/v1/files gave")
    if file is None and not on_the_web(item.url):
        refuse_input(f"{field}.url: an https URL is required")
    sha256 = file.sha256 if file is not None else world.keep_stand_in(item.url)
    known: Any = f"reference_{item.kind}" if role == "reference" else role
    return filming.Medium(known, sha256, field)


def _role(item: _Item, items: list[_Item]) -> str:
    """Return what an item without a role is for [I]."""
    kinds = [other.kind for other in items]
    if item.kind == "audio":
        return "driving_audio"
    if item.kind == "video":
        return "edit_source" if kinds.count("video") == 1 else "reference"
    alone = kinds.count("image") == 1 and "video" not in kinds
    return "first_frame" if alone else "reference"


def listed() -> list[dict[str, Any]]:
    """Return the selects and texts of this model as the public list shows them (`contracts.md` 1.8)."""
    keys = ("resolution", "duration", "aspect_ratio", "prompt_extend", "watermark", "audio_setting")
    fields = [(key, _Params.model_fields[key]) for key in keys]
    selects = [{"key": k, "type": "select", "default": f.default, "options": get_args(f.annotation)} for k, f in fields]
    return [*selects, {"key": "negative_prompt", "type": "text"}]
