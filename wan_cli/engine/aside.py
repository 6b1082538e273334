"""Work that would hold the event loop up, done beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from wan_cli.engine.signals import wake

T = TypeVar("T")


async def aside(call: Callable[[], T]) -> T:
    """Make a blocking call in a thread, and return or raise what it does.

    A cancellation meanwhile comes when the caller waits for something else: what the call works on is never taken from
    under it. As with :meth:`wan_cli.engine.writing.Writing.do`, it must not be the last await within a time-out.
    """
    loop = asyncio.get_running_loop()
    working = loop.run_in_executor(None, call)
    cancelled = 0
    while not working.done():
        waiting = loop.create_future()
        working.add_done_callback(partial(wake, waiting))
        try:
            await waiting
        except asyncio.CancelledError:
            cancelled += 1
    if cancelled and (task := asyncio.current_task()) is not None:
        for _ in range(cancelled):
            task.uncancel()
        loop.call_soon(task.cancel)
    return working.result()
