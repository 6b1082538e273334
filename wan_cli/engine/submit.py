"""The paid step. ``Sending`` is durable before the first byte of a purchase leaves this machine.

Invariants (reliability.md 4.4): nothing is sent unless ``Sending`` is committed; an unclear outcome is never sent again
without a documented key; what came back is durable before anything else is done with it.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from wan_cli.dataclass import replace
from wan_cli.engine.compare import odd_amount
from wan_cli.engine.explain import oversize, shortfall
from wan_cli.engine.learning import learn
from wan_cli.engine.loop import Engine, Service
from wan_cli.engine.pace import pause_asked
from wan_cli.engine.readback import read_back
from wan_cli.engine.signals import Stopped
from wan_cli.engine.uploads import uploaded
from wan_cli.errors import FileInvalid, InternalError, RateLimited, StateUnusable, WanError
from wan_cli.models import (
    Done,
    Failed,
    New,
    Pending,
    Sending,
    Task,
    TaskChanged,
    Unknown,
    Warned,
)
from wan_cli.registry import capabilities
from wan_cli.text import one_line, safe_text
from wan_cli.transport.client import AnswerLost, NotSent
from wan_cli.transport.drive import Refusal, drive
from wan_cli.transport.lost import GIVEN_UP
from wan_cli.transport.retry import Again, Later, Purchase, Refused, Unclear, Verdict, judge

if TYPE_CHECKING:
    import httpx

    from wan_cli.models import Answer

KEPT_RAW = 64 * 1024
"""Characters of an unreadable answer that stay with the task; the ledger's attempt has all of it."""


async def submit(engine: Engine, task: Task) -> Task:
    """From ``New``: upload what has to be, then buy."""
    service = engine.service(task.provider)
    try:
        task = await uploaded(engine, task, service)
    except WanError as error:
        return await engine.save(replace(task, state=failed(error), charged="no"))
    async with engine.pace(task.provider).turn(task):
        return await _buy(
            engine,
            task,
            service,
            Purchase(keyed=service.provider.idempotent, begun=engine.now(), repeats=engine.repeats),
        )


async def resume(engine: Engine, task: Task) -> Task:
    """From ``Sending``: a process ended between the request and its answer."""
    state = task.state
    if not isinstance(state, Sending):
        raise InternalError(f"{task.id} is not being sent")
    service = engine.service(task.provider)
    match await read_back(engine, task, service):
        case Refused(error):
            return await engine.save(replace(task, state=failed(error), charged="no", request_id=error.request_id))
        case None:
            pass
        case answer:
            return await _accepted(engine, task, service, answer)
    ended = Unclear("wan was ended before the answer came")
    remembered = 0 <= engine.now() - state.at <= engine.repeats.keyed_window_s
    if service.provider.idempotent and remembered and not task.job.prompt.startswith("sha256:"):
        async with engine.pace(task.provider).turn(task):
            again = Purchase(keyed=True, begun=state.at, doubt=ended, unclear=1, repeats=engine.repeats)
            return await _buy(engine, task, service, again)
    return await _unknown(engine, task, ended)


async def resend(engine: Engine, task: Task, purchase: Purchase) -> Task:
    """Send a purchase in doubt again, under the task's token, because a person said so.

    The doubt of ``purchase`` stays unless this one is accepted: what an earlier request did is not known from a
    refusal of the next. Raises ``WanError`` where a file cannot be uploaded; nothing was sent then.
    """
    service = engine.service(task.provider)
    task = await uploaded(engine, task, service)
    async with engine.pace(task.provider).turn(task):
        return await _buy(engine, task, service, purchase)


