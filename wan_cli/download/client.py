"""The HTTP client for results: no key, no cookies, no redirects; a connection serves one host's name and no other.

Source: reliability.md section 2.4 (S1, S2, S9, S20): nothing secret is in this client, so nothing can leak from it.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from wan_cli import __version__, proxies
from wan_cli.errors import DownloadFailed

if TYPE_CHECKING:
    from wan_cli.wire import Wire

USER_AGENT = f"wan/{__version__}"

CONNECTIONS = 8
"""4 to 8 for downloads (performance.md section 2)."""

PINNED = "sni_hostname"
"""The request extension that marks a request whose host was replaced by a checked address."""


def proxy_for(url: httpx.URL) -> str | None:
    """Return the proxy that the environment names for ``url`` (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``, ...)."""
    return proxies.proxy_for(url.scheme, url.netloc.decode("ascii"))


class Route(httpx.AsyncBaseTransport):
    """Sends pinned requests straight to their address, and the others by the proxy of the environment, if any.

    httpx alone would choose the proxy by the address and so miss a ``NO_PROXY`` that names the host. ``tls`` is called
    once, at the first https request.
    """

    def __init__(self, tls: Callable[[], ssl.SSLContext]) -> None:
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._transports: dict[tuple[str | None, bool], Wire] = {}
        self._proxy = functools.cache(proxies.proxy_for)
        """Which proxy the environment names is found among all its variables: once for each host."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raise ``DownloadFailed`` where the proxy or certificate settings cannot be used."""
        url = request.url
        proxy = None if PINNED in request.extensions else self._proxy(url.scheme, url.netloc.decode("ascii"))
        return await self._transport(proxy, request.url.scheme == "https").handle_async_request(request)

    def _transport(self, proxy: str | None, secure: bool) -> Wire:  # noqa: FBT001 - half of a key
        from wan_cli.wire import Wire  # sockets and h11, which the sandbox does without

        key = (proxy, secure)
        if key not in self._transports:
            try:
                parts = urlsplit(proxy or "")
                _ = parts.port  # above 65535: else it would be found out while connecting, as a bug
                tls = self._trust() if secure or parts.scheme == "https" else None
                self._transports[key] = Wire(tls=tls, connections=CONNECTIONS, proxy=proxy)
            except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
                # a socks proxy without its extra, a proxy address that is none, an unreadable CA bundle; the error
                # itself stays unshown, for it can quote the proxy's password
                msg = "the proxy or certificate settings cannot be used (HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE)"
                raise DownloadFailed(msg) from error
        return self._transports[key]

    def _trust(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = self._tls()
        return self._context

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()


def result_client(
    tls: Callable[[], ssl.SSLContext], transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Return the client that results are fetched with; ``transport`` replaces the network (the sandbox, tests)."""
    client = httpx.AsyncClient(transport=transport or Route(tls), follow_redirects=False, trust_env=False)
    client.headers.clear()
    client.headers["User-Agent"] = USER_AGENT
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return client


def is_untrusted(error: BaseException | None) -> bool:
    """Say whether a failed connection failed because of a certificate; trying again cannot mend that."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
