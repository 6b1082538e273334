"""One asset of a plan, and what the call asks of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from wan_cli.dataclass import dataclass, field
from wan_cli.manifest import Asset
from wan_cli.manifest.assets import NOTHING
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.lock import Entry

Status = Literal["current", "open", "stale", "missing", "edited", "moved"]
"""``open``: bought and not here yet. ``edited``: a file differs from what was delivered, so it is never overwritten."""

MAKES = frozenset({"stale", "missing"})
"""What is bought; ``open`` is collected, ``moved`` is renamed, ``edited`` is left alone."""


_ASKED = frozenset({"--force", "--again"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One asset of the plan. ``why`` are reasons for people; ``inputs`` the content of its references today.

    ``edited`` are files in its places that are not ours to overwrite: edited by hand, or never ours. ``moves`` are
    files that go elsewhere, for the output template changed: from where to where, below the root. ``ours`` are files in
    its places that may be replaced, each with its content as it was then (sha256).
    """

    asset: Asset
    status: Status
    why: tuple[str, ...] = ()
    entry: Entry | None = None
    inputs: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    edited: tuple[str, ...] = ()
    moves: tuple[tuple[str, str], ...] = ()
    ours: Mapping[str, str] = field(default_factory=lambda: NOTHING)

    @property
    def asked(self) -> bool:
        """Whether the call itself wants it made anew, though nothing changed."""
        return not _ASKED.isdisjoint(self.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which assets the call is about, and what it asks of them."""

    only: Sequence[str] = ()
    force: bool = False
    again: bool = False
    shard: tuple[int, int] | None = None
    inputs_only: bool = False

    def picks(self, asset: Asset) -> bool:
        """Tell whether ``--only`` names the asset."""
        return not self.only or any(fnmatchcase(asset.id, glob) for glob in self.only)


def content_of(entry: Entry) -> str:
    """Return what stands for an asset's output as another's input: its files' content, in order."""
    return content([made.sha256 for made in entry.files])


def content(digests: Sequence[str]) -> str:
    """Return what stands for several files' content: the digest of the only one, or of all of theirs."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def changes(entry: Entry, asset: Asset) -> tuple[str, ...]:
    """Return how the request differs from the one the lock has, for people; nothing where it is the same."""
    if entry.request == asset.request:
        return ()
    was, now = entry.stated, asset.stated
    names = [name for name in dict.fromkeys([*was, *now]) if was.get(name) != now.get(name)] if was else []
    said = tuple(_change(name, was.get(name), now.get(name)) for name in names)
    return said or ("the request changed",)


def _change(name: str, was: Any, now: Any) -> str:
    if name in ("prompt", "negative"):
        return f"{name} changed"
    if was is None or now is None:
        return f"{name} {_shown(now)} is new" if was is None else f"{name} {_shown(was)} is gone"
    return f"{name} was {_shown(was)}, is {_shown(now)}"


def _shown(value: Any) -> str:
    return one_line(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value), 60)
