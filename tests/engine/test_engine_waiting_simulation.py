"""What the polling policy is worth, against fixed and exponential ones, on simulated tasks."""

from __future__ import annotations

import functools
import math

import pytest
from support_waiting import RIVALS_S, Outcome, Workload, at_polls, blind, changed, fixed, growing, learning, workload

from wan_cli.models import Kind

KINDS: tuple[Kind, ...] = ("image", "video")
SHAPES = [
    *(functools.partial(lambda head, s: fixed(s, s * head), head) for head in (0.5, 1, 2, 4)),
    *(
        functools.partial(lambda factor, most, s: growing(s, factor, s * most), factor, most)
        for factor in (1.1, 1.2, 1.3, 1.5, 2.0) for most in (2, 4, 10, 30, math.inf)
    ),
]  # fmt: skip
"""Fixed policies with a first pause of their own, and exponential ones, each to be scaled."""


@functools.cache
def tasks(kind: Kind) -> Workload:
    return workload(kind, seed=20261121)


@functools.cache
def ours(kind: Kind) -> Outcome:
    return learning(tasks(kind), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_polls_and_three_quarters_of_the_lateness_of_a_fixed_interval(kind: Kind) -> None:
    """From the first task of a model on: no more polls than every 5 s (videos: 15 s), at most 0.75 of its lateness."""
    rival = blind(tasks(kind), fixed(RIVALS_S[kind]))
    assert ours(kind).polls <= rival.polls
    assert ours(kind).late <= 0.75 * rival.late


@pytest.mark.parametrize("kind", KINDS)
def test_no_blind_policy_is_as_good_with_as_many_polls(kind: Kind) -> None:
    """Every fixed and every exponential policy that is given as many polls, or a few more, is later.

    One that ever doubles without a cap is not fast enough for so many polls with any start; it is later still.
    """
    rivals = [at_polls(tasks(kind), shape, ours(kind).polls) for shape in SHAPES]
    assert sum(rival.polls < ours(kind).polls for rival in rivals) <= 1
    assert ours(kind).late < min(rival.late for rival in rivals)


@pytest.mark.parametrize("since", [1, 4, 20])
@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_becomes_faster_or_slower_is_survived(kind: Kind, factor: float, since: int) -> None:
    """Half or double the duration, after one, four or twenty tasks: at most twice as late as a fixed interval.

    Nor are there more than twice as many polls. Counted are the first two tasks after the change, when all that is
    known is wrong.
    """
    work = changed(workload(kind, seed=7, models=24, tasks=since + 2), factor, since)
    found = learning(work, kind, counted_from=since)
    rival = blind([model[since:] for model in work], fixed(RIVALS_S[kind]))
    assert found.late <= 2 * rival.late
    assert found.polls <= 2 * rival.polls


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_nobody_knows_is_asked_about_a_little_more(kind: Kind) -> None:
    """The very first task of a model is found sooner than by a fixed interval, for at most half as many polls more."""
    first = workload(kind, seed=3, models=200, tasks=1)
    found, rival = learning(first, kind), blind(first, fixed(RIVALS_S[kind]))
    assert found.late < rival.late
    assert found.polls <= 1.5 * rival.polls
