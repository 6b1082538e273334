"""A provider that keeps, loses, garbles and forgets, and a process that can be ended at any seam.

Everything of wan is real here: command lines, engine, ledger, transport and downloads; only the last step to the
network is :class:`Market`, and only what a kill or a full disk would do is done by :class:`Seams`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import signal
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
from support_cli import MODELVERSE_KEY, RIVYA_KEY, Cli, picture

from wan_cli.cli.context import App
from wan_cli.errors import WriteFailed
from wan_cli.ledger import Ledger
from wan_cli.ledger.journal import Journal
from wan_cli.publish import Part

OPENAI_KEY = "sk-canary-0123456789abcdef"
KEYS = {"rivya": RIVYA_KEY, "modelverse": MODELVERSE_KEY, "openai": OPENAI_KEY}
RESULT = picture(64, 64)
TAKES = ("kept", "lost", "garbled", "cut", "500", "504", "empty")
"""What can become of a submit that the provider takes, and charges."""
LEAVES = ("never", "refused", "429", "402", "503 after")
"""What can become of one that it does not take."""
POLLS = ("kept", "reset", "500", "404", "429", "garbled")
FETCHES = ("kept", "reset", "cut", "404", "html")


class Killed(BaseException):
    """The process ends here, as after ``kill -9``."""


@dataclass
class Order:
    """One purchase, as the provider has it. ``polls`` is how often it says that it is still running."""

    id: str
    provider: str
    prompt: str
    token: str
    body: bytes
    polls: int = 1
    forgotten: bool = False
    expired: bool = False


class Seams:
    """Places where a process can end, counted; and the disk, which can be full."""

    def __init__(self) -> None:
        self.at: int | None = None
        self.passed = 0
        self.dead = False
        self.ledger_full = False
        self.target_full = False

    def begin(self, at: int | None, trouble: str | None) -> None:
        """Start a process that ends at the ``at``-th seam, if it gets that far."""
        self.at, self.passed, self.dead = at, 0, False
        self.ledger_full, self.target_full = trouble == "ledger full", trouble == "target full"

    def seam(self) -> None:
        """Pass a seam, or end here."""
        self.passed += 1
        if self.at is not None and self.passed == self.at:
            self.dead = True
        if self.dead:
            raise Killed

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Put the seams into wan."""
        with contextlib.ExitStack() as stack:
            for name in ("add", "add_or_find", "save", "claim", "record_attempt", "record_answer", "remember_upload"):
                stack.enter_context(mock.patch.object(Ledger, name, self._around(getattr(Ledger, name))))
            stack.enter_context(mock.patch.object(Ledger, "release", self._unless_dead(Ledger.release)))
            stack.enter_context(mock.patch.object(Journal, "append", self._full(self._around(Journal.append))))
            stack.enter_context(mock.patch.object(Part, "publish", self._around(Part.publish)))
            stack.enter_context(mock.patch.object(Part, "write", self._no_room(Part.write)))
            yield

    def _around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self.seam()
            result = real(*args, **named)
            self.seam()
            return result

        return call

    def _unless_dead(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            return None if self.dead else real(*args, **named)

        return call

    def _full(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if self.ledger_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args, **named)

        return call

    def _no_room(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(part: Part, chunk: bytes) -> Any:
            if self.target_full:
                raise WriteFailed(
                    f"{part.target} could not be written: No space left on device", hint="free some space"
                )
            return real(part, chunk)

        return call


@dataclass
class Market:
    """Every provider. ``script[STEP]`` holds what becomes of the next requests; then all goes well."""

    seams: Seams
    ledger: Path
    orders: list[Order] = field(default_factory=list)
    script: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    told: list[tuple[str, str]] = field(default_factory=list)
    """Prompt and id of every answer that left the provider whole."""
    requests: dict[str, list[tuple[str, bytes]]] = field(default_factory=lambda: defaultdict(list))
    """By prompt: key and body of every submit that reached a provider."""
    broken: list[str] = field(default_factory=list)
    key_revoked: bool = False
    signals: list[str] = field(default_factory=list)
    """Steps at which Ctrl-C is pressed next."""

    @property
    def charges(self) -> Counter[str]:
        """How often each prompt was bought."""
        return Counter(order.prompt for order in self.orders)

    def wire(self, contract: str) -> httpx.AsyncBaseTransport:
        """Return the way to a provider, or to the host of results."""
        return _Way(self, contract)

    async def pressed(self, step: str) -> None:
        """Press Ctrl-C where that is due, and let it be noticed."""
        while self.signals[:1] == [step]:
            self.signals.pop(0)
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(4):
                await asyncio.sleep(0)

    def take(self, provider: str, request: httpx.Request, body: bytes) -> Order | None:
        """Charge for an order; the same key is the same order, and with another body none."""
        said = json.loads(body)
        prompt = said.get("prompt") or said.get("input", {}).get("prompt") or said["params"]["prompt"]
        token = request.headers.get("idempotency-key", "")
        self.requests[prompt].append((token, body))
        known = next((order for order in self.orders if token and order.token == token), None)
        if known:
            return known if known.body == body else None
        order = Order(f"task_{len(self.orders) + 1}", provider, prompt, token, body)
        self.orders.append(order)
        return order

    def watch(self, body: bytes) -> None:
        """Note a purchase of which the ledger has no durable word (reliability.md 4.4, invariant 2)."""
        with contextlib.closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True)) as db:
            row = db.execute(
                "SELECT task.kind FROM task JOIN attempt ON attempt.task = task.id WHERE attempt.body_sha256 = ?"
                " ORDER BY attempt.at DESC", (hashlib.sha256(body).hexdigest(),),
            ).fetchall()  # fmt: skip
        if ("sending",) not in row:
            self.broken.append(f"a purchase left while the ledger said {row}")


