"""Which options of ``wan render`` go together: one that would be dropped in silence is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wan_cli.errors import UsageError
from wan_cli.pattern import pattern
from wan_cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wan_cli.cli.commands.render import Rendering


_SHARD = pattern(r"([1-9]\d{0,3})/([1-9]\d{0,3})", re.ASCII)


def check_flags(options: Rendering) -> None:
    """Refuse options that exclude each other. Raises ``UsageError``."""
    for why, hint in _faults(options):
        raise UsageError(why, hint=hint)


def _faults(options: Rendering) -> Iterator[tuple[str, str]]:
    for one, other in (("json", "jsonl"), ("plan", "check"), ("force", "again")):
        if getattr(options, one) and getattr(options, other):
            yield f"--{one} and --{other} exclude each other", f"leave --{other} out"
    tidy = next((name for name in ("accept", "prune") if getattr(options, name)), None)
    anew = next((name for name in ("force", "again") if getattr(options, name)), None)
    if tidy and (options.plan or options.check):
        yield f"--{tidy} changes the lock; --plan and --check change nothing", f"leave --{tidy} out"
    if anew and (tidy or options.check):
        yield f"--{anew} goes with a run or --plan", f"leave --{anew} out"
    if options.report and tidy:
        yield "--report goes with a run, --plan or --check", "leave --report out"
    if options.shard and options.prune:
        yield "--prune looks at the whole lock; --shard is for a run", "leave --shard out"
    if options.check and not options.wait:
        yield "--no-wait goes with a run", "leave --no-wait out"
    if options.inputs_only and not options.check:
        yield "--inputs-only goes with --check", "add --check"
    if options.count is not None and not options.again:
        yield "-n goes with --again: takes to choose from", "add --again"


def queue_faults(options: Rendering) -> Iterator[tuple[str, str]]:
    """Say what a queue cannot do, and what to do instead."""
    if options.shard:
        yield "--shard divides what a queue's workers share anyway; they exclude each other", "leave --shard out"
    if options.count is not None:
        yield "-n makes takes to choose from on this machine; --queue does not", "leave --queue out"


def shard_of(text: str | None) -> tuple[int, int] | None:
    """Return which part of how many is meant, counted from 1. Raises ``UsageError``."""
    if text is None:
        return None
    found = _SHARD.fullmatch(text)
    if not found or int(found[1]) > int(found[2]):
        raise UsageError(
            f"--shard {one_line(text)}: the part, counted from 1, and the number of parts, such as 1/4",
            hint="--shard 1/4 is the first of four and 4/4 the last: add 1 to an index that is counted from 0",
        )
    return int(found[1]), int(found[2])
