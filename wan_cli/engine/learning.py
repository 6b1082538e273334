"""What a provider's answer says of a task, laid over what was known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.dataclass import replace
from wan_cli.engine.expiry import stated
from wan_cli.errors import Charged
from wan_cli.models import Cost, Done, Facts, Failed, Pending, Task
from wan_cli.registry import capabilities

if TYPE_CHECKING:
    from wan_cli.models import Answer


def learn(task: Task, answer: Answer, now: float) -> Task:
    """Lay a provider's answer over the task: state, id, cost, what it says beside."""
    facts = answer.facts or Facts()
    ended = not isinstance(answer, Pending)
    task = replace(
        task,
        state=answer,
        task_id=answer.task_id or task.task_id,
        request_id=facts.request_id or task.request_id,
        revised_prompt=facts.revised_prompt or task.revised_prompt,
        usage=facts.usage or task.usage,
        finished_at=(task.finished_at or facts.finished_at or now) if ended else None,
    )
    if isinstance(answer, Done):
        task = replace(task, expires_at=_expiry(task, answer))
    if ended and facts.charged_amount is not None:
        charged: Charged = "yes" if facts.charged_amount else "no"
        if facts.charged_amount < 0:  # says nothing that can be relied on
            charged = "yes" if isinstance(answer, Done) else "unknown"
        cost = Cost(estimated=task.cost.estimated, actual=facts.charged_amount, unit=task.cost.unit)
        return replace(task, cost=cost, charged=charged, charge_basis="provider")
    if isinstance(answer, Failed):
        return replace(task, charged=answer.charged, charge_basis="assumed")
    if answer.kind == "cancelled":
        return replace(task, charged="unknown", charge_basis="assumed")
    return task


def _expiry(task: Task, answer: Done) -> float | None:
    """Return when the first address expires: as it says itself, else as the provider documents (epoch seconds)."""
    ends = [end for output in answer.outputs if (end := stated(output.url)) is not None]
    if ends:
        return min(ends)
    hours = capabilities(task.provider).result_hours
    return None if hours is None or task.finished_at is None else task.finished_at + hours * 3600
