"""HTTP/1.1 over our connections: what leaves in which pieces, where an answer ends, and what may be asked after it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from support_raw import Serve, run, served

from wan_cli.wire import Wire
from wan_cli.wire.http1 import HEAD_MOST, TOGETHER
from wan_cli.wire.pool import LEAVES
from wan_cli.wire.stream import Stream

NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"


class Scripted:
    """Says one piece after the other to each request, and ``NEXT`` once they are used up; ``ends`` then, if asked."""

    def __init__(self, pieces: Sequence[bytes], *, ends: bool = False) -> None:
        self.pieces = list(pieces)
        self.ends = ends
        self.connections = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
                self.bodies.append(await reader.readexactly(int(lines.get(b"content-length", b"0"))))
                pieces, self.pieces = self.pieces or [NEXT], []
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
                if self.ends:
                    self.ends = False
                    break


@asynccontextmanager
async def asking(script: Serve) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """Yield a client with one connection at a time, and where it finds the server."""
    wire = Wire(tls=None, connections=1)
    async with served(script) as port, httpx.AsyncClient(transport=wire, trust_env=False, timeout=5) as client:
        yield client, f"http://127.0.0.1:{port}/x"


def bytewise(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nTrailer: t\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "ends", "status", "body", "connections"),
    [
        ([HEAD + b"Content-Length: 3\r\n\r\nabc"], False, 200, b"abc", 1),
        (bytewise(HEAD + b"Content-Length: 3\r\n\r\nabc"), False, 200, b"abc", 1),
        ([HEAD + b"Content-Length: 3\r\n\r\n", b"abc"], False, 200, b"abc", 1),
        ([HEAD + b"Content-Length: 0\r\n\r\n"], False, 200, b"", 1),
        ([HEAD + b"Content-Length: 3\r\n\r\na", b"bcd"], False, 200, b"abc", 2),  # one too many
        ([HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"], False, 200, b"abc", 1),
        ([HEAD + b"Content-Length: 3\r\nConnection: close\r\n\r\nabc"], True, 200, b"abc", 2),
        ([b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"], False, 200, b"abc", 2),
        ([CHUNKED], False, 200, b"abc", 1),
        (bytewise(CHUNKED), False, 200, b"abc", 1),
        ([CHUNKED + b"x"], False, 200, b"abc", 2),
        ([CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 99\r\n\r\n", 1)], False, 200, b"abc", 1),
        ([HEAD + b"\r\nab", b"c"], True, 200, b"abc", 2),  # until the connection ends
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], False, 204, b"", 1),
        ([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n"], False, 304, b"", 1),
        ([b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n", HEAD + b"Content-Length: 3\r\n\r\nabc"], False, 200, b"abc", 1),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 3\r\n\r\nabc"], False, 200, b"abc", 1),
    ],
)  # fmt: skip
def test_where_an_answer_ends(pieces: list[bytes], ends: bool, status: int, body: bytes, connections: int) -> None:
    """By its length, its chunks, its status or its connection; only after a clean end the connection is used again."""
    script = Scripted(pieces, ends=ends)

    async def work() -> None:
        async with asking(script) as (client, url):
            found = await client.get(url)
            assert (found.status_code, found.content) == (status, body)
            assert (await client.get(url)).text == "next"

    run(work)
    assert script.connections == connections


def test_the_answer_to_head_has_no_body() -> None:
    """Its length is that of the document, of which nothing comes."""
    script = Scripted([HEAD + b"Content-Length: 3\r\n\r\n"])

    async def work() -> None:
        async with asking(script) as (client, url):
            found = await client.head(url)
            assert (found.headers["content-length"], found.content) == ("3", b"")
            assert (await client.get(url)).text == "next"

    run(work)
    assert script.connections == 1


@pytest.mark.parametrize("upgrade", [False, True])
@pytest.mark.parametrize(
    ("pieces", "match"),
    [
        ([], "Server disconnected without sending a response"),
        ([b"HTTP/1.1 2"], "Server disconnected without sending a response"),
        ([HEAD + b"Content-Length: 3\r\n\r\nab"], r"complete message body \(received 2 bytes, expected 3"),
        ([HEAD + b"Content-Length: 3\r\n\r\n"], r"complete message body \(received 0 bytes, expected 3"),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\na"], "incomplete chunked read"),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"], "illegal chunk header"),
        ([HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"], "conflicting Content-Length"),
        ([HEAD + b"Content-Length: -3\r\n\r\nabc"], "bad Content-Length"),
        ([b"SSH-2.0-OpenSSH_9.6\r\n\r\n"], "illegal status line"),
        ([HEAD + b"X: " + b"x" * HEAD_MOST + b"\r\n"], "Receive buffer too long"),
        ([b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"], "pending proposal|nobody asked for"),
    ],
)  # fmt: skip
def test_what_is_no_answer(pieces: list[bytes], match: str, *, upgrade: bool) -> None:
    """An answer that ends early or never was one is the server's fault, and its connection is not used again."""
    script = Scripted(pieces or [b""], ends=True)

    async def work() -> None:
        async with asking(script) as (client, url):
            with pytest.raises(httpx.RemoteProtocolError, match=match):
                await client.get(url, headers={"Upgrade": "x", "Connection": "upgrade"} if upgrade else {})
            assert (await client.get(url)).text == "next"

    run(work)
    assert script.connections == 2


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int | str]:
    """Return how many bytes each write has, and where a request said that it leaves."""
    found: list[int | str] = []
    real = Stream.write

    async def write(self: Stream, data: bytes, within: float | None) -> None:
        found.append(len(data))
        await real(self, data, within)

    monkeypatch.setattr(Stream, "write", write)
    return found


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([], ["leaves", 0]), ([5], ["leaves", 5]), ([5, 7], ["leaves", 5, 7]), ([TOGETHER], ["leaves", TOGETHER]),
     ([0, 5], ["leaves", 5]), ([TOGETHER + 1, 3], ["leaves", 0, TOGETHER + 1, 3])],
)  # fmt: skip
def test_a_request_leaves_in_few_pieces(sizes: list[int], expected: list[int | str], writes: list[int | str]) -> None:
    """The head goes with the first piece of the body where that is small; before it nothing has left."""
    script = Scripted([])

    async def body() -> AsyncIterator[bytes]:
        for size in sizes:
            yield bytes(size)

    async def work() -> None:
        async with asking(script) as (client, url):
            headers = {"Content-Length": str(sum(sizes))}
            extensions = {LEAVES: lambda: writes.append("leaves")}
            found = await client.post(url, content=body(), headers=headers, extensions=extensions)
            assert found.text == "next"

    run(work)
    assert len(script.bodies[0]) == sum(sizes)
    head = len(script.heads[0])
    first = next(at for at, size in enumerate(writes) if size != "leaves")
    assert [*writes[:first], int(writes[first]) - head, *writes[first + 1 :]] == expected


