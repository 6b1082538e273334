"""What users feel first: which libraries each command may load. Asked of a fresh interpreter's sys.modules.

This counts and times nothing; tests/benchmarks/startup.py has the times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from support_port import Server

from wan_cli.cli.main import COMMANDS
from wan_cli.cli.options import Making
from wan_cli.config import USUAL_JOBS
from wan_cli.engine import Engine

HEAVY = frozenset({"httpx", "h11", "pydantic", "rich", "PIL", "sqlite3", "asyncio"})
NEVER = {"click", "pygments", "httpx._main", "typer.rich_utils", "unittest", "anyio", "sniffio", "annotated_types",
         "httpcore", "certifi"}  # fmt: skip
"""What nothing here needs: httpx brings its own command line where click and rich are installed (performance.md 1), and
a pool of connections, of which wan_cli.wire needs nothing."""

TABLE = {
    "help environment": set(),
    "completion zsh": set(),
    "config show": set(),
    "auth list": set(),
    "models": set(),
    "models wan2.7-image": set(),
    "generate -p rivya a-fox --size 5K": set(),
    "status": {"sqlite3"},
    "status --prune 30d": {"sqlite3"},
    "generate -p rivya a-fox --dry-run": {"httpx"},
    "generate -p modelverse --sync a-fox -q": {"httpx", "h11", "sqlite3", "asyncio"},
    "generate -p modelverse a-fox -q": {"httpx", "h11", "sqlite3", "asyncio"},
}
"""Each command line with those of ``HEAVY`` that it may load; the last ones buy a picture from a port of loopback."""

PROBE = """
import json, sys
from wan_cli.__main__ import run
lines, loaded = json.loads(sys.argv[1]), []
for words in lines:
    sys.argv = ["wan", *words]
    try:
        run()
    except SystemExit as end:
        code = end.code
    else:
        code = 0
    loaded.append([code, sorted(name for name, module in sys.modules.items() if module)])
