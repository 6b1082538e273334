"""Asking how a task is: free, patient, and never the end of something that was bought."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from support_engine import Reply, Stage, Step, accepted, error, lost, moved, refused_connection, running, succeeded

from wan_cli.engine.collect import ask
from wan_cli.errors import InternalError, KeyMissing
from wan_cli.models import Done, Lost, Pending, Task

KEYED, UNKEYED = "rivya", "modelverse"


def pending(stage: Stage, provider: str = KEYED, **said: Any) -> Task:
    """Make a task that was bought a minute ago."""
    state = Pending(task_id="task_1", ref={"task_id": "task_1"})
    facts = {"submitted_at": stage.clock.now - 60, "charged": "yes", "charge_basis": "contract"}
    return stage.task(provider, **{"state": state, "task_id": "task_1", **facts, **said})


def polled(stage: Stage, *steps: Step, provider: str = KEYED, limit: float | None = None, **said: Any) -> Task:
    """Wait for a task without fetching its result, with ``steps`` as the provider's answers (the last one stays)."""
    stage.script(provider, *steps, forever=True)
    task: Task = stage.run(pending(stage, provider, **said), limit=limit, download=False)
    assert stage.stored(task) == task
    assert not stage.apis[provider].of("POST"), "waiting never buys"
    return task


def times(stage: Stage, provider: str = KEYED) -> list[float]:
    """Return the seconds between polls."""
    at = [sent.at for sent in stage.apis[provider].of("GET")]
    return [round(later - earlier, 3) for earlier, later in itertools.pairwise(at)]


@pytest.mark.parametrize("provider", [KEYED, UNKEYED])
def test_a_task_is_asked_about_until_it_ends(stage: Stage, provider: str) -> None:
    """A bought task is polled until it has results, and then what it cost and when it ended is known."""
    start = stage.clock.now
    task = polled(stage, running(provider), running(provider), succeeded(provider, 2), provider=provider)
    assert isinstance(task.state, Done)
    assert len(task.state.outputs) == 2
    assert task.charged == "yes"
    assert stage.apis[provider].of("GET")[0].at - start == 1.0
    least = 5.0 if provider == KEYED else 1.0  # what Rivya documents
    assert all(least <= pause < 10.0 for pause in times(stage, provider))


def test_the_final_cost_is_the_providers_word(stage: Stage) -> None:
    """What the provider says was charged replaces the assumption."""
    task = polled(stage, succeeded())
    assert (task.cost.actual, task.cost.unit, task.charge_basis) == (5, "credits", "provider")


def test_only_what_changed_is_written(stage: Stage) -> None:
    """Polls that say the same cost no write; a change of status is one."""
    saves: list[str] = []
    stage.failing.broken["save"] = lambda task: saves.append(task.state.kind)
    stage.script(KEYED, *[running() for _ in range(20)], succeeded())
    stage.run(pending(stage), download=False)
    assert saves == ["pending", "done"]


def test_h18_the_pause_that_the_provider_asks_for_is_kept(stage: Stage) -> None:
    """Retry-After on an answered or a refused poll is the next pause, within 2 to 60 seconds."""
    limited = error(429, Retry_After="9")
    polled(stage, running(**{"Retry-After": "3"}), limited, error(503, Retry_After="4000"), succeeded())
    assert times(stage) == [3.0, 9.0, 60.0]


@pytest.mark.parametrize(
    "fault",
    [
        lost, refused_connection, lambda: error(429), lambda: error(500),
        lambda: Reply(200, b"<html>maintenance</html>"), lambda: Reply(200, b"[" * 100_000), lambda: error(302),
        lambda: error(400),
    ],
)  # fmt: skip
def test_t07_n16_r05_polls_that_fail_never_end_a_task(stage: Stage, fault: Any) -> None:
    """Fifty failures of any kind are waited out, with one warning, and the result is collected."""
    task = polled(stage, *[fault() for _ in range(50)], succeeded(), limit=36_000)
    assert task.state.kind == "done"
    assert len(stage.warnings()) == 1
    assert "10 polls in a row failed" in stage.warnings()[0]
    assert max(times(stage)) == 30.0


def test_t04_a_task_that_never_ends_is_left_running(stage: Stage) -> None:
    """At the deadline of a picture, 15 minutes, waiting stops with what to type, and nothing is lost."""
    start = stage.clock.now
    task = polled(stage, running())
    assert stage.clock.now - start == pytest.approx(900)
    assert task.state.kind == "pending"
    assert task.trouble
    assert (task.trouble.code, task.trouble.hint) == ("timeout_waiting", "wan wait rivya:task_1")
    assert (task.charged, task.trouble.charged) == ("yes", "yes")


def test_t04_the_limit_is_the_users(stage: Stage) -> None:
    """--timeout is kept to the second, with a last question at its end."""
    start = stage.clock.now
    polled(stage, running(), limit=10)
    assert stage.clock.now - start == pytest.approx(10)
    assert stage.apis[KEYED].sent[-1].at - start == pytest.approx(10)


