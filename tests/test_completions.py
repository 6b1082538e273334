"""Completion: the files that are shipped, and real shells that use them."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from wan_cli.cli.commands.completion import SHELLS, script

FOLDER = Path(__file__).resolve().parent.parent / "completions"
Cases = list[tuple[str, tuple[str, ...]]]
CASES: Cases = [
    ("wan gen", ("generate",)),
    ("wan generate -p ", ("rivya", "modelverse")),
    ("wan generate -p rivya,mod", ("rivya,modelverse",)),
    ("wan generate -p rivya --size ", ("1K", "2K")),
    ("wan generate -p rivya --size=2", ("2K",)),
    ("wan generate -p rivya -m wan2.7-video -d ", ("5", "10", "15")),
    ("wan generate -p rivya -a 16:", ("16:9",)),
    ("wan wait rivya:task_", ("MADE",)),
    ("wan render -q --only icon-", ("icon-fox", "icon-owl")),
]
"""What is typed before TAB, and what is offered then; ``MADE`` stands for the task that the fixture makes."""
MANIFEST = """
[[asset]]
id = "icon-{animal}"
prompt = "an icon"
matrix = { animal = ["fox", "owl"] }

[[asset]]
id = "icon-$(touch harm)"
prompt = "not an id"
"""
PATIENCE_S = 30
PROMPT = "prompt> "


@dataclass(frozen=True)
class Place:
    """A folder with a manifest, a state folder with one task that waits, and that task's handle."""

    folder: Path
    state: Path
    handle: str

    def offered(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Return what a case expects, with the task's own name."""
        return tuple(self.handle.partition(":")[2] if word == "MADE" else word for word in words)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Buy a picture in the sandbox and leave it there."""
    folder = tmp_path_factory.mktemp("typed")
    (folder / "assets.toml").write_text(MANIFEST, encoding="utf-8")
    state = folder / "state"
    words = ["generate", "a fox: it's $HOME", "-p", "rivya", "--no-wait", "--latency", "3600", "-q"]
    ran = subprocess.run(
        [sys.executable, "-m", "wan_cli", *words], cwd=folder, env=_surroundings(state), capture_output=True, text=True,
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Place(folder, state, ran.stdout.strip())


def test_no_file_is_left_out() -> None:
    """There is one file for each shell, the folder of manual pages, and nothing else."""
    assert {path.name for path in FOLDER.iterdir()} == {*(f"wan.{shell}" for shell in SHELLS), "man"}


@pytest.mark.parametrize("shell", SHELLS)
def test_files_are_what_wan_prints(shell: str) -> None:
    """completions/wan.SHELL is the output of ``wan completion SHELL``."""
    assert (FOLDER / f"wan.{shell}").read_text(encoding="utf-8") == script(shell)


def _shell(name: str) -> str:
    """Return the shell's path; without it the test is skipped, except for bash, which every developer has."""
    found = shutil.which(name)
    if found is None and (name != "bash" or sys.platform == "win32"):
        pytest.skip(f"{name} is not installed")
    assert found, f"{name} is needed for this test"
    return found


def _surroundings(state: Path) -> dict[str, str]:
    own = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "TERM": "dumb", "PS1": PROMPT}
    played = {"WAN_SANDBOX": "1", "WAN_STATE_DIR": str(state)}
    return {**os.environ, **own, **played, "HISTFILE": os.devnull, "INPUTRC": os.devnull, "COLUMNS": "200"}


def _check_typed(command: list[str], source: str, place: Place, cases: Cases) -> None:
    """Type the line of each case and TAB TAB into one interactive shell, which has to show what is offered."""
    import pty

    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=_surroundings(place.state), start_new_session=True,
        cwd=place.folder,
    )  # fmt: skip
    os.close(theirs)
    try:
        os.write(ours, f"{source}\n".encode())
        for number, (line, words) in enumerate(cases):
            # The line before is taken away. Without the prompt the TAB would go to the terminal and not to the shell.
            os.write(ours, f"\x15echo rea''dy-{number}\n".encode())
            _read_until(ours, (f"ready-{number}",))
            _read_until(ours, (PROMPT,))
            os.write(ours, f"{line}\t\t".encode())
            offered = place.offered(words)
            seen = _read_until(ours, offered)
            assert [word for word in offered if word not in seen] == [], f"{line!r}: {seen}"
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)
    assert not (place.folder / "harm").exists()


def _read_until(terminal: int, words: tuple[str, ...]) -> str:
    seen, ends = "", time.monotonic() + PATIENCE_S
    while not all(word in seen for word in words):
        if not select.select([terminal], [], [], max(0.0, ends - time.monotonic()))[0]:
            break
        try:
            seen += os.read(terminal, 1).decode(errors="replace")  # what comes after the words is left for the next
        except OSError:  # the shell has gone
            break
    return seen


def test_bash_completes(place: Place) -> None:
    """An interactive bash that has sourced the file offers commands, values, tasks and assets at TAB."""
    _check_typed([_shell("bash"), "--norc", "--noprofile", "-i"], f"source '{FOLDER}/wan.bash'", place, CASES)


def test_zsh_completes(place: Place) -> None:
    """An interactive zsh that has sourced the file offers commands, values, tasks and assets at TAB."""
    source = f"unsetopt PROMPT_SP; autoload -U compinit; compinit -D -u; source '{FOLDER}/wan.zsh'"
    _check_typed([_shell("zsh"), "-f", "-i"], source, place, CASES)


def test_zsh_completes_from_its_function_path(place: Place, tmp_path: Path) -> None:
    """Where a packager puts the file, as ``_wan`` on zsh's function path, the first TAB works."""
    shutil.copy(FOLDER / "wan.zsh", tmp_path / "_wan")
    source = f"unsetopt PROMPT_SP; fpath=('{tmp_path}' $fpath); autoload -U compinit; compinit -D -u"
    _check_typed([_shell("zsh"), "-f", "-i"], source, place, CASES[:1])


def test_fish_completes(place: Place) -> None:
    """A fish that has sourced the file offers commands, values, tasks and assets."""
    lines = "; ".join(f"echo '= {number}'; complete -C '{line}'" for number, (line, _) in enumerate(CASES))
    ran = subprocess.run(
        [_shell("fish"), "--no-config", "-c", f"source '{FOLDER}/wan.fish'; {lines}"],
        env=_surroundings(place.state), cwd=place.folder, capture_output=True, text=True, check=True,
        timeout=PATIENCE_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    told = re.split(r"(?m)^= \d+$", ran.stdout)[1:]
    for (line, words), part in zip(CASES, told, strict=True):
        names = {row.partition("\t")[0] for row in part.splitlines()}
        assert set(place.offered(words)) <= names | {re.sub("^(rivya:|--size=)", "", name) for name in names}, line


def test_a_shell_is_told_where_nothing_fits(place: Place) -> None:
    """Where wan has nothing to offer, the shell offers files."""
    said = {"zsh": "_files", "fish": ""}
    for shell, answer in said.items():
        env = _surroundings(place.state) | {"_WAN_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "wan edit "}
        ran = subprocess.run([sys.executable, "-m", "wan_cli"], env=env, capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == answer
