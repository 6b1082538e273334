"""Below httpx and httpcore: how connections are kept and how bytes come out of a socket."""

from wan_cli import lean as _lean  # noqa: F401 - before anything imports httpx
from wan_cli.wire import lean as _asyncio_alone  # noqa: F401 - before anything imports httpcore
from wan_cli.wire.pool import Wire

__all__ = ["Wire"]
