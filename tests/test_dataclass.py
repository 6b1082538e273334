"""Our dataclasses against the standard library's: the same to everyone who uses them, cheaper to make."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

import pytest

from wan_cli import dataclass as module
from wan_cli.dataclass import dataclass

Make = Callable[..., Any]
BOTH = pytest.mark.parametrize("make", [dataclasses.dataclass, dataclass], ids=["library", "ours"])


def classes(make: Make, **how: bool) -> tuple[Any, Any]:
    """Return a class of every kind of field, and one that adds to it."""

    @make(**how)
    class Base:
        """A base."""

        name: str
        size: int = 1
        parts: list[str] = field(default_factory=list)
        secret: str = field(default="key", repr=False)
        left: int = field(default=0, compare=False)

    @make(**how)
    class More(Base):
        """With one more."""

        kind: str = "more"

    return Base, More


@dataclass(frozen=True, slots=True)
class Place:
    """At the top of a module, where pickle finds it."""

    x: int
    y: int = 2


@dataclass(frozen=True)
class Open:
    """Without slots."""

    x: int


@BOTH
@pytest.mark.parametrize("how", [{}, {"frozen": True}, {"slots": True}, {"frozen": True, "slots": True}], ids=str)
def test_values_compare_and_show_themselves(make: Make, how: dict[str, bool]) -> None:
    """Values by place and by name, defaults, factories, equality, hashes, text, fields and replace are as ever."""
    base, more = classes(make, **how)
    one, two = base("a", 2), base(size=2, name="a", left=5)
    assert one == two != base("b")
    assert (one.name, one.size, one.parts, one.secret) == ("a", 2, [], "key")
    assert one.parts is not two.parts
    assert repr(one) == f"{base.__qualname__}(name='a', size=2, parts=[], left=0)"
    assert more("a", 2) != one
    assert more("a", kind="x").kind == "x"
    assert [one.name for one in dataclasses.fields(more)] == ["name", "size", "parts", "secret", "left", "kind"]
    assert dataclasses.replace(one, size=3) == base("a", 3)
    assert dataclasses.asdict(one) == {"name": "a", "size": 2, "parts": [], "secret": "key", "left": 0}
    assert base.__match_args__ == ("name", "size", "parts", "secret", "left")
    assert hasattr(one, "__dict__") != how.get("slots", False)
    if how.get("frozen"):
        assert hash(base("a", parts=(), left=1)) == hash(base("a", parts=(), left=2))
    else:
        assert base.__hash__ is None


@BOTH
@pytest.mark.parametrize(
    "call",
    [
        lambda cls: cls(),
        lambda cls: cls("a", name="a"),
        lambda cls: cls("a", colour="red"),
        lambda cls: cls(*"abcdef"),
        lambda cls: dataclasses.replace(cls("a"), colour="red"),
    ],
    ids=["missing", "twice", "unknown", "too many", "replaced"],
)
def test_what_does_not_fit_is_refused(make: Make, call: Callable[[Any], Any]) -> None:
    """A value too few, too many, or under a name that there is not, is a TypeError."""
    base, _ = classes(make, frozen=True)
    with pytest.raises(TypeError):
        call(base)


@BOTH
@pytest.mark.parametrize("how", [{}, {"frozen": True, "slots": True}], ids=str)
def test_a_copy_with_changes(make: Make, how: dict[str, bool]) -> None:
    """``replace`` makes what the library's would: another one, of the same class, whose other fields are the same."""
    base, more = classes(make, **how)
    for one in (base("a", 2, parts=["x"], left=3), more("a", kind="k")):
        for changes in ({}, {"size": 7}, {"name": "b", "left": 1}):
            ours, theirs = module.replace(one, **changes), dataclasses.replace(one, **changes)
            assert (type(ours), ours, ours.left, ours.secret) == (type(one), theirs, theirs.left, theirs.secret)
            assert ours.parts is one.parts
        with pytest.raises(TypeError):
            module.replace(one, colour="red")


