"""The sandbox on a port: a server in a process of its own, wan and openai-python as its clients, faults over sockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from support_cli import Cli, drawn

from wan_cli.catalog import BUILTIN
from wan_cli.errors import ConfigInvalid, StateUnusable, UsageError
from wan_cli.sandbox import serve
from wan_cli.sandbox.faults import parse_all
from wan_cli.sandbox.port import Port, base_urls, exports
from wan_cli.sandbox.transport import CONTRACTS
from wan_cli.sandbox.world import NeedsExtraError, World

MV = ("generate", "a fox", "-p", "modelverse", "--sync", "-s", "1K")
RV = ("generate", "a fox", "-p", "rivya", "-s", "1K")
WORDS = {
    "rivya": RV,
    "modelverse": MV,
    "yunwu": ("generate", "a fox", "-p", "yunwu", "-s", "1K"),
    "openai": ("generate", "a fox", "-p", "openai", "-m", "gpt-image-1"),
    "toapis": ("generate", "a fox", "-p", "toapis", "-m", "wan2.7-video", "-d", "2"),
}
needs_uvicorn = pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="uvicorn is not installed")


class Server:
    """The server inside this process, on a free port, with drawings that take no time."""

    def __init__(self, folder: Path, *faults: str, **world: Any) -> None:
        self.folder = folder
        self._bound = serve.bind("127.0.0.1", 0)
        self.url = self._bound.url
        self._server: Any = None
        self._ready = threading.Event()
        parts = {"latency": 0.0, "draw": drawn, **world}

        def ready(server: Any) -> None:
            self._server = server
            self._ready.set()

        self._thread = threading.Thread(
            target=lambda: serve.serve(self._bound, folder, faults=parse_all(faults), ready=ready, **parts)
        )

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    @property
    def env(self) -> dict[str, str]:
        """Return the variables that the server's lines set."""
        return dict(line.removeprefix("export ").split("=", 1) for line in exports(self.url))

    @property
    def purchases(self) -> int:
        """Return how many orders were charged."""
        return len(World(self.folder).purchases())


# -- wan as its client ---------------------------------------------------------------------------------------------


@needs_uvicorn
@pytest.mark.parametrize("provider", [name for name in CONTRACTS if name in BUILTIN])
def test_wan_as_the_client(cli: Cli, tmp_path: Path, provider: str) -> None:
    """With the variables that the server prints, wan makes a file through every contract, and pays once."""
    with Server(tmp_path / "port", film=None) as server:
        ran = cli.run(*WORDS[provider], "--json", env=server.env)
        assert ran.code == 0, ran.err
        assert not ran.task["sandbox"]
        assert ran.task["origin"] == server.url
        assert server.purchases == 1
    assert len(cli.files()) == 1


FAULTS = [
    (RV, "429:retry-after=1*1/submit", 0, 1),
    (MV, "429:retry-after=1*1", 0, 1),
    (MV, "429", 6, 0),
    (RV, "500*1/submit", 0, 1),
    (MV, "500/submit", 9, 0),
    (RV, "drop-before*1/submit", 0, 1),
    (MV, "drop-before/submit", 9, 0),
    (RV, "drop-after*1/submit", 0, 1),
    (MV, "drop-after/submit", 9, 1),
    (RV, "drop-after*1/poll drop-before*2/download", 0, 1),
    (MV, "stall=0.01", 0, 1),
    (MV, "truncate*1/download", 0, 1),
    (MV, "truncate/download", 12, 1),
    (MV, "truncate/submit", 9, 1),
    (RV, "truncate*1/submit", 0, 1),
    (MV, "html/submit", 9, 0),
    (MV, "html/download", 12, 1),
    (MV, "expired-url", 10, 1),
    (RV, "expired-url*1", 0, 1),
    ((*MV, "-n", "2"), "k-of-n", 11, 1),
    ((*MV, "--strict"), "wrong-size", 14, 1),
    (RV, "fail", 7, 1),
    (MV, "moderation", 4, 0),
    (RV, "moderation", 4, 0),
]


@needs_uvicorn
@pytest.mark.parametrize(("words", "faults", "code", "purchases"), FAULTS)
def test_faults_over_sockets(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], faults: str, code: int, purchases: int
) -> None:
    """Each fault ends over real sockets as it does in the process: keyed orders recover, unkeyed ones are in doubt."""
    with Server(tmp_path / "port", *faults.split()) as server:
        ran = cli.run(*words, "--json", env=server.env)
        assert (ran.code, server.purchases) == (code, purchases), ran.err


