"""Indoors: a desk or table by a window, with a folded crane, a cup, books, a vase or an animal on it."""

from __future__ import annotations

from .animals import ANIMALS
from .origami import draw_crane
from .palette import RGB, Palette, mix, shade
from .sketch import Sketch
from .stage import Point, Stage, column, profile


def draw_desk(stage: Stage) -> None:
    """Draw a desk in the light of a window, and what the brief puts on it."""
    palette = stage.palette
    size = min(stage.unit, stage.width * 1.05, stage.floor * 1.1)
    edge = stage.floor * 0.70 if stage.floor < 2 * size else stage.floor - size * 0.42
    wall = _wall(palette)
    stage.background(column((shade(wall, 0.82), wall, shade(wall, 1.12), wall), 64).resize((8, 64)))
    animal = stage.brief.subject in ANIMALS
    middle = stage.width * 0.5
    left = middle - size * (0.40 if animal else 0.52)
    frame = (
        left,
        edge - size * (0.66 if animal else 0.62),
        left + size * (0.80 if animal else 0.46),
        edge - size * 0.06,
    )
    if not animal:
        _patch_on_wall(stage, frame, size)
    repeat = size * 1.5
    places = [0.0, *[side * repeat * step for step in range(1, int(stage.width / repeat / 2) + 2) for side in (-1, 1)]]
    for index, shift in enumerate(places):
        _window(stage, (frame[0] + shift, frame[1], frame[2] + shift, frame[3]), size, index)
    _desk(stage, edge, size, frame)
    base = edge + (stage.floor - edge) * 0.58
    _things(stage, middle, base, size, animal=animal)
    stage.glow(
        frame[0], frame[1], size * 1.1, mix(palette.light, palette.low, 0.4), 0.30 if not palette.stars else 0.12
    )


def _wall(palette: Palette) -> RGB:
    plaster: RGB = (236, 220, 200)
    return (
        mix(mix(palette.mid, palette.near, 0.45), plaster, 0.08) if palette.stars else mix(palette.low, plaster, 0.35)
    )


def _patch_on_wall(stage: Stage, frame: tuple[float, float, float, float], size: float) -> None:
    """Cast the light of the window, pane by pane, as a slanted patch on the wall to its right."""
    left, top, right, bottom = frame
    wide, high = right - left, bottom - top
    alpha = 0.20 if stage.palette.stars else 0.55
    glow = mix(stage.palette.light, stage.palette.low, 0.25)
    for across in range(2):
        for down in range(2):
            x0, x1 = right + size * 0.10 + wide * 0.52 * across, right + size * 0.10 + wide * (0.52 * across + 0.46)
            y0, y1 = top + high * (0.14 + 0.44 * down), top + high * (0.14 + 0.44 * down + 0.39)
            slant = size * 0.16
            corners = [
                (x0, y0 + slant * 0.4 * across),
                (x1, y0 + slant * 0.4 * (across + 1)),
                (x1, y1 + slant * 0.4 * (across + 1)),
                (x0, y1 + slant * 0.4 * across),
            ]
            stage.wash(corners, glow, alpha, size * 0.008)


def _window(stage: Stage, frame: tuple[float, float, float, float], size: float, index: int) -> None:
    """Draw a window of four panes with a view of hills under the palette's sky."""
    left, top, right, bottom = frame
    palette = stage.palette
    wide, high = right - left, bottom - top
    bar = size * 0.018
    wood = mix(palette.near, (250, 244, 234), 0.9 if not palette.stars else 0.16)
    corners: list[Point] = [(left, top), (right, top), (right, bottom), (left, bottom)]
    stage.wash([(x + size * 0.012, y + size * 0.02) for x, y in corners], shade(_wall(palette), 0.4), 0.5, size * 0.02)
    stage.polygon(
        [(left - bar, top - bar), (right + bar, top - bar), (right + bar, bottom + bar), (left - bar, bottom + bar)],
        wood,
    )
    stage.fill(corners, palette.top, palette.mid, palette.low)
    rng = stage.rng(f"view {index}")
    sun = (left + wide * (0.3 + 0.4 * rng.random()), top + high * 0.42)
    radius = size * 0.045
    stage.glow(sun[0], sun[1], min(radius * 4, sun[0] - left, right - sun[0], high * 0.42), palette.light, 0.7)
    stage.oval(*sun, radius, radius, palette.light)
    for layer in range(3):
        line = [
            (left + x, bottom - high * (0.34 - 0.10 * layer) * (0.5 + height))
            for x, height in profile(stage.rng(f"view {index} {layer}"), wide, wide * 0.4, 0.45, wide / 90)
            if 0 <= x <= wide
        ]
        stage.polygon(
            [(left, line[0][1]), *line, (right, line[-1][1]), (right, bottom), (left, bottom)],
            mix(palette.far, palette.near, 0.1 + 0.3 * layer),
        )
    for x in (left, (left + right) / 2, right):
        stage.polygon([(x - bar / 2, top), (x + bar / 2, top), (x + bar / 2, bottom), (x - bar / 2, bottom)], wood)
    for y in (top, top + high * 0.46, bottom):
        stage.polygon([(left, y - bar / 2), (right, y - bar / 2), (right, y + bar / 2), (left, y + bar / 2)], wood)
    sill = [
        (left - size * 0.05, bottom + bar * 0.6),
        (right + size * 0.05, bottom + bar * 0.6),
        (right + size * 0.05, bottom + bar * 2.2),
        (left - size * 0.05, bottom + bar * 2.2),
    ]
    stage.wash([(x, y + bar) for x, y in sill], shade(_wall(palette), 0.35), 0.4, bar)
    stage.fill(sill, shade(wood, 1.2), shade(wood, 0.82))


