"""The engine's own promises: who owns a task, what is merged with the ledger, what a signal ends, and what is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from support_engine import SMALL, URL, Stage, accepted, lost, running, succeeded

from wan_cli.engine.loop import model_of
from wan_cli.engine.owning import ATTACHED_S
from wan_cli.engine.signals import Signal, Stopped
from wan_cli.errors import StateUnusable
from wan_cli.models import (
    Cancelled,
    Done,
    Failed,
    Lost,
    New,
    Output,
    Pending,
    Saved,
    Sending,
    Target,
    Task,
    TaskChanged,
    Unknown,
    Warned,
)

KEYED, UNKEYED = "rivya", "modelverse"
FULL = StateUnusable("the ledger cannot be written: no space left on device", hint="free some space")
OLD = Failed(code="download_failed", message="an old trouble", charged="yes")
PENDING = Pending(task_id="task_1", ref={"task_id": "task_1"})
ENDS = [Saved(files=()), Failed(code="x", message="no"), Cancelled(), Unknown(reason="cut"),
        Lost(code="task_vanished", message="gone")]  # fmt: skip


def bought(stage: Stage, **said: Any) -> Task:
    """Make a task at the provider."""
    return stage.task(**{"state": PENDING, "task_id": "task_1", "charged": "yes", "submitted_at": 1.0, **said})


# -- who owns a task


@pytest.mark.parametrize("state", ENDS, ids=[state.kind for state in ENDS])
def test_s07_a_task_that_ended_elsewhere_is_not_watched(stage: Stage, state: Any) -> None:
    """What another process holds and has ended is returned at once, as it is."""
    task = stage.task(state=state)
    with stage.stranger() as other:
        assert other.claim(task.id)
        assert stage.run(stage.stored(task)) == stage.stored(task)
        assert stage.rows("SELECT count(*) FROM claim") == [(1,)], "another's claim is not ours to release"
    assert stage.clock.slept == []


def test_s07_another_process_is_looked_after_twice_a_second(stage: Stage) -> None:
    """While it is at work, the ledger is read every half second."""
    task = bought(stage)
    with stage.stranger() as other:
        assert other.claim(task.id)
        stage.run(task, limit=2.0)
    assert (ATTACHED_S, stage.clock.slept) == (0.5, [0.5] * 4)


@pytest.mark.parametrize(("wait", "looks"), [(False, 0), (True, 6)])
def test_s07_what_another_process_bought_is_enough_without_waiting(stage: Stage, wait: bool, looks: int) -> None:
    """With --no-wait an accepted task of a living process is returned at once; else it is watched to the limit."""
    task = bought(stage)
    with stage.stranger() as other:
        assert other.claim(task.id)
        assert stage.run(task, wait=wait, limit=3.0) == task
    assert len(stage.clock.slept) == looks


@pytest.mark.parametrize(
    ("left", "buys"),
    [
        ({"state": New(), "charged": "unknown", "submitted_at": 1.0}, True),
        ({"state": Failed(code="x", message="no"), "charged": "no"}, True),
        ({"state": Failed(code="x", message="no"), "charged": "yes"}, False),
        ({"state": Failed(code="x", message="no"), "charged": "unknown"}, False),
        ({"state": Failed(code="x", message="no"), "charged": "no", "task_id": "task_9"}, False),
        ({"state": Cancelled(), "charged": "no"}, False),
    ],
)
def test_a_plan_is_bought_only_where_nothing_was(stage: Stage, left: dict[str, Any], buys: bool) -> None:
    """A plan is bought again where the ledger has a plan, or a refusal before anything was bought; and never else."""
    task = stage.task(**left)
    stage.script(KEYED, accepted())
    ended = stage.run(replace(task, state=New()), wait=False)
    assert len(stage.apis[KEYED].of("POST")) == int(buys)
    assert ended.state.kind == ("pending" if buys else left["state"].kind)
    if buys:
        assert (ended.submitted_at, ended.charged) == (stage.clock.now, "yes")
    else:
        assert stage.stored(task) == task


def test_the_claim_is_let_go_at_the_end(stage: Stage) -> None:
    """A task that was taken as far as it goes is free for the next process, also where the ledger fails then."""
    stage.script(KEYED, accepted(), accepted(task_id="task_2"))
    stage.run(stage.task(), wait=False)
    assert stage.rows("SELECT count(*) FROM claim") == [(0,)]
    stage.failing.broken["release"] = lambda _: FULL
    assert stage.run(stage.task(), wait=False).handle == "rivya:task_2"


# -- what is merged


def test_a_ledger_of_hashes_does_not_take_the_words(stage: Stage) -> None:
    """Where prompts are stored as hashes, this call's words are taken, and the addresses that the ledger knows."""
    task = bought(stage, prompt="sha256:" + "0" * 64, negative="sha256:" + "1" * 64, seed=1)
    mine = replace(task, job=replace(task.job, prompt="a fox", negative="blur", seed=2))
    stage.script(KEYED, running())
    ended = stage.run(mine, limit=1.0)
    assert (ended.job.prompt, ended.job.negative, ended.job.seed) == ("a fox", "blur", 2)


