"""The API client: one provider, one origin, one key; no redirects, no cookies, capped answers, a deadline a call.

Source: reliability.md section 2.4 (S1-S3, S10, S11, S20, S21), 3.1 and 5.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from wan_cli import __version__
from wan_cli.errors import ConfigInvalid, KeyOrigin, NetworkError, WanError
from wan_cli.text import one_line, safe_text
from wan_cli.transport.body import sendable
from wan_cli.transport.redact import MASK, redact

log = logging.getLogger("wan.http")

USER_AGENT = f"wan/{__version__}"
KEY_BYTES = 8
"""Shorter ones are no provider's keys but words that an answer may hold by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds, and bytes of an answer (reliability.md section 5); tests divide them."""

    connect: float = 10.0
    submit_read: float = 60.0
    submit_total: float = 90.0
    sync_read: float = 600.0
    sync_total: float = 660.0
    poll_total: float = 30.0
    upload_total: float = 600.0
    write: float = 60.0
    answer_bytes: int = 8 * 1024 * 1024
    b64_bytes: int = 48 * 1024 * 1024


class NotSent(Exception):
    """No byte of the request left, certainly; ``error`` says why. ``final`` where trying again cannot help."""

    def __init__(self, error: WanError, *, final: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.final = final


class AnswerLost(Exception):
    """The request left, and no whole answer came. ``raw`` is what did come."""

    def __init__(self, reason: str, *, raw: bytes = b"", status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.raw = raw
        self.status = status


@dataclass(slots=True)
class _Come:
    """What has come of an answer so far."""

    data: bytearray = field(default_factory=bytearray)
    status: int | None = None


def tls_context(origin: str) -> ssl.SSLContext:
    """Return a TLS context: the system's and the user's certificate authorities, made only when https is used.

    Making one reads the whole CA bundle (16-20 ms, performance.md section 1), so plain http on loopback gets one that
    trusts nobody instead.
    """
    if origin.startswith("https:"):
        return httpx.create_ssl_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Api:
    """Sends one provider's requests, and only to its origin.

    ``key`` is called at the first request; ``transport`` replaces the network (the sandbox, tests).
    """

    def __init__(
        self,
        origin: str,
        key: Callable[[], str],
        *,
        tls: Callable[[str], ssl.SSLContext] = tls_context,
        transport: httpx.AsyncBaseTransport | None = None,
        deadlines: Deadlines | None = None,
        connections: int = 16,
    ) -> None:
        self.origin = origin
        self.deadlines = deadlines or Deadlines()
        self._key = key
        self._tls = tls
        self._transport = transport
        self._connections = connections
        self._clients: dict[bool, httpx.AsyncClient] = {}

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    def _client(self, *, fresh: bool) -> httpx.AsyncClient:
        """Return the client for paid requests (a fresh connection each, reliability.md N12) or for the others."""
        if fresh not in self._clients:
            limits = httpx.Limits(
                max_connections=self._connections,
                max_keepalive_connections=0 if fresh else self._connections,
                keepalive_expiry=60.0,
            )
            try:
                self._clients[fresh] = httpx.AsyncClient(
                    follow_redirects=False, limits=limits, transport=self._transport, trust_env=True,
                    verify=self._tls(self.origin) if self._transport is None else False,
                )  # fmt: skip
            except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
                # a socks proxy without its extra, a proxy address that is none, an unreadable CA bundle
                raise NotSent(ConfigInvalid(
                    f"the proxy or certificate settings cannot be used: {one_line(redact(str(error)))}",
                    hint="check HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE",
                ), final=True) from error  # fmt: skip
        return self._clients[fresh]

    async def send(
        self, request: httpx.Request, *, paid: bool = False, sync: bool = False, pictures: int = 0
    ) -> httpx.Response:
        """Send one request and read the whole answer.

        ``sync`` allows for a provider that draws before it answers; ``pictures`` widens the cap for answers that hold
        that many. Raises :class:`NotSent` or :class:`AnswerLost`; ``FileInvalid`` when a file changed meanwhile.
        """
        origin = f"{request.url.scheme}://{request.url.netloc.decode()}"
        if origin != self.origin:
            raise KeyOrigin(f"a request to {origin} would carry the key of {self.origin}", hint="wan help environment")
        wire = sendable(request)
        if key := self._key():
            wire.headers["Authorization"] = f"Bearer {key}"
        wire.headers["User-Agent"] = USER_AGENT
        limits = self.deadlines
        upload = request.extensions.get("form") is not None
        read = limits.sync_read if sync else limits.submit_read if paid or upload else limits.poll_total
        total = limits.sync_total if sync else limits.submit_total if paid else limits.poll_total
        total = limits.upload_total if upload else total
        wire.extensions["timeout"] = httpx.Timeout(read, connect=limits.connect, write=limits.write).as_dict()
        cap = limits.answer_bytes + pictures * limits.b64_bytes
        self._log(request)
        client, come = self._client(fresh=paid), _Come()
        try:
            async with asyncio.timeout(total):
                response = await self._call(client, wire, cap, come)
        except TimeoutError as error:  # what came may name the task (reliability.md N13, N14)
            raise AnswerLost(
                f"no whole answer within {total:g} s", raw=self._blinded(come.data), status=come.status
            ) from error
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

    async def _call(self, client: httpx.AsyncClient, request: httpx.Request, cap: int, come: _Come) -> httpx.Response:
        data = come.data
        try:
            response = await client.send(request, stream=True, auth=None)
            come.status = response.status_code
            try:
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > cap:
                        raise AnswerLost(
                            f"the answer is larger than {cap:,} bytes",
                            raw=self._blinded(data[:cap]),
                            status=come.status,
                        )
            finally:
                await response.aclose()
                client.cookies.clear()
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.PoolTimeout, httpx.ConnectTimeout) as error:
            raise NotSent(NetworkError(self._unreachable(error))) from error
        except httpx.ProxyError as error:
            proxy = ConfigInvalid(f"the proxy refused: {one_line(redact(str(error)))}", hint="check HTTPS_PROXY")
            raise NotSent(proxy, final=True) from error
        except httpx.ConnectError as error:
            raise _not_connected(self.origin, error) from error
        except httpx.LocalProtocolError as error:
            raise AnswerLost(f"the request could not be sent whole: {one_line(str(error))}") from error
        except httpx.TransportError as error:
            what = one_line(str(error)) or type(error).__name__
            raise AnswerLost(f"the connection broke: {what}", raw=self._blinded(data), status=come.status) from error
        except httpx.DecodingError as error:
            raise AnswerLost(
                f"the answer cannot be decoded: {one_line(str(error))}", raw=self._blinded(data), status=come.status
            ) from error
        kept = {k: v for k, v in response.headers.multi_items() if k not in ("content-encoding", "content-length")}
        return httpx.Response(response.status_code, headers=kept, content=self._blinded(data), request=request)

    def _blinded(self, data: bytearray) -> bytes:
        """Take the key out of an answer that repeats it: all that is stored and shown of it comes from here (S18)."""
        key = self._key().encode()
        return bytes(data.replace(key, MASK.encode()) if len(key) >= KEY_BYTES else data)

    def _unreachable(self, error: Exception) -> str:
        return f"could not reach {self.origin}: {one_line(redact(str(error))) or type(error).__name__}"

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


def _headers(headers: httpx.Headers) -> str:
    return "".join(f"  {name}: {value}\n" for name, value in headers.items())


def _shown(content: bytes) -> str:
    text = content[:4096].decode("utf-8", "replace")
    return f"  {text}" + (f" … ({len(content):,} bytes)" if len(content) > len(text) else "") if text else "  (no body)"


def _not_connected(origin: str, error: httpx.ConnectError) -> NotSent:
    """Say why there is no connection; a certificate that is not trusted is no matter of trying again."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            untrusted = ConfigInvalid(
                f"the certificate of {origin} is not trusted: {one_line(cause.verify_message or str(cause))}",
                hint="for a company's own authority set SSL_CERT_FILE; checks cannot be turned off",
            )
            return NotSent(untrusted, final=True)
        cause = cause.__cause__ or cause.__context__
    message = f"could not reach {origin}: {one_line(redact(str(error)))}"
    return NotSent(NetworkError(message, hint="check the network, then run the command again"))
