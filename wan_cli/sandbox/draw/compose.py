"""Pictures made from pictures: edits, fusions, and the frames of a sequence."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from wan_cli.sandbox import MARK

from .palette import WHITE, Palette, luminance, mix
from .stage import CAPTION_FREE

if TYPE_CHECKING:
    from collections.abc import Sequence

# How the pictures drawn here name their maker.
SOFTWARE = MARK.decode()

_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def decode(data: bytes, width: int, height: int) -> Image.Image:
    """Return the first frame of an image file as RGB, transparency over white, cropped to cover `width` x `height`.

    Raises ValueError when `data` is not a whole image of a format Pillow reads.
    """
    try:
        with Image.open(BytesIO(data)) as image:
            # A large JPEG is decoded at a reduced scale straight away.
            image.draft("RGB", (width, height))
            upright = ImageOps.exif_transpose(image)
            if image.info.get("Software") == SOFTWARE:
                # A picture drawn here gives its subject, not its caption.
                upright = upright.crop((0, 0, upright.width, max(1, round(upright.height * CAPTION_FREE))))
            if upright.has_transparency_data:
                layered = upright.convert("RGBA")
                flat = Image.new("RGB", layered.size, WHITE)
                flat.paste(layered, (0, 0), layered)
            else:
                flat = upright.convert("RGB")
    except _FAULTS as fault:
        message = f"an input is not a readable image: {fault}"
        raise ValueError(message) from fault
    return ImageOps.fit(flat, (width, height), Image.Resampling.BICUBIC)


def edit(inputs: Sequence[bytes], scene: Image.Image, palette: Palette) -> Image.Image:
    """Return the first input re-toned by `palette`, with `scene` in a round inset; further inputs stand at the left."""
    width, height = scene.size
    base = decode(inputs[0], width, height)
    dark, light = sorted((mix(palette.near, palette.top, 0.5), mix(palette.low, palette.light, 0.5)), key=luminance)
    toned = ImageOps.colorize(base.convert("L"), black=dark, white=light, mid=mix(palette.mid, palette.far, 0.3))
    result = Image.blend(base, toned, 0.34)
    rim = mix(palette.light, WHITE, 0.4)
    _frame(result, rim)
    side = max(2, round(min(width, height) * 0.34))
    margin = round(min(width, height) * 0.06)
    _inset(result, scene, (width - margin - side, margin), side, rim)
    thumb = max(2, round(min(width, height) * 0.18))
    for index, data in enumerate(inputs[1:5]):
        place = (margin, margin + round(index * thumb * 1.12))
        plate = Image.new("RGB", (thumb, thumb), rim)
        border = max(1, thumb // 24)
        inner = max(1, thumb - 2 * border)
        plate.paste(decode(data, inner, inner), (border, border))
        result.paste(plate, place)
    return result


def _frame(image: Image.Image, colour: tuple[int, int, int]) -> None:
    """Draw a thin frame inside the picture."""
    edge = min(image.size)
    gap, line = round(edge * 0.028), max(1, round(edge * 0.004))
    box = (gap, gap, max(gap + 1, image.width - 1 - gap), max(gap + 1, round(image.height * CAPTION_FREE) - 1 - gap))
    ImageDraw.Draw(image).rectangle(box, outline=colour, width=line)


def _inset(
    image: Image.Image, scene: Image.Image, place: tuple[int, int], side: int, rim: tuple[int, int, int]
) -> None:
    """Show the middle of `scene` in a disc of `side` pixels with a ring around it."""
    # Above its caption-free part the scene is cut square, lower half first: that is where the subject stands.
    edge = min(scene.width, max(1, round(scene.height * CAPTION_FREE)))
    left, top = (scene.width - edge) // 2, max(0, round(scene.height * CAPTION_FREE) - edge)
    ring = max(1, round(side * 0.03))
    picture = scene.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + edge, top + edge))
    _paste_disc(image, Image.new("RGB", (side + 2 * ring, side + 2 * ring), rim), (place[0] - ring, place[1] - ring))
    _paste_disc(image, picture, place)


def _paste_disc(image: Image.Image, picture: Image.Image, place: tuple[int, int]) -> None:
    double = Image.new("L", (picture.width * 2, picture.height * 2))
    ImageDraw.Draw(double).ellipse((0, 0, double.width - 1, double.height - 1), fill=255)
    image.paste(picture, place, double.reduce(2))


def fuse(inputs: Sequence[bytes], scene: Image.Image) -> Image.Image:
    """Return all inputs side by side in slanted panels that melt into each other and, below, into `scene`."""
    result = scene.copy()
    across = scene.width >= scene.height
    count = len(inputs)
    length = scene.width if across else round(scene.height * 0.72)
    depth = round(scene.height * 0.72) if across else scene.width
    overlap = min(length / count * 0.22, depth * 0.25)
    for index, data in enumerate(inputs):
        start = max(0, round(index * length / count - overlap))
        end = min(length, round((index + 1) * length / count + overlap))
        size = (end - start, depth) if across else (depth, end - start)
        size = (max(1, size[0]), max(1, size[1]))
        place = (start, 0) if across else (0, start)
        panel = decode(data, *size)
        mask = _panel_mask(size, overlap, first=index == 0, last=index == count - 1, across=across)
        result.paste(panel, place, mask)
    return result


def _panel_mask(size: tuple[int, int], overlap: float, *, first: bool, last: bool, across: bool) -> Image.Image:
    """Return the "L" mask of one panel: slanted soft start unless it is the first, soft end towards the scene below."""
    ratio = min(1.0, 256 / max(size))
    width, height = max(4, round(size[0] * ratio)), max(4, round(size[1] * ratio))
    lean = overlap * 2 * ratio
    blur = max(1.0, lean * 0.14)
    # A border as wide as the blur reaches keeps the panel full up to the edges that must not fade.
    pad = round(blur * 3) + 1
    right, bottom = width + 2 * pad, height + 2 * pad
    if across:
        start = [(0.0, 0.0), (0.0, float(bottom))] if first else [(pad + lean, 0.0), (float(pad), float(bottom))]
        shape = [start[0], (right, 0), (right, pad + height * 0.86), (start[1][0], pad + height * 0.86)]
    else:
        start = [(0.0, 0.0), (float(right), 0.0)] if first else [(0.0, pad + lean), (float(right), float(pad))]
        end = pad + height * 0.80 if last else bottom
        shape = [*start, (right, end), (0, end)]
    mask = Image.new("L", (right, bottom))
    ImageDraw.Draw(mask).polygon(shape, fill=255)
    soft = mask.filter(ImageFilter.GaussianBlur(blur))
    return soft.crop((pad, pad, pad + width, pad + height)).resize(size, Image.Resampling.BICUBIC)


def keep(inputs: Sequence[bytes], scene: Image.Image, palette: Palette) -> Image.Image:
    """Return `scene` with the inputs kept in view in an arched panel, toned a little by the light of `palette`."""
    width, height = scene.size
    high = max(2, round(height * 0.60))
    wide = max(2, min(round(width * 0.74), round(high * 0.9 * len(inputs))))
    panel = Image.new("RGB", (wide, high), palette.mid)
    for index, data in enumerate(inputs):
        start, end = round(index * wide / len(inputs)), round((index + 1) * wide / len(inputs))
        panel.paste(decode(data, max(1, end - start), high), (start, 0))
    panel = Image.blend(panel, Image.new("RGB", panel.size, mix(palette.mid, palette.low, 0.5)), 0.2)
    border = max(1, round(min(wide, high) * 0.012))
    result = scene.copy()
    place = ((width - wide) // 2, round(height * 0.12))
    rim = Image.new("RGB", (wide + 2 * border, high + 2 * border), mix(palette.light, WHITE, 0.4))
    result.paste(rim, (place[0] - border, place[1] - border), _arch(rim.size))
    result.paste(panel, place, _arch(panel.size))
    return result


def _arch(size: tuple[int, int]) -> Image.Image:
    """Return the "L" mask of a rounded panel, its edge smoothed."""
    double = Image.new("L", (size[0] * 2, size[1] * 2))
    radius = min(size) * 0.24
    ImageDraw.Draw(double).rounded_rectangle((0, 0, double.width - 1, double.height - 1), radius=radius, fill=255)
    return double.reduce(2)
