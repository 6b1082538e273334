"""When to ask next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_cli.engine.waiting import ASKED_TO_WAIT, BROKEN_CAP_S, DEADLINES_S, pause


@pytest.mark.parametrize(("kind", "first"), [("image", 2.5), ("video", 5.0)])
def test_the_first_poll_comes_when_a_result_may_be_there(kind: str, first: float) -> None:
    """The first pause is the provider's own advice, without jitter."""
    assert pause(kind, 0, 0.9) == first  # type: ignore[arg-type]


def test_pauses_grow_to_a_limit() -> None:
    """Pauses between polls of a picture grow from 5 to 10 seconds and stay there."""
    pauses = [pause("image", polls, 0.5) for polls in range(1, 8)]
    assert pauses[:3] == pytest.approx([5.0, 6.5, 8.45])
    assert pauses[3:] == pytest.approx([10.0] * 4)


def test_videos_are_asked_about_less_often() -> None:
    """Pauses between polls of a video grow from 15 to 30 seconds."""
    assert [pause("video", polls, 0.5) for polls in (1, 2, 9)] == pytest.approx([15.0, 19.5, 30.0])


def test_a_kind_without_its_own_rhythm_has_that_of_pictures() -> None:
    """Audio is asked about as pictures are."""
    assert pause("audio", 0, 0.5) == pause("image", 0, 0.5)


@pytest.mark.parametrize(("asked", "wait"), [(0.0, 2.0), (7.0, 7.0), (3600.0, 60.0)])
def test_h18_the_provider_may_ask_for_a_pause(asked: float, wait: float) -> None:
    """A Retry-After on an answered poll is followed within 2 to 60 seconds."""
    assert pause("image", 5, 0.5, asked=asked) == wait


def test_n16_broken_polls_slow_down_to_half_a_minute() -> None:
    """Polls that break double their pause, up to 30 seconds."""
    assert [pause("image", 4, 0.5, failures=failures) for failures in (1, 2, 3, 60)] == [10.0, 20.0, 30.0, 30.0]


@given(
    kind=st.sampled_from(sorted(DEADLINES_S)), polls=st.integers(0, 10_000), rand=st.floats(0, 1),
    asked=st.none() | st.floats(0, 1e9), failures=st.integers(0, 900),
)  # fmt: skip
def test_a_pause_is_never_nothing_and_never_long(
    kind: str, polls: int, rand: float, asked: float | None, failures: int
) -> None:
    """Every pause is between 2 seconds and a minute, whatever happened before."""
    longest = max(ASKED_TO_WAIT[1], BROKEN_CAP_S * 1.2)
    assert 2.0 <= pause(kind, polls, rand, asked=asked, failures=failures) <= longest  # type: ignore[arg-type]
