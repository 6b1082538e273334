"""``wan recover``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from wan_cli.cli import complete
from wan_cli.cli.options import Faults, Lines, NoDownload, OfQueue, Saving, Talk, UnknownCost, Waiting, with_options


@dataclass(init=False, eq=False, repr=False)
class Deciding(Saving, Waiting, Lines, Faults, Talk):
    """The options of ``recover``: a decision, and those of ``wait`` for what follows it."""

    adopt: Annotated[
        str | None,
        typer.Option("--adopt", metavar="PROVIDER_TASK_ID", help="This is it: the id on the provider's own pages."),
    ] = None
    same_key: Annotated[
        bool, typer.Option("--same-key", help="Send it again under its idempotency key, which never pays twice.")
    ] = False
    resubmit: Annotated[bool, typer.Option("--resubmit", help="Buy it anew; this may pay a second time.")] = False
    abandon: Annotated[bool, typer.Option("--abandon", help="Close it; whether it was charged stays unknown.")] = False
    queue: OfQueue = None
    import_file: Annotated[
        str | None, typer.Option("--import", metavar="FILE", help="Read a recovery file into the ledger.")
    ] = None
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the result, or only decide.")] = True
    no_download: NoDownload = False
    max_cost: Annotated[
        list[str] | None,
        typer.Option("--max-cost", metavar="AMOUNTUNIT", help="With --resubmit: refuse above this, e.g. 24credits."),
    ] = None
    allow_unknown_cost: UnknownCost = False
    yes: Annotated[bool, typer.Option("--yes", help="With --resubmit: consent to paying a second time.")] = False


@with_options(Deciding)
def command(
    ctx: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="A local id or a handle.", autocompletion=complete.unknown_tasks),
    ] = None,
    *,
    options: Deciding,
) -> int:
    """Decide about a task whose purchase is unknown."""
    from wan_cli.cli.recovering import recover

    if options.queue is not None:
        from wan_cli.cli.queued.standing import turn_to

        turn_to(ctx.obj, options.queue, sandbox=options.sandbox)
    return recover(ctx.obj, task, options)
