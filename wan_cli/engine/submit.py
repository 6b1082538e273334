"""The paid step. ``Sending`` is durable before the first byte of a purchase leaves this machine.

Invariants (reliability.md 4.4): nothing is sent unless ``Sending`` is committed; an unclear outcome is never sent again
without a documented key; what came back is durable before anything else is done with it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from wan_cli.engine.loop import Engine, Service, Stopped
from wan_cli.errors import Charged, FileInvalid, InternalError, NetworkError, StateUnusable, WanError
from wan_cli.models import (
    Cost,
    Done,
    Facts,
    Failed,
    LocalFile,
    New,
    Pending,
    Sending,
    Task,
    TaskChanged,
    Unknown,
    Upload,
    Warned,
)
from wan_cli.registry import capabilities
from wan_cli.text import one_line, safe_text
from wan_cli.transport.client import AnswerLost, NotSent
from wan_cli.transport.drive import Refusal, drive
from wan_cli.transport.retry import KEYED_WINDOW_S, Again, Later, Purchase, Refused, Unclear, Verdict, judge

if TYPE_CHECKING:
    import httpx

    from wan_cli.models import Answer

_EXPIRES = re.compile(r"[?&]Expires=(\d{9,11})(?:&|$)", re.ASCII)
"""When a signed address of Alibaba's object store ends, in seconds since the epoch."""

KEPT_RAW = 64 * 1024
"""Characters of an unreadable answer that stay with the task; the ledger's attempt has all of it."""


async def submit(engine: Engine, task: Task) -> Task:
    """From ``New``: upload what has to be, then buy."""
    service = engine.service(task.provider)
    try:
        task = await _uploaded(engine, task, service)
    except WanError as error:
        return engine.save(replace(task, state=failed(error), charged="no"))
    async with engine.gate(task.provider):
        return await _buy(engine, task, service, Purchase(service.provider.idempotent, engine.now()))


async def resume(engine: Engine, task: Task) -> Task:
    """From ``Sending``: a process ended between the request and its answer."""
    state = task.state
    if not isinstance(state, Sending):
        raise InternalError(f"{task.id} is not being sent")
    service = engine.service(task.provider)
    ended = Unclear("wan was ended before the answer came")
    remembered = 0 <= engine.now() - state.at <= KEYED_WINDOW_S
    if service.provider.idempotent and remembered and not task.job.prompt.startswith("sha256:"):
        async with engine.gate(task.provider):
            return await _buy(engine, task, service, Purchase(keyed=True, begun=state.at, doubt=ended, unclear=1))
    return _unknown(engine, task, ended)


async def upload(
    engine: Engine, service: Service, file: LocalFile, *, model: str, trace: str, key_print: str
) -> Upload:
    """Upload one file, or find that it was uploaded within the last day. Raises ``WanError``; nothing was bought."""
    name, origin = service.provider.name, service.api.origin
    known = engine.ledger.known_upload(
        sha256=file.sha256, provider=name, origin=origin, key_print=key_print, now=engine.now()
    )
    if known:
        return known
    tries = Purchase(keyed=True, begun=engine.now())  # uploads are free and may be repeated (reliability.md section 5)
    while True:
        verdict: Verdict
        try:
            flow = service.provider.upload(file, model=model, trace=trace)
            found = await engine.unless(engine.stop, drive(flow, service.provider, service.api.send))
        except NotSent as lost:
            verdict = Refused(lost.error) if lost.final else Later(lost.error)
        except AnswerLost as lost:
            verdict = Unclear(lost.reason)
        except Refusal as refusal:
            verdict = judge(service.provider, refusal.fault, date=refusal.date)
        else:
            engine.ledger.remember_upload(
                sha256=file.sha256, provider=name, origin=origin, key_print=key_print, upload=found
            )
            return found
        match tries.after(verdict, engine.now(), engine.rand()):
            case Again(wait):
                await engine.pause(wait)
            case Refused(refused):
                raise refused
            case Unclear(reason):
                raise NetworkError(
                    f"the upload of {file.name} to {name} failed: {reason}", hint="run the command again"
                )


async def _uploaded(engine: Engine, task: Task, service: Service) -> Task:
    """Bring local files to a provider that wants them uploaded; the ledger knows those that are there already."""
    if not service.provider.uploads:
        return task
    media = []
    for item in task.job.media:
        if item.file is None or item.url:
            media.append(item)
            continue
        engine.tell(TaskChanged(task=task, note=f"uploading {item.file.name}"))
        async with engine.upload_turn(task.provider, item.file.sha256):
            found = await upload(
                engine, service, item.file, model=task.job.model, trace=task.token, key_print=task.key_print
            )
        media.append(replace(item, url=found.url, duration_token=found.duration_token))
    return replace(task, job=replace(task.job, media=tuple(media)))


