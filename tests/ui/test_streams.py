"""Claims about the two streams."""

from __future__ import annotations

import errno
import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from wan_cli.ui.streams import Streams

FULL = Path("/dev/full")
Make = Callable[..., Any]
"""A fixture that builds what it is named after."""


class Failing(io.StringIO):
    """A stream whose every write fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.attempts = 0

    def write(self, text: str) -> int:
        self.attempts += 1
        raise self.error


@pytest.mark.parametrize(
    ("env", "tty", "color"),
    [
        ({}, True, True), ({}, False, False), ({"NO_COLOR": "1"}, True, False), ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True), ({"FORCE_COLOR": "0"}, True, False), ({"FORCE_COLOR": ""}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False), ({"TERM": "dumb"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True), ({"CI": "true"}, True, False), ({"CI": "0"}, True, True),
    ],
)  # fmt: skip
def test_color_is_the_users_choice_before_the_terminals(
    streams: Make, env: dict[str, str], tty: bool, color: bool
) -> None:
    """NO_COLOR beats FORCE_COLOR, which beats TERM=dumb and CI, which beat the terminal."""
    assert streams(env=env, stderr_tty=tty).color is color


@pytest.mark.parametrize(
    ("env", "tty", "live"),
    [
        ({"TERM": "xterm"}, True, True), ({"TERM": "xterm"}, False, False), ({"TERM": "dumb"}, True, False),
        ({"CI": "1"}, True, False), ({"CI": "false"}, True, True), ({"NO_COLOR": "1"}, True, True),
    ],
)  # fmt: skip
def test_a_live_display_needs_a_terminal_that_someone_watches(
    streams: Make, env: dict[str, str], tty: bool, live: bool
) -> None:
    """A live display is for terminals only, and neither for dumb ones nor for CI."""
    assert streams(env=env, stderr_tty=tty).live is live


def test_data_and_talk_do_not_mix(streams: Make) -> None:
    """What is data is on stdout alone, what is talk on stderr alone."""
    s = streams()
    s.out("out/fox.png")
    s.say("warning: x")
    assert (s.stdout.getvalue(), s.stderr.getvalue()) == ("out/fox.png\n", "warning: x\n")


def test_data_is_exact_in_a_pipe_and_harmless_on_a_terminal(streams: Make) -> None:
    """A pipe gets every byte of a line; a terminal gets control characters spelled out."""
    pipe, terminal = streams(), streams(stdout_tty=True)
    for s in (pipe, terminal):
        s.out("a\x1b[2Jb" + "x" * 3000)
    assert pipe.stdout.getvalue() == "a\x1b[2Jb" + "x" * 3000 + "\n"
    assert terminal.stdout.getvalue() == "a^[[2Jb" + "x" * 3000 + "\n"


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ESHUTDOWN])
def test_a_reader_that_left_is_remembered(streams: Make, number: int) -> None:
    """After a broken pipe nothing more is written and nothing is raised."""
    stdout = Failing(OSError(number, "gone"))
    s = streams(stdout=stdout)
    s.out("one")
    s.out("two")
    assert (s.stdout_broken, s.stdout_error, stdout.attempts) == (True, None, 1)


def test_a_closed_stream_counts_as_a_reader_that_left(streams: Make) -> None:
    """Writing to a stream that was closed is no crash; any other ValueError is a bug and shows."""
    s = streams()
    s.stdout.close()
    s.stderr.close()
    s.out("x")
    s.say("x")
    assert s.stdout_broken
    odd = streams(stdout=Failing(ValueError("odd")), stderr=Failing(ValueError("odd")))
    with pytest.raises(ValueError, match="odd"):
        odd.out("x")
    with pytest.raises(ValueError, match="odd"):
        odd.say("x")


def test_talk_that_nobody_hears_stops_nothing(streams: Make) -> None:
    """An error on stderr is ignored."""
    s = streams(stderr=Failing(OSError(errno.EIO, "hung up")))
    s.say("hello")
    assert s.stderr.attempts == 1


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_disk_is_remembered() -> None:
    """A write to a full device is kept as an error, once, and not raised."""
    with FULL.open("w", encoding="utf-8") as full:
        s = Streams(stdout=full, stderr=io.StringIO(), stdout_tty=False, stderr_tty=False, env={})
        s.out("x")
        s.out("y")
        assert s.stdout_error is not None
        assert s.stdout_error.errno == errno.ENOSPC
        assert not s.stdout_broken


def test_bytes_pass_as_they_are(streams: Make) -> None:
    """``-o -`` writes the result's bytes unchanged."""
    raw = io.BytesIO()
    s = streams(stdout=io.TextIOWrapper(raw, encoding="ascii"))
    s.out_bytes(b"\x89PNG\r\n\x1a\n\xff")
    assert raw.getvalue() == b"\x89PNG\r\n\x1a\n\xff"


