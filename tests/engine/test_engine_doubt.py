"""The edges of a decision about a doubt: its limits to the second, its words, and the record it leaves."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import Any

import pytest
from support_engine import Reply, Stage, accepted, error, lost, refused_connection, running, succeeded

from wan_cli.engine import decide
from wan_cli.errors import KeyRejected, OutcomeUnknown, RequestRejected, StillRunning, UnsupportedOption, UsageError
from wan_cli.ledger.attempts import Attempt
from wan_cli.models import Cancelled, Failed, LocalFile, Media, New, Pending, Sending, Task, Unknown

KEYED, UNKEYED = "rivya", "modelverse"
OLD = Failed(code="timeout_waiting", message="an old trouble", charged="yes")


def doubtful(stage: Stage, provider: str = UNKEYED, **said: Any) -> Task:
    """Buy a task whose answer is lost."""
    stage.script(provider, *[lost()] * (3 if provider == KEYED else 1))
    task = stage.run(stage.task(provider, **said))
    assert isinstance(task.state, Unknown)
    return task


def adopt(stage: Stage, task: Task, **how: Any) -> Task:
    """Take ``task_1`` for the task."""
    return stage.run(task, first=functools.partial(decide.adopt, task_id="task_1"), wait=False, **how)


def resubmit(stage: Stage, task: Task) -> Task:
    """Buy once more, under a fresh token."""
    fresh = replace(task, token="wan-fresh")
    return stage.run(task, first=functools.partial(decide.resubmit, fresh=fresh), wait=False)


def at_provider(stage: Stage, **said: Any) -> Task:
    """Make a task that is under way."""
    facts = {"state": Pending(task_id="task_1"), "task_id": "task_1", "charged": "yes"}
    return stage.task(KEYED, **{**facts, **said})


def ended_at(seconds: float) -> Reply:
    """Answer that the task succeeded at that time after 2026-11-21 09:00 UTC."""
    minute, second = divmod(seconds + 3600, 60)
    return succeeded(updated_at=f"2026-11-21T{8 + int(minute) // 60:02}:{int(minute) % 60:02}:{int(second):02}Z")


# -- adopting


@pytest.mark.parametrize(("sent", "ended", "ours"), [(0, -600, True), (0, -601, False), (0.5, -600, False)])
def test_clocks_may_be_ten_minutes_apart(stage: Stage, sent: float, ended: float, ours: bool) -> None:
    """A task that had ended up to 600 s before ours was sent may be ours, for clocks differ; not one before that."""
    stage.clock.now += sent
    task = doubtful(stage, KEYED)
    stage.script(KEYED, ended_at(ended))
    if ours:
        assert adopt(stage, task).state.kind == "done"
        return
    with pytest.raises(UsageError, match="had finished before") as caught:
        adopt(stage, task)
    assert (caught.value.charged, caught.value.hint) == ("unknown", f"wan recover {task.id}")


def test_the_time_of_the_purchase_counts_and_not_that_of_the_plan(stage: Stage) -> None:
    """What ended between the plan and the purchase is another task; without a time of purchase the plan's counts."""
    task = stage.task(KEYED, state=Unknown(reason="lost"), charged="unknown", created_at=stage.clock.now - 3600,
                      submitted_at=stage.clock.now)  # fmt: skip
    stage.script(KEYED, ended_at(-1800), ended_at(-1800))
    with pytest.raises(UsageError, match="had finished before"):
        adopt(stage, task)
    stage.ledger.save(replace(task, submitted_at=None))
    assert adopt(stage, stage.stored(task)).state.kind == "done"


def test_an_adopted_task_is_charged_as_the_provider_charges(stage: Stage) -> None:
    """It counts as bought by the provider's terms, and what was wrong before is over."""
    task = replace(doubtful(stage), trouble=OLD)
    stage.ledger.save(task)
    stage.script(UNKEYED, running(UNKEYED))
    after = adopt(stage, task)
    assert (after.charged, after.trouble, after.task_id) == ("yes", None, "task_1")
    assert after.charge_basis == stage.service(UNKEYED).provider.accepted_basis
    assert stage.stored(task) == after


def test_the_id_of_another_task_is_refused_with_what_to_type(stage: Stage) -> None:
    """The refusal names the other task, and leaves the charge of this one open."""
    stage.task(UNKEYED, state=Pending(task_id="task_1"), task_id="task_1", charged="yes")
    task = doubtful(stage)
    with pytest.raises(UsageError, match="here already") as caught:
        adopt(stage, task)
    assert (caught.value.charged, caught.value.hint) == ("unknown", f"wan recover {task.id}")


