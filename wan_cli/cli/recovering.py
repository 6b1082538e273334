"""``wan recover``: what is known of a purchase in doubt, and the decision of a person about it (reliability.md 4.7)."""

from __future__ import annotations

import functools
import secrets
from typing import TYPE_CHECKING

from wan_cli import spend
from wan_cli.catalog import Offer
from wan_cli.cli.aiming import free_target, retargeted
from wan_cli.cli.assets import checked
from wan_cli.cli.choose import known as named
from wan_cli.cli.consent import asker, limits_of
from wan_cli.cli.doubt import in_doubt, say_doubt
from wan_cli.cli.elsewhere import by_id
from wan_cli.cli.following import well_formed
from wan_cli.cli.lengths import seconds
from wan_cli.cli.options import flag, said
from wan_cli.cli.outcome import Wish
from wan_cli.cli.run import Session
from wan_cli.dataclass import replace
from wan_cli.engine import decide
from wan_cli.engine.loop import Decision, model_of
from wan_cli.errors import ConsentMissing, FileInvalid, Interrupted, KeyOrigin, KeyRejected, UsageError, WanError
from wan_cli.fit import offer_for
from wan_cli.models import Cost, Media, Task
from wan_cli.registry import knows
from wan_cli.text import one_line
from wan_cli.ui.document import state_name, task_document
from wan_cli.ui.rows import status_row
from wan_cli.ui.tables import STATUS_COLUMNS, table

if TYPE_CHECKING:
    from wan_cli.cli.commands.recover import Deciding
    from wan_cli.cli.context import App
    from wan_cli.engine import Engine

DECISIONS = ("adopt", "same_key", "resubmit", "abandon", "import_file")
SPENDING = ("yes", "max_cost", "allow_unknown_cost")
COLLECTING = (
    "output", "overwrite", "convert", "sidecar", "poster", "embed", "timeout", "strict", "no_download", "wait", "jsonl",
)  # fmt: skip
"""Options that only mean something beside a decision after which the result is collected."""


def recover(app: App, name: str | None, options: Deciding) -> int:
    """List what is in doubt, show one task, or carry out a decision about it. Return the exit code."""
    app.use(sandbox=options.sandbox, quiet=options.quiet, play=options)
    decision = _decision(name, options)
    if decision == "import_file":
        from wan_cli.cli.importing import import_file

        return import_file(app, str(options.import_file))
    if name is None:
        return _list(app)
    task = by_id(app, name)
    if decision != "abandon":
        named(task.provider)  # its configuration or package may be gone; closing it needs neither
    if decision is None:
        return say_doubt(app, task) if in_doubt(app, task) else _settled(app, task)
    if decide.doubt_of(task) is None:
        why = f"{task.name} is {state_name(task)}: there is nothing to decide"
        raise UsageError(why, hint=task.command(_goes_on(task)), charged=task.charged)
    try:
        if decision == "abandon":
            return _abandon(app, task)
        return _carry_out(app, task, options, decision)
    except KeyboardInterrupt as error:  # at the question, or before: nothing was sent
        hint = f"{task.command('recover')} --{decision.replace('_', '-')}"
        message = f"interrupted; {task.name} is as unknown as it was"
        raise Interrupted(message, hint=hint, charged="unknown") from error
    except WanError as error:  # whatever stops the decision, the purchase is as unknown as before
        error.charged = "unknown" if error.charged == "no" else error.charged
        raise


def _decision(name: str | None, options: Deciding) -> str | None:
    """Return which decision was made. Raises ``UsageError`` for options that do not go together."""
    made = said(options, DECISIONS)
    if len(made) > 1:
        raise UsageError(f"{' and '.join(map(flag, made))} exclude each other", hint="wan recover --help")
    decision = made[0] if made else None
    if decision == "import_file" and name is not None:
        raise UsageError("--import takes no TASK: the file names it", hint="wan recover --import FILE")
    if decision not in (None, "import_file") and name is None:
        raise UsageError(f"{flag(str(decision))} needs a TASK", hint="wan recover")
    if options.json and options.jsonl:
        raise UsageError("--json and --jsonl exclude each other")
    needless = [] if decision in ("adopt", "same_key", "resubmit") else said(options, COLLECTING)
    needless += [] if decision == "resubmit" else said(options, SPENDING)
    if needless:
        raise UsageError(f"{flag(needless[0])} means nothing here", hint="wan recover --help")
    return decision


def _list(app: App) -> int:
    """List the tasks in doubt: a listing, so its exit code is 0."""
    found = [task for task in app.ledger.open_tasks() if in_doubt(app, task)]
    tasks = [replace(task, state=doubt) for task in found if (doubt := decide.doubt_of(task))]
    if app.say_json == "json":
        return app.emit([task_document(task, cwd=str(app.cwd)) for task in tasks], None, 0)
    if not tasks:
        app.talk("nothing to decide")
    table([status_row(task, now=app.now()) for task in tasks], STATUS_COLUMNS, app.streams)
    return 0


def _goes_on(task: Task) -> str:
    return "wait" if task.state.kind in ("sending", "pending", "done") else "status"


