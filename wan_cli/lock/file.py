"""The lock on disk: one JSON file that is committed, and a journal beside it while a run is under way.

Every change is one synced line of the journal, so a run of ten thousand assets does not write the whole lock ten
thousand times. At the end the journal is folded into the lock; after a crash both stay, and whoever opens the lock
next reads both.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wan_cli.errors import StateUnusable, UsageError
from wan_cli.intake import lines_of, open_regular, read_regular, strict_json
from wan_cli.lock.entries import Entries
from wan_cli.lock.entry import Entry
from wan_cli.lock.text import entry_of, loads, pieces
from wan_cli.text import one_line

MOST_BYTES = 256 * 1024 * 1024
_TRIES = 20

if sys.platform == "win32":  # pragma: no cover - the tests run on one operating system
    import msvcrt

    def _hold(descriptor: int) -> None:
        os.lseek(descriptor, 0x7FFF0000, os.SEEK_SET)  # beyond its end: what is held there cannot be read by others
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _hold(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _digest_of(path: Path) -> bytes:
    with _readable(path), open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").digest()
    return _digest(b"")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Take a file that is not there for an empty one. Raises ``UsageError`` for one that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error


class Lock:
    """The lock of one manifest. ``held`` for a run; without it nothing can be changed."""

    def __init__(self, path: Path) -> None:
        """Read ``path`` and the journal beside it. Raises ``UsageError``."""
        self.path = path
        self.journal = path.with_name(f"{path.name}.journal")
        self.entries = Entries({})
        self._descriptor: int | None = None
        self._changed = False
        self._unsynced: dict[str, tuple[Entry | None, list[bytes]]] | None = None
        """Within :meth:`together`: what each entry was before, and the lines that change it."""
        self._was = _digest(b""), _digest(b"")
        self._read()

    def _read(self) -> None:
        data = b""
        with _readable(self.path):
            data = read_regular(self.path, MOST_BYTES)
        # The journal at once after it, and only then a closer look: another process may fold the one into the other.
        since: dict[str, Entry | None] = {}
        digest = hashlib.sha256()
        for number, (name, block) in self._lines(digest):
            place = f"{self.journal.name}:{number}: {one_line(name)}"
            since[name] = None if block is None else entry_of(block, place)
        self._was, self._changed = (_digest(data), digest.digest()), bool(since)
        try:
            found = loads(data.decode("utf-8-sig"), self.path.name)
        except UnicodeDecodeError as error:
            raise UsageError(f"{self.path.name}: not UTF-8", hint=f"git checkout {self.path.name}") from error
        changed = {**found, **since}
        self.entries = Entries({name: entry for name, entry in changed.items() if entry is not None})

    def _lines(self, digest: hashlib._Hash) -> Iterator[tuple[int, tuple[str, Any]]]:
        """Yield the journal's lines, and tell ``digest`` of them: of ten thousand assets it has some 30 MiB.

        A line that a crash cut is no JSON, and what it said was not acted upon.
        """
        for number, line in enumerate(self._journaled(), start=1):
            digest.update(line)
            if line.startswith((b"<<<<<<< ", b"=======", b">>>>>>> ")):
                raise self._damaged(number, "merge conflict markers; a journal is not committed")
            try:
                found = strict_json(line)
            except (ValueError, RecursionError):
                continue
            if not isinstance(found, dict) or found.keys() != {"id", "entry"} or not isinstance(found["id"], str):
                raise self._damaged(number, "not a line of a journal")
            yield number, (found["id"], found["entry"])

    def _journaled(self) -> Iterator[bytes]:
        with _readable(self.journal):
            yield from lines_of(self.journal, MOST_BYTES)

    def _damaged(self, number: int, why: str) -> UsageError:
        return UsageError(f"{self.journal.name}:{number}: {why}", hint=f"look at {self.journal}, then move it away")

    # -- writing

    def __enter__(self) -> Self:
        """Become the one process that changes it. Raises ``StateUnusable`` where that cannot be."""
        for _ in range(_TRIES):
            descriptor = self._opened()
            try:
                same = os.path.samestat(os.fstat(descriptor), os.stat(self.journal))  # noqa: PTH116 - beside fstat
            except OSError:
                same = False
            if same:
                break
            os.close(descriptor)  # whoever had it has folded it, and it is gone: what is written there is lost
        else:
            raise self._busy()
        self._descriptor = descriptor
        try:
            if self._was != (_digest_of(self.path), _digest_of(self.journal)):
                raise StateUnusable(
                    f"{self.path.name} was changed by another process meanwhile", hint="run the command again"
                )
        except BaseException:
            self._descriptor = None
            os.close(descriptor)
            raise
        return self

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
            flags |= getattr(os, name, 0)
        try:
            descriptor = os.open(self.journal, flags, 0o666)
        except OSError as error:
            raise StateUnusable(
                f"{self.journal} cannot be written: {error.strerror}", hint=f"chmod u+w {self.path.parent}"
            ) from error
        try:
            _hold(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise self._busy() from error
        return descriptor

    def _busy(self) -> StateUnusable:
        return StateUnusable(
            f"another wan render is at work on {self.path.name}", hint="wait for it; then run the command again"
        )

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
        """Write the lock, atomically; only then the journal goes. A disk that is full leaves both."""
        if self._changed:
            part = self.path.with_name(f".{self.path.name}.{secrets.token_hex(3)}.part")
            try:
                with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as out:
                    digest = hashlib.sha256()
                    for piece in pieces(self.entries):
                        digest.update(data := piece.encode())
                        out.write(data)
                    out.flush()
                    os.fsync(out.fileno())
                part.replace(self.path)
                self._synced()
            except OSError:
                with contextlib.suppress(OSError):
                    part.unlink()
                return
            self._changed = False
            self._was = digest.digest(), _digest(b"")
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)  # where an open file cannot be removed, nothing of it is read again
            self.journal.unlink()

    def _synced(self) -> None:
        if os.name == "posix":
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
