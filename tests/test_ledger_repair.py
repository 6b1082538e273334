"""The repair of a ledger: whose word counts, what is kept of what was there, and when it is refused."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from wan_cli.errors import StateUnusable
from wan_cli.ledger import Ledger, salvage, schema
from wan_cli.ledger import repair as repair_module
from wan_cli.ledger.checkup import check
from wan_cli.ledger.journal import Journal, Story, damaged_lines, replay
from wan_cli.ledger.owner import Owner, this_process
from wan_cli.ledger.repair import merge, repair
from wan_cli.ledger.salvage import Salvage
from wan_cli.models import Done, Job, New, Pending, Saved, Sending, State, Target, Task, Unknown, Upload
from wan_cli.record import to_document

NOW = 1_000_000.0
STAMP = "19700112T134640Z"
STATES: tuple[State, ...] = (
    New(), Sending(at=1.0), Unknown(reason="x"), Pending(task_id="t"), Done(outputs=()), Saved(files=()),
)  # fmt: skip
"""From the one that knows least of a purchase to the one that knows most."""
UPLOAD: dict[str, str] = {"sha256": "ab", "provider": "rivya", "origin": "https://rivya.ai", "key_print": "k"}


def a_task(name: str, state: State | None = None, created: float = 1.0, prompt: str = "a fox") -> Task:
    """Return a task with the id ``name``, at the provider unless told otherwise."""
    return Task(
        id=name, provider="rivya", origin="https://rivya.ai", provider_model="wan-2-7-image", token=f"wan-{name}",
        job=Job(verb="generate", provider="rivya", model="wan2.7-image", prompt=prompt), created_at=created,
        target=Target(template="/out/{id}{ext}"), state=Pending(task_id="t") if state is None else state,
    )  # fmt: skip


def line(task: Task) -> bytes:
    """Return a journal's line that tells of ``task``."""
    return json.dumps({"at": 5.0, "task": to_document(task)}, separators=(",", ":")).encode() + b"\n"


def clock() -> float:
    """Tell the time of every repair here."""
    return NOW


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with a ledger of two purchases, an attempt of each, and an upload."""
    with Ledger.open(tmp_path / "state", clock=clock) as ledger:
        ledger.add([a_task("bbbbbb", created=2.0), a_task("aaaaaa", created=1.0)])
        for name in ("aaaaaa", "bbbbbb"):
            ledger.record_attempt(name, 1, body=f"body of {name}", body_sha256="11", at=3.0)
            ledger.record_answer(name, 1, verdict="accepted", http_status=200, raw=b"{}")
        ledger.remember_upload(**UPLOAD, upload=Upload(url="https://u.example/1"))
    return tmp_path / "state"


def hurt(place: Path) -> bytes:
    """Overwrite the database's header; return what is there then."""
    database = place / "ledger.db"
    database.write_bytes(b"\xff" * 100 + database.read_bytes()[100:])
    return database.read_bytes()


def change(place: Path, sql: str, *values: object) -> None:
    """Change the database behind the journal's back."""
    with contextlib.closing(sqlite3.connect(place / "ledger.db", isolation_level=None)) as db:
        db.execute(sql, values)


def states(place: Path) -> dict[str, str]:
    """Return each task's state; the ledger must be whole, and at one with its journal."""
    seen = check(place)
    assert (seen.condition, seen.strays, seen.bad_lines, seen.late) == ("whole", (), (), False)
    return {task.id: task.state.kind for task in seen.tasks}


def names(place: Path) -> list[str]:
    """Return what is in the folder."""
    return sorted(path.name for path in place.iterdir())


# -- whose word counts


def story(*tasks: Task) -> Story:
    """Return what a journal of these tasks tells."""
    told = Story()
    for number, task in enumerate(tasks, start=1):
        told.hear(number, {"at": 5.0, "task": to_document(task)})
    return told


def doc(state: State, name: str = "aaaaaa", prompt: str = "of the database") -> dict[str, Any]:
    """Return a task's document as a database has it."""
    return to_document(a_task(name, state, prompt=prompt))


