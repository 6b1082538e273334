"""A file that one process holds: the system lets go of it when the process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

if sys.platform == "win32":  # pragma: no cover - the tests run on one operating system
    import msvcrt

    def hold(descriptor: int) -> None:
        """Hold an open file. Raises ``OSError`` where another process has it."""
        os.lseek(descriptor, 0x7FFF0000, os.SEEK_SET)  # beyond its end: what is held there cannot be read by others
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def hold(descriptor: int) -> None:
        """Hold an open file. Raises ``OSError`` where another process has it."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def open_to_hold(path: Path) -> int:
    """Open a file that is added to, and make it where it is not there. Raises ``OSError``."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return os.open(path, flags, 0o666)


def is_there(descriptor: int, path: Path) -> bool:
    """Tell whether an open file is still the one at ``path``: whoever had it before may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116 - beside fstat
    except OSError:
        return False


def remove(descriptor: int, path: Path) -> None:
    """Remove a file that is held."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)  # where an open file cannot be removed, nothing of it is read again
        path.unlink()
