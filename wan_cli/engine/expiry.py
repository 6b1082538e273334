"""When the address of a result ends, and whether a refusal means that it has (reliability.md D01, D02, T09).

Only a real refusal makes a result count as gone, never a calculation; and where the address itself says that it is
good for longer, a refusal is one that may pass.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from wan_cli.pattern import pattern

if TYPE_CHECKING:
    from wan_cli.download import Expired
    from wan_cli.models import Task

_EXPIRES = pattern(r"[?&]Expires=(\d{9,11})(?:&|$)", re.ASCII)
"""When a signed address of Alibaba's object store ends, in seconds since the epoch."""
_GONE = 410
"""HTTP 410: gone for good, whatever the address says (RFC 9110 section 15.5.11)."""


def stated(url: str | None) -> float | None:
    """Return when an address ends by its own account (epoch seconds), ``None`` where it does not say."""
    found = _EXPIRES.search(url or "")
    return float(found[1]) if found else None


def end_of(task: Task, url: str | None) -> float | None:
    """Return when an address ends (epoch seconds): as it says itself, else where it is all there is of the result.

    Of a task the provider can be asked again, and says the same address once more where it is still good; an answer
    that was all has only its documented life.
    """
    said = stated(url)
    return task.expires_at if said is None and task.task_id is None else said


def is_over(ends: float | None, refusal: Expired, now: float) -> bool:
    """Tell whether a refused address has ended. ``now`` (epoch seconds) counts where the host sends no ``Date``."""
    if ends is None or refusal.status == _GONE or "expired" in refusal.head.casefold():
        return True
    with suppress(ValueError, TypeError, OverflowError):  # this machine's clock may be wrong
        now = parsedate_to_datetime(refusal.date or "").timestamp()
    return now >= ends


def until(ends: float | None, now: float) -> str:
    """Return when an address ended, or was to end, as the end of a message; nothing where that is not known."""
    if ends is None:
        return ""
    return f"; the address {'was' if ends <= now else 'should be'} good until {day(ends)}"


def day(seconds: float) -> str:
    """Return ``2026-11-21 09:00 UTC`` for seconds since the epoch."""
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g}"
