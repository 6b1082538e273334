"""``wan upload``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from wan_cli.cli.options import Choosing, Faults, Shrink, Talk, with_options


@dataclass(init=False, eq=False, repr=False)
class Uploading(Choosing, Faults, Talk):
    """The options of ``upload``."""

    shrink_references: Shrink = False


@with_options(Uploading)
def command(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Pictures on this machine.")],
    *,
    options: Uploading,
) -> int:
    """Bring files to a provider and print their addresses."""
    from wan_cli.cli.uploading import bring

    return bring(ctx.obj, files, options)
