"""What a person decides about a task in doubt (reliability.md 4.4 and 4.7), and what is kept where the ledger fails."""

from __future__ import annotations

import functools
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support_engine import Reply, Stage, accepted, error, lost, refused_connection, running, succeeded

from wan_cli.engine import decide
from wan_cli.engine.rescue import Rescue
from wan_cli.errors import KeyRejected, OutcomeUnknown, StateUnusable, StillRunning, UnsupportedOption, UsageError
from wan_cli.models import Cancelled, Cost, LocalFile, Media, New, Pending, Sending, Target, Task, Unknown
from wan_cli.record import from_document

KEYED, UNKEYED = "rivya", "modelverse"
FULL = StateUnusable("the ledger cannot be written: no space left on device")


def doubtful(stage: Stage, provider: str = UNKEYED, **said: Any) -> Task:
    """Buy a task whose answer is lost."""
    stage.script(provider, *[lost()] * (3 if provider == KEYED else 1))
    task = stage.run(stage.task(provider, **said))
    assert isinstance(task.state, Unknown)
    return task


def adopt(stage: Stage, task: Task, task_id: str = "task_1", **how: Any) -> Task:
    """Adopt, and collect what was adopted."""
    return stage.run(task, first=functools.partial(decide.adopt, task_id=task_id), **how)


def resubmit(stage: Stage, task: Task, **how: Any) -> Task:
    """Buy once more, under a fresh token."""
    fresh = replace(task, token="wan-fresh", cost=Cost(estimated=7, unit="credits"))
    return stage.run(task, first=functools.partial(decide.resubmit, fresh=fresh), **how)


def posts(stage: Stage, provider: str) -> list[Any]:
    return stage.apis[provider].of("POST")


def test_an_adopted_task_is_collected(stage: Stage) -> None:
    """The provider is asked, the task is bought and pending, and its result comes in; nothing is bought."""
    task = doubtful(stage)
    stage.script(UNKEYED, running(UNKEYED), succeeded(UNKEYED))
    ended = adopt(stage, task)
    assert (ended.state.kind, ended.charged, ended.handle) == ("saved", "yes", "modelverse:task_1")
    assert len(posts(stage, UNKEYED)) == 1
    assert stage.stored(task).state == ended.state


def test_an_adopted_task_that_has_ended_is_taken_as_it_is(stage: Stage) -> None:
    """One that succeeded is fetched without another question; one without a result is asked again."""
    stage.script(UNKEYED)
    task = doubtful(stage)
    stage.script(UNKEYED, succeeded(UNKEYED))
    assert adopt(stage, task, wait=False).state.kind == "done"
    other = doubtful(stage)
    stage.script(UNKEYED, succeeded(UNKEYED, count=0, task_id="task_2"))
    assert adopt(stage, other, "task_2", wait=False).state.kind == "pending"


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (error(404, "not_found", "no such task"), UsageError, "knows no task task_1"),
        (error(400, "bad", "malformed"), UsageError, "knows no task task_1"),
        (error(401, "auth_error", "bad key"), KeyRejected, "modelverse refused"),
        (error(503, None, "down"), OutcomeUnknown, "could not be asked"),
        (error(429, None, "slow down"), OutcomeUnknown, "could not be asked"),
        (refused_connection(), OutcomeUnknown, "could not be asked"),
        (lost(), OutcomeUnknown, "could not be asked"),
    ],
)
def test_what_cannot_be_adopted_changes_nothing(stage: Stage, answer: Any, kind: type[Exception], says: str) -> None:
    """An id that the provider does not know, or cannot be asked about, leaves the task in doubt and unowned."""
    task = doubtful(stage)
    stage.script(UNKEYED, answer)
    with pytest.raises(kind, match=says) as caught:
        adopt(stage, task)
    assert caught.value.charged == "unknown"  # type: ignore[attr-defined]
    assert stage.stored(task) == task
    assert stage.rows("SELECT * FROM claim") == []


