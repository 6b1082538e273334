"""Hints as commands: ``use -p NAME`` and its like become the user's own command line with that change, to paste."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from wan_cli.errors import KeyMissing, WanError
from wan_cli.pattern import pattern
from wan_cli.ui.messages import hint_for, in_sandbox

_CHANGE = pattern(r"(use|add) (--?[a-z][a-z-]*)(?: (\S+))?|leave (--[a-z][a-z-]*) out|(run the command again)")
_OF_LEDGER = pattern(r"\bwan (wait|status|recover)((?: (?!--all)[a-z0-9]+(?::\S+)?)?)(?: --all)?(?! --help)\b")
MAKING = frozenset({"generate", "edit", "fuse", "sequence", "upload", "render"})
"""Commands that may be played offline, and that are repeated where nothing was bought."""


def spelled(hint: str, argv: Sequence[str]) -> str:
    """Turn an instruction about one option into the whole command; any other hint stays as it is."""
    match = _CHANGE.fullmatch(hint)
    if not match or not argv or not all(word.isprintable() for word in argv):
        return hint
    way, name, value, out, again = match.groups()
    argv = [without_password(word) for word in argv]
    end = list(argv).index("--") if "--" in argv else len(argv)
    words, rest = list(argv[:end]), list(argv[end:])
    if name == "--max-cost" and way == "use":
        caps = [word for word in words if word == name or word.startswith(f"{name}=")]
        if len(caps) != 1:  # one of several, or one of the configuration, which a flag cannot raise
            return hint if caps else "wan config show"
    if not again:
        words = _without(words, _spellings(argv, out or name)) if way != "add" or value else words
        words += [] if out else [name, *([value] if value else [])]
    return shlex.join(["wan", *words, *rest])


def _spellings(argv: Sequence[str], name: str) -> tuple[tuple[str, ...], bool]:
    """Return all names of an option of the command, and whether it takes a value."""
    import typer

    from wan_cli.cli.main import COMMANDS, root

    command = next((word for word in argv if word in COMMANDS), None)
    if command is None:
        return (name,), False
    group: Any = typer.main.get_command(root)
    for option in group.get_command(None, command).params:
        if name in (*option.opts, *option.secondary_opts):
            return (*option.opts, *option.secondary_opts), not getattr(option, "is_flag", False)
    return (name,), False


def _without(words: Sequence[str], option: tuple[tuple[str, ...], bool]) -> list[str]:
    """Return ``words`` without an option and its value."""
    names, takes = option
    kept: list[str] = []
    skip = False
    for word in words:
        if skip or (takes and any(word.startswith(_glued(name)) for name in names if word != name)):
            skip = False
        elif word in names:
            skip = takes
        else:
            kept.append(word)
    return kept


def _glued(name: str) -> str:
    """Return what a word begins with that holds an option and its value: ``--name=``, ``-n``."""
    return f"{name}=" if name.startswith("--") else name


def settle(error: WanError, argv: Sequence[str], *, command: str, sandbox: bool) -> None:
    """Give an error that ended a command the hint that goes on from there."""
    error.hint = spelled(hint_for(error), argv)
    if isinstance(error, KeyMissing) and command in MAKING and not sandbox:
        error.message += "; --sandbox tries it offline without a key"


def of_queue(hint: str, queue: str | None) -> str:
    """Return a hint so that its command finds the task: in the ledger that several machines share, if it is there.

    There workers collect, so what would wait on one machine asks instead. The address is left out where it stands in
    ``WAN_QUEUE`` or may hold a password.
    """
    if queue is None or "--queue" in hint:
        return hint
    return _OF_LEDGER.sub(
        lambda found: f"wan {'status' if found[1] == 'wait' else found[1]}{found[2]} --queue URL", hint
    )


def onward(error: WanError, *, sandbox: bool, queue: str | None) -> str:
    """Return the command that goes on after an error: its own or that of its kind, for the ledger it is about."""
    return of_queue(in_sandbox(hint_for(error), sandbox=sandbox), queue)


def without_password(word: str) -> str:
    """Return a word of a command line without the password of a database's address: that is in no message."""
    hidden = re.sub(r"(postgres(?:ql)?://[^:/?#@\s]*):\S*@", r"\1@", word)
    return re.sub(r"([?&])(?:ssl)?password=[^&]*&?", r"\1", hidden).rstrip("?&") if "://" in hidden else hidden
