"""What the engine does exactly at its limits: polls, patience, caps, and the numbers of reliability.md section 5."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from support_engine import URL, Reply, Stage, accepted, error, lost, running, succeeded

from wan_cli.engine import again, collect, compare, delivery, loop, submit, waiting
from wan_cli.errors import DownloadFailed
from wan_cli.models import Cost, Facts, File, Sending, Target, TaskChanged


def test_the_numbers_are_those_of_the_table() -> None:
    """Patience in seconds and sightings, caps in bytes, concurrency and deadlines (reliability.md sections 3 and 5)."""
    assert delivery.CAPS == {"image": 104_857_600, "video": 2_147_483_648}
    assert submit.KEPT_RAW == 65_536
    assert (collect.NEW_TASK_S, collect.VANISHED_S, collect.VANISHED_SIGHTINGS) == (30, 60, 3)
    assert (collect.EMPTY_POLLS, collect.EMPTY_S, collect.EMPTY_TRIES, collect.WARN_FAILURES) == (3, 10, 12, 10)
    assert (loop.Engine.submits, loop.Engine.downloads) == (4, 4)
    assert waiting.DEADLINES_S == {"image": 900, "video": 3600}
    assert {"image": waiting.Rhythm(2.5, 1, 30), "video": waiting.Rhythm(5, 1, 30)} == waiting.RHYTHMS
    assert (waiting.ASKED_TO_WAIT, waiting.BROKEN_CAP_S) == ((2, 60), 30)


@pytest.mark.parametrize(("limit", "polls"), [(0.5, 1), (0.0, 0), (2.4, 1), (2.6, 2)])
def test_a_short_wait_asks_as_long_as_it_lasts(stage: Stage, limit: float, polls: int) -> None:
    """A limit shorter than the first pause still asks once, at its end; none asks never."""
    stage.script("rivya", accepted())
    task = stage.run(stage.task(), wait=False)
    stage.script("rivya", running(), forever=True)
    begun = stage.clock.now
    ended = stage.run(task, limit=limit)
    assert ended.trouble
    assert ended.trouble.code == "timeout_waiting"
    assert len(stage.apis["rivya"].of("GET")) == polls
    assert stage.clock.now - begun == pytest.approx(limit)


def test_every_answer_is_told_also_one_that_changes_nothing(stage: Stage) -> None:
    """Three polls that say the same are three events, and one write."""
    stage.script("rivya", accepted(), running(), running(), running(), succeeded())
    stage.run(stage.task())
    told = [event for event in stage.events if isinstance(event, TaskChanged) and event.task.state.kind == "pending"]
    assert len(told) == 4


def test_two_empty_successes_are_no_loss(stage: Stage) -> None:
    """The result may come with the third answer after the empty one."""
    stage.script("rivya", accepted(), succeeded(count=0), succeeded(count=0), succeeded(count=0), succeeded())
    assert stage.run(stage.task()).state.kind == "saved"
    stage.script("rivya", accepted(task_id="task_2"), *[succeeded(count=0, id="task_2")] * 4)
    assert stage.run(stage.task()).state.kind == "lost"


@pytest.mark.parametrize(("age", "kind"), [(0.0, "pending"), (29.9, "pending"), (30.0, "lost"), (400.0, "lost")])
def test_a_task_is_new_for_thirty_seconds(stage: Stage, age: float, kind: str) -> None:
    """However often a young task is not found, it is not gone: the wall clock counts, whatever the other one says."""
    stage.script("rivya", accepted())
    task = stage.run(stage.task(), wait=False)
    stage.script("rivya", error(404, "not_found"), forever=True)
    stage.engine.now = lambda: (task.submitted_at or 0.0) + age
    assert stage.run(task, limit=200).state.kind == kind


@pytest.mark.parametrize(("failures", "warned"), [(3, 0), (9, 0), (10, 1), (14, 1)])
def test_ten_failures_in_a_row_are_warned_of_once(stage: Stage, failures: int, warned: int) -> None:
    """Nine are nobody's business, ten are one warning, and more are not more."""
    stage.script("rivya", accepted(), *[lost()] * failures, succeeded())
    task = stage.run(stage.task())
    assert task.state.kind == "saved"
    assert len([text for text in stage.warnings() if "in a row" in text]) == warned


