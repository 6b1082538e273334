"""The edges of the paid step: what each moment leaves in the ledger, and what an answer means for the task."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from support_engine import Reply, Stage, accepted, error, lost, refused_connection, running, succeeded

from wan_cli.engine import readback
from wan_cli.engine.learning import learn
from wan_cli.engine.submit import failed
from wan_cli.engine.uploads import upload
from wan_cli.errors import NetworkError, OverBudget, ProviderUnavailable, RateLimited, StateUnusable, WanError
from wan_cli.models import (
    Cancelled,
    Cost,
    Done,
    Facts,
    Failed,
    LocalFile,
    Media,
    New,
    Output,
    Pending,
    Sending,
    Task,
    TaskChanged,
    Unknown,
    Upload,
)
from wan_cli.transport.retry import Repeats

KEYED, UNKEYED = "rivya", "modelverse"
FULL = StateUnusable("the ledger cannot be written: no space left on device")
OLD = Failed(code="download_failed", message="an old trouble", charged="yes")
UPLOADED = Reply(200, {"id": "file_1", "url": "https://cdn.example/cat.png"})


def buy(stage: Stage, provider: str, *steps: Any, **said: Any) -> Task:
    """Buy one picture with ``steps`` as the provider's answers, and do not wait for it."""
    stage.script(provider, *steps)
    task: Task = stage.run(stage.task(provider, **said), wait=False)
    assert stage.stored(task) == task
    return task


def posts(stage: Stage, provider: str = KEYED) -> list[Any]:
    return stage.apis[provider].of("POST")


def interrupted(stage: Stage, provider: str, *, ago: float = 0.0, attempts: int = 1, **said: Any) -> Task:
    """Make what a killed process left: ``Sending``, begun ``ago`` seconds before, without an answer."""
    begun = stage.clock.now - ago
    task = stage.task(
        provider, state=Sending(at=begun, attempts=attempts), charged="unknown", submitted_at=begun, **said
    )
    for number in range(1, attempts + 1):
        stage.ledger.record_attempt(task.id, number, body="{}", body_sha256="00", at=begun)
    return task


# -- what each moment leaves


def test_a_purchase_leaves_at_once(stage: Stage) -> None:
    """With nothing to wait for, no time passes before it."""
    begun = stage.clock.now
    stage.engine.monotonic = lambda: 0.0  # a machine that has just been started
    buy(stage, KEYED, accepted())
    assert (posts(stage)[0].at, sum(stage.clock.slept)) == (begun, 0.0)


def test_a_repeat_keeps_when_the_doubt_began(stage: Stage) -> None:
    """While the second request is under way, the ledger has the first one's time, the count, and the doubt's charge."""
    begun, seen = stage.clock.now, []

    def look(request: Any) -> Reply:
        seen.append(stage.stored(task))
        return accepted()

    stage.script(KEYED, lost(), look)
    task = stage.task()
    ended = stage.run(task, wait=False)
    (sending,) = seen
    assert sending.state == Sending(at=begun, attempts=2)
    assert (sending.charged, sending.charge_basis, sending.submitted_at) == ("unknown", "assumed", begun)
    assert (ended.submitted_at, ended.charged, ended.charge_basis) == (begun, "yes", "contract")


def test_between_two_tries_the_ledger_says_that_nothing_was_sent(stage: Stage) -> None:
    """In the pause after a refused connection the task is a plan, and costs nothing."""
    seen: list[Task] = []
    sleep = stage.clock.sleep

    async def look(seconds: float) -> None:
        if seconds:
            seen.append(stage.stored(task))
        await sleep(seconds)

    stage.engine.sleep = look
    stage.script(UNKEYED, error(429, Retry_After="10"), accepted(UNKEYED))
    task = stage.task(UNKEYED)
    stage.run(task, wait=False)
    assert [(found.state, found.charged) for found in seen] == [(New(), "no")]
    assert any(note.endswith("; again in 11 s") for note in stage.notes())


def test_a_repeat_under_a_key_says_why(stage: Stage) -> None:
    """The note names the first failure, and the task stays in doubt meanwhile."""
    buy(stage, KEYED, lost("cut off"), accepted())
    assert "no clear answer (cut off); asking again under the same key" in stage.notes()


