"""Claims about errors, warnings and amounts in text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wan_cli import errors
from wan_cli.models import Cancelled, Cost, Done, Lost, New, Output, Saved, Task, Unknown, Warned
from wan_cli.ui.messages import GENERAL_HINT, error_lines, hint_for, say_error, warning_line
from wan_cli.ui.money import amount, number
from wan_cli.ui.wording import age, cost, elapsed, remark, state_name, transferred, under_way

Make = Callable[..., Any]
"""A fixture that builds what it is named after."""


def every_class(cls: type[errors.WanError] = errors.WanError) -> Iterator[type[errors.WanError]]:
    """Yield the whole error tree."""
    yield cls
    for sub in cls.__subclasses__():
        yield from every_class(sub)


@pytest.mark.parametrize("cls", list(every_class()))
def test_every_error_is_three_lines_with_a_next_command(cls: type[errors.WanError]) -> None:
    """Each class prints exactly error, charged and hint, whatever is in its message (S16)."""
    lines = error_lines(cls("[/x] [bold] \x1b[2J\n::error::two\r\x9b\u202e"))
    assert [line.partition(":")[0] for line in lines] == ["error", "charged", "hint"]
    assert all(line.isprintable() for line in lines)
    assert "[/x] [bold] ^[[2J" in lines[0]
    assert lines[2].startswith("hint: wan ")


def test_the_errors_own_words_win() -> None:
    """Message, charge and hint are the error's own where it has them, each on one line."""
    error = errors.TaskFailed("it\nfailed", charged="no", hint="wan wait\nrivya:1")
    assert error_lines(error) == ["error: it failed", "charged: no", "hint: wan wait rivya:1"]
    assert error_lines(errors.InternalError(""))[0] == "error: internal"
    assert hint_for(errors.Moderation("x")) == GENERAL_HINT


def test_color_only_where_it_is_wanted(streams: Make) -> None:
    """The words are the same with colour and without, and colour follows the streams."""
    plain, loud = streams(), streams(env={"FORCE_COLOR": "1"})
    for s in (plain, loud):
        say_error(s, errors.RateLimited("slow down"))
    assert "\x1b" not in plain.stderr.getvalue()
    assert loud.stderr.getvalue().startswith("\x1b[31merror:\x1b[0m slow down\n\x1b[1mcharged:\x1b[0m no\n")


def test_a_warning_names_its_task(task: Make) -> None:
    """A warning is one line, with the id of its task if it is about one."""
    assert warning_line(Warned(message="a\nb\x1b")) == "warning: a b^["
    assert warning_line(Warned(message="late", task=task())) == "warning: k3f9x2: late"
    assert warning_line(Warned(message="x"), color=True) == "\x1b[33mwarning:\x1b[0m x"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (12.0, "credits", "12 credits"), (1, "credits", "1 credit"), (0.2, "CNY", "0.2 CNY"), (0, "CNY", "0 CNY"),
        (None, "credits", "unknown"), (math.nan, "CNY", "unknown"), (math.inf, "CNY", "unknown"), (5, None, "5"),
        (0.1 + 0.2, "CNY", "0.3 CNY"), (1e-9, "CNY", "1e-09 CNY"), (1234567, "CNY", "1234567 CNY"),
        (2, "\x1bE", "2 ^[E"),
    ],
)  # fmt: skip
def test_amounts_are_never_zero_for_unknown(value: Any, unit: str | None, text: str) -> None:
    """An amount is shown without noise; what is unknown says so."""
    assert amount(value, unit) == text


def test_numbers_are_whole_where_they_are() -> None:
    """JSON shows 12, not 12.0, and null for what is not a number."""
    assert [number(12.0), number(0.5), number(None), number(math.nan)] == [12, 0.5, None, None]
    assert isinstance(number(12.0), int)


def test_times_and_sizes_are_short() -> None:
    """Elapsed times, ages and transfers are a few characters."""
    assert [elapsed(s) for s in (-1, 59.9, 65, 7380)] == ["0s", "59s", "1m05s", "2h03m"]
    assert [age(s) for s in (-5, 40, 200, 7200, 432_000)] == ["0s", "40s", "3m", "2h", "5d"]
    assert (transferred(1_200_000, 4_000_000), transferred(1_200_000, None)) == ("1.2/4.0 MB", "1.2 MB")


def test_states_have_one_name(task: Make, tale: list[Task], fake: Make) -> None:
    """Each state has its word; a finished task is downloading while its results are on their way."""
    assert [state_name(t) for t in tale] == ["submitting", "pending", "succeeded", "succeeded"]
    assert state_name(task()) == "planned"
    assert under_way(tale[2]) == state_name(tale[2], fetching=True) == "downloading"
    outputs = (Output(b64="aGk="),)
    assert state_name(task(state=Done(outputs=outputs), trouble=fake(code="write_failed"))) == "downloading"
    others = [fake(), Cancelled(), Unknown(reason="x"), Lost(code="result_expired", message="x")]
    assert [state_name(task(state=s)) for s in others] == ["failed", "cancelled", "unknown", "lost"]


def test_remarks_are_the_states_own(task: Make, tale: list[Task], fake: Make, file: Make) -> None:
    """What stands beside a state is what the provider, or the state, says."""
    assert remark(tale[1]) == "queued"
    assert remark(tale[1], "next poll in 5s") == "next poll in 5s"
    assert remark(tale[2]) == ""
    assert remark(task(state=tale[2].state, trouble=fake(message="disk\nfull"))) == "disk full"
    assert remark(task(state=New())) == ""
    assert remark(task(state=Saved(files=(file(1), file(2))))) == "2 files"
    assert [remark(task(state=s)) for s in (fake(), Cancelled(message="c"), Lost(code="x", message="l"))] == [
        "the upstream model failed", "c", "l",
    ]  # fmt: skip
    assert remark(task(state=Unknown(reason="reset"))) == "reset"


def test_costs_are_estimates_until_they_are_known(task: Make) -> None:
    """An estimate is called one; an unknown estimate is not 0."""
    assert cost(task()) == "estimated 12 credits"
    assert cost(task(cost=Cost())) == "estimated unknown"
    assert cost(task(cost=Cost(estimated=12, actual=5, unit="credits"))) == "5 credits"
