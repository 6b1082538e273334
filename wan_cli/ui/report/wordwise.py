"""Two texts side by side: which words went, which came."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal

from wan_cli.pattern import pattern

MOST_WORDS = 600
"""More words of a text are not compared one by one: the comparison takes the square of their number."""
_PIECES = pattern(r"\s+|\w+|[^\w\s]")

Kind = Literal["same", "gone", "new"]


def compared(was: str, now: str) -> Iterator[tuple[Kind, str]]:
    """Yield the pieces of both texts in reading order: what is the same, what is gone, what is new."""
    one, other = _PIECES.findall(was), _PIECES.findall(now)
    if max(len(one), len(other)) > MOST_WORDS:
        yield from (("gone", was), ("new", now))
        return
    gone = new = ""
    for kind, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        was, now = "".join(one[a:b]), "".join(other[c:d])
        if kind == "equal" and not (was.isspace() and gone and new):
            yield from _changed(gone, new)
            yield "same", was
            gone = new = ""
        else:  # a blank between two changed words belongs to both: they are read as one change
            gone, new = gone + was, new + now
    yield from _changed(gone, new)


def _changed(gone: str, new: str) -> Iterator[tuple[Kind, str]]:
    """Yield a change; blanks at its end that both texts have stay outside of it."""
    both = gone[len(gone.rstrip()) :] if gone.strip() and new.strip() else ""
    kept = both if both and new.endswith(both) else ""
    if gone:
        yield "gone", gone.removesuffix(kept)
    if new:
        yield "new", new.removesuffix(kept)
    if kept:
        yield "same", kept
