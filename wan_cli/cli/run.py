"""Runs the engine: event loop, signals, reporter, and the last word of a command that has tasks."""

from __future__ import annotations

import asyncio
import logging
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from wan_cli.cli.gates import gates_of
from wan_cli.cli.hints import MAKING, spelled
from wan_cli.cli.lengths import seconds
from wan_cli.cli.outcome import Wish, overall, task_outcome, there
from wan_cli.dataclass import dataclass, field
from wan_cli.engine import Engine, Service
from wan_cli.engine.rescue import Rescue
from wan_cli.engine.signals import Stopped
from wan_cli.errors import Interrupted, StateUnusable, WriteFailed
from wan_cli.models import Task
from wan_cli.text import one_word
from wan_cli.ui.document import task_document
from wan_cli.ui.messages import say_error
from wan_cli.ui.reporter import EventReporter, QuietReporter, reporter_for

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.models import Reporter
    from wan_cli.ui.overall import Workload

__all__ = ["GRACE_S", "Session", "seconds"]

GRACE_S = {"SIGINT": 60.0, "SIGTERM": 5.0, "SIGHUP": 5.0}
"""Seconds a purchase under way may still take after a signal (reliability.md P06, P08: CI kills soon after)."""
TWICE_S = 1.0
"""Seconds within which SIGTERM or SIGHUP once more is the same one: timeout(1) tells its child, and then the group."""


