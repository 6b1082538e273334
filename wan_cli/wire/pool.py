"""httpx's transport over connections that are found without looking at all the others.

httpcore's pool, httpx's own, asks every connection several times for each request that begins or ends, and each waiting
request too: with 24 connections and 256 requests waiting that is two thirds of all processor time
(tests/benchmarks/README.md).
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping

import httpx

from wan_cli.wire.http1 import Connection
from wan_cli.wire.ways import PORTS, Place, way

HIGHEST = 65_535
"""The last port that there is; neither httpx nor a socket's own error would say it in words of theirs."""
TURN = "turn"
"""The request extension that is called when the request has its turn, before anything is sent or connected for it."""
LEAVES = "leaves"
"""The request extension that is called before the first byte of the request is written: before it, none has left."""


class Wire(httpx.AsyncBaseTransport):
    """The transport of one kind of requests: ``connections`` at a time (``None``: any number), all kept, or none."""

    def __init__(
        self, *, tls: ssl.SSLContext | None, connections: int | None, keep: bool = True, keep_s: float = 60.0,
        proxy: str | None = None,
    ) -> None:  # fmt: skip
        """``tls`` may be ``None`` where all is plain http. Raise as :func:`wan_cli.wire.ways.way` for an odd proxy."""
        self._way = way(tls, proxy)
        self._most = sys.maxsize if connections is None else connections
        self._turns = asyncio.Semaphore(self._most)
        self._keep = keep
        self._keep_s = keep_s
        self._closed = False
        self._active = 0
        self._busy: set[Connection] = set()
        self._idle: OrderedDict[Connection, Place] = OrderedDict()
        """Connections that wait for their next request, the one that waits longest first."""
        self._of: dict[Place, list[Connection]] = {}
        """The same by where they lead."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request on a kept connection or a new one; its :data:`TURN` and :data:`LEAVES` are called.

        Raises ``httpx.PoolTimeout`` where its turn does not come in time, ``UnsupportedProtocol``, ``InvalidURL``, and
        what a way or an exchange raises.
        """
        url, extensions = request.url, request.extensions
        scheme = url.scheme
        if scheme not in PORTS:
            raise httpx.UnsupportedProtocol(f"Request URL has an unsupported protocol '{scheme}://'.")
        port = url.port or PORTS[scheme]
        if port > HIGHEST:
            raise httpx.InvalidURL(f"there is no port {port}")
        limits: Mapping[str, float | None] = extensions.get("timeout", {})
        place = Place(scheme == "https", url.raw_host.decode(), port, extensions.get("sni_hostname"))
        await self._turn(limits.get("pool"))
        connection: Connection | None = None
        try:
            if begins := extensions.get(TURN):
                begins()
            connection = self._kept(place)
            if connection is None:
                self._make_room()
                connection = Connection(await self._way.open(place, limits))
            self._busy.add(connection)
            if self._closed:
                raise httpx.ConnectError("the transport was closed meanwhile")
            target, headers = self._way.asked(request)
            assert isinstance(request.stream, httpx.AsyncByteStream)  # noqa: S101 - asynchronous clients send no other
            read_s = limits.get("read")
            head = await connection.ask(
                request.method, target, headers, request.stream,
                write_s=limits.get("write"), read_s=read_s, leaves=extensions.get(LEAVES),
            )  # fmt: skip
        except BaseException:
            self._ended(connection, place)
            raise
        return httpx.Response(
            head.status_code, headers=head.headers.raw_items(), stream=Body(self, connection, place, read_s),
            extensions={"http_version": b"HTTP/" + head.http_version, "reason_phrase": head.reason},
        )  # fmt: skip

    async def _turn(self, within: float | None) -> None:
        if self._turns.locked():
            try:
                async with asyncio.timeout(within):
                    await self._turns.acquire()
            except TimeoutError as error:
                raise httpx.PoolTimeout(f"no connection was free within {within:g} s") from error
        else:
            await self._turns.acquire()
        self._active += 1

    def _kept(self, place: Place) -> Connection | None:
        """Return the connection that was used last, of those that still stand."""
        while waiting := self._of.get(place):
            connection = waiting[-1]
            self._forget(connection)
            if not connection.stream.stirred and asyncio.get_running_loop().time() <= connection.expires:
                return connection
            connection.stream.abort()
        return None

    def _make_room(self) -> None:
        """Close those that wait longest where there are too many for one more."""
        while self._idle and self._active + len(self._idle) > self._most:
            self._drop_oldest()

    def _forget(self, connection: Connection) -> None:
        place = self._idle.pop(connection)
        waiting = self._of[place]
        waiting.remove(connection)
        if not waiting:
            del self._of[place]

    def _drop_oldest(self) -> None:
        oldest = next(iter(self._idle))
        self._forget(oldest)
        oldest.stream.abort()

    def _ended(self, connection: Connection | None, place: Place) -> None:
        """Keep a connection whose request is over, or close it; let the next request go."""
        if connection is not None:
            self._busy.discard(connection)
            if self._keep and connection.reusable:
                connection.expires = asyncio.get_running_loop().time() + self._keep_s
                self._idle[connection] = place
                self._of.setdefault(place, []).append(connection)
            else:
                connection.stream.abort()
        self._active -= 1
        self._turns.release()

    async def aclose(self) -> None:
        """Close all connections, those in use too."""
        self._closed, self._keep = True, False
        while self._idle:
            self._drop_oldest()
        for connection in self._busy:
            connection.stream.abort()
        await asyncio.sleep(0)  # the loop closes the sockets


class Body(httpx.AsyncByteStream):
    """An answer's body; closing it gives its connection back, or ends it where not everything was read."""

    def __init__(self, wire: Wire, connection: Connection, place: Place, within: float | None) -> None:
        self._wire = wire
        self._connection = connection
        self._place = place
        self._within = within
        self._open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        return self._connection.body(self._within)

    async def aclose(self) -> None:
        """Close it; it waits for nothing, and more than once is no matter."""
        if self._open:
            self._open = False
            self._wire._ended(self._connection, self._place)  # noqa: SLF001 - the other half of the pool
