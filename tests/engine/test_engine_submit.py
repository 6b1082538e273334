"""The paid step: what is durable before it, what is never sent again, and what a lost answer leaves."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support_engine import (
    Reply,
    Sent,
    Stage,
    Step,
    accepted,
    error,
    lost,
    moved,
    refused_connection,
    running,
    succeeded,
)

from wan_cli.engine.submit import resume
from wan_cli.engine.uploads import upload
from wan_cli.errors import ConfigInvalid, FileInvalid, InternalError, NetworkError, RequestRejected, StateUnusable
from wan_cli.models import Cancelled, Done, Facts, Failed, LocalFile, Media, Output, Pending, Sending, Task, Unknown
from wan_cli.transport.client import NotSent
from wan_cli.transport.retry import Repeats

UNKEYED, KEYED = "modelverse", "rivya"
FULL = StateUnusable("the ledger cannot be written: no space left on device")


def submit(stage: Stage, provider: str, *steps: Step, **said: Any) -> Task:
    """Buy one picture with ``steps`` as the provider's answers, and do not wait for it."""
    stage.script(provider, *steps)
    task: Task = stage.run(stage.task(provider, **said), wait=False)
    assert stage.stored(task) == task
    return task


def failing(provider: str, stage: Stage, *steps: Step) -> Failed:
    """Buy, and return how it failed with nothing bought."""
    task = submit(stage, provider, *steps)
    assert isinstance(task.state, Failed)
    assert task.charged == task.state.charged == "no"
    return task.state


def sent(stage: Stage, provider: str) -> list[Sent]:
    """Return the purchases that left."""
    return [request for request in stage.apis[provider].of("POST") if not request.path.endswith("/files")]


class Killed(BaseException):
    """The process ends here."""


def killed_before_acting(stage: Stage, provider: str, *steps: Step, **said: Any) -> Task:
    """Buy, and end the process when the answer is kept and nothing was done with it."""
    stage.script(provider, *steps)
    task = stage.task(provider, **said)

    def die(saved: Task) -> Exception | None:
        if saved.state.kind not in ("new", "sending"):
            raise Killed
        return None

    stage.failing.broken["save"] = die
    with pytest.raises(Killed):
        stage.run(task, wait=False)
    stage.failing.broken.clear()
    assert stage.stored(task).state.kind == "sending"
    return stage.stored(task)


@pytest.mark.parametrize("provider", [UNKEYED, KEYED])
def test_p03_an_answer_that_was_kept_is_read_by_the_next_process(stage: Stage, provider: str) -> None:
    """What was bought is not in doubt when its answer is on record, and it is not sent again."""
    task = killed_before_acting(stage, provider, accepted(provider))
    after = stage.run(task, wait=False)
    assert (after.state.kind, after.task_id, after.charged) == ("pending", "task_1", "yes")
    assert len(sent(stage, provider)) == 1


def test_p03_the_pictures_of_a_synchronous_answer_are_not_lost(stage: Stage) -> None:
    """An answer that is the only copy of its result survives the process that got it."""
    answer = Reply(200, {"data": [{"url": "https://cdn.example/result-1.png"}]})
    task = killed_before_acting(stage, UNKEYED, answer, route="sync")
    after = stage.run(task)
    assert (after.state.kind, after.charged) == ("saved", "yes")
    assert len(sent(stage, UNKEYED)) == 1


def test_p03_a_refusal_that_was_kept_is_a_refusal(stage: Stage) -> None:
    """A purchase that was refused before the process ended was not bought."""
    task = killed_before_acting(stage, UNKEYED, error(400, "invalid_request", "no such size"))
    after = stage.run(task)
    assert isinstance(after.state, Failed)
    assert after.charged == "no"
    assert len(sent(stage, UNKEYED)) == 1


def test_p03_an_answer_is_read_though_prompts_are_not_stored(stage: Stage) -> None:
    """With hashes in place of the texts the request cannot be made again, and its answer is understood all the same."""
    task = killed_before_acting(stage, UNKEYED, accepted(UNKEYED))
    hidden = moved(task, job=replace(task.job, prompt="sha256:" + "0" * 64))
    stage.ledger.save(hidden)
    after = stage.run(hidden, wait=False)
    assert (after.state.kind, after.task_id) == ("pending", "task_1")
    assert len(sent(stage, UNKEYED)) == 1


@pytest.mark.parametrize("body", [b"{", b"<html>"])
def test_p03_an_answer_that_nobody_can_read_stays_in_doubt(stage: Stage, body: bytes) -> None:
    """Garbage on record says nothing, whoever reads it."""
    task = submit(stage, UNKEYED, Reply(200, body))
    stage.ledger.save(moved(task, state=Sending(at=stage.clock.now)))
    after = stage.run(stage.stored(task))
    assert after.state.kind == "unknown"
    assert len(sent(stage, UNKEYED)) == 1


# -- nothing leaves before it is durable


def test_the_purchase_is_durable_before_it_leaves(stage: Stage) -> None:
    """While the request is on its way, another connection finds Sending and the body's hash in the ledger."""

    def inspect(request: Any) -> Reply:
        assert stage.rows("SELECT kind FROM task") == [("sending",)]
        ((body, digest, verdict),) = stage.rows("SELECT body, body_sha256, verdict FROM attempt")
        assert body.encode() == request.content
        assert digest == hashlib.sha256(request.content).hexdigest()
        assert verdict is None
        last = json.loads(stage.ledger.journal_path.read_text(encoding="utf-8").splitlines()[-1])
        assert last["task"]["state"]["kind"] == "sending"
        return accepted()

    task = submit(stage, KEYED, inspect)
    assert isinstance(task.state, Pending)
    assert (task.charged, task.charge_basis, task.handle) == ("yes", "contract", "rivya:task_1")