@pytest.mark.parametrize(("count", "names"), [(1, ["fox.png"]), (2, ["fox-1.png", "fox-2.png"])])
def test_more_results_than_asked_for_are_numbered(stage: Stage, count: int, names: list[str]) -> None:
    """Two results of one picture get numbers; a single one has none."""
    stage.script("rivya", accepted(), succeeded(count=count))
    stage.run(stage.task(target=Target(template=str(stage.out / "fox{ext}"))))
    assert stage.files() == names


def test_names_are_filled_with_who_made_it(stage: Stage) -> None:
    """What only the winner of a list knows is in the name when the file gets it."""
    stage.script("rivya", accepted(), succeeded())
    task = stage.task(target=Target(template=str(stage.out / "{provider}-{model}-{id}{ext}")))
    stage.run(task)
    assert stage.files() == [f"rivya-wan2.7-image-{task.id}.png"]


def test_a_sidecar_tells_all_and_nothing_secret(stage: Stage) -> None:
    """Its fields are these, each with its own value."""
    stage.script("rivya", accepted(), succeeded())
    target = Target(template=str(stage.out / "fox{ext}"), sidecar=True)
    task = stage.run(stage.task(target=target, size="1K", aspect="1:1", seed=7, watermark=False, params={"x": 1}))
    (file,) = task.state.files
    assert json.loads((stage.out / "fox.png.json").read_text(encoding="utf-8")) == {
        "wan": 1, "file": "fox.png", "sha256": file.sha256, "bytes": file.bytes, "mime": "image/png", "width": 64,
        "height": 64, "task": task.id, "handle": "rivya:task_1", "provider": "rivya", "sandbox": False,
        "model": "wan2.7-image", "provider_model": "wan2.7-image", "verb": "generate", "prompt": "a fox", "size": "1K",
        "aspect": "1:1", "seed": 7, "n": 1, "watermark": False, "thinking": None, "params": {"x": 1}, "references": [],
        "cost": {"estimated": 5, "actual": 5, "unit": "credits"},
    }  # fmt: skip


def test_a_sidecar_that_cannot_be_written_leaves_a_result_to_collect(stage: Stage) -> None:
    """Where its name is taken by a folder, the picture is kept and the task says what is wrong."""
    (stage.out / "fox.png.json" / "in the way").mkdir(parents=True)
    stage.script("rivya", accepted(), succeeded())
    task = stage.run(stage.task(target=Target(template=str(stage.out / "fox{ext}"), sidecar=True)))
    assert task.trouble
    assert (task.state.kind, task.trouble.code) == ("done", "write_failed")
    assert not [name for name in stage.files() if name.endswith(".part")]


@pytest.mark.parametrize(("makes", "word"), [("image", "picture"), ("video", "video")])
def test_a_result_that_is_none_is_missed_by_its_kind(stage: Stage, makes: Any, word: str) -> None:
    """The message says what was expected: a picture, or a video."""

    async def page(part: Any) -> bytes:
        return b"<html>log in</html>"

    stage.fetcher.script[URL.format(1)] = [page] * 20
    stage.script("rivya", accepted(), succeeded())
    task = stage.run(stage.task(makes=makes))
    assert task.trouble
    assert f"expected a {word}, got HTML" in task.trouble.message


@pytest.mark.parametrize("kind", ["pending", "done", "sending"])
def test_nothing_is_asked_or_sent_at_another_origin(stage: Stage, kind: str) -> None:
    """A task bought elsewhere is told, and left as it is, whatever its state."""
    stage.script("rivya", accepted(), *([succeeded()] if kind == "done" else []))
    if kind == "done":
        stage.fetcher.script[URL.format(1)] = [DownloadFailed("later")] * 20
    task = stage.run(stage.task(), wait=kind == "done")
    state = Sending(at=stage.clock.now) if kind == "sending" else task.state
    stage.ledger.save(replace(task, origin="https://old.example", state=state))
    task = stage.stored(task)
    before = len(stage.apis["rivya"].sent)
    ended = stage.run(task)
    assert ended.trouble
    assert ended.trouble.code == "key_origin"
    assert "https://old.example" in ended.trouble.message
    assert (ended.state.kind, len(stage.apis["rivya"].sent)) == (kind, before)


