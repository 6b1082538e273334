"""``wan status`` and ``wan wait``: tasks that were bought before, here or on another machine. Neither ever buys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.cli.aiming import default_target, retargeted
from wan_cli.cli.choose import known as named
from wan_cli.cli.earlier import tell_of_doubt, tell_of_earlier
from wan_cli.cli.elsewhere import by_id, refuse_others
from wan_cli.cli.frames import forget_frames
from wan_cli.cli.lengths import seconds
from wan_cli.cli.options import flag, said
from wan_cli.cli.outcome import Wish, overall, removed, task_outcome
from wan_cli.cli.storing import forget_fetched
from wan_cli.dataclass import replace
from wan_cli.errors import KeyMissing, KeyRejected, StillRunning, UsageError, WanError
from wan_cli.models import Done, Failed, Job, Lost, New, Saved, Sending, Task
from wan_cli.registry import capabilities
from wan_cli.text import one_line
from wan_cli.ui.document import task_document
from wan_cli.ui.rows import status_row
from wan_cli.ui.tables import STATUS_COLUMNS, table

if TYPE_CHECKING:
    from wan_cli.cli.commands.status import Asking
    from wan_cli.cli.commands.wait import Collecting
    from wan_cli.cli.context import App
    from wan_cli.engine import Engine
    from wan_cli.ledger import Ledger


def check_waiting(options: Asking) -> None:
    """Refuse beside ``status --wait`` what is about the list: it is ``wait`` then (interface.md, section 1)."""
    if used := said(options, ("exit_status", "prune", "limit")):
        raise UsageError(f"{flag(used[0])} and --wait exclude each other", hint="wan status --help")


def _check_asking(options: Asking) -> None:
    """Refuse what would be about collecting: nothing is collected, so it must not be dropped in silence."""
    from dataclasses import fields

    from wan_cli.cli.commands.wait import Gathering

    if used := said(options, [field.name for field in fields(Gathering)]):
        raise UsageError(f"{flag(used[0])} needs --wait: status alone collects nothing", hint="wan status --help")


def status(app: App, names: list[str], options: Asking) -> int:
    """List the tasks, open ones first; with names: ask the providers for fresh state. Downloads nothing."""
    app.use(sandbox=options.sandbox, quiet=options.quiet, play=options)
    _check_asking(options)
    if options.prune is not None:
        if names:
            raise UsageError("--prune takes no TASK: it forgets all that finished before a time")
        before = app.now() - seconds(options.prune, "--prune")
        gone = app.ledger.forget(finished_before=before)
        forget_frames(app, before)
        forget_fetched(app, before)
        app.talk(f"forgot {gone} finished {'task' if gone == 1 else 'tasks'}")
        if app.say_json == "json":
            return app.emit([], None, 0, forgotten=gone)
        return 0
    if not names:
        return _list(app, options)
    from wan_cli.cli.run import Session

    tasks = _named(app, names)

    async def work(engine: Engine) -> list[Task]:
        return [await _refreshed(engine, task) for task in tasks]

    session = Session(app=app, quiet=True, verbose=options.verbose)
    tasks = session.run(work)
    ends = [_state_error(app, task) for task in tasks]
    decisive = overall(tasks, ends)
    code = decisive.exit_code if decisive else 0
    if app.say_json == "json":
        return app.emit(
            [task_document(t, cwd=str(app.cwd), error=e) for t, e in zip(tasks, ends, strict=True)], decisive, code
        )
    _show(app, [task for task in tasks if task.id])
    for task, error in zip(tasks, ends, strict=True):
        _say_end(app, task, error)
    return code


def _say_end(app: App, task: Task, error: WanError | None) -> None:
    """Say how a task ended, or why that is not known; still running is what was asked, and no failure."""
    from wan_cli.ui.messages import say_error

    if error is None:
        return
    if error.exit_code == StillRunning.default_exit and (task.trouble is None or task.state.kind != "pending"):
        what = "not fetched yet" if task.state.kind in ("done", "saved") else "still running"
        app.talk(f"{task.name}: {what}; go on with: {task.command('wait')}")
    else:
        say_error(app.streams, error)


def _state_error(app: App, task: Task) -> WanError | None:
    """Return what the state means for ``status``: a result that is not on disk yet is 8 (interface.md, section 4)."""
    if isinstance(task.state, Saved):
        from wan_cli.engine.again import reopened

        again = reopened(task, ask_stores=False) is not task
        return task_outcome(replace(task, state=Done(outputs=())), Wish()) if again else removed(task)
    if isinstance(task.state, New):
        return None
    if isinstance(task.state, Sending):
        from wan_cli.cli.doubt import in_doubt

        if in_doubt(app, task):
            return task_outcome(task, Wish())
        message = f"another process is sending {task.name}; nothing is lost"
        return StillRunning(message, hint=task.command("wait"), charged="unknown")
    return task_outcome(replace(task, trouble=None) if isinstance(task.state, Done) else task, Wish())


async def _refreshed(engine: Engine, task: Task) -> Task:
    """Ask once where there is something to ask; another process that owns the task asks for itself.

    A task that vanished is asked about once more; whether an expired address works again, only a download can tell.
    """
    from wan_cli.engine.again import sought
    from wan_cli.engine.collect import Patience, ask, not_asked
    from wan_cli.engine.origins import bought_elsewhere, elsewhere

    if isinstance(task.state, Sending):
        if engine.ledger.claim(task.id):
            engine.ledger.release(task.id)
        return engine.ledger.get(task.id)  # read when nobody, or somebody who is alive, works on it
    vanished = isinstance(task.state, Lost) and task.state.code == "task_vanished"
    asked = sought(task) if vanished else task
    if asked.state.kind != "pending" or not engine.ledger.claim(task.id):
        return engine.ledger.get(task.id) if asked.state.kind == "pending" else task
    try:
        if not vanished and (here := elsewhere(engine, task)):
            return await bought_elsewhere(engine, task, here)
        if vanished and elsewhere(engine, task):
            return task
        answered = await ask(engine, asked, engine.service(task.provider), seen := Patience())
        if seen.gone and _unseen(answered):
            return _unheard_of(engine.ledger, answered)
        if seen.unasked and not vanished:  # what is shown is what was known before
            why = f"{not_asked(task, seen.why)}; what is shown is what was known before"
            return replace(answered, trouble=Failed(code="network", message=why, charged=task.charged))
        return task if vanished and answered.state == asked.state else answered
    finally:
        engine.ledger.release(task.id)


def _list(app: App, options: Asking) -> int:
    tasks = app.ledger.recent(options.limit)
    decisive, code = exit_status(app, tasks, options)
    if app.say_json == "json":
        return app.emit([task_document(task, cwd=str(app.cwd)) for task in tasks], decisive, code)
    if not tasks:
        app.talk("no tasks yet")
    _show(app, tasks)
    tell_of_doubt(app, "of these", [task.id for task in tasks if task.state.kind == "unknown"])
    return code


def exit_status(app: App, tasks: list[Task], options: Asking) -> tuple[WanError | None, int]:
    """Return what a listing ends with: nothing, or with ``--exit-status`` what its worst task does."""
    decisive = overall(tasks, [_state_error(app, task) for task in tasks]) if options.exit_status else None
    return decisive, decisive.exit_code if decisive else 0


def _show(app: App, tasks: list[Task]) -> None:
    table([status_row(task, now=app.now()) for task in tasks], STATUS_COLUMNS, app.streams)


def _named(app: App, names: list[str]) -> list[Task]:
    """Return the tasks of ``names``; one that is named twice, by id and by handle perhaps, is there once."""
    return list({task.id: task for task in (find(app, name) for name in names)}.values())


def find(app: App, name: str) -> Task:
    """Return a task by id or handle; a handle that is not in the ledger was made elsewhere and is adopted."""
    provider, colon, task_id = name.partition(":")
    if not colon:
        return by_id(app, name)
    named(provider)
    if known := app.ledger.find_handle(provider, task_id):
        return known
    refuse_others(app, name)
    return _adopted(app, provider, task_id)


def well_formed(task_id: str) -> bool:
    """Tell whether this can be a provider's id of a task (reliability.md R07, R08)."""
    import re

    return bool(re.fullmatch(r"[A-Za-z0-9._:-]{1,200}", task_id) and task_id.strip("."))


