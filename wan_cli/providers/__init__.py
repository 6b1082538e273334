"""Adapters by name: those that come with wan, those of installed packages, and the user's own under a contract.

Names and capabilities are :mod:`wan_cli.registry`'s; here the adapter's module is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from wan_cli import lean as _lean  # noqa: F401 - before anything imports httpx
from wan_cli.registry import BUILTIN, capabilities, installed

if TYPE_CHECKING:
    from wan_cli.providers.base import Provider


def load(name: str) -> type[Provider]:
    """Import the adapter that speaks for ``name``. Raises ``KeyError`` for a name that is not registered."""
    contract = capabilities(name).contract
    if contract in BUILTIN:
        adapter = cast("type[Provider]", import_module(f"wan_cli.providers.{contract}").PROVIDER)
    else:
        adapter = cast("type[Provider]", installed()[contract].load())
    return adapter if contract == name else type(adapter.__name__, (adapter,), {"name": name})