def test_an_id_of_another_task_is_not_adopted(stage: Stage) -> None:
    """The id that another local task has already is refused with its name, and nobody is asked."""
    other = stage.task(UNKEYED, state=Pending(task_id="task_1"), task_id="task_1", charged="yes")
    task = doubtful(stage)
    with pytest.raises(UsageError, match=other.id):
        adopt(stage, task)
    assert stage.apis[UNKEYED].of("GET") == []


def test_a_task_that_ended_before_ours_was_sent_is_not_adopted(stage: Stage) -> None:
    """Its time of completion tells that it is another one."""
    task = doubtful(stage, KEYED)
    stage.script(KEYED, succeeded(updated_at="2020-01-01T00:00:00Z"))
    with pytest.raises(UsageError, match="had finished before"):
        adopt(stage, task)
    assert stage.stored(task) == task


def test_the_same_key_goes_out_once_more_with_the_same_bytes(stage: Stage) -> None:
    """Within a day the very request is sent again under its key, and then collected."""
    task = doubtful(stage, KEYED)
    stage.clock.now += 80_000
    stage.script(KEYED, accepted(), succeeded())
    ended = stage.run(task, first=decide.same_key)
    assert (ended.state.kind, ended.charged) == ("saved", "yes")
    requests = posts(stage, KEYED)
    assert len({(sent.body, sent.headers["idempotency-key"]) for sent in requests}) == 1
    assert len(requests) == 4


def test_the_same_key_refused_stays_in_doubt(stage: Stage) -> None:
    """A refusal of the repeat says nothing of the first: unknown, with the refusal as a warning."""
    task = doubtful(stage, KEYED)
    stage.clock.now += 3_600
    stage.script(KEYED, error(402, "insufficient_credits", "top up"))
    ended = stage.run(task, first=decide.same_key)
    assert (ended.state, ended.charged) == (task.state, "unknown")
    assert any("top up" in warning for warning in ended.warnings)
    assert (ended.token, len(posts(stage, KEYED))) == (task.token, 4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"token": "wan-other"}, "would not be the same"),
        ({"submitted_at": None}, "on record"),
        ({"origin": "https://relay.example"}, "was sent to https://relay.example"),
        ({"job": {"prompt": "sha256:" + "0" * 64}}, "not stored"),
        ({"job": {"model": "another"}}, "would not be the same"),
    ],
)
def test_the_same_key_needs_the_same_request(stage: Stage, change: dict[str, Any], says: str) -> None:
    """Another body, origin, token or a prompt that was not stored is refused before anything is sent."""
    task = doubtful(stage, KEYED)
    job = replace(task.job, **change.get("job", {}))
    stage.ledger.save(changed := replace(task, **{**change, "job": job}))
    with pytest.raises(UsageError, match=says):
        stage.run(changed, first=decide.same_key)
    assert len(posts(stage, KEYED)) == 3


@pytest.mark.parametrize("days", [1.01, -0.5])
def test_the_same_key_is_trusted_for_a_day(stage: Stage, days: float) -> None:
    """After 24 h, or when the clock was set back, the key is not sent again."""
    task = doubtful(stage, KEYED)
    stage.clock.now += days * 86_400
    with pytest.raises(UsageError, match="24 h"):
        stage.run(task, first=decide.same_key)
    assert len(posts(stage, KEYED)) == 3


def test_the_same_key_needs_a_provider_with_keys(stage: Stage) -> None:
    """Where none is documented, nothing is sent again."""
    task = doubtful(stage)
    with pytest.raises(UsageError, match="documents no idempotency key"):
        stage.run(task, first=decide.same_key)
    assert len(posts(stage, UNKEYED)) == 1


def test_the_same_key_needs_the_uploaded_file(stage: Stage, tmp_path: Path) -> None:
    """Where the address in the request is past its time, the same bytes would mean another picture."""
    file = tmp_path / "fox.png"
    file.write_bytes(b"x")
    media = Media(
        role="reference", kind="image", file=LocalFile(path=str(file), sha256="a" * 64, size=1, mime="image/png")
    )
    uploaded = Reply(200, {"id": "file_1", "url": "https://cdn.example/file_1.png"})
    stage.script(KEYED, uploaded, lost(), lost(), lost())
    task = stage.run(stage.task(KEYED, verb="fuse", media=(media,)))
    assert isinstance(task.state, Unknown)
    with stage.ledger._storage.writing() as db:
        db.execute("DELETE FROM upload")
    with pytest.raises(UsageError, match=r"fox\.png may no longer be there"):
        stage.run(task, first=decide.same_key)
    stage.script(KEYED, uploaded, accepted(), succeeded())
    assert resubmit(stage, task).state.kind == "saved"


