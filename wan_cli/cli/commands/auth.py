"""``wan auth``."""

from __future__ import annotations

from typing import Annotated

import typer

from wan_cli.cli.options import Talk, with_options

ACTIONS = ("list",)


@with_options(Talk)
def command(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(metavar="list", help="Show each key's source and origin, never the key.")],
    *,
    options: Talk,
) -> int:
    """Show where keys come from."""
    from wan_cli.cli.settings import keys

    return keys(ctx.obj, action, options)
