"""Files of others read without trusting them: regular ones, up to a size (reliability.md S8, C06, C09)."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from stat import S_ISREG


class TooLarge(OSError):
    """A file has more bytes than are read."""


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes.

    A pipe without a writer is not waited for, and a device is not read. Raises ``OSError``; :class:`TooLarge` where
    there is more.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        data = file.read(most + 1)
    if len(data) > most:
        raise TooLarge(errno.EFBIG, f"it is larger than {most:,} bytes", str(path))
    return data
