"""The offline sandbox: each provider's contract, written from the server's side.

The contracts come from the providers' documents alone (`seeds/000`-`004`, `contracts.md` sections 1 to 6), never from
the adapters of `wan_cli.providers`: two readings of one document check each other, one reading copied twice does not.

Public names
    World      everything the sandbox remembers, on disk (`wan_cli.sandbox.world`)
    InProcess  an httpx transport that answers out of a World and never opens a socket (`wan_cli.sandbox.transport`)
    CONTRACTS  name -> contract (`wan_cli.sandbox.transport`)
    MARK       bytes near the start of every picture drawn here
    results    the file host: result pictures and uploaded files (`wan_cli.sandbox.transport`)

They are loaded on first use, so that importing a sibling (`wan_cli.sandbox.draw`) costs neither httpx nor pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wan_cli import lean as _lean  # noqa: F401 - before anything imports httpx

if TYPE_CHECKING:
    from wan_cli.sandbox.transport import CONTRACTS, InProcess, results
    from wan_cli.sandbox.world import World

__all__ = ["CONTRACTS", "MARK", "InProcess", "World", "results"]

MARK = b"wan sandbox"
"""Stands before the pixels of every picture that the sandbox draws, in its Software field."""

_HOME = {"CONTRACTS": "transport", "InProcess": "transport", "results": "transport", "World": "world"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