@pytest.mark.parametrize("method", ["save", "record_attempt"])
def test_s01_without_a_durable_record_nothing_is_sent(stage: Stage, method: str) -> None:
    """A ledger that cannot be written ends the task as not bought, and no request leaves."""
    task = stage.task()
    stage.failing.broken[method] = lambda *_, **__: FULL
    ended = stage.run(task)
    assert isinstance(ended.state, Failed)
    assert (ended.state.code, ended.charged) == ("state_unusable", "no")
    assert KEYED not in stage.apis or not stage.apis[KEYED].sent


def test_a_ledger_that_cannot_be_asked_ends_one_task_only(stage: Stage) -> None:
    """A task that cannot be claimed fails as not bought, and another beside it goes on."""
    broken, whole = stage.task(), stage.task()
    stage.failing.broken["claim"] = lambda name: FULL if name == broken.id else None
    stage.script(KEYED, accepted())
    first, second = stage.play(stage.engine.run_all([broken, whole], wait=False))
    assert (first.state.kind, first.state.code, first.charged) == ("failed", "state_unusable", "no")
    assert second.state.kind == "pending"


def test_a_bought_task_whose_ledger_cannot_be_asked_stays_bought(stage: Stage) -> None:
    """Where the claim fails for a task at the provider, its state and charge stay and the reason is told."""
    task = stage.task(state=Pending(task_id="task_1"), task_id="task_1", charged="yes")
    stage.failing.broken["claim"] = lambda _: FULL
    ended = stage.run(task)
    assert (ended.state, ended.charged) == (task.state, "yes")
    assert ended.trouble
    assert (ended.trouble.code, ended.trouble.charged) == ("state_unusable", "yes")


@pytest.mark.parametrize("methods", [["record_answer"], ["save"], ["save", "record_answer", "release"]])
def test_s02_a_ledger_that_fails_after_the_answer_loses_no_result(stage: Stage, methods: list[str]) -> None:
    """When the disk fills while the answer comes, the picture is still collected and the handle is told."""

    def fill(request: Any) -> Reply:
        for method in methods:
            stage.failing.broken[method] = lambda *_, **__: FULL
        return accepted()

    stage.script(KEYED, fill, succeeded())
    task = stage.run(stage.task())
    assert (task.state.kind, task.charged) == ("saved", "yes")
    assert [name for name in stage.files() if name.endswith(".png")] == [f"{task.id}.png"]
    assert len(sent(stage, KEYED)) == 1
    assert any("no space left" in warning for warning in stage.warnings())
    assert "save" not in methods or any("keep this: rivya:task_1" in warning for warning in stage.warnings())


def test_s02_a_signal_after_the_ledger_failed_still_tells_the_handle(stage: Stage) -> None:
    """Stopping while the ledger is broken returns the task as it is, not as the ledger last knew it."""

    def fill(request: Any) -> Reply:
        stage.failing.broken["save"] = lambda *_, **__: FULL
        return accepted()

    def stop(request: Any) -> Reply:
        stage.engine.interrupt(grace=5)
        return running()

    stage.script(KEYED, fill, stop, running())
    task = stage.run(stage.task())
    assert (task.state.kind, task.handle, task.charged) == ("pending", "rivya:task_1", "yes")


def test_a_repeat_that_cannot_be_recorded_leaves_the_purchase_unknown(stage: Stage) -> None:
    """When the ledger fails between an unclear answer and its repeat, the task is unknown, not "not bought"."""
    saves = iter([None])
    stage.failing.broken["save"] = lambda task: next(saves, FULL)
    stage.script(KEYED, lost())
    task = stage.run(stage.task(), wait=False)
    assert (task.state.kind, task.charged) == ("unknown", "unknown")
    assert len(sent(stage, KEYED)) == 1


# -- certainly not sent, or refused


def test_n01_a_refused_connection_is_tried_four_times(stage: Stage) -> None:
    """A connection that is refused is tried again three times with backoff, and nothing was bought."""
    state = failing(UNKEYED, stage, *[refused_connection() for _ in range(4)])
    assert (state.code, len(sent(stage, UNKEYED))) == ("network", 4)
    assert stage.clock.slept[1::2] == [0.5, 1.0, 2.0]


def test_n01_a_purchase_goes_through_once_the_network_is_back(stage: Stage) -> None:
    """After two refused connections the third try buys, once; between tries the ledger says that nothing was sent."""
    seen = []

    def look(request: Any) -> Reply:
        seen.extend(attempt.verdict for attempt in stage.ledger.attempts(task.id))
        return accepted(UNKEYED)

    task = stage.task(UNKEYED)
    stage.script(UNKEYED, refused_connection(), refused_connection(), look)
    ended = stage.run(task, wait=False)
    assert ended.state.kind == "pending"
    assert seen == [None, None, None]
    assert any("connection refused" in note for note in stage.notes())


def test_n04_what_cannot_help_is_not_tried_again(stage: Stage) -> None:
    """A certificate that is not trusted ends the task at once."""
    state = failing(KEYED, stage, NotSent(ConfigInvalid("the certificate is not trusted"), final=True))
    assert (state.code, len(sent(stage, KEYED))) == ("config_invalid", 1)


def test_i14_a_file_that_changed_is_never_bought_with(stage: Stage) -> None:
    """A picture that changed while it was sent ends the task as not bought."""
    state = failing(UNKEYED, stage, FileInvalid("a.png changed after it was checked"))
    assert state.code == "file_invalid"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (error(401), "key_rejected"),
        (error(403, "api_scope_denied"), "key_rejected"),
        (error(402), "insufficient_credits"),
        (error(400, "validation_failed"), "request_rejected"),
        (error(422), "request_rejected"),
        (error(404), "model_unknown"),
        (error(405), "model_unknown"),
        (error(413), "request_rejected"),
        (error(409, "idempotency_conflict"), "request_rejected"),
        (error(503, "public_api_disabled"), "provider_unavailable"),
        (error(307), "config_invalid"),
        (Reply(200, {"error": {"code": "insufficient_credits", "message": "none left"}}), "insufficient_credits"),
    ],
)
def test_h08_to_h15_a_refusal_is_final_and_free(stage: Stage, reply: Reply, code: str) -> None:
    """A definite no ends the task at once, charged no, with the answer kept as evidence."""
    state = failing(KEYED, stage, reply, Reply(200, {"current_credits": 3}))
    assert (state.code, len(sent(stage, KEYED))) == (code, 1)
    assert ("5 credits; the account has 3 credits" in state.message) is (code == "insufficient_credits")
    ((verdict, status),) = stage.rows("SELECT verdict, http_status FROM attempt")
    assert (verdict, status) == ("answered", reply.status)


