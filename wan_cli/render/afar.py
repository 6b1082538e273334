"""What is in an object store, looked at once: one list, and one question for each object that changed since.

The memory of what earlier runs learnt is in the state folder: an object whose tag and size are the same has the same
content. What the manifest itself reads stays on this machine.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from pathlib import Path

from wan_cli.render.sight import Seen, Sight
from wan_cli.stores import Address, StoreFault
from wan_cli.stores.faults import refusal
from wan_cli.whole import whole

_PARTS = 3


class StoreSight(Sight):
    """Looks at objects below ``home`` by their relative names, and at the files in ``reads`` below ``root``."""

    def __init__(self, root: Path, memory: Path, now_ns: int, *, home: Address, reads: Collection[str]) -> None:
        """List what is there. Raises ``WanError`` where the store cannot be used."""
        from wan_cli.stores import objects

        super().__init__(root, memory, now_ns)
        self.home = home
        self._reads = reads
        self._ask = objects
        self._digests: dict[str, tuple[str, int, str]] = {}
        self._learnt: dict[str, str] = {}
        self._store_memory = memory.with_suffix(".store.json")
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            kept = json.loads(self._store_memory.read_bytes())
            if kept["home"] == str(home):
                self._digests = {name: tuple(said) for name, said in kept["objects"].items() if len(said) == _PARTS}
        try:
            self._objects = objects.listed(home)
            if not self._objects:  # a list of nothing is all that some stores say of a bucket that is not there
                objects.look(home.beside("wan-looks-whether-the-bucket-is-there"))
        except StoreFault as fault:
            raise refusal(home, fault) from fault
        self._stems_there = {name.rpartition(".")[0] for name in self._objects}

    def file(self, name: str) -> Seen | None:
        """Return what ``name`` is; ``None`` where there is nothing. Raises ``WanError`` for a store that fails."""
        if name in self._reads:
            return super().file(name)
        if name in self._learnt:
            return Seen(self._learnt[name], 0)
        if (found := self._objects.get(name)) is None:
            return None
        known = self._digests.get(name)
        if known is None or known[:2] != found:
            address = self.home.beside(name)
            try:
                sha256 = self._ask.digest(address)
            except StoreFault as fault:
                raise refusal(address, fault) from fault
            if sha256 is None:  # it went since
                return None
            known = self._digests[name] = (*found, sha256)
        return Seen(known[2], found[1])

    def there(self, name: str) -> bool:
        """Tell whether there is an object of that name: in a store, names differ by case."""
        return name in self._objects or name in self._learnt

    exists = there

    def near(self, name: str) -> bool:
        """Tell whether there is an object of that name, whatever its extension."""
        return name in self._stems_there

    def learn(self, name: str, sha256: str) -> None:
        """Take the content of an object that was just put as known, for this run."""
        self._learnt[name] = sha256

    def forget(self, name: str) -> None:
        """Nothing is looked at twice in a run: what is replaced is asked for once more when that is done."""

    def remove(self, name: str) -> None:
        """Leave it: nothing in a store is ever removed."""

    def remember(self, now_ns: int | None = None) -> None:
        """Keep what was learnt for the next run."""
        super().remember(now_ns)
        there = {name: said for name, said in self._digests.items() if name in self._objects}
        with contextlib.suppress(OSError):
            self._store_memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with whole(self._store_memory, mode=0o600) as out:
                out.write(json.dumps({"home": str(self.home), "objects": there}).encode())
