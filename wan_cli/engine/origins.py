"""A task belongs to the origin it was bought at: its key and its id are of no use at another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wan_cli.engine.loop import Engine
    from wan_cli.models import Task


def elsewhere(engine: Engine, task: Task) -> str | None:
    """Return the origin of today where the task was bought at another one: its key and its id are of no use there."""
    origin = engine.service(task.provider).provider.origin
    return None if origin == task.origin else origin


async def bought_elsewhere(engine: Engine, task: Task, here: str) -> Task:
    """Say that nothing is asked, resent or fetched at another origin than the task's; the state stays."""
    message = f"{task.name} was bought at {task.origin}, the base URL is {here}"
    return await engine.trouble(task, "key_origin", message, f"set the base URL back, then {task.command('wait')}")
