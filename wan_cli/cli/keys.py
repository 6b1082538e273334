"""``wan auth``: keys are kept, listed by where they come from, and removed. A key itself is never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wan_cli.config import Account, account, keyrings, stored
from wan_cli.config.keys import clean
from wan_cli.config.private import LARGEST
from wan_cli.errors import ConfigInvalid, UsageError, WanError
from wan_cli.registry import capabilities, knows, names
from wan_cli.text import one_line
from wan_cli.ui.tables import table

if TYPE_CHECKING:
    from wan_cli.cli.commands.auth import Keeping
    from wan_cli.cli.context import App

COLUMNS = ("provider", "key", "origin", "base_url", "base_url_source", "problem", "stored")


def auth(app: App, action: str, provider: str | None, source: str | None, options: Keeping) -> int:
    """Run one action. Raises ``UsageError`` for a call without sense, ``ConfigInvalid`` where a key cannot be kept."""
    if action not in ("set", "list", "remove"):
        raise UsageError(f"wan auth {one_line(action)}: the actions are set, list and remove", hint="wan auth list")
    if source is not None and (action != "set" or source != "-"):
        raise UsageError(
            "a key is never an argument: the shell's history and the process list would have it",
            hint=f"wan auth set {provider if provider and knows(provider) else names()[0]} < FILE",
        )
    if options.store and action != "set":
        raise UsageError("--store is for wan auth set", hint=f"wan auth {action}")
    app.use(sandbox=options.sandbox, quiet=options.quiet)
    if action == "list":
        chosen = names() if provider is None else (_known(provider),)
        own = {entry.provider for entry in stored.every()}
        strangers = sorted(own - set(names())) if provider is None else []
        return _shown(app, "auth list", [_row(app, name) for name in (*chosen, *strangers)])
    if provider is None:
        raise UsageError(
            f"wan auth {action} needs the provider whose key it is", hint=f"wan auth {action} {names()[0]}"
        )
    if action == "set":
        _set(app, _known(provider), options)
    else:
        _remove(app, provider)
    return _shown(app, f"auth {action}", [_row(app, provider)], only_json=True)


def _known(provider: str) -> str:
    if not knows(provider):
        raise UsageError(
            f"{one_line(provider)} is not a provider; there are {', '.join(names())}", hint="wan auth list"
        )  # fmt: skip
    return provider


def _shown(app: App, command: str, rows: list[dict[str, Any]], *, only_json: bool = False) -> int:
    app.command = command
    if app.say_json == "json":
        return app.emit([], None, 0, auth=rows)
    if not only_json:
        table(rows, COLUMNS, app.streams)
    return 0


def _row(app: App, name: str) -> dict[str, Any]:
    """Return what is known of one provider's key: ``key`` (also ``source``) is where it comes from."""
    row: dict[str, Any] = dict.fromkeys((*COLUMNS, "source"))
    row["provider"] = name
    row["stored"] = "; ".join(f"{entry.store}, for {entry.origin}" for entry in stored.every(name)) or None
    if not knows(name):
        return {**row, "problem": "no provider of this name is configured, so this key is not used"}
    try:
        found = app.account(name)
    except WanError as error:
        return {**row, "problem": error.message}
    row |= {"base_url": found.base_url, "base_url_source": found.base_source}
    if found.open:
        return {**row, "key": "none needed", "source": "none needed"}
    if found.key is None:
        return {**row, "problem": f"{capabilities(name).key_env} is not set"}
    row |= {"key": found.key.source, "source": found.key.source, "origin": found.key.origin}
    if found.key.origin != found.origin:
        row["problem"] = f"the base URL is {found.origin}, so this key is not sent"
    elif (kept := stored.find(name, found.origin)) and kept.store == "file" and kept.source == found.key.source:
        try:
            found.key.read()
        except ConfigInvalid as error:  # others can read it, or it is damaged
            row["problem"] = error.message
    return row


