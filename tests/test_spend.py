"""The one gate that every purchase passes: estimate, caps, consent."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_cli.catalog import Price
from wan_cli.errors import ConsentMissing, OverBudget, UsageError
from wan_cli.models import Job
from wan_cli.spend import Cap, Limits, Line, check, estimate, parse_cap, shown, totals


def job(n: int = 1, duration: int | None = None) -> Job:
    return Job(verb="generate", provider="rivya", model="wan2.7-image", prompt="a fox", n=n, duration=duration)


def price(amount: float, per: str, unit: str = "credits") -> Price:
    return Price(amount=amount, unit=unit, per=per, date="2026-05-11", source="a page")


def line(amount: float | None, unit: str | None = "credits", results: int = 1) -> Line:
    return Line(results, None if amount is None else Decimal(str(amount)), unit)


def caps(*texts: str) -> Limits:
    return Limits(caps=[parse_cap(text) for text in texts])


def passes(lines: list[Line], limits: Limits) -> None:
    check(lines, limits, ask=None)


def refused(lines: list[Line], limits: Limits) -> OverBudget:
    with pytest.raises(OverBudget) as found:
        passes(lines, limits)
    assert (found.value.exit_code, found.value.charged) == (5, "no")
    return found.value


# -- estimates


@pytest.mark.parametrize(
    ("what", "cost", "amount"),
    [
        (job(4), price(12, "task"), "12"),
        (job(4), price(0.2, "image"), "0.8"),
        (job(1, duration=5), price(0.6, "second"), "3.0"),
        (job(1), price(0.6, "second"), None),
        (job(3), None, None),
    ],
)
def test_an_estimate_counts_tasks_images_or_seconds(what: Job, cost: Price | None, amount: str | None) -> None:
    """A price per task, image or second is multiplied exactly; what is not known is unknown, never zero."""
    found = estimate(what, cost)
    assert found.results == what.n
    assert found.amount == (None if amount is None else Decimal(amount))
    assert found.unit == (cost.unit if cost else None)


def test_amounts_add_up_by_unit() -> None:
    """Amounts of one unit add up whatever its case; units are never mixed; unknown amounts are left out."""
    lines = [line(12), line(12, "Credits"), line(0.1, "CNY"), line(0.2, "CNY"), line(None), line(5, None)]
    assert totals(lines) == {"credits": Decimal(24), "CNY": Decimal("0.3")}


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([], "nothing"),
        ([line(100)], "100 credits"),
        ([line(12), line(0.5, "CNY")], "12 credits + 0.5 CNY"),
        ([line(12), line(None)], "12 credits and something unknown"),
        ([line(None, None)], "unknown"),
    ],
)
def test_the_estimate_is_written_for_people(lines: list[Line], text: str) -> None:
    """Sums stand with their unit, and what is not known is said."""
    assert shown(lines) == text


# -- caps


@pytest.mark.parametrize(
    ("text", "cap"),
    [
        ("24credits", Cap(Decimal(24), "credits")),
        (" 5.50 CNY ", Cap(Decimal("5.50"), "CNY")),
        ("7", Cap(Decimal(7), None)),
    ],
)
def test_a_cap_is_read(text: str, cap: Cap) -> None:
    """A cap is an amount with a unit, or a bare number."""
    assert parse_cap(text) == cap


@pytest.mark.parametrize("text", ["", "credits", "-5CNY", "1e9CNY5", "5 CNY 6", "\u0665CNY", "nan", "inf", "$5"])
def test_a_cap_that_is_none_is_refused(text: str) -> None:
    """What is no amount is a usage error, not a cap that is never reached."""
    with pytest.raises(UsageError):
        parse_cap(text)


@pytest.mark.parametrize("text", ["24credits", "24", "24CREDITS", "100credits"])
def test_what_is_within_a_cap_passes(text: str) -> None:
    """An estimate up to and including the cap passes."""
    passes([line(12), line(12)], caps(text))


@pytest.mark.parametrize("text", ["23credits", "23.99", "0Credits"])
def test_what_is_over_a_cap_is_refused(text: str) -> None:
    """An estimate above the cap is refused with the cap that would do."""
    error = refused([line(12), line(12)], caps(text))
    assert "24 credits" in error.message
    assert error.hint == "use --max-cost 24credits"


def test_every_cap_holds() -> None:
    """Of several caps in one unit the lowest decides: a project's cap cannot be raised by a flag."""
    refused([line(12)], caps("24credits", "10credits"))


def test_a_projects_caps_hold_beside_the_users() -> None:
    """A lower cap of the project refuses what the user's allows, and a higher one never lifts the user's."""
    refused([line(30)], Limits(caps=[parse_cap("40credits")], lowered=[parse_cap("29credits")]))
    refused([line(30)], Limits(lowered=[parse_cap("29credits")]))
    refused([line(30)], Limits(caps=[parse_cap("29credits")], lowered=[parse_cap("40credits")]))
    passes([line(30)], Limits(caps=[parse_cap("30credits")], lowered=[parse_cap("30credits")]))
    refused([line(None)], Limits(lowered=[parse_cap("29credits")]))


def test_the_hint_names_a_unit_that_there_is() -> None:
    """A bare number over several units is answered with the first of them, written out."""
    with pytest.raises(UsageError, match="which unit\\? credits, CNY") as found:
        check([line(1), line(2, "CNY")], caps("3"), ask=None)
    assert found.value.hint == "use --max-cost 3credits"


def test_several_units_need_a_cap_each() -> None:
    """Purchases in two units pass when each has a cap, and are refused when one is over its own."""
    lines = [line(12), line(3, "CNY")]
    passes(lines, caps("12credits", "3CNY"))
    assert "CNY" in refused(lines, caps("12credits", "2CNY")).message


