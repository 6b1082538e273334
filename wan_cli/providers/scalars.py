"""Single values out of JSON: texts, numbers and moments, and what is said where one is something else.

A number may be written as a text, for some providers do that. pydantic takes and refuses the same values, to which
``tests/providers/test_reply.py`` holds this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

_NUMBER = r"(?a)[+-]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][+-]?\d+)?"
_WHOLE = r"(?a)([+-]?\d+(?:_\d+)*)(?:\.0+)?"
_EXACT = 2.0**63
"""A number with a point is not a whole one beyond this: it says no more than how large it is."""
_DIGITS = 4300
"""More are no number (Python's own limit)."""
_MOMENT = r"(?a)\d{4}-\d\d-\d\d(?:[Tt _]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:[Zz]|[+-]\d\d:?\d\d)?)?"
_SECONDS = r"(?a)[+-]?(\d+\.?\d*|\.\d+)"
_MILLISECONDS = 2e10
"""A moment beyond this many seconds (the year 2603) is in milliseconds."""


class Odd(ValueError):
    """A value that a shape has no place for: ``place`` in the answer, and ``what`` is odd about it."""

    def __init__(self, what: str, *place: str) -> None:
        super().__init__(what)
        self.what = what
        self.place = place

    def __str__(self) -> str:
        """Return place and what is odd, without the value."""
        return f"{'.'.join(self.place)}: {self.what}" if self.place else self.what


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Odd("not a text")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Odd("neither true nor false")
    return value


def _number(value: Any) -> float:
    """Read a number, also one that is written as a text."""
    if isinstance(value, str) and re.fullmatch(_NUMBER, text := value.strip()) and len(text) <= _DIGITS:
        value = float(text)
    if not isinstance(value, int | float):
        raise Odd("not a number")
    try:
        found = float(value)
    except OverflowError as error:
        raise Odd("not a number that is finite") from error
    if not isfinite(found):
        raise Odd("not a number that is finite")
    return found


def _whole(value: Any) -> int:
    """Read a whole number, also one that is written as a text or with a fraction of nothing."""
    if isinstance(value, str) and (parts := re.fullmatch(_WHOLE, value.strip())) and len(value) <= _DIGITS:
        return int(parts[1])
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < _EXACT):
        return int(value)
    raise Odd("not a whole number")


def _moment(value: Any) -> datetime:
    """Read a moment as ISO 8601 has it, or as seconds or milliseconds since 1970."""
    try:
        if isinstance(value, str) and re.fullmatch(_MOMENT, value):
            return datetime.fromisoformat(value.upper().replace("_", " "))
        if not isinstance(value, bool) and (not isinstance(value, str) or re.fullmatch(_SECONDS, value)):
            seconds = _number(value)
            return datetime.fromtimestamp(seconds / 1000 if abs(seconds) > _MILLISECONDS else seconds, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise Odd("not a moment in time")


def _anything(value: Any) -> Any:
    return value


READERS: Mapping[Any, Callable[[Any], Any]] = {
    str: _text, int: _whole, float: _number, bool: _truth, datetime: _moment, Any: _anything,
}  # fmt: skip
