"""Part files that a process left behind when it ended, removed by the one that owns their task now."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from wan_cli.dataclass import dataclass, field

MOST_FOLDERS = 64
"""Folders that are remembered: a render has one or a few, and where each asset has its own a look costs little."""


@dataclass(slots=True)
class Leftovers:
    """What stood in each folder when it was first looked into: one look a result would take the square of them."""

    _parts: dict[str, list[str]] = field(default_factory=dict)

    def sweep(self, folder: Path, task_id: str, index: int) -> None:
        """Remove what an earlier process left of one result, from 1, of a task."""
        place, mark = str(folder), f".{task_id}-{index}-"
        with suppress(OSError):
            if place not in self._parts:
                if len(self._parts) >= MOST_FOLDERS:
                    self._parts.clear()
                self._parts[place] = [
                    name for name in os.listdir(folder)  # noqa: PTH208 - names only
                    if name.startswith(".") and name.endswith(".part")
                ]  # fmt: skip
            for name in self._parts[place]:
                if mark in name:
                    (folder / name).unlink(missing_ok=True)

    def forget(self) -> None:
        """Look anew: another process was at work meanwhile."""
        self._parts.clear()