def test_a_handle_that_was_only_looked_at_makes_room(stage: Stage) -> None:
    """The record of somebody's look at the handle goes when the task that it belongs to takes it."""
    seen = stage.task(UNKEYED, model="", state=Pending(task_id="task_1"), task_id="task_1", charged="yes")
    task = doubtful(stage)
    stage.script(UNKEYED, running(UNKEYED))
    assert adopt(stage, task).handle == "modelverse:task_1"
    assert stage.rows("SELECT count(*) FROM task WHERE id = ?", seen.id) == [(0,)]
    assert stage.ledger.find_handle(UNKEYED, "task_1").id == task.id  # type: ignore[union-attr]


def test_a_task_in_doubt_may_be_adopted_by_the_id_it_has(stage: Stage) -> None:
    """Its own record is neither another task nor one to drop."""
    task = doubtful(stage)
    stage.ledger.save(replace(task, task_id="task_1"))
    stage.script(UNKEYED, running(UNKEYED))
    assert adopt(stage, stage.stored(task)).state.kind == "pending"
    assert stage.stored(task).state.kind == "pending"


@pytest.mark.parametrize(
    ("answer", "kind", "says", "hint"),
    [
        (error(404, "not_found", "no such task"), UsageError, "(no such task)", "wan recover {id}"),
        (error(460, "odd", ""), UsageError, "(HTTP 460)", "wan recover {id}"),
        (error(401, "auth_error", "bad key"), KeyRejected, "bad key", "mend the key, then wan recover {id}"),
        (error(503, None, "down"), OutcomeUnknown, "asked about task_1: down", "wan recover {id}"),
        (lost("cut"), OutcomeUnknown, "asked about task_1: cut", "wan recover {id}"),
        (refused_connection(), OutcomeUnknown, "connection refused", "wan recover {id}"),
    ],
)
def test_why_an_id_was_not_adopted(stage: Stage, answer: Any, kind: type[Exception], says: str, hint: str) -> None:
    """The reason is the provider's own, and the hint leads back to the decision."""
    task = doubtful(stage)
    stage.script(UNKEYED, answer)
    with pytest.raises(kind) as caught:
        adopt(stage, task)
    assert says in caught.value.message  # type: ignore[attr-defined]
    assert caught.value.hint == hint.format(id=task.id)  # type: ignore[attr-defined]


# -- the same key


@pytest.mark.parametrize(("age", "trusted"), [(86_400, True), (86_400.5, False)])
def test_a_key_is_trusted_to_the_last_second_of_its_day(stage: Stage, age: float, trusted: bool) -> None:
    """24 h after its first use the key still counts, and not a moment later."""
    task = doubtful(stage, KEYED)
    attempts = decide.under_key(task, stage.ledger.attempts(task.id))
    stage.clock.now = attempts[0].at + age
    if trusted:
        stage.script(KEYED, accepted())
        assert stage.run(task, first=decide.same_key, wait=False).state.kind == "pending"
        return
    with pytest.raises(UsageError, match="24 h") as caught:
        stage.run(task, first=decide.same_key)
    assert (caught.value.charged, caught.value.hint) == ("unknown", f"wan recover {task.id}")


def test_a_key_may_be_used_again_in_the_second_of_its_first_use(stage: Stage) -> None:
    """An age of nothing is no clock that was set back."""
    task = doubtful(stage, KEYED)
    attempts = decide.under_key(task, stage.ledger.attempts(task.id))
    provider = stage.service(KEYED).provider
    assert decide.same_key_fault(provider, task, attempts, attempts[0].at) is None


