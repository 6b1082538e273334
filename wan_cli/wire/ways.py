"""The ways to a server: straight, through an HTTP proxy, or through a SOCKS5 proxy."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import httpx

from wan_cli.wire.http1 import Connection
from wan_cli.wire.stream import Stream, connect

PORTS = {"http": 80, "https": 443}
_SOCKS_PORT = 1080
_REPLY_HEAD = 5
"""Bytes of a SOCKS5 reply that say how long it is."""


class Place(NamedTuple):
    """Where a connection leads: one that was made for a ``name`` is never used for another at the address (S9)."""

    secure: bool
    host: str
    port: int
    name: str | None
    """The name that the certificate is held against, where it is not the host's own."""


class Straight:
    """Straight to the place. ``tls`` may be ``None`` where all is plain http."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        if tls is not None:
            tls.set_alpn_protocols(["http/1.1"])

    def asked(self, request: httpx.Request) -> tuple[bytes, Sequence[tuple[bytes, bytes]]]:
        """Return a request's target and headers as this way wants them."""
        return request.url.raw_path, request.headers.raw

    async def open(self, place: Place, limits: Mapping[str, float | None]) -> Stream:
        """Connect to a place; no socket is left open where that fails.

        Raises ``httpx.ConnectError``, ``ConnectTimeout``, ``ProxyError`` and what an exchange with a proxy raises.
        """
        within = limits.get("connect")
        return await self._over(await connect(place.host, place.port, within), place, limits)

    async def _over(self, stream: Stream, place: Place, limits: Mapping[str, float | None]) -> Stream:
        """Return the stream as HTTP is spoken over it: as it is, or secured."""
        return await _secured(stream, self._tls, place, limits) if place.secure else stream


class ThroughHttp(Straight):
    """Through an HTTP proxy: it fetches what is plain, and opens a tunnel to what is not."""

    def __init__(self, tls: ssl.SSLContext | None, proxy: httpx.Proxy) -> None:
        super().__init__(tls)
        url = proxy.url
        self._proxy = Place(url.scheme == "https", url.raw_host.decode(), url.port or PORTS[url.scheme], None)
        self._named: list[tuple[bytes, bytes]] = []
        if proxy.raw_auth:
            self._named.append((b"Proxy-Authorization", b"Basic " + base64.b64encode(b":".join(proxy.raw_auth))))

    def asked(self, request: httpx.Request) -> tuple[bytes, Sequence[tuple[bytes, bytes]]]:
        """Return a plain request with its whole address, and with who asks."""
        url = request.url
        if url.scheme == "https":
            return super().asked(request)
        return b"http://%b%b" % (url.netloc, url.raw_path), [*self._named, *request.headers.raw]

    async def open(self, place: Place, limits: Mapping[str, float | None]) -> Stream:
        """Connect to the proxy, and through it to what is secure; ``ProxyError`` is its answer where it refuses."""
        stream = await self._over(
            await connect(self._proxy.host, self._proxy.port, limits.get("connect")), self._proxy, limits
        )  # fmt: skip
        if not place.secure:
            return stream
        try:
            await self._tunnel(Connection(stream), place, limits)
        except BaseException:
            stream.abort()
            raise
        return await self._over(stream, place, limits)

    async def _tunnel(self, connection: Connection, place: Place, limits: Mapping[str, float | None]) -> None:
        host = f"[{place.host}]" if ":" in place.host else place.host
        target = f"{host}:{place.port}".encode()
        answer = await connection.ask(
            "CONNECT", target, [(b"Host", target), (b"Accept", b"*/*"), *self._named], _nothing(),
            write_s=limits.get("write"), read_s=limits.get("read"),
        )  # fmt: skip
        if not httpx.codes.is_success(answer.status_code):
            raise httpx.ProxyError(f"{answer.status_code} {answer.reason.decode('ascii', 'ignore')}")
        if connection.surplus:  # a server speaks second over TLS
            raise httpx.ProxyError("it sent more than its answer")


