"""Claims about asking a terminal: a pseudo-terminal whose other end answers, and how it is left."""

from __future__ import annotations

import io
import os
import pty
import signal
import termios
import threading
from collections.abc import Iterator
from typing import Any, TextIO

import pytest

from wan_cli.ui.preview import asking
from wan_cli.ui.preview.answers import ATTRIBUTES, INSIDE, QUESTIONS, REGISTERS, Answers
from wan_cli.ui.preview.asking import asked, inside_multiplexer

XTERM = {"TERM": "xterm-256color"}
KITTY = b"\x1b_Gi=7227;OK\x1b\\\x1b[6;20;10t\x1b[?62c"
SIXEL = b"\x1b[6;18;9t\x1b[?62;4c"


class Other:
    """The other end of a pseudo-terminal: what it was asked, and what it answers, one after the other."""

    def __init__(self) -> None:
        self.end, slave = pty.openpty()
        self.stream: TextIO = os.fdopen(slave, "w", encoding="utf-8")
        self.heard = b""
        self.answers: list[bytes] = []
        self.modes: list[list[Any]] = []
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        while True:
            try:
                self.heard += os.read(self.end, 4096)
            except OSError:
                return
            if self.heard.endswith(ATTRIBUTES) and self.answers:
                self.modes.append(self.mode())
                os.write(self.end, self.answers.pop(0))

    def mode(self) -> list[Any]:
        """Return how the terminal is set."""
        return termios.tcgetattr(self.stream.fileno())

    def close(self) -> None:
        """Hang up."""
        self.stream.close()
        self._thread.join(10)
        os.close(self.end)


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[Other]:
    """Return a terminal that belongs to this process, and is waited for as long as a slow machine needs."""
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    monkeypatch.setattr(asking, "PATIENCE_S", 20.0)
    made = Other()
    yield made
    made.close()


def is_raw(mode: list[Any]) -> bool:
    """Tell whether input comes as it is typed, unseen."""
    return not mode[3] & (termios.ICANON | termios.ECHO)


def test_a_terminal_is_asked_and_left_as_it_was(other: Other) -> None:
    """All questions in one go; input is raw while they are open, and as before afterwards, with signals let through."""
    before = other.mode()
    other.answers = [KITTY]
    assert asked(other.stream, XTERM) == Answers(kitty=True, answered=True, cell=(10, 20))
    assert other.heard == QUESTIONS
    assert is_raw(other.modes[0])
    assert other.modes[0][3] & termios.ISIG
    assert other.mode() == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}


def test_colours_are_asked_where_there_is_sixel(other: Other) -> None:
    """A second question, for the colours; kitty and half-blocks have no use for them."""
    other.answers = [SIXEL, b"\x1b[?1;0;16S" + SIXEL]
    assert asked(other.stream, XTERM) == Answers(sixel=True, answered=True, cell=(9, 18), colours=16)
    assert other.heard == QUESTIONS + REGISTERS


@pytest.mark.parametrize("env", [{"TMUX": "/t,1,0"}, {"STY": "1.pts"}, {"TERM": "tmux-256color"}, {"TERM": "screen"}])
def test_inside_tmux_nothing_strange_is_asked(other: Other, env: dict[str, str]) -> None:
    """Both tmux and screen take kitty's question for a title, so they are asked for cell and attributes only."""
    other.answers = [b"\x1b[?1;2c"]
    assert inside_multiplexer(env)
    assert asked(other.stream, {**XTERM, **env}) == Answers(answered=True)
    assert other.heard == INSIDE


@pytest.mark.parametrize("env", [{"TERM_PROGRAM": "Apple_Terminal"}, {"TERM": "linux"}, {"TERM": "eterm-color"}])
def test_terminals_that_would_print_the_question(other: Other, env: dict[str, str]) -> None:
    """What is known to show a question that it does not know is not asked."""
    assert asked(other.stream, {**XTERM, **env}) == Answers()
    assert other.heard == b""


