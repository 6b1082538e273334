"""The transport below httpx: which connections are used again, how many there are, and what a socket's failures are."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import trustme
from support_raw import run

from wan_cli.wire import Wire
from wan_cli.wire.pool import TURN
from wan_cli.wire.stream import HIGH, Stream, connect

LEAN = """
import asyncio, sys
import wan_cli.wire, httpx

async def main():
    async def serve(reader, writer):
        await reader.readuntil(b"\\r\\n\\r\\n")
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = "http://127.0.0.1:%d/" % server.sockets[0].getsockname()[1]
    async with httpx.AsyncClient(transport=wan_cli.wire.Wire(tls=None, connections=1), trust_env=False) as ours:
        print([answer.text for answer in await asyncio.gather(ours.get(url), ours.get(url))])
    server.close()

asyncio.run(main())
print(sorted({"anyio", "sniffio", "trio", "httpcore", "certifi", "socksio"} & sys.modules.keys()))
"""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NAMED = "sni_hostname"


@dataclass
class Server:
    """A server of raw answers. ``most`` is how many requests were under way at once."""

    port: int = 0
    connections: int = 0
    requests: int = 0
    now: int = 0
    most: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    close_after: bool = False
    answer: bytes = OK
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/x"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                self.now += 1
                self.most = max(self.most, self.now)
                await self.gate.wait()
                self.now -= 1
                writer.write(self.answer)
                await writer.drain()
                if self.close_after:
                    break
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def served(context: ssl.SSLContext | None = None, *, opened: bool = True) -> AsyncIterator[Server]:
    found = Server()
    if opened:
        found.gate.set()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=context)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        found.gate.set()
        for writer in found.writers:
            writer.transport.abort()
        server.close()
        await asyncio.sleep(0)


def wire(connections: int = 4, *, keep: bool = True, keep_s: float = 60.0, tls: ssl.SSLContext | None = None) -> Wire:
    return Wire(tls=tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), connections=connections, keep=keep, keep_s=keep_s)


async def until(true: Callable[[], Any]) -> None:
    """Let the loop turn until something holds."""
    while not true():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)


def listening(*, backlog: int = 8) -> socket.socket:
    """Return a socket that takes connections and never answers."""
    made = socket.create_server(("127.0.0.1", 0), backlog=backlog)
    made.setblocking(False)
    return made


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Return a server that says nothing."""
    with listening() as made:
        yield made


@pytest.mark.parametrize(("keep", "expected"), [(True, 1), (False, 5)])
def test_connections_are_kept_or_none_is(*, keep: bool, expected: int) -> None:
    """Requests in a row share one connection; for what may cost money each has its own (N12)."""

    async def work() -> int:
        async with served() as server, httpx.AsyncClient(transport=wire(keep=keep)) as client:
            for _ in range(5):
                assert (await client.get(server.url)).text == "ok"
            return server.connections

    assert run(work) == expected


def test_no_more_connections_than_allowed() -> None:
    """Sixty requests at once over four connections: four at a time, four connections, and all are answered."""

    async def work() -> tuple[int, int, int]:
        async with served(opened=False) as server, httpx.AsyncClient(transport=wire(4), timeout=10) as client:
            asking = asyncio.gather(*(client.get(server.url) for _ in range(60)))
            await until(lambda: server.requests == 4)
            server.gate.set()
            answers = await asking
            assert {answer.text for answer in answers} == {"ok"}
            return server.connections, server.most, server.requests

    assert run(work) == (4, 4, 60)


def test_s9_a_connection_serves_one_name_only() -> None:
    """A connection that was held to one host's name is used again for it alone."""

    async def work() -> int:
        async with served() as server, httpx.AsyncClient(transport=wire()) as client:
            for name in ("a.example", "b.example", None, "a.example", "b.example", None):
                await client.get(server.url, extensions={NAMED: name} if name else {})
            return server.connections

    assert run(work) == 3


def test_idle_connections_make_room() -> None:
    """Of three hosts over two connections the one that waits longest is closed; idle and busy ones count together."""

    async def work() -> list[int]:
        async with served() as one, served() as two, served() as three:
            async with httpx.AsyncClient(transport=wire(2)) as client:
                for server in (one, two, three, two, one):
                    await client.get(server.url)
            return [server.connections for server in (one, two, three)]

    assert run(work) == [2, 1, 1]


