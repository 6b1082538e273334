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


@with_options(Examining)
def command(ctx: typer.Context, *, options: Examining) -> int:
    """Check keys, network, clock, state folder, ledger and tasks."""
    from wan_cli.cli.doctor.visit import doctor

    return doctor(ctx.obj, options)
