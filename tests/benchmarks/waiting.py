"""What the polling policy is worth: polls and lateness of wan's and of others, simulated; run by hand.

    python tests/benchmarks/waiting.py [TASKS]

Durations are log-normal (eight models a kind, TASKS of each, 200 where nobody says); the policy of wan starts without
any history and learns from what it sees itself. Lateness is the time from a task's end to our noticing. Below stand the
two tasks after all models became twice as fast or slow, which is after twenty.
"""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from support_waiting import (  # noqa: E402 - where the tests have it
    RIVALS_S,
    Outcome,
    Workload,
    at_polls,
    blind,
    changed,
    fixed,
    growing,
    learning,
    workload,
)

from wan_cli.models import Kind  # noqa: E402

SEED = 20261121
LEARNED = 20
ROW = "{:<34} {:>7} {:>9} {:>18}"


def _row(name: str, found: Outcome, rival: Outcome) -> str:
    """Return a line of the table: polls a task, seconds late, and the ratio to the fixed interval."""
    return ROW.format(name, f"{found.polls:.2f}", f"{found.late:.2f}", f"{found.late / rival.late:.2f}")


def _table(kind: Kind, work: Workload) -> list[str]:
    rival, ours = blind(work, fixed(RIVALS_S[kind])), learning(work, kind)
    others = {f"fixed {s:g} s": blind(work, fixed(s)) for s in (2, 5, 10, 15)}
    others["5 s x1.3, cap 10 s" if kind == "image" else "15 s x1.3, cap 30 s"] = (
        blind(work, growing(5, 1.3, 10)) if kind == "image" else blind(work, growing(15, 1.3, 30))
    )
    others["1 s x1.5, cap 10 s"] = blind(work, growing(1, 1.5, 10))
    others["fixed, as many polls as wan"] = at_polls(work, fixed, ours.polls)
    for factor in (1.1, 1.3, 1.5):
        found = at_polls(work, lambda s, factor=factor: growing(s, factor, 10 * s), ours.polls)
        others[f"x{factor}, cap 10-fold, as many polls"] = found
    yet = learning([model[:1] for model in work], kind)
    rows = [_row(name, found, rival) for name, found in others.items()]
    rows.append(_row("wan, first task of each model", yet, rival))
    rows.append(_row("wan, all tasks", ours, rival))
    return rows


def _drift(kind: Kind, factor: float) -> list[str]:
    work = changed(workload(kind, SEED, models=80, tasks=LEARNED + 2), factor, LEARNED)
    rival = blind([model[LEARNED:] for model in work], fixed(RIVALS_S[kind]))
    ours = learning(work, kind, counted_from=LEARNED)
    name = "twice as fast" if factor < 1 else "twice as slow"
    return [_row(f"{name}: fixed {RIVALS_S[kind]:g} s", rival, rival), _row(f"{name}: wan", ours, rival)]


def main(tasks: int = 200) -> None:
    """Print a table a kind."""
    for kind in RIVALS_S:
        work = workload(kind, SEED, tasks=tasks)
        print(ROW.format(kind, "polls", "late s", f"to fixed {RIVALS_S[kind]:g} s"))  # noqa: T201 - what it is for
        print("\n".join([*_table(kind, work), *_drift(kind, 0.5), *_drift(kind, 2.0), ""]))  # noqa: T201 - the same


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
