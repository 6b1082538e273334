"""What the ends of many assets mean for the exit code (interface.md, section 4)."""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING

from wan_cli import errors
from wan_cli.cli.hints import of_queue
from wan_cli.cli.outcome import deciding, summed
from wan_cli.errors import StaleAssets, WanError
from wan_cli.render.plan import Item
from wan_cli.ui.messages import hint_for, in_sandbox

if TYPE_CHECKING:
    from wan_cli.manifest import Asset, Manifest
    from wan_cli.models import Task
    from wan_cli.render.run import Ending, Result

MOST_NAMED = 5
"""Assets that a message names; the others are counted."""
_RUN_AGAIN = frozenset({6, 7, 8, 11, 12})
"""Codes after which the render command itself goes on: it buys what was not bought, and collects what was."""


def decisive(
    manifest: Manifest, items: Sequence[Item], results: Mapping[str, Result], *, wait: bool, signal: int | None
) -> WanError | None:
    """Return the error that decides for the whole run, ``None`` where every asset is as the manifest says.

    What was left alone because a person edited it, or is here as it was before the manifest changed, is 13, and only
    where nothing worse happened. With ``--no-wait`` what waits for another asset is as it should be.
    """
    ends: list[WanError | None] = []
    stale: list[WanError] = []
    for item in items:
        result = results.get(item.asset.id)
        error = _end(manifest, result, wait=wait, signal=signal)
        if isinstance(error, StaleAssets):
            stale.append(error)
            error = None
        ends.append(error)
    worst = deciding(ends, signal)
    if worst is None and stale:
        return stale[0]
    if worst is None:
        return _edited(manifest, items)
    told = _told(manifest, items, results, ends, worst)
    told.charged = summed([
        *(task.charged for result in results.values() for task in result.tasks),
        *(error.charged for error in ends if error is not None),
    ])  # fmt: skip
    return told


def _told(
    manifest: Manifest, items: Sequence[Item], results: Mapping[str, Result], ends: Sequence[WanError | None],
    worst: WanError,
) -> WanError:  # fmt: skip
    """Return the deciding error as one of the whole run; an asset's own stays as true of it as it was."""
    wrong = [(item, end) for item, end in zip(items, ends, strict=True) if end is not None]
    told = copy.copy(worst)
    if worst.exit_code > 128:  # noqa: PLR2004 - 128 plus a signal
        told.message, told.hint = _interrupted(items, results), manifest.command()
        return told
    first, error = wrong[0]
    if len(wrong) == 1 and error is worst and begun(results.get(first.asset.id)):
        return copy.copy(named(manifest, first.asset, worst))
    told.message = _counted(items, results, wrong)
    if worst.exit_code in _RUN_AGAIN or not worst.hint:
        told.hint = manifest.command()
    return told


def _counted(items: Sequence[Item], results: Mapping[str, Result], wrong: Sequence[tuple[Item, WanError]]) -> str:
    """Say how many assets are not as they should be, and name the first of them; why is said of each."""
    groups: dict[str, list[str]] = {"failed": [], "still running": [], "not begun": []}
    for item, end in wrong:
        running = "still running" if end.exit_code == errors.StillRunning.default_exit else "failed"
        groups[running if begun(results.get(item.asset.id)) else "not begun"].append(item.asset.id)
    (first, names), *rest = [(word, names) for word, names in groups.items() if names]
    also = "".join(f", {len(others):,} {word}" for word, others in rest)
    why = f" ({wrong[0][1].message.removeprefix('not begun: ')})" if first == "not begun" else ""
    many = f"{len(names):,} of {len(items):,} assets {first}{why or also}"
    return f"{many}: {_listed(names)}"


def _interrupted(items: Sequence[Item], results: Mapping[str, Result]) -> str:
    away = [
        (item.asset.id, result.tasks) for item in items
        if (result := results.get(item.asset.id)) is not None and result.ending == "pending"
    ]  # fmt: skip
    if away:
        told = [f"{name} ({_listed([task.name for task in tasks if task.charged != 'no'])})" for name, tasks in away]
        return f"interrupted; {len(away):,} of {len(items):,} assets bought and not here yet: {_listed(told)}"
    bought = any(task.charged != "no" for result in results.values() for task in result.tasks)
    return "interrupted; what was bought is in the lock" if bought else "interrupted before anything was sent"


def unfinished(tasks: Sequence[Task], ends: Sequence[WanError | None], held: Container[str]) -> Ending:
    """Return how the purchases of an asset ended that is not whole; ``held`` are those that were not sent."""
    wrong = [error for error in ends if error is not None]
    if not wrong or all(error.exit_code == errors.StillRunning.default_exit for error in wrong):
        return "pending"
    if any(error.exit_code == errors.OutcomeUnknown.default_exit for error in wrong):
        return "failed"
    interrupted = all(error.exit_code > 128 for error in wrong)  # noqa: PLR2004 - 128 plus a signal
    if interrupted and any(task.charged != "no" for task in tasks):
        return "pending"
    return "stopped" if interrupted or all(task.id in held for task in tasks) else "failed"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def begun(result: Result | None) -> bool:
    """Tell whether anything was done about an asset, well or not."""
    return result is not None and result.ending not in ("skipped", "stopped")


def named(manifest: Manifest, asset: Asset, error: WanError) -> WanError:
    """Return an asset's error as one that stands alone: it begins with its place, once."""
    place = f"{manifest.where(asset)}: {asset.id}: "
    if error.message.startswith(place):
        return error
    told = copy.copy(error)
    told.message = place + error.message
    return told


def settled(
    manifest: Manifest,
    results: Mapping[str, Result],
    decisive: WanError | None,
    *,
    sandbox: bool,
    queue: str | None = None,
) -> None:
    """Make the hints of all errors of a run commands that go on from there."""
    for error in (decisive, *(result.error for result in results.values())):
        if error is not None:
            own = "" if error.hint.startswith("run the command") else error.hint
            error.hint = of_queue(in_sandbox(own or _general(manifest, error), sandbox=sandbox), queue)


def _general(manifest: Manifest, error: WanError) -> str:
    return manifest.command() if error.hint or error.exit_code in _RUN_AGAIN else hint_for(error)


def _end(manifest: Manifest, result: Result | None, *, wait: bool, signal: int | None) -> WanError | None:
    again = manifest.command()
    if result is not None and (result.error is not None or begun(result)):
        return result.error
    if signal:
        return errors.Interrupted("interrupted; what was bought is in the lock", hint=again, exit_code=128 + signal)
    if not wait and result is not None and result.ending == "stopped":
        return None
    why = result.why if result else "the run ended before"
    return errors.ProviderUnavailable(f"not begun: {why}", hint=again)


def _edited(manifest: Manifest, items: Sequence[Item]) -> WanError | None:
    edited = [item.asset.id for item in items if item.status == "edited"]
    if not edited:
        return None
    return StaleAssets(
        f"edited by hand, so left alone: {_listed(edited)}", hint=manifest.command("--accept", edited[0], whole=True)
    )
