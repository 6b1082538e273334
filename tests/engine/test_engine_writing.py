"""What many tasks write is one transaction, and nobody is told of anything before it is durable."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from support_engine import Stage, accepted, succeeded

from wan_cli.engine.aside import aside
from wan_cli.engine.writing import Writing
from wan_cli.errors import StateUnusable
from wan_cli.ledger import Ledger
from wan_cli.ledger.group import Ended
from wan_cli.models import Pending, Sending, Task

TASKS = 12
FULL = StateUnusable("the ledger cannot be written: no space left on device")


class Counted:
    """The syncs of files by Python, and the transactions that SQLite committed."""

    def __init__(self, ledger: Ledger, patch: pytest.MonkeyPatch) -> None:
        self.syncs = self.commits = 0
        sync = os.fsync

        def counted(descriptor: int) -> None:
            self.syncs += 1
            sync(descriptor)

        def heard(sql: str) -> None:
            self.commits += sql == "COMMIT"

        patch.setattr(os, "fsync", counted)
        ledger._storage.db.set_trace_callback(heard)


def pending(task: Task) -> Task:
    """Return the task as one that was accepted."""
    return replace(task, state=Pending(task_id=f"t-{task.id}"), task_id=f"t-{task.id}", charged="yes")


def together(stage: Stage, work: Callable[[Task], Any], tasks: list[Task]) -> list[Any]:
    """Do something with each task, at the same time."""

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*map(work, tasks), return_exceptions=True)

    return list(stage.play(all_of_them()))


@pytest.mark.parametrize("count", [1, TASKS])
def test_what_comes_in_one_turn_is_one_transaction(stage: Stage, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """One sync of the journal and one commit, for one task and for twelve."""
    tasks = [stage.task() for _ in range(count)]
    counted = Counted(stage.ledger, monkeypatch)
    together(stage, lambda task: stage.engine.save(pending(task)), tasks)
    assert (counted.syncs, counted.commits) == (1, 1)
    assert all(stage.stored(task).state == pending(task).state for task in tasks)


def test_a_task_costs_few_syncs_among_others(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve purchases from plan to file need few more transactions, and syncs of the journal, than one."""
    costs, stage.engine.submits = [], TASKS
    for count in (1, TASKS):
        tasks = [stage.task("rivya") for _ in range(count)]
        stage.script("rivya", *[accepted()] * count, *[succeeded()] * count)
        counted = Counted(stage.ledger, monkeypatch)
        ended = together(stage, stage.engine.run, tasks)
        assert [task.state.kind for task in ended] == ["saved"] * count
        files = 2 * count  # a picture and its folder
        costs.append((counted.commits, counted.syncs - files))
        monkeypatch.undo()
    assert costs[0] == (8, 5)
    assert costs[1] < (4 * 8, 4 * 5)  # a few more: files are published beside the loop, and not all in one turn


def test_nobody_is_told_before_it_is_durable(stage: Stage, tmp_path: Path) -> None:
    """A copy of the state folder at that moment has what was written, as a killed process would leave it."""
    copies = []

    async def written(task: Task) -> None:
        await stage.engine.note(pending(task))
        copies.append((task, copy := tmp_path / f"copy-{task.id}"))
        shutil.copytree(tmp_path / "state", copy)

    together(stage, written, [stage.task() for _ in range(4)])
    for task, copy in copies:
        with Ledger.open(copy) as other:
            assert other.get(task.id).task_id == f"t-{task.id}"
    assert len(copies) == 4


def test_what_is_wrong_with_one_costs_the_others_nothing(stage: Stage) -> None:
    """Each of several gets what its own call does: a value, or its own error."""
    tasks = [stage.task() for _ in range(4)]
    bad = tasks[1]
    stage.failing.broken["save"] = lambda task: FULL if task.id == bad.id else None
    sending = [replace(task, state=Sending(at=1.0)) for task in tasks]
    ended = together(stage, stage.engine.note, sending)
    assert [type(end) for end in ended] == [Task, StateUnusable, Task, Task]
    assert [stage.stored(task).state.kind for task in tasks] == ["sending", "new", "sending", "sending"]


def test_calls_are_made_in_their_order(stage: Stage) -> None:
    """Of two transitions of one task in one transaction the later one stands; values come back to who asked."""
    task = stage.task()

    async def both() -> None:
        do = stage.engine.writing.do
        told = await asyncio.gather(
            do(stage.ledger.claim, task.id), do(stage.ledger.save, replace(task, state=Sending(at=1.0))),
            do(stage.ledger.save, pending(task)), do(stage.ledger.claim, task.id),
        )  # fmt: skip
        assert told == [True, None, None, True]

    stage.play(both())
    assert stage.stored(task).state.kind == "pending"


