"""Manifest, lock and disk held against each other, asset by asset: each after those it uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from wan_cli.errors import UsageError
from wan_cli.manifest import Asset, Manifest
from wan_cli.manifest.assets import NOTHING
from wan_cli.render.item import MAKES, Item, Wanted, changes, content, content_of
from wan_cli.render.places import Places
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.lock import Entry, Made
    from wan_cli.render.sight import Seen, Sight

HERE = frozenset({"current", "edited", "moved"})
"""Statuses under which the files that another asset uses are here."""


class Holding:
    """Says of one asset after the other what has to be done; ``items`` has them by id."""

    def __init__(
        self, manifest: Manifest, entries: Mapping[str, Entry], sight: Sight, wanted: Wanted, places: Places,
        rehearsed: Mapping[str, Entry],
    ) -> None:  # fmt: skip
        """``rehearsed`` is the sandbox's lock, where this is a real run."""
        self.manifest = manifest
        self.entries = entries
        self.sight = sight
        self.wanted = wanted
        self.places = places
        self.items: dict[str, Item] = {}
        self._rehearsed = {made.sha256 for entry in rehearsed.values() for made in entry.files}
        self._ours: dict[str, list[str]] | None = None

    def take(self, asset: Asset) -> None:
        """Look at one asset. Those it uses come before. Raises ``UsageError`` for a file that cannot be used."""
        entry = self.entries.get(asset.id)
        inputs, upstream = self._inputs(asset)
        if entry is not None and entry.open:
            whys = changes(entry, asset) if entry.request else ("never rendered",)
            whys = (*self._asked(asset), *whys)
            self.items[asset.id] = Item(asset=asset, status="open", why=whys, entry=entry, inputs=inputs)
        elif any(need.startswith("@") for need in upstream.get("absent", ())):
            why = tuple(f"{need} is not recorded yet" for need in upstream["absent"])
            self.items[asset.id] = Item(asset=asset, status="edited", why=why, entry=entry, inputs=inputs)
        elif entry is None or entry.request is None:
            item = Item(asset=asset, status="missing", why=("never rendered",), entry=entry, inputs=inputs)
            self.items[asset.id] = self._unless_foreign(item)
        else:
            said = (*changes(entry, asset), *_other_provider(entry, asset), *_other_inputs(entry, inputs))
            more = tuple(f"{need} changes" for need in upstream.get("changes", ()))
            self.items[asset.id] = self._made_before(asset, entry, inputs, (*said, *more))

    def _made_before(self, asset: Asset, entry: Entry, inputs: Mapping[str, str], why: tuple[str, ...]) -> Item:
        edited, gone, moves = self._files(asset, entry)
        asked = self._asked(asset)
        if edited and asked != ("--force",):
            return Item(asset=asset, status="edited", why=why, entry=entry, inputs=inputs, edited=edited)
        why = (*asked, *why)
        ours = self._contents(edited)
        item = Item(asset=asset, status="current", why=why, entry=entry, inputs=inputs, moves=moves, ours=ours)
        if why or gone:
            return self._unless_foreign(_with(item, status="stale" if why else "missing", why=why or gone))
        if not moves:
            return item
        strange = tuple(new for old, new in moves if self._is_foreign(new, moving=old))
        if strange:
            return _with(item, status="edited", why=tuple(map(_stranger, strange)), edited=strange, moves=())
        return _with(item, status="moved", why=tuple(f"{one_line(old)} is now {one_line(new)}" for old, new in moves))

    def _asked(self, asset: Asset) -> tuple[str, ...]:
        """Return why the call itself makes an asset anew."""
        if not self.wanted.picks(asset):
            return ()
        return ("--force",) if self.wanted.force else ("--again",) if self.wanted.again else ()

    def _files(
        self, asset: Asset, entry: Entry
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, str], ...]]:
        """Return the files that were edited, why others are missing, and which go elsewhere."""
        paths = [made.path for made in entry.files]
        wanted = self.places.expected(asset, paths) if len(paths) == asset.count else None
        edited, gone, moves = [], [], []
        for made, new in zip(entry.files, wanted or paths, strict=True):
            if self.wanted.inputs_only:
                moves += [(made.path, new)] if new != made.path else []
                continue
            seen = self._seen(asset, made.path)
            if seen is None or seen.sha256 in self._rehearsed - {made.sha256}:
                arrived = new != made.path and (there := self._seen(asset, new)) and there.sha256 == made.sha256
                if arrived:  # renamed by hand, or by a run that was cut short
                    moves.append((made.path, new))
                else:
                    why = "is gone" if seen is None else "has a sandbox picture in its place"
                    gone.append(f"{one_line(made.path)} {why}")
            elif seen.sha256 != made.sha256:
                edited.append(made.path)
            elif new != made.path:
                moves.append((made.path, new))
        return tuple(edited), tuple(gone), tuple(moves)

    def _unless_foreign(self, item: Item) -> Item:
        """Return an item that is to be made, or one that is left alone: a file of others stands in its place."""
        if self.wanted.inputs_only:
            return item
        there = [path for path in self.places.candidates(item.asset, self.sight.near) if self.sight.there(path)]
        may = set(item.ours) | {old for old, _ in item.moves}
        strange = tuple(path for path in there if path not in may and self._is_foreign(path))
        if strange:
            why = tuple(map(_stranger, strange))
            return _with(item, status="edited", why=why, edited=strange, moves=(), ours={})
        coming = {new: found for old, new in item.moves for found in self._contents([old]).values()}
        return _with(item, ours={**item.ours, **self._contents(there), **coming} or NOTHING)

    def _contents(self, paths: Iterable[str]) -> Mapping[str, str]:
        seen = ((path, self.sight.file(path)) for path in paths)
        return {path: found.sha256 for path, found in seen if found is not None} or NOTHING

    def _is_foreign(self, path: str, moving: str = "") -> bool:
        """Tell whether something is there that neither the lock nor the sandbox's knows."""
        if not self.sight.there(path):
            return False
        try:
            seen = self.sight.file(path)
        except OSError:
            return True
        if seen is None:
            return True
        if seen.sha256 in self._rehearsed:
            return False
        known = self._known().get(seen.sha256, ())
        return not any(other in (path, moving) or self._is_whole(other, seen.sha256) for other in known)

    def _is_whole(self, path: str, sha256: str) -> bool:
        """Tell whether a file of the lock is as it was: then a copy may go (a move that was cut short left it)."""
        try:
            seen = self.sight.file(path)
        except OSError:
            return False
        return seen is not None and seen.sha256 == sha256

    def _known(self) -> Mapping[str, list[str]]:
        if self._ours is None:
            self._ours = {}
            for entry in self.entries.values():
                for made in entry.files:
                    self._ours.setdefault(made.sha256, []).append(made.path)
        return self._ours

    def _seen(self, asset: Asset, path: str) -> Seen | None:
        try:
            return self.sight.file(path)
        except OSError as error:
            raise self._wrong(asset, "output", f"{one_line(path)} cannot be read: {error.strerror}") from error

    # -- what it is made from

    def _inputs(self, asset: Asset) -> tuple[Mapping[str, str], dict[str, list[str]]]:
        """Return the content of each reference as it is now; the assets it uses that change, or have no files yet."""
        inputs: dict[str, str] = {}
        upstream: dict[str, list[str]] = {}
        for field, references in asset.references.items():
            for one in references:
                if one.kind == "file":
                    inputs[str(one)] = self._content(asset, field, one.value).sha256
                elif one.kind == "asset" and str(one) not in inputs:
                    item = self.items.get(one.value)
                    if item is not None and item.status in HERE and item.entry is not None and item.entry.files:
                        inputs[str(one)] = self._output(item.asset, item.entry)
                    else:
                        absent = item is not None and item.status in HERE
                        names = upstream.setdefault("absent" if absent else "changes", [])
                        names += [str(one)] if str(one) not in names else []
        return inputs or NOTHING, upstream

    def _output(self, asset: Asset, entry: Entry) -> str:
        """Return the content of another asset's output as it is on disk, edited or not."""
        if self.wanted.inputs_only:
            return content_of(entry)
        return content([(self._seen(asset, made.path) or made).sha256 for made in entry.files])

    def _content(self, asset: Asset, field: str, name: str) -> Seen:
        try:
            seen = self.sight.file(name)
        except OSError as error:
            raise self._wrong(asset, field, f"{one_line(name)} cannot be read: {error.strerror}") from error
        if seen is None:
            raise self._wrong(asset, field, f"{one_line(name)} does not exist or is no file")
        return seen

    def _wrong(self, asset: Asset, field: str, why: str, hint: str = "") -> UsageError:
        place = f"{self.manifest.where(asset)}: {asset.id}: {field}"
        return UsageError(f"{place}: {why}", hint=hint or f"edit {self.manifest.path}")