def test_of_two_records_the_one_that_knows_more_is_kept() -> None:
    """Of every two states the one further on in a purchase wins; of equals, and where it is trusted, the journal."""
    for less, theirs in enumerate(STATES):
        for more, ours in enumerate(STATES):
            told = story(a_task("aaaaaa", theirs))
            found = merge(told, {"aaaaaa": doc(ours)}, trusted=False, now=9.0)
            entry = {"at": 9.0, "task": doc(ours)} if more > less else told.last["aaaaaa"]
            assert found.entries == {"aaaaaa": entry}, (theirs.kind, ours.kind)
            assert found.added == ({"aaaaaa": entry} if more > less else {})
            assert found.salvaged == []
            assert merge(told, {"aaaaaa": doc(ours)}, trusted=True, now=9.0).entries == told.last


@pytest.mark.parametrize("trusted", [True, False])
def test_what_only_the_database_has_is_kept_unless_it_was_forgotten(*, trusted: bool) -> None:
    """A task that the journal never told of is salvaged; one that a prune took away stays away."""
    told = story(a_task("aaaaaa", Saved(files=())))
    told.hear(2, {"at": 5.0, "forget": ["cccccc"]})
    docs = {name: doc(Saved(files=()), name) for name in ("bbbbbb", "cccccc")}
    found = merge(told, docs, trusted=trusted, now=9.0)
    assert (found.salvaged, sorted(found.entries), sorted(found.added)) == (
        ["bbbbbb"],
        ["aaaaaa", "bbbbbb"],
        ["bbbbbb"],
    )


def test_what_a_story_holds_in_doubt() -> None:
    """Only a plan is in doubt after a line that nobody can read, until a later line tells of it or forgets it."""
    told = story(a_task("aaaaaa", New()), a_task("bbbbbb", Sending(at=1.0)), a_task("cccccc", New()))
    told.hear(4, None)
    told.hear(5, {"at": 5.0, "task": to_document(a_task("dddddd", New()))})
    assert (told.damaged, told.doubtful) == ([4], {"aaaaaa", "cccccc"})
    told.hear(6, {"at": 5.0, "forget": ["aaaaaa", "never"]})
    assert (told.doubtful, told.forgotten, sorted(told.last)) == (
        {"cccccc"}, {"aaaaaa", "never"}, ["bbbbbb", "cccccc", "dddddd"],
    )  # fmt: skip
    told.hear(7, {"at": 5.0, "task": to_document(a_task("aaaaaa", New()))})
    told.hear(8, {"at": 5.0, "task": to_document(a_task("cccccc", New()))})
    assert (told.doubtful, told.forgotten, "aaaaaa" in told.last) == (set(), {"never"}, True)


def test_a_journal_can_be_heard_up_to_a_byte(tmp_path: Path) -> None:
    """Lines that begin at that byte or later are not heard; without one, all are; after a byte only those beyond it."""
    path = tmp_path / "journal.jsonl"
    lines = [line(a_task(name)) for name in ("aaaaaa", "bbbbbb", "cccccc")]
    path.write_bytes(b"".join(lines))
    first = len(lines[0])
    assert [len(replay(path, until=until).last) for until in (0, 1, first, first + 1)] == [0, 1, 1, 2]
    assert len(replay(path).last) == len(list(Journal(path).entries())) == 3
    assert [entry["task"]["id"] for entry in Journal(path).entries(after=first)] == ["bbbbbb", "cccccc"]


def test_a_line_of_a_journal_needs_all_its_parts(tmp_path: Path) -> None:
    """What was forgotten is told with its time, as texts; a line without a time, a list or an end is damaged."""
    path = tmp_path / "journal.jsonl"
    assert Journal(path).size() == 0
    path.write_bytes(
        b'{"at": 7, "forget": ["x", 5]}\n{"forget": ["x"]}\n{"at": 7}\n{"at": 7, "forget": null}\n'
        + line(a_task("aaaaaa")).replace(b'"at":5.0,"task"', b'"task"') + b"[" * 100_000 + b"\n"
    )  # fmt: skip
    assert list(Journal(path).entries()) == [{"at": 7, "forget": ["x", "5"]}]
    assert damaged_lines(path) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("cut", "damage", "kind"),
    [(0, b"", "unknown"), (1, b"", "pending"), (0, b"?\n", "pending")],
    ids=["whole", "shorter", "damaged"],
)
def test_the_journal_is_trusted_when_it_is_complete(place: Path, cut: int, damage: bytes, kind: str) -> None:
    """As long as at the last commit and readable, it has the last word; cut or damaged, the record that knows more."""
    journal = place / "journal.jsonl"
    with Ledger.open(place, clock=clock) as ledger:
        ledger.save(a_task("aaaaaa", Unknown(reason="no answer")))
    change(place, "UPDATE task SET document = ? WHERE id = 'aaaaaa'", json.dumps(to_document(a_task("aaaaaa"))))
    whole = journal.read_bytes()
    # Without its end the last line can still be read, but the journal is a byte short.
    journal.write_bytes(whole[: len(whole) - cut] + damage)
    assert replay(journal).last["aaaaaa"]["task"]["state"]["kind"] == "unknown"
    hurt(place)
    assert repair(place, clock) is not None
    assert states(place)["aaaaaa"] == kind


