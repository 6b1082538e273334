"""Servers that nobody here wrote, on free ports of loopback until the tests end; and wan as their customer."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx
from support_installing import end
from support_processes import Ended, Machine

START_S = 60.0
KEY = "sk-peer-canary-0123456789abcdef"


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        number: int = bound.getsockname()[1]
        return number


class Peer:
    """A server: a command in which ``{port}`` stands for its port. It sees no variable but these and a path."""

    def __init__(self, command: Sequence[str], folder: Path, *, start_s: float = START_S, **env: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        self._start_s = start_s
        self._command = [word.format(port=self.port) for word in command]
        self._how: dict[str, Any] = {
            "cwd": folder, "env": {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1", **env},
            "stdin": subprocess.DEVNULL, "start_new_session": True,
        }  # fmt: skip

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, **self._how)
        ends = time.monotonic() + self._start_s
        try:
            while not self._answers():
                assert self._process.poll() is None, self.said
                assert time.monotonic() < ends, f"no answer within {self._start_s:g} s: {self.said}"
                time.sleep(0.05)
        except BaseException:
            end(self._process)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    @property
    def said(self) -> str:
        """What the server has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def ask(self, method: str, path: str, *, key: str | None = KEY, **what: Any) -> httpx.Response:
        """Send one request as it is, without wan."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.request(method, self.url + path, headers=headers, timeout=10, trust_env=False, **what)


class Customer:
    """Runs ``python -m wan_cli … -p openai --json`` against a peer; no output and no file may hold the key."""

    def __init__(self, root: Path, peer: Peer) -> None:
        self.peer = peer
        self.machine = Machine(root)
        self.machine.env |= {"OPENAI_BASE_URL": f"{peer.url}/v1", "OPENAI_API_KEY": KEY}

    def __call__(self, *argv: str, **env: str) -> Ended:
        ended = self.machine.run(*argv, "-p", "openai", "--json", env=env)
        assert KEY not in ended.out + ended.err
        return ended

    def close(self) -> None:
        """End what still runs, and search for the key."""
        self.machine.close()
        for path in self.machine.root.rglob("*"):
            assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
