"""An answer that was kept, and not yet acted upon, when its process ended: it is read now (reliability.md P03).

Without this a purchase that certainly worked would count as unknown, and a synchronous answer, which is the only copy
of its pictures, would be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.ledger.attempts import MAX_RAW
from wan_cli.models import Sending
from wan_cli.transport.client import AnswerLost
from wan_cli.transport.drive import Refusal, replay
from wan_cli.transport.retry import Later, Refused, judge

if TYPE_CHECKING:
    from wan_cli.engine.loop import Engine, Service
    from wan_cli.models import Answer, Task


async def read_back(engine: Engine, task: Task, service: Service) -> Answer | Refused | None:
    """Return what the last attempt was answered with; ``None`` where no whole answer was kept.

    A refusal only counts where it was the first attempt: of an earlier one nothing is known from it.
    """
    state, attempts = task.state, engine.ledger.attempts(task.id)
    last = attempts[-1] if attempts else None
    if not isinstance(state, Sending) or last is None or last.n != state.attempts or last.verdict != "answered":
        return None
    if last.raw is None or last.http_status is None or len(last.raw) >= MAX_RAW:
        return None
    flow = service.provider.submit(task.job, token=task.token)
    body = None if task.job.prompt.startswith("sha256:") else last.body_sha256  # the texts were not stored
    try:
        return await replay(flow, service.provider, status=last.http_status, raw=last.raw, body_sha256=body)
    except AnswerLost:
        return None
    except Refusal as refusal:
        verdict = judge(service.provider, refusal.fault, patience=engine.repeats.retry_after_cap_s)
        if len(attempts) == 1 and isinstance(verdict, (Refused, Later)):
            return Refused(verdict.error)
        return None
