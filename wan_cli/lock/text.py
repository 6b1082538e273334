"""The lock as text: one fact a line and one asset a block, read without trusting it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from wan_cli.errors import UsageError
from wan_cli.intake import strict_json
from wan_cli.lock.entry import ENTRY, Entry
from wan_cli.text import one_line

VERSION = 1
_MARKERS = ("<<<<<<< ", "=======", ">>>>>>> ", "||||||| ")
_SAID = {"unexpected_keyword_argument": "not known here", "dataclass_type": "not an object"}
"""What is said instead of pydantic's words, which speak of Python."""


def loads(text: str, name: str) -> dict[str, Entry]:
    """Read a lock. Raises ``UsageError`` with the place; ``name`` is the file's."""
    if not text.strip():
        return {}
    try:
        found = strict_json(text)
    except json.JSONDecodeError as error:
        raise _no_json(text, name, error) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: not a lock: {one_line(str(error))}", hint=f"git checkout {name}") from error
    version = found.get("wan_lock") if isinstance(found, dict) else None
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise UsageError(f"{name}: not a lock of wan render", hint=f"move {name} away")
    if version > VERSION:
        raise UsageError(f"{name}: written by a newer wan (format {version})", hint="update wan")
    blocks = found.get("assets")
    if not isinstance(blocks, dict) or found.keys() != {"wan_lock", "assets"}:
        raise UsageError(f"{name}: not a lock of wan render", hint=f"move {name} away")
    # One after the other, and what was read goes as its entry comes: ten thousand need not be there twice.
    return {asset: _entry(blocks.pop(asset), f"{name}: assets", asset) for asset in list(blocks)}


def entry_of(block: Any, place: str) -> Entry:
    """Read one asset's block. Raises ``UsageError`` with the place."""
    return _entry(block, place)


def _entry(block: Any, place: str, *names: str) -> Entry:
    try:
        return ENTRY.validate_python(block)
    except ValidationError as error:
        raise _wrong(error, place, names) from error


def _wrong(error: ValidationError, place: str, names: Sequence[str]) -> UsageError:
    first = error.errors(include_url=False, include_input=False)[0]
    where = "".join(f".{one_line(str(part))}" for part in (*names, *first["loc"]))
    said = _SAID.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    return UsageError(f"{place}{where}: {said[:1].lower()}{said[1:]}", hint="restore the lock, or move it away")


def _no_json(text: str, name: str, error: json.JSONDecodeError) -> UsageError:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith(_MARKERS):
            return UsageError(
                f"{name}:{number}: merge conflict markers",
                hint=f"git checkout -m -- {name}, once git knows the merge driver (wan render --merge)",
            )
    return UsageError(f"{name}:{error.lineno}: not a lock: {one_line(error.msg)}", hint=f"git checkout {name}")


def dumps(entries: Mapping[str, Entry]) -> str:
    """Write a lock: sorted by id, a block for each asset, one fact a line, so that diffs are small."""
    return "".join(pieces(entries))


def pieces(entries: Mapping[str, Entry]) -> Iterator[str]:
    """Yield the text of a lock block by block: all of it at once would take more memory than the run."""
    yield f'{{\n "wan_lock": {VERSION},\n "assets": {{'
    comma = ""
    for name in sorted(entries):
        block = json.dumps({name: entries[name].block()}, indent=1, ensure_ascii=False)
        yield comma + "\n " + block[1:-2].strip("\n").replace("\n", "\n ")
        comma = ","
    yield "\n }\n}\n" if comma else "}\n}\n"
