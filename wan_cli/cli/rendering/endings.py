"""What the ends of many assets mean for the exit code (interface.md, section 4)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from wan_cli import errors
from wan_cli.cli.outcome import deciding, summed
from wan_cli.errors import StaleAssets, WanError
from wan_cli.render.plan import Item

if TYPE_CHECKING:
    from wan_cli.manifest import Manifest
    from wan_cli.render.run import Result

MOST_NAMED = 5
"""Assets that a message names; the others are counted."""


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
    told = copy.copy(worst)  # an asset's own error stays as true of it as it was
    told.charged = summed([
        *(task.charged for result in results.values() for task in result.tasks),
        *(error.charged for error in ends if error is not None),
    ])  # fmt: skip
    return told


def _end(manifest: Manifest, result: Result | None, *, wait: bool, signal: int | None) -> WanError | None:
    again = f"wan render {manifest.path.name}"
    if result is not None and (result.error is not None or result.ending not in ("skipped", "stopped")):
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
    more = len(edited) - MOST_NAMED
    named = ", ".join(edited[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return StaleAssets(
        f"edited by hand, so left alone: {named}", hint=f"wan render {manifest.path.name} --accept '{edited[0]}'"
    )