def test_t04_after_a_time_out_the_same_task_can_be_waited_for_again(stage: Stage) -> None:
    """A task that timed out is collected by the next wait."""
    task = polled(stage, running(), limit=5)
    stage.apis[KEYED].script = [succeeded()]
    ended = stage.run(task, download=False)
    assert (ended.state.kind, ended.trouble) == ("done", None)


def test_without_waiting_nothing_is_asked(stage: Stage) -> None:
    """--no-wait leaves an accepted task alone."""
    task = pending(stage)
    assert stage.run(task, wait=False) == task
    assert KEYED not in stage.apis


def test_r09_an_unknown_status_is_still_running(stage: Stage) -> None:
    """A status nobody knows is warned of once and taken as under way."""
    task = polled(stage, running(status="Throttled"), running(status="Throttled"), succeeded())
    assert task.state.kind == "done"
    assert len(stage.warnings()) == 1
    assert "throttled" in stage.warnings()[0]


@pytest.mark.parametrize("status", ["SUCCEEDED", "Success", "completed"])
def test_r10_spelling_does_not_matter(stage: Stage, status: str) -> None:
    """A provider's statuses are read in any case."""
    body = {"output": {"task_id": "task_1", "task_status": status, "urls": ["https://cdn.example/1.png"]}}
    assert polled(stage, Reply(200, body), provider=UNKEYED).state.kind == "done"


def test_r11_success_without_a_result_is_asked_again(stage: Stage) -> None:
    """A success that names no address is asked three times more, and a result that then comes counts."""
    task = polled(stage, succeeded(count=0), lost(), succeeded(count=0), succeeded())
    assert task.state.kind == "done"
    assert times(stage) == [10.0, 10.0, 10.0]


@pytest.mark.parametrize("fault", [error(500), lost(), refused_connection()])
def test_r11_questions_without_an_answer_make_no_task_lost(stage: Stage, fault: Step) -> None:
    """After a success without a result, only the provider's own word ends the task: it stays to be collected."""
    task = polled(stage, succeeded(count=0), fault)
    assert isinstance(task.state, Pending)
    assert task.trouble is not None


def test_r11_success_without_a_result_is_lost_in_the_end(stage: Stage) -> None:
    """When the address never comes, the result is lost and charged, never "failed" and never "saved"."""
    task = polled(stage, succeeded(count=0))
    assert isinstance(task.state, Lost)
    assert (task.state.code, task.charged) == ("task_vanished", "yes")
    assert task.finished_at == stage.clock.now


def test_r11_a_task_that_goes_back_to_running_is_waited_for(stage: Stage) -> None:
    """T05: a success without a result, then "processing", is polled on."""
    assert polled(stage, succeeded(count=0), running(), succeeded()).state.kind == "done"


def test_r13_each_address_counts_once(stage: Stage) -> None:
    """An address that is named twice is one result."""
    url = "https://cdn.example/1.png"
    reply = Reply(200, {"id": "task_1", "status": "succeeded", "result": {"urls": [url, url]}})
    task = polled(stage, reply)
    assert isinstance(task.state, Done)
    assert [output.url for output in task.state.outputs] == [url]


@pytest.mark.parametrize(("paid", "charged"), [(0, "no"), (5, "yes"), (None, "unknown")])
def test_t01_a_failed_task_says_what_it_cost(stage: Stage, paid: int | None, charged: str) -> None:
    """A task that failed at the provider is final, with its charge as the provider says, and is not bought again."""
    body = {"id": "task_1", "status": "failed", "error": {"code": "moderation_blocked", "message": "not allowed"}}
    task = polled(stage, Reply(200, body | ({} if paid is None else {"final_credits": paid})))
    assert task.state.kind == "failed"
    assert (task.charged, task.state.message, task.state.provider_code) == (
        charged, "not allowed", "moderation_blocked",
    )  # fmt: skip


def test_t06_a_cancelled_task_is_final(stage: Stage) -> None:
    """A task that was cancelled at the provider ends as cancelled, its charge unknown."""
    task = polled(stage, running(UNKEYED, "Cancelled"), provider=UNKEYED)
    assert (task.state.kind, task.charged) == ("cancelled", "unknown")


def test_t03_a_new_task_may_not_be_found_at_once(stage: Stage) -> None:
    """For thirty seconds after the purchase "not found" means nothing."""
    stage.script(KEYED, accepted(), *[error(404)] * 4, succeeded())
    task = stage.run(stage.task(), download=False)
    assert task.state.kind == "done"
    assert any("not found" in note for note in stage.notes())


def test_t02_an_old_task_is_gone_after_three_sightings_in_a_minute(stage: Stage) -> None:
    """A task that is not found for a minute, three times at least, is lost and charged."""
    start = stage.clock.now
    task = polled(stage, running(), error(404))
    assert isinstance(task.state, Lost)
    assert (task.state.code, task.charged) == ("task_vanished", "yes")
    assert len(stage.apis[KEYED].sent) - 1 >= 3
    assert 60 <= stage.clock.now - start < 90