def test_a_refused_task_may_be_tried_again_under_its_key(stage: Stage) -> None:
    """The same task that was refused for want of credits buys on the next call, and both attempts stay."""
    task = submit(stage, KEYED, error(402), Reply(500))
    again = moved(task, state=type(stage.task().state)(), trouble=None)
    stage.script(KEYED, accepted())
    ended = stage.run(again, wait=False)
    assert (ended.state.kind, ended.charged) == ("pending", "yes")
    assert [(a.n, a.http_status) for a in stage.ledger.attempts(task.id)] == [(1, 402), (2, 200)]
    keys = {request.headers["idempotency-key"] for request in sent(stage, KEYED)}
    assert keys == {task.token}


# -- asked to come later


def test_h01_a_rate_limit_is_waited_out(stage: Stage) -> None:
    """A 429 with Retry-After 3 is waited for (with a fifth of jitter at most) and then bought once."""
    task = submit(stage, UNKEYED, error(429, message="slow down", Retry_After="3"), accepted(UNKEYED))
    assert task.state.kind == "pending"
    first, second = sent(stage, UNKEYED)
    assert second.at - first.at == pytest.approx(3.3)
    assert "again in 3 s" in " ".join(stage.notes())


def test_h02_a_date_is_held_against_the_answers_own_clock(stage: Stage) -> None:
    """A Retry-After date counts from the answer's Date header, whatever this machine's clock says."""
    late = error(
        429, Retry_After="Sat, 01 Jan 2000 00:00:20 GMT", Date="Sat, 01 Jan 2000 00:00:10 GMT"
    )  # fmt: skip
    submit(stage, UNKEYED, late, accepted(UNKEYED))
    first, second = sent(stage, UNKEYED)
    assert second.at - first.at == pytest.approx(11.0)


@pytest.mark.parametrize("header", ["-5", "1e9", "inf", "nan", "soon", "", "\u0663"])
def test_h03_a_bad_header_is_ignored(stage: Stage, header: str) -> None:
    """A Retry-After that makes no sense is no Retry-After: the usual backoff is taken."""
    reply = Reply(429, {"error": {"message": "slow down"}}, {"Retry-After": header})
    if not header.isascii():
        reply = replace(reply, headers={})
    submit(stage, UNKEYED, reply, accepted(UNKEYED))
    first, second = sent(stage, UNKEYED)
    assert second.at - first.at == pytest.approx(0.5)


def test_h03_a_long_wait_is_left_to_the_user(stage: Stage) -> None:
    """A Retry-After beyond two minutes ends the command and says when to come back."""
    state = failing(UNKEYED, stage, error(429, Retry_After="3600"))
    assert (state.code, state.retry_after_s, len(sent(stage, UNKEYED))) == ("rate_limited", 3600.0, 1)


def test_h04_a_rate_limit_without_a_header_backs_off_four_times(stage: Stage) -> None:
    """429 without a header is tried four times in all, and nothing was bought."""
    state = failing(UNKEYED, stage, *[error(429) for _ in range(4)])
    assert (state.code, len(sent(stage, UNKEYED))) == ("rate_limited", 4)


def test_a_rate_limit_cools_the_whole_origin(stage: Stage) -> None:
    """After a 429 no other purchase goes to that origin before its time, and other origins are free."""
    stage.script(UNKEYED, error(429, Retry_After="30"), accepted(UNKEYED, "a"), accepted(UNKEYED, "b"))
    stage.script(KEYED, accepted())
    tasks = [stage.task(UNKEYED), stage.task(UNKEYED), stage.task(KEYED)]
    engine = stage.another(submits=1)
    ended = stage.play(engine.run_all(tasks, wait=False))
    assert [task.state.kind for task in ended] == ["pending"] * 3
    first, *later = [request.at for request in sent(stage, UNKEYED)]
    assert all(at - first >= 30 for at in later)
    assert sent(stage, KEYED)[0].at == first
    stage.script(UNKEYED, accepted(UNKEYED, "c"))
    engine.cool_until[stage.apis[UNKEYED].origin] = stage.clock.now + 50
    before = stage.clock.now
    stage.play(engine.run(stage.task(UNKEYED), wait=False))
    assert sent(stage, UNKEYED)[-1].at - before == pytest.approx(50)


# -- no clear answer

UNCLEAR: list[tuple[str, Callable[[], Step], int | None]] = [
    ("N08 broken connection", lost, None),
    ("N10 no answer in time", lambda: lost("no whole answer within 90 s"), None),
    ("N13 cut answer", lambda: lost("the connection broke", raw=b'{"output": {"task', status=200), 200),
    ("H05 server error", lambda: error(500), 500),
    ("H06 unavailable", lambda: error(503), 503),
    ("H07 gateway timeout", lambda: error(504), 504),
    ("H07 model timeout", lambda: error(408), 408),
    ("N11 Cloudflare", lambda: Reply(524, b"<html>"), 524),
    ("H16 empty", lambda: Reply(202, b""), 202),
    ("R01 not JSON", lambda: Reply(200, b'{"output": '), 200),
    ("R02 a page", lambda: Reply(200, b"<html>login</html>"), 200),
    ("R05 deep", lambda: Reply(200, b"[" * 200_000), 200),
    ("R07 no id", lambda: Reply(200, {"output": {}}), 200),
    ("R07 a number", lambda: Reply(200, {"output": {"task_id": 7}}), 200),
    ("R08 a path", lambda: Reply(200, {"output": {"task_id": "../../credits"}}), 200),
    ("H15 an error nobody knows", lambda: Reply(200, {"error": {"code": "odd", "message": "hm"}}), 200),
]


