"""Below httpx: how connections are made, kept and shared, and how HTTP/1.1 goes over them."""

from wan_cli import lean as _lean  # noqa: F401 - before anything imports httpx
from wan_cli.wire.pool import Wire

__all__ = ["Wire"]
