"""One result, from its address into a verified part file, in as many attempts as it takes.

Source: reliability.md section 3.5 (the D rows), 4.8 and 5 (numbers); performance.md section 3 (no re-chunking).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

import httpx

from wan_cli.download.address import Hop, Resolver, Rules, connectable, origin_of, pinned, system_resolver
from wan_cli.download.body import Again, Inflow, Limits, head_of, inline_bytes
from wan_cli.download.client import PINNED, USER_AGENT, is_untrusted, proxy_for
from wan_cli.errors import DownloadFailed
from wan_cli.retry_after import retry_after
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.media import Sniffed
    from wan_cli.models import Kind, Output
    from wan_cli.publish import Part

Progress = Callable[[int, int | None], None]
"""Is told the bytes that are here, and of how many (unknown: ``None``)."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({403, 404, 410})
"""An address that has expired, is not there yet, or never was: only the provider can give another (D01, D02)."""
_WHOLE, _PARTIAL, _UNSATISFIED, _TOO_MANY = 200, 206, 416, 429
_SERVER_ERRORS = 500


class Expired(Exception):
    """The address answered 403, 404 or 410.

    ``head`` is the beginning of what it said, safe to show; ``date`` its raw ``Date`` header.
    """

    def __init__(self, status: int, head: str, date: str | None = None) -> None:
        super().__init__(f"the result's address answered HTTP {status}")
        self.status = status
        self.head = head
        self.date = date


