"""Manifests: a project's assets as a file, read without trusting it (interface.md, section 6)."""

from wan_cli.manifest.assets import Asset, Manifest, Reference
from wan_cli.manifest.graph import chains, order
from wan_cli.manifest.reading import read
from wan_cli.manifest.shape import schema

__all__ = ["Asset", "Manifest", "Reference", "chains", "order", "read", "schema"]
