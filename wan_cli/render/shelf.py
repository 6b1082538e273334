"""Tasks that have ended, kept small until the end of a run: ten thousand of them would take more than the run itself.

Each is the JSON of the ledger, compressed; those of one run are much alike, so the first is the dictionary of the rest.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from wan_cli.models import Task
from wan_cli.record import from_document, to_document

WINDOW = 32 * 1024
"""Bytes that zlib looks back (RFC 1951): of a longer dictionary it takes the end."""


class Kept(Sequence[Task]):
    """The tasks of one asset: each look at them unpacks them."""

    __slots__ = ("_count", "_data", "_shelf")

    def __init__(self, shelf: Shelf, data: bytes, count: int) -> None:
        """Use :meth:`Shelf.keep`."""
        self._shelf = shelf
        self._data = data
        self._count = count

    @overload
    def __getitem__(self, place: int) -> Task: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Task]: ...

    def __getitem__(self, place: int | slice) -> Task | Sequence[Task]:
        """Return one task, or several."""
        return self._shelf.take(self._data)[place]

    def __iter__(self) -> Iterator[Task]:
        """Go through them."""
        return iter(self._shelf.take(self._data))

    def __len__(self) -> int:
        """Count them."""
        return self._count


class Together(Sequence[Task]):
    """The tasks of several assets as one sequence, of which one asset's are there at a time."""

    def __init__(self, parts: Sequence[Sequence[Task]]) -> None:
        """``parts`` are in order."""
        self._parts = parts

    @overload
    def __getitem__(self, place: int) -> Task: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Task]: ...

    def __getitem__(self, place: int | slice) -> Task | Sequence[Task]:
        """Return one task, or several."""
        return tuple(self)[place]

    def __iter__(self) -> Iterator[Task]:
        """Go through them."""
        return (task for part in self._parts for task in part)

    def __len__(self) -> int:
        """Count them."""
        return sum(map(len, self._parts))


class Shelf:
    """Where the tasks of one run are kept."""

    def __init__(self) -> None:
        """Start empty."""
        self._like = b""

    def keep(self, tasks: Iterable[Task]) -> Sequence[Task]:
        """Return the same tasks in less room."""
        found = [to_document(task) for task in tasks]
        if not found:
            return ()
        data = json.dumps(found, separators=(",", ":")).encode("ascii")
        self._like = self._like or data[-WINDOW:]
        packer = zlib.compressobj(zdict=self._like)
        return Kept(self, packer.compress(data) + packer.flush(), len(found))

    def take(self, data: bytes) -> tuple[Task, ...]:
        """Return what was kept."""
        text = zlib.decompressobj(zdict=self._like).decompress(data)
        return tuple(from_document(one) for one in json.loads(text))
