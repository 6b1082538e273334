"""Keys: where each comes from, and the one origin it may be sent to.

Threats S3, S17 and S19 of reliability.md. A key of the environment goes with the environment's (or the default) base
URL; a key that the user's file names goes with the base URL of the same table; one that ``wan auth set`` keeps goes to
the origin it was set for, and stands behind both. No flag takes a key's value.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from wan_cli.catalog import Capabilities
from wan_cli.config import stored
from wan_cli.config.private import read_private
from wan_cli.config.settings import Config
from wan_cli.dataclass import dataclass, field
from wan_cli.errors import ConfigInvalid, KeyMissing, KeyOrigin
from wan_cli.pattern import pattern
from wan_cli.registry import capabilities
from wan_cli.text import one_line

_HOST = pattern(r"(?=.{1,253}\Z)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.|\Z))+", re.ASCII)
"""A host's name or IPv4 address. Other alphabets are written as ``xn--…``: the two standards for turning them into it
lead to different hosts (``straße.de``), and a key goes there."""

KEY_COMMAND_S = 30
"""Seconds that a key command may take (a password manager may ask for a touch)."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that can be had: ``source`` for people, ``read`` to get it, ``origin`` it is bound to."""

    source: str
    origin: str
    read: Callable[[], str] = field(repr=False)
    remedy: str = ""
    """The command after the one that would have sent it elsewhere; "" is a change of the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How to reach one provider: base URL and where it was set, key (``None``: there is none), quirks."""

    provider: str
    base_url: str
    base_source: str
    key: Key | None
    open: bool = False
    """The server asks for no key (``auth = "none"``)."""
    quirks: Mapping[str, Any] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """Scheme, host and port of the base URL."""
        return origin_of(self.base_url)

    def secret(self) -> str:
        """Return the key, empty where none is asked for. Raises ``KeyMissing`` or ``KeyOrigin``; nothing was sent."""
        if self.open:
            return ""
        if self.key is None:
            env = capabilities(self.provider).key_env
            raise KeyMissing(
                f"no key for {self.provider}: {env} is not set",
                hint=f"export {env}=YOUR_KEY",
            )
        if self.key.origin != self.origin:
            raise KeyOrigin(
                f"the key from {self.key.source} belongs to {self.key.origin}; the base URL from {self.base_source} "
                f"is {self.origin}",
                hint=self.key.remedy
                or f"set base_url and key_env, key_file or key_command together in [providers.{self.provider}]",
            )
        return self.key.read()


def origin_of(url: str) -> str:
    """Return scheme, host and port, lower-cased, without a default port."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    default = {"https": 443, "http": 80}.get(parts.scheme.lower())
    port = f":{parts.port}" if parts.port and parts.port != default else ""
    return f"{parts.scheme.lower()}://{host}{port}"


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    import ipaddress

    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def account(name: str, config: Config) -> Account:
    """Work out base URL and key of a provider. Raises ``ConfigInvalid``, never for a missing key."""
    offered = capabilities(name)
    table = config.tables.get(name)
    base_url, base_source, base_in_file = _base_url(offered, config)
    base_url = checked_base(base_url, base_source, allow_http=bool(table and table.allow_http))
    key, own = _env_key(offered, config), _file_key(offered, config, base_in_file)
    if own and ((table and table.key_env) or key is None or key.origin != origin_of(base_url)):
        key = own  # else the environment's stands before it (interface.md, section 8)
    if key is None or key.origin != origin_of(base_url):
        key = _stored_key(name, origin_of(base_url)) or key or _stored_key(name)
    return Account(
        provider=name, base_url=base_url, base_source=base_source, key=key, open=bool(table and table.auth == "none"),
        quirks=table.quirks if table else {},
    )  # fmt: skip


def _base_url(offered: Capabilities, config: Config) -> tuple[str, str, str]:
    """Return the effective base URL, its source, and the base URL that the user's file stands for."""
    table = config.tables.get(offered.name)
    where = f"[providers.{offered.name}] in {config.user_file}"
    in_file, source = offered.base_url, "the default"
    if table and table.region:
        if table.region not in offered.regions:
            known = ", ".join(offered.regions) or "none"
            raise ConfigInvalid(
                f"{where}: region {one_line(table.region)} is not known; regions: {known}",
                hint=f"edit {config.user_file}",
            )
        in_file, source = offered.regions[table.region], where
    if table and table.base_url:
        in_file, source = table.base_url, where
    if named := config.env.get(offered.base_url_env):
        return named.strip(), offered.base_url_env, in_file
    return in_file, source, in_file


