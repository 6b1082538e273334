"""The ledger's surroundings: its folder and files, who holds it, who is alive, and what is said of their faults."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from wan_cli.errors import StateUnusable
from wan_cli.ledger import Ledger, schema
from wan_cli.ledger import folder as folder_module
from wan_cli.ledger import owner as owner_module
from wan_cli.ledger.faults import translated
from wan_cli.ledger.folder import aside, inspect, make_private, prepare, sync
from wan_cli.ledger.holders import holders, writers
from wan_cli.ledger.journal import Journal
from wan_cli.ledger.owner import Owner, is_alive, this_process

posix = pytest.mark.skipif(os.name != "posix", reason="permission bits")
WAY_OUT = "set WAN_STATE_DIR to another folder"
HERE = Owner(1, "5", "boot", "space")


def mode(path: Path) -> int:
    """Return the permission bits of ``path``."""
    return stat.S_IMODE(path.stat().st_mode)


# -- the folder


def test_the_hint_moves_away_the_file_that_is_in_the_way(tmp_path: Path) -> None:
    """Of the folders above only the file that stands in the place of one is named, quoted for the shell."""
    file = tmp_path / "a file"
    file.touch()
    for place in (file, file / "below" / "deep"):
        with pytest.raises(StateUnusable, match=f"the state folder {place} is not a folder") as caught:
            prepare(place)
        assert caught.value.hint == f"mv -i '{file}' '{file}'.old"
    assert aside(tmp_path / "absent") == WAY_OUT


@posix
def test_what_others_may_do_is_taken_from_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folder and files lose what others may do; a private file, links, what they lead to and folders stay as is."""
    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    place.mkdir()
    place.chmod(0o755)
    for file, bits in ((place / "open", 0o644), (place / "private", 0o600), (elsewhere, 0o644)):
        file.touch()
        file.chmod(bits)
    (place / "sub").mkdir()
    (place / "sub").chmod(0o755)
    (place / "link").symlink_to(elsewhere)
    with monkeypatch.context() as windows:
        windows.setattr(folder_module, "_POSIX", False)
        assert make_private(place) == []
    with monkeypatch.context() as theirs:
        theirs.setattr(os, "geteuid", lambda: place.stat().st_uid + 1)
        assert make_private(place) == []
    assert make_private(tmp_path / "absent") == []

    assert make_private(place) == [place, place / "open"]

    assert [mode(path) for path in (place, place / "open", place / "sub", elsewhere)] == [0o700, 0o600, 0o755, 0o644]
    assert make_private(place) == []


@posix
def test_a_folder_behind_a_link_is_made_private(tmp_path: Path) -> None:
    """Who moved the state to another disk and left a link has that folder mended, not the link."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    real.chmod(0o750)
    link.symlink_to(real)
    assert make_private(link) == [link]
    assert mode(real) == 0o700


@posix
def test_a_look_at_a_file_changes_only_what_others_may_do(tmp_path: Path) -> None:
    """What is absent is absent, and a file that its owner made read-only stays so."""
    file = tmp_path / "file"
    assert inspect(file) is False
    file.touch()
    file.chmod(0o400)
    assert inspect(file) is True
    assert mode(file) == 0o400


@posix
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_what_is_no_file_is_named_for_what_it_is(tmp_path: Path, kind: str) -> None:
    """A link is called one and anything else is not, both with the way out."""
    path = tmp_path / "ledger.db"
    path.symlink_to(tmp_path / "victim") if kind == "link" else os.mkfifo(path)
    with pytest.raises(StateUnusable) as caught:
        inspect(path)
    what = "a symbolic link" if kind == "link" else "not a regular file"
    assert caught.value.message == f"{path} is {what}, so it is not used"
    assert caught.value.hint == f"move it away, or {WAY_OUT}"


@posix
def test_a_link_that_appears_after_the_look_is_not_followed(tmp_path: Path) -> None:
    """Opening refuses it as well, so that nobody can have lines written into a file of their choice."""
    victim, link = tmp_path / "victim", tmp_path / "journal.jsonl"
    victim.write_bytes(b"precious")
    link.symlink_to(victim)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        Journal(link).append([{"at": 1.0, "forget": []}])
    assert victim.read_bytes() == b"precious"


@posix
def test_new_names_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is synced after the database, the journal and a rewritten journal got their names in it.

    A rewritten journal is synced before it gets its name, and so is what is taken back from one.
    """
    place, events = tmp_path / "state", list[str]()
    fsync, link, rename, truncate = os.fsync, os.link, Path.replace, os.ftruncate

    def noted(descriptor: int) -> None:
        events.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "link", lambda *names: (events.append("link"), link(*names)))
    monkeypatch.setattr(Path, "replace", lambda *names: (events.append("replace"), rename(*names)))
    monkeypatch.setattr(os, "ftruncate", lambda *to: (events.append("cut"), truncate(*to)))
    with Ledger.open(place):
        assert events == ["link", "sync folder", "sync folder"]
    journal = Journal(place / "journal.jsonl")
    journal.append([{"at": 1.0, "forget": ["x"]}])
    events.clear()
    journal.rewrite([])
    assert events == ["sync file", "replace", "sync folder"]
    doc = {"state": {"kind": "new"}}
    monkeypatch.setattr(Journal, "entries", lambda *_, **__: iter([{"task": doc}]))
    journal.append([{"at": 1.0, "task": doc}])
    events.clear()
    journal.take_back(0)
    assert events == ["cut", "sync file"]
    assert journal.size() == 0


