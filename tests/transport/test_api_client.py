"""The API client over real sockets on loopback (reliability.md 2.4, 3.1)."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from wan_cli.engine.signals import Signal
from wan_cli.errors import ConfigInvalid, FileInvalid, KeyMissing, KeyOrigin, NetworkError
from wan_cli.models import LocalFile
from wan_cli.providers.base import Embedded, Form
from wan_cli.transport.client import USER_AGENT, AnswerLost, Api, Deadlines, NotSent, tls_context
from wan_cli.wire.stream import Stream

KEY = "canary-key-0123456789"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
FAST = Deadlines(connect=2, submit_total=0.4, sync_total=0.5, poll_total=0.4, upload_total=0.6, answer_bytes=100_000,
                 b64_bytes=100_000)  # fmt: skip
Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A server on loopback. ``requests`` are heads and bodies as they came, ``connections`` how many were opened."""

    url: str = ""
    connections: int = 0
    requests: list[tuple[str, bytes]] = field(default_factory=list)

    async def read(self, reader: asyncio.StreamReader) -> bool:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = [line for line in head.splitlines() if line.lower().startswith("content-length:")]
            body = await reader.readexactly(int(length[0].split(":")[1])) if length else b""
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        self.requests.append((head, body))
        return True


@asynccontextmanager
async def serving(play: bytes | Play, **tls: Any) -> Any:
    """Answer every request of every connection with ``play``: bytes, or a function that writes."""
    server, tasks = Server(), set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        tasks.add(asyncio.current_task())
        try:
            while await server.read(reader):
                if isinstance(play, bytes):
                    writer.write(play)
                    await writer.drain()
                    if b"Connection: close" in play or b"Content-Length" not in play:
                        break
                else:
                    await play(reader, writer)
                    break
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0, **tls)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def ask(play: bytes | Play, *, method: str = "POST", deadlines: Deadlines = FAST, **how: Any) -> Any:
    """Send one request to a server that plays ``play``; return the answer and the server."""
    async with serving(play) as server:
        api = Api(server.url, lambda: KEY, deadlines=deadlines)
        try:
            return await api.send(httpx.Request(method, server.url + "/x"), **how), server
        finally:
            await api.close()


def lost(play: bytes | Play, **how: Any) -> AnswerLost:
    with pytest.raises(AnswerLost) as caught:
        run(ask(play, paid=True, **how))
    return caught.value


def test_a_request_carries_the_key_and_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key goes in one header; the answer comes back whole, with its headers."""
    monkeypatch.setenv("NETRC", "/dev/null")
    response, server = run(ask(OK, paid=True))
    assert (response.status_code, response.json(), response.headers["content-type"]) == (200, {}, "application/json")
    head = server.requests[0][0].splitlines()
    assert f"Authorization: Bearer {KEY}" in head
    assert f"User-Agent: {USER_AGENT}" in head


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "https://{0}/x", "http://localhost:{1}/x", "http://127.0.0.1.evil.example/x"]
)
def test_another_origin_never_gets_the_key(url: str) -> None:
    """Another host, port or scheme is refused before anything is opened (S1)."""

    async def work() -> Server:
        async with serving(OK) as server:
            host = server.url.removeprefix("http://")
            api = Api(server.url, lambda: pytest.fail("the key was read"))
            with pytest.raises(KeyOrigin):
                await api.send(httpx.Request("POST", url.format(host, host.partition(":")[2])), paid=True)
            await api.close()
            return server  # type: ignore[no-any-return]

    assert run(work()).connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer(status: int) -> None:
    """No redirect is followed: its target would get the key, or the purchase a second time (S2, N17)."""

    async def work() -> tuple[int, int, int]:
        async with serving(OK) as other:
            answer = f"HTTP/1.1 {status} M\r\nLocation: {other.url}/y\r\nContent-Length: 0\r\n\r\n".encode()
            response, server = await ask(answer, paid=True)
            return response.status_code, len(server.requests), other.connections

    assert run(work()) == (status, 1, 0)


def test_a_purchase_has_a_connection_of_its_own_and_polls_share_one() -> None:
    """Each paid POST opens a connection (N12); polls keep theirs."""

    async def work(*, paid: bool) -> tuple[int, int]:
        async with serving(OK) as server:
            api = Api(server.url, lambda: KEY)
            for _ in range(3):
                await api.send(httpx.Request("POST" if paid else "GET", server.url), paid=paid)
            await api.close()
            return server.connections, len(server.requests)

    assert run(work(paid=True)) == (3, 3)
    assert run(work(paid=False)) == (1, 3)


def test_no_cookie_goes_back() -> None:
    """What a server sets is forgotten (S20)."""

    async def work() -> list[tuple[str, bytes]]:
        async with serving(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n")) as server:
            api = Api(server.url, lambda: KEY)
            for _ in range(2):
                await api.send(httpx.Request("GET", server.url))
            await api.close()
            return server.requests  # type: ignore[no-any-return]

    assert not any("cookie" in head.lower() for head, _ in run(work()))


@pytest.mark.parametrize(
    ("how", "method", "total"),
    [({"paid": True}, "POST", "0.4 s"), ({"paid": True, "sync": True}, "POST", "0.5 s"), ({}, "GET", "0.4 s")],
)
def test_a_dripping_answer_meets_the_deadline(how: dict[str, bool], method: str, total: str) -> None:
    """An answer that never ends byte by byte is given up after the whole time, with what came (N14)."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id":"task_1",')
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    with pytest.raises(AnswerLost, match=total) as caught:
        run(ask(drip, method=method, **how))
    assert caught.value.status == 200
    assert caught.value.raw.startswith(b'{"id":"task_1",')


