"""The one gate that every purchase passes: estimate, caps, consent (interface.md, section 5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from wan_cli.catalog import Price
from wan_cli.dataclass import dataclass, field
from wan_cli.errors import ConsentMissing, OverBudget, UsageError
from wan_cli.models import Job
from wan_cli.pattern import pattern

CONSENT_RESULTS = 20
"""More results than this need a yes."""

_AMOUNT = pattern(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cap:
    """An upper limit; ``unit`` is ``None`` where the user gave a bare number."""

    amount: Decimal
    unit: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """One purchase to come: ``results`` files for ``amount`` of ``unit``; unknown amounts are ``None``."""

    results: int
    amount: Decimal | None
    unit: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the user allows. ``ask_above`` maps a unit to the amount from which a yes is needed.

    ``lowered`` are a project's caps, which hold beside the user's ``caps`` and never instead. ``stated`` tells that a
    cap came with this very call (``--max-cost``, ``WAN_MAX_COST``): only such a one stands for a yes.
    """

    caps: Sequence[Cap] = ()
    lowered: Sequence[Cap] = ()
    stated: bool = False
    max_results: int | None = None
    allow_unknown: bool = False
    yes: bool = False
    ask_above: Mapping[str, Decimal] = field(default_factory=dict)


def parse_cap(text: str) -> Cap:
    """Read ``24credits``, ``5CNY`` or a bare ``24``. Raises ``UsageError``."""
    match = _AMOUNT.fullmatch(text.strip())
    if not match:
        raise UsageError(f"--max-cost {text}: an amount with a unit, such as 24credits or 5CNY")
    return Cap(Decimal(match[1]), match[2] or None)


def estimate(job: Job, price: Price | None, *, seconds: int | None = None, footage: int = 0) -> Line:
    """Say what one submit of ``job`` costs at ``price``, and how many files it makes.

    ``seconds`` is the provider's own duration, where the user said none; ``footage`` are the most seconds that are
    charged for videos which are looked at (a clip that is gone on with is a part of the duration).
    """
    if price is None:
        return Line(job.n, None, None)
    looked_at = any(media.kind == "video" and media.role in ("reference", "edit_source") for media in job.media)
    lasts = job.duration or seconds
    charged = lasts + footage if lasts and looked_at else lasts
    times = {"task": 1, "image": job.n, "second": charged}[price.per]
    each = price.resolutions.get(job.resolution or "", price.amount)
    amount = None if times is None else Decimal(str(each)) * times
    return Line(job.n, amount, price.unit)


def totals(lines: Sequence[Line]) -> dict[str, Decimal]:
    """Add up the known amounts by unit, whose case does not count: the first spelling stands."""
    sums: dict[str, Decimal] = {}
    for line in lines:
        if line.amount is not None and line.unit:
            unit = next((name for name in sums if name.casefold() == line.unit.casefold()), line.unit)
            sums[unit] = sums.get(unit, Decimal(0)) + line.amount
    return sums


def shown(lines: Sequence[Line]) -> str:
    """Write the estimate for people: ``24 credits``, ``unknown``, ``24 credits and something unknown``."""
    known = " + ".join(f"{amount.normalize():f} {unit}" for unit, amount in totals(lines).items())
    unknown = any(line.amount is None for line in lines)
    return f"{known} and something unknown" if known and unknown else known or ("unknown" if unknown else "nothing")


def check(lines: Sequence[Line], limits: Limits, *, ask: Callable[[str], bool] | None) -> None:
    """Let the purchases pass, or refuse them all. Raises ``OverBudget``, ``ConsentMissing`` or ``UsageError``.

    ``ask`` puts a question to a person; ``None`` where there is nobody to ask.
    """
    sums, results = totals(lines), sum(line.results for line in lines)
    check_units(lines, limits)
    _check_caps(limits.caps, sums)
    _check_caps(limits.lowered, sums)
    if (limits.caps or limits.lowered) and any(line.amount is None for line in lines) and not limits.allow_unknown:
        raise OverBudget(
            'the price is not known, so --max-cost cannot be kept; [prices."PROVIDER/MODEL"] in your file can say it',
            hint="add --allow-unknown-cost",
        )
    if limits.max_results is not None and results > limits.max_results:
        raise OverBudget(
            f"{results} results are asked for, --max-results is {limits.max_results}",
            hint=f"use --max-results {results}",
        )
    _check_consent(lines, limits, sums, results, ask)


def _covers(cap: Cap, unit: str) -> bool:
    """Tell whether a cap says anything of amounts in ``unit``; a bare number does."""
    return cap.unit is None or cap.unit.casefold() == unit.casefold()


def check_units(lines: Sequence[Line], limits: Limits) -> None:
    """Refuse a bare number where ``lines``, of every candidate, have several units. Raises ``UsageError``."""
    units = list(totals(lines))
    bare = next((cap for cap in (*limits.caps, *limits.lowered) if cap.unit is None), None)
    if bare and len(units) > 1:
        raise UsageError(
            f"--max-cost {bare.amount}: which unit? {', '.join(units)}", hint=f"use --max-cost {bare.amount}{units[0]}"
        )


def _check_caps(caps: Sequence[Cap], sums: Mapping[str, Decimal]) -> None:
    for cap in caps:
        _check_cap(cap, sums)
    for unit, amount in sums.items():
        if caps and not any(_covers(cap, unit) for cap in caps):
            named = " and ".join(sorted({cap.unit for cap in caps if cap.unit}))
            raise OverBudget(
                f"the estimate is {amount.normalize():f} {unit}; a --max-cost in {named} cannot be kept",
                hint=f"add --max-cost {amount.normalize():f}{unit}",
            )


def _check_cap(cap: Cap, sums: Mapping[str, Decimal]) -> None:
    for unit, amount in sums.items():
        if _covers(cap, unit) and amount > cap.amount:
            raise OverBudget(
                f"the estimate is {amount.normalize():f} {unit}, --max-cost allows {cap.amount.normalize():f}",
                hint=f"use --max-cost {amount.normalize():f}{unit}",
            )


def _check_consent(
    lines: Sequence[Line], limits: Limits, sums: Mapping[str, Decimal], results: int, ask: Callable[[str], bool] | None
) -> None:
    asked = {unit.casefold(): amount for unit, amount in limits.ask_above.items()}  # "": a bare number, for any unit
    above = [
        unit for unit, amount in sums.items()
        if any(amount > asked[name] for name in ("", unit.casefold()) if name in asked)
    ]  # fmt: skip
    if limits.yes or not (results > CONSENT_RESULTS or above):
        return
    question = f"{results} results for {shown(lines)}"
    if ask is None:
        if limits.stated or limits.max_results is not None:
            return
        raise ConsentMissing(f"{question} need a yes, and nobody is there to ask", hint="add --yes")
    if not ask(f"Buy {question}?"):
        raise ConsentMissing(f"{question}: declined", hint="add --yes")
