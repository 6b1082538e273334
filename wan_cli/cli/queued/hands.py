"""One worker's loop: jobs from the line as there is room, what the dead have left, and a word every few seconds."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from wan_cli.cli.queued.folders import Folders, mark_of
from wan_cli.dataclass import dataclass, field
from wan_cli.engine.signals import Stopped
from wan_cli.errors import InternalError, StateUnusable, WanError
from wan_cli.ledger.postgres import shared
from wan_cli.ledger.postgres.line import Job, queue_name
from wan_cli.ledger.postgres.schema import NewerWan
from wan_cli.models import TaskChanged

if TYPE_CHECKING:
    from wan_cli.cli.queued.making import Making
    from wan_cli.ledger.postgres.roster import Place, Roster
    from wan_cli.ledger.postgres.shared import SharedLedger
    from wan_cli.models import Event, Task

IDLE_S = 0.5
"""Seconds between two looks at an empty line."""
AT_ONCE = 64
"""Jobs that are taken in one statement: others want some as well."""
FOLDERS_S = 2.0
"""How often it is looked for new manifests, and for their folders."""


@dataclass(kw_only=True)
class Hands:
    """The loop of one worker, with ``jobs`` tasks in hand at most."""

    making: Making
    ledger: SharedLedger
    roster: Roster
    folders: Folders
    jobs: int
    until_empty: bool
    error: WanError | None = None
    """Why it ended, where that was not on demand."""
    doubted: set[str] = field(default_factory=set)
    """What was being sent when a second signal came."""
    _working: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _sending: set[str] = field(default_factory=set)
    _places: dict[str, Place] = field(default_factory=dict)
    _queues: set[str] = field(default_factory=set)
    _busy: deque[str] = field(default_factory=deque)
    _told: set[str] = field(default_factory=set)
    _placed_at: float | None = None
    _looked_at: float | None = None

    def heard(self, event: Event) -> None:
        """Know which tasks are being sent: those are let finish whatever happens."""
        if isinstance(event, TaskChanged):
            change = self._sending.add if event.task.state.kind == "sending" else self._sending.discard
            change(event.task.id)
            if event.task.state.kind == "unknown" and self.making.engine.abandon.is_set():
                self.doubted.add(event.task.id)

    def roots(self, task: Task) -> tuple[str, str]:
        """Return where the manifest's root of a task is in the ledger, and here; empty where it is not."""
        place = self._places.get(mark_of(task))
        here = None if place is None else self.folders.here(place)
        return ("", "") if place is None or here is None else (place.root, str(here))

    async def run(self) -> None:
        """Work until a signal comes, there is nothing left (``until_empty``), or nothing can be done any more."""
        stop = self.making.engine.stop
        beating = asyncio.ensure_future(self._beating())
        try:
            while not stop.is_set() and self.error is None and self.making.refused is None:
                took = await self._round()
                if not took and self.until_empty and self._is_empty():
                    break
                if not took:
                    await self._rest()
        finally:
            stop.set()
            if self._working:
                held = len(self._working)
                self.making.say("draining", f"draining: {held:,} tasks are finished or given back", tasks=held)
                await asyncio.wait([*self._working.values()])
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await self.making.catch_up()
            with contextlib.suppress(StateUnusable):
                self.roster.sign_off()
        self.error = self.error or self.making.refused

    async def _rest(self) -> None:
        """Wait for something that ends, for a signal, or a while."""
        pause = asyncio.ensure_future(asyncio.sleep(IDLE_S))
        ended = asyncio.wait([pause, *self._working.values()], return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(Stopped):
            await self.making.engine.stop.ends(ended)
        pause.cancel()

    # -- taking

    async def _round(self) -> bool:
        """Take what there is room for; tell whether there was anything."""
        try:
            self._find_queues()
            took = self._take_over()
            while len(self._working) < self.jobs and not self.making.engine.stop.is_set():
                jobs = await self._fetch(min(self.jobs - len(self._working), AT_ONCE))
                for job in jobs:
                    if job.task in self._working:  # it is twice in the line
                        self.making.line.done(job)
                    else:
                        self._begin(job.task, self.making.made(job))
                took = took or bool(jobs)
                if not jobs:
                    break
            await self.making.line.tidy()
        except StateUnusable as error:
            self.making.lost_sight(error)
            return False
        self.making.down = False
        return took

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._working[name] = task
        task.add_done_callback(lambda _: self._ended(name, task))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        del self._working[name]
        if name in self._sending and self.making.engine.abandon.is_set():
            self.doubted.add(name)  # under a key it stays as it is: the next worker asks again
        self._sending.discard(name)
        error = None if task.cancelled() else task.exception()
        if error is not None and self.error is None:
            self.error = InternalError(f"a bug in wan: {type(error).__name__}: {error} (task {name})")

    async def _fetch(self, room: int) -> list[Job]:
        """Take the next jobs. Queues that have any take turns, so that no render waits for the end of another one."""
        line, share = self.making.line, max(1, room // max(1, len(self._busy)))
        for _ in range(len(self._busy)):
            queue = self._busy.popleft()
            if queue in self._queues and (jobs := await line.fetch([queue], share)):
                self._busy.append(queue)
                return jobs
        others = self._queues.difference(self._busy)
        jobs = await line.fetch(others, room) if others else []
        self._busy.extend(dict.fromkeys(job.queue for job in jobs))
        return jobs

    def _find_queues(self) -> None:
        """See which queues this worker can do something about now."""
        now = self.making.monotonic()
        if self._placed_at is None or self.making.changed or now - self._placed_at >= FOLDERS_S:
            self.making.changed = False
            self._places, self._placed_at = self.roster.places(), now
            there = [mark for mark, place in self._places.items() if self.folders.here(place) is not None]
            able = self.making.open()
            self._queues = {queue_name(mark, one.name, one.origin) for mark in there for one in able}

    def _take_over(self) -> bool:
        """Take over what was begun and nobody works on any more, a heartbeat after the last time."""
        making, room, now = self.making, self.jobs - len(self._working), self.making.monotonic()
        early = self._looked_at is not None and now - self._looked_at < shared.HEARTBEAT_S
        if room <= 0 or early or making.engine.stop.is_set():
            return False
        self._looked_at = now
        accounts = [(one.name, one.key_print) for one in making.served.values()]
        found = self.ledger.take_over(room, accounts, [*making.resting(), *self._working])
        if len(found) == room:  # there may be more: what was paid for comes before what is not begun
            self._looked_at = None
        for task in found:
            if self.roots(task) == ("", ""):
                self.ledger.release(task.id)
                making.rest(task.id)
            else:
                making.say("taken_over", f"{task.id}: taken over, to be collected", id=task.id)
                self._begin(task.id, making.collected(task))
        return bool(found)

    def _is_empty(self) -> bool:
        """Tell whether nothing is in hand, and nothing in line that this worker can do."""
        if self._working or self.making.down:
            return False
        try:
            return self._queues.isdisjoint(self.roster.lengths())
        except StateUnusable as error:
            self.making.lost_sight(error)
            return False

    # -- being alive

    async def _beating(self) -> None:
        while True:
            await asyncio.sleep(shared.HEARTBEAT_S)
            try:
                await self._beat()
            except NewerWan as error:
                self.error = error
            except StateUnusable as error:
                self.making.lost_sight(error)

    async def _beat(self) -> None:
        """Say that this worker is alive; give up what others have; put back what is in the hands of the dead."""
        making = self.making
        for name in self.ledger.heartbeat() - self._sending:
            if (work := self._working.get(name)) is not None:
                making.say("lost", f"{name}: another worker has it now", id=name)
                work.cancel()
            self.ledger.release(name)
        await making.line.beat()
        await making.catch_up()
        for job in await making.line.stalled():
            await making.line.back(job)  # what was sent of it stays sent: whoever takes the job looks at the task
        if not self._working:
            self._tell_of_others()

    def _tell_of_others(self) -> None:
        """Say once of tasks that this worker leaves to others."""
        self._placed_at = None
        self._find_queues()
        for name in sorted(set(self.roster.lengths()) - self._queues - self._told):
            self._told.add(name)
            mark, provider, _ = name.split(".", 2)
            place = self._places.get(mark)
            why = "has no key of it, or another base URL"
            if place is not None and self.folders.here(place) is None:
                why = f"has no folder {place.root}, or another one is there: --root says where it is"
            said = f"tasks at {provider} are left to other workers: this one {why}"
            self.making.say("left", said, provider=provider)
