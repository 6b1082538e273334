"""The lock kept in step with the ledger: a purchase is in both before it is sent, and leaves both when it has ended."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wan_cli.dataclass import dataclass, field, replace
from wan_cli.lock import Entry, Flight, Lock, Made
from wan_cli.models import Cancelled, Done, Failed, Lost, New, Pending, Saved, Sending, Task, Unknown

if TYPE_CHECKING:
    from wan_cli.ledger import Ledger
    from wan_cli.manifest import Asset
    from wan_cli.models import State


_APART_S = 0.01
"""Times in the lock are rounded to the millisecond."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """Which asset a task is for, as which take of which request; ``inputs`` is the content of its references."""

    asset: str
    request: str
    inputs: Mapping[str, str]
    take: int

    def _named(self) -> str:
        inputs = json.dumps(dict(self.inputs), sort_keys=True, separators=(",", ":"))
        return f"{self.asset}|{self.request}|{hashlib.sha256(inputs.encode()).hexdigest()}|{self.take}"

    def token(self, item: int) -> str:
        """Return the idempotency key of one task: the same on every machine (reliability.md 4.6).

        It does not depend on the key's account, since a rotated key must not buy again.
        """
        digest = hashlib.sha256(f"wan1|render|{self._named()}|{item}".encode()).digest()
        return "wan-" + base64.b32encode(digest[:20]).decode().lower()

    def user_key(self, scope: str) -> str:
        """Return the name under which the ledger finds the tasks of a purchase again; ``scope`` is whose it is."""
        return "render:" + hashlib.sha256(f"{scope}|{self._named()}".encode()).hexdigest()[:40]

    @property
    def mark(self) -> str:
        """What the ledger's task says of itself, so that ``wan keep`` knows which asset it was made for."""
        return f"render|{self.request}|{self.asset}"

    @classmethod
    def of(cls, asset: str, flight: Flight) -> Purchase:
        """Return what a flight of the lock was bought for."""
        return cls(asset, flight.request, flight.inputs, flight.take)


def made_for(task: Task, asset: str, request: str) -> bool:
    """Tell whether a task was made for this asset with this request."""
    return task.fingerprint == Purchase(asset, request, {}, 0).mark


def next_take(entry: Entry | None) -> int:
    """Return the take that the next purchase of an asset is: no idempotency key is used for two purchases."""
    if entry is None:
        return 1
    return max(entry.take if entry.request is not None else 0, entry.tried) + 1


def used_up(task: Task) -> bool:
    """Tell whether a purchase was taken and brings nothing: only another take can.

    A result that seems lost can be asked about again, as long as its task has an id; only a person gives it up.
    """
    match task.state:
        case Failed():
            return task.task_id is not None or task.charged != "no"
        case Cancelled():
            return task.charged != "no" or task.task_id is not None
        case Lost():
            return task.task_id is None
        case _:
            return False


def unbought(task: Task) -> bool:
    """Tell whether nothing of a task was ever bought: it may be sent as if it were new."""
    match task.state:
        case New() | Failed() | Cancelled():
            return not used_up(task) and task.charged == "no"
        case _:
            return False


