"""From bytes that arrive to a file under its final name: part file, checks, sync, rename (reliability.md 4.8).

A file under its final name is complete. Nothing that exists is overwritten unless that was asked for, nothing is
written through a link, and no failure here costs money: the result stays at the provider, and the error says so.
"""

from __future__ import annotations

import errno
import itertools
import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Self

from wan_cli import media, text
from wan_cli.errors import DownloadFailed, WriteFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HEAD_BYTES = 64
"""Enough to tell what arrives (reliability.md S13)."""

_NAME_TRIES = 100
_QUOTED = 200
_QUOTE_BYTES = 2_048
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR}


def _token() -> str:
    import secrets

    return secrets.token_hex(4)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Translate ``OSError`` (a full, read-only or failing disk) to ``WriteFailed``: nothing is lost."""
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        hint = "free some space" if full else "mend the folder, or choose another with -o"
        raise WriteFailed(
            f"{path} could not be written: {error.strerror or error}; the result is still at the provider",
            hint=f"{hint}, then: wan wait TASK",
        ) from error


class Part:
    """The bytes of one result on their way: a hidden file beside the target, hashed as it grows.

    ``target`` is the path that the result will have (its extension may still change), ``cap`` the most bytes it may
    have, ``expected`` what it should be (``picture``, ``video``), ``token`` makes the random piece of the name. As a
    context manager it removes the file unless it was published. Every method raises ``WriteFailed`` for ``OSError``.
    """

    def __init__(
        self, target: Path, *, cap: int, expected: str = "picture", token: Callable[[], str] = _token
    ) -> None:  # fmt: skip
        """Create the file, and its folder where that is missing."""
        import hashlib

        self.target = target
        self.cap = cap
        self.expected = expected
        self.suspect: Path | None = None
        """Where a picture with too many pixels was kept; fetching it again would bring the same bytes."""
        self._new_hash = hashlib.sha256
        self.token = token
        self._mode = 0o666 & ~_umask()  # now: publishing may be done in a thread, and the umask is the process's
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            self.path, self._fd = self._create()
        self._open = True
        self._reset()

    def _create(self) -> tuple[Path, int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
            flags |= getattr(os, name, 0)
        for _ in range(_NAME_TRIES):
            path = self.target.with_name(f".{self.target.stem}.{self.token()}.part")
            with suppress(FileExistsError):  # somebody's file or link: another name (reliability.md 3.7, S13)
                return path, os.open(path, flags, 0o600)
        raise FileExistsError(errno.EEXIST, "every name for a temporary file is taken")

    def _reset(self) -> None:
        self.size = 0
        self.head = b""
        self._hash = self._new_hash()

    def __enter__(self) -> Self:
        """Return the part itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the file unless it was published."""
        self.discard()

    @property
    def sha256(self) -> str:
        """The hex digest of what was written so far."""
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> int:
        """Append ``chunk``. Raises ``DownloadFailed``, having written none of it, where it would pass the cap."""
        if self.size + len(chunk) > self.cap:
            raise DownloadFailed(
                f"{self.target.name}: the result has more than the {self.cap:,} bytes that are taken; "
                "it is still at the provider",
                hint="its address, to fetch it otherwise: wan status TASK --json",
            )
        with _writing(self.target):
            rest = memoryview(chunk)
            while rest:
                written = os.write(self._fd, rest)
                self._hash.update(rest[:written])
                self.size += written
                rest = rest[written:]
        self.head = (self.head + chunk[: HEAD_BYTES - len(self.head)])[:HEAD_BYTES]
        return len(chunk)

    def truncate(self) -> None:
        """Start again from nothing, in the same file."""
        with _writing(self.target):
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
        self._reset()

    @contextmanager
    def reading(self) -> Iterator[IO[bytes]]:
        """Open what was written, by the same descriptor: the name might be another file by now."""
        with _writing(self.target):
            try:
                with os.fdopen(os.dup(self._fd), "rb") as file:
                    file.seek(0)
                    yield file
            finally:
                os.lseek(self._fd, self.size, os.SEEK_SET)

    def check(self) -> media.Sniffed:
        """Return what arrived, once it is complete.

        Another kind of media than expected is accepted (it was paid for; reliability.md D09). Raises ``DownloadFailed``
        for anything that is none, for an empty or cut file, and for too many pixels: such a picture is kept unopened as
        ``NAME.suspect``, see :attr:`suspect` (D04, D08, D12, D16).
        """
        with self.reading() as file:
            sniffed = media.inspect(file)
            fault = self._kind_fault(sniffed.mime, file)
            if fault is None and sniffed.pixels <= media.MAX_PIXELS:
                structure = media.check_structure(file, sniffed.mime, self.size)
                fault = f"the {self.expected} is not whole: {structure}" if structure else None
        if fault is None and sniffed.pixels > media.MAX_PIXELS:
            self.suspect = self.publish(self.target.with_name(f"{self.target.name}.suspect"), overwrite=False)
            fault = (
                f"the {self.expected} declares {sniffed.width}x{sniffed.height}, more than {media.MAX_PIXELS:,} "
                f"pixels; it was kept unopened as {self.suspect}"
            )
        if fault:
            raise DownloadFailed(f"{self.target.name}: {fault}", hint="wan wait TASK")
        return sniffed

    def _kind_fault(self, mime: str, file: IO[bytes]) -> str | None:
        if self.size == 0:
            return f"expected a {self.expected}, got an empty file"
        if mime in media.EXTENSIONS:
            return None
        fault = f"expected a {self.expected}, got {media.spoken(mime)}"
        if mime.startswith("text/") or mime in {"application/json", "application/xml", "image/svg+xml"}:
            file.seek(0)
            said = file.read(_QUOTE_BYTES).decode(errors="replace")
            fault += f': "{text.one_line(said, _QUOTED)}"'
        return fault

    def publish(self, final: Path, *, overwrite: bool) -> Path:
        """Sync the bytes and give them their name in the part's own folder; return the name they really got.

        Where ``final`` was taken meanwhile and may not be overwritten, that is the first free of ``NAME-2``,
        ``NAME-3``, ...
        """
        with _writing(final):
            if not self.path.exists():
                self._recover()
            os.fsync(self._fd)
            if hasattr(os, "fchmod"):  # Windows has no modes to set
                os.fchmod(self._fd, self._mode)
            self._close()
            if overwrite:
                self.path.replace(final)
            else:
                final = next(name for name in _candidates(final) if self._place(name))
            _sync_folder(final.parent)
        return final

    def _recover(self) -> None:
        """Make folder and file once more where somebody removed them: what was written is still open (S18)."""
        import shutil

        self.target.parent.mkdir(parents=True, exist_ok=True)
        lost, (self.path, self._fd) = self._fd, self._create()
        with os.fdopen(lost, "rb") as old, os.fdopen(os.dup(self._fd), "wb") as new:
            old.seek(0)
            shutil.copyfileobj(old, new)

    def _place(self, final: Path) -> bool:
        """Move the file to ``final`` if that is free: by a link, or where there are none, over an empty file."""
        try:
            os.link(self.path, final)
        except FileExistsError:
            return False
        except OSError:
            return self._claim(final)
        with suppress(OSError):  # the picture has its name; a second one is no harm
            self.path.unlink()
        return True

    def _claim(self, final: Path) -> bool:
        try:
            os.close(os.open(final, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        try:
            self.path.replace(final)
        except OSError:
            final.unlink()
            raise
        return True

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._fd)

    def discard(self) -> None:
        """Close and remove the file, if it still has its temporary name; never raises."""
        with suppress(OSError):
            self._close()
        with suppress(OSError):
            self.path.unlink()


def _candidates(final: Path) -> Iterator[Path]:
    yield final
    for number in itertools.count(2):
        yield final.with_name(f"{final.stem}-{number}{final.suffix}")


def _umask() -> int:
    """Return the process's umask; there is no way to read it but to set it (to the tightest, for that moment)."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where folders can be synced at all."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def free_space(folder: Path) -> int:
    """Return how many bytes can be written to ``folder``, or to the nearest parent that exists. Raises ``OSError``."""
    import shutil

    existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    return shutil.disk_usage(existing).free


def ensure_space(folder: Path, needed: int) -> None:
    """Raise ``WriteFailed`` unless ``folder`` has room for ``needed`` bytes and a tenth (reliability.md S03)."""
    with _writing(folder):
        free = free_space(folder)
    if free < needed + needed // 10:
        raise WriteFailed(
            f"{folder} has {free:,} bytes free, and the result needs {needed:,} and some room; "
            "it is still at the provider",
            hint="free some space, then: wan wait TASK",
        )
