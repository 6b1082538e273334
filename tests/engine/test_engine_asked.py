"""The edges of asking: what a wait that ends says, what counts as gone, and a delivery held against its request."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from support_engine import Reply, Stage, accepted, error, lost, refused_connection, running, succeeded

from wan_cli.engine import collect, compare
from wan_cli.engine.sidecar import write_sidecar
from wan_cli.errors import KeyOrigin, WriteFailed
from wan_cli.models import Failed, File, LocalFile, Lost, Media, Pending, Saved, Target, Task, TaskChanged

KEYED, UNKEYED = "rivya", "modelverse"
PENDING = Pending(task_id="task_1", ref={"task_id": "task_1"}, note="processing")


def pending(stage: Stage, provider: str = KEYED, **said: Any) -> Task:
    """Make a task that was bought ten minutes ago."""
    bought = {"submitted_at": stage.clock.now - 600, "charged": "yes", "charge_basis": "contract"}
    return stage.task(provider, **{"state": PENDING, "task_id": "task_1", **bought, **said})


def waited(stage: Stage, *steps: Any, limit: float = 60.0, provider: str = KEYED, **said: Any) -> Task:
    """Wait for a task with ``steps`` as the answers, the last of which stays."""
    stage.script(provider, *steps, forever=True)
    task: Task = stage.run(pending(stage, provider, **said), limit=limit, download=False)
    assert stage.stored(task) == task
    return task


def trouble(task: Task) -> Failed:
    """Return what stopped the waiting."""
    assert task.trouble
    return task.trouble


# -- a wait that ends


def test_a_wait_without_any_answer_says_that_nobody_could_be_asked(stage: Stage) -> None:
    """How the task is, nobody knows: that is the trouble, and a warning."""
    task = waited(stage, refused_connection(), limit=6)
    said = "rivya could not be asked: could not reach it: connection refused"
    assert (trouble(task).code, trouble(task).message, task.warnings) == ("timeout_waiting", said, (said,))
    assert trouble(task).hint == "wan wait rivya:task_1"


@pytest.mark.parametrize("steps", [[running()], [running(), lost()], [lost(), running()], [lost(), running(), lost()]])
def test_a_wait_with_an_answer_says_that_it_runs(stage: Stage, steps: list[Any]) -> None:
    """One answer is enough, wherever it came between the failures."""
    task = waited(stage, *steps, limit=30)
    assert (trouble(task).message, task.warnings) == ("still running; nothing is lost", ())


def test_a_wait_that_asked_nothing_claims_nothing(stage: Stage) -> None:
    """Without a question no question failed."""
    assert trouble(waited(stage, running(), limit=0)).message == "still running; nothing is lost"


def test_an_old_timeout_does_not_end_a_new_wait(stage: Stage) -> None:
    """What the last call ran into is no reason to stop at the first poll that breaks; a refused key is."""
    old = Failed(code="timeout_waiting", message="still running", charged="yes")
    stage.script(KEYED, lost(), succeeded())
    task = pending(stage, trouble=old)
    ended = stage.play(collect.poll(stage.engine, task, stage.clock.now + 60))
    assert (ended.state.kind, ended.trouble, len(stage.apis[KEYED].sent)) == ("done", None, 2)


def test_a_failed_poll_is_told(stage: Stage) -> None:
    """Each with its reason, in one line."""
    waited(stage, lost("cut\noff"), error(500, None, "down"), error(460, None, ""), succeeded())
    assert stage.notes() == [f"no answer ({why}); asking again" for why in ("cut off", "down", "HTTP 460")]


def test_ten_failures_are_warned_of_with_the_last_reason(stage: Stage) -> None:
    """The number and the words are in the warning, which stays with the task."""
    task = waited(stage, *[lost("early")] * 9, lost("late"), succeeded(), limit=600)
    assert task.warnings == ("10 polls in a row failed, the last with: late",)


def test_h18_a_date_counts_from_the_answers_own_clock(stage: Stage) -> None:
    """A Retry-After date is held against the Date beside it, and holds for one pause only."""
    later = {"Retry-After": "Sat, 01 Jan 2000 00:00:20 GMT", "Date": "Sat, 01 Jan 2000 00:00:09 GMT"}
    begun = stage.clock.now
    waited(stage, running(**later), running(), succeeded())
    first, second, third = (round(sent.at - begun, 3) for sent in stage.apis[KEYED].sent)
    assert second - first == 11.0
    assert 5.0 <= third - second < 11.0


def test_another_origin_is_told_with_the_way_back(stage: Stage) -> None:
    """The hint sets the base URL back, and goes on waiting."""
    task = pending(stage, origin="https://old.example")
    said = trouble(stage.run(task))
    assert said.message == "rivya:task_1 was bought at https://old.example, the base URL is https://rivya.ai"
    assert (said.code, said.hint) == ("key_origin", "set the base URL back, then wan wait rivya:task_1")


def test_a_key_of_another_origin_keeps_its_own_hint(stage: Stage) -> None:
    """Only a missing key is told to be set."""
    task = waited(stage, KeyOrigin("the key is bound to another origin", hint="wan auth list"))
    assert (trouble(task).code, trouble(task).hint) == ("key_origin", "wan auth list")


def test_a_refused_key_says_how_to_go_on(stage: Stage) -> None:
    """In the provider's words."""
    said = trouble(waited(stage, error(401, "api_key_revoked", "revoked")))
    assert said.message.startswith("rivya refused: revoked")
    assert (said.code, said.hint) == ("key_rejected", "mend the key, then wan wait rivya:task_1")


