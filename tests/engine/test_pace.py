"""How much is bought at a time: more while all goes well, half after a 429, nothing after a row of refusals."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_cli.engine.pace import BREAKS_AFTER, Pace, pause_asked
from wan_cli.errors import NetworkError, RateLimited, RequestRejected

NOW = 1_795_251_600.0


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}, 30),
        ({"x-ratelimit-remaining": " 0 ", "x-ratelimit-reset": " 1.5 "}, 1.5),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW + 60)}, 60),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}, 90),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "250ms"}, 0.25),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "3", "ratelimit-remaining": "0", "ratelimit-reset": "9"},
         9),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "30"}, None),
        ({"x-ratelimit-remaining": "0"}, None),
        ({"x-ratelimit-reset": "30"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "-5"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "120"}, 120),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2m"}, 120),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "120.5"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "121"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0h1m1.5s20ms"}, 61.52),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0ms"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": ""}, None),
        ({"ratelimit-remaining": "0", "x-ratelimit-reset": "30"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1h"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW - 60)}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9" * 40}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_headers(headers: dict[str, str], pause: float | None) -> None:
    """A pause is taken from headers that say there is no room and when there is; nonsense and long ones are not."""
    found = pause_asked(headers, NOW)
    assert found == pause if pause is None else found == pytest.approx(pause)


@pytest.mark.parametrize(
    ("reset", "now", "pause"), [("1000000000", 999_999_970.0, 30), ("999999999", 999_999_970.0, None)]
)
def test_from_a_milliard_on_a_number_is_a_time(reset: str, now: float, pause: float | None) -> None:
    """Below that it is a span, and one of thirty years is none that anybody waits."""
    assert pause_asked({"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}, now) == pause


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_headers(room: str, reset: str) -> None:
    """Whatever headers say, the pause is none, or within two minutes."""
    found = pause_asked({"x-ratelimit-remaining": room, "x-ratelimit-reset": reset}, NOW)
    assert found is None or 0 < found <= 120


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 6), st.lists(st.sampled_from(["taken", "slower", "give up"]), min_size=1, max_size=25))
def test_any_order(most: int, events: list[str]) -> None:
    """Never more than allowed are under way, never none at all, and everybody gets a turn."""

    async def run() -> None:
        pace, active, turns = Pace(most=most), [0], [0]

        async def one(event: str) -> None:
            async with pace:
                active[0] += 1
                try:
                    assert active[0] <= most
                    await asyncio.sleep(0)
                finally:
                    active[0] -= 1
                if event == "taken":
                    pace.taken()
                elif event == "slower":
                    pace.slower()
                assert 1 <= pace.limit <= most
                turns[0] += 1

        works = [asyncio.ensure_future(one(event)) for event in events]
        await asyncio.sleep(0)
        cancelled = 0
        for work, event in zip(works, events, strict=True):
            if event == "give up" and not work.done():
                work.cancel()
                cancelled += 1
        async with asyncio.timeout(5):
            ends = await asyncio.gather(*works, return_exceptions=True)
        assert not [end for end in ends if isinstance(end, Exception)]
        assert turns[0] >= len(events) - cancelled
        assert pace.active == 0

    asyncio.run(run())


def test_halves_and_grows() -> None:
    """A 429 halves, down to one; each purchase that is taken adds a part of one, up to the most."""
    pace = Pace(most=8)
    pace.slower()
    assert pace.limit == 4
    for _ in range(4):
        pace.slower()
    assert pace.limit == 1
    pace.taken()
    assert pace.limit == 2
    for _ in range(100):
        pace.taken()
    assert pace.limit == 8
    pace.slower()
    pace.taken()
    assert pace.limit == 4.25
    assert Pace(most=3).limit == 3
    assert Pace(most=3, limit=2.0).limit == 2


def test_breaks_after_five() -> None:
    """Five is the number of reliability.md section 5."""
    assert BREAKS_AFTER == 5


def test_whoever_enters_has_the_pace() -> None:
    """``async with pace as mine`` is the same gate, at once and after waiting."""

    async def run() -> None:
        pace = Pace(most=1)

        async def enter() -> bool:
            async with pace as mine:
                await asyncio.sleep(0)
                return mine is pace and pace.active == 1

        assert await asyncio.gather(enter(), enter()) == [True, True]

    asyncio.run(run())


async def arrive(pace: Pace, name: str, order: list[str], leave: asyncio.Event) -> None:
    """Take a turn, say so, and stay until everybody may go."""
    async with pace:
        order.append(name)
        await leave.wait()


async def settle() -> None:
    """Let everybody go as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_turns_come_in_the_order_of_asking() -> None:
    """Whoever comes later never passes one that waits, even when there is room at that very moment."""

    async def run() -> None:
        pace, order, leave = Pace(most=2), list[str](), asyncio.Event()
        works = [asyncio.ensure_future(arrive(pace, name, order, leave)) for name in "abcd"]
        await settle()
        assert (order, pace.active) == (["a", "b"], 2)
        leave.set()
        await asyncio.gather(*works)
        assert (order, pace.active) == (["a", "b", "c", "d"], 0)

    asyncio.run(run())


