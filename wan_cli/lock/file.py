"""The lock on disk: one JSON file that is committed, and a journal beside it while a run is under way.

Every change is one synced line of the journal, so a run of ten thousand assets does not write the whole lock ten
thousand times. At the end the journal is folded into the lock; after a crash both stay, and whoever opens the lock
next reads both. A run over one part of several has a journal of its own (:mod:`wan_cli.lock.shard`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from wan_cli.errors import StateUnusable, UsageError
from wan_cli.intake import read_regular
from wan_cli.lock.entries import Entries
from wan_cli.lock.entry import Entry
from wan_cli.lock.grip import hold as _hold
from wan_cli.lock.grip import is_there, open_to_hold, remove
from wan_cli.lock.journal import MOST_BYTES, digest_of, lines, part_of, parts_of, readable
from wan_cli.lock.text import entry_of, loads, pieces
from wan_cli.text import one_line
from wan_cli.whole import whole

_TRIES = 20


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class Lock:
    """The lock of one manifest. ``held`` for a run; without it nothing can be changed."""

    def __init__(self, path: Path) -> None:
        """Read ``path`` and the journal beside it. Raises ``UsageError``."""
        self.path = path
        self.whole = self.journal = path.with_name(f"{path.name}.journal")
        """The journal of a run over all of it, and this one's."""
        self.entries = Entries({})
        self._descriptor: int | None = None
        self._changed = False
        self._unsynced: dict[str, tuple[Entry | None, list[bytes]]] | None = None
        """Within :meth:`together`: what each entry was before, and the lines that change it."""
        self._was = _digest(b""), _digest(b"")
        for _ in range(_TRIES):
            before = self._stamp()
            self._read((self.whole, *parts_of(path)))
            if self._stamp() == before:
                return  # else a part has folded its journal meanwhile, and it may have been read neither here nor there

    def _stamp(self) -> tuple[int, ...]:
        with contextlib.suppress(OSError):
            seen = self.path.stat()
            return seen.st_ino, seen.st_mtime_ns, seen.st_size
        return ()

    def _read(self, journals: Iterable[Path]) -> None:
        data = b""
        with readable(self.path):
            data = read_regular(self.path, MOST_BYTES)
        # The journal at once after it, and only then a closer look: another process may fold the one into the other.
        since: dict[str, Entry | None] = {}
        digest = hashlib.sha256()
        for journal in journals:
            for number, (name, block) in lines(journal, digest if journal == self.whole else None):
                place = f"{journal.name}:{number}: {one_line(name)}"
                since[name] = None if block is None else entry_of(block, place)
        self._was, self._changed = (_digest(data), digest.digest()), bool(since)
        try:
            found = loads(data.decode("utf-8-sig"), self.path.name)
        except UnicodeDecodeError as error:
            raise UsageError(f"{self.path.name}: not UTF-8", hint=f"git checkout {self.path.name}") from error
        changed = {**found, **since}
        self.entries = Entries({name: entry for name, entry in changed.items() if entry is not None})

    # -- writing

    def __enter__(self) -> Self:
        """Become the one process that changes it. Raises ``StateUnusable`` where that cannot be."""
        self._descriptor = descriptor = self._taken(self.whole)
        try:
            if parts := parts_of(self.path):
                self._take_over(parts, descriptor)
            elif self._was != (digest_of(self.path), digest_of(self.whole)):
                raise StateUnusable(
                    f"{self.path.name} was changed by another process meanwhile", hint="run the command again"
                )
        except BaseException:
            self._descriptor = None
            os.close(descriptor)
            raise
        return self

    def _taken(self, journal: Path) -> int:
        """Hold a journal, and return it open. Raises ``StateUnusable``, also where another process has it."""
        if (descriptor := self._grip(journal)) is None:
            raise self._busy(journal)
        return descriptor

    def _grip(self, journal: Path) -> int | None:
        """Hold a journal, and return it open; ``None`` where another process has it. Raises ``StateUnusable``."""
        for _ in range(_TRIES):
            try:
                descriptor = open_to_hold(journal)
            except OSError as error:
                raise StateUnusable(
                    f"{journal} cannot be written: {error.strerror}", hint=f"chmod u+w {journal.parent}"
                ) from error
            try:
                _hold(descriptor)
            except OSError:
                os.close(descriptor)
                return None
            if is_there(descriptor, journal):
                return descriptor
            os.close(descriptor)  # whoever had it has folded it, and it is gone: what is written there is lost
        return None

    def _busy(self, journal: Path) -> StateUnusable:
        part = part_of(journal, self.path)
        which = f" (--shard {part[0]}/{part[1]})" if part else ""
        return StateUnusable(
            f"another wan render{which} is at work on {self.path.name}",
            hint="wait for it; then run the command again",
        )

    def _take_over(self, journals: Iterable[Path], whole: int) -> None:
        """Fold what crashed parts have left in these. ``whole`` is held, so no part begins or ends meanwhile.

        Raises ``StateUnusable`` where one of them is at work, or the lock cannot be written.
        """
        held: dict[Path, int] = {}
        try:
            for journal in journals:
                held[journal] = self._taken(journal)
            self._read((self.whole, *held))
            self._write()
            os.ftruncate(whole, 0)
            for journal, descriptor in held.items():
                remove(descriptor, journal)
        except OSError as error:
            raise StateUnusable(
                f"{self.path} cannot be written: {error.strerror}",
                hint="free space on its disk, then run the command again",
            ) from error
        finally:
            for descriptor in held.values():
                os.close(descriptor)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Fold the journal in, and let go."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            self._fold(descriptor)
        finally:
            os.close(descriptor)

    def put(self, name: str, entry: Entry | None) -> None:
        """Make a change durable; ``None`` forgets the asset. Raises ``StateUnusable``: then nothing was changed."""
        if entry == self.entries.get(name):
            return
        if self._descriptor is None:
            msg = "the lock is not held"
            raise RuntimeError(msg)
        said = {"id": name, "entry": None if entry is None else entry.block()}
        data = b"\n" + json.dumps(said, separators=(",", ":")).encode("ascii") + b"\n"
        if self._unsynced is None:
            self._append(self._descriptor, data)
        else:
            self._unsynced.setdefault(name, (self.entries.get(name), []))[1].append(data)
        self._set(name, entry)

    def _set(self, name: str, entry: Entry | None) -> None:
        if entry is None:
            self.entries.pop(name, None)
        else:
            self.entries.pack(name, entry)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make all changes within durable with one sync, at its end. Raises ``StateUnusable``: then none was made."""
        changed: dict[str, tuple[Entry | None, list[bytes]]] = {}
        self._unsynced = changed
        try:
            yield
            if changed and self._descriptor is not None:
                self._append(self._descriptor, b"".join(line for _, lines in changed.values() for line in lines))
        except BaseException:
            for name, (before, _) in changed.items():
                self._set(name, before)
            raise
        finally:
            self._unsynced = None

    def _append(self, descriptor: int, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        except OSError as error:
            raise StateUnusable(
                f"{self.journal} cannot be written: {error.strerror}",
                hint="free space on its disk, then run the command again",
            ) from error
        self._changed = True

    def _fold(self, descriptor: int) -> None:
        """Write the lock; only then the journal goes. A disk that is full leaves both."""
        try:
            if self._changed:
                self._write()
        except OSError:
            return
        remove(descriptor, self.journal)

    def _write(self) -> None:
        """Write the lock, atomically. Raises ``OSError``; then it is as it was."""
        with whole(self.path, sync=True) as out:
            digest = hashlib.sha256()
            for piece in pieces(self.entries):
                digest.update(data := piece.encode())
                out.write(data)
        self._synced()
        self._changed = False
        self._was = digest.digest(), _digest(b"")

    def _synced(self) -> None:
        if os.name == "posix":
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
