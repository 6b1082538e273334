"""Mutation testing by hand: ``python tests/mutation.py spend transport ledger engine`` (no part of the suite).

Each mutant is one small change of one module (a comparison, an operator, a constant, a condition, a return, a statement
left out), compiled in memory in a forked child that runs only the tests which covered the changed line in a first run.
A mutant that no test notices has survived. Nothing on disk is changed. Linux and macOS only (``fork``).
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib.machinery
import importlib.util
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/providers")]

CHECKS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "spend": (("wan_cli/spend.py",), ("tests/test_spend.py", "tests/cli/test_cli_money.py")),
    "transport": (
        ("wan_cli/transport/*.py", "wan_cli/retry_after.py"),
        ("tests/transport/test_*.py", "tests/faults/test_faults_network.py"),
    ),
    "ledger": (
        ("wan_cli/ledger/*.py", "wan_cli/record.py"),
        ("tests/test_ledger*.py", "tests/test_record.py", "tests/faults/test_faults_ledger.py", "tests/cli/*doctor.py"),
    ),
    "engine": (
        ("wan_cli/engine/*.py",), ("tests/engine/test_*.py", "tests/cli/test_cli_recover.py"),
    ),
}  # fmt: skip
"""Group -> the modules that are changed, and the tests that have to notice."""

COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Mod: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the node's number in a walk of the module's tree, and which of its changes."""

    path: str
    place: int
    change: str
    line: int


def _skipped(tree: ast.Module) -> set[int]:
    """Return the ids of nodes whose change says nothing: annotations, decorators, docstrings, texts for people."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        parts: list[Any] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts += [*node.decorator_list, node.returns, *(arg.annotation for arg in ast.walk(node.args)
                                                           if isinstance(arg, ast.arg))]  # fmt: skip
        elif isinstance(node, ast.ClassDef):
            parts += node.decorator_list
        elif isinstance(node, ast.AnnAssign):
            parts.append(node.annotation)
        elif isinstance(node, ast.JoinedStr):
            parts += [part for part in node.values if isinstance(part, ast.Constant)]
            parts += [part.format_spec for part in node.values if isinstance(part, ast.FormattedValue)]
        elif _says_nothing(node):
            parts.append(node)
        for part in parts:
            skipped |= {id(inner) for inner in ast.walk(part)} if part else set()
    return skipped


def _says_nothing(node: ast.AST) -> bool:
    """Tell a docstring, and what only the type checker reads."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Assign):  # __all__, type variables and names of types
        name, value = node.targets[0], ast.unparse(node.value)
        return isinstance(name, ast.Name) and (name.id == "__all__" or value.startswith(("TypeVar(", "Literal[")))
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def changes(node: ast.AST) -> Iterator[str]:
    """Name what can be changed of a node."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARE:
            yield "compare"
        case ast.BoolOp():
            yield "and/or"
        case ast.UnaryOp(op=ast.Not()):
            yield "not"
        case ast.BinOp(op=op) if type(op) in ARITHMETIC:
            yield "operator"
        case ast.Constant(value=bool() | int() | float()):
            yield "constant"
        case ast.Constant(value=str() as text) if text.isidentifier():
            yield "constant"
        case ast.If() | ast.While() | ast.IfExp():
            yield "negate"
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "return None"
        case ast.AugAssign() | ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.Break() | ast.Continue():
            yield "remove"


def apply(node: Any, change: str) -> Any:
    """Return what stands in the node's place."""
    if change == "compare":
        node.ops = [COMPARE[type(node.ops[0])]()]
    elif change == "and/or":
        node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    elif change == "not":
        return node.operand
    elif change == "operator":
        node.op = ARITHMETIC[type(node.op)]()
    elif change == "constant":
        value = node.value
        node.value = not value if isinstance(value, bool) else f"{value}_" if isinstance(value, str) else value + 1
    elif change == "negate":
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif change == "return None":
        node.value = ast.Constant(None)
    else:
        return ast.copy_location(ast.Pass(), node)
    return node


