"""When Python looks for cycles: asked of a process of its own, whose collector is nobody else's."""

from __future__ import annotations

import json
import subprocess
import sys

PROBE = """
import gc, json
from wan_cli import cycles
seen = [gc.get_threshold()]
cycles.seldom()
seen.append(gc.get_threshold())
cycles.as_usual()
seen.append(gc.get_threshold())
print(json.dumps(seen))
"""


def test_cycles_are_looked_for_seldom_at_the_start_and_as_usual_from_then_on() -> None:
    """The start changes how often, and what follows has it as Python does."""
    ran = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=60)
    usual, start, works = json.loads(ran.stdout)
    assert start == [100_000, *usual[1:]]
    assert works == usual
