"""Serves the sandbox with uvicorn (extra `[sandbox]`), until it is told to stop."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_cli.errors import ConfigInvalid, StateUnusable, UsageError
from wan_cli.extras import install

if TYPE_CHECKING:
    from wan_cli.sandbox.faults import Fault

_GRACE_S = 1
"""Seconds that requests under way may still take once the server is told to stop."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A port that listens, and the address that clients on this machine reach it by."""

    socket: socket.socket
    url: str
    loopback: bool


def make(folder: Path) -> None:
    """Make the folder that tasks and files are kept in. Raises ``StateUnusable``."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        why = f"the folder {folder} cannot be made: {error.strerror}"
        raise StateUnusable(why, hint="name another: --state DIR") from error


def bind(host: str, port: int) -> Bound:
    """Listen on a port; 0 is any free one.

    Raises ``ConfigInvalid`` where uvicorn is missing, ``UsageError`` where the address is not ours or is taken.
    """
    if find_spec("uvicorn") is None:
        raise ConfigInvalid("the sandbox on a port needs uvicorn (the extra [sandbox])", hint=install("sandbox"))
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error.strerror}", hint="wan sandbox --port 0"
        ) from error
    address = ipaddress.ip_address(listening.getsockname()[0])
    shown = ("::1" if address.version == 6 else "127.0.0.1") if address.is_unspecified else str(address)  # noqa: PLR2004
    shown = f"[{shown}]" if ":" in shown else shown
    return Bound(listening, f"http://{shown}:{listening.getsockname()[1]}", address.is_loopback)


def serve(
    bound: Bound, folder: Path, *, faults: Sequence[Fault] = (), sleep: Callable[[float], Any] = asyncio.sleep,
    ready: Callable[[Any], None] = lambda _: None, **world: Any,
) -> None:  # fmt: skip
    """Serve until SIGINT or SIGTERM, which are how a server ends and no errors; or until `ready`'s argument is told to.

    `ready` is given the uvicorn server, whose `should_exit` ends it. `world` is what a World takes further.
    """
    import uvicorn

    from wan_cli.sandbox.faults import Tally
    from wan_cli.sandbox.port import Port

    Tally(folder).start_over(faults)
    transports: dict[Any, asyncio.Transport] = {}
    app = Port(
        folder, bound.url, faults=faults, sleep=sleep, hang_up=lambda client: transports[client].close(), world=world
    )
    config = uvicorn.Config(
        app, http=_protocol(transports), loop="asyncio", lifespan="off", ws="none", log_level="error", access_log=False,
        server_header=False, proxy_headers=False, timeout_graceful_shutdown=_GRACE_S,
    )  # fmt: skip
    server = uvicorn.Server(config)
    ready(server)
    with _told_to_stop(), bound.socket:
        server.run(sockets=[bound.socket])


def _protocol(transports: dict[Any, asyncio.Transport]) -> Any:
    """Return uvicorn's protocol, which moreover tells which transport is whose: ASGI cannot hang up."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Known(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            transports[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            transports.pop(self.client, None)
            super().connection_lost(exc)

    return Known


@contextmanager
def _told_to_stop() -> Iterator[None]:
    """Let uvicorn's repetition of the signal that stopped it pass: Ctrl-C is how a server ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
