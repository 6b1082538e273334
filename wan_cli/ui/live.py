"""The display that is redrawn on a terminal. This module loads rich: import it only where it is shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import IO, TYPE_CHECKING, cast

from rich.console import Console, Group, detect_legacy_windows
from rich.live import Live
from rich.text import Text

from wan_cli.models import Warned
from wan_cli.ui.asset_board import AssetBoard
from wan_cli.ui.board import Board, Line
from wan_cli.ui.messages import warning_line
from wan_cli.ui.reporter import EventReporter

if TYPE_CHECKING:
    from typing import TextIO

    from wan_cli.models import Event
    from wan_cli.ui.overall import AssetEnded, Workload
    from wan_cli.ui.streams import Streams

STYLES = {
    "succeeded": "green", "failed": "red", "lost": "red", "unknown": "yellow", "cancelled": "yellow",
    "pending": "cyan", "downloading": "cyan", "submitting": "cyan",
}  # fmt: skip

ECHO_CELLS = 3
"""Columns kept free: the ``^C`` that a terminal echoes must not break the line in two, half of it never erased."""


def redraws() -> bool:
    """Tell whether the terminal can be redrawn: the console of old Windows cannot (reliability.md, row O05)."""
    return not detect_legacy_windows()


class _Forgiving:
    """A text stream whose failures are ignored: a terminal that hung up must not stop the collecting."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return

    def isatty(self) -> bool:
        return True


class _SteadyConsole(Console):
    """A console that leaves the cursor alone: what is never hidden cannot stay hidden after ``kill -9`` (row O05)."""

    def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002, FBT001, FBT002 - rich's signature
        return False


class LiveReporter(EventReporter):
    """One line a task on stderr, redrawn four times a second, and erased by ``close``.

    Everything else that is written to the terminal meanwhile goes through ``streams``, which makes the display step
    back first. ``clock`` is monotonic, in seconds.
    """

    def __init__(self, streams: Streams, *, clock: Callable[[], float], load: Workload | None = None) -> None:
        """Prepare; nothing is shown before the first event. With ``load`` it is a render's: assets below a bar."""
        self._streams = streams
        self._load = load
        self._lock = threading.Lock()
        ascii_only = not (streams.stderr.encoding or "utf-8").casefold().startswith("utf")
        mark = "..." if ascii_only else "…"
        self._board: Board = AssetBoard(clock, mark, load) if load else Board(clock, mark)
        self._live: Live | None = None
        self._console = _SteadyConsole(
            file=cast("IO[str]", _Forgiving(streams.stderr)), force_terminal=True, force_interactive=True,
            color_system="standard" if streams.color else None, no_color=not streams.color, markup=False,
            highlight=False, emoji=False, _environ=dict(streams.env),
        )  # fmt: skip

    def __call__(self, event: Event) -> None:
        """Take in the event; the next redraw shows it."""
        if isinstance(event, Warned):
            said = self._load.named(event) if self._load else event
            self._streams.say(warning_line(said, color=self._streams.color))
            return
        with self._lock:
            self._board.note(event)
        if self._live is None:
            self._start()

    def ended(self, asset: AssetEnded) -> None:
        """Take in the end of an asset."""
        if isinstance(self._board, AssetBoard):
            with self._lock:
                self._board.ended(asset)

    def close(self) -> None:
        """Erase the display."""
        self._streams.aside = nullcontext
        self._stop()

    def _start(self) -> None:
        # A new one each time: rich's forgets neither its last shape nor that it was stopped.
        self._live = Live(
            console=self._console, get_renderable=self._render, transient=True, redirect_stdout=False,
            redirect_stderr=False, refresh_per_second=4,
        )  # fmt: skip
        self._streams.aside = self._step_back
        self._live.start(refresh=True)

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    @contextmanager
    def _step_back(self) -> Iterator[None]:
        self._stop()
        try:
            yield
        finally:
            self._start()

    def _render(self) -> Group:
        width, height = self._console.size
        with self._lock:
            lines = self._board.lines(max(1, width - ECHO_CELLS), max(1, height - 2))
        return Group(*map(self._text, lines))

    @staticmethod
    def _text(line: Line) -> Text:
        style = line.style or STYLES.get(line.state.strip(), "")
        return Text.assemble(line.head, (line.state, style), line.rest, no_wrap=True, overflow="crop")
