"""``wan doctor --repair``: a fresh database from the journal and from what can be read of the old one (S10).

Nothing that was there is altered or removed: the old database is moved aside, and the journal only grows. A task that
was being sent is still being sent afterwards, so that it is never sent again without a key.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wan_cli.dataclass import dataclass, field, replace
from wan_cli.errors import StateUnusable
from wan_cli.ledger import folder, schema, tasks
from wan_cli.ledger.checkup import Checkup, check, differing
from wan_cli.ledger.faults import REPAIR, translated
from wan_cli.ledger.holders import holders
from wan_cli.ledger.journal import Entry, Journal, Story, replay
from wan_cli.ledger.owner import Owner, is_alive, this_process
from wan_cli.ledger.salvage import Salvage, salvage
from wan_cli.ledger.storage import Storage

_KNOWN = ("new", "sending", "unknown", "pending", "done")
"""States by how much they know of a purchase; all others know more. Of two records the one that knows more is safe."""

LOCK = "repair.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What was done. ``kept`` are the old files where they are now; ``tasks`` counts what the ledger has again.

    ``salvaged`` are the ids that only the old database had. ``doubtful`` were only planned as far as can be read, and
    are taken for sent, because damaged lines follow. ``bad_lines`` of the journal, from 1, nobody can read, nor can all
    of the database that would tell the same.
    ``evidence_lost`` says that requests and answers of some attempts may be missing.
    """

    kept: tuple[Path, ...]
    tasks: int
    salvaged: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    bad_lines: tuple[int, ...] = ()
    evidence_lost: bool = False


@dataclass(slots=True)
class _Merged:
    """Entries by the task's id, and which of them are not in the journal as they are."""

    entries: dict[str, Entry] = field(default_factory=dict)
    added: dict[str, Entry] = field(default_factory=dict)
    salvaged: list[str] = field(default_factory=list)

    def put(self, name: str, doc: Mapping[str, Any], at: float) -> None:
        self.entries[name] = self.added[name] = {"at": at, "task": doc}


def repair(place: Path, clock: Callable[[], float] = time.time) -> Repair | None:
    """Mend the ledger in ``place``; ``None`` where nothing is damaged. ``clock`` gives seconds since the epoch.

    Raises ``StateUnusable`` for a ledger that is newer, another program's, or out of reach, and while another process
    has it open.
    """
    database = place / "ledger.db"
    if not place.is_dir():
        return None
    with translated(database, place / "journal.jsonl", "repaired"):
        folder.inspect(database)
        folder.inspect(place / "journal.jsonl")
        if not _ailing(check(place)):
            return None
        with _alone(place):
            seen = check(place)  # another repair may have been first
            if seen.condition == "damaged":
                return _both(_rebuilt(seen, place, clock()), place, clock)
            return _agreed(place, clock) if _ailing(seen) else None


def _both(done: Repair, place: Path, clock: Callable[[], float]) -> Repair:
    """Mend the journal too, now that the database is whole: one repair is enough."""
    if not _ailing(check(place)):
        return done
    also = _agreed(place, clock)
    return replace(done, kept=(*done.kept, *also.kept), tasks=also.tasks)


