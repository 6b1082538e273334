"""Listings: a table on a terminal, tab-separated rows without one (interface.md, section 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from wan_cli.text import safe_text
from wan_cli.ui.money import number

if TYPE_CHECKING:
    from rich.table import Table

    from wan_cli.ui.streams import Streams

STATUS_COLUMNS = ("id", "state", "provider", "model", "cost", "age", "prompt")
REMOTE_COLUMNS = ("task", "state", "model", "age", "id", "prompt")
MODEL_COLUMNS = ("provider", "model", "verbs", "sizes", "options", "limits", "price", "date", "source")

GAP = "  "
BREAKABLE = 16
"""Terminal cells above which a word (an address, a text without spaces) may be broken, but for a first column."""


def cell(value: object, joiner: str = ",") -> str:
    """Return ``value`` in one line: ``None`` is empty, lists are joined, foreign text is made safe."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(number(value))
    text = joiner.join(map(cell, value)) if isinstance(value, list | tuple) else str(value)
    return " ".join(safe_text(text, limit=len(text)).split())


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str], streams: Streams) -> None:
    """Write ``rows`` to stdout. A key that a row lacks is an empty cell.

    Without a terminal: one row a line, tabs between the cells, no header, nothing wrapped or cut. With one: a table
    within its width, whose first column is never broken; where that cannot be, one block of lines a row.
    """
    if not streams.stdout_tty:
        for row in rows:
            streams.out("\t".join(cell(row.get(column)) for column in columns))
        return
    cells = [[cell(row.get(column), ", ") for column in columns] for row in rows]
    if not cells:
        return
    width = max(1, streams.width(streams.stdout) - 1)
    least = [_least(index, column, cells) for index, column in enumerate(columns)]
    spare = width - sum(least) - len(GAP) * (len(columns) - 1)
    fits = spare >= 0
    for line in _side_by_side(cells, columns, least, spare) if fits else _blocks(cells, columns, width):
        streams.out(line)


def _natural(index: int, column: str, cells: Sequence[Sequence[str]]) -> int:
    """Return the terminal cells in which a column needs no wrapping."""
    from rich.cells import cell_len

    return max(len(column), *(cell_len(row[index]) for row in cells))


def _least(index: int, column: str, cells: Sequence[Sequence[str]]) -> int:
    """Return the fewest terminal cells in which a column can be read: its longest word, within reason.

    A first cell may be copied into the next command, so it is never broken.
    """
    if index == 0:
        return _natural(index, column, cells)
    words = [[word] for row in cells for word in row[index].split()]
    return max(len(column), min(BREAKABLE, _natural(0, "", words) if words else 0))


def _render(grid: Table, width: int) -> list[str]:
    from io import StringIO

    from rich.console import Console

    page = StringIO()
    Console(file=page, width=width, color_system=None, markup=False, highlight=False, emoji=False).print(grid)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def _side_by_side(
    cells: Sequence[Sequence[str]], columns: Sequence[str], least: Sequence[int], spare: int
) -> list[str]:
    """Lay out columns that get their least width, and of ``spare`` cells what they lack, the modest ones first."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0))
    total = sum(least) + spare + len(GAP) * len(columns)
    lacks = [_natural(index, column, cells) - least[index] for index, column in enumerate(columns)]
    widths = list(least)
    for index in sorted(range(len(columns)), key=lacks.__getitem__):
        given = min(spare, lacks[index])
        widths[index] += given
        spare -= given
    for column, cells_wide in zip(columns, widths, strict=True):
        grid.add_column(Text(column.upper()), width=cells_wide, overflow="fold")
    for row in cells:
        grid.add_row(*map(Text, row))
    return _render(grid, total)


def _blocks(cells: Sequence[Sequence[str]], columns: Sequence[str], width: int) -> list[str]:
    from rich.table import Table
    from rich.text import Text

    lines: list[str] = []
    for row in cells:
        grid = Table.grid(padding=(0, len(GAP), 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for column, value in zip(columns, row, strict=True):
            if value:
                grid.add_row(Text(column), Text(value))
        lines += [*_render(grid, width), ""]
    return lines[:-1]
