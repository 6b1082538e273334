"""Files that only their owner may read: refused where others can, written so that others never could.

Threat S19 and fault C02 of reliability.md.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from wan_cli.errors import ConfigInvalid
from wan_cli.text import one_line
from wan_cli.whole import whole

LARGEST = 65_536
"""Bytes of a file with a key; a key has some hundreds."""
PIPE_S = 30.0
"""Seconds that a pipe in a key file's place may take, as a key command may."""


def read_private(path: Path) -> str:
    """Return the text of a key file. Raises ``ConfigInvalid`` where others may read it, as ssh does.

    A pipe (``<(pass show …)``) is waited for, but not for ever: Ctrl-C would not end that (reliability.md I14).
    """
    try:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags | getattr(os, "O_CLOEXEC", 0)), "rb") as file:
            info = os.fstat(file.fileno())
            # a container's secret is owned by root and readable by its group; anything else has to be 0600
            own = not hasattr(os, "getuid") or info.st_uid == os.getuid()  # Windows has no such modes
            loose = os.name == "posix" and stat.S_IMODE(info.st_mode) & (0o077 if own else 0o007)
            if loose and not str(path).startswith("/run/secrets/"):
                raise ConfigInvalid(
                    f"the key file {path} can be read by others", hint=f"chmod 600 {shlex.quote(str(path))}"
                )
            data = _piped(file.fileno(), path) if stat.S_ISFIFO(info.st_mode) else file.read(LARGEST)
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        why = one_line(getattr(error, "strerror", None) or str(error))
        raise ConfigInvalid(f"the key file {path} cannot be read: {why}") from error


def _piped(descriptor: int, path: Path) -> bytes:
    """Return what is written into a pipe until its end. Raises ``ConfigInvalid`` where nobody writes in time."""
    import select
    import time

    data, until = b"", time.monotonic() + PIPE_S
    while len(data) < LARGEST:
        if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
            raise ConfigInvalid(
                f"the key file {path} is a pipe, and nothing came through it within {PIPE_S:g} s",
                hint=f"ls -l {shlex.quote(str(path))}",
            )
        piece = os.read(descriptor, LARGEST - len(data))
        if not piece:
            break
        data += piece
    return data


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all: a new file (0600) takes the name when it is on disk.

    Folders that are missing are made (0700). Raises ``OSError``.
    """
    for folder in (path.parent.parent, path.parent):  # a mode is for the last folder that is made only
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with whole(path, mode=0o600, sync=True) as out:
        out.write(text.encode())
