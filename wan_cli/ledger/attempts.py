"""What was sent for a task, and what came back: the evidence for ``wan recover``."""

from __future__ import annotations

from wan_cli.dataclass import dataclass
from wan_cli.errors import StateUnusable
from wan_cli.ledger.database import Database

MAX_RAW = 8 * 1024 * 1024
"""Bytes of an answer that are kept (reliability.md 4.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request of a task. ``at`` is when it began (epoch s); ``verdict`` is ``None`` until it was answered.

    ``body`` has placeholders instead of pictures, and is ``None`` where prompts are not stored; ``body_sha256`` is
    the hash, in hex, of the bytes that were sent. ``raw`` is at most the first 8 MiB of the answer.
    """

    task_id: str
    n: int
    at: float
    body: str | None
    body_sha256: str
    verdict: str | None = None
    http_status: int | None = None
    raw: bytes | None = None


def begin(db: Database, attempt: Attempt) -> None:
    """Record a request that is about to be sent.

    One that was recorded and never answered may be recorded again (a crash before the send); one with an answer is
    evidence, and ``StateUnusable`` is raised.
    """
    changed = db.execute(
        "INSERT INTO attempt (task, n, at, body, body_sha256) VALUES (?, ?, ?, ?, ?) ON CONFLICT (task, n) DO UPDATE"
        " SET at = excluded.at, body = excluded.body, body_sha256 = excluded.body_sha256 WHERE attempt.verdict IS NULL",
        (attempt.task_id, attempt.n, attempt.at, attempt.body, attempt.body_sha256),
    ).rowcount
    if changed == 0:  # negative: PostgreSQL has refused it already, or it has not been sent there yet
        msg = f"attempt {attempt.n} of task {attempt.task_id} was made before and has its answer"
        raise StateUnusable(msg, hint=f"wan recover {attempt.task_id}")


def answer(db: Database, attempt: Attempt) -> None:
    """Record the answer, also to a request that was not recorded: an answer is never thrown away."""
    db.execute(
        "INSERT INTO attempt (task, n, at, body_sha256, verdict, http_status, raw) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (task, n) DO UPDATE"
        " SET verdict = excluded.verdict, http_status = excluded.http_status, raw = excluded.raw",
        (
            attempt.task_id, attempt.n, attempt.at, attempt.body_sha256, attempt.verdict, attempt.http_status,
            attempt.raw,
        ),
    )  # fmt: skip


def of_task(db: Database, task_id: str) -> list[Attempt]:
    """Return the attempts of a task, in order."""
    rows = db.execute(
        "SELECT task, n, at, body, body_sha256, verdict, http_status, raw FROM attempt WHERE task = ? ORDER BY n",
        (task_id,),
    )
    names = ("task_id", "n", "at", "body", "body_sha256", "verdict", "http_status", "raw")
    return [Attempt(**dict(zip(names, row, strict=True))) for row in rows]
