"""The lock on disk: small diffs, a durable journal, and nothing believed that it says."""

from __future__ import annotations

import difflib
import errno
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from wan_cli.errors import StateUnusable, UsageError
from wan_cli.lock import Entry, Flight, Lock, Made, dumps, loads
from wan_cli.lock import file as lock_file

SHA = "a" * 64


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def made(path: str = "out/a.png", sha: str = SHA, size: int = 3) -> Made:
    return Made(path=path, sha256=sha, bytes=size)


def entry(prompt: str = "p", **fields: Any) -> Entry:
    return Entry(**{"request": SHA, "stated": {"prompt": prompt}, "files": (made(),), **fields})


def flight(**fields: Any) -> Flight:
    return Flight(
        **{
            "state": "pending",
            "request": SHA,
            "provider": "rivya",
            "origin": "https://rivya.ai",
            "model": "m",
            "token": "wan-x",
            "at": 1.5,
            "key": "k",
            "task": "task_1",
            **fields,
        }
    )


def test_a_lock_reads_back(tmp_path: Path) -> None:
    """What is put in is there again for the next process, in UTF-8 with line feeds, and the journal is gone."""
    path = tmp_path / "assets.lock"
    with Lock(path) as lock:
        lock.put("héro", entry("ein Bär", cost=1.5, open=(flight(),)))
        lock.put("b", entry())
        lock.put("b", entry())
        lock.put("gone", entry())
        lock.put("gone", None)
        lock.put("never", None)
        assert (tmp_path / "assets.lock.journal").read_bytes().count(b'"id"') == 4
    again = Lock(path)
    assert again.entries == {"héro": entry("ein Bär", cost=1.5, open=(flight(),)), "b": entry()}
    data = path.read_bytes()
    assert b"\r" not in data
    assert "ein Bär" in data.decode()
    assert names(tmp_path) == ["assets.lock"]
    assert again.entries["héro"].open[0].handle == "rivya:task_1"
    assert flight(task=None).handle is None
    with again:
        pass
    assert path.read_bytes() == data


def test_diffs_are_small() -> None:
    """One asset more is one block more; one fact that changes is one line."""
    entries = {f"a{number}": entry(f"p{number}") for number in range(5)}
    text = dumps(entries)
    assert dumps(dict(reversed(entries.items()))) == text
    more = dumps({**entries, "a22": entry()})
    changed = [line for line in difflib.ndiff(text.splitlines(), more.splitlines()) if line[0] in "+-"]
    assert all(line[0] == "+" for line in changed)
    assert len(changed) < 20
    other = dumps({**entries, "a3": entry("q")})
    lines = [line for line in difflib.ndiff(text.splitlines(), other.splitlines()) if line[0] in "+-"]
    assert lines == ['-     "prompt": "p3"', '+     "prompt": "q"']


WRONG = [
    ("{", "not a lock: "),
    ("[]", "not a lock of wan render"),
    ('{"wan_lock": 1}', "not a lock of wan render"),
    ('{"wan_lock": true, "assets": {}}', "not a lock of wan render"),
    ('{"wan_lock": 0, "assets": {}}', "not a lock of wan render"),
    ('{"wan_lock": 1, "assets": {}, "base_url": "https://evil"}', "not a lock of wan render"),
    ('{"wan_lock": 2, "assets": []}', "written by a newer wan"),
    ('{"wan_lock": 1, "assets": {"a": {}, "a": {}}}', "a is said twice"),
    ('{"wan_lock": 1, "assets": {"a": {"cost": NaN}}}', "NaN is not a number"),
    ('{"wan_lock": 1, "assets": {"a": {"cost": 1e999}}}', "assets.a.cost: "),
    ('{"wan_lock": 1, "assets": {"a": {"base_url": "https://evil"}}}', "assets.a.base_url: not known here"),
    ('{"wan_lock": 1, "assets": {"a": {"handle": "rivya:../x"}}}', "assets.a.handle: "),
    ('{"wan_lock": 1, "assets": {"a": {"handle": "rivya:x; rm -rf ~"}}}', "assets.a.handle: "),
    ('{"wan_lock": 1, "assets": {"a": {"provider": "https://evil"}}}', "assets.a.provider: "),
    ("[" * 100_000, "not a lock: "),
    ('{\n<<<<<<< HEAD\n "a": 1\n=======\n "a": 2\n>>>>>>> b\n}\n', "assets.lock:2: merge conflict markers"),
    ('{"wan_lock": 1,\n "assets": {}\n', "assets.lock:3: not a lock: "),
]
PATHS = ["../x", "/etc/passwd", "a/../x", "a//x", "./x", "C:/x", "a\\x", "x\n", "", "a/", "~/../x", "x" * 2000]
TASKS = ["../x", "a/b", "a?b", "..", "", "x" * 201, "a b", "a%2fb", "é"]


def lock_with(**fields: Any) -> str:
    return json.dumps({"wan_lock": 1, "assets": {"a": fields}})


