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
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "121"}, None),
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