def test_windows_syncs_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a folder cannot be opened it is not tried."""
    monkeypatch.setattr(folder_module, "_POSIX", False)
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("opened a folder"))
    sync(tmp_path)


# -- who holds it


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return a database with its shared memory beside, and the file that stands for ``/proc/locks``."""
    monkeypatch.setattr(owner_module, "PROC", tmp_path)
    database = tmp_path / "ledger.db"
    database.touch()
    (tmp_path / "ledger.db-shm").touch()
    return database, tmp_path / "locks"


def held(file: Path, pid: object, kind: str = "WRITE", first: int = 120, last: object = 120) -> str:
    """Return a line as the kernel writes it (proc_locks(5))."""
    found = file.stat()
    where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    return f"1: POSIX  ADVISORY  {kind} {pid} {where} {first} {last}\n"


@posix
def test_the_writer_is_who_holds_byte_120(locks: tuple[Path, Path]) -> None:
    """SQLite's one writer locks that byte of the shared memory: no reader, waiter, neighbour or stranger is named."""
    database, table = locks
    memory = database.with_name("ledger.db-shm")
    other = database.with_name("other")
    other.touch()
    table.write_text(
        held(memory, 70) + held(memory, 60, first=100, last=127) + held(memory, 65, first=3, last="EOF")
        + held(memory, 71, "READ") + held(memory, 72, first=121, last=121) + held(memory, 73, first=119, last=119)
        + held(memory, -1) + held(memory, 0) + held(other, 74) + held(memory, os.getpid())
        + held(memory, 75).replace("1: ", "1: -> ") + held(memory, "x") + "short line\n" + held(database, 76)
    )  # fmt: skip
    assert writers(database) == [60, 65, 70]


@posix
def test_without_a_writer_those_who_have_it_open_are_named(locks: tuple[Path, Path]) -> None:
    """Each once, in order, and never this process; nobody where the system does not tell."""
    database, table = locks
    memory = database.with_name("ledger.db-shm")
    assert writers(database) == holders(database) == []
    table.write_text(
        held(database, 90, "READ", 1, "EOF") + held(memory, 80, "READ", 124, 124) + held(memory, 90, "READ", 128, 128)
        + held(database, 1, "READ") + held(database, os.getpid()) + held(memory, os.getpid())
    )  # fmt: skip
    assert writers(database) == holders(database) == [1, 80, 90]
    memory.unlink()
    assert holders(database) == [1, 90]


# -- who is alive


def process(proc: Path, name: bytes = b"wan") -> None:
    """Write what the system says of process 77, which began at tick 9."""
    (proc / "77").mkdir(exist_ok=True)
    (proc / "77" / "stat").write_bytes(b"77 (" + name + b") S " + b"0 " * 18 + b"9 0\n")


def test_an_owner_out_of_sight_is_alive_for_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in another container has 3,600 s since its last word, one before the reboot none at all."""
    monkeypatch.setattr(owner_module, "PROC", tmp_path)
    process(tmp_path)
    there = Owner(77, "9", "boot", "elsewhere")
    assert [is_alive(there, HERE, age) for age in (0, 3_599.9, 3_600, 1e9)] == [True, True, False, False]
    assert is_alive(Owner(77, "9", "older", "space"), HERE, 0) is False
    assert is_alive(Owner(77, "9", "boot", "space"), HERE, 1e9) is True
    assert is_alive(Owner(78, "9", "boot", "space"), HERE, 0) is False


def test_a_process_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose name is not UTF-8 is seen all the same."""
    monkeypatch.setattr(owner_module, "PROC", tmp_path)
    process(tmp_path, b"\xff) Z (")
    assert is_alive(Owner(77, "9", "boot", "space"), HERE, 0)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system tells nothing of processes")
