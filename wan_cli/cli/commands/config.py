"""``wan config``."""

from __future__ import annotations

from typing import Annotated

import typer

from wan_cli.cli.options import Talk, with_options


@with_options(Talk)
def command(
    ctx: typer.Context,
    action: Annotated[
        str,
        typer.Argument(
            metavar="show",
            help="Show every effective setting and where it was set.",
            autocompletion=lambda: ["show"],
        ),
    ],
    *,
    options: Talk,
) -> int:
    """Show the effective settings."""
    from wan_cli.cli.settings import settings

    return settings(ctx.obj, action, options)
