"""Files of others read without trusting them: regular ones, up to a size (reliability.md S8, C06, C09)."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from stat import S_ISREG
from typing import Any


class TooLarge(OSError):
    """A file has more bytes than are read."""


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes.

    A pipe without a writer is not waited for, and a device is not read. Raises ``OSError``; :class:`TooLarge` where
    there is more.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(min(size, most) + 1)  # room for all of ``most`` would be reserved
        if size < len(data) <= most:
            data += file.read(most + 1 - len(data))  # it grew meanwhile, or tells no size (/proc)
    if len(data) > most:
        raise _too_large(path, most)
    return data


def digest_of(path: Path | str) -> str | None:
    """Return the sha256 of a regular file of any size, in hexadecimal; ``None`` where it cannot be read."""
    import hashlib

    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # ValueError: a name that the file system cannot have
        return None


def lines_of(path: Path, most: int) -> Iterator[bytes]:
    """Yield the lines of such a file with their ends, never all of it at once; see :func:`read_regular`."""
    read = 0
    with open_regular(path) as file:
        while line := file.readline(most - read + 1):
            read += len(line)
            if read > most:
                raise _too_large(path, most)
            yield line


def open_regular(path: Path | str) -> BufferedReader:
    """Open a regular file for reading. Raises ``OSError`` for anything else."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return file


def _too_large(path: Path, most: int) -> TooLarge:
    return TooLarge(errno.EFBIG, f"it is larger than {most:,} bytes", str(path))


def strict_json(text: str | bytes) -> Any:
    """Read JSON that every reader reads alike: no name twice in one object, no ``NaN``. Raises ``ValueError``."""
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {sys.intern(name): value for name, value in pairs}  # ten thousand lines have the same few
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        msg = f"{next(name for name in names if names.count(name) > 1)} is said twice"
        raise ValueError(msg)
    return found


def _no_constant(name: str) -> Any:
    msg = f"{name} is not a number here"
    raise ValueError(msg)
