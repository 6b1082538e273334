"""The two streams: stdout is data, stderr is talk (interface.md, section 3; reliability.md, rows O05 and O06)."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Self, TextIO

from wan_cli.dataclass import dataclass
from wan_cli.text import safe_text

DEFAULT_WIDTH = 80
"""Columns where a terminal does not say how wide it is."""

# Windows reports a pipe whose reader has gone as EINVAL.
_READER_GONE = {errno.EPIPE, errno.ESHUTDOWN} | ({errno.EINVAL} if os.name == "nt" else set())


WINDOWS = os.name == "nt"


def _legacy_console() -> bool:
    """Tell whether the console shows escape sequences as they are written (reliability.md, row O05)."""
    from rich.console import detect_legacy_windows

    return detect_legacy_windows()


def _is_set(value: str | None) -> bool:
    return (value or "").casefold() not in {"", "0", "false"}


def _lenient(stream: TextIO | None) -> TextIO:
    """Return ``stream`` in UTF-8, on a terminal in the encoding it asks for; a sink where there is none.

    A program that reads a pipe or a file expects UTF-8 on every system; Windows would give it the code page's bytes.
    What cannot be spelled is escaped: ``LANG=C`` and code pages such as cp936 must never turn a bought result into a
    ``UnicodeEncodeError`` (O06). Python sets a stream that was closed before the start (``>&-``) to ``None``.
    """
    if stream is None:
        return io.StringIO()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding=stream.encoding if stream.isatty() else "utf-8", errors="backslashreplace")
    return stream


def _silence(stream: TextIO) -> None:
    """Point the stream's descriptor at the null device, so that the flush at exit cannot fail once more."""
    with suppress(OSError, ValueError):
        number = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)


@dataclass(slots=True, kw_only=True)
class Streams:
    """Where output goes and what the place can show.

    ``stdout_broken`` tells that the reader of stdout has gone (exit 141), ``stdout_error`` that a write to it failed
    for another reason, such as a full disk; after either nothing more is written to it. ``aside`` wraps every write to
    a terminal; the live display sets it, to step back while something else is written.
    """

    stdout: TextIO
    stderr: TextIO
    stdout_tty: bool
    stderr_tty: bool
    env: Mapping[str, str]
    stdout_broken: bool = False
    stdout_error: OSError | None = None
    aside: Callable[[], AbstractContextManager[object]] = nullcontext

    @classmethod
    def standard(cls) -> Self:
        """Build the streams of this process."""
        stdout, stderr = _lenient(sys.stdout), _lenient(sys.stderr)
        closed = OSError(errno.EBADF, "standard output is closed") if sys.stdout is None else None
        return cls(
            stdout=stdout, stderr=stderr, stdout_tty=stdout.isatty(), stderr_tty=stderr.isatty(), env=os.environ,
            stdout_error=closed,
        )  # fmt: skip

    @property
    def dumb(self) -> bool:
        """Whether the terminal only knows plain lines, or nobody watches it (``CI``)."""
        return self.env.get("TERM") == "dumb" or _is_set(self.env.get("CI"))

    @property
    def color(self) -> bool:
        """Whether talk is coloured: ``NO_COLOR`` wins, then ``FORCE_COLOR`` (``0`` is no), then what stderr is."""
        if self.env.get("NO_COLOR"):
            return False
        if self.env.get("FORCE_COLOR"):
            return _is_set(self.env["FORCE_COLOR"])
        return self.stderr_tty and not self.dumb and not (WINDOWS and _legacy_console())

    @property
    def live(self) -> bool:
        """Whether stderr can hold a display that is redrawn."""
        return self.stderr_tty and not self.dumb

    def width(self, stream: TextIO) -> int:
        """Return the columns of the terminal behind ``stream``; ``COLUMNS`` wins, 80 where nothing is known."""
        columns = self.env.get("COLUMNS", "")
        if columns.isdecimal() and int(columns):
            return int(columns)
        try:
            return os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH
        except (OSError, ValueError):
            return DEFAULT_WIDTH

    def out(self, line: str) -> None:
        """Write a line of data. On a terminal control characters are spelled out; elsewhere it is exact."""
        text = safe_text(line, limit=len(line)) if self.stdout_tty else line
        self._deliver(lambda: self.stdout.write(text + "\n"))

    def writable(self) -> bool:
        """Tell whether standard output takes a line, by writing an empty one: others may have failed to write there."""
        self.out("")
        return not (self.stdout_broken or self.stdout_error)

    def out_bytes(self, data: bytes) -> None:
        """Write bytes of data (``-o -``), as they are."""
        self._deliver(lambda: self.stdout.buffer.write(data))

    def say(self, line: str) -> None:
        """Write a line of talk. Nobody listening is no reason to stop, so a failure is ignored."""
        try:
            with self.aside() if self.stderr_tty else nullcontext():
                self.stderr.write(line + "\n")
                self.stderr.flush()
        except OSError:
            _silence(self.stderr)
        except ValueError:
            if not self.stderr.closed:
                raise

    def annotate(self, kind: str, path: str, line: int, message: str) -> None:
        """Mark a line of a file for GitHub's runner; ``message`` is one safe line. Elsewhere nothing is said.

        Source: docs.github.com, "Workflow commands": ``%``, and in properties ``:`` and ``,``, are escaped.
        """
        if self.env.get("GITHUB_ACTIONS") == "true":
            place = path.replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
            self.say(f"::{kind} file={place},line={line}::" + message.replace("%", "%25"))

    def _deliver(self, write: Callable[[], object]) -> None:
        if self.stdout_broken or self.stdout_error:
            return
        try:
            with self.aside() if self.stdout_tty else nullcontext():
                write()
                self.stdout.flush()
        except OSError as error:
            self.stdout_broken = error.errno in _READER_GONE
            self.stdout_error = None if self.stdout_broken else error
            _silence(self.stdout)
        except ValueError:
            if not self.stdout.closed:
                raise
            self.stdout_broken = True
