"""The ledger of several machines: leases that end, fences that hold, a server that is away, restarted or not ours."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from wan_cli.errors import ConfigInvalid, StateUnusable, UsageError
from wan_cli.extras import install
from wan_cli.ledger import Ledger
from wan_cli.models import Done, File, Job, New, Pending, Saved, Sending, State, Target, Task, Unknown

if TYPE_CHECKING:
    from support_postgres import PostgresServer

    from wan_cli.ledger.postgres.shared import SharedLedger

FORK = multiprocessing.get_context("fork")
SENDING = Sending(at=1.0)
PENDING = Pending(task_id="t-1")
PASSWORD = "hunter2-canary"


def a_task(name: str, state: State | None = None, **changes: Any) -> Task:
    """Return a task with the id ``name``."""
    task = Task(
        id=name, provider="rivya", origin="https://rivya.ai", provider_model="wan-2-7-image", token=f"wan-{name}",
        job=Job(verb="generate", provider="rivya", model="wan2.7-image", prompt="a fox"),
        target=Target(template="/out/{id}{ext}"), created_at=1_000.0, state=state or New(),
    )  # fmt: skip
    return replace(task, **changes)


@pytest.fixture
def one(postgres: PostgresServer) -> Iterator[SharedLedger]:
    """Open the ledger as a worker does."""
    with Ledger.open_url(postgres.url) as opened:
        yield opened


@pytest.fixture
def two(one: SharedLedger, postgres: PostgresServer) -> Iterator[SharedLedger]:
    """Open it as another one."""
    with Ledger.open_url(postgres.url) as opened:
        yield opened


def silent(server: PostgresServer, worker: SharedLedger, seconds: float = 61.0) -> None:
    """Let a worker not have been heard of for so long, by the server's clock."""
    server.ask("UPDATE wan.worker SET seen = seen - %s WHERE id = %s", seconds, worker.worker)


# -- who works on a task


def test_what_a_living_worker_has_nobody_takes(one: SharedLedger, two: SharedLedger, postgres: PostgresServer) -> None:
    """A claim holds until its worker was silent for a lease, is given back, and may be taken twice by its owner."""
    one.add([a_task("aaaaaa")])
    assert one.claim("aaaaaa")
    assert one.claim("aaaaaa")
    silent(postgres, one, 59.0)
    assert not two.claim("aaaaaa")
    two.release("aaaaaa")
    assert not two.claim("aaaaaa")
    one.release("aaaaaa")
    assert two.claim("aaaaaa")
    assert not one.claim("aaaaaa")


def test_a_heartbeat_and_a_save_are_signs_of_life(
    one: SharedLedger, two: SharedLedger, postgres: PostgresServer
) -> None:
    """Either renews the lease on all that a worker holds; a save does so every ten seconds at the most."""
    now = [0.0]
    one._monotonic = lambda: now[0]
    one.add([a_task("aaaaaa"), a_task("bbbbbb")])
    assert one.claim("aaaaaa")
    assert one.claim("bbbbbb")
    for alive in (one.heartbeat, partial(one.save, a_task("bbbbbb", SENDING))):
        silent(postgres, one)
        now[0] += 10.0
        alive()
        assert not two.claim("aaaaaa")
    silent(postgres, one)
    now[0] += 9.0
    one.save(a_task("bbbbbb", PENDING))
    assert [(found.id, found.alive, found.tasks) for found in two.workers()] == [
        (two.worker, True, 0), (one.worker, False, 1),
    ]  # fmt: skip
    assert two.claim("aaaaaa")


