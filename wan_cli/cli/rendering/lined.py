"""``wan render --queue``: an engine whose tasks are made by workers; what is left to it is to wait."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from wan_cli.cli.outcome import there
from wan_cli.cli.queued.standing import address_of
from wan_cli.cli.queued.watch import Watch
from wan_cli.cli.rendering.books import Purchase, ledger_task
from wan_cli.cli.rendering.flags import queue_faults
from wan_cli.dataclass import dataclass, fields, replace
from wan_cli.engine import Engine
from wan_cli.engine.decide import call_off
from wan_cli.engine.signals import Stopped
from wan_cli.engine.submit import failed
from wan_cli.errors import ConfigInvalid, StateUnusable, UsageError, WanError
from wan_cli.lock import Entry
from wan_cli.models import Saved, Task, TaskChanged
from wan_cli.render.plan import MAKES

if TYPE_CHECKING:
    from wan_cli.cli.commands.render import Rendering
    from wan_cli.cli.context import App
    from wan_cli.cli.rendering.books import Books
    from wan_cli.engine.loop import Decision
    from wan_cli.ledger import Ledger
    from wan_cli.ledger.postgres.roster import Place
    from wan_cli.ledger.postgres.shared import SharedLedger
    from wan_cli.lock import Flight
    from wan_cli.manifest import Manifest
    from wan_cli.render.plan import Item

IN_LINE = 4096
"""Assets of a provider in the line or in the works at a time where nobody says: several workers' hands full."""
ARRIVES_S = 5.0
"""How long a file that a worker saved may take to be seen from here (NFS keeps names for some seconds)."""


def queue_of(app: App, options: Rendering) -> str | None:
    """Return the queue's address. Raises ``WanError`` for what cannot be done through one; nothing was bought.

    Where only ``WAN_QUEUE`` names it, a call that makes nothing for others goes without.
    """
    typed = any(word.partition("=")[0] == "--queue" for word in app.words)
    if not typed and (app.sandbox or options.check or options.accept or options.prune):
        return None
    if url := address_of(options.queue, app.env.get("WAN_QUEUE")):
        check_queue(app)
        for why, hint in queue_faults(options):
            raise UsageError(why, hint=hint)
        idle = next((name for name in ("accept", "prune", "check") if getattr(options, name)), None)
        if idle:
            raise UsageError(f"--{idle} buys nothing, so there is nothing to queue", hint="leave --queue out")
    return url or None


def check_queue(app: App) -> None:
    """Refuse settings that a queue cannot be used with. Raises ``WanError``."""
    if app.sandbox:
        raise UsageError(
            "--sandbox plays in one process, and a queue's work is done by others",
            hint="wan sandbox serves it on a port: point the providers' base URLs there, on every machine",
        )
    if not app.config.store_prompts:
        raise ConfigInvalid(
            "store_prompts = false keeps prompts out of the ledger, and workers have them from there",
            hint=f"edit {app.config.user_file}, or render without --queue",
        )


LOOK_AGAIN_S = 0.5