# -- what a repair leaves


def test_a_whole_ledger_is_not_touched(place: Path, tmp_path: Path) -> None:
    """Nothing damaged, nothing done; and where there is no folder none is made."""
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    assert repair(place, clock) is None
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert repair(tmp_path / "absent") is None
    assert not (tmp_path / "absent").exists()


def test_a_damaged_header_costs_nothing(place: Path) -> None:
    """Tasks, attempts and uploads are all in the new database, and the old one is kept as it was; no lock stays."""
    told, old = (place / "journal.jsonl").read_bytes(), hurt(place)
    done = repair(place, clock)
    assert done is not None
    kept = place / f"ledger.corrupt-{STAMP}.db"
    assert (done.kept, done.tasks, done.salvaged, done.doubtful) == ((kept,), 2, (), ())
    assert (done.bad_lines, done.evidence_lost) == ((), False)
    assert kept.read_bytes() == old
    assert (place / "journal.jsonl").read_bytes() == told
    assert names(place) == ["journal.jsonl", kept.name, "ledger.db"]
    assert states(place) == {"aaaaaa": "pending", "bbbbbb": "pending"}
    with Ledger.open(place, clock=clock) as ledger:
        assert [task.id for task in ledger.recent()] == ["bbbbbb", "aaaaaa"]
        assert [attempt.body for attempt in ledger.attempts("bbbbbb")] == ["body of bbbbbb"]
        assert ledger.known_upload(**UPLOAD, now=NOW) == Upload(url="https://u.example/1")


def test_a_database_that_is_gone_takes_the_evidence_with_it(place: Path) -> None:
    """That attempts may be missing is said where there are tasks that had some, and which lines told nothing."""
    journal = place / "journal.jsonl"
    (place / "ledger.db").unlink()
    journal.write_bytes(b"?\n" + journal.read_bytes())
    done = repair(place, clock)
    assert done is not None
    assert (done.evidence_lost, done.bad_lines, done.tasks) == (True, (1,), 2)
    assert done.kept == (place / f"journal.damaged-{STAMP}.jsonl",)
    assert done.kept[0].read_bytes().startswith(b"?\n")
    assert len(states(place)) == 2


def test_an_empty_database_without_a_journal_is_replaced(tmp_path: Path) -> None:
    """There is nothing to bring back, so nothing is missed, and both files are there again."""
    (tmp_path / "ledger.db").touch(0o600)
    done = repair(tmp_path, clock)
    assert done is not None
    assert (done.tasks, done.evidence_lost, done.bad_lines, len(done.kept)) == (0, False, (), 1)
    assert names(tmp_path) == ["journal.jsonl", f"ledger.corrupt-{STAMP}.db", "ledger.db"]


def test_without_a_journal_the_database_tells_all(place: Path) -> None:
    """Every task is salvaged from a damaged database alone, and the journal tells of them again."""
    (place / "journal.jsonl").unlink()
    hurt(place)
    done = repair(place, clock)
    assert done is not None
    assert (done.salvaged, done.evidence_lost) == (("bbbbbb", "aaaaaa"), False)
    assert set(states(place)) == set(replay(place / "journal.jsonl").last) == {"aaaaaa", "bbbbbb"}


def test_both_files_are_mended_at_once(place: Path) -> None:
    """With a damaged line as well, one repair is enough: both old files are kept, each as it was, for this user."""
    journal = place / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b"torn\n")
    old, told = hurt(place), journal.read_bytes()
    done = repair(place, clock)
    assert done is not None
    copy, kept = place / f"journal.damaged-{STAMP}.jsonl", place / f"ledger.corrupt-{STAMP}.db"
    assert (done.kept, done.tasks, done.bad_lines) == ((kept, copy), 2, ())
    assert (kept.read_bytes(), copy.read_bytes()) == (old, told)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (copy, journal, place / "ledger.db")] == [0o600] * 3
    assert len(states(place)) == 2
    assert repair(place, clock) is None