def _desk(stage: Stage, edge: float, size: float, frame: tuple[float, float, float, float]) -> None:
    palette = stage.palette
    wood = mix((168, 112, 70), palette.near, 0.62 if palette.stars else 0.14)
    wood = mix(wood, palette.low, 0.12)
    top: list[Point] = [(0, edge), (stage.width, edge), (stage.width, stage.height + 2.0), (0, stage.height + 2.0)]
    stage.wash(
        [(0, edge - size * 0.03), (stage.width, edge - size * 0.03), (stage.width, edge), (0, edge)],
        shade(_wall(palette), 0.4),
        0.45,
        size * 0.02,
    )
    stage.fill(top, mix(wood, palette.low, 0.42), wood, shade(wood, 0.62))
    rng = stage.rng("grain")
    for _ in range(min(500, round(120 * stage.width / size))):
        depth = rng.random() ** 1.3
        x, y = rng.random() * stage.width, edge + (stage.height - edge) * depth
        length, thick = size * (0.05 + 0.30 * rng.random()), size * (0.0006 + 0.0016 * depth)
        tone = mix(
            mix(mix(wood, palette.low, 0.42), wood, min(1, depth * 2)),
            shade(wood, 0.6),
            0.22 + 0.45 * max(0, depth - 0.4),
        )
        stage.polygon([(x - length, y), (x, y - thick), (x + length, y), (x, y + thick)], tone)
    stage.line([(0, edge), (stage.width, edge)], mix(wood, palette.light, 0.6), size * 0.004)
    glow = mix(palette.light, palette.low, 0.3)
    depth = stage.floor - edge
    for pane in range(2):
        x = frame[0] + (frame[2] - frame[0]) * (0.30 + 0.52 * pane)
        wide, shift = (frame[2] - frame[0]) * 0.44, size * 0.34
        stage.wash(
            [
                (x, edge + depth * 0.04),
                (x + wide, edge + depth * 0.04),
                (x + wide + shift, edge + depth * 1.05),
                (x + shift, edge + depth * 1.05),
            ],
            glow,
            0.14 if palette.stars else 0.42,
            size * 0.012,
        )


def _things(stage: Stage, middle: float, base: float, size: float, *, animal: bool) -> None:
    """Set the subject on the desk, and beside it what else the prompt names."""
    brief, palette = stage.brief, stage.palette
    rng = stage.rng("things")
    beside: list[str] = [name for name in ("cup", "book", "vase") if name in brief.things]
    chosen = rng.choice(("crane", "cup", "vase"))
    if animal and brief.subject is not None:
        _contact(stage, middle, base, size * 0.22, size)
        ANIMALS[brief.subject](Sketch(stage, middle, base, size * 0.52), brief)
    elif brief.subject == "crane" or (not beside and chosen == "crane"):
        paper = brief.subject_colour or mix((252, 248, 240), palette.light, 0.25)
        draw_crane(stage, middle + size * 0.14, base, size * 0.56, paper)
    else:
        beside = beside or [chosen]
    draw = {"cup": _cup, "book": _books, "vase": _vase}
    alone = not animal and brief.subject != "crane" and len(beside) == 1
    for index, name in enumerate(beside[:2]):
        place = 0.12 if alone else (0.40, -0.40)[index]
        draw[name](
            stage, middle + size * place, base + size * (0.0 if alone else 0.015), size * (0.26 if alone else 0.15)
        )


def _contact(stage: Stage, x: float, base: float, half: float, size: float) -> None:
    """Lay the soft shadow that makes a thing stand on the desk, the light coming from the left."""
    dark = shade(mix((120, 74, 46), stage.palette.near, 0.5), 0.5)
    stage.wash(
        [
            (x - half, base - half * 0.14),
            (x + half, base - half * 0.2),
            (x + half * 2.0, base + half * 0.12),
            (x + half * 1.2, base + half * 0.3),
            (x - half * 0.7, base + half * 0.16),
        ],
        dark,
        0.55,
        size * 0.018,
    )


