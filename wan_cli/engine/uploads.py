"""Local files on their way to a provider that wants them uploaded first. Free of charge, and never done twice a day."""

from __future__ import annotations

from wan_cli.dataclass import replace
from wan_cli.engine.explain import oversize
from wan_cli.engine.loop import Engine, Service
from wan_cli.errors import NetworkError, ProviderUnavailable
from wan_cli.models import LocalFile, Task, TaskChanged, Upload
from wan_cli.transport.client import AnswerLost, NotSent
from wan_cli.transport.drive import Refusal, drive
from wan_cli.transport.retry import Again, Later, Purchase, Refused, Unclear, Verdict, judge

_SERVER_ERROR = 500


async def upload(
    engine: Engine, service: Service, file: LocalFile, *, model: str, trace: str, key_print: str
) -> Upload:
    """Upload one file, or find that it was uploaded within the last day. Raises ``WanError``; nothing was bought."""
    name, origin = service.provider.name, service.api.origin
    place = f"{name} {model}" if service.provider.upload_is_for_one_model else name
    known = engine.ledger.known_upload(
        sha256=file.sha256, provider=place, origin=origin, key_print=key_print, now=engine.now()
    )
    if known:
        return known
    # free, and may be repeated (reliability.md section 5)
    tries = Purchase(keyed=True, begun=engine.now(), repeats=engine.repeats)
    while True:
        verdict: Verdict
        try:
            flow = service.provider.upload(file, model=model, trace=trace)
            found = await engine.unless(engine.stop, drive(flow, service.provider, service.api.send))
        except NotSent as lost:
            verdict = Refused(lost.error) if lost.final else Later(lost.error, slow=lost.slow)
        except AnswerLost as lost:
            verdict = Unclear(lost.reason, slow=lost.slow)
        except Refusal as refusal:
            patience = engine.repeats.retry_after_cap_s
            verdict = judge(service.provider, refusal.fault, date=refusal.date, patience=patience)
            verdict = oversize(verdict, name, model, [file])
        else:
            tries.succeeded()
            engine.ledger.remember_upload(
                sha256=file.sha256, provider=place, origin=origin, key_print=key_print, upload=found
            )
            return found
        match tries.after(verdict, engine.now(), engine.rand()):
            case Again(wait):
                await engine.pause(wait)
            case Refused(refused):
                raise refused
            case Unclear(reason, status):
                down = ProviderUnavailable if status is not None and status >= _SERVER_ERROR else NetworkError
                message = f"the upload of {file.name} to {name} failed: {reason}"
                raise down(message, hint="run the command again", http_status=status)


async def uploaded(engine: Engine, task: Task, service: Service) -> Task:
    """Bring local files to a provider that wants them uploaded; the ledger knows those that are there already."""
    if not service.provider.uploads:
        return task
    media = []
    model = service.provider.model_for(task.job) if service.provider.upload_is_for_one_model else task.job.model
    for item in task.job.media:
        if item.file is None or item.url or not service.provider.uploads_file(item.file):
            media.append(item)
            continue
        engine.tell(TaskChanged(task=task, note=f"uploading {item.file.name}"))
        async with engine.upload_turn(task.provider, item.file.sha256):
            found = await upload(engine, service, item.file, model=model, trace=task.token, key_print=task.key_print)
        media.append(replace(item, url=found.url, duration_token=found.duration_token))
    return replace(task, job=replace(task.job, media=tuple(media)))