def test_a_connection_that_the_server_closed_is_not_used() -> None:
    """What was closed while it waited is found out before the next request is written."""

    async def work() -> tuple[int, int]:
        async with served() as server, httpx.AsyncClient(transport=wire()) as client:
            server.close_after = True
            for _ in range(3):
                assert (await client.get(server.url)).text == "ok"
                await asyncio.sleep(0.01)
            return server.connections, server.requests

    assert run(work) == (3, 3)


def test_a_connection_expires() -> None:
    """A connection that waited longer than it may is replaced."""

    async def work() -> int:
        async with served() as server, httpx.AsyncClient(transport=wire(keep_s=0.0)) as client:
            for _ in range(2):
                await client.get(server.url)
                await asyncio.sleep(0.002)
            return server.connections

    assert run(work) == 2


def test_a_body_that_is_not_read_ends_its_connection() -> None:
    """What is left of an answer never becomes the beginning of the next."""

    async def work() -> tuple[str, int]:
        async with served() as server, httpx.AsyncClient(transport=wire(1)) as client:
            server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"
            async with client.stream("GET", server.url) as response:
                assert response.status_code == 200
            await response.aclose()  # once more is no matter
            server.answer = OK
            return (await client.get(server.url)).text, server.connections

    assert run(work) == ("ok", 2)


def test_a_turn_that_does_not_come_is_a_pool_timeout() -> None:
    """With the only connection in use the next request waits, and says so when it waited long enough."""

    async def work() -> None:
        async with served(opened=False) as server, httpx.AsyncClient(transport=wire(1), timeout=10) as client:
            first = asyncio.ensure_future(client.get(server.url))
            await until(lambda: server.requests == 1)
            with pytest.raises(httpx.PoolTimeout, match=r"no connection was free within 0\.01 s"):
                await client.get(server.url, timeout=httpx.Timeout(10, pool=0.01))
            server.gate.set()
            assert (await first).text == "ok"
            assert (await client.get(server.url)).text == "ok"

    run(work)


def test_a_request_that_is_given_up_frees_its_turn() -> None:
    """A cancelled request closes its connection, and the next one goes."""

    async def work() -> int:
        async with served(opened=False) as server, httpx.AsyncClient(transport=wire(1), timeout=10) as client:
            first = asyncio.ensure_future(client.get(server.url))
            await until(lambda: server.requests == 1)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            server.gate.set()
            assert (await client.get(server.url)).text == "ok"
            return server.connections

    assert run(work) == 2


@pytest.mark.parametrize("late", [False, True])
def test_surplus_bytes_are_nobodys_answer(*, late: bool) -> None:
    """What comes behind an answer, with it or while the connection waits, ends the connection."""
    more = OK.replace(b"ok", b"no")

    async def work() -> tuple[list[str], int]:
        async with served() as server, httpx.AsyncClient(transport=wire(1)) as client:
            server.answer = OK if late else OK + more
            texts = [(await client.get(server.url)).text]
            server.answer = OK
            if late:
                server.writers[0].write(more)
                await asyncio.sleep(0.01)
            texts += [(await client.get(server.url)).text for _ in range(2)]
            return texts, server.connections

    assert run(work) == (["ok"] * 3, 2)


def test_a_request_is_told_of_its_turn() -> None:
    """It is told when it may go, not when it begins to wait."""

    async def work() -> None:
        told: list[int] = []
        async with served(opened=False) as server, httpx.AsyncClient(transport=wire(1), timeout=10) as client:
            asking = [
                asyncio.ensure_future(client.get(server.url, extensions={TURN: lambda n=n: told.append(n)}))
                for n in range(2)
            ]
            await until(lambda: server.requests == 1)
            assert told == [0]
            server.gate.set()
            await asyncio.gather(*asking)
            assert told == [0, 1]

    run(work)


def test_any_number_of_connections() -> None:
    """Without a limit nobody waits for a turn."""

    async def work() -> int:
        transport = Wire(tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), connections=None, keep=False)
        async with served(opened=False) as server, httpx.AsyncClient(transport=transport, timeout=10) as client:
            asking = asyncio.gather(*(client.get(server.url) for _ in range(20)))
            await until(lambda: server.requests == 20)
            server.gate.set()
            await asking
            return server.most

    assert run(work) == 20


def test_closing_ends_what_is_under_way() -> None:
    """Closing the transport closes the connection of an answer that still comes."""

    async def work() -> None:
        async with served() as server:
            server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"
            transport = wire()
            response = await transport.handle_async_request(httpx.Request("GET", server.url))
            await transport.aclose()
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
                await response.aread()
            await response.aclose()

    run(work)