async def _buy(engine: Engine, task: Task, service: Service, purchase: Purchase) -> Task:
    """Send the purchase until its outcome is known, or it may not be sent again."""
    # a refused purchase that is tried again under its user's key has attempts that are evidence
    known = [attempt.n for attempt in engine.ledger.attempts(task.id)]
    task = _spelled(task, service)
    attempts = max([task.state.attempts if isinstance(task.state, Sending) else 0, *known])
    while True:
        await engine.pause(max(0.0, engine.cool_until.get(service.api.origin, 0.0) - engine.monotonic()))
        if purchase.doubt is None and (why := engine.hold_back(task)):
            return await engine.save(replace(task, state=failed(why), charged="no"))
        attempts += 1
        if purchase.doubt is None:
            purchase.begun = engine.now()
        sending = Sending(at=purchase.begun, attempts=attempts)
        submitted = task.submitted_at or engine.now()
        repeated = purchase.doubt is not None
        answer: Answer | Verdict
        before, task = task, replace(
            task, state=sending, submitted_at=submitted, charged="unknown", charge_basis="assumed"
        )  # fmt: skip
        engine.submitting += 1
        try:
            answer = await _attempt(engine, task, service, attempts, repeated=repeated)
        except StateUnusable as unusable:  # no durable record: nothing is sent
            task, answer = before, Refused(unusable)
        finally:
            engine.submitting -= 1
        if not isinstance(answer, (Refused, Later, Unclear)):
            purchase.succeeded()
            engine.pace(task.provider).taken()
            return await _accepted(engine, task, service, answer, just_now=purchase.doubt is None)
        match purchase.after(answer, engine.now(), engine.rand()):
            case Again(wait, reason):
                _slow_down(engine, task, service, answer, wait)
                if purchase.doubt is None:
                    when = f"{reason}; again in {wait:.0f} s"
                    task = await engine.save(replace(task, state=New(), charged="no"), when)
                else:
                    engine.tell(TaskChanged(task=task, note=reason))
                await engine.pause(wait)
                await engine.pace(task.provider).again(task)
            case Refused(error):
                engine.pace(task.provider).refused(error)
                await shortfall(engine, task, service, error)
                return await engine.save(replace(task, state=failed(error), charged="no", request_id=error.request_id))
            case Unclear() as doubt:
                engine.pace(task.provider).doubted()
                return await _unknown(engine, task, doubt, answer)


def _spelled(task: Task, service: Service) -> Task:
    """Name the provider's model where it has several for what the catalogue has as one."""
    made_by = service.provider.model_for(task.job)
    usual = service.provider.model_id(task.job.model)
    return task if made_by == usual else replace(task, provider_model=made_by)


def _slow_down(engine: Engine, task: Task, service: Service, answer: Verdict, wait: float) -> None:
    """Let the other purchases at this provider know what this one was told."""
    if isinstance(answer, Later) and isinstance(answer.error, RateLimited):
        engine.pace(task.provider).slower()
        if answer.wait:
            engine.cool(task.provider, service.api.origin, wait)


async def _attempt(engine: Engine, task: Task, service: Service, number: int, *, repeated: bool) -> Answer | Verdict:
    """Send ``task``, whose state says so, once; before that its state is durable, with its first request.

    A first signal waits for the answer; a second one, or the grace period's end, gives it up. Raises ``StateUnusable``
    where nothing durable says that it is sent: then it is not.
    """
    sync = service.provider.synchronous or task.job.route == "sync"
    begun = False

    async def send(request: httpx.Request) -> httpx.Response:
        nonlocal begun
        body = request.content.decode("utf-8", "replace")
        digest = hashlib.sha256(request.content).hexdigest()
        record = partial(engine.ledger.record_attempt, task.id, number, body=body, body_sha256=digest, at=engine.now())
        await (engine.writing.do(record) if begun else engine.begin(task, record))
        begun = True
        response = await service.api.send(request, paid=True, sync=sync, pictures=task.job.n if sync else 0)
        if wait := pause_asked(response.headers, engine.now()):
            engine.cool(task.provider, service.api.origin, wait)
        # what came back is durable before it is read (reliability.md R01)
        await _record(engine, task, number, "answered", response.status_code, response.content)
        return response

    flow = service.provider.submit(task.job, token=task.token)
    try:
        return await engine.unless(engine.abandon, drive(flow, service.provider, send))
    except NotSent as lost:
        return Refused(lost.error) if lost.final else Later(lost.error, slow=lost.slow)
    except FileInvalid as error:  # the file changed; its last piece never left, so the request was never whole
        return Refused(error)
    except Refusal as refusal:
        patience = engine.repeats.retry_after_cap_s
        verdict = judge(service.provider, refusal.fault, repeated=repeated, date=refusal.date, patience=patience)
        files = [media.file for media in task.job.media if media.file]
        return oversize(verdict, service.provider.name, task.job.model, files)
    except (AnswerLost, Stopped) as ended:
        came = ended if isinstance(ended, AnswerLost) else ended.__cause__
        if not begun and isinstance(came, StateUnusable):  # it was given up before anything could be sent
            raise came from None
        if not isinstance(came, AnswerLost):
            return Unclear(GIVEN_UP)
        await _record(engine, task, number, "unclear", came.status, came.raw)
        return Unclear(came.reason, came.status, came.raw, came.slow)


