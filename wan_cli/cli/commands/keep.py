"""``wan keep``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from wan_cli.cli import complete
from wan_cli.cli.options import Talk, with_options


@dataclass(init=False, eq=False, repr=False)
class Keeping(Talk):
    """The options of ``keep``."""

    name: Annotated[
        str | None,
        typer.Option("--as", metavar="ID", help="The asset's id in the manifest.", autocompletion=complete.assets),
    ] = None
    into: Annotated[str, typer.Option("--into", metavar="MANIFEST", help="A TOML manifest; made if missing.")] = (
        "assets.toml"
    )
    root: Annotated[
        str | None, typer.Option("--root", metavar="DIR", help="Nothing outside is named; the manifest's folder.")
    ] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another asset that has the id.")] = False


@with_options(Keeping)
def command(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="FILE|TASK", help="A file that wan made, or a task.")],
    *,
    options: Keeping,
) -> int:
    """Put something already made into manifest and lock, without buying it again."""
    from wan_cli.cli.rendering import keeping

    return keeping.keep(ctx.obj, what, options)
