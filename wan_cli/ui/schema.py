"""The published JSON Schema of every ``--json`` document and every ``--jsonl`` line (``$defs/event``)."""

from __future__ import annotations

from typing import Any


def load() -> dict[str, Any]:
    """Return the schema (draft 2020-12)."""
    import json
    from importlib import resources

    text = resources.files("wan_cli.ui").joinpath("schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
