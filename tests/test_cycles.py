"""When Python looks for cycles: asked of a process of its own, whose collector is nobody else's."""

from __future__ import annotations

import json
import subprocess
import sys

PROBE = """
import gc, json
from wan_cli import cycles
usual, seen = gc.get_threshold(), []
def note():
    seen.append([gc.get_threshold()[0], gc.get_freeze_count()])
cycles.as_usual()
note()
cycles.seldom()
note()
cycles.as_usual()
note()
kept = [[] for _ in range(5000)]
cycles.as_usual()
note()
print(json.dumps([usual[0], seen]))
"""


def test_cycles_are_looked_for_seldom_at_the_start_and_as_usual_from_then_on() -> None:
    """What is there when the work begins is never looked at again; what comes after it is, whoever asks twice."""
    ran = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=60)
    usual, (first, start, works, again) = json.loads(ran.stdout)
    assert first == [usual, 0]
    assert start == [100_000, 0]
    assert works[0] == again[0] == usual
    assert works[1] > 1_000
    assert again[1] <= works[1]  # nothing more was put out of sight
