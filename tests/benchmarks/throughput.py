"""A thousand tasks with each client: wan with its ledger, wan's transport alone, aiohttp, ``curl --parallel``.

    python tests/benchmarks/throughput.py [--tasks 1000] [--flying 256] [--runs 3] [CLIENT ...]
    python tests/benchmarks/throughput.py --curves FOLDER [--most 10000]

A task is a purchase, four polls 0.5 s apart and a picture of 1 MB that goes to a file: six requests. ``wan`` is the
engine with ledger, checks and syncs, whose own pauses are replaced by those 0.5 s; ``transport`` is the same adapter,
client, download and checks without engine and ledger. Every client is a process of its own, the server another one.
aiohttp is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
POLLS, PAUSE_S, PICTURE = 4, 0.5, 1_000_000
BODY = {"model": "Wan-AI/Wan2.7-T2I", "input": {"prompt": "a fox"}}
CLIENTS = ("wan", "transport", "aiohttp", "curl")


@dataclass(frozen=True)
class Load:
    """What a client has to do: so many tasks, so many at a time, with so many seconds before each poll."""

    url: str
    folder: Path
    tasks: int
    flying: int
    pause: float


async def side_by_side(load: Load, one: Callable[[int], Awaitable[None]]) -> None:
    """Do all tasks, at most ``flying`` at a time."""
    gate = asyncio.Semaphore(load.flying)

    async def held(number: int) -> None:
        async with gate:
            await one(number)

    await asyncio.gather(*(held(number) for number in range(load.tasks)))


def wan(load: Load) -> Callable[[], Awaitable[None]]:
    """The whole engine: ledger, checks, syncs."""
    from wan_cli.engine import Engine, Service
    from wan_cli.ledger import Ledger
    from wan_cli.models import Cost, Job, Target, Task

    async def run() -> None:
        provider, api, fetcher, close = _parts(load)
        service = Service(provider, api, fetcher, close)
        with Ledger.open(load.folder / "state") as ledger:
            engine = Engine(
                ledger=ledger, service=lambda _: service, report=lambda _: None, scratch=load.folder,
                sleep=lambda s: asyncio.sleep(min(s, load.pause)), submits=load.flying,
            )  # fmt: skip

            async def one(number: int) -> None:
                del number
                name = ledger.new_id()
                job = Job(verb="generate", provider="modelverse", model="wan2.7-image", prompt="a fox", route="async")
                task = Task(
                    id=name, provider="modelverse", origin=load.url, job=job, provider_model="wan2.7-image",
                    token=f"wan-{name}", target=Target(template=str(load.folder / "{id}{ext}")),
                    created_at=time.time(), cost=Cost(estimated=1, unit="credits"),
                )  # fmt: skip
                await engine.writing.do(ledger.add, [task])
                done = await engine.run(task)
                assert done.state.kind == "saved", done

            await side_by_side(load, one)
            await close()

    return run


def transport(load: Load) -> Callable[[], Awaitable[None]]:
    """The adapter, client, download and checks, without engine and ledger."""
    from wan_cli.models import Done, Job, Pending
    from wan_cli.publish import Part
    from wan_cli.transport.drive import drive

    async def run() -> None:
        provider, api, fetcher, close = _parts(load)

        async def one(number: int) -> None:
            job = Job(verb="generate", provider="modelverse", model="wan2.7-image", prompt="a fox", route="async")
            state = await drive(provider.submit(job, token="t"), provider, lambda sent: api.send(sent, paid=True))
            while isinstance(state, Pending):
                await asyncio.sleep(load.pause)
                state = await drive(provider.poll(state), provider, api.send)
            assert isinstance(state, Done)
            with Part(load.folder / f"{number}.png", cap=1 << 30) as part:
                await fetcher.fetch(state.outputs[0], part, kind="image", progress=lambda *_: None)
                part.publish(load.folder / f"{number}.png", overwrite=False)

        await side_by_side(load, one)
        await close()

    return run


def _parts(load: Load) -> Any:
    """Build what :meth:`wan_cli.cli.context.App.service` builds, for the server of this benchmark."""
    import functools

    from wan_cli import cycles
    from wan_cli.download import Fetcher, result_client
    from wan_cli.providers import load as adapter
    from wan_cli.transport.client import Api, tls_context

    cycles.seldom()  # as every command begins
    provider = adapter("modelverse")(load.url)
    api = Api(provider.origin, lambda: "sk-of-the-benchmark")
    results = functools.cache(lambda: result_client(tls_context))
    fetcher = Fetcher(api_origin=provider.origin, client=results, with_key=api.fetch)

    async def close() -> None:
        await api.close()
        await results().aclose()

    return provider, api, fetcher, close


def aiohttp(load: Load) -> Callable[[], Awaitable[None]]:
    """The same requests by the fastest of Python's own clients, with as many connections as wan takes."""
    import aiohttp as library

    async def run() -> None:
        connector = library.TCPConnector(limit=24)
        async with library.ClientSession(connector=connector, headers={"Authorization": "Bearer k"}) as session:

            async def one(number: int) -> None:
                async with session.post(f"{load.url}/v1/tasks/submit", json=BODY) as answer:
                    task = (await answer.json())["output"]["task_id"]
                output: dict[str, Any] = {}
                while not output.get("urls"):
                    await asyncio.sleep(load.pause)
                    async with session.get(f"{load.url}/v1/tasks/status", params={"task_id": task}) as answer:
                        output = (await answer.json())["output"]
                digest = hashlib.sha256()
                async with session.get(output["urls"][0]) as answer:
                    with (load.folder / f"{number}.png").open("wb") as file:
                        async for piece in answer.content.iter_any():
                            file.write(piece)
                            digest.update(piece)

            await side_by_side(load, one)

    return run


