"""httpx's transport over connections that are found without looking at all the others.

httpcore's own pool asks every connection several times for each request that begins or ends, and each waiting request
too: with 24 connections and 256 requests waiting that is two thirds of all processor time (tests/benchmarks/README.md).
What speaks HTTP, TLS and to proxies stays httpcore's, trace events included.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator
from typing import Self, TypeAlias

import httpcore
import httpx

from wan_cli.wire.stream import Backend

TURN = "turn"
"""The request extension that is called when the request has its turn, before anything is sent or connected for it."""

Key: TypeAlias = tuple[bytes, bytes, int, str | None]
"""Scheme, host and port that a connection leads to, and the name its certificate was held against where that is not
the host's own: one that was made for a name is never used for another name at the same address (S9)."""


class Wire(httpx.AsyncHTTPTransport):
    """The transport of one kind of requests: ``connections`` at a time (``None``: any number), all kept, or none."""

    def __init__(
        self, *, tls: ssl.SSLContext | None, connections: int | None, keep: bool = True, keep_s: float = 60.0,
        proxy: str | None = None,
    ) -> None:  # fmt: skip
        """``tls`` may be ``None`` where all is plain http. Raise ``ImportError`` or ``ValueError`` for an odd proxy."""
        if proxy is None:  # as httpx has it; but it imports certifi for a context that is there, or that nobody needs
            self._pool = httpcore.AsyncConnectionPool(ssl_context=tls, keepalive_expiry=keep_s)
        else:
            trust = tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which trusts nobody
            super().__init__(verify=trust, trust_env=False, proxy=proxy, limits=httpx.Limits(keepalive_expiry=keep_s))
        quick = Pool(self._pool, connections, keep=keep)
        self._pool = quick  # type: ignore[assignment] # it has all that the transport asks of one


class Pool:
    """Lets at most ``most`` requests go out at a time, each on a connection of ``maker``, which may be kept."""

    def __init__(self, maker: httpcore.AsyncConnectionPool, most: int | None, *, keep: bool) -> None:
        self._maker = maker
        self._most = sys.maxsize if most is None else most
        self._turns = asyncio.Semaphore(self._most)
        self._keep = keep
        self._active = 0
        self._busy: set[httpcore.AsyncConnectionInterface] = set()
        self._idle: OrderedDict[httpcore.AsyncConnectionInterface, Key] = OrderedDict()
        """Connections that wait for their next request, the one that waits longest first."""
        self._of: dict[Key, list[httpcore.AsyncConnectionInterface]] = {}
        """The same by where they lead."""
        self._opened: dict[httpcore.AsyncConnectionInterface, Backend] = {}
        """What each connection, idle or busy, has of the network: it may fail before it holds its own stream."""

    async def __aenter__(self) -> Self:
        """Return the pool itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request on a kept connection or a new one.

        Its :data:`TURN` is called once it may go. Raises httpcore's errors: ``PoolTimeout`` where its turn does not
        come in time, ``UnsupportedProtocol``.
        """
        if request.url.scheme not in (b"http", b"https"):
            said = request.url.scheme.decode("ascii", "replace")
            raise httpcore.UnsupportedProtocol(f"Request URL has an unsupported protocol '{said}://'.")
        await self._turn(request.extensions.get("timeout", {}).get("pool"))
        origin = request.url.origin
        key = (origin.scheme, origin.host, origin.port, request.extensions.get("sni_hostname"))
        connection: httpcore.AsyncConnectionInterface | None = None
        try:
            if begins := request.extensions.get(TURN):
                begins()
            while True:
                connection = await self._kept(key) or await self._made(origin)
                self._busy.add(connection)
                try:
                    response = await connection.handle_async_request(request)
                    break
                except httpcore.ConnectionNotAvailable:  # it was closed since it was looked at
                    await self._close(connection)
        except BaseException as error:
            await self._ended(connection, key)
            if type(error).__module__.partition(".")[0] == "socksio":  # which httpcore lets through
                raise httpcore.ProxyError(f"it does not speak SOCKS5 ({error})") from error
            raise
        assert isinstance(response.stream, AsyncIterable)  # noqa: S101 - an asynchronous connection's
        response.stream = Body(self, response.stream, connection, key)
        return response

    async def _turn(self, within: float | None) -> None:
        if self._turns.locked():
            try:
                async with asyncio.timeout(within):
                    await self._turns.acquire()
            except TimeoutError as error:
                raise httpcore.PoolTimeout(f"no connection was free within {within:g} s") from error
        else:
            await self._turns.acquire()
        self._active += 1

    async def _kept(self, key: Key) -> httpcore.AsyncConnectionInterface | None:
        """Return the connection that was used last, of those that still stand."""
        while waiting := self._of.get(key):
            connection = waiting[-1]
            self._forget(connection)
            if not connection.is_closed() and not connection.has_expired():
                return connection
            await self._close(connection)
        return None

    async def _made(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        """Return a new connection; where there are too many, the one that waits longest makes room."""
        while self._idle and self._active + len(self._idle) > self._most:
            await self._drop_oldest()
        backend = Backend()
        self._maker._network_backend = backend  # noqa: SLF001 - httpx has no way to say it
        connection = self._maker.create_connection(origin)
        self._opened[connection] = backend
        return connection

    async def _close(self, connection: httpcore.AsyncConnectionInterface) -> None:
        """Close a connection, with whatever was opened for it."""
        self._busy.discard(connection)
        try:
            await connection.aclose()
        finally:
            if backend := self._opened.pop(connection, None):
                backend.abort()

    def _forget(self, connection: httpcore.AsyncConnectionInterface) -> None:
        key = self._idle.pop(connection)
        waiting = self._of[key]
        waiting.remove(connection)
        if not waiting:
            del self._of[key]

    async def _drop_oldest(self) -> None:
        oldest = next(iter(self._idle))
        self._forget(oldest)
        await self._close(oldest)

    async def _ended(self, connection: httpcore.AsyncConnectionInterface | None, key: Key) -> None:
        """Keep a connection whose request is over, or close it; let the next request go."""
        try:
            if connection is not None:
                self._busy.discard(connection)
                if self._keep and connection.is_idle() and not connection.is_closed() and not _has_more(connection):
                    self._idle[connection] = key
                    self._of.setdefault(key, []).append(connection)
                else:
                    await self._close(connection)
        finally:
            self._active -= 1
            self._turns.release()

    async def aclose(self) -> None:
        """Close all connections, those in use too."""
        self._keep = False
        while self._idle:
            await self._drop_oldest()
        for connection in tuple(self._busy):
            await self._close(connection)
        await asyncio.sleep(0)  # the loop closes the sockets


def _has_more(connection: object) -> bool:
    """Tell whether bytes came behind the answer's end: the next request would take them for its own answer."""
    while inner := getattr(connection, "_connection", None):
        connection = inner
    protocol = getattr(connection, "_h11_state", None)
    return protocol is not None and bool(protocol.trailing_data[0])


class Body:
    """An answer's body; closing it gives its connection back."""

    def __init__(
        self, pool: Pool, stream: AsyncIterable[bytes], connection: httpcore.AsyncConnectionInterface, key: Key
    ) -> None:  # fmt: skip
        self._pool = pool
        self._stream = stream
        self._connection = connection
        self._key = key
        self._open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        """Close it; a body that was not read to its end takes its connection along."""
        if self._open:
            self._open = False
            try:
                await self._stream.aclose()  # type: ignore[attr-defined]
            finally:
                await self._pool._ended(self._connection, self._key)  # noqa: SLF001 - the other half of the pool
