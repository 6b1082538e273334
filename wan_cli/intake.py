"""Files of others read without trusting them: regular ones, up to a size (reliability.md S8, C06, C09)."""

from __future__ import annotations

import errno
import os
from io import BufferedReader
from pathlib import Path
from stat import S_ISREG


class TooLarge(OSError):
    """A file has more bytes than are read."""


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes.

    A pipe without a writer is not waited for, and a device is not read. Raises ``OSError``; :class:`TooLarge` where
    there is more.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(min(size, most) + 1)  # as much as there is: a read reserves what it is asked for
        if len(data) > size:
            data += file.read(most + 1 - len(data))
    if len(data) > most:
        raise TooLarge(errno.EFBIG, f"it is larger than {most:,} bytes", str(path))
    return data


def digest_of(path: Path | str) -> str | None:
    """Return the sha256 of a regular file of any size, in hexadecimal; ``None`` where it cannot be read."""
    import hashlib

    try:
        with _opened(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # ValueError: a name that the file system cannot have
        return None


def _opened(path: Path | str) -> BufferedReader:
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is no regular file", str(path))