def test_a_body_of_unknown_length_goes_in_chunks() -> None:
    """Without a length HTTP's own chunks tell where it ends."""
    script = Scripted([])

    async def body() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"d"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script.heads.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(NEXT)

    async def work() -> None:
        async with asking(serve) as (client, url):
            assert (await client.post(url, content=body())).text == "next"

    run(work)
    assert script.heads[0].endswith(b"\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("headers", "content", "left"),
    [
        ({"X": "a\nb"}, b"abc", False),
        ({"Content-Length": "2"}, b"abc", False),
        ({"Content-Length": "4"}, b"", False),
        ({"Content-Length": "4"}, b"abc", True),
    ],
)
def test_a_request_that_is_none(headers: dict[str, str], content: bytes, left: bool) -> None:
    """What HTTP does not allow is refused here; what is wrong with a first piece, before anything left."""
    script, told = Scripted([]), []

    async def work() -> None:
        async with asking(script) as (client, url):
            with pytest.raises(httpx.LocalProtocolError):
                await client.post(url, content=content, headers=headers, extensions={LEAVES: lambda: told.append(1)})
            assert (await client.get(url)).text == "next"

    run(work)
    assert bool(told) == left


def test_a_body_that_fails_at_once_sends_nothing() -> None:
    """A file that is gone when its first piece is read is found out before the request has left."""
    script, told = Scripted([]), []

    async def body() -> AsyncIterator[bytes]:
        raise FileNotFoundError
        yield b""

    async def work() -> None:
        async with asking(script) as (client, url):
            with pytest.raises(FileNotFoundError):
                await client.post(url, content=body(), extensions={LEAVES: lambda: told.append(1)})

    run(work)
    assert (told, script.heads) == ([], [])


def test_an_answer_before_the_end_of_the_request_counts() -> None:
    """A server that has read enough answers and closes: what it says is the answer, not that it closed."""
    said = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        ended.set()

    async def body() -> AsyncIterator[bytes]:
        yield bytes(10)
        await ended.wait()
        while True:
            yield bytes(1000)
            broken.append(1)
            if len(broken) == 2:
                raise httpx.WriteError("the other side closed")

    ended, broken = asyncio.Event(), []

    async def work() -> None:
        async with asking(serve) as (client, url):
            found = await client.post(url, content=body(), headers={"Content-Length": "9000"})
            assert (found.status_code, found.text) == (413, "no")

    run(work)