def test_a_scheme_that_is_none_is_refused() -> None:
    """Only http and https go anywhere."""

    async def work() -> None:
        async with httpx.AsyncClient(transport=wire()) as client:
            await client.get("ftp://a.example/")

    with pytest.raises(httpx.UnsupportedProtocol, match="'ftp://'"):
        run(work)


def test_a_port_that_is_none_is_refused() -> None:
    """What httpx takes for a port and no socket does is refused before anything is opened, and costs no turn."""

    async def work() -> None:
        async with served() as server, httpx.AsyncClient(transport=wire(1)) as client:
            for _ in range(2):
                with pytest.raises(httpx.InvalidURL, match="no port 70000"):
                    await client.get("http://127.0.0.1:70000/")
            assert (await client.get(server.url)).text == "ok"

    run(work)


@pytest.mark.parametrize("late", ["cancelled", "timeout"])
def test_an_answer_that_comes_too_late_is_nobodys(late: str) -> None:
    """A kept connection whose next answer was given up is never asked again: that answer may still come."""

    async def work() -> tuple[str, int]:
        async with served() as server, httpx.AsyncClient(transport=wire(1), timeout=10) as client:
            assert (await client.get(server.url)).text == "ok"
            server.gate.clear()
            asking = asyncio.ensure_future(client.get(server.url, timeout=0.05 if late == "timeout" else 10))
            await until(lambda: server.requests == 2)
            if late == "cancelled":
                asking.cancel()
            with pytest.raises((asyncio.CancelledError, httpx.ReadTimeout)):
                await asking
            server.answer = OK.replace(b"ok", b"no")
            server.gate.set()
            await asyncio.sleep(0.01)
            server.answer = OK
            return (await client.get(server.url)).text, server.connections

    assert run(work) == ("ok", 2)


def test_a_connection_that_opens_after_the_end_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was being opened while the transport was closed sends nothing."""

    async def work() -> int:
        opened = asyncio.Event()
        real = asyncio.get_running_loop().create_connection

        async def slow(*args: Any, **named: Any) -> Any:
            await opened.wait()
            return await real(*args, **named)

        async with served() as server:
            transport = wire(1)
            monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", slow)
            asking = asyncio.ensure_future(transport.handle_async_request(httpx.Request("GET", server.url)))
            await asyncio.sleep(0)
            await transport.aclose()
            opened.set()
            with pytest.raises(httpx.ConnectError, match="closed meanwhile"):
                await asking
            return server.requests

    assert run(work) == 0


def test_failures_while_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens, the name is none, nobody answers in time: each is its own kind of failure."""

    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = gone.getsockname()[1]
        with pytest.raises(httpx.ConnectError, match="All connection attempts failed"):
            await connect("127.0.0.1", port, 5)
        loop = asyncio.get_running_loop()

        async def unknown(*_: object, **__: object) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        async def never(*_: object, **__: object) -> Any:
            await asyncio.sleep(60)

        monkeypatch.setattr(loop, "getaddrinfo", unknown)
        with pytest.raises(httpx.ConnectError, match="Name or service not known"):
            await connect("no.example", 443, 5)
        monkeypatch.setattr(loop, "create_connection", never)
        with pytest.raises(httpx.ConnectTimeout):
            await connect("127.0.0.1", port, 0.01)

    run(work)


@pytest.mark.parametrize("name", ["a..example", ".example", "x" * 64 + ".example", "."])
def test_a_name_that_is_none_is_a_failure_to_connect(silent: socket.socket, name: str) -> None:
    """Neither asyncio's look-up nor TLS can encode it: no bug of ours, and nothing was sent."""

    async def work() -> None:
        with pytest.raises(httpx.ConnectError, match="the host's name is none"):
            await connect(name, 443, 5)
        stream, other = await pair(silent)
        with pytest.raises(httpx.ConnectError, match="the host's name is none"):
            await stream.secured(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), name, 5)
        stream.abort()
        other.close()
        await asyncio.sleep(0)

    run(work)


def test_a_name_is_tried_at_all_its_addresses(monkeypatch: pytest.MonkeyPatch, silent: socket.socket) -> None:
    """Where the first address of a name leads nowhere, the next is taken."""

    async def work() -> object:
        loop, port = asyncio.get_running_loop(), silent.getsockname()[1]
        rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]

        async def both(*_: object, **__: object) -> Any:
            return rows

        monkeypatch.setattr(loop, "getaddrinfo", both)
        stream = await connect("two.example", port, 5)
        server = stream._transport.get_extra_info("peername")
        stream.abort()
        return server[0]

    assert run(work) == "127.0.0.1"


