"""A connection's bytes, straight from asyncio: httpcore's backend without anyio's scopes and checkpoints at each read.

A read returns what has come, up to 256 KiB where httpcore asks for 64: fewer steps a megabyte. Writing waits until the
kernel has taken everything (over TLS: all but the last record), so that no large body stands in a buffer here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import deque
from collections.abc import Iterable
from typing import Any

import httpcore

HIGH = 1024 * 1024
"""Bytes that may wait to be read before the other side is told to wait."""
NEXT_ADDRESS_S = 0.25
"""Head start of each address of a name before the next is tried beside it (RFC 8305 section 8)."""


AT_ONCE = -1.0
"""In place of a timeout: httpcore names none while it talks to a SOCKS proxy, which is a part of connecting."""


class Backend(httpcore.AsyncNetworkBackend):
    """Opens connections, and can close what it opened."""

    def __init__(self) -> None:
        self._opened: list[Stream] = []

    def abort(self) -> None:
        """Close at once what was opened, also where nobody took it over; more than once is no matter."""
        for stream in self._opened:
            stream.abort()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,  # noqa: ASYNC109
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:  # fmt: skip
        """Connect. Raises ``httpcore.ConnectError`` or ``ConnectTimeout``."""
        del local_address, socket_options  # httpx asks for neither
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        race = None
        if not _is_address(host):  # a single address is no race, which would leave its socket open when cancelled
            _check_name(host)
            race = NEXT_ADDRESS_S
        try:
            async with asyncio.timeout(timeout):
                _, stream = await loop.create_connection(Stream, host, port, happy_eyeballs_delay=race)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except socket.gaierror as error:
            raise httpcore.ConnectError(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError("All connection attempts failed") from error
        stream.connect_until = until
        self._opened.append(stream)
        return stream

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Stream(httpcore.AsyncNetworkStream, asyncio.Protocol):
    """One connection, plain or TLS, with one reader and one writer at a time."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self.connect_until: float | None = None
        """When it has to be usable, in the loop's time: what a proxy is asked first included."""
        self._secure = False
        self._come: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._over = False
        """Nothing more will come."""
        self._gone = False
        """And nothing more can be sent."""
        self._error: Exception | None = None
        self._full = False
        """Something is still to be written."""
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_connection makes no other
        transport.set_write_buffer_limits(0)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Put bytes aside for the reader."""
        self._come.append(data)
        self._size += len(data)
        if self._size > HIGH and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """Note that the other side sends no more; what is being written goes on, which TLS has no way for."""
        self._over = True
        _wake(self._reader)
        return not self._secure

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that there is no connection any more."""
        self._over = self._gone = True
        self._error = exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        """Note that the kernel did not take everything."""
        self._full = True

    def resume_writing(self) -> None:
        """Note that it has now."""
        self._full = False
        _wake(self._writer)

    # -- httpcore's side, whose interface has the timeouts

    async def read(self, max_bytes: int, timeout: float | None = AT_ONCE) -> bytes:  # noqa: ASYNC109
        """Return what has come; nothing at the end. Raises ``httpcore.ReadError`` or ``ReadTimeout``.

        Without a timeout it is a part of connecting: it has what is left of that time, and ends as that does.
        """
        del max_bytes
        if not self._come and not self._over:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await _within(self._reader, *self._limit(timeout, httpcore.ReadTimeout))
            finally:
                self._reader = None
        if not self._come:
            if self._error is not None:
                raise httpcore.ReadError(str(self._error)) from self._error
            return b""
        data = self._come.popleft()
        self._size -= len(data)
        if self._paused and self._size <= HIGH // 2:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = AT_ONCE) -> None:  # noqa: ASYNC109
        """Write all of it. Raises ``httpcore.WriteError`` or ``WriteTimeout``; without a timeout see :meth:`read`."""
        if not self._gone:
            self._transport.write(buffer)
            if self._full:
                self._writer = asyncio.get_running_loop().create_future()
                try:
                    await _within(self._writer, *self._limit(timeout, httpcore.WriteTimeout))
                finally:
                    self._writer = None
        if self._gone:
            raise httpcore.WriteError(str(self._error or "the connection is closed")) from self._error

    def _limit(
        self, timeout: float | None, late: type[httpcore.TimeoutException]
    ) -> tuple[float | None, type[httpcore.TimeoutException]]:
        """Return the seconds that there are, and what it is called when they are over."""
        if timeout != AT_ONCE:
            return timeout, late
        until = self.connect_until
        left = None if until is None else max(0.0, until - asyncio.get_running_loop().time())
        return left, httpcore.ConnectTimeout

    async def aclose(self) -> None:
        """Close it at once: what is not written yet is not written any more.

        It waits for nothing, for what follows the last byte of an answer must not be a place to be cancelled at.
        """
        self.abort()

    def abort(self) -> None:
        """Let the loop close the socket in its next turn; nothing is written from now on."""
        self._gone = True
        self._transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:  # fmt: skip
        """Go on over TLS. Raises ``httpcore.ConnectError`` (a certificate, among others) or ``ConnectTimeout``."""
        _check_name(server_hostname or "")
        loop, secured = asyncio.get_running_loop(), Stream()
        secured._secure = True
        try:
            async with asyncio.timeout(timeout):
                transport = await loop.start_tls(
                    self._transport, secured, ssl_context, server_hostname=server_hostname
                )  # fmt: skip
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        assert transport is not None  # noqa: S101 - only a closed one has no successor
        transport.set_write_buffer_limits(1, 0)  # with 0 it would call nothing to be written too much
        secured._transport = transport
        return secured

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks for: ``is_readable`` of an idle connection means that it has ended."""
        if info == "is_readable":
            return self._over or bool(self._come)
        known = {"client_addr": "sockname", "server_addr": "peername"}
        return self._transport.get_extra_info(known.get(info, info))


def _check_name(host: str) -> None:
    """Raise ``httpcore.ConnectError`` for what asyncio and ssl, which encode names so, could not encode."""
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise httpcore.ConnectError("the host's name is none: a part of it is empty or longer than 63") from error


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


async def _within(waited: asyncio.Future[None], seconds: float | None, late: type[httpcore.TimeoutException]) -> None:
    """Await what :func:`_wake` wakes, for at most so many seconds; cheaper than a cancellation by ``timeout``."""
    if seconds is None:
        return await waited
    alarm = waited.get_loop().call_later(seconds, _ring, waited, late)
    try:
        return await waited
    finally:
        alarm.cancel()


def _ring(waited: asyncio.Future[None], late: type[httpcore.TimeoutException]) -> None:
    if not waited.done():
        waited.set_exception(late())
