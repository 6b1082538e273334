"""The gate of several machines: turns that a ledger gives out, asked for together, never lost and never hoarded."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from wan_cli.engine import shared_pace
from wan_cli.engine.pace import Gate, Pace
from wan_cli.engine.shared_pace import SharedPace
from wan_cli.engine.signals import Signal, Stopped
from wan_cli.errors import StateUnusable
from wan_cli.ledger.turns import Ask, Given, Turn
from wan_cli.models import Job, Target, Task

AWAY = StateUnusable("the ledger cannot be reached")


class Bank:
    """Who gives out turns: at most so many, to whoever asks; it keeps what it was asked."""

    def __init__(self, most: int = 99) -> None:
        self.most = most
        self.asked: list[tuple[str, str, Ask]] = []
        self.fails: list[Exception] = []
        self.number = 0

    @property
    def last(self) -> Ask:
        """What was asked last."""
        return self.asked[-1][2]

    def turns(self, provider: str, key_print: str, ask: Ask) -> Given:
        """Give what there is."""
        self.asked.append((provider, key_print, ask))
        if self.fails:
            raise self.fails.pop(0)
        given, free = list[Turn](), min(ask.room, self.most - len(ask.held))
        for batch, many in ask.wanted.items():
            for _ in range(min(many, free - len(given))):
                self.number += 1
                given.append(Turn(self.number, batch, float(self.number)))
        return Given(tuple(given), 0.001 if len(given) < sum(ask.wanted.values()) else 0.0)


def of(batch: str = "a") -> Task:
    """Return a task of a render."""
    job = Job(verb="generate", provider="rivya", model="wan2.7-image", prompt="a crane")
    return Task(
        id="t1", provider="rivya", origin="https://rivya.ai", job=job, provider_model="wan2.7-image", token="wan-t1",
        created_at=1.0, target=Target(template="crane.png"), batch=batch,
    )  # fmt: skip


def gate(bank: Bank, **how: Any) -> SharedPace:
    """Return a gate that waits for nothing."""
    return SharedPace(
        bank, "rivya", lambda: "k1", **{"own": 99, "most": 99, "every_s": 0.0, "lazy_s": 0.0, "again_s": 0.0, **how}
    )


def ran(work: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine; one that hangs fails."""

    async def run() -> None:
        async with asyncio.timeout(10):
            await work()

    asyncio.run(run())


async def buying(pace: Gate, leave: asyncio.Event, inside: list[str], name: str = "a") -> None:
    """Hold a turn until told."""
    async with pace.turn(of(name)):
        inside.append(name)
        await leave.wait()


