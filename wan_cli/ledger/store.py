"""The ledger itself: each method one durable transaction, or one question; in whichever database."""

from __future__ import annotations

import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wan_cli.errors import StateUnusable
from wan_cli.ledger import attempts, durations, tasks, uploads
from wan_cli.ledger.attempts import MAX_RAW, Attempt
from wan_cli.ledger.database import Database, Store
from wan_cli.ledger.group import Call, Ended, committed
from wan_cli.ledger.lookups import Lookups
from wan_cli.models import Task, Upload
from wan_cli.record import Document, forget_prompt, hide, private_texts, texts_in_answer, to_document

if TYPE_CHECKING:
    from wan_cli.ledger.local import LocalLedger
    from wan_cli.ledger.postgres.shared import SharedLedger
    from wan_cli.ledger.turns import Limits


class Ledger(Lookups, ABC):
    """Every task of this machine, or of several. Used from one thread; any number of processes may have it open.

    Every method raises ``StateUnusable`` when the ledger cannot be read or written; then nothing was committed, or
    (the connection to a server was lost in the commit) nobody knows: whoever asked takes it for not written.
    """

    def __init__(self, storage: Store, *, store_prompts: bool, clock: Callable[[], float]) -> None:
        """Use :meth:`open` or :meth:`open_url`."""
        super().__init__(storage)
        self._store_prompts = store_prompts
        self._clock = clock
        self._given: set[str] = set()
        self._private: dict[str, tuple[str, ...]] = {}
        self._took: list[durations.Duration] = []

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        store_prompts: bool = True,
        clock: Callable[[], float] = time.time,
        boot_id: str | None = None,
    ) -> LocalLedger:
        """Open ``folder/ledger.db`` and ``folder/journal.jsonl``, made where they are not there.

        ``clock`` gives seconds since the epoch; ``boot_id`` replaces the system's. Without ``store_prompts`` only
        hashes of the user's texts are kept. Raises ``StateUnusable`` when the files cannot be written, are not
        private, damaged, or of a newer ``wan``; nothing is ever started afresh in their place.
        """
        from wan_cli.ledger.local import LocalLedger
        from wan_cli.ledger.storage import Storage

        return LocalLedger(Storage(folder, clock), store_prompts=store_prompts, clock=clock, boot_id=boot_id)

    @classmethod
    def open_url(cls, url: str, *, store_prompts: bool = True, clock: Callable[[], float] = time.time) -> SharedLedger:
        """Open the ledger that several machines share, in the PostgreSQL database at ``postgresql://…``.

        Its tables are made, in a schema of their own, where they are not there. Raises ``ConfigInvalid`` without the
        extra ``[distributed]``, ``UsageError`` for another kind of address, and ``StateUnusable`` when the database
        cannot be reached or written, is another program's, or of a newer ``wan``.
        """
        from wan_cli.ledger.postgres import opened

        return opened(url, store_prompts=store_prompts, clock=clock)

    @property
    def name(self) -> str:
        """What messages call it: a path, or an address without a password."""
        return self._storage.name

    @property
    def limits(self) -> Limits | None:
        """What gives out turns to all workers of a ledger that is shared; ``None`` where a process is alone."""
        return None

    def close(self) -> None:
        """Close it. What was written is durable already."""
        self._storage.close()

    def __enter__(self) -> Self:
        """Return the ledger itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, whatever happened."""
        self.close()

    # -- writing tasks

    def add(self, new: Sequence[Task]) -> None:
        """Add tasks that are not in the ledger, all of them or none."""
        with self._storage.writing() as db:
            self._add(db, new)

    def add_or_find(self, user_key: str, new: Sequence[Task]) -> list[Task]:
        """Return the tasks that have ``user_key``, ordered by item; when there are none, add ``new`` and return it.

        One transaction: of several processes that do this at once with one key, one adds and all get its tasks.
        """
        with self._storage.writing() as db:
            self._storage.alone(db, user_key)
            found = self._storage.tasks("WHERE user_key = ? ORDER BY item, rowid", (user_key,))
            if found:
                return found
            self._add(db, new)
        return list(new)

    def save(self, task: Task) -> None:
        """Record the state that ``task`` has reached. A task that is not in the ledger is put there."""
        with self._storage.writing() as db:
            doc, now = self.document(task), self._clock()
            self._guard(db, task.id, created=task.created_at)
            self._storage.tell([{"at": now, "task": doc}])
            tasks.upsert(db, doc, now, self._storage.dialect)
            durations.record(db, self._took, now)
            self._renew(db, task.id, now)
        self._took.clear()
        self._given.discard(task.id)  # it is in the database now, where new_id looks

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make what the methods that are called within write one transaction: all of it is durable at the end."""
        took = list(self._took)
        try:
            with self._storage.together():
                yield
        except BaseException:
            self._took[:] = took
            raise

    def all_of(self, calls: Sequence[Call]) -> list[Ended]:
        """Make calls of these methods in one transaction, or each in its own; see :mod:`wan_cli.ledger.group`."""
        return committed(calls, self.together)

    def learn_duration(self, provider: str, origin: str, model: str, *, least: float, most: float) -> None:
        """Note between which seconds a task ended: written with the next task that is saved, so it costs no sync."""
        self._took.append((provider, origin, model, least, most))

    def durations(self, provider: str, origin: str, model: str, *, limit: int) -> list[tuple[float, float]]:
        """Return between which seconds the newest tasks of that model ended, oldest first."""
        with self._storage.reading() as db:
            return durations.newest(db, (provider, origin, model), limit)

    def forget(self, *, finished_before: float) -> int:
        """Forget the tasks that ended (saved, failed, cancelled, lost) before that time; return how many.

        With them go their attempts, their lines in the journal, uploads and durations of that age. Open and unknown
        tasks stay, however old. What was deleted is overwritten with zeros.
        """
        with self._storage.writing() as db:
            db.execute("DELETE FROM upload WHERE at < ?", (finished_before,))
            durations.forget(db, finished_before)
            ended = f"{tasks.IS_FINISHED} AND finished < ?"
            rows = db.execute(f"SELECT id FROM task WHERE {ended}", (finished_before,)).fetchall()  # noqa: S608 - ours
            if rows:
                self._storage.tell([{"at": self._clock(), "forget": [row[0] for row in rows]}])
                db.execute(f"DELETE FROM task WHERE {ended}", (finished_before,))  # noqa: S608 - ours
                self._storage.shorten()
        self._storage.scrub()
        return len(rows)

    def drop(self, task_id: str) -> None:
        """Forget one task: a placeholder for a handle, of which nothing is known that another task does not say."""
        with self._storage.writing() as db:
            self._guard(db, task_id)
            self._storage.tell([{"at": self._clock(), "forget": [task_id]}])
            db.execute("DELETE FROM task WHERE id = ?", (task_id,))

    def new_id(self, entropy: Callable[[int], bytes] = os.urandom) -> str:
        """Return an id that no task here has, and that was not returned before.

        It has 6 characters, 8 when those are crowded; 8 and 10 where other machines give out ids at the same time.
        """
        with self._storage.reading() as db:
            found = tasks.free_id(db, self._given, entropy, self._storage.dialect.id_lengths)
        if found is None:
            msg = f"no free id was found for the ledger {self.name}"
            raise StateUnusable(msg, hint="wan status --prune 30d")
        self._given.add(found)
        return found

    # -- attempts, uploads, claims

    def record_attempt(self, task_id: str, n: int, *, body: str, body_sha256: str, at: float) -> None:
        """Record, before it is sent, the ``n``-th request of a task. ``body`` has placeholders instead of pictures.

        Raises ``StateUnusable`` when that attempt already has an answer.
        """
        kept = body if self._store_prompts else None
        with self._storage.writing() as db:
            self._guard(db, task_id, attempt=n)
            attempts.begin(db, Attempt(task_id=task_id, n=n, at=at, body=kept, body_sha256=body_sha256))

    def record_answer(self, task_id: str, n: int, *, verdict: str, http_status: int | None, raw: bytes | None) -> None:
        """Record what came back, before anything else is done with it. Of ``raw`` the first 8 MiB are kept.

        Where prompts are not stored, what it quotes of the texts that this process has seen in the task, and what it
        calls a prompt itself, is replaced.
        """
        if raw is not None and not self._store_prompts:
            text = raw.decode("utf-8", "surrogateescape")
            secrets = (*texts_in_answer(text), *self._private.get(task_id, ()))
            raw = hide(text, secrets).encode("utf-8", "surrogateescape")
        kept = None if raw is None else raw[:MAX_RAW]
        found = Attempt(
            task_id=task_id, n=n, at=self._clock(), body=None, body_sha256="", verdict=verdict,
            http_status=http_status, raw=kept,
        )  # fmt: skip
        with self._storage.writing() as db:
            attempts.answer(db, found)

    def attempts(self, task_id: str) -> list[Attempt]:
        """Return what was sent for a task and what came back, in order."""
        with self._storage.reading() as db:
            return attempts.of_task(db, task_id)

    def remember_upload(self, *, sha256: str, provider: str, origin: str, key_print: str, upload: Upload) -> None:
        """Keep where the file with this content was uploaded to, with the key of this fingerprint."""
        with self._storage.writing() as db:
            place = uploads.Place(sha256, provider, origin, key_print)
            uploads.remember(db, place, upload, self._clock())

    def known_upload(
        self, *, sha256: str, provider: str, origin: str, key_print: str, now: float, max_age_s: float = 86_400
    ) -> Upload | None:
        """Return an earlier upload that still holds at ``now``: until it expires where that is known, else by age.

        86,400 s: the life of an address that no provider documents (reliability.md 4.1).
        """
        with self._storage.reading() as db:
            return uploads.known(db, uploads.Place(sha256, provider, origin, key_print), now, max_age_s)

    def claim(self, task_id: str) -> bool:
        """Make this process the one that works on the task; say no when another one that is alive does.

        What a dead process left is taken over, and a task that is one's own already may be claimed again.
        """
        with self._storage.writing() as db:
            return self._take(db, task_id, self._clock())

    def release(self, task_id: str) -> None:
        """Let other processes have the task. Nothing happens when it is another's."""
        with self._storage.writing() as db:
            self._drop(db, task_id)

    # -- inside

    @abstractmethod
    def _take(self, db: Database, task_id: str, now: float) -> bool:
        """Make this process the owner unless another one that is alive is. Runs inside a write transaction."""

    @abstractmethod
    def _renew(self, db: Database, task_id: str, now: float) -> None:
        """Note that this process is alive, if it owns the task."""

    @abstractmethod
    def _drop(self, db: Database, task_id: str) -> None:
        """Give up ownership, if it is this process's."""

    @abstractmethod
    def _guard(self, db: Database, task_id: str, *, attempt: int | None = None, created: float | None = None) -> None:
        """Refuse what is about to be written of a task by a process that lost it to another."""

    def _add(self, db: Database, new: Iterable[Task]) -> None:
        now = self._clock()
        docs = [self.document(task) for task in new]
        self._storage.tell({"at": now, "task": doc} for doc in docs)
        for doc in docs:
            tasks.insert(db, doc, now, self._storage.dialect)

    def document(self, task: Task) -> Document:
        """Return the task as it is written down: without the user's texts where those are not stored."""
        doc = to_document(task)
        if self._store_prompts:
            return Document(doc)
        self._private[task.id] = tuple(dict.fromkeys((*self._private.get(task.id, ()), *private_texts(doc))))
        return Document(forget_prompt(doc, also=self._private[task.id]))
