"""What can be made to go wrong in the sandbox, how it is written, and when it strikes (interface.md, section 7).

A fault is ``KIND[@RATE|*TIMES][/PLACE]``, the two in any order: ``500``, ``429:retry-after=2*1/submit``,
``stall=5@0.5``, ``fail``. Without ``@`` or ``*`` it strikes every time, without a place everywhere it applies.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from wan_cli.errors import UsageError
from wan_cli.text import one_line

Place = Literal["submit", "poll", "upload", "download"]
Kind = Literal[
    "429", "500", "drop-before", "drop-after", "stall", "truncate", "expired-url", "html", "k-of-n", "wrong-size",
    "jpeg-as-png", "fail", "moderation",
]  # fmt: skip

_EVERYWHERE: tuple[Place, ...] = get_args(Place)
_ORDERS: tuple[Place, ...] = ("submit",)
APPLIES: dict[Kind, tuple[Place, ...]] = {
    **dict.fromkeys(get_args(Kind), _EVERYWHERE),
    **dict.fromkeys(("k-of-n", "wrong-size", "fail", "moderation"), _ORDERS),
    "expired-url": ("download",),
    "jpeg-as-png": ("submit", "download"),
}  # what an order brings is settled when it is taken; a picture may also come inside the answer to the submit
_LONGEST = 3600.0
"""Seconds of a stall, and of a Retry-After: more would only be a typing error."""
_SPELLED = re.compile(
    r"(?P<kind>429|500|[a-z-]+)(?::retry-after=(?P<after>[0-9]{1,4}))?(?:=(?P<seconds>[0-9]{1,4}(?:\.[0-9]{1,3})?))?"
    r"(?:/(?P<first>[a-z]+))?(?:@(?P<rate>[01](?:\.[0-9]{1,6})?|\.[0-9]{1,6})|\*(?P<times>[0-9]{1,6}))?(?:/(?P<place>[a-z]+))?"
)
_PLACES = " ".join(f"/{place}" for place in _EVERYWHERE)
FORMS = (
    "429:retry-after=2 500 drop-before drop-after stall=5 truncate expired-url html k-of-n wrong-size jpeg-as-png fail "
    f"moderation; each with @RATE (0 to 1) or *TIMES, and {_PLACES.replace(' ', ' or ')}"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. ``seconds`` is the Retry-After of a 429, or how long a stall takes.

    ``rate`` is a share of the requests, 0..1; ``times`` how many of them; with neither it is all. ``place`` is where,
    None everywhere the kind applies.
    """

    kind: Kind
    seconds: float | None = None
    rate: float | None = None
    times: int | None = None
    place: Place | None = None

    def __str__(self) -> str:
        """Return how it is written."""
        number = "" if self.seconds is None else f"{self.seconds:g}"
        told = "" if not number else f":retry-after={number}" if self.kind == "429" else f"={number}"
        often = f"@{self.rate:g}" if self.rate is not None else "" if self.times is None else f"*{self.times}"
        return f"{self.kind}{told}{often}{f'/{self.place}' if self.place else ''}"

    def applies(self, place: Place) -> bool:
        """Tell whether it can strike there."""
        return place in APPLIES[self.kind] and self.place in (None, place)


def parse(text: str) -> Fault:
    """Read one fault. Raises ``UsageError``, which names the forms there are."""
    match = _SPELLED.fullmatch(text.strip())
    kinds = get_args(Kind)
    if match is None or match["kind"] not in kinds:
        raise _wrong(text, "not a fault of the sandbox")
    kind = cast("Kind", match["kind"])
    if match["after"] is not None and kind != "429":
        raise _wrong(text, "only 429 has a retry-after")
    if (match["seconds"] is not None) != (kind == "stall"):
        raise _wrong(text, "a stall needs its seconds" if kind == "stall" else "only a stall has seconds")
    rate = None if match["rate"] is None else float(match["rate"])
    if rate is not None and rate > 1:
        raise _wrong(text, "a rate is 0 to 1")
    told = match["after"] or match["seconds"]
    if told is not None and float(told) > _LONGEST:
        raise _wrong(text, f"at most {_LONGEST:g} seconds")
    if match["first"] and match["place"]:
        raise _wrong(text, "one place is enough")
    place = match["first"] or match["place"]
    if place is not None and place not in APPLIES[kind]:
        raise _wrong(text, f"{kind} has {' and '.join(f'/{name}' for name in APPLIES[kind])} only")
    times = None if match["times"] is None else int(match["times"])
    return Fault(kind, None if told is None else float(told), rate, times, cast("Place | None", place))


def parse_all(texts: Iterable[str]) -> tuple[Fault, ...]:
    """Read faults, several in a text where spaces or commas are between them. Raises ``UsageError``."""
    return tuple(parse(word) for text in texts for word in re.split(r"[\s,]+", text) if word)


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(f"fault {one_line(text, 60)!r}: {why}; there are {FORMS}", hint="wan help sandbox")


class Tally:
    """Counts on disk, one file a fault in the folder ``faults`` of a world, so that processes count together.

    A count is a file's length: appending one byte is the only operation, and the system keeps it whole.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "faults"

    def strikes(self, fault: Fault) -> bool:
        """Count an occasion, and tell whether the fault strikes at it. Its number alone decides: it can be repeated."""
        if fault.rate is None and fault.times is None:
            return True
        number = self._next(fault)
        if fault.times is not None:
            return number <= fault.times
        drawn = int.from_bytes(hashlib.sha256(f"{fault}\n{number}".encode()).digest()[:8]) / 2**64
        return drawn < cast("float", fault.rate)

    def start_over(self, faults: Sequence[Fault]) -> None:
        """Forget how often those with ``*TIMES`` have struck."""
        for fault in faults:
            if fault.times is not None:
                self._file(fault).unlink(missing_ok=True)

    def _next(self, fault: Fault) -> int:
        """Return the number of this occasion, counted from 1."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._file(fault), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, b".")
            return os.lseek(descriptor, 0, os.SEEK_CUR)
        finally:
            os.close(descriptor)

    def _file(self, fault: Fault) -> Path:
        return self._folder / hashlib.sha256(str(fault).encode()).hexdigest()[:16]
