"""Journals beside a lock, read without trusting them: that of a whole run, and one of each part of several."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wan_cli.errors import UsageError
from wan_cli.intake import lines_of, open_regular, strict_json
from wan_cli.pattern import pattern

MOST_BYTES = 256 * 1024 * 1024
_PART = pattern(r"\.([1-9]\d{0,3})-of-([1-9]\d{0,3})\.journal", re.ASCII)


def part_journal(lock: Path, part: tuple[int, int]) -> Path:
    """Return the journal of one part of several, ``assets.lock.2-of-4.journal``."""
    return lock.with_name(f"{lock.name}.{part[0]}-of-{part[1]}.journal")


def part_of(journal: Path, lock: Path) -> tuple[int, int] | None:
    """Return whose journal it is: which part, from 1, of how many; ``None`` for that of a whole run."""
    found = _PART.fullmatch(journal.name, len(lock.name)) if journal.name.startswith(lock.name) else None
    return (int(found[1]), int(found[2])) if found else None


def parts_of(lock: Path) -> dict[Path, tuple[int, int]]:
    """Return the journals of parts that are at work, or crashed. Raises ``UsageError``: one unseen could buy twice."""
    with readable(lock.parent), os.scandir(lock.parent) as found:
        named = [lock.with_name(one.name) for one in found if one.name.startswith(lock.name)]
        parts = {path: part_of(path, lock) for path in sorted(named)}
        return {path: part for path, part in parts.items() if part}
    return {}


def lines(journal: Path, digest: hashlib._Hash | None) -> Iterator[tuple[int, tuple[str, Any]]]:
    """Yield a journal's lines, and tell ``digest`` of them: of ten thousand assets it has some 30 MiB.

    A line that a crash cut is no JSON, and what it said was not acted upon. Raises ``UsageError`` for others.
    """
    for number, line in enumerate(_raw(journal), start=1):
        if digest is not None:
            digest.update(line)
        if line.startswith((b"<<<<<<< ", b"=======", b">>>>>>> ")):
            raise _damaged(journal, number, "merge conflict markers; a journal is not committed")
        try:
            found = strict_json(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(found, dict) or found.keys() != {"id", "entry"} or not isinstance(found["id"], str):
            raise _damaged(journal, number, "not a line of a journal")
        yield number, (found["id"], found["entry"])


def _raw(journal: Path) -> Iterator[bytes]:
    with readable(journal):
        yield from lines_of(journal, MOST_BYTES)


def _damaged(journal: Path, number: int, why: str) -> UsageError:
    return UsageError(f"{journal.name}:{number}: {why}", hint=f"look at {journal}, then move it away")


def digest_of(path: Path) -> bytes:
    """Return the sha256 of a file; of one that is not there, that of nothing."""
    with readable(path), open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").digest()
    return hashlib.sha256(b"").digest()


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Take a file that is not there for an empty one. Raises ``UsageError`` for one that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