@needs_uvicorn
def test_jpeg_as_png_over_sockets(cli: Cli, tmp_path: Path) -> None:
    """JPEG bytes on the port get their true extension, with a warning."""
    with Server(tmp_path / "port", "jpeg-as-png") as server:
        ran = cli.run(*MV, "-o", "fox.png", "--json", env=server.env)
    assert ran.code == 0
    assert cli.files() == ["fox.jpg"]
    assert ran.task["warnings"]


# -- the server as a process ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(env: Mapping[str, str], *words: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Start ``wan sandbox`` and yield it with the lines it prints before it serves."""
    command = [sys.executable, "-m", "wan_cli", "sandbox", "--port", "0", *words]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, **env}, **pipes) as process:
        try:
            assert process.stdout is not None
            yield process, [process.stdout.readline().rstrip("\n") for _ in range(2 * len(CONTRACTS))]
        finally:
            if process.poll() is None:
                process.kill()


def stopped(process: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[int, str]:
    """Tell a server to stop; return its exit code and what it said."""
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    return process.returncode, said


@needs_uvicorn
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command(tmp_path: Path, number: int) -> None:
    """``wan sandbox`` prints what a shell can evaluate, serves, and ends with 0 when it is told to stop."""
    with started({}, "--latency", "0", "--state", str(tmp_path / "kept"), "--fault", "429*1/submit") as (process, lines):
        told = dict(re.fullmatch(r"export ([A-Z]+_(?:BASE_URL|API_KEY))=(\S+)", line).groups() for line in lines)  # type: ignore[union-attr]
        assert set(told) == {f"{name.upper()}_{part}" for name in CONTRACTS for part in ("BASE_URL", "API_KEY")}
        headers = {"Authorization": f"Bearer {told['MODELVERSE_API_KEY']}"}
        order = {"model": "wan2.7-image", "prompt": "p", "size": "768x768"}
        url = f"{told['MODELVERSE_BASE_URL']}/v1/images/generations"
        assert httpx.post(url, json=order, headers=headers).status_code == 429
        answer = httpx.post(url, json=order, headers=headers)
        assert answer.status_code == 200
        assert Image.open(BytesIO(httpx.get(answer.json()["data"][0]["url"]).content)).size == (768, 768)
        code, said = stopped(process, number)
    assert code == 0
    assert "Ctrl-C ends it" in said
    assert "Traceback" not in said
    assert (tmp_path / "kept" / "purchases.jsonl").exists()


@needs_uvicorn
def test_under_way_when_told_to_stop(tmp_path: Path) -> None:
    """A request that is stalled does not keep the server from ending with 0."""
    with started({}, "--state", str(tmp_path / "kept"), "--fault", "stall=60") as (process, lines):
        address = httpx.URL(lines[0].partition("=")[2])
        with socket.create_connection((address.host, address.port or 80)) as sock:
            sock.sendall(b"GET /rivya/api/v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            assert httpx.get(f"http://{address.host}:{address.port}/").status_code == 200
            code, _ = stopped(process)
    assert code == 0


def test_a_taken_port(cli: Cli) -> None:
    """A port that is taken, and a host that is not this machine's, are exit 2 with the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = cli.run("sandbox", "--port", taken.getsockname()[1])
    assert ran.code == 2
    assert "--port 0" in ran.said("hint")
    assert ran.out == ""
    with pytest.raises(UsageError, match=r"cannot listen on .*127.0.0.1.x"):
        serve.bind("127.0.0.1.x.invalid.", 0) if False else _bind_nowhere()


def _bind_nowhere() -> None:
    def nowhere(*_: Any, **__: Any) -> Any:
        raise OSError(99, "Cannot assign requested address")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "create_server", nowhere)
        serve.bind("127.0.0.1", 1)


def test_without_uvicorn(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing uvicorn is exit 3 with the command that installs it."""
    monkeypatch.setattr(serve, "find_spec", lambda _: None)
    ran = cli.run("sandbox")
    assert ran.code == 3
    assert ran.said("hint") == "pip install 'wan-cli[sandbox]'"
    with pytest.raises(ConfigInvalid):
        serve.bind("127.0.0.1", 0)
