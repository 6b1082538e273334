"""Microseconds of processor time a small request, by transport: what wan's was chosen by; run by hand.

    python tests/benchmarks/stacks.py [REQUESTS [RUNS]]

httpx over its own transport, over wan's, httpx2 and aiohttp, each with 16 connections, in a process of its own, with 1,
16 and 256 requests asked for at a time. httpx2 and aiohttp are left out where they are not installed.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import resource
import ssl
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from throughput import serving  # noqa: E402 - beside this file

STACKS = {"httpx": "httpx", "httpx over wan's transport": "httpx", "httpx2": "httpx2", "aiohttp": "aiohttp"}
FLYING, CONNECTIONS = (1, 16, 256), 16


async def opened(stack: AsyncExitStack, name: str) -> Callable[[str], Awaitable[bytes]]:
    """Open a client; return what fetches an address."""
    library: Any = importlib.import_module(STACKS[name])
    if name == "aiohttp":
        session = await stack.enter_async_context(library.ClientSession(connector=library.TCPConnector(limit=16)))

        async def read(url: str) -> bytes:
            async with session.get(url) as answer:
                found: bytes = await answer.read()
                return found

        return read
    transport = None
    if "wan" in name:
        from wan_cli.wire import Wire

        transport = Wire(tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), connections=CONNECTIONS)
    limits = library.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    client = library.AsyncClient(transport=transport, limits=limits, verify=False, timeout=60)
    await stack.enter_async_context(client)

    async def get(url: str) -> bytes:
        found: bytes = (await client.get(url)).content
        return found

    return get


async def play(name: str, url: str, requests: int, flying: int) -> float:
    """Ask so often; return microseconds of processor time a request."""
    async with AsyncExitStack() as stack:
        get, gate = await opened(stack, name), asyncio.Semaphore(flying)

        async def one() -> None:
            async with gate:
                assert await get(f"{url}/v1/tasks/status?task_id=none")

        await asyncio.gather(*(one() for _ in range(flying)))
        before = resource.getrusage(resource.RUSAGE_SELF)
        await asyncio.gather(*(one() for _ in range(requests)))
        after = resource.getrusage(resource.RUSAGE_SELF)
    return 1e6 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / requests


def main(requests: int = 3000, runs: int = 3) -> None:
    """Print the table."""
    names = [name for name, library in STACKS.items() if importlib.util.find_spec(library)]
    found: dict[tuple[str, int], list[float]] = {(name, flying): [] for name in names for flying in FLYING}
    with serving(polls=1 << 30) as url:
        for _ in range(runs):
            for (name, flying), values in found.items():
                argv = [sys.executable, __file__, "--play", name, url, str(requests), str(flying)]
                ran = subprocess.run(argv, check=True, stdout=subprocess.PIPE)
                values.append(json.loads(ran.stdout))
    lines = [f"| transport | {' | '.join(f'{flying} at a time' for flying in FLYING)} |", "|---|---:|---:|---:|"]
    for name in names:
        cells = [f"{statistics.median(found[name, flying]):,.0f}" for flying in FLYING]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--play"]:
        sys.stdout.write(json.dumps(asyncio.run(play(sys.argv[2], sys.argv[3], *map(int, sys.argv[4:])))))
    else:
        main(*map(int, sys.argv[1:]))
