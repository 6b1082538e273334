"""The ledger under load: durable transitions a second, and what a million tasks cost. Run by hand.

``python tests/benchmarks/ledger.py [ROWS [FOLDER]]`` prints Markdown tables. ROWS (1,000,000) is how many ended tasks
the large ledger has, and FOLDER where it is: a disk whose syncs are real, for they are measured.

``python tests/benchmarks/ledger.py --url postgresql://…`` measures the ledger of several machines instead, as it is
found there: its tasks stay. ``--url own`` starts a server of its own, with syncs, in a folder of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from wan_cli.engine.writing import Writing
from wan_cli.errors import UsageError
from wan_cli.ledger import Ledger, schema
from wan_cli.ledger.tasks import ALPHABET
from wan_cli.ledger.turns import Ask
from wan_cli.models import Done, File, Job, Output, Pending, Saved, Sending, Target, Task
from wan_cli.record import Document, to_document

RUNS = 3
TASKS = 1_000
TRANSITIONS = 6
"""New, sending, pending, done, done with its file's hash, saved: what the engine saves of a task that goes well."""
SAID = "a paper crane on a wooden table, lit from the side by the low sun of an autumn afternoon, very detailed"


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def a_task(name: str, at: float) -> Task:
    """Return a task that was just planned."""
    job = Job(verb="generate", provider="rivya", model="wan2.7-image", prompt=SAID)
    return Task(
        id=name, provider="rivya", origin="https://rivya.ai", job=job, provider_model="wan2.7-image",
        token=f"wan-{name}", created_at=at, target=Target(template=f"/home/someone/pictures/{name}.png"),
    )  # fmt: skip


def states(task: Task) -> list[Task]:
    """Return the task in each state that it passes through after the first."""
    task_id = f"task_{task.id}"
    file = File(index=1, path=f"/home/someone/pictures/{task.id}.png", bytes=1_048_576, sha256=task.id.ljust(64, "0"),
                mime="image/png", width=1024, height=1024)  # fmt: skip
    done = Done(task_id=task_id, outputs=(Output(url=f"https://cdn.example/{task_id}.png"),))
    known = replace(task, task_id=task_id, charged="yes", submitted_at=task.created_at)
    return [
        replace(task, state=Sending(at=task.created_at), charged="unknown"),
        replace(known, state=Pending(task_id=task_id, ref={"task_id": task_id})),
        replace(known, state=done, finished_at=task.created_at + 20),
        replace(known, state=replace(done, files=(file,)), finished_at=task.created_at + 20),
        replace(known, state=Saved(files=(file,)), finished_at=task.created_at + 20),
    ]


def name_of(number: int) -> str:
    """Return an id; those of neighbours are far apart, as random ones are."""
    mixed, name = number * 387_420_489 % 32**6, ""
    for _ in range(6):
        mixed, digit = divmod(mixed, 32)
        name += ALPHABET[digit]
    return name


def large(folder: Path, rows: int) -> None:
    """Make a ledger with that many saved tasks, by SQL of its own: through the ledger it would take an hour."""
    folder.mkdir(mode=0o700)
    model = Document(to_document(states(a_task("zzzzzz", 1.7e9))[-1])).text

    def fill(db: sqlite3.Connection) -> None:
        db.executemany(
            "INSERT INTO task VALUES (?, 'saved', 'rivya', ?, NULL, 1, 'yes', ?, ?, ?)",
            (
                (name := name_of(number), f"task_{name}", 1.7e9 + number, 1.7e9 + number + 20,
                 model.replace("zzzzzz", name))
                for number in range(rows)
            ),
        )  # fmt: skip

    schema.make(folder / "ledger.db", fill)


