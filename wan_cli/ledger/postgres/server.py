"""A connection to the server, made again when it is lost, and what goes wrong there in the words of our errors.

A password is in no message: what libpq says of an address that it cannot read may quote it, so that is left out.
"""

from __future__ import annotations

import contextlib
import logging
import select
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from wan_cli.errors import StateUnusable, UsageError
from wan_cli.pattern import pattern

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

SCHEMES = ("postgresql://", "postgres://")
CONNECT_S = 10
"""Seconds that one attempt to connect may take, and several together: a server that restarts is back in less."""
AGAIN_S = 0.1
"""Pause between attempts."""
GIVE_UP_S = 5.0
"""After attempts in vain the next calls fail at once for so long: a server that is away must not cost each of them."""
BUSY_MS = 10_000
"""How long a statement waits for another transaction's lock: as in SQLite (reliability.md 4.3)."""

_SETTINGS = {
    "search_path": "wan",
    # Whatever role and database say: what is acknowledged is on disk (reliability.md 4.3).
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "lock_timeout": str(BUSY_MS),
    "idle_in_transaction_session_timeout": "60000",
    "client_min_messages": "error",
}
_ALIVE = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
"""A machine that vanished is noticed in half a minute, not in the two hours of the system's default."""

_OURS = "WAN"
"""How the SQLSTATEs of our own refusals begin (``schema.py``); what they say is for the user as it is."""
_DENIED = frozenset({"42501", "25006"})
"""No permission, and read-only."""
_FINAL = pattern(r"authentication|password|does not exist|pg_hba|permission denied|certificate|SSL|read-only")
"""What libpq says (in words alone) where asking again is of no use."""


class Server:
    """Where the ledger is. ``clock`` counts seconds, and is asked for nothing but how long a wait was."""

    def __init__(
        self, url: str, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Read the address. Raises ``UsageError`` for one that is none."""
        if not url.startswith(SCHEMES):
            raise UsageError("a shared ledger has an address like postgresql://USER@HOST/DATABASE")
        try:
            self._how = conninfo_to_dict(url)
        except psycopg.Error:
            # Not with what libpq says: it quotes the part that it cannot read, which may be the password.
            raise UsageError(
                "the address of the PostgreSQL database cannot be read",
                hint="write reserved characters of user and password as %XX, or set PGUSER and PGPASSWORD",
            ) from None
        host, port = self._how.get("host") or self._how.get("hostaddr"), self._how.get("port")
        database, on_socket = self._how.get("dbname") or "", str(host or "").startswith("/")
        place = "" if on_socket else f"{host or 'localhost'}{f':{port}' if port else ''}"
        self.name = f"postgresql://{place}/{database}{f'?host={host}' if on_socket else ''}"
        self._clock, self._sleep = clock, sleep
        self._down: tuple[float, StateUnusable] | None = None
        logging.getLogger("psycopg").addHandler(logging.NullHandler())

    def connect(self, *, again: bool = False) -> Connection:
        """Return a new connection; ``again``: ask for so long as a restart takes. Raises ``StateUnusable``."""
        begun = self._clock()
        if self._down is not None and begun - self._down[0] < GIVE_UP_S:
            raise self._down[1]
        while True:
            try:
                made = self._connect()
            except psycopg.Error as error:
                if not again or _FINAL.search(str(error)) or self._clock() - begun >= CONNECT_S:
                    failure = self.unusable(error, "reached")
                    self._down = self._clock(), failure
                    raise failure from None
                self._sleep(AGAIN_S)
            else:
                self._down = None
                return made

    def _connect(self) -> Connection:
        how: dict[str, Any] = {
            "connect_timeout": CONNECT_S,
            "target_session_attrs": "read-write",
            **_ALIVE,
            **self._how,
        }
        # Nothing is prepared: psycopg takes for prepared what a pipeline that failed never did, and a connection pool
        # between us and the server (pgbouncer) may not know of it either.
        made = psycopg.connect(
            **how, autocommit=True, prepare_threshold=None, application_name="wan", client_encoding="utf8"
        )
        try:
            calls = ", ".join(["set_config(%s, %s, false)"] * len(_SETTINGS))
            made.execute(f"SELECT {calls}", [word for pair in _SETTINGS.items() for word in pair])
        except BaseException:
            made.close()
            raise
        return made

    def unusable(self, error: BaseException, doing: str) -> StateUnusable:
        """Return what an error of the database means; ``doing`` is "reached", "opened", "read" or "written"."""
        state, said = getattr(error, "sqlstate", None) or "", getattr(error, "diag", None)
        primary = getattr(said, "message_primary", None)
        if state.startswith(_OURS):
            return StateUnusable(primary or "", hint=getattr(said, "message_hint", None) or "")
        reason = " ".join(self._without_password(primary or str(error)).split())
        message = f"the ledger {self.name} cannot be {doing}: {reason}"
        if state in _DENIED or (doing == "reached" and _FINAL.search(reason)):
            return StateUnusable(message, hint="check the address, PGUSER and PGPASSWORD, and the role's rights")
        if state.startswith("23"):  # a constraint: somebody else was faster, or it is a bug
            return StateUnusable(message, hint="wan status")
        if state == "55P03":
            return StateUnusable(message, hint="another wan process holds it; wait for that, and try again")
        return StateUnusable(message, hint="check that the database server runs and can be reached, and try again")

    def _without_password(self, text: str) -> str:
        password = self._how.get("password")
        return text.replace(str(password), "***") if password else text

    @contextlib.contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turn any error of the database inside into ``StateUnusable``."""
        try:
            yield
        except (psycopg.Error, OSError, UnicodeError) as error:
            raise self.unusable(error, doing) from error


def is_idle(connection: Connection) -> bool:
    """Tell whether a connection is there and between transactions, without asking the server.

    A server that was stopped has said so, or closed its end: there is something to read that nobody asked for.
    """
    if connection.closed:
        return False
    try:
        for _ in range(2):  # its last words, and the end
            connection.pgconn.consume_input()
    except psycopg.Error:
        connection.close()
        return False
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        connection.close()
        return False
    return True


def push(connection: Connection) -> None:
    """Send all that was said, also an answer of megabytes.

    psycopg 3.3 waits for what the server says in a pipeline without having sent the rest of what does not fit into the
    socket's buffer, and the server waits for that: both for ever.
    """
    while connection.pgconn.flush():
        readable, _, _ = select.select([connection], [connection], [])
        if readable:
            connection.pgconn.consume_input()
