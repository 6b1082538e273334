"""Which addresses a result may be fetched from, and which of their network addresses may be connected to.

Source: interface.md section 8 (result URLs); reliability.md section 2.4 (S9: server-side request forgery) and 3.5
(D13, D14). A result's address is the provider's word, and a redirect is anybody's: both are foreign.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

import httpx

from wan_cli.dataclass import dataclass
from wan_cli.errors import DownloadFailed
from wan_cli.pattern import pattern
from wan_cli.text import one_line

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Takes a host's ASCII name and a port, returns its addresses as text in order of preference; raises ``OSError``."""

Scope: TypeAlias = Literal["own", "public", "private"]
"""What is asked of the host's addresses: nothing (it is the API's own), all public, or none public."""

_IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_SCHEME = pattern(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_DRIVE = pattern(r"[A-Za-z]:[\\/]")
_SERVER_PATH = pattern(r"/(home|root|tmp|var|opt|mnt|Users)/[^?]*")
"""Where servers keep files of their own, as Xinference names them by default (contracts.md 6.2); no API has these."""
_NUMERIC_LABEL = pattern(r"(0x[0-9a-f]*|\d+)", re.ASCII)

_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
"""Global unicast (RFC 4291 section 2.4). Python calls ``64:ff9b::7f00:1``, ``::7f00:1`` and ``fec0::1`` global too."""
_DENIED_V4 = ipaddress.IPv4Network("192.0.0.0/24")
"""Protocol assignments (RFC 6890); Python calls 192.0.0.8 global (reliability.md S9)."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One admitted address, without its fragment. ``keyed``: relative, so it goes to the API with the key."""

    url: httpx.URL
    scope: Scope
    keyed: bool = False


def origin_of(url: httpx.URL) -> str:
    """Return scheme, host and port: all of an address that may be shown, for the rest can hold a signature."""
    return one_line(f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}")


def as_ip(host: str) -> _IP | None:
    """Return the address that ``host`` is, or ``None`` where it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: _IP) -> bool:
    """Say whether ``address`` is on the public internet; tunnels and mappings are public only if what they wrap is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and address not in _DENIED_V4
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address.sixtofour is not None:  # newer Pythons call none of these global, older ones all: what they wrap decides
        return is_public(address.sixtofour)
    return address.is_global and address in _GLOBAL_V6 and all(map(is_public, address.teredo or ()))


def _host(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii").rstrip(".").lower()


def _is_loopback(host: str) -> bool:
    address = as_ip(host)
    return host == "localhost" if address is None else address.is_loopback


class Rules:
    """The addresses that results of one API may have. ``api_origin`` is its scheme, host and port."""

    def __init__(self, api_origin: str) -> None:
        self.own = httpx.URL(api_origin)
        self._host = _host(self.own)

    def result(self, raw: str) -> Hop:
        """Return the first hop of a result whose address the provider gave as ``raw``.

        Raises ``DownloadFailed`` for an address that may not be fetched.
        """
        if _DRIVE.match(raw) or raw[:5].lower() == "file:" or _SERVER_PATH.match(raw):
            raise DownloadFailed(
                "the provider gave a path on its own machine instead of an address",
                hint='ask it for the bytes: response_format = "b64_json" in the configuration',
            )
        if not raw or raw.startswith("//") or _SCHEME.match(raw):
            return self._admit(_parse(raw))
        url = _parse(raw, base=self.own)
        # parsers differ over blanks in front of a scheme; where the key goes, none is asked
        if raw != raw.strip() or origin_of(url) != origin_of(self.own):
            raise DownloadFailed(f"the result's address is refused: it is not plainly one of {origin_of(self.own)}")
        return Hop(url, "own", keyed=True)

    def redirect(self, here: httpx.URL, location: str) -> Hop:
        """Return the hop that a redirect from ``here`` leads to, held to the same rules; never with the key.

        Raises ``DownloadFailed`` naming the hop.
        """
        return self._admit(_parse(location, base=here))

    def _admit(self, url: httpx.URL) -> Hop:
        if url.userinfo:
            raise DownloadFailed("the result's address is refused: it holds a user name or password")
        if url.scheme not in ("http", "https") or not url.host:
            scheme = one_line(url.scheme, 20)
            raise DownloadFailed(f"the result's address is refused: its scheme is '{scheme}', not https")
        return Hop(url, self._scope(url))

    def _scope(self, url: httpx.URL) -> Scope:
        """Say what the host's addresses have to be; raise ``DownloadFailed`` where none would do."""
        host = _host(url)
        if _is_loopback(self._host) and _is_loopback(host):
            return "own"
        if host == self._host:
            own_ip = as_ip(host)
            if self.own.scheme == "http" or (own_ip is not None and not is_public(own_ip)):
                return "own"
            if url.scheme == "https" and url.port in (None, self.own.port):
                return "own"
            if own_ip is None:
                return "private"  # any scheme and port of its host, but only where the API is not a public one
        if url.scheme != "https":
            raise DownloadFailed(f"the result's address is refused: {origin_of(url)} is not https")
        if url.port is not None:
            raise DownloadFailed(f"the result's address is refused: {origin_of(url)} is not on port 443")
        _require_public_name(url, host)
        return "public"


def _parse(raw: str, base: httpx.URL | None = None) -> httpx.URL:
    """Parse once; what is checked is the object that is connected to (reliability.md S9: two parsers)."""
    if not raw.isprintable() or "\\" in raw:
        raise DownloadFailed("the result's address is refused: it holds control characters or a backslash")
    try:
        url = httpx.URL(raw) if base is None else base.join(raw)
        return url.copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError) as error:
        raise DownloadFailed("the result's address is refused: it cannot be read as one") from error


def _require_public_name(url: httpx.URL, host: str) -> None:
    """Refuse what is private by its spelling alone, so that it holds also where a proxy does the resolving."""
    address = as_ip(host)
    if address is not None:
        private = not is_public(address)
    else:
        # "127.1", "2130706433" and "0x7f.1" are addresses to getaddrinfo and to many proxies
        last = host.rpartition(".")[2]
        private = last == "localhost" or bool(_NUMERIC_LABEL.fullmatch(last))
    if private:
        raise DownloadFailed(f"the result's address is refused: {origin_of(url)} is not a public address")


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Resolve with the system's ``getaddrinfo``; raise ``OSError`` where there is no answer."""
    try:
        host.encode("idna")  # as getaddrinfo does
    except UnicodeError as error:
        raise OSError("the host's name is none: a part of it is empty or longer than 63") from error
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def connectable(hop: Hop, resolve: Resolver) -> tuple[str, ...]:
    """Return the checked addresses to connect to, in order, each once; none where ``hop`` needs no check.

    Every address has to pass, so that a name with one public and one private address is refused whatever the order.
    Raises ``DownloadFailed`` for a refused address and ``OSError`` where the name has none.
    """
    host = _host(hop.url)
    if hop.scope == "own" or as_ip(host) is not None:
        return ()
    answers = dict.fromkeys(await resolve(host, hop.url.port or (443 if hop.url.scheme == "https" else 80)))
    if not answers:
        raise OSError(f"{one_line(host)} has no address")
    for answer in answers:
        address = as_ip(answer)
        if address is None or is_public(address) != (hop.scope == "public"):
            wanted = "a public address" if hop.scope == "public" else "an address of a private API"
            raise DownloadFailed(
                f"the result's address is refused: {origin_of(hop.url)} leads to {one_line(answer)}, not {wanted}"
            )
    return tuple(answers)


def pinned(url: httpx.URL, address: str) -> tuple[httpx.URL, str, str]:
    """Return ``url`` with its host replaced by ``address``, the ``Host`` header, and the name for TLS.

    Connecting by address leaves no second look-up in which the answer could change; the certificate is still held
    against the name.
    """
    return url.copy_with(host=address), url.netloc.decode("ascii"), _host(url)
