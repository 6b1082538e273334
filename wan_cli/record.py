"""Task <-> JSON document: what the ledger and its journal keep of a task.

The shape follows the dataclasses of :mod:`wan_cli.models` field by field (``State`` is told apart by ``kind``), so a
new field needs no line here. Reading is strict: an unknown field, a missing one or a value of another type is a
``ValueError``. A document of a newer ``wan`` never gets this far: its ledger has a higher ``user_version``.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from wan_cli.models import Task
from wan_cli.pattern import pattern

_MARKED = frozenset({"prompt", "negative", "revised_prompt"})
"""Fields that hold a text of the user (or the provider's version of it): where a hash may stand instead."""

_OPAQUE = frozenset({"params", "usage", "ref"})
"""Fields whose content is not ours: nothing there is read back but as it is, so a mark is the plain string."""

_FREE_TEXT = frozenset({"message", "hint", "reason", "raw", "warnings"})
"""Fields in which a provider may quote the prompt."""

_MARK = pattern(r"sha256:([0-9a-f]{64})")


class Document(dict[str, Any]):
    """A task's document. Its text is made once, though several files get it."""

    @functools.cached_property
    def text(self) -> str:
        """The document as JSON, in ASCII: escapes carry what UTF-8 cannot (lone surrogates)."""
        return json.dumps(self, separators=(",", ":"))


def to_document(task: Task) -> dict[str, Any]:
    """Return ``task`` as a JSON object. Raises ``ValueError`` for a value that JSON cannot hold."""
    return _fields_of(task, _names(Task))


def from_document(doc: Mapping[str, Any]) -> Task:
    """Return the task that ``doc`` describes. Raises ``ValueError`` when it is not exactly such a document."""
    task: Task = _build(Task, doc, "task")
    return task


def forget_prompt(doc: Mapping[str, Any], also: Iterable[str] = ()) -> dict[str, Any]:
    """Return a copy of ``doc`` without the user's texts (``[privacy] store_prompts = false``).

    ``prompt``, ``negative`` and every ``revised_prompt`` become ``{"sha256": HEX}``, which reads back as the string
    ``sha256:HEX``; so does each text parameter with "prompt" in its name. Where a message, the reason, the raw
    answer or a warning quotes one of them, or of the texts in ``also``, the quote is replaced as well. Doing it
    twice changes nothing.
    """
    secrets = (*private_texts(doc), *also)
    hidden: dict[str, Any] = _hide(doc, secrets)
    return hidden


def private_texts(doc: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the texts of ``doc`` that :func:`forget_prompt` hides, longest first (one may contain another)."""
    found = {text for text in _texts(doc) if not _MARK.fullmatch(text)}
    return tuple(sorted(found, key=lambda text: (-len(text), text)))


def texts_in_answer(raw: str) -> tuple[str, ...]:
    """Return the texts that :func:`private_texts` finds in a provider's answer; none where that is not JSON."""
    try:
        return private_texts({"answer": json.loads(raw)})
    except (ValueError, RecursionError):
        return ()


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with each of ``secrets`` replaced by ``sha256:HEX``, plain or escaped as in JSON.

    A secret of a single word is never taken out of an address, of base64 or of the name of a JSON field: what the
    answer says of a bought result must survive.
    """
    for secret in secrets:
        spellings = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
        for spelling in spellings:
            phrase = re.escape(spelling)
            alone = phrase if " " in spelling else rf'(?<![\w/%+=.-]){phrase}(?![\w/%+=-]|"\s*:)'
            text = re.sub(alone, f"sha256:{_digest(secret)}", text)
    return text


def _digest(text: str) -> str:
    # Arguments that are not UTF-8 reach us with lone surrogates (PEP 383).
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _mark(text: str) -> dict[str, str]:
    already = _MARK.fullmatch(text)
    return {"sha256": already[1] if already else _digest(text)}


def _is_private(name: str, value: str) -> bool:
    return value != "" and (name in _MARKED or "prompt" in name.casefold())


def _texts(value: object, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, name)
    elif isinstance(value, str):
        if _is_private(name, value):
            yield value
        elif name == "raw":
            yield from texts_in_answer(value)


def _hide(value: Any, secrets: tuple[str, ...], name: str = "", *, opaque: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {key: _hide(inner, secrets, key, opaque=opaque or key in _OPAQUE) for key, inner in value.items()}
    if isinstance(value, list):
        # The items of a list have its name: warnings are free text too.
        return [_hide(inner, secrets, name, opaque=opaque) for inner in value]
    if not isinstance(value, str):
        return value
    if _is_private(name, value):
        return f"sha256:{_mark(value)['sha256']}" if opaque else _mark(value)
    return hide(value, secrets) if name in _FREE_TEXT else value


_AS_IS = frozenset({type(None), str, int, float, bool})


@functools.cache
def _names(cls: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields; none for another class."""
    return tuple(field.name for field in fields(cls)) if is_dataclass(cls) else ()


def _fields_of(one: object, names: Iterable[str]) -> dict[str, Any]:
    # nearly all values go as they are: a task is written down ten times, and has seventy
    return {name: value if type(value := getattr(one, name)) in _AS_IS else _plain(value) for name in names}


def _plain(value: object) -> Any:
    cls: type = type(value)
    if cls in _AS_IS:
        return value
    if names := _names(cls):
        return _fields_of(value, names)
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (str, int, float)):
        return value
    msg = f"a {type(value).__name__} cannot be kept in the ledger"
    raise ValueError(msg)


_SCALARS: dict[Any, Any] = {float: (int, float), int: int, str: str, bool: bool}


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _refuse(where: str, what: str) -> ValueError:
    return ValueError(f"{where}: {what}")


def _build(cls: type, doc: object, where: str) -> Any:
    if not isinstance(doc, Mapping):
        raise _refuse(where, "is not an object")
    known = {field.name: field for field in fields(cls)}
    if unknown := sorted(set(doc) - set(known)):
        raise _refuse(where, f"unknown field {', '.join(map(repr, unknown))}")
    needed = (n for n, field in known.items() if field.default is MISSING and field.default_factory is MISSING)
    if missing := sorted(set(needed) - set(doc)):
        raise _refuse(where, f"no field {', '.join(map(repr, missing))}")
    hints = _hints(cls)
    return cls(**{name: _read(hints[name], value, f"{where}.{name}", name) for name, value in doc.items()})


def _read(hint: Any, value: Any, where: str, name: str = "") -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(hint), value, where, name)
    if origin is Literal:
        if value in get_args(hint):
            return value
        raise _refuse(where, f"{value!r} is none of {', '.join(map(str, get_args(hint)))}")
    if origin is tuple:
        if isinstance(value, list):
            return tuple(_read(get_args(hint)[0], item, f"{where}[{at}]") for at, item in enumerate(value))
        raise _refuse(where, "is not a list")
    if is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, where)
    return _read_scalar(hint, value, where, name)


def _read_union(choices: tuple[Any, ...], value: Any, where: str, name: str) -> Any:
    if value is None and type(None) in choices:
        return None
    rest = [choice for choice in choices if choice is not type(None)]
    if len(rest) == 1:
        return _read(rest[0], value, where, name)
    kind = value.get("kind") if isinstance(value, Mapping) else None
    for choice in rest:
        if get_args(_hints(choice)["kind"]) == (kind,):
            return _build(choice, value, where)
    raise _refuse(where, f"unknown kind {kind!r}")


def _read_scalar(hint: Any, value: Any, where: str, name: str) -> Any:
    if name in _MARKED and isinstance(value, Mapping) and set(value) == {"sha256"}:
        return f"sha256:{value['sha256']}"
    wanted = _SCALARS.get(hint, Mapping)
    # JSON's true is not a number, though Python's True is one.
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        raise _refuse(where, f"{value!r} is not of type {getattr(hint, '__name__', hint)}")
    return value
