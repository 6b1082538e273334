"""``--dry-run``: the requests as they would be sent, and the estimate; nothing is sent and no key is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wan_cli import spend
from wan_cli.cli.curl import as_data
from wan_cli.dataclass import replace
from wan_cli.models import Task, Warned
from wan_cli.registry import capabilities
from wan_cli.text import one_line
from wan_cli.ui.document import jsonl_line, task_document
from wan_cli.ui.jsonl import request_event
from wan_cli.ui.messages import warning_line
from wan_cli.ui.money import number

if TYPE_CHECKING:
    import httpx

    from wan_cli.cli.context import App
    from wan_cli.providers.base import Provider


def show(app: App, tasks: Sequence[Task], lines: Sequence[spend.Line]) -> int:
    """Print every request of ``tasks`` and what they would cost; return 0."""
    adapter = app.provider(tasks[0].provider)
    key_env = "" if app.account(adapter.name).open else capabilities(adapter.name).key_env
    trace = tasks[0].token  # one upload serves every task of -n
    requests = [request for task in tasks for request in _requests(adapter, task, trace)]
    distinct = {entry["curl"]: entry for entry in (as_data(request, adapter.name, key_env) for request in requests)}
    known = spend.totals(lines).items()
    estimate: list[dict[str, object]] = [{"amount": number(float(amount)), "unit": unit} for unit, amount in known]
    if any(line.amount is None for line in lines):
        estimate.append({"amount": None, "unit": None})
    if app.say_json == "json":
        documents = [task_document(task, cwd=str(app.cwd)) for task in tasks]
        return app.emit(documents, None, 0, requests=list(distinct.values()), estimate=estimate)
    if app.say_json == "jsonl":
        for entry in distinct.values():
            app.streams.out(jsonl_line(request_event(entry)))
        return app.summary(list(tasks), None, 0)
    for command in distinct:
        app.streams.out(command)
    for message in tasks[0].warnings:
        app.streams.say(warning_line(Warned(message=message), color=app.streams.color))
    app.streams.say(f"estimate: {spend.shown(lines)}; nothing was sent")
    return 0


def _requests(adapter: Provider, task: Task, trace: str) -> list[httpx.Request]:
    """Return what would be sent for ``task``: uploads first, whose addresses are placeholders afterwards."""
    found, media = [], []
    for item in task.job.media:
        if adapter.uploads and item.file and not item.url and adapter.uploads_file(item.file):
            found.append(next(adapter.upload(item.file, model=adapter.model_for(task.job), trace=trace)))
            item = replace(item, url=f"<upload:{one_line(item.file.name)}>")  # noqa: PLW2901 - the same medium, with its address
        media.append(item)
    job = replace(task.job, media=tuple(media))
    return [*found, next(adapter.submit(job, token=task.token))]
