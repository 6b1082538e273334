"""What a task's end means for the exit code (interface.md, section 4)."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence

from wan_cli import errors
from wan_cli.dataclass import dataclass
from wan_cli.errors import WanError
from wan_cli.models import Done, File, New, Pending, Saved, Sending, Task
from wan_cli.stores import is_address
from wan_cli.ui.document import task_error
from wan_cli.ui.messages import in_sandbox

SERIOUS = (9, 10, 12)
"""Codes that decide for several tasks, whatever the others did: a person has to look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command wanted of its tasks."""

    wait: bool = True
    download: bool = True
    strict: bool = False
    signal: int | None = None
    queued: bool = False
    """What is planned waits in a queue, and is made whether anybody waits for it or not."""


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
        case New() if wish.queued:
            return _in_line(wish)
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


def _in_line(wish: Wish) -> WanError | None:
    if wish.signal:
        return errors.Interrupted(
            "stopped waiting; it stays in the queue", hint="run the command again", charged="no",
            exit_code=128 + wish.signal,
        )  # fmt: skip
    return errors.StillRunning("still in the queue; nothing is lost") if wish.wait else None


def _saved_outcome(task: Task, state: Saved, wish: Wish) -> WanError | None:
    """Hold what is on disk against what was asked for."""
    if wish.wait and wish.download and (gone := removed(task)):
        return gone
    if len(state.files) < task.job.n:
        message = f"{len(state.files)} of {task.job.n} results were delivered and are saved"
        return errors.Partial(message, hint=task.command("status"))
    if wish.strict and task.differences:
        return errors.DeliveryMismatch("; ".join(task.differences), hint=task.command("status"))
    return None


def there(file: File) -> bool:
    """Tell whether a saved result is still where it was saved; of one in a store ``wan wait`` asks."""
    if file.path is None or is_address(file.path):
        return file.path is not None
    return os.path.isfile(file.path)  # noqa: PTH113 - false for odd names


def removed(task: Task) -> WanError | None:
    """Return what to say of a saved task of which a file is not there any more; ``None`` where all are.

    What the provider still has is collected again before anybody asks (:func:`wan_cli.engine.again.reopened`).
    """
    files = task.state.files if isinstance(task.state, Saved) else ()
    gone = [file for file in files if file.path and not there(file)]
    if not gone:
        return None
    which = f"{gone[0].path} was" if len(gone) == 1 else f"{gone[0].path} and {len(gone) - 1} more were"
    return errors.ResultGone(
        f"{which} removed, and {task.provider} keeps no copy", charged=task.charged,
        hint=f"run the command that made it again{', with another --idempotency-key' if task.user_key else ''}",
    )  # fmt: skip


class _NothingBought(errors.Partial):
    """Tasks failed in several ways; none was bought, and each of them may be tried again."""

    retry_safe = True


def overall(
    tasks: Sequence[Task], ends: Sequence[WanError | None], *, signal: int | None = None
) -> WanError | None:  # fmt: skip
    """Return the error that decides for the whole command, ``None`` where every task is as wanted.

    What it says of money is true of all ``tasks``, whose ``ends`` are in the same order.
    """
    decisive = deciding(ends, signal)
    if decisive is None or len(ends) == 1:
        return decisive
    charged = _charged(tasks, ends)
    hint = _onward(decisive, tasks, ends)
    if (charged, hint) == (decisive.charged, decisive.hint):
        return decisive
    told = copy.copy(decisive)  # the task's own error stays as true of it as it was
    told.charged, told.hint = charged, hint
    if decisive in ends:
        alike = sum(error is not None and error.exit_code == decisive.exit_code for error in ends)
        told.message = f"{alike} of {len(ends)} tasks: {decisive.message}"
    return told


def deciding(ends: Sequence[WanError | None], signal: int | None) -> WanError | None:
    """Choose among the ends of the tasks (interface.md, section 4)."""
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
    partial = _NothingBought if all(error.retry_safe for error in bad) else errors.Partial
    return partial(f"{len(failed)} of {len(ends)} tasks failed: {failed[0].message}")


def _charged(tasks: Sequence[Task], ends: Sequence[WanError | None]) -> errors.Charged:
    """Say of several tasks whether anything was charged: unknown if it is of any, else yes if any was."""
    return summed(task.charged if end is None else end.charged for task, end in zip(tasks, ends, strict=True))


def summed(charges: Iterable[errors.Charged]) -> errors.Charged:
    """Return what is true of all: unknown if it is of any, else yes if any was charged."""
    said = set(charges)
    return "unknown" if "unknown" in said else "yes" if "yes" in said else "no"


def _onward(decisive: WanError, tasks: Sequence[Task], ends: Sequence[WanError | None]) -> str:
    """Return the command that goes on with all of ``tasks``: what was bought and is not here is collected first."""
    sandbox = any(task.sandbox for task in tasks)
    away = [
        end for task, end in zip(tasks, ends, strict=True)
        if task.charged != "no" and task.state.kind in ("pending", "done")
    ]  # fmt: skip
    doubtful = decisive.exit_code == errors.OutcomeUnknown.default_exit  # a person decides about that one first
    if doubtful or not away or away == [decisive]:
        return decisive.hint or in_sandbox("wan status", sandbox=sandbox)
    return in_sandbox("wan wait --all", sandbox=sandbox)
