"""``wan recover --import FILE``: a recovery file back into the ledger (reliability.md S02).

The file is untrusted input. Where the ledger knows the task, only what came after the request is taken from the file;
where it does not, the results go to a name of this folder and never to one that the file says. Nothing here buys.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wan_cli.cli.aiming import default_target
from wan_cli.cli.following import well_formed
from wan_cli.dataclass import replace
from wan_cli.engine.decide import taken
from wan_cli.engine.rescue import FORMAT, MAX_BYTES
from wan_cli.errors import FileInvalid, UsageError
from wan_cli.models import Done, Pending, State, Task
from wan_cli.record import from_document
from wan_cli.registry import knows
from wan_cli.text import one_line
from wan_cli.ui.document import state_name, task_document

if TYPE_CHECKING:
    from wan_cli.cli.context import App

_ORDER = ("new", "sending", "unknown", "pending", "done")
"""How far a task is; every other state is its end."""
_LEARNED = (
    "task_id", "charged", "charge_basis", "cost", "finished_at", "expires_at", "request_id", "revised_prompt", "usage",
    "warnings", "differences",
)  # fmt: skip
"""What a task learns after its request was sent."""


def import_file(app: App, name: str) -> int:
    """Read a recovery file into the ledger and say what goes on with the task."""
    task = _read(app, name)
    known = _known(app, task)
    if known is None:
        target = default_target(app, task.job.prompt)
        made = replace(task, target=target, state=_state(app, task), trouble=None, sandbox=app.sandbox)
        app.ledger.add([made])
    else:
        made = _advanced(app, known, task)
    verb = {"unknown": "recover", "pending": "wait", "done": "wait"}.get(made.state.kind, "status")
    if app.say_json == "json":
        app.emit([task_document(made, cwd=str(app.cwd))], None, 0)
    else:
        app.streams.out(made.name)
    app.talk(f"{made.name} is {state_name(made)}: {made.command(verb)}")
    return 0


def _read(app: App, name: str) -> Task:
    """Return the task of a recovery file. Raises ``FileInvalid`` for what is none, ``UsageError`` for a newer one."""
    shown = one_line(name)
    try:
        path = app.cwd / name
        if not path.is_file():
            raise FileInvalid(f"{shown} is not a file", hint="give the path that the warning named")
        if path.stat().st_size > MAX_BYTES:
            raise FileInvalid(f"{shown} has more than {MAX_BYTES:,} bytes, so it is no recovery file")
        said = json.loads(path.read_bytes(), parse_constant=_no_number)
        form = said["wan_recovery"]
        if isinstance(form, int) and form > FORMAT:
            raise UsageError(f"{shown} was written by a newer wan", hint="use that one")
        if form != FORMAT:
            raise ValueError("its format is unknown")
        task = from_document(said["task"])
    except OSError as error:
        raise FileInvalid(f"{shown} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FileInvalid(f"{shown} is no recovery file: {one_line(str(error))}") from error
    if fault := _fault(task):
        raise FileInvalid(f"{shown} is no recovery file: {fault}")
    if task.sandbox != app.sandbox:
        where = "with --sandbox" if task.sandbox else "without --sandbox"
        raise UsageError(f"{shown} is of a task that was made {where}", hint=f"run it again {where}")
    return task


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not a number")


def _fault(task: Task) -> str | None:
    """Return what such a file never says, or ``None``."""
    ids = {task.task_id, getattr(task.state, "task_id", None)} - {None}
    if not re.fullmatch(r"[0-9a-z]{6,8}", task.id):
        return "its id is none of wan's"
    if not knows(task.provider) or task.job.provider != task.provider:
        return "its provider is unknown here"
    if len(ids) > 1 or not all(well_formed(str(task_id)) for task_id in ids):
        return "its task id is no task id"
    if task.state.kind in ("new", "sending"):
        return f"it is {state_name(task)}, and such a task is never bought from a file"
    return None


def _known(app: App, task: Task) -> Task | None:
    """Return the ledger's task of this id. Raises ``UsageError`` where that is another one."""
    try:
        known = app.ledger.get(task.id)
    except UsageError:
        return None
    if known.id != task.id:
        return None
    if (known.token, known.created_at) != (task.token, task.created_at):
        raise UsageError(f"{task.id} is another task here", hint=known.command("status"), charged=known.charged)
    return known


def _rank(state: State) -> int:
    return _ORDER.index(state.kind) if state.kind in _ORDER else len(_ORDER)


def _advanced(app: App, known: Task, task: Task) -> Task:
    """Lay what the file knows over the ledger's task. Raises ``UsageError`` where that knows as much."""
    stored = taken(app.ledger, known)
    try:
        if _rank(stored.state) >= _rank(task.state):
            why = f"the ledger knows as much of {stored.name}: it is {state_name(stored)}"
            raise UsageError(why, hint=stored.command("status"), charged=stored.charged)
        learned = {name: getattr(task, name) for name in _LEARNED}
        sent = stored.submitted_at or task.submitted_at
        made = replace(stored, **learned, state=_state(app, task), submitted_at=sent, trouble=None)
        app.ledger.save(made)
    finally:
        app.ledger.release(stored.id)
    return made


def _state(app: App, task: Task) -> State:
    """Return the state, with nothing in it that could lead a request astray: what is opaque is made anew."""
    from wan_cli.providers.base import Provider

    state = task.state
    adapter = app.provider(task.provider)
    keeps = type(adapter).poll is not Provider.poll
    if isinstance(state, Done) and all(output.url is None or _absolute(output.url) for output in state.outputs):
        return replace(state, files=(), facts=None)
    if not isinstance(state, (Pending, Done)):
        return state
    if not keeps or not state.task_id:
        raise FileInvalid(f"{task.provider} keeps no task to ask about, and the file has no result")
    adopted: Pending = adapter.adopt(state.task_id)
    return adopted


def _absolute(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("https", "http") and bool(parts.netloc)
