"""What was bought before, taken up again: from the ledger where this machine knows of it, else from the lock alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.cli.choose import known as named
from wan_cli.cli.rendering.books import Purchase, is_same, ledger_task, task_of, unbought, used_up
from wan_cli.cli.rendering.stored import name_of
from wan_cli.dataclass import dataclass, replace
from wan_cli.engine.again import reopened, sought
from wan_cli.errors import KeyRejected, WanError
from wan_cli.models import Job, Pending, Sending, Target, Task
from wan_cli.registry import capabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wan_cli.cli.context import App
    from wan_cli.cli.order import Order
    from wan_cli.lock import Entry, Flight
    from wan_cli.manifest import Asset, Manifest


def sorted_out(flights: Sequence[Flight], entry: Entry | None) -> tuple[list[Flight], list[Flight]]:
    """Tell the purchases that make an asset from their twins: what another branch bought of the same take."""
    done = entry.take if entry is not None and entry.request is not None else 0
    fresh = [each for each in flights if each.take > done]
    alike = [each for each in fresh if (each.request, each.inputs) == (fresh[0].request, fresh[0].inputs)]
    group = list({each.item: each for each in reversed(alike)}.values())[::-1]  # the first of each item
    return group, [each for each in flights if each.take <= done or (each in alike and each not in group)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resuming:
    """Finds and checks the earlier purchases of one asset. ``scope`` is whose they are in the ledger.

    ``shared``: they are made by the workers of a queue, which have keys of their own.
    """

    app: App
    manifest: Manifest
    asset: Asset
    scope: str
    shared: bool = False

    def known(self, purchase: Purchase, slot: int) -> tuple[Task | None, Purchase]:
        """Return what the ledger has of a purchase, and the take it is: past those that are used up."""
        while True:
            task = ledger_task(self.app.ledger, self.scope, purchase, slot)
            if task is None or not (used_up(task) or (task.state.kind == "saved" and not self._again(task))):
                return task, purchase
            purchase = replace(purchase, take=purchase.take + 1)

    def _again(self, task: Task) -> bool:
        """Tell whether the files of a saved task are here, or can be fetched once more."""
        return task.task_id is not None or (self._inside(task) and self._whole(task))

    @staticmethod
    def _whole(task: Task) -> bool:
        return reopened(replace(task, task_id="?")).state.kind == "saved"

    def _inside(self, task: Task) -> bool:
        files = getattr(task.state, "files", ())
        return all(file.path and name_of(self.manifest, file.path) is not None for file in files)

    def continued(self, task: Task, order: Order | None) -> Task:
        """Return a task of the ledger as one to go on with. Raises ``WanError`` where the account is another one."""
        if task.state.kind == "saved":
            return task if self._inside(task) and self._whole(task) else reopened(task, anew=True)
        task = sought(task)
        self.same_account(task)
        if order is not None and task.job.prompt.startswith("sha256:"):
            task = replace(task, job=replace(task.job, prompt=order.fitted.job.prompt))  # prompts are not stored here
        return replace(task, trouble=None)

    def taken_up(self, flight: Flight, order: Order | None, target: Target, *, batch: str) -> Task:
        """Return the task of a purchase that the lock has; one that this machine does not know is put in its ledger.

        ``order`` is what would be sent today, where that is the same request.
        """
        ledger, purchase = self.app.ledger, Purchase.of(self.asset.id, flight)
        known = ledger_task(ledger, self.scope, purchase, flight.item)
        if known is not None and not is_same(flight, known):
            known = None
        if known is None and flight.handle:
            found = ledger.find_handle(flight.provider, flight.task or "")  # wan wait HANDLE, or the folder was moved
            known = None if found is None else replace(found, item=flight.item, siblings=flight.of)
        if known is not None and flight.task and (isinstance(known.state, Sending) or unbought(known)):
            state, first = self._adopted(flight), known.submitted_at or flight.at
            known = replace(known, state=state or known.state, task_id=flight.task, charged="yes", submitted_at=first)
            ledger.save(known)
        if known is None:
            known = self._elsewhere(flight, order, target, batch)
            self.same_account(known)
            ledger.add([known])
        return replace(self.continued(known, order), target=target)

    def _elsewhere(self, flight: Flight, order: Order | None, target: Target, batch: str) -> Task:
        """Return a purchase of another machine as a task of this one."""
        named(flight.provider)
        candidates = order.candidates if order else ()
        fitted = next((
            each.fitted.job for each in candidates
            if (each.model.provider, each.model.name) == (flight.provider, flight.model)
        ), None)  # fmt: skip
        whole = fitted is not None and all(medium.file or medium.url for medium in fitted.media)
        job = replace(fitted, n=flight.count) if fitted else self._job(flight)
        purchase = Purchase.of(self.asset.id, flight)
        template = Task(
            id=self.app.ledger.new_id(), provider=flight.provider, origin=flight.origin, job=job,
            provider_model=flight.model, token=flight.token, created_at=flight.at, target=target,
            sandbox=self.app.sandbox, batch=batch, user_key=purchase.user_key(self.scope), fingerprint=purchase.mark,
        )  # fmt: skip
        return task_of(flight, template, pending=self._adopted(flight), same=whole)

    def _job(self, flight: Flight) -> Job:
        """Return what is known of a job whose request has changed since: enough to collect it."""
        model = capabilities(flight.provider).find(flight.model)
        return Job(
            verb=self.asset.verb, provider=flight.provider, model=flight.model, prompt=self.asset.prompt,
            n=flight.count, makes=model.makes if model else "image",
        )  # fmt: skip

    def _adopted(self, flight: Flight) -> Pending | None:
        state = self.app.provider(flight.provider).adopt(flight.task) if flight.task else None
        return state if isinstance(state, Pending) else None

    def same_account(self, task: Task) -> None:
        """Refuse a task of another account: it cannot be asked about, and is never bought again (T11)."""
        again = f"set the key it was bought with, then {self.manifest.command()}"
        if self.shared or not task.key_print or task.state.kind not in ("sending", "pending", "done"):
            return
        try:
            here = self.app.key_print(task.provider)
        except WanError as error:
            error.charged = task.charged
            raise
        if task.key_print != here:
            raise KeyRejected(
                f"{task.name} was bought with another key of {task.provider} than the one that is set",
                hint=again, charged=task.charged,
            )  # fmt: skip
