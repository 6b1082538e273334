"""Ledger and lock as one: what the engine writes is in both before anything follows from it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from wan_cli.dataclass import replace
from wan_cli.errors import StateUnusable
from wan_cli.ledger.group import Call, Ended, committed
from wan_cli.models import Sending, Task

if TYPE_CHECKING:
    from wan_cli.cli.rendering.books import Books
    from wan_cli.ledger import Ledger


class Both:
    """A ledger whose every saved transition is in the lock as well before anybody is told of it."""

    def __init__(self, ledger: Ledger, books: Books) -> None:
        self._ledger = ledger
        self._books = books
        self._due: list[Task] | None = None
        """Where calls are made together: what goes into the lock once the ledger has it."""

    def __getattr__(self, name: str) -> Any:
        """Be the ledger in everything else."""
        return getattr(self._ledger, name)

    def save(self, task: Task) -> None:
        """Write it into both. Raises ``StateUnusable``: then a purchase is not sent.

        A purchase is in the lock first: if only the lock has it, it was not sent, and the ledger tells so. What
        follows is in the ledger first, and goes into each of the two though the other one fails.
        """
        if isinstance(task.state, Sending):
            self._books.note(task)
            self._ledger.save(task)
            return
        trouble: StateUnusable | None = None
        try:
            self._ledger.save(task)
        except StateUnusable as error:
            trouble = error
        if self._due is not None and trouble is None:
            self._due.append(task)
            return
        self._books.note(task)
        if trouble:
            raise trouble

    def plan(self, task: Task) -> Task:
        """Plan a purchase that another machine makes (a queue's ledger): the lock has it before anybody may begin it.

        So a render on this machine alone sees that it may have been bought.
        """
        self._books.note(replace(task, state=Sending(at=task.created_at)))
        planned: Task = self._ledger.plan(task)  # type: ignore[attr-defined]
        return planned

    def all_of(self, calls: Sequence[Call]) -> list[Ended]:
        """Make calls of these methods in one transaction, in the order that :meth:`save` has.

        The lock's journal is synced once before the ledger's commit, with the purchases, and once after it.
        """
        due: dict[int, list[Task]] = {}
        ends = committed([partial(self._ledgered, call, due, number) for number, call in enumerate(calls)], self._one)
        notes = [partial(self._locked, due[number]) for number in range(len(calls))]
        for end, noted in zip(ends, committed(notes, self._books.lock.together), strict=True):
            end.error = end.error or noted.error
        return ends

    @contextlib.contextmanager
    def _one(self) -> Iterator[None]:
        with self._ledger.together(), self._books.lock.together():
            yield

    def _ledgered(self, call: Call, due: dict[int, list[Task]], number: int) -> Any:
        self._due = due[number] = []
        try:
            return call()
        finally:
            self._due = None

    def _locked(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._books.note(task)
