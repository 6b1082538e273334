"""What is on disk, looked at once: one ``stat`` a file, and one hash where its size or time has changed.

The memory of earlier hashes lives in the state folder, not in the project: times mean nothing on another machine. A
file that was written just before the memory was is not trusted to its time, for it could change again within the same
tick (git's racy index, git-scm.com/docs/racy-git): two seconds where the file system counts whole seconds (FAT),
else two hundredths of one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import struct
import unicodedata
from pathlib import Path
from stat import S_ISLNK, S_ISREG

from wan_cli.dataclass import dataclass
from wan_cli.manifest.jail import Folders
from wan_cli.pattern import pattern
from wan_cli.whole import whole

RACY_NS = 20_000_000
"""Two ticks of the slowest clock that Linux stamps files by (HZ=100)."""
RACY_COARSE_NS = 2_000_000_000
_SECOND_NS = 1_000_000_000
_POINTER = pattern(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,19})\n\Z"
)
"""A Git LFS pointer (github.com/git-lfs/git-lfs, docs/spec.md)."""
POINTER_BYTES = 1024
_PARTS = 6
_KNOWN = struct.Struct("<qqqQ32sq")
"""Size, both times in nanoseconds, inode, sha256, and the size a pointer stands for, -1 for what is none: in a third of
the room that a tuple takes, for ten thousand files are known at a time."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One file: the sha256 of its content, or of what its Git LFS ``pointer`` stands for; ``size`` in bytes."""

    sha256: str
    size: int
    pointer: bool = False


