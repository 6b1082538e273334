"""What a task's end means for the exit code (interface.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wan_cli import errors
from wan_cli.errors import WanError
from wan_cli.models import Done, New, Pending, Saved, Sending, Task
from wan_cli.ui.document import task_error

SERIOUS = (9, 10, 12)
"""Codes that decide for several tasks, whatever the others did: a person has to look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command wanted of its tasks."""

    wait: bool = True
    download: bool = True
    strict: bool = False
    signal: int | None = None


def task_outcome(task: Task, wish: Wish) -> WanError | None:
    """Return the error that ``task`` ends with, or ``None`` where it is all that was wanted."""
    if known := task_error(task):
        return known
    match task.state:
        case Saved():
            return _saved_outcome(task, task.state, wish)
        case Pending() if not wish.wait:
            return None
        case Done() if not (wish.wait and wish.download):
            return None
        case New() if wish.signal:
            return errors.Interrupted(
                "stopped before anything was sent", hint="run the command again", charged="no",
                exit_code=128 + wish.signal,
            )  # fmt: skip
        case New():
            return errors.UsageError(
                f"{task.id} was planned and never sent", hint="run the command that planned it again"
            )
        case Sending():
            return errors.OutcomeUnknown("the answer to the purchase was not seen", hint=task.command("recover"))
        case _ if wish.signal:
            return errors.Interrupted(
                "stopped waiting; the task goes on at the provider", hint=task.command("wait"), charged=task.charged,
                exit_code=128 + wish.signal,
            )  # fmt: skip
        case _:
            return errors.StillRunning("still running; nothing is lost", hint=task.command("wait"))


def _saved_outcome(task: Task, state: Saved, wish: Wish) -> WanError | None:
    """Hold what is on disk against what was asked for."""
    if len(state.files) < task.job.n:
        message = f"{len(state.files)} of {task.job.n} results were delivered and are saved"
        return errors.Partial(message, hint=task.command("status"))
    if wish.strict and task.differences:
        return errors.DeliveryMismatch("; ".join(task.differences), hint=task.command("status"))
    return None


def overall(ends: Sequence[WanError | None], *, signal: int | None = None) -> WanError | None:
    """Return the error that decides for the whole command, ``None`` where every task is as wanted."""
    bad = [error for error in ends if error is not None]
    if not bad:
        return None
    stopped = next((error for error in bad if error.exit_code > 128), None)  # noqa: PLR2004 - 128 plus a signal
    if signal and stopped:
        return stopped
    serious = next((error for error in bad if error.exit_code in SERIOUS), None)
    if serious or len(ends) == 1:
        return serious or bad[0]
    failed = [error for error in bad if error.exit_code != errors.StillRunning.default_exit]
    if not failed:
        return bad[0]
    if len(failed) == len(ends) and len({error.exit_code for error in failed}) == 1:
        return failed[0]
    charged: errors.Charged = "unknown" if any(error.charged == "unknown" for error in bad) else "yes"
    return errors.Partial(
        f"{len(failed)} of {len(ends)} tasks failed: {failed[0].message}", hint="wan status", charged=charged
    )
