"""``wan models``."""

from __future__ import annotations

from typing import Annotated

import typer

from wan_cli.cli import complete
from wan_cli.cli.options import Talk, with_options


@with_options(Talk)
def command(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A provider or a model.", autocompletion=complete.names)
    ] = None,
    *,
    options: Talk,
) -> int:
    """Show providers, models, options, limits and prices."""
    from wan_cli.cli.listing import models

    return models(ctx.obj, name, options)
