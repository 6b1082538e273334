"""The way to a host that an API names, such as the store for uploads: what holds for results holds there.

It is the provider's word, and foreign (reliability.md section 2.4, S3 and S9): only https on public addresses,
connected to by the address that was checked, no redirect followed, nothing of the API's client along.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

import httpx

from wan_cli.download.address import Hop, Resolver, Rules, connectable, origin_of, pinned, system_resolver
from wan_cli.download.client import PINNED, Route, is_untrusted, proxy_for
from wan_cli.errors import ConfigInvalid, DownloadFailed
from wan_cli.text import one_line


class Elsewhere(httpx.AsyncBaseTransport):
    """Sends requests of one API that go to other hosts; ``tls`` is called once, at the first https request."""

    def __init__(
        self, api_origin: str, tls: Callable[[], ssl.SSLContext], *, resolve: Resolver | None = None
    ) -> None:  # fmt: skip
        self._rules = Rules(api_origin)
        self._resolve = resolve or system_resolver
        self._route = Route(tls)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises ``ConfigInvalid`` for an address that nothing is sent to."""
        try:
            hop = self._rules.redirect(self._rules.own, str(request.url))
            addresses = await self._addresses(hop)
        except DownloadFailed as refused:
            why = refused.message.removeprefix("the result's address is refused: ")
            raise ConfigInvalid(
                f"nothing is sent to the address that the provider names for uploads: {why}",
                hint="check the base URL, then run the command again",
            ) from refused
        failure: httpx.TransportError = httpx.ConnectError("no address")
        for address in addresses:
            try:
                return await self._route.handle_async_request(_to(request, hop, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if is_untrusted(error):
                    raise
                failure = error  # on to the next address: IPv6 may lead nowhere
        raise failure

    async def _addresses(self, hop: Hop) -> tuple[str | None, ...]:
        """Return the addresses to try in order; ``None`` stands for the host as it is named."""
        if hop.scope == "public" and proxy_for(hop.url) is not None:
            return (None,)
        try:
            return await connectable(hop, self._resolve) or (None,)
        except OSError as error:
            raise httpx.ConnectError(f"{origin_of(hop.url)} cannot be found: {one_line(str(error))}") from error

    async def aclose(self) -> None:
        """Close all connections."""
        await self._route.aclose()


def _to(request: httpx.Request, hop: Hop, address: str | None) -> httpx.Request:
    """Return the request as it goes to one of the host's addresses."""
    if address is None:
        return request
    url, host, name = pinned(hop.url, address)
    headers = httpx.Headers(request.headers)
    headers["Host"] = host
    return httpx.Request(
        request.method, url, headers=headers, stream=request.stream, extensions={**request.extensions, PINNED: name}
    )
