"""``wan doctor``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from wan_cli.cli.options import Talk, with_options


@dataclass(init=False, eq=False, repr=False)
class Examining(Talk):
    """The options of ``doctor``."""

    repair: Annotated[
        bool, typer.Option("--repair", help="Mend permissions and a damaged ledger; the old files are kept.")
    ] = False
    offline: Annotated[bool, typer.Option("--offline", help="Ask no provider.")] = False
    probe: Annotated[
        bool, typer.Option("--probe", help="Learn what OpenAI-compatible gateways accept; nothing is bought.")
    ] = False
    forget: Annotated[bool, typer.Option("--forget", help="Forget what --probe learnt.")] = False
    provider: Annotated[
        str | None, typer.Option("--provider", "-p", metavar="NAME", help="The gateway for --probe and --forget.")
    ] = None


@with_options(Examining)
def command(ctx: typer.Context, *, options: Examining) -> int:
    """Check keys, network, clock, state folder, ledger and tasks."""
    from wan_cli.cli.doctor.visit import doctor

    return doctor(ctx.obj, options)