async def _record(engine: Engine, task: Task, number: int, verdict: str, status: int | None, raw: bytes) -> None:
    """Keep what came back. A ledger that fails now must not cost the answer (reliability.md S02)."""
    try:
        record = engine.ledger.record_answer
        await engine.writing.do(record, task.id, number, verdict=verdict, http_status=status, raw=raw)
    except StateUnusable as error:
        engine.tell(Warned(message=error.message, task=task))


async def _accepted(engine: Engine, task: Task, service: Service, answer: Answer, *, just_now: bool = False) -> Task:
    if isinstance(answer, Done) and not answer.outputs and answer.task_id:
        answer = service.provider.adopt(answer.task_id)  # a task that ended without a result is asked again (R11)
    if just_now and isinstance(answer, Pending):  # not where it may be an earlier request's task
        engine.foresight.accepted(task, engine.now())
    task = replace(task, charged="yes", charge_basis=service.provider.accepted_basis, trouble=None)
    return await settle(engine, task, answer)


async def settle(engine: Engine, task: Task, answer: Answer) -> Task:
    """Save what a provider's answer means for the task; an amount that is odd is flagged."""
    task = await engine.save(learn(task, answer, engine.now()))
    odd = odd_amount(answer.facts)
    return await engine.warn(task, odd) if odd else task


def failed(error: WanError) -> Failed:
    """Turn an error that ended a task with nothing bought into its state."""
    return Failed(
        code=error.code, message=error.message, hint=error.hint, charged="no", provider_code=error.provider_code,
        http_status=error.http_status, retry_after_s=error.retry_after_s,
    )  # fmt: skip


def stranded(task: Task, error: StateUnusable) -> Task:
    """Say of a task whose ledger cannot be used what is true of it; other tasks go on."""
    if task.state.kind == "new":
        return replace(task, state=failed(error), charged="no")
    trouble = Failed(code=error.code, message=error.message, hint=error.hint, charged=task.charged)
    return replace(task, trouble=trouble)


async def _unknown(engine: Engine, task: Task, doubt: Unclear, last: Verdict | None = None) -> Task:
    """End in doubt. A refusal of the ``last`` attempt is told beside: the doubt is about the one before it."""
    raw = safe_text(doubt.raw.decode("utf-8", "replace"), KEPT_RAW) or None
    provider, told = engine.service(task.provider).provider, f"; {task.provider} may have taken it"
    if told in doubt.reason:  # it was in doubt before it was sent again, and stays so for the reason that was given
        state = Unknown(reason=doubt.reason, raw=raw, http_status=doubt.status)
        return await _in_doubt(engine, task, state, last)
    reason = f"{one_line(doubt.reason)}{told}"
    if not provider.idempotent:  # under a key it is, as long as that is certain to be the same purchase
        reason += ", and wan does not send it again by itself"
    if task.job.route == "sync" or provider.synchronous:
        routes = capabilities(task.provider).routes
        reason += ". What was drawn cannot be fetched" + (": --async asks for a task" if "async" in routes else "")
    return await _in_doubt(engine, task, Unknown(reason=reason, raw=raw, http_status=doubt.status), last)


async def _in_doubt(engine: Engine, task: Task, state: Unknown, last: Verdict | None) -> Task:
    task = await engine.save(replace(task, state=state, charged="unknown", charge_basis="assumed"))
    if last is None or isinstance(last, Unclear):
        return task
    return await engine.warn(task, f"sent again, and refused: {one_line(last.error.message, 500)}")
