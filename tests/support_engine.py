"""A stage for the engine: a scripted API and fetcher, a real ledger, and time that passes only when somebody sleeps."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from support_cli import Clock, picture

from wan_cli.engine import Engine, Service
from wan_cli.errors import NetworkError
from wan_cli.ledger import Ledger
from wan_cli.ledger.owner import Owner, this_process
from wan_cli.media import Sniffed
from wan_cli.models import Cost, Event, Job, Output, Target, Task, TaskChanged, Warned
from wan_cli.providers import load
from wan_cli.publish import Part
from wan_cli.transport.client import AnswerLost, NotSent

ORIGINS = {"rivya": "https://rivya.ai", "modelverse": "https://api.modelverse.cn"}
URL = "https://cdn.example/result-{}.png"
SMALL = picture(64, 64)


@dataclass(frozen=True)
class Reply:
    """A scripted answer."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def response(self, request: httpx.Request) -> httpx.Response:
        data = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return httpx.Response(self.status, headers=self.headers, content=data, request=request)


Step = Reply | Exception | Callable[[httpx.Request], Any]


@dataclass(frozen=True)
class Sent:
    """One request as the API got it."""

    method: str
    path: str
    headers: httpx.Headers
    body: bytes
    at: float
    how: dict[str, Any]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class FakeApi:
    """Plays ``script`` in order; the last step stays when ``forever`` is set. ``sent`` is what came."""

    def __init__(self, origin: str, clock: Clock, script: list[Step]) -> None:
        self.origin = origin
        self.clock = clock
        self.script = script
        self.forever = False
        self.sent: list[Sent] = []

    async def send(self, request: httpx.Request, **how: Any) -> httpx.Response:
        headers, path = request.headers, request.url.raw_path.decode()
        self.sent.append(Sent(request.method, path, headers, request.content, self.clock.now, how))
        assert self.script, f"nothing is scripted for {request.method} {path}"
        step = self.script[0] if self.forever and len(self.script) == 1 else self.script.pop(0)
        await asyncio.sleep(0)
        if isinstance(step, Exception):
            raise step
        if callable(step):
            step = step(request)
            if isinstance(step, Awaitable):
                step = await step
        assert isinstance(step, Reply)
        return step.response(request)

    def of(self, method: str) -> list[Sent]:
        """Return the requests of one method."""
        return [sent for sent in self.sent if sent.method == method]

    async def close(self) -> None:
        """Have nothing to close."""


class FakeFetcher:
    """Writes a small picture, or plays what ``script`` has for an address: bytes, an exception, or a callable."""

    def __init__(self) -> None:
        self.script: dict[str, list[Any]] = {}
        self.asked: list[str] = []

    async def fetch(self, output: Output, part: Part, *, kind: str, progress: Callable[..., None]) -> Sniffed:
        address = output.url or "inline"
        self.asked.append(address)
        await asyncio.sleep(0)
        step = self.script[address].pop(0) if self.script.get(address) else SMALL
        if callable(step):
            step = await step(part)
        if isinstance(step, Exception):
            raise step
        part.write(step)
        progress(len(step), len(step))
        return part.check()


class FailingLedger:
    """The real ledger, whose named methods fail once ``armed`` (``when`` decides about each call)."""

    def __init__(self, ledger: Ledger) -> None:
        self.real = ledger
        self.broken: dict[str, Callable[..., Exception | None]] = {}

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.real, name)
        if name not in self.broken:
            return real

        def call(*args: Any, **named: Any) -> Any:
            if error := self.broken[name](*args, **named):
                raise error
            return real(*args, **named)

        return call