def _ailing(seen: Checkup) -> bool:
    """Say whether there is something to repair. Raises ``StateUnusable`` for what a repair must not touch."""
    if seen.error is not None and seen.condition != "damaged":
        raise seen.error
    return seen.condition == "damaged" or bool(seen.strays or seen.bad_lines)


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Hold off other repairs, and refuse while a process has the ledger open."""
    lock = os.open(place / LOCK, os.O_RDWR | os.O_CREAT | folder.NO_FOLLOW, folder.PRIVATE_FILE)
    try:
        with contextlib.suppress(ImportError):  # Windows does not move a file that is open, so no repair meets another
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        _refuse_company(holders(place / "ledger.db"))
        yield
        (place / LOCK).unlink(missing_ok=True)
    finally:
        os.close(lock)


def _refuse_company(pids: list[int]) -> None:
    if pids:
        names = f"process {pids[0]} has" if len(pids) == 1 else f"processes {', '.join(map(str, pids))} have"
        msg = f"the ledger is not repaired while {names} it open"
        raise StateUnusable(msg, hint=f"wait until that has ended, then {REPAIR}")


def _rebuilt(seen: Checkup, place: Path, now: float) -> Repair:
    """Make a new database and put it in the place of a damaged one, or of none."""
    database = seen.database
    source, aside = _source(place, now)
    old = salvage(source, schema.log_of(database))
    _refuse_owners(old, now)
    story, size = _told(seen)
    known = old.noted is not None and size >= old.noted and not story.damaged
    merged = merge(story, old.docs, trusted=known, now=now)
    doubtful = _doubt(story, merged, now)
    journal = Journal(seen.journal)
    if merged.added or not seen.journal.exists():
        journal.append(merged.added.values())
    kept = _move(database, aside)

    def fill(db: sqlite3.Connection) -> None:
        for entry in sorted(merged.entries.values(), key=lambda entry: float(entry["task"]["created_at"])):
            tasks.insert(db, entry["task"], entry["at"])
        _insert(db, "attempt", [row for row in old.attempts if row[0] in merged.entries])
        _insert(db, "upload", old.uploads)
        db.execute("UPDATE journal SET size = ?", (journal.size(),))

    if not schema.make(database, fill):
        raise StateUnusable(f"{database} was made by another process meanwhile", hint=REPAIR)
    return Repair(
        kept=kept, tasks=len(merged.entries), salvaged=tuple(merged.salvaged), doubtful=doubtful,
        bad_lines=() if "task" in old.whole else tuple(story.damaged),
        evidence_lost=bool(merged.entries) and "attempt" not in old.whole,
    )  # fmt: skip


def _source(place: Path, now: float) -> tuple[Path, Path]:
    """Return the database to read, and the name under which what lies beside ``ledger.db`` is kept.

    Where a repair was cut off after it had moved the old database, that is the one to read.
    """
    database, aside = place / "ledger.db", _free(place, "ledger.corrupt", _stamp(now), ".db")
    if database.exists():
        return database, aside
    moved = sorted(place.glob("ledger.corrupt-*.db"), key=lambda path: path.stat().st_mtime)
    return (moved[-1] if moved else database), aside


def _stamp(now: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(max(now, 0.0)))


def _free(place: Path, stem: str, stamp: str, suffix: str) -> Path:
    """Return a name that nothing has, nor has it anything beside it."""
    names = (f"{stem}-{stamp}{f'-{number}' if number else ''}{suffix}" for number in itertools.count())
    return place / next(name for name in names if not any(place.glob(f"{name}*")))


def _told(seen: Checkup) -> tuple[Story, int]:
    if not seen.journal.exists():
        return Story(), 0
    return replay(seen.journal), seen.journal.stat().st_size


def merge(story: Story, docs: Mapping[str, Any], *, trusted: bool, now: float) -> _Merged:
    """Lay the documents of a database beside the last entries of a journal.

    The journal has the last word where it is ``trusted``: it is complete, and was written before each commit.
    Otherwise the record wins that knows more of a purchase. What was forgotten stays forgotten.
    """
    merged = _Merged(dict(story.last))
    for name, doc in docs.items():
        told = story.last.get(name)
        if told is None and name not in story.forgotten:
            merged.put(name, doc, now)
            merged.salvaged.append(name)
        elif told is not None and not trusted and _knows(doc) > _knows(told["task"]):
            merged.put(name, doc, now)
    return merged


def _knows(doc: Mapping[str, Any]) -> int:
    kind = doc["state"]["kind"]
    return _KNOWN.index(kind) if kind in _KNOWN else len(_KNOWN)


def _doubt(story: Story, merged: _Merged, now: float) -> tuple[str, ...]:
    """Take for sent what was planned before a line that nobody can read: that line may have said so."""
    names = sorted(
        name for name in story.doubtful if name in merged.entries and _knows(merged.entries[name]["task"]) == 0
    )
    for name in names:
        doc = merged.entries[name]["task"]
        sending = {"kind": "sending", "at": doc["created_at"], "attempts": 1}
        merged.put(name, {**doc, "state": sending, "charged": "unknown", "charge_basis": "assumed"}, now)
    return tuple(names)


def _move(database: Path, aside: Path) -> tuple[Path, ...]:
    """Move the database away first: without it, nobody opens what is beside it."""
    kept = []
    for suffix in ("", "-wal", "-shm"):
        old, new = database.with_name(f"{database.name}{suffix}"), aside.with_name(f"{aside.name}{suffix}")
        if old.exists():
            old.rename(new)
            kept.append(new)
    folder.sync(database.parent)
    return tuple(kept)


def _insert(db: sqlite3.Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    for row in rows:
        # A damaged row may break a rule of its table; the others are as good as before.
        with contextlib.suppress(sqlite3.IntegrityError):
            db.execute(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608 - ours


def _refuse_owners(old: Salvage, now: float) -> None:
    """Refuse while a process that owns one of the tasks is alive, where the system does not tell who has it open."""
    here, found = this_process(), set()
    for pid, started, boot, space, at in old.claims:
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            owner = Owner(int(pid), started, boot, space)
            if owner != here and is_alive(owner, here, now - float(at)):
                found.add(owner.pid)
    _refuse_company(sorted(found))


def _agreed(place: Path, clock: Callable[[], float]) -> Repair:
    """Bring a whole database and its journal to say the same; copies of what is changed are kept."""
    storage = Storage(place, clock)
    journal, stamp = storage.journal.path, _stamp(clock())
    with contextlib.closing(storage.db), storage.writing() as db:
        story = replay(journal)
        docs = {doc["id"]: doc for doc in map(json.loads, tasks.documents(db, ""))}
        changed = [story.last[name] for name in differing(story, docs) if not (story.damaged and name in docs)]
        kept = [_free(place, "journal.damaged", stamp, ".jsonl")]
        _private_copy(kept[0], lambda path: shutil.copyfile(journal, path))
        if changed:
            kept.append(_free(place, "ledger.corrupt", stamp, ".db"))
            _private_copy(kept[1], lambda path: _backup(storage.path, path))
        for entry in changed:
            tasks.upsert(db, entry["task"], entry["at"])
        storage.journal.rewrite(storage.snapshot())
        count = int(db.execute("SELECT count(*) FROM task").fetchone()[0])
    return Repair(kept=tuple(kept), tasks=count)  # the database was whole, so the journal's lines are no loss


def _private_copy(path: Path, write: Callable[[Path], object]) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | folder.NO_FOLLOW, folder.PRIVATE_FILE))
    write(path)


def _backup(database: Path, copy: Path) -> None:
    """Copy a database as it was at its last commit."""
    with contextlib.closing(schema.open_there(database)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
