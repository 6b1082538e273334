"""``wan status``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from wan_cli.cli import complete
from wan_cli.cli.commands.wait import Collecting
from wan_cli.cli.options import OfQueue, with_options


@dataclass(init=False, eq=False, repr=False)
class Asking(Collecting):
    """The options of ``status``; those of ``wait`` go with ``--wait``."""

    wait: Annotated[bool, typer.Option("--wait", help="Wait, download and verify: the same as 'wan wait'.")] = False
    exit_status: Annotated[bool, typer.Option("--exit-status", help="Exit by the worst task of the list.")] = False
    prune: Annotated[
        str | None, typer.Option("--prune", metavar="30d", help="Forget finished tasks older than this.")
    ] = None
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many tasks to list.")] = 50
    remote: Annotated[bool, typer.Option("--remote", help="The provider's own list, also of tasks made elsewhere.")] = (
        False
    )
    queue: OfQueue = None
    provider: Annotated[
        str | None,
        typer.Option("--provider", "-p", metavar="NAME", help="Whose list.", autocompletion=complete.providers),
    ] = None


@with_options(Asking)
def command(
    ctx: typer.Context,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASK...]", help="Local ids or handles PROVIDER:TASK_ID.", autocompletion=complete.every_task
        ),
    ] = None,
    *,
    options: Asking,
) -> int:
    """Show the tasks on this machine, or ask for fresh state."""
    from wan_cli.cli import following

    if options.queue is not None:
        from wan_cli.cli.queued import standing

        standing.check_status(options)
        standing.turn_to(ctx.obj, options.queue, sandbox=options.sandbox)
        if not tasks and options.prune is None:
            return standing.status(ctx.obj, options)
    if options.remote or options.provider is not None:
        from wan_cli.cli.remote import listed

        return listed(ctx.obj, tasks or [], options)
    if options.wait:
        following.check_waiting(options)
        return following.wait(ctx.obj, tasks or [], options)
    return following.status(ctx.obj, tasks or [], options)
