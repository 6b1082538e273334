"""Signals that the work of an engine is ended by: an event that costs a future where it is watched, and no task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """A signal asked to stop; the task keeps the state it has."""


class Signal:
    """Something that happens once, and that work may be waiting beside."""

    def __init__(self) -> None:
        """Begin with a signal that has not come."""
        self._came = False
        self._watching: set[asyncio.Future[None]] = set()

    def is_set(self) -> bool:
        """Tell whether it has come."""
        return self._came

    def set(self) -> None:
        """Let it come."""
        self._came = True
        for watching in self._watching:
            _wake_soon(watching)

    async def ends(self, work: Awaitable[T]) -> T:
        """Await ``work``; when the signal comes before it ends, cancel it and raise :class:`Stopped`.

        Its cause is what the work raised when it was cancelled, where that is something else.
        """
        working, watching = asyncio.ensure_future(work), asyncio.get_running_loop().create_future()
        working.add_done_callback(partial(wake, watching))  # asyncio.wait does as much with twice the work
        self._watching.add(watching)
        if self._came:
            _wake_soon(watching)
        try:
            await watching
            if working.done():
                return working.result()
        finally:
            self._watching.discard(watching)
            if not working.done():
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)  # one that nobody saw would be told on stderr
        if working.cancelled():
            raise Stopped
        if (error := working.exception()) is not None:
            raise Stopped from error
        return working.result()  # it was just writing that down


def _wake_soon(watching: asyncio.Future[None]) -> None:
    """Wake a watcher a turn later: work has begun by then, and an answer that is all there is taken in."""
    watching.get_loop().call_soon(wake, watching)


def wake(watching: asyncio.Future[None], _: object = None) -> None:
    """Let whoever awaits it go on, once; also as the callback of what it waits for."""
    if not watching.done():
        watching.set_result(None)
