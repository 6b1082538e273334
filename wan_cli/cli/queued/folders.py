"""Where the folder of a manifest is on this machine: at the path that it was rendered at, or below ``--root``.

A task in the ledger has the paths of the machine that planned it; where the folder is elsewhere here, they are moved on
their way in and out.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from wan_cli.cli.queued.marks import mark_at
from wan_cli.dataclass import dataclass, field, replace
from wan_cli.errors import FileInvalid
from wan_cli.ledger.group import Call, Ended
from wan_cli.models import Done, File, LocalFile, Saved, Task

if TYPE_CHECKING:
    from wan_cli.ledger import Ledger
    from wan_cli.ledger.postgres.roster import Place

BATCH = "queue-"
"""How the ``batch`` of a queued task begins; the mark of its manifest follows."""
KNOWN = 512
"""Files whose content is remembered; one that many assets use is among them."""


def mark_of(task: Task) -> str:
    """Return the mark of the manifest that a task is for; empty where it is for none."""
    return task.batch.removeprefix(BATCH) if task.batch.startswith(BATCH) else ""


@dataclass(kw_only=True)
class Folders:
    """Finds the folders of manifests. ``root`` is ``--root``: then nothing outside of it is used."""

    root: Path | None
    _found: dict[str, Path] = field(default_factory=dict)
    _content: dict[tuple[str, int, int, int], str] = field(default_factory=dict)

    def here(self, place: Place) -> Path | None:
        """Return the root of a manifest on this machine; ``None`` where it is not, or another folder is in its place.

        Below ``--root`` it is looked for under ever more of its own path's end: ``DIR``, ``DIR/project``, and so on.
        """
        if (known := self._found.get(place.mark)) is not None:
            return known
        for folder in self._candidates(place):
            mark, inode = mark_at(folder / place.manifest)
            # A copy of the folder at the same path of another machine has the mark, in another file.
            if mark == place.mark and (self.root is not None or inode == place.inode):
                self._found[place.mark] = folder
                return folder
        return None

    def _candidates(self, place: Place) -> list[Path]:
        if self.root is None:
            return [Path(place.root)]
        parts = [part for part in PurePosixPath(place.root.replace("\\", "/")).parts if part != "/"]
        return [self.root.joinpath(*parts[len(parts) - count :]) for count in range(len(parts) + 1)]

    def check(self, task: Task) -> None:
        """Refuse a task of which a reference is not the file that was checked. Raises ``FileInvalid``."""
        for medium in task.job.media:
            file = medium.file
            if file is not None and self._sha256(file) != file.sha256:
                raise FileInvalid(
                    f"{file.path} is not what it was when it was queued (sha256 {file.sha256[:12]}…); nothing was sent",
                    hint="bring the file there, and render again",
                )

    def _sha256(self, file: LocalFile) -> str:
        try:
            stat = os.stat(file.path)  # noqa: PTH116 - its path is text
            key = (file.path, stat.st_size, stat.st_mtime_ns, stat.st_ino)
            if key not in self._content:
                with Path(file.path).open("rb") as opened:
                    self._content[key] = hashlib.file_digest(opened, "sha256").hexdigest()
                if len(self._content) > KNOWN:
                    del self._content[next(iter(self._content))]
            return self._content[key]
        except OSError as error:
            message = f"{file.path} cannot be read on this machine: {error.strerror}; nothing was sent"
            raise FileInvalid(message, hint="bring the file there, and render again") from error


def moved(task: Task, old: str, new: str) -> Task:
    """Return a task whose paths below ``old`` are below ``new``."""
    if old == new:
        return task
    shift: Callable[[Any], Any] = lambda path: _shifted(path, old, new)  # noqa: E731 - it is used five times
    media = tuple(
        medium if medium.file is None else replace(medium, file=replace(medium.file, path=shift(medium.file.path)))
        for medium in task.job.media
    )
    state = task.state
    if isinstance(state, Done | Saved):
        state = replace(state, files=tuple(_file(file, shift) for file in state.files))
    target = replace(task.target, template=shift(task.target.template))
    return replace(task, job=replace(task.job, media=media), state=state, target=target)


def _file(file: File, shift: Callable[[Any], Any]) -> File:
    return replace(file, path=shift(file.path), poster=shift(file.poster))


def _shifted(path: str | None, old: str, new: str) -> str | None:
    if path is None or not (path == old or path.startswith(old.rstrip("/") + "/")):
        return path
    return new.rstrip("/") + path[len(old.rstrip("/")) :]


class Moving:
    """A ledger as it is seen from this machine: its tasks have this machine's paths."""

    def __init__(self, ledger: Ledger, roots: Callable[[Task], tuple[str, str]]) -> None:
        """``roots`` says of a task where its manifest's root is in the ledger, and here."""
        self._ledger = ledger
        self._roots = roots

    def __getattr__(self, name: str) -> Any:
        """Be the ledger in everything else."""
        return getattr(self._ledger, name)

    def save(self, task: Task) -> None:
        """Save it with the ledger's paths."""
        old, new = self._roots(task)
        self._ledger.save(moved(task, new, old))

    def release(self, task_id: str) -> None:
        """Keep it: the worker gives it back when it has seen to it that what was not sent is done by somebody."""

    def give_back(self, task_id: str) -> None:
        """Let other workers have the task."""
        self._ledger.release(task_id)

    def get(self, name: str) -> Task:
        """Return it with the paths of this machine."""
        return self.inward(self._ledger.get(name))

    def all_of(self, calls: Sequence[Call]) -> list[Ended]:
        """Make calls of these methods in one transaction."""
        return self._ledger.all_of(calls)

    def inward(self, task: Task) -> Task:
        """Return a task of the ledger with the paths of this machine."""
        return moved(task, *self._roots(task))
