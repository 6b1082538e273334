"""What is installed: one version, the data beside the code, nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import wan_cli
from wan_cli.extras import REQUIREMENTS, install
from wan_cli.registry import BUILTIN

ROOT = Path(__file__).resolve().parent.parent
TOP = {
    "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "wan_cli", "tests", "completions",
}  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel, offline, with the build backend that is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    (path,) = folder.iterdir()
    return zipfile.ZipFile(path)


def _metadata(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = [path for path in wheel.namelist() if path.endswith(f".dist-info/{name}")]
    return wheel.read(path).decode()


def test_the_version_is_in_one_place(wheel: zipfile.ZipFile) -> None:
    """The version is written in wan_cli/__init__.py alone, and the wheel has it from there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project
    assert Parser().parsestr(_metadata(wheel, "METADATA"))["Version"] == wan_cli.__version__
    written = re.compile(rf"(?<![\d.]){re.escape(wan_cli.__version__)}(?![\d.])")
    assert [path for path in (ROOT / "wan_cli").rglob("*.py") if written.search(path.read_text(encoding="utf-8"))] == [
        ROOT / "wan_cli" / "__init__.py"
    ]


def test_the_wheel_has_the_code_and_its_data(wheel: zipfile.ZipFile) -> None:
    """Every file of the package is in the wheel: modules, catalogue, schema and the typing mark."""
    here = {
        str(path.relative_to(ROOT).as_posix())
        for path in (ROOT / "wan_cli").rglob("*")
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
    }
    there = {name for name in wheel.namelist() if name.startswith("wan_cli/")}
    assert there == here
    assert {"wan_cli/py.typed", "wan_cli/ui/schema.json", "wan_cli/SKILL.md"} <= there
    assert {f"wan_cli/providers/{name}.toml" for name in BUILTIN} <= there


def test_the_wheel_has_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Beside the package there are only the metadata, with the licence, and the manual pages, below share/man.

    In the package are code, TOML, JSON, a style, and a page for agents.
    """
    others = {name.partition("/")[2] for name in wheel.namelist() if not name.startswith("wan_cli/")}
    pages = {name for name in others if name.startswith("data/")}
    assert pages == {f"data/share/man/man1/{path.name}" for path in (ROOT / "completions" / "man").iterdir()}
    assert others - pages == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    kinds = {Path(name).suffix for name in wheel.namelist() if name.startswith("wan_cli/")}
    assert kinds == {".py", ".toml", ".json", ".css", ".typed", ".md"}


def test_the_command_is_wan(wheel: zipfile.ZipFile) -> None:
    """The wheel installs one command, ``wan``."""
    assert _metadata(wheel, "entry_points.txt").split() == ["[console_scripts]", "wan", "=", "wan_cli.__main__:run"]


def test_the_main_job_needs_no_extra(wheel: zipfile.ZipFile) -> None:
    """What is required without an extra is what the code imports: eight libraries."""
    required = Parser().parsestr(_metadata(wheel, "METADATA")).get_all("Requires-Dist") or []
    plain = {re.split(r"[^a-z0-9-]", line)[0] for line in required if "extra ==" not in line}
    assert plain == {"typer", "httpx", "h11", "rich", "pydantic", "platformdirs", "pillow", "tomlkit"}


def test_the_top_level_is_tidy() -> None:
    """Nothing is kept at the top of the repository but the known files and folders, and dotfiles."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout, so what is kept is not known")
    top = {name.partition("/")[0] for name in listed.split("\0") if name}
    assert {name for name in top if not name.startswith(".")} == TOP


def test_install_commands_name_what_the_extras_bring() -> None:
    """What an error says to install is what pyproject.toml has for that extra, and no project of that name on PyPI."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert all(extras[extra] == needed.split("' '") for extra, needed in REQUIREMENTS.items())
    assert install("video") == "python -m pip install 'av>=15'"
