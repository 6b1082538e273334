"""What the tasks of one event loop have to write, committed together: one transaction instead of one each.

Nobody goes on before what he asked for is durable. A transaction begins when the loop has brought nothing new for a few
turns: while its syncs keep the loop, answers to other tasks come in, and what those have to write is the next one. So
the busier the loop, the more a transaction holds; a task alone waits for nobody, and none for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from wan_cli.ledger.group import Ended

if TYPE_CHECKING:
    from wan_cli.ledger import Ledger

T = TypeVar("T")

QUIET = 3
"""Turns of the event loop without anything new to write, after which what there is is written."""
LONGEST_S = 0.02
"""What is to be written waits no longer for a quiet loop: among downloads, a turn of it can take that long."""
MOST = 512
"""Calls in one transaction: its locks keep other processes out, and its syncs keep the loop."""


class _Asked:
    """A call that waits for its transaction."""

    __slots__ = ("call", "done", "ended")

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.done = asyncio.get_running_loop().create_future()
        self.ended: Ended | None = None


class Writing:
    """Collects calls of a ledger's methods; ``ledger`` is asked for when they are made."""

    def __init__(self, ledger: Callable[[], Ledger]) -> None:
        """Begin with nothing to write."""
        self._ledger = ledger
        self._asked: list[_Asked] = []

    async def do(self, call: Callable[..., T], *args: object, **named: object) -> T:
        """Make a call of a method of the ledger, after those before it; return or raise what it does once durable.

        A cancellation meanwhile comes when the caller waits for something else: as if nobody had waited here. So it
        must not be the last thing that is awaited within ``asyncio.timeout`` or ``wait_for``: what ends those would
        come after them.
        """
        return cast("T", (await self.together(partial(call, *args, **named)))[0])

    async def together(self, *calls: Callable[[], object]) -> list[object]:
        """Make calls in order, as :meth:`do` makes one, in one transaction; raise what the first does that fails.

        The others are made all the same then, each by itself.
        """
        asked = [self._ask(call) for call in calls]
        try:
            await asked[-1].done
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None:
                raise
            task.uncancel()
            asyncio.get_running_loop().call_soon(task.cancel)
        if asked[-1].ended is None:
            self.flush()
        return [one.ended.result() for one in asked if one.ended]

    def later(self, call: Callable[..., object], *args: object) -> None:
        """Have a call made before those that come after it, and go on: nothing follows from it, nor from its failure.

        It is made no later than the next :meth:`do` ends.
        """
        self._ask(partial(call, *args))

    def _ask(self, call: Callable[[], object]) -> _Asked:
        self._asked.append(asked := _Asked(call))
        if len(self._asked) == 1:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._turn, 1, 0, loop.time() + LONGEST_S)
        return asked

    def flush(self) -> None:
        """Write what was asked for, and let those go on who asked."""
        while self._asked:
            asked = self._asked[:MOST]  # they stay until they have ended: what ends the loop may come at any place
            try:
                ends = self._ledger().all_of([one.call for one in asked])
            except (SystemExit, KeyboardInterrupt):  # whoever waits has it written then
                raise
            except BaseException as error:  # noqa: BLE001 - a bug; whoever waits must not do so for ever
                ends = [Ended(error=error)] * len(asked)
            for one, ended in zip(asked, ends, strict=True):
                one.ended = ended
            del self._asked[: len(asked)]
            for one in asked:
                if not one.done.done():
                    one.done.set_result(None)

    def _turn(self, seen: int, quiet: int, ends: float) -> None:
        """Write when nothing came in the last turns, or at the time ``ends``; else see what the next one brings."""
        waiting = len(self._asked)
        if not waiting:  # somebody was cancelled, and had it written
            return
        loop, quiet = asyncio.get_running_loop(), quiet + 1 if waiting == seen else 0
        if quiet >= QUIET or waiting >= MOST or loop.time() >= ends:
            self.flush()
        else:
            loop.call_soon(self._turn, waiting, quiet, ends)
