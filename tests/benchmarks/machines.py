"""Ten thousand assets over four workers that are killed at random, with the database restarted in the middle; by hand.

    python tests/benchmarks/machines.py [--assets N] [--workers N] [--jobs N] [--kills N] [--seed N] [--lease SECONDS]

Everything is a process of its own on this machine: PostgreSQL (with its syncs), the sandbox, which counts what it
sells, ``wan render --queue``, the workers; and before them ``wan render`` alone, over as many assets. What the sandbox
sold is held against what ``wan recover --queue`` lists, asset by asset. It fails where one was bought twice, or is
neither there nor listed.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import support_postgres
from support_machines import Farm, Taken


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def alone(farm: Farm) -> tuple[float, float]:
    """Render as many assets with one process; return its seconds of the processor, and those that passed."""
    farm.project("alone")
    began = time.monotonic()
    process = farm.start(
        "render",
        "assets.jsonl",
        "--yes",
        "-q",
        "--jobs",
        str(farm.jobs),
        cwd="alone",
        log="alone.log",
        state="alone-state",
    )
    code = process.wait()
    took = time.monotonic() - began
    if code or len(farm.whole("alone")) != farm.assets:
        sys.exit((farm.root / "alone.log").read_text(encoding="utf-8")[-3_000:])
    return process.cpu_s, took


def took_over(taken: list[Taken]) -> str:
    """Say how long the tasks of each worker that was killed were nobody's."""
    return ", ".join("never" if one.after_s is None else f"{one.after_s:.0f} ({one.held})" for one in taken)


def main() -> None:
    """Measure, and print a table."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, usual in (("assets", 10_000), ("workers", 4), ("jobs", 64), ("kills", 12), ("seed", 1)):
        asked.add_argument(f"--{name}", type=int, default=usual)
    asked.add_argument("--lease", type=float, default=60.0)
    asked.add_argument("--latency", type=float, default=0.3)
    how = asked.parse_args()
    support_postgres.FAST = ("max_connections=100",)
    with tempfile.TemporaryDirectory() as place, support_postgres.running() as postgres:
        farm = Farm(Path(place), postgres, assets=how.assets, jobs=how.jobs, lease_s=how.lease, latency=how.latency)
        with farm:
            single_cpu, single_wall = alone(farm)
            say(f"alone: {single_cpu:.1f} s of the processor, {single_wall:.1f} s")
            code, wall = farm.run(workers=how.workers, kills=how.kills, seed=how.seed)
            farm.until(lambda: all(one.after_s is not None for one in farm.taken), 3 * how.lease)
            drained = farm.drain()
            bought, doubts, whole = farm.bought(), farm.doubts(), farm.whole()
        cpu = farm.cpu_s()
    everything = {f"a{number:05}" for number in range(how.assets)}
    twice = sorted(name for name, count in bought.items() if count > 1)
    silent = sorted(name for name in everything - doubts if name not in whole or bought[name] != 1)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    rest = used.ru_utime + used.ru_stime - cpu - single_cpu
    say("| what | |\n|---|---:|")
    for what, value in {
        "assets, workers, tasks in hand of each": f"{how.assets:,}, {how.workers}, {how.jobs}",
        "workers killed, database restarted": f"{len(farm.gone) - len(drained)}, 1",
        "there, with the right bytes, bought once": f"{len(whole & everything):,}",
        "listed as in doubt (of which were bought)": f"{len(doubts)} ({sum(bought[name] for name in doubts)})",
        "bought twice": f"{len(twice)}",
        "neither there nor listed": f"{len(silent)}",
        "exit codes: render, workers": f"{code}, {drained}",
        "seconds from a kill until all of its tasks had others (tasks)": took_over(farm.taken),
        "wall-clock s, and alone": f"{wall:.0f}, {single_wall:.0f}",
        "processor s, and alone": f"{cpu:.1f}, {single_cpu:.1f}",
        "processor ms an asset, and alone": f"{cpu / how.assets * 1e3:.1f}, {single_cpu / how.assets * 1e3:.1f}",
        "to the engine of one process, per core": f"{cpu / single_cpu:.2f}",
        "processor s of PostgreSQL, sandbox and the rest": f"{rest:.1f}",
    }.items():
        say(f"| {what} | {value} |")
    if twice or silent or any(drained):
        sys.exit(f"bought twice: {twice[:9]}; neither there nor listed: {silent[:9]}; workers ended with {drained}")


if __name__ == "__main__":
    main()
