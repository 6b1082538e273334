"""Group commit: calls of several tasks as one transaction, and each alone where that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self, TypeAlias

from wan_cli.ledger.faults import is_held

Call: TypeAlias = Callable[[], Any]


class Ended:
    """How a call ended: with ``value``, or with ``error``."""

    __slots__ = ("error", "value")

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        """Say how."""
        self.value = value
        self.error = error

    @classmethod
    def of(cls, call: Call) -> Self:
        """Make a call, and say how it ended."""
        try:
            return cls(call())
        except Exception as error:  # noqa: BLE001 - whoever asked for the call gets it
            return cls(error=error)

    def result(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


def committed(calls: Sequence[Call], together: Callable[[], AbstractContextManager[None]]) -> list[Ended]:
    """Make the calls within ``together``, which makes them durable at its end, and say how each ended.

    When one of them fails, or all do, each is made again by itself: what is wrong with one costs the others nothing.
    What fails before the first call, or because another process holds the lock, is every call's: each of them would
    wait for the lock as long as the first one did.
    """
    if len(calls) > 1:
        ends: list[Ended] = []

        def all_of_them() -> None:
            with together():
                for call in calls:
                    ends.append(end := Ended.of(call))
                    end.result()

        together_ended = Ended.of(all_of_them)
        if together_ended.error is None:
            return ends
        if not ends:
            return [together_ended] * len(calls)
    alone: list[Ended] = []
    for call in calls:
        alone.append(Ended.of(call))
        if is_held(alone[-1].error):
            break
    return alone + alone[-1:] * (len(calls) - len(alone))
