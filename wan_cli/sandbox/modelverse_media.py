"""Input pictures of Modelverse: an https URL, a data URI or bare base64, checked as `contracts.md` 2.2 says [2.2]."""

from __future__ import annotations

import re
from base64 import b64decode
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from wan_cli.sandbox.canvas import SLIMMEST
from wan_cli.sandbox.modelverse_envelope import refuse_input

if TYPE_CHECKING:
    from wan_cli.sandbox.world import World

_SIDES = range(240, 8001)  # pixels of an input picture's side [2.2]
_BYTES = 20 * 1024 * 1024  # of an input picture [2.2]
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # [2.2]
_DATA_URI = re.compile(r"data:image/(?:jpeg|jpg|png|bmp|webp);base64,")  # [2.4] has both this and bare base64


class Source(NamedTuple):
    """An input picture, sides in pixels."""

    sha256: str
    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height


def picture_source(text: str, world: World, *, alpha: bool = False) -> Source:
    """Return an input picture: a data URI or bare base64 is decoded and checked, an https URL gets a stand-in [2.4].

    `alpha` says that a PNG may be transparent, which no page forbids for videos.
    """
    if re.match(r"https://[^\s/?#]", text):
        return Source(world.keep_stand_in(text), 512, 512)
    match = _DATA_URI.match(text)
    try:
        data = b64decode(text[match.end() :] if match else text, validate=True)
    except ValueError:
        refuse_input("invalid image url")  # the page's own words [S]
    if len(data) > _BYTES:
        refuse_input(f"image: {len(data)} bytes, at most {_BYTES} are taken")
    width, height = _measure(data, alpha=alpha)
    return Source(world.keep(data), width, height)


def _measure(data: bytes, *, alpha: bool) -> tuple[int, int]:
    from PIL import Image

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            (width, height), transparent = image.size, image.has_transparency_data and image.format == "PNG"
    except (OSError, SyntaxError, ValueError, *bombs):
        refuse_input(f"image: not a readable picture ({', '.join(_FORMATS)})")
    if transparent and not alpha:
        refuse_input("image: a PNG must not have an alpha channel")
    if width not in _SIDES or height not in _SIDES:
        refuse_input(f"image: {width}x{height}, sides of 240 to 8000 pixels are taken")
    if max(width, height) > SLIMMEST * min(width, height):
        refuse_input(f"image: {width}x{height} is slimmer than 1:{SLIMMEST}")
    return width, height
