"""Stylised animals, drawn from flat shapes in a unit box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .birds import draw_bird, draw_owl
from .palette import luminance, mix, shade
from .sketch import CREAM, DARK, Sketch, coat_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .palette import RGB
    from .words import Brief


def draw_fox(sketch: Sketch, brief: Brief) -> None:
    """Draw a sitting fox, seen from the front, its tail beside it."""
    coat = coat_of(brief, (222, 108, 44))
    if brief.subject_colour is not None and brief.subject_colour[0] > 180 > brief.subject_colour[1]:
        coat = mix(coat, (226, 104, 40), 0.45)  # a "red" fox is rust, not crimson
    dim, deep = shade(coat, 0.86), shade(coat, 0.68)
    sketch.blob(
        dim,
        (0.10, 0.99),
        (0.34, 1.0),
        (0.50, 0.88),
        (0.52, 0.70),
        (0.43, 0.54),
        (0.35, 0.66),
        (0.30, 0.80),
        (0.14, 0.86),
    )
    sketch.blob(CREAM, (0.525, 0.72), (0.50, 0.62), (0.425, 0.52), (0.355, 0.65), (0.40, 0.69), (0.46, 0.70))
    sketch.blob(
        coat,
        (0, 0.40),
        (0.13, 0.50),
        (0.21, 0.72),
        (0.23, 0.92),
        (0.16, 1.0),
        (-0.16, 1.0),
        (-0.23, 0.92),
        (-0.21, 0.72),
        (-0.13, 0.50),
    )
    sketch.blob(dim, (0.02, 0.42), (0.13, 0.50), (0.21, 0.72), (0.23, 0.92), (0.16, 0.995), (0.04, 0.99), (0.10, 0.75))
    sketch.twins(sketch.blob, deep, (0.045, 0.80), (0.115, 0.80), (0.125, 0.99), (0.035, 0.99))
    sketch.blob(CREAM, (0, 0.50), (0.11, 0.54), (0.085, 0.70), (0, 0.84), (-0.085, 0.70), (-0.11, 0.54))
    sketch.twins(sketch.poly, DARK, (0.265, 0.0), (0.30, 0.28), (0.07, 0.17))
    sketch.poly(
        coat,
        (-0.245, 0.045),
        (-0.07, 0.155),
        (0.07, 0.155),
        (0.245, 0.045),
        (0.29, 0.27),
        (0.33, 0.36),
        (0.19, 0.44),
        (0, 0.56),
        (-0.19, 0.44),
        (-0.33, 0.36),
        (-0.29, 0.27),
    )
    sketch.poly(dim, (0, 0.155), (0.07, 0.155), (0.245, 0.045), (0.29, 0.27), (0.33, 0.36), (0.19, 0.44), (0, 0.56))
    sketch.twins(sketch.poly, shade(coat, 0.5), (0.225, 0.095), (0.255, 0.235), (0.125, 0.175))
    sketch.twins(sketch.poly, CREAM, (0.33, 0.36), (0.15, 0.335), (0.03, 0.50), (0, 0.56), (0.19, 0.44))
    sketch.eyes(0.115, 0.315, 0.03)
    sketch.oval(DARK, 0, 0.535, 0.04, 0.03)


def draw_cat(sketch: Sketch, brief: Brief) -> None:
    """Draw a sitting cat; a ragdoll has cream fur, a dark mask and blue eyes."""
    ragdoll = "ragdoll" in brief.things
    coat = coat_of(brief, (244, 232, 216) if ragdoll else (150, 136, 130))
    points = (122, 100, 92) if ragdoll else shade(coat, 0.72)
    light = mix(coat, CREAM, 0.75)
    sketch.blob(
        points,
        (0.10, 0.99),
        (0.30, 1.0),
        (0.43, 0.92),
        (0.45, 0.74),
        (0.38, 0.58),
        (0.33, 0.60),
        (0.37, 0.74),
        (0.33, 0.87),
        (0.14, 0.90),
    )
    sketch.blob(
        coat,
        (0, 0.36),
        (0.16, 0.46),
        (0.25, 0.72),
        (0.25, 0.93),
        (0.18, 1.0),
        (-0.18, 1.0),
        (-0.25, 0.93),
        (-0.25, 0.72),
        (-0.16, 0.46),
    )
    sketch.blob(
        shade(coat, 0.88),
        (0.04, 0.40),
        (0.16, 0.46),
        (0.25, 0.72),
        (0.25, 0.93),
        (0.18, 0.995),
        (0.06, 0.99),
        (0.13, 0.74),
    )
    sketch.blob(light, (0, 0.46), (0.12, 0.52), (0.10, 0.70), (0, 0.80), (-0.10, 0.70), (-0.12, 0.52))
    sketch.twins(sketch.blob, light, (0.015, 0.94), (0.07, 0.91), (0.13, 0.95), (0.12, 1.0), (0.025, 1.0))
    _cat_head(sketch, coat, points, light, ragdoll=ragdoll)


def _cat_head(sketch: Sketch, coat: RGB, points: RGB, light: RGB, *, ragdoll: bool) -> None:
    sketch.twins(sketch.poly, points, (0.25, 0.0), (0.285, 0.25), (0.06, 0.13))
    sketch.twins(sketch.poly, (232, 172, 166), (0.228, 0.06), (0.25, 0.19), (0.125, 0.13))
    sketch.blob(
        coat,
        (0, 0.10),
        (0.15, 0.115),
        (0.27, 0.22),
        (0.285, 0.33),
        (0.20, 0.45),
        (0, 0.49),
        (-0.20, 0.45),
        (-0.285, 0.33),
        (-0.27, 0.22),
        (-0.15, 0.115),
    )
    mask = mix(coat, points, 0.75 if ragdoll else 0.4)
    if ragdoll:
        sketch.twins(
            sketch.blob, mask, (0.035, 0.12), (0.15, 0.125), (0.26, 0.24), (0.24, 0.35), (0.13, 0.36), (0.05, 0.26)
        )
    else:
        for x in (-0.07, 0, 0.07):
            sketch.poly(mask, (x - 0.016, 0.115), (x + 0.016, 0.115), (x * 0.8, 0.20))
    sketch.blob(light, (0, 0.34), (0.08, 0.375), (0.09, 0.42), (0, 0.47), (-0.09, 0.42), (-0.08, 0.375))
    sketch.eyes(0.125, 0.30, 0.038, (110, 176, 226) if ragdoll else (206, 196, 96))
    sketch.poly((222, 128, 128), (-0.028, 0.372), (0.028, 0.372), (0, 0.402))
    whisker = shade(light, 0.8) if luminance(coat) > 120 else light
    for slope in (-0.02, 0.015, 0.05):
        sketch.twins(
            sketch.poly, whisker, (0.10, 0.405 + slope * 0.4), (0.34, 0.39 + slope), (0.10, 0.410 + slope * 0.4)
        )


def draw_bear(sketch: Sketch, brief: Brief) -> None:
    """Draw a sitting bear."""
    coat = coat_of(brief, (122, 82, 58))
    light, deep = mix(coat, CREAM, 0.5), shade(coat, 0.8)
    for side in (-1, 1):
        sketch.oval(coat, side * 0.19, 0.10, 0.085, 0.085)
        sketch.oval(deep, side * 0.19, 0.105, 0.045, 0.045)
    sketch.blob(
        coat,
        (0, 0.36),
        (0.20, 0.44),
        (0.32, 0.70),
        (0.30, 0.95),
        (0.16, 1.0),
        (-0.16, 1.0),
        (-0.30, 0.95),
        (-0.32, 0.70),
        (-0.20, 0.44),
    )
    sketch.blob(mix(coat, light, 0.45), (0, 0.52), (0.16, 0.60), (0.18, 0.80), (0, 0.96), (-0.18, 0.80), (-0.16, 0.60))
    sketch.twins(sketch.blob, deep, (0.22, 0.50), (0.31, 0.62), (0.27, 0.80), (0.17, 0.82), (0.20, 0.66))
    for side in (-1, 1):
        sketch.oval(deep, side * 0.22, 0.945, 0.10, 0.075)
        sketch.oval(light, side * 0.22, 0.955, 0.055, 0.042)
    sketch.blob(
        coat,
        (0, 0.04),
        (0.17, 0.08),
        (0.26, 0.24),
        (0.22, 0.40),
        (0, 0.48),
        (-0.22, 0.40),
        (-0.26, 0.24),
        (-0.17, 0.08),
    )
    sketch.oval(light, 0, 0.36, 0.115, 0.095)
    sketch.eyes(0.10, 0.23, 0.024)
    sketch.oval(DARK, 0, 0.315, 0.048, 0.034)
    sketch.poly(DARK, (-0.006, 0.33), (0.006, 0.33), (0.006, 0.40), (-0.006, 0.40))


def draw_fish(sketch: Sketch, brief: Brief) -> None:
    """Draw a fish leaping out of the water."""
    coat = coat_of(brief, (240, 132, 60))
    light, deep = mix(coat, CREAM, 0.6), shade(coat, 0.72)
    sketch.blob(deep, (0.26, 0.56), (0.44, 0.52), (0.50, 0.66), (0.40, 0.68), (0.40, 0.84), (0.26, 0.74))
    sketch.poly(deep, (-0.12, 0.22), (0.10, 0.16), (0.18, 0.40))
    sketch.blob(
        coat,
        (-0.46, 0.40),
        (-0.30, 0.25),
        (-0.02, 0.26),
        (0.22, 0.44),
        (0.34, 0.64),
        (0.14, 0.66),
        (-0.16, 0.60),
        (-0.38, 0.50),
    )
    sketch.blob(
        light, (-0.45, 0.41), (-0.20, 0.47), (0.08, 0.54), (0.31, 0.64), (0.12, 0.655), (-0.16, 0.595), (-0.38, 0.50)
    )
    for x, y in ((-0.10, 0.36), (0.0, 0.42), (0.10, 0.48), (0.02, 0.34)):
        sketch.oval(shade(coat, 0.86), x, y, 0.035, 0.028)
    sketch.poly(deep, (-0.16, 0.50), (-0.02, 0.52), (-0.04, 0.66))
    sketch.oval((255, 255, 255), -0.31, 0.375, 0.04, 0.04)
    sketch.oval(DARK, -0.315, 0.375, 0.024, 0.024)
    for x, y, size in (
        (-0.30, 0.86, 0.02),
        (-0.16, 0.80, 0.014),
        (0.12, 0.82, 0.018),
        (0.30, 0.92, 0.014),
        (0.0, 0.92, 0.024),
        (0.46, 0.92, 0.01),
    ):
        sketch.oval((232, 246, 252), x, y, size, size * 1.1)


ANIMALS: Final[dict[str, Callable[[Sketch, Brief], None]]] = {
    "fox": draw_fox,
    "cat": draw_cat,
    "owl": draw_owl,
    "bear": draw_bear,
    "bird": draw_bird,
    "fish": draw_fish,
}