def test_a_provider_that_asks_for_time_is_asked_nothing_meanwhile(stage: Stage) -> None:
    """After a 429 with a time, no other purchase of that provider leaves before it is over."""
    busy = Reply(429, {"error": {"code": "rate_limited", "message": "later"}}, {"retry-after": "20"})
    stage.script("rivya", busy, accepted(), accepted(task_id="task_2"))
    first, second = stage.task(), stage.task()
    engine = stage.another(submits=1)
    begun = stage.clock.now
    stage.play(engine.run_all([first, second], wait=False))
    times = [sent.at - begun for sent in stage.apis["rivya"].of("POST")]
    assert len(times) == 3
    assert min(times[1:]) >= 20


def test_an_unreadable_answer_is_kept_to_its_first_64_ki(stage: Stage) -> None:
    """The task keeps 65,536 characters of what came; the ledger's attempt has all of it."""
    stage.script("modelverse", Reply(200, b"x" * 70_000))
    task = stage.run(stage.task("modelverse"))
    assert task.state.kind == "unknown"
    assert task.state.raw.startswith("x" * 60_000)
    assert len(task.state.raw) < 66_000
    assert len(stage.ledger.attempts(task.id)[0].raw) == 70_000
    assert task.cost == Cost(estimated=5, unit="credits")


@pytest.mark.parametrize(
    ("charged", "reserved", "odd"),
    [(5, 5, None), (4.5, 5, None), (0, 5, None), (5.5, 5, "more than the 5"), (-1, 5, "below zero"), (9, None, None)],
)
def test_an_amount_is_odd_below_zero_and_above_what_was_reserved(
    charged: float, reserved: float | None, odd: str | None
) -> None:
    """Exactly what was reserved, less, and nothing at all are as they should be."""
    found = compare.odd_amount(Facts(charged_amount=charged, reserved_amount=reserved))
    assert (odd in found) if odd and found else found is odd is None
    assert compare.odd_amount(None) is None


def test_what_nobody_asked_for_here_differs_in_nothing(stage: Stage) -> None:
    """A task that was adopted by its handle has no request to be held against."""
    task = stage.task(model="", n=3, size="4K", add=False)
    file = File(index=1, path="x.png", bytes=1, sha256="0" * 64, mime="image/png", width=64, height=64)
    assert compare.differences(task, (file,)) == []
    assert len(compare.differences(replace(task, job=replace(task.job, model="wan2.7-image")), (file,))) == 2


def test_a_lost_task_can_be_sought_once_more(stage: Stage) -> None:
    """What was given up is asked about again by an explicit call, and its result is brought in if it is there."""
    stage.script("rivya", accepted(), *[succeeded(count=0)] * 4, succeeded())
    lost_ = stage.run(stage.task())
    assert lost_.state.kind == "lost"
    assert stage.run(lost_).state.kind == "lost"
    assert stage.run(again.sought(lost_)).state.kind == "saved"
    assert stage.stored(lost_).state.kind == "saved"


def test_an_answer_ends_a_row_of_failures(stage: Stage) -> None:
    """Nine failures, an answer, and nine more are no ten in a row."""
    stage.script("rivya", accepted(), *[lost()] * 9, running(), *[lost()] * 9, succeeded())
    assert stage.run(stage.task()).state.kind == "saved"
    assert not [text for text in stage.warnings() if "in a row" in text]


@pytest.mark.parametrize(("seconds", "kind"), [(60.0, "lost"), (59.9, "pending")])
def test_a_task_is_gone_after_a_whole_minute(stage: Stage, seconds: float, kind: str) -> None:
    """Three refusals over exactly 60 s are the end of a task, and not a moment less."""
    stage.script("rivya", accepted())
    task = stage.run(stage.task(), wait=False)
    stage.clock.now += 1000
    gone = error(404, "not_found")
    times = iter([0.0, 30.0, seconds])
    begun = stage.clock.now

    def at(request: Any) -> Reply:
        stage.clock.now = begun + next(times, 61.0)
        return gone

    stage.script("rivya", at, at, at, running(), forever=True)
    assert stage.run(task, limit=70).state.kind == kind
