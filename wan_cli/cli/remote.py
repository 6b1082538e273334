"""``wan status -p PROVIDER --remote``: the provider's own list of the account's tasks, whoever made them.

It buys and downloads nothing and writes nothing down: ``wan wait HANDLE`` does that for the one that is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.cli.choose import known
from wan_cli.cli.options import flag, said
from wan_cli.cli.run import Session
from wan_cli.dataclass import replace
from wan_cli.errors import UnsupportedOption, UsageError, WanError
from wan_cli.models import Job, Target, Task
from wan_cli.registry import capabilities, names
from wan_cli.ui.document import task_document
from wan_cli.ui.rows import remote_row
from wan_cli.ui.tables import REMOTE_COLUMNS, table

if TYPE_CHECKING:
    from wan_cli.cli.commands.status import Asking
    from wan_cli.cli.context import App
    from wan_cli.engine import Engine
    from wan_cli.providers.listed import Listed

GONE = ("saved", "cancelled")
"""States of a task on this machine that a list cannot know better."""


def listed(app: App, tasks: list[str], options: Asking) -> int:
    """Print the latest tasks of the account, as the provider lists them; return 0. Raises ``WanError``."""
    from wan_cli.providers.base import lists_tasks

    _check(tasks, options)
    app.use(sandbox=options.sandbox, quiet=options.quiet, play=options)
    name = known(options.provider or str(app.config.get("provider") or "") or _only(app))
    if not lists_tasks(type(app.provider(name))):
        able = _able()
        raise UnsupportedOption(
            f"{name} documents no list of its tasks; {' and '.join(able)} {'does' if len(able) == 1 else 'do'}",
            hint=f"wan status -p {able[0]} --remote",
        )
    found = _ask(app, name, options)
    shown = [_as_task(app, name, entry) for entry in found]
    if app.say_json == "json":
        return app.emit([task_document(task, cwd=str(app.cwd)) for task in shown], None, 0)
    if not shown:
        app.talk(f"{name} lists no tasks")
    table([remote_row(task, now=app.now()) for task in shown], REMOTE_COLUMNS, app.streams)
    return 0


def _check(tasks: list[str], options: Asking) -> None:
    """Refuse what would be dropped in silence."""
    if not options.remote:
        raise UsageError("--provider needs --remote: the list of this machine has all providers", hint="add --remote")
    if tasks:
        raise UsageError("--remote takes no TASK: it is the provider's whole list", hint=f"wan status {tasks[0]}")
    from dataclasses import fields

    from wan_cli.cli.commands.wait import Gathering

    others = ["wait", "exit_status", "prune", *(field.name for field in fields(Gathering))]
    if used := said(options, others):
        option = "--wait" if used[0] == "wait" else flag(used[0])
        raise UsageError(f"--remote and {option} exclude each other", hint="wan status --help")


def _able() -> list[str]:
    from wan_cli.providers import load
    from wan_cli.providers.base import lists_tasks

    return [name for name in names() if lists_tasks(load(name))]


def _only(app: App) -> str:
    """Return whose list it is where nobody says: the only one with a key that has one. Raises ``UsageError``."""
    able = [name for name in _able() if app.sandbox or app.has_key(name)]
    if len(able) != 1:
        raise UsageError("--remote needs to know whose list", hint=f"wan status -p {_able()[0]} --remote")
    return able[0]


def _ask(app: App, name: str, options: Asking) -> list[Listed]:
    """Ask the provider. Raises ``WanError``; nothing was bought."""
    from wan_cli.errors import NetworkError
    from wan_cli.transport.client import AnswerLost, NotSent
    from wan_cli.transport.drive import Refusal, drive
    from wan_cli.transport.retry import Unclear, judge

    found: list[Listed] = []

    async def work(engine: Engine) -> list[Task]:
        service = engine.service(name)
        asked = drive(service.provider.tasks(options.limit), service.provider, service.api.send)
        try:
            found.extend(await engine.unless(engine.stop, asked))
        except Refusal as refusal:
            verdict = judge(service.provider, refusal.fault, date=refusal.date)
            raise _lost(name, verdict.reason) if isinstance(verdict, Unclear) else verdict.error from refusal
        except NotSent as lost:
            raise lost.error from lost
        except AnswerLost as lost:
            raise _lost(name, lost.reason) from lost
        return []

    def _lost(provider: str, reason: str) -> WanError:
        return NetworkError(f"{provider} did not list its tasks: {reason}", hint="run the command again")

    Session(app=app, quiet=True, verbose=options.verbose).run(work)
    return found


def _as_task(app: App, name: str, entry: Listed) -> Task:
    """Return an entry as a task: what this machine knows of it, in the state that the provider says."""
    mine = app.ledger.find_handle(name, entry.task_id)
    if mine is not None:
        mine = replace(mine, provider_model=entry.model or mine.provider_model)
        return mine if mine.state.kind in GONE else replace(mine, state=entry.state, trouble=None)
    entry_model = capabilities(name).find(entry.model) or capabilities(name).unlisted(entry.model)
    job = Job(verb="generate", provider=name, model=entry_model.name, prompt="", makes=entry_model.makes)
    return Task(
        id="", provider=name, origin=app.provider(name).origin, job=job, provider_model=entry.model, token="",
        target=Target(template=None), created_at=app.now() if entry.created_at is None else entry.created_at,
        state=entry.state, sandbox=app.sandbox, task_id=entry.task_id, submitted_at=entry.created_at,
        finished_at=entry.finished_at, request_id=entry.request_id,
        charged="unknown" if entry.state.kind in ("failed", "cancelled") else "yes", charge_basis="assumed",
    )  # fmt: skip
