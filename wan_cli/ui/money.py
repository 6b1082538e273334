"""Amounts of money in words and in JSON."""

from __future__ import annotations

import math

from wan_cli.text import one_line


def number(value: float | None) -> float | int | None:
    """Return ``value`` as JSON shows it: whole numbers without a fraction, ``None`` for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else value


def amount(value: float | None, unit: str | None) -> str:
    """Return ``12 credits`` or ``0.2 CNY``; ``unknown`` for ``None``, never 0."""
    shown = number(value)
    if shown is None:
        return "unknown"
    digits = f"{shown:.6f}".rstrip("0").rstrip(".")
    if shown and not float(digits):
        digits = f"{shown:.3g}"
    name = "credit" if unit == "credits" and shown == 1 else one_line(unit or "", 20)
    return f"{digits} {name}".rstrip()
