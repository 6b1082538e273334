"""What a refusal leaves out and we know, or can ask for: the largest reference, and what the account has."""

from __future__ import annotations

from collections.abc import Sequence

from wan_cli.engine.loop import Engine, Service
from wan_cli.engine.signals import Stopped
from wan_cli.errors import InsufficientCredits, WanError
from wan_cli.models import LocalFile, Task
from wan_cli.registry import capabilities
from wan_cli.transport.client import AnswerLost, NotSent
from wan_cli.transport.drive import Refusal, drive
from wan_cli.transport.retry import Refused, Verdict

TOO_LARGE = frozenset({413, 431})


def oversize(verdict: Verdict, provider: str, model: str, files: Sequence[LocalFile]) -> Verdict:
    """Name the largest reference and the catalogue's limit where a request was too large (reliability.md H14)."""
    if isinstance(verdict, Refused) and verdict.error.http_status in TOO_LARGE and files:
        largest = max(files, key=lambda file: file.size)
        offered = capabilities(provider)
        offers = (offered.find(model) or offered.unlisted(model)).verbs.values()
        limits = [
            inputs.max_bytes for offer in offers for inputs in (offer.inputs, *offer.roles.values())
            if inputs and inputs.max_bytes and largest.mime.split("/")[0] in inputs.kinds
        ]  # fmt: skip
        known = f", and {provider} takes up to {min(limits) / 1e6:.1f} MB" if limits else ""
        verdict.error.message += f"; the largest reference is {largest.name} with {largest.size / 1e6:.1f} MB{known}"
        verdict.error.hint = "use a smaller picture, or fewer"
    return verdict


async def shortfall(engine: Engine, task: Task, service: Service, error: WanError) -> None:
    """Say what the task takes and what the account has (reliability.md H11); a question that fails says nothing."""
    if not isinstance(error, InsufficientCredits):
        return
    if task.cost.estimated is not None:
        error.message += f"; this takes about {task.cost.estimated:g} {task.cost.unit or ''}".rstrip()
    asked = drive(service.provider.balance(), service.provider, service.api.send)
    try:
        left = await engine.unless(engine.stop, asked)
    except (Stopped, Refusal, NotSent, AnswerLost, WanError):
        return
    if left:
        error.message += f"; the account has {left}"
