"""Tests of the ledger: durable, private, one owner, never started afresh in silence."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support_ledger import BOTH

from wan_cli.errors import StateUnusable, UsageError
from wan_cli.ledger import Ledger, damaged_lines, durations, rebuild, schema
from wan_cli.ledger import folder as folder_module
from wan_cli.ledger import owner as owner_module
from wan_cli.ledger.local import LocalLedger
from wan_cli.ledger.owner import LEASE_S, Owner, is_alive, this_process
from wan_cli.models import (
    Cancelled,
    Done,
    Facts,
    Failed,
    File,
    Job,
    LocalFile,
    Lost,
    Media,
    New,
    Output,
    Pending,
    Saved,
    Sending,
    State,
    Target,
    Task,
    Unknown,
    Upload,
)

RACERS = 8
MAKER = ("rivya", "https://rivya.ai", "wan2.7-image")
FORK = multiprocessing.get_context("fork")
Opener = Callable[..., Ledger]


def a_task(name: str, state: State | None = None, **changes: Any) -> Task:
    """Return a task with the id ``name``."""
    task = Task(
        id=name, provider="rivya", origin="https://rivya.ai", provider_model="wan-2-7-image", token=f"wan-{name}",
        job=Job(verb="generate", provider="rivya", model="wan2.7-image", prompt="a fox"),
        target=Target(template="/out/{id}{ext}"), created_at=1_000.0, state=state or New(),
    )  # fmt: skip
    return dataclasses.replace(task, **changes)


class FailingCommit:
    """A connection that stands in front of another and calls ``instead`` in place of its COMMIT."""

    def __init__(self, db: sqlite3.Connection, instead: Callable[[], None]) -> None:
        """Stand in front of ``db``."""
        self.db = db
        self.instead = instead

    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        """Execute ``sql``, unless it is the commit."""
        if sql == "COMMIT":
            self.instead()
        return self.db.execute(sql, *rest)

    def __getattr__(self, name: str) -> Any:
        """Leave the rest to the connection behind."""
        return getattr(self.db, name)


def full_disk() -> None:
    """Fail as SQLite does on a full disk."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def break_commit(ledger: Ledger, instead: Callable[[], None]) -> None:
    """Make the next commits of ``ledger`` call ``instead``."""
    ledger._storage.db = FailingCommit(ledger._storage.db, instead)  # type: ignore[assignment]


def mend_commit(ledger: Ledger) -> None:
    """Undo :func:`break_commit`."""
    ledger._storage.db = ledger._storage.db.db  # type: ignore[attr-defined]


def lines(place: Path) -> list[dict[str, Any]]:
    """Return the entries of the journal in ``place``."""
    return [json.loads(line) for line in (place / "journal.jsonl").read_text().splitlines()]


def mode(path: Path) -> int:
    """Return the permission bits of ``path``."""
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Name a state folder that is not there yet."""
    return tmp_path / "state"


@pytest.fixture
def ledger(opener: Opener) -> Iterator[Ledger]:
    """Open a ledger whose clock says 2,000."""
    with opener(clock=lambda: 2_000.0) as opened:
        yield opened


# -- tasks


@BOTH
def test_what_is_added_is_read_back_by_another(ledger: Ledger, opener: Opener) -> None:
    """Tasks are the same in a second ledger on the same folder."""
    tasks = [a_task("aaaaaa"), a_task("bbbbbb", Pending(task_id="t-1", ref={"x": [1]}), task_id="t-1")]
    ledger.add(tasks)

    with opener() as other:
        assert [other.get("aaaaaa"), other.get("bbbbbb")] == tasks


@BOTH
def test_adding_is_all_or_nothing(ledger: Ledger) -> None:
    """When one of several tasks is there already, none is added, and the error is not SQLite's."""
    ledger.add([a_task("aaaaaa")])

    with pytest.raises(StateUnusable, match=r"cannot be written: (?i:.*unique)"):
        ledger.add([a_task("bbbbbb"), a_task("aaaaaa")])

    assert [task.id for task in ledger.recent()] == ["aaaaaa"]


def test_save_replaces_the_state(ledger: Ledger) -> None:
    """The last saved state is the one that is read, and a task that was not added is put there."""
    ledger.save(a_task("aaaaaa", Sending(at=1.0)))
    ledger.save(a_task("aaaaaa", Pending(task_id="t-1"), task_id="t-1"))

    assert ledger.get("aaaaaa").state == Pending(task_id="t-1")
    assert [entry["task"]["state"]["kind"] for entry in lines(ledger.path.parent)] == ["sending", "pending"]


@BOTH
def test_a_user_key_finds_its_tasks(ledger: Ledger) -> None:
    """The second call with a key returns the tasks of the first, ordered by item, and adds nothing."""
    first = [a_task("bbbbbb", user_key="k", item=2), a_task("aaaaaa", user_key="k", item=1)]

    assert ledger.add_or_find("k", first) == first
    assert ledger.add_or_find("k", [a_task("cccccc", user_key="k")]) == first[::-1]
    assert ledger.by_user_key("k") == first[::-1]
    assert ledger.by_user_key("other") == []
    assert len(ledger.recent()) == len(first)


@BOTH
def test_a_handle_finds_its_task(ledger: Ledger) -> None:
    """PROVIDER:TASK_ID finds the task, the newest of several, and nothing at another provider."""
    ledger.add([a_task(f"aaaaa{n}", Pending(task_id="t:1"), task_id="t:1", created_at=float(n)) for n in (2, 3, 1)])

    assert ledger.get("rivya:t:1").id == "aaaaa3"
    assert ledger.find_handle("modelverse", "t:1") is None
    with pytest.raises(UsageError, match="no task 'modelverse:t:1'"):
        ledger.get("modelverse:t:1")