def checked_base(base_url: str, source: str, *, allow_http: bool) -> str:
    """Return a base URL in the one spelling its origin is compared in: small letters, no default port.

    Raises ``ConfigInvalid`` for what two parsers could read differently, and for plain http on the way to others.
    """
    parts, host = _split_base(base_url)
    if host is None:
        raise ConfigInvalid(
            f"the base URL from {source} is not an address such as https://host/path", hint="wan help environment"
        )
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ConfigInvalid(
            f"the base URL from {source} is plain http, so anybody on the way could read the key",
            hint="use https, or set allow_http = true for a self-hosted server in your own configuration file",
        )
    return origin_of(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{parts.port or ''}") + parts.path


def _split_base(base_url: str) -> tuple[SplitResult, str | None]:
    """Take a base URL apart; the host is ``None`` where it is not plainly one."""
    import ipaddress

    nothing = urlsplit("")
    if not (base_url.isascii() and base_url.isprintable()) or any(char in base_url for char in " \\@?#"):
        return nothing, None
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
        if "[" in parts.netloc:
            ipaddress.IPv6Address(host)
        spelled = [label[4:].encode().decode("punycode") for label in host.split(".") if label.startswith("xn--")]
    except ValueError:
        return nothing, None
    plain = port != 0 and ("%" not in host if ":" in host else _HOST.fullmatch(host))
    if parts.scheme not in ("http", "https") or not plain:
        return nothing, None
    words = all(not word.isascii() and word.replace("-", "").isalnum() for word in spelled)
    return parts, host if words else None


def _env_key(offered: Capabilities, config: Config) -> Key | None:
    env = config.env
    origin = origin_of((env.get(offered.base_url_env) or offered.base_url).strip())
    if value := env.get(offered.key_env):
        return Key(offered.key_env, origin, lambda: clean(value, offered.key_env))
    variable = f"{offered.key_env}_FILE"
    if path := env.get(variable):
        return Key(f"{variable} ({path})", origin, lambda: read_key_file(Path(path).expanduser()))
    return None


def _file_key(offered: Capabilities, config: Config, base_url: str) -> Key | None:
    table = config.tables.get(offered.name)
    if table is None:
        return None
    where = f"[providers.{offered.name}]"
    origin = origin_of(checked_base(base_url, where, allow_http=True))  # another one may be in force, which was checked
    if table.key_env:
        name = table.key_env
        if not config.env.get(name):
            return None
        return Key(f"{where} key_env {name}", origin, lambda: clean(config.env[name], name))
    if table.key_file:
        path = Path(table.key_file).expanduser()
        return Key(f"{where} key_file {path}", origin, lambda: read_key_file(path))
    if table.key_command is not None:
        command = _words(table.key_command, f"{where} key_command in {config.user_file}")
        return Key(f"{where} key_command {one_line(command[0])}", origin, lambda: run_key_command(command))
    return None


def _words(command: str | list[str], where: str) -> list[str]:
    """Return a key command's words; a text is split as a shell would, and no shell takes part."""
    try:
        words = command if isinstance(command, list) else shlex.split(command)
    except ValueError as error:
        raise ConfigInvalid(f"{where} cannot be split: {error}", hint="write it as a list of words") from error
    if not words or not words[0]:
        raise ConfigInvalid(f"{where} names no command", hint="wan auth list")
    return words


def _stored_key(provider: str, origin: str | None = None) -> Key | None:
    """Return the key that ``wan auth set`` keeps for ``origin``; without one, the first that it keeps at all."""
    found = stored.find(provider, origin) if origin else next(stored.every(provider), None)
    if found is None:
        return None
    return Key(
        found.source, found.origin, lambda: clean(found.read(), found.source), remedy=f"wan auth set {found.provider}"
    )  # fmt: skip


def clean(value: str, source: str) -> str:
    """Trim a key once. Raises ``ConfigInvalid`` for what cannot be a header's value (reliability.md C03)."""
    key = value.strip().removeprefix("\ufeff").strip()
    if not key or not key.isascii() or not key.isprintable() or any(char in key for char in " \"'"):
        raise ConfigInvalid(f"the key from {source} is empty or has spaces, quotes or other characters no key has")
    return key


def read_key_file(path: Path) -> str:
    """Read a key file. Raises ``ConfigInvalid`` where others may read it (reliability.md C02)."""
    return clean(read_private(path), str(path))


def run_key_command(command: list[str]) -> str:
    """Run the user's own key command and return the first line it prints."""
    import subprocess

    try:
        done = subprocess.run(  # noqa: S603 - the user's own file names it; no shell takes part
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=KEY_COMMAND_S, check=True, text=True
        )
    except (OSError, subprocess.SubprocessError, ValueError) as error:  # also: no text, a word with a null byte
        reason = (
            f"exit {error.returncode}" if isinstance(error, subprocess.CalledProcessError) else type(error).__name__
        )
        raise ConfigInvalid(
            f"the key command {one_line(command[0])} failed: {reason}", hint="run it by hand"
        ) from error
    return clean(done.stdout.partition("\n")[0], f"key_command {command[0]}")
