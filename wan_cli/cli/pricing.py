"""What a model costs where it would be bought: the user's own price, else the catalogue's for that place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.catalog import Price
from wan_cli.errors import WanError
from wan_cli.registry import capabilities

if TYPE_CHECKING:
    from wan_cli.catalog import Model
    from wan_cli.cli.context import App


def price_of(app: App, model: Model) -> Price | None:
    """Return the user's own price for a model, else the catalogue's for the region; ``None`` is unknown."""
    prices = app.config.prices
    own = prices.get(f"{model.provider}/{model.name}") or prices.get(f"{model.provider}/{model.id}")
    if own is not None:
        return Price(amount=own.amount, unit=own.unit, per=own.per, date="", source=str(app.config.user_file))
    return model.prices.get(_region(app, model.provider)) if model.prices else model.price


def _region(app: App, provider: str) -> str:
    """Return the region that a provider's base URL leads to, empty where it is none: a relay has its own prices."""
    try:
        return capabilities(provider).region_of(app.account(provider).base_url) or ""
    except WanError:  # what is wrong with the setting is said where it is used
        return ""
