"""``wan keep``: what was made by hand becomes an asset of the project, with its request, and is not bought again.

Everything is held against the rules of ``wan render`` before anything changes: the new manifest is read and planned
with the new lock, and has to come out as up to date. The lock is written first: should the machine stop in between,
the lock has an asset too many, and never the manifest one that would be bought.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_cli.cli.rendering import choosing, kept
from wan_cli.cli.rendering.asking import order_of
from wan_cli.cli.rendering.books import made_for
from wan_cli.cli.rendering.command import lock_path
from wan_cli.cli.rendering.inserting import with_asset
from wan_cli.cli.rendering.kept import Found
from wan_cli.cli.rendering.onward import typed
from wan_cli.dataclass import dataclass
from wan_cli.errors import StateUnusable, UsageError, WanError
from wan_cli.lock import Entry, Lock
from wan_cli.manifest import Asset, Manifest, read
from wan_cli.manifest.source import rows_of
from wan_cli.render.places import Places
from wan_cli.render.plan import Item, Wanted, plan
from wan_cli.render.sight import Sight
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.commands.keep import Keeping
    from wan_cli.cli.context import App
    from wan_cli.lock import Made


@dataclass(frozen=True, kw_only=True)
class Keep:
    """What the call is about: the asset's id, its manifest's file, and the root of both."""

    app: App
    what: str
    name: str
    path: Path
    root: Path
    typed: tuple[str, ...]
    overwrite: bool

    def render(self, *words: str) -> str:
        """Return the command line that renders the manifest."""
        return shlex.join(["wan", "render", *self.typed, *words])


def keep(app: App, what: str, options: Keeping) -> int:
    """Put a file or a task into manifest and lock. Raises ``UsageError`` or ``StateUnusable``; nothing was changed."""
    app.use(sandbox=options.sandbox, quiet=options.quiet)
    if not options.name:
        raise UsageError("--as ID is missing", hint="add --as hero")
    path = app.cwd / options.into
    root = app.cwd / options.root if options.root else path.parent
    if not path.parent.is_dir():
        folder = str(path.parent)
        raise UsageError(f"{one_line(folder)} is no folder", hint=shlex.join(["mkdir", "-p", folder]))
    call = Keep(
        app=app, what=what, name=options.name, path=path, root=root.absolute(), overwrite=options.overwrite,
        typed=typed(app, path, options.root),
    )  # fmt: skip
    found = kept.find(app, what)
    where = lock_path(path, sandbox=app.sandbox)
    fresh = not where.exists()
    lock = Lock(where)
    try:
        with lock:
            made = _kept(call, found, lock)
    finally:
        if fresh and not lock.entries:
            where.unlink(missing_ok=True)  # it was made for an asset that did not come
    from wan_cli.ui.document import task_document, typed_path

    app.talk(f"{call.name}: kept in {one_line(options.into)}; nothing was bought")
    paths = [typed_path(str(call.root / one.path), str(app.cwd)) for one in made]
    if app.say_json == "json":
        said = {"id": call.name, "manifest": options.into, "lock": typed_path(str(where), str(app.cwd)), "files": paths}
        return app.emit([task_document(found.task, cwd=str(app.cwd))], None, 0, kept=said)
    for shown in paths:
        app.streams.out(shown)
    return 0


def _kept(call: Keep, found: Found, lock: Lock) -> tuple[Made, ...]:
    before = lock.entries.get(call.name)
    if before and before.open:
        raise UsageError(f"a purchase of {call.name} is under way", hint=call.render())
    old = read(call.path, call.root) if call.path.exists() else None
    there = old.assets.get(call.name) if old else None
    if old and there and _is_take(there, before, found):
        return _chosen(call, old, kept.with_siblings(call.app, found, there), lock)
    fields = kept.table_of(call.root, call.name, found)
    if old and there and kept.same(there, fields):
        return _chosen(call, old, found, lock)
    if there and not call.overwrite:
        raise UsageError(
            f"{call.path.name}:{there.line}: {call.name} is there already, with another request",
            hint="add --overwrite",
        )
    return _added(call, found, fields, lock, replace=there is not None)


def _added(call: Keep, found: Found, fields: Mapping[str, Any], lock: Lock, *, replace: bool) -> tuple[Made, ...]:
    """Write the asset into the manifest, as a new row or instead of one, and into the lock."""
    made = tuple(kept.made_of(call.root, path) for path in found.paths)
    paths = {one.path for one in made}
    for other, entry in lock.entries.items():
        if other != call.name and any(one.path in paths for one in entry.files):
            raise UsageError(f"{one_line(call.what)} is {other} already", hint=call.render("--plan"))
    text = _text_with(call, _row(call, fields, made), replace=replace)
    before = lock.entries.get(call.name)
    part = call.path.with_name(f".{call.path.name}.{secrets.token_hex(3)}.toml")
    try:
        _write(part, text)
        manifest = _read_as(part, call)
        fresh, item = _entry(call, manifest, found, made, lock)
        _warn(call, manifest, item, found, fields)
        lock.put(call.name, fresh)
        try:
            _put(part, call.path)
        except OSError as error:
            lock.put(call.name, before)
            raise StateUnusable(f"{call.path} cannot be written: {error.strerror}", hint="wan doctor") from error
    finally:
        part.unlink(missing_ok=True)
    return made


def _chosen(call: Keep, manifest: Manifest, found: Found, lock: Lock) -> tuple[Made, ...]:
    """Let what was made be the asset as the manifest has it: its files go where the asset's belong."""
    before, asset = lock.entries.get(call.name), manifest.assets[call.name]
    made = tuple(kept.made_of(call.root, path) for path in found.paths)
    wanted = choosing.places(manifest, asset, made, before, _sight(call))
    files = tuple(dataclasses.replace(one, path=path) for one, path in zip(made, wanted, strict=True))
    entry, item = _entry(call, manifest, found, files, lock, inputs_only=True)
    _warn(call, manifest, item, found, None)
    lock.put(call.name, entry)
    try:
        choosing.swap(call.root, made, wanted)
    except StateUnusable:
        lock.put(call.name, before)
        raise
    return files


