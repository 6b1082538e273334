"""One task in a worker's hands: claimed, checked, made by the engine as ever, and given back where it was not sent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from wan_cli.dataclass import dataclass, field, replace
from wan_cli.engine.submit import failed
from wan_cli.errors import FileInvalid, KeyRejected, RateLimited, StateUnusable, UsageError, WanError
from wan_cli.ledger.postgres import shared
from wan_cli.models import Failed, New, Task

if TYPE_CHECKING:
    from wan_cli.cli.queued.folders import Folders, Moving
    from wan_cli.engine import Engine
    from wan_cli.ledger.postgres.line import Job, Line

SOON_S = 1.0
"""When a task that the database kept from being sent is in the line again."""
BROKEN_S = 60.0
"""How long nothing is bought at a provider that did not take several purchases in a row."""
TROUBLED_S = (60.0, 900.0)
"""Seconds until a task whose result could not be brought in is taken up again: twice as long each time, and at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A provider that this worker buys at, with which key and where."""

    name: str
    origin: str
    key_print: str


@dataclass(kw_only=True)
class Making:
    """Takes jobs and tasks as far as they go. ``say`` tells of the worker itself: what happened, and in words."""

    engine: Engine
    ledger: Moving
    line: Line
    folders: Folders
    served: dict[str, Served]
    say: Callable[..., None]
    monotonic: Callable[[], float] = time.monotonic
    refused: WanError | None = None
    """Why nothing can be bought any more with the keys of this worker."""
    down: bool = False
    """The database did not answer when it was asked last."""
    changed: bool = False
    """Where is bought is not what it was."""
    _closed: dict[str, float] = field(default_factory=dict)
    _held: set[str] = field(default_factory=set)
    _troubled: dict[str, tuple[float, float]] = field(default_factory=dict)
    _later: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def open(self) -> list[Served]:
        """Return where is bought now."""
        now = self.monotonic()
        return [one for one in self.served.values() if self._closed.get(one.name, 0.0) <= now]

    def resting(self) -> list[str]:
        """Return the tasks that are not taken up again for now: their results could not be brought in."""
        now = self.monotonic()
        return [name for name, (until, _) in self._troubled.items() if until > now]

    def rest(self, name: str) -> None:
        """Let a task be for a while, each time for longer."""
        _, last = self._troubled.get(name, (0.0, TROUBLED_S[0] / 2))
        pause = min(2 * last, TROUBLED_S[1])
        self._troubled[name] = self.monotonic() + pause, pause

    def hold_back(self, task: Task) -> WanError | None:
        """Say why a purchase that is about to be sent is not: the engine asks before each."""
        if task.provider in self.served and not self.engine.pace(task.provider).broken:
            return None
        self._held.add(task.id)
        return RateLimited(f"not sent: {task.provider} did not take several purchases in a row")

    async def made(self, job: Job) -> None:
        """Make the task of a job, unless somebody else does or did."""
        name = job.task
        try:
            mine = await self.engine.writing.do(self.ledger.claim, name)
            task = self.ledger.get(name)
            if mine and task.state.kind == "new":
                task = await self._run(task)
        except UsageError:  # the task is not there: it was forgotten
            self.line.done(job)
        except StateUnusable as error:
            self.lost_sight(error)
            await self.at_last(lambda: self._released(name))
            await self.at_last(lambda: self.line.back(job, after_s=SOON_S))
        else:
            if mine:
                await self._settled(job, task)
            elif task.state.kind == "new":  # held by a worker that may have died just now
                await self.at_last(lambda: self.line.back(job, after_s=shared.HEARTBEAT_S))
            else:
                self.line.done(job)

    async def _run(self, task: Task) -> Task:
        """Check what it is made from, and let the engine take it as far as it goes."""
        served = self.served.get(task.provider)
        if served is None:
            return task
        task = replace(task, key_print=served.key_print, origin=served.origin)
        try:
            if task.job.media:
                await asyncio.to_thread(self.folders.check, task)
        except FileInvalid as error:
            return await self.engine.save(replace(task, state=failed(error), charged="no"))
        return await self.engine.run(task)

    async def collected(self, task: Task) -> None:
        """Go on with what another worker began: it is brought in, and never bought again without a key."""
        with contextlib.suppress(StateUnusable, UsageError):
            task = await self.engine.run(self.ledger.inward(task))
            if self._in_trouble(task):
                self.rest(task.id)
            else:
                self._troubled.pop(task.id, None)
        await self.at_last(lambda: self._released(task.id))

    def _in_trouble(self, task: Task) -> bool:
        """Tell whether a bought result could not be brought in, for another reason than that the database was away."""
        here = task.trouble is not None and task.trouble.code == StateUnusable.code
        return task.state.kind in ("pending", "done") and not here and not self.engine.stop.is_set()

    async def _settled(self, job: Job, task: Task) -> None:
        """See to it that what was not sent is done by somebody later, and that the rest leaves the line."""
        again = self._again(task)
        if again is None:
            if self._in_trouble(task):
                self.rest(task.id)
            await self.at_last(lambda: self._released(task.id))
            self.line.done(job)
            return

        async def back() -> None:
            self._put_back(task.id)
            await self.line.back(job, after_s=again)

        await self.at_last(back)

    def _again(self, task: Task) -> float | None:
        """Return after how many seconds a task that was not sent is in the line again; ``None``: it was dealt with."""
        state, held = task.state, task.id in self._held
        self._held.discard(task.id)
        if isinstance(state, New):
            return 0.0
        if not isinstance(state, Failed) or task.charged != "no" or task.task_id is not None:
            return None
        if held:
            self._close(task.provider)
            return 0.0
        if state.code == StateUnusable.code:
            return SOON_S
        if state.code == KeyRejected.code:
            self._refuse(task.provider, KeyRejected(state.message, hint=state.hint))
            return 0.0
        return None

    def _close(self, provider: str) -> None:
        if self._closed.get(provider, 0.0) <= self.monotonic():
            self._closed[provider], self.changed = self.monotonic() + BROKEN_S, True
            self.engine.pace(provider).refusals = 0
            why = f"{provider} did not take several purchases in a row: nothing is bought there for {BROKEN_S:.0f} s"
            self.say("paused", why, provider=provider)

    def _refuse(self, provider: str, error: WanError) -> None:
        """Leave what is to be bought there to workers whose key is taken."""
        if self.served.pop(provider, None) is not None:
            self.changed = True
            self.say("left", f"{provider} refuses this worker's key: its tasks are left to others", provider=provider)
        if not self.served:
            self.refused = self.refused or error

    def _put_back(self, name: str) -> None:
        """Let a task that this worker did not send be as it was planned, and nobody's.

        Raises ``StateUnusable`` where the database does not answer.
        """
        stored = self.ledger.get(name)
        if stored.state.kind in ("sending", "failed") and stored.task_id is None:
            self._saved(replace(stored, state=New(), charged="no", submitted_at=None, finished_at=None, trouble=None))
        self.ledger.give_back(name)

    def _saved(self, task: Task) -> None:
        """Save it without another claim: so it is refused where another worker has had it since, which is well."""
        try:
            self.ledger.save(task)
        except StateUnusable:
            self.ledger.get(task.id)  # raises where the database is away; else it is another's

    async def _released(self, name: str) -> None:
        """Give a task back, with all that was to be written of it."""
        if (unsaved := self.engine.unsaved(name)) is not None:
            self._saved(unsaved)
        await self.engine.writing.do(self.ledger.give_back, name)

    async def at_last(self, call: Callable[[], Awaitable[None]]) -> None:
        """Do what has to be done at the end of a task; where the database is away, once it is back."""
        try:
            await call()
        except StateUnusable as error:
            self.lost_sight(error)
            self._later.append(call)

    async def catch_up(self) -> None:
        """Do what could not be done when it was time to."""
        calls, self._later = self._later, []
        for call in calls:
            await self.at_last(call)

    def lost_sight(self, error: StateUnusable) -> None:
        """Say once that the database does not answer."""
        if not self.down:
            self.down = True
            self.say("database", f"{error.message}; it is asked again")
