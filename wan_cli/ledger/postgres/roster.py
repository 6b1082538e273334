"""Who works on the shared ledger with which ``wan``, for which manifests, and how its tasks stand: for the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from wan_cli.dataclass import dataclass
from wan_cli.errors import StateUnusable, UsageError
from wan_cli.ledger import tasks
from wan_cli.ledger.postgres import shared
from wan_cli.ledger.postgres.schema import NOW
from wan_cli.ledger.postgres.shared import Worker

if TYPE_CHECKING:
    from wan_cli.ledger.postgres.shared import SharedLedger
    from wan_cli.models import Task


@dataclass(frozen=True, slots=True)
class Hand:
    """A worker of the queue: ``wan`` is its version, ``jobs`` how many tasks it has in hand at most."""

    worker: Worker
    wan: str
    jobs: int


@dataclass(frozen=True, slots=True)
class Place:
    """A manifest that has tasks in the queue. ``mark`` is its name there, and stands in a file beside it.

    ``root`` is its folder as the machine that rendered it has it, ``manifest`` its file below that, and ``inode`` the
    number of the file with the mark: a copy of the folder has another one.
    """

    mark: str
    root: str
    manifest: str
    host: str
    inode: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A task that changed: ``mark`` names this version of its row, ``held`` whether somebody alive works on it."""

    mark: str
    held: bool
    task: Task


class Roster:
    """Asks and tells the ledger's own tables. Every method raises ``StateUnusable``, as the ledger's do."""

    def __init__(self, ledger: SharedLedger) -> None:
        """Use its connection."""
        self._ledger = ledger
        self._storage = ledger._storage  # noqa: SLF001 - a part of it, in a file of its own

    def sign_on(self, wan: str, jobs: int) -> None:
        """Say that this process is a worker. Raises ``StateUnusable`` where others that are alive have another wan."""
        self._ledger.heartbeat()
        self.same_wan(wan)
        with self._storage.writing() as db:
            put = "INSERT INTO crew VALUES (?, ?, ?) ON CONFLICT (worker) DO UPDATE SET wan = excluded.wan"
            db.execute(put, (self._ledger.worker, wan, jobs))

    def sign_off(self) -> None:
        """Say that it is none any more."""
        with self._storage.writing() as db:
            db.execute("DELETE FROM crew WHERE worker = ?", (self._ledger.worker,))

    def same_wan(self, wan: str) -> None:
        """Refuse to work beside another version: what one writes, the other may read otherwise."""
        for hand in self.hands():
            if hand.worker.alive and hand.wan != wan and hand.worker.id != self._ledger.worker:
                raise StateUnusable(
                    f"workers of wan {hand.wan} are at work on {self._ledger.name} (process {hand.worker.pid} on "
                    f"{hand.worker.host}), and this is wan {wan}",
                    hint=f"stop them first (SIGTERM lets them finish), or here: pip install 'wan-cli=={hand.wan}'",
                )

    def hands(self) -> list[Hand]:
        """Return the workers of which something was heard within a day, the one heard of last first."""
        with self._storage.reading() as db:
            found = {row[0]: row[1:] for row in db.execute("SELECT worker, wan, jobs FROM crew").fetchall()}
        return [Hand(worker, *found[worker.id]) for worker in self._ledger.workers() if worker.id in found]

    def enter(self, place: Place) -> None:
        """Write down where a manifest is. Raises ``UsageError`` where what is queued of it is for another path."""
        known = self.places().get(place.mark)
        if known is not None and known.root != place.root and self._busy(place.mark):
            raise UsageError(
                f"{place.root} was queued as {known.root} on {known.host}, and what is queued there is not done yet",
                hint=f"render it as {known.root}, or when its tasks are done: wan status --queue URL",
            )
        values = (place.mark, place.root, place.manifest, place.host, place.inode)
        with self._storage.writing() as db:
            db.execute(
                f"INSERT INTO place VALUES (?, ?, ?, ?, ?, {NOW})"  # noqa: S608 - ours
                " ON CONFLICT (mark) DO UPDATE SET root = excluded.root, manifest = excluded.manifest,"
                " host = excluded.host, inode = excluded.inode, at = excluded.at",
                values,
            )

    def _busy(self, mark: str) -> bool:
        """Tell whether anything of a manifest is in the line or under way."""
        queued = any(name.startswith(f"{mark}.") for name in self.lengths())
        query = (
            f"SELECT EXISTS (SELECT FROM task WHERE ({tasks.IS_OPEN} OR kind = 'new' AND worker IS NOT NULL)"  # noqa: S608
            " AND document::json ->> 'batch' = ?)"
        )
        with self._storage.reading() as db:
            return queued or bool(db.execute(query, (f"queue-{mark}",)).fetchone()[0])

    def places(self) -> dict[str, Place]:
        """Return every manifest by its mark, the newest last."""
        with self._storage.reading() as db:
            rows = db.execute("SELECT mark, root, manifest, host, inode FROM place ORDER BY at").fetchall()
        return {row[0]: Place(*row) for row in rows}

    def changed(self, known: Mapping[str, str]) -> list[Seen]:
        """Return those of the tasks whose row is another version than ``known`` (id to mark, "" for none)."""
        query = (
            "SELECT task.id, task.xmin::text, task.worker IS NOT NULL AND EXISTS (SELECT FROM worker"  # noqa: S608
            f" WHERE worker.id = task.worker AND worker.seen > {NOW} - ?) FROM unnest(?::text[], ?::text[])"
            " AS known (id, mark) JOIN task ON task.id = known.id WHERE task.xmin::text <> known.mark LIMIT ?"
        )
        with self._storage.reading() as db:
            values = (shared.LEASE_S, list(known), list(known.values()), MOST)
            rows = {row[0]: row[1:] for row in db.execute(query, values).fetchall()}
        if not rows:
            return []
        found = self._storage.tasks("WHERE id = ANY(?)", (list(rows),))
        return [Seen(rows[task.id][0], rows[task.id][1], task) for task in found]

    def lengths(self) -> dict[str, int]:
        """Return how many jobs wait in each queue of the line; none where there is no line yet."""
        with self._storage.reading() as db:
            if db.execute("SELECT to_regclass('wan_queue.procrastinate_jobs')").fetchone()[0] is None:
                return {}
            rows = db.execute(
                "SELECT queue_name, count(*) FROM wan_queue.procrastinate_jobs WHERE status = 'todo'"
                " GROUP BY 1 ORDER BY 1"
            ).fetchall()
        return {row[0]: int(row[1]) for row in rows}

    def states(self) -> dict[str, int]:
        """Return how many tasks are under way or in doubt, by state."""
        with self._storage.reading() as db:
            query = f"SELECT kind, count(*) FROM task WHERE {tasks.IS_OPEN} GROUP BY 1 ORDER BY 1"  # noqa: S608 - ours
            return {row[0]: int(row[1]) for row in db.execute(query).fetchall()}

    def idle(self, ids: Sequence[str]) -> frozenset[str]:
        """Return which of these tasks are planned, and held by nobody who is alive."""
        query = (
            "SELECT id FROM task WHERE id = ANY(?) AND kind = 'new' AND NOT EXISTS (SELECT FROM worker"  # noqa: S608
            f" WHERE worker.id = task.worker AND worker.seen > {NOW} - ?)"
        )
        with self._storage.reading() as db:
            return frozenset(row[0] for row in db.execute(query, (list(ids), shared.LEASE_S)).fetchall())


MOST = 1_000
"""Tasks that one look brings at a time; the next look brings the rest."""