@pytest.mark.parametrize(("name", "step", "status"), UNCLEAR, ids=[row[0] for row in UNCLEAR])
def test_an_unclear_purchase_without_a_key_is_never_sent_again(
    stage: Stage, name: str, step: Callable[[], Step], status: int | None
) -> None:
    """Whatever happens after the request left, an unkeyed provider gets it once and the task is unknown."""
    task = submit(stage, UNKEYED, step(), accepted(UNKEYED))
    assert (task.state.kind, task.charged, task.charge_basis) == ("unknown", "unknown", "assumed")
    assert len(sent(stage, UNKEYED)) == 1
    answered = stage.rows("SELECT verdict, http_status FROM attempt")
    assert [row[1] for row in answered] == [status]
    stage.run(task)
    assert len(sent(stage, UNKEYED)) == 1


@pytest.mark.parametrize(("name", "step", "status"), UNCLEAR[:-1], ids=[row[0] for row in UNCLEAR[:-1]])
def test_n09_an_unclear_purchase_with_a_key_is_asked_again_under_it(
    stage: Stage, name: str, step: Callable[[], Step], status: int | None
) -> None:
    """A keyed provider is asked again with the same key and the same bytes, and the answer then counts."""
    stage.script(KEYED, step(), accepted())
    task = stage.run(stage.task(), wait=False)
    assert (task.state.kind, task.charged) == ("pending", "yes")
    first, second = sent(stage, KEYED)
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == task.token
    assert second.at - first.at >= 1.0


def test_n09_a_key_is_tried_three_times(stage: Stage) -> None:
    """After three attempts under one key the task is unknown, and the first failure is what is told."""
    task = submit(stage, KEYED, lost("the first"), lost("the second"), error(500, message="the third"))
    assert task.state.kind == "unknown"
    assert "the first" in task.state.reason
    assert len(sent(stage, KEYED)) == 3


def test_n09_a_key_is_not_trusted_for_long(stage: Stage) -> None:
    """An answer that was lost more than ten minutes after the first attempt is not asked for again."""

    def slow(request: Any) -> Step:
        stage.clock.now += 601
        raise lost("very late")

    task = submit(stage, KEYED, slow)
    assert task.state.kind == "unknown"
    assert len(sent(stage, KEYED)) == 1


def test_n09_the_window_begins_with_the_request_that_was_lost(stage: Stage) -> None:
    """Time that was waited for a rate limit before does not count: nothing was sent then that could be forgotten."""

    def slow(request: Any) -> Step:
        stage.clock.now += 550
        raise lost("late")

    task = submit(stage, KEYED, error(429, Retry_After="100"), slow, accepted())
    assert task.state.kind == "pending"


def test_h09_a_conflict_on_a_repeat_is_no_refusal(stage: Stage) -> None:
    """409 on a repeat means that the first may be under way: never "not bought", never a new key."""
    conflict = error(409, "idempotency_conflict")
    task = submit(stage, KEYED, lost("the first"), conflict, conflict)
    assert (task.state.kind, task.charged) == ("unknown", "unknown")
    assert "the first" in task.state.reason
    assert len({request.headers["idempotency-key"] for request in sent(stage, KEYED)}) == 1


@pytest.mark.parametrize("later", [error(402), error(401), error(400), error(307)])
def test_a_refusal_of_a_repeat_does_not_undo_the_first(stage: Stage, later: Reply) -> None:
    """What the first attempt did stays unknown, whatever is said to a repeat."""
    task = submit(stage, KEYED, lost("the first"), later)
    assert (task.state.kind, task.charged) == ("unknown", "unknown")


def test_a_connection_refused_to_a_repeat_does_not_undo_the_first(stage: Stage) -> None:
    """A repeat that was never sent leaves the first in doubt."""
    task = submit(stage, KEYED, lost("the first"), *[refused_connection() for _ in range(4)])
    assert task.state.kind == "unknown"


def test_r01_what_came_back_is_kept(stage: Stage) -> None:
    """An answer that cannot be read is in the ledger byte for byte, and its text with the task."""
    body = b'{"output": {"task_id": "mv-7", \xff'
    task = submit(stage, UNKEYED, Reply(200, body))
    assert stage.ledger.attempts(task.id)[0].raw == body
    assert task.state.kind == "unknown"
    assert task.state.raw
    assert "mv-7" in task.state.raw
    assert task.state.http_status == 200


