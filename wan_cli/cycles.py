"""How often Python looks for cycles of objects: hardly while a command starts, and seldom once it has many tasks."""

import gc

_START, _TASKS = 100_000, 5_000
"""New objects between two looks, instead of Python's 700 or 2,000: a command imports eighty thousand, and all stay."""


def seldom() -> None:
    """Let a command start: a look at what it imports costs 4 ms, and finds nothing."""
    gc.set_threshold(_START, *gc.get_threshold()[1:])


def many_tasks() -> None:
    """Let a command that began :func:`seldom` look again, and no more at what is there already.

    The cycles of a thousand tasks cost a fifth more memory where nobody looks, and a thirtieth of their time where
    Python does by itself (tests/benchmarks/README.md). More than once is no matter.
    """
    often, *others = gc.get_threshold()
    if often == _START:
        gc.freeze()
        gc.set_threshold(_TASKS, *others)