@pytest.mark.parametrize("provider", [KEYED, UNKEYED])
def test_a_resubmission_is_a_new_purchase(stage: Stage, provider: str) -> None:
    """It has a fresh key and its own price; the user's key stays with the task, and the doubt is told."""
    task = doubtful(stage, provider, user_key="job-1")
    before = len(posts(stage, provider))
    stage.script(provider, accepted(provider), succeeded(provider))
    ended = resubmit(stage, task)
    assert (ended.state.kind, ended.charged, ended.token, ended.user_key) == ("saved", "yes", "wan-fresh", "job-1")
    assert len(posts(stage, provider)) == before + 1
    assert ended.cost.estimated == 7
    assert any("may be charged too" in warning for warning in ended.warnings)
    assert len(stage.ledger.attempts(task.id)) == before + 1
    assert [found.id for found in stage.ledger.by_user_key("job-1")] == [task.id]


@pytest.mark.parametrize("provider", [KEYED, UNKEYED])
@pytest.mark.parametrize("answer", [error(400, "validation_failed", "bad"), refused_connection()])
def test_a_resubmission_that_is_refused_leaves_the_first_in_doubt(stage: Stage, provider: str, answer: Any) -> None:
    """What was refused was not bought, but nobody knows of the first: unknown, with its own key and request."""
    task = doubtful(stage, provider)
    stage.script(provider, answer, forever=True)
    ended = resubmit(stage, task)
    assert (ended.state, ended.charged, ended.token) == (task.state, "unknown", task.token)
    assert ended.submitted_at == task.submitted_at
    assert any("refused" in warning for warning in ended.warnings)
    assert stage.stored(task) == ended


def test_a_resubmission_whose_answer_is_lost_is_in_doubt_too(stage: Stage) -> None:
    """Then the fresh key is the task's, and the first key is never taken for the second's."""
    task = doubtful(stage, KEYED)
    stage.clock.now += 60
    stage.script(KEYED, lost(), lost(), lost())
    ended = resubmit(stage, task)
    assert (ended.state.kind, ended.charged, ended.token) == ("unknown", "unknown", "wan-fresh")
    stage.script(KEYED, accepted(), succeeded())
    assert stage.run(ended, first=decide.same_key).state.kind == "saved"
    assert posts(stage, KEYED)[-1].headers["idempotency-key"] == "wan-fresh"


def test_a_resubmission_whose_upload_fails_sends_nothing(stage: Stage, tmp_path: Path) -> None:
    """The task stays as it was, and the reason is told."""
    (tmp_path / "fox.png").write_bytes(b"x")
    file = LocalFile(path=str(tmp_path / "fox.png"), sha256="b" * 64, size=1, mime="image/png")
    task = doubtful(stage, KEYED)
    task = replace(task, job=replace(task.job, media=(Media(role="reference", kind="image", file=file),)))
    stage.ledger.save(task)
    stage.script(KEYED, error(413, None, "too large"))
    ended = resubmit(stage, task)
    assert (ended.state, ended.token) == (task.state, task.token)
    assert any("nothing was sent" in warning for warning in ended.warnings)


@pytest.mark.parametrize("state", [Unknown(reason="reset"), Sending(at=1.0)])
def test_an_abandoned_task_is_closed(stage: Stage, state: Any) -> None:
    """It is over, and whether it was charged stays unknown; nobody is asked."""
    task = stage.task(state=state, charged="unknown")
    closed = decide.abandon(stage.ledger, task, stage.clock.now)
    assert isinstance(closed.state, Cancelled)
    assert (closed.charged, stage.stored(task)) == ("unknown", closed)
    assert stage.ledger.open_tasks() == []
    assert stage.rows("SELECT * FROM claim") == []