def test_r01_the_answer_is_durable_before_it_is_read(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the adapter reads an answer, the ledger has it already."""
    stage.script(KEYED, accepted())
    task, service = stage.task(), stage.service

    def watched(name: str) -> Any:
        made = service(name)

        def fault(response: Any) -> None:
            assert stage.ledger.attempts(task.id)[0].raw == response.content

        monkeypatch.setattr(made.provider, "fault", fault)
        return made

    stage.engine.service = watched
    assert stage.run(task, wait=False).state.kind == "pending"


def test_p15_a_bug_after_sending_leaves_the_task_in_doubt(stage: Stage) -> None:
    """An exception nobody expected while the answer is awaited leaves Sending in the ledger, and the claim free."""
    task = stage.task()
    stage.script(KEYED, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        stage.play(stage.engine.run_all([task]))
    assert stage.stored(task).state.kind == "sending"
    assert stage.engine.submitting == 0
    assert stage.rows("SELECT count(*) FROM claim") == [(0,)]


# -- taken up again


def resumed(stage: Stage, provider: str, *, ago: float = 60, attempts: int = 1, **said: Any) -> Task:
    """Make what a killed process left: Sending, begun ``ago`` seconds before."""
    task = stage.task(provider, **said)
    at = stage.clock.now - ago
    stage.ledger.save(sending := moved(task, state=Sending(at=at, attempts=attempts), charged="unknown"))
    stage.ledger.record_attempt(task.id, attempts, body="{}", body_sha256="00", at=at)
    return sending


def test_p02_a_keyed_purchase_is_taken_up_under_its_key(stage: Stage) -> None:
    """After a kill between request and answer, a keyed provider is asked again under the same key."""
    task = resumed(stage, KEYED)
    stage.script(KEYED, accepted())
    ended = stage.run(task, wait=False)
    assert (ended.state.kind, ended.charged) == ("pending", "yes")
    (only,) = sent(stage, KEYED)
    assert only.headers["idempotency-key"] == task.token
    assert [attempt.n for attempt in stage.ledger.attempts(task.id)] == [1, 2]


def test_p02_a_taken_up_purchase_has_two_attempts_left(stage: Stage) -> None:
    """The lost attempt counts: two more unclear answers and the task is unknown."""
    stage.script(KEYED, lost(), lost())
    ended = stage.run(resumed(stage, KEYED))
    assert ended.state.kind == "unknown"
    assert "ended before the answer" in ended.state.reason


@pytest.mark.parametrize(
    ("provider", "ago", "prompt"),
    [(UNKEYED, 5, "a fox"), (KEYED, 601, "a fox"), (KEYED, -5, "a fox"), (KEYED, 5, "sha256:" + "0" * 64)],
)
def test_p02_without_a_key_to_trust_it_is_unknown(stage: Stage, provider: str, ago: float, prompt: str) -> None:
    """Without a key, after its window, with a clock set back, or without the text, nothing is sent again."""
    ended = stage.run(resumed(stage, provider, ago=ago, prompt=prompt))
    assert (ended.state.kind, ended.charged) == ("unknown", "unknown")
    assert not stage.apis[provider].sent


def test_only_what_was_being_sent_is_resumed(stage: Stage) -> None:
    """Resuming anything but Sending is a bug, not a purchase."""
    with pytest.raises(InternalError):
        stage.play(resume(stage.engine, stage.task()))


# -- what an accepted purchase says


def test_a_synchronous_answer_is_done_at_once(stage: Stage) -> None:
    """The synchronous interface answers with the pictures; the request allows for the time and the size."""
    url = "https://cdn.example/a.png?Expires=1795255200&Signature=x"
    task = submit(stage, UNKEYED, Reply(200, {"created": 1, "data": [{"url": url}]}), route="sync", n=1)
    assert isinstance(task.state, Done)
    assert (task.charged, task.expires_at, task.task_id) == ("yes", 1795255200.0, None)
    (only,) = sent(stage, UNKEYED)
    assert only.how == {"paid": True, "sync": True, "pictures": 1}


def test_an_asynchronous_purchase_is_sent_as_paid(stage: Stage) -> None:
    """A task's purchase goes over a connection of its own with the short deadline."""
    submit(stage, KEYED, accepted())
    assert sent(stage, KEYED)[0].how == {"paid": True, "sync": False, "pictures": 0}


def test_r11_a_synchronous_answer_without_pictures_is_a_lost_result(stage: Stage) -> None:
    """An accepted purchase whose answer names no picture, and no task, is lost and charged, not partly there."""
    stage.script(UNKEYED, Reply(200, {"created": 1, "data": []}))
    task = stage.run(stage.task(UNKEYED, route="sync"))
    assert (task.state.kind, task.state.code, task.charged) == ("lost", "task_vanished", "yes")


def test_r11_a_task_that_ends_at_once_without_pictures_is_asked_again(stage: Stage) -> None:
    """A submit that answers "succeeded" without an address is polled like any task."""
    stage.script(KEYED, succeeded(count=0), succeeded())
    task = stage.run(stage.task())
    assert task.state.kind == "saved"
    assert len(sent(stage, KEYED)) == 1


def test_a_task_that_failed_at_once_says_what_it_cost(stage: Stage) -> None:
    """A submit that answers "failed" ends the task with the provider's own word on the charge."""
    body = {"id": "task_1", "status": "failed", "final_credits": 0, "error": {"code": "x", "message": "no"}}
    task = submit(stage, KEYED, Reply(200, body))
    assert (task.state.kind, task.charged, task.charge_basis, task.cost.actual) == ("failed", "no", "provider", 0)


def test_a_cancelled_answer_leaves_the_charge_unknown(stage: Stage) -> None:
    """What a cancelled task cost is unknown where the provider does not say."""
    from wan_cli.engine.learning import learn

    task = learn(moved(stage.task(), charged="yes"), Cancelled(facts=Facts(request_id="r")), 9.0)
    assert (task.charged, task.charge_basis, task.finished_at, task.request_id) == ("unknown", "assumed", 9.0, "r")


def test_the_expiry_is_the_earliest_address_or_the_documented_time(stage: Stage) -> None:
    """Addresses say when they end; else the provider's documents do; else nobody knows."""
    from wan_cli.engine.learning import learn

    stated = Done(outputs=tuple(Output(url=f"https://c.example/a?Expires={at}") for at in (1795260000, 1795250000)))
    plain = Done(outputs=(Output(url="https://c.example/a"),), facts=Facts(finished_at=1000.0))
    assert learn(stage.task(UNKEYED), stated, 5.0).expires_at == 1795250000.0
    assert learn(stage.task(UNKEYED), plain, 5.0).expires_at == 1000.0 + 24 * 3600
    assert learn(stage.task(KEYED), plain, 5.0).expires_at is None


# -- uploads


def local(tmp_path: Path, name: str = "cat.png", data: bytes = b"a cat") -> Media:
    """Make a local reference."""
    path = tmp_path / name
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return Media(
        role="edit_source", kind="image",
        file=LocalFile(path=str(path), sha256=digest, size=len(data), mime="image/png"),
    )  # fmt: skip


UPLOADED = Reply(200, {"id": "file_1", "url": "https://cdn.example/cat.png", "duration_token": "t"})


def editing(stage: Stage, *media: Media, **said: Any) -> Task:
    """Make an edit with pictures."""
    return stage.task(KEYED, verb="edit", media=media, key_print="abcd1234", **said)


def test_uploads_come_first_and_are_reused(stage: Stage, tmp_path: Path) -> None:
    """Files go up before the purchase is durable, once each, and later purchases reuse the address."""
    cat, dog = local(tmp_path), local(tmp_path, "dog.png", b"a dog")
    given = Media(role="reference", kind="image", url="https://example.com/a.png")

    def watch(request: Any) -> Reply:
        assert stage.stored(task).state.kind == "new"
        return UPLOADED

    task = editing(stage, cat, dog, cat, given)
    stage.script(KEYED, watch, watch, accepted())
    ended = stage.run(task, wait=False)
    assert [request.path.rpartition("/")[2] for request in stage.apis[KEYED].sent] == ["files", "files", "generations"]
    assert [medium.url for medium in ended.job.media] == ["https://cdn.example/cat.png"] * 3 + [given.url]
    assert any("uploading cat.png" in note for note in stage.notes())
    stage.script(KEYED, accepted(task_id="task_2"))
    stage.run(editing(stage, cat), wait=False)
    assert len(stage.apis[KEYED].sent) == 4


def test_an_old_upload_is_made_again(stage: Stage, tmp_path: Path) -> None:
    """An address of more than a day ago is not trusted."""
    stage.script(KEYED, UPLOADED, accepted())
    stage.run(editing(stage, local(tmp_path)), wait=False)
    stage.clock.now += 86_401
    stage.script(KEYED, UPLOADED, accepted(task_id="task_2"))
    stage.run(editing(stage, local(tmp_path)), wait=False)
    assert len(stage.apis[KEYED].sent) == 4


def test_n15_uploads_are_free_and_tried_again(stage: Stage, tmp_path: Path) -> None:
    """A broken upload, a refused connection and a rate limit are tried again before anything is bought."""
    stage.script(KEYED, lost(), refused_connection(), error(429, Retry_After="2"), UPLOADED, accepted())
    assert stage.run(editing(stage, local(tmp_path)), wait=False).state.kind == "pending"
    assert len(sent(stage, KEYED)) == 1


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([lost() for _ in range(3)], "network"),
        ([refused_connection() for _ in range(4)], "network"),
        ([NotSent(ConfigInvalid("no proxy"), final=True)], "config_invalid"),
        ([error(400, "validation_failed", "too large")], "request_rejected"),
        ([Reply(200, {}), Reply(200, {}), Reply(200, {})], "network"),
        ([FileInvalid("cat.png changed")], "file_invalid"),
    ],
)
def test_a_failed_upload_buys_nothing(stage: Stage, tmp_path: Path, steps: list[Step], code: str) -> None:
    """When a reference cannot be uploaded, the task fails as not bought and no purchase is sent."""
    stage.script(KEYED, *steps)
    task = stage.run(editing(stage, local(tmp_path)))
    assert (task.state.kind, task.state.code, task.charged) == ("failed", code, "no")
    assert not sent(stage, KEYED)


