"""One asset from plan to files: its purchase, or what is left of an earlier one; and its line in the lock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_cli.cli.embedding import extras
from wan_cli.cli.failover import run_through
from wan_cli.cli.outcome import Wish, deciding, task_outcome
from wan_cli.cli.rendering.books import Books, Purchase, next_take, unbought
from wan_cli.cli.rendering.closing import made_files, told
from wan_cli.cli.rendering.endings import unfinished
from wan_cli.cli.rendering.lined import called_off
from wan_cli.cli.rendering.resuming import Resuming, sorted_out
from wan_cli.cli.rendering.standing import clear, replaceable
from wan_cli.cli.rendering.stored import template_of
from wan_cli.dataclass import dataclass, field, replace
from wan_cli.errors import ProviderUnavailable, RateLimited, StaleAssets, StateUnusable, WanError
from wan_cli.lock import Made
from wan_cli.models import Cost, Done, Lost, Saved, Target, Task, Warned
from wan_cli.render.plan import Item, content_of
from wan_cli.render.run import Result

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.cli.order import Order
    from wan_cli.cli.rendering.asking import Reader
    from wan_cli.engine import Engine
    from wan_cli.lock import Flight
    from wan_cli.manifest import Manifest
    from wan_cli.render.places import Places
    from wan_cli.render.sight import Sight


@dataclass(kw_only=True)
class Works:
    """Everything that the making of one asset needs."""

    app: App
    manifest: Manifest
    books: Books
    sight: Sight
    engine: Engine
    reader: Reader
    places: Places
    wish: Callable[[], Wish]
    """What the call wants of its tasks, and the signal that has come meanwhile."""
    batch: str
    limit: float | None = None
    halted: Callable[[], bool] = bool
    """Whether nothing more is bought: ``--fail-fast``, and something failed."""
    shared: bool = False
    """Whether the workers of a queue buy, with keys of their own."""
    _held: set[str] = field(default_factory=set)

    async def make(self, item: Item, may_buy: bool) -> Result:  # noqa: FBT001 - what run.Run passes
        """Take one item as far as it goes. What goes wrong with it is in the result."""
        try:
            if self.engine.stop.is_set():
                return Result(ending="stopped", why="the run was interrupted")
            if item.status in ("current", "edited", "moved"):
                return Result(ending=item.status)
            entry = self.books.lock.entries.get(item.asset.id)
            flights = entry.open if entry else ()
            if self.shared and not flights:
                flights = called_off(self.app.ledger, self.books, item.asset.id, item.asset.request, self.app.now())
            if flights:
                return await self._resumed(item, flights, may_buy=may_buy)
            return await self._made(item, may_buy=may_buy)
        except WanError as error:
            return Result(ending="failed", error=error)

    def hold_back(self, task: Task) -> WanError | None:
        """Say why a purchase that is about to be sent is not: the engine asks before each."""
        again = self.manifest.command()
        if self.halted():
            self._held.add(task.id)
            return ProviderUnavailable("not sent: another asset failed, and --fail-fast buys nothing more", hint=again)
        if self.engine.pace(task.provider).broken:
            return RateLimited(f"not sent: {task.provider} did not take several purchases in a row", hint=again)
        return None

    # -- buying

    async def _made(self, item: Item, *, may_buy: bool) -> Result:
        inputs, entry = self.inputs(item), self.books.lock.entries.get(item.asset.id)
        same = entry is not None and entry.request == item.asset.request and dict(entry.inputs) == inputs
        if entry is not None and same and not item.asked and self._whole(entry.files):
            return Result(ending="current", why="what it uses came out the same")
        if not may_buy:
            return Result(ending="stopped", why="nothing more is bought after a failure")
        order = self.order(item)
        if all(self.engine.pace(each.model.provider).broken for each in order.candidates):
            return Result(ending="stopped", why=f"{order.model.provider} did not take several purchases in a row")
        slots = range(1, len(order.jobs) + 1)
        purchase = Purchase(item.asset.id, item.asset.request, inputs, next_take(entry))
        ends = await self._all(self._bought(item, order, purchase, slot) for slot in slots)
        return await self._ended(item, ends, purchase, "made")

    def _whole(self, files: Iterable[Made]) -> bool:
        seen = [(made, self.sight.file(made.path)) for made in files]
        return bool(seen) and all(found is not None and found.sha256 == made.sha256 for made, found in seen)

    def inputs(self, item: Item) -> dict[str, str]:
        """Return the content of every reference, now that all the assets it uses are there."""
        found = dict(item.inputs)
        for need in item.asset.needs:
            entry = self.books.lock.entries.get(need)
            if entry is not None and entry.files:
                found.setdefault(f"@{need}", content_of(entry))  # else it is as it was, edited by hand perhaps
        return found

    def order(self, item: Item) -> Order:
        """Read the asset as its verb would, with the files that are there by now."""
        entries = self.books.lock.entries
        entry = entries.get(item.asset.id)
        paths = {need: [made.path for made in entries[need].files] for need in item.asset.needs if need in entries}
        return self.reader.order(item.asset, paths, pinned=entry.pinned if entry else None, need_key=not self.shared)

    async def _bought(self, item: Item, order: Order, purchase: Purchase, slot: int) -> Task:
        """Buy one item of a purchase, or go on with what an earlier run of this machine wrote down."""
        while True:
            task, known = await self._begun(item, order, purchase, slot)
            here = known is not None and known.state.kind == "saved"
            task = await self._through(task, order.candidates[1:] if task.state.kind == "new" else ())
            purchase = self.books.purchases[task.id]
            if not (here and isinstance(task.state, Lost)):
                return task
            self.books.give_up(task)  # it was delivered once, and its files are gone as the result is: nothing is lost
            purchase = replace(purchase, take=purchase.take + 1)

    async def _begun(self, item: Item, order: Order, purchase: Purchase, slot: int) -> tuple[Task, Task | None]:
        """Write a purchase down, or find what an earlier run wrote, and return that too."""
        resuming = self._resuming(item)
        known, purchase = resuming.known(purchase, slot)
        if known is not None and not unbought(known):
            self.books.purchases[known.id] = purchase
            return resuming.continued(known, order), known
        ledger, line = self.app.ledger, order.lines[slot - 1]
        task = replace(
            self.template(item, order), job=order.jobs[slot - 1], item=slot, siblings=len(order.jobs),
            id=known.id if known else ledger.new_id(), created_at=known.created_at if known else self.app.now(),
            user_key=purchase.user_key(self.books.scope), token=purchase.token(slot), fingerprint=purchase.mark,
            cost=Cost(estimated=None if line.amount is None else float(line.amount), unit=line.unit),
        )  # fmt: skip
        planned = task.id
        self.books.purchases[planned] = purchase
        task = await self.engine.plan(task)
        self.books.purchases[task.id] = self.books.purchases.pop(planned)  # a queue may have it under another id
        for message in order.fitted.warnings if slot == 1 else ():
            self.engine.tell(Warned(message=message, task=task))
        return task, known

    def template(self, item: Item, order: Order) -> Task:
        """Return a task of the asset: what all of them have in common."""
        return Task(
            id="", provider=order.model.provider, origin=self.app.provider(order.model.provider).origin,
            job=order.jobs[0], provider_model=order.model.id, token="", created_at=self.app.now(),
            target=self.target(item), sandbox=self.app.sandbox, batch=self.batch, warnings=order.fitted.warnings,
            key_print="" if self.shared else self.app.key_print(order.model.provider),
        )  # fmt: skip

    def target(self, item: Item) -> Target:
        """Return where the results go. What is not ours is never overwritten: then the result is put beside it."""
        mine = replaceable(item, self.places, self.books.lock, self.sight)
        return Target(
            template=template_of(self.manifest, self.places.template(item.asset)),
            overwrite=mine is not None, replaces=mine,
            **extras(self.app, item.asset.fields),
        )  # fmt: skip

    async def _through(self, task: Task, rest: Sequence[Any] = ()) -> Task:
        """Take a task as far as it goes; an answer that was all is brought in at once, for nobody keeps it."""
        how = {"wait": self.wish().wait, "download": True, "limit": self.limit}
        task = await run_through(self.app, self.engine, task, rest, **how)
        if isinstance(task.state, Done) and task.task_id is None and not self.engine.stop.is_set():
            task = await self.engine.run(task, wait=True, download=True, limit=self.limit)
        return task

    @staticmethod
    async def _all(work: Iterable[Any]) -> list[Task | WanError]:
        """Await all of it; an error of one is beside the others' tasks. Raises what is a bug."""
        ends = await asyncio.gather(*work, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, WanError):
                raise end
        return [end for end in ends if isinstance(end, Task | WanError)]

    # -- collecting

    def _resuming(self, item: Item) -> Resuming:
        return Resuming(
            app=self.app, manifest=self.manifest, asset=item.asset, scope=self.books.scope, shared=self.shared
        )

    async def _resumed(self, item: Item, flights: Sequence[Flight], *, may_buy: bool) -> Result:
        """Go on with what was bought before, here or on another machine; buy what is missing of it."""
        asset, resuming = item.asset, self._resuming(item)
        entry, inputs = self.books.lock.entries.get(asset.id), self.inputs(item)
        group, twins = sorted_out(flights, entry)
        if not group:
            result = await self._beside(item, twins, Result(ending="collected"))
            made = entry and entry.request == asset.request and dict(entry.inputs) == inputs
            return result if made else self._behind(item, result)
        first, purchase = group[0], Purchase.of(asset.id, group[0])
        today = first.request == asset.request and dict(first.inputs) == inputs
        order = self._order_for(item) if today else None
        work = [self._collected(item, resuming, flight, order) for flight in group]
        missing = sorted({*range(1, first.of + 1)} - {flight.item for flight in group})
        if missing and today and may_buy:
            bought = replace(purchase, take=next_take(self.books.lock.entries.get(asset.id)))
            bought = bought if bought.take > purchase.take else purchase
            order = self.order(item)
            work += [self._bought(item, order, bought, slot) for slot in missing if slot <= len(order.jobs)]
        ends = await self._all(work)
        lost = [end for end in ends if isinstance(end, Task) and isinstance(end.state, Lost)]
        if lost and may_buy and item.asked:  # a person said so
            for task in lost:
                self.books.give_up(task)
            return await self._made(item, may_buy=may_buy)
        result = await self._ended(item, ends, purchase, "collected", whole=not missing or may_buy)
        if result.ending == "collected" and twins:
            result = await self._beside(item, twins, result)
        return result if today or not may_buy else self._behind(item, result)

    def _behind(self, item: Item, result: Result) -> Result:
        """Say of a result that came in that the manifest asks for another one by now."""
        if result.error is not None or result.ending != "collected":
            return result
        error = StaleAssets(
            f"{self.manifest.where(item.asset)}: {item.asset.id}: bought as it was before; that result is here, and "
            "what the manifest says now is rendered by the next run",
            hint=self.manifest.command(), charged="yes",
        )  # fmt: skip
        return replace(result, error=error)

    async def _beside(self, item: Item, twins: Sequence[Flight], result: Result) -> Result:
        """Bring in what was bought twice as well, under names of its own: the asset keeps what it has."""
        for flight in twins:
            task = await self._collected(item, self._resuming(item), flight, None, overwrite=False)
            wrong = task_outcome(task, self.wish())
            if isinstance(task.state, Saved):
                names = ", ".join(Path(file.path or "").name for file in task.state.files)
                twice = f"{item.asset.id} was bought twice, on two branches; {names} is the other one"
                await self.engine.warn(task, twice)
                self.books.give_up(task)
            result = replace(result, tasks=(*result.tasks, told(task)), error=result.error or wrong)
        return result

    def _order_for(self, item: Item) -> Order | None:
        """Read the asset as it would be bought today; what can no longer be bought can still be collected."""
        try:
            return self.order(item)
        except WanError:
            return None

    async def _collected(
        self, item: Item, resuming: Resuming, flight: Flight, order: Order | None, *, overwrite: bool = True
    ) -> Task:
        target = self.target(item)
        target = replace(target, overwrite=target.overwrite and overwrite)
        task = resuming.taken_up(flight, order, target, batch=self.batch)
        self.books.purchases[task.id] = Purchase.of(item.asset.id, flight)
        if task.id != flight.id:
            self.books.note(task)  # from here on it is this machine's
        return await self._through(task)

    # -- the end

    async def _ended(
        self, item: Item, ends: Sequence[Task | WanError], bought: Purchase, word: str, *, whole: bool = True
    ) -> Result:
        """Say what became of an asset; one that is whole goes into the lock in one line with its files."""
        wish = replace(self.wish(), strict=bool(item.asset.fields.get("strict")))
        tasks = sorted((end for end in ends if isinstance(end, Task)), key=lambda task: task.item)
        errors = [task_outcome(end, wish) if isinstance(end, Task) else end for end in ends]
        wrong = deciding(errors, wish.signal)
        if len(tasks) < len(ends) or not all(isinstance(task.state, Saved) for task in tasks):
            return Result(ending=unfinished(tasks, errors, self._held), tasks=tuple(tasks), error=wrong)
        if not whole:
            return Result(ending="stopped", tasks=tuple(tasks), why="nothing more is bought after a failure")
        named = bool(item.asset.fields.get("provider"))
        before = self.books.lock.entries.get(item.asset.id)
        try:
            files = made_files(tasks, self.manifest, self.sight)
            call = self.books.finish
            entry = await self.engine.writing.do(call, item.asset, tasks, files, bought=bought, named=named)
        except StateUnusable as error:  # it is bought and here; the next run finds it in the ledger
            error.charged = "yes"
            return Result(ending="failed", tasks=tuple(tasks), error=error)
        self.books.finished(before, entry, tasks)
        clear(before.files if before else (), item, self.places, self.books.uses, self.sight)
        kept = tuple(map(told, tasks))
        return Result(ending="made" if word == "made" else "collected", tasks=kept, error=wrong)
