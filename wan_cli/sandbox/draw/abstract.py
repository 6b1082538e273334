"""Scenes without a ground: planets in space, and geometric tiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from .palette import RGB, mix, shade
from .sky import paint_stars
from .stage import INSCRIBED, Stage, cloud, column, seeded

if TYPE_CHECKING:
    from random import Random


def draw_orbs(stage: Stage) -> None:
    """Draw planets, one of them ringed, before a nebula and stars."""
    rng = stage.rng("orbs")
    unit, palette = stage.unit, stage.palette
    size = stage.soft_size()
    small = column((palette.top, palette.mid, palette.top), size[1]).resize(size)
    for index, colour in enumerate((palette.low, palette.accents[4], palette.accents[1])):
        haze = cloud(stage.rng(f"nebula {index}"), size, 1.4)
        small.paste(
            mix(colour, palette.mid, 0.25),
            (0, 0),
            haze.point([round(max(0, value - 132) * 1.9) if value < 255 else 234 for value in range(256)]),
        )
    stage.background(small)
    paint_stars(stage, stage.height * 1.0)
    wide = max(1, round(stage.width / unit))
    big = unit * (0.27 + 0.06 * rng.random())
    centre = (stage.width * (0.34 + 0.32 * rng.random()), stage.floor * (0.44 + 0.1 * rng.random()))
    _arc(stage, centre, big * 1.75)
    _planet(stage, centre, big, palette.accents[1], rng, ringed=True)
    for index in range(3 + 2 * (wide - 1)):
        angle = math.tau * (index * 0.38 + rng.random() * 0.2)
        away = big * (1.55 + 0.75 * rng.random()) * (1 + 0.9 * (index // 3))
        place = (
            centre[0] + math.cos(angle) * away * min(1.5, stage.width / unit),
            centre[1] + math.sin(angle) * away * 0.8,
        )
        _planet(
            stage, place, unit * (0.03 + 0.075 * rng.random()), palette.accents[1 + (index + 1) % 4], rng, ringed=False
        )


def _arc(stage: Stage, centre: tuple[float, float], radius: float) -> None:
    """Trace two thin orbits around the big planet."""
    colour = mix(stage.palette.mid, stage.palette.light, 0.25)
    for scale in (1.0, 1.36):
        rx, ry = radius * scale, radius * scale * 0.8
        stage.draw.ellipse(
            (centre[0] - rx, centre[1] - ry, centre[0] + rx, centre[1] + ry),
            outline=colour,
            width=max(1, round(stage.unit * 0.0014)),
        )


def _planet(
    stage: Stage, centre: tuple[float, float], radius: float, colour: RGB, rng: Random, *, ringed: bool
) -> None:
    x, y = centre
    form = seeded(rng.getrandbits(32))
    stage.glow(x, y, radius * 1.7, mix(colour, stage.palette.light, 0.3), 0.42)
    tilt = -0.32
    if ringed:
        _ring(stage, centre, radius, tilt, colour, front=False)
    side = max(4, round(radius * 2))
    edge = min(side, 320)
    # Half as large again as needed: turning it must not bring in empty corners.
    bands = cloud(form, (edge * 3 // 2, edge * 3 // 2), 3.4, 7.0 if ringed else 1.4)
    surface = Image.merge(
        "RGB",
        [
            bands.point([round(a + (b - a) * max(0, min(255, (v - 64) * 2)) / 255) for v in range(256)])
            for a, b in zip(shade(colour, 0.62), mix(colour, (255, 236, 210), 0.6), strict=True)
        ],
    )
    inset = edge // 4
    surface = surface.rotate(18, Image.Resampling.BICUBIC).crop((inset, inset, inset + edge, inset + edge))
    surface.paste(shade(stage.palette.top, 0.55), (0, 0), _night_side(edge))
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse((0, 0, side - 1, side - 1), fill=255)
    stage.image.paste(
        surface.resize((side, side), Image.Resampling.BICUBIC), (round(x - radius), round(y - radius)), mask
    )
    if ringed:
        _ring(stage, centre, radius, tilt, colour, front=True)


def _night_side(edge: int) -> Image.Image:
    """Return the "L" mask of a sphere's shading: clear at its upper left, dark at the lower right limb."""
    distance = Image.radial_gradient("L").resize((edge * 2, edge * 2), Image.Resampling.BICUBIC)
    # The clear middle of the gradient falls on a point up and to the left of the middle of the sphere.
    shift = edge - round(edge * 0.33)
    part = distance.crop((shift, shift, shift + edge, shift + edge))
    return part.point([round(255 * min(0.95, max(0.0, value / INSCRIBED - 0.16) ** 1.5 * 1.7)) for value in range(256)])


