"""The documents of ``--json`` (interface.md, section 3) as plain dictionaries, and their text."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from wan_cli import errors
from wan_cli.models import Cancelled, Done, Failed, File, Lost, Pending, Saved, Sending, Task, Unknown
from wan_cli.text import one_line
from wan_cli.ui.messages import hint_for, in_sandbox
from wan_cli.ui.money import number
from wan_cli.ui.wording import state_name

if TYPE_CHECKING:
    from wan_cli.errors import WanError

__all__ = [
    "document", "dumps", "error_document", "error_object", "jsonl_line", "line_by_line", "listing", "state_name",
    "task_document", "task_error", "totals",
]  # fmt: skip

VERSION = 1
"""The ``wan`` field of every document: it grows when a name changes its meaning."""

ELSEWHERE = frozenset({"key_origin", "key_rejected", "key_missing"})
"""Troubles that keep a purchase whose answer was not seen from being taken up: it is another account's."""

MAX_DEPTH = 32
"""Levels of a foreign value (``usage``, ``params``) that are kept; more would exhaust the stack."""


def timestamp(seconds: float | None) -> str | None:
    """Return ``2026-11-21T09:00:00Z`` for seconds since the epoch; ``None`` for what no calendar has."""
    if seconds is None:
        return None
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(math.floor(seconds)))
    except (OverflowError, OSError, ValueError):
        return None


def typed_path(path: str, cwd: str) -> str:
    """Return ``path`` as a user in ``cwd`` would type it: relative when it is below, else absolute."""
    pure = PurePath(path)
    return str(pure.relative_to(cwd)) if pure.is_relative_to(cwd) else path


