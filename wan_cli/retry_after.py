"""The ``Retry-After`` header, strictly read (RFC 9110 section 10.2.3; reliability.md H01-H04)."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

from wan_cli.pattern import pattern

_SECONDS = pattern(r"\d{1,9}", re.ASCII)
_DATE = pattern(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)
"""An IMF-fixdate (RFC 9110 section 5.6.7), the one form that a server may send."""


def retry_after(header: str | None, date: str | None = None) -> float | None:
    """Return the seconds that ``header`` asks for, or ``None`` where it is absent or not strictly formed.

    A date is held against the answer's own ``Date`` header, not against this machine's clock. ``float()`` and
    ``isdigit()`` would also take ``inf``, ``nan`` and digits of other scripts.
    """
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    if not _DATE.fullmatch(text):
        return None
    try:
        then, now = parsedate_to_datetime(text), parsedate_to_datetime(date or "")
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
