"""Tasks that somebody has to do something about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from wan_cli.cli.doctor.finding import Finding, fine, warning
from wan_cli.text import one_line
from wan_cli.ui.wording import age

if TYPE_CHECKING:
    from wan_cli.models import Task

SOON_S = 6 * 3600.0
"""A paid result that expires sooner is named (reliability.md 4.7, ``--expiring 6h``)."""
_WAITING = ("sending", "pending", "done")


def tasks(found: Sequence[Task], now: float) -> Iterator[Finding]:
    """Tell of open tasks, of results that will soon be gone, and of purchases that nobody knows the outcome of."""
    waiting = [task for task in found if task.state.kind in _WAITING]
    if waiting:
        oldest = min(task.created_at for task in waiting)
        sandbox = " --sandbox" if waiting[0].sandbox else ""
        count = (
            f"{len(waiting)} open {'task' if len(waiting) == 1 else 'tasks'}, the oldest from {age(now - oldest)} ago"
        )
        yield fine("tasks", "open", count, f"wan wait --all{sandbox}")
    else:
        yield fine("tasks", "open", "none")
    for task in waiting:
        if task.expires_at is not None and task.expires_at - now < SOON_S:
            left = task.expires_at - now
            when = f"in {age(left)}" if left > 0 else "now, if it is still there"
            yield warning("tasks", task.name, f"its paid result expires {when}", task.command("wait"))
    for task in found:
        if task.state.kind == "unknown":
            yield warning(
                "tasks", task.name, f"it may have been bought: {one_line(task.state.reason, 200)}", _recover(task)
            )


def _recover(task: Task) -> str:
    return f"wan recover {task.id}{' --sandbox' if task.sandbox else ''}"
