"""What a run says: each asset when it has ended, and all of it at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wan_cli import spend
from wan_cli.cli.outcome import Wish, task_outcome
from wan_cli.cli.rendering.endings import named
from wan_cli.cli.rendering.telling.lines import bought_of, cost_of, ended_line, error_of, files_of
from wan_cli.cli.rendering.telling.marks import MOST_MARKS, mark
from wan_cli.cli.rendering.telling.reports import pictures_before, spent_on, write_reports
from wan_cli.dataclass import dataclass, replace
from wan_cli.models import Saved
from wan_cli.render.run import Result
from wan_cli.render.shelf import Together
from wan_cli.ui.document import document, error_object, line_by_line, task_document, typed_path
from wan_cli.ui.messages import say_error
from wan_cli.ui.money import amount
from wan_cli.ui.overall import AssetEnded, Workload
from wan_cli.ui.report import Shot, headline

if TYPE_CHECKING:
    from wan_cli.cli.commands.render import Rendering
    from wan_cli.cli.context import App
    from wan_cli.errors import WanError
    from wan_cli.manifest import Manifest
    from wan_cli.models import Task
    from wan_cli.render.plan import Item, Plan
    from wan_cli.ui.reporter import EventReporter

LEFT_ALONE = frozenset({"current", "edited"})
"""Statuses that are no work."""
MOST_ERRORS = 20
"""Errors that are told one by one at the end; reports, annotations and JSON have them all."""


def workload(
    app: App, manifest: Manifest, planned: Plan, lines: Sequence[spend.Line], name_of: Callable[[Task], str]
) -> Workload:
    """Return what there is to do, for the progress display; ``name_of`` says which asset a task is.

    The sandbox costs nothing, and of a price that is not known there is nothing to show: no estimate then.
    """
    known = not app.sandbox and any(line.amount is not None for line in lines)
    return Workload(
        title=manifest.path.name, total=sum(item.status not in LEFT_ALONE for item in planned.items),
        estimate=spend.shown(lines) if known else "", name_of=name_of,
    )  # fmt: skip


@dataclass(kw_only=True)
class Ended:
    """Told of each asset when it has ended: passes it on to the display and marks failures for GitHub's runner."""

    app: App
    manifest: Manifest
    reporter: EventReporter
    marks: int = 0

    def __call__(self, item: Item, result: Result) -> None:
        """Tell of one asset."""
        counts, lines = item.status not in LEFT_ALONE, self.app.say_json == "jsonl"
        if not (counts or lines):
            return  # ten thousand assets that are up to date are nobody's news
        tasks, error = result.tasks, error_of(result)
        cost = amount(*cost_of(tasks)) if tasks and any(task.charged != "no" for task in tasks) else ""
        files = [typed_path(path, str(self.app.cwd)) for path in files_of(self.manifest, item, result)]
        self.reporter.ended(AssetEnded(
            id=item.asset.id, ending=result.ending, counts=counts,
            document=asset_row(self.app, self.manifest, item, result) if lines else {},
            made_by=f"{tasks[0].provider} {tasks[0].job.model}" if tasks else "",
            cost=cost + (" (sandbox)" if cost and self.app.sandbox else ""), files=files,
            note=error.message if error else result.why,
        ))  # fmt: skip
        if error is not None and self.marks < MOST_MARKS:
            self.marks += 1
            mark(self.app, self.manifest, item.asset, error.message)


def asset_row(app: App, manifest: Manifest, item: Item, result: Result | None) -> dict[str, Any]:
    """Return what became of an asset as a flat object; its tasks stand beside it, by their ids."""
    return {
        "id": item.asset.id, "ending": result.ending if result else "stopped",
        "why": [*item.why, *filter(None, (result.why if result else "",))],
        "line": item.asset.line or None, "tasks": [task.id for task in result.tasks] if result else [],
        "files": [typed_path(path, str(app.cwd)) for path in files_of(manifest, item, result)],
        "error": error_object(error_of(result)),
    }  # fmt: skip


