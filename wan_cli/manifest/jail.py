"""Paths that a manifest names: below its root, and nothing else (reliability.md S5, C06)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from wan_cli.errors import UsageError
from wan_cli.intake import TooLarge, read_regular
from wan_cli.text import one_line

PROMPT_BYTES = 64 * 1024
"""The most that is read of a prompt file (reliability.md I02)."""

Refuse = Callable[[str], UsageError]
"""Makes the error for a place in the manifest from what is wrong there."""


def inside(root: Path, name: str, refuse: Refuse) -> str:
    """Return a relative path with ``/``, normalised, that stays below ``root`` as it is written.

    Whether links lead out of it is known when it is opened: :func:`real`. No ``~`` or ``$`` is expanded. Raises what
    ``refuse`` makes.
    """
    slashed = name.replace("\\", "/")
    parts = [part for part in slashed.split("/") if part not in ("", ".")]
    if "\0" in name:
        raise refuse("a path has no NUL")
    if not parts:
        raise refuse(f"{one_line(name)} names no file")
    if slashed.startswith(("/", "~")) or ".." in parts:
        resolved = os.path.normpath(root / slashed)
        raise refuse(f"{one_line(name)} is {one_line(resolved)}, which is not below {root}")
    if any(":" in part for part in parts):
        raise refuse(f"{one_line(name)}: on Windows, ':' names a drive or a stream")
    return "/".join(parts)


def real(root: Path, name: str, refuse: Refuse) -> Path:
    """Return the file of a path that :func:`inside` let pass, links followed. Raises where one leads outside."""
    try:
        found, base = os.path.realpath(root / name), os.path.realpath(root)
    except OSError as error:
        raise refuse(f"{one_line(name)} cannot be read: {error.strerror}") from error
    if not is_below(found, base):
        raise refuse(f"{one_line(name)} leads to {one_line(found)}, which is not below {root}")
    return Path(found)


def is_below(path: str, folder: str) -> bool:
    """Tell whether one real path is another, or below it."""
    return path == folder or path.startswith(os.path.join(folder, ""))  # noqa: PTH118 - keeps a root's own separator


def text_inside(root: Path, name: str, refuse: Refuse) -> str:
    """Return the text of a file below ``root``; pipes and devices are no files. Raises what ``refuse`` makes."""
    path = real(root, inside(root, name, refuse), refuse)
    try:
        return read_regular(path, PROMPT_BYTES).decode("utf-8-sig")
    except TooLarge as error:
        raise refuse(f"{one_line(name)} is larger than {PROMPT_BYTES:,} bytes") from error
    except OSError as error:
        raise refuse(f"{one_line(name)} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise refuse(f"{one_line(name)} is not UTF-8: byte {error.start + 1} cannot be read") from error


class Folders:
    """The folders below a root as they really are, each looked at once: links in them are followed, and held."""

    def __init__(self, root: Path) -> None:
        """``root`` is followed itself: it may be a link."""
        self.root = root
        self.base = os.path.realpath(root)
        self._real: dict[str, str] = {"": self.base}

    def real(self, folder: str) -> str:
        """Return where a folder (below the root, with ``/``) really is, wherever that may be. It need not exist."""
        if folder not in self._real:
            parent, _, name = folder.rpartition("/")
            path = os.path.join(self.real(parent), name)  # noqa: PTH118 - ten thousand of them
            self._real[folder] = os.path.realpath(path) if os.path.islink(path) else path  # noqa: PTH114 - the same
        return self._real[folder]

    def holds(self, path: str) -> bool:
        """Tell whether a real path is below the root."""
        return is_below(path, self.base)