@dataclass(kw_only=True)
class Session:
    """An engine with everything a command needs around it, alive for one event loop."""

    app: App
    quiet: bool = False
    jsonl: bool = False
    verbose: bool = False
    preview: bool = False
    signal: int | None = None
    load: Workload | None = None
    """A render's work, where it is one."""
    grace: Mapping[str, float] = field(default_factory=lambda: GRACE_S)
    """Seconds a purchase under way may still take, by the signal's name."""
    beats: bool = True
    """Whether it keeps hold of a shared ledger's tasks; a worker does so itself, and looks at what it lost."""
    speaker: Callable[[], EventReporter] | None = None
    """Makes who is told, where that is not what the flags say."""
    reporter: EventReporter = field(default_factory=QuietReporter)
    """Who is told, once it runs."""
    _services: dict[str, Service] = field(default_factory=dict)

    def run(self, work: Callable[[Engine], Awaitable[list[Task]]]) -> list[Task]:
        """Run ``work`` with signals taken care of and the terminal left clean."""
        if self.verbose:
            self.show_requests()
        self.reporter = self.speaker() if self.speaker else reporter_for(
            self.app.streams, cwd=str(self.app.cwd), clock=time.monotonic, quiet=self.quiet, jsonl=self.jsonl,
            load=self.load,
        )  # fmt: skip
        with self.reporter as reporter:
            return asyncio.run(self._inside(reporter, work))

    async def _inside(self, reporter: Reporter, work: Callable[[Engine], Awaitable[list[Task]]]) -> list[Task]:
        parts: dict[str, Any] = {"submits": self.app.config.get("jobs") or Engine.submits}
        parts |= {name: value for name, value in self.app.engine_parts.items() if name not in ("api", "fetcher")}
        rescue = Rescue([self.app.cwd, Path(self.app.env.get("TMPDIR") or tempfile.gettempdir())])
        engine = Engine(
            ledger=self.app.ledger, service=self._service, report=reporter, scratch=self.app.state / "scratch",
            rescue=rescue, deliver=self._hand_over, gate=gates_of(self.app), **parts,
        )  # fmt: skip
        self._listen(engine)
        alive = asyncio.ensure_future(self._alive())
        try:
            return await work(engine)
        except Stopped as error:  # a free question or an upload; a task that was begun keeps its state and tells itself
            number = self.signal or int(signal.SIGINT)
            raise Interrupted("interrupted", hint="wan status", charged="no", exit_code=128 + number) from error
        finally:
            alive.cancel()
            for way in rescue.ways.values() if self.quiet else ():  # a warning that even -q may not leave out
                self.app.streams.say(f"warning: the ledger could not be written, so: {way}")
            engine.gates.close()
            for service in self._services.values():
                await service.close()

    async def _alive(self) -> None:
        """Keep hold of the tasks of a ledger that several machines share, for as long as the engine works on them."""
        if self.app.queue is None or not self.beats:
            return
        from wan_cli.ledger.postgres import shared

        while True:
            with suppress(StateUnusable):  # what comes of it is told by what is written
                cast("shared.SharedLedger", self.app.ledger).heartbeat()
            await asyncio.sleep(shared.HEARTBEAT_S)

    def _service(self, name: str) -> Service:
        if name not in self._services:
            self._services[name] = self.app.service(name)
        return self._services[name]

    def _hand_over(self, data: bytes) -> None:
        """Write a result to standard output. Raises ``WriteFailed`` where nobody took it: it stays to be collected."""
        streams = self.app.streams
        streams.out_bytes(data)
        if streams.stdout_broken or streams.stdout_error:
            raise WriteFailed("standard output took no whole result; it is still at the provider")

    def _listen(self, engine: Engine) -> None:
        """First signal: stop waiting, but let a purchase under way finish. Second: give that up too."""
        loop, first = asyncio.get_running_loop(), 0.0

        def take(number: int) -> None:
            nonlocal first
            now = time.monotonic()
            if number == self.signal != signal.SIGINT and now - first < TWICE_S:
                return
            if self.signal is None:
                self.signal, first = number, now
            finishing = engine.interrupt(grace=self.grace[signal.Signals(number).name])
            if finishing:
                self.app.streams.say("finishing the submit so that it is not lost; press Ctrl-C again to give it up")

        for name in GRACE_S:
            if (number := getattr(signal, name, None)) is not None:
                try:
                    loop.add_signal_handler(number, take, int(number))
                except (NotImplementedError, RuntimeError, ValueError):
                    return  # Windows, or not the main thread: Ctrl-C raises KeyboardInterrupt there

    def show_requests(self) -> None:
        """Let ``--verbose`` show requests and answers."""
        handler = logging.StreamHandler(_Talk(self.app))
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger = logging.getLogger("wan")
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.DEBUG)

    def conclude(self, tasks: list[Task], wish: Wish, **extra: Any) -> int:
        """Print what the tasks came to, in text or JSON, and return the exit code."""
        wish = Wish(wait=wish.wait, download=wish.download, strict=wish.strict, signal=self.signal)
        self.app.ended = tuple(tasks)
        ends = [task_outcome(task, wish) for task in tasks]
        if self.app.command in MAKING and all(task.charged == "no" for task in tasks):
            for error in filter(None, ends):
                error.hint = spelled(error.hint, self.app.words)
        decisive = overall(tasks, ends, signal=self.signal)
        code = decisive.exit_code if decisive else 0
        if self.app.say_json == "json":
            documents = [task_document(t, cwd=str(self.app.cwd), error=e) for t, e in zip(tasks, ends, strict=True)]
            self.app.emit(documents, decisive, code, **extra)
        elif self.jsonl:
            self.app.summary(tasks, decisive, code)
        else:
            for line in _data(tasks, wish, str(self.app.cwd)):
                self.app.streams.out(line)
            if self.preview and not self.quiet:
                self._show(tasks)
        shown = [error for error in dict.fromkeys(ends) if error is not None]
        for error in shown if decisive in shown or decisive is None else [*shown, decisive]:
            say_error(self.app.streams, error)
        return code

    def _show(self, tasks: list[Task]) -> None:
        """Show on the terminal what is on disk."""
        from wan_cli.models import Saved
        from wan_cli.ui.preview import preview

        files = [file for task in tasks if isinstance(task.state, Saved) for file in task.state.files]
        found = [file.path for file in files if file.path and there(file)]
        preview(self.app.streams, found, cwd=str(self.app.cwd))


class _Talk:
    """Lets the logging module write to the streams of this run."""

    def __init__(self, app: App) -> None:
        self._app = app

    def write(self, text: str) -> None:
        if text.strip():
            self._app.streams.say(text.rstrip("\n"))

    def flush(self) -> None:
        """Nothing is kept back."""


def _data(tasks: list[Task], wish: Wish, cwd: str) -> list[str]:
    """The lines of standard output: paths; handles with ``--no-wait``; addresses with ``--no-download``."""
    from wan_cli.models import Done, Saved
    from wan_cli.stores import is_address
    from wan_cli.ui.document import typed_path

    lines = []
    for task in tasks:
        if isinstance(task.state, (Saved, Done)) and wish.wait:
            # Of a task that is only done, a file may have been about to get its name; a saved one may be gone again.
            stored = is_address(task.target.template)  # then what is on this machine only waits
            lines += [
                typed_path(file.path, cwd) for file in task.state.files
                if file.path and there(file) and (isinstance(task.state, Saved) or is_address(file.path) == stored)
            ]  # fmt: skip
        if isinstance(task.state, Done) and not wish.download:
            lines += [one_word(output.url) for output in task.state.outputs if output.url]
        if not wish.wait and task.state.kind in ("pending", "done"):
            lines.append(task.name)  # a provider that answers at once has no task of its own to name
    return lines