class ThroughSocks(Straight):
    """Through a SOCKS5 proxy (RFC 1928, RFC 1929), which is a part of connecting and has its time."""

    def __init__(self, tls: ssl.SSLContext | None, proxy: httpx.Proxy) -> None:
        """Raise ``ImportError`` without the package socksio."""
        import socksio  # noqa: F401 - an extra of httpx's

        super().__init__(tls)
        self._host, self._port = proxy.url.raw_host.decode(), proxy.url.port or _SOCKS_PORT
        self._auth = proxy.raw_auth

    async def open(self, place: Place, limits: Mapping[str, float | None]) -> Stream:
        """Connect to the proxy, and through it to the place; ``ProxyError`` is its answer where it refuses."""
        try:
            async with asyncio.timeout(limits.get("connect")):
                stream = await connect(self._host, self._port, None)
                try:
                    await self._handshake(stream, place)
                except BaseException:
                    stream.abort()
                    raise
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        return await self._over(stream, place, limits)

    async def _handshake(self, stream: Stream, place: Place) -> None:
        from socksio import ProtocolError, socks5

        methods, done = socks5.SOCKS5AuthMethod, socks5.SOCKS5ReplyCode.SUCCEEDED
        method = methods.USERNAME_PASSWORD if self._auth else methods.NO_AUTH_REQUIRED
        talk = socks5.SOCKS5Connection()

        async def asked(what: object, size: Callable[[bytes], int]) -> Any:
            talk.send(what)
            await stream.write(talk.data_to_send(), None)
            return talk.receive_data(await _read(stream, size))

        try:
            answer = await asked(socks5.SOCKS5AuthMethodsRequest([method]), _two)
            if answer.method != method:
                raise httpx.ProxyError(f"it wants {answer.method.name} and was offered {method.name}")
            if self._auth and not (await asked(socks5.SOCKS5UsernamePasswordRequest(*self._auth), _two)).success:
                raise httpx.ProxyError("Invalid username/password")
            to = (place.host, place.port)
            answer = await asked(socks5.SOCKS5CommandRequest.from_address(socks5.SOCKS5Command.CONNECT, to), _reply)
            if answer.reply_code != done:
                raise httpx.ProxyError(f"Proxy Server could not connect: {answer.reply_code.name}")
        except ProtocolError as error:
            raise httpx.ProxyError(f"it does not speak SOCKS5 ({error})") from error
        except OverflowError as error:
            raise httpx.ConnectError("SOCKS5 has no room for a name or a password of more than 255 bytes") from error


def _two(_: bytes) -> int:
    return 2


def _reply(data: bytes) -> int:
    """Return how long a reply is: its fourth byte says what kind of address it ends with (RFC 1928 section 6)."""
    if len(data) < _REPLY_HEAD:
        return _REPLY_HEAD
    return {1: 10, 3: 7 + data[4], 4: 22}.get(data[3], len(data))


async def _read(stream: Stream, size: Callable[[bytes], int]) -> bytes:
    """Return all of an answer, or what there is of one that ends early."""
    data = b""
    while len(data) < size(data) and (come := await stream.read(None)):
        data += come
    return data


def way(tls: ssl.SSLContext | None, proxy: str | None) -> Straight:
    """Return the way by a proxy, if any.

    Raises ``ValueError`` or ``httpx.InvalidURL`` for an address that is none, and ``ImportError`` without socksio.
    """
    if proxy is None:
        return Straight(tls)
    found = httpx.Proxy(proxy)
    return ThroughSocks(tls, found) if found.url.scheme.startswith("socks") else ThroughHttp(tls, found)


async def _secured(
    stream: Stream, tls: ssl.SSLContext | None, place: Place, limits: Mapping[str, float | None]
) -> Stream:
    try:
        assert tls is not None  # noqa: S101 - whoever goes to https brings it
        return await stream.secured(tls, place.name or place.host, limits.get("connect"))
    except BaseException:
        stream.abort()
        raise


async def _nothing() -> AsyncIterator[bytes]:
    """Yield no body."""
    return
    yield b""
