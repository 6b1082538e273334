"""The free steps: asking how a task is, and bringing its results to disk. Neither ever buys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.dataclass import dataclass, replace
from wan_cli.engine.expiry import day
from wan_cli.engine.learning import learn
from wan_cli.engine.loop import Engine, Service
from wan_cli.engine.submit import settle
from wan_cli.engine.waiting import pause
from wan_cli.errors import InternalError, KeyMissing, KeyRejected, WanError
from wan_cli.models import Done, Lost, Pending, Task, TaskChanged
from wan_cli.registry import capabilities
from wan_cli.retry_after import retry_after
from wan_cli.text import one_line
from wan_cli.transport.client import AnswerLost, NotSent
from wan_cli.transport.drive import Refusal, drive
from wan_cli.transport.retry import Refused, judge

if TYPE_CHECKING:
    import httpx

    from wan_cli.models import Answer

NEW_TASK_S = 30.0
"""A task may not be found at once where the provider's machines copy from each other (reliability.md T03)."""
VANISHED_SIGHTINGS = 3
VANISHED_S = 60.0
"""A task counts as gone after that many refusals over that many seconds (reliability.md T02)."""
EMPTY_POLLS = 3
EMPTY_S = 10.0
"""A task that ended without a result has to say so this often more, with this pause (reliability.md R11)."""
EMPTY_TRIES = 12
"""Questions in a row for that, answered or not."""
WARN_FAILURES = 10


@dataclass(slots=True)
class Patience:
    """What a run of polls has seen so far."""

    polls: int = 0
    failures: int = 0
    gone: int = 0
    gone_since: float = 0.0
    asked: float | None = None
    why: str = ""
    """Why the last poll had no answer."""
    pause: float | None = None
    """Seconds that the policy chose to wait for this poll; ``None`` where somebody or something else did."""
    running: float | None = None
    """The task's age in seconds when it was last known to go on."""

    @property
    def unasked(self) -> bool:
        """Whether no poll was answered."""
        return bool(self.polls) and self.failures == self.polls


async def poll(engine: Engine, task: Task, ends: float) -> Task:
    """From ``Pending``: ask until it ends, or until ``ends`` (monotonic seconds)."""
    service = engine.service(task.provider)
    seen = Patience(running=engine.foresight.since_acceptance(task))
    stated = capabilities(task.provider).polls
    while isinstance(task.state, Pending):
        expected, age = engine.foresight.expected(engine.ledger, task), engine.foresight.age(task, engine.now())
        wait = pause(
            task.job.makes, expected, age, seen.polls, engine.rand(), stated=stated, asked=seen.asked,
            failures=seen.failures,
        )  # fmt: skip
        seen.pause = wait if seen.asked is None and not seen.failures else None
        left = ends - engine.monotonic()
        if left <= 0:
            if seen.unasked:  # how it is, nobody knows
                task = await engine.warn(task, not_asked(task, seen.why))
                return await engine.trouble(task, "timeout_waiting", not_asked(task, seen.why))
            return await engine.trouble(task, "timeout_waiting", "still running; nothing is lost")
        await engine.pause(min(wait, left))
        task = await ask(engine, task, service, seen)
        if task.trouble and task.trouble.code != "timeout_waiting":
            return task
    return task


def not_asked(task: Task, why: str) -> str:
    """Return what to say of a task whose state is not known for fresh."""
    return f"{task.provider} could not be asked: {why}"


async def ask(engine: Engine, task: Task, service: Service, seen: Patience | None = None) -> Task:
    """Ask once and save what changed; a question that fails changes nothing."""
    state, seen = task.state, seen or Patience()
    if not isinstance(state, Pending):
        raise InternalError(f"{task.id} is not at the provider")
    seen.polls, seen.asked = seen.polls + 1, None

    async def send(request: httpx.Request) -> httpx.Response:
        response = await service.api.send(request)
        seen.asked = retry_after(response.headers.get("retry-after"), response.headers.get("date"))
        return response

    try:
        answer = await engine.unless(engine.stop, drive(service.provider.poll(state), service.provider, send))
    except Refusal as refusal:
        return await _refused(engine, task, service, refusal, seen)
    except (NotSent, AnswerLost) as lost:
        return await _broken(engine, task, lost.error.message if isinstance(lost, NotSent) else lost.reason, seen)
    except WanError as error:  # the key cannot be read, or is bound to another origin
        hint = f"set that key, then {task.command('wait')}" if isinstance(error, KeyMissing) else error.hint
        return await engine.trouble(task, error.code, error.message, hint)
    seen.failures = seen.gone = 0
    seen.gone_since = 0.0
    if task.charged == "unknown":  # adopted by its handle: now it is seen to exist
        task = await engine.note(replace(task, charged="yes", charge_basis=service.provider.accepted_basis))
    age = engine.foresight.age(task, engine.now())
    if isinstance(answer, Done) and not answer.outputs:
        again = await _without_result(engine, state, service)
        if again is None:
            message = "the provider reports success and names no result"
            gone = Lost(code="task_vanished", message=message)
            return await engine.save(replace(task, state=gone, finished_at=engine.now()))
        answer = again
    task = replace(task, trouble=None)
    if isinstance(answer, Pending):
        seen.running = age
        return await _still_pending(engine, task, state, answer)
    in_time = seen.pause if isinstance(answer, Done) else None  # one that failed says nothing of those that do not
    engine.foresight.ended(engine.ledger, task, seen.running, age, in_time)
    return await settle(engine, task, answer)