def _request(task: Task) -> dict[str, Any]:
    job = task.job
    said = {
        "size": job.size, "aspect": job.aspect, "n": job.n, "seed": job.seed, "watermark": job.watermark,
        "thinking": job.thinking, "negative": job.negative, "duration": job.duration, "resolution": job.resolution,
        "audio_setting": job.audio_setting, "params": dict(job.params) or None,
        "references": [media.file.name if media.file else media.url for media in job.media] or None,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def _files(task: Task, cwd: str, error: WanError | None) -> list[dict[str, Any]]:
    names = ("index", "path", "url", "bytes", "sha256", "mime", "width", "height")
    match task.state:
        case Saved(files=files):
            gone = isinstance(error, errors.ResultGone)  # then nothing is named that is not there
            return [_file(file, cwd) for file in files if not gone or os.path.isfile(file.path or "")]  # noqa: PTH113
        case Done(outputs=outputs):
            rows = [(index, None, output.url, *[None] * 5) for index, output in enumerate(outputs, 1)]
            return [dict(zip(names, row, strict=True)) for row in rows]
        case _:
            return []


def _file(file: File, cwd: str) -> dict[str, Any]:
    poster = file.poster and typed_path(file.poster, cwd)
    known = {
        "duration_s": number(file.duration_s), "fps": number(file.fps), "video_codec": file.video_codec,
        "audio_codec": file.audio_codec, "poster": poster,
    }  # fmt: skip
    return {
        "index": file.index, "path": file.path and typed_path(file.path, cwd), "url": None, "bytes": file.bytes,
        "sha256": file.sha256, "mime": file.mime, "width": file.width, "height": file.height,
        **{name: value for name, value in known.items() if value is not None},
    }  # fmt: skip


def _collecting(task: Task, trouble: Failed) -> WanError:
    """Return why a bought result is not here.

    Codes that say "nothing was bought, try again" (the network) are not repeated here: a script that believed them
    would buy a second time. A refused key is 8 (interface.md, section 4).
    """
    cls, exit_code = errors.by_code(trouble.code), None
    if issubclass(cls, errors.StateUnusable):  # what was bought is at the provider (reliability.md S02)
        exit_code = errors.ResultStuck.default_exit
    elif issubclass(cls, errors.SetupError):
        exit_code = errors.StillRunning.default_exit
    elif cls.default_charged != "yes":
        cls = errors.StillRunning if isinstance(task.state, Pending) else errors.DownloadFailed
    return cls(
        trouble.message, hint=trouble.hint or task.command("wait"), http_status=trouble.http_status,
        charged="unknown" if task.charged == "unknown" else "yes",
        provider_code=trouble.provider_code, retry_after_s=trouble.retry_after_s, request_id=task.request_id,
        exit_code=exit_code,
    )  # fmt: skip


def _reason(task: Task, state: Failed) -> str:
    """Return why a task failed at the provider, with what its support asks for (reliability.md T01)."""
    if task.task_id is None:  # refused: the message has it all
        return state.message
    code = f" ({one_line(state.provider_code, 60)})" if state.provider_code else ""
    request = f" [request {one_line(task.request_id, 80)}]" if task.request_id else ""
    return f"{state.message}{code}{request}"


def task_error(task: Task) -> WanError | None:
    """Return the error that the task's state means, or ``None`` where it is well or only not finished."""
    error = _error(task)
    if error is not None:
        error.hint = in_sandbox(hint_for(error), sandbox=task.sandbox)
    return error


def _error(task: Task) -> WanError | None:
    match task.state:
        case Failed() as state:
            return errors.by_code(state.code)(
                _reason(task, state), hint=state.hint, charged=state.charged, http_status=state.http_status,
                provider_code=state.provider_code, retry_after_s=state.retry_after_s, request_id=task.request_id,
            )  # fmt: skip
        case Cancelled(message=message):
            return errors.Cancelled(message, charged=task.charged, hint="run the command that made it again")
        case Unknown(reason=reason, http_status=status):
            return errors.OutcomeUnknown(reason, hint=task.command("recover"), http_status=status)
        case Lost(code=code, message=message):  # naming one that has a task at the provider asks for it again
            return errors.by_code(code)(
                message, hint=task.command("wait") if task.task_id else "run the command that made it again",
                charged="yes" if task.charged == "no" else task.charged,
            )  # fmt: skip
        case Pending() | Done() if task.trouble is not None:
            return _collecting(task, task.trouble)
        case Sending() if task.trouble is not None and task.trouble.code in ELSEWHERE:
            return _collecting(task, task.trouble)
        case _:
            return None


def error_object(error: WanError | None) -> dict[str, Any] | None:
    """Return the ``error`` object; its hint is the one that text mode shows."""
    return None if error is None else {**error.document(), "hint": hint_for(error)}


def task_document(
    task: Task, *, cwd: str, fetching: bool = False, error: WanError | None = None
) -> dict[str, Any]:  # fmt: skip
    """Return the task object. ``error`` is what the caller knows better, such as that it stopped waiting."""
    error = error or task_error(task)
    return {
        "id": task.id or None,
        "handle": task.handle,
        "provider": task.provider,
        "origin": task.origin,
        "sandbox": task.sandbox,
        "verb": task.job.verb,
        "model": task.job.model,
        "provider_model": task.provider_model,
        "state": state_name(task, fetching=fetching),
        "progress": task.state.progress if isinstance(task.state, Pending) else None,
        "charged": task.charged,
        "charge_basis": task.charge_basis,
        "prompt": task.job.prompt,
        "revised_prompt": task.revised_prompt,
        "request": _request(task),
        "cost": {
            "estimated": number(task.cost.estimated), "actual": number(task.cost.actual), "unit": task.cost.unit,
        },
        "created_at": timestamp(task.created_at),
        "submitted_at": timestamp(task.submitted_at),
        "finished_at": timestamp(task.finished_at),
        "expires_at": timestamp(task.expires_at),
        "request_id": task.request_id,
        "files": _files(task, cwd, error),
        "warnings": list(task.warnings),
        "error": error_object(error),
        "usage": None if task.usage is None else dict(task.usage),
    }  # fmt: skip


def document(
    command: str,
    tasks: Sequence[Mapping[str, Any]],
    error: WanError | None,
    exit_code: int,
    *,
    ok: bool,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the one document of a command. ``tasks`` are task objects; ``extra`` is what the command adds."""
    return {
        "wan": VERSION, "command": command, "ok": ok, "exit_code": exit_code,
        "tasks": [dict(task) for task in tasks], **(extra or {}), "error": error_object(error),
    }  # fmt: skip


def error_document(command: str, error: WanError) -> dict[str, Any]:
    """Return the document of a command that ended before there was a task."""
    return document(command, [], error, error.exit_code, ok=False)


def listing(command: str, rows: Sequence[Mapping[str, Any]], *, exit_code: int = 0) -> dict[str, Any]:
    """Return the document of a listing: flat objects under the command's noun, its first word (``auth list``: auth)."""
    noun = command.partition(" ")[0]
    return document(command, [], None, exit_code, ok=exit_code == 0, extra={noun: [dict(row) for row in rows]})


def totals(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Return ``{"unit", "estimated", "actual"}`` for each unit; a sum with an unknown part is ``None``, never less.

    Sandbox tasks cost nothing and are left out (interface.md, section 7). What was certainly not charged counts as 0.
    """
    sums: dict[str | None, tuple[float | None, float | None]] = {}
    for task in tasks:
        if task.sandbox:
            continue
        actual = 0 if task.cost.actual is None and task.charged == "no" else task.cost.actual
        before = sums.get(task.cost.unit, (0, 0))
        sums[task.cost.unit] = (_sum(before[0], task.cost.estimated), _sum(before[1], actual))
    return [{"unit": unit, "estimated": number(a), "actual": number(b)} for unit, (a, b) in sums.items()]


def _sum(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else round(left + right, 9)


def _plain(value: object, depth: int = 0) -> object:
    """Return ``value`` as JSON can hold it: foreign mappings copied, NaN and infinity ``None``, the rest as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {str(name): _plain(inner, depth + 1) for name, inner in value.items()}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner, depth + 1) for inner in value]
    return "…" if depth >= MAX_DEPTH else str(value)


def dumps(doc: Mapping[str, Any]) -> str:
    """Return one document as text: printable ASCII only, so it harms no terminal, code page or log."""
    return _text(doc)


def line_by_line(doc: Mapping[str, Any]) -> Iterator[str]:
    """Yield the text of :func:`dumps` in parts that end where a line ends.

    A value that is an iterator gives the rows of a list one by one: ten thousand of them are never there at once.
    """
    yield "{"
    for place, (name, value) in enumerate(doc.items(), start=1):
        head, comma = f"  {_text(name, 1)}: ", "," if place < len(doc) else ""
        if not isinstance(value, Iterator):
            yield head + _text(value, 1).replace("\n", "\n  ") + comma
            continue
        row = ""
        for found in value:
            yield f"{row}," if row else f"{head}["
            row = "    " + _text(found, 2).replace("\n", "\n    ")
        yield f"{row}\n  ]{comma}" if row else f"{head}[]{comma}"
    yield "}"


def _text(value: object, depth: int = 0) -> str:
    return _printable(json.dumps(_plain(value, depth), ensure_ascii=True, indent=2, allow_nan=False))


def jsonl_line(event_doc: Mapping[str, Any]) -> str:
    """Return one event as a line without its end."""
    return _printable(json.dumps(_plain(event_doc), ensure_ascii=True, separators=(",", ":"), allow_nan=False))


def _printable(text: str) -> str:
    # DEL is the one control character that ensure_ascii lets through, and CI runners look for "##[" and "##vso["
    # anywhere in a line (reliability.md S15); both can only stand inside a string, where "\\u" means the same.
    return text.replace("\x7f", "\\u007f").replace("##", "#\\u0023")
