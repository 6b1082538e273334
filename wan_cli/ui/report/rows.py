"""What every report shows: one line an asset, failures first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from wan_cli.dataclass import dataclass, field
from wan_cli.ui.money import amount

if TYPE_CHECKING:
    from wan_cli.errors import WanError

WORDS = {
    "failed": "failed", "skipped": "not begun", "stopped": "not begun", "stale": "stale", "missing": "missing",
    "sandbox": "from the sandbox", "open": "bought, not collected", "edited": "edited by hand", "pending": "pending",
    "made": "made", "collected": "collected", "moved": "moved", "current": "up to date",
}  # fmt: skip
"""Endings of a run and statuses of a plan in the order in which they are shown: what needs a look comes first."""
UNSETTLED = frozenset({"failed", "skipped", "stopped", "stale", "missing", "sandbox", "open", "edited", "pending"})
"""What somebody should look at."""
_ORDER = {word: place for place, word in enumerate(WORDS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A picture of a file: ``size`` in bytes, sides in pixels, a small JPEG if there is one; a film's seconds."""

    path: str
    size: int = 0
    width: int | None = None
    height: int | None = None
    jpeg: bytes | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field of the request that differs from the last lock; empty text is a field that was not there."""

    name: str
    was: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One asset: what was asked for, what became of it, what it cost.

    ``where`` is ``assets.toml:12``, ``was`` what the asset looked like before, ``paid`` what each task cost that this
    run bought (``None`` is not known); an ``error`` makes it a failure. ``beside`` is the part of ``why`` that
    ``changes`` do not tell.
    """

    id: str
    ending: str
    prompt: str
    where: str = ""
    why: str = ""
    beside: str = ""
    provider: str = ""
    model: str = ""
    seed: int | None = None
    handle: str = ""
    cost: float | None = None
    unit: str | None = None
    paid: Sequence[float | None] = ()
    request: Mapping[str, str] = field(default_factory=dict)
    shots: Sequence[Shot] = ()
    was: Sequence[Shot] = ()
    labels: tuple[str, str] = ("before", "now")
    """What ``was`` and ``shots`` are called where they stand side by side."""
    changes: Sequence[Change] = ()
    error: WanError | None = None
    warnings: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def made_by(self) -> str:
        """``PROVIDER MODEL``."""
        return " ".join(filter(None, (self.provider, self.model)))

    @property
    def price(self) -> str:
        """``12 credits``; empty where nothing is known of it."""
        return "" if self.cost is None and not self.unit else amount(self.cost, self.unit)


def in_order(lines: Iterable[Line]) -> list[Line]:
    """Return the lines, failures first, what needs a look next, else in the manifest's order."""
    return sorted(lines, key=lambda line: -1 if line.error else _ORDER.get(line.ending, 0))


def counted(endings: Iterable[str]) -> list[tuple[str, int]]:
    """Return ``[("made", 3), ("up to date", 12)]``, what needs a look first."""
    found: dict[str, int] = {}
    for ending, number in sorted(Counter(endings).items(), key=lambda pair: _ORDER.get(pair[0], 0)):
        word = WORDS.get(ending, ending)
        found[word] = found.get(word, 0) + number
    return list(found.items())


def headline(endings: Iterable[str]) -> str:
    """Return ``1 failed, 3 made, 12 up to date``."""
    return ", ".join(f"{number:,} {word}" for word, number in counted(endings)) or "no assets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run, plan or check. ``spent`` is an amount for people, ``at`` is when, as text."""

    manifest: str
    at: str
    lines: Sequence[Line]
    spent: str = "nothing"
    sandbox: bool = False
    orphans: Sequence[str] = ()
    what: str = "render"

    @property
    def sorted(self) -> list[Line]:
        """The lines, failures first, else in the manifest's order."""
        return in_order(self.lines)

    @property
    def counts(self) -> list[tuple[str, int]]:
        """How many lines there are of each kind."""
        return counted(line.ending for line in self.lines)

    @property
    def headline(self) -> str:
        """``1 failed, 3 made, 12 up to date``."""
        return headline(line.ending for line in self.lines)
