"""A server on loopback that speaks just enough Rivya and Modelverse for a whole purchase, and counts them."""

from __future__ import annotations

import json
import math
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from support_cli import MODELVERSE_KEY, RIVYA_KEY, picture

SIDES = {"1K": 1024, "2K": 2048, "4K": 4096}


@dataclass
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Say:
    """A scripted answer. ``accept`` takes the order first; ``drop`` closes the connection instead of answering.

    ``cut`` sends that many bytes less than announced.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    accept: bool = False
    drop: bool = False
    cut: int = 0


@dataclass
class Order:
    """A purchase: how many pictures of which sides, and what its task says."""

    id: str
    contract: str
    n: int
    sides: tuple[int, int]
    body: Any


class FakeProvider:
    """``script[STEP]`` holds answers that are given once each, before the usual ones.

    An answer to a poll is about the task that was asked about, whatever id it was scripted with.
    Steps: submit, poll, upload, download, credits. ``always[STEP]`` is given whenever the script is used up.
    """

    def __init__(self) -> None:
        self.script: dict[str, list[Say]] = defaultdict(list)
        self.always: dict[str, Say] = {}
        self.seen: list[Seen] = []
        self.orders: list[Order] = []
        self.deliver: Callable[[Order, int], bytes] = lambda order, _: picture(*order.sides)
        self.results: Callable[[Order], int] = lambda order: order.n
        self.keys: dict[str, Order] = {}
        self.faults: list[BaseException] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def purchases(self) -> int:
        """How many orders were taken."""
        return len(self.orders)

    def asked(self, step: str) -> list[Seen]:
        """Return the requests of one step."""
        return [seen for seen in self.seen if _step(seen) == step]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if kind is None:
            assert not self.faults, self.faults

    def answer(self, seen: Seen) -> Say:
        """Answer one request."""
        with self._lock:
            self.seen.append(seen)
            step = _step(seen)
            scripted = self.script[step].pop(0) if self.script[step] else self.always.get(step)
            if scripted is None:
                return self._usual(step, seen)
            if scripted.accept:
                self._usual(step, seen)
            return _about(_asked(seen), scripted) if step == "poll" else scripted

    def _usual(self, step: str, seen: Seen) -> Say:
        if step == "download":
            assert "authorization" not in seen.headers, "a key went to a result's address"
            return self._result(seen)
        rivya = seen.path.startswith("/api/")
        key = RIVYA_KEY if rivya else MODELVERSE_KEY
        if seen.headers.get("authorization") != f"Bearer {key}":
            return Say(401, {"error": {"code": "api_key_invalid" if rivya else "auth_error", "message": "bad key"}})
        if step == "submit":
            return self._rivya_submit(seen) if rivya else self._modelverse_submit(seen)
        if step == "upload":
            return Say(200, {"id": "file_1", "url": "https://cdn.example.com/file_1.png"})
        if step == "credits":
            return Say(200, {"current_credits": 988})
        return self._poll(seen)

    def _rivya_submit(self, seen: Seen) -> Say:
        token = seen.headers.get("idempotency-key", "")
        known = self.keys.get(token)
        if known and known.body != seen.json:
            return Say(409, {"error": {"code": "idempotency_conflict", "message": "another body"}})
        params = seen.json["params"]
        wide, high = map(int, params.get("aspect_ratio", "1:1").split(":"))
        k = math.isqrt(SIDES[params.get("resolution", "2K")] ** 2 // (wide * high)) // 2 * 2
        order = known or self._take(Order("", "rivya", 1, (wide * k, high * k), seen.json))
        self.keys[token] = order
        price = 12 if "pro" in seen.json["model"] else 5
        return Say(200, {"id": order.id, "status": "queued", "reserved_credits": price})

    def _modelverse_submit(self, seen: Seen) -> Say:
        sync = seen.path.endswith("/generations")
        said = seen.json if sync else seen.json.get("parameters", {})
        size = said.get("size", "2K")
        sides = (SIDES[size],) * 2 if size in SIDES else tuple(map(int, size.replace("*", "x").split("x")))
        order = self._take(Order("", "modelverse", said.get("n", 1), (sides[0], sides[1]), seen.json))
        if sync:
            return Say(200, {"created": 1, "data": [{"url": url} for url in self._urls(order)]})
        return Say(200, {"output": {"task_id": order.id}, "request_id": "req_1"})

    def _take(self, order: Order) -> Order:
        order.id = f"{'task_' if order.contract == 'rivya' else 'mv-'}{len(self.orders) + 1}"
        self.orders.append(order)
        return order

    def _urls(self, order: Order) -> list[str]:
        return [f"{self.url}/results/{order.id}/{n}.png" for n in range(1, self.results(order) + 1)]

    def _poll(self, seen: Seen) -> Say:
        name = _asked(seen)
        order = next((order for order in self.orders if order.id == name), None)
        if order is None:
            return Say(404, {"error": {"code": "not_found", "message": "no such task"}})
        urls = self._urls(order)
        if order.contract == "rivya":
            price = 12 if "pro" in order.body["model"] else 5
            result = {"primary_url": urls[0], "urls": urls}
            return Say(200, {"id": name, "status": "succeeded", "final_credits": price, "result": result})
        return Say(200, {"output": {"task_id": name, "task_status": "Success", "urls": urls},
                         "usage": {"total_tokens": 1}, "request_id": ""})  # fmt: skip

    def _result(self, seen: Seen) -> Say:
        _, _, name, file = urlsplit(seen.path).path.split("/")
        order = next(order for order in self.orders if order.id == name)
        return Say(200, self.deliver(order, int(file.partition(".")[0])), {"Content-Type": "image/png"})


def _asked(seen: Seen) -> str:
    """Return the id of the task that a poll asks about."""
    parts = urlsplit(seen.path)
    return parse_qs(parts.query).get("task_id", [parts.path.rpartition("/")[2]])[0]


def _about(name: str, said: Say) -> Say:
    """Return the answer with the task's id in the place of the one that it was scripted with."""
    if not isinstance(said.body, dict):
        return said
    body = {**said.body, "id": name} if "id" in said.body else dict(said.body)
    if isinstance(body.get("output"), dict) and "task_id" in body["output"]:
        body["output"] = {**body["output"], "task_id": name}
    return replace(said, body=body)


def _step(seen: Seen) -> str:
    path = urlsplit(seen.path).path
    if path.startswith("/results/"):
        return "download"
    if path.endswith("/files"):
        return "upload"
    if path.endswith("/credits"):
        return "credits"
    return "submit" if seen.method == "POST" else "poll"


def _handler(provider: FakeProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536  # head and body in one packet, else each answer waits 40 ms for an acknowledgement

        def answer(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                say = provider.answer(Seen(self.command, self.path, headers, self.rfile.read(length)))
            except Exception as error:  # noqa: BLE001 - reported when the fixture ends
                provider.faults.append(error)
                say = Say(500)
            if say.drop:
                self.close_connection = True
                return
            data = say.body if isinstance(say.body, bytes) else json.dumps(say.body).encode()
            self.send_response(say.status)
            kind = {} if "Content-Type" in say.headers else {"Content-Type": "application/json"}
            for name, value in {**kind, **say.headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: len(data) - say.cut])
            self.close_connection = self.close_connection or bool(say.cut)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - http.server's names

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    return Handler