def test_t02_a_task_that_is_found_again_starts_afresh(stage: Stage) -> None:
    """One good answer forgets earlier "not found"s."""
    gone = error(404)
    assert polled(stage, *[gone] * 6, running(), *[gone] * 6, succeeded()).state.kind == "done"


def test_t02_modelverse_says_it_in_its_own_way(stage: Stage) -> None:
    """HTTP 400 "invalid task_id" is "not found" there."""
    task = polled(stage, error(400, "param_error", "invalid task_id"), provider=UNKEYED)
    assert task.state.kind == "lost"


@pytest.mark.parametrize("fault", [error(401, "api_key_revoked", "revoked"), error(403)])
def test_t08_a_refused_key_stops_the_asking_and_keeps_the_task(stage: Stage, fault: Reply) -> None:
    """A key that is refused while waiting keeps the task as it is, with how to go on."""
    task = polled(stage, running(), fault)
    assert (task.state.kind, task.charged) == ("pending", "yes")
    assert task.trouble
    assert task.trouble.code == "key_rejected"
    assert "wan wait rivya:task_1" in task.trouble.hint
    assert len(stage.apis[KEYED].sent) == 2


def test_t11_a_key_that_cannot_be_read_keeps_the_task(stage: Stage) -> None:
    """When no key can be had while waiting, the task stays bought and the reason is told."""
    task = polled(stage, KeyMissing("no key for rivya", hint="export RIVYA_API_KEY=…"))
    assert task.state.kind == "pending"
    assert task.trouble
    assert (task.trouble.code, task.trouble.hint) == ("key_missing", "set that key, then wan wait rivya:task_1")


def test_p07_a_signal_stops_the_waiting_at_once(stage: Stage) -> None:
    """Ctrl-C while a poll hangs returns the task as it is, without a trouble."""

    async def hang(request: Any) -> Reply:
        assert stage.engine.interrupt(grace=60) is False
        await asyncio.Event().wait()
        raise AssertionError

    task = polled(stage, running(), hang)
    assert (task.state.kind, task.charged, task.trouble) == ("pending", "yes", None)


def test_p07_a_signal_ends_a_pause(stage: Stage) -> None:
    """Ctrl-C between two polls asks no more."""

    async def sleep(seconds: float) -> None:
        stage.engine.interrupt(grace=60)
        await asyncio.Event().wait()

    stage.engine.sleep = sleep
    task = pending(stage)
    assert stage.run(task) == task
    assert not stage.apis[KEYED].sent


def test_one_that_fails_takes_no_other_with_it(stage: Stage) -> None:
    """Of three tasks that are waited for, one that failed leaves the others alone."""
    states = {"a": "failed", "b": "succeeded", "c": "processing"}

    def answer(request: Any) -> Reply:
        name = request.url.path.rpartition("/")[2]
        urls = ["https://cdn.example/1.png"] if name == "b" else []
        return Reply(200, {"id": name, "status": states[name], "result": {"urls": urls}})

    stage.script(KEYED, answer, forever=True)
    tasks = [pending(stage, task_id=name, state=Pending(task_id=name, ref={"task_id": name})) for name in states]
    ended = stage.play(stage.engine.run_all(tasks, limit=60, download=False))
    assert [task.state.kind for task in ended] == ["failed", "done", "pending"]


def test_a_single_question_changes_what_it_learns(stage: Stage) -> None:
    """``wan status TASK`` asks once: it saves an answer, and nothing else."""
    task = pending(stage)
    stage.script(KEYED, error(500), error(404), running(), succeeded())
    service = stage.service(KEYED)
    for kind in ("pending", "pending", "pending", "done"):
        task = stage.play(ask(stage.engine, task, service))
        assert task.state.kind == kind
    assert task.trouble is None
    with pytest.raises(InternalError):
        stage.play(ask(stage.engine, task, service))


def test_a_warning_is_noted_once(stage: Stage) -> None:
    """The same warning about a task is told and kept once."""
    task = stage.play(stage.engine.warn(pending(stage), "odd"))
    task = stage.play(stage.engine.warn(task, "odd"))
    assert (task.warnings, stage.warnings()) == (("odd",), ["odd"])


def test_an_adopted_task_is_charged_once_it_is_seen(stage: Stage) -> None:
    """A task that was adopted by its handle counts as charged when the provider knows it, and only then."""
    stage.script(KEYED, error(404), running())
    task, service = pending(stage, charged="unknown"), stage.service(KEYED)
    task = stage.play(ask(stage.engine, task, service))
    assert task.charged == "unknown"
    assert stage.play(ask(stage.engine, task, service)).charged == "yes"


def test_a_video_has_an_hour(stage: Stage) -> None:
    """Waiting for a video ends after sixty minutes."""
    start = stage.clock.now
    stage.script(KEYED, running(), forever=True)
    task = moved(pending(stage, makes="video"))
    assert stage.run(task).trouble.code == "timeout_waiting"
    assert stage.clock.now - start == pytest.approx(3600)
