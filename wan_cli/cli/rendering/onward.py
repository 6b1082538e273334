"""The command lines that hints are made of: the manifest as it was typed, and what of it the call is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.cli.hints import without_password
from wan_cli.ui.document import typed_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wan_cli.cli.commands.render import Rendering
    from wan_cli.cli.context import App


def typed(app: App, path: Path, root: str | None, home: str = "") -> tuple[str, ...]:
    """Return the words that name a manifest on a command line of this folder; ``root`` is ``--root`` as given.

    ``home`` is the folder of ``-o``.
    """
    name = typed_path(str(path), str(app.cwd))
    rooted = (*(() if root is None else ("--root", root)), *(("-o", home) if home else ()))
    return f"./{name}" if name.startswith("-") else name, *rooted, *(("--sandbox",) if app.sandbox else ())


def part(options: Rendering) -> tuple[str, ...]:
    """Return the words that say which assets a call is about, and what it may spend.

    What made it buy anew (``--force``, ``--again``) is left out: repeated, it would buy once more.
    """
    return tuple(_part(options))


def _part(options: Rendering) -> Iterator[str]:
    if options.queue:
        yield from ("--queue", without_password(options.queue))
    for glob in options.only or ():
        yield from ("--only", glob)
    if options.shard:
        yield from ("--shard", options.shard)
    for cap in options.max_cost or ():
        yield from ("--max-cost", cap)
    if options.max_results is not None:
        yield from ("--max-results", str(options.max_results))
    if options.allow_unknown_cost:
        yield "--allow-unknown-cost"
    if options.yes:
        yield "--yes"
