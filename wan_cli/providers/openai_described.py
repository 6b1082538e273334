"""What a gateway says of itself: its ``openapi.json``, read for what the image endpoints take.

FastAPI servers (vLLM-Omni, SGLang, LiteLLM, Xinference) publish one without being asked to (contracts.md 6.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wan_cli.pattern import pattern

GENERATIONS, EDITS = "/images/generations", "/images/edits"
IMAGE_FIELDS = ("image", "image[]")
MASK_FIELDS = ("mask", "mask_image")
FORMATS = ("url", "b64_json")
_SIZE = pattern(r"\d{2,5}[x*]\d{2,5}")
_DEEPEST = 8
"""References that are followed: a description may be anybody's, and refer to itself."""
MOST = 32
"""Sizes that are kept of a list."""


def described(document: Any) -> dict[str, tuple[str, ...]]:
    """Return what the description tells, by fact; one that says nothing of images tells nothing.

    An empty tuple is a field that is refused: the description has no such property and admits no others.
    """
    paths = document.get("paths") if isinstance(document, Mapping) else None
    if not isinstance(paths, Mapping):
        return {}
    generations, edits = (_body(document, paths, end) for end in (GENERATIONS, EDITS))
    facts: dict[str, tuple[str, ...]] = {}
    if generations is not None:
        facts["edits"] = ("no",) if edits is None else ("yes",)
        facts |= _generations(document, generations)
    if edits:
        named = _properties(document, edits)
        for fact, fields in (("image_field", IMAGE_FIELDS), ("mask_field", MASK_FIELDS)):
            if found := tuple(field for field in fields if field in named):
                facts[fact] = found
    return facts


def _generations(document: Any, body: Any) -> dict[str, tuple[str, ...]]:
    named, facts = _properties(document, body), {}
    if "response_format" in named:
        values = _values(document, named["response_format"])
        if values:
            facts["response_format"] = tuple(value for value in FORMATS if value in values)
    elif named and _closed(document, body):
        facts["response_format"] = ()
    sizes = [size for size in _values(document, named.get("size")) if _SIZE.fullmatch(size)]
    if sizes:
        facts["sizes"] = tuple(dict.fromkeys(sizes))[:MOST]
        facts["size_separator"] = separators(sizes)
    return facts


def separators(sizes: list[str]) -> tuple[str, ...]:
    """Return what stands between the sides in a list of sizes."""
    return tuple(mark for mark in ("x", "*") if any(mark in size for size in sizes))


def _body(document: Any, paths: Mapping[Any, Any], end: str) -> Any:
    """Return the schema of the body of ``POST …end``; an empty one where none is told; ``None`` without the path."""
    for path, operations in paths.items():
        post = operations.get("post") if isinstance(operations, Mapping) else None
        if isinstance(path, str) and path.rstrip("/").endswith(end) and isinstance(post, Mapping):
            request = next(_resolved(document, post.get("requestBody")), {})
            kinds = request.get("content")
            told = [kind for kind in kinds.values() if isinstance(kind, Mapping)] if isinstance(kinds, Mapping) else []
            return told[0].get("schema") or {} if told else {}
    return None


def _resolved(document: Any, schema: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and those it is made of, with its references followed."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return
    reference = schema.get("$ref")
    if isinstance(reference, str):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
        yield from _resolved(document, found, depth + 1)
        return
    yield schema
    for way in ("allOf", "anyOf", "oneOf"):
        parts = schema.get(way)
        for part in parts[:MOST] if isinstance(parts, list) else ():
            yield from _resolved(document, part, depth + 1)


def _properties(document: Any, schema: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in _resolved(document, schema):
        properties = part.get("properties")
        found |= properties if isinstance(properties, Mapping) else {}
    return found


def _closed(document: Any, schema: Any) -> bool:
    return any(part.get("additionalProperties") is False for part in _resolved(document, schema))


def _values(document: Any, schema: Any) -> list[str]:
    """Return the texts that a property may be, where they are listed."""
    found: list[Any] = []
    for part in _resolved(document, schema):
        listed = part.get("enum")
        found += listed if isinstance(listed, list) else [part["const"]] if "const" in part else []
    return [value for value in found if isinstance(value, str)]
