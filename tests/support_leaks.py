"""An API and a host of results as two servers on real sockets, which remember all that came; every provider's contract.

The sandbox's contracts answer as the API; the results are on another port and under another name of this machine.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import httpx
from support_cli import Cli, Ran

from wan_cli.registry import BUILTIN
from wan_cli.sandbox.transport import CONTRACTS, results
from wan_cli.sandbox.world import World

COOKIE = "session=cookie-canary-0123456789"
PROVIDERS = [name for name in CONTRACTS if name in BUILTIN]
WORDS = {
    "rivya": ("generate", "a fox", "-p", "rivya", "-s", "1K"),
    "modelverse": ("generate", "a fox", "-p", "modelverse", "-s", "1K"),
    "yunwu": ("generate", "a fox", "-p", "yunwu", "-s", "1K"),
    "openai": ("generate", "a fox", "-p", "openai", "-m", "dall-e-3"),
    "toapis": ("generate", "a fox", "-p", "toapis", "-m", "wan2.7-video", "-d", "5"),
    "dashscope": ("generate", "a fox", "-p", "dashscope", "-s", "1K"),
}


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def clip(_prompt: str, width: int, height: int, *, seconds: int, **_: Any) -> bytes:
    """Return the boxes of an MP4 without a picture in it: a video that takes no time."""
    head = _box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, seconds * 1000) + bytes(80))
    track = _box(b"trak", _box(b"tkhd", bytes(76) + struct.pack(">II", width << 16, height << 16)))
    return _box(b"ftyp", b"isom\0\0\2\0isomiso2") + _box(b"moov", head + track) + _box(b"mdat", b"\0" * 64)


@dataclass
class Came:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        """All of it, for a search."""
        return f"{self.method} {self.path}\n{self.headers}\n{self.body.decode('utf-8', 'replace')}"

    def header(self, name: str) -> str:
        """Return a header's value, empty where there is none."""
        return next((value for known, value in self.headers if known.lower() == name), "")


class Listening:
    """A server on loopback that remembers; ``answer`` may be replaced."""

    def __init__(self) -> None:
        self.came: list[Came] = []
        self.answer: Any = lambda came: httpx.Response(404)
        listening = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65_536

            def take(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                came = Came(self.command, self.path, list(self.headers.items()), body)
                listening.came.append(came)
                said: httpx.Response = listening.answer(came)
                self.send_response(said.status_code)
                headers = [(k, v) for k, v in said.headers.multi_items() if k != "content-length"]
                for name, value in [*headers, ("Content-Length", str(len(said.content)))]:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.content)

            do_GET = do_POST = do_PUT = do_HEAD = take  # noqa: N815 - http.server's names

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Both:
    """The API and the host of its results, whose names and ports differ."""

    cli: Cli
    api: Listening
    host: Listening
    world: World
    provider: str
    script: dict[str, list[httpx.Response]] = field(default_factory=dict)

    def api_answer(self, came: Came) -> httpx.Response:
        """Answer as the provider's contract does, and set a cookie."""
        url = f"http://127.0.0.1:{self.api.port}{came.path}"
        scripted = self.script.get(came.method)
        if scripted:
            return scripted.pop(0)
        request = httpx.Request(came.method, url, headers=came.headers, content=came.body)
        answer = CONTRACTS[self.provider].handle(request, self.world)
        answer.headers["Set-Cookie"] = f"{COOKIE}; Path=/"
        return answer

    def host_answer(self, came: Came) -> httpx.Response:
        """Serve a result, and set a cookie as well."""
        answer = results(httpx.Request(came.method, f"http://localhost:{self.host.port}{came.path}"), self.world)
        answer.headers["Set-Cookie"] = f"{COOKIE}; Domain=localhost; Path=/"
        return answer

    def run(self, *more: str) -> Ran:
        """Run the provider's command with a key for the API."""
        name = self.provider.upper()
        suffix = "/v1" if self.provider == "openai" else ""
        env = {
            f"{name}_BASE_URL": f"http://127.0.0.1:{self.api.port}{suffix}",
            f"{name}_API_KEY": CONTRACTS[self.provider].KEY,
        }
        return self.cli.run(*WORDS[self.provider], *more, env=env)

    @property
    def secrets(self) -> list[str]:
        """What the API was given and nobody else may have."""
        found = {CONTRACTS[self.provider].KEY, COOKIE}
        for came in self.api.came:
            found |= {came.header("authorization"), came.header("idempotency-key")}
            if b"client_request_id" in came.body:
                found.add(httpx.Response(200, content=came.body).json()["client_request_id"])
        return [secret for secret in found if secret]
