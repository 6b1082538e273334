"""Limits that all workers share: never more than is allowed, half after a 429, and as many turns for each batch."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("psycopg")

from test_ledger_shared import racing

from wan_cli.ledger import Ledger
from wan_cli.ledger.postgres.pacing import FULL_S, LONGEST_S, Facts, pause
from wan_cli.ledger.turns import Ask, Given, Turn, next_slot

if TYPE_CHECKING:
    from support_postgres import PostgresServer

    from wan_cli.ledger.postgres.shared import SharedLedger

AT_REST = Facts(now=100.0, limit=4.0, active=0, next_at=0.0, closed_until=0.0, served=0.0, least=None, hungry=0)


class Hand:
    """What a worker holds of one key, told to the ledger as a gate does."""

    def __init__(self, ledger: SharedLedger, most: int, per_minute: float | None = None, *, key: str = "k1") -> None:
        self.ledger, self.most, self.per_minute, self.key = ledger, most, per_minute, key
        self.held: list[Turn] = []

    def ask(self, *, room: int = 99, told: dict[str, Any] | None = None, **wanted: int) -> Given:
        """Ask for turns by batch."""
        ask = Ask(
            wanted=wanted, room=room, held=tuple(turn.number for turn in self.held), most=self.most,
            per_minute=self.per_minute, **told or {},
        )  # fmt: skip
        given = self.ledger.turns("rivya", self.key, ask)
        self.held += given.turns
        return given

    def take(self, many: int, batch: str = "a") -> list[Turn]:
        """Take turns that must be given."""
        given = self.ask(**{batch: many})
        assert (len(given.turns), given.again_s) == (many, 0.0)
        return list(given.turns)

    def end(self, *turns: Turn, **told: Any) -> None:
        """Give turns back."""
        self.held = [turn for turn in self.held if turn not in turns]
        self.ask(told=told)


@pytest.fixture
def one(postgres: PostgresServer) -> Iterator[SharedLedger]:
    """Open the ledger as a worker does."""
    with Ledger.open_url(postgres.url) as opened:
        yield opened


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
    mine = Hand(one, 2)
    turns = mine.take(2)
    with Ledger.open_url(postgres.url) as two:
        yours = Hand(two, 2)
        assert yours.ask(a=5) == Given((), FULL_S)
        assert len(Hand(two, 2, key="k2").take(1)) == 1
        mine.end(turns[0])
        given = yours.ask(a=5)
        assert (len(given.turns), given.again_s) == (1, FULL_S)
        postgres.ask("UPDATE wan.worker SET seen = seen - 61 WHERE id = %s", one.worker)
        assert len(yours.ask(a=5).turns) == 1
        assert yours.ask(a=5) == Given((), FULL_S)


def test_what_is_not_held_is_given_back(one: SharedLedger, postgres: PostgresServer) -> None:
    """A turn whose grant never arrived is nobody's after the next word of its worker; those of others stay."""
    with Ledger.open_url(postgres.url) as two:
        Hand(two, 8).take(1)
        lost = Hand(one, 8)
        lost.take(3)
        again = Hand(one, 8)  # as after an answer that was lost: it knows of none
        again.take(2)
        rows = postgres.ask("SELECT worker, count(*) FROM wan.turn GROUP BY worker")
        assert dict(rows) == {one.worker: 2, two.worker: 1}


def test_only_as_many_as_there_is_room_for(one: SharedLedger, postgres: PostgresServer) -> None:
    """What a worker cannot use now is given to nobody, and it is not hungry for it."""
    given = Hand(one, 8).ask(room=2, a=5)
    assert (len(given.turns), given.again_s) == (2, 0.0)
    assert postgres.ask("SELECT count(*) FROM wan.waiting") == [(0,)]


def test_a_429_halves_once_and_success_lets_it_grow(one: SharedLedger, postgres: PostgresServer) -> None:
    """Of several refusals at the same time the first counts; nothing is sent for the pause that was asked for."""
    hand = Hand(one, 8, 120)

    def limits() -> tuple[float, float]:
        return postgres.ask("SELECT limited, rate FROM wan.pace")[0]

    def turn() -> Turn:
        postgres.ask("UPDATE wan.pace SET next_at = 0, closed_until = 0")
        return hand.take(1)[0]

    turns = [*hand.take(1), turn(), turn()]
    for held in turns:
        hand.end(held, refused_at=held.at, pause_s=30.0)
    assert limits() == (4.0, 60.0)
    assert hand.ask(a=1) == Given((), LONGEST_S)
    hand.end(turn(), accepted=1)
    assert limits() == (4.25, 60.2)
    late = turn()
    hand.end(late, refused_at=late.at, pause_s=math.nan)
    hand.end(turn())
    assert limits() == (2.125, 30.1)
    for _ in range(9):
        late = turn()
        hand.end(late, refused_at=late.at)
    assert limits() == (1.0, 1.0)
    hand.end(accepted=40)
    assert limits()[0] == 8.0
    hand.per_minute = None
    late = turn()
    hand.end(late, refused_at=late.at)
    assert limits() == (4.0, None)


