"""Asks the terminal behind standard error, and leaves it as it was, whatever happens.

Nothing is asked of a terminal that somebody else reads (a job in the background), or in which something was typed
already: the answers would stand behind it, and what was typed would be lost.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from wan_cli.dataclass import replace
from wan_cli.ui.preview.answers import DONE, INSIDE, QUESTIONS, REGISTERS, Answers, typed, understood

if TYPE_CHECKING:
    from typing import TextIO

PATIENCE_S, PATIENCE_FAR_S = 0.2, 1.0
"""How long answers are waited for, here and over ssh: one that comes later is taken for typing."""
_PIECE = 4096
_MUTE = ("linux", "eterm")
"""Terminals (by TERM) that print a question that they do not know."""


def inside_multiplexer(env: Mapping[str, str]) -> bool:
    """Tell whether tmux or screen stands between; over ssh only TERM tells."""
    return bool(env.get("TMUX") or env.get("STY")) or env.get("TERM", "").startswith(("tmux", "screen"))


def asked(stream: TextIO, env: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic) -> Answers:
    """Return what the terminal behind ``stream`` says; nothing where it cannot be asked. Raises nothing."""
    if os.name != "posix" or env.get("TERM_PROGRAM") == "Apple_Terminal" or env.get("TERM", "").startswith(_MUTE):
        return Answers()
    patience = PATIENCE_FAR_S if env.get("SSH_CONNECTION") or env.get("SSH_TTY") else PATIENCE_S
    try:
        with _terminal(stream) as terminal:
            found = understood(_exchange(terminal, INSIDE if inside_multiplexer(env) else QUESTIONS, patience, clock))
            if found.sixel and not found.kitty:
                found = replace(found, colours=understood(_exchange(terminal, REGISTERS, patience, clock)).colours)
            return found
    except (OSError, ValueError):
        return Answers()


@contextmanager
def _terminal(stream: TextIO) -> Iterator[int]:
    """Open the stream's own terminal for reading too. Raises ``OSError`` where it is not ours to read."""
    terminal = os.open(os.ttyname(stream.fileno()), os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if os.tcgetpgrp(terminal) != os.getpgrp():  # in the background: to ask would stop the process
            raise OSError("another process has the terminal")
        yield terminal
    finally:
        os.close(terminal)


def _exchange(terminal: int, question: bytes, patience: float, clock: Callable[[], float]) -> bytes:
    """Write a question and return what comes back until the attributes do, or for ``patience`` seconds."""
    import select

    data = b""
    with _listening(terminal):
        if select.select([terminal], [], [], 0)[0]:  # something was typed: it stays for whoever reads next
            return data
        os.write(terminal, question)
        ends = clock() + patience
        while not DONE.search(data) and (left := ends - clock()) > 0:
            if not select.select([terminal], [], [], left)[0]:
                break
            data += os.read(terminal, _PIECE)
    _give_back(terminal, typed(data))
    return data


@contextmanager
def _listening(terminal: int) -> Iterator[None]:
    """Take input as it comes, without showing it. Signals that would end or stop the process wait until it is over."""
    import signal
    import termios

    held = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP}
    )
    try:
        before = termios.tcgetattr(terminal)
        mode: list[Any] = [*before[:6], [*before[6]]]
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 0, 0
        try:
            termios.tcsetattr(terminal, termios.TCSANOW, mode)
            yield
        finally:
            termios.tcsetattr(terminal, termios.TCSANOW, before)
    except termios.error as error:
        raise OSError(*error.args) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _give_back(terminal: int, keys: bytes) -> None:
    """Put back what was typed between the answers, where the system lets a process do that."""
    import fcntl
    import termios

    with suppress(OSError, AttributeError):
        for key in keys:
            fcntl.ioctl(terminal, termios.TIOCSTI, bytes([key]))