@BOTH
def test_a_copy_is_worked_out_again(make: Make) -> None:
    """Where a class has a ``__post_init__`` or a field that nobody says, a copy goes through both."""

    @make(frozen=True)
    class Worked:
        """With both."""

        x: int
        twice: int = field(init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "twice", 2 * self.x)

    assert module.replace(Worked(2), x=3) == Worked(3)
    with pytest.raises((TypeError, ValueError)):
        module.replace(Worked(2), twice=1)


@BOTH
def test_a_default_that_would_be_shared_is_refused(make: Make) -> None:
    """A list as a default is a mistake."""
    with pytest.raises(ValueError, match="default_factory"):

        @make
        class Shared:
            """With one."""

            parts: list[str] = []  # noqa: RUF012 - the mistake


@BOTH
@pytest.mark.parametrize("slots", [False, True])
def test_what_is_no_field(make: Make, *, slots: bool) -> None:
    """A ``ClassVar`` is the class's own, and a default that is inherited counts for a field that says none."""

    @make(slots=slots)
    class Base:
        """With one."""

        kind: ClassVar[str] = "base"
        x: int = 1

    @make
    class More(Base):
        """It says the field again."""

        y: int = 2

    assert [one.name for one in dataclasses.fields(More)] == ["x", "y"]
    assert (More.kind, More(3)) == ("base", More(x=3, y=2))


@BOTH
def test_values_by_name_only(make: Make) -> None:
    """With ``kw_only`` no value goes by its place."""
    base, _ = classes(make, kw_only=True)
    with pytest.raises(TypeError):
        base("a")
    assert base(name="a").name == "a"


@BOTH
@pytest.mark.parametrize("slots", [False, True])
def test_frozen_is_frozen(make: Make, *, slots: bool) -> None:
    """No field of a frozen one is set or deleted; one that is not frozen changes."""
    base, _ = classes(make, frozen=True, slots=slots)
    one = base("a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.name = "b"
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.name
    loose, _ = classes(make, slots=slots)
    other = loose("a")
    other.name = "b"
    assert other == loose("b")


@BOTH
@pytest.mark.parametrize("slots", [False, True])
def test_fields_that_nobody_says(make: Make, *, slots: bool) -> None:
    """A field without a parameter has its default, or what __post_init__ gives it; replace works it out again."""

    @make(frozen=True, slots=slots)
    class Worked:
        """With two of them."""

        x: int
        twice: int = field(init=False, compare=False)
        note: str = field(default="", init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "twice", 2 * self.x)

    assert (Worked(2).twice, Worked(2).note, dataclasses.replace(Worked(2), x=3).twice) == (4, "", 6)
    with pytest.raises(TypeError):
        Worked(2, note="x")


@BOTH
def test_own_methods_stay(make: Make) -> None:
    """Methods of the class body win, and __post_init__ is called last."""

    @make(frozen=True)
    class Own:
        """With methods."""

        x: int

        def __repr__(self) -> str:
            return f"<{self.x}>"

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("below nothing")

    assert repr(Own(1)) == "<1>"
    with pytest.raises(ValueError, match="below"):
        Own(-1)


@BOTH
def test_a_class_without_fields_and_one_with_one(make: Make) -> None:
    """Fewer than two fields compare and hash as well; a thing of another class is never equal."""

    @make(frozen=True)
    class Nothing:
        """No field."""

    @make(frozen=True)
    class One:
        """One field."""

        x: int = 1

    assert Nothing() == Nothing() != One()
    assert (hash(One()), hash(Nothing())) == (hash((1,)), hash(()))
    assert One() != 1


@pytest.mark.parametrize("one", [Place(1), Open(1)])
def test_copies_are_equal(one: Any) -> None:
    """What is frozen is copied and pickled, with slots and without."""
    for twin in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):  # noqa: S301 - our own bytes
        assert twin == one
        assert twin is not one


def test_no_method_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a class compiles nothing: that is what it is for."""
    compiled: list[str] = []
    monkeypatch.setattr(dataclasses, "exec", lambda text, *_: compiled.append(text), raising=False)
    classes(dataclass, frozen=True, slots=True, kw_only=True)
    assert not compiled
    with pytest.raises(KeyError):
        classes(dataclasses.dataclass, frozen=True)
    assert compiled
    assert module.dataclass is dataclass