def test_a_task_that_moved_to_another_provider_is_asked_there(stage: Stage) -> None:
    """The job of the ledger is the one that was sent, with this call's words."""
    task = bought(stage, provider=UNKEYED, seed=7)
    stage.script(UNKEYED, running(UNKEYED))
    moved = replace(task, provider=KEYED, job=replace(task.job, provider=KEYED, seed=8, prompt="a red fox"))
    ended = stage.run(moved, limit=1.0)
    assert (ended.provider, ended.job.provider, ended.job.seed, ended.job.prompt) == (UNKEYED, UNKEYED, 7, "a red fox")


def test_a_new_call_begins_without_the_old_trouble(stage: Stage) -> None:
    """What stopped the last call is not this one's, and its target is this one's."""
    task = bought(stage, trouble=OLD)
    target = Target(template=str(stage.out / "mine{ext}"))
    ended = stage.run(replace(task, target=target), wait=False)
    assert (ended.trouble, ended.target, ended.state) == (None, target, task.state)


@pytest.mark.parametrize(
    ("state", "when", "again"),
    [(Saved(files=()), 5.0, True), (Lost(code="task_vanished", message="gone"), 5.0, True),
     (Saved(files=()), None, False),
     (Failed(code="x", message="no", charged="yes"), 5.0, False), (Unknown(reason="cut"), 5.0, False)],
)  # fmt: skip
def test_only_missed_results_are_collected_again(stage: Stage, state: Any, when: float | None, again: bool) -> None:
    """A saved or lost task is asked about again where the call says when it ended; no other end is undone."""
    task = stage.task(state=state, task_id="task_1", charged="yes")
    stage.script(KEYED, running(), forever=True)
    ended = stage.run(replace(task, state=PENDING, finished_at=when), limit=3.0)
    assert bool(stage.apis[KEYED].sent) is again
    assert again or ended.state == task.state


# -- where the ledger fails


def test_a_plan_without_a_ledger_failed_for_nothing(stage: Stage) -> None:
    """Its state says why, with the ledger's own hint, and that nothing was charged."""
    task = stage.task(charged="unknown")
    stage.failing.broken["claim"] = lambda _: FULL
    ended = stage.run(task)
    assert isinstance(ended.state, Failed)
    assert (ended.state.code, ended.state.hint, ended.charged) == ("state_unusable", "free some space", "no")
    assert ended.trouble is None