def test_a_429_of_one_worker_slows_the_other_down(one: SharedLedger, postgres: PostgresServer) -> None:
    """Half as many for both, and none for the pause; then the other one has what is left of the half."""
    with Ledger.open_url(postgres.url) as two:
        mine, yours = Hand(one, 8), Hand(two, 8)
        (refused,) = mine.take(1)
        yours.take(3)
        mine.end(refused, refused_at=refused.at, pause_s=0.5)
        assert (yours.ask(a=9).turns, 0 < yours.ask(a=9).again_s <= 0.5) == ((), True)
        postgres.ask("UPDATE wan.pace SET closed_until = 0")
        assert len(yours.ask(a=9).turns) == 1
        assert mine.ask(a=9) == Given((), FULL_S)


def test_a_minute_s_share_is_one_for_all(one: SharedLedger, postgres: PostgresServer) -> None:
    """What was not used within a second may be sent at once; with one a minute the second worker waits for its slot."""
    assert len(Hand(one, 999, 600, key="k2").ask(a=99).turns) == 9  # of ten a second, less what makes up for the slack
    with Ledger.open_url(postgres.url) as two:
        assert len(Hand(one, 999, 1).ask(a=99).turns) == 1
        assert Hand(two, 999, 1).ask(a=99) == Given((), LONGEST_S)
    ((slot,),) = postgres.ask(
        "SELECT next_at - at FROM wan.pace JOIN wan.turn USING (provider, key_print) WHERE rate = 1"
    )
    assert slot == pytest.approx(61.0)


def test_settings_that_change_keep_the_share_in_use(one: SharedLedger, postgres: PostgresServer) -> None:
    """Half of what is allowed stays half of it."""
    hand = Hand(one, 8)
    (turn,) = hand.take(1)
    hand.end(turn, refused_at=turn.at)
    hand.most, hand.per_minute = 16, 60
    hand.take(1)
    assert postgres.ask("SELECT limited, rate FROM wan.pace") == [(8.0, 60.0)]


def test_batches_of_one_worker_take_turns(one: SharedLedger) -> None:
    """One question for several batches shares out fairly, whatever each of them wants."""
    hand = Hand(one, 8)
    given = hand.ask(large=100, small=3, middle=4)
    assert Counter(turn.batch for turn in given.turns) == {"large": 3, "small": 2, "middle": 3}
    assert given.again_s == FULL_S


def test_a_batch_that_comes_later_gets_as_many(one: SharedLedger, postgres: PostgresServer) -> None:
    """Of two renders on two workers none gets ahead by more than a share; who came late has no claim for before."""
    with Ledger.open_url(postgres.url) as two:
        large, small = Hand(one, 4), Hand(two, 4)
        large.take(4, "large")
        assert small.ask(small=4) == Given((), FULL_S)
        got: Counter[str] = Counter()
        for _ in range(20):  # each gives back what it has one by one, and asks for as many as it can get
            for name, hand in (("large", large), ("small", small)):
                if hand.held:
                    hand.end(hand.held[0])
                got[name] += len(hand.ask(**{name: 50}).turns)
                assert abs(got["large"] - got["small"]) <= 4
                assert len(large.held) + len(small.held) <= 4
        assert min(got.values()) >= 8


def test_a_batch_waits_only_for_whoever_still_asks(one: SharedLedger, postgres: PostgresServer) -> None:
    """A hungry batch on another worker is first; a worker that does not come back is waited for three seconds."""
    with Ledger.open_url(postgres.url) as two:
        large, small = Hand(one, 4), Hand(two, 4)
        held = large.take(4, "large")
        assert small.ask(small=1) == Given((), FULL_S)
        large.end(*held)
        postgres.ask("UPDATE wan.batch SET served = 9 WHERE name = 'large'")
        assert large.ask(large=1) == Given((), FULL_S)
        postgres.ask("UPDATE wan.waiting SET at = at - 4 WHERE batch = 'small'")
        large.take(1, "large")


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
        hand, got = Hand(ledger, 4), 0
        for number in range(60):
            got += len(hand.ask(told={"accepted": 1}, **{ledger.worker: 2}).turns)
            if hand.held and number % 3:
                hand.held.pop()
        hand.held.clear()
        hand.ask()
        return got

    counts = racing(postgres.url, run)
    seen = [row[0] for row in postgres.ask("SELECT n FROM wan.seen")]
    assert len(seen) == sum(counts)
    assert max(seen) <= 4
    assert min(counts) > 0
    assert postgres.ask("SELECT count(*) FROM wan.turn") == [(0,)]
