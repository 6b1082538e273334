"""A large file to disk: wan with sha256 and progress, against ``curl`` followed by ``sha256sum``; run by hand.

    python tests/benchmarks/downloads.py [MIB [RUNS]]

The server is another process on loopback. wan's part is what a task's download is: the client, the checks, the hash, a
progress event a chunk, the sync and the final name; without the start of the interpreter, which is measured elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from throughput import serving  # noqa: E402 - beside this file

PLAY = "--play"


async def fetched(url: str, folder: Path) -> dict[str, float]:
    """Fetch as wan does; return seconds and the peak in MiB."""
    from wan_cli.download import Fetcher, result_client
    from wan_cli.models import Output
    from wan_cli.publish import Part
    from wan_cli.transport.client import tls_context

    client = result_client(tls_context)
    origin = url.rpartition("/blob")[0]
    fetcher = Fetcher(api_origin=origin, client=lambda: client, with_key=None)
    told: list[int] = []
    used = resource.getrusage(resource.RUSAGE_SELF)
    began, idle, cpu = time.monotonic(), used.ru_maxrss, used.ru_utime + used.ru_stime
    with Part(folder / "film.mp4", cap=1 << 33, expected="video") as part:
        await fetcher.fetch(Output(url=url), part, kind="video", progress=lambda done, _: told.append(done))
        here, digest = time.monotonic(), part.sha256
        part.publish(folder / "film.mp4", overwrite=True)
    named = time.monotonic()
    await client.aclose()
    used = resource.getrusage(resource.RUSAGE_SELF)
    assert len(digest) == 64
    return {
        "wall": here - began, "synced": named - began, "cpu": used.ru_utime + used.ru_stime - cpu,
        "peak": used.ru_maxrss / 1024, "more": (used.ru_maxrss - idle) / 1024, "events": len(told),
    }  # fmt: skip


def peer(url: str, folder: Path) -> dict[str, float]:
    """Fetch by curl, hash by sha256sum."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(["curl", "-sS", "-o", folder / "peer.mp4", url], check=True)
    subprocess.run(["sha256sum", folder / "peer.mp4"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": time.monotonic() - began, "cpu": cpu}


def main(mib: int = 200, runs: int = 5) -> None:
    """Print the table."""
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    with serving() as url, tempfile.TemporaryDirectory() as place:
        blob, folder = f"{url}/blob/{mib << 20}", Path(place)
        for _ in range(runs):
            theirs.append(peer(blob, folder))
            argv = [sys.executable, __file__, PLAY, blob, str(folder)]
            ours.append(json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout))
    rows = {"curl, then sha256sum": theirs, "wan, hashed": ours}
    rows["wan, synced and named"] = [{**run, "wall": run["synced"]} for run in ours]
    base = statistics.median(run["wall"] for run in theirs)
    lines = ["| download | wall s | spread | ratio | cpu s | peak MiB | over idle MiB |", f"|---|{'---:|' * 6}"]
    for name, found in rows.items():
        wall, middle = [run["wall"] for run in found], statistics.median(run["wall"] for run in found)
        cells = [name, f"{middle:.2f}", f"{min(wall):.2f}-{max(wall):.2f}", f"{middle / base:.2f}"]
        known = {key: [run[key] for run in found if key in run] for key in ("cpu", "peak", "more")}
        cells += [f"{statistics.median(values):.2f}" if values else "" for values in known.values()]
        lines.append(f"| {' | '.join(cells)} |")
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    if sys.argv[1:2] == [PLAY]:
        sys.stdout.write(json.dumps(asyncio.run(fetched(sys.argv[2], Path(sys.argv[3])))))
    else:
        main(*map(int, sys.argv[1:]))
