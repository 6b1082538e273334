"""The journal beside the database: one JSON object a line, synced before the transaction that it tells of commits.

``{"at": SECONDS, "task": DOCUMENT}`` is a state that a task reached, ``{"at": SECONDS, "forget": [ID, ...]}`` a
prune. Whoever writes holds the database's write lock, so lines and transactions have one order. A line that was cut
short by a crash stays where it is, on a line of its own, and readers step over it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from wan_cli.dataclass import dataclass, field
from wan_cli.ledger import folder
from wan_cli.models import Task
from wan_cli.record import Document, from_document

Entry: TypeAlias = Mapping[str, Any]

BEFORE_SENDING = frozenset({"new", "sending"})
"""States that only count once they are committed: when that failed, nothing was sent, and the line is taken back."""


class Journal:
    """An append-only file. Every method raises ``OSError`` when the system refuses."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is opened yet."""
        self.path = path
        self._end = -1

    def size(self) -> int:
        """Return its length in bytes; 0 when it is not there."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def create(self) -> None:
        """Make it, empty and 0600, and its name durable. One that is there is left as it is."""
        os.close(self._open(os.O_WRONLY))
        folder.sync(self.path.parent)

    def append(self, entries: Iterable[Entry]) -> None:
        """Write a line for each of ``entries`` and sync. Opened anew each time: a prune replaces the file."""
        data = b"".join(map(_line, entries))
        descriptor = self._open(os.O_RDWR)
        try:
            size = os.fstat(descriptor).st_size
            whole = size == 0 or _last_byte(descriptor, size) == b"\n"
            try:
                _write(descriptor, data if whole else b"\n" + data)
            finally:
                self._end = os.fstat(descriptor).st_size
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rewrite(self, entries: Iterable[Entry]) -> None:
        """Replace it, atomically, by a file with just ``entries``."""
        fresh = self.path.with_name(f"{self.path.name}.new")
        # One left by a process that died here: the write lock says that nobody is using it.
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | folder.EXACT, folder.PRIVATE_FILE)
        try:
            for entry in entries:
                _write(descriptor, _line(entry))
            os.fsync(descriptor)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        fresh.replace(self.path)
        folder.sync(self.path.parent)

    def take_back(self, to: int) -> None:
        """Cut off the lines after byte ``to``, whose transaction was not committed, and sync.

        Only where they are the last that were written, and tell of nothing that was sent or answered: such a line
        stays, whatever became of its commit, with those before it.
        """
        if self.size() != self._end or self._end <= to:
            return
        for end, line in _placed(self.path, to):
            entry = _parse(line)
            if entry is not None and not _is_before_sending(entry):
                to = end
        if to < self._end:
            descriptor = self._open(os.O_RDWR)
            try:
                os.ftruncate(descriptor, to)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Yield the readable entries that begin at byte ``after`` or later."""
        return (entry for _, entry in _lines(self.path, after) if entry is not None)

    def _open(self, access: int) -> int:
        flags = access | os.O_APPEND | os.O_CREAT | folder.EXACT
        return os.open(self.path, flags, folder.PRIVATE_FILE)


def answers_first(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries of one transaction with those last that can be taken back; each task's keep their order."""
    first: list[Entry] = []
    last: list[Entry] = []
    told = set[str]()
    for entry in reversed(entries):
        if _is_before_sending(entry) and entry["task"]["id"] not in told:
            last.append(entry)
        else:
            first.append(entry)
            told.update([entry["task"]["id"]] if "task" in entry else entry["forget"])
    return [*reversed(first), *reversed(last)]


def _is_before_sending(entry: Entry) -> bool:
    return "task" in entry and entry["task"]["state"]["kind"] in BEFORE_SENDING


def rebuild(journal_path: Path) -> list[Task]:
    """Return the last known state of each task of a journal that was not forgotten, oldest first.

    Lines that cannot be read are stepped over; :func:`damaged_lines` names them. Raises ``OSError``.
    """
    tasks: dict[str, Task] = {}
    for _, entry in _lines(journal_path):
        if entry is None:
            continue
        for forgotten in entry.get("forget", ()):
            tasks.pop(forgotten, None)
        if "task" in entry:
            task = from_document(entry["task"])
            tasks[task.id] = task
    return sorted(tasks.values(), key=lambda task: task.created_at)


def damaged_lines(journal_path: Path) -> list[int]:
    """Return the numbers, from 1, of the lines that cannot be read. Raises ``OSError``."""
    return [number for number, entry in _lines(journal_path) if entry is None]


@dataclass(slots=True)
class Story:
    """What a journal tells: the last entry of each task by its id, what was forgotten, which lines nobody can read.

    ``doubtful`` are the tasks that were only planned in their last readable line, and a line after that is damaged: it
    may have said that their request was sent.
    """

    last: dict[str, Entry] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    damaged: list[int] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)

    def hear(self, number: int, entry: Entry | None) -> None:
        """Take the next line."""
        if entry is None:
            self.damaged.append(number)
            self.doubtful |= {name for name, told in self.last.items() if told["task"]["state"]["kind"] == "new"}
        elif "task" in entry:
            name = entry["task"]["id"]
            self.last[name] = entry
            self.forgotten.discard(name)
            self.doubtful.discard(name)
        else:
            gone = set(entry["forget"])
            self.forgotten |= gone
            self.doubtful -= gone
            for name in gone:
                self.last.pop(name, None)


def replay(journal_path: Path, until: int | None = None) -> Story:
    """Return what the lines tell that begin before byte ``until`` (by default: all). Raises ``OSError``."""
    story = Story()
    for number, entry in _lines(journal_path, until=until):
        story.hear(number, entry)
    return story


def _lines(path: Path, after: int = 0, until: int | None = None) -> Iterator[tuple[int, Entry | None]]:
    for number, (end, line) in enumerate(_placed(path, after), start=1):
        if until is not None and end - len(line) >= until:
            return
        if line.strip():
            yield number, _parse(line)


def _placed(path: Path, after: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that begin at byte ``after`` or later, each with the byte at which it ends."""
    end = after
    with path.open("rb") as file:
        file.seek(after)
        for line in file:
            end += len(line)
            yield end, line


def _parse(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
        if "task" in entry:
            from_document(entry["task"])
            return {"at": entry["at"], "task": entry["task"]}
        return {"at": entry["at"], "forget": [str(forgotten) for forgotten in entry["forget"]]}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _line(entry: Entry) -> bytes:
    if isinstance(doc := entry.get("task"), Document):
        return f'{{"at":{float(entry["at"])!r},"task":{doc.text}}}\n'.encode("ascii")
    # ASCII only: JSON's escapes carry what UTF-8 cannot (lone surrogates), and no line ends inside a string.
    return json.dumps(entry, separators=(",", ":")).encode("ascii") + b"\n"


def _last_byte(descriptor: int, size: int) -> bytes:
    # Not os.pread, which Windows lacks; O_APPEND makes the position of no account to the write that follows.
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
