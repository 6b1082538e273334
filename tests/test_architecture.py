"""The shape of the package: who may import whom, who may import what, and how large a file may become."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "wan_cli"
FILES = sorted(PACKAGE.rglob("*.py"))

LAYERS = (
    {"__main__"},
    {"cli"},
    {"ui"},
    {"engine", "sandbox", "render"},
    {"transport", "download", "spend", "convert", "embed"},
    {"providers"},
    {"config", "ledger", "publish", "fit", "targets", "manifest", "lock", "wire", "stores"},
    {"fit_video"},
    {"media", "record", "registry"},
    {"catalog", "naming", "geometry", "retry_after", "proxies", "intake", "imprint"},
    {"text"},
    {"models"},
    {"extras", "errors", "lean", "dataclass", "pattern", "cycles", "whole"},
    {"__init__"},
)
"""The parts of the package, top to bottom. A part imports what is below it: never what is above or beside it."""

OWNERS = {
    "sqlite3": {"ledger"},
    "psycopg": {"ledger"},
    "procrastinate": {"ledger"},
    "rich": {"ui", "cli"},
    "typer": {"cli"},
    "platformdirs": {"config"},
    "httpx": {"providers", "transport", "download", "sandbox", "wire"},
    "h11": {"wire"},
    "socksio": {"wire"},
    "PIL": {"media", "convert", "sandbox"},
    "obstore": {"stores"},
    "pydantic": {"config", "manifest", "lock", "sandbox"},
}
"""Libraries that only some parts import, so that each can be changed in one afternoon."""

NOT_FOR_PROVIDERS = {"asyncio", "time", "os", "pathlib", "rich", "typer", "socket", "subprocess", "threading"}
"""An adapter yields requests: it neither waits nor reads files nor talks (design.md, section 3)."""

VAGUE = {"util", "utils", "helper", "helpers", "manager", "managers", "handler", "handlers", "common", "misc"}

LINES, FUNCTION_LINES = 300, 60
LARGER = {
    "errors.py": 350,  # one tree: the table in its docstring and a class for each line of it
    "models.py": 370,  # the nouns, which are read together
}
"""Files that are one thing although they are long, each with its own limit."""


@dataclass(frozen=True)
class Import:
    """One import: ``module`` as written out in full; ``typing`` under TYPE_CHECKING; ``lazy`` inside a function."""

    module: str
    typing: bool
    lazy: bool


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _written_out(path: Path, node: ast.ImportFrom) -> Iterator[str]:
    place = path.relative_to(ROOT).with_suffix("").parts
    before = ".".join(place[: -node.level]) if node.level else ""
    module = ".".join(filter(None, (before, node.module)))
    for alias in node.names:
        yield f"{module}.{alias.name}" if module in ("wan_cli", before) else module


def _imports(path: Path) -> Iterator[Import]:
    def walk(node: ast.AST, *, typing: bool, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, typing, lazy) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                yield from (Import(name, typing, lazy) for name in _written_out(path, child))
            else:
                inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
                checked = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
                yield from walk(child, typing=typing or checked, lazy=lazy or inside)

    return walk(ast.parse(path.read_text(encoding="utf-8")), typing=False, lazy=False)


def _layer(part: str) -> int:
    return next(place for place, parts in enumerate(LAYERS) if part in parts)


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_every_part_has_a_layer() -> None:
    """A new module or package says where it stands, and no layer names one that is gone."""
    assert {_part(path) for path in FILES} == set().union(*LAYERS)


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_point_downward(path: Path) -> None:
    """No part imports one above it or beside it, not even for annotations."""
    own = _part(path)
    for found in _imports(path):
        package, _, rest = found.module.partition(".")
        other = rest.partition(".")[0] or "__init__"
        if package == "wan_cli" and other != own:
            known = other if other in set().union(*LAYERS) else "__init__"  # a name of the package itself
            assert _layer(own) < _layer(known), f"{own} imports {found.module}"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_libraries_stay_with_their_owners(path: Path) -> None:
    """Each library that has owners (sqlite3, psycopg, pydantic, rich, …) is imported by those parts alone."""
    for found in _imports(path):
        library = found.module.partition(".")[0]
        assert found.typing or _part(path) in OWNERS.get(library, {_part(path)}), f"imports {found.module}"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_pillow_is_imported_late(path: Path) -> None:
    """PIL is imported where a picture is opened; only what draws has it at its top."""
    late = [found.lazy or found.typing for found in _imports(path) if found.module.partition(".")[0] == "PIL"]
    assert all(late) or path.is_relative_to(PACKAGE / "sandbox")


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_dataclasses_are_cheap_to_make(path: Path) -> None:
    """The library's own dataclass, which compiles methods for each class, is used without them or by the sandbox."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    taken = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "dataclasses"]
    if not any(one.name == "dataclass" for node in taken for one in node.names) or _part(path) == "sandbox":
        return
    for node in ast.walk(tree):
        for said in node.decorator_list if isinstance(node, ast.ClassDef) else ():
            assert "init=False" in ast.unparse(said), f"{node.name}: from wan_cli.dataclass import dataclass"


@pytest.mark.parametrize("path", sorted((PACKAGE / "providers").glob("*.py")), ids=_name)
def test_providers_do_no_io(path: Path) -> None:
    """An adapter imports nothing that waits, reads files, prints or sends."""
    for found in _imports(path):
        assert found.module.partition(".")[0] not in NOT_FOR_PROVIDERS
        assert not found.module.startswith("wan_cli.transport")


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_names_say_what_is_inside(path: Path) -> None:
    """No module is called utils, helpers or manager, in any spelling."""
    assert not VAGUE & set(path.stem.split("_"))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_files_and_functions_are_small(path: Path) -> None:
    """A file has at most 300 lines and a function 60: beyond that it is two things."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LARGER.get(_name(path), LINES)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES, node.name
