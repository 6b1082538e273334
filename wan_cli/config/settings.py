"""Flag, environment, project file, user file, built-in: the first that says something wins."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wan_cli.dataclass import dataclass, field
from wan_cli.errors import ConfigInvalid, StateUnusable
from wan_cli.pattern import pattern
from wan_cli.text import one_line

if TYPE_CHECKING:
    from pydantic import BaseModel

    from wan_cli.config.shapes import PriceEntry, ProviderTable

ShapeT = TypeVar("ShapeT", bound="BaseModel")

PROJECT_FILE = "wan.toml"
VARIABLES = {
    "provider": "WAN_PROVIDER",
    "model": "WAN_MODEL",
    "output": "WAN_OUTPUT",
    "timeout": "WAN_TIMEOUT",
    "jobs": "WAN_JOBS",
    "max_cost": "WAN_MAX_COST",
    "sandbox": "WAN_SANDBOX",
}
LARGEST = 1024 * 1024
"""Characters of a configuration file (reliability.md S22): a project's may be anybody's."""
MOST_JOBS = 64
"""Purchases of one provider under way at the same time, at the most."""
USUAL_JOBS = 4
"""Purchases of one provider under way at the same time where nobody says: what the engine does of its own."""
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"", "0", "false", "no", "off"})
_AMOUNT = (pattern(r"\s*\d+(\.\d+)?\s*[A-Za-z]*\s*", re.ASCII), "an amount with a unit, such as 24credits or 5CNY")
_WRITTEN = {
    "timeout": (pattern(r"(\d+\.?\d*|\.\d+)[smhd]?", re.ASCII), "a time such as 90s, 10m or 1h"),
    "max_cost": _AMOUNT, "ask_above": _AMOUNT,
}  # fmt: skip
"""How a setting is written that only a command can read, so that a bad one is found when it is loaded."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it was set, as a person would look for it."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every effective setting below the flags."""

    env: Mapping[str, str]
    settings: Mapping[str, Setting] = field(default_factory=dict)
    caps: tuple[Setting, ...] = ()
    ask_above: tuple[str, ...] = ()
    store_prompts: bool = True
    prices: Mapping[str, PriceEntry] = field(default_factory=dict)
    tables: Mapping[str, ProviderTable] = field(default_factory=dict)
    user_file: Path | None = None
    project_file: Path | None = None

    def get(self, name: str) -> Any:
        """Return a setting's value, or ``None`` where nobody set it."""
        found = self.settings.get(name)
        return found.value if found else None

    def source(self, name: str) -> str:
        """Say where a setting comes from."""
        found = self.settings.get(name)
        return found.source if found else "built-in"

    @property
    def sandbox(self) -> bool:
        """``WAN_SANDBOX``. Raises ``ConfigInvalid`` for a value that is neither yes nor no."""
        value = self.env.get("WAN_SANDBOX", "").strip().casefold()
        if value not in _YES | _NO:
            raise ConfigInvalid(f"WAN_SANDBOX={one_line(value)}: 1 or 0", hint="unset WAN_SANDBOX")
        return value in _YES


def config_path(env: Mapping[str, str]) -> Path:
    """Return where the user's file is, whether or not it exists; nowhere for a user who has no home (S16)."""
    named = env.get("WAN_CONFIG")
    try:
        if named:
            return Path(named).expanduser()
        from platformdirs import user_config_path

        return user_config_path("wan", appauthor=False) / "config.toml"
    except RuntimeError as error:
        if named:
            raise ConfigInvalid(f"WAN_CONFIG={one_line(named)}: {error}", hint="give it without ~") from error
        return Path("/nonexistent/wan/config.toml")


def state_folder(env: Mapping[str, str]) -> Path:
    """Return where ledger and sandbox live. Raises ``StateUnusable`` for a user who has no home (S16)."""
    named = env.get("WAN_STATE_DIR")
    try:
        if named:
            return Path(named).expanduser()
        from platformdirs import user_state_path

        return user_state_path("wan", appauthor=False)
    except RuntimeError as error:  # HOME is not set, and the system knows no home for this user either
        msg = "there is no home folder, so no place for the ledger"
        raise StateUnusable(msg, hint="set WAN_STATE_DIR to a folder of yours that lasts") from error


