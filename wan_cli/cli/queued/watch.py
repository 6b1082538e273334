"""What a render waits for: one look at the database for all of its tasks, twice a second at most."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wan_cli.dataclass import dataclass, field
from wan_cli.engine.owning import TERMINAL
from wan_cli.engine.waiting import DEADLINES_S
from wan_cli.errors import StateUnusable

if TYPE_CHECKING:
    from wan_cli.ledger.postgres.line import Job, Line
    from wan_cli.ledger.postgres.roster import Roster, Seen
    from wan_cli.models import Task

LOOK_S = 0.25
"""Seconds between two looks, or ten times as long as one takes."""
AGAIN_S = 20.0
"""How often it is seen to that what waits is in the line, and that somebody is there to do it."""
PATIENCE_S = 120.0
"""How long a database may not answer; workers go on without this process."""


@dataclass(kw_only=True)
class Waiter:
    """A task that is waited for: ``limit`` seconds from when it is begun."""

    task: Task
    job: Job
    wait: bool
    limit: float | None
    done: asyncio.Future[Task]
    ends: float | None = None
    seen: str = ""
    fresh: bool = True


@dataclass(kw_only=True)
class Watch:
    """Looks after the tasks of one render that others make."""

    roster: Roster
    line: Line
    note: Callable[[Sequence[Task]], None]
    """Takes in what changed, before anybody who waits for it goes on."""
    hold_back: Callable[[Task], Any]
    """Asks why a task is not to be begun any more, as the engine asks before a purchase."""
    withdraw: Callable[[Task], None]
    say: Callable[[str], None]
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Any] = asyncio.sleep
    _waiting: dict[str, Waiter] = field(default_factory=dict)
    _looked: float = 0.0
    _lonely: bool = False
    _silent: float | None = None

    @property
    def waiting(self) -> Mapping[str, Waiter]:
        """What is waited for, by id."""
        return self._waiting

    async def until(self, task: Task, job: Job, *, wait: bool, limit: float | None) -> Task:
        """Return a task when it has ended, stopped for a while, or (``wait=False``) is in the line."""
        done = asyncio.get_running_loop().create_future()
        new = task.state.kind == "new"
        waiter = Waiter(task=task, job=job, wait=wait, limit=limit, done=done, fresh=new)
        self._waiting[task.id] = waiter
        try:
            ended: Task = await done
            return ended
        finally:
            self._waiting.pop(task.id, None)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            began = self.monotonic()
            try:
                await self._round()
                self._silent = None
            except StateUnusable as error:
                self._troubled(error)
            await self.sleep(max(LOOK_S, 10 * (self.monotonic() - began)))

    async def _round(self) -> None:
        fresh = [one for one in self._waiting.values() if one.fresh]
        if fresh:
            await self.line.put([one.job for one in fresh])
            for one in fresh:
                one.fresh = False
                if not one.wait:
                    self._end(one, one.task)
        known = {name: one.seen for name, one in self._waiting.items() if not one.fresh}
        if known:
            self._take(self.roster.changed(known))
        if self.monotonic() - self._looked >= AGAIN_S:
            self._looked = self.monotonic()
            await self._look_after()

    def _take(self, changed: Sequence[Seen]) -> None:
        self.note([seen.task for seen in changed])
        for seen in changed:
            one = self._waiting.get(seen.task.id)
            if one is None:
                continue
            troubled = seen.task.trouble is not None and seen.task.trouble != one.task.trouble and not seen.held
            one.task = seen.task
            if not (seen.held and seen.task.state.kind in TERMINAL):  # its worker may die before it lets go
                one.seen = seen.mark
            # What a worker still holds may be put back in the line: its key was refused, or its database away.
            if (seen.task.state.kind in TERMINAL and not seen.held) or troubled:
                self._end(one, seen.task)
            elif seen.task.state.kind != "new" and one.ends is None:
                limit = DEADLINES_S[seen.task.job.makes] if one.limit is None else one.limit
                one.ends = self.monotonic() + limit
        for one in [*self._waiting.values()]:
            if one.task.state.kind == "new" and self.hold_back(one.task) is not None:
                self.withdraw(one.task)
            elif one.ends is not None and self.monotonic() >= one.ends:
                self._end(one, one.task)

    @staticmethod
    def _end(one: Waiter, task: Task) -> None:
        if not one.done.done():
            one.done.set_result(task)

    async def _look_after(self) -> None:
        """Put what nobody has in the line again, should it have got lost there; say so where nobody works."""
        new = [name for name, one in self._waiting.items() if one.task.state.kind == "new" and not one.fresh]
        if not new:
            return
        idle = self.roster.idle([name for name in new if self._waiting[name].seen])  # not what was put there just now
        await self.line.put([self._waiting[name].job for name in new if name in idle])
        alive = any(hand.worker.alive for hand in self.roster.hands())
        if not alive and not self._lonely:
            self.say(f"{len(new):,} tasks wait in the queue, and no worker is at work: wan worker --queue URL")
        self._lonely = not alive

    def broke(self, looking: asyncio.Future[None]) -> None:
        """Let nobody wait for ever for a watch that ended with a bug."""
        error = None if looking.cancelled() else looking.exception()
        for one in [*self._waiting.values()] if error else ():
            if error is not None and not one.done.done():
                one.done.set_exception(error)

    def _troubled(self, error: StateUnusable) -> None:
        now = self.monotonic()
        if self._silent is None:
            self._silent = now
            self.say(f"warning: {error.message}; workers go on, and it is asked again")
        if now - self._silent < PATIENCE_S:
            return
        for one in [*self._waiting.values()]:
            if not one.done.done():
                one.done.set_exception(StateUnusable(error.message, hint=error.hint, charged=one.task.charged))