@BOTH
def test_a_file_is_known_by_who_made_it(ledger: Ledger) -> None:
    """A file is what the newest task made that delivered it, never what a later one was given."""
    source = LocalFile(path="/a.png", sha256="ab" * 32, size=3, mime="image/png")
    used = Job(
        verb="edit", provider="rivya", model="wan2.7-image", prompt="a fox",
        media=(Media(role="edit_source", kind="image", file=source),),
    )  # fmt: skip
    made = Saved(files=(File(index=1, path="/a.png", bytes=3, sha256="ab" * 32, mime="image/png"),))
    other = Saved(files=(File(index=1, path="/b.png", bytes=3, sha256="cd" * 32, mime="image/png"),))
    ledger.add([a_task("aaaaaa", made), a_task("bbbbbb", made, created_at=1_001.0)])
    ledger.add([a_task("cccccc", other, job=used, created_at=1_002.0)])

    found = [ledger.find_file(digest * 32) for digest in ("ab", "cd", "ef")]

    assert [task and task.id for task in found] == ["bbbbbb", "cccccc", None]


@BOTH
def test_a_prefix_finds_its_task(ledger: Ledger) -> None:
    """Any beginning that only one id has will do, in capitals too; a whole id wins over longer ones."""
    ledger.add([a_task("abcdef"), a_task("abcdefgh"), a_task("xyz123")])

    assert ledger.get("x").id == "xyz123"
    assert ledger.get("XYZ").id == "xyz123"
    assert ledger.get("abcdef").id == "abcdef"


@pytest.mark.parametrize("name", ["", "zz", "%", "_bcdef", "a*"])
@BOTH
def test_an_unknown_name_is_a_usage_error(ledger: Ledger, name: str) -> None:
    """What fits no task is a usage error with a hint; wildcards mean nothing."""
    ledger.add([a_task("abcdef")])

    with pytest.raises(UsageError, match="no task") as caught:
        ledger.get(name)

    assert caught.value.hint == "wan status"


@BOTH
def test_an_ambiguous_prefix_lists_its_tasks(ledger: Ledger) -> None:
    """A prefix of several ids is a usage error that names them with their states, ten at most."""
    ledger.add([a_task("ab1111"), a_task("ab2222", Unknown(reason="lost"), created_at=1_001.0)])

    with pytest.raises(UsageError, match=r"'ab' fits 2 tasks: ab2222 \(unknown\), ab1111 \(new\)$"):
        ledger.get("ab")

    ledger.add([a_task(f"ab{n:04}") for n in range(20)])
    with pytest.raises(UsageError, match="and 12 more"):
        ledger.get("ab")


@BOTH
def test_lists_of_tasks(ledger: Ledger) -> None:
    """Open tasks come oldest first and without those only planned; recent ones open first, then newest first."""
    done = Done(outputs=(Output(url="https://x.example/a"),))
    states: list[tuple[str, State, str]] = [
        ("new", New(), "no"), ("newpaid", New(), "unknown"), ("sending", Sending(at=1.0), "no"),
        ("saved", Saved(files=()), "yes"), ("pending", Pending(task_id="t"), "yes"), ("done", done, "yes"),
        ("failed", Failed(code="network", message="x"), "no"), ("unknown", Unknown(reason="x"), "unknown"),
        ("cancelled", Cancelled(), "no"), ("lost", Lost(code="task_vanished", message="x"), "yes"),
    ]  # fmt: skip
    ledger.add(
        [a_task(name, state, charged=charged, created_at=float(at)) for at, (name, state, charged) in enumerate(states)]
    )

    assert [t.id for t in ledger.open_tasks()] == ["newpaid", "sending", "pending", "done", "unknown"]
    assert [t.id for t in ledger.recent()] == [
        "unknown", "done", "pending", "sending", "newpaid", "lost", "cancelled", "failed", "saved", "new",
    ]  # fmt: skip
    assert [t.id for t in ledger.recent(2)] == ["unknown", "done"]
    assert ledger.unknown_count() == 1


def test_new_ids(ledger: Ledger) -> None:
    """An id is six characters without i, l, o and u, is never given twice, and is eight long when it gets crowded."""
    ledger.add([a_task("000000")])

    given = ledger.new_id(bytes)
    assert given == "0" * 8
    with pytest.raises(StateUnusable, match="no free id"):
        ledger.new_id(bytes)

    some = {ledger.new_id() for _ in range(50)}
    assert len(some) == 50
    assert all(len(one) == 6 and not set(one) & set("ilou") for one in some)


# -- durability


def test_the_journal_is_ahead_of_the_commit(ledger: Ledger, place: Path) -> None:
    """When the commit of an answer fails, the synced journal has the line, and the error says why and what to do."""
    break_commit(ledger, full_disk)

    with pytest.raises(StateUnusable, match=r"ledger\.db cannot be written: database or disk is full") as caught:
        ledger.save(a_task("aaaaaa", Pending(task_id="t-1"), task_id="t-1"))

    assert "free space" in caught.value.hint
    assert lines(place)[0]["task"]["id"] == "aaaaaa"
    mend_commit(ledger)
    assert ledger.recent() == []