def test_this_process_describes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has all four marks, is alive in its own eyes, and takes the boot it is given."""
    here = this_process()
    assert here.pid == os.getpid()
    assert all((here.started.isdigit(), here.boot, here.space.startswith("pid:")))
    assert is_alive(here, here, 1e9)
    assert this_process("other") == replace(here, boot="other")
    assert this_process("").boot == ""
    monkeypatch.setattr(owner_module, "PROC", Path("/nonexistent"))
    assert this_process() == Owner(os.getpid(), "", "", "")


# -- what is said


def said(error: Exception, database: Path, doing: str = "written") -> StateUnusable:
    """Return what ``error`` becomes."""
    with (
        pytest.raises(StateUnusable) as caught,
        translated(database, database.with_name("journal.jsonl"), doing),
    ):
        raise error
    return caught.value


def of_sqlite(code: int) -> sqlite3.OperationalError:
    """Return an error of SQLite with this code."""
    error = sqlite3.OperationalError("odd")
    error.sqlite_errorcode = code
    return error


def test_the_file_that_failed_and_its_reason_are_named(tmp_path: Path) -> None:
    """A system error names its own file and says why, without the system's number."""
    database, journal = tmp_path / "ledger.db", tmp_path / "journal.jsonl"
    error = OSError(errno.EIO, "Input/output error", str(journal))
    assert said(error, database).message == f"the ledger {journal} cannot be written: Input/output error"
    assert said(of_sqlite(10), database, "read").message == f"the ledger {database} cannot be read: odd"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_is_denied_is_granted_for_what_is_there(tmp_path: Path, number: int) -> None:
    """The hint has a command for the folder and for each file that exists, quoted; for none of them the way out."""
    place = tmp_path / "a state"
    database, journal = place / "ledger.db", place / "journal.jsonl"
    error = OSError(number, os.strerror(number))
    assert said(error, database).hint == WAY_OUT
    place.mkdir()
    assert said(error, database).hint == f"chmod 700 '{place}'"
    database.touch()
    assert said(error, database).hint == f"chmod 700 '{place}' && chmod 600 '{database}'"
    journal.touch()
    every = f"chmod 700 '{place}' && chmod 600 '{database}' && chmod 600 '{journal}'"
    assert said(error, database).hint == said(of_sqlite(sqlite3.SQLITE_READONLY), database).hint == every


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_what_does_not_fit_asks_for_space(tmp_path: Path, number: int) -> None:
    """A full disk, a used-up quota and a file that is too large name the disk of the folder, and the way out."""
    want = f"free space on the disk of {tmp_path}, or {WAY_OUT}"
    assert said(OSError(number, "full"), tmp_path / "ledger.db").hint == want
    assert said(of_sqlite(sqlite3.SQLITE_FULL), tmp_path / "ledger.db").hint == want
    assert said(OSError(errno.EIO, "other"), tmp_path / "ledger.db").hint == WAY_OUT


@posix
def test_all_who_hold_it_are_named(locks: tuple[Path, Path]) -> None:
    """One process, several, and nobody that the system knows of are each said in their own words."""
    database, table = locks
    busy = of_sqlite(sqlite3.SQLITE_BUSY)
    rest = f"; wait for that, or {WAY_OUT}"
    assert said(busy, database).hint == f"another wan process holds it{rest}"
    table.write_text(held(database, 70))
    assert said(of_sqlite(sqlite3.SQLITE_LOCKED), database).hint == f"process 70 holds it{rest}"
    table.write_text(held(database, 70) + held(database, 60))
    assert said(busy, database).hint == f"processes 60, 70 hold it{rest}"


# -- the database


def test_the_mark_of_a_ledger_is_in_the_file(tmp_path: Path) -> None:
    """Bytes 68 to 71 are ``wan1`` in every ledger there ever was: with another mark none would open any more."""
    Ledger.open(tmp_path / "state").close()
    assert (tmp_path / "state/ledger.db").read_bytes()[68:72] == b"wan1"
    assert schema.make(tmp_path / "state/ledger.db") is False
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["journal.jsonl", "ledger.db"]
