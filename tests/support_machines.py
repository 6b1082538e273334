"""Several workers on one queue, killed at random: what was bought is counted at the provider, asset by asset."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from support_postgres import PostgresServer

from wan_cli.lock import Lock

TESTS = Path(__file__).resolve().parent
PATIENCE_S = 1_800.0
PROVIDERS = ("rivya", "modelverse")
"""One whose purchases have a key, so that what is in doubt is sent again, and one without."""

SERVER = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from support_cli import picture
from wan_cli.sandbox import rivya, serve
from wan_cli.sandbox.port import exports
rivya.ALLOWANCE = 10**9
bound = serve.bind("127.0.0.1", 0)
print("\\n".join(exports(bound.url)), flush=True)
print("ready", flush=True)
serve.serve(bound, Path({folder!r}), faults=[], latency={latency}, draw=lambda *_, **__: picture({side}, {side}))
"""
"""``wan sandbox`` in a process of its own, but that its pictures are plain ones, and that its customers are rich."""

WAN = """
import sys
from wan_cli.ledger.postgres import shared
shared.LEASE_S, shared.HEARTBEAT_S = {lease}, {lease} / 6
from wan_cli.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass
class Process:
    """A command that was begun, and what it used of the processor once it has ended."""

    popen: subprocess.Popen[bytes]
    code: int | None = None
    cpu_s: float = 0.0

    def signal(self, number: int) -> None:
        """Send a signal; whoever has ended gets none."""
        if not self.ended():
            os.kill(self.popen.pid, number)  # Popen's own would look after the process, and lose what it used

    def ended(self) -> bool:
        """Tell whether it has ended."""
        if self.code is None:
            pid, status, used = os.wait4(self.popen.pid, os.WNOHANG)
            if pid:
                self.code = self.popen.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_s = used.ru_utime + used.ru_stime
        return self.code is not None

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Wait for its end."""
        until = time.monotonic() + within_s
        while not self.ended():
            if time.monotonic() > until:
                raise TimeoutError(f"{self.popen.args!r} does not end")
            time.sleep(0.02)
        assert self.code is not None
        return self.code


@dataclass
class Taken:
    """How long the tasks of a worker that was killed were nobody's: ``None`` while some still are."""

    worker: str
    held: int
    killed_at: float
    after_s: float | None = None


