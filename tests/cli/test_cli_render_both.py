"""Ledger and lock written together: the order that one purchase has, for all of a transaction."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from wan_cli.cli.rendering.books import Books, Purchase
from wan_cli.cli.rendering.both import Both
from wan_cli.errors import StateUnusable
from wan_cli.ledger import Ledger
from wan_cli.lock import Entry, Lock
from wan_cli.models import Job, New, Pending, Saved, Sending, State, Target, Task

NAMES = ("ant", "bee", "cow", "dog")


@dataclass
class Desk:
    """Ledger and lock of a run, and the order in which they were synced and committed."""

    ledger: Ledger
    lock: Lock
    steps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.books = Books(lock=self.lock)
        self.both = Both(self.ledger, self.books)

    def task(self, name: str, state: State | None = None) -> Task:
        """Return a task that is for the asset of its name."""
        task_id = f"t-{name}" if isinstance(state, Pending) else None
        task = Task(
            id=name, provider="rivya", origin="https://rivya.ai", provider_model="wan2.7-image", token=f"wan-{name}",
            job=Job(verb="generate", provider="rivya", model="wan2.7-image", prompt="a fox"), task_id=task_id,
            target=Target(template=f"{name}.png"), created_at=1_000.0, state=state or New(),
        )  # fmt: skip
        self.books.purchases[name] = Purchase(name, "a" * 64, {}, 1)
        return task

    def write(self, *tasks: Task) -> list[BaseException | None]:
        """Save them together, and say what each call raised."""
        return [end.error for end in self.both.all_of([partial(self.both.save, task) for task in tasks])]

    def under_way(self) -> dict[str, str]:
        """Return the state of each purchase in the lock's files."""
        return {name: entry.open[0].state for name, entry in Lock(self.lock.path).entries.items() if entry.open}

    def kinds(self) -> dict[str, str]:
        """Return the state of each task in the ledger's files."""
        with Ledger.open(self.ledger.path.parent) as other:
            return {task.id: task.state.kind for task in other.recent()}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Return ledger and lock in an empty folder."""
    with Ledger.open(tmp_path / "state") as ledger, Lock(tmp_path / "assets.lock") as lock:
        made, sync = Desk(ledger, lock), os.fsync

        def synced(descriptor: int) -> None:
            made.steps.append("lock" if descriptor == lock._descriptor else "journal")
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", synced)
        ledger._storage.db.set_trace_callback(lambda sql: made.steps.append("commit") if sql == "COMMIT" else None)
        yield made


def test_one_order_for_all(desk: Desk) -> None:
    """Purchases are in the lock before the ledger, what follows is in it afterwards, each with one sync."""
    states = [Sending(at=1.0), Pending(task_id="t-bee"), Sending(at=1.0), Pending(task_id="t-dog")]
    assert desk.write(*map(desk.task, NAMES, states)) == [None] * 4
    assert desk.steps == ["lock", "journal", "commit", "lock"]
    assert desk.under_way() == {"ant": "sending", "bee": "pending", "cow": "sending", "dog": "pending"}
    assert desk.kinds() == {"ant": "sending", "bee": "pending", "cow": "sending", "dog": "pending"}


def test_what_the_lock_need_not_know_costs_it_no_sync(desk: Desk) -> None:
    """A saved task is not news for the lock, nor is a claim."""
    tasks = [desk.task(name, Saved(files=())) for name in NAMES]
    assert desk.write(*tasks) == [None] * 4
    assert desk.steps == ["journal", "commit"]


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_lock_that_cannot_be_written(desk: Desk, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """Where only the lock fails, a purchase is not in the ledger, and what follows is."""
    left, sync = [failing], os.fsync

    def refuse(descriptor: int) -> None:
        if descriptor == desk.lock._descriptor and left[0]:
            left[0] -= 1
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    errors = desk.write(desk.task("ant", Sending(at=1.0)), desk.task("bee", Sending(at=1.0)),
                        desk.task("cow", Pending(task_id="t-cow")))  # fmt: skip
    refused = [name for name, error in zip(NAMES, errors, strict=False) if error]
    assert all(isinstance(error, StateUnusable) for error in errors if error)
    assert refused == ["ant", "bee"][: failing - 1]
    assert desk.kinds() == {
        name: "pending" if name == "cow" else "sending" for name in NAMES[:3] if name not in refused
    }
    assert desk.lock.entries.keys() >= desk.kinds().keys()


def test_a_ledger_that_cannot_be_written(desk: Desk) -> None:
    """What follows a purchase is in the lock all the same, and each of them is told."""

    class Full:
        def __init__(self, db: sqlite3.Connection) -> None:
            self.db = db

        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                raise sqlite3.OperationalError("database or disk is full")
            return self.db.execute(sql, *rest)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.db, name)

    desk.ledger._storage.db = Full(desk.ledger._storage.db)  # type: ignore[assignment]
    errors = desk.write(desk.task("ant", Sending(at=1.0)), desk.task("bee", Pending(task_id="t-bee")))
    assert all(isinstance(error, StateUnusable) for error in errors)
    assert desk.under_way() == {"ant": "sending", "bee": "pending"}
    desk.ledger._storage.db = desk.ledger._storage.db.db  # type: ignore[attr-defined]
    assert desk.kinds() == {"bee": "pending"}


def test_a_change_that_is_taken_back(desk: Desk) -> None:
    """Where a row of changes fails, the lock has each entry as it was before, in memory and on disk."""
    desk.lock.put("old", old := Entry(tried=1))
    written = desk.lock.journal.read_bytes()

    def changed() -> None:
        with desk.lock.together():
            desk.lock.put("new", Entry(tried=2))
            desk.lock.put("old", Entry(tried=3))
            desk.lock.put("old", None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        changed()
    assert desk.lock.entries == {"old": old}
    assert desk.lock.journal.read_bytes() == written
    with desk.lock.together():
        desk.lock.put("old", replaced := Entry(tried=4))
    assert Lock(desk.lock.path).entries == {"old": replaced}


def test_an_end_that_is_made_twice(desk: Desk) -> None:
    """A task may be noted again, for a transaction may fail and be made again: the lock says the same."""
    task = desk.task("ant", Sending(at=1.0))
    for _ in range(2):
        desk.both.save(task)
    assert desk.steps.count("lock") == 1
    desk.both.save(replace(task, state=Pending(task_id="t-ant"), task_id="t-ant"))
    assert desk.under_way() == {"ant": "pending"}
