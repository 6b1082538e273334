"""Which processes have a ledger open, where the system tells (Linux: ``/proc/locks``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from wan_cli.ledger import owner

WRITE_LOCK = 120
"""The byte of the shared memory file that the one writer holds (sqlite.org/walformat.html, section 2.3)."""


def writers(database: Path) -> list[int]:
    """Return the processes that write to ``database`` right now, else those that have it open; never this one."""
    memory = database.with_name(f"{database.name}-shm")
    found = {pid for pid, kind, first, last in _locks(memory) if kind == "WRITE" and first <= WRITE_LOCK <= last}
    return sorted(found - {os.getpid()}) or holders(database)


def holders(database: Path) -> list[int]:
    """Return the other processes that hold a lock of ``database``, which every one that has it open does."""
    files = (database, database.with_name(f"{database.name}-shm"))
    return sorted({pid for file in files for pid, *_ in _locks(file)} - {os.getpid()})


def _locks(file: Path) -> Iterator[tuple[int, str, int, float]]:
    """Yield process, kind, first and last byte of each lock of ``file`` (proc_locks(5))."""
    try:
        found = file.stat()
        text = (owner.PROC / "locks").read_text(encoding="ascii", errors="replace")
    except OSError:
        return
    here = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in text.splitlines():
        words = line.split()
        # A line with "->" is of a process that waits.
        if len(words) == 8 and words[5] == here and words[4].isdigit() and int(words[4]) > 0:  # noqa: PLR2004
            last = float("inf") if words[7] == "EOF" else float(words[7])
            yield int(words[4]), words[3], int(words[6]), last
