"""What a user allows a purchase to cost, read from flags and configuration; and a person who can be asked."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Protocol

from wan_cli import spend
from wan_cli.config import VARIABLES

if TYPE_CHECKING:
    from wan_cli.cli.context import App


class Spending(Protocol):
    """The options of a command that buys."""

    @property
    def max_cost(self) -> list[str] | None:
        """What --max-cost says."""

    @property
    def allow_unknown_cost(self) -> bool:
        """Whether a price may be unknown although there is a cap."""


def limits_of(app: App, options: Spending, *, yes: bool, max_results: int | None = None) -> spend.Limits:
    """Return the caps that hold for this call. Raises ``UsageError`` for one that cannot be read."""
    said = [spend.parse_cap(text) for text in options.max_cost or []]
    project, standing = str(app.config.project_file), app.config.caps
    said += [spend.parse_cap(cap.value) for cap in standing if cap.source == VARIABLES["max_cost"]]
    user = [spend.parse_cap(cap.value) for cap in standing if cap.source not in (VARIABLES["max_cost"], project)]
    return spend.Limits(
        caps=[*said, *user], stated=bool(said), max_results=max_results,
        lowered=[spend.parse_cap(cap.value) for cap in standing if cap.source == project],
        allow_unknown=options.allow_unknown_cost, yes=yes,
        ask_above={cap.unit or "": cap.amount for cap in map(spend.parse_cap, app.config.ask_above)},
    )  # fmt: skip


def asker(app: App) -> Any:
    """Return a way to ask a person, or ``None`` where nobody is there (reliability.md C18)."""
    stdin = app.stdin
    if stdin is None or stdin.closed or not stdin.isatty() or not app.streams.stderr_tty or app.env.get("CI"):
        return None

    @functools.cache  # members of a list that cost the same are one question
    def ask(question: str) -> bool:
        app.streams.stderr.write(f"{question} [y/N] ")
        app.streams.stderr.flush()
        try:
            return str(stdin.readline()).strip().casefold() in ("y", "yes")
        except KeyboardInterrupt:
            app.streams.say("")  # what comes next begins its own line
            raise

    return ask