def test_a_silent_terminal_is_not_waited_for(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fifth of a second, over ssh a second, there is no answer; the terminal is as it was."""
    monkeypatch.undo()
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    assert (asking.PATIENCE_S, asking.PATIENCE_FAR_S) == (0.2, 1.0)
    before = other.mode()
    waited: list[float] = []

    def nothing(_: object, __: object, ___: object, seconds: float) -> tuple[list[int], ...]:
        waited.append(seconds)
        return [], [], []

    monkeypatch.setattr("select.select", nothing)
    assert asked(other.stream, XTERM, clock=lambda: 5.0) == Answers()
    assert asked(other.stream, {**XTERM, "SSH_TTY": "/dev/pts/1"}, clock=lambda: 5.0) == Answers()
    assert waited == pytest.approx([0, 0.2, 0, 1.0])
    assert other.mode() == before


def test_time_that_ran_out_while_answers_came(other: Other) -> None:
    """Half an answer counts for what it says once the time is over."""
    other.answers = [b"\x1b[6;20;10t"]
    ticks = iter([0.0, 0.1, 99.0])
    assert asked(other.stream, XTERM, clock=lambda: next(ticks)) == Answers(cell=(10, 20))


def test_what_was_typed_before_stays(other: Other) -> None:
    """Where something was typed already nothing is asked, and it is there for whoever reads next."""
    os.write(other.end, b"ls -l\n")
    assert asked(other.stream, XTERM) == Answers()
    assert QUESTIONS not in other.heard
    assert os.read(other.stream.fileno(), 100) == b"ls -l\n"


def test_what_is_typed_meanwhile_is_given_back(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys between the answers are put back one by one; a system that forbids it costs nothing but them."""
    given: list[bytes] = []
    monkeypatch.setattr("fcntl.ioctl", lambda _, what, key: given.append(key) if what == termios.TIOCSTI else None)
    other.answers = [b"l" + KITTY[:14] + b"s" + KITTY[14:]]
    assert asked(other.stream, XTERM).answered
    assert given == [b"l", b"s"]

    def refused(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("fcntl.ioctl", refused)
    other.answers = [b"x" + KITTY]
    assert asked(other.stream, XTERM).kitty


def test_ctrl_c_while_it_waits_leaves_the_terminal_well(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal waits until the terminal is as it was, and then does what it does."""
    before = other.mode()
    seen: list[bool] = []
    write = os.write

    def pressed(terminal: int, data: bytes) -> int:
        if data == QUESTIONS:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            seen.append(is_raw(other.mode()))
        return write(terminal, data)

    monkeypatch.setattr(os, "write", pressed)
    other.answers = [KITTY]
    with pytest.raises(KeyboardInterrupt):
        asked(other.stream, XTERM)
    assert seen == [True]
    assert other.heard == QUESTIONS
    assert other.mode() == before


def test_a_terminal_that_is_not_ours_is_not_asked(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job in the background would be stopped by asking; a file, a pipe and memory are no terminal."""
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
    assert asked(other.stream, XTERM) == Answers()
    assert other.heard == b""
    assert asked(io.StringIO(), XTERM) == Answers()
    read, wrote = os.pipe()
    with os.fdopen(read), os.fdopen(wrote, "w") as pipe:
        assert asked(pipe, XTERM) == Answers()


def test_a_terminal_that_hangs_up(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot be set any more is as good as one that says nothing."""

    def gone(*_: object) -> None:
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr(termios, "tcgetattr", gone)
    assert asked(other.stream, XTERM) == Answers()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT}


def test_room_on_a_real_terminal(other: Other) -> None:
    """The system says how many lines there are, and where it knows, how large a cell is."""
    import fcntl
    import struct

    from wan_cli.ui.preview.screen import CELL, Screen, screen_of
    from wan_cli.ui.streams import Streams

    streams = Streams(stdout=other.stream, stderr=other.stream, stdout_tty=True, stderr_tty=True, env={})
    for raw, found in (
        ((40, 100, 1000, 800), Screen(80, 37, (10, 20), told=True)), ((40, 60, 0, 0), Screen(60, 37, CELL)),
        ((0, 0, 0, 0), Screen(80, 21, CELL)), ((2, 20, 0, 0), Screen(20, 1, CELL)),
    ):  # fmt: skip
        fcntl.ioctl(other.stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", *raw))
        assert screen_of(streams, None) == found
