"""Text that a hostile provider wrote, through every field that is shown, to every place it is shown (O01-O04)."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from wan_cli import errors
from wan_cli.models import (
    Cost,
    Done,
    Failed,
    File,
    Output,
    Pending,
    Saved,
    Task,
    TaskChanged,
    Transfer,
    Unknown,
    Warned,
)
from wan_cli.ui.document import document, dumps, task_document
from wan_cli.ui.jsonl import JsonlReporter
from wan_cli.ui.live import LiveReporter
from wan_cli.ui.messages import error_lines
from wan_cli.ui.plain import PlainReporter
from wan_cli.ui.rows import status_row
from wan_cli.ui.tables import STATUS_COLUMNS, table

Make = Callable[..., Any]
"""A fixture that builds what it is named after."""

HOSTILE = [
    "[/x] [bold]b[/bold] [link=https://evil]c[/link] :smile:",
    "\x1b[2J\x1b]0;title\x07\x1b]52;c;aGk=\x07",
    "\x1b]8;;https://evil\x1b\\click\x1b]8;;\x1b\\",
    "\r\rerased\x08\x08\x7f\x9b2J\x85\x00",
    "a\u202eb\u2066c\u200e\u061c",
    "x\n::error file=a::b\n##vso[task.setvariable]c",
    "\ud800 lone \udfff",
    "狐" * 300,
]
BAD = {"Cc", "Cs"}
BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def harmless(text: str, allowed: str = "\n\t") -> bool:
    """Tell whether ``text`` can do nothing to a terminal."""
    return not any((unicodedata.category(c) in BAD and c not in allowed) or c in BIDI for c in text)


def foreign(base: Task, text: str) -> Iterator[Task]:
    """Put ``text`` into every field of a task that somebody else wrote, one state after the other."""
    base = replace(
        base, task_id=text, provider_model=text, revised_prompt=text, request_id=text, warnings=(text,),
        usage={text: text}, cost=Cost(estimated=1, actual=2, unit=text), job=replace(base.job, prompt=text, model=text),
    )  # fmt: skip
    failure = Failed(code="task_failed", message=text, hint=text, provider_code=text)
    for state in (
        Pending(task_id=text, note=text),
        Done(outputs=(Output(url=text),)),
        failure,
        Unknown(reason=text, raw=text),
        Saved(files=(File(index=1, path="/srv/" + text, bytes=1, sha256="ab" * 32, mime=text),)),
    ):
        yield replace(base, state=state)
    yield replace(base, state=Done(outputs=(Output(url=text),)), trouble=failure)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("ci", [True, False])
def test_no_foreign_text_reaches_a_terminal_raw(
    streams: Make, task: Make, clock: Any, monkeypatch: pytest.MonkeyPatch, text: str, ci: bool
) -> None:
    """Plain lines, the live display, errors, tables and JSON stay printable and whole."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true") if ci else monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    plain, pipe, jsonl = streams(), streams(), streams()
    terminal = streams(
        stdout_tty=True, stderr_tty=True, env={"COLUMNS": "80", "LINES": "24", "TERM": "xterm", "NO_COLOR": "1"}
    )
    says = PlainReporter(plain, quiet=False, clock=clock)
    lines = JsonlReporter(jsonl, cwd="/srv", clock=clock)
    with LiveReporter(terminal, clock=clock) as live:
        for one in foreign(task(), text):
            for event in (
                TaskChanged(task=one, note=text), TaskChanged(task=one), Warned(message=text, task=one),
                Transfer(task=one, name=text, done=1, total=1),
            ):  # fmt: skip
                says(event)
                lines(event)
                live(event)
            doc = dumps(document("status", [task_document(one, cwd="/srv")], None, 0, ok=True))
            assert doc.isascii()
            assert harmless(doc)
            assert json.loads(doc)["tasks"][0]["prompt"] == text
            table([status_row(one, now=0)], STATUS_COLUMNS, pipe)
            table([status_row(one, now=0)], STATUS_COLUMNS, terminal)
    said = plain.stderr.getvalue()
    assert harmless(said)
    assert not any(line.lstrip().startswith(("::", "##")) for line in said.splitlines())
    assert all(line.startswith(("k3f9x2  ", "warning: ")) for line in said.splitlines())
    assert harmless(jsonl.stdout.getvalue())
    assert all(json.loads(line)["wan"] == 1 for line in jsonl.stdout.getvalue().splitlines())
    assert harmless(pipe.stdout.getvalue())
    assert pipe.stdout.getvalue().count("\n") == 6
    assert harmless(terminal.stdout.getvalue())
    # The display's own movements are the only sequences: erase a line, go up, go to the first column.
    shown = terminal.stderr.getvalue()
    for own in ("\x1b[2K", "\x1b[1A", "\r"):
        shown = shown.replace(own, "")
    assert harmless(shown)


@pytest.mark.parametrize("text", HOSTILE)
def test_errors_show_the_true_failure(text: str) -> None:
    """A hostile message, hint or code neither crashes the printing nor hides the error."""
    lines = error_lines(errors.TaskFailed(text, hint=text, provider_code=text))
    assert len(lines) == 3
    assert all(harmless(line, allowed="") for line in lines)