def _below(path: str, root: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


@dataclass(kw_only=True)
class Queued(Engine):
    """An engine that lets workers make its tasks."""

    place: Place
    root: Path
    watch: Watch

    async def plan(self, task: Task) -> Task:
        """Write a task down, or find that it is in the queue. Raises ``UsageError`` for what workers cannot read."""
        for file in (medium.file for medium in task.job.media if medium.file):
            if not _below(file.path, self.root):
                why = "a smaller copy on this machine" if file.original else f"not below {self.root}"
                raise UsageError(f"{file.name} is {why}, and workers cannot read it", hint="put a file that fits there")
        return await self.writing.do(self.ledger.plan, task)  # type: ignore[attr-defined]

    async def run(
        self, task: Task, *, wait: bool = True, download: bool = True, limit: float | None = None,
        first: Decision | None = None,
    ) -> Task:  # fmt: skip
        """Wait for what workers make of a task. Raises ``StateUnusable`` where the database stays away."""
        from wan_cli.ledger.postgres.line import Job, queue_name

        del download
        if first:
            task = await self._decided(task, first)
        elif task.state.kind == "pending" and task.finished_at is not None:
            await self._reopened(task)
        if not wait and task.state.kind != "new":
            return task
        job = Job(task.id, queue_name(self.place.mark, task.provider, task.origin))
        try:
            waiting = self.watch.until(task, job, wait=wait, limit=limit)
            task = await self.unless(self.stop, waiting)
        except Stopped:
            return self.ledger.get(task.id)
        await self._arrived(task)
        return task

    async def _decided(self, task: Task, first: Decision) -> Task:
        from wan_cli.engine.decide import taken

        stored = taken(self.ledger, task)
        try:
            return await first(self, replace(stored, job=task.job, target=task.target))
        finally:
            await self.writing.do(self.ledger.release, task.id)

    async def _reopened(self, task: Task) -> None:
        """Let workers collect once more what had ended: its files are gone here, and its provider may have them."""
        stored = self.ledger.get(task.id)
        if stored.state.kind in ("saved", "lost") and await self.writing.do(self.ledger.claim, task.id):
            await self.writing.do(self.ledger.save, replace(stored, state=task.state, target=task.target, trouble=None))
            await self.writing.do(self.ledger.release, task.id)

    async def _arrived(self, task: Task) -> None:
        """See to it that files which a worker saved are here. Raises ``StateUnusable`` where they do not come."""
        if not isinstance(task.state, Saved):
            return
        ends = self.monotonic() + ARRIVES_S
        while not all(there(file) for file in task.state.files):
            if self.monotonic() >= ends:
                raise StateUnusable(
                    f"a worker saved {task.state.files[0].path}, and it is not there: is {self.root} the same folder "
                    "on every machine?",
                    hint="wan status --queue URL", charged=task.charged,
                )  # fmt: skip
            await self.pause(LOOK_AGAIN_S)


def withdraw(ledger: Ledger, task: Task, why: WanError | None) -> None:
    """Take back what nobody has begun, for the reason that it is not to be bought. Raises ``StateUnusable``."""
    if why is None or not ledger.claim(task.id):
        return
    try:
        stored = ledger.get(task.id)
        if stored.state.kind == "new":
            ledger.save(replace(stored, state=failed(why), charged="no"))
    finally:
        ledger.release(task.id)


def called_off(ledger: Ledger, books: Books, asset: str, request: str | None, now: float) -> tuple[Flight, ...]:
    """Cancel what waits in the queue for an asset as it was before; return what workers have begun of it meanwhile.

    ``request`` is what the manifest asks for now, ``None`` where it has no such asset any more. What was begun is in
    the lock again, so that it is collected. Raises ``StateUnusable``.
    """
    begun = []
    for flight in books.unsent.get(asset, ()):
        task = ledger_task(ledger, books.scope, Purchase.of(asset, flight), flight.item)
        if flight.request == request or task is None or task.state.kind in ("failed", "cancelled"):
            continue
        try:
            call_off(ledger, task, now)
        except UsageError:  # a worker has it
            begun.append(flight)
    if begun or request is None:
        entry = books.lock.entries.get(asset) or Entry()
        fresh = replace(entry, open=(*entry.open, *begun))
        books.lock.put(asset, None if fresh == Entry() else fresh)
    return tuple(begun)


@contextlib.asynccontextmanager
async def lined(
    app: App, manifest: Manifest, place: Place, engine: Engine, books: Books,
    hold_back: Callable[[Task], WanError | None], items: Sequence[Item] = (),
) -> AsyncIterator[Engine]:  # fmt: skip
    """Give an engine whose tasks are made by the workers of the queue: ``items`` are those of the run.

    Raises ``UsageError`` for what workers cannot read, before anything of the run is queued.
    """
    from wan_cli.ledger.postgres.line import Line
    from wan_cli.ledger.postgres.roster import Roster

    for asset in (item.asset for item in items if manifest.home and item.status in MAKES and item.asset.needs):
        raise UsageError(
            f"{manifest.where(asset)}: {asset.id} uses @{asset.needs[0]}, whose result -o puts into a store: a queue's "
            "workers read references from the manifest's folder alone",
            hint=f"leave -o out, or --queue; or add --only for what uses no other asset (not {asset.id})",
        )
    ledger = cast("SharedLedger", app.ledger)
    roster = Roster(ledger)
    roster.enter(place)
    for name in books.unsent.keys() - manifest.assets.keys():
        called_off(ledger, books, name, None, app.now())

    def note(tasks: Sequence[Task]) -> None:
        with books.lock.together():
            for task in tasks:
                if task.state.kind != "new":  # the lock has it since it was planned, as about to be sent
                    books.note(task)
        for task in tasks:
            queued.tell(TaskChanged(task=task))

    async with Line(ledger, app.queue or "", durable=True) as line:
        watch = Watch(
            roster=roster, line=line, note=note, hold_back=hold_back,
            withdraw=lambda task: withdraw(ledger, task, hold_back(task)), say=app.streams.say,
            monotonic=engine.monotonic,
        )  # fmt: skip
        parts: dict[str, Any] = {one.name: getattr(engine, one.name) for one in fields(Engine) if one.init}
        queued = Queued(**parts, place=place, root=manifest.root, watch=watch)
        looking = asyncio.ensure_future(watch.run())
        looking.add_done_callback(watch.broke)
        try:
            yield queued
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
