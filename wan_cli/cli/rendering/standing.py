"""What stands on disk in an asset's place: ours is replaced or renamed, anything else stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wan_cli.lock import Lock, Made
    from wan_cli.render.item import Item
    from wan_cli.render.places import Places
    from wan_cli.render.sight import Sight


def replaceable(item: Item, places: Places, lock: Lock, sight: Sight) -> tuple[str, ...] | None:
    """Return the content (sha256) of the files in an asset's places, as they are now, where all may be replaced.

    ``None`` where one of them was neither delivered nor is as it was when the plan was made.
    """
    entry = lock.entries.get(item.asset.id)
    known = {(made.path, made.sha256) for made in entry.files} if entry else set()
    found = []
    for path in places.candidates(item.asset, lambda _: True):
        if not sight.exists(path):
            continue
        sight.forget(path)
        try:
            seen = sight.file(path)
        except OSError:
            return None
        if seen is None or (item.ours.get(path) != seen.sha256 and (path, seen.sha256) not in known):
            return None
        found.append(seen.sha256)
    return tuple(found)


def clear(before: Iterable[Made], item: Item, places: Places, uses: Callable[[str], bool], sight: Sight) -> None:
    """Remove the files that an asset had before under other names (fewer results, another format), as they were.

    ``uses`` tells whether the lock has a file of that name. Left behind they would be files that the lock does not
    know, and stand in the way of a later run. Where the name depends on the task or the day, each result is there to
    stay.
    """
    if places.late(places.template(item.asset)):
        return
    for made in before:
        with suppress(OSError):
            seen = None if uses(made.path) else sight.file(made.path)
            if seen is not None and seen.sha256 == made.sha256:
                sight.remove(made.path)
