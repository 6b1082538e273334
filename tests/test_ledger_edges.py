"""What a ledger leaves behind, and what it makes of the system's rarer words."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path

import pytest

from wan_cli.errors import StateUnusable
from wan_cli.ledger import Ledger
from wan_cli.ledger.faults import translated
from wan_cli.models import Job, Target, Task

TASK = Task(
    id="abc123", provider="rivya", origin="https://rivya.ai", provider_model="wan-2-7-image", token="wan-1",
    job=Job(verb="generate", provider="rivya", model="wan2.7-image", prompt="a fox"), target=Target(template="/o/{id}"),
    created_at=1.0,
)  # fmt: skip


def descriptors() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - their number


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts in /proc")
def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    """A ledger that was made, written, pruned and closed a few times leaves no descriptor."""
    with Ledger.open(tmp_path / "state"):
        pass
    before = descriptors()
    for number in range(4):
        with Ledger.open(tmp_path / f"state{number}") as ledger:
            ledger.add([TASK])
            ledger.save(TASK)
    assert descriptors() == before


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    """A state folder deep below one that is not there yet is made, for this user alone, and found again."""
    place = tmp_path / "a" / "b" / "state"
    for _ in range(2):
        with Ledger.open(place) as ledger:
            assert ledger.path.parent == place
    assert place.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_READONLY_DBMOVED, "chmod"), (sqlite3.SQLITE_CANTOPEN_ISDIR, "chmod"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "another wan process"), (sqlite3.SQLITE_FULL, "free space"),
        (sqlite3.SQLITE_IOERR_WRITE, "WAN_STATE_DIR"),
    ],
)  # fmt: skip
def test_an_extended_code_is_read_by_its_first_byte(tmp_path: Path, code: int, words: str) -> None:
    """SQLite says more in the upper bits; what to do is decided by the lower eight."""
    error = sqlite3.OperationalError("odd")
    error.sqlite_errorcode = code
    with (
        pytest.raises(StateUnusable) as found,
        translated(tmp_path / "ledger.db", tmp_path / "journal.jsonl", "written"),
    ):
        raise error
    assert words in found.value.hint
    assert "cannot be written: odd" in found.value.message


def test_a_damaged_page_is_told_as_damage(tmp_path: Path) -> None:
    """Every code of corruption says so, with the journal that still tells."""
    error = sqlite3.DatabaseError("malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT_INDEX
    with pytest.raises(StateUnusable, match="damaged"), translated(tmp_path / "l.db", tmp_path / "j.jsonl", "read"):
        raise error
