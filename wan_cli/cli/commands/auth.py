"""``wan auth``."""

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from wan_cli.cli import complete
from wan_cli.cli.options import Talk, with_options

ACTIONS = ("set", "list", "remove")


def _actions(incomplete: str) -> list[str]:
    return [action for action in ACTIONS if action.startswith(incomplete)]


@dataclass(init=False, eq=False, repr=False)
class Keeping(Talk):
    """The options of ``auth``."""

    store: Annotated[
        Literal["keyring", "file"] | None,
        typer.Option("--store", help="set: the system's keyring, or a file of wan's (0600). Default: keyring if any."),
    ] = None


@with_options(Keeping)
def command(
    ctx: typer.Context,
    action: Annotated[
        str,
        typer.Argument(
            metavar="set|list|remove",
            help="Keep a key, show each key's source and origin (never the key), or remove a kept one.",
            autocompletion=_actions,
        ),
    ],
    provider: Annotated[
        str | None, typer.Argument(metavar="PROVIDER", help="See 'wan models'.", autocompletion=complete.providers)
    ] = None,
    source: Annotated[
        str | None, typer.Argument(metavar="-", help="set: read the key from standard input, as a pipe does.")
    ] = None,
    *,
    options: Keeping,
) -> int:
    """Keep and remove keys, and show where each comes from."""
    from wan_cli.cli.keys import auth

    return auth(ctx.obj, action, provider, source, options)
