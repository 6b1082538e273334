"""What a person decides about a task: whose purchase is unknown, or that is to end (reliability.md 4.7).

Each decision is taken on the task as the ledger has it, by the process that owns it. What it cannot do it refuses with
the task left as it was: an unknown purchase never turns into a new one without an explicit word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wan_cli.dataclass import replace
from wan_cli.engine.loop import Engine
from wan_cli.engine.origins import bought_elsewhere, elsewhere
from wan_cli.engine.signals import Stopped
from wan_cli.engine.submit import resend, settle
from wan_cli.errors import KeyRejected, OutcomeUnknown, StillRunning, UnsupportedOption, UsageError, WanError
from wan_cli.models import Cancelled, Done, New, Pending, Sending, Task, Unknown
from wan_cli.text import one_line
from wan_cli.transport.client import AnswerLost, NotSent
from wan_cli.transport.drive import Refusal, drive
from wan_cli.transport.retry import Purchase, Refused, Unclear, judge

if TYPE_CHECKING:
    from wan_cli.ledger import Ledger
    from wan_cli.ledger.attempts import Attempt
    from wan_cli.providers.base import Provider

KEY_LIFE_S = 86_400.0
"""How long after its first use a person may trust an idempotency key (reliability.md 4.6)."""
CLOCKS_APART_S = 600.0
"""How far a provider's clock may be off before its times say that a task is another one."""
ANSWERED = "answered"
"""The verdict of an attempt whose answer was kept before it was read."""
ENDED = "wan was ended before the answer came"


def taken(ledger: Ledger, task: Task) -> Task:
    """Become the one process that works on the task; return what the ledger has.

    Raises ``UsageError`` where another process that is alive works on it.
    """
    if not ledger.claim(task.id):
        message = f"another process is working on {task.name}"
        raise UsageError(message, hint=task.command("wait"), charged=task.charged)
    return ledger.get(task.id)


def doubt_of(task: Task) -> Unknown | None:
    """Return what is not known of the purchase; ``None`` where there is nothing to decide.

    A task that is still being sent, by no process that is alive, is in doubt too.
    """
    match task.state:
        case Unknown() as state:
            return state
        case Sending():
            return Unknown(reason=ENDED)
        case _:
            return None


def answered(ledger: Ledger, task: Task) -> bool:
    """Tell whether the answer to a purchase is on record, though its process ended before it was read."""
    state = task.state
    if not isinstance(state, Sending):
        return False
    last = ledger.attempts(task.id)[-1:]
    return any(attempt.verdict == ANSWERED and attempt.n == state.attempts for attempt in last)


def _in_doubt(ledger: Ledger, task: Task) -> Unknown:
    doubt = doubt_of(task)
    if doubt is None or answered(ledger, task):
        raise UsageError(
            f"{task.name} needs no decision", hint=task.command("wait" if doubt else "status"), charged=task.charged
        )  # fmt: skip
    return doubt


async def adopt(engine: Engine, task: Task, task_id: str) -> Task:
    """Take the task that the provider knows as ``task_id`` for the one whose answer was lost.

    The provider is asked once. Raises ``UsageError`` where it does not know that id or the task cannot be ours,
    ``OutcomeUnknown`` where it could not be asked; then nothing changes.
    """
    _in_doubt(engine.ledger, task)
    service = engine.service(task.provider)
    provider, pending = service.provider, service.provider.adopt(task_id)
    other = engine.ledger.find_handle(task.provider, task_id)
    if other is not None and other.id != task.id and other.job.model:
        message = f"{other.handle} is the task {other.id} here already"
        raise UsageError(message, hint=task.command("recover"), charged="unknown")
    try:
        answer = await engine.unless(engine.stop, drive(provider.poll(pending), provider, service.api.send))
    except Refusal as refusal:
        raise _not_known(task, provider, task_id, refusal) from refusal
    except (NotSent, AnswerLost) as lost:
        why = lost.error.message if isinstance(lost, NotSent) else lost.reason
        message = f"{task.provider} could not be asked about {task_id}: {one_line(why)}"
        raise OutcomeUnknown(message, hint=task.command("recover")) from lost
    facts, sent = answer.facts, task.submitted_at or task.created_at
    if facts and facts.finished_at is not None and facts.finished_at < sent - CLOCKS_APART_S:
        message = f"{task.provider}:{task_id} had finished before {task.id} was sent, so it is another task"
        raise UsageError(message, hint=task.command("recover"), charged="unknown")
    if isinstance(answer, Done) and not answer.outputs:
        answer = pending  # a task that ended without a result is asked again (R11)
    if other is not None and other.id != task.id:  # somebody looked at the handle first
        engine.ledger.drop(other.id)
    task = replace(task, charged="yes", charge_basis=provider.accepted_basis, trouble=None, task_id=task_id)
    return await settle(engine, task, answer)


