"""What the shapes of providers' answers are made of: annotated classes, which a small reader of our own fills.

A shape says what counts; the reader is strict about it and blind to the rest. pydantic would do it as well, but its
loading costs each purchase 50 ms, more than all that sends and saves (tests/benchmarks/README.md). So the reader knows
just what these shapes are made of, and ``tests/providers/test_reply.py`` holds it against pydantic.
"""

from __future__ import annotations

import functools
import json
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError
from typing import Annotated, Any, TypeAlias, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

from wan_cli.dataclass import dataclass
from wan_cli.providers.scalars import READERS, Odd

ReplyT = TypeVar("ReplyT", bound="Reply")
Read: TypeAlias = Callable[[Any], Any]
"""Turns a value out of JSON into a field's. Raises :class:`Odd`."""

DEEPEST = 200
"""Levels of lists and objects: what is deeper could not be written down again."""


@dataclass(frozen=True, slots=True)
class Called:
    """Marks a field that answers spell in several ways: the first of ``names`` that is there counts."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Matching:
    """Marks a text of a certain form."""

    pattern: str
    longest: int

    def around(self, read: Read) -> Read:
        """Return ``read`` with the check after it."""

        def checked(value: Any) -> Any:
            text = read(value)
            if len(text) > self.longest or not re.fullmatch(self.pattern, text):
                raise Odd("not a text of the form that is asked for")
            return text

        return checked


@dataclass(frozen=True, slots=True)
class _Aside:
    def around(self, read: Read) -> Read:
        def tolerant(value: Any) -> Any:
            try:
                return read(value)
            except Odd:
                return None

        return tolerant


Aside = _Aside()
"""Marks a field beside the point: an odd value counts as absent there, for the task it stands beside is paid for."""

TaskId = Annotated[str, Matching(r"[A-Za-z0-9._:-]*[A-Za-z0-9_:-][A-Za-z0-9._:-]*", 200)]
"""A provider's task id; anything else, and what is only dots, never becomes part of an address (R07, R08)."""


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False)
class Reply:
    """An answer's shape: extra fields are ignored, since providers add some without notice. Read-only.

    Fields are of ``str``, ``int``, ``float``, ``bool``, ``datetime``, ``Any``, other shapes, ``list``, ``tuple``
    and ``dict`` of these, and what joins them with ``|``; one without a default has to be there.
    """

    def __init__(self, **said: Any) -> None:
        fields = _fields(type(self))
        for name, field in fields.items():
            if name not in said:
                said[name] = field.default()
        if strange := said.keys() - fields.keys():
            raise TypeError(f"no fields of {type(self).__name__}: {sorted(strange)}")
        vars(self).update(said)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse a change: an answer is what it was."""
        raise FrozenInstanceError(name)


@dataclass(frozen=True, slots=True)
class _Field:
    owner: type[Reply]
    name: str
    keys: tuple[str, ...]
    read: Read

    @property
    def needed(self) -> bool:
        return not hasattr(self.owner, self.name)

    def default(self) -> Any:
        if self.needed:
            raise TypeError(f"{self.owner.__name__} is nothing without {self.name}")
        value = getattr(self.owner, self.name)
        return value.copy() if isinstance(value, list | dict) else value


_known: dict[type, Mapping[str, _Field]] = {}
"""The fields of each shape that was asked for."""


def _fields(shape: type[Reply]) -> Mapping[str, _Field]:
    if shape in _known:
        return _known[shape]
    found = {}
    for name, hint in get_type_hints(shape, include_extras=True).items():
        marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        keys = next((mark.names for mark in marks if isinstance(mark, Called)), (name,))
        found[name] = _Field(shape, name, keys, _reader(hint))
    _known[shape] = found
    return found


def parse(shape: type[ReplyT], content: bytes) -> ReplyT:
    """Read JSON in UTF-8. Raises :class:`Odd`."""
    try:
        data = json.loads(content.decode())
        if b"\\ud" in content or b"\\uD" in content:  # half a character, which no text of ours can hold
            json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Odd("it is no JSON") from error
    if content.count(b"[") + content.count(b"{") > DEEPEST and _is_deep(data):
        raise Odd("it is no JSON that anybody could write down again")
    return read(shape, data)


def _is_deep(data: Any) -> bool:
    level = [data]
    for _ in range(DEEPEST):
        inside = [value for value in level if isinstance(value, list | dict)]
        level = [one for value in inside for one in (value.values() if isinstance(value, dict) else value)]
    return any(isinstance(value, list | dict) for value in level)


def read(shape: type[ReplyT], data: Any) -> ReplyT:
    """Read a value of JSON as ``shape``. Raises :class:`Odd` with the place of the first field that does not fit."""
    if not isinstance(data, dict):
        raise Odd("not an object")
    said = {}
    for name, field in _fields(shape).items():
        key = next((key for key in field.keys if key in data), None)
        if key is not None:
            said[name] = _inside(key, field.read, data[key])
        elif field.needed:
            raise Odd("missing", field.keys[0])
    return shape(**said)


def _inside(place: str, read_one: Read, value: Any) -> Any:
    try:
        return read_one(value)
    except Odd as odd:
        raise Odd(odd.what, place, *odd.place) from None


def _reader(hint: Any) -> Read:
    """Return what reads a field's values. Raises ``TypeError`` for a type that no shape has had so far."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        found = _reader(args[0])
        for mark in args[1:]:
            found = mark.around(found) if isinstance(mark, Matching | _Aside) else found
        return found
    if origin in (Union, types.UnionType):
        return _any_of([_reader(one) for one in args if one is not type(None)], empty=type(None) in args)
    if origin in (list, tuple):
        return _each(_reader(args[0]), origin)
    if origin is dict:
        return _values(_reader(args[1]))
    if isinstance(hint, type) and issubclass(hint, Reply):
        return functools.partial(read, hint)
    if hint in READERS:
        return READERS[hint]
    raise TypeError(f"no shape of an answer has had a field of {hint} so far")


def _any_of(readers: list[Read], *, empty: bool) -> Read:
    def of_several(value: Any) -> Any:
        if value is None and empty:
            return None
        for read_one in readers[:-1]:
            try:
                return read_one(value)
            except Odd:
                continue
        return readers[-1](value)

    return of_several


def _each(read_one: Read, made: type) -> Read:
    def of_list(value: Any) -> Any:
        if not isinstance(value, list):
            raise Odd("not a list")
        return made(_inside(str(place), read_one, item) for place, item in enumerate(value))

    return of_list


def _values(read_one: Read) -> Read:
    def of_object(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Odd("not an object")
        return {key: _inside(key, read_one, inner) for key, inner in value.items()}

    return of_object
