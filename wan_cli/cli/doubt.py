"""What is known of a purchase whose outcome is unknown, for the person who decides (reliability.md 4.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wan_cli.cli.hints import of_queue
from wan_cli.dataclass import replace
from wan_cli.engine import decide
from wan_cli.models import Sending, Task
from wan_cli.registry import capabilities
from wan_cli.text import MAX_FOREIGN, one_line, safe_text
from wan_cli.ui.document import task_document, task_error, timestamp
from wan_cli.ui.messages import say_error
from wan_cli.ui.wording import cost

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.ledger.attempts import Attempt
    from wan_cli.models import Unknown

PROMPT_HEAD = 200
"""Characters of the prompt that are shown."""
MARGIN = 2
"""Columns by which a fact that takes several lines is indented."""
KEPT_RAW = 64 * 1024
"""Characters of an answer in the document; the ledger has up to 8 MiB of it."""


def in_doubt(app: App, task: Task) -> bool:
    """Tell whether a person has to decide: it is unknown, or was being sent by a process that is no more."""
    if not isinstance(task.state, Sending):
        return decide.doubt_of(task) is not None
    if decide.answered(app.ledger, task) or not app.ledger.claim(task.id):
        return False
    app.ledger.release(task.id)
    return True


def say_doubt(app: App, task: Task) -> int:
    """Show the evidence and the possible commands; 9, for it is still unknown."""
    doubt = decide.doubt_of(task)
    assert doubt is not None  # noqa: S101 - the caller asked
    task, attempts = replace(task, state=doubt, charged="unknown"), app.ledger.attempts(task.id)
    choices, keyed = _choices(app, task, attempts), _key(app, task, attempts)
    error = task_error(task)
    assert error is not None  # noqa: S101 - that is what unknown means
    error.hint = choices[0]["command"]
    if app.say_json == "json":
        told = {
            "reason": doubt.reason, "docs": capabilities(task.provider).docs,
            "attempts": [_attempt(attempt) for attempt in attempts], **keyed, "choices": choices,
        }  # fmt: skip
        app.emit([task_document(task, cwd=str(app.cwd), error=error)], error, error.exit_code, recover=told)
    else:
        for line in _lines(task, doubt, attempts, keyed):
            for part in _folded(app, line):
                app.streams.out(part)
        for choice in choices:
            for part in _choice(app, choice):
                app.streams.out(part)
    say_error(app.streams, error)
    return error.exit_code


def _folded(app: App, line: str) -> list[str]:
    """Break a line of facts at the width of a terminal, what follows indented; elsewhere it stays whole."""
    import textwrap

    width = app.streams.width(app.streams.stdout)
    if not app.streams.stdout_tty or len(line) <= width:
        return [line]
    return textwrap.wrap(line, max(width, MARGIN * 10), subsequent_indent=" " * MARGIN, break_on_hyphens=False)


def _choice(app: App, choice: dict[str, str]) -> list[str]:
    """Return a command and what it means: in one line where it fits, else the meaning above it. Never broken itself."""
    line = f"{choice['command']}   # {choice['means']}"
    if not app.streams.stdout_tty or len(line) <= app.streams.width(app.streams.stdout):
        return [line]
    return [f"# {choice['means']}", choice["command"]]


def _attempt(attempt: Attempt) -> dict[str, Any]:
    """Return one request and what came back, as flat data."""
    raw = safe_text(attempt.raw.decode("utf-8", "replace"), KEPT_RAW) if attempt.raw else None
    return {
        "at": timestamp(attempt.at), "body_bytes": None if attempt.body is None else len(attempt.body.encode()),
        "body_sha256": attempt.body_sha256, "http_status": attempt.http_status, "raw": raw,
    }  # fmt: skip


def _key(app: App, task: Task, attempts: Sequence[Attempt]) -> dict[str, str | None]:
    """Return the idempotency key and until when it can be trusted; ``None`` where the provider honours none."""
    sent = decide.under_key(task, attempts)
    if not app.provider(task.provider).idempotent:
        return {"key": None, "key_valid_until": None}
    return {"key": task.token, "key_valid_until": timestamp(sent[0].at + decide.KEY_LIFE_S) if sent else None}


def _choices(app: App, task: Task, attempts: Sequence[Attempt]) -> list[dict[str, str]]:
    """Return the decisions that are possible, the safest first, each with its command."""
    from wan_cli.providers.base import Provider

    provider = app.provider(task.provider)
    command = of_queue(task.command("recover"), app.queue)
    said = []
    if decide.same_key_fault(provider, task, decide.under_key(task, attempts), app.now()) is None:
        said.append(("same-key", "", "the provider takes it for the same purchase, and never charges it twice"))
    if type(provider).poll is not Provider.poll:
        said.append(("adopt", " PROVIDER_TASK_ID", "you found it on the provider's own pages"))
    if task.job.model and not task.job.prompt.startswith("sha256:"):
        said.append(("resubmit", "", "buy it anew; this may pay a second time"))
    said.append(("abandon", "", "close it; whether it was charged stays unknown"))
    return [{"decision": name, "command": f"{command} --{name}{more}", "means": means} for name, more, means in said]


def _lines(
    task: Task, doubt: Unknown, attempts: Sequence[Attempt], keyed: dict[str, str | None]
) -> list[str]:  # fmt: skip
    """Return what people read: a line for each fact, each safe to print."""
    said = [
        ("task", task.id), ("provider", f"{task.provider}, {capabilities(task.provider).docs}"),
        ("sent", timestamp(task.submitted_at) or "not known"), ("cost", cost(task)),
        ("prompt", one_line(task.job.prompt, PROMPT_HEAD)), ("reason", one_line(doubt.reason)),
    ]  # fmt: skip
    for attempt in attempts:
        told = _attempt(attempt)
        size = "" if told["body_bytes"] is None else f"{told['body_bytes']:,} bytes, "
        came = "no answer" if attempt.http_status is None else f"HTTP {attempt.http_status}"
        said.append((f"request {attempt.n}", f"{told['at']}, {size}sha256 {attempt.body_sha256}, {came}"))
        if told["raw"]:
            said.append((f"answer {attempt.n}", one_line(told["raw"], MAX_FOREIGN)))
    until = keyed["key_valid_until"]
    trusted = f"to be trusted until {until}" if until else "no request under it is on record"
    said.append(("key", f"{keyed['key']}, {trusted}" if keyed["key"] else f"{task.provider} documents none"))
    return [f"{name}: {text}" for name, text in said]