def _sight(call: Keep) -> Sight:
    return Sight(call.root, None, int(call.app.now() * 1e9))


def _is_take(there: Asset, before: Entry | None, found: Found) -> bool:
    """Tell whether the task was made for the asset as the manifest states it now."""
    if before and before.request == there.request and found.task.handle in (before.handle, *before.handles):
        return True
    return made_for(found.task, there.id, there.request)


def _row(call: Keep, fields: Mapping[str, Any], made: tuple[Made, ...]) -> dict[str, Any]:
    """Return the row that states the request: without what ``[defaults]`` says, and with where the files are."""
    said = rows_of(call.path).defaults if call.path.exists() else {}
    defaults = {str(name).replace("-", "_"): value for name, value in said.items()}
    empty = Manifest(path=call.path, root=call.root, assets={})
    placed = kept.output_for(empty, call.name, fields, made, defaults.get("output"))
    return kept.without_defaults(placed, {"output": "{id}{ext}", **defaults})


def _text_with(call: Keep, row: Mapping[str, Any], *, replace: bool) -> str:
    if call.path.suffix.lower() != ".toml":
        raise UsageError(f"--into {one_line(call.path.name)}: only a TOML manifest is written to")
    try:
        text = call.path.read_bytes().decode() if call.path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{call.path.name} cannot be read: {error}", hint=f"edit {call.path.name}") from error
    return with_asset(text, call.name, row, place=call.path.name, replace=replace)


def _write(part: Path, text: str) -> None:
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as out:
            out.write(text.encode())
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise StateUnusable(
            f"{part.parent} cannot be written to: {error.strerror}", hint="free space there, or make it writable"
        ) from error


def _put(part: Path, path: Path) -> None:
    """Let the new text take the manifest's place, with its mode; a link stays a link."""
    real = Path(os.path.realpath(path))
    if real.exists():
        shutil.copymode(real, part)
    part.replace(real)


def _read_as(part: Path, call: Keep) -> Manifest:
    """Read the new text as ``wan render`` will. Raises ``UsageError`` that names the manifest."""
    try:
        manifest = kept.with_path(read(part, call.root), call.path)
        Places(manifest).all()
    except WanError as error:
        error.message = error.message.replace(part.name, call.path.name)
        error.hint = error.hint.replace(part.name, call.path.name)
        raise
    return manifest


def _entry(
    call: Keep, manifest: Manifest, found: Found, made: tuple[Made, ...], lock: Lock, *, inputs_only: bool = False
) -> tuple[Entry, Item]:  # fmt: skip
    """Return the asset's block of the lock, with which a render finds it up to date.

    ``inputs_only``: its files have yet to go to their places. Raises ``UsageError`` where it would not.
    """
    task, asset, sight = found.task, manifest.assets[call.name], _sight(call)
    wanted = Wanted(only=(call.name,), inputs_only=inputs_only)
    before = lock.entries.get(call.name) or Entry()
    handles = tuple(one.handle for one in (task, *found.siblings) if one.handle)
    bare = Entry(
        request=asset.request, stated=asset.stated, provider=task.provider, model=task.job.model,
        handle=task.handle, handles=handles if len(handles) > 1 else (), seed=task.job.seed, take=before.take,
        tried=before.tried, cost=found.cost, unit=task.cost.unit, files=made, accepted=not kept.resting(found, made),
        pinned=None if asset.fields.get("provider") else task.provider,
    )  # fmt: skip
    entry = dataclasses.replace(bare, inputs=_planned(call, manifest, bare, lock, sight, wanted).inputs)
    item = _planned(call, manifest, entry, lock, sight, wanted)
    if item.status not in ("current", "moved"):
        raise UsageError(
            f"{call.name} would not be up to date: {'; '.join(item.why) or item.status}",
            hint=call.render("--plan"),
        )
    return entry, item


def _planned(call: Keep, manifest: Manifest, entry: Entry, lock: Lock, sight: Sight, wanted: Wanted) -> Item:
    planned = plan(manifest, {**lock.entries, call.name: entry}, sight, wanted)
    return next(item for item in planned.items if item.asset.id == call.name)


def _warn(call: Keep, manifest: Manifest, item: Item, found: Found, fields: Mapping[str, Any] | None) -> None:
    """Say what a later render would do otherwise than what made the files; ``fields`` are those of a new row."""
    say, asset = call.app.streams.say, item.asset
    for name in kept.changed_inputs(manifest.root, found.task.job, item.inputs):
        say(f"warning: {one_line(name)} has changed since; {call.name} is recorded as made from what it is now")
    if item.entry and item.entry.accepted:
        say(f"warning: {call.name} is not as it was delivered; it is recorded as it is")
    if fields is None:
        return
    if more := kept.added_by_defaults(fields, asset):
        say(f"warning: {call.name} was made without {', '.join(more)}, which [defaults] adds when it is rendered again")
    try:
        order_of(call.app, manifest, asset, {}, pinned=None, need_key=False, tell=_nobody)
    except WanError as error:
        say(f"warning: as it stands it cannot be rendered again: {error.message}")


def _nobody(line: str) -> None:
    """Tell nobody who would make it."""
    del line