def _not_known(task: Task, provider: Provider, task_id: str, refusal: Refusal) -> WanError:
    """Return why an id was not adopted, by what the provider said of it."""
    hint, said = task.command("recover"), one_line(refusal.fault.message) or f"HTTP {refusal.fault.status}"
    verdict = judge(provider, refusal.fault, date=refusal.date)
    if not provider.vanished(refusal.fault):
        if isinstance(verdict, Refused) and isinstance(verdict.error, KeyRejected):
            return KeyRejected(verdict.error.message, hint=f"mend the key, then {hint}", charged="unknown")
        if not isinstance(verdict, Refused):
            return OutcomeUnknown(f"{task.provider} could not be asked about {task_id}: {said}", hint=hint)
    message = f"{task.provider} knows no task {task_id} ({said}); nothing has changed, {task.id} is still unknown"
    return UsageError(message, hint=hint, charged="unknown")


def under_key(task: Task, attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return what was sent under the task's token: since it was last bought anew (``submitted_at``)."""
    since = task.submitted_at
    return [] if since is None else [attempt for attempt in attempts if attempt.at >= since]


def same_key_fault(provider: Provider, task: Task, attempts: Sequence[Attempt], now: float) -> str | None:
    """Return why the purchase cannot be sent again under its key, or ``None`` where it can.

    It has to be the very request, at the same origin, while the provider still knows the key. ``attempts`` are those
    of :func:`under_key`.
    """
    from wan_cli.providers.base import Unreadable

    if not provider.idempotent:
        return f"{task.provider} documents no idempotency key"
    if provider.origin != task.origin:
        return f"it was sent to {task.origin}, the base URL is {provider.origin}"
    if not attempts:
        return "no request under its key is on record"
    if not 0 <= now - attempts[0].at <= KEY_LIFE_S:
        return "its key was first sent more than 24 h ago, and may be forgotten"
    if task.job.prompt.startswith("sha256:"):
        return "its prompt was not stored"
    try:
        body = next(provider.submit(task.job, token=task.token)).content
    except (WanError, Unreadable, StopIteration) as error:
        return f"the request cannot be made again: {error}"
    if {hashlib.sha256(body).hexdigest()} != {attempt.body_sha256 for attempt in attempts}:
        return "the request would not be the same"
    return None


async def same_key(engine: Engine, task: Task) -> Task:
    """Send the purchase again under its key. Raises ``UsageError`` where that is not certain to be the same one."""
    doubt, service = _in_doubt(engine.ledger, task), engine.service(task.provider)
    attempts = under_key(task, engine.ledger.attempts(task.id))
    if fault := same_key_fault(service.provider, task, attempts, engine.now()) or _faded(engine, task):
        raise UsageError(f"--same-key: {fault}; nothing was sent", hint=task.command("recover"), charged="unknown")
    purchase = Purchase(True, attempts[0].at, _unclear(doubt), unclear=1)  # noqa: FBT003
    after = await resend(engine, task, purchase)
    return await engine.save(replace(after, state=doubt)) if doubt_of(after) else after


def _faded(engine: Engine, task: Task) -> str | None:
    """Tell of an uploaded file whose address is past its time: the same request would mean another one."""
    for item in task.job.media:
        if item.file is None or not item.url:
            continue
        found = engine.ledger.known_upload(
            sha256=item.file.sha256, provider=task.provider, origin=task.origin, key_print=task.key_print,
            now=engine.now(),
        )  # fmt: skip
        if found is None:
            return f"the uploaded {item.file.name} may no longer be there"
    return None


async def resubmit(engine: Engine, task: Task, fresh: Task) -> Task:
    """Buy once more, with the token, price, origin and key of ``fresh``: the earlier purchase may be charged too.

    Files are uploaded again where they have to be. A refusal leaves the task in doubt, as it was.
    """
    doubt, provider = _in_doubt(engine.ledger, task), engine.service(task.provider).provider
    media = tuple(
        item if item.file is None else replace(item, url=None, duration_token=None) for item in fresh.job.media
    )
    again = f"sent again at {_utc(engine.now())}; what was sent before may be charged too"
    anew = replace(
        task, token=fresh.token, cost=fresh.cost, origin=fresh.origin, key_print=fresh.key_print, submitted_at=None,
        job=replace(fresh.job, media=media), warnings=(*task.warnings, again),
    )  # fmt: skip
    purchase = Purchase(provider.idempotent, engine.now(), _unclear(doubt))
    try:
        after = await resend(engine, anew, purchase)
    except WanError as error:
        return await engine.warn(task, f"nothing was sent: {error.message}")
    except Stopped:
        if not purchase.unclear:  # in a pause after a refusal: the first purchase alone is in doubt, as it was
            await engine.save(replace(task, state=doubt, charged="unknown"))
        raise
    if doubt_of(after) is None:
        return after
    if not purchase.unclear:  # certainly not taken: what is in doubt is the first one alone, with its key
        after = replace(task, charged="unknown", warnings=after.warnings)
    return await engine.save(replace(after, state=doubt))


def _utc(seconds: float) -> str:
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _unclear(doubt: Unknown) -> Unclear:
    return Unclear(doubt.reason, doubt.http_status, (doubt.raw or "").encode("utf-8", "replace"))


def abandon(ledger: Ledger, task: Task, now: float) -> Task:
    """Close a task in doubt for good; whether it was charged stays unknown. Asks nobody. Raises ``UsageError``."""
    stored = taken(ledger, task)
    try:
        _in_doubt(ledger, stored)
        closed = Cancelled(message="abandoned; whether it was charged is not known")
        stored = replace(
            stored, state=closed, charged="unknown", charge_basis="assumed", finished_at=now, trouble=None
        )  # fmt: skip
        ledger.save(stored)
    finally:
        ledger.release(task.id)
    return stored


def call_off(ledger: Ledger, task: Task, now: float) -> Task:
    """Cancel a task that was planned and never sent. Raises ``UsageError`` where it may have been."""
    stored = taken(ledger, task)
    try:
        if not isinstance(stored.state, New) or stored.charged != "no":
            raise UsageError(f"{stored.name} was sent meanwhile", hint=stored.command("wait"), charged=stored.charged)
        stored = replace(stored, state=Cancelled(message="cancelled before anything was sent"), finished_at=now)
        ledger.save(stored)
    finally:
        ledger.release(task.id)
    return stored


def cancels(provider: type[Provider]) -> bool:
    """Tell whether a provider's adapter can cancel a task."""
    from wan_cli.providers.base import Provider

    return provider.cancel is not Provider.cancel


async def cancel(engine: Engine, task: Task) -> Task:
    """Ask the provider to cancel a task. Raises ``StillRunning`` where it goes on, with the reason."""
    state, service = task.state, engine.service(task.provider)
    if not isinstance(state, Pending):
        raise UsageError(f"{task.name} is not at the provider", hint=task.command("status"), charged=task.charged)
    if not cancels(type(service.provider)):
        raise UnsupportedOption(cannot_cancel(task.provider), hint=task.command("status"), charged=task.charged)
    if here := elsewhere(engine, task):
        return await bought_elsewhere(engine, task, here)
    try:
        flow = service.provider.cancel(state)
        answer = await engine.unless(engine.stop, drive(flow, service.provider, service.api.send))
    except Refusal as refusal:
        why = one_line(refusal.fault.message) or f"HTTP {refusal.fault.status}"
        message = f"{task.provider} did not cancel {task.name}: {why}"
        raise StillRunning(message, hint=task.command("wait"), charged=task.charged) from refusal
    except (NotSent, AnswerLost) as lost:
        why = lost.error.message if isinstance(lost, NotSent) else lost.reason
        message = f"whether {task.name} was cancelled is not known: {one_line(why)}"
        raise StillRunning(message, hint=task.command("status"), charged=task.charged) from lost
    return await settle(engine, replace(task, trouble=None), answer)


def cannot_cancel(provider: str) -> str:
    """Return what to say of a task that cannot be cancelled."""
    return f"{provider} documents no way to cancel a task: it goes on, and is charged"
