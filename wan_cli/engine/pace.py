"""How much is bought at a time: more while all goes well, half after a 429, nothing after a row of refusals.

Additive increase, multiplicative decrease (RFC 5681 section 3.1 for the idea), one pace for each provider. This one is
a process's own; :mod:`wan_cli.engine.shared_pace` has that of several machines.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wan_cli.dataclass import dataclass, field
from wan_cli.engine.signals import Signal, Stopped
from wan_cli.errors import Temporary, WanError
from wan_cli.ledger.turns import next_slot
from wan_cli.pattern import pattern

if TYPE_CHECKING:
    import asyncio

    from wan_cli.models import Task

ROOM = ("x-ratelimit-remaining", "ratelimit-remaining", "x-ratelimit-remaining-requests")
RESET = ("x-ratelimit-reset", "ratelimit-reset", "x-ratelimit-reset-requests")
"""Headers that tell how many requests are left, and when there are more: in seconds, as a time since the epoch, or
as ``1m30s`` (the last, of OpenAI and its relays)."""
EPOCH_S = 1e9
"""From here on a number is a time and no span: nobody asks for thirty years."""
LONGEST_S = 120.0
"""A longer pause is not taken from these headers: a 429 would say it better (reliability.md section 5)."""

_NUMBER = pattern(r"[0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)
_SPAN = pattern(r"(?:(\d{1,4})h)?(?:(\d{1,4})m)?(?:(\d{1,5}(?:\.\d{1,6})?)s)?(?:(\d{1,6})ms)?", re.ASCII)
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


class Gate(ABC):
    """What every purchase of one provider passes: ``async with gate.turn(task)``, until its outcome is known."""

    refusals: int

    @abstractmethod
    def turn(self, task: Task) -> AbstractAsyncContextManager[object]:
        """Return what waits for a turn, and gives it back. Entering it raises ``Stopped`` when a signal comes."""

    @abstractmethod
    async def again(self, task: Task) -> None:
        """Wait until a purchase that has a turn may send another request. Raises ``Stopped``."""

    @abstractmethod
    def taken(self) -> None:
        """A purchase was accepted: a little faster."""

    @abstractmethod
    def slower(self) -> None:
        """The provider asks to slow down: half as fast, but never none."""

    @abstractmethod
    def closed(self, seconds: float) -> None:
        """The provider wants to hear nothing for so long: tell whoever else buys with the key."""

    def close(self) -> None:  # noqa: B027 - there is nothing to do where nobody else is
        """Nothing is bought any more: let others know."""

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


class Gates(dict[str, Gate]):
    """The gates of all providers, each made once it is asked for."""

    def __init__(self, make: Callable[[str], Gate]) -> None:
        """Begin with none."""
        super().__init__()
        self._make = make

    def __missing__(self, provider: str) -> Gate:
        """Make one."""
        self[provider] = self._make(provider)
        return self[provider]

    def close(self) -> None:
        """Nothing is bought any more: let others know who buy with the same keys."""
        for gate in self.values():
            gate.close()


@dataclass(kw_only=True)
class Pace(Gate):
    """A gate for the purchases of one process: at most ``limit`` of them at a time, of ``most``.

    Where there is a ``per_minute`` no more than that are begun in any 60 s of ``now``.
    """

    most: int
    limit: float = 0.0
    active: int = 0
    refusals: int = 0
    per_minute: float | None = None
    now: Callable[[], float] = time.monotonic
    stop: Signal = field(default_factory=Signal)
    _next_at: float = 0.0
    _timer: asyncio.TimerHandle | None = None
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Begin at full speed."""
        self.limit = self.limit or float(self.most)

    def turn(self, task: Task) -> Self:  # noqa: ARG002 - all tasks are alike
        """Return the gate itself: whoever asks first is let in first."""
        return self

    async def again(self, task: Task) -> None:  # noqa: ARG002
        """Wait where the minute's share is used up."""
        if self.per_minute:
            self._leave()
            await self.__aenter__()

    async def __aenter__(self) -> Self:
        """Wait for a turn, in the order of asking."""
        import asyncio

        if not self._waiting and self._is_open():
            self._enter()
            return self
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._next()
        try:
            await self.stop.ends(turn)
        except (asyncio.CancelledError, Stopped):
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

    def _is_open(self) -> bool:
        return self.active < int(self.limit) and (not self.per_minute or self.now() >= self._next_at)

    def _enter(self) -> None:
        self.active += 1
        if self.per_minute:
            self._next_at = next_slot(self._next_at, self.now(), self.per_minute)

    def _leave(self) -> None:
        self.active -= 1
        self._next()

    def _next(self) -> None:
        while self._waiting and self._is_open():
            turn = self._waiting.popleft()
            if not turn.done():
                self._enter()
                turn.set_result(None)
        if self._waiting and self.active < int(self.limit) and self._timer is None:
            self._timer = self._waiting[0].get_loop().call_later(max(0.0, self._next_at - self.now()), self._rung)

    def _rung(self) -> None:
        self._timer = None
        self._next()

    def taken(self) -> None:
        """A purchase was accepted: a little faster."""
        self.refusals = 0
        self.limit = min(float(self.most), self.limit + 1 / self.limit)
        self._next()

    def slower(self) -> None:
        """The provider asks to slow down: half as fast, but never none."""
        self.limit = max(1.0, self.limit / 2)

    def closed(self, seconds: float) -> None:
        """Do nothing: the engine holds back what is sent to an origin (:meth:`Engine.cool`)."""