@dataclass(kw_only=True)
class Books:
    """Writes what the engine reports into the lock. ``purchases`` is filled before a task is begun."""

    lock: Lock
    scope: str = ""
    """Whose purchases these are in the ledger: the lock's path, or what the manifest is called in a queue."""
    purchases: dict[str, Purchase] = field(default_factory=dict)
    unsent: Mapping[str, Sequence[Flight]] = field(default_factory=dict)
    """What the lock had of purchases that were never sent (:func:`follow_ledger`), by asset: a queue may have them."""
    _paths: Counter[str] | None = None

    def __post_init__(self) -> None:
        """Go by the lock's path where nothing else is said."""
        self.scope = self.scope or scope_of(self.lock.path)

    def uses(self, path: str) -> bool:
        """Tell whether the lock has a file of that name: all of it is gone through at the first question only."""
        if self._paths is None:
            self._paths = Counter(made.path for entry in self.lock.entries.values() for made in entry.files)
        return self._paths[path] > 0

    def asset_of(self, task: Task) -> str:
        """Return the id of the asset that a task is for; the task's own where it is for none."""
        purchase = self.purchases.get(task.id)
        return purchase.asset if purchase else task.id

    def note(self, task: Task) -> None:
        """Take in a transition. Raises ``StateUnusable``: then nothing may be sent."""
        purchase = self.purchases.get(task.id)
        if purchase is None or isinstance(task.state, Saved):
            return  # what is saved leaves the lock together with the file's record, in one line
        entry = self.lock.entries.get(purchase.asset) or Entry()
        kept = [flight for flight in entry.open if not _is_of(flight, task, purchase)]
        flight = _flight(task, purchase)
        if flight is not None:
            kept.append(flight)
        self._put(purchase.asset, entry, kept, tried=purchase.take if used_up(task) else 0)

    def give_up(self, task: Task) -> None:
        """Take a purchase out of the lock: what it brought is elsewhere, or a person wants another one."""
        purchase = self.purchases.pop(task.id)
        entry = self.lock.entries.get(purchase.asset) or Entry()
        kept = [flight for flight in entry.open if not _is_of(flight, task, purchase)]
        self._put(purchase.asset, entry, kept, tried=purchase.take)

    def _put(self, asset: str, entry: Entry, flights: Sequence[Flight], *, tried: int) -> None:
        fresh = replace(
            entry, open=tuple(sorted(flights, key=lambda one: (one.take, one.item))), tried=max(entry.tried, tried)
        )
        self.lock.put(asset, None if fresh == Entry() else fresh)

    def finish(
        self, asset: Asset, tasks: Sequence[Task], files: Sequence[Made], *, bought: Purchase, named: bool
    ) -> Entry:
        """Record an asset that is whole: its files, who made it, what it cost. ``named``: by the manifest.

        It may be called again with the same, for it may be a part of a transaction that fails.
        """
        before = self.lock.entries.get(asset.id) or Entry()
        ended = [(task, self.purchases[task.id]) for task in tasks]
        handles = tuple(task.handle for task in tasks if task.handle)
        known = [task.cost.actual if task.cost.actual is not None else task.cost.estimated for task in tasks]
        cost = None if any(amount is None for amount in known) else round(sum(filter(None, known)), 9)
        first = tasks[0]
        stated = asset.stated if bought.request == asset.request else {}
        entry = Entry(
            request=bought.request, stated=stated, inputs=in_order(bought.inputs), provider=first.provider,
            model=first.job.model, handle=handles[0] if handles else None, handles=handles if len(handles) > 1 else (),
            seed=first.job.seed, take=max(purchase.take for _, purchase in ended), tried=before.tried, cost=cost,
            unit=first.cost.unit, files=tuple(files), pinned=None if named else first.provider,
            open=tuple(flight for flight in before.open if not any(_is_of(flight, *one) for one in ended)),
        )  # fmt: skip
        self.lock.put(asset.id, entry)
        return entry

    def finished(self, before: Entry | None, entry: Entry, tasks: Sequence[Task]) -> None:
        """Let go of the tasks of an asset whose files are on record, in place of those it had ``before``."""
        if self._paths is not None:
            self._paths.subtract(made.path for made in (before.files if before else ()))
            self._paths.update(made.path for made in entry.files)
        for task in tasks:
            self.purchases.pop(task.id, None)


def scope_of(lock: Path) -> str:
    """Return whose purchases those of a lock are in the ledger of this machine."""
    return os.path.realpath(lock)


