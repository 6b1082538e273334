"""Two branches' locks made one: by property, and by git itself."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from test_lock_file import SHA, entry, flight

from wan_cli.lock import Entry, Flight, Lock, dumps, loads, merge

NAMES = st.sampled_from(["a", "b", "c"])
FLIGHTS = st.builds(
    lambda token, task: flight(token=token, task=task, state="pending" if task else "sending"),
    st.sampled_from(["wan-1", "wan-2"]),
    st.sampled_from([None, "task_1", "task_2"]),
)
ENTRIES = st.builds(
    lambda prompt, flights, tried: replace(entry(prompt) if prompt else Entry(), open=flights, tried=tried),
    st.sampled_from(["", "one", "two"]),
    st.lists(FLIGHTS, max_size=2, unique_by=lambda found: found.token).map(
        lambda found: tuple(sorted(found, key=lambda one: one.token))
    ),
    st.integers(0, 2),
).filter(lambda found: found != Entry())
LOCKS = st.dictionaries(NAMES, ENTRIES, max_size=3)


def flights(entries: dict[str, Entry], name: str) -> set[tuple[str, str | None]]:
    found: tuple[Flight, ...] = entries[name].open if name in entries else ()
    return {(one.token, one.task) for one in found}


@given(LOCKS, LOCKS)
def test_one_side_alone(base: dict[str, Entry], other: dict[str, Entry]) -> None:
    """What one side changed is taken as it is, whichever side it was; where both did the same, it is that."""
    for name in base:
        tasks = dict(flights(other, name))
        assume(all(token not in tasks or task in (None, tasks[token]) for token, task in flights(base, name)))
    merged = [merge(base, other, base), merge(base, base, other), merge(base, other, other)]
    expected = {name: replace(found, tried=0) for name, found in other.items()}
    for found, clashes in merged:
        assert not clashes
        kept = {name: replace(one, tried=0) for name, one in found.items()}
        assert {name: one for name, one in kept.items() if one != Entry()} == {
            name: one for name, one in expected.items() if one != Entry()
        }


@given(LOCKS, LOCKS, LOCKS)
def test_no_purchase_is_merged_away(base: dict[str, Entry], ours: dict[str, Entry], theirs: dict[str, Entry]) -> None:
    """What is under way on a side and was not seen to end on the other is in the merged lock, with its task."""
    merged, clashes = merge(base, ours, theirs)
    mirrored, mirror_clashes = merge(base, theirs, ours)
    assert clashes == mirror_clashes
    assert merged.keys() == mirrored.keys()
    for name in {*ours, *theirs}:
        sides = flights(ours, name), flights(theirs, name)
        before = {token for token, _ in flights(base, name)}
        kept = flights(merged, name)
        assert kept == flights(mirrored, name)
        for token, task in sides[0] | sides[1]:
            ended = token in before and any(token not in {one for one, _ in side} for side in sides)
            known = {(one, other) for one, other in kept if one == token}
            assert ended or (token, task) in kept or (task is None and token in before and known)
        assert kept <= sides[0] | sides[1]
        tries = [side[name].tried for side in (ours, theirs) if name in side]
        assert name not in merged or merged[name].tried >= max(tries)


def test_neighbours_and_clashes() -> None:
    """Both sides' new assets are there; where both changed one, ours stands; what was given up stays so."""
    base = {"a": entry("a"), "m": entry("m"), "gone": entry(), "odd": entry("odd")}
    ours = {**base, "b": entry("b"), "m": entry("ours")}
    theirs = {**base, "c": entry("c"), "m": entry("theirs"), "odd": entry("changed")}
    del ours["gone"], ours["odd"]
    merged, clashes = merge(base, ours, theirs)
    assert merged == {"a": entry("a"), "b": entry("b"), "c": entry("c"), "m": entry("ours"), "odd": entry("changed")}
    assert clashes == ["m", "odd"]


def test_a_purchase_that_both_sides_know() -> None:
    """Which side learned the task counts; two tasks under one token are two purchases; one that ended has ended."""
    sending, known = flight(state="sending", task=None), flight()
    base = {"a": Entry(open=(sending,))}
    assert merge(base, base, {"a": Entry(open=(known,))})[0]["a"].open == (known,)
    assert merge(base, {"a": Entry(open=(known,))}, base)[0]["a"].open == (known,)
    two = flight(task="task_2")
    assert merge(base, {"a": Entry(open=(known,))}, {"a": Entry(open=(two,))})[0]["a"].open == (known, two)
    assert merge({}, {"a": Entry(open=(sending,))}, {"a": Entry(open=(known,))})[0]["a"].open == (sending, known)
    assert merge({}, {"a": Entry(open=(sending,))}, {"a": Entry(open=(sending,))})[0]["a"].open == (sending,)
    merged, clashes = merge(base, {"a": entry("done")}, {"a": Entry(open=(known,))})
    assert (merged, clashes) == ({"a": entry("done")}, [])


