"""What users feel first: ``--version``, ``--help`` and TAB load little. Asked of a fresh interpreter's sys.modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from wan_cli.cli.main import COMMANDS

HEAVY = {"httpx", "pydantic", "PIL", "rich", "sqlite3", "asyncio", "wan_cli.sandbox", "wan_cli.engine"}
PROBE = """
import json, sys
from wan_cli.__main__ import run
try:
    run()
finally:
    sys.stderr.write("\\n" + json.dumps(sorted(sys.modules)))
"""


def _loaded(*argv: str, **env: str) -> tuple[str, set[str]]:
    """Return what ``wan argv`` prints and the modules that it has loaded at its end."""
    # coverage measures subprocesses through these, and would itself load sqlite3
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, *argv],
        env=surroundings | env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    return ran.stdout, set(json.loads(ran.stderr.splitlines()[-1]))


def test_version_loads_nothing() -> None:
    """``wan --version`` loads neither typer nor anything else of the program."""
    printed, modules = _loaded("--version")
    assert printed.startswith("wan ")
    assert "typer" not in modules
    assert {name for name in modules if name.startswith("wan_cli")} == {"wan_cli", "wan_cli.__main__"}


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS)], ids=lambda words: " ".join(words) or "wan")
def test_help_is_light(words: tuple[str, ...]) -> None:
    """``--help`` of wan and of every command loads no network, no pictures, no ledger, no sandbox."""
    printed, modules = _loaded(*words, "--help")
    assert printed.startswith("Usage: wan")
    assert not modules & HEAVY


def test_help_imports_no_command() -> None:
    """``wan --help`` lists the commands without importing one."""
    _, modules = _loaded("--help")
    assert not [name for name in modules if name.startswith("wan_cli.cli.commands.")]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("wan gen", "generate"),
        ("wan generate --si", "--size"),
        ("wan generate -p ", "modelverse"),
        ("wan generate -m ", "wan2.7-image-pro"),
        ("wan generate -p rivya --size ", "2K"),
        ("wan generate --aspect ", "16:9"),
        ("wan models ", "rivya"),
        ("wan help ", "exit-codes"),
        ("wan completion ", "fish"),
    ],
)
def test_completion_is_light(line: str, offered: str) -> None:
    """A TAB for commands, options, providers, models and sizes reads the catalogue and loads nothing heavy."""
    place = len(line.split(" ")) - 1
    printed, modules = _loaded(_WAN_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(place))
    assert offered in printed.split()
    assert not modules & HEAVY


@pytest.mark.parametrize("words", [("models",), ("models", "rivya"), ("help", "environment"), ("completion", "zsh")])
def test_reading_is_light(words: tuple[str, ...]) -> None:
    """Commands that only show what wan knows load no network, without a key."""
    printed, modules = _loaded(*words)
    assert printed
    assert not modules & {"httpx", "PIL", "asyncio", "sqlite3", "wan_cli.sandbox"}