def test_c08_what_is_wrong_in_a_lock(tmp_path: Path) -> None:
    """A lock that is no lock, newer, damaged, in conflict or tampered with is exit 2 with the place."""
    path = tmp_path / "assets.lock"
    for text, said in WRONG:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError) as caught:
            Lock(path)
        assert said in caught.value.message
        assert caught.value.message.startswith("assets.lock")
        assert caught.value.hint
        assert caught.value.exit_code == 2
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        Lock(path)
    path.write_bytes(b"\xef\xbb\xbf" + dumps({"a": entry()}).replace("\n", "\r\n").encode())
    assert Lock(path).entries == {"a": entry()}


@pytest.mark.parametrize("name", PATHS)
def test_c06_a_lock_names_nothing_outside(name: str) -> None:
    """A file's path in a lock is below the root, with ``/``; anything else is refused with its place."""
    with pytest.raises(UsageError, match=r"assets\.a\.files\.0\.path"):
        loads(lock_with(files=[{"path": name, "sha256": SHA, "bytes": 1}]), "assets.lock")


@pytest.mark.parametrize("task", TASKS)
def test_c08_task_ids_are_no_addresses(task: str) -> None:
    """A task id that is not one by the providers' pattern never becomes part of a URL."""
    said = {**asdict(flight()), "task": task}
    with pytest.raises(UsageError, match=r"assets\.a\.open\.0\.task"):
        loads(lock_with(open=[said]), "assets.lock")


def test_a_lock_is_a_regular_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe or a device in place of lock or journal is refused, and so is one that is too large."""
    path = tmp_path / "assets.lock"
    path.symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="no regular file"):
        Lock(path)
    path.unlink()
    os.mkfifo(tmp_path / "assets.lock.journal")
    with pytest.raises(UsageError, match="journal cannot be read"):
        Lock(path)
    (tmp_path / "assets.lock.journal").unlink()
    monkeypatch.setattr(lock_file, "MOST_BYTES", 10)
    path.write_text(dumps({}), encoding="utf-8")
    with pytest.raises(UsageError, match="larger than"):
        Lock(path)


# -- the journal


def crashed(path: Path) -> Lock:
    """Return a lock whose process died: nothing was folded."""
    lock = Lock(path)
    lock.__enter__()
    return lock


def let_go(lock: Lock) -> None:
    assert lock._descriptor is not None
    os.close(lock._descriptor)
    lock._descriptor = None


def test_a_crash_leaves_both_and_the_next_run_folds(tmp_path: Path) -> None:
    """After a crash lock and journal are there; whoever reads sees both, and the next run folds them."""
    path = tmp_path / "assets.lock"
    path.write_text(dumps({"old": entry("old"), "gone": entry()}), encoding="utf-8")
    lock = crashed(path)
    lock.put("new", entry("new"))
    lock.put("gone", None)
    lock.put("old", entry("older"))
    let_go(lock)
    assert loads(path.read_text(encoding="utf-8"), "x") == {"old": entry("old"), "gone": entry()}
    expected = {"old": entry("older"), "new": entry("new")}
    assert Lock(path).entries == expected
    with Lock(path):
        pass
    assert names(tmp_path) == ["assets.lock"]
    assert loads(path.read_text(encoding="utf-8"), "x") == expected


def test_a_cut_line_is_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Cut after any byte, the journal says all that was told to be durable, and a line that follows counts."""
    path = tmp_path / "assets.lock"
    lock = crashed(path)
    lock.put("a", entry("one"))
    whole = len(lock.journal.read_bytes())
    lock.put("a", entry("two"))
    let_go(lock)
    data = lock.journal.read_bytes()
    for cut in range(whole, len(data) + 1):
        lock.journal.write_bytes(data[:cut])
        then = "two" if cut >= len(data) - 1 else "one"
        assert Lock(path).entries == {"a": entry(then)}
    lock.journal.write_bytes(data[:-5])
    more = crashed(path)
    more.put("b", entry("three"))
    let_go(more)
    assert Lock(path).entries == {"a": entry("one"), "b": entry("three")}


@pytest.mark.parametrize(
    "line",
    [
        b"[1]",
        b'{"id": 1, "entry": null}',
        b'{"id": "a"}',
        b'{"id": "a", "entry": null, "x": 1}',
        b"<<<<<<< HEAD",
        b'{"id": "a", "entry": {"files": [{"path": "../x", "sha256": "", "bytes": 1}]}}',
    ],
)
def test_a_tampered_journal_is_refused(tmp_path: Path, line: bytes) -> None:
    """A whole line that no run wrote is exit 2 with its number: a cut one never reads as JSON."""
    (tmp_path / "assets.lock.journal").write_bytes(b"\n" + line + b"\n")
    with pytest.raises(UsageError, match=r"assets\.lock\.journal:2: "):
        Lock(tmp_path / "assets.lock")


def dies(name: str, when: int, *, before: bool) -> None:
    """Let this process die before or after the n-th call of a function of ``os``."""
    real, calls = getattr(os, name), []

    def act(*args: Any, **named: Any) -> Any:
        calls.append(args)
        if len(calls) == when and before:
            os._exit(9)
        found = real(*args, **named)
        if len(calls) == when:
            os._exit(9)
        return found

    setattr(os, name, act)


