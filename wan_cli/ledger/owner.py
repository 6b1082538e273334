"""Which process owns a task, and whether that process is still there (reliability.md P01 to P05, S07)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from wan_cli.dataclass import dataclass

PROC = Path("/proc")

LEASE_S = 3_600.0
"""How long an owner that cannot be seen from here is taken to be alive: the longest default wait (T04)."""

_STATE_FIELD = 0
_START_FIELD = 19
"""Fields 3 and 22 of ``/proc/PID/stat``, counted behind the process's name (proc_pid_stat(5))."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: its number, its start in clock ticks since boot, the boot, and the namespace of the number.

    What the system does not tell is the empty string.
    """

    pid: int
    started: str
    boot: str
    space: str


def this_process(boot_id: str | None = None) -> Owner:
    """Describe the calling process; ``boot_id`` replaces the system's own."""
    pid = os.getpid()
    stat = _stat(pid)
    return Owner(pid, stat[_START_FIELD] if stat else "", _boot_id() if boot_id is None else boot_id, _space())


def is_alive(owner: Owner, here: Owner, age_s: float) -> bool:
    """Say whether ``owner``, last heard of ``age_s`` seconds ago, still runs, as far as ``here`` can see.

    A number means nothing after a reboot or in another container. There, and where the system tells nothing of other
    processes, an owner counts as alive for :data:`LEASE_S`.
    """
    if owner.boot != here.boot:
        return False
    if owner.space != here.space:
        return age_s < LEASE_S
    if here.started:
        stat = _stat(owner.pid)
        return stat is not None and stat[_STATE_FIELD] not in "ZX" and stat[_START_FIELD] == owner.started
    if sys.platform == "win32":
        return age_s < LEASE_S  # there os.kill(pid, 0) is no question but Ctrl-C
    return _answers(owner.pid)


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stat(pid: int) -> list[str] | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name is in parentheses and may itself hold spaces and parentheses.
    return text.rpartition(")")[2].split()


def _boot_id() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _space() -> str:
    try:
        return str((PROC / "self/ns/pid").readlink())
    except OSError:
        return ""
