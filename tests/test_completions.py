"""Completion: the files that are shipped, and real shells that use them."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wan_cli.cli.commands.completion import SHELLS, script

FOLDER = Path(__file__).resolve().parent.parent / "completions"
CASES = [
    ("wan gen", ("generate",)),
    ("wan generate -p ", ("rivya", "modelverse")),
    ("wan generate -p rivya --size ", ("1K", "2K")),
]
PATIENCE_S = 30
PROMPT = "prompt> "
cases = pytest.mark.parametrize(("line", "offered"), CASES, ids=[line for line, _ in CASES])


def test_no_file_is_left_out() -> None:
    """There is one file for each shell and nothing else."""
    assert {path.name for path in FOLDER.iterdir()} == {f"wan.{shell}" for shell in SHELLS}


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


def _surroundings() -> dict[str, str]:
    own = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "TERM": "dumb", "PS1": PROMPT}
    return {**os.environ, **own, "HISTFILE": os.devnull, "INPUTRC": os.devnull}


def _typed(command: list[str], source: str, line: str, offered: tuple[str, ...]) -> str:
    """Type ``line`` and TAB TAB into an interactive shell; return what stood on its terminal from then on."""
    import pty

    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=_surroundings(), start_new_session=True
    )
    os.close(theirs)
    try:
        os.write(ours, f"{source}; echo rea''dy\n".encode())
        _read_until(ours, ("ready",))
        _read_until(ours, (PROMPT,))  # earlier, the TAB would go to the terminal and not to the shell
        os.write(ours, f"{line}\t\t".encode())
        return _read_until(ours, offered)
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


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


@cases
def test_bash_completes(line: str, offered: tuple[str, ...]) -> None:
    """An interactive bash that has sourced the file offers commands, providers and sizes at TAB."""
    command = [_shell("bash"), "--norc", "--noprofile", "-i"]
    seen = _typed(command, f"source '{FOLDER}/wan.bash'", line, offered)
    assert [word for word in offered if word not in seen] == [], seen


@cases
def test_zsh_completes(line: str, offered: tuple[str, ...]) -> None:
    """An interactive zsh that has sourced the file offers commands, providers and sizes at TAB."""
    source = f"unsetopt PROMPT_SP; autoload -U compinit; compinit -D -u; source '{FOLDER}/wan.zsh'"
    seen = _typed([_shell("zsh"), "-f", "-i"], source, line, offered)
    assert [word for word in offered if word not in seen] == [], seen


@cases
def test_fish_completes(line: str, offered: tuple[str, ...]) -> None:
    """A fish that has sourced the file offers commands, providers and sizes."""
    ran = subprocess.run(
        [_shell("fish"), "--no-config", "-c", f"source '{FOLDER}/wan.fish'; complete -C '{line}'"],
        env=_surroundings(), capture_output=True, text=True, check=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    names = [row.partition("\t")[0] for row in ran.stdout.splitlines()]
    assert set(offered) <= set(names)
