"""Questions to the ledger about its tasks. None of them writes."""

from __future__ import annotations

from wan_cli.ledger import tasks
from wan_cli.ledger.database import Store
from wan_cli.models import Task


class Lookups:
    """What can be asked of a ledger; every method raises ``StateUnusable`` when it cannot be read."""

    def __init__(self, storage: Store) -> None:
        """Ask this storage."""
        self._storage = storage

    def get(self, name: str) -> Task:
        """Return the task that ``name`` means: an id, the beginning of just one id, or a handle ``PROVIDER:TASK_ID``.

        Raises ``UsageError`` when there is none, or more than one.
        """
        provider, colon, task_id = name.partition(":")
        if colon:
            task = self.find_handle(provider, task_id)
            if task is None:
                raise tasks.no_such(name)
            return task
        with self._storage.reading() as db:
            found = tasks.find_id(db, name)
        return self._storage.tasks("WHERE id = ?", (found,))[0]

    def is_new(self, task_id: str) -> bool:
        """Tell whether a task is there and nothing was done about it yet, without reading all of it."""
        with self._storage.reading() as db:
            found = db.execute("SELECT kind FROM task WHERE id = ?", (task_id,)).fetchone()
        return found is not None and found[0] == "new"

    def find_handle(self, provider: str, task_id: str) -> Task | None:
        """Return the (newest) task that has this id at that provider, if there is one."""
        which = "WHERE provider = ? AND task_id = ? ORDER BY created DESC, rowid DESC LIMIT 1"
        return next(iter(self._storage.tasks(which, (provider, task_id))), None)

    def by_user_key(self, user_key: str) -> list[Task]:
        """Return the tasks that were made under the user's ``--idempotency-key``, ordered by item."""
        return self._storage.tasks("WHERE user_key = ? ORDER BY item, rowid", (user_key,))

    def find_file(self, sha256: str) -> Task | None:
        """Return the newest saved task that made a file with this content, if there is one; what it used is none."""
        dialect = self._storage.dialect
        made, values = dialect.made(sha256)
        which = f"WHERE kind = 'saved' AND {made} ORDER BY {dialect.newest_of_them}, rowid DESC LIMIT 1"
        return next(iter(self._storage.tasks(which, values)), None)

    def open_tasks(self) -> list[Task]:
        """Return what may still need work (sending, pending, done and not saved, unknown), oldest first.

        A task that was only planned is not among them, for nothing was sent.
        """
        return self._storage.tasks(f"WHERE {tasks.IS_OPEN} ORDER BY created, rowid")

    def lost_until(self, now: float) -> list[Task]:
        """Return the results that seem lost, and by their own account end after ``now`` (epoch s), oldest first."""
        expires = self._storage.dialect.number % "expires_at"
        which = f"WHERE kind = 'lost' AND {expires} > ? ORDER BY created, rowid"
        return self._storage.tasks(which, (now,))

    def recent(self, limit: int = 50) -> list[Task]:
        """Return at most ``limit`` tasks: open ones first, and each kind newest first."""
        return self._storage.tasks(tasks.RECENT, (limit,) * 3)

    def unknown_count(self) -> int:
        """Count the tasks of which nobody knows whether they were bought."""
        with self._storage.reading() as db:
            return int(db.execute("SELECT count(*) FROM task WHERE kind = 'unknown'").fetchone()[0])

    def concerns(self) -> list[tuple[str, str, str, float | None, float | None]]:
        """Return what a user may have to see to, in one question; see :func:`wan_cli.ledger.tasks.concerns`."""
        with self._storage.reading() as db:
            return tasks.concerns(db, self._storage.dialect)
