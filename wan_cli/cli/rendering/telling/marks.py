"""Where an asset stands, for people and for GitHub's runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.text import one_line
from wan_cli.ui.document import typed_path

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.manifest import Asset, Manifest

MOST_MARKS = 50
"""Annotations of one run: GitHub shows ten errors of a step, fifty of a job (docs.github.com, "Workflow commands")."""
MOST_MESSAGE = 1000


def file_of(app: App, manifest: Manifest) -> str:
    """Return the manifest's path as the repository has it on a runner, else as it would be typed."""
    return typed_path(str(manifest.path), app.env.get("GITHUB_WORKSPACE") or str(app.cwd))


def where(app: App, manifest: Manifest, asset: Asset) -> str:
    """Return ``art/assets.toml:12``."""
    return f"{file_of(app, manifest)}:{asset.line or 1}"


def mark(app: App, manifest: Manifest, asset: Asset, message: str) -> None:
    """Mark the asset's line as an error where GitHub's runner reads along."""
    said = one_line(f"{asset.id}: {message}", MOST_MESSAGE)
    app.streams.annotate("error", one_line(file_of(app, manifest), MOST_MESSAGE), asset.line or 1, said)
