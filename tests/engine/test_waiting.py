"""When to ask next."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_cli.engine.durations import KEPT, QUANTILE, Expected, expected
from wan_cli.engine.waiting import ASKED_TO_WAIT, BROKEN_CAP_S, DEADLINES_S, WORTH_S, pause
from wan_cli.models import Kind

IMAGE, VIDEO = expected("image"), expected("video")
KNOWN = expected("image", [(38, 42)] * 10)


def asked_at(kind: Kind, known: Expected, count: int, **more: tuple[float, float]) -> list[float]:
    """Return the ages at which the first polls of a task are made."""
    ages = [0.0]
    for polls in range(count):
        ages.append(ages[-1] + pause(kind, known, ages[-1], polls, 0.5, **more))
    return ages[1:]


@pytest.mark.parametrize(("kind", "first"), [("image", 2.5), ("video", 5.0)])
def test_the_first_poll_comes_early_while_nothing_is_known(kind: Kind, first: float) -> None:
    """The first pause is the advice of the providers, without jitter; the next ones do not wait for a guess."""
    ages = asked_at(kind, expected(kind), 4)
    assert (ages[0], ages[1]) == (first, pytest.approx(3 * first))
    assert all(later - earlier <= max(earlier, 2 * first) for earlier, later in itertools.pairwise(ages))


def test_a_kind_without_its_own_rhythm_has_that_of_pictures() -> None:
    """Audio is asked about as pictures are."""
    assert asked_at("audio", expected("audio"), 5) == asked_at("image", IMAGE, 5)


def test_a_model_that_is_known_is_asked_about_when_it_should_be_done() -> None:
    """After ten tasks of 40 seconds: nothing in the first half of that, then ever more, until they should be over."""
    ages = asked_at("image", KNOWN, 6)
    assert 20 < ages[0] < 30
    pauses = [later - earlier for earlier, later in itertools.pairwise(ages)]
    assert max(pauses) == pauses[0] < 15
    assert min(pauses) < 4


def test_the_hazard_sets_the_pause() -> None:
    """The pause is sqrt(2 c / h), with c seconds of lateness as the worth of a question."""
    assert pause("image", KNOWN, 40.0, 3, 0.5) == pytest.approx(math.sqrt(2 * WORTH_S / KNOWN.hazard(40.0)))


@pytest.mark.parametrize("rand", [0.0, 0.5, 1.0])
def test_the_providers_minimum_is_kept(rand: float) -> None:
    """No pause is below what the provider documents, whatever is known and however the dice fall."""
    quick = expected("image", [(1, 2)] * 10)
    assert pause("image", quick, 0.0, 0, rand, stated=(2, 5)) == 2.0
    assert pause("image", quick, 1.0, 0, rand, stated=(2, 5)) == 1.0
    for polls, age in itertools.product((1, 2, 9), (2.0, 40.0, 1e6)):
        assert pause("image", KNOWN, age, polls, rand, stated=(2, 5)) >= 5


def test_a_task_that_was_left_by_another_process_is_asked_about_soon() -> None:
    """One that is older than the first question would be waits a second; a younger one waits the rest."""
    assert pause("image", KNOWN, 3600.0, 0, 0.5) == 1.0
    assert pause("image", KNOWN, KNOWN.first - 7, 0, 0.5) == pytest.approx(7)


@pytest.mark.parametrize(("asked", "wait"), [(0.0, 2.0), (7.0, 7.0), (3600.0, 60.0)])
def test_h18_the_provider_may_ask_for_a_pause(asked: float, wait: float) -> None:
    """A Retry-After on an answered poll is followed within 2 to 60 seconds."""
    assert pause("image", KNOWN, 40.0, 5, 0.5, asked=asked, stated=(2, 5)) == wait


def test_n16_broken_polls_slow_down_to_half_a_minute() -> None:
    """Polls that break double their pause, up to 30 seconds."""
    once = pause("image", KNOWN, 40.0, 4, 0.5)
    found = [pause("image", KNOWN, 40.0, 4, 0.5, failures=failures) for failures in (1, 2, 3, 60)]
    assert found == pytest.approx([once, 2 * once, 4 * once, 30.0])


@given(
    kind=st.sampled_from(sorted(DEADLINES_S)), polls=st.integers(0, 10_000), rand=st.floats(0, 1),
    spans=st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=30), age=st.floats(0, 1e9),
    asked=st.none() | st.floats(0, 1e9), failures=st.integers(0, 900),
)  # fmt: skip
def test_a_pause_is_never_nothing_and_never_for_ever(
    kind: Kind, polls: int, rand: float, spans: list[tuple[float, float]], age: float, asked: float | None,
    failures: int,
) -> None:  # fmt: skip
    """Every pause but the first is between a second and a minute, whatever was seen before."""
    known = expected(kind, spans)
    longest = max(ASKED_TO_WAIT[1], BROKEN_CAP_S * 1.2, known.first * (polls == 0))
    assert 1.0 <= pause(kind, known, age, polls, rand, asked=asked, failures=failures) <= longest
    assert 0 <= known.left(min(age, 1e5)) < math.inf


def test_what_is_learned_is_the_middle_of_what_was_seen() -> None:
    """Mean and deviation are those of the logarithms, drawn a little to what is typical."""
    assert math.exp(KNOWN.mean) == pytest.approx(40, rel=0.02)
    assert 0.1 < KNOWN.deviation < 0.35
    assert expected("image", [(10, 11), (90, 99)] * 5).deviation > 0.8
    assert (IMAGE.learned, KNOWN.learned) == (0, 10)
    assert math.exp(VIDEO.mean) == pytest.approx(180)


def test_only_an_end_is_taken_as_one_of_three() -> None:
    """A task that the first question found done may have ended any time before: the first one comes earlier then."""
    early = expected("image", [(0, 30)] * 10)
    assert 15 < math.exp(early.mean) < 20
    assert early.first < expected("image", [(28, 30)] * 10).first


def test_only_the_newest_count() -> None:
    """What a model took long ago is forgotten."""
    assert expected("image", [(900, 950)] * 50 + [(10, 11)] * KEPT) == expected("image", [(10, 11)] * KEPT)


def test_the_first_question_comes_before_nearly_all_ends() -> None:
    """At the first question three tasks of a hundred have ended."""
    assert KNOWN.open_at(KNOWN.first) == pytest.approx(1 - QUANTILE, abs=1e-6)


def test_the_time_that_is_left_is_when_half_of_those_that_go_on_have_ended() -> None:
    """At the start it is what such tasks take; later it shrinks, and never below zero."""
    assert KNOWN.left(0.0) == pytest.approx(40, rel=0.02)
    assert [round(KNOWN.left(age)) for age in (10.0, 30.0)] == [30, 11]
    assert 0 < KNOWN.left(80.0) < 80
