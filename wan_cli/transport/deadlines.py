"""How long a request may take, and how long its answer may be (reliability.md section 5)."""

from __future__ import annotations

from wan_cli.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds, and bytes of an answer; tests divide them.

    ``turn`` is for a connection to be free, before anything is sent; the totals begin after it. In that time the
    questions about 600 tasks are answered over 16 connections where each takes 3 s. Uploads take longer than questions,
    and so does waiting for them.
    """

    turn: float = 120.0
    connect: float = 10.0
    submit_read: float = 60.0
    submit_total: float = 90.0
    sync_read: float = 600.0
    sync_total: float = 660.0
    poll_total: float = 30.0
    upload_total: float = 600.0
    write: float = 60.0
    answer_bytes: int = 8 * 1024 * 1024
    b64_bytes: int = 48 * 1024 * 1024

    def of(self, *, paid: bool, sync: bool, upload: bool) -> tuple[float, dict[str, float]]:
        """Return a request's whole time once it has its turn, and its parts as httpx has them."""
        read = self.sync_read if sync else self.submit_read if paid or upload else self.poll_total
        total = self.sync_total if sync else self.submit_total if paid else self.poll_total
        turn = self.upload_total if upload else self.turn
        parts = {"connect": self.connect, "read": read, "write": self.write, "pool": turn}
        return self.upload_total if upload else total, parts
