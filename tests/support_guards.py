"""What the guards of conftest.py go by."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from typing import Any

OWN_VARIABLE = re.compile(
    r"(?i)^(wan_.*|.*_api_key(_file)?|.*_base_url|xdg_.*|(all|https?|no|ftp)_proxy|lc_.*|language|ssl_cert_(file|dir)"
    r"|no_color|force_color|columns|lines|ci|github_.*)$"
)
"""Variables that would let a developer's machine decide what a test sees."""


class StrangerError(AssertionError):
    """A test tried to reach something that is not this machine."""


def is_here(host: Any) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    if host in ("localhost", "localhost.", None):
        return True
    try:
        return ipaddress.ip_address(str(host).partition("%")[0]).is_loopback
    except ValueError:
        return False


def guarded(name: str) -> Callable[..., Any]:
    real = getattr(socket.socket, name)

    def call(self: socket.socket, *args: Any) -> Any:
        address = args[-1]
        if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple) and not is_here(address[0]):
            raise StrangerError(f"{name} to {address!r}: tests talk to loopback only")
        return real(self, *args)

    return call
