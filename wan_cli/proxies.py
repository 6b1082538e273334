"""Which proxy the environment names for an address: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``."""

from __future__ import annotations

import importlib.util
import urllib.request
from urllib.parse import urlsplit

_SCHEMES = frozenset({"http", "https", "socks5", "socks5h"})
"""What httpx takes for a proxy (httpx 0.28, ``Proxy``)."""


def proxy_for(scheme: str, netloc: str) -> str | None:
    """Return the proxy for ``scheme`` (``https``) and ``netloc`` (``host:port``), password and all: redact to show."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def check_proxies() -> None:
    """Raise ``ValueError`` for a proxy's port that is none: httpx would find out while it connects, as a bug."""
    for scheme, proxy in urllib.request.getproxies().items():
        if scheme != "no":
            _ = urlsplit(proxy if "://" in proxy else f"http://{proxy}").port


def proxy_fault(address: str) -> tuple[str, str] | None:
    """Return what is wrong with a proxy's address and what to do, without repeating it; ``None``: nothing."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        return "it is not the address of a proxy", "set it to http://HOST:PORT"
    if parts.scheme not in _SCHEMES:
        return f"{parts.scheme} proxies are not known", "set it to http://HOST:PORT"
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        return "it needs the package socksio", "python -m pip install socksio"
    return None
