"""``wan help``."""

from __future__ import annotations

from typing import Annotated

import typer

from wan_cli.cli.topics import TOPICS, topic


def command(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[TOPIC]", help=f"{', '.join(TOPICS)}.", autocompletion=lambda: list(TOPICS))
    ] = None,
) -> int:
    """Explain a topic."""
    ctx.obj.streams.out(topic(name).rstrip("\n"))
    return 0
