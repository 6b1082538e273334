"""httpcore on asyncio alone; the package imports this module before anything else imports httpcore.

httpcore takes its locks and shields from anyio, so that it runs under trio too. Importing anyio costs 17 ms at least,
each lock of it a turn of the event loop, and asking which loop it is a search for sniffio, which is not always there.
Where anyio is not installed httpcore does without: so it is kept out of the import, and what a connection uses of it
comes from asyncio. Whoever uses httpcore's own pool in this process gets the rest of anyio when it is asked for.

certifi, of which httpcore makes a TLS context for whoever brings none, waits in the same way: it searches itself for
its file while it is imported (3 ms), and the contexts here are httpx's.
"""

import asyncio
import importlib
import sys
from contextlib import nullcontext
from typing import Any


class _Shield(nullcontext[None]):
    """Nothing: asyncio interrupts one wait and not the ones after it, so that what closes a connection is not cut."""

    def __init__(self, *, shield: bool) -> None:
        del shield
        super().__init__()


class _Later:
    """A package that is imported when something of it is asked for."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._package), name)


class _Anyio(_Later):
    """What httpcore asks anyio for."""

    Lock = asyncio.Lock
    CancelScope = _Shield


def _loop() -> str:
    return "asyncio"


if "httpcore" not in sys.modules:
    _kept_out = {"anyio": None, "certifi": _Later("certifi")}  # None is Python's way of saying "not installed"
    _kept_out = {package: put for package, put in _kept_out.items() if package not in sys.modules}
    sys.modules.update(_kept_out)  # type: ignore[arg-type]
    try:
        from httpcore import _synchronization
    finally:
        for _package in _kept_out:
            del sys.modules[_package]
    _synchronization.anyio = _Anyio("anyio")  # type: ignore[assignment, attr-defined]
    _synchronization.current_async_library = _loop
