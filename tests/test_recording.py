"""The README's recording: small, harmless, readable in both schemes, and made of commands that exist."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import typer

from wan_cli.cli.main import COMMANDS as KNOWN
from wan_cli.cli.main import root

if sys.platform == "win32":
    pytest.skip("a recording is made on a pseudo-terminal", allow_module_level=True)

from recording import COLUMNS, COMMANDS, PLACE, record, svg

NAMES = "{http://www.w3.org/2000/svg}"


def _check(text: str) -> str:
    """Fail where an SVG has what a picture must not have; return the words in it, a line each."""
    picture = ET.fromstring(text)  # noqa: S314 - ours
    kinds = {node.tag.removeprefix(NAMES) for node in picture.iter()}
    assert kinds == {"svg", "style", "defs", "g", "text", "rect", "use"}
    names = [node.get("id") for node in picture.iter() if node.get("id")]
    assert len(names) == len(set(names))
    assert {str(node.get("href")) for node in picture.iter(f"{NAMES}use")} == {f"#{name}" for name in names}
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import|script", text)
    assert "prefers-color-scheme:light" in text
    assert "prefers-reduced-motion:reduce" in text
    rows = picture.iter(f"{NAMES}g")
    return "\n".join("".join(run.text or "" for run in row.findall(f"{NAMES}text")) for row in rows)


def test_the_recording_is_small_and_shows_the_commands() -> None:
    """The committed picture is below 150 kB, and every command that is typed stands in it, with what came of it."""
    text = PLACE.read_text(encoding="utf-8")
    assert len(text) < 150_000
    told = _check(text)
    for command in COMMANDS:
        assert f"$ {command}".replace(" ", "") in told.replace(" ", ""), command
        assert len(command) + 2 <= COLUMNS
    for said in ("charged:", "hint:", "assets/hero.png", "up to date"):
        assert said in told
    assert "Traceback" not in told


def test_its_commands_are_commands() -> None:
    """Each command that is typed exists, with each of its options, and is played by the sandbox."""
    group = typer.main.get_command(root)
    context = typer.Context(group)
    for command in COMMANDS:
        name, *words = shlex.split(re.split(r" \| | && ", command)[0])
        assert (name, words[0] in KNOWN, "--sandbox" in words) == ("wan", True, True)
        found = group.get_command(context, words[0])  # type: ignore[attr-defined]
        options = {option for param in found.params for option in (*param.opts, *param.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= options


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_recording_can_be_made(tmp_path: Path) -> None:
    """The way the picture is made works: a command runs on a terminal, in colour, and its end is the last screen."""
    command = 'wan generate "a fox" -p rivya --size 1K --sandbox --latency 0 -n 4 --max-cost 1credit -o x/'
    film = record([command], tmp_path, key_s=0.0)
    told = _check(svg(film))
    assert "error: the estimate is 20 credits" in told
    assert ("error", "red") in {(run[1].rstrip(":"), run[2]) for row in film.frames[-1][0] for run in row}
