"""The entries of a lock while a run is under way: what is finished is packed, for nobody looks at most of it again."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, MutableMapping

from wan_cli.lock.entry import ENTRY, Entry

_LIKE = (
    b'{"request":"","stated":{"verb":"generate","model":"wan2.7-image-pro","prompt":"","seed":1,"size":"2K","images":'
    b'["@"]},"inputs":{"@":""},"provider":"modelverse","model":"wan2.7-image","handle":"modelverse:","handles":["'
    b'"],"take":1,"cost":1,"unit":"credits","pinned":"modelverse","files":[{"path":"assets/","sha256":"","bytes":1000}]}'
)
"""What blocks have in common; nothing is written anywhere with it, so it may change."""


class Entries(MutableMapping[str, Entry]):
    """Entries by id. One that is set by :meth:`pack` takes a quarter of the room, and is made anew at each look."""

    def __init__(self, found: Mapping[str, Entry]) -> None:
        """Take what was read."""
        self._held: dict[str, Entry | bytes] = dict(found)

    def pack(self, name: str, entry: Entry) -> None:
        """Set an entry that will hardly be looked at again; one with purchases under way stays as it is."""
        if entry.open:
            self._held[name] = entry
            return
        packer = zlib.compressobj(zdict=_LIKE)
        text = json.dumps(entry.block(), separators=(",", ":"), ensure_ascii=False)
        self._held[name] = packer.compress(text.encode("utf-8", "surrogatepass")) + packer.flush()

    def __getitem__(self, name: str) -> Entry:
        """Return an entry."""
        held = self._held[name]
        if isinstance(held, Entry):
            return held
        text = zlib.decompressobj(zdict=_LIKE).decompress(held).decode("utf-8", "surrogatepass")
        return ENTRY.validate_python(json.loads(text))

    def __setitem__(self, name: str, entry: Entry) -> None:
        """Set an entry."""
        self._held[name] = entry

    def __delitem__(self, name: str) -> None:
        """Forget an entry."""
        del self._held[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether there is one, without a look at it."""
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        """Go through the ids."""
        return iter(self._held)

    def __len__(self) -> int:
        """Count them."""
        return len(self._held)
