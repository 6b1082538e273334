"""Limits that all workers share: never more than is allowed, half after a 429, and as many turns for each batch."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("psycopg")

from test_ledger_shared import racing

from wan_cli.ledger import Ledger
from wan_cli.ledger.postgres.pacing import FULL_S, LONGEST_S, Facts, Turn, next_slot, pause

if TYPE_CHECKING:
    from support_postgres import PostgresServer

    from wan_cli.ledger.postgres.shared import SharedLedger

AT_REST = Facts(now=100.0, limit=4.0, active=0, next_at=0.0, closed_until=0.0, served=0.0, least=None, hungry=0)
KEY = ("rivya", "k1")


@pytest.fixture
def one(postgres: PostgresServer) -> Iterator[SharedLedger]:
    """Open the ledger as a worker does."""
    with Ledger.open_url(postgres.url) as opened:
        yield opened


def given(found: Turn | float) -> Turn:
    """Return a turn that must have been given."""
    assert isinstance(found, Turn), found
    return found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0.0), ({"active": 3}, 0.0), ({"active": 4}, FULL_S), ({"limit": 1.9, "active": 1}, FULL_S),
        ({"next_at": 100.25}, 0.25), ({"next_at": 999.0}, LONGEST_S), ({"next_at": 100.0}, 0.0),
        ({"closed_until": 100.5}, 0.5), ({"closed_until": 400.0}, LONGEST_S),
        ({"served": 7.0, "least": 7.0, "hungry": 1}, 0.0), ({"served": 8.0, "least": 7.0, "hungry": 1}, FULL_S),
        ({"served": 8.0, "least": 7.0, "hungry": 1, "limit": 64.0}, 0.0),
        ({"served": 23.0, "least": 7.0, "hungry": 1, "limit": 64.0}, FULL_S),
        ({"served": 6.0, "least": 7.0, "hungry": 3}, 0.0),
    ],
)  # fmt: skip
def test_what_holds_a_request_back(changes: dict[str, Any], expected: float) -> None:
    """A pause that was asked for, all turns out, the minute's share, another batch that had less; else nothing."""
    assert pause(replace(AT_REST, **changes)) == expected


@pytest.mark.parametrize("rate", [1.0, 30.0, 60.0, 61.0, 600.0, 5_000.0])
def test_no_minute_has_more_than_its_share(rate: float) -> None:
    """However the requests come, no 60 seconds see more than the rate; and a steady asker gets nearly all of it."""
    chance, now, next_at, sent = random.Random(7), 1_000.0, 0.0, list[float]()  # noqa: S311 - a test's dice
    for _ in range(int(rate * 3)):
        now = max(now, next_at) + (chance.choice((0.0, 0.0, 0.3, 5.0)) if len(sent) % 50 == 0 else 0.0)
        next_at = next_slot(next_at, now, rate)
        sent.append(now)
    assert all(later - at >= 60.0 - 1e-6 for at, later in zip(sent, sent[int(rate) :], strict=False))
    steady = [0.0]
    for _ in range(int(rate)):
        steady.append(next_slot(steady[-1], steady[-1], rate))
    assert steady[-1] <= 61.0 + 1e-6


def test_no_more_are_out_than_are_allowed(one: SharedLedger, postgres: PostgresServer) -> None:
    """Over all workers; a turn that is given back is free, and so are those of a worker that died; keys are apart."""
    turns = [given(one.turn(*KEY, "a", most=2)) for _ in range(2)]
    with Ledger.open_url(postgres.url) as two:
        assert two.turn(*KEY, "a", most=2) == FULL_S
        assert given(two.turn("rivya", "k2", "a", most=2)).key_print == "k2"
        one.turn_ended(turns[0])
        assert given(two.turn(*KEY, "a", most=2))
        assert two.turn(*KEY, "a", most=2) == FULL_S
        postgres.ask("UPDATE wan.worker SET seen = seen - 61 WHERE id = %s", one.worker)
        assert given(two.turn(*KEY, "a", most=2))
        assert two.turn(*KEY, "a", most=2) == FULL_S