def test_a_cancellation_loses_nothing_and_comes_afterwards(stage: Stage) -> None:
    """What was being written is durable at once, what follows without waiting is done, and then it is cancelled."""
    task, steps = stage.task(), list[str]()

    async def work() -> None:
        await stage.engine.note(pending(task))
        steps.append(stage.stored(task).state.kind)
        await asyncio.sleep(60)
        steps.append("slept")

    async def cancelled() -> None:
        working = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert working.cancelled()

    stage.play(cancelled())
    assert steps == ["pending"]


def test_a_result_that_is_being_written_down_is_not_given_up(stage: Stage) -> None:
    """A signal that comes during the write ends nothing that only had to be written: its result counts."""
    task = stage.task()

    async def work() -> str:
        await stage.engine.writing.do(stage.ledger.save, pending(task))
        return "answered"

    async def stopped() -> str:
        asyncio.get_running_loop().call_soon(stage.engine.abandon.set)
        return await stage.engine.unless(stage.engine.abandon, work())

    assert stage.play(stopped()) == "answered"


class Killed(BaseException):
    """Nothing that anybody handles."""


@pytest.mark.parametrize("error", [Killed, KeyboardInterrupt])
def test_nobody_waits_for_ever(stage: Stage, error: type[BaseException]) -> None:
    """Whatever breaks a transaction is raised, and the calls that are left are made before the loop ends."""
    tasks = [stage.task() for _ in range(2)]
    breaks = iter([error])

    def once(_: Task) -> None:
        for one in breaks:
            raise one

    stage.failing.broken["save"] = once
    with pytest.raises(BaseExceptionGroup if error is Killed else error) as caught:
        stage.play(_grouped([stage.engine.note(pending(task)) for task in tasks]))
    kinds = [stage.stored(task).state.kind for task in tasks]
    if error is Killed:
        assert isinstance(caught.value, BaseExceptionGroup)
        assert caught.group_contains(Killed)
    else:
        assert kinds == ["pending", "pending"]


LINES = inspect.getsourcelines(Writing.flush)


@pytest.mark.parametrize("line", [number for number, text in enumerate(LINES[0]) if number > 1 and text.strip()])
def test_an_interrupt_loses_no_call(line: int) -> None:
    """Wherever in the writing it comes, every call is made before the loop ends."""
    made, before, came = set[int](), sys.gettrace(), list[int]()

    class Plain:
        def all_of(self, calls: Any) -> Any:
            return [Ended.of(call) for call in calls]

    def at(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is Writing.flush.__code__ and event == "line" and frame.f_lineno == LINES[1] + line:
            sys.settrace(before)
            came.append(line)
            raise KeyboardInterrupt
        return at

    async def work() -> None:
        writing = Writing(Plain)  # type: ignore[arg-type]
        sys.settrace(at)
        await asyncio.gather(*(writing.do(made.add, number) for number in range(3)))

    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        assert came == [line]
    finally:
        sys.settrace(before)
    assert made == {0, 1, 2}


async def _grouped(work: list[Any]) -> None:
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)


def test_a_transaction_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More calls than one transaction takes are several, in order."""
    monkeypatch.setattr("wan_cli.engine.writing.MOST", 2)
    sizes, made = [], list[int]()

    class Plain:
        def all_of(self, calls: Any) -> Any:
            sizes.append(len(calls))
            return [Ended.of(call) for call in calls]

    async def work() -> None:
        writing = Writing(Plain)  # type: ignore[arg-type]
        await asyncio.gather(*(writing.do(made.append, number) for number in range(5)))

    asyncio.run(work())
    assert (sizes, made) == ([2, 2, 1], [0, 1, 2, 3, 4])


def test_what_nobody_waits_for_is_written_before_what_follows(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call for later goes into the transaction of the next one, in its place; its failure is nobody's."""
    task = stage.task()
    made: list[str] = []

    def noted(name: str, error: Exception | None = None) -> Callable[[], str]:
        def call() -> str:
            made.append(name)
            if error:
                raise error
            return name

        return call

    async def play() -> str:
        writing = stage.engine.writing
        writing.later(noted("first"))
        writing.later(stage.ledger.save, pending(task))
        assert made == []
        ended = await writing.do(noted("second"))
        assert (made, counted.commits) == (["first", "second"], 1)
        writing.later(noted("third", FULL))
        writing.flush()
        return ended

    counted = Counted(stage.ledger, monkeypatch)
    assert stage.play(play()) == "second"
    assert made == ["first", "second", "third"]
    assert stage.stored(task).state == pending(task).state