def test_a_plan_before_a_damaged_line_is_taken_for_sent(place: Path) -> None:
    """With the outcome unknown and an attempt counted; not where the database knows of it, nor one told of later."""
    journal = place / "journal.jsonl"
    plans = [a_task(name, New(), created=7.0) for name in ("cccccc", "dddddd")]
    with Ledger.open(place, clock=clock) as ledger:
        ledger.add(plans)
    text = json.dumps(to_document(a_task("dddddd", Sending(at=8.0), created=7.0)))
    change(place, "UPDATE task SET document = ? WHERE id = 'dddddd'", text)
    journal.write_bytes(journal.read_bytes() + b"torn\n" + line(a_task("eeeeee", New())))
    hurt(place)
    done = repair(place, clock)
    assert done is not None
    assert done.doubtful == ("cccccc",)
    kinds = states(place)
    assert [kinds[name] for name in ("cccccc", "dddddd", "eeeeee")] == ["sending", "sending", "new"]
    with Ledger.open(place, clock=clock) as ledger:
        task = ledger.get("cccccc")
    assert (task.state, task.charged, task.charge_basis) == (Sending(at=7.0, attempts=1), "unknown", "assumed")


def test_the_log_goes_with_its_database(place: Path) -> None:
    """What a killed process left in the log is salvaged, and the log is kept beside the old database."""
    with Ledger.open(place, clock=clock) as ledger:
        ledger.save(a_task("cccccc"))
        there = place.with_name("copy")
        there.mkdir(mode=0o700)
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copy(place / name, there / name)
            (there / name).chmod(0o600)
    hurt(there)
    log = (there / "ledger.db-wal").read_bytes()
    done = repair(there, clock)
    assert done is not None
    old = there / f"ledger.corrupt-{STAMP}.db"
    assert done.kept[:2] == (old, old.with_name(f"{old.name}-wal"))
    assert done.kept[1].read_bytes() == log
    assert all(path.name.startswith(old.name) and path.exists() for path in done.kept)
    assert set(states(there)) == {"aaaaaa", "bbbbbb", "cccccc"}


def test_old_files_are_never_overwritten(place: Path) -> None:
    """A second repair in the same second, and one whose name has a log beside it, find names of their own."""
    (place / f"ledger.corrupt-{STAMP}.db-wal").write_bytes(b"older")
    for number in (1, 2):
        hurt(place)
        done = repair(place, clock)
        assert done is not None
        assert [path.name for path in done.kept] == [f"ledger.corrupt-{STAMP}-{number}.db"]
    hurt(place)
    done = repair(place, lambda: -5.0)
    assert done is not None
    assert [path.name for path in done.kept] == ["ledger.corrupt-19700101T000000Z.db"]
    assert (place / f"ledger.corrupt-{STAMP}.db-wal").read_bytes() == b"older"


def test_the_newest_of_the_databases_that_were_moved_is_read(place: Path) -> None:
    """A repair that follows one that was cut off takes up the last that was moved away, not an older one."""
    for name, when in (("ledger.corrupt-1.db", 5), ("ledger.corrupt-0.db", 9)):
        shutil.copy(place / "ledger.db", place / name)
        os.utime(place / name, (when, when))
    (place / "ledger.corrupt-1.db").write_bytes(b"")
    os.utime(place / "ledger.corrupt-1.db", (5, 5))
    (place / "ledger.db").unlink()
    done = repair(place, clock)
    assert done is not None
    assert (done.kept, done.evidence_lost) == ((), False)


def test_a_whole_database_learns_from_the_journal(place: Path) -> None:
    """Where the two disagree the journal is right; the old database and the old journal are kept, as private copies."""
    change(place, "UPDATE task SET document = replace(document, 'a fox', 'a box')")
    change(place, "DELETE FROM task WHERE id = 'bbbbbb'")
    told = (place / "journal.jsonl").read_bytes()
    done = repair(place, clock)
    assert done is not None
    copy, old = place / f"journal.damaged-{STAMP}.jsonl", place / f"ledger.corrupt-{STAMP}.db"
    assert (done.kept, done.tasks, done.evidence_lost, done.salvaged) == ((copy, old), 2, False, ())
    assert copy.read_bytes() == told
    with contextlib.closing(sqlite3.connect(old)) as db:
        assert [text.count("a box") for (text,) in db.execute("SELECT document FROM task")] == [1]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (copy, old)] == [0o600, 0o600]
    assert [task.job.prompt for task in check(place).tasks] == ["a fox", "a fox"]
    assert len(states(place)) == 2


