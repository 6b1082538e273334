"""The state folder, the ledger in it, and what earlier runs left behind."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.cli.doctor.finding import Finding, fine, skipped, warning, wrong
from wan_cli.ledger.folder import aside
from wan_cli.text import one_line
from wan_cli.ui.document import timestamp

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.ledger.checkup import Checkup

MOUNTS = Path("/proc/mounts")
NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
     "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs", "vboxsf"}
)  # fmt: skip
"""File systems on which locks and shared memory do not hold between machines (reliability.md S09)."""
LITTLE, TOO_LITTLE = 100 * 2**20, 2**20
"""Bytes: below the first a few pictures fill the disk, below the second the ledger itself may not fit."""
SHOWN = 5
"""Names that a finding lists."""


def folder(app: App, place: Path) -> Iterator[Finding]:
    """Look at the state folder: whose it is, who can use it, what it is on and how much room is there."""
    subject, quoted = str(place), shlex.quote(str(place))
    there = next((path for path in (place, *place.parents) if path.exists()), Path("/"))
    if there != place:
        if why := _refuses(there):
            yield wrong("state", subject, f"it is not there, and {there} takes no new folder: {why}", aside(place))
        else:
            yield skipped("state", subject, "it is not there yet; the first purchase makes it")
    elif not place.is_dir():
        yield wrong("state", subject, "it is not a folder", aside(place))
    else:
        yield _access(place, subject, quoted)
    yield from _disk(there, subject)
    del app


def _refuses(there: Path) -> str:
    """Return why no folder can be made in ``there``, by making one and removing it; permissions do not tell it all."""
    if not there.is_dir():
        return "it is not a folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return "nothing can be written there"
    try:
        Path(tempfile.mkdtemp(prefix=".wan-doctor-", dir=there)).rmdir()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _unwritable(seen: Checkup) -> list[Path]:
    """Return the files of the ledger that a purchase could not be written to."""
    return [path for path in (seen.database, seen.journal) if path.exists() and not os.access(path, os.W_OK)]


def _access(place: Path, subject: str, quoted: str) -> Finding:
    found = place.stat()
    if os.name == "posix" and found.st_uid != os.geteuid():
        return wrong(
            "state", subject, f"it belongs to another user (uid {found.st_uid})", f"sudo chown {os.geteuid()} {quoted}"
        )
    if os.name == "posix" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return wrong(
            "state",
            subject,
            f"other users can write to it (mode {stat.S_IMODE(found.st_mode):04o})",
            "wan doctor --repair",
        )
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        return wrong("state", subject, "nothing can be written there", f"chmod 700 {quoted}")
    open_files = [path.name for path in _files(place, "*") if path.stat().st_mode & 0o077 and os.name == "posix"]
    if found.st_mode & 0o077 and os.name == "posix":
        open_files.insert(0, "the folder itself")
    if open_files:
        return warning("state", subject, f"other users can read {_few(open_files)}", "wan doctor --repair")
    return fine("state", subject, "it is yours alone and can be written")


def _disk(there: Path, subject: str) -> Iterator[Finding]:
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        yield warning("disk", subject, f"free space is not known: {error.strerror}", "df")
    else:
        said = f"{free / 2**20:,.0f} MiB are free"
        if free < LITTLE:
            yield (wrong if free < TOO_LITTLE else warning)("disk", subject, said, f"free space on the disk of {there}")
        else:
            yield fine("disk", subject, said)
    if (kind := _file_system(there)) in NETWORK:
        yield warning(
            "disk", subject, f"it is on a network file system ({kind}), where locks may not hold between machines",
            "set WAN_STATE_DIR to a local folder",
        )  # fmt: skip


def _file_system(path: Path) -> str:
    """Return the type of the file system that ``path`` is on, where the system tells (Linux)."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = Path(), ""
    real = path.resolve()
    for words in map(str.split, lines):
        if len(words) > 2:  # noqa: PLR2004 - device, place, type
            mount = Path(words[1].replace("\\040", " "))
            if real.is_relative_to(mount) and len(mount.parts) >= len(best.parts):
                best, kind = mount, words[2]
    return kind


def ledger(app: App, seen: Checkup) -> Iterator[Finding]:
    """Tell what the check of the two files found."""
    fix = f"wan doctor --repair{' --sandbox' if app.sandbox else ''}"
    subject = str(seen.database)
    if seen.condition == "absent":
        yield skipped("ledger", subject, "there is none yet")
    elif seen.error is not None:
        damaged = seen.condition == "damaged"
        yield wrong("ledger", subject, one_line(seen.error.message), fix if damaged else seen.error.hint)
    elif shut := _unwritable(seen):
        paths = " ".join(shlex.quote(str(path)) for path in shut)
        yield wrong("ledger", subject, f"it can be read, and nothing can be written to {paths}", f"chmod 600 {paths}")
    else:
        late = "; its last change was cut off, which the next command mends" if seen.late else ""
        yield fine("ledger", subject, f"no damage; tasks: {len(seen.tasks)}{late}")
    if seen.strays:
        yield wrong("ledger", subject, f"database and journal disagree about {_few(list(seen.strays))}", fix)
    journal = str(seen.journal)
    if seen.unread:
        yield wrong("journal", journal, f"it cannot be read: {seen.unread}", f"chmod 600 {shlex.quote(journal)}")
    elif seen.bad_lines:
        lines = _few([str(number) for number in seen.bad_lines])
        whole = "; the database is whole" if seen.condition == "whole" else ""
        yield warning("journal", journal, f"nobody can read line {lines}{whole}", fix)
    elif seen.condition != "absent":
        known = seen.journal.exists()
        yield fine("journal", journal, "it can be read" if known else "it is gone; the next command writes it again")


def leftovers(app: App, place: Path) -> Iterator[Finding]:
    """Name what earlier runs left: crash files, and purchases that the ledger could not take."""
    crashes = _files(place, "crash-*.txt")
    if crashes:
        newest = max(crashes, key=lambda path: path.stat().st_mtime)
        when = timestamp(newest.stat().st_mtime)
        yield warning(
            "crashes",
            str(place),
            f"crash files: {len(crashes)}, the newest of {when}",
            f"report {newest}, then delete it",
        )
    aside = _files(place, "ledger.corrupt-*.db") + _files(place, "journal.damaged-*.jsonl")
    if aside:
        yield fine(
            "ledger",
            str(place),
            f"kept from earlier repairs: {_few([path.name for path in aside])}",
            "delete them when all is well",
        )
    for path in _files(app.cwd, "wan-recovery-*.json"):
        sandbox = " --sandbox" if app.sandbox else ""
        yield warning(
            "recovery", str(path), "a purchase that the ledger could not take when it was made",
            f"wan recover --import {shlex.quote(str(path))}{sandbox}",
        )  # fmt: skip


def _files(place: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in place.glob(pattern) if stat.S_ISREG(path.lstat().st_mode))
    except OSError:
        return []


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