def test_writes_to_a_terminal_ask_the_display_to_step_back(streams: Make) -> None:
    """``aside`` wraps writes to a terminal, and only those."""
    steps = []

    @contextmanager
    def aside() -> Iterator[None]:
        steps.append("back")
        yield

    s = streams(stderr_tty=True, aside=aside)
    s.say("x")
    s.out("x")
    assert steps == ["back"]
    s.stdout_tty = True
    s.out("x")
    assert steps == ["back", "back"]


def test_width_is_columns_then_the_terminal_then_eighty(streams: Make) -> None:
    """The width comes from COLUMNS, else the terminal, else it is 80."""
    assert streams(env={"COLUMNS": "33"}).width(io.StringIO()) == 33
    assert streams(env={"COLUMNS": "0"}).width(io.StringIO()) == 80
    main, side = pty.openpty()
    try:
        with open(side, "w", encoding="utf-8", closefd=False) as terminal:
            assert streams().width(terminal) == 80  # a new pseudo-terminal says 0 columns
    finally:
        os.close(main)
        os.close(side)


def test_standard_survives_closed_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was started with its streams closed talks to nobody and knows that its data is lost."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    s = Streams.standard()
    s.say("x")
    s.out("x")
    assert s.stdout_error is not None
    assert s.stdout_error.errno == errno.EBADF


def test_standard_spells_what_the_encoding_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ASCII or cp936 stream, and a lone surrogate, never raise."""
    for encoding in ("ascii", "cp936", "utf-8"):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
        s = Streams.standard()
        s.out("狐 🦊 \udcff")
        assert not s.stdout_tty
        assert raw.getvalue().endswith(b"\\udcff" + os.linesep.encode())


CHILD = "from wan_cli.ui.streams import Streams; s = Streams.standard(); [s.out('x' * 70000) for _ in range(9)]; {then}"


def test_a_closed_pipe_leaves_no_traceback_at_exit() -> None:
    """A reader that leaves early gets neither a traceback nor Python's exit code 120."""
    code = CHILD.format(then="raise SystemExit(141 if s.stdout_broken else 0)")
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    talk = child.stderr.read()
    child.stderr.close()
    assert (child.wait(), talk) == (141, b"")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_disk_leaves_no_traceback_at_exit() -> None:
    """Python's own flush at exit does not fail again on a full device."""
    code = CHILD.format(then="raise SystemExit(12 if s.stdout_error else 0)")
    with FULL.open("wb") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (12, b"")


def test_talking_costs_no_rich() -> None:
    """Nothing but the live display and tables on a terminal loads rich, httpx or pydantic."""
    code = (
        "import sys; before = set(sys.modules); "
        "import wan_cli.ui.messages, wan_cli.ui.streams, wan_cli.ui.document, wan_cli.ui.reporter, "
        "wan_cli.ui.plain, wan_cli.ui.jsonl, wan_cli.ui.tables, wan_cli.ui.rows, wan_cli.ui.schema, wan_cli.ui.money; "
        "print(sorted({'rich', 'httpx', 'pydantic', 'sqlite3', 'asyncio'} & set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