def test_a_damaged_journal_adds_to_a_whole_database_and_changes_nothing(place: Path) -> None:
    """Its last line on a task may be the one that cannot be read, so it only brings what the database lacks."""
    change(place, "UPDATE task SET document = replace(document, 'a fox', 'a box') WHERE id = 'aaaaaa'")
    change(place, "DELETE FROM task WHERE id = 'bbbbbb'")
    journal = place / "journal.jsonl"
    journal.write_bytes(b"torn\n" + journal.read_bytes())
    change(place, "UPDATE journal SET size = ?", journal.stat().st_size)
    assert repair(place, clock) is not None
    assert {task.id: task.job.prompt for task in check(place).tasks} == {"aaaaaa": "a box", "bbbbbb": "a fox"}
    assert len(states(place)) == 2


def test_a_damaged_journal_alone_keeps_no_copy_of_the_database(place: Path) -> None:
    """Only what a repair changes is copied, and the line that nobody could read is no loss."""
    journal = place / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b"torn\n")
    done = repair(place, clock)
    assert done is not None
    assert ([path.name for path in done.kept], done.bad_lines) == ([f"journal.damaged-{STAMP}.jsonl"], ())


# -- when it is refused


@pytest.mark.parametrize(
    ("pids", "words"), [([70], "process 70 has"), ([60, 70], "processes 60, 70 have")], ids=["one", "two"]
)
def test_a_repair_is_refused_while_others_have_it_open(
    place: Path, monkeypatch: pytest.MonkeyPatch, pids: list[int], words: str
) -> None:
    """They are named, with what to do then; nothing is changed, and no descriptor stays open."""
    old = hurt(place)
    monkeypatch.setattr(repair_module, "holders", lambda _: pids)
    with pytest.raises(StateUnusable) as caught:
        repair(place, clock)
    assert caught.value.message == f"the ledger is not repaired while {words} it open"
    assert caught.value.hint == "wait until that has ended, then wan doctor --repair"
    assert (place / "ledger.db").read_bytes() == old
    locks = [path for path in Path("/proc/self/fd").glob("*") if "repair.lock" in os.path.realpath(path)]
    assert locks == []


def a_claim(place: Path, owner: Owner, at: float) -> None:
    """Make ``owner`` the one who works on a task, heard of last at ``at``."""
    values = ("aaaaaa", owner.pid, owner.started, owner.boot, owner.space, at)
    change(place, "INSERT OR REPLACE INTO claim VALUES (?, ?, ?, ?, ?, ?)", *values)


@pytest.mark.parametrize(("age", "refused"), [(10.0, True), (3_599.0, True), (3_600.0, False), (9_999.0, False)])
def test_an_owner_in_another_container_holds_off_a_repair_for_an_hour(
    place: Path, age: float, *, refused: bool
) -> None:
    """It cannot be seen from here, so its last word decides; a claim of one's own is no obstacle."""
    here = this_process()
    a_claim(place, Owner(77, here.started, here.boot, "elsewhere"), NOW - age)
    hurt(place)
    with pytest.raises(StateUnusable, match="process 77 has it open") if refused else contextlib.nullcontext():
        repair(place, clock)
    if refused:
        assert names(place) == ["journal.jsonl", "ledger.db", "repair.lock"]


def test_neither_this_process_nor_a_senseless_claim_holds_off_a_repair(place: Path) -> None:
    """One's own claim, and one whose numbers were damaged, are passed over."""
    a_claim(place, this_process(), NOW)
    change(place, "INSERT INTO claim VALUES ('bbbbbb', 'x', '', '', '', 'y')")
    hurt(place)
    assert repair(place, clock) is not None


