"""What a process learns of how long tasks take, and what it must not learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from support_engine import Reply, Stage, accepted, error, lost, running, succeeded

from wan_cli.engine.collect import ask
from wan_cli.errors import StateUnusable
from wan_cli.models import Task, TaskChanged

MODEL = "wan2.7-image"
MODELVERSE = ("modelverse", "https://api.modelverse.cn", MODEL)


def lasting(stage: Stage, seconds: float, *first: Any) -> Callable[[httpx.Request], Reply]:
    """Return the answers to all polls of a task that takes so long; ``first`` come before those."""
    begun, queue = stage.clock.now, list(first)

    def answer(request: httpx.Request) -> Reply:
        if queue:
            step = queue.pop(0)
            if isinstance(step, Exception):
                raise step
            return step
        return (succeeded if stage.clock.now - begun >= seconds else running)("modelverse")

    return answer


def bought(stage: Stage, seconds: float, *first: Any, **how: Any) -> Task:
    """Buy a picture that takes so long, and wait for it."""
    stage.apis.pop("modelverse", None)
    stage.script("modelverse", accepted("modelverse"), lasting(stage, seconds, *first), forever=True)
    task: Task = stage.run(stage.task("modelverse"), **how)
    return task


def spans(stage: Stage) -> list[tuple[float, float]]:
    """Return what the ledger knows of the model."""
    return stage.ledger.durations(*MODELVERSE, limit=100)


def polls(stage: Stage) -> list[float]:
    """Return the seconds after the purchase at which the last task was asked about."""
    (begun,) = [sent.at for sent in stage.apis["modelverse"].of("POST")]
    return [sent.at - begun for sent in stage.apis["modelverse"].of("GET")]


def test_what_was_asked_in_time_is_learned(stage: Stage) -> None:
    """A task that ended between two questions is known to have, here and in the next process."""
    assert bought(stage, 40).state.kind == "saved"
    (span,) = spans(stage)
    assert span == tuple(polls(stage)[-2:])
    assert span[0] < 40 <= span[1]
    first = polls(stage)[0]
    for again in (stage.engine, stage.another()):
        stage.engine = again
        bought(stage, 40)
        assert polls(stage)[0] > 3 * first
        assert len(polls(stage)) < 8


def test_a_model_is_learned_in_three_tasks(stage: Stage) -> None:
    """The fourth task of a minute is not asked about in its first 25 seconds, and found a few seconds late."""
    for _ in range(4):
        bought(stage, 60)
    assert polls(stage)[0] > 25
    assert polls(stage)[-1] - 60 < 8


def test_a_task_that_the_first_question_finds_done_counts(stage: Stage) -> None:
    """It ended at any time before; so a model that became fast is asked about earlier each time."""
    stage.ledger.learn_duration(*MODELVERSE, least=58.0, most=62.0)
    firsts = []
    for _ in range(4):
        bought(stage, 5)
        firsts.append(polls(stage)[0])
    assert spans(stage)[1] == (0.0, firsts[0])
    assert firsts == sorted(firsts, reverse=True)
    assert firsts[-1] < firsts[0] / 2


@pytest.mark.parametrize("step", [lost(), error(500), running("modelverse", **{"Retry-After": "60"})])
def test_an_end_that_was_not_asked_for_in_time_says_nothing(stage: Stage, step: Any) -> None:
    """Where the question before failed, or the provider wanted a long pause, the task may have ended long ago."""
    assert bought(stage, 3, step).state.kind == "saved"
    assert spans(stage) == []


def test_a_task_that_is_taken_up_hours_later_says_nothing(stage: Stage) -> None:
    """``wan wait`` that finds it done at once does not know when it ended."""
    task = bought(stage, 30, wait=False)
    stage.clock.now += 7200
    stage.engine = stage.another()
    assert stage.run(task).state.kind == "saved"
    assert spans(stage) == []


def test_a_task_that_is_taken_up_while_it_runs_counts(stage: Stage) -> None:
    """From the first answer of the new process on it is asked about in time."""
    task = bought(stage, 60, wait=False)
    stage.clock.now += 20
    stage.engine = stage.another()
    assert stage.run(task).state.kind == "saved"
    (span,) = spans(stage)
    assert 21 <= span[0] < 60 <= span[1] < 75


def test_a_machine_that_slept_says_nothing(stage: Stage) -> None:
    """When far more time has passed than was waited, nobody knows when the task ended."""

    async def sleep(seconds: float) -> None:
        await stage.clock.sleep(seconds)
        stage.clock.now += 600

    stage.engine.sleep = sleep
    bought(stage, 60)
    assert spans(stage) == []


def test_a_clock_that_is_set_back_says_nothing(stage: Stage) -> None:
    """An age that is not above the last one is none."""
    times = iter([1_000.0, 1_000.0, 900.0])
    stage.engine.now = lambda: next(times, 900.0)
    bought(stage, 2)
    assert spans(stage) == []


def test_a_single_question_says_nothing(stage: Stage) -> None:
    """``wan status TASK`` comes when a person wants it."""
    task = bought(stage, 5, wait=False)
    stage.clock.now += 6
    assert stage.play(ask(stage.engine, task, stage.service("modelverse"))).state.kind == "done"
    assert spans(stage) == []


def test_a_task_that_failed_says_nothing(stage: Stage) -> None:
    """A refusal may come after a second: it is no duration of those that succeed."""
    stage.script("modelverse", accepted("modelverse"), running("modelverse", "Failure"), forever=True)
    assert stage.run(stage.task("modelverse")).state.kind == "failed"
    assert spans(stage) == []


def test_a_task_without_a_model_says_nothing(stage: Stage) -> None:
    """One that was adopted by its handle is of any model."""
    stage.script("modelverse", accepted("modelverse"), lasting(stage, 20), forever=True)
    assert stage.run(stage.task("modelverse", model="")).state.kind == "saved"
    assert stage.rows("SELECT * FROM duration") == []


def test_a_purchase_in_doubt_that_finds_an_earlier_task_says_nothing(stage: Stage) -> None:
    """What is sent again under its key may be answered with a task that was accepted long before."""
    stage.script("rivya", lost(), accepted(), succeeded())
    assert stage.run(stage.task()).state.kind == "saved"
    assert stage.rows("SELECT * FROM duration") == []


def test_a_history_that_cannot_be_read_costs_nothing_else(stage: Stage) -> None:
    """Without it the task is waited for as one of a model that nobody knows."""
    stage.failing.broken["durations"] = lambda *maker, limit: StateUnusable("gone", hint="")
    assert bought(stage, 20).state.kind == "saved"
    assert polls(stage)[0] == 2.5


def test_the_history_is_read_once(stage: Stage) -> None:
    """However many tasks of a model there are, and polls of each."""
    asked: list[tuple[str, ...]] = []
    stage.failing.broken["durations"] = lambda *maker, limit: asked.append(maker)
    for _ in range(3):
        bought(stage, 30)
    assert asked == [MODELVERSE]


def test_the_time_that_is_left_goes_with_what_is_told_of_a_running_task(stage: Stage) -> None:
    """By the same estimate, from the age at that time; nothing is said of a task that is not at the provider."""
    for _ in range(10):
        bought(stage, 60)
    stage.events.clear()
    bought(stage, 60)
    told = [event for event in stage.events if isinstance(event, TaskChanged)]
    pending = [event.left() for event in told if event.task.state.kind == "pending" and event.left]
    assert len(pending) == len(polls(stage))
    assert pending[0] == pytest.approx(60, rel=0.1)
    assert pending[1] == pytest.approx(60 - polls(stage)[0], rel=0.2)
    assert all(event.left is None for event in told if event.task.state.kind != "pending")


def test_providers_at_other_addresses_are_others(stage: Stage) -> None:
    """A sandbox on a port is fast, and says nothing of the provider that it plays."""
    stage.ledger.learn_duration("modelverse", "http://127.0.0.1:8484", MODEL, least=0.0, most=1.0)
    task = bought(stage, 20, wait=False)
    elsewhere = replace(task, origin="http://127.0.0.1:8484")
    seen = stage.engine.foresight
    assert seen.expected(stage.ledger, task).learned == 0
    assert seen.expected(stage.ledger, elsewhere).learned == 1


def test_no_task_is_remembered_once_it_has_ended(stage: Stage) -> None:
    """Ten thousand of them take no room."""
    bought(stage, 20)
    assert not stage.engine.foresight._accepted
