"""``wan cancel``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from wan_cli.cli import complete
from wan_cli.cli.options import Faults, Talk, with_options


@dataclass(init=False, eq=False, repr=False)
class Cancelling(Faults, Talk):
    """The options of ``cancel``."""


@with_options(Cancelling)
def command(
    ctx: typer.Context,
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK", help="A local id or a handle PROVIDER:TASK_ID.", autocompletion=complete.open_tasks
        ),
    ],
    *,
    options: Cancelling,
) -> int:
    """Cancel a task, where the provider can."""
    from wan_cli.cli.cancelling import cancel

    return cancel(ctx.obj, task, options)
