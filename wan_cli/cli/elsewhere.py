"""A task that is not in the ledger which was asked: the sandbox has one of its own, and a task is in one of the two."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from wan_cli.errors import UsageError
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.models import Task

SANDBOX = "--sandbox"


def by_id(app: App, name: str) -> Task:
    """Return a task by its id. Raises ``UsageError``; for one of the other ledger with the command that finds it."""
    try:
        return app.ledger.get(name)
    except UsageError as error:
        if "no task" in error.message:
            refuse_others(app, name)
        raise


def refuse_others(app: App, name: str) -> None:
    """Raise ``UsageError`` where the other ledger, which is only looked at, has the task of this id or handle."""
    from wan_cli.config import state_folder
    from wan_cli.ledger.checkup import check

    top = state_folder(app.env)
    found = [
        task for task in check(top if app.sandbox else top / "sandbox").tasks
        if name and (task.handle == name or (":" not in name and task.id.startswith(name.lower())))
    ]  # fmt: skip
    if len(found) != 1:
        return
    if not app.sandbox:
        words = [*_before_dashes(app.words), SANDBOX, *_after_dashes(app.words)]
        raise UsageError(f"{one_line(name)} is a task of the sandbox", hint=shlex.join(["wan", *words]))
    words = [word for word in app.words if word != SANDBOX]
    app.sandbox = False  # what is said from here on is about the other ledger
    message = f"{one_line(name)} is a real task, not one of the sandbox"
    if SANDBOX not in app.words:
        raise UsageError(f"{message}; WAN_SANDBOX is set", hint=f"WAN_SANDBOX=0 {shlex.join(['wan', *words])}")
    raise UsageError(message, hint=shlex.join(["wan", *words]))


def _before_dashes(words: tuple[str, ...]) -> tuple[str, ...]:
    return words[: words.index("--")] if "--" in words else words


def _after_dashes(words: tuple[str, ...]) -> tuple[str, ...]:
    return words[words.index("--") :] if "--" in words else ()
