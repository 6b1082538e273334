"""From one provider to the next, and only where the first certainly did not take the task (interface.md, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wan_cli.cli.order import price_lines
from wan_cli.dataclass import replace
from wan_cli.errors import UsageError
from wan_cli.models import Cost, Failed, New, Task
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.choose import Candidate
    from wan_cli.cli.context import App
    from wan_cli.engine import Engine
    from wan_cli.engine.loop import Decision

MOVES_ON = frozenset(
    {"network", "key_rejected", "insufficient_credits", "rate_limited", "model_unknown", "unsupported_option"}
)
"""Refusals after which the next provider may be asked. Validation and moderation would be refused there too, and an
unclear answer may have been a purchase."""


async def run_through(
    app: App, engine: Engine, task: Task, rest: Sequence[Candidate], **how: Any
) -> Task:  # fmt: skip
    """Take ``task`` as far as it goes, with the next candidate wherever one did not take it."""
    try:
        return await _through(app, engine, task, rest, **how)
    except Exception as error:
        error.add_note(task.id)  # a bug: what is said of it names the task (reliability.md P15)
        raise


async def _through(app: App, engine: Engine, task: Task, rest: Sequence[Candidate], **how: Any) -> Task:
    task = await engine.run(task, **how)
    for candidate in rest:
        state = task.state
        if engine.stop.is_set() or not (isinstance(state, Failed) and task.charged == "no" and state.code in MOVES_ON):
            break
        fresh = moved(app, task, candidate)
        why = f"{task.provider} did not take it ({one_line(state.message)}), so {candidate.model.provider} was asked"
        try:
            task = await engine.run(task, first=_moving(task, fresh, why), **how)
        except UsageError:  # another process goes on with it: its end is waited for
            task = await engine.run(task, **how)
    return task


def _moving(task: Task, fresh: Task, why: str) -> Decision:
    """Return what moves ``task`` on, once it is this process's: only from the very refusal that was seen.

    Between the refusal and now another process may have taken it up (reliability.md S07).
    """

    async def move(engine: Engine, stored: Task) -> Task:
        if (stored.provider, stored.state) != (task.provider, task.state):
            return stored
        return await engine.warn(await engine.save(fresh), why)

    return move


def moved(app: App, task: Task, candidate: Candidate) -> Task:
    """Return the task as the next candidate's: nothing was bought, so it is new there."""
    model = candidate.model
    job = replace(candidate.fitted.job, n=task.job.n)
    line = price_lines(app, candidate, [job])[0]
    return replace(
        task, provider=model.provider, origin=app.provider(model.provider).origin, provider_model=model.id, job=job,
        state=New(), cost=Cost(estimated=None if line.amount is None else float(line.amount), unit=line.unit),
        key_print="" if app.queue else app.key_print(model.provider),
        submitted_at=None, finished_at=None, request_id=None, trouble=None,
        warnings=(*task.warnings, *candidate.fitted.warnings),
    )  # fmt: skip
