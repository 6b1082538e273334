"""``wan worker``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from wan_cli.cli import complete
from wan_cli.cli.options import Lines, Options, Queue, with_options


@dataclass(init=False, eq=False, repr=False)
class Working(Lines, Options):
    """The options of ``worker``."""

    queue: Queue = None
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, max=1024, help="Tasks in hand, and purchases sent, at a time.")
    ] = None
    root: Annotated[
        str | None, typer.Option("--root", metavar="DIR", help="Where manifests are here; nothing outside is used.")
    ] = None
    provider: Annotated[
        list[str] | None,
        typer.Option(
            "--provider", "-p", metavar="NAME", help="Buy there only; else wherever there is a key.",
            autocompletion=complete.providers,
        ),
    ] = None  # fmt: skip
    until_empty: Annotated[bool, typer.Option("--until-empty", help="End when nothing is left in the line.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show requests and answers, without secrets.")] = (
        False
    )


@with_options(Working)
def command(ctx: typer.Context, *, options: Working) -> int:
    """Make what a shared queue holds, on any number of machines."""
    from wan_cli.cli.queued.worker import work

    return work(ctx.obj, options)
