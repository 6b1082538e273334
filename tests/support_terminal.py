"""wan on a pseudo-terminal of 80 columns and 24 lines, and the screen that a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import threading

import pyte
from support_processes import PATIENCE_S, Machine


class Terminal:
    """A process on a pseudo-terminal, and the screen that a person would see. ``raw`` is all that was written."""

    def __init__(self, machine: Machine, *argv: str, **env: str) -> None:
        self.screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = machine.start(
            *argv, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65_536)
            except OSError:  # the last process on the terminal has ended
                return
            if not data:
                return
            self.raw += data
            self._stream.feed(data)

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._master, keys)

    @property
    def lines(self) -> list[str]:
        """The lines of the screen that are not empty."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def shows(self, text: str) -> bool:
        """Tell whether the screen shows a text right now."""
        return any(text in line for line in self.lines)

    def end(self) -> int:
        """Wait for the end; return the exit code, with the whole screen read and the terminal left as it was."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        os.close(self._master)
        assert not self.screen.cursor.hidden
        assert self.screen.cursor.x == 0
        assert pyte.modes.DECAWM in self.screen.mode
        assert not re.search(rb"\x1b\[\?(?:1049|47|1000|2004)h", self.raw), "a mode was switched on"
        return code
