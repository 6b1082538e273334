"""The rows of ``wan status`` and ``wan models``: flat objects, for the table and the JSON document alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from wan_cli.text import one_line
from wan_cli.ui.money import amount, number
from wan_cli.ui.wording import age, cost, state_name

if TYPE_CHECKING:
    from wan_cli.catalog import Inputs, Model, Offer, Price
    from wan_cli.models import Task

PROMPT_HEAD = 40
"""Characters of a prompt that a listing shows."""


def status_row(task: Task, *, now: float) -> dict[str, Any]:
    """Return a task in ``STATUS_COLUMNS``. ``now`` is in seconds since the epoch."""
    return {
        "id": task.id, "state": state_name(task), "provider": task.provider, "model": task.job.model,
        "cost": cost(task), "age": age(now - task.created_at), "prompt": one_line(task.job.prompt, PROMPT_HEAD),
    }  # fmt: skip


def remote_row(task: Task, *, now: float) -> dict[str, Any]:
    """Return a task of a provider's own list in ``REMOTE_COLUMNS``: id and prompt are there if it was made here."""
    return {
        "task": task.handle, "state": state_name(task), "model": task.provider_model,
        "age": age(now - task.created_at), "id": task.id or None, "prompt": one_line(task.job.prompt, PROMPT_HEAD),
    }  # fmt: skip


def model_rows(models: Iterable[Model]) -> list[dict[str, Any]]:
    """Return the catalogue, a row for each model and each group of verbs that offer the same.

    ``amount``, ``unit`` and ``per`` are the price for scripts, ``price`` is the same in words; ``None`` or
    ``unknown`` where nobody published one.
    """
    rows = []
    for model in models:
        for verbs, offer in _grouped(model):
            price = model.price
            rows.append({
                "provider": model.provider, "model": model.name, "provider_model": model.id, "makes": model.makes,
                "verbs": verbs, "sizes": list(offer.sizes), "options": sorted(offer.options),
                "limits": _limits(offer),
                "price": _price(price) if price else "unknown",
                "amount": number(price.amount) if price else None, "unit": price.unit if price else None,
                "per": price.per if price else None, "date": price.date if price else None,
                "source": price.source if price else None,
            })  # fmt: skip
    return rows


def _price(price: Price) -> str:
    others = [f"{name}: {amount(each, price.unit)}" for name, each in price.resolutions.items()]
    return f"{amount(price.amount, price.unit)} per {price.per}" + (f" ({', '.join(others)})" if others else "")


def _grouped(model: Model) -> list[tuple[list[str], Offer]]:
    groups: list[tuple[list[str], Offer]] = []
    for verb, offer in model.verbs.items():
        same = next((verbs for verbs, other in groups if other == offer), None)
        if same is None:
            groups.append(([verb], offer))
        else:
            same.append(verb)
    return groups


def _span(pair: tuple[int, int]) -> str:
    return f"{pair[0]}-{pair[1]}" if pair[0] != pair[1] else str(pair[0])


def _lengths(seconds: tuple[int, ...]) -> str:
    whole = seconds == tuple(range(seconds[0], seconds[-1] + 1))
    return _span((seconds[0], seconds[-1])) if whole else " ".join(map(str, seconds))


def _limits(offer: Offer) -> str:
    parts = [f"prompt {offer.prompt_max} characters"]
    if offer.inputs:
        parts.append(_inputs(offer.inputs))
    if offer.count:
        parts.append(f"-n {_span(offer.count)}")
    if offer.seed:
        parts.append(f"seed {_span(offer.seed)}")
    film = bool(offer.durations)  # which has a resolution, and no size in pixels
    if offer.pixels and not film:
        parts.append(f"{_span(offer.pixels)} pixels")
    if film:
        parts.append(f"{_lengths(offer.durations)} s")
    if offer.durations_with_video:
        parts.append(f"beside videos {_lengths(offer.durations_with_video)} s")
    if offer.resolutions:
        parts.append(" ".join(offer.resolutions))
    if offer.aspects:
        parts.append(f"aspects {' '.join(offer.aspects)}")
    if offer.max_ratio and not film:
        parts.append(f"sides up to {offer.max_ratio:g}:1")
    parts += [f"{option} is ineffective: {why}" for option, why in offer.ineffective.items()]
    return "; ".join(parts)


def _inputs(inputs: Inputs) -> str:
    parts = [f"{_span(inputs.count)} inputs"]
    if inputs.max_bytes:
        parts.append(f"at most {inputs.max_bytes / 2**20:g} MiB")
    if inputs.sides:
        parts.append(f"sides {_span(inputs.sides)} px")
    if inputs.max_ratio:
        parts.append(f"up to {inputs.max_ratio:g}:1")
    if inputs.mimes:
        parts.append(" ".join(mime.rpartition("/")[2] for mime in inputs.mimes))
    return ", ".join(parts)
