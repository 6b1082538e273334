"""What a ledger leaves behind, and what it makes of the system's rarer words."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support_ledger import BOTH

from wan_cli.errors import StateUnusable, UsageError
from wan_cli.ledger import Ledger
from wan_cli.ledger.faults import translated
from wan_cli.ledger.journal import Journal
from wan_cli.ledger.local import LocalLedger
from wan_cli.models import File, Job, Lost, Pending, Saved, Target, Task, Unknown
from wan_cli.record import to_document

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
    """A ledger that was made, written, taken back and closed a few times leaves no descriptor."""
    with Ledger.open(tmp_path / "state"):
        pass
    before = descriptors()
    for number in range(4):
        with Ledger.open(tmp_path / f"state{number}") as ledger:
            ledger.add([TASK])
            ledger.save(TASK)
            journal = Journal(ledger.journal_path)
            end = journal.size()
            journal.append([{"at": 1.0, "task": to_document(TASK)}])
            journal.take_back(end)
            assert journal.size() == end
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


# -- lists, and questions of other modules


@BOTH
def test_ten_candidates_are_listed_in_full(opener: Callable[..., Ledger]) -> None:
    """Ten tasks that a prefix fits are all named, of eleven one is counted."""
    with opener() as ledger:
        ledger.add([replace(TASK, id=f"abc{number:03}") for number in range(10)])
        with pytest.raises(UsageError, match=r"fits 10 tasks: .*abc000 \(new\)$") as caught:
            ledger.get("abc")
        assert caught.value.hint == "give more characters of the id"
        ledger.add([replace(TASK, id="abc999")])
        with pytest.raises(UsageError, match=r"fits 11 tasks: .* and 1 more$"):
            ledger.get("abc")


@BOTH
def test_fifty_tasks_are_recent(opener: Callable[..., Ledger]) -> None:
    """Without another wish the newest fifty are listed."""
    with opener() as ledger:
        ledger.add([replace(TASK, id=f"id{number:04}", created_at=float(number)) for number in range(60)])
        assert [task.id for task in ledger.recent()] == [f"id{number:04}" for number in range(59, 9, -1)]


@BOTH
def test_an_id_is_tried_sixteen_times(opener: Callable[..., Ledger]) -> None:
    """Eight tries with as few characters as will do, then eight with two more, and then the ledger is named."""
    asked: list[int] = []

    def same(length: int) -> bytes:
        asked.append(length)
        return bytes(length)

    with opener() as ledger:
        lengths = (6, 8) if isinstance(ledger, LocalLedger) else (8, 10)
        ledger.add([replace(TASK, id="0" * length) for length in lengths])
        with pytest.raises(StateUnusable, match=f"for the ledger {re.escape(ledger.name)}") as caught:
            ledger.new_id(same)
    assert asked == [length for length in lengths for _ in range(8)]
    assert caught.value.hint == "wan status --prune 30d"


@BOTH
def test_what_a_user_may_have_to_see_to(opener: Callable[..., Ledger]) -> None:
    """Concerns are what is unknown or paid and not saved, with their times; lost results are told while they last."""
    tasks = [
        replace(TASK, id="a", state=Pending(task_id="t"), expires_at=9.0, submitted_at=2.0, created_at=2.0),
        replace(TASK, id="b", state=Unknown(reason="x"), created_at=1.0),
        replace(TASK, id="c", state=Lost(code="task_vanished", message="x"), expires_at=9.0),
        replace(TASK, id="d", state=Saved(files=())), TASK,
    ]  # fmt: skip
    with opener() as ledger:
        ledger.add(tasks)
        assert ledger.concerns() == [("b", "unknown", "rivya", None, None), ("a", "pending", "rivya", 9.0, 2.0)]
        assert [[task.id for task in ledger.lost_until(now)] for now in (8.9, 9.0)] == [["c"], []]
        assert ledger.unknown_count() == 1


@BOTH
def test_a_file_is_found_by_its_content(opener: Callable[..., Ledger]) -> None:
    """The newest saved task that has it is given, and none for a content that nobody has."""
    sha256 = "ab" * 32
    state = Saved(files=(File(index=1, path="a.png", bytes=5, sha256=sha256, mime="image/png", width=8, height=9),))
    with opener() as ledger:
        ledger.add([replace(TASK, id=f"a{at}", state=state, created_at=float(at)) for at in (2, 3, 1)])
        found = ledger.find_file(sha256)
        assert found is not None
        assert found.id == "a3"
        assert ledger.find_file("cd" * 32) is None


def test_the_journal_grows_by_a_line_for_each_change(tmp_path: Path) -> None:
    """A transaction that finds the two at one writes nothing anew and notes how long the journal is."""
    with Ledger.open(tmp_path / "state", clock=lambda: 7.0) as ledger:
        ledger.save(TASK)
        first = ledger.journal_path.read_bytes()
        ledger.save(replace(TASK, state=Pending(task_id="t")))
        told = ledger.journal_path.read_bytes()
        assert told.startswith(first)
        assert told.count(b"\n") == 2
        assert ledger._storage.db.execute("SELECT size FROM journal").fetchall() == [(len(told),)]


def test_a_journal_that_cannot_be_made_is_told_of_the_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says that it was opened, not written, when the disk refused."""

    def refuse(_: Journal) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Journal, "create", refuse)
    with pytest.raises(StateUnusable, match="cannot be opened: Input/output error"):
        Ledger.open(tmp_path / "state")
