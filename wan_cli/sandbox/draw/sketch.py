"""A unit box to draw a subject in, from flat straight-edged and rounded shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .palette import mix
from .stage import Point, Stage, smooth

if TYPE_CHECKING:
    from collections.abc import Callable

    from .palette import RGB
    from .words import Brief

DARK: Final[RGB] = (34, 28, 34)
CREAM: Final[RGB] = (250, 242, 230)


class Sketch:
    """Draws in a box one unit high: x 0 is the middle, y 0 the top and y 1 the ground the subject stands on."""

    def __init__(self, stage: Stage, x: float, base: float, size: float) -> None:
        """Stand the box on (x, base) in the pixels of `stage`, `size` pixels high."""
        self._stage, self._x, self._top, self._size = stage, x, base - size, size

    def _at(self, point: Point) -> Point:
        return self._x + point[0] * self._size, self._top + point[1] * self._size

    def poly(self, colour: RGB, *points: Point) -> None:
        """Fill a straight-edged shape."""
        self._stage.polygon([self._at(point) for point in points], colour)

    def blob(self, colour: RGB, *points: Point) -> None:
        """Fill the smooth closed curve through the points."""
        self._stage.polygon(smooth([self._at(point) for point in points]), colour)

    def oval(self, colour: RGB, x: float, y: float, rx: float, ry: float) -> None:
        """Fill an ellipse."""
        self._stage.oval(*self._at((x, y)), rx * self._size, ry * self._size, colour)

    def twins(self, shape: Callable[..., None], colour: RGB, *points: Point) -> None:
        """Fill a shape and its mirror image across x = 0."""
        shape(colour, *points)
        shape(colour, *[(-x, y) for x, y in points])

    def eyes(self, x: float, y: float, size: float, iris: RGB | None = None) -> None:
        """Draw two eyes at +-x with a glint; `iris` adds a coloured ring."""
        for side in (-1, 1):
            if iris is not None:
                self.oval(iris, side * x, y, size * 1.3, size * 1.3)
            self.oval(DARK, side * x, y, size * 0.8, size)
            self.oval((255, 255, 255), side * x - size * 0.28, y - size * 0.36, size * 0.28, size * 0.28)


def coat_of(brief: Brief, usual: RGB) -> RGB:
    """Return the colour of fur or feathers: the usual one, leaning to what the prompt calls the animal."""
    return usual if brief.subject_colour is None else mix(usual, brief.subject_colour, 0.8)
