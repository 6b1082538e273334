"""The standard library's dataclasses, without methods that are made for each class.

``dataclasses.dataclass`` writes each method of each class as a text and compiles it: half a millisecond a class, 30 of
a purchase, most of it for methods that it never calls. Here the methods of all classes are the same few, which
go by the class's fields. ``field``, ``fields``, ``replace`` and ``match`` work as ever.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import field, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass

__all__ = ["dataclass", "field", "fields", "replace"]

_put = object.__setattr__


def _made(cls: type | None = None, /, *, frozen: bool = False, slots: bool = False, kw_only: bool = False) -> Any:
    """Make a class a dataclass, as ``dataclasses.dataclass`` does with these arguments."""
    if cls is None:
        return lambda cls: _made(cls, frozen=frozen, slots=slots, kw_only=kw_only)
    own = vars(cls).keys() - {"__hash__"}  # Python sets that one to None beside an __eq__
    cls = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls)
    for name, method in _methods(cls, frozen=frozen, slots=slots).items():
        if name not in own:
            setattr(cls, name, method)
    return cls


if not TYPE_CHECKING:
    dataclass = _made


def _methods(cls: type, *, frozen: bool, slots: bool) -> dict[str, Callable[..., Any] | None]:
    values = _values([one.name for one in fields(cls) if one.compare])

    def __eq__(self: object, other: object) -> bool:  # noqa: N807 - it becomes one
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: object) -> int:  # noqa: N807
        return hash(values(self))

    made: dict[str, Callable[..., Any] | None] = {
        "__init__": _init(cls), "__repr__": _repr, "__eq__": __eq__, "__hash__": __hash__ if frozen else None,
    }  # fmt: skip
    if frozen:
        made |= {"__setattr__": _no_change, "__delattr__": _no_change}
    if frozen and slots:
        made |= {"__getstate__": _state, "__setstate__": _restore}
    return made


def _values(names: list[str]) -> Callable[[object], tuple[Any, ...]]:
    """Return what reads these attributes of an object, as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda one: tuple(getattr(one, name) for name in names)


def _init(cls: type) -> Callable[..., None]:
    taken = [one for one in fields(cls) if one.init]
    in_order = tuple(one.name for one in taken if not one.kw_only)
    usual = {one.name: one.default for one in taken}
    made = {one.name: one.default_factory for one in taken if one.default is dataclasses.MISSING}
    unsaid = {one.name: one.default for one in fields(cls) if not one.init and one.default is not dataclasses.MISSING}
    last = getattr(cls, "__post_init__", None)

    def __init__(self: object, /, *said: Any, **named: Any) -> None:  # noqa: N807 - it becomes one
        if said:
            first = dict(zip(in_order, said, strict=False))
            if len(said) > len(first) or not first.keys().isdisjoint(named):
                raise TypeError(f"{cls.__name__} takes {len(in_order)} values without a name, and each field once")
            named |= first
        values = usual | named
        if len(values) > len(usual):
            raise TypeError(f"{cls.__name__} has no {', '.join(sorted(named.keys() - usual.keys()))}")
        for name, factory in made.items():
            if name not in named:
                if factory is dataclasses.MISSING:
                    raise TypeError(f"{cls.__name__} is nothing without {name}")
                values[name] = factory()
        for name, value in (values | unsaid if unsaid else values).items():
            _put(self, name, value)
        if last is not None:
            last(self)

    return __init__


def _repr(self: Any) -> str:
    shown = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
    return f"{type(self).__qualname__}({shown})"


def _no_change(self: object, name: str, *value: object) -> None:
    del self, value
    raise dataclasses.FrozenInstanceError(f"cannot change field {name!r}")


def _state(self: Any) -> list[Any]:
    """Return what a copy is made from: slots leave no ``__dict__``."""
    return [getattr(self, one.name) for one in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for one, value in zip(fields(self), state, strict=True):
        _put(self, one.name, value)