def test_a_busy_loop_keeps_nothing_waiting_for_long(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every turn brings something new to write and takes its time, what there is is written all the same."""
    clock, began = [0.0], []

    async def play() -> int:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: clock[0])
        writing = stage.engine.writing
        first = asyncio.ensure_future(writing.do(began.append, 0))
        turns = 0
        while not began:
            turns += 1
            clock[0] += 0.006
            writing.later(lambda: None)
            await asyncio.sleep(0)
        monkeypatch.undo()
        await first
        return turns

    assert stage.play(play()) == 1 + 4  # one in which it begins to wait, and 20 ms by the clock


def test_a_task_is_seven_transactions(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its claim, its request, the answer, the acceptance, the end, each file before its name, all of them in place."""
    made: list[list[str]] = []
    all_of = Ledger.all_of

    def noted(self: Ledger, calls: Any) -> Any:
        made.append([call.func.__name__ for call in calls])
        return all_of(self, calls)

    monkeypatch.setattr(Ledger, "all_of", noted)
    stage.script("rivya", accepted(), succeeded())
    task = stage.play(stage.engine.run(stage.task("rivya")))
    assert task.state.kind == "saved"
    first, *rest = [[name for name in calls if name != "release"] for calls in made]
    assert first == ["claim"]
    assert rest[:3] == [["save", "record_attempt"], ["record_answer"], ["save"]]
    assert [calls for calls in rest[3:] if calls] == [["save"] * len(calls) for calls in rest[3:] if calls]
    assert len([calls for calls in made if calls != ["release"]]) == 7


@pytest.mark.parametrize("together_", [True, False], ids=["at once", "one after the other"])
@pytest.mark.parametrize(("tasks", "calls"), [(1, 0), (3, 2)])
def test_with_a_second_task_cycles_are_looked_for_again(
    stage: Stage, tasks: int, calls: int, together_: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command with one task ends before that is worth anything; those of many hold memory."""
    called: list[None] = []
    monkeypatch.setattr("wan_cli.cycles.many_tasks", lambda: called.append(None))
    made = [stage.task("rivya") for _ in range(tasks)]
    if together_:
        stage.script("rivya", *[accepted()] * tasks, *[succeeded()] * tasks)
        together(stage, stage.engine.run, made)
    else:
        stage.script("rivya", *[accepted(), succeeded()] * tasks)
        for task in made:
            stage.play(stage.engine.run(task))
    assert len(called) == calls


@pytest.mark.parametrize("provider", ["rivya", "modelverse"])
@pytest.mark.parametrize("turns", range(5))
def test_what_could_not_be_written_was_not_sent_whoever_gave_up(
    stage: Stage, provider: str, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two signals while a purchase is being written down, and a ledger that refuses it: nothing is in doubt."""
    save = Ledger.save

    def refuses(self: Ledger, task: Task) -> None:
        if task.state.kind == "sending":
            raise StateUnusable("the ledger cannot be written")
        save(self, task)

    monkeypatch.setattr(Ledger, "save", refuses)
    task = stage.task(provider)

    async def play() -> Task:
        running_ = asyncio.ensure_future(stage.engine.run(task))
        for _ in range(100):
            if stage.engine.submitting:
                break
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        stage.engine.interrupt(grace=60.0)
        stage.engine.interrupt(grace=60.0)
        return await running_

    ended = stage.play(play())
    assert (ended.state.kind, ended.charged) == ("failed", "no")
    assert not [event for event in stage.events if event.task.state.kind in ("sending", "unknown")]


def test_the_last_task_has_all_that_waits_written(stage: Stage) -> None:
    """Tasks that end let go of their claims without waiting, and when the last one has, all of it is durable."""
    tasks = [stage.task("rivya") for _ in range(TASKS)]
    stage.script("rivya", *[accepted()] * TASKS, *[succeeded()] * TASKS)
    together(stage, stage.engine.run, tasks)
    assert stage.engine.hands == 0
    stranger = stage.stranger()
    assert all(stranger.claim(task.id) for task in tasks)


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_done_aside_ends_before_a_cancellation_comes(times: int) -> None:
    """A thread's work is never taken from under it; whoever was cancelled meanwhile is when it waits again."""
    steps: list[str] = []
    go = threading.Event()

    def work() -> str:
        go.wait(10)
        steps.append("worked")
        return "done"

    async def waits() -> None:
        steps.append(await aside(work))
        await asyncio.sleep(0)
        steps.append("not reached")

    async def play() -> None:
        waiting = asyncio.ensure_future(waits())
        for _ in range(times):
            await asyncio.sleep(0.01)
            waiting.cancel()
        await asyncio.sleep(0.01)
        assert not waiting.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(play())
    assert steps == ["worked", "done"]