def _set(app: App, provider: str, options: Keeping) -> None:
    """Read a key and keep it, bound to the origin of the base URL in force. Nobody is asked about it."""
    found = account(provider, app.config)  # the true one in the sandbox, too: that has its own key
    if found.open:
        raise UsageError(
            f"{provider} is set up to need no key", hint=f"edit {app.config.user_file}"
        )  # fmt: skip
    store, backend = _place(provider, options.store)
    app.keys[provider] = key = _read(app, provider, found)
    earlier = stored.find(provider, found.origin)
    from wan_cli.ui.document import timestamp

    at = timestamp(app.now()) or ""
    try:
        kept = stored.keep(provider, found.origin, key, store=store, backend=backend, at=at)
    except keyrings.Unusable as error:
        error.hint = f"wan auth set {provider} --store file"
        raise
    app.talk(f"{provider}: the key is kept in {kept.place}; it goes to {found.origin} and nowhere else")
    if earlier and earlier.store == "keyring" and store == "file":
        try:
            keyrings.drop(provider, found.origin)
        except ConfigInvalid as error:
            app.streams.say(f"warning: the earlier key is still in the system's keyring: {error.message}")
    now = account(provider, app.config).key
    if now and now.source != kept.source:
        app.streams.say(f"warning: {now.source} stands before it, and is used instead")


def _place(provider: str, chosen: str | None) -> tuple[stored.Store, str]:
    """Return where a key is to be kept, with the name of the keyring's backend."""
    if chosen == "file":
        return "file", ""
    try:
        backend = keyrings.backend(any_rank=chosen == "keyring")
    except keyrings.ExtraMissing:
        if chosen:
            raise
        backend = ""
    except keyrings.Unusable as error:
        if chosen:
            error.hint = f"wan auth set {provider} --store file"
            raise
        backend = ""
    if backend:
        return "keyring", backend
    if chosen:
        raise ConfigInvalid(
            "this system has no keyring that can be used", hint=f"wan auth set {provider} --store file"
        )  # fmt: skip
    return "file", ""


def _read(app: App, provider: str, found: Account) -> str:
    """Return the key from a pipe, or from a person who types it unseen. Raises ``ConfigInvalid`` for what is no key."""
    if app.stdin is None or app.stdin.closed:
        text = ""
    elif app.stdin.isatty() and not app.env.get("CI"):
        text = _asked(f"key for {provider}, to be sent to {found.origin} (it is not shown): ", provider)
    else:
        text = _piped(app)
    if len(text) > LARGEST:
        raise ConfigInvalid("standard input is larger than any key", hint=f"wan auth set {provider} < FILE")
    try:
        return clean(text, "standard input")
    except ConfigInvalid as error:
        error.hint = f"wan auth set {provider} < FILE"
        raise


def _piped(app: App) -> str:
    if app.stdin.isatty():  # nobody is there to type it (reliability.md C18)
        return ""
    try:
        return bytes(app.stdin.buffer.read(LARGEST + 1)).decode("utf-8-sig")
    except UnicodeDecodeError:
        return "\0"  # which no key has
    except (OSError, ValueError):
        return ""


def _asked(question: str, provider: str) -> str:
    """Ask a person. Raises ``UsageError`` where the terminal would show what is typed."""
    import getpass
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(question)
        except getpass.GetPassWarning as error:
            raise UsageError(
                "this terminal would show what is typed, so the key is not asked for",
                hint=f"wan auth set {provider} < FILE",
            ) from error
        except EOFError:
            return ""


def _remove(app: App, provider: str) -> None:
    """Remove every key that is kept for a provider, and say what remains."""
    kept = {entry.path: entry for entry in stored.every(provider)}
    if not kept:
        _known(provider)
    found = _account(app, provider)
    if found and (entry := stored.find(provider, found.origin)):  # a damaged file does not say whose it is
        kept[entry.path] = entry
    for entry in kept.values():
        entry.forget()
        app.talk(f"{provider}: the key for {entry.origin} is removed from {entry.place}")
    if not kept:
        app.talk(f"{provider}: none of its keys is kept")
    if found := _account(app, provider):
        app.talk(f"{provider}: {found.key.source} still sets one" if found.key else f"{provider}: it has no key now")


def _account(app: App, provider: str) -> Account | None:
    """Return a provider's true account, ``None`` where the configuration has none that can be used."""
    try:
        return account(provider, app.config) if knows(provider) else None
    except ConfigInvalid:
        return None
