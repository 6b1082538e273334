"""The reader of answers against pydantic, which reads the same kinds of fields, and what only it has to answer for."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from datetime import datetime
from typing import Annotated, Any

import pytest
from pydantic import ConfigDict, ValidationError, create_model

from wan_cli.providers.reply import DEEPEST, Aside, Called, Reply, TaskId, parse
from wan_cli.providers.scalars import Odd

TYPES: dict[str, Any] = {
    "text": str, "whole": int | None, "number": float, "moment": datetime, "either": str | int | None,
    "texts": list[str | None] | None, "by name": dict[str, Any], "anything": Any,
}  # fmt: skip
VALUES = [
    None, True, False, 0, 5, -1, 3.0, 2.5, 1e300, 1e18, float("nan"), float("inf"), 10**30, 10**400, 2e11, -5.5, -1e12,
    1780000000, 1780000000.5, 1780000000123, 253402300800, "", "a", "12", " 12 ", "1.0", "12.", ".5", "-0", "+7", "1e3",
    "1_000", "1__0", "0x10", "nan", "inf", "1e999", "٣", "9" * 5000, "1780000000", "1780000000.5", "20260511",
    "2026-05-11", "2026-05-11T00:00:00Z", "2026-05-11 10:00", "2026-05-11T10:00:00.123456+02:00", "2026-05-11t10:00z",
    "2026-05-11_10:00", "2026-05-11T10:00:00,5Z", "2026-05-11T10:00:00+0200", "2026-05-11T10:00:00 +02:00",
    "2026-W20-1", " 2026-05-11T10:00:00Z ", "2026-13-01", "2026-05-11T25:00:00Z", [], ["a", None], [1], {},
    {"a": [None, {"b": "é"}]},
]  # fmt: skip


def outcome(read: Any, content: bytes, kind: type[Exception]) -> Any:
    """Return the value that was read, with its type, or that there is none."""
    try:
        value = read(content).value
    except kind:
        return "odd"
    moment = value.timestamp() if isinstance(value, datetime) else value
    return repr((type(value), moment))


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("aside", [False, True], ids=["needed", "aside"])
def test_fields_are_read_as_pydantic_reads_them(name: str, *, aside: bool) -> None:
    """Each kind of field takes, turns and refuses the same values as in pydantic; beside the point, it is empty."""
    hint = TYPES[name]

    theirs = create_model("Theirs", __config__=ConfigDict(allow_inf_nan=False), value=(hint, ...))
    ours = type("Ours", (Reply,), {"__annotations__": {"value": Annotated[hint, Aside] if aside else hint}})
    for value in VALUES:
        content = json.dumps({"value": value, "more": 1}).encode()
        expected = outcome(theirs.model_validate_json, content, ValidationError)
        if aside and expected == "odd":
            expected = repr((type(None), None))
        assert outcome(lambda text: parse(ours, text), content, Odd) == expected, value


FORM = "not a text of the form that is asked for"


class Inner(Reply):
    """A shape inside of others."""

    id: TaskId
    inner: Inner | None = None


class Outer(Reply):
    """A shape of every kind."""

    status: Annotated[str | None, Called(("task_status", "taskStatus"))] = None
    items: list[Inner] = []  # noqa: RUF012 - each answer has its own
    pair: tuple[Inner, ...] = ()
    one: Inner | str | None = None
    sure: bool = False


def said(content: str) -> str:
    """Return what is said about content that does not fit."""
    with pytest.raises(Odd) as caught:
        parse(Outer, content.encode())
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "not an object"),
        ('{"items": {}}', "items: not a list"),
        ('{"items": [{"id": "a"}, {}]}', "items.1.id: missing"),
        ('{"items": [{"id": "a", "inner": {"id": ".."}}]}', f"items.0.inner.id: {FORM}"),
        ('{"taskStatus": 5}', "taskStatus: not a text"),
        ('{"one": 5}', "one: not a text"),
        ('{"sure": 1}', "sure: neither true nor false"),
        ('{"items": null}', "items: not a list"),
        ('{"one": "\\ud800"}', "it is no JSON"),
        ('{"one": "a"', "it is no JSON"),
        ('{"one": ' + "9" * 5000 + "}", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ('{"x": ' * DEEPEST + "1" + "}" * DEEPEST + " ", None),
        ('{"x": ' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1), "it is no JSON that anybody could write down again"),
    ],
)  # fmt: skip
def test_what_is_odd_is_named_by_its_place_and_not_by_its_value(content: str, words: str | None) -> None:
    """The first field that does not fit is told with its place; what is no JSON, and what is too deep, is refused."""
    if words is None:
        assert parse(Outer, content.encode()).status is None
    else:
        assert said(content) == words


def test_bytes_that_are_no_utf_8_are_no_json() -> None:
    """Another encoding is not guessed."""
    for content in (b'{"one": "\xff"}', '{"one": "a"}'.encode("utf-16")):
        with pytest.raises(Odd, match="no JSON"):
            parse(Outer, content)


def test_many_objects_are_not_deep() -> None:
    """The depth counts, not how many there are."""
    many = {"items": [{"id": f"t{place}"} for place in range(2 * DEEPEST)]}
    assert len(parse(Outer, json.dumps(many).encode()).items) == 2 * DEEPEST


def test_shapes_are_plain_and_read_only() -> None:
    """The first name of several counts, even where it is null; defaults are each answer's own; nothing changes."""
    both = parse(Outer, b'{"taskStatus": "b", "task_status": null, "strange": 1}')
    assert (both.status, both.items, both.pair, both.one) == (None, [], (), None)
    assert both.items is not parse(Outer, b"{}").items
    full = parse(Outer, b'{"items": [{"id": "a"}], "pair": [{"id": "b", "inner": {"id": "c"}}], "one": {"id": "d"}}')
    assert isinstance(full.one, Inner)
    assert full.pair[0].inner is not None
    assert (full.items[0].id, full.pair[0].inner.id, full.one.id) == ("a", "c", "d")
    assert Outer(one="x").one == "x"
    with pytest.raises(FrozenInstanceError):
        both.status = "c"  # type: ignore[misc]
    with pytest.raises(TypeError, match="colour"):
        Outer(colour="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="id"):
        Inner()  # type: ignore[call-arg]


def test_a_field_of_an_unknown_kind_is_the_authors_error() -> None:
    """A type that the reader does not know is told to whoever wrote the shape."""

    class Strange(Reply):
        value: set[str]

    with pytest.raises(TypeError, match=r"set\[str\]"):
        parse(Strange, b'{"value": []}')
