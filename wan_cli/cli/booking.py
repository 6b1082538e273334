"""A purchase written down before it is made; under an idempotency key, the tasks of an earlier call taken up again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wan_cli.cli.following import same_account
from wan_cli.dataclass import replace
from wan_cli.engine.again import reopened
from wan_cli.engine.decide import taken
from wan_cli.errors import UsageError
from wan_cli.models import New, Task
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.cli.options import Making
    from wan_cli.cli.order import Order


def durable(app: App, options: Making, tasks: list[Task], order: Order) -> list[Task]:
    """Give the tasks ids and write them down; with an idempotency key, find those of an earlier call instead."""
    ledger, print_ = app.ledger, app.key_print(order.model.provider)
    taken: set[str] = set()
    for place, task in enumerate(tasks):
        while (name := ledger.new_id()) in taken:
            continue
        taken.add(name)
        tasks[place] = replace(task, id=name, key_print=print_)
    if options.idempotency_key is None:
        ledger.add(tasks)
        return tasks
    found = ledger.add_or_find(options.idempotency_key, tasks)
    if any(task.fingerprint != order.fingerprint for task in found):
        raise UsageError(
            f"the idempotency key {one_line(options.idempotency_key)} was used for another request ({found[0].name})",
            hint="use another key, or repeat the call exactly as it was",
        )
    if found[0].id != tasks[0].id:
        app.talk(f"this idempotency key was used before: continuing {', '.join(task.name for task in found)}")
        found = _taken_up(app, found, tasks)
    return found


def _taken_up(app: App, found: Sequence[Task], new: Sequence[Task]) -> list[Task]:
    """Go on with every earlier task; only where none of them bought anything do the new ones take their place."""
    if len(found) == len(new) or not all(task.unbought for task in found):
        return _instead(app, found, new)
    try:  # how many there are changes: one process at a time, and on what it finds then
        for old in found:
            taken(app.ledger, old)
        return _instead(app, app.ledger.by_user_key(new[0].user_key or ""), new)
    finally:
        for old in found:
            app.ledger.release(old.id)


def _instead(app: App, found: Sequence[Task], new: Sequence[Task]) -> list[Task]:
    if not all(task.unbought for task in found):
        return [_continued(app, old, new[0]) for old in found]  # the new ones are alike but for their numbers
    kept = [replace(task, id=old.id, created_at=old.created_at) for old, task in zip(found, new, strict=False)]
    app.ledger.add(added := list(new[len(found) :]))
    for old in found[len(new) :]:  # the key no longer stands for these
        app.ledger.save(replace(old, user_key=None))
    return [*kept, *added]


def _continued(app: App, old: Task, new: Task) -> Task:
    """Take up an earlier task: results go where this call says; one that bought nothing is tried again there.

    Where another provider would be asked now, what failed stays so: its price there was not agreed to. What is still
    to be asked or fetched with another key than it was bought with stays as it is, with that trouble.
    """
    planned = old.state.kind == "new" and old.charged == "no" and old.provider == new.provider
    if planned or old.unbought:
        if old.provider != new.provider:
            return old
        job = replace(new.job, n=old.job.n, n_said=old.job.n_said)
        return replace(
            old, state=New(), job=job, target=new.target, key_print=new.key_print, trouble=None, origin=new.origin,
            provider_model=new.provider_model,
        )  # fmt: skip
    task = replace(old, target=new.target, job=replace(old.job, prompt=new.job.prompt), trouble=None)
    if old.state.kind == "saved" and (old := reopened(old)).state.kind == "saved":
        return old
    # not saved here: another process may be at work on it, and only who owns a task writes it (reliability.md S07)
    return same_account(app, replace(task, state=old.state if old.state.kind == "pending" else task.state))
