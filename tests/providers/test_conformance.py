"""Every registered provider against the conformance suite. A new provider is one row."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("conformance")

from conformance import Candidate, Conformance, candidates  # noqa: E402 - after the line above
from support_adapter import adapter  # noqa: E402

from wan_cli.registry import names  # noqa: E402
from wan_cli.sandbox import CONTRACTS, InProcess  # noqa: E402


def row(name: str, **more: object) -> Candidate:
    """Return the row of a registered provider, whose contract the sandbox plays."""
    label = "-".join(filter(None, (name, str(more.get("route") or ""))))
    return Candidate(
        label=label, adapter=lambda: adapter(name), key=CONTRACTS[name].KEY,
        wire=lambda world: InProcess(world, name), **{"model": "wan2.7-image", **more},  # type: ignore[arg-type]
    )  # fmt: skip


ROWS = (
    row("rivya"),
    row("modelverse", n=3),
    row("modelverse", n=3, route="sync"),
    row("yunwu", n=3, model="wan2.7-image-pro"),
    row("openai", n=3, model="gpt-image-1"),
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