async def pair(silent: socket.socket) -> tuple[Stream, socket.socket]:
    stream = await connect("127.0.0.1", silent.getsockname()[1], 5)
    other, _ = await asyncio.get_running_loop().sock_accept(silent)
    other.setblocking(False)
    return stream, other


def test_reading(silent: socket.socket) -> None:
    """Bytes come as they are, silence is a timeout, and the end is no bytes; an idle connection tells of its end."""

    async def work() -> None:
        stream, other = await pair(silent)
        with pytest.raises(httpx.ReadTimeout):
            await stream.read(0.01)
        assert stream.stirred is False
        other.send(b"abc")
        assert await stream.read(5) == b"abc"
        other.send(b"d")
        assert await stream.read(None) == b"d"
        other.close()
        assert await stream.read(5) == b""
        assert stream.stirred is True
        stream.abort()
        with pytest.raises(httpx.WriteError):
            await stream.write(b"x", 5)

    run(work)


def test_a_reset_is_an_error_of_reading_and_writing(silent: socket.socket) -> None:
    """What came before a reset is still given out; then it is no end but a failure."""

    async def work() -> None:
        stream, other = await pair(silent)
        other.send(b"abc")
        await until(lambda: stream.stirred)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        await until(lambda: stream._gone)
        with pytest.raises(httpx.WriteError):
            await stream.write(b"x", 5)
        assert await stream.read(5) == b"abc"
        with pytest.raises(httpx.ReadError, match="reset"):
            await stream.read(5)
        stream.abort()

    run(work)


def test_a_peer_that_does_not_read_ends_the_writing(silent: socket.socket) -> None:
    """Writing waits until the kernel has taken everything, and no longer than it may."""

    async def work() -> int:
        stream, other = await pair(silent)
        data = bytes(16 * HIGH)
        with pytest.raises(httpx.WriteTimeout):
            await stream.write(data, 0.05)
        stream.abort()
        other.close()
        stream, other = await pair(silent)
        writing, got = asyncio.ensure_future(stream.write(data, 5)), 0
        while got < len(data):
            got += len(await asyncio.get_running_loop().sock_recv(other, HIGH))
        await writing
        stream.abort()
        other.close()
        return got

    assert run(work) == 16 * HIGH


def test_a_fast_sender_is_held_up(silent: socket.socket) -> None:
    """However much comes, little of it waits here; all of it is read in the end."""

    async def work() -> tuple[int, int]:
        stream, other = await pair(silent)
        loop, total, most, got = asyncio.get_running_loop(), 24 * HIGH, 0, 0
        sending = asyncio.ensure_future(loop.sock_sendall(other, bytes(total)))
        for _ in range(200):
            await asyncio.sleep(0)
            most = max(most, stream._size)
        while got < total:
            got += len(await stream.read(5))
            most = max(most, stream._size)
        await sending
        stream.abort()
        other.close()
        return got, most

    got, most = run(work)
    assert got == 24 * HIGH
    assert HIGH < most <= HIGH + 256 * 1024


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context for the name cdn.example, and a client's that trusts it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("cdn.example").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def test_s9_over_tls_a_kept_connection_stays_with_its_name(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """The right name is answered twice over one connection; another name at the address is held to its own."""
    server_side, client_side = contexts

    async def work() -> tuple[int, int]:
        async with served(server_side) as server, httpx.AsyncClient(transport=wire(tls=client_side)) as client:
            url = server.url.replace("http:", "https:")
            server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000)
            for _ in range(2):
                found = await client.post(url, content=bytes(1000), extensions={NAMED: "cdn.example"})
                assert len(found.content) == 3_000_000
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(url, extensions={NAMED: "other.example"})
            return server.connections, server.requests

    connections, requests = run(work)
    assert connections == 1
    assert requests >= 2


def test_a_handshake_that_nobody_answers_is_a_timeout(silent: socket.socket) -> None:
    """TLS with a server that says nothing ends when connecting may take no longer."""

    async def work() -> None:
        stream, other = await pair(silent)
        with pytest.raises(httpx.ConnectTimeout):
            await stream.secured(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "a.example", 0.05)
        other.close()
        await asyncio.sleep(0)

    run(work)


def test_nothing_else_is_loaded() -> None:
    """Our connections need asyncio and h11: neither httpx's own pool nor what that is made of."""
    ran = subprocess.run([sys.executable, "-W", "error", "-c", LEAN], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("['ok', 'ok']\n[]\n", "")
