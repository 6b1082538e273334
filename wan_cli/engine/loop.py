"""The engine: one task through its states, whatever state it starts from.

A one-off, ``wan wait`` and a resume after ``kill -9`` are the same call with another starting state. Every state is
durable in the ledger before the next step; :mod:`wan_cli.engine.submit` has the paid step,
:mod:`wan_cli.engine.collect` the poll and the download.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from weakref import WeakValueDictionary

from wan_cli import cycles
from wan_cli.catalog import Model
from wan_cli.dataclass import dataclass, field, replace
from wan_cli.engine.foresight import Foresight
from wan_cli.engine.leftovers import Leftovers
from wan_cli.engine.origins import bought_elsewhere, elsewhere
from wan_cli.engine.owning import merged, own
from wan_cli.engine.pace import Gate, Gates, Pace
from wan_cli.engine.rescue import Rescue
from wan_cli.engine.signals import Signal, Stopped
from wan_cli.engine.waiting import DEADLINES_S
from wan_cli.engine.writing import Writing
from wan_cli.errors import Charged, StateUnusable, WanError
from wan_cli.models import Event, Failed, Reporter, Task, TaskChanged, Warned
from wan_cli.registry import capabilities
from wan_cli.transport.retry import Repeats

if TYPE_CHECKING:
    from wan_cli.download import Fetcher
    from wan_cli.ledger import Ledger
    from wan_cli.providers.base import Provider
    from wan_cli.transport.client import Api

T = TypeVar("T")
Decision: TypeAlias = "Callable[[Engine, Task], Awaitable[Task]]"


@dataclass(frozen=True, slots=True)
class Service:
    """A provider's adapter and the clients that are bound to it."""

    provider: Provider
    api: Api
    fetcher: Fetcher
    close: Callable[[], Awaitable[None]]