def test_a_bought_task_without_a_ledger_says_what_is_wrong(stage: Stage) -> None:
    """The trouble has the ledger's words, hint, and the charge that is known."""
    task = bought(stage, charged="unknown")
    stage.failing.broken["claim"] = lambda _: FULL
    trouble = stage.run(task).trouble
    assert trouble == Failed(code="state_unusable", message=FULL.message, hint="free some space", charged="unknown")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"charged": "no", "state": New()}, FULL.message),
        ({"charged": "yes", "state": New()}, f"{FULL.message}; keep this: rivya:task_1"),
        ({"charged": "no", "state": PENDING}, f"{FULL.message}; it is written down, so: wan recover --import "),
        ({"charged": "yes", "state": PENDING}, f"{FULL.message}; keep this: rivya:task_1; it is written down, so: wan"),
    ],
)
def test_s02_what_cannot_be_saved_is_told_with_what_to_keep(stage: Stage, said: dict[str, Any], words: str) -> None:
    """The handle of what may have cost something, and the file of what was more than a plan."""
    stage.out.mkdir()
    task = stage.task(task_id="task_1", **said)
    stage.failing.broken["save"] = lambda _: FULL
    assert stage.play(stage.engine.note(task)) is task
    (only,) = stage.warnings()
    assert only.startswith(words)
    assert len(stage.files()) == ("written down" in words)


def test_s01_a_purchase_that_cannot_be_recorded_is_never_begun(stage: Stage) -> None:
    """For that one transition the ledger's failure is the caller's to hear."""
    task = stage.task()
    stage.failing.broken["save"] = lambda _: FULL
    with pytest.raises(StateUnusable):
        stage.play(stage.engine.note(replace(task, state=Sending(at=1.0))))
    assert stage.warnings() == []


def test_what_the_ledger_took_after_all_is_what_counts(stage: Stage) -> None:
    """A signal returns the newest state: an older one that could not be saved once is forgotten with the next save."""
    task = bought(stage)
    stage.failing.broken["save"] = lambda _: FULL
    stage.play(stage.engine.note(replace(task, request_id="older")))
    stage.failing.broken.clear()
    stage.play(stage.engine.note(replace(task, request_id="newer")))
    stage.engine.stop.set()
    assert stage.run(task).request_id == "newer"
    stage.failing.broken["save"] = lambda _: FULL
    stage.play(stage.engine.note(replace(task, request_id="newest")))
    stage.failing.broken.clear()
    assert stage.run(task).request_id == "newest"


# -- steps


def test_a_step_that_changed_nothing_is_the_last(stage: Stage) -> None:
    """Results that cannot be fetched are tried once a call, not for ever; a new trouble ends the call."""
    from wan_cli.errors import DownloadFailed

    stage.fetcher.script[URL.format(1)] = [DownloadFailed("no"), DownloadFailed("no")]
    task = stage.task(state=Done(outputs=(Output(url=URL.format(1)),)), charged="yes")
    ended = stage.run(task)
    assert (ended.state.kind, len(stage.fetcher.asked)) == ("done", 1)


@pytest.mark.parametrize(
    ("wait", "download", "kind"), [(True, True, "saved"), (True, False, "done"), (False, True, "done")]
)
def test_how_far_a_result_goes(stage: Stage, wait: bool, download: bool, kind: str) -> None:
    """To disk, unless nobody waits, or nothing is to be fetched."""
    task = stage.task(
        state=Done(outputs=(Output(url=URL.format(1)),), task_id="task_1"), charged="yes", task_id="task_1"
    )
    assert stage.run(task, wait=wait, download=download).state.kind == kind


@pytest.mark.parametrize(
    ("state", "how"),
    [
        (Saved(files=()), {}),
        (Cancelled(), {}),
        (PENDING, {"wait": False}),
        (Done(outputs=(Output(url=URL.format(1)),)), {"download": False}),
        (Done(outputs=(Output(url=URL.format(1)),)), {"wait": False}),
    ],
)
def test_another_origin_matters_only_where_it_is_asked(stage: Stage, state: Any, how: dict[str, bool]) -> None:
    """A task that is at its end, or is to go no further, has no trouble with a base URL that changed."""
    task = bought(stage, state=state, origin="https://old.example")
    assert stage.run(task, **how) == task


def test_a_trouble_that_is_over_stops_nothing(stage: Stage) -> None:
    """A decision may leave one: once the task goes on, it goes on to its files."""

    async def decided(engine: Any, task: Task) -> Task:
        return replace(task, trouble=OLD)

    stage.script(KEYED, succeeded())
    ended = stage.run(bought(stage), first=decided)
    assert (ended.state.kind, ended.trouble) == ("saved", None)


