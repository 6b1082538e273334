"""The registry of adapters: a name, its module, its class.

The names and their order are :data:`wan_cli.catalog.BUILTIN`; each module ``wan_cli.providers.NAME`` has its adapter as
``PROVIDER`` and its capabilities beside it in ``NAME.toml``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from wan_cli.catalog import BUILTIN

if TYPE_CHECKING:
    from wan_cli.providers.base import Provider


def names() -> tuple[str, ...]:
    """Return every registered name, in registry order."""
    return BUILTIN


def load(name: str) -> type[Provider]:
    """Import one adapter. Raises ``KeyError`` for a name that is not registered."""
    if name not in BUILTIN:
        raise KeyError(name)
    adapter: type[Provider] = import_module(f"wan_cli.providers.{name}").PROVIDER
    return adapter
