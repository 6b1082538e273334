"""What ``wan doctor --probe`` learnt of a gateway: one small file for each provider and base URL, in the state folder.

What was learnt is a default: a switch in the user's configuration stands before it, and ``--forget`` removes it. The
file is private like the rest of the folder, and whatever in it is not what the adapter knows is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wan_cli.config.private import read_private, write_private
from wan_cli.dataclass import dataclass, field
from wan_cli.errors import ConfigInvalid

FOLDER = "gateways"
_SINGLE = ("response_format", "image_field", "mask_field", "size_separator")
"""Switches that follow from what was learnt where only one value is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The facts about one base URL, each with its values (none: the field is refused) and how it is known.

    ``at`` is when it was asked, in UTC (RFC 3339).
    """

    provider: str
    base_url: str
    at: str
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    how: Mapping[str, str] = field(default_factory=dict)

    @property
    def quirks(self) -> dict[str, str]:
        """The adapter's switches that follow: where a server takes one spelling alone, that one."""
        return {name: self.facts[name][0] for name in _SINGLE if len(self.facts.get(name, ())) == 1}

    @property
    def day(self) -> str:
        """The date on which it was asked."""
        return self.at[:10]


def save(state: Path, gateway: Gateway) -> Path:
    """Keep what was learnt, in place of what was before. Raises ``OSError``."""
    import json

    document = {
        "wan": 1, "provider": gateway.provider, "base_url": gateway.base_url, "at": gateway.at,
        "facts": dict(gateway.facts), "how": dict(gateway.how),
    }  # fmt: skip
    path = _path(state, gateway.provider, gateway.base_url)
    write_private(path, json.dumps(document, indent=1) + "\n")
    return path


def load(state: Path, provider: str, base_url: str) -> Gateway | None:
    """Return what is known of a gateway; ``None`` where nothing is, or the file cannot be used."""
    import json

    path = _path(state, provider, base_url)
    try:
        told = json.loads(read_private(path)) if path.is_file() else None
    except (ConfigInvalid, OSError, ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or (told.get("provider"), told.get("base_url")) != (provider, base_url):
        return None
    facts, how = told.get("facts"), told.get("how")
    return Gateway(
        provider=provider, base_url=base_url, at=str(told.get("at", "")),
        facts={name: tuple(map(str, values)) for name, values in _items(facts) if isinstance(values, list)},
        how={name: str(text) for name, text in _items(how)},
    )  # fmt: skip


def forget(state: Path, provider: str, base_url: str) -> bool:
    """Remove what is known of a gateway, and say whether anything was. Raises ``OSError``."""
    path = _path(state, provider, base_url)
    there = path.is_file()
    path.unlink(missing_ok=True)
    return there


def _items(value: Any) -> list[tuple[str, Any]]:
    return [(name, item) for name, item in value.items()] if isinstance(value, dict) else []


def _path(state: Path, provider: str, base_url: str) -> Path:
    import hashlib

    return state / FOLDER / f"{hashlib.sha256(f'{provider} {base_url}'.encode()).hexdigest()[:24]}.json"
