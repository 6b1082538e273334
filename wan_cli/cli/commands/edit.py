"""``wan edit``."""

from __future__ import annotations

from typing import Annotated

import typer

from wan_cli.cli.options import Making, with_options


@with_options(Making)
def command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ASSET... PROMPT", help="The picture to change, more pictures as context, then the prompt."
        ),
    ] = None,
    *,
    options: Making,
) -> int:
    """Change a picture or a video."""
    from wan_cli.cli.making import make

    return make(ctx.obj, "edit", words or [], options)
