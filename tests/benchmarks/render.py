"""How ``wan render`` scales: ten thousand assets planned, rendered, and rendered again; run by hand.

    python tests/benchmarks/render.py [ASSETS ...]

Each call of wan is a process of its own, against the sandbox on a port in another one, whose pictures are plain. What
is printed for each number of assets is processor time and wall-clock time of wan alone, its peak memory and the ratio
to that of the fewest, and what it looked at. What is linear takes as much for a thousand assets however many there are.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
SIDE = 512
"""Pixels of a side: the pictures are checked as any others, and small."""

JOBS = "64"
SIZES = [100, 1_000, 10_000]
CALLS = ("plan", "render", "first look", "second run", "check")

SERVER = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from support_cli import picture
from wan_cli.sandbox import serve
from wan_cli.sandbox.port import exports
bound = serve.bind("127.0.0.1", 0)
print("\\n".join(exports(bound.url)), flush=True)
print("ready", flush=True)
serve.serve(bound, Path({folder!r}), faults=[], latency=0.0, draw=lambda *_, **__: picture({side}, {side}))
"""

PROBE = """
import socket, sys
from wan_cli.render.sight import Sight
made = []
begin = Sight.__init__
def note(self, *args, **named):
    begin(self, *args, **named)
    made.append(self)
Sight.__init__ = note
connections = []
connect = socket.socket.connect
def told(self, address):
    connections.append(address)
    return connect(self, address)
socket.socket.connect = told
from wan_cli.cli.main import main
code = main(sys.argv[1:])
print("looked", sum(one.looked for one in made), "hashed", sum(one.hashed for one in made),
      "connections", len(connections), file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True)
class Ran:
    """What one call took: seconds of the processor, seconds that passed, peak memory in MiB, and what it said."""

    cpu: float
    wall: float
    peak: float
    err: str


def call(folder: Path, env: dict[str, str], *argv: str) -> Ran:
    """Run wan to its end."""
    began = time.monotonic()
    with (folder / "stderr").open("w+", encoding="utf-8") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", PROBE, *argv], cwd=folder, env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=err,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        err.seek(0)
        said = err.read()
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{argv} ended with {os.waitstatus_to_exitcode(status)}\n{said[-3000:]}")
    return Ran(used.ru_utime + used.ru_stime, time.monotonic() - began, used.ru_maxrss / 1024, said)


def project(root: Path, assets: int) -> Path:
    """Make a manifest of so many assets, a tenth of which use another one."""
    folder = root / f"assets-{assets}"
    folder.mkdir()
    rows: list[dict[str, Any]] = [{"defaults": {"provider": "modelverse", "size": "1K", "output": "art/{id}{ext}"}}]
    for number in range(assets):
        row: dict[str, Any] = {"id": f"asset-{number:05}", "prompt": f"picture {number} of many, quite plain"}
        if number % 10 == 9:
            row |= {"verb": "edit", "images": [f"@asset-{number - 1:05}"]}
        rows.append(row)
    (folder / "assets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def measure(root: Path, env: dict[str, str], assets: int) -> dict[str, Ran]:
    """Plan, render, and render again."""
    folder = project(root, assets)
    own = {**env, "WAN_STATE_DIR": str(folder / "state")}
    found = {"plan": call(folder, own, "render", "assets.jsonl", "--plan", "-q")}
    found["render"] = call(folder, own, "render", "assets.jsonl", "--yes", "-q", "--jobs", JOBS)
    time.sleep(2.1)  # a file that is younger is hashed once more: its time is not trusted
    found["first look"] = call(folder, own, "render", "assets.jsonl", "-q")
    found["second run"] = call(folder, own, "render", "assets.jsonl", "-q")
    found["check"] = call(folder, own, "render", "assets.jsonl", "--check", "-q")
    return found


def say(line: str) -> None:
    """Print a line of the table."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def table(found: dict[int, dict[str, Ran]]) -> None:
    """Print what was measured as Markdown, each call over every number of assets."""
    say("| call | assets | processor s | a thousand | wall-clock s | peak MiB | ratio | looked, hashed, connected |")
    say("|---|---:|---:|---:|---:|---:|---:|---|")
    least = min(found)
    for name in CALLS:
        for assets, ran in found.items():
            one, few = ran[name], found[least][name]
            looks = ", ".join(re.findall(r"\d+", one.err.strip().splitlines()[-1])) if one.err.strip() else ""
            say(
                f"| {name} | {assets:,} | {one.cpu:.2f} | {one.cpu / assets * 1000:.2f} | {one.wall:.1f} "
                f"| {one.peak:.1f} | {one.peak / few.peak:.2f} | {looks} |"
            )


def main() -> None:
    """Print the table."""
    sizes = [int(word) for word in sys.argv[1:]] or SIZES
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        text = SERVER.format(tests=str(TESTS), folder=str(root / "port"), side=SIDE)
        server = subprocess.Popen(
            [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )  # fmt: skip
        try:
            env = dict(os.environ)
            assert server.stdout
            for line in server.stdout:
                if line.startswith("ready"):
                    break
                name, _, value = line.removeprefix("export ").strip().partition("=")
                env[name] = value
            table({assets: measure(root, env, assets) for assets in sizes})
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
