"""The tables in PostgreSQL: how they are made, checked and brought up to date.

They are those of SQLite, but who works on a task stands in the task itself (``worker``, and ``fence``, which grows with
every change of hands), and there are workers, and the limits that they share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.errors import StateUnusable

if TYPE_CHECKING:
    from wan_cli.ledger.postgres.server import Connection

OLDEST_SERVER = 13
"""What is used here is in every version since; older ones get no mends (postgresql.org/support/versioning)."""

LOCK = 0x77616E31
"""``wan1``: whoever makes or migrates the tables holds this advisory lock."""

NOW = "extract(epoch FROM clock_timestamp())::double precision"
"""The server's clock, epoch s: leases are measured with it alone, for machines do not agree on the time."""

_FIRST = """
CREATE TABLE about (application text NOT NULL, version integer NOT NULL);
INSERT INTO about VALUES ('wan ledger', 0);
CREATE TABLE task (
    id text COLLATE "C" PRIMARY KEY, rowid bigint GENERATED ALWAYS AS IDENTITY UNIQUE, kind text NOT NULL,
    provider text NOT NULL, task_id text, user_key text, item integer NOT NULL, charged text NOT NULL,
    created double precision NOT NULL, finished double precision, document text NOT NULL,
    expires_at double precision, submitted_at double precision, made text[],
    worker text, fence bigint NOT NULL DEFAULT 0);
CREATE INDEX task_open ON task (created, rowid) WHERE
    (kind IN ('sending', 'pending', 'done', 'unknown') OR (kind = 'new' AND charged <> 'no'));
CREATE INDEX task_lost ON task (expires_at) WHERE kind = 'lost';
CREATE INDEX task_handle ON task (provider, task_id) WHERE task_id IS NOT NULL;
CREATE INDEX task_user_key ON task (user_key) WHERE user_key IS NOT NULL;
CREATE INDEX task_created ON task (created, rowid);
CREATE INDEX task_made ON task USING gin (made) WHERE kind = 'saved';
CREATE TABLE attempt (
    task text COLLATE "C" NOT NULL REFERENCES task (id) ON DELETE CASCADE, n integer NOT NULL,
    at double precision NOT NULL, body text, body_sha256 text NOT NULL, verdict text, http_status integer, raw bytea,
    PRIMARY KEY (task, n));
CREATE TABLE upload (
    sha256 text NOT NULL, provider text NOT NULL, origin text NOT NULL, key_print text NOT NULL,
    at double precision NOT NULL, url text NOT NULL, file_id text, duration_token text, expires_at double precision,
    PRIMARY KEY (sha256, provider, origin, key_print));
CREATE TABLE duration (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, provider text NOT NULL, origin text NOT NULL,
    model text NOT NULL, least double precision NOT NULL, most double precision NOT NULL, at double precision NOT NULL);
CREATE INDEX duration_of ON duration (provider, origin, model, id);
CREATE TABLE worker (
    id text PRIMARY KEY, host text NOT NULL, pid integer NOT NULL, started text NOT NULL,
    seen double precision NOT NULL);
CREATE TABLE pace (
    provider text NOT NULL, key_print text NOT NULL, most double precision NOT NULL, limited double precision NOT NULL,
    per_minute double precision, rate double precision, next_at double precision NOT NULL DEFAULT 0,
    closed_until double precision NOT NULL DEFAULT 0, cut_at double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (provider, key_print));
CREATE TABLE turn (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, provider text NOT NULL, key_print text NOT NULL,
    batch text NOT NULL, worker text NOT NULL, at double precision NOT NULL);
CREATE INDEX turn_of ON turn (provider, key_print);
CREATE TABLE batch (
    provider text NOT NULL, key_print text NOT NULL, name text NOT NULL, served double precision NOT NULL,
    seen double precision NOT NULL, PRIMARY KEY (provider, key_print, name));
CREATE TABLE waiting (
    provider text NOT NULL, key_print text NOT NULL, batch text NOT NULL, worker text NOT NULL,
    at double precision NOT NULL, PRIMARY KEY (provider, key_print, batch, worker));

CREATE FUNCTION permit(name text, token bigint, attempted integer, born double precision) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE held record;
BEGIN
    SELECT worker, fence, created INTO held FROM wan.task WHERE id = name FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF held.created <> born THEN
        RAISE EXCEPTION USING ERRCODE = 'WAN03',
            MESSAGE = format('another task has the id %s already; nothing was bought', name), HINT = 'try again';
    END IF;
    IF (CASE WHEN token IS NULL THEN held.worker IS NOT NULL ELSE held.fence <> token END) THEN
        RAISE EXCEPTION USING ERRCODE = 'WAN01',
            MESSAGE = format('another worker has the task %s; this one may write nothing of it', name),
            HINT = format('wan status %s', name);
    END IF;
    IF EXISTS (SELECT FROM wan.attempt WHERE task = name AND n = attempted AND verdict IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'WAN02',
            MESSAGE = format('attempt %s of task %s was made before and has its answer', attempted, name),
            HINT = format('wan recover %s', name);
    END IF;
END $$;
"""