def dying(path: Path, point: str, told: int) -> None:
    """Change a lock in this process, which ends at ``point``; every change that was told goes to ``told``."""
    name, when, side = point.split("-")
    tell = os.dup(told)
    write = os.write
    dies(name, int(when), before=side == "before")
    with Lock(path) as lock:
        for number in range(3):
            lock.put(f"a{number}", Entry(tried=number + 1))
            write(tell, b"x")
    os._exit(0)


POINTS = [
    f"{name}-{when}-{side}"
    for name, most in (("write", 3), ("fsync", 5), ("ftruncate", 1), ("replace", 1))
    for when in range(1, most + 1)
    for side in ("before", "after")
]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_what_was_told_is_kept(tmp_path: Path, point: str) -> None:
    """A process that dies before or after any system call of a change or of the fold loses nothing it told of."""
    path = tmp_path / "assets.lock"
    path.write_text(dumps({"old": entry()}), encoding="utf-8")
    with (tmp_path / "told").open("wb", buffering=0) as log:
        child = os.fork()
        if not child:
            try:
                dying(path, point, log.fileno())
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    told = len((tmp_path / "told").read_bytes())
    found = Lock(path).entries
    assert found["old"] == entry()
    assert all(found[f"a{number}"].tried == number + 1 for number in range(told))
    assert len(found) - 1 in (told, told + 1)
    with Lock(path) as lock:
        assert lock.entries == found
    assert Lock(path).entries == found
    assert not (tmp_path / "assets.lock.journal").exists()


def test_a_change_that_is_not_durable_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full, a change is refused, nothing has changed, and later ones count."""
    path = tmp_path / "assets.lock"
    with Lock(path) as lock:
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", full)
            with pytest.raises(StateUnusable, match="No space") as caught:
                lock.put("a", entry())
            assert caught.value.exit_code == 3
        assert lock.entries == {}
        lock.put("b", entry())
    assert "b" in Lock(path).entries


def full(*_args: Any, **_named: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_fold_that_fails_leaves_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Where the lock cannot be written at the end, lock and journal stay, and nothing is lost."""
    path = tmp_path / "assets.lock"
    path.write_text(dumps({"old": entry()}), encoding="utf-8")
    with monkeypatch.context() as broken, Lock(path) as lock:
        lock.put("a", entry("x"))
        broken.setattr(Path if call == "replace" else os, call, full)
    assert names(tmp_path) == ["assets.lock", "assets.lock.journal"]
    assert Lock(path).entries == {"old": entry(), "a": entry("x")}


# -- one process at a time


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A second process is refused while the first holds the lock, buys nothing, and may hold it afterwards."""
    path = tmp_path / "assets.lock"
    with Lock(path) as first:
        first.put("a", entry())
        with pytest.raises(StateUnusable, match="another wan render is at work"), Lock(path):
            pass
    with Lock(path) as second:
        assert second.entries == {"a": entry()}


def test_what_changed_since_it_was_read_is_not_written_over(tmp_path: Path) -> None:
    """A lock that another process changed between reading and holding is refused: the plan is from the old one."""
    path = tmp_path / "assets.lock"
    late = Lock(path)
    with Lock(path) as lock:
        lock.put("a", entry())
    with pytest.raises(StateUnusable, match="changed by another process"), late:
        pass
    with Lock(path) as lock:
        assert lock.entries == {"a": entry()}


def test_a_journal_that_was_folded_meanwhile_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and holding the journal may vanish with the process that had it; a new one is made then."""
    path = tmp_path / "assets.lock"
    real, tries = lock_file._hold, []

    def hold(descriptor: int) -> None:
        tries.append(descriptor)
        if len(tries) == 1:
            (tmp_path / "assets.lock.journal").unlink()
        real(descriptor)

    monkeypatch.setattr(lock_file, "_hold", hold)
    with Lock(path) as lock:
        lock.put("a", entry())
        assert (tmp_path / "assets.lock.journal").exists()
    assert len(tries) == 2
    monkeypatch.setattr(lock_file, "_hold", lambda _: (tmp_path / "assets.lock.journal").unlink())
    with pytest.raises(StateUnusable, match="another wan render"), Lock(path):
        pass


def test_threat_s8_a_planted_journal_is_not_written_through(tmp_path: Path) -> None:
    """A journal that is a link is not followed when it is written."""
    (tmp_path / "victim").write_text("", encoding="utf-8")
    (tmp_path / "assets.lock.journal").symlink_to("victim")
    lock = Lock(tmp_path / "assets.lock")
    with pytest.raises(StateUnusable, match="cannot be written"), lock:
        pass
    assert (tmp_path / "victim").read_bytes() == b""


def test_a_lock_that_is_not_held_is_not_changed(tmp_path: Path) -> None:
    """Changing a lock that is not held is a bug, and leaving one twice does nothing."""
    lock = Lock(tmp_path / "assets.lock")
    with pytest.raises(RuntimeError):
        lock.put("a", entry())
    lock.__exit__(None, None, None)
    assert names(tmp_path) == []
