"""Patterns that are compiled when they are first used."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import wan_cli
from wan_cli import pattern as module
from wan_cli.pattern import pattern


def test_nothing_is_compiled_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern is compiled once, at the first question; then its methods are found without a detour."""
    made: list[str] = []
    compile_now = re.compile

    def noted(text: str, flags: int = 0) -> re.Pattern[str]:
        made.append(text)
        return compile_now(text, flags)

    monkeypatch.setattr(re, "compile", noted)
    digits = pattern(r"(\d+)x", re.ASCII)
    assert not made
    found = digits.fullmatch("12x")
    assert found
    assert found[1] == "12"
    assert not digits.fullmatch("x")
    assert made == [r"(\d+)x"]
    assert digits.pattern == r"(\d+)x"
    assert digits.flags & re.ASCII


def test_bytes_are_matched_as_well() -> None:
    """A pattern of bytes is one."""
    assert pattern(rb"\xff[^\x00]").search(b"a\xff\xd8")


def test_every_pattern_of_the_package_is_one() -> None:
    """What would only be found out when it is used: each pattern of each module compiles."""
    found = 0
    for info in pkgutil.walk_packages(wan_cli.__path__, "wan_cli."):
        if info.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(info.name)).values():
            if isinstance(value, module._Pattern):
                found += 1
                assert isinstance(value.groups, int)
    assert found > 90
