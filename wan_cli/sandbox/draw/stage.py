"""The drawing surface the scenes share: seeded randomness, polygons, gradients, glows and soft shadows."""

from __future__ import annotations

import hashlib
import math
from random import Random
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFilter

from .palette import RGB, Palette, mix

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .words import Brief

Point = tuple[float, float]

# Soft things are drawn at most this many pixels long and enlarged: it looks the same and is 50 times faster.
_SOFT_EDGE = 384

# Value of Pillow's radial gradient on its inscribed circle (255 is in its corners), less one for rounding.
INSCRIBED = 179

# Share of the height above the caption bar.
CAPTION_FREE = 0.87


def seeded(*parts: object) -> Random:
    """Return a generator seeded from the text of `parts`, the same in every process and on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return Random(int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16], "big"))  # noqa: S311 - pictures, not secrets


def falloff() -> Image.Image:
    """Return a 256x256 "L" mask, 255 in the middle, falling softly to exactly 0 at the inscribed circle."""
    return Image.radial_gradient("L").point([round(255 * max(0.0, 1 - d / INSCRIBED) ** 2.0) for d in range(256)])


def column(stops: Sequence[RGB], height: int) -> Image.Image:
    """Return a 1 x `height` RGB gradient through `stops`, evenly spaced, top to bottom."""
    strip = Image.new("RGB", (1, max(1, height)))
    last = len(stops) - 1
    for y in range(strip.height):
        place = last * y / max(1, strip.height - 1)
        index = min(int(place), last - 1)
        part = place - index
        strip.putpixel((0, y), mix(stops[index], stops[index + 1], part * part * (3 - 2 * part)))
    return strip


def cloud(rng: Random, size: tuple[int, int], cells: float, stretch: float = 1.0) -> Image.Image:
    """Return an "L" image of smooth noise: `cells` blobs along the short side, `stretch` times wider than high."""
    width, height = size
    unit = min(width, height)
    total = Image.new("L", size, 128)
    weight = 1.0
    for octave in range(4):
        down = unit / (cells * 2**octave)
        across = down * stretch
        # Two cells of border keep the blur from flattening the noise along the edges of the picture.
        columns, rows = math.ceil(width / across) + 4, math.ceil(height / down) + 4
        grain = Image.frombytes("L", (columns, rows), rng.randbytes(columns * rows))
        layer = grain.resize((columns * _CELL, rows * _CELL), Image.Resampling.BICUBIC)
        # The blur removes the kinks that enlarging leaves at the cell borders (seams in a sky); the steeper contrast
        # gives back what it takes.
        layer = layer.filter(ImageFilter.GaussianBlur(_CELL * 0.42)).point(_STEEPER)
        box = (2 * _CELL, 2 * _CELL, (2 + width / across) * _CELL, (2 + height / down) * _CELL)
        total = Image.blend(total, layer.resize(size, Image.Resampling.BICUBIC, box=box), weight)
        weight = 0.42 * 0.8**octave
    return total


# Pixels per noise cell while it is being smoothed.
_CELL = 12
_STEEPER = [max(0, min(255, round(128 + (value - 128) * 1.7))) for value in range(256)]


class Stage:
    """A picture being drawn: a brief and palette, and a surface addressed in its own pixels, y downwards.

    `floor` is the y below which the caption will lie; `unit` the length scenes measure by, near the short side.
    """

    def __init__(self, size: tuple[int, int], brief: Brief, palette: Palette, key: str) -> None:
        """Make a surface of `size` pixels (both at least 1) whose randomness comes from `key` alone."""
        self.width, self.height = size
        self.brief = brief
        self.palette = palette
        self.image = Image.new("RGB", size, palette.mid)
        self.draw = ImageDraw.Draw(self.image)
        self.floor = self.height * CAPTION_FREE
        self.unit = min(math.sqrt(self.width * self.height), 1.35 * min(size)) * 0.9
        self._key = key

    def rng(self, purpose: str) -> Random:
        """Return the generator of one purpose: what one part of a scene draws never moves another part."""
        return seeded(self._key, purpose)

    def soft_size(self) -> tuple[int, int]:
        """Return the size at which soft backgrounds are painted before enlarging."""
        ratio = min(1.0, _SOFT_EDGE / max(self.width, self.height))
        return max(2, round(self.width * ratio)), max(2, round(self.height * ratio))

    def background(self, small: Image.Image) -> None:
        """Cover the whole surface with `small`, enlarged smoothly."""
        self.image.paste(small.resize(self.image.size, Image.Resampling.BICUBIC))

    def polygon(self, points: Iterable[Point], colour: RGB) -> None:
        """Fill a polygon with one colour."""
        self.draw.polygon(list(points), fill=colour)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: RGB) -> None:
        """Fill an ellipse around (x, y) with radii `rx` and `ry`."""
        self.draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=colour)

    def line(self, points: Iterable[Point], colour: RGB, width: float) -> None:
        """Draw a line `width` pixels wide (at least 1)."""
        self.draw.line(list(points), fill=colour, width=max(1, round(width)), joint="curve")

    def fill(self, points: Sequence[Point], *stops: RGB) -> None:
        """Fill a polygon with a vertical gradient through `stops` (two or more), measured over its own height."""
        box = self._box(points, 0)
        if box is None:
            return
        left, top, right, bottom = box
        lowest, highest = min(y for _, y in points), max(y for _, y in points)
        mask = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in points], fill=255)
        gradient = column(stops, 512).resize(
            mask.size,
            Image.Resampling.BILINEAR,
            box=(0, _part(top, lowest, highest) * 511, 1, _part(bottom, lowest, highest) * 511 + 1),
        )
        self.image.paste(gradient, (left, top), mask)

    def wash(self, points: Sequence[Point], colour: RGB, alpha: float, blur: float) -> None:
        """Lay a translucent polygon (`alpha` 0 to 1), its edge softened over `blur` pixels: shadows, light patches."""
        box = self._box(points, blur * 2.5)
        if box is None:
            return
        left, top, right, bottom = box
        ratio = min(1.0, _SOFT_EDGE / max(right - left, bottom - top))
        size = max(1, round((right - left) * ratio)), max(1, round((bottom - top) * ratio))
        mask = Image.new("L", size)
        scaled = [((x - left) * ratio, (y - top) * ratio) for x, y in points]
        ImageDraw.Draw(mask).polygon(scaled, fill=round(255 * alpha))
        mask = mask.filter(ImageFilter.GaussianBlur(max(0.6, blur * ratio)))
        self.image.paste(colour, box, mask.resize((right - left, bottom - top), Image.Resampling.BICUBIC))

    def glow(self, x: float, y: float, radius: float, colour: RGB, strength: float) -> None:
        """Add a round glow whose strength (0 to 1 in the middle) is exactly 0 at `radius`."""
        size = max(2, round(radius * 2))
        mask = falloff().point([round(value * strength) for value in range(256)])
        box = self._box([(x - radius, y - radius), (x + radius, y + radius)], 0)
        if box is None:
            return
        left, top, right, bottom = box
        scale = 256 / size
        source = tuple(
            min(256.0, max(0.0, value * scale))
            for value in (left - x + radius, top - y + radius, right - x + radius, bottom - y + radius)
        )
        part = mask.resize((right - left, bottom - top), Image.Resampling.BICUBIC, box=(*source,))  # type: ignore[arg-type]
        self.image.paste(colour, box, part)

    def veil(self, top: float, bottom: float, colour: RGB, start: float, end: float) -> None:
        """Lay mist across the picture from `top` to `bottom` pixels, opacity going from `start` to `end` (0 to 1)."""
        first, last = max(0, round(top)), min(self.height, round(bottom))
        if last <= first:
            return
        values = bytes(round(255 * (start + (end - start) * y / 255)) for y in range(256))
        mask = Image.frombytes("L", (1, 256), values).resize((self.width, last - first), Image.Resampling.BILINEAR)
        self.image.paste(colour, (0, first, self.width, last), mask)

    def _box(self, points: Sequence[Point], margin: float) -> tuple[int, int, int, int] | None:
        """Whole-pixel bounds of `points` inside the surface, or None when nothing of them is inside."""
        left = max(0, math.floor(min(x for x, _ in points) - margin))
        top = max(0, math.floor(min(y for _, y in points) - margin))
        right = min(self.width, math.ceil(max(x for x, _ in points) + margin))
        bottom = min(self.height, math.ceil(max(y for _, y in points) + margin))
        return (left, top, right, bottom) if right > left and bottom > top else None


def _part(value: float, lowest: float, highest: float) -> float:
    return min(1.0, max(0.0, (value - lowest) / max(1.0, highest - lowest)))


def smooth(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """Return the closed Catmull-Rom curve through `points`, `steps` pieces between each two."""
    curve: list[Point] = []
    count = len(points)
    for index in range(count):
        p0, p1, p2, p3 = (points[(index + shift) % count] for shift in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            curve.append((_spline(p0[0], p1[0], p2[0], p3[0], t), _spline(p0[1], p1[1], p2[1], p3[1], t)))
    return curve


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t**3)


def profile(rng: Random, width: float, spacing: float, sharpness: float, step: float) -> list[Point]:
    """Return a skyline: (x, height 0 to about 1) from beyond the left edge to beyond the right one.

    `spacing` is the distance of the main peaks in pixels, `sharpness` (0 to 1) the share of small detail.
    """
    octaves: list[tuple[float, float, list[float]]] = []
    weight, distance = 1.0, spacing
    while distance > step * 1.5 and len(octaves) < 6:
        count = int((width + 4 * spacing) / distance) + 3
        lattice = [rng.random() for _ in range(count)]
        if not octaves and sharpness >= _ROUND:
            # Peak, valley, peak: pure chance would leave plateaus where a mountain is expected.
            lattice = [0.55 + 0.45 * value if place % 2 else 0.4 * value for place, value in enumerate(lattice)]
        octaves.append((weight, distance, lattice))
        weight, distance = weight * sharpness, distance / 2.3
    total = sum(weight for weight, _, _ in octaves) or 1.0
    points = []
    x = -spacing
    while x < width + spacing:
        height = 0.0
        for weight, distance, lattice in octaves:
            place = (x + spacing) / distance
            index = int(place)
            part = place - index
            if sharpness < _ROUND:
                part = part * part * (3 - 2 * part)
            height += weight * (lattice[index] * (1 - part) + lattice[index + 1] * part)
        points.append((x, height / total))
        x += step
    return points


# Below this sharpness a skyline is rounded (hills, dunes); above it is made of straight facets (rock).
_ROUND = 0.4
