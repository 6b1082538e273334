"""How much room there is on the terminal, in cells and in pixels, and how large a picture may be in it."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from wan_cli.dataclass import dataclass

if TYPE_CHECKING:
    from typing import TextIO

    from wan_cli.ui.streams import Streams

COLUMNS = 80
"""The widest that a picture is shown: what a person reads is no wider."""
KEPT_LINES = 3
"""Lines of the terminal that a picture leaves: its name, the prompt, and one between."""
LINES = 24
MOST_PIXELS = 1000
"""Pixels of a side: xterm cuts off what is larger (maxGraphicSize), and over ssh more takes its time."""
CELL = (8, 16)
"""Pixels of a cell where nobody says how many."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Room for one picture: cells, and the pixels of one (width, height); ``told`` that these are the terminal's."""

    columns: int
    lines: int
    cell: tuple[int, int] = CELL
    told: bool = False

    def in_pixels(self, width: int, height: int) -> tuple[int, int]:
        """Return the sides of a picture that fits, in pixels; it is never made larger."""
        room = (self.columns * self.cell[0], self.lines * self.cell[1])
        return _scaled(width, height, min(room[0], MOST_PIXELS), min(room[1], MOST_PIXELS))

    def in_halves(self, width: int, height: int) -> tuple[int, int]:
        """Return the sides in half-blocks, each of which is a column wide and half a line high."""
        return _scaled(width, height, self.columns, self.lines * 2)

    def cells(self, width: int, height: int) -> tuple[int, int]:
        """Return how many columns and lines so many pixels cover."""
        return math.ceil(width / self.cell[0]), math.ceil(height / self.cell[1])


def screen_of(streams: Streams, cell: tuple[int, int] | None) -> Screen:
    """Return the room on the terminal behind standard error; ``cell`` is what the terminal itself said."""
    width = streams.width(streams.stderr)
    lines, measured = _measured(streams.stderr)
    found = cell or measured
    room = max(1, (lines or LINES) - KEPT_LINES)
    return Screen(max(1, min(width, COLUMNS)), room, found or CELL, told=found is not None)


def _measured(stream: TextIO) -> tuple[int, tuple[int, int] | None]:
    """Ask the system for lines and the cell's pixels (TIOCGWINSZ); 0 and ``None`` where it does not know."""
    try:
        import fcntl
        import struct
        import termios

        raw = fcntl.ioctl(stream.fileno(), termios.TIOCGWINSZ, bytes(8))
        lines, columns, width, height = struct.unpack("HHHH", raw)
        cell = (width // columns, height // lines) if columns and lines else (0, 0)
    except (OSError, ValueError, ImportError):  # Windows has no termios
        try:
            return os.get_terminal_size(stream.fileno()).lines, None
        except (OSError, ValueError):
            return 0, None
    return lines, cell if all(cell) else None


def _scaled(width: int, height: int, most_width: int, most_height: int) -> tuple[int, int]:
    scale = min(1.0, most_width / width, most_height / height)
    return max(1, round(width * scale)), max(1, round(height * scale))
