"""What manifest, lock and disk say together: what is up to date, what has to be made, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from wan_cli.dataclass import dataclass
from wan_cli.errors import UsageError
from wan_cli.manifest import Manifest, chains, order
from wan_cli.render.holding import Holding
from wan_cli.render.item import MAKES, Item, Status, Wanted, changes, content_of
from wan_cli.render.places import Places
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.lock import Entry
    from wan_cli.render.sight import Sight

__all__ = ["MAKES", "Item", "Plan", "Status", "Wanted", "changes", "chosen", "content_of", "plan", "shard_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Items in the order in which they can be made; ``orphans`` are in the lock and no longer in the manifest."""

    items: Sequence[Item]
    orphans: Sequence[str] = ()

    def of(self, *statuses: Status) -> list[Item]:
        """Return the items with one of these statuses."""
        return [item for item in self.items if item.status in statuses]


def plan(
    manifest: Manifest, entries: Mapping[str, Entry], sight: Sight, wanted: Wanted, *, places: Places | None = None,
    rehearsed: Mapping[str, Entry] | None = None,
) -> Plan:  # fmt: skip
    """Hold the manifest against lock and disk. Raises ``UsageError`` for a reference that is not there.

    With ``--only``, what the named assets use comes too, where it is not up to date itself. ``rehearsed`` is the
    sandbox's lock for a real run: its pictures may be replaced, and never count.
    """
    sequence = order(manifest)
    mine = chosen(manifest, wanted)
    held = Holding(manifest, entries, sight, wanted, places or Places(manifest), rehearsed or {})
    for asset in sequence:
        if asset.id in mine:
            held.take(asset)
    orphans = sorted(entries.keys() - manifest.assets.keys())
    return Plan(items=list(held.items.values()), orphans=[] if wanted.only or wanted.shard else orphans)


def chosen(manifest: Manifest, wanted: Wanted) -> set[str]:
    """Return the ids that the call is about: what it names, all that those use, and of it the shard.

    Raises ``UsageError`` where it names nothing.
    """
    named = [asset for asset in manifest.assets.values() if wanted.picks(asset)]
    if wanted.only and not named:
        globs = ", ".join(map(one_line, wanted.only))
        raise UsageError(f"--only {globs}: no asset has such an id", hint=manifest.command("--plan", whole=True))
    found: set[str] = set()
    left = [asset.id for asset in named]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += manifest.assets[name].needs
    if wanted.shard is None:
        return found
    number, count = wanted.shard
    leaders = chains(manifest.assets.values())
    return {name for name in found if shard_of(leaders[name], count) == number}


def shard_of(name: str, count: int) -> int:
    """Return which of ``count`` shards, from 1, a name belongs to: the same on every machine and in every version."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % count + 1