@dataclass(kw_only=True)
class Engine:
    """Takes tasks through their states. Clock, sleep and randomness come in from outside."""

    ledger: Ledger
    service: Callable[[str], Service]
    report: Reporter
    scratch: Path
    """A private folder for results that go to standard output."""
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
    rand: Callable[[], float] = random.random
    submits: int = 4
    """Purchases of one provider under way at the same time (reliability.md section 5)."""
    downloads: int = 4
    hold_back: Callable[[Task], WanError | None] = lambda _: None  # asked before each purchase: why it is not sent
    deliver: Callable[[bytes], None] | None = None
    """Takes the bytes of a result that goes to standard output."""
    stop: Signal = field(default_factory=Signal)
    abandon: Signal = field(default_factory=Signal)
    hands: int = 0
    """Tasks that are being run."""
    _ran: int = 0
    """Tasks that were ever run."""
    submitting: int = 0
    """Purchases whose answer is awaited right now: a first signal lets them finish."""
    gate: Callable[[Engine, str], Gate] = lambda engine, _: Pace(most=engine.submits, stop=engine.stop)
    """Makes the gate of a provider's purchases."""
    gates: Gates = field(init=False)
    _uploads: WeakValueDictionary[tuple[str, str], asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _unsaved: dict[str, Task] = field(default_factory=dict)
    """What the ledger could not take, by the task's id; ``rescue`` writes that down elsewhere."""
    missed: set[str] = field(default_factory=set)
    """Tasks whose results an earlier command could not fetch: their host may have moved meanwhile."""
    rescue: Rescue = field(default_factory=Rescue)
    repeats: Repeats = field(default_factory=Repeats)
    foresight: Foresight = field(default_factory=Foresight)
    leftovers: Leftovers = field(default_factory=Leftovers)
    cool_until: dict[str, float] = field(default_factory=dict)  # per origin: no purchase before this time (monotonic)
    writing: Writing = field(init=False)

    def __post_init__(self) -> None:
        """Let what the tasks write be written together."""
        self.writing = Writing(lambda: self.ledger)
        self.gates = Gates(lambda provider: self.gate(self, provider))

    async def run(
        self, task: Task, *, wait: bool = True, download: bool = True, limit: float | None = None,
        first: Decision | None = None,
    ) -> Task:  # fmt: skip
        """Take ``task`` as far as it goes: to files, to acceptance (``wait=False``), or to a limit in seconds.

        Never raises for what happens to the task: its state, ``trouble`` and ``warnings`` tell. ``first`` is what a
        person decided, and may raise: it is done before anything else, once the task is this process's.
        """
        ends = self.monotonic() + (DEADLINES_S[task.job.makes] if limit is None else limit)
        owned = False
        self.hands += 1
        self._ran += 1
        if self._ran > 1:
            cycles.many_tasks()
        try:
            if first:
                from wan_cli.engine.decide import taken

                task, owned = merged(self, taken(self.ledger, task), task), True
                task = await first(self, task)
            else:
                owned, task = await own(self, task, ends, wait=wait)
            while owned and (step := self._step(task, ends, wait=wait, download=download)):
                before, task = task, await step
                if task.state == before.state or (task.trouble and task.trouble != before.trouble):
                    break
        except Stopped:
            return self._unsaved.get(task.id) or self.ledger.get(task.id)
        except StateUnusable as error:
            from wan_cli.engine.submit import stranded  # which imports this module

            return stranded(self._unsaved.get(task.id, task), error)
        finally:
            self.hands -= 1
            if owned:  # what was bought is told even where nothing can be written any more
                self.writing.later(self.ledger.release, task.id)
            if not self.hands:
                self.writing.flush()
        return task

    def _step(self, task: Task, ends: float, *, wait: bool, download: bool) -> Coroutine[Any, Any, Task] | None:
        """Choose the next step by the state; ``None`` where there is none."""
        from wan_cli.engine.collect import poll
        from wan_cli.engine.delivery import deliver
        from wan_cli.engine.submit import resume, submit

        kind = task.state.kind
        acts = kind == "sending" or (wait and (kind == "pending" or (kind == "done" and download)))
        if acts and (here := elsewhere(self, task)):
            return bought_elsewhere(self, task, here)
        match kind:
            case "new":
                return submit(self, task)
            case "sending":
                return resume(self, task)
            case "pending" if wait:
                return poll(self, task, ends)
            case "done" if wait and download:
                return deliver(self, task)
            case _:
                return None

    async def plan(self, task: Task) -> Task:
        """Write a task down before anything is done about it; return it as it is there. Raises ``StateUnusable``."""
        await self.writing.do(self.ledger.save, task)
        return task

    async def run_all(self, tasks: list[Task], **how: Any) -> list[Task]:
        """Take several tasks along at the same time; one that fails never takes another with it."""
        return await self.gathered(self.run(task, **how) for task in tasks)

    @staticmethod
    async def gathered(work: Iterable[Awaitable[Task]]) -> list[Task]:
        """Await all of ``work``, and only then raise what went wrong with one of them."""
        ends = await asyncio.gather(*work, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return [end for end in ends if isinstance(end, Task)]

    def interrupt(self, *, grace: float) -> bool:
        """Take a signal: the first lets purchases under way finish within ``grace`` seconds, the next abandons them.

        Returns whether something is being finished.
        """
        if self.stop.is_set():
            self.abandon.set()
            return False
        self.stop.set()
        if self.submitting:
            asyncio.get_running_loop().call_later(grace, self.abandon.set)
        return bool(self.submitting)

    async def save(self, task: Task, note: str = "") -> Task:
        """Make a transition durable, then tell of it."""
        await self.note(task)
        self.tell(TaskChanged(task=task, note=note))
        return task

    async def begin(self, task: Task, attempt: Callable[[], None]) -> None:
        """Make durable that a task is being sent, and what, before it is. Raises ``StateUnusable``: nothing is sent."""
        await self.writing.together(partial(self.ledger.save, task), attempt)
        self._is_saved(task)
        self.tell(TaskChanged(task=task))

    def _is_saved(self, task: Task) -> None:
        self._unsaved.pop(task.id, None)
        self.rescue.drop(task.id)

    async def note(self, task: Task) -> Task:
        """Make a transition durable. Raises ``StateUnusable`` only where a purchase would follow.

        Otherwise a ledger that fails must not end the work: the result is still brought in, and the user is told the
        handle.
        """
        try:
            await self.writing.do(self.ledger.save, task)
            self._is_saved(task)
        except StateUnusable as error:
            if task.state.kind == "sending":
                raise
            self._unsaved[task.id] = task
            keep = "" if task.charged == "no" else f"; keep this: {task.name}"
            if task.state.kind != "new":
                keep += self.rescue.keep(task, self.ledger.document(task))
            self.tell(Warned(message=error.message + keep, task=task))
        return task

    def tell(self, event: Event) -> None:
        """Pass an event on, once what it tells of is durable: a reporter that fails costs no result."""
        self.report(self.foresight.timed(self.ledger, event, self.now()))

    def unsaved(self, name: str) -> Task | None:
        """Return what the ledger could not take of a task so far."""
        return self._unsaved.get(name)

    async def warn(self, task: Task, message: str) -> Task:
        """Note something on a task that stops nothing; a message is noted once."""
        if message in task.warnings:
            return task
        task = await self.note(replace(task, warnings=(*task.warnings, message)))
        self.tell(Warned(message=message, task=task))
        return task

    async def trouble(self, task: Task, code: str, message: str, hint: str = "") -> Task:
        """Note why collecting a bought result stopped; the state stays."""
        hint = hint or task.command("wait")
        charged: Charged = "unknown" if task.charged == "unknown" else "yes"
        task = replace(task, trouble=Failed(code=code, message=message, hint=hint, charged=charged))
        return await self.save(task, message)

    async def pause(self, seconds: float) -> None:
        """Sleep, unless a signal comes or has come: then nothing new is begun. Raises :class:`Stopped`."""
        if not self.stop.is_set():
            await self.unless(self.stop, self.sleep(seconds))
        if self.stop.is_set():
            raise Stopped

    @staticmethod
    async def unless(event: Signal, work: Awaitable[T]) -> T:
        """Await ``work``; when ``event`` is set before it ends, cancel it and raise :class:`Stopped`."""
        return await event.ends(work)

    def cool(self, provider: str, origin: str, seconds: float) -> None:
        """Buy nothing at an origin for a while; a pause that is asked for never shortens another."""
        self.cool_until[origin] = max(self.cool_until.get(origin, 0.0), self.monotonic() + seconds)
        self.pace(provider).closed(seconds)

    def pace(self, provider: str) -> Gate:
        """Return what keeps the purchases of one provider to :attr:`submits` at a time."""
        return self.gates[provider]

    def upload_turn(self, provider: str, sha256: str) -> asyncio.Lock:
        """Return what lets the tasks of one ``-n`` wait for the first to upload their file; it goes with the last."""
        return self._uploads.setdefault((provider, sha256), asyncio.Lock())


def model_of(task: Task) -> Model:
    """Return the catalogue's entry for the task's model."""
    offered = capabilities(task.provider)
    return offered.find(task.job.model) or offered.unlisted(task.job.model)