def test_a_purchase_that_one_side_has_brought_in() -> None:
    """What is under way on one side and finished on the other, under its task, has ended; fetched anew it has not."""
    done = entry("done", handle="rivya:task_1")
    open_one, other = Entry(open=(flight(),)), Entry(open=(flight(task="task_2"),))
    for sides in ((done, open_one), (open_one, done)):
        merged, clashes = merge({}, *({"a": side} for side in sides))
        assert (merged, clashes) == ({"a": done}, [])
    assert merge({}, {"a": done}, {"a": other})[0]["a"] == replace(done, open=other.open)
    anew = replace(done, open=(flight(),))
    assert merge({}, {"a": done}, {"a": anew})[0]["a"] == anew


# -- git


class Repository:
    """A repository with the merge driver set up as ``wan help render`` says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@example.com",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@example.com",
            "WAN_STATE_DIR": str(folder / ".git" / "wan"),
        }
        self("init", "-q", "-b", "main")
        driver = f"{sys.executable} -m wan_cli render --merge %O %A %B"
        self("config", "merge.wan.driver", driver)
        self("config", "merge.wan.name", "locks of wan render")
        (folder / ".gitattributes").write_text("*.lock merge=wan\n", encoding="utf-8")

    def __call__(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            ["git", *words], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False
        )
        assert code is None or ran.returncode == code, ran.stdout + ran.stderr
        return ran

    def commit(self, **entries: Entry | None) -> None:
        with Lock(self.folder / "assets.lock") as lock:
            for name, said in entries.items():
                lock.put(name, said)
        self("add", "-A")
        self("commit", "-q", "-m", "x")

    def lock(self) -> dict[str, Entry]:
        return loads((self.folder / "assets.lock").read_text(encoding="utf-8"), "assets.lock")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a repository with a lock of two assets, and two branches."""
    (tmp_path / "project").mkdir()
    git = Repository(tmp_path / "project")
    git.commit(a=entry("a"), z=entry("z"))
    git("branch", "other")
    return git


def test_git_merges_neighbours(repository: Repository) -> None:
    """Two branches that add neighbouring assets merge without a hand, which git alone cannot."""
    git = repository
    git.commit(m1=entry("m1"), z=Entry(open=(flight(),)))
    git("switch", "-q", "other")
    git.commit(m2=entry("m2"))
    git("switch", "-q", "main")
    (git.folder / ".gitattributes").write_text("", encoding="utf-8")
    git("commit", "-qam", "no driver")
    git("merge", "-q", "other", "-m", "m", code=1)
    git("merge", "--abort")
    git("reset", "-q", "--hard", "HEAD~1")
    git("merge", "-q", "other", "-m", "m")
    assert git.lock() == {"a": entry("a"), "m1": entry("m1"), "m2": entry("m2"), "z": Entry(open=(flight(),))}
    assert (git.folder / "assets.lock").read_text(encoding="utf-8") == dumps(git.lock())


def test_git_is_told_of_a_clash(repository: Repository) -> None:
    """An asset that both branches changed stops the merge, names it, and leaves a lock that reads: ours."""
    git = repository
    git.commit(a=entry("ours"))
    git("switch", "-q", "other")
    git.commit(a=entry("theirs"), b=entry("b"))
    git("switch", "-q", "main")
    ran = git("merge", "-q", "other", "-m", "m", code=1)
    assert "a: both sides changed it; ours stands" in ran.stderr + ran.stdout
    assert git.lock() == {"a": entry("ours"), "b": entry("b"), "z": entry("z")}
    git("add", "assets.lock")
    git("commit", "-qm", "merged")


def test_git_rebases_and_mends_markers(repository: Repository) -> None:
    """A rebase uses the driver too; a lock with markers, from a machine without it, is mended by the hint's command."""
    git = repository
    git.commit(m1=entry("m1"))
    git("switch", "-q", "other")
    git.commit(m2=entry("m2"))
    git("switch", "-q", "-c", "third")
    git("rebase", "-q", "main")
    assert git.lock().keys() == {"a", "m1", "m2", "z"}
    git("switch", "-q", "main")
    attributes = git.folder / ".git" / "info" / "attributes"
    attributes.write_text("assets.lock !merge\n", encoding="utf-8")
    git("merge", "-q", "other", "-m", "m", code=1)
    with pytest.raises(Exception, match="merge conflict markers") as caught:
        Lock(git.folder / "assets.lock")
    hint = caught.value.hint.partition(",")[0].split()[1:]  # type: ignore[attr-defined]
    attributes.unlink()
    git(*hint)
    assert git.lock().keys() == {"a", "m1", "m2", "z"}


def test_the_driver_refuses_what_is_no_lock(repository: Repository) -> None:
    """A side that cannot be read leaves the merge to a person, and our file as it was."""
    git = repository
    git.commit(m1=entry("m1"))
    before = (git.folder / "assets.lock").read_bytes()
    git("switch", "-q", "other")
    (git.folder / "assets.lock").write_text('{"wan_lock": 9, "assets": {}}', encoding="utf-8")
    git("commit", "-qam", "newer")
    git("switch", "-q", "main")
    ran = git("merge", "-q", "other", "-m", "m", code=1)
    assert "written by a newer wan" in ran.stderr + ran.stdout
    assert (git.folder / "assets.lock").read_bytes() == before
    assert len(SHA) == 64
