"""``wan config show``: what is in force, and where it was set. A key itself is never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wan_cli.config import USUAL_JOBS, config_path, state_folder
from wan_cli.errors import UsageError
from wan_cli.registry import ORDER
from wan_cli.text import one_line
from wan_cli.transport.redact import redact
from wan_cli.ui.tables import table

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.cli.options import Talk
    from wan_cli.config import Config

SETTING_COLUMNS = ("setting", "value", "source")
BUILT_IN = "built-in"


def settings(app: App, action: str, options: Talk) -> int:
    """List every effective setting and where it was set."""
    if action != "show":
        raise UsageError(f"wan config {one_line(action)}: the action is show", hint="wan config show")
    app.use(sandbox=options.sandbox, quiet=options.quiet)
    config = app.config
    user = str(config.user_file or config_path(app.env))
    found = [(name, setting.value, setting.source) for name, setting in config.settings.items()]
    found += [(name, value, BUILT_IN) for name, value in _unset(config).items()]
    found += [("max_cost", cap.value, cap.source) for cap in config.caps]
    found += [("spend.ask_above", amount, user) for amount in config.ask_above]
    found.append(("privacy.store_prompts", config.store_prompts, BUILT_IN if config.store_prompts else user))
    for name, price in config.prices.items():
        found.append((f'prices."{name}"', f"{price.amount:g} {price.unit} per {price.per}", user))
    for name, entry in config.tables.items():
        said = {key: _harmless(name, key, value) for key, value in entry.model_dump(exclude_defaults=True).items()}
        found += [(f"providers.{name}.{key}", value, user) for key, value in said.items()]
    from wan_cli.cli import gateways

    found += gateways.settings(app)
    sandbox = BUILT_IN if not app.sandbox else "--sandbox" if options.sandbox else "WAN_SANDBOX"
    found.append(("sandbox", app.sandbox, sandbox))
    state = "WAN_STATE_DIR" if app.env.get("WAN_STATE_DIR") else BUILT_IN
    found.append(("state folder", str(state_folder(app.env)), state))
    found.append(("configuration file", user, "found" if config.user_file else "not there"))
    rows = [dict(zip(SETTING_COLUMNS, row, strict=True)) for row in found]
    app.command = "config show"
    if app.say_json == "json":
        return app.emit([], None, 0, config=rows)
    table(rows, SETTING_COLUMNS, app.streams)
    return 0


def _unset(config: Config) -> dict[str, Any]:
    """Return what holds for the settings that nobody set."""
    from wan_cli.naming import DEFAULT

    own: dict[str, Any] = {"jobs": USUAL_JOBS, "output": DEFAULT}
    if not config.get("provider"):
        own["providers"] = list(ORDER)
    return {name: value for name, value in own.items() if config.get(name) is None}


def _harmless(provider: str, key: str, value: Any) -> Any:
    """Return a setting as it may be shown: a command's arguments, a user name or a strange setting may be a secret."""
    from wan_cli.config.shapes import ProviderTable
    from wan_cli.providers import load

    if key == "key_command":
        words = value if isinstance(value, list) else value.split()
        return f"{words[0]} …" if len(words) > 1 else words[0]
    if key not in ProviderTable.model_fields and key not in load(provider).quirk_values:
        return "(no setting of this provider, so its value is not shown)"
    return redact(value) if isinstance(value, str) else value
