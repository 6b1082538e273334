"""The manual pages that are shipped: what ``tests/manual.py`` makes, and what mandoc has nothing to say about."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from manual import EXAMPLES, FOLDER, pages, write

from wan_cli.cli.main import COMMANDS
from wan_cli.cli.topics import EXIT_CODES

PAGES = sorted(path.name for path in FOLDER.iterdir())


def _mandoc(*words: str) -> str:
    """Return what mandoc prints, both streams; without it the test is skipped."""
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed (apt-get install mandoc), so no manual page is checked")
    ran = subprocess.run(
        ["mandoc", *words], cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    return ran.stdout


def test_the_pages_are_current() -> None:
    """There is a page for wan and one for each command, as the command tree is now: python tests/manual.py."""
    made = pages()
    assert set(made) == {"wan.1", *(f"wan-{name}.1" for name in COMMANDS)} == set(PAGES)
    for name, text in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name} is not current: python tests/manual.py"


def test_writing_replaces_and_removes(tmp_path: Path) -> None:
    """What is written is all there is afterwards."""
    folder = tmp_path / "man"
    folder.mkdir()
    (folder / "wan-gone.1").write_text("", encoding="utf-8")
    write(folder)
    assert sorted(path.name for path in folder.iterdir()) == PAGES


def test_mandoc_finds_nothing() -> None:
    """``mandoc -T lint`` has no error, no warning and no remark of style for any page."""
    assert _mandoc("-T", "lint", *PAGES) == ""


def test_a_reader_sees_everything() -> None:
    """Rendered as text, a page has every option of its command as it is typed; the main page has each exit code."""
    for name in ("generate", "render"):
        text = re.sub(".\b", "", _mandoc("-T", "utf8", f"wan-{name}.1"))
        source = pages()[f"wan-{name}.1"]
        for option in re.findall(r"(?m)^\.It Fl .*$", source):
            for flag in re.findall(r"Fl (\S+)", option):
                assert f"-{flag}".replace("\\-", "-") in text
        assert "wan " + name in text
    text = re.sub(".\b", "", _mandoc("-T", "utf8", "wan.1"))
    for code, meaning in EXIT_CODES.items():
        assert f"{code}  {meaning}" in text


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_commands(name: str) -> None:
    """Each command line of a page is one of that command, with options that its page has."""
    page = pages()["wan.1" if name == "wan" else f"wan-{name}.1"]
    for line in EXAMPLES[name]:
        words = shlex.split(line.rpartition(" | ")[2].partition(" > ")[0])
        assert words[0] == "wan"
        assert words[1] in COMMANDS
        assert name in ("wan", words[1])
        own = page if name != "wan" else pages()[f"wan-{words[1]}.1"]
        for word in words[2:]:
            if word.startswith("-") and word != "-":
                assert re.search(rf"(?m)^\.It .*Fl {word[1:]}( |$)", own.replace("\\-", "-")), line
