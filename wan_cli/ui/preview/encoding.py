"""A small picture as what each kind of terminal reads. Nothing here writes; all of it is text."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence

from wan_cli.media.pixels import Colour, Pixels
from wan_cli.pattern import pattern

_ESC, _ST = "\x1b", "\x1b\\"
KITTY_CHUNK = 4096
"""Bytes of base64 in one piece (kitty's graphics protocol, "Remote client")."""
_BAND = 6
_REPEATED = pattern(rb"(.)\1{3,}", re.DOTALL)
_BLANK = b"?"
_PERCENT = 100
_TO_SIXEL = bytes((bits + 63) % 256 for bits in range(256))
_LEVELS = (0, 95, 135, 175, 215, 255)
"""The steps of the 6x6x6 cube of the 256 colours (xterm's 256colres)."""


def kitty(png: bytes, cells: tuple[int, int] | None = None) -> str:
    """Return a PNG as kitty's graphics take it; ``cells`` are columns and lines, where pixels cannot be counted on.

    ``q=2``: the terminal does not answer, for nobody would read it.
    """
    body = base64.b64encode(png).decode()
    pieces = [body[at : at + KITTY_CHUNK] for at in range(0, len(body), KITTY_CHUNK)]
    place = f",c={cells[0]},r={cells[1]}" if cells else ""
    return "".join(
        f"{_ESC}_G{f'a=T,f=100{place},' if number == 1 else ''}q=2,m={int(number < len(pieces))};{piece}{_ST}"
        for number, piece in enumerate(pieces, start=1)
    )


def iterm2(png: bytes, cells: tuple[int, int]) -> str:
    """Return a PNG as iTerm2's inline image, in a box of so many columns and lines."""
    body = base64.b64encode(png).decode()
    said = f"inline=1;size={len(png)};width={cells[0]};height={cells[1]};preserveAspectRatio=1"
    return f"{_ESC}]1337;File={said}:{body}\a"


def sixel(pixels: Pixels, indices: bytes, palette: Sequence[Colour]) -> str:
    """Return a picture as sixel (DEC STD 070, chapter on sixel; VT330/VT340 manual, chapter 14).

    ``indices`` has a byte a pixel, a place in ``palette``. Bands of six lines, one pass for each colour in it.
    """
    width, height = pixels.width, pixels.height
    out = [b'\x1bP0;1;0q"1;1;%d;%d' % (width, height)]
    for number, colour in enumerate(palette):
        out.append(b"#%d;2;%d;%d;%d" % (number, *(round(part * _PERCENT / 255) for part in colour)))
    tables: dict[tuple[int, int], bytes] = {}
    for top in range(0, height, _BAND):
        rows = [indices[at * width : (at + 1) * width] for at in range(top, min(top + _BAND, height))]
        out.extend((b"$".join(_passes(rows, width, tables)), b"-"))
    return (b"".join(out) + _ST.encode()).decode("ascii")


def _passes(rows: Sequence[bytes], width: int, tables: dict[tuple[int, int], bytes]) -> Iterator[bytes]:
    """Yield a band's passes. A column's bits are put together for the whole line at once, as one large number."""
    for colour in sorted(set(b"".join(rows))):
        bits = 0
        for line, row in enumerate(rows):
            if colour in row:
                table = tables.setdefault((colour, line), bytes(colour) + bytes([1 << line]) + bytes(255 - colour))
                bits |= int.from_bytes(row.translate(table), "little")
        drawn = bits.to_bytes(width, "little").translate(_TO_SIXEL).rstrip(_BLANK)
        yield b"#%d" % colour + _REPEATED.sub(lambda run: b"!%d%s" % (len(run[0]), run[1]), drawn)


def blocks(pixels: Pixels, *, deep: bool) -> list[str]:
    """Return lines of upper half-blocks: the upper pixel is the colour, the lower one the ground.

    ``deep`` is for terminals with 24-bit colour; else the nearest of 256 are taken.
    """
    width, height, rgb = pixels.width, pixels.height, pixels.rgb
    spelled = _deep if deep else _nearest
    lines = []
    for top in range(0, height, 2):
        line, upper, lower = [], "", ""
        for left in range(width):
            at, below = 3 * (top * width + left), 3 * ((top + 1) * width + left)
            one = f"38;{spelled(*rgb[at : at + 3])}"
            two = f"48;{spelled(*rgb[below : below + 3])}" if top + 1 < height else "49"
            changed = ";".join(part for part, before in ((one, upper), (two, lower)) if part != before)
            line.append(f"{_ESC}[{changed}m▀" if changed else "▀")
            upper, lower = one, two
        lines.append("".join(line) + f"{_ESC}[0m")
    return lines


def _deep(red: int, green: int, blue: int) -> str:
    return f"2;{red};{green};{blue}"


def _nearest(red: int, green: int, blue: int) -> str:
    """Return the nearest of the colours 16 to 255: a cube of six steps, and 24 greys from 8 to 238."""
    steps = [min(range(6), key=lambda step: abs(_LEVELS[step] - part)) for part in (red, green, blue)]
    grey = min(23, max(0, round(((red + green + blue) / 3 - 8) / 10)))
    shade = 8 + 10 * grey
    off = sum((_LEVELS[step] - part) ** 2 for step, part in zip(steps, (red, green, blue), strict=True))
    if sum((shade - part) ** 2 for part in (red, green, blue)) < off:
        return f"5;{232 + grey}"
    return f"5;{16 + 36 * steps[0] + 6 * steps[1] + steps[2]}"
