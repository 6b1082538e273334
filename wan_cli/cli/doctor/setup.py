"""Configuration files, keys, base URLs, proxies and certificates: all that can be told without the network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.cli.doctor.finding import Finding, fine, skipped, warning, wrong
from wan_cli.config import config_path
from wan_cli.errors import WanError
from wan_cli.proxies import proxy_fault
from wan_cli.registry import capabilities, every_model, knows, names
from wan_cli.text import one_line
from wan_cli.transport.redact import redact

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.config import Account

_COMMAND = "key_command"
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def config_files(app: App, broken: WanError | None) -> Iterator[Finding]:
    """Say whether the configuration can be read: a file that others could change is not."""
    if broken is not None:
        yield wrong("config", "configuration", broken.message, broken.hint)
        return
    own, project = app.config.user_file, app.config.project_file
    if own:
        yield fine("config", str(own), "it can be read, and nobody else can change it")
    else:
        yield skipped("config", str(config_path(app.env)), "there is no file; the built-in settings hold")
    if project:
        yield fine("config", str(project), "a project's file: it cannot name keys or addresses")


def defaults(app: App, usable: Sequence[str]) -> Iterator[Finding]:
    """Look at the provider and the model that hold where a call names none."""
    config = app.config
    for setting in ("provider", "providers"):
        value = config.get(setting)
        said = [name.strip() for name in (value.split(",") if isinstance(value, str) else value or ())]
        source, strange = config.source(setting), [name for name in said if not knows(name)]
        if strange:
            why = f"{one_line(strange[0])} is not a provider; there are {', '.join(names())}"
            yield wrong("config", f"{setting} ({source})", why, _unset(source))
        elif said and not any(name in usable for name in said):
            fix = f"export {capabilities(said[0]).key_env}=YOUR_KEY"
            yield wrong("keys", f"{setting} ({source})", f"there is no key for {', '.join(said)}", fix)
    model = config.get("model")
    known = {spelled for entry in every_model() for spelled in (entry.name, entry.id)}
    if model and model not in known:
        why = f"{one_line(model)} is not in the catalogue; it is sent as it is"
        yield warning("config", f"model ({config.source('model')})", why, "wan models")


def _unset(source: str) -> str:
    return f"unset {source}" if source.startswith("WAN_") else f"edit {source}"


def accounts(app: App, *, offline: bool) -> tuple[list[Finding], list[str]]:
    """Look at every provider's key and base URL; return also the providers whose key can be used."""
    found: list[Finding] = []
    usable: list[str] = []
    for name in names():
        finding = _account(app, name, offline=offline)
        found.append(finding)
        if finding.ok:
            usable.append(name)
    if not usable and not app.sandbox:
        variables = ", ".join(capabilities(name).key_env for name in names())
        fix = f"export {capabilities(names()[0]).key_env}=YOUR_KEY"
        found.append(wrong("keys", "all providers", f"there is no key that can be used: {variables}", fix))
    return found, usable


def _account(app: App, name: str, *, offline: bool) -> Finding:
    try:
        account = app.account(name)
    except WanError as error:
        absent = app.sandbox and error.code == "usage"
        return (skipped if absent else wrong)("key", name, error.message, error.hint)
    if account.open:
        return fine("key", name, f"none is needed at {account.origin}")
    if account.key is None:
        said = f"no key; {account.base_url} ({account.base_source})"
        return skipped("key", name, said, f"export {capabilities(name).key_env}=YOUR_KEY")
    if offline and _COMMAND in account.key.source and account.key.origin == account.origin:
        return fine("key", name, f"from {account.key.source}, which was not run, for {account.origin}")
    return _key(app, account)


def _key(app: App, account: Account) -> Finding:
    """Read the key, as a purchase would, and say where it is from; the key itself is never shown."""
    try:
        app.secret(account.provider)
    except WanError as error:
        return wrong("origin" if error.code == "key_origin" else "key", account.provider, error.message, error.hint)
    source = account.key.source if account.key else ""
    return fine("key", account.provider, f"from {source}, for {account.origin} ({account.base_source})")


def proxies(app: App) -> Iterator[Finding]:
    """Tell of every proxy of the environment, its password masked (reliability.md S20)."""
    names_set = [name for name in (*PROXIES, "NO_PROXY") if app.env.get(name) or app.env.get(name.lower())]
    if not names_set:
        yield skipped("proxy", "environment", "none in use")
    for name in PROXIES:
        for spelled in (name, name.lower()):
            if value := app.env.get(spelled, "").strip():
                yield _proxy(spelled, value)
    for spelled in ("NO_PROXY", "no_proxy"):
        if value := app.env.get(spelled, "").strip():
            yield fine("proxy", spelled, f"asked without a proxy: {one_line(value)}")


def _proxy(name: str, value: str) -> Finding:
    if fault := proxy_fault(value):
        return wrong("proxy", name, fault[0], fault[1] if " -m " in fault[1] else f"unset {name}, or {fault[1]}")
    return fine("proxy", name, f"in use: {one_line(redact(value if '://' in value else f'http://{value}'))}")


def certificates(app: App) -> Iterator[Finding]:
    """Say which certificate authorities are trusted, and whether those that the user names can be read."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if value := app.env.get(name):
            yield _authorities(name, Path(value))
            return  # the first one wins (httpx 0.28, create_ssl_context)
    yield fine("tls", "certificates", "the built-in certificate authorities are trusted")


def _authorities(name: str, path: Path) -> Finding:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    fix = f"unset {name}, or name a {'file' if name == 'SSL_CERT_FILE' else 'folder'} of PEM certificates"
    try:
        if name == "SSL_CERT_DIR":
            if not os.access(path, os.R_OK | os.X_OK) or not any(path.iterdir()):
                return wrong("tls", name, f"{path} is empty or cannot be read", fix)
            context.load_verify_locations(capath=path)
            return fine("tls", name, f"the authorities in {path} are trusted")
        context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return wrong("tls", name, f"{path} cannot be used: {one_line(reason)}", fix)
    return fine("tls", name, f"{len(context.get_ca_certs())} authorities in {path} are trusted")
