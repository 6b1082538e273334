"""What a call of wan costs before it does anything: processor time beside that of ``python -c pass``; run by hand.

    python tests/benchmarks/startup.py [ROUNDS]

Every command is a process of its own; a round runs each of them once, one after the other, and the first round does not
count. The last command buys one picture of 1 MB from the sandbox on a port, in another process, synchronously, with
ledger and checks; beside it stands a script of curl that sends the same two requests. ``http`` of HTTPie is measured
where PATH has it.
"""

from __future__ import annotations

import compileall
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
SIDE = 590
"""Pixels of a side: noise in three colours, so 1 MB."""

SERVER = """
import functools, io, random, sys
from pathlib import Path
from PIL import Image
from wan_cli.sandbox import serve
from wan_cli.sandbox.port import exports
page = io.BytesIO()
noise = random.Random(7).randbytes({side} * {side} * 3)
Image.frombytes("RGB", ({side}, {side}), noise).save(page, "PNG", compress_level=0)
bound = serve.bind("127.0.0.1", 0)
print("\\n".join(exports(bound.url)), flush=True)
print("ready", flush=True)
serve.serve(bound, Path({folder!r}), faults=[], latency=0.0, draw=lambda *_, **__: page.getvalue())
"""

SCRIPT = """#!{python}
import sys
from wan_cli.__main__ import run
if __name__ == "__main__":
    if sys.argv[0].endswith(".exe"):
        sys.argv[0] = sys.argv[0][:-4]
    sys.exit(run())
"""
"""The console script that uv and today's pip write; pip before 25.2 adds ``import re``, which costs 4 ms on its own."""

CURL = """
set -e
url=$(curl -sS --fail-with-body -X POST "$MODELVERSE_BASE_URL/v1/images/generations" \\
  -H "Authorization: Bearer $MODELVERSE_API_KEY" -H 'Content-Type: application/json' \\
  --data-binary '{"model": "wan2.7-image", "prompt": "a fox", "n": 1}' | sed 's/.*"url": *"\\([^"]*\\)".*/\\1/')
curl -sS --fail -o by-curl.png "$url"
"""


@dataclass
class Command:
    """A command line with what it is allowed to cost, as a ratio, and what it has cost: seconds and MiB."""

    words: list[str]
    limit: float | None = None
    env: dict[str, str] = field(default_factory=dict)
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    peak: float = 0.0


def call(command: Command, env: dict[str, str], folder: Path, *, count: bool) -> None:
    """Run a command to its end, and note what it took; processes that it started and waited for are part of it."""
    began = time.perf_counter()
    with (folder / "stderr").open("w+b") as err:
        process = subprocess.Popen(
            command.words, cwd=folder, env=env | command.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=err,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        if process.returncode:
            sys.exit(f"{command.words} ended with {process.returncode}\n{err.read().decode()[-3000:]}")
    if count:
        command.cpu.append(used.ru_utime + used.ru_stime)
        command.wall.append(took)
        command.peak = used.ru_maxrss / 1024


def commands(wan: str) -> dict[str, Command]:
    """Return what is measured, by name."""

    def tab(line: str) -> dict[str, str]:
        return {"_WAN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}

    found = {
        "python -c pass": Command([sys.executable, "-c", "pass"]),
        "python -c 'import typer'": Command([sys.executable, "-c", "import typer"]),
        "python -c 'import typer, httpx, h11, asyncio, sqlite3'": Command(
            [sys.executable, "-c", "import typer, httpx, h11, asyncio, sqlite3"]
        ),
        "wan --version": Command([wan, "--version"], 1.2),
        "TAB: wan gen": Command([wan], 7, tab("wan gen")),
        "TAB: wan generate --si": Command([wan], 7, tab("wan generate --si")),
        "TAB: wan generate -p ": Command([wan], 7, tab("wan generate -p ")),
        "wan --help": Command([wan, "--help"], 7.5),
        "wan generate --help": Command([wan, "generate", "--help"], 7.5),
        "wan models rivya": Command([wan, "models", "rivya"]),
        "wan config show": Command([wan, "config", "show"]),
        "wan status": Command([wan, "status"]),
        "wan generate --dry-run": Command([wan, "generate", "-p", "rivya", "a fox", "--dry-run"], 15),
        "wan generate, 1 MB": Command([wan, "generate", "-p", "modelverse", "--sync", "a fox", "-o", "art/"], 17),
        "the same requests, curl": Command(["sh", "-c", CURL]),
        "curl --version": Command(["curl", "--version"]),
    }
    if http := shutil.which("http"):
        found["http --version"] = Command([http, "--version"])
        found["http --help"] = Command([http, "--help"])
    return found


def prepare(root: Path) -> tuple[str, dict[str, str]]:
    """Write the console script and compile what it imports; return its path and the environment of every call."""
    import wan_cli

    script = root / "wan"
    script.write_text(SCRIPT.format(python=sys.executable), encoding="utf-8")
    script.chmod(0o755)
    package = Path(wan_cli.__file__).parent
    compileall.compile_dir(package, quiet=1)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    own = {"HOME": str(root), "NO_COLOR": "1", "WAN_STATE_DIR": str(root / "state")}
    return str(script), {**kept, **own, "PYTHONPATH": str(package.parent)}


def say(line: str) -> None:
    """Print a line of the table."""
    sys.stdout.write(f"{line}\n")


def table(found: dict[str, Command]) -> None:
    """Print medians, spread (the quartiles) and ratios."""
    first = next(iter(found.values()))
    bare, least = statistics.median(first.cpu), min(first.cpu)
    say("| command | processor ms | quartiles | least | ratio | of the least | allowed | wall-clock ms | peak MiB |")
    say("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, one in found.items():
        middle = statistics.median(one.cpu)
        low, _, high = statistics.quantiles(one.cpu, n=4)
        say(
            f"| `{name}` | {middle * 1e3:.1f} | {low * 1e3:.1f}-{high * 1e3:.1f} | {min(one.cpu) * 1e3:.1f} "
            f"| {middle / bare:.2f} | {min(one.cpu) / least:.2f} | {'' if one.limit is None else f'{one.limit:g}'} "
            f"| {statistics.median(one.wall) * 1e3:.1f} | {one.peak:.0f} |"
        )


def main() -> None:
    """Run the rounds and print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        wan, env = prepare(root)
        (root / "art").mkdir()
        text = SERVER.format(folder=str(root / "port"), side=SIDE)
        server = subprocess.Popen(
            [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONPATH": env["PYTHONPATH"]},
        )  # fmt: skip
        try:
            assert server.stdout
            for line in server.stdout:
                if line.startswith("ready"):
                    break
                name, _, value = line.removeprefix("export ").strip().partition("=")
                env[name] = value
            found = commands(wan)
            for number in range(rounds + 1):
                for command in found.values():
                    call(command, env, root, count=number > 0)
        finally:
            server.terminate()
            server.wait()
    table(found)


if __name__ == "__main__":
    main()