class Sight:
    """Looks at files below ``root`` by their relative names. ``hashed`` and ``looked`` count what it cost."""

    def __init__(self, root: Path, memory: Path | None, now_ns: int) -> None:
        """Read the memory of earlier looks, if there is one; a damaged one is forgotten."""
        self.root = root
        self.folders = Folders(root)
        self._memory = memory
        self._now_ns = now_ns
        self._known: dict[str, bytes] = {}
        self._seen: dict[str, Seen | None] = {}
        self._fresh: dict[str, bytes] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._stems: dict[str, frozenset[str]] = {}
        self.hashed = self.looked = 0
        if memory is not None:
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, struct.error):
                found = json.loads(memory.read_bytes())
                if found["root"] == self.folders.base:
                    self._known = {name: _packed(*said) for name, said in found["files"].items() if len(said) == _PARTS}

    def file(self, name: str) -> Seen | None:
        """Return what ``name`` is; ``None`` where there is no regular file. Raises ``OSError``."""
        if name not in self._seen:
            self._seen[name] = self._look(name)
        return self._seen[name]

    def there(self, name: str) -> bool:
        """Tell whether there is anything of that name, by one look into its folder."""
        folder, _, last = name.rpartition("/")
        return _folded(last) in self._listed(folder) and os.path.lexists(self._path(name))

    def near(self, name: str) -> bool:
        """Tell whether there is anything of that name, whatever its extension, by one look into its folder."""
        folder, _, last = name.rpartition("/")
        self._listed(folder)
        return _folded(last) in self._stems[folder]

    def _listed(self, folder: str) -> frozenset[str]:
        if folder not in self._names:
            try:
                listed = os.listdir(self.folders.real(folder))  # noqa: PTH208 - names only
            except OSError:
                listed = []
            self._names[folder] = frozenset(map(_folded, listed))
            self._stems[folder] = frozenset(name.rpartition(".")[0] for name in self._names[folder])
        return self._names[folder]

    def exists(self, name: str) -> bool:
        """Tell whether there is anything of that name now."""
        return (self.root / name).exists()

    def remove(self, name: str) -> None:
        """Remove a file that was ours. Raises ``OSError``."""
        (self.root / name).unlink()
        self.forget(name)

    def learn(self, name: str, sha256: str) -> None:
        """Take the content of a file that was just written as known. One that cannot be seen is looked at later."""
        self.forget(name)
        with contextlib.suppress(OSError):
            stat = os.lstat(self._path(name))
            if S_ISREG(stat.st_mode):
                self._fresh[name] = _packed(*_key(stat), sha256, -1)

    def forget(self, name: str) -> None:
        """Look at a file anew: it was just written."""
        self._seen.pop(name, None)
        self._known.pop(name, None)
        self._fresh.pop(name, None)
        self._names.pop(name.rpartition("/")[0], None)

    def _path(self, name: str) -> str:
        folder, _, last = name.rpartition("/")
        path = os.path.join(self.folders.real(folder), last)  # noqa: PTH118 - ten thousand of them
        if not self.folders.holds(path):
            raise OSError(errno.EACCES, f"it leads to {path}, which is not below {self.root}")
        return path

    def _look(self, name: str) -> Seen | None:
        path = self._path(name)
        self.looked += 1
        try:
            stat = os.lstat(path)
            if S_ISLNK(stat.st_mode):
                path = os.path.realpath(path)
                if not self.folders.holds(path):
                    raise OSError(errno.EACCES, f"it leads to {path}, which is not below {self.root}")
                stat = os.stat(path)  # noqa: PTH116 - ten thousand of them
        except (FileNotFoundError, NotADirectoryError):
            self._known.pop(name, None)
            return None
        if not S_ISREG(stat.st_mode):
            return None
        known = self._fresh.get(name) or self._known.get(name)
        *key, digest, stands_for = _KNOWN.unpack(known) if known else (None, b"", -1)
        if known and tuple(key) == _key(stat):
            self._fresh[name] = known
            return Seen(digest.hex(), stat.st_size if stands_for < 0 else stands_for, pointer=stands_for >= 0)
        seen = self._hash(Path(path), stat.st_size)
        self._fresh[name] = _packed(*_key(stat), seen.sha256, seen.size if seen.pointer else -1)
        return seen

    def _hash(self, path: Path, size: int) -> Seen:
        self.hashed += 1
        with path.open("rb") as file:
            if size <= POINTER_BYTES and (found := _POINTER.match(data := file.read())):
                return Seen(found[1].decode(), int(found[2]), pointer=True)
            if size <= POINTER_BYTES:
                return Seen(hashlib.sha256(data).hexdigest(), len(data))
            return Seen(hashlib.file_digest(file, "sha256").hexdigest(), size)

    def remember(self, now_ns: int | None = None) -> None:
        """Keep what was seen for the next run; a folder that cannot be written costs time there, nothing else.

        ``now_ns`` is the time, where some of it has passed: what was written just before it is looked at anew.
        """
        now = self._now_ns if now_ns is None else now_ns
        kept = {**self._known, **self._fresh}
        kept = {name: said for name, said in kept.items() if not _racy(said, now)}
        if self._memory is None or kept == self._known:
            return
        with contextlib.suppress(OSError):
            self._memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with whole(self._memory, mode=0o600) as out:
                out.write(f'{{"root":{json.dumps(self.folders.base)},"files":{{'.encode())
                for number, (name, said) in enumerate(kept.items()):
                    out.write(f"{',' if number else ''}{json.dumps(name)}:{json.dumps(_unpacked(said))}".encode())
                out.write(b"}}")


def _key(stat: os.stat_result) -> tuple[int, int, int, int]:
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _packed(size: int, written: int, changed: int, inode: int, sha256: str, stands_for: int) -> bytes:
    digest = bytes.fromhex(sha256)
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError(sha256)
    return _KNOWN.pack(size, written, changed, inode, digest, stands_for)


def _unpacked(said: bytes) -> list[int | str]:
    *key, digest, stands_for = _KNOWN.unpack(said)
    return [*key, digest.hex(), stands_for]


def _racy(said: bytes, now: int) -> bool:
    _, written, changed, *_ = _KNOWN.unpack(said)
    coarse = written % _SECOND_NS == 0
    return bool(max(written, changed) >= now - (RACY_COARSE_NS if coarse else RACY_NS))


def _folded(name: str) -> str:
    return name if name.isascii() and name.islower() else unicodedata.normalize("NFC", name).casefold()
