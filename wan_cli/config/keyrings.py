"""The system's keyring, behind a time limit: a locked one asks a person, a broken one hangs or raises anything.

The library is the extra ``[keyring]``, imported when a key is set, read or removed. Each key has its own entry, whose
service is ``wan:ORIGIN`` and whose user is the provider's name: the entry itself says where its key may go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from wan_cli.errors import ConfigInvalid
from wan_cli.extras import install
from wan_cli.text import one_line

T = TypeVar("T")

KEYRING_S = 30.0
"""Seconds that the keyring may take: unlocking it may wait for a person, as a key command may."""
_NONE = ("keyring.backends.fail", "keyring.backends.null")
"""Backends that keep nothing: the library's "there is none", and the one that switches it off."""
_RECOMMENDED = 1
"""The priority from which the library recommends a backend; below are files in plain text (keyring 25, backend.py)."""


class ExtraMissing(ConfigInvalid):
    """The library is not installed."""


class Unusable(ConfigInvalid):
    """The keyring does not answer, or raises something."""


def backend(*, any_rank: bool = False) -> str:
    """Return the name of the backend that keeps keys here, "" where there is none.

    ``any_rank`` takes one that the library does not recommend too: the user asked for the keyring by name. Raises
    ``ConfigInvalid`` (3) where the extra is missing or the keyring does not answer.
    """

    def ask(keyring: Any) -> str:
        found = keyring.get_keyring()
        if type(found).__module__ in _NONE or (not any_rank and found.priority < _RECOMMENDED):
            return ""
        return one_line(str(found.name)) or type(found).__name__

    return _within(ask)


def put(provider: str, origin: str, key: str) -> None:
    """Keep a key, and read it back: some backends take everything and keep nothing. Raises ``ConfigInvalid``."""

    def keep(keyring: Any) -> bool:
        keyring.set_password(_service(origin), provider, key)
        return bool(keyring.get_password(_service(origin), provider) == key)

    if not _within(keep, secret=key):
        raise ConfigInvalid("the system's keyring did not keep the key", hint=f"wan auth set {provider} --store file")


def get(provider: str, origin: str) -> str:
    """Return the key of a provider for an origin. Raises ``ConfigInvalid`` where there is none."""
    found = _within(lambda keyring: keyring.get_password(_service(origin), provider))
    if not isinstance(found, str) or not found:
        raise ConfigInvalid(
            f"the system's keyring has no key for {provider} at {origin} any more", hint=f"wan auth set {provider}"
        )
    return found


def drop(provider: str, origin: str) -> None:
    """Remove a key; one that is not there is no error. Raises ``ConfigInvalid`` where it is there and stays."""

    def remove(keyring: Any) -> bool:
        if keyring.get_password(_service(origin), provider) is None:
            return True
        keyring.delete_password(_service(origin), provider)
        return keyring.get_password(_service(origin), provider) is None

    if not _within(remove):
        raise ConfigInvalid(f"the system's keyring still has the key for {provider} at {origin}", hint="wan auth list")


def _service(origin: str) -> str:
    return f"wan:{origin}"


def _within(act: Callable[[Any], T], *, secret: str = "") -> T:
    """Return what ``act`` makes of the library, within the time limit. Whatever goes wrong is ``ConfigInvalid``.

    The thread is a daemon: one that never comes back does not keep the process from ending.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            keyring = import_module("keyring")
        except ImportError as error:
            failures.append(ExtraMissing("the system's keyring needs the extra [keyring]", hint=install("keyring")))
            failures[0].__cause__ = error
            return
        try:
            results.append(act(keyring))
        except BaseException as error:  # noqa: BLE001 - backends raise what their system's libraries raise
            failures.append(error)

    thread = threading.Thread(target=run, name="keyring", daemon=True)
    thread.start()
    thread.join(KEYRING_S)
    if results:
        return results[0]
    if not failures:
        raise Unusable(
            f"the system's keyring did not answer within {KEYRING_S:g} s; it may be locked and wait for its password",
            hint="unlock it, then run the command again",
        )
    error = failures[0]
    if isinstance(error, ExtraMissing):
        raise error
    said = str(error).replace(secret, "***") if secret else str(error)
    why = f"{type(error).__name__}: {one_line(said)}" if said else type(error).__name__
    raise Unusable(f"the system's keyring cannot be used: {why}", hint="wan auth list") from None
