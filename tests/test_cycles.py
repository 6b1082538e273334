"""When Python looks for cycles: asked of a process of its own, whose collector is nobody else's."""

from __future__ import annotations

import json
import subprocess
import sys

PROBE = """
import gc, json
before = gc.get_threshold()
from wan_cli import cycles
seen = []
def note():
    seen.append([gc.get_threshold(), gc.get_freeze_count() > 0])
cycles.many_tasks()
note()
cycles.seldom()
note()
cycles.many_tasks()
note()
frozen = gc.get_freeze_count()
more = [[] for _ in range(1000)]
cycles.many_tasks()
assert gc.get_freeze_count() <= frozen
print(json.dumps([before, *seen]))
"""


def test_cycles_are_looked_for_seldom_at_the_start_and_more_often_with_many_tasks() -> None:
    """What is there when the second task begins is never looked at again; a process that is not wan's is let alone."""
    ran = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=60)
    before, usual, start, works = json.loads(ran.stdout)
    others = before[1:]
    assert usual == [before, False]
    assert start == [[100_000, *others], False]
    assert works == [[5_000, *others], True]
