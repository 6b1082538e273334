"""What ten million tasks cost a shared ledger: bytes a row of each table and index, and the plans of what is asked.

``python tests/benchmarks/paper.py [ROWS]`` fills a server of its own with real rows (200,000; what the ledger wrote of
one task, copied under other names, in the order of the dice) and prints Markdown tables; the estimate is for TASKS.
"""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import support_postgres
from ledger import a_task, moved, say

from wan_cli.dataclass import replace
from wan_cli.ledger import Ledger
from wan_cli.ledger.postgres.shared import SharedLedger
from wan_cli.ledger.tasks import ALPHABET

TASKS = 10_000_000
OPEN_SHARE = 0.01
"""Tasks that are under way at a time; a worker has some hundreds."""
DICE = random.Random(10)  # noqa: S311 - a benchmark's
RUNS = 5
QUEUE = "wan_queue"
CHUNK = 20_000
OF_THE_LEDGER = (
    "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE nspname = 'wan' AND relkind = 'r'"
)


def name() -> str:
    """Return a random id, as the ledger gives them out there."""
    return "".join(DICE.choices(ALPHABET, k=8))


def planned(task_id: str) -> Any:
    """Return a task as a queue plans it."""
    task = a_task(task_id, 1.7e9)
    return replace(task, user_key=f"render:7c1d0f32b9a4e856:{task_id}:1", batch="queue-7c1d0f32b9a4e856", item=1)


def fill(server: support_postgres.PostgresServer, rows: int) -> None:
    """Copy what the ledger wrote of a task that was saved, and of one that is open, so many times."""
    import psycopg

    tables = {"task": "id", "attempt": "task"}
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("SET search_path = wan")
        models: dict[str, dict[str, tuple[list[str], list[str]]]] = {"saved": {}, "open": {}}
        for table, key in tables.items():
            columns = [
                row[0] for row in connection.execute(
                    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
                    " AND NOT attisdropped AND attidentity = '' ORDER BY attnum",
                    (f"wan.{table}",),
                )
            ]  # fmt: skip
            for kind, model in (("saved", "aaaaaaaa"), ("open", "bbbbbbbb")):
                chosen = ", ".join(f"{column}::text" for column in columns)
                found = connection.execute(f"SELECT {chosen} FROM {table} WHERE {key} = %s", (model,)).fetchone()  # noqa: S608
                if found is not None:
                    models[kind][table] = (columns, list(found))
        for begun in range(0, rows, CHUNK):
            names = [
                (name(), "open" if DICE.random() < OPEN_SHARE else "saved") for _ in range(min(CHUNK, rows - begun))
            ]
            for table in tables:
                columns = models["saved"][table][0]
                with connection.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                    for number, (task, kind) in enumerate(names):
                        if table not in models[kind]:
                            continue
                        row = [None if said is None else re.sub("aaaaaaaa|bbbbbbbb", task, said)
                               for said in models[kind][table][1]]  # fmt: skip
                        if "created" in columns:
                            row[columns.index("created")] = str(1.7e9 + begun + number)
                        copy.write_row(row)
        connection.execute("ANALYZE")


def line_up(server: support_postgres.PostgresServer, rows: int) -> None:
    """Make a queue of Procrastinate with that many jobs that wait."""
    import psycopg
    from procrastinate.schema import SchemaManager

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {QUEUE}".encode())
        connection.execute(f"SET search_path = {QUEUE}".encode())
        connection.execute(SchemaManager.get_schema().encode())
        for begun in range(0, rows, CHUNK):
            names = [name() for _ in range(min(CHUNK, rows - begun))]
            connection.execute(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, args)"
                " SELECT '7c1d0f32b9a4.rivya.5f1b2c3d', 'wan.make', id, jsonb_build_object('task', id)"
                " FROM unnest(%s::text[]) AS id",
                (names,),
            )
        connection.execute("ANALYZE")


def sizes(server: support_postgres.PostgresServer, rows: int) -> None:
    """Print what each table and index has, in bytes a task."""
    found = server.ask(
        "SELECT nspname || '.' || relname, relkind, pg_table_size(c.oid) FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = relnamespace WHERE nspname IN ('wan', %s) AND relkind IN ('r', 'i')"
        " AND pg_table_size(c.oid) > %s ORDER BY relkind DESC, 3 DESC",
        QUEUE, rows,
    )  # fmt: skip
    say("| table or index | bytes a task | at 10 million, GiB |\n|---|---:|---:|")
    total = 0.0
    for what, kind, size in found:
        total += size / rows
        say(f"| {'index ' if kind == 'i' else ''}`{what}` | {size / rows:,.0f} | {size / rows * TASKS / 2**30:,.1f} |")
    say(f"| all | {total:,.0f} | {total * TASKS / 2**30:,.1f} |\n")


class Spy:
    """Keeps the statements of a call, so that the server can be asked how it does them."""

    def __init__(self, ledger: SharedLedger) -> None:
        self.said: list[tuple[str, Any]] = []
        storage, execute = ledger._storage, ledger._storage.execute

        def heard(sql: str, values: Any = (), /) -> Any:
            self.said.append((sql, values))
            return execute(sql, values)

        storage.execute = heard  # type: ignore[method-assign]


