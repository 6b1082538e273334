"""The entry: parses, runs one command, and is the only place that exits.

A command's module is imported only when that command is asked for, so that ``--help`` and completion stay instant
(performance.md, section 1).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from typer import Abort
from typer._click.exceptions import ClickException, NoArgsIsHelpError, NoSuchOption
from typer.core import TyperGroup

from wan_cli import __version__, errors
from wan_cli.errors import UsageError, WanError
from wan_cli.pattern import pattern

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter
    from typer._click.shell_completion import CompletionItem

    from wan_cli.cli.context import App

COMMANDS = {
    "generate": "Make a picture or a video from a text.",
    "edit": "Change a picture or a video.",
    "fuse": "Make one picture or video from several.",
    "sequence": "Make a coherent set of pictures.",
    "upload": "Bring files to a provider and print their addresses.",
    "status": "Show the tasks on this machine, or ask for fresh state.",
    "wait": "Collect what is outstanding: wait, download, verify.",
    "cancel": "Cancel a task, where the provider can.",
    "recover": "Decide about a task whose purchase is unknown.",
    "render": "Render a project's assets from one file: what is missing, stale or changed.",
    "worker": "Make what a shared queue holds, on any number of machines.",
    "keep": "Put something already made into manifest and lock, without buying it again.",
    "inspect": "Say what made a file: by ledger, lock or sidecar, or by what is inside it.",
    "models": "Show providers, models, options, limits and prices.",
    "auth": "Keep and remove keys, and show where each comes from.",
    "config": "Show the effective settings.",
    "doctor": "Check keys, network, clock, state folder, ledger and tasks.",
    "sandbox": "Serve the offline provider on a port, until Ctrl-C.",
    "completion": "Print the completion script for a shell.",
    "help": "Explain a topic.",
}
"""Every command with its line of help; a test holds them against the commands' own docstrings."""

_KEY = pattern(r"(?:^|[=:\s\"'])(?:rvya_sk_|whsec_|sk-)[A-Za-z0-9_-]{12,}(?=$|[\s\"'])")
"""What the providers' documents call their keys; Modelverse gives its own no form (contracts.md 1.1, 3.1, 4.1, 5.1)."""


class LazyGroup(TyperGroup):
    """Imports ``wan_cli.cli.commands.NAME`` when that command is asked for."""

    def invoke(self, ctx: Context) -> Any:
        """Run the command. Ctrl-C passes typer by, which would end in silence, and is told of in :func:`main`."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _interrupted(ctx.obj) from error

    def list_commands(self, ctx: Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"wan_cli.cli.commands.{cmd_name}")
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name=cmd_name, context_settings={"help_option_names": ["-h", "--help"]})(module.command)
        return typer.main.get_command(app)

    def shell_complete(self, ctx: Context, incomplete: str) -> list[CompletionItem]:
        """Offer commands from the table, without importing any, and then what every command offers: its options."""
        from typer._click.shell_completion import CompletionItem

        named = [CompletionItem(name, help=line) for name, line in COMMANDS.items() if name.startswith(incomplete)]
        return named + super(TyperGroup, self).shell_complete(ctx, incomplete)  # a group's own would import them

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the list of commands from the table, without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


root = typer.Typer(
    cls=LazyGroup, add_completion=True, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback for a flag
    if wanted:
        typer.echo(f"wan {__version__}")
        raise typer.Exit


@root.callback()
def _root(
    *,
    version: bool = typer.Option(False, "--version", "-V", callback=_version, is_eager=True, help="Show the version."),  # noqa: FBT003
) -> None:
    """Pictures and videos with Wan 2.7, through whichever provider you have a key for."""
    del version


def main(argv: Sequence[str], *, app: App | None = None) -> int:
    """Run one command line and return its exit code. Nothing but the code leaves here: every failure is printed."""
    from wan_cli.cli.context import App
    from wan_cli.cli.crash import bug, secrets

    app = app or App.standard()
    app.say_json = _wants_json(argv)
    app.words, app.command = tuple(argv), next((word for word in argv if word in COMMANDS), "")
    try:
        _no_keys(argv, secrets(app))
        command = typer.main.get_command(root)
        if app.env.get("_WAN_COMPLETE") or {"--install-completion", "--show-completion"} & set(argv):
            from wan_cli.cli.shells import register

            register()
        code = command.main(list(argv), prog_name="wan", standalone_mode=False, obj=app)
        return app.finish(int(code or 0))
    except NoArgsIsHelpError as error:
        app.streams.out(error.ctx.get_help())
        return app.finish(2)
    except ClickException as error:
        return app.fail(UsageError(error.format_message(), hint=_next_to(error, app.command)))
    except WanError as error:
        from wan_cli.cli.hints import settle

        settle(error, argv, command=app.command, sandbox=app.sandbox)
        return app.fail(error)
    except (KeyboardInterrupt, Abort):
        return app.fail(_interrupted(app))
    except Exception as error:  # noqa: BLE001 - the last resort: a user never sees a traceback
        if isinstance(error, OSError) and error.filename is None and not app.streams.writable():  # typer writes help
            return app.finish(0)
        return app.fail(bug(app, error))


def _next_to(error: ClickException, command: str) -> str:
    """Return the command after one that cannot be parsed; pictures go with another verb than ``generate``."""
    if isinstance(error, NoSuchOption) and error.option_name == "--image" and command == "generate":
        return "wan edit PICTURE PROMPT"
    return f"wan {command} --help" if command else "wan --help"


def _interrupted(app: App) -> errors.Interrupted:
    return errors.Interrupted("interrupted", hint="wan status", charged="unknown" if app.buying else "no")


def _wants_json(argv: Sequence[str]) -> str:
    words = list(argv)[: list(argv).index("--")] if "--" in argv else list(argv)
    return "jsonl" if "--jsonl" in words else "json" if "--json" in words else ""


def _no_keys(argv: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a key on the command line (reliability.md C01): it is in the process list, perhaps in the shell's history.

    It is one by its form, or because a variable that holds a key (``known``) holds the same.
    """
    if any(_KEY.search(word) or any(key in word for key in known) for word in argv):
        raise UsageError(
            "a word of the command line looks like a key; the shell's history has it now, so replace the key",
            hint="wan help environment",
        )
