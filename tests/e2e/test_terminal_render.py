"""wan render in a real terminal of 80 columns and 24 lines: the bar, the assets under way, and what stays."""

from __future__ import annotations

import re

from support_processes import Machine, until
from support_terminal import Terminal

MANIFEST = """\
[defaults]
provider = "rivya"
model = "wan2.7-image"
size = "1K"
output = "art/{id}{ext}"

[[asset]]
id = "hero"
prompt = "a lighthouse"

[[asset]]
id = "icon-{n}"
prompt = "icon {n}"
matrix = { n = [1, 2, 3] }
"""


def render(machine: Machine, *argv: str, **env: str) -> Terminal:
    """Render four assets in the sandbox."""
    (machine.work / "assets.toml").write_text(MANIFEST)
    return Terminal(machine, "render", "assets.toml", "--sandbox", *argv, **env)


def test_a_bar_stands_above_the_assets_under_way_and_goes(machine: Machine) -> None:
    """While it renders there is a bar with the count above the assets by their ids; afterwards files and a summary."""
    terminal = render(machine, "--jobs", "2")
    until(lambda: terminal.shows("pending"), "the assets under way")
    bar, *rows = [line for line in terminal.lines if not line.startswith("provider")]
    assert re.match(r"[\u2500\u2501]+  \d/4  \d+s", bar)
    assert {row.split()[0] for row in rows} <= {"hero", "icon-1", "icon-2", "icon-3"}
    assert all(len(line) < 80 for line in terminal.lines)
    until(lambda: terminal.shows("2/4") or terminal.process.poll() is not None, "the count")
    assert terminal.end() == 0
    *files, last = [line for line in terminal.lines if not line.startswith("provider")]
    assert files == ["art/hero.png", "art/icon-1.png", "art/icon-2.png", "art/icon-3.png"] or last in files
    assert any("assets.toml: 4 made" in line for line in terminal.lines)
    assert b"2/4" in terminal.raw


def test_ctrl_c_leaves_a_clean_screen_and_the_next_command(machine: Machine) -> None:
    """After Ctrl-C the bar is gone, and the command that goes on stands there."""
    terminal = render(machine, "--latency", "30")
    until(lambda: terminal.shows("pending"), "the assets under way")
    terminal.press(b"\x03")
    assert terminal.end() == 130
    assert not any("\u2500" in line or "\u2501" in line for line in terminal.lines)
    assert any(line.startswith("hint: wan ") for line in terminal.lines)


def test_ci_gets_plain_lines(machine: Machine) -> None:
    """With CI set there is one line an asset, and no escape at all."""
    terminal = render(machine, CI="true")
    assert terminal.end() == 0
    assert b"\x1b" not in terminal.raw
    counts = [line.split()[0] for line in terminal.lines if line.startswith("[")]
    assert counts == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
