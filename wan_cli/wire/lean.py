"""httpcore on asyncio alone; the package imports this module before anything else imports httpcore.

httpcore takes its locks and shields from anyio, so that it runs under trio too. Importing anyio costs 17 ms at least,
each lock of it a turn of the event loop, and asking which loop it is a search for sniffio, which is not always there.
Where anyio is not installed httpcore does without: so it is kept out of the import, and what a connection uses of it
comes from asyncio. Whoever uses httpcore's own pool in this process gets the rest of anyio when it is asked for.
"""

import asyncio
import sys
from contextlib import nullcontext
from typing import Any


class _Shield(nullcontext[None]):
    """Nothing: asyncio interrupts one wait and not the ones after it, so that what closes a connection is not cut."""

    def __init__(self, *, shield: bool) -> None:
        del shield
        super().__init__()


class _Anyio:
    """What httpcore asks anyio for."""

    Lock = asyncio.Lock
    CancelScope = _Shield

    def __getattr__(self, name: str) -> Any:
        import anyio

        return getattr(anyio, name)


def _loop() -> str:
    return "asyncio"


if "httpcore" not in sys.modules:
    _kept_out = "anyio" not in sys.modules
    if _kept_out:
        sys.modules["anyio"] = None  # type: ignore[assignment] # Python's way of saying "not installed"
    try:
        from httpcore import _synchronization
    finally:
        if _kept_out:
            del sys.modules["anyio"]
    _synchronization.anyio = _Anyio()  # type: ignore[assignment, attr-defined]
    _synchronization.current_async_library = _loop
