"""``wan auth list`` and ``wan config show``: what is in force, and where it was set. A key itself is never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wan_cli.config import config_path, state_folder
from wan_cli.errors import UsageError, WanError
from wan_cli.registry import capabilities, names
from wan_cli.text import one_line
from wan_cli.ui.tables import table

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.cli.options import Talk

KEY_COLUMNS = ("provider", "key", "origin", "base_url", "base_url_source", "problem")
SETTING_COLUMNS = ("setting", "value", "source")


def keys(app: App, action: str, options: Talk) -> int:
    """List each provider's key: where it comes from, the origin it is bound to, and what stands in its way."""
    if action != "list":
        raise UsageError(f"wan auth {one_line(action)}: the action is list", hint="wan auth list")
    app.use(sandbox=options.sandbox, quiet=options.quiet)
    rows = [_key_row(app, name) for name in names()]
    if app.say_json == "json":
        return app.emit([], None, 0, auth=rows)
    table(rows, KEY_COLUMNS, app.streams)
    return 0


def _key_row(app: App, name: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(KEY_COLUMNS)
    row["provider"] = name
    try:
        account = app.account(name)
    except WanError as error:
        return {**row, "problem": error.message}
    row |= {"base_url": account.base_url, "base_url_source": account.base_source}
    if account.open:
        return {**row, "key": "none needed"}
    if account.key is None:
        return {**row, "problem": f"{capabilities(name).key_env} is not set"}
    row |= {"key": account.key.source, "origin": account.key.origin}
    if account.key.origin != account.origin:
        row["problem"] = f"the base URL is {account.origin}, so this key is not sent"
    return row


def settings(app: App, action: str, options: Talk) -> int:
    """List every effective setting and where it was set."""
    if action != "show":
        raise UsageError(f"wan config {one_line(action)}: the action is show", hint="wan config show")
    app.use(sandbox=options.sandbox, quiet=options.quiet)
    config = app.config
    found = [
        {"setting": name, "value": setting.value, "source": setting.source} for name, setting in config.settings.items()
    ]
    found += [{"setting": "max_cost", "value": cap.value, "source": cap.source} for cap in config.caps]
    user, built_in = str(config.user_file or config_path(app.env)), "built-in"
    if config.ask_above:
        found.append({"setting": "spend.ask_above", "value": ", ".join(config.ask_above), "source": user})
    found.append({"setting": "privacy.store_prompts", "value": config.store_prompts,
                  "source": user if not config.store_prompts else built_in})  # fmt: skip
    for name, price in config.prices.items():
        found.append(
            {"setting": f'prices."{name}"', "value": f"{price.amount:g} {price.unit} per {price.per}", "source": user}
        )
    for name, entry in config.tables.items():
        said = entry.model_dump(exclude_defaults=True) | entry.quirks
        found += [{"setting": f"providers.{name}.{key}", "value": value, "source": user} for key, value in said.items()]
    state = "WAN_STATE_DIR" if app.env.get("WAN_STATE_DIR") else built_in
    found.append({"setting": "state folder", "value": str(state_folder(app.env)), "source": state})
    found.append(
        {"setting": "configuration file", "value": user, "source": "found" if config.user_file else "not there"}
    )
    if app.say_json == "json":
        return app.emit([], None, 0, config=found)
    table(found, SETTING_COLUMNS, app.streams)
    return 0