async def moved(ledger: Ledger, tasks: list[Task], in_flight: int) -> None:
    """Take tasks through all that the engine writes of them, so many at a time."""
    writing, gate = Writing(lambda: ledger), asyncio.Semaphore(in_flight)

    async def one(task: Task) -> None:
        async with gate:
            later = states(task)
            await writing.do(ledger.save, task)
            await writing.do(ledger.claim, task.id)
            await writing.do(ledger.save, later[0])
            await writing.do(ledger.record_attempt, task.id, 1, body=SAID, body_sha256="0" * 64, at=1.0)
            await writing.do(ledger.record_answer, task.id, 1, verdict="answered", http_status=200, raw=b"{}")
            for state in later[1:]:
                await writing.do(ledger.save, state)
            await writing.do(ledger.release, task.id)

    await asyncio.gather(*map(one, tasks))


def one_by_one(ledger: Ledger, tasks: list[Task]) -> None:
    """Do the same with a transaction for each: what the peer of a group commit is."""
    for task in tasks:
        ledger.save(task)
        ledger.claim(task.id)
        first, *later = states(task)
        ledger.save(first)
        ledger.record_attempt(task.id, 1, body=SAID, body_sha256="0" * 64, at=1.0)
        ledger.record_answer(task.id, 1, verdict="answered", http_status=200, raw=b"{}")
        for state in later:
            ledger.save(state)
        ledger.release(task.id)


def bare(path: Path, count: int) -> float:
    """Return how many rows a second SQLite alone takes, with a durable transaction for each."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, document TEXT)")
    text = json.dumps({"document": "x" * 1_000})
    begun = time.perf_counter()
    for _ in range(count):
        db.execute("INSERT INTO t (document) VALUES (?)", (text,))
    taken = time.perf_counter() - begun
    db.close()
    return count / taken


def measured(work: Callable[[], object], count: int) -> tuple[float, float]:
    """Return transitions a second, and processor milliseconds a task."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (TRANSITIONS * count / (time.perf_counter() - wall), (time.process_time() - cpu) / count * 1_000)


def row(what: str, rows: int, runs: list[tuple[float, float]]) -> None:
    """Print the median and the spread of several runs."""
    rates, cpus = zip(*runs, strict=True)
    say(f"| {what} | {rows:,} | {statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) "
          f"| {statistics.median(cpus):.2f} |")  # fmt: skip


def status(state: Path) -> list[float]:
    """Return the wall-clock milliseconds of ``wan status`` on a ledger, several times."""
    home = tempfile.mkdtemp()
    env = {**os.environ, "WAN_STATE_DIR": str(state), "HOME": home, "NO_COLOR": "1"}
    taken = []
    for _ in range(2 * RUNS + 1):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "wan_cli", "status"], env=env, check=True, capture_output=True)
        taken.append((time.perf_counter() - begun) * 1_000)
    shutil.rmtree(home)
    return taken[1:]


def questions(ledger: Ledger, rows: int) -> None:
    """Print how long the ledger's questions take."""
    asked: dict[str, Callable[[], object]] = {
        "recent(50)": lambda: ledger.recent(50), "open_tasks()": ledger.open_tasks, "concerns()": ledger.concerns,
        "get(PREFIX)": lambda: ledger.get(name_of(7)[:5]) if rows else None,
        "get(ID)": lambda: ledger.get(name_of(7)) if rows else None,
        "lost_until(NOW)": lambda: ledger.lost_until(1.0), "unknown_count()": ledger.unknown_count,
        "find_file(SHA256)": lambda: ledger.find_file("f" * 64), "new_id()": ledger.new_id,
    }  # fmt: skip
    for name, ask in asked.items():
        taken = []
        for _ in range(RUNS):
            begun = time.perf_counter()
            with contextlib.suppress(UsageError):  # a prefix that fits several
                ask()
            taken.append((time.perf_counter() - begun) * 1_000)
        say(f"| `{name}` | {rows:,} | {statistics.median(taken):.2f} |")