def _adopted(app: App, provider: str, task_id: str) -> Task:
    from wan_cli.providers.base import Provider

    if not well_formed(task_id):
        raise UsageError(f"{one_line(provider)}:{one_line(task_id)}: this is not a task id")
    adapter, now = app.provider(provider), app.now()
    if type(adapter).poll is Provider.poll:
        raise UsageError(f"{provider} answers at once and keeps no tasks", hint="wan status")
    price = capabilities(provider).models[0].price
    from wan_cli.models import Cost

    task = Task(
        id=app.ledger.new_id(), provider=provider, origin=adapter.origin, provider_model="", token="", created_at=now,
        job=Job(verb="generate", provider=provider, model="", prompt=""), target=default_target(app, ""),
        state=adapter.adopt(task_id), task_id=task_id, sandbox=app.sandbox, submitted_at=now, charged="unknown",
        charge_basis="assumed", key_print=app.key_print(provider), cost=Cost(unit=price.unit if price else None),
    )  # fmt: skip
    app.ledger.add([task])
    return task


def _unseen(task: Task) -> bool:
    """Tell whether a task was only ever named here, by its handle: its provider has not known it yet."""
    return not task.job.model and task.charged == "unknown" and task.task_id is not None


def _unheard_of(ledger: Ledger, task: Task) -> Task:
    """Forget a handle that its provider does not know, and return the task as a wrong call (interface.md, section 4).

    Nothing says that it was ever bought: it was mistyped, or is another account's.
    """
    ledger.drop(task.id)
    why = f"{task.provider} knows no task {task.task_id} of this account; check the handle, and whose key is set"
    return replace(task, id="", trouble=None, state=Failed(code=UsageError.code, message=why, hint="wan status"))


