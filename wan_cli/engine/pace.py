"""How much is bought at a time: more while all goes well, half after a 429, nothing after a row of refusals.

Additive increase, multiplicative decrease (RFC 5681 section 3.1 for the idea), one pace for each provider.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wan_cli.dataclass import dataclass, field
from wan_cli.errors import Temporary, WanError

if TYPE_CHECKING:
    import asyncio

ROOM = ("x-ratelimit-remaining", "ratelimit-remaining", "x-ratelimit-remaining-requests")
RESET = ("x-ratelimit-reset", "ratelimit-reset", "x-ratelimit-reset-requests")
"""Headers that tell how many requests are left, and when there are more: in seconds, as a time since the epoch, or
as ``1m30s`` (the last, of OpenAI and its relays)."""
EPOCH_S = 1e9
"""From here on a number is a time and no span: nobody asks for thirty years."""
LONGEST_S = 120.0
"""A longer pause is not taken from these headers: a 429 would say it better (reliability.md section 5)."""

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)
_SPAN = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,4})m)?(?:(\d{1,5}(?:\.\d{1,6})?)s)?(?:(\d{1,6})ms)?", re.ASCII)
BREAKS_AFTER = 5
"""Refusals in a row, of the kind that may pass, after which nothing more is bought there (reliability.md section 5)."""


def pause_asked(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds until there is room again, where an answer says that there is none; ``now`` is epoch s."""
    pauses = []
    for names in zip(ROOM, RESET, strict=True):
        room, reset = (headers.get(name, "").strip() for name in names)
        if room == "0" and (seconds := _seconds(reset, now)) is not None and 0 < seconds <= LONGEST_S:
            pauses.append(seconds)
    return max(pauses, default=None)


def _seconds(text: str, now: float) -> float | None:
    """Read a span in seconds, a time since the epoch, or ``1m30s``."""
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        return seconds - now if seconds >= EPOCH_S else seconds
    if text and (found := _SPAN.fullmatch(text)):
        hours, minutes, rest, thousandths = (float(part or 0) for part in found.groups())
        return hours * 3600 + minutes * 60 + rest + thousandths / 1000
    return None


@dataclass(kw_only=True)
class Pace:
    """A gate for the purchases of one provider: at most ``limit`` of them at a time, of ``most``."""

    most: int
    limit: float = 0.0
    active: int = 0
    refusals: int = 0
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Begin at full speed."""
        self.limit = self.limit or float(self.most)

    async def __aenter__(self) -> Self:
        """Wait for a turn, in the order of asking."""
        import asyncio

        if not self._waiting and self.active < int(self.limit):
            self.active += 1
            return self
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn came, and nobody is there to take it
                self._leave()
            elif turn in self._waiting:  # else it was passed over already
                self._waiting.remove(turn)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the next one in."""
        self._leave()

    def _leave(self) -> None:
        self.active -= 1
        self._next()

    def _next(self) -> None:
        while self._waiting and self.active < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self.active += 1
                turn.set_result(None)

    def taken(self) -> None:
        """A purchase was accepted: a little faster."""
        self.refusals = 0
        self.limit = min(float(self.most), self.limit + 1 / self.limit)
        self._next()

    def slower(self) -> None:
        """The provider asks to slow down: half as fast, but never none."""
        self.limit = max(1.0, self.limit / 2)

    def refused(self, error: WanError) -> None:
        """Count purchases in a row that were given up because of something that may pass."""
        self.refusals = self.refusals + 1 if isinstance(error, Temporary) else 0

    def doubted(self) -> None:
        """Count a purchase without a clear answer too: whoever answers so five times is in trouble."""
        self.refusals += 1

    @property
    def broken(self) -> bool:
        """Is it time to stop asking?"""
        return self.refusals >= BREAKS_AFTER
