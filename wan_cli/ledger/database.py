"""What the ledger needs of a database: little enough that SQLite and PostgreSQL both have it.

The SQL of the tables stands in one place for both, with ``?`` for values: upserts, partial indexes and ``rowid`` (for
PostgreSQL a column of that name) are the same; what is not is a :class:`Dialect`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from wan_cli.dataclass import dataclass
from wan_cli.models import Task


class Rows(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed; negative while nobody knows."""

    def fetchone(self) -> Any:
        """Return the next row, or ``None``."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """Yield them."""


class Database(Protocol):
    """A connection."""

    def execute(self, sql: str, values: Any = ..., /) -> Rows:
        """Run one statement, with a value for each ``?``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What the two databases say differently of a task."""

    columns: tuple[str, ...] = ()
    """Columns that only this one has."""
    more: Callable[[Mapping[str, Any]], tuple[Any, ...]] = lambda _: ()
    """Gives their values, from a task's document."""
    update: str | None = None
    """A cheaper statement for a task that is there, where that pays."""
    number: str
    """A number in the document, or ``NULL``: with ``%s`` for its name."""
    made: Callable[[str], tuple[str, tuple[object, ...]]]
    """Gives a condition, and its values, that holds for who saved a file with this sha256."""
    newest_of_them: str = "created DESC"
    """How those are put in order."""
    id_lengths: tuple[int, ...]
    """How many characters each try at a new id has."""


class Store(Protocol):
    """A database that is open, and whatever else makes its transactions durable."""

    dialect: Dialect

    @property
    def name(self) -> str:
        """How messages call it; never with a password."""

    def reading(self) -> AbstractContextManager[Database]:
        """Give the connection for a question; what goes wrong becomes ``StateUnusable``."""

    def writing(self) -> AbstractContextManager[Database]:
        """Give it for one transaction, durable at the end, or nothing of it when anything is raised."""

    def together(self) -> AbstractContextManager[None]:
        """Make everything that is written within one transaction."""

    def tell(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Note what the transaction under way is about, where anything beside the database has to know."""

    def alone(self, db: Database, what: str) -> None:
        """Let nobody else in who asks for the same until the transaction ends."""

    def tasks(self, rest: str, values: Iterable[object] = ()) -> list[Task]:
        """Return the tasks of ``SELECT document FROM task`` + ``rest``."""

    def shorten(self) -> None:
        """Leave nothing of forgotten tasks beside the database. Runs inside a write transaction."""

    def scrub(self) -> None:
        """Leave nothing of them in the database's own files, as far as that is ours."""

    def close(self) -> None:
        """Close it. What was written is durable already."""