async def _still_pending(engine: Engine, task: Task, before: Pending, answer: Pending) -> Task:
    """Save a change of status; a poll that says what the last one said costs no write."""
    if (answer.note, answer.progress) == (before.note, before.progress):
        engine.tell(TaskChanged(task=task))
        return task
    if answer.note.startswith("status ") and not before.note.startswith("status "):
        odd = f"the provider reports an unknown {one_line(answer.note)}; taken as still running"
        task = await engine.warn(task, odd)
    task = learn(task, answer, engine.now())
    engine.writing.later(engine.ledger.save, task)  # nothing is lost with it
    engine.tell(TaskChanged(task=task))
    return task


async def _without_result(engine: Engine, state: Pending, service: Service) -> Answer | None:
    """Ask again for the result of a success. ``None`` says that it is certainly missing.

    Only questions that were answered count; where too few were, the task stays as it is.
    """
    answered = 0
    for _ in range(EMPTY_TRIES):
        await engine.pause(EMPTY_S)
        try:
            asked = drive(service.provider.poll(state), service.provider, service.api.send)
            again = await engine.unless(engine.stop, asked)
        except (Refusal, NotSent, AnswerLost, WanError):
            continue
        if not isinstance(again, Done) or again.outputs:
            return again
        answered += 1
        if answered == EMPTY_POLLS:
            return None
    return state


async def _refused(engine: Engine, task: Task, service: Service, refusal: Refusal, seen: Patience) -> Task:
    fault = refusal.fault
    if service.provider.vanished(fault):
        return await _gone(engine, task, fault.message, seen)
    verdict = judge(service.provider, fault, date=refusal.date)
    if isinstance(verdict, Refused) and isinstance(verdict.error, KeyRejected):
        # the task is bought: with the key mended it can still be collected (interface.md, section 4: 8)
        hint = f"mend the key, then {task.command('wait')}"
        return await engine.trouble(task, "key_rejected", verdict.error.message, hint)
    return await _broken(engine, task, fault.message or f"HTTP {fault.status}", seen)


async def _gone(engine: Engine, task: Task, message: str, seen: Patience) -> Task:
    seen.gone += 1
    seen.gone_since = seen.gone_since or engine.monotonic()
    young = engine.now() - (task.submitted_at or task.created_at) < NEW_TASK_S
    settled = engine.monotonic() - seen.gone_since >= VANISHED_S and seen.gone >= VANISHED_SIGHTINGS
    if young or not settled:
        engine.tell(TaskChanged(task=task, note=f"not found ({one_line(message)}); asking again"))
        return task
    since = day(task.submitted_at or task.created_at)
    what = f"the provider no longer knows this task, which was bought on {since}: {one_line(message)}"
    if task.charged == "unknown":  # named by its handle, and never seen to exist: nothing says that it was bought
        what = f"{task.provider} knows no task {task.task_id}: {one_line(message)}"
    lost = Lost(code="task_vanished", message=what)
    return await engine.save(replace(task, state=lost, finished_at=engine.now()))


async def _broken(engine: Engine, task: Task, reason: str, seen: Patience) -> Task:
    """A poll that fails is never the end of a task: it goes on to the deadline (reliability.md T07, N16)."""
    seen.failures, seen.why = seen.failures + 1, one_line(reason)
    engine.tell(TaskChanged(task=task, note=f"no answer ({one_line(reason)}); asking again"))
    if seen.failures == WARN_FAILURES:
        return await engine.warn(task, f"{WARN_FAILURES} polls in a row failed, the last with: {one_line(reason)}")
    return task