def test_a_limit_of_nothing_is_a_limit(stage: Stage) -> None:
    """--timeout 0 asks nothing; without any limit a picture has its quarter of an hour."""
    stage.script(KEYED, running(), forever=True)
    assert stage.run(bought(stage), limit=0.0).trouble.code == "timeout_waiting"  # type: ignore[union-attr]
    assert stage.clock.slept == []
    begun = stage.clock.now
    stage.run(bought(stage))
    assert stage.clock.now - begun == pytest.approx(900)


# -- what is told


def test_what_is_told_is_durable(stage: Stage) -> None:
    """Whoever hears of a state finds it in the ledger, with the note that goes with it."""
    heard: list[tuple[str, str]] = []

    def report(event: Any) -> None:
        if isinstance(event, TaskChanged):
            assert stage.stored(event.task).state == event.task.state
            heard.append((event.task.state.kind, event.note))

    stage.engine.report = report
    task = stage.task()
    assert stage.play(stage.engine.save(replace(task, state=PENDING), "why")).state == PENDING
    assert heard == [("pending", "why")]


def test_a_warning_is_with_the_task_it_is_about(stage: Stage) -> None:
    """It is kept with the task, in order, and told with it."""
    task = stage.play(stage.engine.warn(stage.task(), "one"))
    task = stage.play(stage.engine.warn(task, "two"))
    assert stage.stored(task).warnings == task.warnings == ("one", "two")
    told = [event for event in stage.events if isinstance(event, Warned)]
    assert [event.message for event in told] == ["one", "two"]
    assert [event.task.warnings for event in told if event.task] == [("one",), ("one", "two")]


@pytest.mark.parametrize(("charged", "told"), [("yes", "yes"), ("no", "yes"), ("unknown", "unknown")])
def test_a_trouble_is_about_something_bought(stage: Stage, charged: Any, told: str) -> None:
    """Unless nobody knows, it was charged; the hint goes on waiting, where no better one is given."""
    task = stage.play(stage.engine.trouble(bought(stage, charged=charged), "download_failed", "it broke"))
    assert task.trouble == Failed(
        code="download_failed", message="it broke", hint="wan wait rivya:task_1", charged=told
    )
    assert stage.stored(task).trouble == task.trouble
    assert stage.notes() == ["it broke"]
    other = stage.play(stage.engine.trouble(task, "key_missing", "no key", "set it"))
    assert other.trouble
    assert other.trouble.hint == "set it"


# -- signals