@dataclass
class Farm:
    """A project, a provider that counts, and workers. ``lease_s``: after so long without a word a worker is dead."""

    root: Path
    postgres: PostgresServer
    assets: int
    jobs: int
    lease_s: float = 60.0
    latency: float = 0.0
    side: int = 64
    workers: list[Process] = field(default_factory=list)
    gone: list[Process] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    rendered: Process | None = None

    def __enter__(self) -> Self:
        """Begin with the provider, and a manifest."""
        text = SERVER.format(tests=str(TESTS), folder=str(self.port), latency=self.latency, side=self.side)
        self.server = subprocess.Popen(
            [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("WAN_")}
        self.env |= {"PYTHONPATH": str(TESTS.parent), "CI": "true", "HOME": str(self.root / "home")}
        self.env |= {"WAN_CONFIG": str(self.root / "config.toml")}
        most = "".join(f"[providers.{name}]\nin_flight = 1000\n" for name in PROVIDERS)
        (self.root / "config.toml").write_text(most, encoding="utf-8")
        (self.root / "config.toml").chmod(0o600)
        assert self.server.stdout
        for line in self.server.stdout:
            if line.startswith("ready"):
                break
            name, _, value = line.removeprefix("export ").strip().partition("=")
            self.env[name] = value
        self.project("queued")
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs."""
        for process in [*self.workers, *filter(None, [self.rendered])]:
            process.signal(signal.SIGKILL)
            process.wait()
        self.server.terminate()
        self.server.wait()
        assert self.server.stdout
        self.server.stdout.close()

    @property
    def port(self) -> Path:
        """Where the provider keeps what it sold."""
        return self.root / "port"

    def project(self, name: str) -> Path:
        """Make a folder with the manifest."""
        folder = self.root / name
        folder.mkdir()
        rows: list[dict[str, Any]] = [{"defaults": {"size": "1K", "output": "art/{id}{ext}"}}]
        for number in range(self.assets):
            provider = PROVIDERS[number % len(PROVIDERS)]
            rows.append({"id": f"a{number:05}", "prompt": f"picture a{number:05} of {name}", "provider": provider})
        (folder / "assets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return folder

    def start(self, *argv: str, cwd: str = "queued", state: str = "state", log: str = "log") -> Process:
        """Begin a command of wan."""
        env = {**self.env, "WAN_STATE_DIR": str(self.root / state)}
        with (self.root / log).open("ab") as out:
            return Process(subprocess.Popen(
                [sys.executable, "-c", WAN.format(lease=self.lease_s), *argv], cwd=self.root / cwd, env=env,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            ))  # fmt: skip

    def render(self) -> Process:
        """Line everything up, and wait for it."""
        return self.start("render", "assets.jsonl", "--queue", self.postgres.url, "--yes", "-q", log="render.log")

    def hire(self) -> Process:
        """Begin one more worker."""
        number = len(self.workers) + len(self.gone)
        worker = self.start(
            "worker", "--queue", self.postgres.url, "--jobs", str(self.jobs), "-q",
            state=f"state-{number}", log=f"worker-{number}.log",
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def kill(self, worker: Process) -> None:
        """Kill a worker as the kernel does that has no memory left; what it had is watched."""
        worker.signal(signal.SIGKILL)
        worker.wait()
        self.workers.remove(worker)
        self.gone.append(worker)
        for (name,) in self.ask("SELECT id FROM wan.worker WHERE pid = %s", worker.popen.pid):
            held = self.held(name)
            self.taken.append(Taken(name, held or 0, time.monotonic()))

    def drain(self) -> list[int]:
        """Ask all workers to end, and return how they did."""
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        codes = [worker.wait(60) for worker in self.workers]
        self.gone += self.workers
        self.workers = []
        return codes

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database; nothing while it is away."""
        import psycopg

        try:
            return self.postgres.ask(sql, *values)
        except psycopg.Error:
            return []

    def held(self, worker: str) -> int | None:
        """Return how many tasks that have not ended a worker has; ``None`` where that cannot be asked."""
        found = self.ask(
            "SELECT count(*) FROM wan.task WHERE worker = %s AND kind IN ('new', 'sending', 'pending', 'done')", worker
        )
        return found[0][0] if found else None

    def look(self) -> None:
        """See which of the killed workers' tasks have all been taken over."""
        for one in self.taken:
            if one.after_s is None and self.held(one.worker) == 0:
                one.after_s = time.monotonic() - one.killed_at

    def saved(self) -> int:
        """Return how many tasks have ended well."""
        found = self.ask("SELECT count(*) FROM wan.task WHERE kind = 'saved'")
        return int(found[0][0]) if found else -1

    def until(self, true: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Wait until something is so; look after the dead meanwhile."""
        until = time.monotonic() + within_s
        while not true():
            if time.monotonic() > until:
                raise TimeoutError(f"{self.saved()} saved after {within_s:.0f} s")
            self.look()
            time.sleep(0.1)

    def run(self, *, workers: int, kills: int, seed: int) -> tuple[int, float]:
        """Render on the queue, kill, and restart the database in the middle; return the exit code, and the seconds.

        What happens is spread over the run by the dice: at which number of finished assets, and to which worker.
        """
        dice = random.Random(seed)  # noqa: S311 - a test's
        moments = sorted(dice.uniform(0.05, 0.85) for _ in range(kills))
        events: list[tuple[float, bool]] = sorted([(at, True) for at in moments] + [(0.5, False)])
        began = time.monotonic()
        self.rendered = render = self.render()
        for _ in range(workers):
            self.hire()
        for at, kills_one in events:
            self.until(lambda at=at: self.saved() >= at * self.assets or render.ended())  # type: ignore[misc]
            if kills_one:
                self.kill(dice.choice(self.workers))
                self.hire()
            else:
                self.postgres.restart()
        self.until(render.ended)
        return render.wait(), time.monotonic() - began

    def bought(self, project: str = "queued") -> Counter[str]:
        """Return how often each asset was bought, as the provider has it."""
        found: Counter[str] = Counter()
        for line in (self.port / "purchases.jsonl").read_text(encoding="utf-8").splitlines():
            body = (self.port / "requests" / f"{json.loads(line)['task_id']}.json").read_text(encoding="utf-8")
            if said := re.search(rf"picture (a\d+) of {project}", body):
                found[said[1]] += 1
        return found

    def doubts(self) -> set[str]:
        """Return the assets that ``wan recover --queue`` lists."""
        out = self.root / "recover.json"
        out.unlink(missing_ok=True)
        self.start("recover", "--queue", self.postgres.url, "--json", log=out.name).wait(60)
        return set(re.findall(r"picture (a\d+) of queued", out.read_text(encoding="utf-8")))

    def whole(self, project: str = "queued") -> set[str]:
        """Return the assets whose files are as the lock says, byte for byte."""
        folder = self.root / project
        return {
            name for name, entry in Lock(folder / "assets.lock").entries.items()
            if entry.files and all(
                hashlib.sha256((folder / made.path).read_bytes()).hexdigest() == made.sha256 for made in entry.files
            )
        }  # fmt: skip

    def cpu_s(self) -> float:
        """Return the processor seconds of all workers that have ended, and of the render."""
        return sum(each.cpu_s for each in [*self.gone, *filter(None, [self.rendered])])
