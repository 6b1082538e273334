"""The ways to a server: through an HTTP proxy, plain or secure itself, and through a SOCKS5 proxy."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import struct
import sys

import httpx
import pytest
import trustme
from support_raw import passed_on, run, served

from wan_cli.wire import Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a context for servers here and one for clients that trust it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("127.0.0.1", "::1").configure_cert(server)
    authority.configure_trust(client)
    server.set_alpn_protocols(["h2", "http/1.1"])
    return server, client


async def says_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)


@pytest.mark.parametrize("secure", [False, True])
def test_through_a_proxy(
    *, secure: bool, contexts: tuple[ssl.SSLContext, ssl.SSLContext], caplog: pytest.LogCaptureFixture
) -> None:
    """A tunnel opens to https, plain requests carry their whole address; a proxy may speak TLS itself."""
    theirs, ours = contexts
    heads: list[bytes] = []
    spoken: list[str | None] = []

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spoken.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await says_ok(reader, writer)

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            if heads[-1].startswith(b"CONNECT"):
                writer.write(b"HTTP/1.1 200 Here you are\r\n\r\n")
                await passed_on(reader, writer, int(heads[-1].split()[1].rpartition(b":")[2]))
                return
            writer.write(OK)

    async def work() -> None:
        async with served(server, theirs) as port, served(proxy, theirs if secure else None) as at:
            address = f"http{'s' if secure else ''}://ann:pass%20word@127.0.0.1:{at}"
            async with httpx.AsyncClient(transport=Wire(tls=ours, connections=4, proxy=address)) as client:
                for _ in range(2):
                    assert (await client.get("http://plain.example:81/a?b=c#d")).text == "ok"
                    assert (await client.get(f"https://127.0.0.1:{port}/secret")).text == "ok"
                caplog.clear()
                with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    await client.get(f"https://[::1]:{port}/", extensions={"sni_hostname": "other.example"})

    run(work)
    assert set(spoken) == {"http/1.1"}
    assert not caplog.records  # what asyncio says of it would stand on stderr
    named = b"Proxy-Authorization: Basic " + base64.b64encode(b"ann:pass word")
    assert [head.split(b" ")[0] for head in heads] == [b"GET", b"CONNECT", b"GET", b"CONNECT"]
    assert all(named in head for head in heads)
    assert heads[0].startswith(b"GET http://plain.example:81/a?b=c HTTP/1.1\r\n")
    assert heads[1].startswith(b"CONNECT 127.0.0.1:")
    assert heads[3].startswith(b"CONNECT [::1]:")
    assert b"secret" not in b"".join(heads)


@pytest.mark.parametrize(
    ("answer", "kind", "match"),
    [
        (b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n", httpx.ProxyError, "^407 Who are you$"),
        (b"HTTP/1.1 200 OK\r\n\r\n\x16\x03", httpx.ProxyError, "more than its answer"),
        (b"", httpx.RemoteProtocolError, "disconnected"),
        (b"what?\r\n\r\n", httpx.RemoteProtocolError, "illegal status line"),
        (b"HTTP/1.1 200 OK\r\n\r\n", httpx.ConnectError, ""),
    ],
)
def test_a_tunnel_that_does_not_open(
    answer: bytes, kind: type[Exception], match: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """What the proxy says instead is told, and its connection is closed."""
    closed = asyncio.Event()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if b"200" not in answer or b"\x16" in answer:
            await writer.drain()
            if not answer.startswith(b"HTTP"):
                writer.write_eof()
            await reader.read()
            closed.set()

    async def work() -> None:
        async with served(proxy) as at:
            transport = Wire(tls=contexts[1], connections=1, proxy=f"http://127.0.0.1:{at}")
            async with httpx.AsyncClient(transport=transport) as client:
                for _ in range(2):  # and the turn is free again
                    with pytest.raises(kind, match=match or None):
                        await client.get("https://h.example/")
                if kind is not httpx.ConnectError:
                    await closed.wait()

    run(work)


@pytest.mark.parametrize("proxy", ["socks9://h:1", "ftp://h:1", "http://h:port"])
def test_a_proxy_that_is_none(proxy: str) -> None:
    """An address that is none is refused at once."""
    with pytest.raises((ValueError, httpx.InvalidURL)):
        Wire(tls=None, connections=1, proxy=proxy)


def test_socks_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without socksio there is no way through such a proxy."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(ImportError):
        Wire(tls=None, connections=1, proxy="socks5://h:1")


class Socks:
    """A SOCKS5 proxy from RFC 1928 and 1929, whose words come one byte at a time. ``says`` replaces its replies."""

    def __init__(self, says: dict[str, bytes] | None = None) -> None:
        self.says = says or {}
        self.asked: list[bytes] = []
        self.closed = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.serve(reader, writer)
            await reader.read()
        finally:
            self.closed.set()

    async def say(self, writer: asyncio.StreamWriter, what: str, usual: bytes) -> None:
        for byte in self.says.get(what, usual):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        if what in self.says:
            writer.write_eof()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        assert (version, len(methods)) == (5, 1)
        await self.say(writer, "method", b"\x05" + methods)
        if methods == b"\x02":
            _, size = await reader.readexactly(2)
            name = await reader.readexactly(size)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            self.asked.append(name + b":" + password)
            await self.say(writer, "password", b"\x01\x00")
        _, command, _, kind = await reader.readexactly(4)
        size = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        address = await reader.readexactly(size)
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        assert command == 1
        self.asked.append(address)
        await self.say(writer, "reply", b"\x05\x00\x00\x03\x04here\x00\x50")
        if "reply" not in self.says:
            await passed_on(reader, writer, port)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("who", "asked"), [("", [b"named.example"]), ("ann:pass%20word@", [b"ann:pass word", b"named.example"])]
)
def test_through_socks(
    who: str, asked: list[bytes], scheme: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """A connection through the proxy is as any other: by name, kept, and held to its certificate."""
    pytest.importorskip("socksio", reason="an extra of httpx's: python -m pip install socksio")
    theirs, ours = contexts
    proxy = Socks()

    async def work() -> None:
        async with served(says_ok, theirs if scheme == "https" else None) as port, served(proxy) as at:
            transport = Wire(tls=ours, connections=1, proxy=f"socks5://{who}127.0.0.1:{at}")
            async with httpx.AsyncClient(transport=transport) as client:
                for _ in range(2):
                    extensions = {"sni_hostname": "127.0.0.1"}
                    found = await client.get(f"{scheme}://named.example:{port}/", extensions=extensions)
                    assert found.text == "ok"

    run(work)
    assert proxy.asked == asked


@pytest.mark.parametrize(
    ("says", "kind", "match"),
    [
        ({"method": b"\x05\xff"}, httpx.ProxyError, "it wants NO_ACCEPTABLE_METHODS and was offered USERNAME_PASSWORD"),
        ({"method": b"\x05"}, httpx.ProxyError, "does not speak SOCKS5"),
        ({"method": b""}, httpx.ProxyError, "does not speak SOCKS5"),
        ({"password": b"\x01\x01"}, httpx.ProxyError, "Invalid username/password"),
        ({"reply": b"\x05\x05\x00\x01" + bytes(6)}, httpx.ProxyError, "could not connect: CONNECTION_REFUSED"),
        ({"reply": b"\x05\x04\x00\x04" + bytes(18)}, httpx.ProxyError, "could not connect: HOST_UNREACHABLE"),
        ({"reply": b"\x05\x00\x00\x09\x00\x00"}, httpx.ProxyError, "does not speak SOCKS5"),
        ({"reply": b"HTTP/1.1 400"}, httpx.ProxyError, "does not speak SOCKS5"),
        ({"reply": b"\x05\x00"}, httpx.ProxyError, "does not speak SOCKS5"),
    ],
)  # fmt: skip
def test_socks_that_does_not_open(says: dict[str, bytes], kind: type[Exception], match: str) -> None:
    """What the proxy says instead is told, and no socket is left open."""
    pytest.importorskip("socksio", reason="an extra of httpx's: python -m pip install socksio")
    proxy = Socks(says)

    async def work() -> None:
        async with served(proxy) as at:
            transport = Wire(tls=None, connections=1, proxy=f"socks5://ann:x@127.0.0.1:{at}")
            async with httpx.AsyncClient(transport=transport) as client:
                with pytest.raises(kind, match=match):
                    await client.get("http://named.example/")
                await proxy.closed.wait()

    run(work)


@pytest.mark.parametrize(
    ("who", "host"),
    [("x" * 256 + "@", "named.example"), ("ann:" + "x" * 256 + "@", "h"), ("", ("a" * 60 + ".") * 5 + "e")],
)
def test_what_socks_has_no_room_for(who: str, host: str) -> None:
    """A name or a password of more than 255 bytes fails to connect, and is no bug."""
    pytest.importorskip("socksio", reason="an extra of httpx's: python -m pip install socksio")
    proxy = Socks()

    async def work() -> None:
        async with served(proxy) as at:
            transport = Wire(tls=None, connections=1, proxy=f"socks5://{who}127.0.0.1:{at}")
            async with httpx.AsyncClient(transport=transport) as client:
                with pytest.raises(httpx.ConnectError, match="no room"):
                    await client.get(f"http://{host}/")
                await proxy.closed.wait()

    run(work)


def test_socks_that_says_nothing() -> None:
    """A handshake that hangs has the time that connecting has, and keeps no socket."""
    pytest.importorskip("socksio", reason="an extra of httpx's: python -m pip install socksio")

    async def work() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.setblocking(False)
            proxy = f"socks5://127.0.0.1:{silent.getsockname()[1]}"
            async with httpx.AsyncClient(transport=Wire(tls=None, connections=1, proxy=proxy)) as client:
                with pytest.raises(httpx.ConnectTimeout):
                    await client.get("http://named.example/", timeout=httpx.Timeout(60, connect=0.05))
            other, _ = await loop.sock_accept(silent)
            with other:
                other.setblocking(False)
                with contextlib.suppress(ConnectionError):
                    while await loop.sock_recv(other, 100):
                        pass

    run(work)
