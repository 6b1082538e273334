"""``wan fuse``."""

from __future__ import annotations

from typing import Annotated

import typer

from wan_cli.cli.options import Making, with_options


@with_options(Making)
def command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="ASSET... PROMPT", help="The pictures, then the prompt.")
    ] = None,
    *,
    options: Making,
) -> int:
    """Make one picture or video from several."""
    from wan_cli.cli.making import make

    return make(ctx.obj, "fuse", words or [], options)
