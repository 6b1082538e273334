"""A look at a ledger: it says what is there, in the right word, and changes nothing, whatever it finds."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wan_cli.errors import StateUnusable
from wan_cli.ledger import Ledger, schema, tasks
from wan_cli.ledger.checkup import Checkup, _opened, check
from wan_cli.ledger.faults import REPAIR
from wan_cli.models import Job, New, Pending, Sending, State, Target, Task
from wan_cli.record import to_document

BUSY = "wait for that, or set WAN_STATE_DIR to another folder"


def a_task(name: str, state: State | None = None, created: float = 1.0) -> Task:
    """Return a task with the id ``name``, at the provider unless told otherwise."""
    return Task(
        id=name, provider="rivya", origin="https://rivya.ai", provider_model="wan-2-7-image", token=f"wan-{name}",
        job=Job(verb="generate", provider="rivya", model="wan2.7-image", prompt="a fox"), created_at=created,
        target=Target(template="/out/{id}{ext}"), state=Pending(task_id="t") if state is None else state,
    )  # fmt: skip


def line(task: Task) -> bytes:
    """Return a journal's line that tells of ``task``."""
    return json.dumps({"at": 5.0, "task": to_document(task)}).encode() + b"\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with a ledger of two purchases, the older one added last."""
    with Ledger.open(tmp_path / "state", clock=lambda: 5.0) as ledger:
        ledger.add([a_task("bbbbbb", created=2.0)])
        ledger.add([a_task("aaaaaa", created=1.0)])
    return tmp_path / "state"


def content(place: Path) -> dict[str, bytes]:
    """Return every file's bytes."""
    return {path.name: path.read_bytes() for path in place.iterdir()}


def looked(place: Path) -> Checkup:
    """Look at the ledger, and make sure that this changed no file and left none behind."""
    before = content(place)
    seen = check(place)
    assert content(place) == before
    return seen


def change(place: Path, sql: str, *values: object) -> None:
    """Change the database behind the journal's back."""
    with contextlib.closing(sqlite3.connect(place / "ledger.db", isolation_level=None)) as db:
        db.execute(sql, values)


def test_a_ledger_that_is_well(place: Path) -> None:
    """It is whole, nothing is late or in dispute, and its tasks come oldest first."""
    seen = looked(place)
    assert (seen.condition, seen.error, seen.unread, seen.late) == ("whole", None, "", False)
    assert (seen.strays, seen.bad_lines) == ((), ())
    assert seen.tasks == (a_task("aaaaaa", created=1.0), a_task("bbbbbb", created=2.0))
    assert (seen.database, seen.journal) == (place / "ledger.db", place / "journal.jsonl")


def test_no_ledger_at_all(tmp_path: Path) -> None:
    """Neither an absent folder nor an empty journal is a loss: there was no ledger yet."""
    for _ in range(2):
        seen = check(tmp_path / "state")
        assert (seen.condition, seen.error, seen.tasks, seen.late) == ("absent", None, (), False)
        (tmp_path / "state").mkdir(exist_ok=True)
        (tmp_path / "state/journal.jsonl").touch()


def test_a_database_that_is_gone(place: Path) -> None:
    """A journal of any length without its database is a loss, and what it tells of is still told."""
    (place / "ledger.db").unlink()
    seen = looked(place)
    assert (seen.condition, seen.late, [task.id for task in seen.tasks]) == ("damaged", False, ["aaaaaa", "bbbbbb"])
    assert seen.error is not None
    assert "(it is gone while its journal is there)" in seen.error.message
    assert seen.error.hint == REPAIR
    (place / "journal.jsonl").write_bytes(b"?")
    assert (check(place).condition, check(place).bad_lines) == ("damaged", (1,))


def test_a_database_that_is_empty(place: Path) -> None:
    """It was cut off, and is never taken for one that was not made yet."""
    (place / "ledger.db").write_bytes(b"")
    seen = looked(place)
    assert seen.condition == "damaged"
    assert seen.error is not None
    assert "(it is empty)" in seen.error.message


def test_a_state_folder_that_is_a_file(tmp_path: Path) -> None:
    """It is out of reach, which is not damage: the reason is told for both files, and no repair is offered."""
    (tmp_path / "state").write_text("")
    seen = check(tmp_path / "state")
    assert (seen.condition, seen.unread) == ("unusable", "Not a directory")
    assert seen.error is not None
    assert seen.error.hint != REPAIR
    assert "cannot be read" in seen.error.message


def test_a_journal_that_cannot_be_read(place: Path) -> None:
    """The database says all there is to say, and why the journal says nothing is told."""
    (place / "journal.jsonl").unlink()
    (place / "journal.jsonl").mkdir()
    seen = check(place)
    assert (seen.condition, seen.unread, seen.late, seen.strays) == ("whole", "Is a directory", False, ())
    assert len(seen.tasks) == 2


