"""The ledger that several machines share: one schema, ``wan``, in a PostgreSQL database (extra ``[distributed]``).

The server's own write-ahead log stands where a ledger of one machine has its journal: whatever is committed is durable,
and nothing is acknowledged before. psycopg is imported here and nowhere else, once an address is given.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from wan_cli.errors import ConfigInvalid
from wan_cli.extras import install

if TYPE_CHECKING:
    from wan_cli.ledger.postgres.shared import SharedLedger


def require() -> None:
    """Raise ``ConfigInvalid`` where the extra ``[distributed]`` is missing; nothing of it is imported here."""
    if not (find_spec("psycopg") and find_spec("procrastinate")):
        raise ConfigInvalid(
            "a queue needs psycopg and procrastinate (the extra [distributed]), which are not installed",
            hint=install("distributed"),
        )


def opened(url: str, *, store_prompts: bool, clock: Callable[[], float]) -> SharedLedger:
    """Open the ledger at ``url``; see :meth:`wan_cli.ledger.Ledger.open_url`."""
    require()
    from wan_cli.ledger.postgres.server import Server
    from wan_cli.ledger.postgres.shared import SharedLedger
    from wan_cli.ledger.postgres.storage import Storage

    return SharedLedger(Storage(Server(url)), store_prompts=store_prompts, clock=clock)