@pytest.mark.parametrize("state", [New(), Pending(task_id="task_1"), Cancelled()])
def test_only_what_is_in_doubt_can_be_decided_about(stage: Stage, state: Any) -> None:
    """Every decision about another task is refused, and nothing is sent."""
    task = stage.task(state=state)
    stage.script(KEYED)
    with pytest.raises(UsageError, match="needs no decision"):
        decide.abandon(stage.ledger, task, 0.0)
    for first in (decide.same_key, functools.partial(decide.adopt, task_id="x"),
                  functools.partial(decide.resubmit, fresh=task)):  # fmt: skip
        with pytest.raises(UsageError, match="needs no decision"):
            stage.run(task, first=first)
    assert stage.apis[KEYED].sent == []


def test_a_task_of_a_living_process_is_left_alone(stage: Stage) -> None:
    """Nothing is decided about what another process is working on."""
    task = stage.task(state=Sending(at=1.0), charged="unknown")
    with stage.stranger() as other:
        assert other.claim(task.id)
        with pytest.raises(UsageError, match="another process"):
            decide.abandon(stage.ledger, task, 0.0)
        with pytest.raises(UsageError, match="another process"):
            adopt(stage, task)
        with pytest.raises(UsageError, match="another process"):
            decide.call_off(stage.ledger, task, 0.0)
    assert stage.stored(task) == task


def test_a_decision_without_a_ledger_is_told_of(stage: Stage) -> None:
    """Where the ledger cannot be asked, the task stays in doubt."""
    task = doubtful(stage)
    stage.failing.broken["claim"] = lambda _: FULL
    ended = adopt(stage, task)
    assert (ended.state, ended.charged) == (task.state, "unknown")


def test_a_planned_task_is_called_off(stage: Stage) -> None:
    """What was never sent is cancelled here, and costs nothing; what was sent is not."""
    task = stage.task()
    ended = decide.call_off(stage.ledger, task, stage.clock.now)
    assert (ended.state.kind, ended.charged) == ("cancelled", "no")
    with pytest.raises(UsageError, match="sent meanwhile"):
        decide.call_off(stage.ledger, stage.task(state=Pending(task_id="t"), charged="yes"), 0.0)


def test_no_built_in_provider_is_asked_to_cancel(stage: Stage) -> None:
    """Where the adapter has no way, nothing is asked; the seam itself says that there is none."""
    from wan_cli.providers import load
    from wan_cli.providers.base import Unreadable

    task = stage.task(state=Pending(task_id="task_1"), task_id="task_1", charged="yes")
    with pytest.raises(UnsupportedOption, match="goes on, and is charged"):
        stage.run(task, first=decide.cancel)
    with pytest.raises(UsageError, match="not at the provider"):
        stage.run(stage.task(), first=decide.cancel)
    with pytest.raises(Unreadable):
        next(load(KEYED)("https://rivya.ai").cancel(Pending(task_id="task_1")))


@pytest.fixture
def cancelling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Rivya a way to cancel."""
    from wan_cli.providers import load

    def cancel(self: Any, pending: Pending) -> Any:
        answer = yield self.request("POST", f"/cancel/{pending.task_id}")
        said = answer.json()
        return Cancelled() if said["status"] == "cancelled" else Pending(task_id=pending.task_id, note=said["status"])

    monkeypatch.setattr(load(KEYED), "cancel", cancel)


@pytest.mark.usefixtures("cancelling")
def test_a_provider_that_can_cancels(stage: Stage) -> None:
    """Its answer is the task's state: cancelled, or still going on."""
    task = stage.task(state=Pending(task_id="task_1"), task_id="task_1", charged="yes")
    stage.script(
        KEYED, Reply(200, {"id": "task_1", "status": "processing"}), Reply(200, {"id": "t", "status": "cancelled"})
    )
    assert stage.run(task, wait=False, first=decide.cancel).state.kind == "pending"
    ended = stage.run(task, wait=False, first=decide.cancel)
    assert (ended.state.kind, ended.charged) == ("cancelled", "unknown")
    assert stage.stored(task) == ended


