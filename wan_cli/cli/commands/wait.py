"""``wan wait``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from wan_cli.cli import complete
from wan_cli.cli.options import Faults, Lines, Looking, Saving, Talk, Waiting, with_options


@dataclass(init=False, eq=False, repr=False)
class Gathering(Saving, Looking, Waiting, Lines):
    """The options that only mean something where results are collected: those of ``wait`` and ``status --wait``."""

    everything: Annotated[bool, typer.Option("--all", help="Every outstanding task; also when no TASK is given.")] = (
        False
    )
    no_download: Annotated[bool, typer.Option("--no-download", help="Print addresses, fetch nothing.")] = False


@dataclass(init=False, eq=False, repr=False)
class Collecting(Gathering, Faults, Talk):
    """The options of ``wait``."""


@with_options(Collecting)
def command(
    ctx: typer.Context,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASK...]", help="Local ids or handles PROVIDER:TASK_ID.", autocompletion=complete.open_tasks
        ),
    ] = None,
    *,
    options: Collecting,
) -> int:
    """Collect what is outstanding: wait, download, verify."""
    from wan_cli.cli import following

    return following.wait(ctx.obj, tasks or [], options)
