"""The lock in parts: several processes beside each other, and what one leaves that crashes."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from test_lock_file import crashed, dies, entry, let_go, names

from wan_cli.errors import StateUnusable, UsageError
from wan_cli.lock import Entry, Lock, Shard, dumps, loads


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a lock with one asset."""
    found = tmp_path / "assets.lock"
    found.write_text(dumps({"old": entry()}), encoding="utf-8")
    return found


def on_disk(path: Path) -> dict[str, Entry]:
    """Return what stands in the lock itself."""
    return loads(path.read_text(encoding="utf-8"), "x")


def broken_off(path: Path, part: tuple[int, int], **entries: Entry) -> None:
    """Leave what a part leaves that is killed."""
    lock = Shard(path, part)
    lock.__enter__()
    for name, found in entries.items():
        lock.put(name, found)
    let_go(lock)


def never(_seconds: float) -> None:
    raise AssertionError


def test_parts_are_at_work_beside_each_other(path: Path) -> None:
    """Each part has a journal of its own; whoever reads sees all of them, and what each has made ends in one lock."""
    first, second = Shard(path, (1, 2), sleep=never), Shard(path, (2, 2), sleep=never)
    with first:
        with second:
            first.put("a", entry("one"))
            second.put("b", entry("two"))
            second.put("old", None)
            parts = ["assets.lock.1-of-2.journal", "assets.lock.2-of-2.journal"]
            assert names(path.parent) == ["assets.lock", *parts, "assets.lock.journal"]
            assert Lock(path).entries == {"a": entry("one"), "b": entry("two")}
        assert on_disk(path) == {"b": entry("two")}
        first.put("a", entry("three"))
    assert names(path.parent) == ["assets.lock"]
    assert on_disk(path) == {"a": entry("three"), "b": entry("two")}
    with Shard(path, (1, 2), sleep=never) as last:
        pass
    last.__exit__(None, None, None)  # once more, which does nothing
    assert names(path.parent) == ["assets.lock"]


@pytest.mark.parametrize("part", [(1, 2), (1, 3)])
def test_what_would_buy_the_same_is_refused(path: Path, part: tuple[int, int]) -> None:
    """While a part is at work, the same part, another number of parts and a run over all are refused with its name."""
    with Shard(path, (1, 2)) as lock:
        lock.put("a", entry())
        with pytest.raises(StateUnusable, match=r"another wan render \(--shard 1/2\) is at work") as caught:
            Shard(path, part, sleep=never).__enter__()
        assert caught.value.exit_code == 3
        with pytest.raises(StateUnusable, match=r"--shard 1/2"):
            Lock(path).__enter__()
        assert Lock(path).entries["a"] == entry()
    assert names(path.parent) == ["assets.lock"]


def test_a_part_waits_for_a_run_over_all_and_then_gives_up(path: Path) -> None:
    """A run over all is waited for: when it ends the part begins from what it left. Not for ever: exit 3."""
    slept: list[float] = []
    whole = Lock(path).__enter__()
    with pytest.raises(StateUnusable, match="another wan render is at work"):
        Shard(path, (1, 2), sleep=slept.append).__enter__()
    assert 5 < sum(slept) < 20

    whole.put("new", entry("new"))
    late = Shard(path, (1, 2), sleep=lambda _: whole.__exit__(None, None, None))
    with late:
        assert late.entries["new"] == entry("new")
    assert names(path.parent) == ["assets.lock"]


def test_what_a_part_left_is_folded_when_it_is_begun_again(path: Path) -> None:
    """A part that was killed leaves its journal: other parts leave it alone, and the same part goes on with it."""
    broken_off(path, (1, 2), a=entry("one"))
    with Shard(path, (2, 2)) as other:
        other.put("b", entry("two"))
    assert on_disk(path) == {"old": entry(), "b": entry("two")}
    assert names(path.parent) == ["assets.lock", "assets.lock.1-of-2.journal"]
    assert Lock(path).entries == {"old": entry(), "a": entry("one"), "b": entry("two")}
    with Shard(path, (1, 2)) as again:
        assert again.entries["a"] == entry("one")
        assert again.journal.stat().st_size == 0
    assert on_disk(path) == {"old": entry(), "a": entry("one"), "b": entry("two")}
    assert names(path.parent) == ["assets.lock"]