def load(env: Mapping[str, str], cwd: Path) -> Config:
    """Read both files and the environment. Raises ``ConfigInvalid`` with file and field."""
    user_path = config_path(env)
    user = None
    if _is_file(user_path):
        from wan_cli.config.shapes import UserFile

        _refuse_others(user_path)
        user = _read(user_path, UserFile)
    elif env.get("WAN_CONFIG"):
        raise ConfigInvalid(f"WAN_CONFIG names {user_path}, which is not a file", hint="unset WAN_CONFIG")
    settings: dict[str, Setting] = {}
    caps: list[Setting] = []
    if user:
        own = user.defaults.model_dump(exclude_none=True)
        _check_file(own, user_path)
        _take(settings, caps, own, str(user_path))
    project = _find_project(cwd, env)
    if project:
        from wan_cli.config.shapes import ProjectFile

        said = _read(project, ProjectFile).flat().model_dump(exclude_none=True)
        if "output" in said:
            said["output"] = _below(project, said["output"])
        _check_file(said, project)
        _take(settings, caps, said, str(project))
    for name, variable in VARIABLES.items():
        if name != "sandbox" and (value := env.get(variable)):
            _check_written(name, value, f"{variable}={one_line(value)}", f"unset {variable}")
            _take(settings, caps, {name: _jobs(value) if name == "jobs" else value}, variable)
    ask = user.spend.ask_above if user else None
    _check_written("ask_above", ask, f"{user_path}: spend.ask_above", f"edit {user_path}")
    return Config(
        env=env, settings=settings, caps=tuple(caps),
        ask_above=tuple([ask] if isinstance(ask, str) else ask or ()),
        store_prompts=user.privacy.store_prompts if user else True,
        prices=user.prices if user else {}, tables=user.providers if user else {},
        user_file=user_path if user else None, project_file=project,
    )  # fmt: skip


def _is_file(path: Path) -> bool:
    """Tell whether there is a file. Raises ``ConfigInvalid`` where that cannot be told: it may hold caps."""
    try:
        return path.is_file()
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigInvalid(f"{path} cannot be read: {why}", hint="point WAN_CONFIG at a file that can") from error


def _refuse_others(path: Path) -> None:
    """Refuse a file that others could change: it says where keys go and which commands run (reliability.md S12)."""
    found = path.stat()
    if os.name != "posix":
        return
    quoted = shlex.quote(str(path))
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigInvalid(
            f"{path} belongs to another user (uid {found.st_uid}), who could change where keys go",
            hint=f"chown {os.geteuid()} {quoted} && chmod 600 {quoted}",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigInvalid(
            f"{path} can be written by other users (mode {stat.S_IMODE(found.st_mode):04o}), who could change where "
            "keys go",
            hint=f"chmod 600 {quoted}",
        )


def _jobs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_JOBS):
        raise ConfigInvalid(f"WAN_JOBS={one_line(text)}: a number from 1 to {MOST_JOBS}", hint="unset WAN_JOBS")
    return int(text)


def _check_file(said: Mapping[str, Any], path: Path) -> None:
    for name, value in said.items():
        _check_written(name, value, f"{path}: {name}", f"edit {path}")


def _check_written(name: str, value: Any, place: str, hint: str) -> None:
    if name not in _WRITTEN or value is None:
        return
    pattern, wanted = _WRITTEN[name]
    if not all(map(pattern.fullmatch, [value] if isinstance(value, str) else value)):
        raise ConfigInvalid(f"{place}: {wanted}", hint=hint)


def _take(settings: dict[str, Setting], caps: list[Setting], values: Mapping[str, Any], source: str) -> None:
    """Lay ``values`` over ``settings``. Caps add up instead, so a nearer file can only lower them."""
    for name, value in values.items():
        if name == "max_cost":
            caps += [Setting(text, source) for text in ([value] if isinstance(value, str) else value)]
        else:
            settings[name] = Setting(value, source)
    if "provider" in values or "providers" in values:  # the nearer one of the two says it all
        for other in {"provider", "providers"} - values.keys():
            settings.pop(other, None)


def _read(path: Path, shape: type[ShapeT]) -> ShapeT:
    import tomllib

    from pydantic import ValidationError

    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ConfigInvalid(f"{path} has more than {LARGEST:,} characters", hint=f"edit {path}")
        return shape.model_validate(tomllib.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        message = "not a setting here" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigInvalid(f"{path}: {one_line(place)}: {message}", hint=f"edit {path}") from error
    except (OSError, ValueError, RecursionError) as error:  # no UTF-8, no TOML, a number or a nesting without end
        raise ConfigInvalid(f"{path} cannot be read: {one_line(str(error))}", hint=f"edit {path}") from error


def _find_project(cwd: Path, env: Mapping[str, str]) -> Path | None:
    """Look upwards to the repository's root or the home folder; without either, only here.

    A file of another user is ignored: in a shared folder it could steer a stranger's purchases.
    """
    home = Path(env.get("HOME") or env.get("USERPROFILE") or "/nonexistent")
    chain = [cwd, *cwd.parents]
    ends = (os.path.exists(folder / ".git") or folder == home for folder in chain)  # noqa: PTH110 - false for odd names
    stop = next((place for place, end in enumerate(ends) if end), 0)
    for folder in chain[: stop + 1]:
        path = folder / PROJECT_FILE
        try:
            if path.is_file() and (not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()):
                return path
        except OSError:
            continue
    return None


def _below(project: Path, output: str) -> str:
    """Return a project's output made absolute. Raises ``ConfigInvalid`` where it leaves the project's folder."""
    slashed = output.replace("\\", "/")
    parts = slashed.split("/")
    if slashed.startswith(("/", "~")) or ".." in parts or ":" in parts[0]:
        raise ConfigInvalid(
            f"{project}: output: {one_line(output)} leaves the project's folder", hint=f"edit {project}"
        )
    return str(project.parent / output) + ("/" if output.endswith("/") else "")
