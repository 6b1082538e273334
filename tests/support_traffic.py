"""A plain and fast HTTP server: Modelverse's tasks, and files. For the benchmarks it is a process of its own.

    python tests/support_traffic.py POLLS BYTES

It prints its port. ``POST /v1/tasks/submit`` takes an order, ``GET /v1/tasks/status?task_id=N`` says for the POLLS-th
time that the task is done, ``GET /result/N.png`` is a picture of about BYTES bytes, ``GET /blob/N`` a film of N bytes,
``GET /counts`` what came, ``POST /sink`` reads a body. It answers in the order of the bytes, with nothing between them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
import sys
import zlib
from collections import Counter

CHUNK = bytes(256 * 1024)
HIGH = 1024 * 1024


def picture(size: int) -> bytes:
    """Return a whole PNG of about ``size`` bytes: noise, stored without compression."""
    import random

    side = max(16, int((size / 3) ** 0.5))
    noise = random.Random(7).randbytes(side * side * 3)  # noqa: S311 - a picture
    rows = b"".join(b"\0" + noise[row * side * 3 : (row + 1) * side * 3] for row in range(side))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


def film_head(size: int) -> bytes:
    """Return the beginning of an MP4 of ``size`` bytes, up to where its frames would stand."""
    header = struct.pack(">II4xIIII", 108, 0x6D766864, 0, 0, 1000, 5000)
    movie = struct.pack(">II", 116, 0x6D6F6F76) + header.ljust(108, b"\0")
    kind = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"isom", 512, b"isom", b"mp41")
    return kind + movie + struct.pack(">I4s", size - len(kind) - len(movie), b"mdat")


class State:
    """What the server knows: the polls of each task, and how often each thing was asked."""

    def __init__(self, polls: int, size: int) -> None:
        self.polls = polls
        self.picture = picture(size)
        self.numbers = itertools.count(1)
        self.asked: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.port = 0

    def answer(self, method: bytes, path: str, length: int) -> tuple[bytes, bytes | int]:
        """Return the content type and the body; a number is a film of that many bytes."""
        self.counts["requests"] += 1
        if method == b"POST" and path == "/v1/tasks/submit":
            self.counts["submits"] += 1
            return self._json({"output": {"task_id": f"task-{next(self.numbers)}"}, "request_id": "req"})
        if path.startswith("/v1/tasks/status"):
            self.counts["polls"] += 1
            return self._status(path.rpartition("=")[2])
        if path.startswith("/result/"):
            self.counts["downloads"] += 1
            return b"image/png", self.picture
        if path.startswith("/blob/"):
            return b"video/mp4", int(path.rpartition("/")[2])
        if path == "/counts":
            return self._json(self.counts)
        self.counts["sunk"] = length
        return self._json({"created": 1, "data": []})

    def _status(self, task: str) -> tuple[bytes, bytes]:
        self.asked[task] += 1
        if self.asked[task] < self.polls:
            return self._json({"output": {"task_id": task, "task_status": "Running"}})
        del self.asked[task]
        url = f"http://127.0.0.1:{self.port}/result/{task}.png"
        return self._json({"output": {"task_id": task, "task_status": "Success", "urls": [url]}})

    @staticmethod
    def _json(document: object) -> tuple[bytes, bytes]:
        return b"application/json", json.dumps(document).encode()


class Connection(asyncio.Protocol):
    """One connection, kept alive for as long as the client likes."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = b""
        self.head = b""
        self.left = self.length = 0
        self.writable = asyncio.Event()
        self.writable.set()
        self.streaming: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.state.counts["connections"] += 1
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(HIGH)
        self.transport = transport

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        for task in self.streaming:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        if self.head and self.left:  # the body is thrown away as it comes
            self.left -= len(data)
        else:
            self.buffer += data
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self.head, self.buffer = head, b""
            lower = head.lower()
            at = lower.find(b"content-length:")
            self.length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if b"100-continue" in lower:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.left = self.length - len(rest)
        if self.left <= 0:
            self.reply()

    def reply(self) -> None:
        method, path, _ = self.head.split(b"\r\n", 1)[0].split(b" ")
        mime, body = self.state.answer(method, path.decode(), self.length)
        size = body if isinstance(body, int) else len(body)
        close = b"connection: close" in self.head.lower()
        self.head = b""
        top = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n" % (mime, size)
        self.transport.write(top + (b"Connection: close\r\n\r\n" if close else b"\r\n"))
        if isinstance(body, int):
            head = film_head(body)
            self.transport.write(head)
            task = asyncio.ensure_future(self.zeros(body - len(head)))
            self.streaming.add(task)
            task.add_done_callback(self.streaming.discard)
        else:
            self.transport.write(body)
            if close:
                self.transport.close()

    async def zeros(self, left: int) -> None:
        while left:
            await self.writable.wait()
            self.transport.write(CHUNK[:left])
            left -= min(left, len(CHUNK))


async def main(polls: int, size: int) -> None:
    """Serve until the process is ended."""
    state = State(polls, size)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(state), "127.0.0.1", 0, backlog=1024)
    state.port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"{state.port}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:3])))
