"""Cities: three rows of towers with lit windows, mirrored in wet ground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from .palette import RGB, mix, shade
from .sky import paint_sky
from .stage import Stage, seeded

if TYPE_CHECKING:
    from random import Random


def draw_city(stage: Stage) -> None:
    """Draw a skyline with lit windows before the sun or moon, and its reflection in front."""
    rng = stage.rng("city")
    unit, palette = stage.unit, stage.palette
    base = stage.floor - unit * 0.10
    sun = (stage.width * (0.25 + 0.5 * rng.random()), max(unit * 0.13, base - unit * 0.52))
    paint_sky(stage, base, sun, unit * 0.085)
    for row in range(3):
        depth = row / 2
        _towers(stage, row, depth, base)
        if row < 2:
            stage.veil(base - unit * 0.3, base, mix(palette.low, palette.mid, 0.3), 0.0, 0.28 + 0.3 * palette.haze)
    _reflect(stage, base)
    shore = mix(palette.near, palette.low, 0.3)
    stage.line([(0, base), (stage.width, base)], shore, unit * 0.004)


def _towers(stage: Stage, row: int, depth: float, base: float) -> None:
    rng = stage.rng(f"towers {row}")
    unit, palette = stage.unit, stage.palette
    x = -unit * 0.05 * rng.random()
    wall = mix(mix(palette.far, palette.mid, 0.25), palette.near, 0.25 + 0.72 * depth)
    while x < stage.width:
        wide = unit * (0.06 + 0.07 * rng.random())
        high = unit * (0.50 - 0.16 * depth) * (0.35 + 0.85 * rng.random() ** 1.3)
        form, style = seeded(rng.getrandbits(32)), rng.random()
        _tower(stage, (x, base - high, x + wide, base), wall, depth, style, form)
        x += wide * (0.86 + 0.3 * rng.random()) + (unit * 0.02 if rng.random() < 0.2 else 0)


def _tower(
    stage: Stage, box: tuple[float, float, float, float], wall: RGB, depth: float, style: float, rng: Random
) -> None:
    left, top, right, bottom = box
    wide, unit, palette = right - left, stage.unit, stage.palette
    lower = mix(wall, palette.low, 0.12 + 0.2 * (1 - depth))
    stage.fill([(left, top), (right, top), (right, bottom), (left, bottom)], wall, lower)
    if style < 0.22:
        stage.polygon([(left, top + 1), ((left + right) / 2, top - wide * 0.5), (right, top + 1)], wall)
    elif style < 0.45:
        stage.polygon(
            [
                (left + wide * 0.2, top + 1),
                (left + wide * 0.2, top - wide * 0.3),
                (right - wide * 0.2, top - wide * 0.3),
                (right - wide * 0.2, top + 1),
            ],
            wall,
        )
        stage.line([((left + right) / 2, top), ((left + right) / 2, top - wide * 0.95)], wall, unit * 0.003)
    elif style < 0.62:
        stage.polygon([(left, top + 1), (right, top - wide * 0.4), (right, top + 1)], wall)
    edge = mix(wall, palette.light, 0.10)
    stage.polygon(
        [(right - wide * 0.16, top), (right, top), (right, bottom), (right - wide * 0.16, bottom)],
        mix(edge, lower, 0.4),
    )
    _windows(stage, box, depth, rng)
    if depth == 1 and rng.random() < (0.75 if stage.brief.light == "neon" else 0.12):
        _sign(
            stage,
            left + wide * (0.15 + 0.4 * rng.random()),
            top + (bottom - top) * (0.1 + 0.3 * rng.random()),
            wide,
            rng,
        )


def _windows(stage: Stage, box: tuple[float, float, float, float], depth: float, rng: Random) -> None:
    left, top, right, bottom = box
    unit, palette = stage.unit, stage.palette
    pane = unit * (0.0055 + 0.003 * depth)
    glowing = palette.stars or stage.brief.light == "sunset"
    share = (0.42 if glowing else 0.22) * (0.5 + 0.5 * depth)
    warm: tuple[RGB, ...] = ((255, 226, 150), (255, 206, 122), (255, 240, 200))
    if stage.brief.light == "neon":
        warm = (*warm, palette.accents[2], palette.accents[1], palette.accents[3])
    wall = mix(palette.far, palette.near, depth)
    dim = mix(wall, palette.low, 0.22)
    y = top + pane * 2.2
    while y < bottom - pane * 3:
        x = left + pane * 1.2
        while x < right - pane * 2:
            roll, colour = rng.random(), rng.choice(warm)
            if roll < share:
                lit = mix(colour, palette.mid, 0.5 - 0.42 * depth)
                stage.draw.rectangle((x, y, x + pane, y + pane * 1.35), fill=lit if glowing else mix(lit, dim, 0.35))
            elif roll < share + 0.3 and depth:
                stage.draw.rectangle((x, y, x + pane, y + pane * 1.35), fill=dim)
            x += pane * 2
        y += pane * 2.7


def _sign(stage: Stage, x: float, y: float, wide: float, rng: Random) -> None:
    """Hang a lit upright sign with rows of abstract strokes (no script is imitated)."""
    unit = stage.unit
    colour = rng.choice(stage.palette.accents[1:])
    w, h = wide * 0.26, unit * (0.07 + 0.06 * rng.random())
    stage.glow(x + w / 2, y + h / 2, h * 1.15, colour, 0.55)
    stage.draw.rectangle(
        (x, y, x + w, y + h), fill=shade(colour, 0.32), outline=colour, width=max(1, round(unit * 0.0024))
    )
    rows = 5
    for row in range(rows):
        cy = y + h * (row + 0.5) / rows
        stage.line([(x + w * 0.25, cy), (x + w * (0.5 + 0.28 * rng.random()), cy)], shade(colour, 1.5), unit * 0.0034)


def _reflect(stage: Stage, base: float) -> None:
    """Mirror what stands above `base` (y in pixels) into the wet ground below it, blurred and darkened."""
    top = round(base)
    height = stage.height - top
    source = stage.image.crop((0, max(0, top - height), stage.width, top))
    small = ImageOps.flip(source).resize((max(2, stage.width // 3), max(2, height // 24)), Image.Resampling.BOX)
    mirror = small.resize((stage.width, height), Image.Resampling.BICUBIC)
    stage.image.paste(Image.blend(mirror, Image.new("RGB", mirror.size, stage.palette.near), 0.42), (0, top))