@pytest.mark.parametrize("released", [False, True], ids=["still held", "given back since"])
def test_two_owners_at_once_are_impossible(
    one: SharedLedger, two: SharedLedger, postgres: PostgresServer, *, released: bool
) -> None:
    """Who lost its lease may neither save, nor record a request, nor drop the task: nothing is sent by two."""
    one.add([a_task("aaaaaa"), a_task("bbbbbb")])
    assert one.claim("aaaaaa")
    assert one.claim("bbbbbb")
    silent(postgres, one)
    assert two.claim("aaaaaa")
    two.save(a_task("aaaaaa", SENDING))
    if released:
        two.release("aaaaaa")
    for late in (
        partial(one.save, a_task("aaaaaa", PENDING)), partial(one.drop, "aaaaaa"),
        partial(one.record_attempt, "aaaaaa", 1, body="x", body_sha256="y", at=1.0),
    ):  # fmt: skip
        with pytest.raises(StateUnusable, match="another worker has the task aaaaaa") as caught:
            late()
        assert caught.value.hint == "wan status aaaaaa"
        with pytest.raises(StateUnusable, match="another worker"):
            one.all_of([partial(one.save, a_task("bbbbbb", SENDING)), late])[1].result()
    one.release("aaaaaa")
    with pytest.raises(StateUnusable, match="another worker"):
        one.save(a_task("aaaaaa", PENDING))
    assert two.get("aaaaaa").state == SENDING
    assert two.get("bbbbbb").state == SENDING
    assert two.attempts("aaaaaa") == []