def conclude(
    app: App, options: Rendering, manifest: Manifest, planned: Plan, results: Mapping[str, Result],
    before: Mapping[str, Sequence[Shot]], decisive: WanError | None, *, since: float = 0.0,
) -> int:  # fmt: skip
    """Write the reports, print what was made, and return the exit code. ``since`` is when the run began."""
    code = decisive.exit_code if decisive else 0
    found = [(item, results.get(item.asset.id)) for item in planned.items]
    if options.report:
        lines = [
            ended_line(app, manifest, item, result, before.get(item.asset.id, ()), since=since)
            for item, result in found
        ]
        write_reports(app, manifest, lines, options.report, orphans=planned.orphans)
    endings = Counter(result.ending if result else "stopped" for _, result in found)
    tasks = Together([result.tasks for _, result in found if result and result.tasks])
    app.ended = tasks
    if app.say_json == "json":
        extra = {"assets": (asset_row(app, manifest, *pair) for pair in found), "orphans": list(planned.orphans)}
        whole = document(app.command, (), decisive, code, ok=code == 0, extra=extra)
        whole["tasks"] = (task_document(task, cwd=str(app.cwd)) for task in tasks)
        for part in line_by_line(whole):
            app.streams.out(part)
    elif app.say_json == "jsonl":
        app.summary(tasks, decisive, code, assets=dict(endings))
    else:
        spent = _told(app, manifest, found, since, wait=options.wait)
        app.talk(f"{manifest.path.name}: {headline(endings.elements())}{spent}")
        for name in planned.orphans:
            app.talk(f"{name}: no longer in the manifest; --prune removes it")
    own = [named(manifest, item.asset, error) for item, result in found if (error := error_of(result))]
    _say_errors(app, own, decisive)
    return code


def _told(
    app: App, manifest: Manifest, found: Sequence[tuple[Item, Result | None]], since: float, *, wait: bool
) -> str:
    """Print the data of every asset, and return what was spent: each asset's tasks are looked at once."""
    bought: Counter[tuple[float | None, str | None]] = Counter()
    for item, result in found:
        opened = replace(result, tasks=tuple(result.tasks)) if result else None
        for line in _data(app, manifest, item, opened, wait=wait):
            app.streams.out(line)
        tasks = opened.tasks if opened else ()
        bought.update((cost, cost_of(tasks)[1]) for cost in bought_of(tasks, since))
    return "" if app.sandbox or not bought else f"; spent {spent_on(bought)}"


def report_takes(
    app: App, manifest: Manifest, items: Sequence[Item], tasks: Mapping[str, Sequence[Task]], names: Sequence[str],
    wish: Wish,
) -> None:  # fmt: skip
    """Write the reports of takes: what an asset looks like now, beside all that there is to choose from."""
    before = pictures_before(manifest, items, names)
    lines = []
    for item in items:
        made = tuple(tasks.get(item.asset.id, ()))
        error = next(filter(None, (task_outcome(task, wish) for task in made)), None)
        saved = all(isinstance(task.state, Saved) for task in made)
        result = Result(ending="made" if saved else "failed" if error else "pending", tasks=made, error=error)
        line = ended_line(app, manifest, item, result, before.get(item.asset.id, ()), since=0.0)
        lines.append(replace(line, labels=("as it is", "takes to choose from"), changes=()))
    write_reports(app, manifest, lines, names)


def _data(app: App, manifest: Manifest, item: Item, result: Result | None, *, wait: bool) -> list[str]:
    """Return the lines of standard output: paths of what was made now; handles of what was only submitted."""
    if result is None:
        return []
    if not wait and result.ending == "pending":
        return [task.name for task in result.tasks]
    if result.ending not in ("made", "collected", "moved"):
        return []
    return [typed_path(path, str(app.cwd)) for path in files_of(manifest, item, result)]


def _say_errors(app: App, errors: Sequence[WanError], decisive: WanError | None) -> None:
    for error in errors[:MOST_ERRORS]:
        say_error(app.streams, error)
    if len(errors) > MOST_ERRORS:
        app.streams.say(f"… and {len(errors) - MOST_ERRORS:,} more errors: --report out.html or --json has them all")
    if decisive and decisive.message not in [error.message for error in errors[:MOST_ERRORS]]:
        say_error(app.streams, decisive)
