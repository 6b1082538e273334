"""The sandbox's own server in this process, on a free port of loopback."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Self

from support_cli import drawn

from wan_cli.sandbox import serve
from wan_cli.sandbox.faults import parse_all
from wan_cli.sandbox.port import exports
from wan_cli.sandbox.world import World


class Server:
    """The server inside this process, on a free port or the one given, with drawings that take no time."""

    def __init__(self, folder: Path, *faults: str, port: int = 0, **world: Any) -> None:
        self.folder = folder
        self._bound = serve.bind("127.0.0.1", port)
        self.url = self._bound.url
        self._server: Any = None
        self._ready = threading.Event()
        parts = {"latency": 0.0, "draw": drawn, **world}

        def ready(server: Any) -> None:
            self._server = server
            self._ready.set()

        self._thread = threading.Thread(
            target=lambda: serve.serve(self._bound, folder, faults=parse_all(faults), ready=ready, **parts)
        )

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    @property
    def env(self) -> dict[str, str]:
        """Return the variables that the server's lines set."""
        return dict(line.removeprefix("export ").split("=", 1) for line in exports(self.url))

    @property
    def purchases(self) -> int:
        """Return how many orders were charged."""
        return len(World(self.folder).purchases())