def refuse_pointers(manifest: Manifest, items: Mapping[str, Item], sight: Sight) -> None:
    """Refuse to send a Git LFS pointer in place of a picture. Raises ``UsageError`` with the command that brings it."""
    for item in items.values():
        if item.status not in MAKES:
            continue
        for field, path in _used(item, items):
            if (seen := sight.file(path)) is not None and seen.pointer:
                raise UsageError(
                    f"{manifest.where(item.asset)}: {item.asset.id}: {field}: "
                    f"{one_line(path)} is a Git LFS pointer, not the picture",
                    hint=f"git lfs pull --include {path}",
                )


def _used(item: Item, items: Mapping[str, Item]) -> Iterator[tuple[str, str]]:
    for field, references in item.asset.references.items():
        for one in references:
            if one.kind == "file":
                yield field, one.value
            elif one.kind == "asset":
                other = items.get(one.value)
                if other is not None and other.status in HERE and other.entry is not None:
                    made: Made
                    for made in other.entry.files:
                        yield field, made.path


def _with(item: Item, **fields: object) -> Item:
    from wan_cli.dataclass import replace

    return replace(item, **fields)


def _stranger(path: str) -> str:
    return f"{one_line(path)} is there, and the lock does not know it"


def _other_provider(entry: Entry, asset: Asset) -> tuple[str, ...]:
    """Return that somebody else is named to make it. A longer list, or another order, changes nothing."""
    if not asset.providers or entry.provider is None or entry.provider in asset.providers:
        return ()
    return (f"provider was {entry.provider}, is {one_line(', '.join(asset.providers))}",)


def _other_inputs(entry: Entry, inputs: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(
        f"{one_line(name)} has other content" for name, digest in inputs.items()
        if name in entry.inputs and entry.inputs[name] != digest
    )  # fmt: skip
