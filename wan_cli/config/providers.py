"""Providers of the user's configuration (``[providers.NAME] contract = ...``), and switches that widen an offer."""

from __future__ import annotations

import re

from wan_cli import registry
from wan_cli.catalog import parse
from wan_cli.config.settings import Config
from wan_cli.config.shapes import ProviderTable
from wan_cli.errors import ConfigInvalid
from wan_cli.pattern import pattern
from wan_cli.text import one_line

_NAME = pattern(r"[a-z][a-z0-9_-]{0,31}")


def register(config: Config) -> None:
    """Register what ``config`` adds. Raises ``ConfigInvalid`` for a provider that nobody could speak to."""
    registry.forget_added()
    for name, table in config.tables.items():
        _register(name, table, f"[providers.{one_line(name)}] in {config.user_file}")


def _register(name: str, table: ProviderTable, where: str) -> None:
    contract = table.contract or name
    if not registry.knows(contract) or registry.capabilities(contract).contract != contract:
        known = ", ".join(registry.names())
        raise ConfigInvalid(f"{where}: contract is to be one of {known}", hint="edit the configuration file")
    if contract != name and not _NAME.fullmatch(name):
        raise ConfigInvalid(f"{where}: a provider's name has small letters, digits, - and _", hint="rename it")
    if contract != name and registry.knows(name):
        raise ConfigInvalid(f"{where}: {name} has its own contract", hint="leave contract out, or choose another name")
    document = registry.document(contract)
    switched = [switch for switch in document.get("switches", {}) if table.quirks.get(switch)]
    if contract == name:
        if switched:
            registry.add(parse(document, switched))
        return
    if not table.base_url:
        raise ConfigInvalid(f"{where}: base_url is missing", hint="edit the configuration file")
    variable = re.sub(r"[^A-Z0-9]", "_", name.upper())
    own = {
        "name": name, "contract": contract, "title": name, "key_env": table.key_env or f"{variable}_API_KEY",
        "base_url": table.base_url, "base_url_env": f"{variable}_BASE_URL",
    }  # fmt: skip
    registry.add(parse({**document, **own}, switched))