def test_upload_for_its_own_sake(stage: Stage, tmp_path: Path) -> None:
    """``wan upload`` uses the same step and raises what stands in its way."""
    file = local(tmp_path).file
    assert file
    stage.script(KEYED, UPLOADED, error(400, "validation_failed"))
    service, how = stage.service(KEYED), {"model": "wan2.7-image", "trace": "t", "key_print": "k"}
    found = stage.play(upload(stage.engine, service, file, **how))
    assert (found.url, found.file_id, found.duration_token) == ("https://cdn.example/cat.png", "file_1", "t")
    assert stage.play(upload(stage.engine, service, file, **how)) == found
    with pytest.raises(RequestRejected):
        stage.play(upload(stage.engine, service, replace(file, sha256="1" * 64), **how))


def test_the_address_survives_a_kill_while_sending(stage: Stage, tmp_path: Path) -> None:
    """A keyed repeat after a kill has the uploaded address in its body, even if the call brings the bare file."""
    task = editing(stage, local(tmp_path))
    stage.script(KEYED, UPLOADED, RuntimeError("killed"))
    with pytest.raises(RuntimeError):
        stage.run(task)
    stage.script(KEYED, accepted())
    assert stage.run(task, wait=False).state.kind == "pending"
    first, second = sent(stage, KEYED)
    assert first.body == second.body
    assert b"https://cdn.example/cat.png" in second.body


# -- several, and signals


def test_one_of_several_that_fails_takes_no_other_with_it(stage: Stage) -> None:
    """Of four tasks, one refused and one in doubt leave the other two alone."""
    stage.script(UNKEYED, accepted(UNKEYED, "a"), error(400, "param_error"), lost(), accepted(UNKEYED, "b"))
    tasks = [stage.task(UNKEYED) for _ in range(4)]
    ended = stage.play(stage.engine.run_all(tasks, wait=False))
    assert sorted(task.state.kind for task in ended) == ["failed", "pending", "pending", "unknown"]


def test_purchases_of_one_provider_go_four_at_a_time(stage: Stage) -> None:
    """No more than ``submits`` purchases of one provider are under way together."""
    busy = most = 0

    async def slow(request: Any) -> Reply:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        for _ in range(5):
            await asyncio.sleep(0)
        busy -= 1
        return accepted(UNKEYED, f"t{len(stage.apis[UNKEYED].sent)}")

    stage.script(UNKEYED, *[slow] * 10)
    stage.play(stage.engine.run_all([stage.task(UNKEYED) for _ in range(10)], wait=False))
    assert most == 4


