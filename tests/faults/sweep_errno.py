"""The errno sweep: a disk that refuses one call after the other, of those by which wan changes files.

Calls of SQLite's own are refused with strace in :mod:`test_faults_errno`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CALLS = ("write", "fsync", "link", "replace", "rename", "ftruncate", "mkdir")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Disk:
    """Counts the changing calls below ``areas``; from the ``at``-th on (or that alone, ``once``) they fail.

    ``at`` counts from 0. The sandbox's folder and calls of other threads are the provider's, which has its own disk.
    """

    areas: tuple[Path, ...]
    at: int | None = None
    number: int = 0
    once: bool = False
    calls: list[tuple[str, Path]] = field(default_factory=list)
    _open: dict[int, Path] = field(default_factory=dict)

    def met(self, name: str, path: Path) -> None:
        """Count a call, or refuse it. Raises ``OSError``."""
        here = any(path.is_relative_to(area) for area in self.areas) and "world" not in path.parts
        here = here and not (name == "mkdir" and path.exists())  # that says EEXIST, however full the disk is
        if not here or threading.current_thread() is not threading.main_thread():
            return
        place = len(self.calls)
        self.calls.append((name, path))
        if self.at is not None and (place == self.at or (place > self.at and not self.once)):
            raise OSError(self.number, os.strerror(self.number), str(path))

    @contextmanager
    def turning(self) -> Iterator[Disk]:
        """Let the calls of :mod:`os` meet this disk."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "open", self._opening(os.open))
            for name in CALLS:
                patch.setattr(os, name, self._meeting(name, getattr(os, name)))
            yield self

    def _opening(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, *args: Any, **named: Any) -> int:
            where = Path(os.fspath(path)).absolute()
            if flags & WRITES:
                self.met("open", where)
            descriptor = real(path, flags, *args, **named)
            self._open[descriptor] = where
            return descriptor

        return call

    def _meeting(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, *args: Any, **named: Any) -> Any:
            path = self._open.get(first) if isinstance(first, int) else Path(os.fspath(first)).absolute()
            if path is not None:
                self.met(name, path)
            return real(first, *args, **named)

        return call
