"""The API client: one provider, one origin, one key; no redirects, no cookies, capped answers, a deadline a call.

Source: reliability.md section 2.4 (S1-S3, S10, S11, S20, S21), 3.1 and 5.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import ssl
from collections.abc import AsyncIterable, Callable
from urllib.parse import urlsplit

import httpx

from wan_cli import __version__
from wan_cli.dataclass import dataclass, field
from wan_cli.errors import KeyOrigin
from wan_cli.proxies import check_proxies, proxy_for
from wan_cli.text import safe_text
from wan_cli.transport.body import sendable
from wan_cli.transport.deadlines import Deadlines
from wan_cli.transport.lost import (
    GIVEN_UP,
    AnswerLost,
    NotSent,
    proxy_refused,
    said,
    unreachable,
    untrusted,
    unusable,
    used_proxy,
)
from wan_cli.transport.redact import MASK, redact

__all__ = ["USER_AGENT", "AnswerLost", "Api", "Deadlines", "NotSent", "tls_context"]

log = logging.getLogger("wan.http")

USER_AGENT = f"wan/{__version__}"
SHOWN = 4096
"""Bytes of a body that -v shows."""
KEY_BYTES = 8
"""Shorter ones are no provider's keys but words that an answer may hold by chance."""


_CODED = (b"content-encoding", b"content-length")
"""Headers of an answer that are not true of its decoded body."""
_ASKED = "407 Proxy Authentication Required"
_NO_WAY = (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.PoolTimeout, httpx.ConnectTimeout, httpx.ConnectError)
"""Errors before the first byte of a request (reliability.md section 4.5)."""


@dataclass(slots=True)
class _Come:
    """What has become of a request to ``origin``: whether it ``left``, and what came of its answer.

    ``whole`` is an answer all of which is in ``data`` though the request was cancelled.
    """

    origin: str
    left: bool
    data: bytearray = field(default_factory=bytearray)
    status: int | None = None
    whole: httpx.Response | None = None

    def leaves(self) -> None:
        """Note that our request is being written; a proxy's CONNECT, before it, is not ours."""
        self.left = True


