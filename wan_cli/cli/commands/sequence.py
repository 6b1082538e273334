"""``wan sequence``."""

from __future__ import annotations

from typing import Annotated

import typer

from wan_cli.cli.options import Making, with_options


@with_options(Making)
def command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ASSET...] PROMPT", help="Pictures to start from, if any, then the prompt."),
    ] = None,
    *,
    options: Making,
) -> int:
    """Make a coherent set of pictures."""
    from wan_cli.cli.making import make

    return make(ctx.obj, "sequence", words or [], options)