def test_what_was_given_back_may_still_be_saved_until_another_has_it(
    one: SharedLedger, two: SharedLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late save of one's own is taken, one that would undo another's is not; of many only the last are remembered."""
    from wan_cli.ledger.postgres import shared

    monkeypatch.setattr(shared, "REMEMBERED", 1)
    one.add([a_task("aaaaaa"), a_task("bbbbbb")])
    for name in ("bbbbbb", "aaaaaa"):
        assert one.claim(name)
        one.release(name)
    assert set(one._given_back) == {"aaaaaa"}
    one.save(a_task("aaaaaa", SENDING))
    assert two.claim("aaaaaa")
    two.release("aaaaaa")
    with pytest.raises(StateUnusable, match="another worker"):
        one.save(a_task("aaaaaa", PENDING))


def test_a_heartbeat_names_what_was_lost(one: SharedLedger, two: SharedLedger, postgres: PostgresServer) -> None:
    """A worker that was away learns which of its tasks are another's."""
    one.add([a_task("aaaaaa"), a_task("bbbbbb")])
    assert one.claim("aaaaaa")
    assert one.claim("bbbbbb")
    assert one.heartbeat() == frozenset()
    silent(postgres, one)
    assert two.claim("aaaaaa")
    assert one.heartbeat() == {"aaaaaa"}


def test_an_answer_is_taken_from_whoever_has_it(one: SharedLedger, two: SharedLedger, postgres: PostgresServer) -> None:
    """What came back to a worker that lost the task meanwhile is evidence, and kept."""
    one.add([a_task("aaaaaa")])
    assert one.claim("aaaaaa")
    one.record_attempt("aaaaaa", 1, body="x", body_sha256="y", at=1.0)
    silent(postgres, one)
    assert two.claim("aaaaaa")
    one.record_answer("aaaaaa", 1, verdict="answered", http_status=200, raw=b"paid")
    assert [attempt.raw for attempt in two.attempts("aaaaaa")] == [b"paid"]


def test_a_task_that_somebody_has_is_not_saved_without_a_claim(one: SharedLedger, two: SharedLedger) -> None:
    """Nor does a task with an id that another machine gave out replace that one's."""
    one.add([a_task("aaaaaa"), a_task("bbbbbb")])
    assert one.claim("aaaaaa")
    with pytest.raises(StateUnusable, match="another worker has the task"):
        two.save(a_task("aaaaaa", SENDING))
    with pytest.raises(StateUnusable, match="another task has the id bbbbbb") as caught:
        two.save(a_task("bbbbbb", created_at=7.0))
    assert caught.value.hint == "try again"
    assert one.get("bbbbbb") == a_task("bbbbbb")


def test_a_claim_that_was_not_committed_is_none(one: SharedLedger) -> None:
    """What was taken in a transaction that came to nothing is not held, and what was given back still is."""
    one.add([a_task("aaaaaa"), a_task("bbbbbb")])
    assert one.claim("bbbbbb")

    def bug() -> None:
        with one.together():
            assert one.claim("aaaaaa")
            one.release("bbbbbb")
            raise KeyError

    with pytest.raises(KeyError):
        bug()
    assert set(one._tokens) == {"bbbbbb"}
    one.save(a_task("bbbbbb", SENDING))


def test_what_a_dead_worker_left_is_taken_over_once(
    one: SharedLedger, two: SharedLedger, postgres: PostgresServer
) -> None:
    """What was begun is taken over, oldest first and never twice; what is planned, unknown, ended or held is not."""
    done = Done(outputs=())
    states: list[State] = [PENDING, SENDING, done, New(), Unknown(reason="x"), Saved(files=())]
    one.add([a_task(f"aaaaa{at}", state, created_at=float(at)) for at, state in enumerate(states)])
    for at in range(4):
        assert one.claim(f"aaaaa{at}")
    one.add([a_task("free00", PENDING, created_at=9.0)])
    assert [task.id for task in two.take_over(9)] == ["free00"]
    silent(postgres, one)
    with Ledger.open_url(postgres.url) as three:
        assert [task.id for task in two.take_over(2)] == ["aaaaa0", "aaaaa1"]
        assert [task.id for task in three.take_over(9)] == ["aaaaa2"]
        assert three.take_over(9) == []
    two.save(a_task("aaaaa1", Unknown(reason="x"), created_at=1.0))
    with pytest.raises(StateUnusable, match="another worker"):
        one.save(a_task("aaaaa1", PENDING, created_at=1.0))


def test_a_killed_worker_is_followed_by_another_process(one: SharedLedger, postgres: PostgresServer) -> None:
    """What a process that died by SIGKILL was sending is in doubt, for whoever comes a lease later."""
    one.add([a_task("aaaaaa"), a_task("bbbbbb")])
    told = FORK.SimpleQueue()

    def work() -> None:
        with Ledger.open_url(postgres.url) as ledger:
            for name in ("aaaaaa", "bbbbbb"):
                assert ledger.claim(name)
            ledger.save(a_task("aaaaaa", SENDING))
            told.put(ledger.worker)
            with ledger.together():
                ledger.save(a_task("bbbbbb", SENDING))
                os.kill(os.getpid(), signal.SIGKILL)

    child = FORK.Process(target=work, daemon=True)
    child.start()
    child.join(20)
    assert child.exitcode == -signal.SIGKILL
    assert one.take_over(9) == []
    postgres.ask("UPDATE wan.worker SET seen = seen - 61 WHERE id = %s", told.get())
    assert [(task.id, task.state) for task in one.take_over(9)] == [("aaaaaa", SENDING)]
    assert one.get("bbbbbb").state == New()
    assert one.claim("bbbbbb")


# -- durability


def test_a_group_is_one_transaction_in_one_round_trip(one: SharedLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many saves are sent together, and the server is waited for once."""
    import psycopg

    waits: list[object] = []
    wait = psycopg.Connection.wait
    one.add([a_task(f"a{number:05}") for number in range(50)])
    one.heartbeat()

    def counted(connection: Any, generator: Any, *rest: Any, **named: Any) -> Any:
        if "sync" in getattr(generator, "__name__", ""):
            waits.append(generator)
        return wait(connection, generator, *rest, **named)

    monkeypatch.setattr(psycopg.Connection, "wait", counted)
    calls = [partial(one.save, a_task(f"a{number:05}", SENDING)) for number in range(50)]
    assert [end.error for end in one.all_of(calls)] == [None] * 50
    assert len(waits) <= 2  # one of ours, and the pipeline's own at its end
    assert len(one.open_tasks()) == 50


def test_a_restart_between_calls_costs_nothing(one: SharedLedger, postgres: PostgresServer) -> None:
    """The next call connects again, and what was committed is there."""
    one.add([a_task("aaaaaa")])
    assert one.claim("aaaaaa")
    postgres.restart()
    one.save(a_task("aaaaaa", SENDING))
    assert one.get("aaaaaa").state == SENDING


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "in the commit"])
def test_a_connection_lost_in_a_transaction(
    one: SharedLedger, two: SharedLedger, postgres: PostgresServer, *, committed: bool
) -> None:
    """Nothing is acknowledged of it: the caller sees StateUnusable, whether or not it was written, and may go on."""
    one.add([a_task("aaaaaa")])
    assert one.claim("aaaaaa")
    end = "SELECT pg_terminate_backend(pg_backend_pid())"

    def lose() -> None:
        with one.together():
            one.save(a_task("aaaaaa", SENDING))
            if committed:
                one._storage.execute("COMMIT")
            one._storage.execute(end)

    with pytest.raises(StateUnusable, match="cannot be written"):
        lose()
    assert two.get("aaaaaa").state == (SENDING if committed else New())
    one.save(a_task("aaaaaa", PENDING))
    assert two.get("aaaaaa").state == PENDING


@pytest.mark.parametrize("synced", [False, True])
def test_a_transaction_that_had_failed_is_not_taken_for_written(one: SharedLedger, *, synced: bool) -> None:
    """Somebody who swallows the error of a statement gets it at the end."""

    def swallow() -> None:
        with one.together():
            one.save(a_task("aaaaaa"))
            with contextlib.suppress(Exception):
                one._storage.execute("SELECT 1 / 0").fetchall()
            if synced:  # from here on the server answers again, and to COMMIT with the word ROLLBACK
                one._storage._connection._pipeline.sync()

    with pytest.raises(StateUnusable, match="cannot be written"):
        swallow()
    assert one.recent() == []


def test_a_connection_that_is_made_again_looks_at_the_tables(one: SharedLedger, postgres: PostgresServer) -> None:
    """A database that was migrated or replaced meanwhile is refused as at the opening."""
    postgres.ask("UPDATE wan.about SET version = 99")
    postgres.restart()
    for _ in range(2):
        with pytest.raises(StateUnusable, match="written by a newer wan"):
            one.recent()


def test_a_setting_that_the_server_refuses(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what durability rests on there is no ledger."""
    from wan_cli.ledger.postgres import server

    monkeypatch.setitem(server._SETTINGS, "synchronous_commit", "perhaps")
    with pytest.raises(StateUnusable, match="invalid value for parameter"):
        Ledger.open_url(postgres.url)


def test_whatever_the_server_says_commits_are_synchronous(postgres: PostgresServer) -> None:
    """A role or database with synchronous_commit off does not make a ledger that forgets."""
    postgres.ask("ALTER ROLE wan SET synchronous_commit = off")
    try:
        with Ledger.open_url(postgres.url) as ledger, ledger._storage.reading() as db:
            assert db.execute("SHOW synchronous_commit").fetchall() == [("on",)]
    finally:
        postgres.ask("ALTER ROLE wan RESET synchronous_commit")


def test_what_json_of_the_server_could_not_hold(one: SharedLedger) -> None:
    """NUL, lone surrogates and signs of the placeholders come back as they were, and are found."""
    odd = "a\0b?%s{}\u6f22"
    job = replace(a_task("x").job, prompt=f"\ud800{odd}")
    one.save(a_task("aaaaaa", Pending(task_id=odd), task_id=odd, job=job, user_key=odd))
    assert one.get("aaaaaa").job.prompt == f"\ud800{odd}"
    assert one.find_handle("rivya", odd) == one.by_user_key(odd)[0]


def test_prompts_that_are_not_stored(postgres: PostgresServer) -> None:
    """With store_prompts=False no table holds the prompt."""
    with Ledger.open_url(postgres.url, store_prompts=False) as ledger:
        ledger.add([a_task("aaaaaa", job=replace(a_task("x").job, prompt="the CANARY sings"))])
        ledger.record_attempt("aaaaaa", 1, body="the CANARY sings", body_sha256="ab", at=1.0)
        ledger.record_answer("aaaaaa", 1, verdict="x", http_status=200, raw=b'{"prompt": "the CANARY sings"}')
    rows = [postgres.ask(f"SELECT {table}::text FROM wan.{table}") for table in ("task", "attempt")]  # noqa: S608 - ours
    assert [len(found) for found in rows] == [1, 1]
    assert "CANARY" not in str(rows)
    assert b"CANARY".hex() not in str(rows)


def test_forgetting(one: SharedLedger) -> None:
    """Ended tasks of that age go, with what was sent for them."""
    file = File(index=1, path="/a.png", bytes=3, sha256="ab" * 32, mime="image/png")
    one.add([a_task("aaaaaa", Saved(files=(file,)), finished_at=50.0), a_task("bbbbbb", PENDING)])
    one.record_answer("aaaaaa", 1, verdict="x", http_status=200, raw=None)
    assert one.forget(finished_before=100.0) == 1
    assert [task.id for task in one.recent()] == ["bbbbbb"]
    assert one.attempts("aaaaaa") == []


# -- opening


def test_the_tables_are_made_once_and_kept(one: SharedLedger, postgres: PostgresServer) -> None:
    """In a schema of its own, with its version; whoever comes next finds them."""
    from wan_cli.ledger.postgres import schema

    one.add([a_task("aaaaaa")])
    with Ledger.open_url(postgres.url) as again:
        assert again.get("aaaaaa")
    assert postgres.ask("SELECT * FROM wan.about") == [("wan ledger", len(schema.MIGRATIONS))]


def test_an_older_ledger_is_migrated(
    one: SharedLedger, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing migrations are applied whole, and a worker of before learns of it with its next sign of life."""
    from wan_cli.ledger.postgres import schema

    one.add([a_task("aaaaaa")])
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "ALTER TABLE task ADD x text; SELECT 1 / 0"))
        with pytest.raises(StateUnusable, match="cannot be opened: division by zero"):
            Ledger.open_url(postgres.url)
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS[:-1], "ALTER TABLE task ADD colour text"))
        Ledger.open_url(postgres.url).close()
        assert postgres.ask("SELECT id, colour FROM wan.task") == [("aaaaaa", None)]
    with pytest.raises(StateUnusable, match="a newer wan has changed") as caught:
        one.heartbeat()
    assert "upgrade this machine" in caught.value.hint
    with pytest.raises(StateUnusable, match="written by a newer wan"):
        Ledger.open_url(postgres.url)


@pytest.mark.parametrize(
    "tables",
    [
        "CREATE TABLE wan.songs (title text)", "CREATE TABLE wan.about (title text)",
        "CREATE TABLE wan.about (application text, version int)",
        "CREATE TABLE wan.about (application text, version int); INSERT INTO wan.about VALUES ('songs', 1)",
    ],
)  # fmt: skip
def test_a_foreign_schema_is_refused(postgres: PostgresServer, tables: str) -> None:
    """Another program's schema of that name is left as it is."""
    postgres.ask(f"CREATE SCHEMA wan; {tables}")
    count = "SELECT count(*) FROM pg_class WHERE relnamespace = 'wan'::regnamespace"
    before = postgres.ask(count)
    with pytest.raises(StateUnusable, match=r"no ledger of wan .* nothing was made") as caught:
        Ledger.open_url(postgres.url)
    assert caught.value.hint == "use another database: createdb wan"
    assert postgres.ask(count) == before


def test_an_empty_schema_that_an_administrator_made_is_used(postgres: PostgresServer) -> None:
    """So no right to make schemas is needed."""
    postgres.ask("CREATE SCHEMA wan")
    with Ledger.open_url(postgres.url) as ledger:
        ledger.add([a_task("aaaaaa")])


def test_an_old_server_is_refused(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its version and the one that is needed."""
    from wan_cli.ledger.postgres import schema

    monkeypatch.setattr(schema, "OLDEST_SERVER", 99)
    with pytest.raises(StateUnusable, match=r"is PostgreSQL \d+; at least 99 is needed"):
        Ledger.open_url(postgres.url)


def test_a_role_without_rights(postgres: PostgresServer) -> None:
    """Is told what to look at, and nothing is made."""
    postgres.ask("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN")
    with pytest.raises(StateUnusable, match="permission denied for database") as caught:
        Ledger.open_url(postgres.url.replace("wan@", "guest@"))
    assert "the role's rights" in caught.value.hint


@pytest.mark.parametrize("where", ["127.0.0.1:1/wan", "127.0.0.1:1/wan?sslmode=nonsense"])
@pytest.mark.usefixtures("postgres_server")
def test_a_server_that_is_not_there(where: str) -> None:
    """StateUnusable, exit 3, at once, with the address and never with the password."""
    with pytest.raises(StateUnusable, match=r"postgresql://127\.0\.0\.1:1/wan cannot be reached") as caught:
        Ledger.open_url(f"postgresql://someone:{PASSWORD}@{where}")
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert PASSWORD not in f"{caught.value!r}{caught.value.hint}{caught.value.__cause__!r}"


@pytest.mark.parametrize(
    "url", [f"mysql://someone:{PASSWORD}@h/d", f"postgresql://someone:{PASSWORD}%zz@h/d", "ledger.db"]
)
@pytest.mark.usefixtures("postgres_server")
def test_an_address_that_is_none(url: str) -> None:
    """Is a usage error that does not repeat it."""
    with pytest.raises(UsageError) as caught:
        Ledger.open_url(url)
    assert PASSWORD not in f"{caught.value!r}{caught.value.hint}"


def test_a_password_in_what_the_server_says_is_taken_out(postgres: PostgresServer) -> None:
    """Whatever an error quotes."""
    from wan_cli.ledger.postgres.server import Server

    server = Server(f"postgresql://someone:{PASSWORD}@h/d")
    assert PASSWORD not in str(server.unusable(OSError(f"no {PASSWORD}"), "read"))
    assert server.name == "postgresql://h/d"


def test_a_server_that_stays_away_is_not_asked_by_every_call(postgres: PostgresServer) -> None:
    """A lost connection is made again for ten seconds; then calls fail at once, and after a while one asks again."""
    from wan_cli.ledger.postgres.server import Server

    now, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += 1.0

    server = Server("postgresql://127.0.0.1:1/wan", clock=lambda: now[0], sleep=sleep)
    for asked in (10, 10, 20):
        with pytest.raises(StateUnusable, match="cannot be reached"):
            server.connect(again=True)
        assert len(slept) == asked
        now[0] += 3.0


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 3 with the command that installs it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigInvalid) as caught:
        Ledger.open_url("postgresql://h/d")
    assert (caught.value.exit_code, caught.value.hint) == (3, install("distributed"))


def test_a_lock_that_another_holds_for_long(one: SharedLedger, two: SharedLedger, postgres: PostgresServer) -> None:
    """Says so."""
    one.add([a_task("aaaaaa")])
    with two._storage.reading() as db:
        db.execute("SET lock_timeout = 20")
    with one.together():
        one.save(a_task("aaaaaa"))
        one.attempts("aaaaaa")
        with pytest.raises(StateUnusable, match="lock timeout") as caught:
            two.save(a_task("aaaaaa"))
    assert "another wan process" in caught.value.hint


def racing(url: str, run: Callable[[SharedLedger], object], workers: int = 3) -> list[Any]:
    """Run ``run`` in several processes, each with its own ledger; return what they gave."""
    results = FORK.Queue()

    def racer() -> None:
        with Ledger.open_url(url) as ledger:
            results.put(run(ledger))

    racers = [FORK.Process(target=racer, daemon=True) for _ in range(workers)]
    for process in racers:
        process.start()
    found = [results.get(timeout=30) for _ in racers]
    for process in racers:
        process.join()
    return found


def test_several_workers_take_over_each_task_once(one: SharedLedger, postgres: PostgresServer) -> None:
    """Of processes that do it at once each gets others, and together they get all."""
    names = {f"a{number:05}" for number in range(40)}
    one.add([a_task(name, PENDING) for name in sorted(names)])

    def run(ledger: SharedLedger) -> list[str]:
        found: list[str] = []
        while taken := ledger.take_over(3):
            found += [task.id for task in taken]
        return found

    found = [name for taken in racing(postgres.url, run) for name in taken]
    assert sorted(found) == sorted(names)


def test_a_file_is_found_by_its_index(postgres: PostgresServer) -> None:
    """Those with a file of this content are looked up, and never read for in the order of another index."""
    with Ledger.open_url(postgres.url) as ledger:
        storage, said = ledger._storage, list[tuple[str, Any]]()
        storage.execute("SET enable_sort = off")  # as where sorting seems dear: among millions of tasks
        storage.execute("SET enable_seqscan = off")
        run = storage.execute
        storage.execute = lambda sql, values=(), /: said.append((sql, values)) or run(sql, values)  # type: ignore[method-assign, func-returns-value]
        assert ledger.find_file("f" * 64) is None
        ((sql, values),) = said
        plan = " ".join(row[0] for row in run(f"EXPLAIN (COSTS OFF) {sql}", values).fetchall())
    assert "Index Scan on task_made" in plan
    assert "task_created" not in plan
