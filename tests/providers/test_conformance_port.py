"""The conformance suite over real sockets: the same contracts, served by uvicorn on a loopback port."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

pytest.register_assert_rewrite("conformance")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: python -m pip install 'uvicorn>=0.34'")

from conformance import Candidate, Conformance, candidates, drawn, filmed  # noqa: E402 - after the lines above
from test_conformance import at_openai  # noqa: E402

from wan_cli.providers import load  # noqa: E402
from wan_cli.sandbox import CONTRACTS, World, serve  # noqa: E402

PLACE = "127.0.0.1:9"
"""Stands for the server's port in every address until the request is sent: the adapter is made before the server."""

NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts no certificate: the port speaks plain HTTP, and reading all that are trusted takes 50 ms for each request."""

RUNNING: list[Port] = []


class Port(httpx.AsyncBaseTransport):
    """A server on a free port over a world, and the way there."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._bound = serve.bind("127.0.0.1", 0)
        self._server: Any = None
        ready = threading.Event()

        def up(server: Any) -> None:
            self._server = server
            ready.set()

        parts = {"clock": world.clock, "draw": drawn, "film": filmed}
        self._thread = threading.Thread(target=lambda: serve.serve(self._bound, world.folder, ready=up, **parts))
        self._thread.start()
        RUNNING.append(self)
        assert ready.wait(10)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.netloc.decode() == PLACE
        port = httpx.URL(self._bound.url).port
        url = request.url.copy_with(port=port)
        sent = httpx.Request(request.method, url, headers=request.headers, content=await request.aread())
        async with httpx.AsyncHTTPTransport(verify=NOBODY) as wire:
            answer = await wire.handle_async_request(sent)
            return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())


@pytest.fixture(autouse=True)
def _stopped() -> Iterator[None]:
    yield
    while RUNNING:
        RUNNING.pop().stop()


def served(world: World) -> Port:
    """Return the one server of a world: API and results are on the same port."""
    return next((port for port in RUNNING if port.world is world), None) or Port(world)


def row(name: str, **more: Any) -> Candidate:
    label = "-".join(filter(None, (name, str(more.get("route") or ""), str(more.get("makes") or ""))))
    return Candidate(
        label=label, adapter=lambda: load(name)(f"http://{PLACE}/{name}"), key=CONTRACTS[name].KEY,
        wire=served, results=served, **{"model": "wan2.7-image", **more},
    )  # fmt: skip


class TestPort(Conformance):
    """The providers that come with wan, on a port; what is at the limit is accepted in process (TestProviders)."""

    test_what_is_at_the_limit_is_accepted_there = None
    candidate = candidates(
        row("rivya"),
        row("modelverse", n=3),
        row("modelverse", n=3, route="sync"),
        row("yunwu", n=3, model="wan2.7-image-pro"),
        row("openai", n=3, model="gpt-image-1", takes=at_openai),
        row("toapis", model="wan2.7-video", makes="video"),
    )
