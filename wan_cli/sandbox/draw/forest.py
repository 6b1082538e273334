"""Forests: rows of conifers or broad-leaved trees with mist between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .palette import RGB, mix, shade
from .sky import paint_sky
from .stage import Stage, profile, seeded, smooth

if TYPE_CHECKING:
    from random import Random


def draw_forest(stage: Stage) -> None:
    """Draw rows of trees that fade into the distance, conifers by nature and broad leaves in autumn and spring."""
    rng = stage.rng("forest")
    unit, palette = stage.unit, stage.palette
    horizon = stage.floor * 0.62
    sun = (stage.width * (0.22 + 0.56 * rng.random()), max(unit * 0.12, horizon - unit * 0.34))
    paint_sky(stage, stage.floor * 0.8, sun, unit * 0.075)
    rows = 5
    for row in range(rows):
        depth = row / (rows - 1)
        base = horizon + (stage.floor + unit * 0.04 - horizon) * depth
        ground = [
            (x, base - height * unit * 0.06)
            for x, height in profile(stage.rng(f"ground {row}"), stage.width, unit * 0.5, 0.2, unit * 0.012)
        ]
        colour = mix(mix(palette.far, palette.low, 0.25), palette.near, depth**1.1)
        _row(stage, row, depth, ground, colour)
        soil = mix(colour, palette.ground, 0.7 * depth) if stage.brief.season == "winter" else colour
        stage.fill(
            [*ground, (stage.width + unit, stage.height + 2.0), (-unit, stage.height + 2.0)], soil, shade(soil, 0.8)
        )
        if row < rows - 1:
            mist = mix(palette.low, palette.far, 0.3)
            strength = 0.12 + 0.5 * palette.haze
            stage.veil(base - unit * 0.2, base + unit * 0.02, mist, 0.0, strength)
            stage.veil(base + unit * 0.02, base + unit * 0.2, mist, strength, 0.0)


def _row(stage: Stage, row: int, depth: float, ground: list[tuple[float, float]], colour: RGB) -> None:
    rng = stage.rng(f"trees {row}")
    unit = stage.unit
    # The leaves change with the season, the places and sizes of the trees do not.
    broad = stage.brief.season in ("autumn", "spring")
    x = -unit * 0.1
    spacing = unit * (0.034 + 0.075 * depth)
    while x < stage.width + unit * 0.1:
        size = unit * (0.14 + 0.26 * depth) * (0.65 + 0.6 * rng.random())
        style, form = rng.random(), seeded(rng.getrandbits(32))
        index = min(len(ground) - 1, max(0, round((x + unit * 0.5) / (unit * 0.012))))
        y = ground[index][1] + unit * 0.012
        tone = mix(colour, shade(colour, 0.82), style)
        if broad and style < 0.62:
            leaf = mix(tone, stage.palette.accents[1 + row % 4], 0.22 + 0.4 * depth)
            _broad(stage, x, y, size * 0.82, leaf, shade(tone, 0.85), form)
        else:
            _conifer(stage, x, y, size, tone, form)
        x += spacing * (0.45 + 1.1 * rng.random())


def _conifer(stage: Stage, x: float, y: float, size: float, colour: RGB, rng: Random) -> None:
    half = size * (0.17 + 0.05 * rng.random())
    tiers = 7
    left, right = [], []
    for tier in range(tiers):
        part = (tier + 1) / tiers
        wide = half * part**0.85
        low = y - size + size * 0.93 * part
        sag = size * 0.02
        left += [(x - wide * (0.92 + 0.16 * rng.random()), low + sag), (x - wide * 0.55, low - sag)]
        right += [(x + wide * (0.92 + 0.16 * rng.random()), low + sag), (x + wide * 0.55, low - sag)]
    stage.polygon(
        [
            (x - size * 0.018, y),
            (x + size * 0.018, y),
            (x + size * 0.018, y - size * 0.2),
            (x - size * 0.018, y - size * 0.2),
        ],
        shade(colour, 0.8),
    )
    stage.polygon([(x, y - size), *right, *reversed(left)], colour)
    if stage.brief.season == "winter":
        snow = mix(colour, mix(stage.palette.low, (255, 255, 255), 0.6), 0.5)
        for tier in range(1, tiers):
            part = tier / tiers
            wide, low = half * part**0.85, y - size + size * 0.93 * part
            stage.polygon(
                [
                    (x - wide * 0.95, low + size * 0.018),
                    (x - wide * 0.12, low - size * 0.13),
                    (x + wide * 0.1, low - size * 0.13),
                    (x - wide * 0.3, low - size * 0.035),
                ],
                snow,
            )


def _broad(stage: Stage, x: float, y: float, size: float, leaf: RGB, bark: RGB, rng: Random) -> None:
    trunk = size * 0.035
    stage.polygon(
        [(x - trunk, y), (x - trunk * 0.5, y - size * 0.7), (x + trunk * 0.5, y - size * 0.7), (x + trunk, y)], bark
    )
    centre = y - size * 0.64
    for scale, tone in ((1.0, 0.86), (0.72, 1.0), (0.42, 1.1)):
        lobes = 9
        points = []
        for lobe in range(lobes):
            across, down = _RING[lobe]
            wobble = 0.82 + 0.32 * rng.random()
            points.append(
                (
                    x - (1 - scale) * size * 0.12 + across * size * 0.27 * scale * wobble,
                    centre - (1 - scale) * size * 0.14 + down * size * 0.36 * scale * wobble,
                )
            )
        stage.polygon(smooth(points, 5), shade(leaf, tone))


# Nine points on the unit circle: the outline of a crown before its wobble.
_RING = (
    (1.0, 0.0),
    (0.77, 0.64),
    (0.17, 0.98),
    (-0.5, 0.87),
    (-0.94, 0.34),
    (-0.94, -0.34),
    (-0.5, -0.87),
    (0.17, -0.98),
    (0.77, -0.64),
)
