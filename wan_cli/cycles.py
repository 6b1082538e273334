"""How often Python looks for cycles of objects: hardly while a command starts, as usual once it has many tasks."""

import gc

_USUAL = gc.get_threshold()
_OBJECTS = 100_000
"""New objects between two looks, instead of 700: a command imports eighty thousand, which all stay."""


def seldom() -> None:
    """Let a command start: a look at what it imports costs 4 ms, and finds nothing."""
    gc.set_threshold(_OBJECTS, *_USUAL[1:])


def as_usual() -> None:
    """Look as Python does by itself again: the cycles of a thousand tasks would cost a quarter more memory."""
    gc.set_threshold(*_USUAL)
