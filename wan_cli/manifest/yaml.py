"""YAML 1.2 as plain values, with the line of each; anchors, aliases and tags are refused (reliability.md S22, C09)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wan_cli.errors import ConfigInvalid, UsageError
from wan_cli.extras import install
from wan_cli.text import one_line

MOST_BYTES = 8 * 1024 * 1024
"""The reader takes a second for 100 KB: more than this is JSONL's business."""
MOST_DEPTH = 64
"""Where walking stops; what is deeper than a manifest may be is refused by its reader, with the field."""
_PLAIN = "tag:yaml.org,2002:"
_TEXTS = frozenset({"str", "timestamp", "value", "merge"})
"""Kinds whose letters are taken as they stand: a date is a text here, and so is ``<<``."""

Marks = dict[tuple[str | int, ...], int]


def load(path: Path, text: str, at: Callable[[Path, int, str], UsageError]) -> tuple[Any, Marks]:
    """Return the one document of a file, and the line of each value by its keys, three levels deep.

    Raises ``ConfigInvalid`` (3) where the extra is missing, and ``UsageError`` with the line.
    """
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError as error:
        raise ConfigInvalid(f"{path.name}: YAML needs the extra [yaml]", hint=install("yaml")) from error
    if len(text) > MOST_BYTES:
        raise at(path, 0, f"larger than {MOST_BYTES >> 20} MiB; JSONL carries the same, and is read faster")
    if text.lstrip().startswith("%"):
        raise at(path, 1, "directives are not read; it is YAML 1.2")
    reader = YAML(typ="safe", pure=True)
    try:
        node = reader.compose(text)
        walk = _Walk(path, at, reader.constructor)
        return (None if node is None else walk.value(node, ())), walk.marks
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise at(path, mark.line + 1 if mark else 0, one_line(str(problem))) from error
    except RecursionError as error:
        raise at(path, 0, "too many levels") from error


class _Walk:
    """Turns nodes into values. Every node is looked at before what is in it."""

    def __init__(self, path: Path, at: Callable[[Path, int, str], UsageError], constructor: Any) -> None:
        self.path = path
        self.at = at
        self.constructor = constructor
        self.marks: Marks = {}

    def value(self, node: Any, keys: tuple[str | int, ...], line: int | None = None) -> Any:
        """Return the value of a node; ``keys`` lead to it."""
        here = node.start_mark.line + 1 if line is None else line
        if len(keys) <= 3:  # noqa: PLR2004 - asset, its number, its field
            self.marks[keys] = here
        if node.anchor is not None:
            raise self.at(self.path, here, "anchors and aliases are not read; use defaults")
        if len(keys) > MOST_DEPTH:
            raise self.at(self.path, here, "too many levels")
        kind = str(node.tag).removeprefix(_PLAIN)
        if kind == "map":
            return self._table(node, keys)
        if kind == "seq":
            return [self.value(inner, (*keys, number)) for number, inner in enumerate(node.value)]
        if kind in _TEXTS:
            return str(node.value)
        if kind not in ("int", "float", "bool", "null"):
            raise self.at(self.path, here, "tags are not read")
        try:
            return self.constructor.construct_object(node)
        except (ValueError, KeyError) as error:
            raise self.at(self.path, here, f"{one_line(str(node.value), 60)} is no {kind}") from error

    def _table(self, node: Any, keys: tuple[str | int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, inner in node.value:
            line = name.start_mark.line + 1
            if not isinstance(name.value, str):
                raise self.at(self.path, line, "a name is a text")
            if name.anchor is not None:
                raise self.at(self.path, line, "anchors and aliases are not read; use defaults")
            if name.value in found:
                raise self.at(self.path, line, f"{one_line(name.value)} is said twice")
            found[name.value] = self.value(inner, (*keys, name.value), line)
        return found
