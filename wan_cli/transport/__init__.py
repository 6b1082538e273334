"""From an adapter's requests to sockets and back: clients, bodies, retry classes, redaction."""

from wan_cli import lean as _lean  # noqa: F401 - before anything imports httpx
