"""One scene from a brief: paint it, put the subject into it, finish it in the style the prompt asks for."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageChops, ImageOps

from .abstract import draw_orbs, draw_tiles
from .animals import ANIMALS
from .city import draw_city
from .forest import draw_forest
from .indoor import draw_desk
from .landscape import draw_meadow, draw_ridges, draw_sea
from .origami import draw_crane
from .palette import Palette, mix, shade
from .sketch import Sketch
from .sky import paint_weather
from .stage import Stage, cloud, seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from .words import Brief

_SCENES: Final[dict[str, Callable[[Stage], None]]] = {
    "ridges": draw_ridges,
    "city": draw_city,
    "sea": draw_sea,
    "forest": draw_forest,
    "orbs": draw_orbs,
    "tiles": draw_tiles,
    "desk": draw_desk,
    "meadow": draw_meadow,
}

# Edges are smoothed by drawing larger, up to this many pixels; above it single pixels are too small to see.
_WORK_PIXELS: Final = 9_600_000
_GRAIN_TILE: Final = 256


def paint(brief: Brief, palette: Palette, key: str, width: int, height: int) -> Image.Image:
    """Return the RGB picture of `brief`, exactly `width` x `height` pixels; the same `key` gives the same pixels."""
    scale = min(2.0, math.sqrt(_WORK_PIXELS / (width * height)))
    scale = scale if scale > 1.2 else 1.0
    stage = Stage((max(1, round(width * scale)), max(1, round(height * scale))), brief, palette, key)
    _SCENES[brief.scene](stage)
    if brief.subject is not None and brief.scene != "desk":
        _place_subject(stage, brief.subject)
    paint_weather(stage)
    image = stage.image
    if scale == 2.0:
        image = image.reduce(2)
    elif image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.HAMMING)
    return _styled(image, stage)


def _place_subject(stage: Stage, subject: str) -> None:
    """Stand the subject in the foreground of an outdoor scene, on a mound where there is ground."""
    palette, unit = stage.palette, stage.unit
    rng = stage.rng("subject")
    size = min(unit * 0.40, stage.width * 0.7, stage.floor * 0.62)
    x = stage.width / 2 + (rng.random() - 0.5) * max(0.0, stage.width - size * 1.5) * 0.4
    base = stage.floor - unit * 0.045
    if stage.brief.scene in ("orbs", "tiles"):
        base = stage.floor - unit * 0.14
        stage.oval(x, base - size * 0.5, size * 0.78, size * 0.78, mix(palette.low, palette.light, 0.5))
    elif subject != "fish":
        soil = mix(mix(palette.ground, palette.near, 0.25), palette.low, 0.1)
        mound = [
            (
                x - size * 1.5 + step * size * 0.1,
                base + size * (0.02 + 0.34 * ((step - 15) / 15) ** 2 + 0.012 * math.sin(step * 2.1)),
            )
            for step in range(31)
        ]
        stage.fill(
            [*mound, (mound[-1][0], stage.height + 2.0), (mound[0][0], stage.height + 2.0)],
            shade(soil, 1.06),
            shade(soil, 0.8),
        )
        foot = [
            (x - size * 0.3, base - size * 0.01),
            (x + size * 0.5, base - size * 0.01),
            (x + size * 0.6, base + size * 0.05),
            (x - size * 0.3, base + size * 0.04),
        ]
        stage.wash(foot, shade(palette.near, 0.5), 0.5, size * 0.02)
    if subject == "crane":
        draw_crane(stage, x, base, size, stage.brief.subject_colour or mix((252, 248, 240), palette.light, 0.2))
    else:
        ANIMALS[subject](Sketch(stage, x, base, size), stage.brief)


def _styled(image: Image.Image, stage: Stage) -> Image.Image:
    styles = stage.brief.styles
    if "pixel" in styles:
        edge = 128 / max(image.size)
        small = (max(1, round(image.width * edge)), max(1, round(image.height * edge)))
        return (
            image.resize(small, Image.Resampling.BOX)
            .quantize(40, dither=Image.Dither.NONE)
            .convert("RGB")
            .resize(image.size, Image.Resampling.NEAREST)
        )
    if "mono" in styles:
        image = ImageOps.autocontrast(image.convert("L"), cutoff=1).convert("RGB")
    if "watercolor" in styles:
        image = _watercolor(image, stage)
    return _grained(image, 9 if "watercolor" in styles else 6)


def _watercolor(image: Image.Image, stage: Stage) -> Image.Image:
    """Soften into washes of uneven strength, on paper whose rim stays unpainted."""
    paper = (250, 246, 238)
    size = stage.soft_size()
    wash = cloud(stage.rng("wash"), size, 3.0).point(
        [max(0, min(120, round((value - 96) * 0.95) + 26)) for value in range(256)]
    )
    blot = cloud(stage.rng("blot"), size, 9.0)
    edge = min(size)
    rim = Image.new("L", size, 0)
    rim.paste(
        255, (round(edge * 0.055), round(edge * 0.055), size[0] - round(edge * 0.055), size[1] - round(edge * 0.055))
    )
    soft = rim.resize((max(1, size[0] // 12), max(1, size[1] // 12)), Image.Resampling.BOX).resize(
        size, Image.Resampling.BICUBIC
    )
    painted = ImageChops.add(soft, blot, 1.0, -128).point([max(0, min(255, (value - 104) * 9)) for value in range(256)])
    keep = ImageChops.multiply(painted, ImageChops.invert(wash))
    image = image.copy()
    image.paste(paper, (0, 0), ImageChops.invert(keep).resize(image.size, Image.Resampling.BICUBIC))
    return image


@cache
def _grain(amount: int) -> Image.Image:
    """Return one square of film grain, values 0 to `amount`, the same on every machine."""
    data = seeded("grain").randbytes(_GRAIN_TILE * _GRAIN_TILE)
    tile = Image.frombytes("L", (_GRAIN_TILE, _GRAIN_TILE), data).point(
        [value * (amount + 1) // 256 for value in range(256)]
    )
    return Image.merge("RGB", (tile, tile, tile))


def _grained(image: Image.Image, amount: int) -> Image.Image:
    """Add grain, which also hides the single-step bands of 8-bit gradients."""
    sheet = Image.new("RGB", image.size)
    tile = _grain(amount)
    for y in range(0, image.height, _GRAIN_TILE):
        for x in range(0, image.width, _GRAIN_TILE):
            sheet.paste(tile, (x, y))
    return ImageChops.add(image, sheet, 1.0, -(amount // 2))