@pytest.mark.parametrize("then", [lambda path: Shard(path, (1, 3)), Lock])
def test_what_a_part_left_is_folded_by_whoever_may_have_the_same_asset(path: Path, then: Any) -> None:
    """A run over all, or over another number of parts, takes over what killed parts have left before it begins."""
    lock = crashed(path)
    lock.put("c", entry("whole"))
    let_go(lock)
    broken_off(path, (1, 2), a=entry("one"), c=entry("later"))
    broken_off(path, (2, 2), b=entry("two"))
    with then(path) as found:
        expected = {"old": entry(), "a": entry("one"), "b": entry("two"), "c": entry("later")}
        assert found.entries == expected
        assert on_disk(path) == expected
        assert not list(path.parent.glob("*-of-2.journal"))
    assert on_disk(path) == expected
    assert names(path.parent) == ["assets.lock"]


def test_a_fold_that_fails_leaves_the_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full at the end, the part's journal stays; a run that cannot take it over is exit 3."""

    def full(*_args: Any, **_named: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken, Shard(path, (1, 2)) as lock:
        lock.put("a", entry("x"))
        broken.setattr(Path, "replace", full)
    assert on_disk(path) == {"old": entry()}
    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", full)
        with pytest.raises(StateUnusable, match="cannot be written: No space"):
            Lock(path).__enter__()
    assert Lock(path).entries == {"old": entry(), "a": entry("x")}
    assert not list(path.parent.glob(".*.part"))


def test_files_of_others_are_no_journals(path: Path) -> None:
    """What is only named alike is not read, and stays."""
    for name in ("assets.lock.0-of-2.journal", "assets.lock.1-of-2.journal.bak", "xassets.lock.1-of-2.journal"):
        (path.parent / name).write_text("nonsense", encoding="utf-8")
    before = names(path.parent)
    with Lock(path) as lock:
        assert lock.entries == {"old": entry()}
    assert names(path.parent) == before


def test_a_folder_that_cannot_be_listed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a part that is at work could be overlooked, nothing is begun; a folder that is not there has none."""

    def refused(_path: Path) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    assert Lock(path.parent / "nowhere" / "assets.lock").entries == {}
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(UsageError, match="cannot be read: Permission denied"):
        Lock(path)


def test_a_lock_that_is_folded_while_it_is_read_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the reading of the lock and of the journals a part may end: then both are read once more."""
    part = Shard(path, (1, 2)).__enter__()
    part.put("a", entry("one"))
    real, calls = Lock._read, []

    def read(self: Lock, journals: Any) -> None:
        calls.append(journals)
        if len(calls) == 1:
            part.__exit__(None, None, None)
        real(self, journals)

    monkeypatch.setattr(Lock, "_read", read)
    assert Lock(path).entries == {"old": entry(), "a": entry("one")}
    assert len(calls) == 3  # the reader's, the part's own, and the reader's once more


def dying(path: Path, point: str, told: int) -> None:
    """Change a part in this process, which ends at ``point``; every change that was told goes to ``told``."""
    name, when, side = point.split("-")
    tell, write = os.dup(told), os.write
    dies(name, int(when), before=side == "before")
    with Shard(path, (1, 2)) as lock:
        for number in range(2):
            lock.put(f"a{number}", Entry(tried=number + 1))
            write(tell, b"x")
    os._exit(0)


POINTS = [
    f"{name}-{when}-{side}"
    for name, most in (("write", 2), ("fsync", 6), ("ftruncate", 4), ("replace", 2), ("unlink", 2))
    for when in range(1, most + 1)
    for side in ("before", "after")
]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_what_was_told_is_kept(path: Path, point: str) -> None:
    """A part that dies before or after any system call of its begin, a change or the fold loses nothing it told of.

    It takes over what an earlier one has left, and another part is at work all the time.
    """
    broken_off(path, (1, 2), left=entry("left"))
    with Shard(path, (2, 2)) as other, (path.parent / "told").open("wb", buffering=0) as log:
        other.put("b", entry("two"))
        child = os.fork()
        if not child:
            try:
                dying(path, point, log.fileno())
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told = len((path.parent / "told").read_bytes())
        assert code == 9 or (code == 0 and told == 2)  # what it does not call so often
        found = dict(Lock(path).entries)
        assert found["old"] == entry()
        assert found["left"] == entry("left")
        assert found["b"] == entry("two")
        assert all(found[f"a{number}"].tried == number + 1 for number in range(told))
        with Shard(path, (1, 2)) as again:
            assert {**again.entries, "b": entry("two")} == found
    assert on_disk(path) == found
    assert [name for name in names(path.parent) if not name.endswith(".part")] == ["assets.lock", "told"]
