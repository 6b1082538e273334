"""Several calls as one transaction, none of them at another's cost; and questions that no large ledger slows down."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from support_ledger import BOTH

from wan_cli.errors import StateUnusable, UsageError
from wan_cli.ledger import Ledger, schema, tasks
from wan_cli.ledger.group import Ended
from wan_cli.ledger.journal import answers_first
from wan_cli.ledger.local import LocalLedger
from wan_cli.models import Job, New, Pending, Saved, Sending, State, Target, Task
from wan_cli.record import to_document

SENDING = Sending(at=1.0)
PENDING = Pending(task_id="t-1")


def a_task(name: str, state: State | None = None, **changes: Any) -> Task:
    """Return a task with the id ``name``."""
    task = Task(
        id=name, provider="rivya", origin="https://rivya.ai", provider_model="wan-2-7-image", token=f"wan-{name}",
        job=Job(verb="generate", provider="rivya", model="wan2.7-image", prompt="a fox"),
        target=Target(template="/out/{id}{ext}"), created_at=1_000.0, state=state or New(),
    )  # fmt: skip
    return replace(task, **changes)


@pytest.fixture
def ledger(opener: Callable[..., Ledger]) -> Iterator[Ledger]:
    """Return a ledger with nothing in it."""
    with opener(clock=lambda: 2_000.0) as made:
        yield made


def told(ledger: Ledger) -> list[tuple[str, str]]:
    """Return id and state of each line of the journal."""
    lines = ledger.journal_path.read_text(encoding="ascii").splitlines()
    return [(doc["id"], doc["state"]["kind"]) for doc in (json.loads(line)["task"] for line in lines)]


def saves(ledger: Ledger, *states: Task) -> list[Callable[[], None]]:
    """Return the calls that save them."""
    return [partial(ledger.save, task) for task in states]


def full(*_: object) -> int:
    """Refuse as a full disk does."""
    raise OSError(28, "No space left on device")


class Commits:
    """A connection before another, whose commits fail as on a full disk, as long as there are ``failures``."""

    def __init__(self, ledger: Ledger, failures: int) -> None:
        self.db, self.failures = ledger._storage.db, failures
        ledger._storage.db = self  # type: ignore[assignment]

    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        """Execute a statement."""
        if sql == "COMMIT" and self.failures:
            self.failures -= 1
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return self.db.execute(sql, *rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)


def test_calls_are_one_write_one_sync_and_one_commit(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal's lines are synced together, before the one commit."""
    steps: list[str] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (steps.append("fsync"), sync(descriptor)))
    ledger._storage.db.set_trace_callback(lambda sql: steps.append(sql) if sql in ("COMMIT", "ROLLBACK") else None)
    ends = ledger.all_of([*saves(ledger, a_task("aaaaaa"), a_task("bbbbbb", SENDING)), partial(ledger.claim, "aaaaaa")])
    assert steps == ["fsync", "COMMIT"]
    assert [end.result() for end in ends] == [None, None, True]
    assert told(ledger) == [("aaaaaa", "new"), ("bbbbbb", "sending")]


@pytest.mark.parametrize("failures", [1, 3])
def test_a_commit_that_fails_is_made_again_for_each(ledger: Ledger, failures: int) -> None:
    """What one of them cannot have the others may; nothing that was not sent stays in the journal."""
    stored = [a_task("aaaaaa", PENDING, task_id="t-1"), a_task("bbbbbb", SENDING), a_task("cccccc", SENDING)]
    ledger.learn_duration("rivya", "https://rivya.ai", "wan2.7-image", least=1.0, most=2.0)
    Commits(ledger, failures)
    ends = ledger.all_of(saves(ledger, stored[1], stored[0], stored[2]))
    assert [end.error is None for end in ends] == ([True] * 3 if failures == 1 else [False, False, True])
    with Ledger.open(ledger.path.parent) as other:
        found = {task.id: task.state.kind for task in other.recent()}
        spans = other.durations("rivya", "https://rivya.ai", "wan2.7-image", limit=9)
    assert found == {"aaaaaa": "pending", "cccccc": "sending"} | ({"bbbbbb": "sending"} if failures == 1 else {})
    assert spans == [(1.0, 2.0)]


