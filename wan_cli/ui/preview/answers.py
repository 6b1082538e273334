"""What a terminal answers when it is asked what it can show, and what is made of it.

Kitty's protocol has a question of its own (sw.kovidgoyal.net/kitty/graphics-protocol, "Querying support"); iTerm2's is
known by its report of the cell (iterm2.com/documentation-escape-codes.html) or its name (XTVERSION); sixel is feature 4
of the device attributes (DA1), which every terminal answers, and which therefore is asked last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from wan_cli.dataclass import dataclass
from wan_cli.pattern import pattern

Way = Literal["kitty", "iterm2", "sixel", "blocks"]
"""How a picture is shown, the finest first."""
WAYS: tuple[Way, ...] = get_args(Way)

_ID = 7227
KITTY_QUESTION = b"\x1b_Gi=%d,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\" % _ID
ATTRIBUTES = b"\x1b[c"
QUESTIONS = KITTY_QUESTION + b"\x1b[>q" + b"\x1b]1337;ReportCellSize\x1b\\" + b"\x1b[16t" + ATTRIBUTES
"""Kitty's own, the name (XTVERSION), iTerm2's own, the cell in pixels, the attributes."""
INSIDE = b"\x1b[16t" + ATTRIBUTES
"""What is asked inside tmux and screen: they would take Kitty's question for a new title."""
REGISTERS = b"\x1b[?1;1;0S" + ATTRIBUTES
"""How many colours sixel has (XTSMGRAPHICS); asked only where there is sixel."""

_SIXEL = b"4"
_KITTY = pattern(rb"\x1b_Gi=%d;([^\x1b]*)\x1b\\" % _ID)
_NAME = pattern(rb"\x1bP>\|([^\x1b]*)\x1b\\")
_ITERM2 = pattern(rb"\x1b\]1337;ReportCellSize=([\d.]+);([\d.]+)(?:;([\d.]+))?(?:\x07|\x1b\\)")
_CELL = pattern(rb"\x1b\[6;(\d+);(\d+)t")
_REGISTERS = pattern(rb"\x1b\[\?1;(\d+);(\d+)S")
DONE = pattern(rb"\x1b\[\?([\d;]*)c")
_STRINGS = rb"\x1b[_P\]][^\x1b\x07]*(?:\x07|\x1b\\)"
_ANY = pattern(b"|".join((_STRINGS, *(one.pattern for one in (_CELL, _REGISTERS, DONE)))))
"""All answers: control strings of any kind, which no key sends, and the three that look like keys."""

LARGEST_CELL = 256
"""Pixels of a cell's side that are believed."""
FEWEST, MOST_COLOURS = 2, 256


@dataclass(frozen=True, slots=True)
class Answers:
    """What the terminal said. ``cell`` is its width and height in pixels; ``colours`` are those of sixel."""

    kitty: bool = False
    iterm2: bool = False
    sixel: bool = False
    answered: bool = False
    cell: tuple[int, int] | None = None
    colours: int = MOST_COLOURS


def understood(data: bytes) -> Answers:
    """Read what came back."""
    kitty, name, attributes = _KITTY.search(data), _NAME.search(data), DONE.search(data)
    return Answers(
        kitty=kitty is not None and kitty[1].startswith(b"OK"),
        iterm2=_ITERM2.search(data) is not None or (name is not None and name[1].startswith(b"iTerm2")),
        sixel=attributes is not None and _SIXEL in attributes[1].split(b";"),
        answered=attributes is not None, cell=_cell(data), colours=_colours(data),
    )  # fmt: skip


def typed(data: bytes) -> bytes:
    """Return what is left of the input when the answers are taken out: what a person typed meanwhile."""
    return _ANY.sub(b"", data)


def best(answers: Answers, env: Mapping[str, str], *, inside: bool) -> Way:
    """Return the finest way. Where iTerm2 is too old to say its name, the variable that it sets is believed.

    ``inside``: in tmux or screen, which pass on sixel where they say so, and nothing else.
    """
    if answers.kitty and not inside:
        return "kitty"
    named = env.get("TERM_PROGRAM") == "iTerm.app" or env.get("LC_TERMINAL") == "iTerm2"
    if (answers.iterm2 or named) and not inside:
        return "iterm2"
    return "sixel" if answers.sixel else "blocks"


def _cell(data: bytes) -> tuple[int, int] | None:
    """Return the cell's sides: iTerm2's report is in points with a scale, the common one in pixels."""
    if found := _ITERM2.search(data):
        try:
            scale = float(found[3] or 1)
            height, width = round(float(found[1]) * scale), round(float(found[2]) * scale)
        except (ValueError, OverflowError):
            return None
    elif found := _CELL.search(data):
        height, width = int(found[1]), int(found[2])
    else:
        return None
    return (width, height) if 0 < width <= LARGEST_CELL and 0 < height <= LARGEST_CELL else None


def _colours(data: bytes) -> int:
    found = _REGISTERS.search(data)
    if found is None or found[1] != b"0":  # 0: success
        return MOST_COLOURS
    return min(max(int(found[2]), FEWEST), MOST_COLOURS)
