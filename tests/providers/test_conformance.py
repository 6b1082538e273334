"""Every registered provider against the conformance suite. A new provider is one row."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("conformance")

from conformance import Candidate, Conformance, candidates  # noqa: E402 - after the line above
from support_adapter import adapter  # noqa: E402

from wan_cli.registry import names  # noqa: E402
from wan_cli.sandbox import CONTRACTS, InProcess  # noqa: E402


def row(name: str, **more: Any) -> Candidate:
    """Return the row of a registered provider, whose contract the sandbox plays."""
    said = (name, *(str(more.get(part) or "") for part in ("route", "makes")))
    quirks: dict[str, Any] = more.pop("quirks", {})
    label = "-".join(filter(None, (*said, *quirks.values())))
    return Candidate(
        label=label, adapter=lambda: adapter(name, **quirks), key=CONTRACTS[name].KEY,
        wire=lambda world: InProcess(world, name), **{"model": "wan2.7-image", **more},  # type: ignore[arg-type]
    )  # fmt: skip


def at_openai(said: Mapping[str, Any]) -> bool:
    """Tell whether gpt-image-1 itself makes this size; the catalogue has what any compatible server may make."""
    square = said.get("aspect", "1:1") == "1:1" and str(said.get("size", "1K")) in ("1K", "None")
    return square or said.get("size") == "1024x1024"


def not_first_clip(said: Mapping[str, Any]) -> bool:
    """Tell whether the gateway's flat shape has a name for all that is said: nothing documents one for a clip."""
    return "first_clip" not in said.get("roles", ())


FILM: dict[str, Any] = {"model": "wan2.7-video", "makes": "video"}
ROWS = (
    row("rivya"),
    row("modelverse", n=3),
    row("modelverse", n=3, route="sync"),
    row("yunwu", n=3, model="wan2.7-image-pro"),
    row("openai", n=3, model="gpt-image-1", takes=at_openai),
    row("dashscope", n=3),
    row("dashscope", n=3, route="sync"),
    row("rivya", **FILM),
    row("modelverse", **FILM),
    row("toapis", **FILM),
    row("dashscope", **FILM),
    row("modelverse", **FILM, quirks={"video_shape": "flat"}, takes=not_first_clip),
)


class TestProviders(Conformance):
    """The providers that come with wan."""

    candidate = candidates(*ROWS)


def test_the_suite_stands_alone() -> None:
    """The suite needs wan, pytest, hypothesis and httpx only, so that a provider elsewhere can run it."""
    import conformance

    tree = ast.parse(Path(conformance.__file__).read_text(encoding="utf-8"))
    froms = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    plain = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    foreign = {name.partition(".")[0] for name in froms | plain} - sys.stdlib_module_names
    assert foreign <= {"wan_cli", "pytest", "hypothesis", "httpx", "PIL"}


def test_every_registered_provider_has_a_row() -> None:
    """No provider is left out of the suite."""
    assert {made.provider.name for made in ROWS} == set(names())
