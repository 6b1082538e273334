"""The ledger of one machine: a SQLite database and a journal in one folder, owned task by task by living processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wan_cli.ledger import claims
from wan_cli.ledger.database import Database
from wan_cli.ledger.owner import this_process
from wan_cli.ledger.storage import Storage
from wan_cli.ledger.store import Ledger


class LocalLedger(Ledger):
    """See :meth:`Ledger.open`."""

    _storage: Storage

    def __init__(
        self, storage: Storage, *, store_prompts: bool, clock: Callable[[], float], boot_id: str | None
    ) -> None:
        """Use :meth:`Ledger.open`."""
        super().__init__(storage, store_prompts=store_prompts, clock=clock)
        self._here = this_process(boot_id)

    @property
    def path(self) -> Path:
        """The database's path."""
        return self._storage.path

    @property
    def journal_path(self) -> Path:
        """The journal's path, for :func:`wan_cli.ledger.rebuild`."""
        return self._storage.journal.path

    def _take(self, db: Database, task_id: str, now: float) -> bool:
        return claims.take(db, task_id, self._here, now)

    def _renew(self, db: Database, task_id: str, now: float) -> None:
        claims.renew(db, task_id, self._here, now)

    def _drop(self, db: Database, task_id: str) -> None:
        claims.drop(db, task_id, self._here)

    def _guard(self, db: Database, task_id: str, *, attempt: int | None = None, created: float | None = None) -> None:
        """Do nothing: an owner that is alive keeps its tasks, and a dead one writes no more."""