@pytest.mark.parametrize(("how", "method"), [({"paid": True, "sync": True}, "POST"), ({}, "GET")])
def test_the_clock_starts_when_the_request_may_go(how: dict[str, bool], method: str) -> None:
    """Three over one connection that each take most of the whole time all come back: paid for, none is given up."""
    limits = Deadlines(turn=10, poll_total=0.5, sync_read=0.5, sync_total=0.5)

    async def draw(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.6 * 0.5)
        writer.write(OK)
        await writer.drain()

    async def work() -> list[bytes]:
        async with serving(draw) as server:
            api = Api(server.url, lambda: KEY, deadlines=limits, connections=1)
            try:
                asked = [api.send(httpx.Request(method, server.url + "/x"), **how) for _ in range(3)]
                return [answer.content for answer in await asyncio.gather(*asked)]
            finally:
                await api.close()

    assert run(work()) == [b"{}"] * 3


def test_a_turn_that_never_comes_sent_nothing() -> None:
    """Waiting for a connection is bounded, and nothing left meanwhile."""
    asked = asyncio.Event()

    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.sleep(30)

    async def work() -> int:
        async with serving(hang) as server:
            api = Api(server.url, lambda: KEY, deadlines=Deadlines(turn=0.02), connections=1)
            first = asyncio.ensure_future(api.send(httpx.Request("GET", server.url + "/1")))
            await asked.wait()
            with pytest.raises(NotSent, match=r"no connection was free within 0\.02 s"):
                await api.send(httpx.Request("GET", server.url + "/2"))
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            await api.close()
            return len(server.requests)

    assert run(work()) == 1


@pytest.mark.parametrize(("paid", "sent"), [(True, b'{"id":"task_1",'), (True, b""), (False, b'{"id":"task_1",')])
def test_what_came_of_a_purchase_outlives_its_cancellation(*, paid: bool, sent: bytes) -> None:
    """A purchase that is given up while its answer comes in hands on what came; anything else is just cancelled."""
    come = asyncio.Event()

    async def begin(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + sent)
        await writer.drain()
        come.set()
        await asyncio.sleep(30)

    async def work() -> None:
        async with serving(begin) as server:
            api = Api(server.url, lambda: KEY)
            asking = asyncio.ensure_future(api.send(httpx.Request("POST", server.url + "/x"), paid=paid))
            await come.wait()
            await asyncio.sleep(0.02)
            asking.cancel()
            try:
                await asking
            finally:
                await api.close()

    if paid and sent:
        with pytest.raises(AnswerLost, match="waiting for the answer was given up") as caught:
            run(work())
        assert (caught.value.raw, caught.value.status, caught.value.slow) == (sent, 200, False)
    else:
        with pytest.raises(asyncio.CancelledError):
            run(work())