class Stage:
    """Everything an engine needs, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.clock = Clock()
        self.ledger = Ledger.open(folder / "state", clock=self.clock)
        self.failing = FailingLedger(self.ledger)
        self.events: list[Event] = []
        self.apis: dict[str, FakeApi] = {}
        self.fetcher = FakeFetcher()
        self.fetchers: dict[str, Any] = {}
        self.engine = self.another()

    def another(self, ledger: Any = None, **parts: Any) -> Engine:
        """Build an engine on this stage."""
        return Engine(
            ledger=ledger or self.failing, service=self.service, report=self.events.append,
            scratch=self.folder / "scratch", now=self.clock, monotonic=self.clock, sleep=self.clock.sleep,
            rand=lambda: 0.5, **parts,
        )  # fmt: skip

    def script(self, provider: str, *steps: Step, forever: bool = False) -> FakeApi:
        """Say what a provider answers next."""
        api = self.apis.setdefault(provider, FakeApi(ORIGINS[provider], self.clock, []))
        api.script += steps
        api.forever = forever
        return api

    def service(self, name: str) -> Service:
        api = self.apis.setdefault(name, FakeApi(ORIGINS[name], self.clock, []))
        adapter = load(name)(ORIGINS[name])
        return Service(adapter, api, self.fetchers.get(name, self.fetcher), api.close)  # type: ignore[arg-type]

    def task(self, provider: str = "rivya", *, add: bool = True, **said: Any) -> Task:
        """Make a task and put it into the ledger; what belongs to the job goes to the job."""
        names = set(Job.__dataclass_fields__)
        model = "wan2.7-image"
        job = Job(**{"verb": "generate", "provider": provider, "model": model, "prompt": "a fox",
                     **{name: said.pop(name) for name in list(said) if name in names}})  # fmt: skip
        task_id = said.pop("id", None) or self.ledger.new_id()
        target = said.pop("target", Target(template=str(self.out / "{id}{ext}")))
        task = Task(
            **{"id": task_id, "provider": provider, "origin": ORIGINS[provider], "job": job, "provider_model": model,
               "token": f"wan-{task_id}", "target": target, "created_at": self.clock.now,
               "cost": Cost(estimated=5, unit="credits"), **said},
        )  # fmt: skip
        if add:
            self.ledger.add([task])
        return task

    def run(self, task: Task, **how: Any) -> Task:
        """Take one task as far as it goes."""
        return self.play(self.engine.run(task, **how))

    @staticmethod
    def play(work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine, for at most ten real seconds."""

        async def within() -> Any:
            async with asyncio.timeout(10):
                return await work

        return asyncio.run(within())

    def stored(self, task: Task) -> Task:
        """Return what another process would find in the ledger."""
        with Ledger.open(self.folder / "state", clock=self.clock) as other:
            return other.get(task.id)

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Ask the ledger's file through a connection of its own."""
        with sqlite3.connect(self.ledger.path) as db:
            found = db.execute(query, values).fetchall()
        db.close()
        return found

    def files(self) -> list[str]:
        """Return what is in the output folder."""
        return sorted(path.name for path in self.out.rglob("*")) if self.out.exists() else []

    def warnings(self) -> list[str]:
        """Return what was warned of."""
        return [event.message for event in self.events if isinstance(event, Warned)]

    def notes(self) -> list[str]:
        """Return what was said beside the changes."""
        return [event.note for event in self.events if isinstance(event, TaskChanged) and event.note]

    def stranger(self) -> Ledger:
        """Open the ledger as another process that is alive: the parent of this one."""
        ledger = Ledger.open(self.folder / "state", clock=self.clock)
        mine = this_process()
        pid = os.getppid()
        started = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
        ledger._here = Owner(pid, started, mine.boot, mine.space)
        return ledger

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()


def refused_connection() -> NotSent:
    """Return what a closed port is."""
    return NotSent(NetworkError("could not reach it: connection refused", hint="check the network"))


def lost(reason: str = "the connection broke", **more: Any) -> AnswerLost:
    """Return what a broken connection is."""
    return AnswerLost(reason, **more)


def accepted(provider: str = "rivya", task_id: str = "task_1") -> Reply:
    """Return the answer to a purchase that was taken."""
    if provider == "rivya":
        return Reply(200, {"id": task_id, "status": "queued", "reserved_credits": 5})
    return Reply(200, {"output": {"task_id": task_id}, "request_id": "req_1"})


def running(provider: str = "rivya", status: str | None = None, **headers: str) -> Reply:
    """Return the answer about a task that is under way."""
    if provider == "rivya":
        return Reply(200, {"id": "task_1", "status": status or "processing"}, headers)
    return Reply(200, {"output": {"task_id": "task_1", "task_status": status or "Running"}}, headers)


def succeeded(provider: str = "rivya", count: int = 1, **more: Any) -> Reply:
    """Return the answer about a task that has ``count`` results."""
    urls = [URL.format(number) for number in range(1, count + 1)]
    if provider == "rivya":
        result = {"primary_url": urls[0] if urls else None, "urls": urls}
        return Reply(200, {"id": "task_1", "status": "succeeded", "final_credits": 5, "result": result, **more})
    return Reply(200, {"output": {"task_id": "task_1", "task_status": "Success", "urls": urls, **more}})


def error(status: int, code: str | None = None, message: str = "no", **headers: str) -> Reply:
    """Return a refusal."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"error": {"code": code, "message": message}}, named)


def moved(task: Task, **changes: Any) -> Task:
    """Return the task with other fields."""
    return replace(task, **changes)