def follow_ledger(
    lock: Lock, ledger: Callable[[], Ledger], *, held: bool, only: Collection[str] | None = None, scope: str = ""
) -> dict[str, list[Flight]]:  # fmt: skip
    """Drop from the lock what the ledger of this machine knows to have ended without a result, or never began.

    A person may have decided about a purchase in doubt (``wan recover``); and a run that was killed between its two
    books has written the lock's line of a purchase that was never sent. Without ``held`` only memory is changed.
    ``only`` are the assets of a part of several: what another part is just about to send is not this one's to drop.
    Returns what was dropped because it was never sent, by asset.
    """
    unsent: dict[str, list[Flight]] = {}
    scope = scope or scope_of(lock.path)
    for name, entry in list(lock.entries.items()):
        if not entry.open or (only is not None and name not in only):
            continue
        kept, tried = [], entry.tried
        for flight in entry.open:
            task = ledger_task(ledger(), scope, Purchase.of(name, flight), flight.item)
            if task is None or not is_same(flight, task):
                kept.append(flight)
            elif used_up(task):
                tried = max(tried, flight.take)
            elif not unbought(task) or flight.task:
                kept.append(flight)
            else:
                unsent.setdefault(name, []).append(flight)
        if len(kept) < len(entry.open):
            fresh = replace(entry, open=tuple(kept), tried=tried)
            if held:
                lock.put(name, None if fresh == Entry() else fresh)
            else:
                lock.entries[name] = fresh
    return unsent


def is_same(flight: Flight, task: Task) -> bool:
    """Tell whether a task of the ledger is the purchase that the lock has.

    Two machines may have tried the same take of an asset, each on its own.
    """
    if flight.task and task.task_id:
        return flight.task == task.task_id
    return flight.id == task.id or abs(flight.at - (task.submitted_at or task.created_at)) < _APART_S


def ledger_task(ledger: Ledger, scope: str, purchase: Purchase, item: int) -> Task | None:
    """Return the task that the ledger has for one item of a purchase."""
    found = ledger.by_user_key(purchase.user_key(scope))
    return next((task for task in reversed(found) if task.item == item), None)


def in_order(inputs: Mapping[str, str]) -> dict[str, str]:
    """Return references as the lock has them: sorted, whichever of them was known first."""
    return dict(sorted(inputs.items()))


def _is_of(flight: Flight, task: Task, purchase: Purchase) -> bool:
    """Tell whether a line of the lock is about this task; two branches may each have bought the same take."""
    if flight.task and task.task_id and flight.task != task.task_id:
        return False
    return (flight.take, flight.item) == (purchase.take, task.item)


def _flight(task: Task, purchase: Purchase) -> Flight | None:
    """Return what the lock has of a task, or ``None`` where nothing of it is under way."""
    state = _standing(task.state)
    if state is None or used_up(task):
        return None
    return Flight(
        state=state, request=purchase.request, inputs=in_order(purchase.inputs), provider=task.provider,
        origin=task.origin, model=task.job.model, token=task.token, at=round(task.submitted_at or task.created_at, 3),
        key=task.key_print or "none", take=purchase.take, item=task.item, of=task.siblings, count=task.job.n,
        task=task.task_id, id=task.id, cost=task.cost.estimated, unit=task.cost.unit,
    )  # fmt: skip


def _standing(state: State) -> Literal["sending", "pending", "unknown"] | None:
    match state:
        case Pending():
            return "pending"
        case Done(task_id=task_id):
            return "pending" if task_id else "sending"  # an answer that was all is only in the ledger
        case Lost():
            return "pending"  # it is used up where it has no id
        case Sending():
            return "sending"
        case Unknown():
            return "unknown"
        case _:
            return None


def task_of(flight: Flight, template: Task, *, pending: Pending | None, same: bool) -> Task:
    """Return a purchase that another machine began as a task of this one; ``template`` has its target and its job.

    ``pending`` is what the adapter makes of its id. One that was only being sent can go on where the very request can
    be made again (``same``); otherwise it is in doubt.
    """
    state: State = Sending(at=flight.at)
    if pending is not None:
        state = pending
    elif flight.state == "unknown" or not same:
        state = Unknown(reason="the answer to the purchase was lost on another machine, and it may have been taken")
    return replace(
        template, state=state, provider=flight.provider, origin=flight.origin, token=flight.token,
        task_id=flight.task, key_print="" if flight.key == "none" else flight.key, submitted_at=flight.at,
        created_at=flight.at, item=flight.item, siblings=flight.of,
        charged="unknown" if flight.task is None else "yes", charge_basis="assumed",
        cost=replace(template.cost, estimated=flight.cost, unit=flight.unit),
    )  # fmt: skip
