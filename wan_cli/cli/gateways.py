"""What was learnt of OpenAI-compatible gateways, where it is used: under whatever the user configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wan_cli.config import gateways
from wan_cli.errors import StateUnusable, WanError
from wan_cli.registry import capabilities, names

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.config import Account
    from wan_cli.providers.base import Provider

CONTRACT = "openai"
"""The one contract that many servers speak, each in its own way."""


def speaks(name: str) -> bool:
    """Tell whether a provider is such a gateway."""
    return capabilities(name).contract == CONTRACT


def known(app: App, name: str) -> gateways.Gateway | None:
    """Return what was learnt of a provider at the base URL in force. Raises ``WanError`` where there is none."""
    from wan_cli.providers import load

    return gateways.load(app.state, name, load(name).strip_endpoint(app.account(name).base_url))


def with_learnt(app: App, account: Account, adapter: type[Provider]) -> dict[str, Any]:
    """Return the switches that hold: the user's, and below them what was learnt, as far as the adapter knows it."""
    if not speaks(account.provider):
        return dict(account.quirks)
    try:
        found = gateways.load(app.state, account.provider, adapter.strip_endpoint(account.base_url))
    except StateUnusable:  # a user without a home; what needs the folder says so
        found = None
    learnt = found.quirks if found else {}
    usable = {name: value for name, value in learnt.items() if value in adapter.quirk_values.get(name, ())}
    return usable | dict(account.quirks)


def settings(app: App) -> list[tuple[str, Any, str]]:
    """Return what ``wan config show`` tells of it: setting, value, source."""
    rows: list[tuple[str, Any, str]] = []
    if not (app.state / gateways.FOLDER).is_dir():  # else adapters would be imported for nothing
        return rows
    for name in filter(speaks, names()):
        try:
            found, own = known(app, name), app.account(name).quirks
        except WanError:
            continue
        if found is None:
            continue
        source = f"learnt by wan doctor --probe on {found.day}"
        rows += [(f"providers.{name}.{switch}", value, source) for switch, value in found.quirks.items()
                 if switch not in own]  # fmt: skip
        rows += [(f"learnt.{name}.{fact}", list(values) or "refused", f"{source}: {found.how.get(fact, '')}")
                 for fact, values in found.facts.items()]  # fmt: skip
    return rows
