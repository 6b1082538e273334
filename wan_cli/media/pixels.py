"""A picture, or a video's first frame, made small for a terminal: plain pixels, a few colours, or a PNG.

As in :mod:`wan_cli.media.thumbnail`, three formats are opened, and only after the own parsers have read the sides
(reliability.md S12).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.dataclass import dataclass
from wan_cli.media import film
from wan_cli.media.sniffing import MAX_PIXELS, spoken
from wan_cli.media.structure import inspect
from wan_cli.media.thumbnail import FORMATS

if TYPE_CHECKING:
    from PIL.Image import Image

SQUARE = 8
"""Pixels of a side of the checkerboard that stands for what is transparent; 2 where a pixel is half a cell."""
LIGHT, DARK = (204, 204, 204), (153, 153, 153)

Fit = Callable[[int, int], tuple[int, int]]
"""Told the sides of the whole, in pixels, says those of the small one."""
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Pixels:
    """A small picture: ``rgb`` has three bytes a pixel, row by row. ``whole`` are the sides of what it shows."""

    width: int
    height: int
    rgb: bytes
    whole: tuple[int, int]


def small_pixels(path: Path, fit: Fit, *, square: int = SQUARE) -> Pixels:
    """Open a picture or a video and make it small; what is transparent is shown on a checkerboard.

    Raises ``ValueError`` with the reason, ``OSError``, ``ConfigInvalid`` without the extra for videos, and whatever a
    decoder raises.
    """
    with path.open("rb") as file:
        seen = inspect(file)
    if seen.mime.startswith("video/"):
        film.require("a look at a video")
        image = film.frame(path, "first")
    elif seen.mime not in FORMATS:
        raise ValueError(f"{spoken(seen.mime)} is not shown")
    else:
        image = _opened(path, FORMATS[seen.mime], fit)
    whole = image.size if seen.mime.startswith("video/") else _whole(image, seen.width, seen.height)
    width, height = fit(*whole)
    small = _on_checkerboard(image.resize((width, height), reducing_gap=2.0), square)
    return Pixels(width, height, small.tobytes(), whole)


def _opened(path: Path, form: str, fit: Fit) -> Image:
    from PIL import Image, ImageOps

    with Image.open(path, formats=[form]) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"it is {image.width}x{image.height}; at most {MAX_PIXELS:,} pixels are opened")
        image.draft("RGB", tuple(2 * side for side in fit(*image.size)))  # type: ignore[arg-type] # two sides
        upright = ImageOps.exif_transpose(image)
        clear = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
        return upright.convert("RGBA" if clear else "RGB")


def _whole(image: Image, width: int | None, height: int | None) -> tuple[int, int]:
    """Return the sides of the file; an opened JPEG may be reduced already, and one that was turned lies the other way.

    ``width`` and ``height`` are as stored.
    """
    if not width or not height:
        return image.size
    lies = (width > height) == (image.width > image.height)
    return (width, height) if lies else (height, width)


def _on_checkerboard(image: Image, square: int) -> Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    from PIL import Image as Images

    ground = Images.new("RGB", image.size, LIGHT)
    for left, top in itertools.product(range(0, image.width, square), range(0, image.height, square)):
        if (left + top) // square % 2:
            ground.paste(DARK, (left, top, left + square, top + square))
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def reduced(pixels: Pixels, colours: int) -> tuple[bytes, Sequence[Colour]]:
    """Return a byte a pixel, and the at most ``colours`` (2 to 256) that they count in."""
    flat = _image(pixels).quantize(colours)
    table = flat.getpalette("RGB") or []
    found = [(table[at], table[at + 1], table[at + 2]) for at in range(0, len(table), 3)]
    return flat.tobytes(), found


def as_png(pixels: Pixels) -> bytes:
    """Return a PNG, quickly made: it goes to the terminal only."""
    data = BytesIO()
    _image(pixels).save(data, "PNG", compress_level=1)
    return data.getvalue()


def _image(pixels: Pixels) -> Image:
    from PIL import Image

    return Image.frombytes("RGB", (pixels.width, pixels.height), pixels.rgb)
