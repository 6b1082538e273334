"""Group commit: calls of several tasks as one transaction, and each alone where that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self, TypeAlias

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
    """
    if len(calls) > 1:
        ends: list[Ended] = []

        def all_of_them() -> None:
            with together():
                for call in calls:
                    ends.append(end := Ended.of(call))
                    end.result()

        if Ended.of(all_of_them).error is None:
            return ends
    return [Ended.of(call) for call in calls]
