"""``wan cancel``: ends a task where the provider can; what was never sent is cancelled here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.cli.choose import known as named
from wan_cli.cli.following import find, same_account
from wan_cli.cli.run import Session
from wan_cli.engine import decide
from wan_cli.errors import StillRunning, UnsupportedOption, UsageError, WanError, by_code
from wan_cli.models import Failed, Pending, Task
from wan_cli.ui.document import state_name, task_document, task_error

if TYPE_CHECKING:
    from wan_cli.cli.commands.cancel import Cancelling
    from wan_cli.cli.context import App
    from wan_cli.engine import Engine


def cancel(app: App, name: str, options: Cancelling) -> int:
    """Cancel one task, and return the exit code: 0 where it is cancelled, 8 where it goes on."""
    app.use(sandbox=options.sandbox, quiet=options.quiet, play=options)
    provider, colon, task_id = name.partition(":")
    if colon and app.ledger.find_handle(named(provider), task_id) is None:
        _refuse_where_impossible(app, provider, f"wan status {name}{' --sandbox' if app.sandbox else ''}")
    task = find(app, name)
    if task.state.kind == "new":
        return _told(app, decide.call_off(app.ledger, task, app.now()))
    if not isinstance(task.state, Pending):
        verb = {"unknown": "recover", "sending": "recover", "done": "wait"}.get(task.state.kind, "status")
        why = f"{task.name} is {state_name(task)}, so there is nothing to cancel"
        raise UsageError(why, hint=task.command(verb), charged=task.charged)
    _refuse_where_impossible(app, task.provider, task.command("status"), task)
    if trouble := same_account(app, task).trouble:
        raise _told_of(trouble)

    async def work(engine: Engine) -> list[Task]:
        return [await engine.run(task, wait=False, first=decide.cancel)]

    session = Session(app=app, quiet=True, verbose=options.verbose)
    (ended,) = session.run(work)
    return _told(app, ended)


def _refuse_where_impossible(app: App, provider: str, hint: str, task: Task | None = None) -> None:
    if not decide.cancels(type(app.provider(provider))):
        raise UnsupportedOption(decide.cannot_cancel(provider), hint=hint, charged=task.charged if task else "unknown")


def _told_of(trouble: Failed) -> WanError:
    """Return why the account cannot be asked; the task goes on (interface.md, section 4: 8)."""
    still = StillRunning.default_exit
    return by_code(trouble.code)(trouble.message, hint=trouble.hint, charged=trouble.charged, exit_code=still)


def _told(app: App, task: Task) -> int:
    """Say what became of the task."""
    app.ended = (task,)
    error = None if task.state.kind == "cancelled" else task_error(task)
    if error is None and task.state.kind != "cancelled":
        went_on = "it is still running" if isinstance(task.state, Pending) else f"it is {state_name(task)}"
        error = StillRunning(f"{task.name} was not cancelled: {went_on}", hint=task.command("wait"))
    code = error.exit_code if error else 0
    if app.say_json == "json":
        app.emit([task_document(task, cwd=str(app.cwd), error=error)], error, code)
    elif error is None:
        app.streams.out(task.name)
    if error is None:
        app.talk(f"{task.name} is cancelled; charged: {task.charged}")
        return code
    from wan_cli.ui.messages import say_error

    say_error(app.streams, error)
    return code
