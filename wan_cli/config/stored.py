"""The keys that ``wan auth set`` keeps: one small file for each provider and origin, in the user's data folder.

The file (0600) holds the key, or says that the system's keyring has it. It names the one origin that the key was set
for, and so does the keyring's own entry, so a file that was moved or edited leads nowhere else (reliability.md S3).
The data folder is neither the configuration (which people put under version control) nor the state (which CI caches).
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from wan_cli.config import keyrings
from wan_cli.config.private import read_private, write_private
from wan_cli.dataclass import dataclass
from wan_cli.errors import ConfigInvalid
from wan_cli.text import one_line

Store = Literal["keyring", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A key that is kept: whose, for which origin, since when, and where. The key itself is read when it is needed.

    ``backend`` is the name of the keyring's backend when the key was set.
    """

    provider: str
    origin: str
    store: Store
    path: Path
    backend: str = ""
    at: str = ""

    @property
    def place(self) -> str:
        """Where the key is, for people."""
        return f"the system's keyring ({self.backend})" if self.store == "keyring" else str(self.path)

    @property
    def source(self) -> str:
        """Where the key comes from, beside variables and tables of the configuration."""
        return self.place if self.store == "keyring" else f"the stored key in {self.path}"

    def read(self) -> str:
        """Return the key, as it was kept. Raises ``ConfigInvalid`` (3): gone, locked, or readable by others."""
        if self.store == "keyring":
            return keyrings.get(self.provider, self.origin)
        told = _document(self.path, read_private(self.path))
        if (told.get("provider"), told.get("origin")) != (self.provider, self.origin):
            raise _damaged(self.path)
        return str(told.get("key") or "")

    def forget(self) -> None:
        """Remove the key from where it is, then the file. Raises ``ConfigInvalid`` where either cannot be done."""
        if self.store == "keyring":
            keyrings.drop(self.provider, self.origin)
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigInvalid(
                f"{self.path} cannot be removed: {error.strerror}", hint=f"rm {shlex.quote(str(self.path))}"
            ) from error


def folder() -> Path | None:
    """Return where the files are; nowhere for a user who has no home (S16)."""
    from platformdirs import user_data_path

    try:
        return user_data_path("wan", appauthor=False) / "keys"
    except RuntimeError:
        return None


def keep(provider: str, origin: str, key: str, *, store: Store, backend: str = "", at: str = "") -> Stored:
    """Keep a key, in place of an earlier one for the same origin. Raises ``ConfigInvalid``; then the earlier one stays.

    One that is in the keyring stays there when the new one goes into the file.
    """
    import json

    place = folder()
    if place is None:
        raise ConfigInvalid("there is no home folder, so no place for a key", hint="wan help environment")
    path = place / _name(provider, origin)
    made = Stored(provider=provider, origin=origin, store=store, path=path, backend=backend, at=at)
    document = {"wan": 1, "provider": provider, "origin": origin, "store": store, "backend": backend, "at": at}
    if store == "keyring":
        keyrings.put(provider, origin, key)
    else:
        document["key"] = key
    try:
        write_private(path, json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise ConfigInvalid(
            f"the key cannot be kept in {place}: {error.strerror}", hint=f"chmod 700 {shlex.quote(str(place))}"
        ) from error
    return made


def find(provider: str, origin: str) -> Stored | None:
    """Return the key that is kept for this provider and this origin, without reading it."""
    place = folder()
    if place is None:
        return None
    path = place / _name(provider, origin)
    try:
        if not path.is_file():
            return None
        found = _entry(path)
    except OSError:  # a folder of somebody else
        return None
    except ConfigInvalid:  # it says why when the key is read
        return Stored(provider=provider, origin=origin, store="file", path=path)
    return found if (found.provider, found.origin) == (provider, origin) else None


def every(provider: str | None = None) -> Iterator[Stored]:
    """Yield every key that is kept (for ``provider``), by provider and origin; files that are none are passed over."""
    found = []
    for path in sorted(place.glob("*.json")) if (place := folder()) else ():
        if not os.path.isfile(path):  # noqa: PTH113 - false, too, where the folder may not be entered
            continue
        try:
            entry = _entry(path)
        except ConfigInvalid:
            continue
        if path.name == _name(entry.provider, entry.origin) and provider in (None, entry.provider):
            found.append(entry)
    yield from sorted(found, key=lambda entry: (entry.provider, entry.origin))


def _name(provider: str, origin: str) -> str:
    """Return a file's name: origins, and the names of installed providers, have characters that no file's name has."""
    import hashlib

    plain = re.sub(r"[^a-z0-9_-]", "_", provider.casefold())[:32]
    return f"{plain}-{hashlib.sha256(f'{provider} {origin}'.encode()).hexdigest()[:16]}.json"


def _entry(path: Path) -> Stored:
    told = _document(path, read_private(path))
    store: Store = "keyring" if told.get("store") == "keyring" else "file"
    provider, origin, backend, at = (str(told.get(name, "")) for name in ("provider", "origin", "backend", "at"))
    return Stored(
        provider=provider, origin=origin, store=store, path=path, backend=one_line(backend), at=one_line(at)
    )  # fmt: skip


def _document(path: Path, text: str) -> dict[str, Any]:
    import json

    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.get("wan") != 1:
        raise _damaged(path)
    return told


def _damaged(path: Path) -> ConfigInvalid:
    return ConfigInvalid(f"the key file {path} is damaged", hint=f"rm {shlex.quote(str(path))}")
