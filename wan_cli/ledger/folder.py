"""The state folder and its files: made private, and refused when somebody else could write there.

Faults S12, S13 and S16 of reliability.md.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from wan_cli.errors import StateUnusable
from wan_cli.ledger.faults import ELSEWHERE

_POSIX = os.name == "posix"

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
"""Absent on Windows, where making a symbolic link takes a privilege."""
EXACT: int = NO_FOLLOW | getattr(os, "O_BINARY", 0)
"""For what is written byte by byte: Windows would put a carriage return before each line's end."""


def prepare(folder: Path) -> None:
    """Make ``folder`` (0700) unless it is there, and refuse one that is not a folder or not private.

    A link to a folder is followed: people move their state to another disk. Raises ``StateUnusable``, ``OSError``.
    """
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        msg = f"the state folder {folder} is not a folder"
        raise StateUnusable(msg, hint=aside(folder)) from error
    _refuse_foreign(folder, folder.stat(), "700")


def aside(folder: Path) -> str:
    """Return the command that moves away what is in the place of ``folder``, or of a folder above it."""
    first = next(path for path in (*reversed(folder.parents), folder) if not path.is_dir())
    named = shlex.quote(str(first))
    return f"mv -i {named} {named}.old" if os.path.lexists(first) else ELSEWHERE.removeprefix("or ")


def inspect(file: Path) -> bool:
    """Return whether ``file`` is there; refuse a link, a device, or one that others own or can write.

    One that others can merely read (restored from an archive, say) is made 0600. It is not opened: closing a second
    descriptor of a database drops the locks of every connection of this process (sqlite.org/howtocorrupt, 2.2).
    """
    try:
        found = file.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a regular file"
        msg = f"{file} is {what}, so it is not used"
        raise StateUnusable(msg, hint=f"move it away, {ELSEWHERE}")
    _refuse_foreign(file, found, "600")
    if _POSIX and found.st_mode & _OTHERS:
        file.chmod(PRIVATE_FILE)
    return True


def _refuse_foreign(path: Path, found: os.stat_result, mode: str) -> None:
    if not _POSIX:
        return
    named = shlex.quote(str(path))
    if found.st_uid != os.geteuid():
        msg = f"{path} belongs to another user (uid {found.st_uid}), who could change what was bought"
        raise StateUnusable(msg, hint=f"sudo chown {os.geteuid()} {named} && chmod {mode} {named}")
    if found.st_mode & _OTHERS_WRITE:
        msg = f"{path} can be written by other users (mode {stat.S_IMODE(found.st_mode):04o})"
        raise StateUnusable(msg, hint=f"chmod {mode} {named}")


def make_private(folder: Path) -> list[Path]:
    """Take from others what they may do with ``folder`` and with the files in it that are ours; return what changed.

    What belongs to others, links and folders inside are left alone. Raises ``OSError``.
    """
    changed = []
    for path in (folder, *sorted(folder.iterdir())) if _POSIX and folder.is_dir() else ():
        found = path.lstat()
        if path == folder:
            found, mode = path.stat(), PRIVATE_FOLDER
        elif stat.S_ISREG(found.st_mode):
            mode = PRIVATE_FILE
        else:
            continue
        if found.st_uid == os.geteuid() and found.st_mode & _OTHERS:
            path.chmod(mode)
            changed.append(path)
    return changed


def sync(folder: Path) -> None:
    """Make new names in ``folder`` durable; Windows has no such call and needs none."""
    if not _POSIX:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
