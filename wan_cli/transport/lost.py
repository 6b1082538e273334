"""What can go wrong between a request and its answer, and what is said of it.

Source: reliability.md section 4.5 (not sent, or unclear) and N01-N06.
"""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from wan_cli.errors import ConfigInvalid, NetworkError, WanError
from wan_cli.pattern import pattern
from wan_cli.proxies import proxy_for
from wan_cli.text import one_line
from wan_cli.transport.redact import redact

_PROXY_DOWN = pattern(r"5\d\d\b|Proxy Server could not connect")
"""What an HTTP or a SOCKS proxy says where not it but the way to the provider is at fault."""

GIVEN_UP = "waiting for the answer was given up"


class NotSent(Exception):
    """No byte of the request left, certainly; ``error`` says why. ``final`` where trying again cannot help.

    ``slow`` where a deadline ended it.
    """

    def __init__(self, error: WanError, *, final: bool = False, slow: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.final = final
        self.slow = slow


class AnswerLost(Exception):
    """The request left, and no whole answer came. ``raw`` is what did come; ``slow`` where a deadline ended it."""

    def __init__(self, reason: str, *, raw: bytes = b"", status: int | None = None, slow: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.raw = raw
        self.status = status
        self.slow = slow


def said(error: Exception) -> str:
    """Return an error's own words on one line, without secrets; its name where it has none."""
    return one_line(redact(str(error))) or type(error).__name__


def used_proxy(origin: str) -> str | None:
    """Return the proxy that requests to ``origin`` go through, without its password."""
    parts = urlsplit(origin)
    proxy = proxy_for(parts.scheme, parts.netloc)
    return proxy and one_line(redact(proxy))


def unreachable(origin: str, proxy: str | None, why: str, *, slow: bool = False) -> NotSent:
    """Say that there is no way to ``origin``, by ``proxy`` where one is in use; another try may find one."""
    way = f" through the proxy {proxy}" if proxy else ""
    hint = "check the network and HTTPS_PROXY" if proxy else "check the network"
    error = NetworkError(f"could not reach {origin}{way}: {why}", hint=f"{hint}, then run the command again")
    return NotSent(error, slow=slow)


def proxy_refused(origin: str, proxy: str | None, why: str) -> NotSent:
    """Say what a proxy answered. One that cannot reach the provider is no matter of the set-up."""
    words = one_line(redact(why))
    if _PROXY_DOWN.match(why):
        return unreachable(origin, proxy, words)
    error = ConfigInvalid(f"the proxy {proxy} refused: {words}", hint="check HTTPS_PROXY: its name, password and port")
    return NotSent(error, final=True)


def unusable(error: Exception) -> ConfigInvalid:
    """Say which setting is at fault. What quotes a proxy's address is left out: it can hold a password (S20)."""
    quoted = f": {said(error)}" if isinstance(error, (ImportError, OSError)) else ""
    hint = "check HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE"
    if isinstance(error, ImportError):
        hint = "pip install 'httpx[socks]', or set HTTPS_PROXY to an http proxy"
    return ConfigInvalid(f"the proxy or certificate settings cannot be used{quoted}", hint=hint)


def untrusted(origin: str, error: Exception) -> NotSent | None:
    """Say that a certificate is not trusted, which is no matter of trying again; ``None`` where it is not that."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            message = f"the certificate of {origin} is not trusted: {one_line(cause.verify_message or str(cause))}"
            hint = "for a company's own authority set SSL_CERT_FILE; checks cannot be turned off"
            return NotSent(ConfigInvalid(message, hint=hint), final=True)
        cause = cause.__cause__ or cause.__context__
    return None