@pytest.mark.parametrize("provider", [KEYED, UNKEYED])
def test_p06_a_signal_lets_the_purchase_under_way_finish(stage: Stage, provider: str) -> None:
    """A first Ctrl-C waits for the answer, saves the handle, and polls no more."""

    async def answer(request: Any) -> Reply:
        assert stage.engine.interrupt(grace=60) is True
        for _ in range(5):
            await asyncio.sleep(0)
        return accepted(provider)

    task = submit_with_wait(stage, provider, answer)
    assert (task.state.kind, task.charged) == ("pending", "yes")
    assert len(stage.apis[provider].sent) == 1


def submit_with_wait(stage: Stage, provider: str, *steps: Step) -> Task:
    """Buy and wait, until a signal comes."""
    stage.script(provider, *steps)
    task: Task = stage.run(stage.task(provider))
    assert stage.stored(task) == task
    return task


def test_p06_after_a_signal_nothing_new_is_bought(stage: Stage) -> None:
    """Of six purchases, those that wait their turn when the signal comes are never sent."""

    async def answer(request: Any) -> Reply:
        stage.engine.stop.is_set() or stage.engine.interrupt(grace=60)
        for _ in range(5):
            await asyncio.sleep(0)
        return accepted(UNKEYED, f"t{len(stage.apis[UNKEYED].sent)}")

    stage.script(UNKEYED, *[answer] * 6)
    engine = stage.engine
    engine.submits = 2
    ended = stage.play(engine.run_all([stage.task(UNKEYED) for _ in range(6)]))
    assert sorted(task.state.kind for task in ended) == ["new"] * 4 + ["pending"] * 2
    assert len(sent(stage, UNKEYED)) == 2


def test_p06_a_signal_while_files_go_up_buys_nothing(stage: Stage, tmp_path: Path) -> None:
    """A signal during an upload ends with a planned task: nothing was sent."""

    async def hang(request: Any) -> Reply:
        assert stage.engine.interrupt(grace=60) is False
        await asyncio.Event().wait()
        raise AssertionError

    task = editing(stage, local(tmp_path))
    stage.script(KEYED, hang)
    assert stage.run(task).state.kind == "new"
    assert not sent(stage, KEYED)


@pytest.mark.parametrize(("provider", "kind"), [(UNKEYED, "unknown"), (KEYED, "sending")])
def test_p06_a_second_signal_gives_the_answer_up(stage: Stage, provider: str, kind: str) -> None:
    """A second Ctrl-C leaves an unkeyed purchase unknown, and a keyed one to be taken up under its key."""

    async def hang(request: Any) -> Reply:
        assert stage.engine.interrupt(grace=60) is True
        await asyncio.sleep(0)
        assert stage.engine.interrupt(grace=60) is False
        await asyncio.Event().wait()
        raise AssertionError

    task = submit_with_wait(stage, provider, hang)
    assert (task.state.kind, task.charged) == (kind, "unknown")
    assert len(stage.apis[provider].sent) == 1
    if provider == KEYED:
        stage.script(KEYED, accepted())
        ended = stage.play(stage.another().run(task, wait=False))
        assert ended.state.kind == "pending"


def test_p08_the_grace_period_ends_by_itself(stage: Stage) -> None:
    """Without a second signal the answer is given up when the grace period ends."""

    async def hang(request: Any) -> Reply:
        stage.engine.interrupt(grace=0.01)
        await asyncio.Event().wait()
        raise AssertionError

    assert submit_with_wait(stage, UNKEYED, hang).state.kind == "unknown"


def test_a_signal_while_waiting_for_a_rate_limit_buys_nothing(stage: Stage) -> None:
    """Stopped between two tries, the task is planned: the refused try bought nothing."""

    def limited(request: Any) -> Reply:
        stage.engine.interrupt(grace=60)
        return error(429, Retry_After="30")

    task = submit_with_wait(stage, UNKEYED, limited)
    assert (task.state.kind, task.charged) == ("new", "no")


# -- two at one task


def test_s07_a_second_process_waits_and_buys_nothing(stage: Stage) -> None:
    """Of two processes with one task, one buys and collects; the other watches and returns the same files."""
    task = stage.task()
    stage.script(KEYED, accepted(), running(), succeeded())
    with stage.stranger() as ledger:
        other = stage.another(ledger)

        async def both() -> list[Task]:
            return list(await asyncio.gather(stage.engine.run(task), other.run(task)))

        first, second = stage.play(both())
    assert first == second
    assert first.state.kind == "saved"
    assert len(sent(stage, KEYED)) == 1
    assert len(stage.files()) == 1


@pytest.mark.parametrize("state", [None, Sending(at=0.0)])
def test_s07_without_waiting_the_second_still_sees_the_purchase_through(stage: Stage, state: Any) -> None:
    """With --no-wait the second process waits for the first one's purchase, so that it can name the handle."""
    task = stage.task()
    with stage.stranger() as ledger:
        assert ledger.claim(task.id)
        if state:
            ledger.save(moved(task, state=state))

        async def buy(seconds: float) -> None:
            ledger.save(moved(task, state=Pending(task_id="task_1"), task_id="task_1", charged="yes"))
            await asyncio.sleep(0)

        stage.engine.sleep = buy
        ended = stage.run(task, wait=False)
    assert ended.handle == "rivya:task_1"
    assert KEYED not in stage.apis


def test_s07_watching_ends_with_the_deadline(stage: Stage) -> None:
    """A process that watches another one stops at its own limit, and leaves the task alone."""
    task = stage.task()
    with stage.stranger() as ledger:
        assert ledger.claim(task.id)
        ended = stage.run(task, limit=3.0)
    assert ended == task
    assert KEYED not in stage.apis
    assert sum(stage.clock.slept) == pytest.approx(3.0)


