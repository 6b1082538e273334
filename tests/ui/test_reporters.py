"""Claims about who is told what while a task goes on: plain lines, JSON lines, silence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from wan_cli.models import Cost, Event, Pending, Target, Task, TaskChanged, Transfer, Warned
from wan_cli.ui.jsonl import JsonlReporter
from wan_cli.ui.live import LiveReporter
from wan_cli.ui.plain import PlainReporter
from wan_cli.ui.reporter import QuietReporter, reporter_for

Make = Callable[..., Any]
"""A fixture that builds what it is named after."""

PLAIN = """\
k3f9x2  rivya wan2.7-image-pro  submitting  estimated 12 credits
k3f9x2  rivya  pending  queued  rivya:task_1
warning: k3f9x2: seed 0 is read as no seed
k3f9x2  rivya  downloading  12 credits
k3f9x2  rivya  succeeded  1 file  12 credits  14s
"""


def events(tale: list[Task]) -> Iterator[Event]:
    """Tell the tale as the engine does, with repeated polls, a warning and bytes."""
    sending, pending, done, saved = tale
    yield TaskChanged(task=sending)
    yield TaskChanged(task=pending)
    yield TaskChanged(task=replace(pending, state=replace(pending.state, progress=40)))
    yield Warned(message="seed 0 is read as no seed", task=pending)
    yield TaskChanged(task=done)
    yield Transfer(task=done, name="fox.png", done=10, total=20)
    yield Transfer(task=done, name="fox.png", done=20, total=20)
    yield TaskChanged(task=saved)


def test_text_and_json_tell_the_same_tale(streams: Make, tale: list[Task], clock: Any) -> None:
    """One sequence of events, side by side: talk on stderr, or JSON lines on stdout, never both."""
    text, lines = streams(), streams()
    with (
        PlainReporter(text, quiet=False, clock=clock) as plain,
        JsonlReporter(lines, cwd="/srv", clock=clock) as jsonl,
    ):
        for event in events(tale):
            clock.now += 2
            plain(event)
            jsonl(event)
    assert text.stderr.getvalue() == PLAIN
    assert text.stdout.getvalue() == ""
    assert lines.stderr.getvalue() == ""
    told = [json.loads(line) for line in lines.stdout.getvalue().splitlines()]
    kinds = ["task", "task", "task", "warning", "task", "transfer", "transfer", "task"]
    assert [event["event"] for event in told] == kinds
    states = [event["task"]["state"] for event in told if event["event"] == "task"]
    assert states == ["submitting", "pending", "pending", "downloading", "succeeded"]
    assert told[-1]["task"]["files"][0]["path"] == "out/fox.png"


def test_quiet_says_nothing(streams: Make, tale: list[Task], clock: Any) -> None:
    """``-q`` silences all talk of events, warnings too; the JSON has them."""
    s = streams()
    with PlainReporter(s, quiet=True, clock=clock) as plain, QuietReporter() as quiet:
        for event in events(tale):
            plain(event)
            quiet(event)
    assert s.stderr.getvalue() + s.stdout.getvalue() == ""


def test_a_resumed_task_introduces_itself(streams: Make, tale: list[Task], task: Make, clock: Any) -> None:
    """The first line of any task names provider, model, cost and handle, whatever state it is in."""
    s = streams()
    plain = PlainReporter(s, quiet=False, clock=clock)
    plain(TaskChanged(task=tale[1]))
    plain(TaskChanged(task=task(id="zzz", cost=Cost(), sandbox=True)))
    plain(TaskChanged(task=task(id="yyy", target=Target(template=None), state=tale[2].state)))
    assert s.stderr.getvalue().splitlines() == [
        "k3f9x2  rivya wan2.7-image-pro  pending  queued  estimated 12 credits  rivya:task_1",
        "zzz  rivya wan2.7-image-pro  planned  estimated unknown (sandbox)",
        "yyy  rivya wan2.7-image-pro  succeeded  estimated 12 credits  0s",
    ]


def test_nothing_in_a_pipe_is_wrapped(streams: Make, tale: list[Task], clock: Any) -> None:
    """Long handles stay on one line where a machine reads."""
    s = streams(env={"COLUMNS": "20"})
    long = replace(tale[1], task_id="task_" + "9" * 150)
    PlainReporter(s, quiet=False, clock=clock)(TaskChanged(task=long))
    assert s.stderr.getvalue().count("\n") == 1
    assert "9" * 150 in s.stderr.getvalue()


def test_bytes_are_told_four_times_a_second_and_at_the_end(streams: Make, tale: list[Task], clock: Any) -> None:
    """Lines about one file keep 250 ms apart; the last count is never lost."""
    s = streams()
    jsonl = JsonlReporter(s, cwd="/srv", clock=clock)
    for done in range(1, 101):
        jsonl(Transfer(task=tale[2], name="a", done=done, total=100))
        jsonl(Transfer(task=tale[2], name="b", done=done, total=None))
        clock.now += 1 / 64
    jsonl(TaskChanged(task=tale[3]))
    jsonl(Transfer(task=tale[3], name="c", done=1, total=None))
    jsonl(Transfer(task=tale[3], name="c", done=2, total=None))
    jsonl(Transfer(task=tale[3], name="d", done=1, total=9))
    jsonl(Transfer(task=tale[3], name="d", done=2, total=9))
    jsonl.close()
    jsonl.close()
    told = [json.loads(line) for line in s.stdout.getvalue().splitlines()]
    counts = {name: [e["done"] for e in told if e.get("name") == name] for name in "abcd"}
    assert counts == {
        "a": [1, 17, 33, 49, 65, 81, 97, 100],
        "b": [1, 17, 33, 49, 65, 81, 97, 100],
        "c": [1, 2],
        "d": [1, 2],
    }
    position = next(i for i, e in enumerate(told) if e["event"] == "task")
    assert {"name": "b", "done": 100}.items() <= told[position - 1].items()


def test_a_closed_stdout_stops_no_collecting(streams: Make, tale: list[Task], clock: Any) -> None:
    """When the reader of --jsonl has gone, events go on without it."""
    s = streams(stdout_broken=True)
    JsonlReporter(s, cwd="/srv", clock=clock)(TaskChanged(task=tale[0]))
    assert s.stdout.getvalue() == ""


@pytest.mark.parametrize(
    ("env", "tty", "options", "expected"),
    [
        ({}, False, {}, PlainReporter),
        ({"TERM": "xterm", "COLUMNS": "80"}, True, {}, LiveReporter),
        ({"TERM": "xterm", "COLUMNS": "20"}, True, {}, PlainReporter),
        ({"TERM": "dumb", "COLUMNS": "80"}, True, {}, PlainReporter),
        ({"CI": "true", "COLUMNS": "80"}, True, {}, PlainReporter),
        ({"COLUMNS": "80"}, True, {"quiet": True}, QuietReporter),
        ({"COLUMNS": "80"}, True, {"jsonl": True, "quiet": True}, JsonlReporter),
    ],
)
def test_the_reporter_fits_the_place(
    streams: Make, clock: Any, env: dict[str, str], tty: bool, options: dict[str, bool], expected: type
) -> None:
    """Live on a terminal that can, plain elsewhere (O05), JSON lines or silence when asked for."""
    chosen = reporter_for(streams(env=env, stderr_tty=tty), cwd="/srv", clock=clock, **options)
    assert type(chosen) is expected


def test_the_console_of_old_windows_gets_plain_lines(
    streams: Make, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A console that cannot be redrawn gets plain lines (O05)."""
    monkeypatch.setattr("wan_cli.ui.live.detect_legacy_windows", lambda: True)
    s = streams(env={"COLUMNS": "80"}, stderr_tty=True)
    assert type(reporter_for(s, cwd="/srv", clock=clock)) is PlainReporter


def test_the_id_comes_before_the_waiting(streams: Make, task: Make, clock: Any) -> None:
    """The first event of a task, before it is accepted, already prints its id."""
    s = streams()
    PlainReporter(s, quiet=False, clock=clock)(TaskChanged(task=task(state=Pending(task_id="x"))))
    assert s.stderr.getvalue().startswith("k3f9x2  ")
