"""How much several machines buy at a time with one key: turns that the shared ledger gives out.

All that a process has to say and to ask goes to the ledger at once, at most every :data:`EVERY_S`: hundreds of
purchases under way cost as many questions as one. The ledger is told which turns are still held, not which were given
back, so nothing is lost with an answer that does not come.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from wan_cli.engine.pace import Gate
from wan_cli.engine.signals import Signal, Stopped
from wan_cli.errors import StateUnusable
from wan_cli.ledger.turns import Ask, Limits, Turn
from wan_cli.models import Task

EVERY_S = 0.1
"""Seconds between two questions."""
LAZY_S = 0.25
"""How long a turn that is over may wait for the next question: nobody looks for it more often than that."""
AGAIN_S = 1.0
"""Pause after the ledger could not be asked."""
PATIENCE_S = 30.0
"""For so long the ledger may be away before purchases that wait for a turn are given up: a restart takes less."""


class SharedPace(Gate):
    """A gate for the purchases that go out with one key of a provider, from here and from other machines.

    At most ``own`` have a turn here and ``most`` anywhere, of which ``per_minute`` are given. ``batch`` is the task's:
    each render gets as many as the others.
    """

    def __init__(
        self, limits: Limits, provider: str, key_print: Callable[[], str], *, own: int, most: int,
        per_minute: float | None = None, stop: Signal | None = None,
        every_s: float = EVERY_S, lazy_s: float = LAZY_S, again_s: float = AGAIN_S, patience_s: float = PATIENCE_S,
    ) -> None:  # fmt: skip
        """Begin with no turns; the ledger knows how fast it may go."""
        self._limits, self._provider, self._key_print = limits, provider, key_print
        self.own, self.most, self.per_minute = own, most, per_minute
        self.refusals = 0
        self._stop = stop or Signal()
        self._every_s, self._lazy_s, self._again_s, self._patience_s = every_s, lazy_s, again_s, patience_s
        self._waiting: dict[str, deque[asyncio.Future[Turn]]] = {}
        self._held: dict[int, Turn] = {}
        self._mine: WeakKeyDictionary[asyncio.Task[object], Turn] = WeakKeyDictionary()
        self._accepted, self._refused_at, self._closed_until = 0, -math.inf, 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._asked_at = self._away_since = -math.inf
        self._untold = False

    @asynccontextmanager
    async def turn(self, task: Task) -> AsyncIterator[None]:
        """Wait for a turn of the task's batch. Raises ``Stopped``, and ``StateUnusable`` where the ledger is away."""
        await self._enter(task.batch)
        try:
            yield
        finally:
            self._leave()

    async def again(self, task: Task) -> None:
        """Change the turn for another one: the next request counts as one too."""
        self._leave()
        await self._enter(task.batch, first=True)

    def taken(self) -> None:
        """A purchase was accepted: a little faster, for all."""
        self.refusals = 0
        self._accepted += 1

    def slower(self) -> None:
        """The provider asks to slow down: half as fast, for all; of those that were under way together once."""
        turn = self._mine.get(_working())
        self._refused_at = max(self._refused_at, turn.at if turn else math.inf)
        self._untold = True
        self._tell(0.0)

    def closed(self, seconds: float) -> None:
        """Let nobody send anything for so long."""
        self._closed_until = max(self._closed_until, _loop().time() + seconds)
        self._untold = True
        self._tell(0.0)

    # -- turns of this process

    async def _enter(self, batch: str, *, first: bool = False) -> None:
        place: asyncio.Future[Turn] = _loop().create_future()
        line = self._waiting.setdefault(batch, deque())
        (line.appendleft if first else line.append)(place)
        self._tell(0.0)
        try:
            self._mine[_working()] = await self._stop.ends(place)
        except (asyncio.CancelledError, Stopped):
            if place.done() and not place.cancelled() and place.exception() is None:  # nobody is there to take it
                self._back(place.result())
            raise

    def _leave(self) -> None:
        turn = self._mine.pop(_working(), None)
        if turn is not None:
            self._back(turn)

    def _back(self, turn: Turn) -> None:
        """Hold a turn no more; the ledger is told at once only where somebody waits for it here."""
        self._held.pop(turn.number, None)
        self._untold = True
        self._tell(0.0 if self._waiting else self._lazy_s)

    def close(self) -> None:
        """Give back what there is, for nobody will be there to do it later."""
        if self._untold:
            self._ask()
        if self._timer is not None:
            self._timer.cancel()

    def _wanted(self) -> dict[str, int]:
        """Return how many wait, by batch; who was cancelled waits no more."""
        for batch, line in list(self._waiting.items()):
            self._waiting[batch] = deque(place for place in line if not place.done())
            if not self._waiting[batch]:
                del self._waiting[batch]
        return {batch: len(line) for batch, line in self._waiting.items()}

    # -- the ledger

    def _tell(self, seconds: float) -> None:
        """Ask in so many seconds, or sooner where that was to be."""
        loop = _loop()
        at = max(loop.time() + seconds, self._asked_at + self._every_s)
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at, self._ask)

    def _ask(self) -> None:
        loop, wanted = _loop(), self._wanted()
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._asked_at = None, loop.time()
        ask = Ask(
            wanted=wanted, room=max(0, self.own - len(self._held)), held=tuple(self._held), most=self.most,
            per_minute=self.per_minute, accepted=self._accepted,
            refused_at=None if self._refused_at == -math.inf else self._refused_at,
            pause_s=max(0.0, self._closed_until - loop.time()),
        )  # fmt: skip
        try:
            given = self._limits.turns(self._provider, self._key_print(), ask)
        except StateUnusable as error:
            self._away(error)
            return
        except Exception as error:  # noqa: BLE001 - a bug; whoever waits must not do so for ever
            self._give_up(error)
            return
        self._away_since, self._untold = -math.inf, False
        self._accepted, self._refused_at, self._closed_until = 0, -math.inf, 0.0
        for turn in given.turns:
            self._held[turn.number] = turn
            self._waiting[turn.batch].popleft().set_result(turn)
        if given.again_s:
            self._tell(given.again_s)

    def _away(self, error: StateUnusable) -> None:
        """Ask again, for as long as a database may take that is started again; then tell those who wait."""
        now = _loop().time()
        if self._away_since == -math.inf:
            self._away_since = now
        if now - self._away_since >= self._patience_s:
            self._give_up(error)
            self._away_since = -math.inf
        if self._waiting or self._untold:
            self._tell(self._again_s)

    def _give_up(self, error: Exception) -> None:
        for line in self._waiting.values():
            for place in line:
                if not place.done():
                    place.set_exception(error)
        self._waiting.clear()


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _working() -> asyncio.Task[object]:
    """Return the asyncio task that a purchase is made in: it has one turn at a time."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - these are called from coroutines
    return task