async def turns() -> None:
    """Let everything happen that is due."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_signal_tells_whether_something_is_finished(stage: Stage) -> None:
    """The first says whether a purchase is under way, and gives it its grace; the next gives it up."""

    async def signals() -> None:
        engine = stage.engine
        assert engine.interrupt(grace=0) is False
        await turns()
        assert (engine.stop.is_set(), engine.abandon.is_set()) == (True, False)
        assert engine.interrupt(grace=0) is False
        assert engine.abandon.is_set()
        other = stage.another()
        other.submitting = 1
        assert other.interrupt(grace=0) is True
        assert not other.abandon.is_set()
        await turns()
        assert other.abandon.is_set()

    stage.play(signals())


def test_after_a_signal_no_pause_is_begun(stage: Stage) -> None:
    """Nothing new is started, not even a rest."""
    stage.engine.stop.set()
    with pytest.raises(Stopped):
        stage.play(stage.engine.pause(5.0))
    assert stage.clock.slept == []


def test_a_signal_in_the_last_moment_of_a_pause_counts(stage: Stage) -> None:
    """Though the rest was over, what would follow is not begun."""

    async def sleep(seconds: float) -> None:
        stage.engine.stop.set()

    stage.engine.sleep = sleep
    with pytest.raises(Stopped):
        stage.play(stage.engine.pause(5.0))


def test_what_is_given_up_is_ended_and_nothing_is_left_behind(stage: Stage) -> None:
    """Work that a signal ends has cleaned up when ``unless`` returns; work that ends leaves no watcher."""
    ended = []

    async def work(seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.sleep(0)
            ended.append(seconds)
        return "done"

    async def both() -> None:
        assert await stage.engine.unless(Signal(), work(0)) == "done"
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        event = Signal()
        event.set()
        with pytest.raises(Stopped):
            await stage.engine.unless(event, work(60))
        assert ended == [0, 60]
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    stage.play(both())


def test_of_several_the_failure_is_told_when_all_have_ended(stage: Stage) -> None:
    """A bug in one of three tasks is raised after the other two, and results come in the order of asking."""
    order: list[str] = []
    task = stage.task(add=False)

    async def one(name: str, turns: int, fault: Exception | None = None) -> Task:
        for _ in range(turns):
            await asyncio.sleep(0)
        order.append(name)
        if fault:
            raise fault
        return replace(task, id=name)

    ended = stage.play(stage.engine.gathered([one("a", 3), one("b", 1)]))
    assert [found.id for found in ended] == ["a", "b"]
    with pytest.raises(KeyError):
        stage.play(stage.engine.gathered([one("a", 5), one("b", 0, KeyError("a bug")), one("c", 3)]))
    assert order == ["b", "a", "b", "c", "a"]


# -- what tasks share


def test_a_pause_of_an_origin_is_never_shortened(stage: Stage) -> None:
    """The longest that was asked for counts, for that origin alone; it begins at the beginning of time."""
    engine = stage.engine
    engine.monotonic = lambda: 0.0
    engine.cool(KEYED, "https://a.example", 0.25)
    assert engine.cool_until == {"https://a.example": 0.25}
    engine.cool(KEYED, "https://a.example", 60)
    engine.cool(KEYED, "https://a.example", 5)
    engine.cool(KEYED, "https://b.example", 5)
    assert engine.cool_until == {"https://a.example": 60, "https://b.example": 5}


def test_tasks_share_the_pace_of_a_provider_and_the_turn_of_a_file(stage: Stage) -> None:
    """One gate for each provider, as wide as was said; one turn for each file at each provider."""
    engine = stage.another(submits=3)
    assert engine.pace(KEYED) is engine.pace(KEYED)
    assert engine.pace(KEYED) is not engine.pace(UNKEYED)
    assert engine.pace(KEYED).most == 3
    turn = engine.upload_turn(KEYED, "a" * 64)
    assert engine.upload_turn(KEYED, "a" * 64) is turn
    assert turn not in (engine.upload_turn(KEYED, "b" * 64), engine.upload_turn(UNKEYED, "a" * 64))


def test_a_model_is_the_catalogues_or_a_stand_in(stage: Stage) -> None:
    """What is listed has its price and formats; what is not is sent as it is called."""
    listed, strange = model_of(stage.task(add=False)), model_of(stage.task(add=False, model="wan9"))
    assert (listed.listed, listed.name, strange.listed, strange.name) == (True, "wan2.7-image", False, "wan9")


def test_a_lost_answer_without_a_key_is_never_bought_twice_by_the_loop(stage: Stage) -> None:
    """The loop stops at a doubt, and a second call stops there too."""
    stage.script(UNKEYED, lost())
    task = stage.run(stage.task(UNKEYED))
    assert stage.run(task) == task
    assert len(stage.apis[UNKEYED].sent) == 1


def test_a_task_goes_through_in_one_call(stage: Stage) -> None:
    """Bought, asked, fetched: each state is told once it is reached, the last with the file."""
    stage.script(KEYED, accepted(), running(), succeeded())
    ended = stage.run(stage.task())
    kinds = [event.task.state.kind for event in stage.events if isinstance(event, TaskChanged)]
    assert list(dict.fromkeys(kinds)) == ["sending", "pending", "done", "saved"]
    assert isinstance(ended.state, Saved)
    assert ended.state.files[0].bytes == len(SMALL)
