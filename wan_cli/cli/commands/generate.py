"""``wan generate``."""

from __future__ import annotations

from typing import Annotated

import typer

from wan_cli.cli.options import Making, with_options


@with_options(Making)
def command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="Text, @FILE, or - for standard input.")
    ] = None,
    *,
    options: Making,
) -> int:
    """Make a picture or a video from a text."""
    from wan_cli.cli.making import make

    return make(ctx.obj, "generate", words or [], options)
