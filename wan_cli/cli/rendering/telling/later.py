"""What a call asks for and does not get: fields that take effect with the next result, takes that come out alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.media import mime_of_extension
from wan_cli.media.film import poster_path
from wan_cli.naming import TRUE_EXTENSIONS
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.manifest import Asset, Manifest
    from wan_cli.render.plan import Item, Wanted
    from wan_cli.render.sight import Sight

MOST_WARNINGS = 20
"""Assets that are named one by one; a default may concern ten thousand."""


def warn_of_later(app: App, manifest: Manifest, items: Iterable[Item], sight: Sight, wanted: Wanted) -> None:
    """Say of each asset that is up to date what of its row waits for its next result: nothing is stale by it."""
    exists: Callable[[str], bool] = bool if wanted.inputs_only else sight.there
    _warn(app, (
        f"{manifest.where(item.asset)}: {item.asset.id}: {', '.join(fields)}: it takes effect when the asset is "
        f"rendered next: {manifest.command('--force', '--only', item.asset.id, whole=True)}"
        for item in items
        if item.status in ("current", "moved") and (fields := [*_waiting(item, exists), *_bare(item, sight, wanted)])
    ))  # fmt: skip


def _waiting(item: Item, exists: Callable[[str], bool]) -> Iterator[str]:
    """Name the fields that say otherwise than the files are, which stay as they were made."""
    asset, paths = item.asset, [made.path for made in item.entry.files] if item.entry else []
    wanted = TRUE_EXTENSIONS.get(_suffix(asset.output))
    other = next((path for path in paths if wanted and TRUE_EXTENSIONS.get(_suffix(path)) != wanted), None)
    if other is not None:
        convert = "with convert = true" if asset.fields.get("convert") else "needs convert = true beside it"
        yield f'output = "{one_line(asset.output)}" {convert}, for the result is {one_line(other)}'
    if 0 < len(paths) < asset.count:
        yield f"count = {asset.count}, and {len(paths)} came"
    if asset.fields.get("sidecar") and not all(exists(f"{path}.json") for path in paths):
        yield "sidecar = true, and there is none"
    if asset.fields.get("poster") and not all(exists(str(poster_path(Path(path)))) for path in paths if _is_film(path)):
        yield "poster = true, and there is none"


def _is_film(path: str) -> bool:
    return (mime_of_extension(path) or "").startswith("video/")


def _bare(item: Item, sight: Sight, wanted: Wanted) -> Iterator[str]:
    """Say of pictures that were made before ``embed`` was there that nothing is in them; each has to be opened."""
    made_here = item.entry and not any(made.store for made in item.entry.files)
    if item.asset.fields.get("embed") and item.entry and made_here and not wanted.inputs_only:
        from wan_cli.media.labels import carries

        if not all(carries(sight.root / made.path) for made in item.entry.files):
            yield "embed = true, and nothing is in it"


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - ten thousand of them


def warn_of_alike(app: App, manifest: Manifest, assets: Iterable[Asset]) -> None:
    """Say, before it is bought, that another take with the same seed may be the same picture."""
    _warn(app, (
        f"{manifest.where(asset)}: {asset.id}: seed = {asset.fields['seed']} is fixed, so takes may come out alike"
        for asset in assets if asset.fields.get("seed") is not None
    ))  # fmt: skip


def _warn(app: App, lines: Iterable[str]) -> None:
    told = list(lines)
    for line in told[:MOST_WARNINGS]:
        app.streams.say(f"warning: {line}")
    if len(told) > MOST_WARNINGS:
        app.streams.say(f"warning: … and the same of {len(told) - MOST_WARNINGS:,} more assets")
