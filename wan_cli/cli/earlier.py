"""What earlier commands left to see to, in one line each before new work begins (reliability.md 4.7)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from wan_cli.cli.hints import of_queue
from wan_cli.registry import capabilities, knows

if TYPE_CHECKING:
    from wan_cli.cli.context import App

SOON_S = 6 * 3600.0
"""How long before its end a bought result is worth a line."""


def tell_of_earlier(app: App, *, besides: Collection[str] = ()) -> None:
    """Say how many earlier tasks need a decision, and how many bought results will soon be gone.

    Not of those ``besides``, which the command is about itself.
    """
    if app.quiet and app.say_json != "jsonl":
        return
    if app.queue is not None:  # workers collect what is bought; they may have a hundred thousand of them in hand
        _tell_of_queue(app)
        return
    doubtful, ending, now = [], 0, app.now()
    for task_id, kind, provider, expires, submitted in app.ledger.concerns():
        if task_id in besides:
            continue
        if kind == "unknown":
            doubtful.append(task_id)
        elif 0 < (expires or _expected_end(provider, submitted) or now) - now <= SOON_S:
            ending += 1
    sandbox = " --sandbox" if app.sandbox else ""
    tell_of_doubt(app, "earlier task" if len(doubtful) == 1 else "earlier tasks", doubtful)
    if ending:
        some = "1 bought result expires" if ending == 1 else f"{ending} bought results expire"
        _tell(app, f"{some} within {SOON_S / 3600:g} h: wan wait --all{sandbox}")


def _tell_of_queue(app: App) -> None:
    if count := app.ledger.unknown_count():
        need = "task of the queue needs" if count == 1 else "tasks of the queue need"
        _tell(app, f"{count} {need} a decision: wan recover --queue URL")


def tell_of_doubt(app: App, what: str, ids: Sequence[str]) -> None:
    """Say how many tasks need a decision, and the command for it."""
    if ids:
        need, which = ("needs", f" {ids[0]}") if len(ids) == 1 else ("need", "")
        decide = f"wan recover{which}{' --sandbox' if app.sandbox else ''}"
        _tell(app, f"{len(ids)} {what} {need} a decision: {of_queue(decide, app.queue)}")


def _tell(app: App, line: str) -> None:
    """Say it on stderr, and where events are read as one of them."""
    app.talk(line)
    if app.say_json == "jsonl":
        from wan_cli.models import Warned
        from wan_cli.ui.document import jsonl_line
        from wan_cli.ui.jsonl import warning_event

        app.streams.out(jsonl_line(warning_event(Warned(message=line))))


def _expected_end(provider: str, submitted: float | None) -> float | None:
    """Return when the result of a task that was not asked about since is gone, as the provider documents (epoch s)."""
    hours = capabilities(provider).result_hours if knows(provider) else None
    return None if hours is None or submitted is None else submitted + hours * 3600
