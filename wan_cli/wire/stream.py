"""A connection's bytes, straight from asyncio, with httpx's errors.

A read returns what has come. Writing waits until the kernel has taken everything (over TLS: all but the last record),
so that no large body stands in a buffer here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import sys
from collections import deque
from typing import Any

import httpx

HIGH = 1024 * 1024
"""Bytes that may wait to be read before the other side is told to wait."""
_ABORTS_WITHOUT_WORDS = sys.version_info < (3, 11, 8) or (3, 12) <= sys.version_info < (3, 12, 2)
"""https://github.com/python/cpython/issues/113214"""
NEXT_ADDRESS_S = 0.25
"""Head start of each address of a name before the next is tried beside it (RFC 8305 section 8)."""


async def connect(host: str, port: int, within: float | None) -> Stream:
    """Connect ``within`` so many seconds. Raises ``httpx.ConnectError`` or ``ConnectTimeout``."""
    loop = asyncio.get_running_loop()
    race = None
    if not _is_address(host):  # a single address is no race, which would leave its socket open when cancelled
        _check_name(host)
        race = NEXT_ADDRESS_S
    try:
        async with asyncio.timeout(within):
            _, stream = await loop.create_connection(Stream, host, port, happy_eyeballs_delay=race)
    except TimeoutError as error:
        raise httpx.ConnectTimeout(str(error)) from error
    except socket.gaierror as error:
        raise httpx.ConnectError(str(error)) from error
    except OSError as error:
        raise httpx.ConnectError("All connection attempts failed") from error
    return stream


class Stream(asyncio.Protocol):
    """One connection, plain or TLS, with one reader and one writer at a time."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
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

    # -- the side of HTTP

    @property
    def stirred(self) -> bool:
        """Whether something came, or the end did: on a connection that nothing was asked of, both are its end."""
        return self._over or bool(self._come)

    async def read(self, within: float | None) -> bytes:
        """Return what has come; nothing at the end. Raises ``httpx.ReadError`` or ``ReadTimeout``."""
        if not self._come and not self._over:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await _within(self._reader, within, httpx.ReadTimeout)
            finally:
                self._reader = None
        if not self._come:
            if self._error is not None:
                raise httpx.ReadError(str(self._error)) from self._error
            return b""
        data = self._come.popleft()
        self._size -= len(data)
        if self._paused and self._size <= HIGH // 2:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes, within: float | None) -> None:
        """Write all of it. Raises ``httpx.WriteError`` or ``WriteTimeout``."""
        if not self._gone:
            self._transport.write(data)
            if self._full:
                self._writer = asyncio.get_running_loop().create_future()
                try:
                    await _within(self._writer, within, httpx.WriteTimeout)
                finally:
                    self._writer = None
        if self._gone:
            raise httpx.WriteError(str(self._error or "the connection is closed")) from self._error

    def abort(self) -> None:
        """Let the loop close the socket in its next turn; what is not written yet is not written any more.

        It waits for nothing, for what follows the last byte of an answer must not be a place to be cancelled at.
        """
        self._gone = True
        self._transport.abort()

    async def secured(self, context: ssl.SSLContext, name: str, within: float | None) -> Stream:
        """Go on over TLS with the server of this name.

        Raises ``httpx.ConnectError`` (a certificate, among others) or ``ConnectTimeout``.
        """
        _check_name(name)
        loop, inner = asyncio.get_running_loop(), Stream()
        inner._secure = True
        if self._secure and _ABORTS_WITHOUT_WORDS:
            _let_it_abort(self._transport)
        try:
            async with asyncio.timeout(within):
                transport = await loop.start_tls(self._transport, inner, context, server_hostname=name)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        assert transport is not None  # noqa: S101 - only a closed one has no successor
        transport.set_write_buffer_limits(1, 0)  # with 0 it would call nothing to be written too much
        inner._transport = transport
        return inner


def _let_it_abort(transport: asyncio.Transport) -> None:
    """Let TLS take the reason why a TLS over it ends: else a refused certificate is a ``TypeError``, told on stderr."""
    protocol: Any = transport._ssl_protocol  # type: ignore[attr-defined] # noqa: SLF001 - Python's own fault
    protocol._abort = lambda *_: type(protocol)._abort(protocol)  # noqa: SLF001


def _check_name(host: str) -> None:
    """Raise ``httpx.ConnectError`` for what asyncio and ssl, which encode names so, could not encode."""
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise httpx.ConnectError("the host's name is none: a part of it is empty or longer than 63") from error


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


async def _within(waited: asyncio.Future[None], seconds: float | None, late: type[httpx.TimeoutException]) -> None:
    """Await what :func:`_wake` wakes, for at most so many seconds; cheaper than a cancellation by ``timeout``."""
    if seconds is None:
        return await waited
    alarm = waited.get_loop().call_later(seconds, _ring, waited, late)
    try:
        return await waited
    finally:
        alarm.cancel()


def _ring(waited: asyncio.Future[None], late: type[httpx.TimeoutException]) -> None:
    if not waited.done():
        waited.set_exception(late(""))
