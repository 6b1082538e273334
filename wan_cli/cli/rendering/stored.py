"""``wan render -o s3://…``: the outputs are objects below that folder; manifest, lock and references stay here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from wan_cli.dataclass import replace
from wan_cli.errors import UsageError
from wan_cli.pattern import pattern
from wan_cli.stores import is_address, read_address
from wan_cli.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from wan_cli.cli.commands.render import Rendering
    from wan_cli.lock import Entry, Lock
    from wan_cli.manifest import Manifest
    from wan_cli.render.plan import Plan
    from wan_cli.render.sight import Sight

_HERE_ONLY = ("prune", "count")
_PLAIN = pattern(r"\w+://[\w./=+-]+")
_PICTURES = (".html", ".htm")


def home_of(options: Rendering) -> str:
    """Return the folder that ``-o`` names, ending in ``/``, or an empty text. Raises ``UsageError``.

    A manifest cannot name a store: whoever renders somebody's manifest says where the results go.
    """
    if options.output is None:
        return ""
    if not is_address(options.output):
        raise UsageError(
            f"-o {one_line(options.output)}: names a folder in a store; on a disk the manifest says where things go",
            hint="use -o s3://bucket/folder/, or --root DIR",
        )
    home = str(read_address(options.output))
    if "{" in home:
        raise UsageError(f"-o {one_line(home)}: is a folder, and its fields belong into the manifest's output")
    if not _PLAIN.fullmatch(home):
        raise UsageError(f"-o {one_line(home)}: letters, digits and ._/=+- alone: it is written into the lock")
    for name in _HERE_ONLY:
        if getattr(options, name):
            flag = "-n" if name == "count" else f"--{name}"
            raise UsageError(f"{flag} is about files on this machine, and -o names a store", hint=f"leave {flag} out")
    if any(name.lower().endswith(_PICTURES) for name in options.report or ()):
        raise UsageError("--report: a page of pictures needs them on this machine", hint="use --report out.md")
    return home if home.endswith("/") else f"{home}/"


def sight_of(manifest: Manifest, memory: Path, now_ns: int, *, inputs_only: bool = False) -> Sight:
    """Return what looks at the outputs: on this machine, or in the store. Raises ``WanError``.

    With ``inputs_only`` nobody looks at them, and no store is asked.
    """
    from wan_cli.render.sight import Sight

    if not manifest.home or inputs_only:
        return Sight(manifest.root, memory, now_ns)
    from wan_cli.render.afar import StoreSight
    from wan_cli.stores.objects import require

    require("wan render -o")
    reads = {
        one.value for asset in manifest.assets.values() for named in asset.references.values() for one in named
        if one.kind == "file"
    }  # fmt: skip
    return StoreSight(manifest.root, memory, now_ns, home=read_address(manifest.home), reads=reads)


def check_home(manifest: Manifest, entries: Mapping[str, Entry]) -> None:
    """Raise ``UsageError`` where an asset is in another place than the call's: it would be bought once more."""
    for name, entry in entries.items():
        for made in entry.files if name in manifest.assets else ():
            if made.store == manifest.home:
                continue
            if made.store:
                there = f"the lock has {name} in {made.store}"
                raise UsageError(f"{there}, and it would be bought anew here", hint=f"add -o {made.store}")
            raise UsageError(
                f"the lock has {name} on this machine, and it would be bought anew for {manifest.home}",
                hint="leave -o out, or move the lock away",
            )


def moved(manifest: Manifest, planned: Plan, lock: Lock, sight: Sight) -> bool:
    """Follow objects that somebody moved to where the manifest has them now; tell whether the lock was changed.

    Raises ``UsageError`` for one that is where it was: nothing in a store is moved or removed by wan.
    """
    items = [item for item in planned.items if item.moves]
    for old, new in (move for item in items for move in item.moves):
        if sight.there(old) or not sight.there(new):
            raise UsageError(
                f"{manifest.place(old)} is {manifest.place(new)} by now, and wan moves nothing in a store",
                hint="move the object there, or put output back",
            )
    for item in items:
        assert item.entry is not None  # noqa: S101 - what moves was made
        to = dict(item.moves)
        files = tuple(replace(made, path=to.get(made.path, made.path)) for made in item.entry.files)
        lock.put(item.asset.id, replace(item.entry, files=files))
    return bool(items)


def refuse_stored(path: str) -> None:
    """Raise ``UsageError`` for what ``wan keep`` is given and is in a store: it puts files of this machine in place."""
    if is_address(path):
        raise UsageError(
            f"{one_line(path)} is in a store, and wan keep is about files on this machine",
            hint="fetch it, then wan keep FILE --as ID",
        )


def template_of(manifest: Manifest, template: str) -> str:
    """Return an asset's template, an absolute path below the root, as one in the store where the outputs are there."""
    if not manifest.home:
        return template
    base = str(manifest.root).replace("{", "{{").replace("}", "}}")
    return manifest.home + template[len(base) :].lstrip("/\\").replace("\\", "/")


def name_of(manifest: Manifest, path: str) -> str | None:
    """Return the name below the root of an output's path or address; ``None`` where it is elsewhere."""
    from pathlib import Path

    if manifest.home:
        return path.removeprefix(manifest.home) if path.startswith(manifest.home) else None
    return Path(path).relative_to(manifest.root).as_posix() if Path(path).is_relative_to(manifest.root) else None