def test_a_bare_number_needs_one_unit() -> None:
    """A cap without a unit is refused where two units are possible."""
    with pytest.raises(UsageError, match="which unit"):
        passes([line(12), line(3, "CNY")], caps("20"))


@pytest.mark.parametrize("limits", [caps("5CNY"), Limits(caps=[parse_cap("5CNY")], allow_unknown=True, yes=True)])
def test_a_cap_in_another_unit_cannot_be_kept(limits: Limits) -> None:
    """A cap that says nothing of the price's unit refuses the purchase: nobody could keep it."""
    error = refused([line(12)], limits)
    assert "12 credits" in error.message
    assert "CNY" in error.message
    assert error.hint == "add --max-cost 12credits"


def test_an_unknown_price_cannot_be_kept_below_a_cap() -> None:
    """With a cap, an unknown price is refused unless the user allows it; without a cap it passes."""
    error = refused([line(12), line(None)], caps("24credits"))
    assert "--allow-unknown-cost" in error.hint
    passes([line(None)], Limits(caps=[parse_cap("24credits")], allow_unknown=True))
    passes([line(None)], Limits())


def test_max_results_counts_files() -> None:
    """--max-results holds for the files of all tasks together."""
    lines = [line(1, results=4), line(1, results=4)]
    passes(lines, Limits(max_results=8))
    assert refused(lines, Limits(max_results=7)).hint == "use --max-results 8"


# -- consent


def asked(lines: list[Line], limits: Limits, answer: bool = True) -> list[str]:
    questions: list[str] = []

    def ask(question: str) -> bool:
        questions.append(question)
        return answer

    check(lines, limits, ask=ask)
    return questions


def test_twenty_results_need_no_yes() -> None:
    """Up to twenty results nobody is asked; above, the question names number and price."""
    assert asked([line(1, results=20)], Limits()) == []
    assert asked([line(30, results=21)], Limits()) == ["Buy 21 results for 30 credits?"]


@pytest.mark.parametrize(
    ("above", "amount", "question"),
    [({"credits": 10}, 12, True), ({"credits": 12}, 12, False), ({"CREDITS": 10}, 12, True), ({"": 10}, 12, True),
     ({"CNY": 1}, 12, False), ({"": 10}, None, False)],
)  # fmt: skip
def test_ask_above_asks_above(above: dict[str, int], amount: float | None, question: bool) -> None:
    """[spend] ask_above asks for amounts above it, in its unit in any case; a bare number holds for any unit."""
    limits = Limits(ask_above={unit: Decimal(number) for unit, number in above.items()})
    assert bool(asked([line(amount)], limits)) is question


def test_a_no_buys_nothing() -> None:
    """Who declines buys nothing: exit 5."""
    with pytest.raises(ConsentMissing, match="declined") as found:
        asked([line(30, results=21)], Limits(), answer=False)
    assert found.value.exit_code == 5


@pytest.mark.parametrize(
    "limits",
    [
        Limits(yes=True),
        Limits(caps=[parse_cap("100credits")], stated=True),
        Limits(max_results=30),
    ],
)
def test_where_nobody_can_be_asked_a_limit_is_a_yes(limits: Limits) -> None:
    """Without a terminal --yes, --max-cost or --max-results lets many results pass."""
    passes([line(30, results=21)], limits)


def test_where_nobody_can_be_asked_many_results_are_refused() -> None:
    """Without a terminal and without a limit, more than twenty results are refused, with what to add."""
    with pytest.raises(ConsentMissing) as found:
        passes([line(30, results=21)], Limits())
    assert "--yes" in found.value.hint


def test_yes_asks_nobody_but_lifts_no_cap() -> None:
    """--yes answers the question; a cap holds all the same."""
    assert asked([line(30, results=21)], Limits(yes=True)) == []
    refused([line(30)], Limits(yes=True, caps=[parse_cap("29credits")]))


UNITS = st.sampled_from(["credits", "CNY", "Credits", "USD"])
AMOUNTS = st.decimals(0, 1000, places=2)


@given(
    lines=st.lists(st.builds(Line, st.integers(1, 30), st.none() | AMOUNTS, UNITS), max_size=6),
    caps=st.lists(st.builds(Cap, AMOUNTS, st.none() | UNITS), max_size=4),
    max_results=st.none() | st.integers(1, 60), allow=st.booleans(), yes=st.booleans(), says=st.booleans(),
)  # fmt: skip
def test_nothing_over_a_cap_passes(
    lines: list[Line], caps: list[Cap], max_results: int | None, allow: bool, yes: bool, says: bool
) -> None:
    """Whatever is bought: each unit is within every cap on it, has one if there is any, and the files are counted."""
    limits = Limits(caps=caps, max_results=max_results, allow_unknown=allow, yes=yes)
    with suppress(OverBudget, ConsentMissing, UsageError):
        check(lines, limits, ask=lambda _: says)
        spent: dict[str, Decimal] = {}
        for each in lines:
            if each.amount is not None and each.unit:
                spent[each.unit.lower()] = spent.get(each.unit.lower(), Decimal(0)) + each.amount
        for unit, amount in spent.items():
            binding = [cap.amount for cap in caps if cap.unit is None or cap.unit.lower() == unit]
            assert not caps or binding
            assert all(amount <= cap for cap in binding)
        assert max_results is None or sum(each.results for each in lines) <= max_results
        assert allow or not caps or all(each.amount is not None for each in lines)
        assert yes or says or sum(each.results for each in lines) <= 20