def _settled(app: App, task: Task) -> int:
    """Say of a task that needs no decision how it is, and what goes on with it."""
    if app.say_json == "json":
        return app.emit([task_document(task, cwd=str(app.cwd))], None, 0)
    app.streams.out(f"{task.name} is {state_name(task)}, and needs no decision: {task.command(_goes_on(task))}")
    return 0


def _abandon(app: App, task: Task) -> int:
    task = decide.abandon(app.ledger, task, app.now())
    app.talk(f"{task.name} is closed; whether it was charged is not known")
    if app.say_json == "json":
        return app.emit([task_document(task, cwd=str(app.cwd))], None, 0)
    return 0


def _carry_out(app: App, task: Task, options: Deciding, decision: str) -> int:
    """Carry out a decision after which the task is waited for and collected, exactly as ``wan wait`` does it."""
    app.secret(task.provider)
    timeout = app.config.get("timeout") if options.timeout is None else options.timeout
    limit = seconds(timeout) if timeout else None
    (task,) = retargeted(app, [task], options)
    first = {"adopt": _adopting, "same_key": _repeating, "resubmit": _buying}[decision](app, task, options)
    wish = Wish(wait=options.wait, download=not options.no_download, strict=options.strict)
    session = Session(app=app, quiet=options.quiet, jsonl=options.jsonl, verbose=options.verbose)

    async def work(engine: Engine) -> list[Task]:
        return [await engine.run(task, wait=wish.wait, download=wish.download, limit=limit, first=first)]

    return session.conclude(session.run(work), wish)


def _same_account(app: App, task: Task) -> None:
    """Refuse to ask with another key, or at another origin, than the purchase was sent with."""
    origin = app.provider(task.provider).origin
    if origin != task.origin:
        message = f"{task.name} was sent to {task.origin}, the base URL is {origin}"
        raise KeyOrigin(message, hint=f"set the base URL back, then {task.command('recover')}")
    if task.key_print and app.key_print(task.provider) != task.key_print:
        message = f"{task.name} was sent with another key of {task.provider} than the one that is set"
        raise KeyRejected(message, hint=f"set the key it was sent with, then {task.command('recover')}")


def _adopting(app: App, task: Task, options: Deciding) -> Decision:
    from wan_cli.providers.base import Provider

    said = options.adopt or ""
    provider, colon, rest = said.partition(":")
    if colon and knows(provider):  # a handle
        if provider != task.provider:
            raise UsageError(f"{task.id} was sent to {task.provider}, not to {provider}", hint=task.command("recover"))
        said = rest
    if type(app.provider(task.provider)).poll is Provider.poll:
        raise UsageError(f"{task.provider} answers at once and keeps no tasks", hint=task.command("recover"))
    if not well_formed(said):
        raise UsageError(f"--adopt {one_line(said)}: this is not a task id", hint=task.command("recover"))
    _same_account(app, task)
    return functools.partial(decide.adopt, task_id=said)


def _repeating(app: App, task: Task, options: Deciding) -> Decision:
    del options
    _same_account(app, task)
    app.buying = True
    return decide.same_key


def _buying(app: App, task: Task, options: Deciding) -> Decision:
    """Check and price the purchase anew, and ask: it may be the second for the same thing."""
    if task.job.prompt.startswith("sha256:") or not task.job.model:
        raise UsageError(
            f"the prompt of {task.name} was not stored, so it cannot be sent again: the command that made it can",
            hint=f"{task.command('recover')} --abandon",
        )
    model = model_of(task)
    offer = offer_for(model, task.job.verb)
    job = replace(task.job, media=tuple(_unchanged(app, item, offer) for item in task.job.media))
    free_target(task)
    line = spend.estimate(job, app.price(model), seconds=offer.price_seconds, footage=offer.price_footage)
    spend.check([line], limits_of(app, options, yes=True), ask=None)
    price = "an unknown amount" if line.amount is None else spend.shown([line])
    app.talk(f"this may pay a second time: {price}")
    if not options.yes:
        ask = asker(app)
        yes = f"{task.command('recover')} --resubmit --yes"
        if ask is None:
            raise ConsentMissing(f"this may pay a second time ({price}), and nobody is there to ask", hint=yes)
        if not ask(f"Buy {task.name} once more for {price}?"):
            raise ConsentMissing("declined; nothing was sent", hint=yes)
    app.buying = True
    fresh = replace(
        task, job=job, token=f"wan-{secrets.token_hex(16)}", origin=app.provider(task.provider).origin,
        cost=Cost(estimated=None if line.amount is None else float(line.amount), unit=line.unit),
        key_print=app.key_print(task.provider),
    )  # fmt: skip
    return functools.partial(decide.resubmit, fresh=fresh)


def _unchanged(app: App, item: Media, offer: Offer) -> Media:
    """Open and check a local file again. Raises ``FileInvalid`` where it is not what was sent."""
    if item.file is None:
        return item
    found = checked(replace(item, url=None, file=None), offer, item.file.path, item.file.path, app.talk)
    if found.file is None or found.file.sha256 != item.file.sha256:
        raise FileInvalid(f"{item.file.path} has changed since it was sent")
    return item
