"""Software that nobody here wrote: installed once with npm, started on a free loopback port, ended with the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from support_processes import Ended, Machine

INSTALL_S = 90
START_S = 20.0
KEY = "sk-peer-canary-0123456789abcdef"


def installed(package: str, version: str) -> Path:
    """Return the folder that holds an npm package, installing it when no run before has; skip where that cannot be.

    The folder is below the system's temporary folder, belongs to this user alone and is named after the version. The
    package's own scripts are not run. What is installed appears under its name when it is complete.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip(f"npm is not installed, so {package} is not asked")
    root = Path(tempfile.gettempdir()) / f"wan-peers-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    about = root.lstat()
    if about.st_uid != os.getuid() or about.st_mode & 0o077 or root.is_symlink():
        pytest.skip(f"{root} is not this user's alone, so nothing in it is run")
    place = root / f"{package.replace('/', '+')}-{version}"
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=root) as fresh:
            _install(npm, f"{package}@{version}", Path(fresh))
            with contextlib.suppress(OSError):  # another run was faster
                Path(fresh, "made").rename(place)
    return place


def _install(npm: str, what: str, folder: Path) -> None:
    made, log = folder / "made", folder / "log"
    made.mkdir()
    quick = ("--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
    command = [npm, "i", "--ignore-scripts", *quick, "--prefix", str(made), what]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
        try:
            code = process.wait(INSTALL_S)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm took more than {INSTALL_S} s to install {what}")
        finally:
            _end(process)
    if code:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = "; ".join([line for line in lines if line.startswith("npm error")][:3])
        pytest.skip(f"npm could not install {what}: {said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        number: int = bound.getsockname()[1]
        return number


class Peer:
    """A server of an npm package: ``node_modules/.bin/NAME arguments``, where ``{port}`` is its port."""

    def __init__(self, place: Path, name: str, arguments: tuple[str, ...], folder: Path, **env: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "log"
        script = place / "node_modules" / ".bin" / name
        self._command = ["node", str(script), *(word.format(port=self.port) for word in arguments)]
        self._how: dict[str, Any] = {
            "cwd": folder, "env": {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1", **env},
            "stdin": subprocess.DEVNULL, "start_new_session": True,
        }  # fmt: skip

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, **self._how)
        ends = time.monotonic() + START_S
        try:
            while not self._answers():
                assert self._process.poll() is None, self.said
                assert time.monotonic() < ends, f"no answer within {START_S:g} s: {self.said}"
                time.sleep(0.05)
        except BaseException:
            _end(self._process)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._process)

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