class _Put(ast.NodeTransformer):
    def __init__(self, wanted: ast.AST, change: str) -> None:
        self.wanted, self.change = wanted, change

    def visit(self, node: ast.AST) -> Any:
        return apply(node, self.change) if node is self.wanted else self.generic_visit(node)


def mutants(path: Path) -> list[Mutant]:
    """List every change of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = _skipped(tree)
    name = str(path.relative_to(ROOT))
    return [
        Mutant(name, place, change, getattr(node, "lineno", 0))
        for place, node in enumerate(ast.walk(tree)) if id(node) not in skipped for change in changes(node)
    ]  # fmt: skip


def mutated(mutant: Mutant) -> Any:
    """Compile the changed module."""
    tree = copy.deepcopy(ast.parse((ROOT / mutant.path).read_text(encoding="utf-8")))
    node = next(node for place, node in enumerate(ast.walk(tree)) if place == mutant.place)
    return compile(ast.fix_missing_locations(_Put(node, mutant.change).visit(tree)), ROOT / mutant.path, "exec")


class _Loader(importlib.machinery.SourceFileLoader):
    code: Any = None

    def get_code(self, fullname: str) -> Any:
        return self.code


class _Finder:
    """Gives one module its changed code."""

    def __init__(self, mutant: Mutant) -> None:
        self.name = mutant.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.path, self.code = ROOT / mutant.path, mutated(mutant)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.name:
            return None
        loader = _Loader(name, str(self.path))
        loader.code = self.code
        return importlib.util.spec_from_file_location(name, self.path, loader=loader)


class _Only:
    """Keeps the tests that are wanted (``None`` keeps all), the quickest first, and notes how long each takes."""

    def __init__(self, wanted: set[str] | None, times: Path | None) -> None:
        self.wanted, self.times = wanted, times
        self.took: dict[str, float] = defaultdict(float)
        self.known = json.loads(times.read_text(encoding="utf-8")) if times and times.exists() else {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.wanted is not None:
            items[:] = [item for item in items if item.nodeid in self.wanted]
        items.sort(key=lambda item: self.known.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.took[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        if self.times and not self.known:
            self.times.write_text(json.dumps(self.took), encoding="utf-8")


def run(
    paths: list[str], limit: float, *more: str,
    mutant: Mutant | None = None, only: set[str] | None = None, times: Path | None = None,
) -> str:  # fmt: skip
    """Run the tests in a forked child and say how they ended: passed, failed, late, or none.

    ``times`` is a file of how long each test takes: made where it is not there, else the quickest go first.
    """
    import pytest

    child = os.fork()
    if not child:
        code = 70
        with contextlib.suppress(BaseException):
            os.setsid()
            quiet = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(quiet, number)
            if mutant:
                sys.meta_path.insert(0, _Finder(mutant))  # type: ignore[arg-type]
            options = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning", *more]
            code = int(pytest.main([*options, *paths], plugins=[_Only(only, times)]))
        os._exit(code)
    ends = time.monotonic() + limit
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return {0: "passed", 5: "none"}.get(code, "failed")
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "late"


def covered(paths: list[str], times: Path) -> tuple[dict[str, dict[int, set[str]]], float]:
    """Run the unchanged tests; return which tests ran each line, and how many seconds they took."""
    from coverage import CoverageData

    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "coveragerc"
        settings.write_text(f"[run]\nsource = wan_cli\ndata_file = {folder}/data\n", encoding="utf-8")
        begun = time.monotonic()
        cover = ["--cov", "--cov-context=test", f"--cov-config={settings}", "--cov-report="]
        if (end := run(paths, 1200, *cover, times=times)) != "passed":
            raise SystemExit(f"the unchanged tests: {end}")
        took = time.monotonic() - begun
        data = CoverageData(f"{folder}/data")
        data.read()
        found: dict[str, dict[int, set[str]]] = {}
        for file in data.measured_files():
            lines = data.contexts_by_lineno(file)
            tests = {line: {name.rpartition("|")[0] for name in names if name} for line, names in lines.items()}
            found[str(Path(file).relative_to(ROOT))] = tests
    return found, took


def _files(patterns: tuple[str, ...]) -> list[Path]:
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern) if path.stat().st_size)


def _tests(places: tuple[str, ...]) -> list[str]:
    return [str(path) for place in places for path in sorted(ROOT.glob(place))]


def judge(group: str, most: int, seed: int, only: list[str]) -> dict[str, list[tuple[Mutant, str]]]:
    """Try up to ``most`` mutants of a group, chosen by ``seed``, and return what became of each by module."""
    modules, places = CHECKS[group]
    tests = _tests(places)
    times = Path(tempfile.mkdtemp()) / "times.json"
    lines, took = covered(tests, times)
    say(f"== {group}: the unchanged tests pass in {took:.0f} s")
    every = [mutant for path in _files(modules) if any(part in str(path) for part in only) for mutant in mutants(path)]
    chosen = random.Random(seed).sample(every, min(most, len(every)))  # noqa: S311 - a sample, no secret
    ends: dict[str, list[tuple[Mutant, str]]] = defaultdict(list)
    for number, mutant in enumerate(sorted(chosen, key=lambda one: (one.path, one.line)), start=1):
        names = _reached(mutant, lines.get(mutant.path, {}))
        files = sorted({str(ROOT / name.partition("::")[0]) for name in names}) if names else tests
        end = run(files, 30 + took, mutant=mutant, only=names, times=times) if names != set() else "none"
        ends[mutant.path].append((mutant, end))
        if end in {"passed", "none"}:
            source = (ROOT / mutant.path).read_text(encoding="utf-8").splitlines()[mutant.line - 1].strip()
            say(f"{number}/{len(chosen)} survived: {mutant.path}:{mutant.line} {mutant.change}: {source}")
    return ends


def _reached(mutant: Mutant, lines: dict[int, set[str]]) -> set[str] | None:
    """Return the tests that ran the changed node; ``None`` (all) for what runs at import."""
    tree = ast.parse((ROOT / mutant.path).read_text(encoding="utf-8"))
    node: Any = next(node for place, node in enumerate(ast.walk(tree)) if place == mutant.place)
    inside = any(
        isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        and outer.body and _first(outer) <= mutant.line <= (outer.end_lineno or 0)
        for outer in ast.walk(tree)
    )  # fmt: skip
    if not inside:
        return None
    span = range(mutant.line, (getattr(node, "end_lineno", None) or mutant.line) + 1)
    return set().union(*(lines.get(line, set()) for line in span))


def _first(function: Any) -> int:
    body = function.body
    return int(body[0].lineno if isinstance(body, list) else body.lineno)


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the options, try the mutants, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", default=list(CHECKS))
    parser.add_argument("--most", type=int, default=100, help="mutants of a group, chosen by --seed")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", action="append", help="part of a module's path; may be given more than once")
    said = parser.parse_args()
    os.chdir(ROOT)
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_STORAGE_DIRECTORY": tempfile.mkdtemp()}
    os.environ.pop("COVERAGE_FILE", None)  # it would win over the file that is read here
    for name in ("httpx", "pydantic", "PIL.Image", "hypothesis", "typer", "rich.console", "sqlite3", "asyncio"):
        importlib.import_module(name)  # once, not in every child
    table = []
    for group in said.groups:
        ends = judge(group, said.most, said.seed, said.only or [""])
        for path, rows in ends.items():
            killed = sum(end in {"failed", "late"} for _, end in rows)
            table.append({"module": path, "mutants": len(rows), "killed": killed})
    for row in table:
        share = row["killed"] / row["mutants"]
        say(f"{row['module']:40} {row['mutants']:4} mutants {row['killed']:4} killed {share:7.1%}")
    total, killed = sum(row["mutants"] for row in table), sum(row["killed"] for row in table)
    say(f"{'in all':40} {total:4} mutants {killed:4} killed {killed / max(total, 1):7.1%}")
    say(json.dumps(table))


if __name__ == "__main__":
    main()