# -- gone


def gone_at(stage: Stage, *times: float, answered: bool) -> str:
    """Look for a task that is not found, at these seconds after the first look; ``answered``: it was seen before."""
    begun, moments = stage.clock.now, iter(times)

    def at(request: Any) -> Reply:
        stage.clock.now = begun + next(moments)
        return error(404, "not_found")

    stage.script(KEYED, *([error(404), running()] if answered else []), *[at] * len(times))
    task, seen, service = pending(stage), collect.Patience(), stage.service(KEYED)
    for _ in range(len(times) + 2 * answered):
        task = stage.play(collect.ask(stage.engine, task, service, seen))
    return task.state.kind


@pytest.mark.parametrize(
    ("times", "kind"),
    [((0, 30, 60), "lost"), ((0, 60), "pending"), ((0, 30, 59.5), "pending"), ((0, 1, 2, 3, 59.5), "pending"),
     ((0, 90), "pending"), ((0, 1, 90), "lost")],
)  # fmt: skip
@pytest.mark.parametrize("answered", [False, True])
def test_t02_gone_is_three_times_in_a_minute(stage: Stage, times: tuple[float, ...], kind: str, answered: bool) -> None:
    """Both have to be true, and an answer in between begins the count anew."""
    assert gone_at(stage, *times, answered=answered) == kind


@pytest.mark.parametrize(
    ("charged", "says"),
    [("yes", "the provider no longer knows this task, which was bought on 2026-11-21 08:50 UTC: no such task"),
     ("unknown", "rivya knows no task task_1: no such task")],
)  # fmt: skip
def test_t02_a_task_that_is_gone_says_what_it_was(stage: Stage, charged: Any, says: str) -> None:
    """One that was bought has its day; of a handle that nobody ever saw nothing says that it was bought."""
    task = waited(stage, error(404, "not_found", "no such task"), limit=600, charged=charged)
    assert task.state == Lost(code="task_vanished", message=says)
    assert (task.charged, task.finished_at) == (charged, stage.clock.now)


def test_t03_without_a_time_of_purchase_the_plans_counts(stage: Stage) -> None:
    """A task whose purchase has no time is young for thirty seconds from its plan, and has its day."""
    task = waited(stage, error(404, "not_found"), limit=600, submitted_at=None, created_at=stage.clock.now - 20)
    assert isinstance(task.state, Lost)
    assert "bought on 2026-11-21 08:59 UTC" in task.state.message
    assert stage.notes()[0] == "not found (no); asking again"


# -- what an answer changes


def test_an_adopted_task_is_charged_by_the_providers_terms(stage: Stage) -> None:
    """From the first answer on, durable before anything else is done with it."""
    task = pending(stage, charged="unknown", charge_basis="assumed")
    stage.script(KEYED, running(), forever=True)
    after = stage.run(task, limit=3.0)
    assert (after.charged, after.charge_basis) == ("yes", "contract")
    known = pending(stage, charged="no", charge_basis="provider")
    after = stage.run(known, limit=3.0)
    assert (after.charged, after.charge_basis) == ("no", "provider")


