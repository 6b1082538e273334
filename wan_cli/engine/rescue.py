"""What the ledger could not take is kept in a file beside the result (reliability.md S02).

The file holds the task as the ledger would have it, without a key, for ``wan recover --import FILE``.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from wan_cli import __version__
from wan_cli.models import Task
from wan_cli.stores import is_address
from wan_cli.whole import whole

FORMAT = 1
"""It grows when an older ``wan`` would misread the file."""
MAX_BYTES = 256 * 1024 * 1024
"""More than any answer with pictures in it that is read (reliability.md section 5)."""

_PRIVATE = 0o600
_NAME_TRIES = 5
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Rescue:
    """The recovery files of one process: at most one a task, with the newest that is known of it.

    ``folders`` are tried, in order, after the folder of the task's target.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        """Write nothing yet."""
        self._folders = folders
        self._paths: dict[str, Path] = {}
        self.ways: dict[str, str] = {}
        """The command that reads a file again, by the task's id, as long as there is one."""

    def keep(self, task: Task, document: Mapping[str, Any]) -> str:
        """Write the task down, and say where and how it is read again; an empty text where no folder takes it."""
        text = json.dumps({"wan_recovery": FORMAT, "version": __version__, "task": document}, indent=1)
        path = self._paths.get(task.id)
        if path is not None and _replaced(path, text):
            return f"; it is written down, so: {self.ways[task.id]}"
        for folder in (*_beside(task), *self._folders):
            if (made := _created(folder, task.id, text)) is not None:
                self._paths[task.id] = made
                self.ways[task.id] = _way(task, made)
                return f"; it is written down, so: {self.ways[task.id]}"
        return ""

    def drop(self, task_id: str) -> None:
        """Remove the task's file: the ledger has it now."""
        if path := self._paths.pop(task_id, None):
            del self.ways[task_id]
            with suppress(OSError):
                path.unlink()


def _way(task: Task, path: Path) -> str:
    sandbox = " --sandbox" if task.sandbox else ""
    return f"wan recover --import {shlex.quote(str(path))}{sandbox}"


def _beside(task: Task) -> list[Path]:
    """Return the folder of the task's target; of one whose name is not known yet, the folder above that.

    A store has none.
    """
    if task.target.template is None or is_address(task.target.template):
        return []
    folder = Path(task.target.template).parent
    while "{" in str(folder):
        folder = folder.parent
    return [folder]


def _created(folder: Path, task_id: str, text: str) -> Path | None:
    """Make a file that was not there, whatever else has its name; ``None`` where nothing can be written."""
    for number in range(1, _NAME_TRIES + 1):
        path = folder / f"wan-recovery-{task_id}{'' if number == 1 else f'-{number}'}.json"
        try:
            _write(path, text)
        except FileExistsError:
            continue
        except OSError:
            with suppress(OSError):  # half a file is none; one of that name was not there before
                path.unlink()
            return None
        return path
    return None


def _replaced(path: Path, text: str) -> bool:
    try:
        with whole(path, mode=_PRIVATE, sync=True) as out:
            out.write(text.encode("ascii"))
    except OSError:
        return False
    return True


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, _FLAGS, _PRIVATE)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