def tls_context() -> ssl.SSLContext:
    """Return the TLS context: the system's and the user's certificate authorities, made only when https is used.

    Making one reads the whole CA bundle (16-20 ms, performance.md section 1), so there is one a process.
    """
    return _trusting(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.cache
def _trusting(bundle: str | None, folder: str | None) -> ssl.SSLContext:
    del bundle, folder  # httpx reads them by itself
    return httpx.create_ssl_context()


class Api:
    """Sends one provider's requests, and only to its origin.

    ``key`` is called at the first request; ``transport`` replaces the network (the sandbox, tests). ``elsewhere``
    makes what sends the one kind of request that goes to another host, without the key: a form with a file.
    """

    def __init__(
        self,
        origin: str,
        key: Callable[[], str],
        *,
        tls: Callable[[], ssl.SSLContext] = tls_context,
        transport: httpx.AsyncBaseTransport | None = None,
        elsewhere: Callable[[], httpx.AsyncBaseTransport] | None = None,
        deadlines: Deadlines | None = None,
        connections: int = 16,
    ) -> None:
        self.origin = origin
        self.deadlines = deadlines or Deadlines()
        self._key = key
        self._tls = tls
        self._transport = transport
        self._elsewhere = elsewhere
        self._connections = connections
        self._lines: dict[bool | None, httpx.AsyncBaseTransport] = {}

    def _proxy(self, origin: str) -> str | None:
        return None if self._transport else used_proxy(origin)

    async def close(self) -> None:
        """Close the connections."""
        for line in self._lines.values():
            await line.aclose()
        self._lines.clear()

    def _line(self, *, fresh: bool) -> httpx.AsyncBaseTransport:
        """Return what sends paid requests (a fresh connection each, reliability.md N12) or the others.

        It is a transport and no httpx client: what a client adds are redirects, cookies, credentials and defaults.
        """
        if fresh not in self._lines:
            try:
                check_proxies()
                self._lines[fresh] = self._transport or self._wire(keep=not fresh)
            except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
                # a socks proxy without its extra, a proxy address that is none, an unreadable CA bundle
                raise NotSent(unusable(error), final=True) from error
        return self._lines[fresh]

    def _away(self) -> httpx.AsyncBaseTransport:
        """Return what sends to other hosts. Raises ``KeyOrigin`` where nothing may."""
        if None not in self._lines:
            if self._transport is None and self._elsewhere is None:
                raise KeyOrigin(f"nothing of {self.origin} goes to another host", hint="wan help environment")
            self._lines[None] = self._transport or self._elsewhere()  # type: ignore[misc] # one of them is there
        return self._lines[None]

    def _wire(self, *, keep: bool) -> httpx.AsyncBaseTransport:
        from wan_cli.wire import Wire  # sockets and h11, which the sandbox does without

        parts = urlsplit(self.origin)
        proxy = proxy_for(parts.scheme, parts.netloc)
        # what limits purchases is the engine's pace; one that waited here too would already be on record as sent
        most = self._connections if keep else None
        tls = self._tls() if "https" in (parts.scheme, urlsplit(proxy or "").scheme) else None
        return Wire(tls=tls, connections=most, keep=keep, proxy=proxy)

    async def send(
        self, request: httpx.Request, *, paid: bool = False, sync: bool = False, pictures: int = 0
    ) -> httpx.Response:
        """Send one request and read the whole answer.

        ``sync`` allows for a provider that draws before it answers; ``pictures`` widens the cap for answers that hold
        that many. Raises :class:`NotSent` or :class:`AnswerLost`, the latter also where a purchase is cancelled and
        some of its answer is here; ``FileInvalid`` when a file changed meanwhile.
        """
        origin = f"{request.url.scheme}://{request.url.netloc.decode()}"
        away = request.extensions.get("elsewhere", False)
        if origin != self.origin and not away:
            raise KeyOrigin(f"a request to {origin} would carry the key of {self.origin}", hint="wan help environment")
        wire = sendable(request)
        if not away and (key := self._key()):
            wire.headers["Authorization"] = f"Bearer {key}"
        wire.headers["User-Agent"] = USER_AGENT
        limits = self.deadlines
        upload = request.extensions.get("form") is not None
        total, parts = limits.of(paid=paid, sync=sync, upload=upload)
        wire.extensions["timeout"] = parts
        cap = limits.answer_bytes + pictures * limits.b64_bytes
        self._log(request)
        # a transport that replaces the network has no turns, and does not tell when a request leaves
        come = _Come(origin, left=self._transport is not None)
        line = self._away() if away else self._line(fresh=paid)
        wire.extensions["leaves"] = come.leaves  # wan_cli.wire.pool.LEAVES
        try:
            async with asyncio.timeout(total if self._transport else parts["pool"] + total) as clock:
                # wan_cli.wire.pool.TURN: how long others take before it is no matter of how long this one may take
                wire.extensions["turn"] = lambda: clock.reschedule(asyncio.get_running_loop().time() + total)
                response = await self._call(line, wire, cap, come)
        except TimeoutError as error:
            if not come.left:
                why = f"no connection within {total:g} s"
                raise unreachable(origin, self._proxy(origin), why, slow=True) from error
            # what came may name the task (reliability.md N13, N14)
            raise AnswerLost(
                f"no whole answer within {total:g} s", raw=self._blinded(come.data), status=come.status, slow=True
            ) from error
        except asyncio.CancelledError as given_up:
            if not (paid and come.data):
                raise
            if come.whole is None:
                raise AnswerLost(GIVEN_UP, raw=self._blinded(come.data), status=come.status) from given_up
            response = self._answer(come.whole, wire, come)  # only its connection was still to be closed
        self._log(response)
        return response

    async def fetch(self, request: httpx.Request) -> httpx.Response:
        """Fetch a result that the API itself serves, with the key. Raises ``httpx.TransportError``."""
        try:
            return await self.send(request, pictures=2)
        except NotSent as error:
            raise httpx.ConnectError(error.error.message) from error
        except AnswerLost as error:
            raise httpx.ReadError(error.reason) from error

    async def _call(
        self, line: httpx.AsyncBaseTransport, request: httpx.Request, cap: int, come: _Come
    ) -> httpx.Response:  # fmt: skip
        data = come.data
        try:
            response = await line.handle_async_request(request)
            come.status = response.status_code
            try:
                async for chunk in _decoded(response):
                    data += chunk
                    if len(data) > cap:
                        raise AnswerLost(
                            f"the answer is larger than {cap:,} bytes",
                            raw=self._blinded(data[:cap]),
                            status=come.status,
                        )
                come.whole = response
            except asyncio.CancelledError:
                if response.is_closed:  # httpx closes a compressed one where it ends, before it says so
                    come.whole = response
                raise
            finally:
                await response.aclose()
        except (httpx.TransportError, httpx.InvalidURL, httpx.DecodingError) as error:
            raise self._meant(error, come) from error
        return self._answer(response, request, come)

    def _answer(self, response: httpx.Response, request: httpx.Request, come: _Come) -> httpx.Response:
        """Return the answer with its body. Raises :class:`NotSent` where it is not the provider's but a proxy's."""
        asked = response.status_code == httpx.codes.PROXY_AUTHENTICATION_REQUIRED
        if asked and (proxy := self._proxy(come.origin)):
            raise proxy_refused(come.origin, proxy, _ASKED)  # before plain http a proxy answers by itself
        # raw: two of a kind stay two (H03), and bytes beyond ASCII are nobody's crash; a request id is kept and shown
        kept = [(name, self._blinded(value)) for name, value in response.headers.raw if name.lower() not in _CODED]
        return httpx.Response(response.status_code, headers=kept, content=self._blinded(come.data), request=request)

    def _meant(self, error: Exception, come: _Come) -> NotSent | AnswerLost:
        """Say of a failed request whether it left, and why it failed."""
        slow, origin, proxy = isinstance(error, httpx.TimeoutException), come.origin, self._proxy(come.origin)
        if isinstance(error, httpx.ProxyError):
            return proxy_refused(origin, proxy, str(error))
        if isinstance(error, httpx.ConnectError) and (refused := untrusted(origin, error)):
            return refused
        if isinstance(error, _NO_WAY) or not come.left:  # the latter: a proxy that never opened the tunnel
            return unreachable(origin, proxy, said(error), slow=slow)
        how = "the answer cannot be decoded" if isinstance(error, httpx.DecodingError) else "the connection broke"
        return AnswerLost(f"{how}: {said(error)}", raw=self._blinded(come.data), status=come.status, slow=slow)

    def _blinded(self, data: bytes | bytearray) -> bytes:
        """Take the key out of an answer that repeats it: all that is stored and shown of it comes from here (S18)."""
        key = self._key().encode()
        return bytes(data.replace(key, MASK.encode()) if len(key) >= KEY_BYTES else data)

    def _log(self, message: httpx.Request | httpx.Response) -> None:
        if not log.isEnabledFor(logging.DEBUG):
            return
        if isinstance(message, httpx.Request):
            text = f"> {message.method} {message.url}\n" + _headers(message.headers) + _shown(message.content)
        else:
            text = (
                f"< {message.status_code} {message.reason_phrase}\n"
                + _headers(message.headers)
                + _shown(message.content)
            )
        log.debug("%s", safe_text(redact(text, [self._key()]), 20_000))


def _decoded(response: httpx.Response) -> AsyncIterable[bytes]:
    """Return an answer's body as it was before it was compressed; one that was not comes past httpx's decoders."""
    if "content-encoding" in response.headers or not isinstance(response.stream, httpx.AsyncByteStream):
        return response.aiter_bytes()
    return response.stream


def _headers(headers: httpx.Headers) -> str:
    return "".join(f"  {name}: {value}\n" for name, value in headers.items())


def _shown(content: bytes) -> str:
    if not content:
        return "  (no body)"
    text = content[:SHOWN].decode("utf-8", "replace").replace("\n", "\n  ")  # no line of it stands where ours do
    return f"  {text}" + (f" … ({len(content):,} bytes)" if len(content) > SHOWN else "")