@pytest.mark.parametrize(
    ("note", "progress", "saves"), [("processing", None, 0), ("queued", None, 1), ("processing", 40, 1)]
)
def test_a_change_of_status_or_progress_is_saved(stage: Stage, note: str, progress: int | None, saves: int) -> None:
    """Either is news; the same once more is only told."""
    before, answer = PENDING, replace(PENDING, note=note, progress=progress)
    task, saved = pending(stage), []
    stage.failing.broken["save"] = saved.append
    after = stage.play(collect._still_pending(stage.engine, task, before, answer))
    assert (len(saved), after.state == answer) == (saves, True)
    assert [event.task.state for event in stage.events if isinstance(event, TaskChanged)] == [answer]


def test_r09_an_unknown_status_is_warned_of_when_it_comes(stage: Stage) -> None:
    """Its name is told once; another unknown one after it is no news."""
    task = waited(stage, running(status="Throttled"), running(status="Paused"), succeeded())
    assert task.warnings == ("the provider reports an unknown status 'throttled'; taken as still running",)


def test_r11_a_result_that_is_missing_for_good(stage: Stage) -> None:
    """Three more answers, ten seconds apart, and the task is lost, with its time."""
    task = waited(stage, succeeded(count=0))
    assert task.state == Lost(code="task_vanished", message="the provider reports success and names no result")
    assert (task.finished_at, stage.clock.slept[1:], len(stage.apis[KEYED].sent)) == (stage.clock.now, [10.0] * 3, 4)


@pytest.mark.parametrize("fault", [lost(), refused_connection(), error(500), KeyOrigin("no")])
def test_r11_questions_without_an_answer_do_not_count(stage: Stage, fault: Any) -> None:
    """Twelve are asked at most, and where too few are answered the task goes on as it was."""
    stage.script(KEYED, succeeded(count=0), succeeded(count=0), succeeded(count=0), *[fault] * 10)
    task = stage.play(collect.ask(stage.engine, pending(stage), stage.service(KEYED)))
    assert (task.state, task.finished_at, len(stage.apis[KEYED].sent)) == (PENDING, None, 13)
    assert stage.clock.slept == [10.0] * 12


def test_r11_an_empty_success_may_turn_into_a_failure(stage: Stage) -> None:
    """Whatever else is said then is how it is."""
    body = {"id": "task_1", "status": "failed", "error": {"code": "x", "message": "no"}}
    assert waited(stage, succeeded(count=0), Reply(200, body)).state.kind == "failed"


# -- what was delivered


def result(index: int = 1, sha256: str = "0", **said: Any) -> File:
    """Make a result."""
    return File(**{"index": index, "path": "/x", "bytes": 1, "sha256": sha256, "mime": "image/png", **said})


@pytest.mark.parametrize(
    ("size", "sides", "same"),
    [("1K", (1024, 512), True), ("1K", (1023, 512), False), ("1K", (1024, 1126), True), ("1K", (1024, 1127), False),
     ("4K", (4096, 4096), True), ("4K", (4096, 2047), False)],
)  # fmt: skip
def test_a_tier_is_from_half_to_eleven_tenths_of_its_square(
    stage: Stage, size: str, sides: tuple[int, int], same: bool
) -> None:
    """Models round to their grid, never to half."""
    found = compare.differences(stage.task(size=size, add=False), (result(width=sides[0], height=sides[1]),))
    assert found == ([] if same else [f"result 1 is {sides[0]}x{sides[1]}, not {size}"])


@pytest.mark.parametrize(
    ("asked", "lasts", "found"),
    [(5, 5.0, []), (5, 6.0, []), (5, 4.0, []), (5, 6.1, ["result 1 lasts 6.1 s, not 5"]),
     (5, 3.5, ["result 1 lasts 3.5 s, not 5"]), (5, None, []), (None, 9.0, [])],
)  # fmt: skip
def test_a_video_lasts_as_long_as_was_asked_to_a_second(
    stage: Stage, asked: int | None, lasts: float | None, found: list[str]
) -> None:
    """A second more or less is the encoder's; what is not known differs in nothing."""
    assert compare.differences(stage.task(duration=asked, add=False), (result(duration_s=lasts),)) == found


def test_every_result_is_compared(stage: Stage) -> None:
    """The second of two has its own number, and what was asked of the count stands first."""
    target = Target(template="/x/fox.jpg")
    task = stage.task(size="640x480", n=3, target=target, add=False)
    files = result(width=640, height=480, mime="image/jpeg"), result(2, "1", width=64, height=480)
    assert compare.differences(task, files) == [
        "3 results were asked for, 2 delivered", "result 2 is image/png, not image/jpeg",
        "result 2 is 64x480, not 640x480",
    ]  # fmt: skip