_QUEUE = """
CREATE TABLE crew (
    worker text PRIMARY KEY REFERENCES worker (id) ON DELETE CASCADE, wan text NOT NULL, jobs integer NOT NULL);
CREATE TABLE place (
    mark text PRIMARY KEY, root text NOT NULL, manifest text NOT NULL, host text NOT NULL, inode text NOT NULL,
    at double precision NOT NULL);
CREATE TABLE line (procrastinate text NOT NULL);
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _QUEUE)
"""In order: the n-th brings ``about.version`` from n-1 to n. Released ones are never edited."""


class NewerWan(StateUnusable):
    """A newer wan has changed the tables: this one has to stop, and to be upgraded."""


def prepare(connection: Connection, name: str) -> None:
    """Make or migrate the tables where that is needed. Raises ``StateUnusable``, and the errors of psycopg."""
    version = connection.info.server_version // 10_000
    if version < OLDEST_SERVER:
        message = f"the server of {name} is PostgreSQL {version}; at least {OLDEST_SERVER} is needed"
        raise StateUnusable(message, hint="use a newer server")
    if version_of(connection, name) == len(MIGRATIONS):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        # Asked again under the lock: another process may have made or migrated them meanwhile.
        there = version_of(connection, name)
        if there is None:
            connection.execute("CREATE SCHEMA IF NOT EXISTS wan")
        for number in range(there or 0, len(MIGRATIONS)):
            connection.execute(MIGRATIONS[number])
            connection.execute("UPDATE about SET version = %s", (number + 1,))


def version_of(connection: Connection, name: str) -> int | None:
    """Return the version of the tables, ``None`` where there are none. Raises ``StateUnusable`` for newer or others."""
    # Asked of the catalogue as a table: functions like to_regclass may still not know what was made a moment ago.
    tables = (
        "SELECT relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE nspname = 'wan' AND relkind IN ('r', 'p', 'v') ORDER BY relname = 'about' DESC, relname LIMIT 1"
    )
    found = connection.execute(tables).fetchone()
    if found is None:
        return None
    if found[0] != "about":
        raise _foreign(name, found[0])
    columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'wan.about'::regclass AND attname = ANY(%s)"
    if connection.execute(columns, (["application", "version"],)).fetchone() != (2,):
        raise _foreign(name, "about")
    row = connection.execute("SELECT application, version FROM wan.about").fetchone()
    if row is None or row[0] != "wan ledger":
        raise _foreign(name, "about")
    version = int(row[1])
    if version > len(MIGRATIONS):
        known = len(MIGRATIONS)
        message = f"the ledger {name} was written by a newer wan (version {version}; this one knows {known})"
        raise NewerWan(message, hint="upgrade this machine to the newest wan")
    return version


def _foreign(name: str, table: str) -> StateUnusable:
    message = f"{name} has a schema wan that is no ledger of wan (it has {table}); nothing was made or changed there"
    return StateUnusable(message, hint="use another database: createdb wan")
