"""From bytes to rows, each with the line it begins at: TOML, JSONL, CSV, and YAML with the extra.

Bounds of reliability.md S22 and C09, in larger numbers for projects of 10,000 assets: 64 MiB, 100,000 assets, 32
levels; a name twice is an error, and NaN and infinity are refused. Line ends inside texts are normalised here, so that
a checkout with other line ends is the same manifest.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wan_cli.dataclass import dataclass
from wan_cli.errors import UsageError
from wan_cli.intake import TooLarge, read_regular, strict_json
from wan_cli.pattern import pattern
from wan_cli.text import one_line

MOST_BYTES = 64 * 1024 * 1024
MOST_ASSETS = 100_000
MOST_DEPTH = 32
ROW_KEYS = frozenset({"defaults", "asset"})
DEFAULTS = -1
"""The number under which :meth:`Rows.line` knows the defaults."""

_HEADER = pattern(r"""^[ \t]*\[\[[ \t]*(?:asset|"asset"|'asset')[ \t]*\]\]""", re.MULTILINE)
_DEFAULTS = pattern(r"""^[ \t]*\[[ \t]*(?:defaults|"defaults"|'defaults')[ \t]*\]""", re.MULTILINE)
_LONG_TEXT = pattern(
    r'''"""(?:[^\\]|\\.)*?"{3,5}|\'{3}.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|\#[^\n]*''', re.DOTALL
)
"""Texts and comments of TOML: what looks like a header inside them is none."""
_INLINE = pattern(r"""\b["']?id["']?[ \t]*=""")
_TOML_PLACE = pattern(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Rows:
    """``defaults`` and the assets of a file, as they stand there; ``lines`` has the line of each, 0 where unknown.

    ``columns`` are the names in the first line of a CSV; ``find`` returns the line of a field of an asset by its number
    (:data:`DEFAULTS`: of the defaults), 0 where it has none of its own.
    """

    defaults: Mapping[str, Any]
    assets: list[Mapping[str, Any]]
    lines: list[int]
    defaults_line: int = 0
    columns: tuple[str, ...] = ()
    find: Callable[[int, str], int] | None = None

    def line(self, number: int, field: str = "") -> int:
        """Return where a field is, or its asset where it has no line of its own; 0 where nothing is known."""
        own = self.find(number, field) if field and self.find else 0
        return own or (self.defaults_line if number == DEFAULTS else self.lines[number])


def rows_of(path: Path) -> Rows:
    """Read a manifest. Raises ``UsageError`` with file and line, ``ConfigInvalid`` (3) where an extra is missing."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: a manifest ends in {', '.join(_READERS)}", hint="wan render --help")
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
    except TooLarge as error:
        raise UsageError(f"{path} is larger than {MOST_BYTES >> 20} MiB", hint="split it into several") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: byte {error.start + 1} cannot be read", hint=f"edit {path}") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="wan render --help") from error
    found = reader(path, text)
    if len(found.assets) > MOST_ASSETS:
        raise at(path, 0, f"more than {MOST_ASSETS:,} assets")
    for number, row in enumerate([found.defaults, *found.assets], start=DEFAULTS):
        for name, value in row.items():
            if not isinstance(value, str) or not value.isascii() or "\r" in value:
                row[name] = _clean(value, path, found, number, str(name))  # type: ignore[index]
    return found


def at(path: Path, line: int, message: str) -> UsageError:
    """Return the error for a place in a manifest."""
    return UsageError(f"{path.name}:{line}: {message}" if line else f"{path.name}: {message}", hint=f"edit {path}")


def _clean(value: Any, path: Path, rows: Rows, number: int, field: str, depth: int = 1) -> Any:
    """Return a value with its line ends normalised. Raises where it is deeper than a person would write, or no number.

    A lone surrogate (JSON can spell one) would be lost on its way to a provider and into the lock.
    """
    why = ""
    if isinstance(value, str):
        value = value.replace("\r\n", "\n").replace("\r", "\n")
        why = "a character is only half there" if any("\ud800" <= char <= "\udfff" for char in value) else ""
    elif isinstance(value, float) and not math.isfinite(value):
        why = f"{value} is not a number here"
    elif isinstance(value, dict | list) and depth >= MOST_DEPTH:
        why = f"more than {MOST_DEPTH} levels"
    if why:
        raise at(path, rows.line(number, field), f"{one_line(field)}: {why}")
    if isinstance(value, dict):
        return {
            _clean(name, path, rows, number, field): _clean(inner, path, rows, number, field, depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_clean(inner, path, rows, number, field, depth + 1) for inner in value]
    return value


def _toml(path: Path, text: str) -> Rows:
    import tomllib

    blank = _LONG_TEXT.sub(_blanked, text) if '"""' in text or "'''" in text else text
    if len(starts := [found.start() for found in _HEADER.finditer(blank)]) > MOST_ASSETS:
        raise at(path, 0, f"more than {MOST_ASSETS:,} assets")
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        last = text.rstrip("\n").count("\n") + 1
        said = str(error)[: place.start()] if place else str(error)
        raise at(path, int(place[1] or last) if place else 0, one_line(said)) from error
    except RecursionError as error:
        raise at(path, 0, f"more than {MOST_DEPTH} levels") from error
    except ValueError as error:  # a number of more than 4,300 digits
        raise at(path, 0, one_line(str(error))) from error
    head = _DEFAULTS.search(blank)
    listed = found.get("asset")
    if not starts and isinstance(listed, list):  # asset = [{ id = "hero", ... }]
        starts = [place.start() for place in _INLINE.finditer(blank)]
    if not isinstance(listed, list) or len(starts) != len(listed):
        starts = []

    def find(number: int, field: str) -> int:
        begins = {DEFAULTS: head.start()} if head else {}
        begin = begins.get(number) if number == DEFAULTS or not starts else starts[number]
        return 0 if begin is None else _line_of(field, blank, begin, next((at for at in starts if at > begin), None))

    defaults_line = blank.count("\n", 0, head.start()) + 1 if head else 0
    return _document(path, found, _numbers(blank, starts), defaults_line, find)


def _line_of(field: str, text: str, begin: int, end: int | None) -> int:
    """Return the line in which a field of a table is said (``seed =``, ``[asset.matrix]``), 0 where it is not found."""
    name = re.escape(field).replace("_", "[-_]")
    said = re.compile(rf"""^[ \t]*(?:\[+[ \t]*\w+\.)?["']?{name}["']?[ \t]*[]=.]""", re.MULTILINE)
    found = said.search(text, begin, len(text) if end is None else end)
    return text.count("\n", 0, found.start()) + 1 if found else 0


def _blanked(found: re.Match[str]) -> str:
    """Return a text or a comment without anything in it but its line ends; short texts stay, for keys are such."""
    return found[0] if "\n" not in found[0] and found[0][0] != "#" else "\n" * found[0].count("\n")


def _numbers(text: str, starts: list[int]) -> list[int]:
    lines, line, last = [], 1, 0
    for start in starts:
        line += text.count("\n", last, start)
        lines.append(line)
        last = start
    return lines


def _document(
    path: Path, found: Any, lines: list[int], defaults_line: int, find: Callable[[int, str], int]
) -> Rows:  # fmt: skip
    if not isinstance(found, dict):
        raise at(path, 1, "a manifest has [defaults] and [[asset]]")
    for name in found:
        if name not in ROW_KEYS:
            raise at(path, 0, f"{one_line(str(name))} is not known here; a manifest has [defaults] and [[asset]]")
    assets, defaults = found.get("asset", []), found.get("defaults", {})
    if not isinstance(assets, list) or not all(isinstance(row, dict) for row in assets):
        raise at(path, lines[0] if lines else 0, "asset is a list of tables: [[asset]]")
    if not isinstance(defaults, dict):
        raise at(path, defaults_line, "defaults is a table: [defaults]")
    known = lines if len(lines) == len(assets) else [0] * len(assets)
    return Rows(defaults, assets, known, defaults_line, find=find)


def _jsonl(path: Path, text: str) -> Rows:
    defaults: Mapping[str, Any] = {}
    assets: list[Mapping[str, Any]] = []
    lines: list[int] = []
    first = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = _json(path, number, line)
        if not isinstance(row, dict):
            raise at(path, number, "each line is one asset: a JSON object")
        if row.keys() == {"defaults"} and isinstance(row["defaults"], dict) and not assets and not first:
            defaults, first = row["defaults"], number
        else:
            assets.append(row)
            lines.append(number)
            if len(assets) > MOST_ASSETS:
                raise at(path, number, f"more than {MOST_ASSETS:,} assets")
    return Rows(defaults, assets, lines, first)


def _json(path: Path, number: int, line: str) -> Any:
    try:
        return strict_json(line)
    except RecursionError as error:
        raise at(path, number, f"more than {MOST_DEPTH} levels") from error
    except ValueError as error:
        raise at(path, number, one_line(str(error))) from error


def _csv(path: Path, text: str) -> Rows:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    assets: list[Mapping[str, Any]] = []
    lines: list[int] = []
    try:
        names = [name.strip().replace("-", "_") for name in next(reader, [])]
        if len(set(names)) != len(names) or "" in names:
            raise at(path, 1, "each column has one name of its own")
        begins = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if len(cells) > len(names):
                    raise at(path, begins, f"{len(cells)} cells, and {len(names)} columns")
                said = {name: _cell(name, cell) for name, cell in zip(names, cells, strict=False) if cell.strip()}
                assets.append(said)
                lines.append(begins)
                if len(assets) > MOST_ASSETS:
                    raise at(path, begins, f"more than {MOST_ASSETS:,} assets")
            begins = reader.line_num + 1
    except csv.Error as error:
        raise at(path, reader.line_num, one_line(str(error))) from error
    return Rows({}, assets, lines, columns=tuple(names))


def _cell(name: str, cell: str) -> Any:
    """Read a cell: lists and tables are JSON, or files with ``;`` between them; the rest stays the text it is."""
    text = cell.strip()
    if name in ("matrix", "param", "images", "provider") and text[:1] in ("{", "["):
        try:
            return strict_json(text)
        except (ValueError, RecursionError):
            return text
    if name == "images":
        return [part.strip() for part in text.split(";") if part.strip()]
    return cell if name in ("prompt", "negative") else text


def _yaml(path: Path, text: str) -> Rows:
    from wan_cli.manifest.yaml import load

    found, marks = load(path, text, at)

    def find(number: int, field: str) -> int:
        return marks.get(("asset", number, field) if number != DEFAULTS else ("defaults", field), 0)

    listed = found.get("asset") if isinstance(found, dict) else None
    lines = [marks["asset", number] for number in range(len(listed))] if isinstance(listed, list) else []
    return _document(path, found, lines, marks.get(("defaults",), 0), find)


_READERS: Mapping[str, Callable[[Path, str], Rows]] = {
    ".toml": _toml, ".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv, ".yaml": _yaml, ".yml": _yaml,
}  # fmt: skip
