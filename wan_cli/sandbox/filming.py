"""Wan 2.7 videos, whoever sells them: sizes, legal sets of media and ranges of seconds (contracts.md 5.3).

The resellers' pages say less than Alibaba's own, and pass orders on to it; so its rules hold behind each of them [I].
"""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from typing import TYPE_CHECKING, Literal, NamedTuple

from wan_cli.media.movie import movie_facts
from wan_cli.sandbox.records import Clip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wan_cli.sandbox.world import World

Mode = Literal["t2v", "i2v", "r2v", "edit"]
Role = Literal[
    "first_frame", "last_frame", "first_clip", "driving_audio", "reference_image", "reference_video", "edit_source"
]

SIZES: dict[str, dict[str, tuple[int, int]]] = {
    "720P": {"16:9": (1280, 720), "9:16": (720, 1280), "1:1": (960, 960), "4:3": (1104, 832), "3:4": (832, 1104)},
    "1080P": {"16:9": (1920, 1080), "9:16": (1080, 1920), "1:1": (1440, 1440), "4:3": (1648, 1248)}
    | {"3:4": (1248, 1648)},
}
SECONDS = range(2, 16)  # of t2v, i2v and r2v
SECONDS_OF_FOOTAGE = range(2, 11)  # of r2v with a reference video, and of an edit
REFERENCES = 5  # pictures and videos of r2v together
EDIT_REFERENCES = 4  # pictures beside an edit's video
_STARTS: tuple[frozenset[str], ...] = (
    frozenset({"first_frame"}),
    frozenset({"first_frame", "driving_audio"}),
    frozenset({"first_frame", "last_frame"}),
    frozenset({"first_frame", "last_frame", "driving_audio"}),
    frozenset({"first_clip"}),
    frozenset({"first_clip", "last_frame"}),
)
_SEEN = ("edit_source", "first_frame", "first_clip", "last_frame", "reference_image", "reference_video")


class Medium(NamedTuple):
    """One input: what it is for, the sha256 of its bytes (or of a stand-in), and the field that named it."""

    role: Role
    sha256: str
    field: str = "media"


def mode_of(media: Sequence[Medium]) -> Mode:
    """Return what is made of these media, where the request does not say so itself."""
    roles = {medium.role for medium in media}
    if "edit_source" in roles:
        return "edit"
    if roles & {"reference_image", "reference_video"}:
        return "r2v"
    return "i2v" if roles else "t2v"


def fault_of_set(mode: Mode, media: Sequence[Medium]) -> str:
    """Return what is wrong with the media as a set; "" for a legal one."""
    count = Counter(medium.role for medium in media)
    references = count["reference_image"] + count["reference_video"]
    if mode == "t2v":
        return "text-to-video takes no media" if media else ""
    if mode == "i2v":
        if frozenset(count) not in _STARTS or any(number > 1 for number in count.values()):
            legal = "; ".join(" + ".join(sorted(start, key=_ORDER.index)) for start in _STARTS)
            return f"image-to-video takes one of: {legal}; each at most once"
        return ""
    if mode == "r2v":
        strange = set(count) - {"reference_image", "reference_video", "first_frame"}
        if strange or not 1 <= references <= REFERENCES or count["first_frame"] > 1:
            return f"reference-to-video takes 1 to {REFERENCES} references and at most one first_frame"
        return ""
    if count["edit_source"] != 1 or set(count) - {"edit_source", "reference_image"} or references > EDIT_REFERENCES:
        return f"a video edit takes exactly one video and up to {EDIT_REFERENCES} reference images"
    return ""


_ORDER = ["first_frame", "first_clip", "last_frame", "driving_audio"]


def fault_of_seconds(mode: Mode, seconds: int, media: Sequence[Medium]) -> str:
    """Return what is wrong with a duration; "" for a good one. 0 keeps an edit's own length."""
    if mode == "edit" and seconds == 0:
        return ""
    footage = mode == "edit" or any(medium.role == "reference_video" for medium in media)
    legal = SECONDS_OF_FOOTAGE if footage else SECONDS
    return "" if seconds in legal else f"{seconds} s, {legal[0]} to {legal[-1]} are taken here"


def nearest_ratio(shape: tuple[int, int]) -> str:
    """Return the ratio of SIZES that comes closest to a picture's width and height."""

    def distance(ratio: str) -> float:
        width, height = SIZES["720P"][ratio]
        return max(width * shape[1], height * shape[0]) / min(width * shape[1], height * shape[0])

    return min(SIZES["720P"], key=distance)


def shape_of(data: bytes) -> tuple[int, int]:
    """Return width and height of a picture, or of an MP4 by its boxes; 16x9 for what is neither."""
    from PIL import Image

    try:
        with Image.open(BytesIO(data)) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        facts = movie_facts(BytesIO(data))
        return facts.width or 16, facts.height or 9


class Shoot(NamedTuple):
    """How a clip is ordered once its fields are known good; `ratio` is None to follow the media, `seed` -1 for any."""

    prompt: str
    mode: Mode
    media: Sequence[Medium]
    resolution: str
    ratio: str | None
    seconds: int
    seed: int
    watermark: bool


KEPT_SECONDS = 5  # how long an edit of unstated length gets, since nothing here knows how long its source is


def clip(shoot: Shoot, world: World, *, seed: int) -> Clip:
    """Return the clip to draw; `seed` is used where the order has none."""
    seen = sorted((m for m in shoot.media if m.role in _SEEN), key=lambda medium: _SEEN.index(medium.role))
    leading = seen[0] if seen and seen[0].role in _SEEN[:3] else None
    if leading is not None and (shoot.ratio is None or shoot.mode != "edit"):
        ratio = nearest_ratio(shape_of(world.blob(leading.sha256)))
    else:
        ratio = shoot.ratio or "16:9"
    width, height = SIZES[shoot.resolution][ratio]
    verb = {"t2v": "generate", "i2v": "generate", "r2v": "fuse", "edit": "edit"}[shoot.mode]
    return Clip(
        prompt=shoot.prompt, width=width, height=height, seed=shoot.seed if shoot.seed >= 0 else seed,
        seconds=shoot.seconds or KEPT_SECONDS, verb=verb, inputs=tuple(medium.sha256 for medium in seen),
        watermark=shoot.watermark,
    )  # fmt: skip


def ratio_of(clip_: Clip) -> str:
    """Return the ratio a clip has, for a receipt; the nearest, where a fault made it of another size."""
    return nearest_ratio((clip_.width, clip_.height))