def _ring(stage: Stage, centre: tuple[float, float], radius: float, tilt: float, colour: RGB, *, front: bool) -> None:
    """Draw the near or far half of a planet's rings as thin tilted bands."""
    start = 0.0 if front else math.pi
    steps = 72
    for inner, outer, tone in ((1.32, 1.46, 0.85), (1.49, 1.72, 1.25), (1.76, 1.84, 0.7)):
        rim = []
        for scale, order in ((outer, range(steps + 1)), (inner, range(steps, -1, -1))):
            for step in order:
                angle = start + math.pi * step / steps
                px, py = math.cos(angle) * radius * scale, math.sin(angle) * radius * scale * 0.26
                rim.append(
                    (
                        centre[0] + px * math.cos(tilt) - py * math.sin(tilt),
                        centre[1] + px * math.sin(tilt) + py * math.cos(tilt),
                    )
                )
        stage.polygon(rim, mix(shade(colour, tone), stage.palette.light, 0.3))


def draw_tiles(stage: Stage) -> None:
    """Draw a grid of geometric tiles: quarter discs, halves, triangles, rings and dots in five flat colours."""
    rng = stage.rng("tiles")
    across = max(1, round(6 * stage.width / min(stage.width, stage.floor)))
    cell = stage.width / across
    down = math.ceil(stage.height / cell)
    for row in range(down):
        for place in range(across):
            _tile(stage, (place * cell, row * cell, (place + 1) * cell, (row + 1) * cell), rng)


def _tile(stage: Stage, box: tuple[float, float, float, float], rng: Random) -> None:
    left, top, right, bottom = box
    cell = right - left
    back, front, third = rng.sample(stage.palette.accents, 3)
    corner, kind = rng.randrange(4), rng.randrange(8)
    # One pixel of overlap keeps rounding from opening hairlines between the tiles.
    stage.draw.rectangle((left, top, right + 1, bottom + 1), fill=back)
    cx, cy = (left if corner % 2 else right), (top if corner < 2 else bottom)
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    if kind in (0, 1, 2):
        start = {(True, True): 0, (False, True): 90, (False, False): 180, (True, False): 270}[(cx == left, cy == top)]
        for size, colour in ((1.0, front), (0.5, third))[: 1 + (kind == 2)]:
            reach = cell * size
            stage.draw.pieslice((cx - reach, cy - reach, cx + reach, cy + reach), start, start + 90, fill=colour)
    elif kind == 3:
        corners = [(left, top), (right + 1, top), (right + 1, bottom + 1), (left, bottom + 1)]
        stage.polygon([corner_ for index, corner_ in enumerate(corners) if index != corner], front)
    elif kind == 4:
        stage.draw.rectangle(
            (left, middle_y, right + 1, bottom + 1) if corner < 2 else (left, top, middle_x, bottom + 1), fill=front
        )
    elif kind == 5:
        stage.oval(middle_x, middle_y, cell * 0.36, cell * 0.36, front)
        stage.oval(middle_x, middle_y, cell * 0.16, cell * 0.16, third)
    elif kind == 6:
        stage.draw.pieslice((left, top - cell / 2, right, middle_y), 0, 180, fill=front)
        stage.draw.pieslice((left, middle_y - cell / 2, right, bottom), 0, 180, fill=third)
    else:
        bars = 4
        for bar in range(0, bars, 2):
            y = top + cell * bar / bars
            stage.draw.rectangle((left, y, right + 1, y + cell / bars), fill=front)
