"""The ledger: every task, durably, before its request is sent (reliability.md, sections 4.3 and 4.4).

Two files in one folder of mode 0700, both 0600: ``ledger.db`` (SQLite) is the truth; ``journal.jsonl`` has a line a
transition, synced before the transaction commits, and can rebuild the other. ``sqlite3`` is imported nowhere else.
"""

from __future__ import annotations

from wan_cli.ledger.attempts import MAX_RAW, Attempt
from wan_cli.ledger.journal import damaged_lines, rebuild
from wan_cli.ledger.store import Ledger

__all__ = ["MAX_RAW", "Attempt", "Ledger", "damaged_lines", "rebuild"]