def wait(app: App, names: list[str], options: Collecting) -> int:
    """Collect tasks: the named ones, or everything that is outstanding."""
    from wan_cli.cli.run import Session
    from wan_cli.engine.again import reopened, sought

    app.use(sandbox=options.sandbox, quiet=options.quiet, play=options)
    if names and options.everything:
        raise UsageError("--all takes no TASK")
    if options.json and options.jsonl:
        raise UsageError("--json and --jsonl exclude each other")
    timeout = app.config.get("timeout") if options.timeout is None else options.timeout
    limit = seconds(timeout) if timeout else None
    tasks = _named(app, names) if names else _outstanding(app)
    tasks = [reopened(sought(task), anew=options.output is not None) for task in tasks]
    tasks = [same_account(app, task) for task in retargeted(app, tasks, options)]
    if not tasks:
        app.talk("nothing is outstanding")
    tell_of_earlier(app, besides={task.id for task in tasks})
    wish = Wish(download=not options.no_download, strict=options.strict)
    session = Session(
        app=app, quiet=options.quiet, jsonl=options.jsonl, verbose=options.verbose, preview=options.preview
    )

    async def work(engine: Engine) -> list[Task]:
        left = {task.id for task in tasks if task.state.kind == "new" or task.trouble}  # waiting never buys
        collected = [task for task in tasks if task.id not in left]
        done = iter(await engine.run_all(collected, wait=True, download=wish.download, limit=limit))
        ends = [task if task.id in left else next(done) for task in tasks]
        return [
            _unheard_of(engine.ledger, task) if isinstance(task.state, Lost) and _unseen(task) else task
            for task in ends
        ]  # fmt: skip

    return session.conclude(session.run(work), wish)


def _outstanding(app: App) -> list[Task]:
    """Return what was bought and is not here. A handle from elsewhere counts once its provider has known it.

    What seemed lost is asked for again until it expires.
    """
    from wan_cli.engine.again import sought

    found = [task for task in app.ledger.open_tasks() if task.state.kind in ("sending", "pending", "done")]
    still = [task for task in found if task.state.kind == "sending" or task.job.model or task.charged != "unknown"]
    return [*still, *(task for task in app.ledger.lost_until(app.now()) if sought(task) is not task)]


def same_account(app: App, task: Task) -> Task:
    """Note on a task of another account that it is not asked about (reliability.md T11); the others go on."""
    if task.state.kind not in ("pending", "sending", "done") or not task.key_print:
        return replace(task, trouble=None)
    try:
        if app.key_print(task.provider) == task.key_print:
            return replace(task, trouble=None)
    except KeyMissing as error:
        hint = f"set that key, then {task.command('wait')}"
        trouble = Failed(code=error.code, message=error.message, hint=hint, charged=task.charged)
        return replace(task, trouble=trouble)
    message = f"{task.name} was bought with another key of {task.provider} than the one that is set"
    hint = f"set the key it was bought with, then {task.command('wait')}"
    return replace(task, trouble=Failed(code=KeyRejected.code, message=message, hint=hint, charged=task.charged))
