"""The owl and the small round bird."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .palette import mix, shade
from .sketch import CREAM, DARK, coat_of

if TYPE_CHECKING:
    from .sketch import Sketch
    from .words import Brief


def draw_owl(sketch: Sketch, brief: Brief) -> None:
    """Draw an owl on a branch."""
    coat = coat_of(brief, (140, 100, 70))
    light, deep = mix(coat, CREAM, 0.7), shade(coat, 0.72)
    sketch.poly((84, 60, 48), (-0.46, 0.955), (0.46, 0.925), (0.46, 0.965), (-0.46, 1.0))
    sketch.poly(deep, (-0.06, 0.80), (0.06, 0.80), (0.09, 1.08), (-0.09, 1.08))
    sketch.twins(sketch.poly, coat, (0.27, 0.0), (0.27, 0.26), (0.03, 0.15))
    sketch.blob(
        coat,
        (0, 0.10),
        (0.22, 0.14),
        (0.29, 0.32),
        (0.29, 0.62),
        (0.18, 0.90),
        (0, 0.95),
        (-0.18, 0.90),
        (-0.29, 0.62),
        (-0.29, 0.32),
        (-0.22, 0.14),
    )
    sketch.blob(light, (0, 0.42), (0.16, 0.50), (0.17, 0.72), (0, 0.91), (-0.17, 0.72), (-0.16, 0.50))
    for row in range(4):
        for step in range(-(row % 2), 2):
            x = (step + (row % 2) * 0.5) * 0.10
            sketch.poly(
                mix(light, deep, 0.5),
                (x - 0.03, 0.55 + row * 0.075),
                (x + 0.03, 0.55 + row * 0.075),
                (x, 0.59 + row * 0.075),
            )
    sketch.twins(sketch.blob, deep, (0.28, 0.38), (0.315, 0.60), (0.22, 0.88), (0.17, 0.72), (0.20, 0.50))
    for side in (-1, 1):
        sketch.oval(light, side * 0.125, 0.30, 0.135, 0.135)
    sketch.eyes(0.115, 0.30, 0.06, (246, 186, 60))
    sketch.poly((232, 152, 56), (-0.035, 0.36), (0.035, 0.36), (0, 0.44))
    for x in (-0.10, -0.06, 0.06, 0.10):
        sketch.oval((232, 152, 56), x, 0.945, 0.02, 0.03)


def draw_bird(sketch: Sketch, brief: Brief) -> None:
    """Draw a small round bird on a twig, in profile."""
    coat = coat_of(brief, (74, 124, 190))
    belly, deep = mix(coat, (246, 190, 132), 0.8), shade(coat, 0.68)
    sketch.poly((84, 60, 48), (-0.52, 0.93), (0.56, 0.885), (0.56, 0.92), (-0.52, 0.975))
    sketch.poly(deep, (0.20, 0.66), (0.62, 0.80), (0.56, 0.90), (0.14, 0.80))
    sketch.blob(
        coat,
        (-0.20, 0.20),
        (-0.02, 0.24),
        (0.10, 0.42),
        (0.30, 0.66),
        (0.20, 0.84),
        (-0.06, 0.90),
        (-0.30, 0.80),
        (-0.38, 0.58),
        (-0.36, 0.32),
    )
    sketch.blob(
        belly, (-0.37, 0.46), (-0.22, 0.50), (-0.10, 0.66), (0.06, 0.84), (-0.06, 0.895), (-0.29, 0.80), (-0.38, 0.60)
    )
    sketch.blob(deep, (-0.04, 0.48), (0.14, 0.52), (0.36, 0.72), (0.42, 0.84), (0.14, 0.78), (-0.02, 0.66))
    sketch.poly((240, 168, 60), (-0.365, 0.34), (-0.50, 0.40), (-0.365, 0.43))
    sketch.oval(DARK, -0.24, 0.355, 0.034, 0.034)
    sketch.oval((255, 255, 255), -0.252, 0.343, 0.011, 0.011)
    for x in (-0.10, 0.02):
        sketch.poly((200, 130, 60), (x - 0.01, 0.87), (x + 0.01, 0.87), (x + 0.01, 0.94), (x - 0.01, 0.94))