async def _buy(engine: Engine, task: Task, service: Service, purchase: Purchase) -> Task:
    """Send the purchase until its outcome is known, or it may not be sent again."""
    # a refused purchase that is tried again under its user's key has attempts that are evidence
    attempts = max(len(engine.ledger.attempts(task.id)), task.state.attempts if isinstance(task.state, Sending) else 0)
    while True:
        await engine.pause(max(0.0, engine.cool_until.get(service.api.origin, 0.0) - engine.monotonic()))
        attempts += 1
        if purchase.doubt is None:
            purchase.begun = engine.now()
        sending = Sending(at=purchase.begun, attempts=attempts)
        submitted = task.submitted_at or engine.now()
        repeated = purchase.doubt is not None
        answer: Answer | Verdict
        try:
            task = engine.save(
                replace(task, state=sending, submitted_at=submitted, charged="unknown", charge_basis="assumed")
            )
            answer = await _attempt(engine, task, service, attempts, repeated=repeated)
        except StateUnusable as unusable:  # no durable record: nothing is sent
            answer = Refused(unusable)
        if not isinstance(answer, (Refused, Later, Unclear)):
            return _accepted(engine, task, service, answer)
        match purchase.after(answer, engine.now(), engine.rand()):
            case Again(wait, reason):
                if isinstance(answer, Later) and answer.wait:
                    engine.cool_until[service.api.origin] = engine.monotonic() + wait
                if purchase.doubt is None:
                    task = engine.save(replace(task, state=New(), charged="no"), f"{reason}; again in {wait:.0f} s")
                else:
                    engine.tell(TaskChanged(task=task, note=reason))
                await engine.pause(wait)
            case Refused(error):
                return engine.save(replace(task, state=failed(error), charged="no", request_id=error.request_id))
            case Unclear() as doubt:
                return _unknown(engine, task, doubt)


async def _attempt(engine: Engine, task: Task, service: Service, number: int, *, repeated: bool) -> Answer | Verdict:
    """Send it once. A first signal waits for the answer; a second one, or the grace period's end, gives it up."""
    sync = service.provider.synchronous or task.job.route == "sync"

    async def send(request: httpx.Request) -> httpx.Response:
        body = request.content.decode("utf-8", "replace")
        digest = hashlib.sha256(request.content).hexdigest()
        engine.ledger.record_attempt(task.id, number, body=body, body_sha256=digest, at=engine.now())
        response = await service.api.send(request, paid=True, sync=sync, pictures=task.job.n if sync else 0)
        # what came back is durable before it is read (reliability.md R01)
        _record(engine, task, number, "answered", response.status_code, response.content)
        return response

    flow = service.provider.submit(task.job, token=task.token)
    engine.submitting += 1
    try:
        return await engine.unless(engine.abandon, drive(flow, service.provider, send))
    except Stopped:
        return Unclear("waiting for the answer was given up")
    except NotSent as lost:
        return Refused(lost.error) if lost.final else Later(lost.error)
    except FileInvalid as error:  # the file changed; its last piece never left, so the request was never whole
        return Refused(error)
    except Refusal as refusal:
        return judge(service.provider, refusal.fault, repeated=repeated, date=refusal.date)
    except AnswerLost as lost:
        _record(engine, task, number, "unclear", lost.status, lost.raw)
        return Unclear(lost.reason, lost.status, lost.raw)
    finally:
        engine.submitting -= 1


def _record(engine: Engine, task: Task, number: int, verdict: str, status: int | None, raw: bytes) -> None:
    """Keep what came back. A ledger that fails now must not cost the answer (reliability.md S02)."""
    try:
        engine.ledger.record_answer(task.id, number, verdict=verdict, http_status=status, raw=raw)
    except StateUnusable as error:
        engine.tell(Warned(message=error.message, task=task))


def _accepted(engine: Engine, task: Task, service: Service, answer: Answer) -> Task:
    if isinstance(answer, Done) and not answer.outputs and answer.task_id:
        answer = service.provider.adopt(answer.task_id)  # a task that ended without a result is asked again (R11)
    task = replace(task, charged="yes", charge_basis=service.provider.accepted_basis, trouble=None)
    return engine.save(learn(task, answer, engine.now()))


def learn(task: Task, answer: Answer, now: float) -> Task:
    """Lay a provider's answer over the task: state, id, cost, what it says beside."""
    facts = answer.facts or Facts()
    ended = not isinstance(answer, Pending)
    task = replace(
        task,
        state=answer,
        task_id=(answer.task_id if isinstance(answer, (Pending, Done)) else None) or task.task_id,
        request_id=facts.request_id or task.request_id,
        revised_prompt=facts.revised_prompt or task.revised_prompt,
        usage=facts.usage or task.usage,
        finished_at=(task.finished_at or facts.finished_at or now) if ended else None,
    )
    if isinstance(answer, Done):
        task = replace(task, expires_at=_expiry(task, answer))
    if ended and facts.charged_amount is not None:
        charged: Charged = "yes" if facts.charged_amount else "no"
        cost = Cost(estimated=task.cost.estimated, actual=facts.charged_amount, unit=task.cost.unit)
        return replace(task, cost=cost, charged=charged, charge_basis="provider")
    if isinstance(answer, Failed):
        return replace(task, charged=answer.charged, charge_basis="assumed")
    if answer.kind == "cancelled":
        return replace(task, charged="unknown", charge_basis="assumed")
    return task


def _expiry(task: Task, answer: Done) -> float | None:
    """Return when the first address expires: as it says itself, else as the provider documents (epoch seconds)."""
    stated = [float(found[1]) for output in answer.outputs if (found := _EXPIRES.search(output.url or ""))]
    if stated:
        return min(stated)
    hours = capabilities(task.provider).result_hours
    return None if hours is None or task.finished_at is None else task.finished_at + hours * 3600


def failed(error: WanError) -> Failed:
    """Turn an error that ended a task with nothing bought into its state."""
    return Failed(
        code=error.code, message=error.message, hint=error.hint, charged="no", provider_code=error.provider_code,
        http_status=error.http_status, retry_after_s=error.retry_after_s,
    )  # fmt: skip


def _unknown(engine: Engine, task: Task, doubt: Unclear) -> Task:
    raw = safe_text(doubt.raw.decode("utf-8", "replace"), KEPT_RAW) or None
    state = Unknown(reason=one_line(doubt.reason), raw=raw, http_status=doubt.status)
    return engine.save(replace(task, state=state, charged="unknown", charge_basis="assumed"))