def test_a_429_halves_once_and_success_lets_it_grow(one: SharedLedger, postgres: PostgresServer) -> None:
    """Of several refusals at the same time the first counts; nothing is sent for the pause that was asked for."""

    def limits() -> tuple[float, float]:
        return postgres.ask("SELECT limited, rate FROM wan.pace")[0]

    def turn() -> Turn:
        postgres.ask("UPDATE wan.pace SET next_at = 0, closed_until = 0")
        return given(one.turn(*KEY, "a", most=8, per_minute=120))

    turns = [given(one.turn(*KEY, "a", most=8, per_minute=120)), turn(), turn()]
    for held in turns:
        one.turn_ended(held, slower=True, pause_s=30.0)
    assert limits() == (4.0, 60.0)
    assert one.turn(*KEY, "a", most=8, per_minute=120) == LONGEST_S
    one.turn_ended(turn(), accepted=True)
    assert limits() == (4.25, 60.2)
    one.turn_ended(turn(), slower=True, pause_s=float("nan"))
    one.turn_ended(turn())
    assert limits() == (2.125, 30.1)
    for _ in range(9):
        one.turn_ended(turn(), slower=True)
    assert limits() == (1.0, 1.0)
    for _ in range(40):
        one.turn_ended(turn(), accepted=True)
    assert limits()[0] == 8.0
    one.turn_ended(given(one.turn(*KEY, "b", most=8)), slower=True)
    assert limits() == (4.0, None)


def test_settings_that_change_keep_the_share_in_use(one: SharedLedger, postgres: PostgresServer) -> None:
    """Half of what is allowed stays half of it."""
    one.turn_ended(given(one.turn(*KEY, "a", most=8)), slower=True)
    one.turn_ended(given(one.turn(*KEY, "a", most=16, per_minute=60)))
    assert postgres.ask("SELECT limited, rate FROM wan.pace") == [(8.0, 60.0)]


def test_a_batch_that_comes_later_gets_as_many(one: SharedLedger, postgres: PostgresServer) -> None:
    """Whoever has had many waits for who asks now, has no claim for the time before, and goes on when that one left."""
    first = [given(one.turn(*KEY, "large", most=4)) for _ in range(4)]
    assert one.turn(*KEY, "small", most=4) == FULL_S
    got: Counter[str] = Counter()
    for held in first * 5:
        one.turn_ended(held)
        for name in ("large", "small"):
            found = one.turn(*KEY, name, most=4)
            got[name] += isinstance(found, Turn)
            if isinstance(found, Turn):
                one.turn_ended(found)
    assert abs(got["large"] - got["small"]) <= 4
    held = [given(one.turn(*KEY, "small", most=4)) for _ in range(3)]
    postgres.ask("UPDATE wan.batch SET served = 0, hungry = true WHERE name = 'small'")
    postgres.ask("UPDATE wan.batch SET served = 9 WHERE name = 'large'")
    assert one.turn(*KEY, "large", most=4) == FULL_S
    postgres.ask("UPDATE wan.batch SET seen = seen - 4 WHERE name = 'small'")
    assert given(one.turn(*KEY, "large", most=4))
    assert len(held) == 3


def test_several_workers_never_have_more_than_are_allowed(postgres: PostgresServer) -> None:
    """Processes that take and give back as fast as they can: at every grant the limit held, and nobody starves."""
    Ledger.open_url(postgres.url).close()
    postgres.ask(
        "CREATE TABLE wan.seen (n bigint);"
        "CREATE FUNCTION wan.look() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO wan.seen SELECT count(*) FROM wan.turn; RETURN NULL; END $$;"
        "CREATE TRIGGER look AFTER INSERT ON wan.turn FOR EACH ROW EXECUTE FUNCTION wan.look()"
    )

    def run(ledger: SharedLedger) -> int:
        held, got = list[Turn](), 0
        for number in range(60):
            found = ledger.turn(*KEY, ledger.worker, most=4)
            if isinstance(found, Turn):
                held.append(found)
                got += 1
            if held and number % 3:
                ledger.turn_ended(held.pop(), accepted=True)
        for turn in held:
            ledger.turn_ended(turn)
        return got

    counts = racing(postgres.url, run)
    seen = [row[0] for row in postgres.ask("SELECT n FROM wan.seen")]
    assert len(seen) == sum(counts)
    assert max(seen) <= 4
    assert min(counts) > 0
    assert postgres.ask("SELECT count(*) FROM wan.turn") == [(0,)]
