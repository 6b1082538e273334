"""Targets checked before anything is bought: nothing is overwritten unasked, and every folder can be written."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from wan_cli.errors import UsageError
from wan_cli.intake import digest_of
from wan_cli.models import Target


def check_targets(paths: Iterable[Path], *, overwrite: bool, skip_existing: bool) -> Literal["write", "skip"]:
    """Decide before buying whether the results can be written: ``skip`` when all exist and that was asked for.

    Makes missing folders, and makes and removes a file in each. Raises ``UsageError`` for two results of one name (by
    Windows' and macOS's reading: case and composition do not count), an existing file, or an unusable folder.
    """
    targets = list(paths)
    seen: set[str] = set()
    for path in targets:
        real = os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", real).casefold())
        if key in seen:
            raise UsageError(f"two results would be written to {path}", hint="put {index} or {id} into -o")
        seen.add(key)
    existing = [path for path in targets if os.path.lexists(path)]
    for path in existing:
        if path.is_dir() and not path.is_symlink():
            raise UsageError(f"{path} is a folder", hint=f"use -o {path}/")
    if skip_existing and targets and all(map(os.path.isfile, targets)):
        return "skip"
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if existing[1:] else ""
        left = "; a making command leaves it with --skip-existing"
        raise UsageError(f"{existing[0]} exists{more}{left}", hint="add --overwrite")
    for folder in dict.fromkeys(path.parent for path in targets):
        _check_folder(folder)
    return "write"


def may_replace(target: Target, path: Path) -> bool:
    """Tell whether the file of that name may go: one that was edited while its successor was made stays."""
    if target.replaces is None or not path.exists():
        return target.overwrite
    return target.overwrite and digest_of(path) in target.replaces


def _check_folder(folder: Path) -> None:
    """Make a folder where it is missing, and a file in it. Raises ``UsageError``.

    The file has no name where the system can do that, so that a process killed here leaves nothing.
    """
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(prefix=".wan-", suffix=".part", dir=folder).close()
    except OSError as error:
        blocked = isinstance(error, (FileExistsError, NotADirectoryError))
        why = "a part of it is a file" if blocked else error.strerror or str(error)
        raise UsageError(f"nothing can be written to {folder}: {why}", hint="give another folder with -o") from error