def test_a_journal_that_is_gone(place: Path) -> None:
    """The next command writes it again, so nothing is late or in dispute."""
    (place / "journal.jsonl").unlink()
    seen = looked(place)
    assert (seen.condition, seen.unread, seen.late, seen.strays, len(seen.tasks)) == ("whole", "", False, (), 2)


@pytest.mark.parametrize(
    ("sql", "condition"),
    [
        ("PRAGMA user_version = 1000", "newer"), ("PRAGMA user_version = 1001", "damaged"),
        ("PRAGMA user_version = 0", "damaged"), ("PRAGMA application_id = 7", "damaged"),
        ("UPDATE task SET document = '{'", "damaged"), ("UPDATE task SET document = '{}'", "damaged"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_own_word(place: Path, sql: str, condition: str) -> None:
    """Newer, damaged and out of order are told apart, since only damage may be repaired; tasks are the journal's."""
    change(place, sql)
    seen = looked(place)
    assert (seen.condition, seen.late) == (condition, False)
    assert seen.error is not None
    assert (seen.error.hint == REPAIR) is (condition == "damaged")
    assert [task.id for task in seen.tasks] == ["aaaaaa", "bbbbbb"]


def test_another_programs_database(place: Path) -> None:
    """Without the mark and without the tables it is somebody else's, and says where to go."""
    (place / "ledger.db").unlink()
    change(place, "CREATE TABLE songs (title)")
    seen = looked(place)
    assert seen.condition == "foreign"
    assert seen.error is not None
    assert seen.error.hint == "move it away, or set WAN_STATE_DIR to another folder"


def test_a_journal_that_went_on_is_late(place: Path) -> None:
    """A line after the last commit is no dispute yet: the next command takes it over; nor is one that is missing."""
    journal = place / "journal.jsonl"
    told = journal.read_bytes()
    journal.write_bytes(told + line(a_task("cccccc")))
    assert (looked(place).late, looked(place).strays) == (True, ())
    journal.write_bytes(told.splitlines(keepends=True)[0])
    assert (looked(place).late, looked(place).strays) == (True, ())


def test_what_the_two_disagree_about(place: Path) -> None:
    """A task of another content and one that only either has are named, in order; a plan that was not committed is not.

    Where a line cannot be read nothing is named, for that line may have said it.
    """
    with Ledger.open(place, clock=lambda: 5.0) as ledger:
        for task in (a_task("cccccc"), a_task("dddddd"), a_task("eeeeee", New()), a_task("ffffff", Sending(at=1.0))):
            ledger.save(task)
    change(place, "UPDATE task SET document = replace(document, 'a fox', 'a box') WHERE id = 'cccccc'")
    change(place, "DELETE FROM task WHERE id IN ('bbbbbb', 'eeeeee', 'ffffff')")
    with contextlib.closing(sqlite3.connect(place / "ledger.db", isolation_level=None)) as db:
        tasks.insert(db, to_document(a_task("zzzzzz")), 5.0)
    seen = looked(place)
    assert (seen.condition, seen.late, seen.strays) == ("whole", False, ("bbbbbb", "cccccc", "zzzzzz"))

    journal = place / "journal.jsonl"
    first, *rest = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"?" * (len(first) - 1) + b"\n" + b"".join(rest))
    seen = looked(place)
    assert (seen.late, seen.strays, seen.bad_lines) == (False, (), (1,))


def copied(place: Path, *names: str) -> Path:
    """Return a copy of the named files, as a crash might leave them."""
    there = place.with_name("copy")
    there.mkdir(mode=0o700)
    for name in names:
        shutil.copy(place / name, there / name)
    return there


def test_a_log_is_read_and_left(place: Path) -> None:
    """What a killed process left in the write-ahead log counts, and is not written into the database by looking."""
    with Ledger.open(place, clock=lambda: 5.0) as ledger:
        ledger.save(a_task("cccccc", created=3.0))
        there = copied(place, "ledger.db", "ledger.db-wal", "journal.jsonl")
    before = content(there)
    seen = check(there)
    assert [task.id for task in seen.tasks] == ["aaaaaa", "bbbbbb", "cccccc"]
    assert (seen.condition, seen.strays, seen.late) == ("whole", (), False)
    after = content(there)
    after.pop("ledger.db-shm", None)
    assert after == before


def test_an_empty_log_is_no_log(place: Path) -> None:
    """It does not keep the database from being opened in the way that leaves nothing beside it."""
    (place / "ledger.db-wal").touch()
    assert check(place).condition == "whole"
    assert sorted(content(place)) == ["journal.jsonl", "ledger.db"]


def refusing(code: int) -> Callable[..., sqlite3.Connection]:
    """Return what connects like SQLite where a file cannot be opened, which shows at the first question only."""
    connect = sqlite3.connect

    class Refusing(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            if sql.startswith("PRAGMA query_only"):
                return super().execute(sql, *rest)
            error = sqlite3.OperationalError("refused")
            error.sqlite_errorcode = code
            raise error

    def connected(address: str, **options: Any) -> sqlite3.Connection:
        if address.endswith(("/ledger.db?mode=rw", "/ledger.db?mode=ro")):  # not what measures the tests
            options["factory"] = Refusing
        return connect(address, **options)

    return connected


@pytest.mark.parametrize("code", [sqlite3.SQLITE_READONLY_DIRECTORY, sqlite3.SQLITE_CANTOPEN_ISDIR])
def test_a_folder_that_takes_no_files(place: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """On a read-only disk, where SQLite can make none of its files, the database is read as it is."""
    monkeypatch.setattr(sqlite3, "connect", refusing(code))
    seen = looked(place)
    assert (seen.condition, len(seen.tasks)) == ("whole", 2)


def test_a_log_that_cannot_be_used_is_not_passed_over(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On such a disk a database with a log is refused: without the log it would tell of an earlier time."""
    with Ledger.open(place) as ledger:
        ledger.save(a_task("cccccc"))
        there = copied(place, "ledger.db", "ledger.db-wal", "journal.jsonl")
    monkeypatch.setattr(sqlite3, "connect", refusing(sqlite3.SQLITE_CANTOPEN))
    seen = looked(there)
    assert seen.error is not None
    assert "it does not know of its own write-ahead log" in seen.error.message


def test_any_other_refusal_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that somebody holds is not read past the lock: that is said, with what to do, and is no damage."""
    monkeypatch.setattr(sqlite3, "connect", refusing(sqlite3.SQLITE_BUSY_SNAPSHOT))
    seen = looked(place)
    assert seen.condition == "unusable"
    assert seen.error is not None
    assert seen.error.hint.endswith(BUSY)
    assert seen.error.message == f"the ledger {place / 'ledger.db'} cannot be read: refused"


def test_a_look_cannot_write(place: Path) -> None:
    """The connection it uses refuses every change, also where the files would allow it."""
    with _opened(place / "ledger.db") as db, pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM task")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts in /proc")
def test_no_descriptor_stays_open_while_a_fault_is_told(place: Path) -> None:
    """A database that cannot be read is closed, by a look and by an opening, while its error is still in hand."""

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - their number

    data = (place / "ledger.db").read_bytes()
    before = descriptors()
    for hurt in (b"\xff" * 100 + data[100:], data[:5000]):
        (place / "ledger.db").write_bytes(hurt)
        seen = check(place)
        assert seen.condition == "damaged"
        assert descriptors() == before
        with pytest.raises(StateUnusable) as caught:
            Ledger.open(place)
        assert caught.value.__traceback__
        assert descriptors() == before
    (place / "ledger.db").write_bytes(data)
    (place / "journal.jsonl").unlink()
    change(place, "UPDATE task SET document = '{'")
    with pytest.raises(StateUnusable) as caught:
        Ledger.open(place)
    assert descriptors() == before


# -- opening


@pytest.mark.parametrize(("size", "thorough"), [(4 * 2**20 - 1, True), (4 * 2**20, False)])
def test_up_to_four_mebibytes_every_opening_checks_all(
    place: Path, monkeypatch: pytest.MonkeyPatch, size: int, *, thorough: bool
) -> None:
    """So small a database is read through each time; a larger one, closed cleanly, is not."""
    asked: list[bool] = []
    monkeypatch.setattr(schema, "examine", lambda *_, thorough: asked.append(thorough))
    os.truncate(place / "ledger.db", size)
    Ledger.open(place).close()
    assert asked == [thorough]


def test_an_empty_journal_alone_is_no_loss(tmp_path: Path) -> None:
    """Without a database a journal of no bytes is that of a ledger to be made; one of a single byte is a loss."""
    (tmp_path / "state").mkdir(mode=0o700)
    journal = tmp_path / "state/journal.jsonl"
    journal.touch(0o600)
    Ledger.open(tmp_path / "state").close()
    (tmp_path / "state/ledger.db").unlink()
    journal.write_bytes(b"\n")
    with pytest.raises(StateUnusable, match="it is gone while its journal is there"):
        Ledger.open(tmp_path / "state")


def test_a_disk_that_is_full_at_the_very_end_leaves_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When not all of a new database can be written into its one file, it does not get its name, and nothing stays."""

    class Full(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            if "wal_checkpoint" in sql:
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(sql, *rest)

    connect = sqlite3.connect

    def connected(address: str, **options: Any) -> sqlite3.Connection:
        if "/.ledger.db." in address:  # not what measures the tests
            options["factory"] = Full
        return connect(address, **options)

    with monkeypatch.context() as full:
        full.setattr(sqlite3, "connect", connected)
        with pytest.raises(StateUnusable, match="disk is full"):
            Ledger.open(tmp_path / "state")
    assert content(tmp_path / "state") == {}


def test_an_empty_ledger_may_lose_its_journal(tmp_path: Path) -> None:
    """With nothing in it there is nothing to write again: the next purchase begins a new one."""
    with Ledger.open(tmp_path / "state") as ledger:
        ledger.journal_path.unlink()
        ledger.add([a_task("aaaaaa")])
        assert len(ledger.journal_path.read_bytes().splitlines()) == 1