@pytest.mark.usefixtures("cancelling")
@pytest.mark.parametrize("answer", [error(409, "running", "it already runs"), refused_connection(), lost()])
def test_a_refused_cancel_changes_nothing(stage: Stage, answer: Any) -> None:
    """The task goes on, and the reason is told."""
    task = stage.task(state=Pending(task_id="task_1"), task_id="task_1", charged="yes")
    stage.script(KEYED, answer)
    with pytest.raises(StillRunning, match=r"already runs|not known"):
        stage.run(task, wait=False, first=decide.cancel)
    assert stage.stored(task) == task


@pytest.mark.usefixtures("cancelling")
def test_a_task_of_another_origin_is_not_cancelled(stage: Stage) -> None:
    """Its id means nothing here: nobody is asked."""
    task = stage.task(state=Pending(task_id="task_1"), task_id="task_1", charged="yes", origin="https://relay.example")
    ended = stage.run(task, wait=False, first=decide.cancel)
    assert ended.trouble
    assert ended.trouble.code == "key_origin"


def fill(stage: Stage) -> Any:
    """Return an answer with which the disk of the ledger fills."""

    def answer(request: Any) -> Reply:
        del request
        stage.failing.broken["save"] = lambda *_, **__: FULL
        return accepted()

    return answer


def test_s02_what_the_ledger_cannot_take_is_written_beside_the_target(stage: Stage) -> None:
    """The file holds the task, is readable by the user alone, and goes when the ledger takes the task after all."""
    stage.out.mkdir()
    stage.script(KEYED, fill(stage))
    task = stage.run(stage.task(), wait=False)
    (path,) = stage.out.iterdir()
    assert path.name == f"wan-recovery-{task.id}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = json.loads(path.read_text(encoding="utf-8"))
    assert from_document(said["task"]) == task
    assert any(f"wan recover --import {path}" in warning for warning in stage.warnings())
    stage.failing.broken.clear()
    stage.play(stage.engine.save(task))
    assert list(stage.out.iterdir()) == []


def test_s02_the_file_is_kept_up_to_date(stage: Stage) -> None:
    """Later states replace the first one in the same file."""
    stage.out.mkdir()
    stage.script(KEYED, fill(stage), succeeded())
    task = stage.run(stage.task())
    said = json.loads((stage.out / f"wan-recovery-{task.id}.json").read_text(encoding="utf-8"))
    assert said["task"]["state"]["kind"] == "saved"


def test_s02_an_odd_folder_is_passed_over(stage: Stage, tmp_path: Path) -> None:
    """A folder that is not there is passed over, what has the name already is not touched, and a field is no folder."""
    victim, trap, spare = tmp_path / "victim", tmp_path / "here", tmp_path / "spare"
    trap.mkdir()
    spare.mkdir()
    victim.write_text("mine", encoding="utf-8")
    for number in ("", "-2", "-3", "-4", "-5"):
        (trap / f"wan-recovery-k3f9x2{number}.json").symlink_to(victim)
    task = stage.task(id="k3f9x2", add=False, target=Target(template=str(trap / "{id}" / "x.png")))
    rescue = Rescue([tmp_path / "missing", spare])
    assert str(spare) in rescue.keep(replace(task, sandbox=True), {"id": 1})
    assert victim.read_text(encoding="utf-8") == "mine"
    (spare / "wan-recovery-k3f9x2.json").unlink()
    spare.rmdir()
    assert rescue.keep(task, {"id": 2}) == ""
    rescue.drop("k3f9x2")
    assert Rescue().keep(replace(task, target=Target(template=None)), {}) == ""


def test_s02_a_disk_that_fails_in_the_middle_leaves_no_half_file(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be synced is removed."""

    def full(descriptor: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    task = stage.task(add=False, target=Target(template=None))
    assert Rescue([tmp_path]).keep(task, {}) == ""
    assert not list(tmp_path.glob("wan-recovery*"))
