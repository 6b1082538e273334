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


def foreign(item: Item, places: Places, lock: Lock, sight: Sight) -> list[str]:
    """Return the files in an asset's places, as they are now, that were neither delivered nor may be replaced."""
    found = []
    for path in places.candidates(item.asset, lambda _: True):
        if not (places.manifest.root / path).exists():
            continue
        sight.forget(path)
        try:
            seen = sight.file(path)
        except OSError:
            seen = None
        if seen is not None and item.ours.get(path) == seen.sha256:
            continue  # as it was when the plan was made: nobody has touched it since
        entry = lock.entries.get(item.asset.id)
        known = {(made.path, made.sha256) for made in entry.files} if entry else set()
        if seen is None or (path, seen.sha256) not in known:
            found.append(path)
    return found


def contents(item: Item, places: Places, sight: Sight) -> tuple[str, ...]:
    """Return the content (sha256) of the files in an asset's places as they are now."""
    paths = places.candidates(item.asset, lambda _: True)  # a look at each: the folder is not listed for every asset
    seen = [sight.file(path) for path in paths if (places.manifest.root / path).exists()]
    return tuple(found.sha256 for found in seen if found is not None)


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
                (places.manifest.root / made.path).unlink()
                sight.forget(made.path)
