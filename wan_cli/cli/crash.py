"""What a bug leaves: a traceback without secrets, in a file that only the user can read (reliability.md S18, C12)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.errors import InternalError, WanError
from wan_cli.pattern import pattern

if TYPE_CHECKING:
    from wan_cli.cli.context import App

SHORTEST_KEY = 12
"""Characters; anything shorter in a key's variable may be a word that stands elsewhere by chance."""
_KEY_VARIABLE = pattern(r"[A-Za-z0-9_]*_API_KEY")
_FILES = 100
"""Crashes within one second that get a file each."""


def secrets(app: App) -> list[str]:
    """Return every key that the run has read or that its environment holds under a key's usual name."""
    found = {value.strip() for name, value in app.env.items() if _KEY_VARIABLE.fullmatch(name)}
    return [value for value in found | app.keys_read if len(value) >= SHORTEST_KEY]


def bug(app: App, error: Exception) -> WanError:
    """Write a crash file without secrets, and say where it is."""
    import traceback

    from wan_cli.transport.redact import redact

    place = keep(app, redact("".join(traceback.format_exception(error)), secrets(app)))
    where = f"; details in {place}" if place else ""
    named = getattr(error, "__notes__", [])[:1]  # the task that was worked on
    return InternalError(
        f"a bug in wan: {type(error).__name__}{where}; please report it, and look at what is open",
        hint=" ".join(["wan status", *named]),
    )


def keep(app: App, text: str) -> Path | None:
    """Write ``text`` to a new file of the state folder; ``None`` where that cannot be."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with suppress(OSError, WanError):
        app.private(app.state)
        for end in ("", *(f"-{number}" for number in range(2, _FILES))):
            path = app.state / f"crash-{int(app.now())}{end}.txt"
            with suppress(FileExistsError):  # an earlier crash, or somebody's link
                descriptor = os.open(path, flags, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(text)
                return path
    return None
