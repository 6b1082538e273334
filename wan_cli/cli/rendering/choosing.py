"""A take that was chosen goes to its asset's place; what was there takes the name that the take had."""

from __future__ import annotations

import secrets
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.errors import StateUnusable, UsageError
from wan_cli.render.places import Places
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.lock import Entry, Made
    from wan_cli.manifest import Asset, Manifest
    from wan_cli.render.sight import Sight


def places(
    manifest: Manifest, asset: Asset, made: Sequence[Made], before: Entry | None, sight: Sight
) -> list[str]:  # fmt: skip
    """Return where the files of a take belong, below the root. Raises ``UsageError`` where something else is there.

    An output whose names depend on the task has no one place: there the take stays where it is.
    """
    here = [one.path for one in made]
    wanted = Places(manifest).expected(asset, here) or here
    ours = {one.sha256 for one in (*made, *(before.files if before else ()))}
    for path in wanted:
        if (seen := sight.file(path)) and seen.sha256 not in ours:
            raise UsageError(
                f"{one_line(path)} was edited by hand, and is where {asset.id} belongs",
                hint=shlex.join(["mv", "-i", str(manifest.root / path), f"{manifest.root / path}.old"]),
            )
    return wanted


def swap(root: Path, made: Sequence[Made], wanted: Sequence[str]) -> None:
    """Bring each file to its place. Raises ``StateUnusable``; then the files that were not reached are as before.

    The place always has a whole file: the old one is copied, the new one renamed over it, the copy renamed.
    """
    for one, path in zip(made, wanted, strict=True):
        if one.path == path:
            continue
        source, target = root / one.path, root / path
        kept = source.with_name(f".{source.name}.{secrets.token_hex(3)}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                shutil.copy2(target, kept)
            source.replace(target)
            if kept.exists():
                kept.replace(source)
        except OSError as error:
            kept.unlink(missing_ok=True)
            raise StateUnusable(
                f"{target} cannot be written: {error.strerror}", hint=shlex.join(["chmod", "u+w", str(target.parent)])
            ) from error