@pytest.mark.parametrize("paid", [True, False])
def test_a_whole_answer_outlives_its_connection(*, paid: bool) -> None:
    """A purchase that is given up when only its connection is still to be closed has its answer."""
    closing = asyncio.Event()

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"{}"

        async def aclose(self) -> None:
            closing.set()
            await asyncio.sleep(30)

    async def work() -> httpx.Response:
        net = httpx.MockTransport(lambda _: httpx.Response(200, stream=Body()))
        api = Api("http://127.0.0.1:1", lambda: KEY, transport=net)
        asking = asyncio.ensure_future(api.send(httpx.Request("POST", "http://127.0.0.1:1/x"), paid=paid))
        await closing.wait()
        asking.cancel()
        return await asking

    if paid:
        assert run(work()).content == b"{}"
    else:
        with pytest.raises(asyncio.CancelledError):
            run(work())


@pytest.mark.parametrize("turns", range(5))
def test_a_whole_answer_is_not_given_up(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the last byte of a paid answer on there is nothing to be interrupted at: a signal comes too late."""
    signal, received = Signal(), Stream.data_received

    def later(count: int) -> None:
        if count:
            asyncio.get_running_loop().call_soon(later, count - 1)
        else:
            signal.set()

    def heard(self: Stream, data: bytes) -> None:
        later(turns)
        received(self, data)

    monkeypatch.setattr(Stream, "data_received", heard)

    async def work() -> Any:
        async with serving(OK) as server:
            api = Api(server.url, lambda: KEY)
            try:
                return await signal.ends(api.send(httpx.Request("POST", server.url + "/x"), paid=True))
            finally:
                await api.close()

    assert run(work()).content == b"{}"


def test_an_upload_has_a_deadline_of_its_own(tmp_path: Path) -> None:
    """An upload's time is named in its message, and its file is sent as a form."""
    path = tmp_path / "a.png"
    path.write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    file = LocalFile(path=str(path), sha256=sha256, size=3, mime="image/png")

    async def stall(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def work(play: bytes | Play) -> Any:
        async with serving(play) as server:
            api = Api(server.url, lambda: KEY, deadlines=FAST)
            request = httpx.Request("POST", server.url, extensions={"form": Form({}, [("file", file)])})
            try:
                await api.send(request)
            finally:
                await api.close()
            return server

    with pytest.raises(AnswerLost, match=r"within 0\.6 s"):
        run(work(stall))
    head, body = run(work(OK)).requests[0]
    assert "multipart/form-data" in head
    assert b"\r\n\r\nabc\r\n" in body
    path.write_bytes(b"abd")
    with pytest.raises(FileInvalid):
        run(work(OK))


def test_a_file_that_changed_is_not_bought_with(tmp_path: Path) -> None:
    """The server never sees a whole request with a picture that is not the one that was checked."""
    path = tmp_path / "a.png"
    path.write_bytes(b"x" * 200_000)
    item = Embedded(LocalFile(path=str(path), sha256="0" * 64, size=200_000, mime="image/png"))

    async def work() -> Server:
        async with serving(OK) as server:
            api = Api(server.url, lambda: KEY)
            body, more = f'"{item.placeholder}"'.encode(), {"embedded": (item,)}
            with pytest.raises(FileInvalid):
                await api.send(httpx.Request("POST", server.url, content=body, extensions=more), paid=True)
            await api.close()
            return server  # type: ignore[no-any-return]

    assert run(work()).requests == []


def test_a_truncated_answer_is_kept() -> None:
    """A body that ends early is lost with what came of it (N13)."""
    found = lost(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{"id":"task_7"', deadlines=FAST)
    assert (found.raw, found.status) == (b'{"id":"task_7"', 200)


def test_a_closed_connection_is_an_answer_lost() -> None:
    """A server that closes without a word may have taken the order (N08)."""

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    found = lost(close)
    assert (found.raw, found.status) == (b"", None)
    assert "connection broke" in found.reason


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{half"])
def test_a_reset_is_an_answer_lost(begun: bytes) -> None:
    """A reset after the request, before or in the middle of the answer, leaves the outcome open (N07, N08)."""

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    found = lost(reset)
    assert found.raw == begun.partition(b"\r\n\r\n")[2]
    assert found.status == (200 if begun else None)


@pytest.mark.parametrize("garbage", [b"\x00\x01\x02\r\n\r\n", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 banana\r\n\r\n"])
def test_garbage_is_an_answer_lost(garbage: bytes) -> None:
    """What is no HTTP says nothing of the order."""
    assert "connection broke" in lost(garbage).reason


def test_a_compressed_answer_is_read() -> None:
    """An honest gzip answer is decoded, and its headers do not claim the old length."""
    packed = gzip.compress(b'{"a": 1}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    response, _ = run(ask(head + packed))
    assert response.json() == {"a": 1}
    assert "content-encoding" not in response.headers


def test_a_bomb_is_cut_at_the_cap() -> None:
    """An answer larger than its cap, once decoded, is lost with as much as the cap allows (R06)."""
    packed = gzip.compress(b"a" * 5_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    found = lost(head + packed)
    assert (found.raw, found.status) == (b"a" * FAST.answer_bytes, 200)
    assert "larger than 100,000 bytes" in found.reason


def test_pictures_widen_the_cap() -> None:
    """An answer that holds pictures may be longer, by so much for each."""
    body = b"a" * 250_000
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    response, _ = run(ask(head + body, pictures=2))
    assert response.content == body
    assert "larger than 200,000" in lost(head + body, pictures=1).reason


def test_a_damaged_compression_is_an_answer_lost() -> None:
    """An answer that cannot be decoded leaves the outcome open, with its status."""
    found = lost(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")
    assert "cannot be decoded" in found.reason
    assert found.status == 200


async def unreachable(url: str, **parts: Any) -> NotSent:
    api = Api(url, lambda: KEY, **parts)
    with pytest.raises(NotSent) as caught:
        await api.send(httpx.Request("POST", url), paid=True)
    await api.close()
    return caught.value


def test_a_closed_port_means_nothing_was_sent() -> None:
    """Connection refused is certain, and may be tried again (N01)."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        found = run(unreachable(url))
    assert isinstance(found.error, NetworkError)
    assert not found.final
    assert url in found.error.message


class Raising(httpx.AsyncBaseTransport):
    """A transport that fails as told."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self.error


@pytest.mark.parametrize(
    ("error", "final"),
    [(httpx.ConnectTimeout(""), False), (httpx.PoolTimeout("full"), False), (httpx.UnsupportedProtocol("x"), False),
     (httpx.ConnectError("no route"), False), (httpx.ProxyError("407 for http://u:p4ss@proxy"), True)],
)  # fmt: skip
def test_what_fails_before_the_request_was_not_sent(error: Exception, final: bool) -> None:
    """The first row of reliability.md 4.5: no byte left; a proxy's no is a matter of the set-up (N06)."""
    found = run(unreachable("http://h", transport=Raising(error)))
    assert found.final is final
    assert isinstance(found.error, ConfigInvalid if final else NetworkError)
    assert "p4ss" not in found.error.message


@pytest.mark.parametrize("error", [httpx.WriteError("x"), httpx.WriteTimeout("x"), httpx.ReadTimeout(""),
                                   httpx.RemoteProtocolError("x"), httpx.LocalProtocolError("x")])  # fmt: skip
def test_what_fails_after_it_leaves_the_outcome_open(error: Exception) -> None:
    """The second and third row of reliability.md 4.5: it may have arrived."""

    async def work() -> None:
        api = Api("http://h", lambda: KEY, transport=Raising(error))
        with pytest.raises(AnswerLost):
            await api.send(httpx.Request("POST", "http://h"), paid=True)
        await api.close()

    run(work())


@pytest.mark.parametrize("proxy", ["socks9://127.0.0.1:1", "socks5://127.0.0.1:1", "http://[::1"])
def test_a_proxy_that_is_none_is_a_matter_of_the_set_up(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy setting that cannot be used ends the command before anything is sent (N06)."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "")
    found = run(unreachable("http://api.example"))
    assert found.final
    assert isinstance(found.error, ConfigInvalid)
    assert "HTTPS_PROXY" in found.error.hint


def test_a_key_that_cannot_be_read_stops_before_sending() -> None:
    """The key is read at the first request, and its error is the caller's."""

    def missing() -> str:
        raise KeyMissing("no key")

    async def work() -> None:
        async with serving(OK) as server:
            with pytest.raises(KeyMissing):
                await Api(server.url, missing).send(httpx.Request("POST", server.url), paid=True)
            assert server.connections == 0

    run(work())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a self-signed certificate with its key, made by openssl."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
               "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(path) + ".crt"]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"openssl cannot make a certificate here: {error}")
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def test_a_certificate_nobody_vouches_for_ends_the_command(certificate: Path) -> None:
    """A self-signed certificate is no matter of trying again, and checks cannot be turned off (N04)."""

    async def work(trusted: bool) -> Any:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        async with serving(OK, ssl=context) as server:
            if not trusted:
                return await unreachable(server.url)
            mine = ssl.create_default_context(cafile=str(certificate))
            api = Api(server.url, lambda: KEY, tls=lambda: mine)
            try:
                return await api.send(httpx.Request("POST", server.url), paid=True)
            finally:
                await api.close()

    found = run(work(trusted=False))
    assert found.final
    assert isinstance(found.error, ConfigInvalid)
    assert "not trusted" in found.error.message
    assert "SSL_CERT_FILE" in found.error.hint
    assert run(work(trusted=True)).status_code == 200


def test_plain_http_on_the_tls_port_was_not_sent() -> None:
    """A server that does not speak TLS got nothing of the request (N05)."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async def work() -> NotSent:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            return await unreachable(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    found = run(work())
    assert isinstance(found.error, NetworkError)
    assert not found.final


def test_plain_http_costs_no_list_of_authorities() -> None:
    """The authorities are asked for where https is used, at its first request, and not for plain http."""
    asked: list[str] = []

    async def work() -> None:
        async with serving(OK) as server:
            for url in (server.url, server.url.replace("http:", "https:")):

                def trust(url: str = url) -> ssl.SSLContext:
                    asked.append(url.partition(":")[0])
                    return tls_context()

                api = Api(url, lambda: KEY, tls=trust, deadlines=Deadlines(connect=2.0))
                with suppress(NotSent, AnswerLost):
                    await api.send(httpx.Request("GET", url))
                await api.close()

    run(work())
    assert asked == ["https"]
    assert tls_context().verify_mode == ssl.CERT_REQUIRED


def test_a_result_of_the_api_itself_is_fetched_as_a_download() -> None:
    """``fetch`` fails as httpx does, so that the download's own retries apply."""

    async def fetch(play: bytes, url: str = "") -> httpx.Response:
        async with serving(play) as server:
            api = Api(url or server.url, lambda: KEY, deadlines=FAST)
            try:
                return await api.fetch(httpx.Request("GET", url or server.url))
            finally:
                await api.close()

    assert run(fetch(OK)).content == b"{}"
    with pytest.raises(httpx.ReadError, match="connection broke"):
        run(fetch(b"garbage\r\n\r\n"))
    with pytest.raises(httpx.ConnectError, match="could not reach"):
        run(fetch(OK, "http://127.0.0.1:1"))


def test_verbose_shows_the_talk_without_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """``--verbose`` logs request and answer; the key is in neither, even where the server repeats it."""
    body = f'{{"you_sent": "Bearer {KEY}", "url": "https://h/1.png?Signature=s3cret", "esc": "\x1b[31m"}}'.encode()
    head = f"HTTP/1.1 401 No\r\nX-Echo: {KEY}\r\nSet-Cookie: session={KEY}\r\nContent-Length: {len(body)}\r\n\r\n"

    async def work() -> None:
        async with serving(head.encode() + body) as server:
            api = Api(server.url, lambda: KEY)
            long = b'{"prompt": "a fox", "pad": "' + b"x" * 9000 + b'"}'
            await api.send(httpx.Request("POST", server.url + "/p?token=t0ken", content=long), paid=True)
            await api.send(httpx.Request("GET", server.url + "/q"))
            await api.close()

    with caplog.at_level(logging.DEBUG, "wan.http"):
        run(work())
    said = [record.getMessage() for record in caplog.records if record.name == "wan.http"]
    assert len(said) == 4
    assert said[0].startswith("> POST http://127.0.0.1:")
    assert "a fox" in said[0]
    assert "(9,030 bytes)" in said[0]
    assert said[1].startswith("< 401")
    assert "(no body)" in said[2]
    for secret in (KEY, "s3cret", "t0ken", "\x1b"):
        assert not any(secret in text for text in said), secret


def test_without_verbose_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At the usual level not a line is made."""
    with caplog.at_level(logging.INFO, "wan.http"):
        run(ask(OK))
    assert not [record for record in caplog.records if record.name == "wan.http"]
