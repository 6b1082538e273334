"""What changes the lock without buying: ``--accept``, ``--prune``, and git's merge driver."""

from __future__ import annotations

import json
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.dataclass import replace
from wan_cli.errors import UsageError
from wan_cli.intake import read_regular
from wan_cli.lock import Entry, Made, dumps, loads, merge
from wan_cli.lock.journal import MOST_BYTES
from wan_cli.media import film, mime_of_extension
from wan_cli.render.plan import Item, content_of
from wan_cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wan_cli.cli.commands.render import Rendering
    from wan_cli.cli.context import App
    from wan_cli.lock import Lock
    from wan_cli.manifest import Manifest
    from wan_cli.render.plan import Plan
    from wan_cli.render.sight import Sight

SIDECAR_BYTES = 1024 * 1024


def tidy(
    app: App, manifest: Manifest, lock: Lock, sight: Sight, options: Rendering, planned: Callable[[], Plan]
) -> int:
    """Do ``--accept`` and ``--prune``. Nothing is bought."""
    accepted: list[str] = []
    gone: list[str] = []
    with lock:
        if options.accept:
            accepted = _accepted(app, manifest, lock, sight, options.accept, planned())
        if options.prune:
            gone = _pruned(app, manifest, lock, sight, options.only or ("*",))
    for name in accepted:
        app.talk(f"{one_line(name)}: recorded as it is")
    for name in gone:
        app.talk(f"{one_line(name)}: removed")
    if app.say_json == "json":
        return app.emit([], None, 0, accepted=accepted, pruned=gone)
    if app.say_json == "jsonl":
        return app.summary([], None, 0)
    return 0


def _accepted(
    app: App, manifest: Manifest, lock: Lock, sight: Sight, globs: Sequence[str], planned: Plan
) -> list[str]:  # fmt: skip
    """Record the files of the named assets as they are on disk, as if they had been delivered so.

    An asset is named by its id or by the path of one of its files.
    """
    named = [item for item in planned.items if any(_is_named(item, glob) for glob in globs)]
    if not named:
        raise UsageError(
            f"--accept {', '.join(map(one_line, globs))}: no asset has such an id or file", hint="wan render --help"
        )
    done: dict[str, str] = {}
    for item in named:
        if item.status == "current":
            continue
        if item.status == "open":
            app.talk(f"{item.asset.id}: left as it is, for a purchase of it is under way")
        elif files := _files(item, sight, manifest.home):
            entry = item.entry or Entry()
            inputs = {name: done.get(name, digest) for name, digest in item.inputs.items()}
            fresh = replace(
                entry, request=item.asset.request, stated=item.asset.stated, inputs=inputs, files=files, accepted=True
            )
            lock.put(item.asset.id, fresh)
            done[f"@{item.asset.id}"] = content_of(fresh)
        else:
            app.talk(f"{item.asset.id}: has no file to record")
    return [name.removeprefix("@") for name in done]


def _is_named(item: Item, glob: str) -> bool:
    paths = [*item.edited, *(made.path for made in (item.entry.files if item.entry else ()))]
    return any(fnmatchcase(name, glob) for name in (item.asset.id, *paths))


def _files(item: Item, sight: Sight, home: str) -> tuple[Made, ...]:
    """Return the files of an asset as they are: those that nobody knows where they stand, else those of the lock."""
    known = [made.path for made in item.entry.files] if item.entry else []
    paths = item.edited if set(item.edited) - set(known) else known
    seen = [(path, sight.file(path)) for path in paths]
    return tuple(
        Made(path=path, sha256=found.sha256, bytes=found.size, store=home) for path, found in seen if found
    )  # fmt: skip


def _pruned(app: App, manifest: Manifest, lock: Lock, sight: Sight, only: Sequence[str]) -> list[str]:
    """Forget what the manifest no longer has; a file that was edited, or is used by another asset, stays."""
    gone = []
    used = {made.path for name in manifest.assets for made in (lock.entries.get(name) or Entry()).files}
    used |= {one.value for asset in manifest.assets.values() for found in asset.references.values() for one in found}
    for name in sorted(lock.entries.keys() - manifest.assets.keys()):
        if not any(fnmatchcase(name, glob) for glob in only):
            continue
        entry = lock.entries[name]
        if entry.open:
            app.talk(f"{one_line(name)}: kept, for a purchase of it is under way")
            continue
        for made in entry.files:
            _remove(app, manifest.root, made, sight, used)
        lock.put(name, None)
        gone.append(name)
    return gone


def _remove(app: App, root: Path, made: Made, sight: Sight, used: set[str]) -> None:
    """Remove a file and its sidecar, where it is as it was delivered and nobody else's."""
    try:
        found = sight.file(made.path)
        if found and found.sha256 == made.sha256 and made.path not in used:
            poster = _poster_of(root / made.path)
            (root / made.path).unlink(missing_ok=True)
            if poster is not None:
                poster.unlink(missing_ok=True)
            sidecar = f"{made.path}.json"
            if sight.file(sidecar) and _describes(root / sidecar, made):
                (root / sidecar).unlink(missing_ok=True)
        elif found:
            app.talk(f"{one_line(made.path)}: kept, for it was changed or is used elsewhere")
    except OSError as error:
        app.talk(f"{one_line(made.path)}: kept: {error.strerror}")


def _poster_of(video: Path) -> Path | None:
    """Return the poster of a video that is removed, where it is just what would be written: else it is somebody's."""
    path = film.poster_path(video)
    if not (film.installed() and path.is_file() and (mime_of_extension(video.name) or "").startswith("video/")):
        return None
    with suppress(Exception):  # whatever a decoder makes of a file
        return path if read_regular(path, film.POSTER_BYTES) == film.poster(video) else None
    return None


def _describes(sidecar: Path, made: Made) -> bool:
    """Tell whether a JSON file is the sidecar of a file, and not somebody's own."""
    try:
        found = json.loads(read_regular(sidecar, SIDECAR_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("sha256") == made.sha256


def merge_locks(app: App, base: Path, ours: Path, theirs: Path) -> int:
    """Merge as git's merge driver does: the result goes into OURS; 1 where both sides changed an asset differently."""
    sides = []
    for path in (base, ours, theirs):
        try:
            text = read_regular(app.cwd / path, MOST_BYTES).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read", hint="wan render --merge BASE OURS THEIRS") from error
        sides.append(loads(text, str(path)))
    merged, clashes = merge(*sides)
    try:
        (app.cwd / ours).write_text(dumps(merged), encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"{ours} cannot be written: {error.strerror}", hint="wan render --merge --help") from error
    for name in clashes:
        app.streams.say(f"{one_line(name)}: both sides changed it; ours stands, and wan render makes it right")
    return 1 if clashes else 0