def test_one_repair_at_a_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repair takes the lock first; what another has mended meanwhile it leaves alone, and its lock may be gone."""
    import fcntl

    whole = (place / "ledger.db").read_bytes()
    asked: list[tuple[int, int]] = []

    def others(database: Path) -> list[int]:
        assert asked == [((place / "repair.lock").stat().st_ino, fcntl.LOCK_EX)]
        (place / "repair.lock").unlink()
        database.write_bytes(whole)
        return []

    monkeypatch.setattr(fcntl, "flock", lambda fd, how: asked.append((os.fstat(fd).st_ino, how)))
    monkeypatch.setattr(repair_module, "holders", others)
    hurt(place)
    assert repair(place, clock) is None
    assert names(place) == ["journal.jsonl", "ledger.db"]


@pytest.mark.parametrize("sql", ["PRAGMA user_version = 999", "DROP TABLE task; PRAGMA application_id = 7"])
def test_what_is_not_damaged_is_not_repaired(place: Path, sql: str) -> None:
    """A newer ledger and another program's database are refused with their own error, and not a byte is changed."""
    for statement in sql.split("; "):
        change(place, statement)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    with pytest.raises(StateUnusable) as caught:
        repair(place, clock)
    assert type(caught.value) is (schema.Newer if "version" in sql else schema.Foreign)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


@pytest.mark.parametrize("name", ["ledger.db", "journal.jsonl", "repair.lock"])
def test_a_link_is_not_repaired(place: Path, name: str) -> None:
    """Whatever else is wrong, a link in place of a file stops the repair, and what it leads to is as before."""
    hurt(place)
    path, victim = place / name, place.with_name("victim")
    if path.exists():
        path.rename(victim)
    path.symlink_to(victim)
    before = victim.read_bytes() if victim.exists() else None
    with pytest.raises(StateUnusable, match="symbolic link" if name != "repair.lock" else "cannot be repaired"):
        repair(place, clock)
    assert (victim.read_bytes() if victim.exists() else None) == before
    assert not list(place.glob("*corrupt*"))


def test_a_database_that_another_made_meanwhile_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one never takes the place of one that appeared: the next repair looks at that."""
    hurt(place)
    make = schema.make
    monkeypatch.setattr(schema, "make", lambda path, *fill: make(path) if path.name == "fresh.db" else False)
    with pytest.raises(StateUnusable, match="was made by another process meanwhile") as caught:
        repair(place, clock)
    assert caught.value.hint == "wan doctor --repair"


def test_a_repair_syncs_what_it_moved(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old database's new name is durable before a new one is linked: after a power cut one of them is there."""
    events: list[str] = []
    fsync, link, rename = os.fsync, os.link, Path.rename

    def noted(descriptor: int) -> None:
        if os.fstat(descriptor).st_ino == place.stat().st_ino:
            events.append("sync")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "link", lambda *names: (events.append(f"link {names[1].name}"), link(*names)))
    monkeypatch.setattr(Path, "rename", lambda *names: (events.append("move"), rename(*names)))
    hurt(place)
    assert repair(place, clock) is not None
    assert events[-4:] == ["move", "sync", "link ledger.db", "sync"]