@pytest.mark.parametrize("most", [0, 700, 1_500])
def test_a_journal_that_fills_up_keeps_nothing_that_was_not_sent(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """However much of the lines the disk takes, a purchase that cannot be recorded is in neither file."""
    write, room = os.write, [most]

    def scarce(descriptor: int, data: bytes) -> int:
        if not room[0]:
            full()
        taken = write(descriptor, bytes(data)[: room[0]])
        room[0] -= taken
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", scarce)
        ends = ledger.all_of(saves(ledger, *(a_task(name * 6, SENDING) for name in "abc")))
    assert all(isinstance(end.error, StateUnusable) for end in ends)
    with Ledger.open(ledger.path.parent) as other:
        assert other.recent() == []


@BOTH
def test_what_is_wrong_with_one_call(ledger: Ledger) -> None:
    """It gets its own error, and the others are written."""
    ledger.add([a_task("aaaaaa")])
    ends = ledger.all_of([partial(ledger.add, [a_task("aaaaaa")]), *saves(ledger, a_task("bbbbbb", SENDING))])
    assert isinstance(ends[0].error, StateUnusable)
    with pytest.raises(StateUnusable):
        ends[0].result()
    assert ledger.get("bbbbbb").state == SENDING


def test_a_lock_that_is_held_is_waited_for_once(ledger: Ledger) -> None:
    """What keeps the transaction from beginning is every call's error, and none of them waits for it again."""
    waits: list[str] = []
    ledger._storage.db.execute("PRAGMA busy_timeout = 0")
    with contextlib.closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ledger._storage.db.set_trace_callback(waits.append)
        ends = ledger.all_of(saves(ledger, *(a_task(name * 6) for name in "abcd")))
    assert [str(end.error).rpartition(": ")[2] for end in ends] == ["database is locked"] * 4
    assert waits.count("BEGIN IMMEDIATE") <= 1  # SQLite tells of it, or not, as it begins
    assert [end.error for end in ledger.all_of(saves(ledger, *(a_task(name * 6) for name in "abcd")))] == [None] * 4


def test_a_lock_that_is_taken_between_two_calls_is_waited_for_once(ledger: Ledger) -> None:
    """Of calls made one by one those after the first that met the lock end as it did, and are not made."""
    made: list[str] = []
    ledger.add([a_task("aaaaaa")])
    ledger._storage.db.execute("PRAGMA busy_timeout = 0")
    with contextlib.closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:

        def call(name: str) -> None:
            made.append(name)
            if len(made) == 5:  # the group was the first three of them
                other.execute("BEGIN IMMEDIATE")
            ledger.add([a_task(name)])

        ends = ledger.all_of([partial(call, name * 6) for name in "bcade"])
    assert [name[0] for name in made] == ["b", "c", "a", "b", "c"]
    assert [end.error is None for end in ends] == [True, False, False, False, False]
    assert {str(end.error).rpartition(": ")[2] for end in ends[1:]} == {"database is locked"}


def test_a_bug_in_one_call_is_its_own() -> None:
    """Whatever it raises is what it ended with."""
    assert isinstance(Ended.of(lambda: {}[1]).error, KeyError)
    assert Ended.of(lambda: 7).result() == 7


def test_lines_that_can_be_taken_back_are_last() -> None:
    """Answers first; what one task went through stays in its order."""

    def line(name: str, state: State) -> dict[str, Any]:
        return {"at": 1.0, "task": to_document(a_task(name, state))}

    entries = [line("a", SENDING), line("b", SENDING), line("c", PENDING), line("b", PENDING), line("d", New()),
               {"at": 1.0, "forget": ["d"]}, line("e", SENDING)]  # fmt: skip
    ordered = [entry["task"]["id"] if "task" in entry else "-" for entry in answers_first(entries)]
    assert ordered == ["b", "c", "b", "d", "-", "a", "e"]


def test_an_answer_before_it_is_not_taken_back(ledger: Ledger) -> None:
    """Of the lines of a transaction that was not committed only those after the last answer go."""
    journal = ledger._storage.journal
    states = [a_task("aaaaaa", SENDING), a_task("bbbbbb", PENDING), a_task("cccccc", SENDING)]
    journal.append([{"at": 1.0, "task": to_document(task)} for task in states])
    journal.take_back(0)
    assert told(ledger) == [("aaaaaa", "sending"), ("bbbbbb", "pending")]
    journal.append([])
    size = journal.size()
    journal.take_back(size)
    assert journal.size() == size


@BOTH
def test_a_transition_writes_what_it_changes(ledger: Ledger) -> None:
    """Every column follows the document, whether a transition changes it or not."""
    ledger.add([a_task("aaaaaa")])
    created = 5.0 if isinstance(ledger, LocalLedger) else 1_000.0  # with another one it is another machine's task
    for task in (
        a_task("aaaaaa", SENDING, charged="unknown"), a_task("aaaaaa", PENDING, task_id="t-1", charged="yes"),
        a_task("aaaaaa", Saved(files=()), task_id="t-1", charged="yes", finished_at=9.0),
        a_task("aaaaaa", provider="modelverse", user_key="k", item=2, created_at=created),
    ):  # fmt: skip
        ledger.save(task)
        with ledger._storage.reading() as db:
            row = db.execute(
                "SELECT kind, provider, task_id, user_key, item, charged, created, finished FROM task"
            ).fetchall()
        assert row == [(task.state.kind, task.provider, task.task_id, task.user_key, task.item, task.charged,
                        task.created_at, task.finished_at)]  # fmt: skip
        assert ledger.get("aaaaaa") == task


@BOTH
def test_recent_is_open_ones_first(ledger: Ledger) -> None:
    """Each kind newest first, and no more than asked for."""
    done = Saved(files=())
    ledger.add([a_task("s1", done, created_at=9.0), a_task("p1", PENDING, created_at=1.0),
                a_task("n1", created_at=8.0), a_task("p2", PENDING, created_at=2.0),
                a_task("n2", charged="unknown", created_at=3.0), a_task("s2", done, created_at=9.0)])  # fmt: skip
    order = ["n2", "p2", "p1", "s2", "s1", "n1"]
    for limit in range(8):
        assert [task.id for task in ledger.recent(limit)] == order[:limit]


def test_questions_read_no_more_than_they_answer(ledger: Ledger) -> None:
    """None of what ``wan status`` and a purchase ask walks through the table, or sorts all of it."""
    db, steps = ledger._storage.db, list[str]()
    for rest, values in (
        (tasks.RECENT, (50,) * 3), (f"WHERE {tasks.IS_OPEN} ORDER BY created, rowid", ()),
        ("WHERE kind = 'lost' AND json_extract(document, '$.expires_at') > ?", (1,)),
    ):  # fmt: skip
        query = f"EXPLAIN QUERY PLAN SELECT document FROM task {rest}"  # noqa: S608 - ours
        steps += [row[3] for row in db.execute(query, values)]
    assert [step for step in steps if step.startswith("SCAN task")] == ["SCAN task USING INDEX task_created"]


@BOTH
def test_the_beginning_of_an_id(ledger: Ledger) -> None:
    """It is looked up in any case, in no other place of the id, and an empty one fits nothing."""
    ledger.add([a_task("abc123"), a_task("abd456"), a_task("xabc99")])
    assert ledger.get("ABC").id == "abc123"
    with pytest.raises(UsageError, match="fits 2 tasks: abd456"):
        ledger.get("ab")
    for name in ("", "c123", "abc1234"):
        with pytest.raises(UsageError, match="no task"):
            ledger.get(name)


@pytest.mark.parametrize(("others", "checked"), [([], True), ([4711], False)])
def test_a_large_ledger_that_is_open_elsewhere_is_not_checked_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, others: list[int], *, checked: bool
) -> None:
    """Its log is no sign of a crash then: whoever has it open has seen to that."""
    ledger.add([a_task("aaaaaa")])
    seen: list[bool] = []
    monkeypatch.setattr(schema, "CHECK_BELOW", 0)
    monkeypatch.setattr(schema, "holders", lambda _: others)
    monkeypatch.setattr(schema, "examine", lambda *_, thorough: seen.append(thorough))
    with Ledger.open(ledger.path.parent):
        assert seen == [checked]