def test_the_journal_is_synced_before_the_commit(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write, sync, commit: in this order."""
    steps: list[str] = []
    write, fsync = os.write, os.fsync

    def noted_write(descriptor: int, data: bytes) -> int:
        steps.append("write")
        return write(descriptor, data)

    def noted_fsync(descriptor: int) -> None:
        steps.append("fsync")
        fsync(descriptor)

    monkeypatch.setattr(os, "write", noted_write)
    monkeypatch.setattr(os, "fsync", noted_fsync)
    break_commit(ledger, lambda: steps.append("commit"))

    ledger.save(a_task("aaaaaa"))

    assert steps == ["write", "fsync", "commit"]
    mend_commit(ledger)


def test_an_answer_that_was_not_committed_is_taken_over(ledger: Ledger, place: Path) -> None:
    """A task's id that reached only the journal is in the ledger at the next transaction, in any process."""
    ledger.add([a_task("aaaaaa")])
    break_commit(ledger, full_disk)
    with pytest.raises(StateUnusable):
        ledger.save(a_task("aaaaaa", Pending(task_id="t-1"), task_id="t-1"))
    mend_commit(ledger)

    with Ledger.open(place) as other:
        assert other.get("rivya:t-1").state == Pending(task_id="t-1")


@pytest.mark.parametrize("state", [New(), Sending(at=1.0)])
def test_what_was_not_sent_is_not_taken_over(ledger: Ledger, state: State) -> None:
    """A planned or sending task whose commit failed was never sent, so its line is taken back from the journal."""
    break_commit(ledger, full_disk)
    with pytest.raises(StateUnusable):
        ledger.save(a_task("aaaaaa", state))
    mend_commit(ledger)
    assert lines(ledger.path.parent) == []

    ledger.add([a_task("bbbbbb")])

    assert [task.id for task in ledger.recent()] == ["bbbbbb"]


def test_s01_a_line_is_taken_back_though_sqlite_rolled_back_by_itself(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up in the commit ends the transaction there; the line goes all the same, under the lock."""
    journal, held = ledger._storage.journal, list[bool]()
    take_back = journal.take_back

    def noted(to: int) -> None:
        held.append(ledger._storage.db.in_transaction)
        take_back(to)

    def roll_back() -> None:
        real = ledger._storage.db
        real.execute("ROLLBACK")
        full_disk()

    monkeypatch.setattr(journal, "take_back", noted)
    break_commit(ledger, roll_back)
    with pytest.raises(StateUnusable):
        ledger.save(a_task("aaaaaa", Sending(at=1.0)))
    mend_commit(ledger)
    assert lines(ledger.path.parent) == []
    assert (held, ledger._storage.db.in_transaction) == ([True], False)


def test_a_line_that_another_process_followed_is_left_alone(ledger: Ledger, place: Path) -> None:
    """Where somebody wrote meanwhile, nothing is cut off the journal."""

    def meanwhile() -> None:
        ledger._storage.db.execute("ROLLBACK")
        with Ledger.open(place) as other:
            other.add([a_task("bbbbbb")])
        full_disk()

    break_commit(ledger, meanwhile)
    with pytest.raises(StateUnusable):
        ledger.save(a_task("aaaaaa", Sending(at=1.0)))
    mend_commit(ledger)
    assert [entry["task"]["id"] for entry in lines(place)] == ["aaaaaa", "bbbbbb"]
    assert ledger.get("aaaaaa").state == Sending(at=1.0)


@BOTH
def test_one_task_can_be_dropped(ledger: Ledger) -> None:
    """It is gone from database and journal's account, where there is one, and nothing else is."""
    ledger.add([a_task("aaaaaa"), a_task("bbbbbb")])
    ledger.drop("aaaaaa")
    assert [task.id for task in ledger.recent()] == ["bbbbbb"]
    if isinstance(ledger, LocalLedger):
        assert [task.id for task in rebuild(ledger.journal_path)] == ["bbbbbb"]


def test_a_line_that_cannot_be_taken_back_is_in_doubt(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk refuses even that, the task counts as sent: better a question than a second purchase."""
    refuse = OSError(errno.EIO, "input/output error")
    break_commit(ledger, full_disk)
    with monkeypatch.context() as broken:
        broken.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(refuse))
        with pytest.raises(StateUnusable):
            ledger.save(a_task("aaaaaa", Sending(at=1.0)))
    mend_commit(ledger)

    ledger.add([a_task("bbbbbb")])

    assert ledger.get("aaaaaa").state == Sending(at=1.0)


def test_s10_an_older_database_does_not_forget_that_a_request_may_have_left(place: Path, tmp_path: Path) -> None:
    """Put back from before a purchase, the database learns from the journal that it was being sent."""
    with Ledger.open(place) as ledger:
        ledger.add([a_task("aaaaaa")])
    shutil.copy(place / "ledger.db", tmp_path / "old.db")
    with Ledger.open(place) as ledger:
        ledger.save(a_task("aaaaaa", Sending(at=1.0)))
    shutil.copy(tmp_path / "old.db", place / "ledger.db")

    with Ledger.open(place) as ledger:
        assert ledger.get("aaaaaa").state == Sending(at=1.0)


@pytest.mark.parametrize("state", [New(), Sending(at=1.0), Pending(task_id="t-1")], ids=lambda state: state.kind)
def test_kill_between_journal_and_commit(place: Path, state: State) -> None:
    """A process that is killed there leaves a ledger that opens, has what it had, and takes new tasks."""

    def die() -> None:
        ledger = Ledger.open(place)
        ledger.add([a_task("aaaaaa")])
        break_commit(ledger, lambda: os.kill(os.getpid(), signal.SIGKILL))
        ledger.save(a_task("bbbbbb", state))

    child = FORK.Process(target=die)
    child.start()
    child.join()

    assert child.exitcode == -signal.SIGKILL
    assert (place / "ledger.db-wal").exists()
    with Ledger.open(place) as ledger:
        assert ledger.get("aaaaaa") == a_task("aaaaaa")
        assert bool(ledger.open_tasks()) is (state.kind != "new")
        ledger.add([a_task("cccccc")])
    assert {task.id for task in rebuild(place / "journal.jsonl")} == {"aaaaaa", "bbbbbb", "cccccc"}


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_journal_that_cannot_be_written(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """When the journal cannot be written nothing is committed: StateUnusable with path and reason."""

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StateUnusable, match=os.strerror(number)) as caught:
            ledger.add([a_task("aaaaaa")])

    assert str(ledger.path.parent) in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 3
    assert ledger.recent() == []


def test_a_write_that_is_cut_short_goes_on(ledger: Ledger, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take fewer bytes at a time: the line is still whole."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:100]))

    ledger.add([a_task("aaaaaa")])

    assert [entry["task"]["id"] for entry in lines(place)] == ["aaaaaa"]


def test_a_torn_line_harms_nothing(ledger: Ledger, place: Path) -> None:
    """A half line at the end is stepped over, reported, and the next line does not stick to it."""
    ledger.add([a_task("aaaaaa")])
    with (place / "journal.jsonl").open("ab") as file:
        file.write(b'{"at": 1, "task": {"id": "bb')
    assert [task.id for task in rebuild(place / "journal.jsonl")] == ["aaaaaa"]

    ledger.add([a_task("cccccc")])

    assert [task.id for task in rebuild(place / "journal.jsonl")] == ["aaaaaa", "cccccc"]
    assert damaged_lines(place / "journal.jsonl") == [2]


def test_rebuild_gives_the_last_state_of_each_task(tmp_path: Path) -> None:
    """Later lines win, forgotten tasks are gone, lines of another shape are stepped over, oldest come first."""
    journal = tmp_path / "journal.jsonl"
    with Ledger.open(tmp_path) as ledger:
        ledger.add([a_task("aaaaaa", created_at=9.0), a_task("bbbbbb"), a_task("cccccc", created_at=8.0)])
        ledger.save(a_task("aaaaaa", Unknown(reason="x"), created_at=9.0))
    with journal.open("a") as file:
        file.write('{"at": 1, "forget": ["bbbbbb", "never"]}\n\n[]\n{"at": 1}\n{"at": 1, "task": {"id": 5}}\n7\n')

    assert [(task.id, task.state.kind) for task in rebuild(journal)] == [("cccccc", "new"), ("aaaaaa", "unknown")]
    assert damaged_lines(journal) == [7, 8, 9, 10]


def test_a_lost_journal_is_written_again(ledger: Ledger, place: Path) -> None:
    """When the journal is gone or shorter, the next transaction writes it from the database."""
    ledger.add([a_task("aaaaaa"), a_task("bbbbbb")])
    (place / "journal.jsonl").unlink()

    ledger.add([a_task("cccccc")])

    assert [task.id for task in rebuild(place / "journal.jsonl")] == ["aaaaaa", "bbbbbb", "cccccc"]
    assert mode(place / "journal.jsonl") == 0o600


# -- opening


def test_everything_is_private(ledger: Ledger, place: Path) -> None:
    """The folder is 0700 and every file in it 0600, whatever the umask."""
    old = os.umask(0)
    try:
        ledger.add([a_task("aaaaaa", Saved(files=())), a_task("bbbbbb")])
        ledger.forget(finished_before=9_999.0)
        with Ledger.open(place.parent / "second") as second:
            second.add([a_task("aaaaaa")])
            for folder in (place, place.parent / "second"):
                assert mode(folder) == 0o700
                assert {(file.name, mode(file)) for file in folder.iterdir()} == {
                    (name, 0o600) for name in ("ledger.db", "ledger.db-shm", "ledger.db-wal", "journal.jsonl")
                }
    finally:
        os.umask(old)


def test_the_database_is_set_up_for_power_cuts(ledger: Ledger) -> None:
    """WAL, synchronous FULL, foreign keys, ten seconds of patience."""
    db = ledger._storage.db
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "user_version")

    found = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert found == ["wal", 2, 1, 10_000, len(schema.MIGRATIONS)]


def test_a_file_in_place_of_the_folder(place: Path) -> None:
    """A file where the folder should be, or above it, is refused with a way out."""
    place.write_text("")

    for folder in (place, place / "below"):
        with pytest.raises(StateUnusable, match="is not a folder") as caught:
            Ledger.open(folder)
        assert caught.value.hint.startswith("mv -i ")


def test_a_folder_that_cannot_be_made(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only place is refused with the setting that names another."""

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)

    with pytest.raises(StateUnusable, match=r"state cannot be opened: Permission denied") as caught:
        Ledger.open(place)

    assert "WAN_STATE_DIR" in caught.value.hint


@pytest.mark.parametrize(("name", "bits", "advice"), [(".", 0o770, "chmod 700"), ("ledger.db", 0o602, "chmod 600")])
def test_what_others_can_write_is_refused(place: Path, name: str, bits: int, advice: str) -> None:
    """A folder or file that others can write is refused with the command that mends it."""
    Ledger.open(place).close()
    (place / name).chmod(bits)

    with pytest.raises(StateUnusable, match="can be written by other users") as caught:
        Ledger.open(place)

    assert caught.value.hint.startswith(advice)
    assert str(place) in caught.value.hint


def test_what_others_can_read_is_made_private(place: Path) -> None:
    """Files restored as 0644 are made 0600."""
    Ledger.open(place).close()
    (place / "journal.jsonl").chmod(0o644)

    Ledger.open(place).close()

    assert mode(place / "journal.jsonl") == 0o600


def test_what_belongs_to_others_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of another user is refused."""
    place.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: place.stat().st_uid + 1)

    with pytest.raises(StateUnusable, match="belongs to another user") as caught:
        Ledger.open(place)

    assert "chown" in caught.value.hint


@pytest.mark.parametrize("name", ["ledger.db", "journal.jsonl"])
def test_a_link_is_refused(place: Path, name: str) -> None:
    """A symbolic link in place of either file is refused, and what it points to is untouched."""
    victim = place.parent / "victim"
    victim.write_text("precious")
    place.mkdir(mode=0o700)
    (place / name).symlink_to(victim)

    with pytest.raises(StateUnusable, match="symbolic link"):
        Ledger.open(place)

    assert victim.read_text() == "precious"


def test_a_folder_in_place_of_a_file_is_refused(place: Path) -> None:
    """A folder where the journal should be is refused."""
    (place / "journal.jsonl").mkdir(parents=True)
    place.chmod(0o700)

    with pytest.raises(StateUnusable, match="not a regular file"):
        Ledger.open(place)


def test_windows_has_no_such_permissions(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no permission bits nothing is refused for them."""
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    monkeypatch.setattr(folder_module, "_POSIX", False)

    with Ledger.open(place) as ledger:
        ledger.add([a_task("aaaaaa")])
    with Ledger.open(place) as ledger:
        assert ledger.get("a").id == "aaaaaa"


def damage_header(data: bytes) -> bytes:
    """Overwrite the beginning."""
    return b"garbage!" * 16 + data[128:]


def damage_page(data: bytes) -> bytes:
    """Overwrite a page in the middle."""
    return data[:8192] + b"\xff" * 4096 + data[12288:]


def cut(data: bytes) -> bytes:
    """Keep the first half."""
    return data[: len(data) // 2]


def empty(_: bytes) -> bytes:
    """Keep nothing."""
    return b""


@pytest.mark.parametrize("damage", [damage_header, damage_page, cut, empty], ids=lambda damage: damage.__name__)
def test_a_damaged_ledger_is_refused(place: Path, damage: Callable[[bytes], bytes]) -> None:
    """Damage is never taken for a new ledger: nothing was bought, both files are named, and both are left alone."""
    with Ledger.open(place) as ledger:
        ledger.add([a_task("aaaaaa")])
    damaged = damage((place / "ledger.db").read_bytes())
    (place / "ledger.db").write_bytes(damaged)
    journal = (place / "journal.jsonl").read_bytes()

    with pytest.raises(StateUnusable, match=r"is damaged .* nothing was bought") as caught:
        Ledger.open(place)

    assert str(place / "ledger.db") in caught.value.message
    assert str(place / "journal.jsonl") in caught.value.message
    assert (place / "ledger.db").read_bytes() == damaged
    assert (place / "journal.jsonl").read_bytes() == journal


def test_a_ledger_that_is_gone_is_not_started_afresh(place: Path) -> None:
    """Without the database, a journal with tasks in it stops everything."""
    with Ledger.open(place) as ledger:
        ledger.add([a_task("aaaaaa")])
    (place / "ledger.db").unlink()

    with pytest.raises(StateUnusable, match="gone while its journal is there"):
        Ledger.open(place)

    assert not (place / "ledger.db").exists()


@pytest.mark.parametrize("document", ["{", '{"id": "aaaaaa"}'])
@BOTH
def test_a_damaged_document_is_refused(ledger: Ledger, document: str) -> None:
    """A task that cannot be read is damage, for readers and for the writer of a new journal."""
    ledger.add([a_task("aaaaaa")])
    with ledger._storage.reading() as db:
        db.execute("UPDATE task SET document = ?", (document,))

    with pytest.raises(StateUnusable, match=r"is damaged|cannot read"):
        ledger.get("aaaaaa")

    if document == "{" and isinstance(ledger, LocalLedger):
        ledger.journal_path.unlink()
        with pytest.raises(StateUnusable, match="is damaged"):
            ledger.add([a_task("bbbbbb")])


def test_a_large_ledger_that_was_closed_is_not_checked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit only a database that was not closed cleanly is checked throughout."""
    asked: list[bool] = []
    examine = schema.examine

    def noted(*args: Any, thorough: bool) -> None:
        asked.append(thorough)
        examine(*args, thorough=thorough)

    monkeypatch.setattr(schema, "examine", noted)
    monkeypatch.setattr(schema, "CHECK_BELOW", 1)

    with Ledger.open(place) as ledger:
        ledger.add([a_task("aaaaaa")])
        Ledger.open(place).close()
    Ledger.open(place).close()

    assert asked == [False, True, False]


def test_a_newer_ledger_is_refused(place: Path) -> None:
    """A ledger that a newer wan wrote is left alone."""
    Ledger.open(place).close()
    with sqlite3.connect(place / "ledger.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(StateUnusable, match="written by a newer wan") as caught:
        Ledger.open(place)

    assert "upgrade" in caught.value.hint


def test_a_foreign_database_is_refused(place: Path) -> None:
    """Another program's SQLite file is not taken for a ledger."""
    place.mkdir(mode=0o700)
    with sqlite3.connect(place / "ledger.db") as db:
        db.execute("CREATE TABLE songs (title)")
    db.close()
    (place / "ledger.db").chmod(0o600)

    with pytest.raises(StateUnusable, match="is not a ledger of wan"):
        Ledger.open(place)


def test_an_older_ledger_is_migrated(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing migrations are applied in order, and the tasks stay."""
    with Ledger.open(place) as ledger:
        ledger.add([a_task("aaaaaa")])
    more = "ALTER TABLE task ADD COLUMN colour TEXT; UPDATE task SET colour = 'red';"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, more))

    with Ledger.open(place) as ledger:
        assert ledger._storage.db.execute("SELECT id, colour FROM task").fetchall() == [("aaaaaa", "red")]
        assert ledger._storage.db.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)


def test_a_ledger_of_the_first_version_learns_durations(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was made before durations were kept opens with its tasks, and keeps durations from then on."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        with Ledger.open(place) as old:
            old.add([a_task("aaaaaa")])
            old.save(a_task("aaaaaa", Sending(at=1.0)))
            assert old._storage.db.execute("PRAGMA user_version").fetchone() == (1,)

    with Ledger.open(place) as ledger:
        assert ledger._storage.db.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
        assert ledger.get("aaaaaa").state == Sending(at=1.0)
        assert ledger.durations(*MAKER, limit=5) == []
        ledger.learn_duration(*MAKER, least=2.0, most=4.0)
        ledger.save(a_task("aaaaaa", Pending(task_id="t")))
        assert ledger.durations(*MAKER, limit=5) == [(2.0, 4.0)]


def test_a_migration_that_fails_changes_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration is applied whole or not at all."""
    Ledger.open(place).close()
    broken = "ALTER TABLE task ADD COLUMN colour TEXT; ALTER TABLE absent ADD COLUMN x;"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
        with pytest.raises(StateUnusable, match="no such table"):
            Ledger.open(place)

    with Ledger.open(place) as ledger:
        ledger.add([a_task("aaaaaa")])


def test_a_ledger_that_is_held_for_long(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another process keeps the write lock, the message says so."""
    monkeypatch.setattr(schema, "BUSY_S", 0.0)
    with Ledger.open(place) as ledger, Ledger.open(place) as other:
        other._storage.db.execute("BEGIN IMMEDIATE")

        with pytest.raises(StateUnusable, match="database is locked") as caught:
            ledger.add([a_task("aaaaaa")])
        with pytest.raises(StateUnusable, match="database is locked"):
            Ledger.open(place)

    assert "another wan process" in caught.value.hint


def test_a_database_that_cannot_be_written(ledger: Ledger) -> None:
    """A read-only database is reported with the command that mends it."""
    ledger._storage.db.execute("PRAGMA query_only=ON")

    with pytest.raises(StateUnusable, match="readonly") as caught:
        ledger.add([a_task("aaaaaa")])

    assert caught.value.hint.startswith("chmod 700")


@BOTH
def test_a_closed_ledger_and_a_strange_key(ledger: Ledger) -> None:
    """Neither a key that is not text nor a call after the end shows an error of SQLite."""
    with pytest.raises(StateUnusable, match="cannot be written"):
        ledger.add([a_task("aaaaaa", user_key="\udcff")])
    ledger.close()
    with pytest.raises(StateUnusable, match=r"cannot be read: (Cannot operate on a closed database|it was closed)"):
        ledger.recent()


# -- several processes


def race(opener: Opener, run: Callable[[Ledger, int], object]) -> list[Any]:
    """Run ``run(ledger, number)`` in eight processes at once, each with its own ledger; return what they gave."""
    barrier, results = FORK.Barrier(RACERS, timeout=30), FORK.Queue()

    def racer(number: int) -> None:
        barrier.wait()
        with opener() as ledger:
            results.put(run(ledger, number))
            barrier.wait()

    racers = [FORK.Process(target=racer, args=(number,), daemon=True) for number in range(RACERS)]
    for process in racers:
        process.start()
    found = [results.get(timeout=30) for _ in racers]
    for process in racers:
        process.join()
    return found


@BOTH
def test_one_of_many_racers_adds(opener: Opener, place: Path) -> None:
    """Eight processes that start with one key at once, on no ledger at all, make one set of tasks."""

    def run(ledger: Ledger, number: int) -> list[str]:
        new = [a_task(f"r{number}i{item}", user_key="k", item=item) for item in (1, 2)]
        return [task.id for task in ledger.add_or_find("k", new)]

    found = race(opener, run)

    with opener() as ledger:
        assert [[task.id for task in ledger.by_user_key("k")]] * RACERS == found
        assert len(ledger.recent()) == 2
    if isinstance(ledger, LocalLedger):
        assert sorted(file.name for file in place.iterdir()) == ["journal.jsonl", "ledger.db"]


@BOTH
def test_one_of_many_racers_owns(opener: Opener) -> None:
    """Of eight processes that claim a task at once, one gets it."""
    with opener() as ledger:
        ledger.add([a_task("aaaaaa")])

    assert sorted(race(opener, lambda ledger, _: ledger.claim("aaaaaa"))) == [False] * (RACERS - 1) + [True]


def in_child(place: Path, run: Callable[[Ledger], object]) -> Any:
    """Run ``run`` in a child process that then dies by SIGKILL; return what it gave."""
    results = FORK.SimpleQueue()

    def child() -> None:
        results.put(run(Ledger.open(place)))
        os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=child)
    process.start()
    found = results.get()
    process.join()
    return found


def test_a_dead_owner_is_replaced(ledger: Ledger, place: Path) -> None:
    """A killed process's claim is taken over; a living one's is not, until it is released."""
    ledger.add([a_task("aaaaaa")])
    assert in_child(place, lambda other: other.claim("aaaaaa")) is True

    assert ledger.claim("aaaaaa")
    assert ledger.claim("aaaaaa")

    def meddle(other: Ledger) -> bool:
        other.release("aaaaaa")
        return other.claim("aaaaaa")

    assert in_child(place, meddle) is False
    ledger.release("aaaaaa")
    assert in_child(place, lambda other: other.claim("aaaaaa")) is True


def test_an_owner_before_the_reboot_is_dead(place: Path) -> None:
    """After a reboot process numbers mean other processes."""
    with Ledger.open(place, boot_id="one") as before, Ledger.open(place, boot_id="two") as after:
        before.add([a_task("aaaaaa")])
        assert before.claim("aaaaaa")
        assert after.claim("aaaaaa")


def test_saving_keeps_a_claim_alive(place: Path) -> None:
    """An owner in another container counts as alive for an hour after its last word, and saving is a word."""
    now = [0.0]
    with Ledger.open(place, clock=lambda: now[0]) as one, Ledger.open(place, clock=lambda: now[0]) as two:
        two._here = dataclasses.replace(two._here, space="pid:[1]")
        one.add([a_task("aaaaaa")])
        assert one.claim("aaaaaa")
        now[0] = LEASE_S - 1
        one.save(a_task("aaaaaa", Pending(task_id="t")))
        now[0] = 2 * LEASE_S - 2

        assert two.claim("aaaaaa") is False
        now[0] += 1
        assert two.claim("aaaaaa") is True


@BOTH
def test_claiming_what_is_not_there(ledger: Ledger) -> None:
    """A task that is not in the ledger cannot be owned."""
    with pytest.raises(StateUnusable, match=r"FOREIGN KEY|nobody is not in the ledger"):
        ledger.claim("nobody")


def test_is_alive_by_start_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that another process has now, a zombie and no process are dead; a name may hold parentheses."""
    monkeypatch.setattr(owner_module, "PROC", tmp_path)
    here = Owner(1, "5", "boot", "space")

    def process(state: str, start: int) -> None:
        (tmp_path / "77").mkdir(exist_ok=True)
        (tmp_path / "77" / "stat").write_text(f"77 (a) b (c)) {state} {' '.join('0' * 18)} {start} 0\n")

    theirs = Owner(77, "9", "boot", "space")
    assert not is_alive(theirs, here, 0)
    process("S", 9)
    assert is_alive(theirs, here, 1e9)
    process("S", 10)
    assert not is_alive(theirs, here, 0)
    process("Z", 9)
    assert not is_alive(theirs, here, 0)


def test_is_alive_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no /proc a signal 0 tells, and on Windows only time does."""
    monkeypatch.setattr(owner_module, "PROC", tmp_path)
    here = this_process()
    assert (here.started, here.boot, here.space) == ("", "", "")
    theirs = dataclasses.replace(here, pid=77)
    answers: Iterator[type[OSError] | None] = iter([ProcessLookupError, PermissionError, None])

    def kill(pid: int, number: int) -> None:
        assert (pid, number) == (77, 0)
        if error := next(answers):
            raise error

    monkeypatch.setattr(os, "kill", kill)

    assert [is_alive(theirs, here, 1e9) for _ in range(3)] == [False, True, True]
    monkeypatch.setattr("sys.platform", "win32")
    assert is_alive(theirs, here, LEASE_S - 1)
    assert not is_alive(theirs, here, LEASE_S)


# -- attempts and uploads


@BOTH
def test_attempts_are_kept(ledger: Ledger) -> None:
    """What was sent and what came back is read in order, and at most 8 MiB of the answer."""
    ledger.add([a_task("aaaaaa")])
    ledger.record_attempt("aaaaaa", 2, body="second", body_sha256="22", at=20.0)
    ledger.record_attempt("aaaaaa", 1, body="first", body_sha256="11", at=10.0)
    ledger.record_answer("aaaaaa", 1, verdict="accepted", http_status=200, raw=b"x" * (8_388_608 + 1))

    first, second = ledger.attempts("aaaaaa")

    assert (first.n, first.at, first.body, first.body_sha256) == (1, 10.0, "first", "11")
    assert (first.verdict, first.http_status) == ("accepted", 200)
    assert first.raw == b"x" * 8_388_608
    assert (second.verdict, second.http_status, second.raw) == (None, None, None)


@BOTH
def test_an_answered_attempt_is_evidence(ledger: Ledger) -> None:
    """An attempt without an answer may be recorded again, one with an answer may not."""
    ledger.add([a_task("aaaaaa")])
    ledger.record_attempt("aaaaaa", 1, body="one", body_sha256="1", at=1.0)
    ledger.record_attempt("aaaaaa", 1, body="two", body_sha256="2", at=2.0)
    assert [attempt.body for attempt in ledger.attempts("aaaaaa")] == ["two"]
    ledger.record_answer("aaaaaa", 1, verdict="unknown", http_status=None, raw=None)

    with pytest.raises(StateUnusable, match="attempt 1 of task aaaaaa") as caught:
        ledger.record_attempt("aaaaaa", 1, body="three", body_sha256="3", at=3.0)

    assert caught.value.hint == "wan recover aaaaaa"
    assert [attempt.body for attempt in ledger.attempts("aaaaaa")] == ["two"]


@BOTH
def test_an_answer_without_an_attempt_is_kept(ledger: Ledger) -> None:
    """An answer is never thrown away because its request was not recorded."""
    ledger.add([a_task("aaaaaa")])

    ledger.record_answer("aaaaaa", 1, verdict="accepted", http_status=200, raw=b"{}")

    assert [(a.verdict, a.raw, a.body, a.at) for a in ledger.attempts("aaaaaa")] == [("accepted", b"{}", None, 2_000.0)]


PLACE: dict[str, Any] = {"sha256": "ab", "provider": "rivya", "origin": "https://rivya.ai", "key_print": "k"}


@pytest.mark.parametrize(
    ("expires_at", "now", "usable"),
    [
        (None, 2_000.0, True), (None, 88_400.0, True), (None, 88_401.0, False), (None, 1_999.0, False),
        (90_000.0, 89_999.0, True), (90_000.0, 90_000.0, False), (2_001.0, 2_001.0, False),
    ],
)  # fmt: skip
@BOTH
def test_a_known_upload(ledger: Ledger, expires_at: float | None, now: float, *, usable: bool) -> None:
    """An upload of 2,000 is used until it expires, or for a day where that is not known."""
    upload = Upload(url="https://u.example/1", file_id="f", duration_token="d", expires_at=expires_at)
    ledger.remember_upload(**PLACE, upload=Upload(url="https://u.example/old"))
    ledger.remember_upload(**PLACE, upload=upload)

    assert ledger.known_upload(**PLACE, now=now) == (upload if usable else None)


@pytest.mark.parametrize("name", PLACE)
@BOTH
def test_an_upload_elsewhere_is_not_known(ledger: Ledger, name: str) -> None:
    """Another content, provider, origin or key has its own uploads."""
    ledger.remember_upload(**PLACE, upload=Upload(url="https://u.example/1"))

    assert ledger.known_upload(**{**PLACE, name: "other"}, now=2_000.0) is None


# -- durations


@BOTH
def test_durations_are_kept_by_model_and_read_oldest_first(ledger: Ledger, opener: Opener) -> None:
    """What is learned is durable with the next task that is saved; another model or origin has its own."""
    elsewhere, other = ("rivya", "http://127.0.0.1:8484", "wan2.7-image"), (*MAKER[:2], "wan2.7-video")
    for maker, most in ((MAKER, 1.0), (elsewhere, 9.0), (MAKER, 2.0), (other, 7.0), (MAKER, 3.0)):
        ledger.learn_duration(*maker, least=0.0, most=most)
    assert ledger.durations(*MAKER, limit=5) == []
    ledger.save(a_task("aaaaaa"))
    ledger.save(a_task("aaaaaa"))
    with opener() as again:
        assert again.durations(*MAKER, limit=5) == [(0.0, 1.0), (0.0, 2.0), (0.0, 3.0)]
        assert again.durations(*MAKER, limit=2) == [(0.0, 2.0), (0.0, 3.0)]
        assert again.durations(*elsewhere, limit=5) == [(0.0, 9.0)]


def test_a_duration_waits_for_a_save_that_works(ledger: Ledger) -> None:
    """Where a transaction fails, what was learned is written with the next one, once."""
    ledger.learn_duration(*MAKER, least=0.0, most=1.0)
    break_commit(ledger, full_disk)
    with pytest.raises(StateUnusable):
        ledger.save(a_task("aaaaaa"))
    mend_commit(ledger)
    assert ledger.durations(*MAKER, limit=5) == []
    ledger.save(a_task("aaaaaa"))
    assert ledger.durations(*MAKER, limit=5) == [(0.0, 1.0)]


def test_the_durations_of_a_model_are_bounded(ledger: Ledger) -> None:
    """Of a model's durations the newest hundred stay, and no other model's go for them; an index finds them."""
    ledger.learn_duration(*MAKER[:2], "rare", least=0.0, most=5.0)
    for number in range(durations.KEPT + 7):
        ledger.learn_duration(*MAKER, least=0.0, most=float(number))
    ledger.save(a_task("aaaaaa"))
    found = ledger.durations(*MAKER, limit=1000)
    assert (len(found), found[0], found[-1]) == (durations.KEPT, (0.0, 7.0), (0.0, durations.KEPT + 6.0))
    assert ledger.durations(*MAKER[:2], "rare", limit=5) == [(0.0, 5.0)]
    asked: list[str] = []
    ledger._storage.db.set_trace_callback(asked.append)
    ledger.durations(*MAKER, limit=5)
    ledger._storage.db.set_trace_callback(None)
    (query,) = [text for text in asked if "duration" in text]
    plan = [row[3] for row in ledger._storage.db.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert plan == ["SEARCH duration USING INDEX duration_of (provider=? AND origin=? AND model=?)"]


@BOTH
def test_durations_are_forgotten_with_the_tasks(opener: Opener) -> None:
    """A prune takes the durations of its age along."""
    now = [100.0]
    with opener(clock=lambda: now[0]) as ledger:
        for now[0] in (100.0, 200.0):
            ledger.learn_duration(*MAKER, least=0.0, most=now[0])
            ledger.save(a_task("aaaaaa"))
        ledger.forget(finished_before=150.0)
        assert ledger.durations(*MAKER, limit=5) == [(0.0, 200.0)]


# -- forgetting


def test_forgetting_finished_tasks(ledger: Ledger, place: Path) -> None:
    """Ended tasks of that age go, with attempts, old uploads and journal lines; open, unknown and young ones stay."""
    states: list[State] = [
        Saved(files=()), Failed(code="network", message="x"), Cancelled(), Lost(code="task_vanished", message="x"),
        New(), Sending(at=1.0), Pending(task_id="t"), Done(outputs=()), Unknown(reason="x"),
    ]  # fmt: skip
    ledger.add([a_task(f"{state.kind}1", state, finished_at=50.0) for state in states])
    ledger.add([a_task("young", Saved(files=()), finished_at=150.0), a_task("undated", Saved(files=()))])
    ledger.record_attempt("saved1", 1, body="CANARY-BODY", body_sha256="1", at=1.0)
    ledger.remember_upload(**PLACE, upload=Upload(url="https://u.example/1"))

    assert ledger.forget(finished_before=100.0) == 4

    kept = {"new1", "sending1", "pending1", "done1", "unknown1", "young", "undated"}
    assert {task.id for task in ledger.recent()} == kept
    assert {task.id for task in rebuild(place / "journal.jsonl")} == kept
    assert ledger.attempts("saved1") == []
    assert ledger.known_upload(**PLACE, now=2_000.0)
    assert not any(b"CANARY-BODY" in file.read_bytes() for file in place.iterdir())
    assert not any(b"saved1" in file.read_bytes() for file in place.iterdir())

    assert ledger.forget(finished_before=2_001.0) == 2
    assert ledger.known_upload(**PLACE, now=2_000.0) is None
    assert ledger.forget(finished_before=2_001.0) == 0


def test_a_prune_that_fails_forgets_nothing(ledger: Ledger, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the new journal cannot be written, the tasks and the old journal stay, and no temporary file does."""
    ledger.add([a_task("aaaaaa", Saved(files=()), finished_at=50.0)])
    fsync, calls = os.fsync, itertools.count()

    def refuse(descriptor: int) -> None:
        if next(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StateUnusable, match="No space left"):
            ledger.forget(finished_before=100.0)

    assert ledger.get("aaaaaa")
    assert not (place / "journal.jsonl.new").exists()
    # The intention was synced, so that the next transaction completes it.
    ledger.add([a_task("bbbbbb")])
    assert [task.id for task in ledger.recent()] == ["bbbbbb"]


def test_a_prune_that_was_not_committed(ledger: Ledger, place: Path) -> None:
    """When the journal was already replaced, the next transaction writes it again from the database."""
    ledger.add([a_task(f"aaaaa{n}", Saved(files=()), finished_at=50.0) for n in range(3)])
    (place / "journal.jsonl.new").write_text("left by a crash")
    break_commit(ledger, full_disk)
    with pytest.raises(StateUnusable):
        ledger.forget(finished_before=100.0)
    assert rebuild(place / "journal.jsonl") == []
    mend_commit(ledger)

    ledger.save(a_task("bbbbbb"))

    assert len(ledger.recent()) == 4
    assert len(rebuild(place / "journal.jsonl")) == 4


def test_prompts_that_are_not_stored(place: Path) -> None:
    """With store_prompts=False no file of the ledger ever holds the prompt, in whatever a provider quotes it."""
    canary, revised, negative = 'the "CANARY" sings', "the REVISED bird", "no NEGATIVE"
    job = dataclasses.replace(a_task("x").job, prompt=canary, negative=negative)
    raw = json.dumps({"id": "t-1", "input": {"prompt": canary}, "revised_prompt": revised, "note": f"on {canary}"})
    with Ledger.open(place, store_prompts=False) as ledger:
        task = a_task("aaaaaa", job=job, user_key="k")
        assert ledger.add_or_find("k", [task]) == [task]
        ledger.record_attempt("aaaaaa", 1, body=json.dumps({"prompt": canary}), body_sha256="ab", at=1.0)
        ledger.record_answer("aaaaaa", 1, verdict="accepted", http_status=200, raw=raw.encode())
        ledger.record_answer("aaaaaa", 2, verdict="unknown", http_status=502, raw=b"\xff not JSON: " + canary.encode())
        ledger.record_answer("aaaaaa", 3, verdict="unknown", http_status=None, raw=None)
        facts = Facts(revised_prompt=revised)
        ledger.save(dataclasses.replace(task, state=Pending(task_id="t-1", facts=facts), revised_prompt=revised))
        ledger.save(dataclasses.replace(task, state=Unknown(reason=f"about {canary}", raw=raw)))
        found = ledger.get("aaaaaa")
        ledger.save(dataclasses.replace(found, state=Failed(code="moderation", message=f"{revised}? {canary}!")))
        first, second, _ = ledger.attempts("aaaaaa")
        files = {file.name: file.read_bytes() for file in place.iterdir()}

    assert len(files) == 4
    for secret in (b"CANARY", b"REVISED", b"NEGATIVE"):
        assert [name for name, data in files.items() if secret in data] == []
    assert found.job.prompt == f"sha256:{hashlib.sha256(canary.encode()).hexdigest()}"
    assert first.body is None
    assert first.body_sha256 == "ab"
    assert first.raw is not None
    assert json.loads(first.raw)["id"] == "t-1"
    assert second.raw is not None
    assert second.raw.startswith(b"\xff not JSON: sha256:")