def test_s07_what_a_dead_process_left_is_taken_up_with_this_calls_target(stage: Stage, tmp_path: Path) -> None:
    """When the process that is watched lets go, the watcher goes on where it was and saves where this call says."""
    task = stage.task(UNKEYED)
    mine = moved(task, target=replace(task.target, template=str(tmp_path / "mine{ext}")))
    stage.script(UNKEYED, succeeded(UNKEYED))
    with stage.stranger() as ledger:
        assert ledger.claim(task.id)
        looks = 0

        async def look(seconds: float) -> None:
            nonlocal looks
            looks += 1
            if looks == 2:
                pending = Pending(task_id="task_1", ref={"task_id": "task_1"})
                ledger.save(moved(task, state=pending, task_id="task_1", charged="yes"))
                ledger.release(task.id)
            await asyncio.sleep(0)

        stage.engine.sleep = look
        ended = stage.run(mine)
    assert ended.state.kind == "saved"
    assert (tmp_path / "mine.png").exists()
    assert not stage.apis[UNKEYED].of("POST")


def test_s07_a_stale_plan_never_buys_again(stage: Stage) -> None:
    """A process that read the task before another one bought it takes up what the ledger says now."""
    stale = stage.task(UNKEYED)
    stage.ledger.save(moved(stale, state=Sending(at=stage.clock.now), charged="unknown"))
    ended = stage.run(stale)
    assert ended.state.kind == "unknown"
    assert not stage.apis[UNKEYED].sent


def test_s07_what_another_process_saved_meanwhile_is_not_fetched_again(stage: Stage) -> None:
    """A process that read "pending" before another one saved the result returns that result."""
    pending = stage.task(state=Pending(task_id="task_1"), task_id="task_1", charged="yes")
    stage.script(KEYED, succeeded())
    saved = stage.run(pending)
    assert stage.run(pending) == saved
    assert len(stage.apis[KEYED].sent) == 1


def test_a_network_error_has_its_hint(stage: Stage) -> None:
    """What the transport says of an unreachable provider reaches the user with its hint."""
    state = failing(UNKEYED, stage, *[NotSent(NetworkError("no route", hint="check the network"))] * 4)
    assert (state.message, state.hint) == ("no route", "check the network")


# -- the budget of all repeats


def test_thousands_of_tasks_do_not_each_try_four_times(stage: Stage) -> None:
    """While a provider is down, the repeats of all tasks together are bounded; each task ends as not bought."""
    stage.script(UNKEYED, refused_connection(), forever=True)
    engine = stage.another(repeats=Repeats(tokens=50, most=50))
    ended = stage.play(engine.run_all([stage.task(UNKEYED) for _ in range(30)]))
    assert {(task.state.kind, task.charged) for task in ended} == {("failed", "no")}
    assert len(sent(stage, UNKEYED)) == 30 + 10


def test_a_provider_that_slows_a_batch_down_does_not_end_it(stage: Stage) -> None:
    """A task that is bought after a pause gives back what its repeats took, so the next ones may repeat too."""
    engine = stage.another(repeats=Repeats(tokens=10, most=10), submits=1)
    for number in range(12):
        stage.script(UNKEYED, error(429, Retry_After="1"), accepted(UNKEYED, f"task_{number}"))
        assert stage.play(engine.run(stage.task(UNKEYED), wait=False)).state.kind == "pending"
    assert engine.repeats.tokens == 10


def test_uploads_repeat_from_the_same_budget(stage: Stage, tmp_path: Path) -> None:
    """Without tokens an upload that breaks is not sent again, and nothing was bought."""
    stage.script(KEYED, lost())
    engine = stage.another(repeats=Repeats(tokens=0))
    ended = stage.play(engine.run(stage.task(media=(local(tmp_path),))))
    assert (ended.state.kind, ended.charged) == ("failed", "no")
    assert len(stage.apis[KEYED].of("POST")) == 1


def test_the_deadline_of_retry_after_is_the_engines(stage: Stage) -> None:
    """An engine that may wait longer obeys a longer Retry-After."""
    stage.script(UNKEYED, error(429, Retry_After="600"), accepted(UNKEYED))
    engine = stage.another(repeats=Repeats(retry_after_cap_s=900))
    assert stage.play(engine.run(stage.task(UNKEYED), wait=False)).state.kind == "pending"


# -- what mutants showed to be unproven


@pytest.mark.parametrize(("route", "words"), [("sync", "--async asks for a task"), (None, "")])
def test_a_doubt_about_a_synchronous_answer_says_what_is_lost(stage: Stage, route: str | None, words: str) -> None:
    """Of an answer that was all, nothing can be fetched; the route that gives a task is named."""
    task = submit(stage, UNKEYED, lost(), route=route)
    assert isinstance(task.state, Unknown)
    assert ("cannot be fetched" in task.state.reason) is (route == "sync")
    assert words in task.state.reason


def test_an_amount_below_zero_leaves_a_finished_task_charged(stage: Stage) -> None:
    """What nobody can have been paid says nothing: a delivered result is bought."""
    stage.script(KEYED, accepted(KEYED), succeeded(KEYED, final_credits=-1))
    task = stage.run(stage.task(KEYED))
    assert (task.state.kind, task.charged) == ("saved", "yes")


def test_a_file_that_is_there_already_is_not_uploaded_again(stage: Stage) -> None:
    """A medium with an address goes as it is, whatever file it came from."""
    file = LocalFile(path="/nowhere/a.png", sha256="a" * 64, size=3, mime="image/png", width=512, height=512)
    media = (Media(role="edit_source", kind="image", file=file, url="https://cdn.example/a.png"),)
    task = submit(stage, KEYED, accepted(KEYED), verb="edit", media=media)
    assert task.state.kind == "pending"
    assert [request.path for request in stage.apis[KEYED].sent] == ["/api/v1/generations"]
