"""``wan completion``."""

from __future__ import annotations

from typing import Annotated

import typer

from wan_cli.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


def script(shell: str) -> str:
    """Return the completion script for ``shell``; the same text is in ``completions/``. Raises ``UsageError``."""
    if shell not in SHELLS:
        raise UsageError(f"{shell}: completion is for {', '.join(SHELLS)}", hint="wan completion bash")
    from wan_cli.cli.shells import SCRIPTS

    return SCRIPTS[shell]


def command(
    ctx: typer.Context,
    shell: Annotated[
        str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", autocompletion=lambda: list(SHELLS))
    ],
) -> int:
    """Print the completion script for a shell."""
    ctx.obj.streams.out(script(shell).rstrip("\n"))
    return 0