def plan(server: support_postgres.PostgresServer, sql: str, values: Any) -> str:
    """Return which scans a statement is made of."""
    import psycopg

    with psycopg.connect(server.url) as connection:
        connection.execute("SET search_path = wan")
        translated = sql.replace("%", "%%").replace("?", "%s")
        rows = connection.execute(f"EXPLAIN (COSTS OFF) {translated}", values or None).fetchall()
        connection.rollback()
    scans = re.findall(r"(?:Seq Scan|Bitmap Index Scan|Index (?:Only )?Scan)(?: Backward)?(?: using \S+)?(?: on \S+)?",
                       "\n".join(row[0] for row in rows))  # fmt: skip
    return ", ".join(dict.fromkeys(scan.strip() for scan in scans))


def questions(server: support_postgres.PostgresServer, ledger: SharedLedger, rows: int) -> None:
    """Print how long the ledger's questions take there, and by which scans."""
    some = server.ask("SELECT id, task_id, user_key FROM wan.task WHERE kind = 'saved' ORDER BY id LIMIT 1 OFFSET 777")[
        0
    ]
    spy = Spy(ledger)

    def released(found: list[Any]) -> None:
        for task in found:
            ledger.release(task.id)

    asked: dict[str, Callable[[], object]] = {
        "get(ID)": lambda: ledger.get(some[0]),
        "claim, release": lambda: (ledger.claim(some[0]), ledger.release(some[0])),
        "find_handle": lambda: ledger.find_handle("rivya", some[1]),
        "by_user_key": lambda: ledger.by_user_key(some[2]),
        "take_over(50)": lambda: released(ledger.take_over(50)), "recent(50)": lambda: ledger.recent(50),
        "concerns()": ledger.concerns, "unknown_count()": ledger.unknown_count,
        "find_file(SHA256)": lambda: ledger.find_file("f" * 64), "workers()": ledger.workers,
        "heartbeat()": ledger.heartbeat,
    }  # fmt: skip
    say("| question | tasks there | ms | by |\n|---|---:|---:|---|")
    for what, ask in asked.items():
        taken = []
        for _ in range(RUNS):
            spy.said.clear()
            begun = time.perf_counter()
            ask()
            taken.append((time.perf_counter() - begun) * 1_000)
        told = [plan(server, sql, values) for sql, values in spy.said if re.match("SELECT|UPDATE", sql)]
        scans = ", ".join(dict.fromkeys(scan for each in told for scan in each.split(", ") if scan))
        say(f"| `{what}` | {rows:,} | {statistics.median(taken):.2f} | {scans} |")


def fetches(server: support_postgres.PostgresServer, rows: int) -> None:
    """Print how long it takes to take a job out of a line of that length."""
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"SET search_path = {QUEUE}".encode())
        (worker,) = connection.execute("SELECT worker_id FROM procrastinate_register_worker_v1()").fetchone() or (None,)
        begun = time.perf_counter()
        for _ in range(200):
            connection.execute("SELECT * FROM procrastinate_fetch_job_v2(%s, %s)",
                               (["7c1d0f32b9a4.rivya.5f1b2c3d"], worker))  # fmt: skip
    say(f"| take a job out of the line | {rows:,} | {(time.perf_counter() - begun) / 200 * 1_000:.2f} | its function |")


def main(rows: int = 200_000) -> None:
    """Measure a quarter of the rows, and all of them: what grows with them shows."""
    for there in (rows // 4, rows):
        with support_postgres.running() as server, Ledger.open_url(server.url) as ledger:
            asyncio.run(moved(ledger, [planned("aaaaaaaa")], 1))
            waiting = planned("bbbbbbbb")
            ledger.add([waiting])
            server.ask("UPDATE wan.task SET kind = 'pending', charged = 'yes' WHERE id = 'bbbbbbbb'")
            begun = time.perf_counter()
            fill(server, there)
            line_up(server, there)
            say(f"\n{there:,} tasks and jobs copied in {time.perf_counter() - begun:.0f} s\n")
            if there == rows:
                sizes(server, there)
            questions(server, ledger, there)
            fetches(server, there)
    with support_postgres.running() as server, Ledger.open_url(server.url) as ledger:
        count = 2_000
        for _ in range(2):  # the first time what is dead has no room that was made free
            asyncio.run(moved(ledger, [planned(name()) for _ in range(count)], 256))
            server.ask("VACUUM ANALYZE")
        before, log = server.ask(OF_THE_LEDGER)[0][0], server.ask("SELECT pg_current_wal_insert_lsn()")[0][0]
        asyncio.run(moved(ledger, [planned(name()) for _ in range(count)], 256))
        written = server.ask("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", log)[0][0] / count
        server.ask("VACUUM ANALYZE")
        grown = (server.ask(OF_THE_LEDGER)[0][0] - before) / count
    say(f"\n{count:,} more tasks through the ledger, every state written, after VACUUM: {grown:,.0f} bytes a task")
    say(f"written to the server's log meanwhile, without full pages: {written:,.0f} bytes a task")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
