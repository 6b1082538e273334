"""What tasks cost, counted instead of timed: requests, connections, TLS contexts, looks at a pool, bytes read."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
import support_traffic
from support_traffic import State

from wan_cli.download import Fetcher, result_client
from wan_cli.models import Done, Job, LocalFile, Pending
from wan_cli.providers import load
from wan_cli.providers.base import Embedded, Form
from wan_cli.publish import Part
from wan_cli.transport import body, client
from wan_cli.transport.body import sendable
from wan_cli.transport.client import Api, tls_context
from wan_cli.transport.drive import drive
from wan_cli.wire.http1 import Connection
from wan_cli.wire.stream import Stream

POLLS = 3


async def traffic(folder: Path, tasks: int, *, at_once: bool) -> State:
    """Take so many tasks from the purchase to the file, one after the other or all at once."""
    state = State(POLLS, 2_000)
    server = await asyncio.get_running_loop().create_server(lambda: support_traffic.Connection(state), "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{state.port}"
    provider, api, results = load("modelverse")(url), Api(url, lambda: "a-key-of-some-length"), result_client(_no_tls)
    fetcher = Fetcher(api_origin=url, client=lambda: results, with_key=api.fetch)

    async def one(number: int) -> None:
        job = Job(verb="generate", provider="modelverse", model="wan2.7-image", prompt="a fox", route="async")
        answer = await drive(provider.submit(job, token="t"), provider, lambda sent: api.send(sent, paid=True))
        while isinstance(answer, Pending):
            answer = await drive(provider.poll(answer), provider, api.send)
        assert isinstance(answer, Done)
        with Part(folder / f"{number}.png", cap=10_000) as part:
            found = await fetcher.fetch(answer.outputs[0], part, kind="image", progress=lambda *_: None)
            assert found.mime == "image/png"

    if at_once:
        await asyncio.gather(*(one(number) for number in range(tasks)))
    else:
        for number in range(tasks):
            await one(number)
    await api.close()
    await results.aclose()
    server.close()
    return state


def _no_tls() -> ssl.SSLContext:
    raise AssertionError


def within(work: Awaitable[Any]) -> Any:
    async def timed() -> Any:
        async with asyncio.timeout(30):
            return await work

    return asyncio.run(timed())


def test_a_task_costs_its_requests_and_one_connection(tmp_path: Path) -> None:
    """A purchase, its polls, a download; a connection for each purchase, one for all polls, one for all downloads."""
    state = within(traffic(tmp_path, 6, at_once=False))
    assert state.counts == {"connections": 6 + 2, "requests": 6 * (1 + POLLS + 1), "submits": 6, "polls": 6 * POLLS,
                            "downloads": 6}  # fmt: skip


def test_many_tasks_at_once_share_few_connections(tmp_path: Path) -> None:
    """However many tasks there are, 16 connections carry their polls and 8 their downloads."""
    state = within(traffic(tmp_path, 60, at_once=True))
    assert state.counts["requests"] == 60 * (1 + POLLS + 1)
    assert state.counts["connections"] <= 60 + 16 + 8


def test_a_request_looks_at_no_other_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work of a request does not grow with the requests and connections beside it: at most two looks at its own."""
    looks: Counter[str] = Counter()

    def counted(kind: type, name: str) -> None:
        real = getattr(kind, name).fget

        def look(self: Any) -> Any:
            looks[name] += 1
            return real(self)

        monkeypatch.setattr(kind, name, property(look))

    counted(Connection, "reusable")
    counted(Stream, "stirred")
    state = within(traffic(tmp_path, 60, at_once=True))
    assert min(looks.values()) > 0
    assert sum(looks.values()) <= 2 * state.counts["requests"]


def test_a_process_has_one_tls_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate authorities are read once; another file of them is another context."""
    made: list[ssl.SSLContext] = []

    def context() -> ssl.SSLContext:
        made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return made[-1]

    monkeypatch.setattr(client.httpx, "create_ssl_context", context)
    client._trusting.cache_clear()
    try:
        assert [tls_context() for _ in range(3)] == made * 3
        monkeypatch.setenv("SSL_CERT_FILE", "/another/bundle.pem")
        tls_context()
        assert len(made) == 2
    finally:
        client._trusting.cache_clear()


@pytest.mark.parametrize("kind", ["json", "form"])
def test_a_reference_is_read_once_and_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Each byte of a reference is read once while its request goes out, and no piece of the body is large."""
    data = os.urandom(1_000_000)
    (tmp_path / "a.png").write_bytes(data)
    file = LocalFile(
        path=str(tmp_path / "a.png"), sha256=hashlib.sha256(data).hexdigest(), size=len(data), mime="image/png"
    )
    read: list[int] = []
    opened = body.regular

    class Counting:
        def __init__(self, source: IO[bytes]) -> None:
            self.source = source

        def read(self, size: int) -> bytes:
            found = self.source.read(size)
            read.append(len(found))
            return found

    @contextmanager
    def counting(path: str) -> Iterator[Counting]:
        with opened(path) as source:
            yield Counting(source)

    monkeypatch.setattr(body, "regular", counting)
    if kind == "json":
        embedded = Embedded(file)
        content, extensions = json.dumps([embedded.placeholder]).encode(), {"embedded": (embedded,)}
    else:
        content, extensions = b"", {"form": Form(fields={}, files=[("image", file)])}
    wire = sendable(httpx.Request("POST", "http://h.example/", content=content, extensions=extensions))
    assert isinstance(wire.stream, body.Pieces)
    pieces = list(wire.stream)
    assert sum(read) == len(data)
    assert max(map(len, pieces)) <= 64 * 1024
    assert sum(map(len, pieces)) == int(wire.headers["Content-Length"])


def test_httpx_comes_without_its_own_command() -> None:
    """What sends and fetches loads neither click nor rich, and no socket library before there is a connection."""
    code = "import sys, wan_cli.providers.modelverse, wan_cli.transport.client, wan_cli.download; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ran.stdout.split()}
    assert "httpx" in loaded
    assert not loaded & {"click", "rich", "httpcore", "anyio", "h11"}