@pytest.mark.parametrize(("step", "row"), [(lost("cut", raw=b"{", status=200), ("unclear", 200, b"{")),
                                           (Reply(500, b"down"), ("answered", 500, b"down"))])  # fmt: skip
def test_the_evidence_says_how_it_came(stage: Stage, step: Any, row: tuple[str, int, bytes]) -> None:
    """An answer that broke off is kept as one, a whole one as answered."""
    task = buy(stage, UNKEYED, step)
    (attempt,) = stage.ledger.attempts(task.id)
    assert (attempt.verdict, attempt.http_status, attempt.raw, attempt.n) == (*row, 1)


def test_a_body_that_is_no_text_is_evidence_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed adapter may send any bytes: their hash is exact, and what can be read of them is kept."""
    import httpx

    from wan_cli.providers import load

    def send(self: Any, job: Any, *, token: str) -> Any:
        yield httpx.Request("POST", "https://rivya.ai/api/v1/generations", content=b"\xffwhole")
        return Pending(task_id="task_1")

    monkeypatch.setattr(load(KEYED), "submit", send)
    task = buy(stage, KEYED, accepted())
    (attempt,) = stage.ledger.attempts(task.id)
    assert (attempt.body, attempt.body_sha256) == ("\ufffdwhole", hashlib.sha256(b"\xffwhole").hexdigest())


def test_s02_evidence_that_cannot_be_kept_is_told(stage: Stage) -> None:
    """The answer counts all the same, and the warning is about the task."""
    stage.failing.broken["record_answer"] = lambda *_, **__: FULL
    task = buy(stage, KEYED, accepted())
    assert task.state.kind == "pending"
    assert stage.warnings() == [FULL.message]


# -- held back, and slowed down


def test_what_is_held_back_is_not_sent(stage: Stage) -> None:
    """The reason is the task's end, and it cost nothing; it is asked once for a purchase and never for its repeat."""
    asked: list[str] = []

    def hold(task: Task) -> WanError | None:
        asked.append(task.id)
        return OverBudget("that is over the budget", hint="raise it") if len(asked) > 1 else None

    stage.engine.hold_back = hold
    assert buy(stage, KEYED, lost(), accepted()).state.kind == "pending"
    assert len(asked) == 1
    ended = buy(stage, KEYED)
    assert isinstance(ended.state, Failed)
    assert (ended.state.code, ended.state.hint, ended.charged) == ("over_budget", "raise it", "no")
    assert len(posts(stage)) == 2


@pytest.mark.parametrize(("header", "until"), [({"Retry_After": "30"}, 33.0), ({}, None)])
def test_a_429_with_a_time_cools_its_origin(stage: Stage, header: dict[str, str], until: float | None) -> None:
    """The time that was asked for, with its jitter, holds for all purchases there; without one there is none."""
    begun = stage.clock.now
    buy(stage, KEYED, error(429, "rate_limited", **header), accepted())
    cooled = stage.engine.cool_until.get("https://rivya.ai")
    assert cooled == (pytest.approx(begun + until) if until else None)
    assert stage.engine.pace(KEYED).limit == pytest.approx(2.5)


def test_another_refusal_slows_nobody_down(stage: Stage) -> None:
    """Only a rate limit is about speed."""
    buy(stage, KEYED, refused_connection(), accepted())
    assert (stage.engine.pace(KEYED).limit, stage.engine.cool_until) == (4.0, {})