async def settled(until: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    while not until():  # noqa: ASYNC110 - what is waited for is not ours
        await asyncio.sleep(0)


def test_hundreds_ask_once() -> None:
    """All that wait at the same time are one question, and what they held is given back in another."""

    async def work() -> None:
        bank, inside, leave = Bank(999), list[str](), asyncio.Event()
        pace = gate(bank, own=999, most=999, per_minute=600)
        works = [asyncio.ensure_future(buying(pace, leave, inside, "ab"[number % 2])) for number in range(300)]
        await settled(lambda: len(inside) == 300)
        assert [(asked[:2], dict(asked[2].wanted)) for asked in bank.asked] == [(("rivya", "k1"), {"a": 150, "b": 150})]
        assert (bank.last.most, bank.last.per_minute, bank.last.room) == (999, 600, 999)
        leave.set()
        await asyncio.gather(*works)
        pace.close()
        assert bank.last == Ask(most=999, per_minute=600, room=999)
        assert len(bank.asked) <= 3

    ran(work)


@pytest.mark.parametrize(("own", "most"), [(2, 99), (99, 2)])
def test_no_more_than_are_given(own: int, most: int) -> None:
    """What a process may have and what all may have both hold; who waits comes when another one leaves."""

    async def work() -> None:
        bank, inside, done = Bank(most), [0, 0], [0]
        pace = gate(bank, own=own)

        async def one() -> None:
            async with pace.turn(of()):
                inside[0] += 1
                inside[1] = max(inside)
                await asyncio.sleep(0)
                pace.taken()
                inside[0] -= 1
            done[0] += 1

        await asyncio.gather(*(one() for _ in range(20)))
        pace.close()
        assert (inside, done) == ([0, 2], [20])
        assert sum(asked[2].accepted for asked in bank.asked) == 20
        assert bank.last.held == ()
        assert all(asked[2].room == own - len(asked[2].held) for asked in bank.asked)

    ran(work)


def test_what_a_provider_said_is_told_once() -> None:
    """A 429 goes with the time of its turn, the longest pause with what is left of it, an acceptance counts."""

    async def work() -> None:
        bank = Bank()
        pace = gate(bank)
        async with pace.turn(of()):
            pace.slower()
            pace.closed(5.0)
            pace.closed(2.0)
            pace.taken()
            await settled(lambda: len(bank.asked) == 2)
            assert (bank.last.refused_at, bank.last.accepted, bank.last.held) == (1.0, 1, (1,))
            assert 4.0 < bank.last.pause_s <= 5.0
        pace.close()
        assert (bank.last.refused_at, bank.last.pause_s, bank.last.accepted) == (None, 0.0, 0)
        pace.slower()  # of nobody's turn: it is newer than any
        await settled(lambda: len(bank.asked) == 4)
        assert bank.last.refused_at == math.inf

    ran(work)


def test_another_request_needs_another_turn() -> None:
    """Sending again gives the first turn back and waits for one, before those who come new."""

    async def work() -> None:
        bank, order, leave = Bank(1), list[str](), asyncio.Event()
        pace = gate(bank)

        async def again() -> None:
            async with pace.turn(of()):
                order.append("first")
                await settled(lambda: pace._waiting != {})
                await pace.again(of())
                order.append("again")

        works = [asyncio.ensure_future(again()), asyncio.ensure_future(buying(pace, leave, order))]
        leave.set()
        await asyncio.gather(*works)
        pace.close()
        assert order == ["first", "again", "a"]
        assert bank.number == 3
        assert bank.last.held == ()

    ran(work)


def test_who_is_cancelled_takes_nothing_along() -> None:
    """Before the turn or at the moment at which it comes: it is given back, and others get it."""

    async def work() -> None:
        bank, inside, leave = Bank(1), list[str](), asyncio.Event()
        pace = gate(bank)
        first = asyncio.ensure_future(buying(pace, leave, inside))
        await settled(lambda: inside == ["a"])
        works = [asyncio.ensure_future(buying(pace, leave, inside, name)) for name in "bcd"]
        await settled(lambda: len(bank.last.wanted) == 3)
        works[0].cancel()
        leave.set()
        await first
        turns = bank.turns

        def late(*asked: Any) -> Given:  # it was given, and not yet taken
            bank.turns = turns  # type: ignore[method-assign]
            given = turns(*asked)
            works[1].cancel()
            return given

        bank.turns = late  # type: ignore[method-assign]
        ends = await asyncio.gather(*works, return_exceptions=True)
        assert [type(end) for end in ends] == [asyncio.CancelledError, asyncio.CancelledError, type(None)]
        pace.close()
        assert inside == ["a", "d"]
        assert (bank.last.held, pace._held) == ((), {})

    ran(work)


@pytest.mark.parametrize("shared", [True, False])
def test_a_signal_ends_the_waiting(*, shared: bool) -> None:
    """Whoever waits for a turn when a drain begins, or asks later, begins nothing; who has one keeps it."""

    async def work() -> None:
        stop, inside, leave = Signal(), list[str](), asyncio.Event()
        pace: Gate = gate(Bank(1), stop=stop) if shared else Pace(most=1, stop=stop)
        first = asyncio.ensure_future(buying(pace, leave, inside))
        await settled(lambda: inside == ["a"])
        waiting = asyncio.ensure_future(buying(pace, leave, inside))
        await asyncio.sleep(0)
        stop.set()
        with pytest.raises(Stopped):
            await waiting
        with pytest.raises(Stopped):
            await buying(pace, leave, inside)
        leave.set()
        await first
        assert inside == ["a"]

    ran(work)


def test_a_ledger_that_is_away_is_asked_again() -> None:
    """A restart costs nobody a purchase, and what was to be told is told when it is back."""

    async def work() -> None:
        bank, inside, leave = Bank(), list[str](), asyncio.Event()
        bank.fails = [AWAY, AWAY]
        pace = gate(bank)
        leave.set()
        await buying(pace, leave, inside)
        pace.close()
        pace.close()  # the second time there is nothing to tell
        assert len(bank.asked) == 4  # two in vain, one that gave, one that gave it back
        bank.fails = [AWAY]
        pace.taken()
        pace.slower()
        await settled(lambda: len(bank.asked) == 6)
        assert (bank.last.accepted, bank.last.refused_at) == (1, math.inf)

    ran(work)


def test_the_last_turn_is_given_back_though_the_ledger_was_away() -> None:
    """Nobody waits and nobody holds one, and still it is told."""

    async def work() -> None:
        bank, leave = Bank(), asyncio.Event()
        pace = gate(bank)
        work = asyncio.ensure_future(buying(pace, leave, []))
        await settled(lambda: len(pace._held) == 1)
        bank.fails = [AWAY]
        leave.set()
        await work
        await settled(lambda: len(bank.asked) == 3)
        assert bank.last.held == ()
        await asyncio.sleep(0.01)
        assert len(bank.asked) == 3

    ran(work)


def test_patience_ends() -> None:
    """A ledger that stays away is told to those who wait; so is a bug, at once; and the next one asks afresh."""

    async def work() -> None:
        bank, leave = Bank(), asyncio.Event()
        pace = gate(bank, patience_s=0.0)
        bank.fails = [AWAY, ZeroDivisionError()]
        leave.set()
        with pytest.raises(StateUnusable, match="cannot be reached"):
            await buying(pace, leave, [])
        with pytest.raises(ZeroDivisionError):
            await buying(pace, leave, [])
        await buying(pace, leave, [])

    ran(work)


def test_questions_are_apart() -> None:
    """However much happens, a process asks at most every so often; a turn that is over waits for the next question."""

    async def work() -> None:
        bank = Bank()
        pace = gate(bank, every_s=0.05, lazy_s=60.0)
        loop, at = asyncio.get_running_loop(), list[float]()
        turns = bank.turns

        def timed(*asked: Any) -> Given:
            at.append(loop.time())
            return turns(*asked)

        bank.turns = timed  # type: ignore[method-assign]
        for number in range(3):
            async with pace.turn(of()):
                assert len(bank.asked) == number + 1
                assert bank.last.held == ()
        assert all(later - before >= 0.05 - 1e-3 for before, later in pairwise(at))
        pace.close()
        assert len(at) == 4

    ran(work)
    assert shared_pace.EVERY_S < shared_pace.LAZY_S < shared_pace.AGAIN_S < shared_pace.PATIENCE_S


@pytest.mark.parametrize("shared", [True, False])
def test_both_gates_count_refusals_alike(*, shared: bool) -> None:
    """Five in row break it, one that is taken mends it."""

    async def work() -> None:
        pace: Gate = gate(Bank()) if shared else Pace(most=1)
        for _ in range(5):
            assert not pace.broken
            pace.doubted()
        assert pace.broken
        pace.taken()
        pace.closed(0.0)
        assert not pace.broken

    ran(work)


def test_a_process_alone_keeps_to_its_minute() -> None:
    """With 120 a minute two are begun at once at most of a second's share; a request that is repeated counts too."""

    async def work() -> None:
        clock, begun, leave = [100.0], list[str](), asyncio.Event()
        leave.set()
        pace = Pace(most=9, per_minute=120, now=lambda: clock[0])
        loop = asyncio.get_running_loop()
        waits, later = list[float](), loop.call_later

        def call(delay: float, what: Callable[[], object]) -> asyncio.TimerHandle:
            waits.append(delay)
            clock[0] += delay
            return later(0, what)

        loop.call_later = call  # type: ignore[method-assign, assignment]
        await asyncio.gather(*(buying(pace, leave, begun) for _ in range(5)))
        async with pace.turn(of()):
            await pace.again(of())
        assert len(begun) == 5
        assert sum(waits) == pytest.approx(6 * 61 / 120 - (1 - 61 / 120), abs=0.001)

    ran(work)


def test_a_gate_without_a_share_waits_for_none() -> None:
    """Sending again is free where there is no limit a minute."""

    async def work() -> None:
        pace = Pace(most=1)
        async with pace.turn(of()):
            await pace.again(of())
            assert pace.active == 1

    ran(work)


def test_two_processes_share_one_limit(postgres: Any) -> None:
    """Over a real ledger: never more than are allowed under way, whichever of two asks, and both get their share."""
    pytest.importorskip("psycopg")
    from wan_cli.ledger import Ledger

    async def work() -> None:
        with Ledger.open_url(postgres.url) as one, Ledger.open_url(postgres.url) as two:
            under_way, most, bought = [0], [0], {"a": 0, "b": 0}

            async def buy(pace: SharedPace, batch: str) -> None:
                async with pace.turn(of(batch)):
                    under_way[0] += 1
                    most[0] = max(most[0], under_way[0])
                    await asyncio.sleep(0)
                    pace.taken()
                    under_way[0] -= 1
                bought[batch] += 1

            paces = [
                SharedPace(each, "rivya", lambda: "k1", own=9, most=3, every_s=0.001, again_s=0.01)
                for each in (one, two)
            ]
            await asyncio.gather(*(buy(pace, "ab"[number % 2]) for number in range(15) for pace in paces))
            for pace in paces:
                pace.close()
            assert (most, under_way, bought) == ([3], [0], {"a": 16, "b": 14})
            assert postgres.ask("SELECT count(*) FROM wan.turn") == [(0,)]

    ran(work)
