"""Errors and warnings in text (interface.md, section 3): ``error:``, ``charged:``, ``hint:``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.pattern import pattern
from wan_cli.text import MAX_FOREIGN, one_line

if TYPE_CHECKING:
    from wan_cli.errors import WanError
    from wan_cli.models import Warned
    from wan_cli.ui.streams import Streams

GENERAL_HINT = "wan help errors"
HINTS = {
    "usage": "wan --help",
    "unsupported_option": "wan models",
    "key_missing": "wan help environment",
    "key_rejected": "wan help environment",
    "key_origin": "wan help environment",
    "config_invalid": "wan help environment",
    "state_unusable": "wan help environment",
    "model_unknown": "wan models",
    "insufficient_credits": "wan help money",
    "over_budget": "wan help money",
    "consent_missing": "wan help money",
    "rate_limited": "wan status",
    "provider_unavailable": "wan status",
    "network": "wan status",
    "cancelled": "wan status",
    "timeout_waiting": "wan wait --all",
    "outcome_unknown": "wan recover",
    "result_expired": "wan status",
    "task_vanished": "wan status",
    "partial": "wan status",
    "download_failed": "wan wait --all",
    "write_failed": "wan wait --all",
    "stale": "wan help render",
    "interrupted": "wan status",
    "internal": "wan status",
}
"""The command to go on with where an error does not say one itself, by its code."""

RED, YELLOW, BOLD, OFF = "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[0m"


_HERE = pattern(
    r"(?:\A|, then:? |: )wan (?:status|wait|recover|cancel|render|doctor --repair)\b(?!.*(?: --sandbox| --help))"
)
"""A command about what is in the ledger, where a hint is that or ends in it; elsewhere it is only mentioned."""


def in_sandbox(hint: str, *, sandbox: bool) -> str:
    """Return a hint that ends in a command about what is in the ledger so that it finds it, if that is the sandbox's.

    ``--sandbox`` stands at the end, which is where our hints have their command.
    """
    return f"{hint} --sandbox" if sandbox and _HERE.search(hint) else hint


def hint_for(error: WanError) -> str:
    """Return the error's own hint, else a general one for its code: there is always a next command."""
    return error.hint or HINTS.get(error.code, GENERAL_HINT)


def error_lines(error: WanError, *, color: bool = False) -> list[str]:
    """Return exactly three lines, each safe to print whatever a provider wrote into the error."""
    parts = (
        ("error", one_line(error.message, MAX_FOREIGN) or error.code),
        ("charged", error.charged),
        ("hint", one_line(hint_for(error), MAX_FOREIGN)),
    )
    start = {"error": RED} if color else {}
    return [f"{start.get(name, BOLD) if color else ''}{name}:{OFF if color else ''} {text}" for name, text in parts]


def warning_line(warned: Warned, *, color: bool = False) -> str:
    """Return ``warning: MESSAGE``, or ``warning: ID: MESSAGE`` where it is about one task."""
    about = f"{warned.task.id}: " if warned.task else ""
    label = f"{YELLOW}warning:{OFF}" if color else "warning:"
    return f"{label} {about}{one_line(warned.message, MAX_FOREIGN)}"


def say_error(streams: Streams, error: WanError) -> None:
    """Write the three lines of an error to stderr."""
    for line in error_lines(error, color=streams.color):
        streams.say(line)
