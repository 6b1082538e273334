"""Items through a bounded number of hands per provider, each after those it uses; a failure takes those along.

Nothing here knows of providers or files: ``make`` does the work of one item. Only so many items are begun at a time,
so ten thousand of them take the memory of a hundred.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

from wan_cli.dataclass import dataclass, field, replace
from wan_cli.errors import StaleAssets, WanError
from wan_cli.models import Task
from wan_cli.render.plan import Item
from wan_cli.render.shelf import Shelf

Ending = Literal["made", "collected", "current", "edited", "moved", "pending", "failed", "skipped", "stopped"]
GOOD = frozenset({"made", "collected", "current", "moved", "edited"})
"""Endings after which the files that another asset uses are here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one item. ``tasks`` are those it had in this run.

    ``skipped`` is what needs one that failed; ``stopped`` is what was not begun for another reason.
    """

    ending: Ending
    tasks: Sequence[Task] = ()
    error: WanError | None = None
    why: str = ""

    @property
    def usable(self) -> bool:
        """Whether another item can use its files; those of an earlier request are about to be replaced."""
        return self.ending in GOOD and not isinstance(self.error, StaleAssets)


CURRENT, EDITED = Result(ending="current"), Result(ending="edited")
"""What became of an item of which nothing was to be done."""


class _Queue:
    """Items in the order in which they may be begun: each once those it uses are done. There are no circles in it.

    What neither uses another one nor is used, as most of ten thousand, takes a place in the line and nothing else.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        ids = {item.asset.id for item in items}
        self._lacks: dict[str, int] = {}
        self._users: dict[str, list[Item]] = {}
        self._line: deque[Item] = deque()
        for item in items:
            needs = [need for need in item.asset.needs if need in ids]
            for need in needs:
                self._users.setdefault(need, []).append(item)
            if needs:
                self._lacks[item.asset.id] = len(needs)
            else:
                self._line.append(item)

    def next(self) -> Item | None:
        """Return an item that may be begun; ``None`` where all of them wait, or there are no more."""
        return self._line.popleft() if self._line else None

    def done(self, item: Item) -> None:
        """Let what uses the item come, where it was the last that was missing."""
        for user in self._users.pop(item.asset.id, ()):
            self._lacks[user.asset.id] -= 1
            if not self._lacks[user.asset.id]:
                del self._lacks[user.asset.id]
                self._line.append(user)


class _Lanes:
    """Items that can be begun: a queue for each lane, so that a slow provider does not hold up the others.

    What was bought already comes first, for results expire.
    """

    def __init__(self, lane: Callable[[Item], str], width: int) -> None:
        self._lane = lane
        self._width = width
        self._queues: dict[str, deque[Item]] = {}
        self._busy: Counter[str] = Counter()

    def add(self, item: Item) -> None:
        queue = self._queues.setdefault(self._lane(item), deque())
        if item.status == "open":
            queue.appendleft(item)
        else:
            queue.append(item)

    def next(self) -> Item | None:
        """Return an item whose lane has room; ``None`` where there is none."""
        for lane, queue in self._queues.items():
            if queue and self._busy[lane] < self._width:
                self._busy[lane] += 1
                return queue.popleft()
        return None

    def done(self, item: Item) -> None:
        self._busy[self._lane(item)] -= 1


@dataclass(kw_only=True)
class Run:
    """One run over a plan. ``jobs`` items of a lane are in hand at the same time; ``halted``: nothing new is bought."""

    items: Sequence[Item]
    make: Callable[[Item, bool], Awaitable[Result]]
    """Does one item; the flag says whether it may still buy."""
    jobs: int
    fail_fast: bool = False
    done: Callable[[Item, Result], None]
    lane: Callable[[Item], str] = lambda _: ""
    """Names what an item has to share with others: its provider."""
    halted: bool = False
    results: dict[str, Result] = field(default_factory=dict)
    """What became of each item so far, in little room."""
    _shelf: Shelf = field(default_factory=Shelf)
    _bug: Exception | None = None

    async def all(self) -> Mapping[str, Result]:
        """Take every item as far as it goes, and return what became of each by its id.

        A bug in one is raised when the others have been brought in: nothing more is bought meanwhile.
        """
        queue, lanes = _Queue(self.items), _Lanes(self.lane, self.jobs)
        working: dict[asyncio.Task[Result], Item] = {}
        try:
            while True:
                self._ready(queue, lanes)
                while item := lanes.next():
                    working[asyncio.ensure_future(self._one(item))] = item
                if not working:
                    break
                ended, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
                for work in ended:
                    item = working.pop(work)
                    self._note(item, work)
                    lanes.done(item)
                    queue.done(item)
        finally:
            for work in working:
                work.cancel()
            if working:
                await asyncio.wait(working)
        if self._bug:
            raise self._bug
        return self.results

    def _ready(self, queue: _Queue, lanes: _Lanes) -> None:
        """Put items into their lanes; those of which nothing is to be done have ended."""
        while item := queue.next():
            if item.status in ("current", "edited"):
                self._take(item, CURRENT if item.status == "current" else EDITED)
                queue.done(item)
            else:
                lanes.add(item)

    async def _one(self, item: Item) -> Result:
        broken = [need for need in item.asset.needs if (end := self.results.get(need)) and not end.usable]
        if not broken:
            return await self.make(item, not self.halted)
        if item.entry is not None and item.entry.open:  # bought before: it is brought in, whatever it was made from
            return await self.make(item, False)  # noqa: FBT003 - as the flag of ``make``
        end = self.results[broken[0]]
        if end.ending in ("failed", "skipped"):
            return Result(ending="skipped", why=f"@{broken[0]} failed", error=end.error)
        return Result(ending="stopped", why=f"@{broken[0]} is not there yet", error=end.error)

    def _note(self, item: Item, work: asyncio.Task[Result]) -> None:
        try:
            result = work.result()
        except Exception as error:  # noqa: BLE001 - raised at the end
            self._bug, self.halted = self._bug or error, True
            result = Result(ending="failed", why=f"a bug in wan: {type(error).__name__}")
        self._take(item, result)

    def _take(self, item: Item, result: Result) -> None:
        if result.error is not None:
            _forget(result.error)
        kept = replace(result, tasks=self._shelf.keep(result.tasks)) if result.tasks else result
        self.results[item.asset.id] = kept
        if self.fail_fast and result.ending == "failed":
            self.halted = True
        self.done(item, result)


def _forget(error: BaseException) -> None:
    """Let go of where an error came from: the frames would hold on to all that its item was made from."""
    seen: BaseException | None = error
    while seen is not None and seen.__traceback__ is not None:
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__
