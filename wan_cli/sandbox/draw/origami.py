"""The folded paper crane: polygon facets, each with its own light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .palette import BLACK, RGB, mix, shade

if TYPE_CHECKING:
    from .stage import Point, Stage

# Facets in a box one unit wide, y down, the foot at y = 1; the last value is the brightness of the facet
# (above 1 catches the light). The order is back to front.
_FACETS: Final[tuple[tuple[tuple[Point, ...], float], ...]] = (
    # far wing
    (((0.08, 0.66), (-0.14, 0.64), (-0.275, 0.12), (-0.20, 0.02)), 0.76),
    (((0.08, 0.66), (-0.20, 0.02), (0.02, 0.42)), 0.66),
    # tail: the sunlit face and the face folded under
    (((0.06, 0.68), (0.60, 0.24), (0.16, 0.80)), 0.84),
    (((0.03, 0.83), (0.60, 0.24), (0.16, 0.80)), 0.64),
    # neck
    (((-0.06, 0.68), (-0.50, 0.26), (-0.14, 0.80)), 1.03),
    (((-0.06, 0.68), (-0.50, 0.26), (-0.02, 0.62)), 0.86),
    (((-0.03, 0.87), (-0.50, 0.26), (-0.14, 0.80)), 0.78),
    # head, folded down from the tip of the neck
    (((-0.50, 0.26), (-0.645, 0.415), (-0.450, 0.330)), 1.05),
    (((-0.50, 0.26), (-0.450, 0.330), (-0.412, 0.345)), 0.72),
    # body: a kite with its crease in the middle
    (((-0.19, 0.77), (0.0, 0.62), (0.0, 1.0)), 0.96),
    (((0.19, 0.77), (0.0, 0.62), (0.0, 1.0)), 0.74),
    # near wing, creased down its middle, its rear edge falling back
    (((-0.19, 0.775), (0.04, 0.745), (0.27, 0.0)), 1.10),
    (((0.04, 0.745), (0.19, 0.775), (0.365, 0.14), (0.27, 0.0)), 0.90),
    (((-0.19, 0.775), (-0.075, 0.760), (0.27, 0.0)), 0.98),
)
_CREASES: Final[tuple[tuple[Point, Point], ...]] = (
    ((0.04, 0.745), (0.27, 0.0)),
    ((-0.075, 0.760), (0.27, 0.0)),
    ((0.115, 0.760), (0.315, 0.07)),
    ((-0.19, 0.775), (0.19, 0.775)),
    ((0.0, 0.775), (0.0, 1.0)),
    ((-0.06, 0.68), (-0.50, 0.26)),
    ((-0.14, 0.80), (-0.50, 0.26)),
    ((0.16, 0.80), (0.60, 0.24)),
    ((-0.50, 0.26), (-0.450, 0.330)),
)


def draw_crane(stage: Stage, x: float, base: float, size: float, paper: RGB) -> None:
    """Draw an origami crane `size` pixels high and about as wide, its foot at (x, base), lit from the left."""
    palette = stage.palette
    dark = mix(shade(paper, 0.42), palette.top, 0.42)

    def at(point: Point) -> Point:
        return x + point[0] * size, base - (1 - point[1]) * size

    shadow = shade(mix((110, 66, 42), palette.near, 0.5), 0.45)
    cast = [
        (-0.40, 0.985),
        (-0.10, 0.95),
        (0.18, 0.93),
        (0.62, 0.955),
        (1.02, 1.03),
        (0.62, 1.05),
        (0.34, 1.10),
        (0.06, 1.045),
        (-0.16, 1.03),
    ]
    stage.wash([at(point) for point in cast], shadow, 0.5, size * 0.022)
    stage.wash(
        [at(point) for point in ((-0.14, 0.985), (0.16, 0.98), (0.22, 1.02), (-0.08, 1.025))],
        mix(shadow, BLACK, 0.3),
        0.6,
        size * 0.012,
    )
    for points, light in _FACETS:
        colour = shade(paper, light) if light >= 1 else mix(dark, paper, (light - 0.45) / 0.55)
        lit = mix(colour, palette.light, 0.16 if light > 0.9 else 0.04)
        stage.fill([at(point) for point in points], lit, mix(colour, dark, 0.10))
    for start, end in _CREASES:
        stage.line([at(start), at(end)], mix(paper, dark, 0.28), size * 0.0028)
