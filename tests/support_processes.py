"""Real processes of wan, and a provider on loopback that can be made to wait at any step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support_cli import CANARIES, MODELVERSE_KEY, RIVYA_KEY, picture
from support_provider import FakeProvider, Order, Say, Seen, _step

PATIENCE_S = 20.0
SMALL_SIDES = (320, 320)


def until(ready: Callable[[], Any], what: str = "it") -> None:
    """Wait until ``ready`` says yes. Raises ``AssertionError`` when it takes too long."""
    ends = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < ends, f"{what} did not happen within {PATIENCE_S:g} s"
        time.sleep(0.01)


class SlowProvider(FakeProvider):
    """A provider whose steps can be held: the answer waits (after a purchase was taken) until it is let go.

    A held download sends the first half of the picture before it waits. ``reached`` says that a step was come to.
    ``at_once`` lets Rivya answer a purchase with the finished result, so that no poll is waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gates: dict[str, threading.Event] = {}
        self.reached: dict[str, threading.Event] = defaultdict(threading.Event)
        self.at_once = False
        self.deliver = lambda order, index: picture(*SMALL_SIDES)
        provider, handler = self, self._server.RequestHandlerClass

        class Handler(handler):  # type: ignore[misc, valid-type]
            def setup(self) -> None:
                super().setup()
                self.wfile = _Halved(provider, self.wfile)

        self._server.RequestHandlerClass = Handler

    def hold(self, step: str) -> None:
        """Hold every answer of a step from now on."""
        self.gates[step] = threading.Event()
        self.reached[step].clear()

    def let_go(self) -> None:
        """Hold nothing any more."""
        for gate in self.gates.values():
            gate.set()
        self.gates = {}

    def wait_at(self, step: str) -> None:
        """Pass a step: at once, or when it is let go."""
        self.reached[step].set()
        if gate := self.gates.get(step):
            gate.wait(PATIENCE_S)

    def answer(self, seen: Seen) -> Say:
        said = super().answer(seen)
        step = _step(seen)
        if step != "download":
            self.wait_at(step)
        return said

    def _rivya_submit(self, seen: Seen) -> Say:
        said = super()._rivya_submit(seen)
        if self.at_once and said.status == 200:
            order = next(order for order in self.orders if order.id == said.body["id"])
            said.body |= {"status": "succeeded", "final_credits": 5, "result": {"urls": self._urls(order)}}
        return said

    def _take(self, order: Order) -> Order:
        order.sides = SMALL_SIDES
        return super()._take(order)


class _Halved:
    """What an answer is written to: a picture comes in two halves, with the gate in between."""

    def __init__(self, provider: SlowProvider, file: Any) -> None:
        self._provider = provider
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        try:
            if data.startswith(b"\x89PNG"):
                half = len(data) // 2
                self._file.write(data[:half])
                self._file.flush()
                self._provider.wait_at("download")
                self._file.write(data[half:])
            else:
                self._file.write(data)
        except OSError:  # the process was killed; nobody listens
            return len(data)
        return len(data)


class Machine:
    """A folder, an environment and the processes that are started there."""

    def __init__(self, root: Path, provider: SlowProvider | None = None) -> None:
        self.work = root / "work"
        self.work.mkdir()
        self.root = root
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(root / "home"), "WAN_STATE_DIR": str(root / "state"),
            "PYTHONPATH": str(Path(__file__).parent.parent), "LANG": "C.UTF-8", "TERM": "xterm-256color",
            "PYTHONWARNINGS": "error",
        } | {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}  # fmt: skip
        if provider:
            self.env |= {
                "RIVYA_BASE_URL": provider.url, "MODELVERSE_BASE_URL": provider.url, "RIVYA_API_KEY": RIVYA_KEY,
                "MODELVERSE_API_KEY": MODELVERSE_KEY,
            }  # fmt: skip
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *argv: str, **how: Any) -> subprocess.Popen[bytes]:
        """Start ``wan argv``."""
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        env = {**self.env, **how.pop("env", {})}
        process = subprocess.Popen([sys.executable, "-m", "wan_cli", *argv], cwd=self.work, env=env, **how)
        self.started.append(process)
        return process

    def run(self, *argv: str, **how: Any) -> Ended:
        """Run ``wan argv`` to its end."""
        return self.end(self.start(*argv, **how))

    def end(self, process: subprocess.Popen[bytes], patience: float = PATIENCE_S) -> Ended:
        """Wait for a process and return what it left; nothing may hold a key."""
        out, err = process.communicate(timeout=patience)
        for key in CANARIES:
            assert key.encode() not in (out or b"") + (err or b"")
        return Ended(process.returncode, (out or b"").decode(), (err or b"").decode())

    @staticmethod
    def kill(process: subprocess.Popen[bytes]) -> None:
        """End a process without any chance to clean up."""
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE_S)

    def tasks(self) -> list[Any]:
        """Return what the ledger says, by ``wan status --json``."""
        found: list[Any] = json.loads(self.run("status", "--json").out)["tasks"]
        return found

    def states(self) -> list[str]:
        """Return the kinds of the tasks in the ledger, without starting a process."""
        import sqlite3

        path = self.root / "state" / "ledger.db"
        if not path.exists():
            return []
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return [row[0] for row in db.execute("SELECT kind FROM task")]
        except sqlite3.OperationalError:  # it is being made
            return []
        finally:
            db.close()

    def files(self) -> list[str]:
        """Return what is in the working folder."""
        return sorted(path.name for path in self.work.iterdir())

    def close(self) -> None:
        """End what was started and still runs."""
        for process in self.started:
            if process.poll() is None:
                self.kill(process)


class Ended:
    """What a process left."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        """The one document."""
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"