class _Way(httpx.AsyncBaseTransport):
    def __init__(self, market: Market, contract: str) -> None:
        self.market, self.contract = market, contract

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        market = self.market
        body = await request.aread()
        step = "fetch" if self.contract == "results" else "submit" if request.method == "POST" else "poll"
        market.seams.seam()
        await market.pressed(step)
        fate = market.script[step].pop(0) if market.script[step] else "kept"
        answer = self._answer(step, fate, request, body)
        await market.pressed(f"{step} answered")
        market.seams.seam()
        return answer

    def _answer(self, step: str, fate: str, request: httpx.Request, body: bytes) -> httpx.Response:
        if fate == "refused":
            raise httpx.ConnectError("connection refused")
        if step == "submit":
            self.market.watch(body)
        if step != "fetch" and self._stranger(request):
            code = "api_key_invalid" if self.contract == "rivya" else "auth_error"
            return _says(401, {"error": {"code": code, "message": "bad key"}})
        if fate in {"never", "reset"}:
            raise httpx.ReadError("connection reset")
        if fate == "html":
            return httpx.Response(200, content=b"<html>log in</html>")
        if step == "fetch":
            return self._result(fate, request)
        return self._submitted(fate, request, body) if step == "submit" else self._polled(fate, request)

    def _stranger(self, request: httpx.Request) -> bool:
        return self.market.key_revoked or request.headers["authorization"] != f"Bearer {KEYS[self.contract]}"

    def _submitted(self, fate: str, request: httpx.Request, body: bytes) -> httpx.Response:
        if fate in {"429", "402", "503 after"}:
            if fate == "503 after" and self.contract != "rivya":
                fate = "429"
            code = {"429": "rate_limited", "402": "insufficient_credits"}.get(fate, "public_api_disabled")
            return _says(int(fate[:3]), {"error": {"code": code, "message": "not now"}})
        order = self.market.take(self.contract, request, body)
        if order is None:
            return _says(409, {"error": {"code": "idempotency_conflict", "message": "another body"}})
        if fate == "lost":
            raise httpx.ReadError("connection reset")
        if fate in {"500", "504"}:
            return _says(int(fate), {"error": {"message": "upstream"}})
        good = _says(200, self._accepted(order, request))
        if fate in {"garbled", "cut", "empty"}:
            return httpx.Response(200, content={"garbled": b"<html>", "cut": good.content[:9], "empty": b""}[fate])
        if self.contract != "openai" and "generations" not in request.url.path.replace("/api/v1/generations", ""):
            self.market.told.append((order.prompt, order.id))
        return good

    def _accepted(self, order: Order, request: httpx.Request) -> Any:
        if self.contract == "rivya":
            return {"id": order.id, "status": "queued", "reserved_credits": 5}
        if request.url.path.endswith("/submit"):
            return {"output": {"task_id": order.id}, "request_id": "req_1"}
        return {"created": 1, "data": [{"url": _address(order)}]}

    def _polled(self, fate: str, request: httpx.Request) -> httpx.Response:
        if fate != "kept":
            status = int(fate) if fate.isdigit() else 200
            message = {"error": {"code": "not_found" if fate == "404" else "later", "message": "no"}}
            return _says(status, message) if fate.isdigit() else httpx.Response(200, content=b"{]")
        name = request.url.params.get("task_id") or request.url.path.rpartition("/")[2]
        order = next((order for order in self.market.orders if order.id == name and not order.forgotten), None)
        if order is None or order.provider != self.contract:
            return _says(404, {"error": {"code": "not_found", "message": "no such task"}})
        order.polls -= 1
        running = order.polls >= 0
        if self.contract == "rivya":
            if running:
                return _says(200, {"id": name, "status": "processing"})
            result = {"primary_url": _address(order), "urls": [_address(order)]}
            return _says(200, {"id": name, "status": "succeeded", "final_credits": 5, "result": result})
        status = "Running" if running else "Success"
        urls = {} if running else {"urls": [_address(order)]}
        return _says(200, {"output": {"task_id": name, "task_status": status, **urls}, "request_id": ""})

    def _result(self, fate: str, request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        name = request.url.path.rpartition("/")[2].removesuffix(".png")
        order = next(order for order in self.market.orders if order.id == name)
        if order.expired or fate == "404":
            return httpx.Response(403 if order.expired else 404, content=b"expired")
        data = RESULT[:-30] if fate == "cut" else RESULT
        return httpx.Response(200, content=data, headers={"Content-Type": "image/png"})


def _says(status: int, body: Any) -> httpx.Response:
    return httpx.Response(status, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def _address(order: Order) -> str:
    return f"https://cdn.example.com/{order.id}.png"


@dataclass(frozen=True)
class Row:
    """A task as the ledger has it."""

    id: str
    kind: str
    charged: str
    task_id: str | None
    prompt: str
    hashes: frozenset[str]


class Shop:
    """A command line, its ledger and the market, over one folder."""

    def __init__(self, folder: Path) -> None:
        self.seams = Seams()
        folder.mkdir(parents=True, exist_ok=True)
        self.cli = Cli(folder)
        self.state = folder / "state"
        self.cli.env |= {f"{name.upper()}_API_KEY": key for name, key in KEYS.items()}
        self.cli.env |= {"WAN_STATE_DIR": str(self.state), "XDG_CONFIG_HOME": str(folder / "config")}
        self.market = Market(self.seams, self.state / "ledger.db")
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(self.seams.installed())
        self._stack.enter_context(mock.patch.object(App, "_wire", lambda _, contract: self.market.wire(contract)))

    def close(self) -> None:
        """Take everything out of wan again."""
        self._stack.close()

    def run(self, *argv: str, seam: int | None = None, trouble: str | None = None) -> Any:
        """Run a command line; ``None`` where it was killed."""
        self.seams.begin(seam, trouble)
        self.market.key_revoked = trouble == "key revoked"
        try:
            return self.cli.run(*argv)
        except Killed:
            return None
        finally:
            self.seams.begin(None, None)
            self.market.key_revoked = False
            self.market.script.clear()
            self.market.signals.clear()

    def rows(self) -> dict[str, Row]:
        """Return the ledger's tasks by id, through a connection of its own."""
        if not self.market.ledger.exists():
            return {}
        with contextlib.closing(sqlite3.connect(f"file:{self.market.ledger}?mode=ro", uri=True)) as db:
            found = db.execute("SELECT id, kind, charged, task_id, document FROM task").fetchall()
        rows = {}
        for name, kind, charged, task_id, text in found:
            document = json.loads(text)
            hashes = frozenset(file["sha256"] for file in document["state"].get("files", ()))
            rows[name] = Row(name, kind, charged, task_id, document["job"]["prompt"], hashes)
        return rows

    def evidence(self) -> str:
        """Return all that attempts and recovery files hold, as text."""
        with contextlib.closing(sqlite3.connect(f"file:{self.market.ledger}?mode=ro", uri=True)) as db:
            raw = [row[0] for row in db.execute("SELECT raw FROM attempt WHERE raw IS NOT NULL")]
        files = [path.read_bytes() for path in self.recovery_files()]
        return b"\n".join([*map(bytes, raw), *files]).decode("utf-8", "replace")

    def recovery_files(self) -> list[Path]:
        """Return the files of what the ledger could not take."""
        return sorted(self.cli.root.rglob("wan-recovery-*.json"))

    def results(self) -> dict[str, str]:
        """Return the sha256 of every file under a final name."""
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(self.cli.cwd.glob("[!.]*"))
            if not path.name.startswith("wan-recovery-")
        }  # fmt: skip
