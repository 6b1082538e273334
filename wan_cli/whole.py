"""Files that are there whole or not at all: written beside their place under a hidden name, and renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_NAME_BYTES = 60
"""Of the file's name in the hidden one, which has 255 bytes on most systems."""


@contextmanager
def whole(path: Path, *, mode: int = 0o666, sync: bool = False, token: str = "") -> Iterator[IO[bytes]]:
    """Give a new file to write; at the end it takes the place of ``path``, or goes when anything was raised.

    ``mode`` is what its permissions are at most; ``sync`` makes it durable first; ``token`` is put into its hidden
    name, ``.NAME.TOKEN….part``. A link at ``path`` is replaced and not followed. Raises ``OSError``.
    """
    name = os.fsencode(path.name)[:_NAME_BYTES].decode("utf-8", "ignore")
    part = path.with_name(f".{name}.{token}{os.urandom(3).hex()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    for more in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, more, 0)
    descriptor = os.open(part, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
            if sync:
                out.flush()
                os.fsync(out.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
