"""``wan status --queue`` and ``wan recover --queue``: these commands about the ledger that several machines share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from wan_cli import __version__
from wan_cli.cli.options import flag
from wan_cli.errors import UsageError
from wan_cli.ui.document import task_document
from wan_cli.ui.rows import status_row
from wan_cli.ui.tables import STATUS_COLUMNS, table
from wan_cli.ui.wording import age

if TYPE_CHECKING:
    from wan_cli.cli.commands.status import Asking
    from wan_cli.cli.context import App
    from wan_cli.ledger.postgres.roster import Hand, Roster
    from wan_cli.ledger.postgres.shared import SharedLedger


def turn_to(app: App, url: str, *, sandbox: bool) -> None:
    """Let a command be about the ledger at ``url``. Raises ``UsageError`` beside the sandbox."""
    if sandbox:
        raise UsageError("--queue and --sandbox exclude each other: each has a ledger of its own", hint="wan --help")
    app.queue = address_of(url)


def address_of(url: str | None, other: str | None = None) -> str | None:
    """Return the queue's address: ``url``, else ``other``; ``None`` where there is neither.

    Raises ``UsageError`` for ``--queue ""``, since a variable that is not set must not turn a command to this machine
    alone, and ``ConfigInvalid`` without the extra.
    """
    if url is not None and not url.strip():
        raise UsageError("--queue is empty", hint="--queue postgresql://HOST/DATABASE: is its variable set?")
    if found := url or other:
        from wan_cli.ledger.postgres import require

        require()
    return found or None


def ready(app: App) -> SharedLedger:
    """Open the shared ledger and look at all that a render or a worker needs there. Raises ``WanError``."""
    from wan_cli.ledger.postgres import line
    from wan_cli.ledger.postgres.roster import Roster

    ledger = cast("SharedLedger", app.ledger)
    line.ready(ledger)
    Roster(ledger).same_wan(__version__)
    return ledger


def check_status(options: Asking) -> None:
    """Refuse what is not about a shared ledger. Raises ``UsageError``."""
    wrong = next((name for name in ("wait", "remote", "provider") if getattr(options, name)), None)
    if wrong:
        why = "workers collect what is there" if wrong == "wait" else "that is a provider's own list"
        raise UsageError(f"{flag(wrong)} and --queue exclude each other: {why}", hint=f"leave {flag(wrong)} out")


def status(app: App, options: Asking) -> int:
    """List tasks, workers, and how many tasks wait in each line. Return the exit code."""
    from wan_cli.ledger.postgres.roster import Roster

    app.use(sandbox=options.sandbox, quiet=options.quiet, play=options)
    roster = Roster(cast("SharedLedger", app.ledger))
    tasks, hands, lines, states = app.ledger.recent(options.limit), roster.hands(), _lines(roster), roster.states()
    from wan_cli.cli.following import exit_status

    decisive, code = exit_status(app, tasks, options)
    workers = [_worker(hand) for hand in hands]
    if app.say_json == "json":
        queue = {
            "name": app.ledger.name, "waiting": sum(line["waiting"] for line in lines), "lines": lines,
            "open": states, "workers": workers,
        }  # fmt: skip
        return app.emit([task_document(task, cwd=str(app.cwd)) for task in tasks], decisive, code, queue=queue)
    table([status_row(task, now=app.now()) for task in tasks], STATUS_COLUMNS, app.streams)
    for line in lines:
        place = line["manifest"] or "a manifest that is not known here"
        app.talk(f"{line['waiting']:,} wait for {line['provider']}: {place}")
    held = ", ".join(f"{count:,} {kind}" for kind, count in states.items())
    app.talk(f"open: {held}" if held else "nothing is under way")
    if not hands:
        app.talk("no worker is at work: wan worker --queue URL")
    for one in workers:
        heard = age(float(one["heard_s"]))
        app.talk(
            f"worker {one['worker']}  {one['state']}  {one['host']} ({one['pid']})  heard of {heard} ago  "
            f"{one['tasks']:,} of {one['jobs']:,} tasks  wan {one['wan']}"
        )
    return code


def _worker(hand: Hand) -> dict[str, Any]:
    worker = hand.worker
    return {
        "worker": worker.id, "state": "alive" if worker.alive else "dead", "host": worker.host, "pid": worker.pid,
        "heard_s": round(worker.age_s, 1), "tasks": worker.tasks, "jobs": hand.jobs, "wan": hand.wan,
    }  # fmt: skip


def _lines(roster: Roster) -> list[dict[str, Any]]:
    places, found = roster.places(), []
    for name, waiting in roster.lengths().items():
        mark, provider, _ = name.split(".", 2)
        place = places.get(mark)
        where = None if place is None else f"{place.host}:{place.root}/{place.manifest}"
        found.append({"manifest": where, "provider": provider, "waiting": waiting})
    return found