def _cup(stage: Stage, x: float, base: float, size: float) -> None:
    _contact(stage, x, base, size * 0.42, size * 3)
    body = mix(stage.palette.accents[3], (250, 246, 240), 0.35)
    half, high = size * 0.36, size * 0.62
    stage.draw.ellipse(
        (x + half * 0.55, base - high * 0.84, x + half * 1.55, base - high * 0.24),
        outline=shade(body, 0.78),
        width=max(1, round(size * 0.07)),
    )
    stage.oval(x, base, half * 1.5, half * 0.34, mix(body, (255, 255, 255), 0.4))
    stage.oval(x, base - size * 0.02, half * 1.05, half * 0.22, shade(body, 0.8))
    stage.polygon(
        [
            (x - half, base - high),
            (x - half * 0.86, base - high * 0.3),
            (x - half * 0.5, base),
            (x + half * 0.5, base),
            (x + half * 0.86, base - high * 0.3),
            (x + half, base - high),
        ],
        body,
    )
    stage.polygon(
        [
            (x + half * 0.1, base - high),
            (x + half * 0.1, base),
            (x + half * 0.5, base),
            (x + half * 0.86, base - high * 0.3),
            (x + half, base - high),
        ],
        shade(body, 0.86),
    )
    stage.oval(x, base - high, half, half * 0.26, shade(body, 1.4))
    stage.oval(x, base - high, half * 0.88, half * 0.2, (84, 50, 32))
    for side in (-1, 1):
        sway = half * 0.3 * side
        steam = [
            (x + sway, base - high * 1.1),
            (x + sway * 2.2, base - high * 1.55),
            (x + sway * 0.6, base - high * 2.1),
            (x + sway * 1.2, base - high * 2.1),
            (x + sway * 2.9, base - high * 1.5),
            (x + sway * 1.6, base - high * 1.1),
        ]
        stage.wash(steam, (255, 255, 255), 0.4, size * 0.05)


def _books(stage: Stage, x: float, base: float, size: float) -> None:
    _contact(stage, x, base, size * 0.62, size * 3)
    y = base
    for index, colour in enumerate(stage.palette.accents[1:4]):
        half, high, shift = size * (0.66 - 0.07 * index), size * 0.16, size * (0.05, -0.04, 0.02)[index]
        stage.fill(
            [(x - half + shift, y - high), (x + half + shift, y - high), (x + half + shift, y), (x - half + shift, y)],
            shade(colour, 1.05),
            shade(colour, 0.75),
        )
        page = (x + half * 0.72 + shift, y - high * 0.82, x + half + shift, y - high * 0.18)
        stage.draw.rectangle(page, fill=(244, 236, 218))
        y -= high


def _vase(stage: Stage, x: float, base: float, size: float) -> None:
    _contact(stage, x, base, size * 0.4, size * 3)
    sketch = Sketch(stage, x, base, size * 1.9)
    body, leaf = stage.palette.accents[3], mix(stage.palette.near, (74, 132, 80), 0.7)
    for index, (tip_x, tip_y) in enumerate(((-0.22, 0.10), (0.02, 0.0), (0.22, 0.14), (-0.10, 0.22), (0.13, 0.25))):
        sketch.poly(shade(leaf, 0.8), (-0.01, 0.62), (tip_x - 0.006, tip_y), (tip_x + 0.006, tip_y), (0.01, 0.62))
        colour = stage.palette.accents[1 + index % 2 * 3]
        for dx, dy in ((-0.045, 0.01), (0.045, 0.01), (0, -0.045), (-0.028, 0.045), (0.028, 0.045)):
            sketch.oval(shade(colour, 1.1 if dy < 0 else 0.94), tip_x + dx, tip_y + dy, 0.042, 0.042)
        sketch.oval((250, 210, 100), tip_x, tip_y, 0.026, 0.026)
    sketch.blob(leaf, (0, 0.60), (-0.15, 0.48), (-0.26, 0.46), (-0.14, 0.56))
    sketch.blob(shade(leaf, 0.85), (0, 0.60), (0.13, 0.50), (0.25, 0.49), (0.14, 0.58))
    sketch.blob(
        body,
        (-0.06, 0.58),
        (0.06, 0.58),
        (0.07, 0.68),
        (0.15, 0.82),
        (0.10, 1.0),
        (-0.10, 1.0),
        (-0.15, 0.82),
        (-0.07, 0.68),
    )
    sketch.blob(
        shade(body, 0.82),
        (0.02, 0.59),
        (0.06, 0.58),
        (0.07, 0.68),
        (0.15, 0.82),
        (0.10, 0.995),
        (0.03, 0.995),
        (0.07, 0.82),
    )
