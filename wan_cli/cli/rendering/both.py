"""Ledger and lock as one: each transition of a render is in both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wan_cli.errors import StateUnusable
from wan_cli.models import Sending

if TYPE_CHECKING:
    from wan_cli.cli.rendering.books import Books
    from wan_cli.ledger import Ledger
    from wan_cli.models import Task


class Both:
    """A ledger whose every saved transition is in the lock as well before anybody is told of it."""

    def __init__(self, ledger: Ledger, books: Books) -> None:
        self._ledger = ledger
        self._books = books

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
        self._books.note(task)
        if trouble:
            raise trouble
