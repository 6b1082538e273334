"""Small pictures of pictures and of a video's first frame. What cannot be opened has none: nobody fails because of it.

The one place where something from outside is decoded by Pillow, so what it may be is narrow: three formats, after the
own parsers have read the sides (reliability.md S12).
"""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.dataclass import dataclass, replace
from wan_cli.media.sniffing import MAX_PIXELS
from wan_cli.media.structure import inspect

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
QUALITY = 80
"""JPEG quality, 1 to 95 (Pillow's handbook): below it flat icons show blocks."""


@dataclass(frozen=True, slots=True)
class Small:
    """What a file looks like: sides in pixels as far as known, a small JPEG, if one could be made; a film's seconds."""

    width: int | None = None
    height: int | None = None
    jpeg: bytes | None = None
    duration_s: float | None = None


def thumbnail(path: Path, side: int) -> Small:
    """Look at a file; the JPEG's longer side has ``side`` pixels at most. Raises nothing."""
    with suppress(OSError, ValueError, EOFError):
        with path.open("rb") as file:
            seen = inspect(file)
        found = Small(seen.width, seen.height, duration_s=seen.duration_s)
        with suppress(Exception):  # whatever a decoder makes of a file
            if seen.mime.startswith("video/"):
                return replace(_first_frame(path, side), duration_s=seen.duration_s)
            if seen.mime in FORMATS and (seen.width or 0) * (seen.height or 0) <= MAX_PIXELS:
                return Small(seen.width, seen.height, _opened(path, FORMATS[seen.mime], side))
        return found
    return Small()


def _opened(path: Path, form: str, side: int) -> bytes:
    from PIL import Image, ImageOps

    with Image.open(path, formats=[form]) as image:
        image.draft("RGB", (side * 2, side * 2))
        return _jpeg(ImageOps.exif_transpose(image), side)


def _first_frame(path: Path, side: int) -> Small:
    """Decode a video's first frame, where the extra for videos is installed."""
    from wan_cli.media.film import frame

    picture = frame(path, "first")
    return Small(picture.width, picture.height, _jpeg(picture, side))


def _jpeg(image: Image, side: int) -> bytes:
    from PIL import Image as Images

    image.thumbnail((side, side))
    if image.mode != "RGB":  # what is transparent is shown on white
        ground = Images.new("RGB", image.size, (255, 255, 255))
        clear = image.convert("RGBA")
        ground.paste(clear, mask=clear.getchannel("A"))
        image = ground
    data = BytesIO()
    image.save(data, "JPEG", quality=QUALITY, optimize=True)
    return data.getvalue()