sys.stderr.write("\\n" + json.dumps(loaded))
"""


def _loaded(*lines: tuple[str, ...], **env: str) -> tuple[str, list[tuple[int, set[str]]]]:
    """Return what one process prints that runs ``lines``, and after each its exit code and the modules loaded by then.

    A module that is ``None`` in sys.modules is one that was kept out.
    """
    # coverage measures subprocesses through these, and would itself load sqlite3
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(lines)],
        env=surroundings | env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    return ran.stdout, [(code, set(modules)) for code, modules in json.loads(ran.stderr.splitlines()[-1])]


def test_version_loads_nothing() -> None:
    """``wan --version`` loads neither typer nor anything else of the program."""
    printed, [(code, modules)] = _loaded(("--version",))
    assert (code, printed.startswith("wan ")) == (0, True)
    assert not modules & {"typer", "typing", "importlib.metadata"}
    assert {name for name in modules if name.startswith("wan_cli")} == {"wan_cli", "wan_cli.__main__"}


def test_help_is_light() -> None:
    """``--help`` of wan imports no command; that of every command loads no library, and not even the catalogue."""
    printed, after = _loaded(("--help",), *((name, "--help") for name in COMMANDS))
    assert printed.count("Usage: wan") == len(COMMANDS) + 1
    assert not [name for name in after[0][1] if name.startswith("wan_cli.cli.commands.")]
    for name, (code, modules) in zip(("wan", *COMMANDS), after, strict=True):
        assert code == 0, name
        assert not modules & (HEAVY | NEVER | {"wan_cli.catalog", "wan_cli.models", "wan_cli.config"}), name


@pytest.mark.parametrize(
    ("line", "offered", "catalogue"),
    [
        ("wan ", "generate", False),
        ("wan --ver", "--version", False),
        ("wan generate --si", "--size", False),
        ("wan completion ", "fish", False),
        ("wan help ", "exit-codes", False),
        ("wan generate -p ", "modelverse", True),
        ("wan generate -m ", "wan2.7-image-pro", True),
        ("wan generate -p rivya --size ", "2K", True),
        ("wan generate --aspect ", "16:9", True),
        ("wan models ", "rivya", True),
        ("wan generate -p rivya -m wan2.7-video -d ", "15", True),
        ("wan generate --audio-setting ", "origin", False),
        ("wan generate --sandbox --fault ", "k-of-n", False),
    ],
)
def test_completion_is_light(line: str, offered: str, *, catalogue: bool) -> None:
    """A TAB loads no library; the catalogue is read where a value is asked for, and a command where it is named."""
    words = line.split(" ")
    env = {"_WAN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    printed, [(_, modules)] = _loaded((), **env)
    assert offered in printed.split()
    assert not modules & (HEAVY | NEVER | {"_hashlib"})  # which is OpenSSL: 3 ms
    assert ("wan_cli.catalog" in modules) == catalogue
    commands = {name for name in modules if name.startswith("wan_cli.cli.commands.")}
    assert len(commands) <= (len(words) > 2)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_with_help_is_light(shell: str) -> None:
    """Where a shell is given help beside the values, no library is loaded either."""
    said = {"_WAN_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "wan generate -p "}
    printed, [(_, modules)] = _loaded((), **said)
    assert "ToAPIs" in printed
    assert not modules & (HEAVY | NEVER)


def test_tasks_are_offered_with_one_library(tmp_path: Path) -> None:
    """The names of tasks need sqlite3, and neither what reads the configuration nor what runs a task."""
    env = {"_WAN_COMPLETE": "complete_bash", "COMP_WORDS": "wan wait ''", "COMP_CWORD": "-1"}
    _, [(_, modules)] = _loaded((), **env, WAN_STATE_DIR=str(tmp_path))
    assert modules & (HEAVY | NEVER) == {"sqlite3"}
    assert not [name for name in modules if name.startswith(("wan_cli.engine", "wan_cli.transport"))]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", TABLE)
def test_commands_load_what_they_need(line: str, tmp_path: Path) -> None:
    """Each command loads those libraries alone that the table gives it, and all of them."""
    buys = line.endswith("-q")
    if buys:
        with Server(tmp_path / "port") as server:
            printed, [(code, modules)] = _loaded((*line.split(), "-o", f"{tmp_path}/"), **server.env)
    else:
        printed, [(code, modules)] = _loaded(tuple(line.split()))
    refused = "5K" in line
    assert code == (2 if refused else 0)
    assert bool(printed) != (refused or line.startswith("status"))
    assert modules & HEAVY == TABLE[line]
    assert not modules & NEVER
    assert not [name for name in modules if name.startswith("wan_cli.sandbox")]
    if "sqlite3" not in TABLE[line]:
        assert not [name for name in modules if name.startswith(("wan_cli.engine", "wan_cli.transport.client"))]


def test_the_end_looks_for_no_cycles() -> None:
    """However a command ends, what it has imported is kept out of the interpreter's last search for cycles."""
    told = "import gc, sys\nfrom wan_cli.__main__ import run\ntry: run()\nfinally: print(gc.get_freeze_count())"
    for word in ("help", "--no-such-option"):
        ran = subprocess.run([sys.executable, "-c", told, word], capture_output=True, text=True, check=False)
        assert ran.returncode == (0 if word == "help" else 2)
        assert int(ran.stdout.split()[-1]) > 1000


def test_options_are_cheap_and_read_only() -> None:
    """The options' classes have no generated methods, and still know their names, their defaults, and no changes."""
    said = Making(json=True, count=3)
    assert (said.json, said.count, said.quiet, said.prompt_text) == (True, 3, False, None)
    assert not {"__init__", "__repr__", "__eq__"} & vars(Making).keys()
    with pytest.raises(TypeError, match="colour"):
        Making(colour="red")
    with pytest.raises(FrozenInstanceError):
        said.count = 4


def test_the_usual_jobs_are_the_engines() -> None:
    """``wan config show`` names the engine's own number of jobs without importing the engine."""
    assert Engine.submits == USUAL_JOBS
