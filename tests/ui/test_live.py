"""Claims about the display that is redrawn: what it shows, and that it leaves nothing."""

from __future__ import annotations

import errno
import io
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import replace
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from wan_cli.models import Pending, Task, TaskChanged, Transfer, Warned
from wan_cli.ui.board import Board, Line, cut
from wan_cli.ui.live import LiveReporter

Make = Callable[..., Any]
"""A fixture that builds what it is named after."""

TERMINAL = {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
LONG = "task_" + "x" * 120


def text(line: Line) -> str:
    """Return a line of the board as it is read."""
    return line.head + line.state + line.rest


def test_the_board_shows_a_line_a_task(tale: list[Task], clock: Any) -> None:
    """Id, state, elapsed time, note, cost and handle stand on one line, and time stops with the task."""
    board = Board(clock)
    board.note(TaskChanged(task=tale[0]))
    clock.now += 65
    board.note(TaskChanged(task=tale[1]))
    (line,) = board.lines(100, 20)
    assert text(line) == "k3f9x2  pending     1m05s  queued  estimated 12 credits  rivya:task_1"
    board.note(TaskChanged(task=tale[3]))
    clock.now += 600
    assert text(board.lines(100, 20)[0]) == "k3f9x2  succeeded   1m05s  1 file  12 credits  rivya:task_1"


def test_the_board_shows_the_time_that_is_probably_left(tale: list[Task], clock: Any) -> None:
    """It counts down from the last answer on, goes when nothing is left of it, and a finished task has none."""
    board = Board(clock)
    board.note(TaskChanged(task=tale[0]))
    board.note(TaskChanged(task=tale[1], left=lambda: 75.5))
    assert text(board.lines(100, 20)[0]) == (
        "k3f9x2  pending        0s  ~1m15s left  queued  estimated 12 credits  rivya:task_1"
    )
    clock.now += 70
    assert "1m10s  ~5s left  queued" in text(board.lines(100, 20)[0])
    clock.now += 5
    assert "1m15s  queued" in text(board.lines(100, 20)[0])
    board.note(TaskChanged(task=tale[1], left=lambda: 9.0))
    assert "1m15s  ~9s left  queued" in text(board.lines(100, 20)[0])
    board.note(TaskChanged(task=tale[3]))
    assert "left" not in text(board.lines(100, 20)[0])


def test_bytes_are_shown_while_downloading(tale: list[Task], clock: Any) -> None:
    """The bytes of all files of a task are summed; a total is shown when all are known."""
    board = Board(clock)
    board.note(Transfer(task=tale[2], name="a", done=1, total=2))
    assert board.lines(80, 20) == []
    board.note(TaskChanged(task=tale[2]))
    board.note(Transfer(task=tale[2], name="a", done=500_000, total=1_000_000))
    assert "0.5/1.0 MB" in text(board.lines(80, 20)[0])
    board.note(Transfer(task=tale[2], name="b", done=700_000, total=None))
    assert "  1.2 MB" in text(board.lines(80, 20)[0])


def test_no_line_is_wider_than_the_terminal(tale: list[Task], clock: Any) -> None:
    """Long handles and notes, wide characters too, are cut with an ellipsis, in ASCII where it must be."""
    wide = replace(tale[1], task_id=LONG, state=Pending(task_id=LONG, note="排队中" * 40))
    for width in (1, 20, 40, 79):
        board = Board(clock, "...")
        board.note(TaskChanged(task=wide))
        (line,) = board.lines(width, 20)
        assert len(text(line).encode("gbk")) <= max(width, 23)
        assert text(line).endswith("..." if width > 23 else ".")
    assert [cut("abcdef", n, "…") for n in (6, 5, 1, 0)] == ["abcdef", "abcd…", "…", ""]


def test_many_tasks_are_summed_up(task: Make, clock: Any) -> None:
    """Above 12 tasks one line counts the states, and the active ones follow, as many as fit."""
    board = Board(clock)
    for n in range(30):
        state = Pending(task_id=f"t{n}") if n >= 5 else task().state
        board.note(TaskChanged(task=task(id=f"id{n:02d}", state=state)))
    lines = [text(line) for line in board.lines(80, 20)]
    assert lines[0] == "30 tasks: 5 planned, 25 pending"
    assert [line[:4] for line in lines[1:]] == [f"id{n:02d}" for n in range(5, 17)]
    assert len(board.lines(80, 4)) == 4
    assert len(board.lines(80, 1)) == 1


def test_the_finished_make_room(task: Make, tale: list[Task], clock: Any) -> None:
    """A task that ended leaves the list of the active ones."""
    board = Board(clock)
    for n in range(13):
        board.note(TaskChanged(task=task(id=f"id{n:02d}", state=Pending(task_id="t"), sandbox=True)))
    board.note(TaskChanged(task=replace(tale[3], id="id00")))
    lines = [text(line) for line in board.lines(80, 20)]
    assert lines[0] == "13 tasks: 12 pending, 1 succeeded"
    assert not any(line.startswith("id00") for line in lines[1:])
    assert "(sandbox)" in lines[1]


def screen_of(output: str, columns: int = 80, lines: int = 24) -> Any:
    """Feed terminal output to a terminal emulator."""
    pyte = pytest.importorskip("pyte")
    screen = pyte.Screen(columns, lines)
    pyte.Stream(screen).feed(output.replace("\n", "\r\n"))
    return screen


def drawn(screen: Any) -> list[str]:
    """Return the lines of the screen that are not empty."""
    return [line.rstrip() for line in screen.display if line.strip()]


def test_closing_leaves_nothing_behind(streams: Make, tale: list[Task], clock: Any) -> None:
    """While it lives there is a line a task; closed, even twice, there is an empty screen and the cursor at home."""
    s = streams(env=TERMINAL, stderr_tty=True)
    live = LiveReporter(s, clock=clock)
    live.close()
    assert s.stderr.getvalue() == ""
    with live:
        live(TaskChanged(task=replace(tale[1], task_id=LONG)))
        before = screen_of(s.stderr.getvalue())
        assert len(drawn(before)) == 1
        assert drawn(before)[0].startswith("k3f9x2  pending")
        assert drawn(before)[0].endswith("…")
        live(TaskChanged(task=tale[3]))
    live.close()
    after = screen_of(s.stderr.getvalue())
    assert (drawn(after), after.cursor.x, after.cursor.y, after.cursor.hidden) == ([], 0, 0, False)
    assert "\x1b[?25l" not in s.stderr.getvalue()


def test_a_small_terminal_is_left_clean_too(streams: Make, task: Make, clock: Any) -> None:
    """More tasks than lines do not scroll remains into the history."""
    s = streams(env={**TERMINAL, "LINES": "8"}, stderr_tty=True)
    with LiveReporter(s, clock=clock) as live:
        for n in range(40):
            live(TaskChanged(task=task(id=f"id{n:02d}", state=Pending(task_id="t"))))
    assert drawn(screen_of(s.stderr.getvalue(), lines=8)) == []


def test_warnings_and_data_stand_above_the_display(streams: Make, tale: list[Task], clock: Any) -> None:
    """What is written meanwhile stays whole, in order, and the display goes on below it."""
    pages = io.StringIO()
    s = streams(env={**TERMINAL, "NO_COLOR": "1"}, stderr=pages, stdout=pages, stderr_tty=True, stdout_tty=True)
    with LiveReporter(s, clock=clock) as live:
        live(TaskChanged(task=tale[1]))
        live(Warned(message="[/x] \x1b[2J", task=tale[1]))
        s.out("out/fox.png")
        during = drawn(screen_of(pages.getvalue()))
        assert during[:2] == ["warning: k3f9x2: [/x] ^[[2J", "out/fox.png"]
        assert during[2].startswith("k3f9x2  pending")
    s.say("done")
    assert drawn(screen_of(pages.getvalue())) == ["warning: k3f9x2: [/x] ^[[2J", "out/fox.png", "done"]
    assert "\x1b[36m" not in pages.getvalue()


def test_color_follows_the_streams(streams: Make, tale: list[Task], clock: Any) -> None:
    """States are coloured on a terminal, unless NO_COLOR."""
    s = streams(env=TERMINAL, stderr_tty=True)
    with LiveReporter(s, clock=clock) as live:
        live(TaskChanged(task=tale[1]))
    assert "\x1b[36mpending" in s.stderr.getvalue()


def test_an_ascii_terminal_gets_ascii(streams: Make, tale: list[Task], clock: Any) -> None:
    """With LANG=C the ellipsis is three dots, and nothing is escaped in the middle of a line."""
    raw = io.BytesIO()
    stderr = io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace")
    with LiveReporter(streams(env=TERMINAL, stderr=stderr, stderr_tty=True), clock=clock) as live:
        live(TaskChanged(task=replace(tale[1], task_id=LONG)))
    assert b"..." in raw.getvalue()
    assert b"\\u2026" not in raw.getvalue()


def test_a_terminal_that_hangs_up_stops_nothing(streams: Make, tale: list[Task], clock: Any) -> None:
    """When every write fails, the display goes dark and the collecting goes on."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, text)

        def flush(self) -> None:
            raise OSError(errno.EIO, "gone")

    with LiveReporter(streams(env=TERMINAL, stderr=Gone(), stderr_tty=True), clock=clock) as live:
        live(TaskChanged(task=tale[1]))
        live(Warned(message="x"))
        live(TaskChanged(task=tale[3]))


CHILD = """
import sys, time
sys.path.insert(0, {here!r})
from conftest import story
from wan_cli.models import TaskChanged
from wan_cli.ui.reporter import reporter_for
from wan_cli.ui.streams import Streams
streams = Streams.standard()
try:
    with reporter_for(streams, cwd="/srv", clock=time.monotonic) as reporter:
        reporter(TaskChanged(task=story()[1]))
        sys.stdout.write("ready\\n"); sys.stdout.flush()
        while True:
            time.sleep(0.01)
except KeyboardInterrupt:
    streams.say("stopped")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_real_terminal_after_a_signal(number: int) -> None:
    """After Ctrl-C the screen has only the closing words; after kill -9 the cursor is still visible (O05)."""
    main, side = pty.openpty()
    ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in {"CI", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}}
    here = str(Path(__file__).parent)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(here=here)], stderr=side, stdout=subprocess.PIPE, stdin=side,
        env={**env, "TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert child.stdout.readline() == b"ready\n"
    time.sleep(0.05)  # the child enters its loop
    child.send_signal(number)
    child.wait(10)
    child.stdout.close()
    os.set_blocking(main, False)
    output = os.read(main, 1 << 16).decode()
    os.close(main)
    os.close(side)
    screen = screen_of(output.replace("\r\n", "\n"))
    assert "k3f9x2" in output
    assert screen.cursor.hidden is False
    if number == signal.SIGINT:
        assert drawn(screen) == ["stopped"]
