"""Lengths of time as people type them: ``90s``, ``10m``, ``1h``."""

from __future__ import annotations

from wan_cli.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(text: str, flag: str = "--timeout") -> float:
    """Read ``90s``, ``10m``, ``1h``, ``30d`` or bare seconds. Raises ``UsageError``."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    if not (number.isascii() and number.replace(".", "", 1).isdigit()):
        if flag == "--prune":
            raise UsageError(f"{flag} {text}: a time such as 12h or 30d", hint="wan status --prune 30d")
        raise UsageError(f"{flag} {text}: a time such as 90s, 10m or 1h", hint=f"use {flag} 10m")
    return float(number) * _UNITS[unit]