class Fetcher:
    """Fetches the results of one API.

    ``with_key`` sends a request to the API itself, for relative addresses; it raises ``httpx.TransportError`` where
    trying again may help. With ``check_addresses`` off (an in-process transport) no name is resolved.
    """

    def __init__(
        self,
        *,
        api_origin: str,
        client: Callable[[], httpx.AsyncClient],
        with_key: Callable[[httpx.Request], Awaitable[httpx.Response]] | None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        resolve: Resolver | None = None,
        check_addresses: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._rules = Rules(api_origin)
        self._client = client
        self._with_key = with_key
        self._limits = limits
        self._resolve = resolve or system_resolver
        self._check_addresses = check_addresses
        self._sleep = sleep
        self._now = now
        self._rand = rand

    async def fetch(self, output: Output, part: Part, *, kind: Kind, progress: Progress) -> Sniffed:
        """Bring ``output`` into ``part``, whole and checked, and return what it is.

        Raises ``DownloadFailed``, ``WriteFailed`` (the disk), or :class:`Expired`. The part is left to the caller.
        """
        data = inline_bytes(output, self._limits.cap(kind))
        if data is not None:
            if part.size:
                part.truncate()  # an earlier address had brought a beginning
            part.write(data)
            progress(len(data), len(data))
            return part.check()
        hop = self._rules.result(output.url or "")
        inflow = Inflow(part, kind, self._limits, self._now, progress)
        wall = self._limits.wall(kind)
        try:
            async with asyncio.timeout(wall) as deadline:
                return await self._persist(hop, inflow)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise DownloadFailed(f"the result from {origin_of(hop.url)} was not here within {wall:g} s") from error

    async def _persist(self, hop: Hop, inflow: Inflow) -> Sniffed:
        limits = self._limits
        attempt = unusable = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(hop, inflow)
            except Again as again:
                unusable += again.unusable
                if again.wait is not None and again.wait > limits.retry_after_cap_s:
                    self._give_up(hop, again, attempt, f"; it asks to come back in {again.wait:,.0f} s")
                if attempt >= limits.tries or unusable >= limits.unusable_tries:
                    self._give_up(hop, again, attempt)
                backoff = self._rand() * min(limits.backoff_cap_s, 2.0 ** (attempt - 1))
                wait = backoff if again.wait is None else max(again.wait, 1.0)
            await self._sleep(wait)

    @staticmethod
    def _give_up(hop: Hop, again: Again, attempt: int, more: str = "") -> NoReturn:
        tries = "1 try" if attempt == 1 else f"{attempt} tries"
        raise DownloadFailed(
            f"the result could not be fetched from {origin_of(hop.url)} ({tries}): {again.reason}{more}",
            http_status=again.status, retry_after_s=again.wait,
        ) from again  # fmt: skip

    async def _attempt(self, hop: Hop, inflow: Inflow) -> Sniffed:
        """Make one attempt; turn every failure that may pass into :class:`Again`."""
        asked = inflow.resume.headers(inflow.part.size)
        try:
            async with self._opened(hop, asked) as response:
                await self._receive(response, inflow, resuming=bool(asked))
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:  # httpx reads a redirect it does not follow
            raise DownloadFailed(f"the result's address is refused: {one_line(str(error))}") from error
        except httpx.TransportError as error:
            if is_untrusted(error):
                raise DownloadFailed(f"a certificate on the way to {origin_of(hop.url)} is not trusted") from error
            said = one_line(str(error)) or type(error).__name__
            raise Again(f"the connection broke: {said}") from error
        return inflow.checked()

    async def _receive(self, response: httpx.Response, inflow: Inflow, *, resuming: bool) -> None:
        status, headers = response.status_code, response.headers
        if status in _GONE:
            raise Expired(status, await head_of(response, self._limits.read_stall_s), headers.get("date"))
        if status == _UNSATISFIED and resuming:
            if not inflow.resume.complete(headers, inflow.part.size):
                inflow.restart()
                raise Again("the server has another file now", status=status)
            return
        if status == _TOO_MANY or status >= _SERVER_ERRORS:
            said = await head_of(response, self._limits.read_stall_s)
            raise Again(
                f"HTTP {status}: {said}",
                status=status,
                wait=retry_after(headers.get("retry-after"), headers.get("date")),
            )
        if status not in (_WHOLE, _PARTIAL):
            said = await head_of(response, self._limits.read_stall_s)
            raise DownloadFailed(f"the result's address answered HTTP {status}: {said}", http_status=status)
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise DownloadFailed(f"the result came compressed ({one_line(encoding, 40)}), which was not asked for")
        if status == _WHOLE:
            inflow.restart()
            inflow.resume.begins(headers)
        elif not (resuming and inflow.resume.continues(headers, inflow.part.size)):
            inflow.restart()
            raise Again("the server went on at another place than asked")
        await inflow.take(response)

    @asynccontextmanager
    async def _opened(self, hop: Hop, extra: dict[str, str]) -> AsyncIterator[httpx.Response]:
        """Yield the first answer that is no redirect; each hop is held to the rules (D13)."""
        seen = {hop.url}
        while True:
            response = await self._send(hop, extra)
            try:
                if response.status_code not in _REDIRECTS:
                    yield response
                    return
                hop = self._next(hop, response)
            finally:
                await response.aclose()
            if hop.url in seen or len(seen) > self._limits.redirects:
                what = "a redirect loop" if hop.url in seen else f"more than {self._limits.redirects} redirects"
                raise DownloadFailed(f"the result's address is refused: {what}, last to {origin_of(hop.url)}")
            seen.add(hop.url)

    def _next(self, hop: Hop, response: httpx.Response) -> Hop:
        if hop.keyed and self._with_key is not None:
            raise DownloadFailed(
                f"{origin_of(hop.url)} answered with a redirect, which is never followed with the key",
                http_status=response.status_code,
            )
        return self._rules.redirect(hop.url, response.headers.get("location", ""))

    async def _send(self, hop: Hop, extra: dict[str, str]) -> httpx.Response:
        """Send one request and return the answer with its body still to come.

        A bare request and ``auth=None``: nothing the client holds by default can go along (S1).
        """
        headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity", **extra}
        limits = self._limits
        timeout = httpx.Timeout(limits.read_stall_s, connect=limits.connect_s, pool=None).as_dict()
        if hop.keyed and self._with_key is not None:
            return await self._with_key(httpx.Request("GET", hop.url, headers=headers, extensions={"timeout": timeout}))
        failure: httpx.TransportError = httpx.ConnectError("no address")
        for address in await self._addresses(hop):
            extensions: dict[str, object] = {"timeout": timeout}
            url = hop.url
            if address is not None:
                url, headers["Host"], extensions[PINNED] = pinned(hop.url, address)
            request = httpx.Request("GET", url, headers=headers, extensions=extensions)
            try:
                return await self._client().send(request, stream=True, auth=None, follow_redirects=False)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if is_untrusted(error):
                    raise
                failure = error  # on to the next address, as a connection by name would: IPv6 may lead nowhere
        raise failure

    async def _addresses(self, hop: Hop) -> tuple[str | None, ...]:
        """Return the addresses to try in order; ``None`` stands for the host as it is named."""
        if not self._check_addresses or (hop.scope == "public" and proxy_for(hop.url) is not None):
            return (None,)
        try:
            return await connectable(hop, self._resolve) or (None,)
        except OSError as error:
            raise Again(f"{origin_of(hop.url)} cannot be found: {one_line(str(error))}") from error
