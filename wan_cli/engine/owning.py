"""Whose a task is: one process works on it at a time, and the next one takes up what the ledger has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.dataclass import replace
from wan_cli.errors import DownloadFailed
from wan_cli.models import Task

if TYPE_CHECKING:
    from wan_cli.engine.loop import Engine

TERMINAL = frozenset({"saved", "failed", "cancelled", "unknown", "lost"})
ATTACHED_S = 0.5
"""Seconds between looks at a task that another process is working on."""


async def own(engine: Engine, task: Task, ends: float, *, wait: bool) -> tuple[bool, Task]:
    """Become the one process that works on the task, or watch the one that does until it lets go."""
    attached = False
    while not await engine.writing.do(engine.ledger.claim, task.id):
        stored = engine.ledger.get(task.id)
        accepted = stored.state.kind not in ("new", "sending")
        if stored.state.kind in TERMINAL or engine.monotonic() >= ends or (accepted and not wait):
            return False, stored
        attached = True
        await engine.pause(ATTACHED_S)
    planned = task.state.kind == "new"
    if planned and not attached and engine.ledger.is_new(task.id):
        return True, replace(task, charged="no", submitted_at=None)
    stored = engine.ledger.get(task.id)
    if attached:  # what the other process left is taken up as it is
        engine.leftovers.forget()
        return True, merged(engine, stored, replace(task, state=stored.state))
    if planned and (stored.state.kind == "new" or stored.unbought):
        return True, replace(task, charged="no", submitted_at=None)
    return True, merged(engine, stored, task)


def merged(engine: Engine, stored: Task, wanted: Task) -> Task:
    """Return what the ledger has, since another process may have taken the task further; the aim is this call's.

    The job is this call's too, for the ledger may hold hashes of its texts, unless it moved to another provider.
    A task that has ended is only collected again where its files were missed: then it says when it ended.
    """
    if stored.trouble is not None and stored.trouble.code == DownloadFailed.code:
        engine.missed.add(stored.id)
    ended = stored.state.kind in ("saved", "lost")
    reopened = ended and wanted.state.kind == "pending" and wanted.finished_at is not None
    state = wanted.state if reopened else stored.state
    said = wanted.job if stored.provider == wanted.provider else stored.job
    job = replace(said, prompt=wanted.job.prompt, negative=wanted.job.negative, media=stored.job.media)
    return replace(stored, state=state, job=job, target=wanted.target, trouble=None)
