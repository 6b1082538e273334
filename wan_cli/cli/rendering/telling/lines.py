"""An asset as a line of a report: from the plan alone, or from what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_cli.cli.rendering.telling.marks import where
from wan_cli.errors import Interrupted
from wan_cli.models import Saved
from wan_cli.render.places import below
from wan_cli.render.plan import changes as changed
from wan_cli.ui.report import Change, Line, Shot

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.errors import WanError
    from wan_cli.manifest import Manifest
    from wan_cli.models import Task
    from wan_cli.render.plan import Item
    from wan_cli.render.run import Result

SHOWN = ("size", "aspect", "duration", "resolution")
"""Fields of a request that a report shows beside the picture."""


def planned_line(app: App, manifest: Manifest, item: Item, cost: Mapping[str, Any] | None = None) -> Line:
    """Return an item of a plan, with the files it has now and what it would cost."""
    asset, entry = item.asset, item.entry
    return Line(
        id=asset.id, ending=item.status, prompt=asset.prompt, where=where(app, manifest, asset),
        why="; ".join(item.why), beside=_beside(item),
        provider=(entry and entry.provider) or "", model=(entry and entry.model) or "",
        seed=asset.fields.get("seed", entry.seed if entry else None), handle=(entry and entry.handle) or "",
        cost=cost["amount"] if cost else entry.cost if entry else None,
        unit=cost["unit"] if cost else entry.unit if entry else None,
        request=_request(item), changes=changes(item),
        shots=[Shot(path=made.path) for made in entry.files] if entry else (),
    )  # fmt: skip


def ended_line(
    app: App, manifest: Manifest, item: Item, result: Result | None, was: Sequence[Shot] = (), *, since: float
) -> Line:  # fmt: skip
    """Return what became of an item; one without a result was not begun. ``since`` is when the run began (epoch s)."""
    asset, entry = item.asset, item.entry
    ending, tasks = (result.ending, tuple(result.tasks)) if result else ("stopped", ())
    if ending in ("current", "edited", "moved"):
        tasks = ()
    first = tasks[0] if tasks else None
    old = entry if not tasks else None
    cost, unit = cost_of(tasks) if tasks else (old.cost, old.unit) if old else (None, None)
    return Line(
        id=asset.id, ending=ending, prompt=asset.prompt, where=where(app, manifest, asset),
        why="; ".join(filter(None, (*item.why, result.why if result else ""))), beside=_beside(item),
        provider=first.provider if first else (old and old.provider) or "",
        model=first.job.model if first else (old and old.model) or "",
        seed=first.job.seed if first else asset.fields.get("seed", old.seed if old else None),
        handle=", ".join(task.handle for task in tasks if task.handle) or (old and old.handle) or "",
        cost=cost, unit=unit, paid=bought_of(tasks, since),
        request=_request(item), changes=changes(item) if tasks else (), was=was,
        error=error_of(result), warnings=[one for task in tasks for one in task.warnings],
        seconds=_seconds(tasks),
        shots=[Shot(path=path) for path in _told(manifest, files_of(manifest, item, result))],
    )  # fmt: skip


def _told(manifest: Manifest, paths: Sequence[str]) -> Sequence[str]:
    """Return absolute paths as a report has them: below the root; addresses as they are."""
    return paths if manifest.home else below(manifest.root, paths)


def error_of(result: Result | None) -> WanError | None:
    """Return why an asset failed; what was not begun, whosever fault that is, did not."""
    if result is None or result.ending in ("skipped", "stopped"):
        return None
    return None if result.ending == "pending" and isinstance(result.error, Interrupted) else result.error


def files_of(manifest: Manifest, item: Item, result: Result | None) -> list[str]:
    """Return the absolute paths of what an asset has now: what was made, else what the lock says."""
    states = [task.state for task in result.tasks] if result else []
    paths = [file.path for state in states if isinstance(state, Saved) for file in state.files if file.path]
    if paths or not result or result.ending not in ("current", "edited", "moved"):
        return paths if manifest.home else [str(Path(path).absolute()) for path in paths]
    return [manifest.place(made.path) for made in item.entry.files] if item.entry else []


def cost_of(tasks: Sequence[Task]) -> tuple[float | None, str | None]:
    """Return what the tasks of an asset cost together; an unknown part makes the whole unknown."""
    known = [task.cost.estimated if task.cost.actual is None else task.cost.actual for task in tasks]
    total = None if any(one is None for one in known) else round(sum(filter(None, known)), 9)
    return total, tasks[0].cost.unit if tasks else None


def bought_of(tasks: Sequence[Task], since: float) -> list[float | None]:
    """Return what each of the tasks cost that was first sent at ``since`` or later, and may have been charged."""
    sent = (task for task in tasks if task.submitted_at is not None and task.submitted_at >= since)
    return [cost_of([task])[0] for task in sent if task.charged != "no"]


def changes(item: Item) -> list[Change]:
    """Return the fields of the request that differ from the last lock."""
    entry = item.entry
    if entry is None or entry.request is None or entry.request == item.asset.request:
        return []
    was, now = entry.stated, item.asset.stated
    names = [name for name in dict.fromkeys([*was, *now]) if was.get(name) != now.get(name)]
    return [Change(name=str(name), was=_shown(was.get(name)), now=_shown(now.get(name))) for name in names]


def _beside(item: Item) -> str:
    told = changed(item.entry, item.asset) if item.entry else ()
    return "; ".join(why for why in item.why if why not in told)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _request(item: Item) -> dict[str, str]:
    return {name: str(item.asset.stated[name]) for name in SHOWN if name in item.asset.stated}


def _seconds(tasks: Sequence[Task]) -> float:
    """Return how long it took from the first purchase to the last result, as far as is known."""
    begun = [task.submitted_at for task in tasks if task.submitted_at is not None]
    ended = [task.finished_at for task in tasks if task.finished_at is not None]
    return max(0.0, max(ended) - min(begun)) if begun and ended else 0.0
