"""Open country: mountain ridges and dunes, sea, meadow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .palette import RGB, mix, shade
from .sky import paint_sky
from .stage import Point, Stage, profile

if TYPE_CHECKING:
    from random import Random


def draw_ridges(stage: Stage) -> None:
    """Draw mountain ridges (or dunes) fading into the distance under a sun or moon."""
    rng = stage.rng("ridges")
    unit, palette = stage.unit, stage.palette
    desert = "desert" in stage.brief.things
    horizon = stage.floor * 0.66
    sun = (stage.width * (0.24 + 0.52 * rng.random()), max(unit * 0.14, horizon - unit * (0.36 + 0.1 * rng.random())))
    paint_sky(stage, horizon, sun, unit * 0.075)
    layers = 5
    for index in range(layers):
        depth = index / (layers - 1)
        base = horizon - unit * 0.04 + (stage.floor + unit * 0.02 - horizon) * depth**1.1
        amplitude = unit * (0.36 - 0.22 * depth) * (0.45 if desert else 1)
        sharpness = 0.22 if desert or depth > _HILLS else 0.5
        spacing = unit * (0.19 + 0.16 * depth) * (2.2 if desert else 1)
        line = [
            (x, base - height * amplitude)
            for x, height in profile(stage.rng(f"ridge {index}"), stage.width, spacing, sharpness, unit * 0.006)
        ]
        colour = _ridge_colour(stage, depth, desert=desert)
        misty = mix(colour, palette.low, 0.25 + 0.5 * palette.haze * (1 - depth * 0.6))
        foot = base + unit * 0.16
        stage.fill([*line, (stage.width + spacing, foot), (-spacing, foot)], colour, misty)
        stage.polygon(
            [
                (-spacing, foot - 1),
                (stage.width + spacing, foot - 1),
                (stage.width + spacing, stage.height + 9),
                (-spacing, stage.height + 9),
            ],
            misty,
        )
        if sharpness > 0.4:
            _facets(stage, line, amplitude, colour, sun[0])


# Share of the depth beyond which the layers are rounded foothills.
_HILLS = 0.6


def _ridge_colour(stage: Stage, depth: float, *, desert: bool) -> RGB:
    palette = stage.palette
    colour = mix(palette.far, palette.near, depth**1.15)
    if desert:
        return mix(colour, (226, 158, 92), 0.45 * (1 - 0.6 * depth))
    if stage.brief.season is not None and depth > _HILLS:
        return mix(colour, palette.ground, 0.85)
    return colour


# A facet follows the ridge at most this many points, lest a plateau become one slab.
_SLOPE = 30


def _facets(stage: Stage, line: list[Point], amplitude: float, colour: RGB, sun_x: float) -> None:
    """Shade the far side of each peak and, in winter, lay snow on its top."""
    rng = stage.rng(f"facets {len(line)} {amplitude:.0f}")
    dark = mix(colour, stage.palette.near, 0.2)
    snow = (
        mix(stage.palette.low, (255, 255, 255), 0.55)
        if stage.brief.season == "winter"
        else mix(colour, stage.palette.light, 0.4)
    )
    depth = amplitude * (0.34 if stage.brief.season == "winter" else 0.13)
    peaks = [index for index in range(_REACH, len(line) - _REACH) if _is_peak(line, index, amplitude)]
    # The side away from the sun lies in shadow; all shadows come first, so that none falls on a neighbour's snow.
    steps = [1 if sun_x < line[index][0] else -1 for index in peaks]
    for index, step in zip(peaks, steps, strict=True):
        _shadow(stage, line, index, step, amplitude, dark, rng)
    for index, step in zip(peaks, steps, strict=True):
        _cap(stage, line, index, depth, snow, step, rng)


# A peak is the highest of this many points to either side.
_REACH = 9


def _is_peak(line: list[Point], index: int, amplitude: float) -> bool:
    window = [y for _, y in line[index - _REACH : index + _REACH + 1]]
    return line[index][1] <= min(window) and max(window) - line[index][1] >= amplitude * 0.11


def _shadow(stage: Stage, line: list[Point], index: int, step: int, amplitude: float, colour: RGB, rng: Random) -> None:
    slope = [line[index]]
    walk = index + step
    while 0 <= walk < len(line) and line[walk][1] < line[index][1] + amplitude * 0.55 and len(slope) < _SLOPE:
        slope.append(line[walk])
        walk += step
    (x, y), (end_x, _) = slope[0], slope[-1]
    deepest = max(point[1] for point in slope)
    teeth = 5
    back = []
    for tooth in range(teeth, 0, -1):
        part = tooth / teeth
        wobble = (rng.random() - 0.3) * 0.35 * (end_x - x)
        back.append((x + wobble * part, y + (deepest - y) * part * (0.9 + 0.3 * rng.random())))
    stage.polygon([*slope, *back], colour)


def _cap(stage: Stage, line: list[Point], index: int, depth: float, snow: RGB, shaded: int, rng: Random) -> None:
    """Cover the top `depth` pixels of the peak at `index` with snow, darker on its `shaded` side (-1 left, 1 right)."""
    top = line[index][1]
    for side in (-1, 1):
        edge = [line[index]]
        walk = index + side
        while 0 <= walk < len(line) and line[walk][1] < top + depth and len(edge) < _SLOPE:
            edge.append(line[walk])
            walk += side
        lower = []
        width = edge[-1][0] - edge[0][0]
        for tooth in range(5):
            part = 1 - (tooth + 1) / 6
            drop = depth * (0.75 + 0.45 * rng.random()) if tooth % 2 == 0 else depth * 0.55
            lower.append((edge[0][0] + width * part, top + drop * (0.85 if part > 0.5 else 1)))
        colour = mix(snow, stage.palette.far, 0.35) if side == shaded else snow
        stage.polygon([*edge, *lower, (edge[0][0], top + depth * 1.05)], colour)


def draw_sea(stage: Stage) -> None:
    """Draw a sea with far islands, waves and the path of light under the sun or moon."""
    rng = stage.rng("sea")
    unit, palette = stage.unit, stage.palette
    horizon = stage.floor * 0.60
    sun = (stage.width * (0.3 + 0.4 * rng.random()), max(unit * 0.12, horizon - unit * (0.20 + 0.18 * rng.random())))
    paint_sky(stage, horizon, sun, unit * 0.08)
    for index in range(2):
        base = horizon + unit * 0.004
        line = profile(stage.rng(f"island {index}"), stage.width, unit * 0.3, 0.45, unit * 0.008)
        colour = mix(palette.far, palette.mid, 0.5 - 0.35 * index)
        island = [(x, base - max(0.0, height - 0.52 - 0.06 * index) * unit * 0.42) for x, height in line]
        stage.polygon([*island, (stage.width + unit, base), (-unit, base)], colour)
    water = [
        (0.0, horizon),
        (float(stage.width), horizon),
        (float(stage.width), stage.height + 2.0),
        (0.0, stage.height + 2.0),
    ]
    deep = mix(palette.top, palette.near, 0.45)
    stage.fill(water, mix(palette.low, palette.mid, 0.45), mix(palette.mid, palette.top, 0.6), deep, shade(deep, 0.8))
    _waves(stage, horizon)
    _light_path(stage, horizon, sun[0], rng)
    if "boat" in stage.brief.things or (stage.brief.subject is None and rng.random() < _BOAT):
        side = -1 if sun[0] > stage.width / 2 else 1
        _boat(stage, sun[0] + side * min(stage.width * 0.3, unit * (0.2 + 0.2 * rng.random())), horizon + unit * 0.085)


# Share of the seas that get a sailing boat unasked.
_BOAT = 0.6


def _waves(stage: Stage, horizon: float) -> None:
    """Lay long lens-shaped ripples, wider and further apart towards the viewer."""
    rng = stage.rng("waves")
    palette, unit = stage.palette, stage.unit
    for _ in range(min(600, round(150 * stage.width / unit))):
        depth = rng.random() ** 1.6
        y = horizon + (stage.height - horizon) * depth
        x = rng.random() * stage.width
        length, thick = unit * (0.012 + 0.11 * depth * rng.random()), unit * (0.0006 + 0.0035 * depth)
        base = mix(mix(palette.mid, palette.top, 0.5), mix(palette.top, palette.near, 0.45), depth)
        colour = mix(base, palette.low, 0.22) if rng.random() < 0.6 else mix(base, palette.near, 0.3)
        stage.polygon([(x - length, y), (x, y - thick), (x + length, y), (x, y + thick)], colour)


def _light_path(stage: Stage, horizon: float, x: float, rng: Random) -> None:
    palette, unit = stage.palette, stage.unit
    stage.glow(x, horizon + unit * 0.02, unit * 0.34, palette.low, 0.5)
    for _ in range(230):
        depth = rng.random() ** 1.3
        y = horizon + unit * 0.004 + (stage.floor + unit * 0.1 - horizon) * depth
        spread = unit * (0.05 + 0.13 * depth)
        place = x + rng.gauss(0, 0.5) * spread
        length, thick = unit * (0.006 + 0.035 * depth * rng.random()), unit * (0.001 + 0.0034 * depth)
        colour = mix(palette.mid, palette.light, 0.5 + 0.45 * rng.random() - 0.25 * depth)
        stage.polygon([(place - length, y), (place, y - thick), (place + length, y), (place, y + thick)], colour)


def _boat(stage: Stage, x: float, y: float) -> None:
    unit, palette = stage.unit, stage.palette
    size = unit * 0.085
    hull = shade(palette.near, 0.9)
    sail = mix(palette.light, palette.low, 0.25)
    stage.wash(
        [(x - size, y), (x + size, y), (x + size * 0.7, y + size * 0.5), (x - size * 0.7, y + size * 0.5)],
        hull,
        0.35,
        size * 0.12,
    )
    stage.polygon(
        [(x - size * 0.06, y - size * 2.2), (x - size * 0.06, y - size * 0.3), (x - size * 0.95, y - size * 0.3)],
        mix(sail, palette.far, 0.35),
    )
    stage.polygon(
        [(x + size * 0.04, y - size * 2.0), (x + size * 0.04, y - size * 0.3), (x + size * 0.8, y - size * 0.3)], sail
    )
    stage.polygon(
        [
            (x - size, y - size * 0.2),
            (x + size, y - size * 0.2),
            (x + size * 0.66, y + size * 0.12),
            (x - size * 0.7, y + size * 0.12),
        ],
        hull,
    )


def draw_meadow(stage: Stage) -> None:
    """Draw rolling hills with grass and flowers in front."""
    rng = stage.rng("meadow")
    unit, palette = stage.unit, stage.palette
    horizon = stage.floor * 0.60
    paint_sky(
        stage, horizon, (stage.width * (0.2 + 0.6 * rng.random()), max(unit * 0.12, horizon - unit * 0.34)), unit * 0.07
    )
    green = mix(mix(palette.near, (84, 140, 62), 0.0 if palette.stars else 0.75), palette.ground, 0.3)
    for index in range(4):
        depth = index / 3
        base = horizon + (stage.floor - horizon) * depth * 0.8 + unit * 0.05
        line = [
            (x, base - height * unit * 0.16)
            for x, height in profile(stage.rng(f"hill {index}"), stage.width, unit * 0.6, 0.2, unit * 0.012)
        ]
        colour = mix(mix(palette.far, green, 0.35), green, depth)
        stage.fill(
            [*line, (stage.width + unit, stage.height + 2.0), (-unit, stage.height + 2.0)],
            mix(colour, palette.low, 0.3),
            colour,
            shade(colour, 0.7),
        )
    _grass(stage, green)
    _flowers(stage, green)


def _grass(stage: Stage, green: RGB) -> None:
    rng = stage.rng("grass")
    unit = stage.unit
    for index in range(min(1200, round(260 * stage.width / unit))):
        x, height = rng.random() * stage.width, unit * (0.03 + 0.09 * rng.random())
        base = stage.floor + unit * 0.06 * rng.random()
        lean = (rng.random() - 0.5) * height * 0.6
        colour = mix(shade(green, 0.55 + 0.4 * rng.random()), stage.palette.low, 0.12 if index % 3 else 0.25)
        stage.polygon(
            [(x - unit * 0.003, base + unit * 0.05), (x + lean, base - height), (x + unit * 0.004, base + unit * 0.05)],
            colour,
        )


def _flowers(stage: Stage, green: RGB) -> None:
    rng = stage.rng("flowers")
    unit, palette = stage.unit, stage.palette
    count = min(90, max(5, round(24 * stage.width / unit)))
    colours = (
        ((208, 52, 40), (228, 84, 52)) if "poppy" in stage.brief.things else palette.accents[1:3] + palette.accents[4:]
    )
    sizes = sorted(0.016 + 0.042 * rng.random() ** 2 for _ in range(count))
    for size in sizes:
        x, radius = rng.random() * stage.width, unit * size
        y = stage.floor - unit * (0.03 + 0.22 * rng.random()) * (0.5 + size * 12)
        stem = [(x, y), (x + (rng.random() - 0.5) * radius * 2, stage.floor + unit * 0.05)]
        stage.line(stem, shade(green, 0.7), radius * 0.16)
        _blossom(stage, x, y, radius, rng.choice(colours), rng)


def _blossom(stage: Stage, x: float, y: float, radius: float, colour: RGB, rng: Random) -> None:
    petals = rng.choice((5, 6, 8))
    turn = rng.random() * math.tau
    for layer, size in ((0.86, 1.0), (1.12, 0.82)):
        for petal in range(petals):
            angle = turn + math.tau * (petal + (0 if layer < 1 else 0.5)) / petals
            dx, dy = math.cos(angle), math.sin(angle) * 0.86
            wide = radius * size * 0.34
            tip = (x + dx * radius * size, y + dy * radius * size)
            middle = (x + dx * radius * size * 0.62, y + dy * radius * size * 0.62)
            stage.polygon(
                [
                    (x, y),
                    (middle[0] - dy * wide, middle[1] + dx * wide),
                    tip,
                    (middle[0] + dy * wide, middle[1] - dx * wide),
                ],
                shade(colour, layer),
            )
            stage.oval(tip[0] - dx * wide, tip[1] - dy * wide, wide * 0.95, wide * 0.95, shade(colour, layer))
    stage.oval(x, y, radius * 0.26, radius * 0.24, mix(colour, (250, 206, 84), 0.85))
