"""A server of raw sockets that breaks HTTP wherever a test wants it to, in front of the sandbox's contracts.

A fault is a function of one :class:`Exchange`: it may take the order (``exchange.accept()``, which is what charges),
write any bytes, stall, cut, reset. Mocks of the client's transport skip truncation, resets and redirects; these do not.
The good answers come from the sandbox, so every provider can be broken in the same way, and ``wire.purchases`` counts
what each of them sold.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest
from conformance import filmed
from support_cli import Cli, drawn

from wan_cli.download.body import Limits
from wan_cli.sandbox import CONTRACTS, World
from wan_cli.sandbox.transport import results
from wan_cli.transport.client import Deadlines

QUICK = Deadlines(
    connect=1.0, submit_read=2.0, submit_total=3.0, sync_read=2.0, sync_total=3.0, poll_total=2.0, upload_total=3.0,
    write=2.0, answer_bytes=64 * 1024, b64_bytes=1024 * 1024,
)  # fmt: skip
"""The API client's deadlines, divided; a test that lets one pass shortens it (:meth:`Line.hurry`): a busy machine
breaks no other test. Caps of an answer that a test can exceed."""
NIMBLE = Limits(read_stall_s=0.3, connect_s=0.2, wall_s=5.0, video_wall_s=5.0, image_bytes=4 << 20, video_bytes=8 << 20)
"""The limits of a download, divided likewise; the pace is a matter of its own test."""
STALL_S = 5.0
"""How long a fault that stalls holds a connection at most; the client gives up long before."""


@dataclass(frozen=True)
class Seen:
    """One request as it came over the wire. ``step`` is submit, upload, poll or download."""

    method: str
    path: str
    headers: httpx.Headers
    body: bytes
    step: str


@dataclass
class Exchange:
    """One request on its connection, and the means to answer it well or badly."""

    wire: Wire
    sock: socket.socket
    seen: Seen
    over: bool = False
    """The connection is not used any further."""

    def accept(self) -> httpx.Response:
        """Let the provider answer: this is what takes an order and charges for it."""
        return self.wire.handled(self.seen)

    def send(self, data: bytes) -> None:
        """Write bytes as they are. A client that went away is no failure of the server."""
        try:
            self.sock.sendall(data)
        except OSError:
            self.over = True

    def answer(self, response: httpx.Response | None = None, **headers: str) -> None:
        """Answer well-formed: what the provider says, or ``response``; ``headers`` replace (``_`` is ``-``)."""
        self.send(whole(response or self.accept(), **headers))

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer with a status and bytes of one's own, well-formed."""
        self.answer(httpx.Response(status, content=body), **headers)

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close with a FIN."""
        self.over = True
        self.sock.close()

    def stall(self, seconds: float = STALL_S) -> None:
        """Say nothing until the client has gone, the test is over, or the time is up."""
        self.sock.settimeout(seconds)
        with contextlib.suppress(OSError):
            while self.sock.recv(65_536):
                pass
        self.close()

    def drip(self, data: bytes, every: float = 0.02) -> None:
        """Send byte by byte, as long as somebody listens."""
        for place in range(len(data)):
            if self.over or self.wire.stopping.wait(every):
                break
            self.send(data[place : place + 1])


Fault = Callable[[Exchange], None]


def whole(response: httpx.Response, **headers: str) -> bytes:
    """Return a response as HTTP/1.1, with its length."""
    said = {name.title(): value for name, value in response.headers.items() if name != "transfer-encoding"}
    said |= {"Content-Length": str(len(response.content))}
    said |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {response.status_code} {response.reason_phrase}", *(f"{k}: {v}" for k, v in said.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + response.content


class Wire:
    """``script[STEP]`` holds faults that are played once each, ``always[STEP]`` one that stays; then all goes well.

    ``door`` holds what is done with a connection before a byte of it is read. With ``tls`` all of it is encrypted.
    """

    def __init__(self, folder: Path, clock: Callable[[], float], tls: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._tls = tls
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.world = World(folder, clock=clock, latency=1, public_url=self.url, draw=drawn, film=filmed)
        self.script: dict[str, list[Fault]] = defaultdict(list)
        self.always: dict[str, Fault] = {}
        self.door: list[Callable[[socket.socket], None]] = []
        self.seen: list[Seen] = []
        self.connections = 0
        self.stopping = threading.Event()
        self.broken: list[BaseException] = []
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @property
    def purchases(self) -> int:
        """How many orders were taken, and charged."""
        return len(self.world.purchases())

    def asked(self, step: str) -> list[Seen]:
        """Return the requests of one step, whatever became of them."""
        return [seen for seen in self.seen if seen.step == step]

    def env(self) -> dict[str, str]:
        """Return the base URLs and test keys of every provider on this server."""
        said = {}
        for name, contract in CONTRACTS.items():
            said[f"{name.upper()}_BASE_URL"] = f"{self.url}/{name}{'/v1' if name == 'openai' else ''}"
            said[f"{name.upper()}_API_KEY"] = contract.KEY
        return said

    def handled(self, seen: Seen) -> httpx.Response:
        """Let the provider (or the host of results) answer."""
        _, name, rest = seen.path.split("/", 2)
        place, handle = (rest, CONTRACTS[name].handle) if name in CONTRACTS else (f"{name}/{rest}", results)
        request = httpx.Request(seen.method, f"{self.url}/{place}", headers=seen.headers, content=seen.body)
        with self._lock:
            return handle(request, self.world)

    # -- the server

    def __enter__(self) -> Self:
        self._start(self._listen)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(STALL_S)
        if kind is None:
            assert not self.broken, self.broken

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Close the port for a while: connections are refused."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        try:
            yield
        finally:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
            self._start(self._listen)

    def _listen(self) -> None:
        listener = self._listener
        while not self.stopping.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self._open.add(sock)
            self.connections += 1
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        try:
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.door:
                    self.door.pop(0)(sock)
                if self._tls:
                    with contextlib.suppress(OSError), self._tls.wrap_socket(sock, server_side=True) as secured:
                        self._open.add(secured)
                        self._talk(secured)
                    return
                self._talk(sock)
        except Exception as error:  # noqa: BLE001 - reported when the fixture ends
            self.broken.append(error)
        finally:
            self._open.discard(sock)

    def _talk(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock.makefile("rb") as reader:
            while (seen := _read(reader)) and self._one(sock, seen):
                pass

    def _one(self, sock: socket.socket, seen: Seen) -> bool:
        with self._lock:
            self.seen.append(seen)
            script = self.script[seen.step]
            fault = script.pop(0) if script else self.always.get(seen.step, Exchange.answer)
        exchange = Exchange(self, sock, seen)
        fault(exchange)
        return not exchange.over and not self.stopping.is_set()


def slammed(sock: socket.socket) -> None:
    """Reset a connection before a byte of it is read: a ``door``. The client has sent all it wants by then."""
    time.sleep(0.03)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _read(reader: Any) -> Seen | None:
    line = reader.readline(65_536).decode("latin-1").split()
    if len(line) != 3 or not line[2].startswith("HTTP/"):
        return None
    headers = []
    while (row := reader.readline(65_536).decode("latin-1").rstrip("\r\n")) != "":
        name, _, value = row.partition(":")
        headers.append((name.strip(), value.strip()))
    known = httpx.Headers(headers)
    body = reader.read(int(known.get("content-length", "0")))
    return Seen(line[0], line[1], known, body, _step(line[0], line[1]))


def _step(method: str, path: str) -> str:
    if path.startswith(("/results/", "/files/")):
        return "download"
    if method == "GET":
        return "poll"
    return "upload" if path.partition("?")[0].endswith(("/files", "/uploads", "/uploads/images")) else "submit"


# -- the ways to buy


@dataclass(frozen=True)
class Way:
    """One provider on one of its routes. ``keyed``: it documents an idempotency key. ``sync``: the answer is all."""

    label: str
    provider: str
    argv: tuple[str, ...]
    keyed: bool = False
    sync: bool = False
    ext: str = ".png"

    def call(self, *more: object) -> tuple[str, ...]:
        """Return the words of a purchase, with its output beside them."""
        return ("generate", "a fox", *self.argv, "-o", f"fox{self.ext}", *map(str, more))

    def __str__(self) -> str:
        return self.label


WAYS = (
    Way("rivya", "rivya", ("-p", "rivya"), keyed=True),
    Way("modelverse", "modelverse", ("-p", "modelverse", "--async")),
    Way("modelverse-sync", "modelverse", ("-p", "modelverse", "--sync"), sync=True),
    Way("yunwu", "yunwu", ("-p", "yunwu"), sync=True),
    Way("openai", "openai", ("-p", "openai", "-m", "gpt-image-1"), sync=True),
    Way("toapis", "toapis", ("-p", "toapis", "-m", "wan2.7-video"), ext=".mp4"),
)
TASKS = tuple(way for way in WAYS if not way.sync)
SYNC = tuple(way for way in WAYS if way.sync)
UNKEYED = tuple(way for way in WAYS if not way.keyed)
KEYED = tuple(way for way in WAYS if way.keyed)


def every(ways: tuple[Way, ...] = WAYS) -> Any:
    """Return the decorator that runs a test for each of ``ways``, as ``way``."""
    return pytest.mark.parametrize("way", ways, ids=str)


@dataclass
class Line:
    """The command line and the wire together: ``buy`` runs a purchase over real sockets, in this process."""

    cli: Cli
    wire: Wire

    def buy(self, way: Way, *more: object, **how: Any) -> Any:
        """Run the purchase of a way."""
        return self.cli.run(*way.call(*more), **how)

    def run(self, *argv: object, **how: Any) -> Any:
        """Run any command."""
        return self.cli.run(*argv, **how)

    def hurry(self, **seconds: float) -> None:
        """Shorten some of the API client's deadlines further."""
        self.cli.engine["api"] = {"deadlines": replace(QUICK, **seconds)}

    def tasks(self) -> list[Any]:
        """Return the ledger's tasks, as ``wan status --json`` tells them."""
        rows: list[Any] = self.run("status", "--json").json["tasks"]
        return rows

    def nothing_bought(self, way: Way, code: int, *more: object, sends: int | None = None, then: int = 0) -> Any:
        """Run a purchase that must end with ``code`` and nothing bought, after ``sends`` requests.

        Then all is well again, and the same call under the same key must end with ``then``, having bought once.
        """
        ran = self.buy(way, "--idempotency-key", "step-7", *more)
        assert ran.code == code, ran.err
        assert ran.said("charged") == "no"
        assert self.wire.purchases == 0
        assert sends is None or len(self.wire.asked("submit")) == sends
        assert self.cli.files() == []
        (task,) = self.tasks()
        assert (task["state"], task["charged"], task["error"]["exit_code"]) == ("failed", "no", code)
        self.wire.script.clear()
        self.wire.always.clear()
        self.wire.door.clear()
        again = self.buy(way, "--idempotency-key", "step-7", *more)
        assert (again.code, self.wire.purchases) == (then, 0 if then else 1), again.err
        return ran

    def left_in_doubt(self, way: Way, *more: object, sends: int = 1, taken: int | None = None) -> Any:
        """Run a purchase that must end in doubt after ``sends`` requests, ``taken`` of which were bought.

        Then all is well again, and neither waiting nor the same call under the same key sends anything.
        """
        ran = self.buy(way, "--idempotency-key", "step-7", *more)
        assert (ran.code, ran.said("charged")) == (9, "unknown"), ran.err
        assert "may have taken it" in ran.said("error")
        assert taken is None or self.wire.purchases == taken
        assert len(self.wire.asked("submit")) == sends
        (task,) = self.tasks()
        assert (task["state"], task["charged"], task["error"]["code"]) == ("unknown", "unknown", "outcome_unknown")
        assert task["id"] in ran.said("hint")
        self.wire.script.clear()
        self.wire.always.clear()
        self.wire.door.clear()
        assert self.run("wait", task["id"]).code == 9
        assert self.run("wait", "--all").code in (0, 9)
        assert self.buy(way, "--idempotency-key", "step-7", *more).code == 9
        assert len(self.wire.asked("submit")) == sends
        assert self.cli.files() == []
        return ran

    def bought_once(self, way: Way, *more: object, sends: int) -> Any:
        """Run a purchase that must end well, with one result, after ``sends`` requests that are all the same one."""
        ran = self.buy(way, *more)
        assert ran.code == 0, ran.err
        assert self.wire.purchases == 1
        submits = self.wire.asked("submit")
        assert len(submits) == sends
        assert len({(seen.body, seen.headers.get("idempotency-key")) for seen in submits}) == 1
        assert self.cli.files() == [f"fox{way.ext}"]
        (task,) = self.tasks()
        assert (task["state"], task["charged"]) == ("succeeded", "yes")
        return ran


def line_for(cli: Cli, wire: Wire) -> Line:
    """Point a command line at the wire, with every deadline divided."""
    cli.env |= wire.env()
    cli.engine["api"] = {"deadlines": QUICK}
    own = {"sleep": cli.clock.sleep, "rand": lambda: 0.5, "now": cli.clock}
    cli.engine["fetcher"] = {**own, "limits": NIMBLE}
    return Line(cli, wire)