def test_headers_that_tell_of_no_room_hold_the_next_purchase(stage: Stage) -> None:
    """An accepted purchase whose answer says that it was the last for 30 s is followed by none before."""
    full = replace(accepted(), headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"})
    begun = stage.clock.now
    buy(stage, KEYED, full)
    buy(stage, KEYED, accepted(task_id="task_2"))
    assert [sent.at - begun for sent in posts(stage)] == [0, 30]


@pytest.mark.parametrize(
    ("steps", "count"), [([error(500)] * 3, 1), ([refused_connection()] * 4, 1), ([error(400)], 0)]
)
def test_what_was_given_up_counts_against_the_provider(stage: Stage, steps: list[Any], count: int) -> None:
    """A doubt and a failure that may pass count, a refusal does not; one that is taken starts anew."""
    pace = stage.engine.pace(KEYED)
    buy(stage, KEYED, *steps)
    assert pace.refusals == count
    buy(stage, KEYED, accepted())
    assert pace.refusals == 0


def test_purchases_under_way_are_counted_as_long_as_they_are(stage: Stage) -> None:
    """One while the answer is awaited, none after it, however it came."""
    seen: list[int] = []

    def look(request: Any) -> Reply:
        seen.append(stage.engine.submitting)
        return error(400)

    buy(stage, KEYED, look)
    assert (seen, stage.engine.submitting) == ([1], 0)


# -- what a repeat takes from the budget


@pytest.mark.parametrize(("slow", "left"), [(False, 95), (True, 90)])
@pytest.mark.parametrize("step", ["lost", "not sent"])
def test_a_repeat_after_a_deadline_costs_twice(stage: Stage, step: str, slow: bool, left: int) -> None:
    """Waiting in vain is dearer than being refused: ten tokens to five."""
    from wan_cli.transport.client import NotSent

    stage.engine.repeats = Repeats(tokens=100, most=100)
    fault = lost(slow=slow) if step == "lost" else NotSent(NetworkError("no"), slow=slow)
    seen: list[int] = []

    def look(request: Any) -> Reply:
        seen.append(stage.engine.repeats.tokens)
        return accepted()

    buy(stage, KEYED, fault, look)
    assert (seen, stage.engine.repeats.tokens) == ([left], 100)


# -- taken up again


@pytest.mark.parametrize(("ago", "sends"), [(0.0, 1), (590.0, 1), (600.5, 0)])
def test_p02_a_key_is_trusted_for_ten_minutes(stage: Stage, ago: float, sends: int) -> None:
    """From the very moment of the lost request to the end of its tenth minute."""
    task = interrupted(stage, KEYED, ago=ago)
    stage.script(KEYED, accepted())
    ended = stage.run(task, wait=False)
    assert (len(posts(stage)), ended.state.kind) == (sends, "pending" if sends else "unknown")
    assert ended.submitted_at == task.submitted_at


def test_p02_the_lost_attempt_counts(stage: Stage) -> None:
    """Two more are made under its key, and no third."""
    stage.script(KEYED, lost(), lost(), accepted())
    assert stage.run(interrupted(stage, KEYED), wait=False).state.kind == "unknown"
    assert len(posts(stage)) == 2


def test_p02_the_next_attempt_has_the_next_number(stage: Stage) -> None:
    """Evidence is never written over, whether the state or the record knows more attempts."""
    task = interrupted(stage, KEYED, attempts=2)
    stage.script(KEYED, accepted())
    stage.run(task, wait=False)
    assert [attempt.n for attempt in stage.ledger.attempts(task.id)] == [1, 2, 3]
    other = stage.task(state=Sending(at=stage.clock.now, attempts=4), charged="unknown")
    stage.script(KEYED, accepted(task_id="task_2"))
    stage.run(other, wait=False)
    assert [attempt.n for attempt in stage.ledger.attempts(other.id)] == [5]


@pytest.mark.parametrize("status", [400, 429])
def test_p03_a_refusal_on_record_has_its_details(stage: Stage, status: int) -> None:
    """The state has the provider's words, the task its request's id, and nothing was charged."""
    task = interrupted(stage, UNKEYED, prompt="sha256:" + "0" * 64)
    raw = b'{"error": {"code": "param_error", "message": "no such size"}, "request_id": "req_7"}'
    stage.ledger.record_answer(task.id, 1, verdict="answered", http_status=status, raw=raw)
    ended = stage.run(task)
    assert isinstance(ended.state, Failed)
    assert (ended.charged, ended.state.http_status, ended.request_id) == ("no", status, "req_7")
    assert "no such size" in ended.state.message
    assert posts(stage, UNKEYED) == []


def test_p03_a_refusal_of_a_repeat_on_record_says_nothing_of_the_first(stage: Stage) -> None:
    """Of two attempts only the second has an answer, and it is a no: the first stays in doubt."""
    task = interrupted(stage, UNKEYED, attempts=2, prompt="sha256:" + "0" * 64)
    stage.ledger.record_answer(task.id, 2, verdict="answered", http_status=400, raw=b'{"error": {"code": "bad"}}')
    assert stage.run(task).state.kind == "unknown"


@pytest.mark.parametrize(
    ("change", "kind"),
    [({}, "pending"), ({"verdict": "unclear"}, "unknown"), ({"http_status": None}, "unknown"),
     ({"n": 2}, "unknown"), ({"raw": None}, "unknown")],
)  # fmt: skip
def test_p03_only_a_whole_answer_to_the_last_attempt_is_read(stage: Stage, change: dict[str, Any], kind: str) -> None:
    """One that broke off, that has no status or text, or that answered another attempt, is none."""
    stage.script(UNKEYED, lost())
    task = stage.run(stage.task(UNKEYED))
    number = change.pop("n", 1)
    answer = {"verdict": "answered", "http_status": 200, "raw": b'{"output": {"task_id": "task_1"}}', **change}
    stage.ledger.save(replace(task, state=Sending(at=stage.clock.now, attempts=number)))
    if answer["raw"] is None:
        answer["raw"] = b""
    stage.ledger.record_answer(task.id, 1, **answer)
    after = stage.run(stage.stored(task), wait=False)
    assert (after.state.kind, len(posts(stage, UNKEYED))) == (kind, 1)


@pytest.mark.parametrize(("room", "kind"), [(1, "pending"), (0, "unknown")])
def test_p03_an_answer_as_long_as_what_is_kept_may_be_cut(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, room: int, kind: str
) -> None:
    """An answer that fills the ledger's limit exactly is taken for a piece; one byte less is whole."""
    stage.script(UNKEYED, lost())
    task = stage.run(stage.task(UNKEYED))
    raw = b'{"output": {"task_id": "task_1"}}'
    monkeypatch.setattr(readback, "MAX_RAW", len(raw) + room)
    stage.ledger.save(replace(task, state=Sending(at=stage.clock.now)))
    stage.ledger.record_answer(task.id, 1, verdict="answered", http_status=200, raw=raw)
    assert stage.run(stage.stored(task), wait=False).state.kind == kind


def test_p03_an_answer_to_another_request_is_not_read(stage: Stage) -> None:
    """Where the request on record is not the one that the task would send, its answer says nothing."""
    task = interrupted(stage, UNKEYED)
    raw = b'{"output": {"task_id": "task_1"}}'
    stage.ledger.record_answer(task.id, 1, verdict="answered", http_status=200, raw=raw)
    assert stage.run(task, wait=False).state.kind == "unknown"


# -- what an answer means


def known(stage: Stage) -> Task:
    """Make a task that knows something already."""
    return stage.task(
        add=False, charged="yes", charge_basis="contract", task_id="task_0", request_id="req_0",
        revised_prompt="a fox, oil", usage={"images": 1},
    )  # fmt: skip


def test_an_answer_adds_what_it_says_and_takes_nothing_away(stage: Stage) -> None:
    """What it says replaces what was known; what it leaves out stays."""
    task = known(stage)
    silent = learn(task, Pending(task_id="task_1"), 9.0)
    assert (silent.task_id, silent.request_id, silent.revised_prompt, silent.usage) == (
        "task_1", "req_0", "a fox, oil", {"images": 1},
    )  # fmt: skip
    facts = Facts(request_id="req_1", revised_prompt="two foxes", usage={"images": 2}, finished_at=3.0)
    told = learn(task, Done(outputs=(Output(url="https://c/1"),), facts=facts), 9.0)
    assert (told.task_id, told.request_id, told.revised_prompt, told.usage, told.finished_at) == (
        "task_0", "req_1", "two foxes", {"images": 2}, 3.0,
    )  # fmt: skip
    assert learn(task, Done(outputs=(), task_id="task_2"), 9.0).task_id == "task_2"
    assert learn(task, Failed(code="x", message="no"), 9.0).task_id == "task_0"


@pytest.mark.parametrize(
    ("before", "says", "ended", "after"),
    [
        (None, None, True, 9.0),
        (None, 3.0, True, 3.0),
        (2.0, 3.0, True, 2.0),
        (2.0, 3.0, False, None),
        (None, None, False, None),
    ],
)
def test_when_a_task_ended(
    stage: Stage, before: float | None, says: float | None, ended: bool, after: float | None
) -> None:
    """The first that is known counts: what was, what the provider says, now; while it is under way there is none."""
    facts = Facts(finished_at=says)
    answer = Failed(code="x", message="no", facts=facts) if ended else Pending(task_id="task_1", facts=facts)
    assert learn(replace(known(stage), finished_at=before), answer, 9.0).finished_at == after


@pytest.mark.parametrize(
    ("amount", "answer", "charged"),
    [(5, Done(outputs=()), "yes"), (0, Done(outputs=()), "no"), (-1, Done(outputs=()), "yes"),
     (-1, Failed(code="x", message="no"), "unknown"), (0, Failed(code="x", message="no"), "no"),
     (2, Cancelled(), "yes")],
)  # fmt: skip
def test_the_providers_amount_is_its_word(stage: Stage, amount: float, answer: Any, charged: str) -> None:
    """It decides the charge, in the unit of the estimate, which stays; below zero it decides nothing."""
    task = learn(known(stage), replace(answer, facts=Facts(charged_amount=amount)), 9.0)
    assert task.cost == Cost(estimated=5, actual=amount, unit="credits")
    assert (task.charged, task.charge_basis) == (charged, "provider")


def test_an_amount_before_the_end_is_not_final(stage: Stage) -> None:
    """While a task is under way, what it has cost so far changes nothing."""
    task = learn(known(stage), Pending(task_id="task_1", facts=Facts(charged_amount=0)), 9.0)
    assert (task.charged, task.charge_basis, task.cost.actual) == ("yes", "contract", None)


@pytest.mark.parametrize("charged", ["no", "yes", "unknown"])
def test_a_failure_without_an_amount_has_the_charge_that_it_says(stage: Stage, charged: Any) -> None:
    """It is an assumption."""
    task = learn(known(stage), Failed(code="x", message="no", charged=charged), 9.0)
    assert (task.charged, task.charge_basis) == (charged, "assumed")


def test_an_odd_amount_is_told(stage: Stage) -> None:
    """More than was reserved counts as reported, and is flagged once."""
    answer = Reply(200, {"id": "task_1", "status": "failed", "final_credits": 9, "reserved_credits": 5})
    task = buy(stage, KEYED, answer)
    assert task.warnings == ("the provider reports a charge of 9, more than the 5 it had reserved",)
    assert (task.cost.actual, task.charged) == (9, "yes")
    fair = buy(
        stage, KEYED, Reply(200, {"id": "task_2", "status": "failed", "final_credits": 5, "reserved_credits": 5})
    )
    assert fair.warnings == ()


def test_an_error_keeps_all_that_it_knows() -> None:
    """The state of a refused task has every word that a script may want."""
    wrong = RateLimited("slow down", hint="wait", provider_code="rate_limited", http_status=429, retry_after_s=7.0)
    assert failed(wrong) == Failed(
        code="rate_limited", message="slow down", hint="wait", charged="no", provider_code="rate_limited",
        http_status=429, retry_after_s=7.0,
    )  # fmt: skip


def test_a_refused_purchase_has_its_requests_id(stage: Stage) -> None:
    """It is what the provider's support asks for; the answer's other words are in the state."""
    body = {"error": {"code": "param_error", "message": "no"}, "request_id": "req_9"}
    task = buy(stage, UNKEYED, Reply(400, body))
    assert (task.request_id, task.state.provider_code, task.charged) == ("req_9", "param_error", "no")  # type: ignore[union-attr]


def test_an_accepted_purchase_has_no_trouble_left(stage: Stage) -> None:
    """What an earlier call met is over."""
    from wan_cli.engine import decide

    stage.script(UNKEYED, lost())
    task = stage.run(stage.task(UNKEYED))
    stage.ledger.save(replace(task, trouble=OLD))
    stage.script(UNKEYED, accepted(UNKEYED))

    async def again(engine: Any, found: Task) -> Task:
        return await decide.resubmit(engine, replace(found, trouble=OLD), found)

    assert stage.run(task, first=again, wait=False).trouble is None


# -- doubts

NO_REPEAT, ASYNC = "and wan does not send it again by itself", ": --async asks for a task"


@pytest.mark.parametrize(
    ("provider", "route", "reason"),
    [
        (KEYED, None, "cut off; rivya may have taken it"),
        (UNKEYED, None, f"cut off; modelverse may have taken it, {NO_REPEAT}"),
        (
            UNKEYED,
            "sync",
            f"cut off; modelverse may have taken it, {NO_REPEAT}. What was drawn cannot be fetched{ASYNC}",
        ),
    ],
)
def test_a_doubt_says_all_that_is_known(stage: Stage, provider: str, route: Any, reason: str) -> None:
    """Why, who may have taken it, and what follows; what came back stays with the task."""
    steps = [lost("cut off", raw=b"{half", status=200)] * (3 if provider == KEYED else 1)
    task = buy(stage, provider, *steps, route=route)
    assert task.state == Unknown(reason=reason, raw="{half", http_status=200)
    assert (task.charged, task.charge_basis, task.warnings) == ("unknown", "assumed", ())


def test_a_refused_repeat_is_told_beside_the_doubt(stage: Stage) -> None:
    """The doubt is the first one's; the refusal is a warning."""
    task = buy(stage, KEYED, lost("cut off"), error(400, "validation_failed", "bad"))
    assert task.state == Unknown(reason="cut off; rivya may have taken it")
    (said,) = task.warnings
    assert said.startswith("sent again, and refused: rivya refused: bad (validation_failed)")
    task = buy(stage, KEYED, lost("cut off"), error(400, "validation_failed", "x" * 2000))
    assert len(task.warnings[0]) == len("sent again, and refused: ") + 500


def test_p08_an_answer_that_was_given_up_says_so(stage: Stage) -> None:
    """The reason is that nobody waited, not that nothing came."""
    import asyncio

    async def hang(request: Any) -> Reply:
        stage.engine.interrupt(grace=0)
        await asyncio.Event().wait()
        raise AssertionError

    task = buy(stage, UNKEYED, hang)
    assert task.state.kind == "unknown"
    assert task.state.reason.startswith("waiting for the answer was given up; modelverse may have taken it")


@pytest.mark.parametrize("provider", [KEYED, UNKEYED])
def test_p08_what_came_of_an_answer_that_was_given_up_is_kept(stage: Stage, provider: str) -> None:
    """The bytes that were read when nobody waited any more are on record, and with the task where it ends so."""
    import asyncio

    raw = b'{"output":{"task_id":"mv-77"'

    async def begun(request: Any) -> Reply:
        stage.engine.interrupt(grace=0)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise lost("waiting for the answer was given up", raw=raw, status=200) from None
        raise AssertionError

    task = buy(stage, provider, begun)
    assert stage.rows("SELECT verdict, http_status, raw FROM attempt") == [("unclear", 200, raw)]
    if provider == UNKEYED:
        assert task.state.kind == "unknown"
        assert (task.state.raw, task.state.http_status) == (raw.decode(), 200)
        assert task.state.reason.startswith("waiting for the answer was given up; modelverse may have taken it")
    else:  # the next command sends it again, under the same token
        assert task.state.kind == "sending"


# -- uploads


CAT = LocalFile(path="/nowhere/cat.png", sha256="a" * 64, size=3, mime="image/png")


def up(stage: Stage, key_print: str = "k", file: LocalFile = CAT) -> Upload:
    """Upload a file for its own sake."""
    work = upload(stage.engine, stage.service(KEYED), file, model="wan2.7-image", trace="t", key_print=key_print)
    found: Upload = stage.play(work)
    return found


@pytest.mark.usefixtures("readable")
@pytest.mark.parametrize(
    ("step", "kind", "status"),
    [(Reply(500), ProviderUnavailable, 500), (Reply(503), ProviderUnavailable, 503), (Reply(408), NetworkError, 408),
     (lost("cut"), NetworkError, None)],
)  # fmt: skip
def test_an_upload_that_failed_says_whose_fault_it_is(
    stage: Stage, step: Any, kind: type[WanError], status: int | None
) -> None:
    """From 500 on it is the provider's, else the network's; the same command may be run again."""
    stage.script(KEYED, step, step, step)
    with pytest.raises(kind) as caught:
        up(stage)
    assert (caught.value.http_status, caught.value.hint) == (status, "run the command again")
    assert caught.value.message.startswith("the upload of cat.png to rivya failed: ")
    assert len(posts(stage)) == 3


@pytest.fixture
def readable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any file be sent."""
    from wan_cli.providers import load

    def send(self: Any, file: LocalFile, *, model: str, trace: str) -> Any:
        response = yield self.request("POST", "/api/v1/files", body={"name": file.name, "model": model, "trace": trace})
        return Upload(url=response.json()["url"])

    monkeypatch.setattr(load(KEYED), "upload", send)


@pytest.mark.usefixtures("readable")
def test_an_upload_belongs_to_the_key_it_was_made_with(stage: Stage) -> None:
    """Another account's file is not there for this one; the same one's is, and nothing is sent."""
    stage.script(KEYED, UPLOADED, UPLOADED)
    assert up(stage, "k") == up(stage, "k")
    assert len(posts(stage)) == 1
    up(stage, "other")
    assert len(posts(stage)) == 2


@pytest.mark.usefixtures("readable")
def test_h14_an_upload_that_is_too_large_is_named(stage: Stage) -> None:
    """The refusal says which file, how large, and what is taken."""
    stage.script(KEYED, error(413, None, "too large"))
    with pytest.raises(WanError) as caught:
        up(stage, file=replace(CAT, size=30_000_000))
    says = "; the largest reference is cat.png with 30.0 MB, and rivya takes up to 21.0 MB"
    assert caught.value.message.endswith(says)


@pytest.mark.usefixtures("readable")
def test_an_upload_that_came_through_gives_its_repeats_back(stage: Stage) -> None:
    """A free step takes from the budget only while it is tried."""
    stage.engine.repeats = Repeats(tokens=100, most=100)
    seen: list[int] = []

    def look(request: Any) -> Reply:
        seen.append(stage.engine.repeats.tokens)
        return UPLOADED

    stage.script(KEYED, lost(slow=True), refused_connection(), look)
    up(stage)
    assert (seen, stage.engine.repeats.tokens) == ([85], 100)


@pytest.mark.usefixtures("readable")
def test_a_provider_that_asks_for_time_gets_it_before_an_upload(stage: Stage) -> None:
    """Within the engine's patience the wait is kept; beyond it the user hears of it."""
    begun = stage.clock.now
    stage.script(KEYED, error(429, Retry_After="20"), UPLOADED, error(429, Retry_After="200"))
    up(stage)
    assert stage.clock.now - begun == pytest.approx(22)
    with pytest.raises(RateLimited) as caught:
        up(stage, "other")
    assert caught.value.retry_after_s == 200


@pytest.mark.usefixtures("readable")
def test_the_purchase_has_what_the_upload_gave(stage: Stage) -> None:
    """Address and token go with the task, a medium that has an address is left as it is, and the order stays."""
    given = Media(role="reference", kind="image", url="https://example.com/a.png")
    media = (given, Media(role="edit_source", kind="image", file=CAT))
    task = buy(stage, KEYED, UPLOADED, accepted(), verb="edit", media=media)
    assert [item.url for item in task.job.media] == [given.url, "https://cdn.example/cat.png"]
    assert task.job.media[0] == given
    files, generation = posts(stage)
    assert files.json == {"name": "cat.png", "model": "wan2.7-image", "trace": task.token}
    assert [item["url"] for item in generation.json["params"]["referenceMediaItems"]] == [
        given.url,
        "https://cdn.example/cat.png",
    ]


def test_a_plan_costs_nothing_while_its_files_go_up(stage: Stage, tmp_path: Any) -> None:
    """Whatever an earlier call left with it, nothing is bought yet, and that is what is told."""
    (tmp_path / "cat.png").write_bytes(b"cat")
    media = (Media(role="edit_source", kind="image", file=replace(CAT, path=str(tmp_path / "cat.png"))),)
    stage.script(KEYED, error(400, "validation_failed"))
    stage.run(stage.task(verb="edit", media=media, charged="unknown", submitted_at=1.0))
    told = [event.task for event in stage.events if isinstance(event, TaskChanged)]
    assert {(task.charged, task.submitted_at) for task in told} == {("no", None)}


def test_an_answer_that_is_all_there_is_counts_as_bought(stage: Stage) -> None:
    """A task that ends with its purchase is fetched by the same call."""
    stage.script(KEYED, succeeded(), running())
    task = stage.run(stage.task())
    assert (task.state.kind, task.charged, task.cost.actual) == ("saved", "yes", 5)
