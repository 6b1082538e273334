"""``wan inspect``."""

from typing import Annotated

import typer

from wan_cli.cli.options import Talk, with_options


@with_options(Talk)
def command(
    ctx: typer.Context,
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE...", help="Pictures or videos.")] = None,
    *,
    options: Talk,
) -> int:
    """Say what made a file: by ledger, lock or sidecar, or by what is inside it."""
    from wan_cli.cli.provenance.showing import show

    return show(ctx.obj, files or [], options)