@pytest.mark.parametrize(("width", "height"), [(64, None), (None, 64)])
def test_one_side_alone_is_no_size(stage: Stage, width: int | None, height: int | None) -> None:
    """What is not known is not held against anything."""
    assert compare.differences(stage.task(size="4K", add=False), (result(width=width, height=height),)) == []


def test_results_that_are_alike_are_named_together(stage: Stage) -> None:
    """By their bytes, in groups, and a single one never."""
    files = result(1, "a"), result(2, "b"), result(3, "a"), result(4, "c"), result(5, "c"), result(6, "a")
    assert compare.alike(files) == [
        "results 1 and 3 and 6 are the same, byte for byte", "results 4 and 5 are the same, byte for byte",
    ]  # fmt: skip


# -- the description


def test_a_description_names_each_reference(stage: Stage) -> None:
    """Local files by name and hash; an address is nobody's business."""
    file = LocalFile(path="/home/me/cat.png", sha256="ab", size=3, mime="image/png")
    media = (Media(role="reference", kind="image", url="https://e.example/a?Signature=s"),
             Media(role="reference", kind="image", file=file))  # fmt: skip
    stage.out.mkdir()
    task = stage.task(media=media, thinking=True, sandbox=True, watermark=True, add=False)
    write_sidecar(task, result(sha256="cd", width=3, height=2), stage.out / "fox.png")
    text = (stage.out / "fox.png.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "wan": 1,\n  "file": "fox.png",\n')
    assert '"references": [\n    {\n      "name": "cat.png",\n      "sha256": "ab"\n    }\n  ]' in text
    assert all(said in text for said in ('"thinking": true', '"sandbox": true', '"watermark": true', '"width": 3'))
    assert text.endswith("}\n")
    assert stage.files() == ["fox.png.json"]


def test_a_description_in_any_script_can_be_read_by_people(stage: Stage) -> None:
    """Words are written as they are, not as numbers."""
    stage.out.mkdir()
    write_sidecar(stage.task(prompt="ein F\u00fcchslein \u72d0", add=False), result(), stage.out / "fox.png")
    assert "ein F\u00fcchslein \u72d0" in (stage.out / "fox.png.json").read_text(encoding="utf-8")


def test_a_description_names_a_file_of_any_bytes(stage: Stage) -> None:
    """A name that is no UTF-8 is written as JSON spells it, and read as the same name."""
    stage.out.mkdir()
    file = LocalFile(path="/home/me/caf\udce9.png", sha256="ab", size=3, mime="image/png")
    media = (Media(role="reference", kind="image", file=file),)
    write_sidecar(stage.task(media=media, add=False), result(), stage.out / "fox.png")
    said = json.loads((stage.out / "fox.png.json").read_text(encoding="utf-8"))
    assert said["references"] == [{"name": "caf\udce9.png", "sha256": "ab"}]
    assert stage.files() == ["fox.png.json"]


def test_a_description_that_cannot_be_written_says_why(stage: Stage) -> None:
    """With the file's name and the system's reason, and no half of it left."""
    (stage.out / "fox.png.json" / "in the way").mkdir(parents=True)
    with pytest.raises(WriteFailed, match=r"fox\.png\.json could not be written: .*irectory"):
        write_sidecar(stage.task(add=False), result(), stage.out / "fox.png")
    assert stage.files() == ["fox.png.json", "in the way"]
    with pytest.raises(WriteFailed, match="No such file"):
        write_sidecar(stage.task(add=False), result(), stage.out / "missing" / "fox.png")


# -- two at one task


def test_s07_what_was_to_be_collected_again_and_has_been_is_taken(stage: Stage) -> None:
    """A process that wanted a saved task once more, and watched another one save it, asks nothing itself."""
    saved = stage.task(state=Saved(files=()), task_id="task_1", charged="yes", finished_at=5.0)
    with stage.stranger() as other:
        assert other.claim(saved.id)
        other.save(replace(saved, state=PENDING))

        async def look(seconds: float) -> None:
            other.save(saved)
            other.release(saved.id)

        stage.engine.sleep = look
        ended = stage.run(replace(saved, state=PENDING))
    assert ended == saved
    assert KEYED not in stage.apis or not stage.apis[KEYED].sent


def test_a_purchase_that_was_accepted_is_asked_about_by_its_id(stage: Stage) -> None:
    """The address of a question has the provider's id, and nothing of ours."""
    stage.script(KEYED, accepted(task_id="task_77"), succeeded(id="task_77"))
    stage.run(stage.task(), download=False)
    assert stage.apis[KEYED].of("GET")[0].path == "/api/v1/generations/task_77"
