"""What the doctor says of one thing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Literal

from wan_cli.dataclass import dataclass
from wan_cli.errors import (
    ConfigInvalid,
    KeyMissing,
    KeyOrigin,
    KeyRejected,
    NetworkError,
    SetupError,
    StateUnusable,
    WanError,
)

Level = Literal["ok", "warning", "error", "skipped"]
COLUMNS = ("check", "subject", "level", "finding", "fix")

_ERRORS: dict[str, type[SetupError]] = {
    "config": ConfigInvalid, "keys": KeyMissing, "key": ConfigInvalid, "origin": KeyOrigin, "account": KeyRejected,
    "proxy": ConfigInvalid, "tls": ConfigInvalid, "network": ConfigInvalid,
}  # fmt: skip
"""What an error-level finding means for the exit, by its check; all others are about the state folder."""
NOBODY = "every provider with a key"
"""The subject of the finding that none of them can be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``ok`` is ``None`` for what was not checked. ``fix`` is a command or a short instruction."""

    check: str
    subject: str
    ok: bool | None
    level: Level
    finding: str
    fix: str = ""

    def row(self) -> dict[str, Any]:
        """Return the flat object of the JSON document."""
        return asdict(self)


def fine(check: str, subject: str, finding: str, fix: str = "") -> Finding:
    """Return a finding of something that is well; ``fix`` is what may be done all the same."""
    return Finding(check=check, subject=subject, ok=True, level="ok", finding=finding, fix=fix)


def skipped(check: str, subject: str, finding: str, fix: str = "") -> Finding:
    """Return what to say of something that was not checked, or is not there and need not be."""
    return Finding(check=check, subject=subject, ok=None, level="skipped", finding=finding, fix=fix)


def warning(check: str, subject: str, finding: str, fix: str) -> Finding:
    """Return a finding that stops nothing."""
    return Finding(check=check, subject=subject, ok=False, level="warning", finding=finding, fix=fix)


def wrong(check: str, subject: str, finding: str, fix: str) -> Finding:
    """Return a finding that has to be mended before anything can be bought."""
    return Finding(check=check, subject=subject, ok=False, level="error", finding=finding, fix=fix)


def verdict(findings: Iterable[Finding]) -> WanError | None:
    """Return the error that the findings come to: the first that is one; ``None`` where there is none."""
    errors = [finding for finding in findings if finding.level == "error"]
    if not errors:
        return None
    first = errors[0]
    subject = "" if first.subject in first.finding else f"{first.subject}: "
    more = f" (and {len(errors) - 1} more)" if errors[1:] else ""
    if first.subject == NOBODY:  # 3 all the same: a doctor's exit code says whether purchases are stopped
        return NetworkError(f"{subject}{first.finding}{more}", hint=first.fix, exit_code=SetupError.default_exit)
    return _ERRORS.get(first.check, StateUnusable)(f"{subject}{first.finding}{more}", hint=first.fix)