def test_a_fault_of_the_system_is_told_as_one_of_the_repair(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is no Python error: the file, the reason and the way out are told."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    hurt(place)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StateUnusable, match="cannot be repaired: No space left on device") as caught:
        repair(place, clock)
    assert caught.value.hint.startswith("free space")


# -- what can be read of a damaged database


class Torn:
    """A database of which some rows can be read: from the front, from the back, and one by one."""

    def __init__(self, front: list[int], back: list[int], single: Mapping[int, str]) -> None:
        """Name the rows that each way of asking gives before it breaks."""
        self.front, self.back, self.single = front, back, single
        self.asked: list[int] = []

    def execute(self, sql: str) -> Iterator[tuple[int, str]]:
        """Answer one of the three questions."""
        if "WHERE rowid = " in sql:
            number = int(sql.rpartition(" ")[2])
            self.asked.append(number)
            rows = [number] if number in self.single else []
        else:
            rows = self.back if sql.endswith("DESC") else self.front
        for number in rows:
            yield number, f"row {number}"
        if "WHERE" not in sql or not rows:
            raise sqlite3.DatabaseError("database disk image is malformed")


def torn_rows(db: Torn) -> list[tuple[Any, ...]]:
    """Return the rows that are salvaged."""
    found = Salvage()
    rows = list(salvage._rows(db, "task", found))  # type: ignore[arg-type]
    assert found.whole == set()
    return rows


def test_rows_between_the_readable_ends_are_asked_for_one_by_one() -> None:
    """Each of them once and in order, those at the ends not again."""
    db = Torn([1, 2], [9, 8], {4: "", 7: ""})
    assert torn_rows(db) == [(f"row {number}",) for number in (1, 2, 4, 7, 8, 9)]
    assert db.asked == [3, 4, 5, 6, 7]


def test_the_first_rows_are_asked_for_too() -> None:
    """Where reading breaks at once, all before the other end's rows are tried."""
    db = Torn([], [4, 3], {1: ""})
    assert torn_rows(db) == [("row 1",), ("row 3",), ("row 4",)]
    assert db.asked == [1, 2]


def test_beyond_the_last_readable_row_there_is_an_end() -> None:
    """Without another end up to a thousandth row is tried, with one far away ten thousand; with nothing, none."""
    db = Torn([1, 2, 3], [], {1_002: ""})
    assert torn_rows(db)[-1] == ("row 1002",)
    assert db.asked == list(range(4, 1_003))
    db = Torn([1], [50_000], {})
    torn_rows(db)
    assert db.asked == list(range(2, 10_001))
    db = Torn([], [], {1: ""})
    assert (torn_rows(db), db.asked) == ([], [])


def test_a_damaged_row_takes_no_other_with_it(place: Path) -> None:
    """Text that is not UTF-8, a document that is none, a row against the rules: all others are saved as they were."""
    (place / "journal.jsonl").unlink()
    hostile = ("{", "[]", "{}", "[" * 99_999, "\ufffd")
    for number, text in enumerate(hostile):
        change(place, "INSERT INTO task VALUES (?, 'x', 'x', '', '', 1, 'no', 1, 1, ?)", f"bad{number}", text)
    change(place, "UPDATE attempt SET body = CAST(x'ff41' AS TEXT) WHERE task = 'aaaaaa'")
    change(place, "INSERT INTO attempt VALUES ('nobody', 1, 1, '', '', '', 1, '')")
    change(place, "UPDATE journal SET size = 'x'")
    hurt(place)
    found = salvage.salvage(place / "ledger.db", schema.log_of(place / "ledger.db"))
    assert set(found.docs) == {"aaaaaa", "bbbbbb"}
    assert (found.noted, found.whole) == (None, {"task", "attempt", "upload", "journal", "claim"})
    assert repair(place, clock) is not None
    with Ledger.open(place, clock=clock) as ledger:
        assert [one.body for name in ("aaaaaa", "bbbbbb") for one in ledger.attempts(name)] == [
            "\ufffdA", "body of bbbbbb",
        ]  # fmt: skip


def test_the_header_that_is_put_back_is_the_one_it_had(place: Path, tmp_path: Path) -> None:
    """Page size, length, encoding, versions and mark are as before, only counters may differ; no other byte changes."""
    database = place / "ledger.db"
    whole = bytearray(database.read_bytes())
    assert salvage._readable(database) is True
    hurt(place)
    assert salvage._readable(database) is False
    salvage._new_header(database, tmp_path / "fresh.db")
    found = bytearray(database.read_bytes())
    assert len(found) == len(whole)
    for counter in (slice(24, 28), slice(92, 96)):  # of changes (sqlite.org/fileformat2.html, 1.3.7)
        found[counter] = whole[counter]
    assert found == whole


def test_a_header_that_can_be_read_is_not_replaced(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a database whose tables cannot be named gets another beginning."""
    monkeypatch.setattr(salvage, "_new_header", lambda *_: pytest.fail("replaced"))
    data = (place / "ledger.db").read_bytes()
    (place / "ledger.db").write_bytes(data[:-4096] + b"\xff" * 4096)
    found = salvage.salvage(place / "ledger.db", schema.log_of(place / "ledger.db"))
    assert set(found.docs) == {"aaaaaa", "bbbbbb"}


def test_nothing_is_read_of_nothing(tmp_path: Path) -> None:
    """An absent and an empty database are no faults to salvage; neither leaves a copy."""
    for make in (lambda: None, (tmp_path / "ledger.db").touch):
        make()
        assert salvage.salvage(tmp_path / "ledger.db", tmp_path / "ledger.db-wal") == Salvage()
    assert names(tmp_path) == ["ledger.db"]
