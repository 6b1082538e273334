"""A file in the lock of a project: ``assets.lock`` in its folder, or above it, or above the folder one is in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_cli.cli.assets import NATURAL, ROLES
from wan_cli.dataclass import replace
from wan_cli.errors import UsageError
from wan_cli.imprint import MOST_REFERENCES, VERSION, task_of
from wan_cli.models import Cost, File, LocalFile, Media, Role, Task
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.lock import Entry

NAMES = ("assets.lock", "assets.sandbox.lock")
MOST_BYTES = 64 * 1024 * 1024
"""A larger lock is not read just to say where a file is from: one of ten thousand assets has 10 MiB."""


def locked(app: App, path: Path, file: File, notes: list[str]) -> tuple[Task, str] | None:
    """Return the task that a lock knows for the content of ``file``, and the lock's path; ``None`` where none does.

    A lock that cannot be read is a note.
    """
    from wan_cli.lock import Lock

    for place in _locks(app, path):
        try:
            entries = Lock(place).entries
        except UsageError as error:
            notes.append(one_line(error.message))
            continue
        same = [entry for entry in entries.values() if any(made.sha256 == file.sha256 for made in entry.files)]
        here = os.path.abspath(path)  # noqa: PTH100 - links are not followed: the lock names what it wrote
        same.sort(key=lambda entry: not any(str(place.parent / made.path) == here for made in entry.files))
        for entry in same:
            if task := _task(place, entry, file, entries):
                return task, str(place)
    return None


def _locks(app: App, path: Path) -> Iterator[Path]:
    """Yield the locks that are there, nearest first; those of other users are left out, as their settings are."""
    home = Path(app.env.get("HOME") or app.env.get("USERPROFILE") or "/nonexistent")
    seen: set[Path] = set()
    for start in (path.absolute().parent, app.cwd):
        for folder in (start, *start.parents):
            if folder in seen:
                break
            seen.add(folder)
            for name in NAMES:
                with suppress(OSError, ValueError):
                    stat = (folder / name).stat()
                    own = not hasattr(os, "getuid") or stat.st_uid == os.getuid()
                    if own and stat.st_size <= MOST_BYTES:
                        yield folder / name
            if folder == home or os.path.lexists(folder / ".git"):
                break


def _task(place: Path, entry: Entry, file: File, entries: Mapping[str, Entry]) -> Task | None:
    stated: Mapping[str, Any] = entry.stated
    said = {
        **stated, "wan": VERSION, "verb": stated.get("verb", "generate"), "provider": entry.provider,
        "model": entry.model or stated.get("model"), "seed": stated.get("seed", entry.seed), "n": stated.get("count"),
        "params": stated.get("param"), "handle": entry.handle, "references": [],
    }  # fmt: skip
    task = task_of(said, file)
    if task is None:
        return None
    media = [medium for field, role in _roles() for medium in _media(place, entry, entries, field, role)]
    return replace(
        task, job=replace(task.job, media=tuple(media[:MOST_REFERENCES])), sandbox=place.name == NAMES[1],
        cost=Cost(estimated=entry.cost, unit=entry.unit),
    )  # fmt: skip


def _roles() -> list[tuple[str, Role]]:
    return [("images", "reference"), *ROLES.items()]


def _media(
    place: Path, entry: Entry, entries: Mapping[str, Entry], field: str, role: Role
) -> Iterator[Media]:  # fmt: skip
    """Yield the references of a field: files below the lock's folder by their content, other assets by their files."""
    listed = entry.stated.get(field)
    kind = NATURAL.get(role, "image")
    for word in [listed] if isinstance(listed, str) else listed if isinstance(listed, list) else []:
        if not isinstance(word, str):
            continue
        if word.startswith("https://"):
            yield Media(role=role, kind=kind, url=word)
        elif word.startswith("@"):
            other = entries.get(word[1:])
            for made in other.files if other else ():
                yield Media(role=role, kind=kind, file=_local(place, made.path, made.sha256))
        else:
            yield Media(role=role, kind=kind, file=_local(place, word, entry.inputs.get(word, "")))


def _local(place: Path, name: str, sha256: str) -> LocalFile:
    """Return a file that the lock names; one outside of its folder is told by its name alone, so it is not found."""
    path = Path(os.path.normpath(place.parent / name))
    inside = path.is_relative_to(place.parent)
    return LocalFile(path=str(path) if inside else path.name, sha256=sha256, size=0, mime="")