def shared(url: str) -> None:
    """Measure a ledger in PostgreSQL: transitions, and turns of the limits that all workers share."""
    say("| writing | transitions a second | processor ms a task |\n|---|---:|---:|")
    with Ledger.open_url(url) as ledger:
        for in_flight in (0, 1, 64, 256):
            count, runs = 50 if in_flight < 2 else TASKS, []
            for _ in range(RUNS):
                tasks = [a_task(f"n{os.urandom(5).hex()}", time.time()) for _ in range(count)]
                work = (
                    partial(asyncio.run, moved(ledger, tasks, in_flight))
                    if in_flight
                    else partial(one_by_one, ledger, tasks)
                )
                runs.append(measured(work, count))
            rates, cpus = zip(*runs, strict=True)
            say(f"| {f'grouped, {in_flight} in flight' if in_flight else 'a transaction each'} "
                f"| {statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) "
                f"| {statistics.median(cpus):.2f} |")  # fmt: skip
        for many in (1, 100):
            begun, held = time.perf_counter(), tuple[int, ...]()
            for _ in range(200):
                ask = Ask(wanted={"b": many}, room=many, held=held, most=200, accepted=len(held))
                held = tuple(turn.number for turn in ledger.turns("rivya", "benchmark", ask).turns)
                ledger.turns("rivya", "benchmark", Ask(most=200))
            rate = 200 * many / (time.perf_counter() - begun)
            say(f"\nturns taken {many} at a time, and given back: {rate:,.0f} a second")


def on_a_server(url: str) -> None:
    """Measure there, or on a server of our own."""
    if url != "own":
        shared(url)
        return
    sys.path.insert(0, str(Path(__file__).parent.parent))
    import support_postgres

    support_postgres.FAST = ()
    with support_postgres.running() as server:
        shared(server.url)


def main(rows: int = 1_000_000, folder: str | None = None) -> None:
    """Measure an empty ledger and a large one."""
    with tempfile.TemporaryDirectory(dir=folder or "/var/tmp") as place:
        root = Path(place)
        begun = time.perf_counter()
        large(root / "large", rows)
        say(f"{rows:,} tasks made in {time.perf_counter() - begun:.0f} s, "
              f"{(root / 'large' / 'ledger.db').stat().st_size / 2**20:,.0f} MiB\n")  # fmt: skip
        say("| writing | tasks there | transitions a second | processor ms a task |\n|---|---:|---:|---:|")
        rates = [bare(root / f"bare{number}.db", 300) for number in range(RUNS)]
        say(f"| SQLite alone, an INSERT each | 0 | {statistics.median(rates):,.0f} | |")
        serial = 0
        for name, there in (("empty", 0), ("large", rows)):
            with Ledger.open(root / name) as ledger:
                for in_flight in (0, 1, 16, 64, 256):
                    count = 50 if in_flight < 2 else TASKS
                    runs = []
                    for _ in range(RUNS):
                        tasks = [a_task(f"n{serial + number:07d}", time.time()) for number in range(count)]
                        serial += count
                        if in_flight:
                            runs.append(measured(partial(asyncio.run, moved(ledger, tasks, in_flight)), count))
                        else:
                            runs.append(measured(partial(one_by_one, ledger, tasks), count))
                    row(f"grouped, {in_flight} in flight" if in_flight else "a transaction each", there, runs)
        say("\n| question | tasks there | ms |\n|---|---:|---:|")
        for name, there in (("empty", 0), ("large", rows)):
            with Ledger.open(root / name) as ledger:
                questions(ledger, there)
        say("\n| `wan status` | ms |\n|---|---:|")
        (root / "none").mkdir(mode=0o700)
        for name in ("none", "large"):
            taken = status(root / name)
            say(f"| {name} | {statistics.median(taken):.0f} ({min(taken):.0f} to {max(taken):.0f}) |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--url"]:
        on_a_server(sys.argv[2])
        sys.exit()
    main(*(int(word) for word in sys.argv[1:2]), *sys.argv[2:3])
