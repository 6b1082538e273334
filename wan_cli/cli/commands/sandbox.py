"""``wan sandbox``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from wan_cli.cli.options import Faults, with_options


@dataclass(init=False, eq=False, repr=False)
class Serving(Faults):
    """The options of ``sandbox``."""

    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="The port; 0 is any free one.")] = 8484
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen; other machines reach only what is named.")
    ] = "127.0.0.1"
    state: Annotated[
        Path | None, typer.Option("--state", metavar="DIR", help="Where tasks and files are kept.", file_okay=False)
    ] = None


@with_options(Serving)
def command(ctx: typer.Context, *, options: Serving) -> int:
    """Serve the offline provider on a port, until Ctrl-C."""
    from wan_cli.cli.serving import serve

    return serve(ctx.obj, options)