def curl(load: Load) -> Callable[[], Awaitable[None]]:
    """The same requests by ``curl --parallel``: as many tasks at a time, phase by phase."""

    async def run() -> None:
        for first in range(0, load.tasks, load.flying):
            numbers = range(first, min(load.tasks, first + load.flying))
            _curl(load, dict.fromkeys(numbers, f"{load.url}/v1/tasks/submit"), json.dumps(BODY))
            names = {n: json.loads((load.folder / str(n)).read_bytes())["output"]["task_id"] for n in numbers}
            for _ in range(POLLS):
                await asyncio.sleep(load.pause)
                _curl(load, {n: f"{load.url}/v1/tasks/status?task_id={name}" for n, name in names.items()})
            links = {n: json.loads((load.folder / str(n)).read_bytes())["output"]["urls"][0] for n in numbers}
            _curl(load, links)

    return run


def _curl(load: Load, links: dict[int, str], body: str | None = None) -> None:
    config = load.folder / "curl.txt"
    lines = []
    for number, link in links.items():
        lines += [f'url = "{link}"', f'output = "{load.folder / str(number)}"']
    config.write_text("\n".join(lines))
    how = ["--json", body] if body else []
    argv = ["curl", "--no-progress-meter", "--fail", "--parallel", "--parallel-immediate", "--parallel-max", "24"]
    subprocess.run([*argv, *how, "-K", config], check=True, stderr=subprocess.DEVNULL)


def play(name: str, load: Load) -> None:
    """Be one client: do the load, print what it took."""
    work = globals()[name](load)
    before = _cpu()
    began = time.monotonic()
    asyncio.run(work())
    took = {"wall": time.monotonic() - began, "cpu": _cpu() - before}
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    sys.stdout.write(json.dumps({**took, "peak": peak / 1024}) + "\n")


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextmanager
def serving(polls: int = POLLS, size: int = PICTURE) -> Iterator[str]:
    """Run the server; yield its address."""
    argv = [sys.executable, str(HERE.parent / "support_traffic.py"), str(polls), str(size)]
    server = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.terminate()
        server.wait()


def measure(name: str, *, tasks: int, flying: int, pause: float = PAUSE_S, size: int = PICTURE) -> dict[str, float]:
    """Run one client in a process of its own against a fresh server."""
    with serving(size=size) as url, tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, __file__, "--play", name, "--url", url, "--folder", folder, "--tasks", str(tasks),
                "--flying", str(flying), "--pause", str(pause)]  # fmt: skip
        told = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout
        with urlopen(f"{url}/counts") as answer:
            counts = json.load(answer)
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found | {"connections": counts["connections"] - 1, "requests": (counts["requests"] - 1) / tasks}


def table(rows: dict[str, list[dict[str, float]]]) -> list[str]:
    """Return the Markdown table: medians, the spread of the processor time, ratios to aiohttp and to the best."""
    middle = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in rows.items()
    }
    peers = [middle[name] for name in ("aiohttp", "curl") if name in middle]
    best = min((peer["wall"] for peer in peers), default=None)
    own = middle.get("aiohttp", {}).get("cpu")
    lines = [
        "| client | wall s | to the best | cpu s | spread | to aiohttp | peak MiB | connections | requests a task |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in middle.items():
        spread = f"{min(run['cpu'] for run in rows[name]):.2f}-{max(run['cpu'] for run in rows[name]):.2f}"
        wall = f"{row['wall'] / best:.2f}" if best else ""
        cpu = f"{row['cpu'] / own:.1f}" if own else ""
        lines.append(
            f"| {name} | {row['wall']:.2f} | {wall} | {row['cpu']:.2f} | {spread} | {cpu} | {row['peak']:.0f} "
            f"| {row['connections']:.0f} | {row['requests']:.1f} |"
        )
    return lines


def main() -> None:
    """Print the table, or write the curves."""
    ask = argparse.ArgumentParser()
    ask.add_argument("clients", nargs="*", default=CLIENTS)
    ask.add_argument("--tasks", type=int, default=1000)
    ask.add_argument("--flying", type=int, default=256)
    ask.add_argument("--runs", type=int, default=3)
    ask.add_argument("--pause", type=float, default=PAUSE_S)
    ask.add_argument("--curves", type=Path)
    ask.add_argument("--most", type=int, default=10_000)
    ask.add_argument("--play")
    ask.add_argument("--url", default="")
    ask.add_argument("--folder", type=Path)
    said = ask.parse_args()
    if said.play:
        return play(said.play, Load(said.url, said.folder, said.tasks, said.flying, said.pause))
    if said.curves:
        from curves import draw

        names = [name for name in said.clients if name != "curl"]  # of which each phase is a process
        return draw(said.curves, measure, names, said.most)
    there = {"aiohttp": importlib.util.find_spec("aiohttp"), "curl": shutil.which("curl")}
    names = [name for name in said.clients if there.get(name, True)]
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(said.runs):
        for name in names:
            rows[name].append(measure(name, tasks=said.tasks, flying=said.flying, pause=said.pause))
    sys.stdout.write("\n".join([*table(rows), ""]))
    return None


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(HERE.parents[1]))
    main()
