"""Files that go elsewhere because their output template changed: renamed, nothing bought, nothing overwritten.

A step at a time, so that a run that is cut short at any point loses nothing: the file gets its further name, the lock
says so, and only then the old name goes. Two assets that change places go by way of a third name.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.dataclass import dataclass, replace
from wan_cli.errors import WriteFailed
from wan_cli.media import mime_of_extension
from wan_cli.media.film import poster_path
from wan_cli.render.item import Item
from wan_cli.render.plan import Plan
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.lock import Lock
    from wan_cli.render.sight import Sight

MOVES = frozenset({"moved", "stale"})
"""What is to be made anew moves too: else its old file would stay behind, and nothing would know it."""
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


@dataclass(slots=True)
class _Move:
    asset: str
    old: str
    new: str


def move(planned: Plan, root: Path, lock: Lock, sight: Sight) -> Plan:
    """Rename what the plan says, and return it as it is then. ``lock`` is held.

    Raises ``WriteFailed`` where a file cannot be renamed: it is where the lock says, and nothing was bought.
    """
    left = [
        _Move(item.asset.id, old, new) for item in planned.items if item.status in MOVES for old, new in item.moves
    ]  # fmt: skip
    if not left:
        return planned
    moved = {one.asset for one in left}
    while left:
        olds = Counter(one.old for one in left)
        ready = [one for one in left if not _taken(one, olds, root)]
        if not ready:  # each waits for the place of another
            first = left[0]
            stem, dot, ext = first.new.rpartition(".")
            aside = f"{stem}.{secrets.token_hex(3)}{dot}{ext}"
            _rename(_Move(first.asset, first.old, aside), root, lock, sight)
            first.old = aside
            continue
        for one in ready:
            _rename(one, root, lock, sight)
        done = set(map(id, ready))
        left = [one for one in left if id(one) not in done]
    return replace(planned, items=[_after(item, lock.entries, moved) for item in planned.items])


def _after(item: Item, entries: Mapping[str, object], moved: set[str]) -> Item:
    if item.asset.id not in moved:
        return item
    return replace(item, entry=entries[item.asset.id], moves=())


def _taken(one: _Move, olds: Mapping[str, int], root: Path) -> bool:
    """Tell whether another file stands where one goes; ``olds`` has how many are still at each place."""
    others = olds.get(one.new, 0) - (one.old == one.new)
    return others > 0 and os.path.lexists(root / one.new)


def _rename(one: _Move, root: Path, lock: Lock, sight: Sight) -> None:
    source, target = root / one.old, root / one.new
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.exists() and not (target.exists() and target.samefile(source)):
            _clear(one, lock, sight, target)
            _link(source, target)
    except OSError as error:
        raise WriteFailed(
            f"{one_line(one.old)} cannot be renamed to {one_line(one.new)}: {error.strerror}",
            hint="make its folder writable, then run the command again", charged="no",
        ) from error  # fmt: skip
    entry = lock.entries[one.asset]
    files = tuple(
        replace(made, path=one.new) if made.path == one.old else made for made in entry.files
    )  # fmt: skip
    lock.put(one.asset, replace(entry, files=files))
    with suppress(OSError):
        source.unlink(missing_ok=True)
    _rename_beside(root / f"{one.old}.json", root / f"{one.new}.json")
    if (mime_of_extension(one.old) or "").startswith("video/"):
        _rename_beside(poster_path(source), poster_path(target))
    sight.forget(one.old)
    sight.forget(one.new)


def _rename_beside(old: Path, new: Path) -> None:
    """Let a sidecar or a poster follow its file, where nothing stands in its way."""
    with suppress(OSError):
        if old.is_file() and not os.path.lexists(new):
            old.rename(new)


def _clear(one: _Move, lock: Lock, sight: Sight, target: Path) -> None:
    """Remove from the new place what a move that was cut short left: a copy of a file that is where it belongs."""
    sight.forget(one.new)
    seen = sight.file(one.new)
    if seen is None:
        return
    files = [made for entry in lock.entries.values() for made in entry.files if made.sha256 == seen.sha256]
    for made in files:
        sight.forget(made.path)
        found = sight.file(made.path) if made.path != one.new else None
        if found is not None and found.sha256 == made.sha256:
            target.unlink()
            return


def _link(source: Path, target: Path) -> None:
    """Give a file a further name, never over another; where there are no links, rename it. Raises ``OSError``."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "there is another file", str(target)) from error
        source.rename(target)