def test_a_request_that_cannot_be_made_again_says_why(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the adapter refuses to make now is no proof of the same request: nothing is sent."""
    task = doubtful(stage, KEYED)

    def refuse(self: Any, job: Any, *, token: str) -> Any:
        raise RequestRejected("no such size any more")
        yield

    monkeypatch.setattr(stage.service(KEYED).provider.__class__, "submit", refuse)
    with pytest.raises(UsageError, match="the request cannot be made again: no such size any more; nothing was sent"):
        stage.run(task, first=decide.same_key)


def test_what_was_sent_before_the_last_purchase_is_not_under_its_key(stage: Stage) -> None:
    """Attempts count from the moment the task was last bought anew; without that moment none is known."""
    task = stage.task(KEYED, submitted_at=stage.clock.now)
    tried = [Attempt(task_id=task.id, n=n, at=stage.clock.now + n - 2, body=None, body_sha256="") for n in (1, 2, 3)]
    assert [attempt.n for attempt in decide.under_key(task, tried)] == [2, 3]
    assert decide.under_key(replace(task, submitted_at=None), tried) == []


def test_the_same_key_has_the_repeats_that_the_lost_answer_left(stage: Stage) -> None:
    """Within the key's ten minutes it is asked twice more at most; then the doubt is what it was."""
    task = doubtful(stage, KEYED)
    stage.script(KEYED, lost("again"), accepted())
    assert stage.run(task, first=decide.same_key, wait=False).state.kind == "pending"
    other = doubtful(stage, KEYED)
    before = len(stage.apis[KEYED].of("POST"))
    stage.script(KEYED, lost("again"), lost("and again"))
    after = stage.run(other, first=decide.same_key, wait=False)
    assert (after.state, after.charged) == (other.state, "unknown")
    assert len(stage.apis[KEYED].of("POST")) == before + 2
    assert stage.stored(other) == after


def test_the_keys_ten_minutes_begin_with_its_first_use(stage: Stage) -> None:
    """An answer that is lost so late is not asked for again, though the key's later uses are younger."""
    task = doubtful(stage, KEYED)
    first, *later = [attempt.at for attempt in stage.ledger.attempts(task.id)]
    assert later == [first + 1, first + 3]
    stage.clock.now = first + 598.5
    stage.script(KEYED, lost("again"), accepted())
    after = stage.run(task, first=decide.same_key, wait=False)
    assert (after.state, len(stage.apis[KEYED].of("POST"))) == (task.state, 4)


def test_an_answer_in_no_script_is_no_obstacle(stage: Stage) -> None:
    """What came back may have halves of characters: it is kept as it is, and the key goes out again."""
    task = doubtful(stage, KEYED)
    stage.ledger.save(task := replace(task, state=Unknown(reason="cut", raw='{"id": "\ud800')))
    stage.script(KEYED, accepted())
    assert stage.run(task, first=decide.same_key, wait=False).state.kind == "pending"


def test_an_address_that_nobody_uploaded_needs_no_upload(stage: Stage) -> None:
    """The same key goes out with a picture that has an address of its own, and no file here."""
    media = (Media(role="edit_source", kind="image", url="https://example.com/a.png"),)
    task = doubtful(stage, KEYED, verb="edit", media=media)
    stage.script(KEYED, accepted())
    assert stage.run(task, first=decide.same_key, wait=False).state.kind == "pending"


def test_a_file_that_went_in_the_request_itself_is_never_past_its_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only an uploaded file has an address that ends: one without an address does not stand in the way."""
    file = LocalFile(path="/nowhere/a.png", sha256="a" * 64, size=3, mime="image/png")
    media = (Media(role="edit_source", kind="image", file=file),)
    task = doubtful(stage, KEYED)
    monkeypatch.setattr(stage.service(KEYED).provider.__class__, "uploads", False)
    stage.ledger.save(task := replace(task, job=replace(task.job, verb="edit", media=media)))
    monkeypatch.setattr(decide, "same_key_fault", lambda *_: None)
    stage.script(KEYED, accepted())
    assert stage.run(task, first=decide.same_key, wait=False).state.kind == "pending"


# -- buying once more


def test_a_new_purchase_says_when_it_was_made(stage: Stage) -> None:
    """The warning has the time in UTC, beside what was warned of before."""
    task = doubtful(stage)
    stage.ledger.save(task := replace(task, warnings=("an older warning",)))
    stage.script(UNKEYED, accepted(UNKEYED))
    after = resubmit(stage, task)
    said = "sent again at 2026-11-21T09:00:00Z; what was sent before may be charged too"
    assert after.warnings == ("an older warning", said)


def test_a_signal_in_the_pause_after_a_refusal_leaves_the_first_in_doubt(stage: Stage) -> None:
    """A second purchase that was refused and not yet repeated was not made: the doubt is the first one's alone."""

    def limited(request: Any) -> Reply:
        stage.engine.interrupt(grace=60)
        return error(429, Retry_After="30")

    task = doubtful(stage)
    stage.script(UNKEYED, limited)
    after = resubmit(stage, task)
    assert (after.state, after.charged, after.token) == (task.state, "unknown", task.token)
    assert stage.stored(task) == after
    assert stage.rows("SELECT * FROM claim") == []


def test_a_signal_while_the_second_answer_is_awaited_keeps_the_second_in_doubt(stage: Stage) -> None:
    """Given up while its answer was under way, the second purchase may have been made: its key is the task's now."""

    def cut(request: Any) -> Reply:
        stage.engine.interrupt(grace=60)
        raise lost("cut")

    task = doubtful(stage, KEYED)
    stage.script(KEYED, cut)
    after = resubmit(stage, task)
    assert (after.token, after.charged, after.state.kind) == ("wan-fresh", "unknown", "sending")
    assert stage.stored(task) == after


def test_a_file_that_cannot_be_uploaded_again_leaves_the_doubt(stage: Stage) -> None:
    """The reason is told as what was not done, and the doubt stays with its own words."""
    file = LocalFile(path="/nowhere/a.png", sha256="a" * 64, size=3, mime="image/png")
    task = doubtful(stage, KEYED)
    media = (Media(role="edit_source", kind="image", file=file, url="https://cdn.example/old.png", duration_token="t"),)
    stage.ledger.save(task := replace(task, job=replace(task.job, verb="edit", media=media)))
    stage.script(KEYED, RequestRejected("too large"))
    after = resubmit(stage, task)
    assert after.state == task.state
    assert after.warnings[-1] == "nothing was sent: too large"
    assert [request.path for request in stage.apis[KEYED].of("POST")][3:] == ["/api/v1/files"]


# -- what is on record


@pytest.mark.parametrize(
    ("begun", "verdicts", "known"),
    [(1, ["answered"], True), (1, ["unclear"], False), (2, ["answered"], False), (2, ["answered", None], False),
     (2, [None, "answered"], True), (1, ["answered", None], False), (1, [], False)],
)  # fmt: skip
def test_only_the_answer_to_the_last_attempt_is_an_answer(
    stage: Stage, begun: int, verdicts: list[str | None], known: bool
) -> None:
    """A task that is being sent is in doubt unless the very last attempt, the one that was begun, has its answer."""
    task = stage.task(KEYED, state=Sending(at=1.0, attempts=begun), charged="unknown")
    for n, verdict in enumerate(verdicts, start=1):
        stage.ledger.record_attempt(task.id, n, body="{}", body_sha256="0", at=1.0)
        if verdict:
            stage.ledger.record_answer(task.id, n, verdict=verdict, http_status=200, raw=b"{}")
    assert decide.answered(stage.ledger, task) is known
    if known:
        with pytest.raises(UsageError, match="needs no decision") as caught:
            decide.abandon(stage.ledger, task, 5.0)
        assert (caught.value.hint, caught.value.charged) == (f"wan wait {task.id}", "unknown")


def test_of_what_is_not_being_sent_no_answer_is_missing(stage: Stage) -> None:
    """Only a task that is being sent can have an answer that nobody read."""
    task = at_provider(stage)
    stage.ledger.record_attempt(task.id, 1, body="{}", body_sha256="0", at=1.0)
    stage.ledger.record_answer(task.id, 1, verdict="answered", http_status=200, raw=b"{}")
    assert decide.answered(stage.ledger, task) is False


def test_what_needs_no_decision_leads_to_its_status(stage: Stage) -> None:
    """The refusal tells the charge as it is, leaves nobody owning the task, and says what shows it."""
    task = at_provider(stage)
    with pytest.raises(UsageError, match="needs no decision") as caught:
        decide.abandon(stage.ledger, task, 0.0)
    assert (caught.value.hint, caught.value.charged) == ("wan status rivya:task_1", "yes")
    assert stage.rows("SELECT * FROM claim") == []


def test_a_task_of_a_living_process_leads_to_waiting(stage: Stage) -> None:
    """The refusal names the command that watches, and the charge as it is."""
    task = at_provider(stage)
    with stage.stranger() as other:
        assert other.claim(task.id)
        with pytest.raises(UsageError, match="another process is working on rivya:task_1") as caught:
            decide.taken(stage.ledger, task)
    assert (caught.value.hint, caught.value.charged) == ("wan wait rivya:task_1", "yes")


# -- closing


def test_an_abandoned_task_keeps_when_and_on_what_ground(stage: Stage) -> None:
    """It is over now, its charge an assumption, and no trouble is left to be mended."""
    task = stage.task(state=Unknown(reason="reset"), charged="no", trouble=OLD)
    closed = decide.abandon(stage.ledger, task, 77.0)
    assert (closed.charged, closed.charge_basis, closed.finished_at, closed.trouble) == (
        "unknown", "assumed", 77.0, None,
    )  # fmt: skip
    assert stage.stored(task) == closed


def test_a_plan_that_is_called_off_is_let_go(stage: Stage) -> None:
    """It ended now, in the ledger too, and is nobody's any more."""
    task = stage.task()
    closed = decide.call_off(stage.ledger, task, 77.0)
    assert (stage.stored(task), closed.finished_at) == (closed, 77.0)
    assert stage.rows("SELECT * FROM claim") == []


@pytest.mark.parametrize(
    ("state", "charged"), [(Pending(task_id="task_1"), "yes"), (New(), "unknown"), (Pending(task_id="task_1"), "no")]
)
def test_only_what_was_certainly_never_sent_is_called_off(stage: Stage, state: Any, charged: Any) -> None:
    """A plan whose charge is open, or a task at the provider whatever it costs, is left alone and let go."""
    task = stage.task(state=state, charged=charged)
    with pytest.raises(UsageError, match="sent meanwhile") as caught:
        decide.call_off(stage.ledger, task, 0.0)
    assert (caught.value.hint, caught.value.charged) == (f"wan wait {task.id}", charged)
    assert stage.stored(task) == task
    assert stage.rows("SELECT * FROM claim") == []


# -- cancelling


@pytest.fixture
def cancelling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Rivya a way to cancel."""
    from wan_cli.providers import load

    def cancel(self: Any, pending: Pending) -> Any:
        answer = yield self.request("POST", f"/cancel/{pending.task_id}")
        return Cancelled() if json.loads(answer.content).get("done") else Pending(task_id=pending.task_id)

    monkeypatch.setattr(load(KEYED), "cancel", cancel)


def test_a_provider_without_a_way_is_told_of_before_anything_is_asked(stage: Stage) -> None:
    """The refusal keeps the charge, and leads to the task's status; so does one of a task that is not there yet."""
    with pytest.raises(UnsupportedOption, match="rivya documents no way to cancel a task") as caught:
        stage.run(at_provider(stage), first=decide.cancel)
    assert (caught.value.hint, caught.value.charged) == ("wan status rivya:task_1", "yes")
    planned = stage.task(charged="unknown")
    with pytest.raises(UsageError, match="not at the provider") as refused:
        stage.run(planned, first=decide.cancel)
    assert (refused.value.hint, refused.value.charged) == (f"wan status {planned.id}", "unknown")
    assert stage.apis[KEYED].sent == []


@pytest.mark.usefixtures("cancelling")
@pytest.mark.parametrize(
    ("answer", "says", "command"),
    [
        (error(409, "running", "it already runs"), "did not cancel rivya:task_1: it already runs", "wait"),
        (error(460, "running", ""), "did not cancel rivya:task_1: HTTP 460", "wait"),
        (lost("cut"), "whether rivya:task_1 was cancelled is not known: cut", "status"),
        (refused_connection(), "is not known: could not reach it: connection refused", "status"),
    ],
)
def test_a_cancel_that_failed_says_why_and_what_to_do(stage: Stage, answer: Any, says: str, command: str) -> None:
    """A refusal means waiting; no answer means looking. The charge stays as it is."""
    stage.script(KEYED, answer)
    with pytest.raises(StillRunning) as caught:
        stage.run(at_provider(stage, charged="unknown"), wait=False, first=decide.cancel)
    assert says in caught.value.message
    assert (caught.value.hint, caught.value.charged) == (f"wan {command} rivya:task_1", "unknown")


@pytest.mark.usefixtures("cancelling")
def test_a_cancelled_task_has_no_trouble_left(stage: Stage) -> None:
    """What stopped the waiting before is over with the task."""
    task = at_provider(stage, trouble=OLD)
    stage.script(KEYED, Reply(200, {"done": True}))

    async def cancel(engine: Any, found: Task) -> Task:
        return await decide.cancel(engine, replace(found, trouble=OLD))

    ended = stage.run(task, wait=False, first=cancel)
    assert (ended.state.kind, ended.trouble) == ("cancelled", None)
    assert stage.stored(task).trouble is None


@pytest.mark.usefixtures("cancelling")
def test_no_provider_claims_a_way_that_it_has_not() -> None:
    """A provider cancels where its own adapter says how, and only there."""
    from wan_cli.providers import load

    assert decide.cancels(load(KEYED)) is True
    assert decide.cancels(load(UNKEYED)) is False
