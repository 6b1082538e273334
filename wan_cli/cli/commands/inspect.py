"""``wan inspect``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from wan_cli.cli.options import Looking, Talk, with_options


@dataclass(init=False, eq=False, repr=False)
class Inspecting(Looking, Talk):
    """The options of ``inspect``."""


@with_options(Inspecting)
def command(
    ctx: typer.Context,
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE...", help="Pictures or videos.")] = None,
    *,
    options: Inspecting,
) -> int:
    """Say what made a file: by ledger, lock or sidecar, or by what is inside it."""
    from wan_cli.cli.provenance.showing import show

    return show(ctx.obj, files or [], options)