def test_a_slower_pace_lets_nobody_in_until_there_is_room() -> None:
    """After a 429 those that are under way finish first; a purchase that is taken opens the gate again."""

    async def run() -> None:
        pace, order, leave = Pace(most=4), list[str](), asyncio.Event()
        first = [asyncio.ensure_future(arrive(pace, name, order, leave)) for name in "abcd"]
        await settle()
        pace.slower()
        late = asyncio.ensure_future(arrive(pace, "e", order, leave))
        await settle()
        assert (order, pace.limit) == (["a", "b", "c", "d"], 2)
        first[0].cancel()
        await settle()
        assert (order, pace.active) == (["a", "b", "c", "d"], 3)
        for _ in range(10):
            pace.taken()
        await settle()
        assert (order, pace.active) == (["a", "b", "c", "d", "e"], 4)
        leave.set()
        await asyncio.gather(*first, late, return_exceptions=True)
        assert pace.active == 0

    asyncio.run(run())


@pytest.mark.parametrize("moment", ["waiting", "at its turn"])
def test_one_that_gives_up_passes_its_turn_on(moment: str) -> None:
    """Cancelled while it waits, or in the moment its turn comes, it blocks nobody and holds no place."""

    async def run() -> None:
        pace, order, leave = Pace(most=1), list[str](), asyncio.Event()
        works = {name: asyncio.ensure_future(arrive(pace, name, order, leave)) for name in "abc"}
        await settle()
        if moment == "waiting":
            works["b"].cancel()
            await settle()
            assert (order, pace.active, len(pace._waiting)) == (["a"], 1, 1)
            leave.set()
        else:
            works["a"].cancel()
            await asyncio.sleep(0)  # the place is free, and the turn given to the next, who does not know yet
            works["b"].cancel()
            leave.set()
        await asyncio.gather(*works.values(), return_exceptions=True)
        assert (order, pace.active, len(pace._waiting)) == (["a", "c"], 0, 0)

    asyncio.run(run())


@pytest.mark.parametrize("error", [NetworkError("no"), RateLimited("no"), None])
def test_breaks(error: Any) -> None:
    """Five in a row that may pass, or are in doubt, are enough; one that is taken, or wrong itself, starts anew."""
    pace = Pace(most=4)

    def fail(times: int) -> None:
        for _ in range(times):
            if error is None:
                pace.doubted()
            else:
                pace.refused(error)

    fail(BREAKS_AFTER - 1)
    assert not pace.broken
    pace.taken()
    fail(BREAKS_AFTER - 1)
    pace.refused(RequestRejected("no"))
    fail(BREAKS_AFTER - 1)
    assert not pace.broken
    fail(1)
    assert pace.broken
