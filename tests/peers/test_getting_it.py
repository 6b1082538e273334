"""Every way to get wan, from a wheel built here: uvx, pipx, pip, and one file made by pex.

Where the suite may ask no index (``PIP_NO_INDEX`` with ``PIP_FIND_LINKS``, as in ``.ci/run``), neither may these tools.
What takes longer than uvx is run when ``WAN_PEERS`` is ``all``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support_installing import ALL, ASKING, from_pypi, large, program

import wan_cli

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("generate", "a paper crane", "--sandbox", "--latency", "0", "--size", "1K", "-o", "crane.png", "-q")
CLOSED = os.environ.get("PIP_NO_INDEX") == "1"
UNREACHED = ("dns error", "Connection refused", "Connection reset", "NewConnectionError", "timed out")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    (path,) = folder.iterdir()
    return path


class Home:
    """A user who has nothing yet: no cache, no settings, no wan on the path."""

    def __init__(self, root: Path) -> None:
        self.work = root / "work"
        self.work.mkdir()
        self.env = ASKING | {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(root), "LANG": "C.UTF-8", "NO_COLOR": "1",
            "UV_CACHE_DIR": str(root / "uv"), "UV_PYTHON": sys.executable, "UV_NO_CONFIG": "1",
            "PIPX_HOME": str(root / "pipx"), "PIPX_BIN_DIR": str(root / "bin"), "PIPX_DEFAULT_PYTHON": sys.executable,
            "PEX_ROOT": str(root / "pex"), "WAN_STATE_DIR": str(root / "state"), "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }  # fmt: skip
        if CLOSED:
            links = os.environ.get("PIP_FIND_LINKS", "")
            self.env |= {"UV_NO_INDEX": "1", "UV_FIND_LINKS": links, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": links}

    def run(self, *argv: str) -> str:
        """Run a command and return what it says; skip where its index cannot be reached."""
        ran: Any = subprocess.run(
            argv, cwd=self.work, env=self.env, capture_output=True, text=True, check=False, timeout=500,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if ran.returncode and any(words in ran.stderr for words in UNREACHED):
            pytest.skip(f"{argv[0]} reached no index: {ran.stderr.splitlines()[-1]}")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return str(ran.stdout)

    def wan(self, *command: str) -> None:
        """Run wan by a command: it says its version, and makes a picture."""
        assert self.run(*command, "--version") == f"wan {wan_cli.__version__}\n"
        assert self.run(*command, *WORDS) == "crane.png\n"
        assert (self.work / "crane.png").read_bytes().startswith(b"\x89PNG")
        (self.work / "crane.png").unlink()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a user who has nothing yet."""
    return Home(tmp_path)


def test_uvx(wheel: Path, home: Home) -> None:
    """``uvx --from WHEEL wan …`` runs it and installs nothing."""
    home.wan(program(from_pypi("uv"), "uv"), "tool", "run", "--from", str(wheel), "wan")  # what uvx stands for


def test_uvx_from_a_checkout(home: Home, tmp_path: Path) -> None:
    """``uvx --from . wan …`` builds it in a checkout."""
    if not ALL:
        pytest.skip("one run of uvx is enough in a hurry; WAN_PEERS=all has the others")
    tree = tmp_path / "checkout"
    skipped = shutil.ignore_patterns(".git", "__pycache__", ".venv", "tests")
    shutil.copytree(ROOT, tree, ignore=skipped)
    home.wan(program(from_pypi("uv"), "uv"), "tool", "run", "--from", str(tree), "wan")


@large("pipx's own environment")
def test_pipx(wheel: Path, home: Home) -> None:
    """``pipx install WHEEL`` puts the command on the path, and ``pipx run --spec`` runs it without."""
    pipx = program(from_pypi("pipx"), "pipx")
    home.run(pipx, "install", str(wheel))
    home.wan(str(home.work.parent / "bin" / "wan"))
    assert home.run(pipx, "run", "--spec", str(wheel), "wan", "--version").strip() == f"wan {wan_cli.__version__}"


@large("an environment of pip's")
def test_pip(wheel: Path, home: Home) -> None:
    """``python -m pip install WHEEL`` in an environment of its own, with an extra, and as it stands."""
    venv = home.work.parent / "venv"
    home.run(sys.executable, "-m", "venv", str(venv))
    home.run(program(venv, "python"), "-m", "pip", "install", "-q", f"{wheel}[sandbox]")
    home.wan(program(venv, "wan"))
    home.run(program(venv, "python"), "-c", "import uvicorn")


@large("a file of pex's")
def test_pex(wheel: Path, home: Home) -> None:
    """One file made by pex as ``.ci/release`` does it: it runs from anywhere, and starts at once the second time."""
    release = (ROOT / ".ci" / "release").read_text(encoding="utf-8")
    made, kind = home.work / "wan.pex", ("--script", "wan", "--venv", "prepend", "--sh-boot")
    assert " ".join(kind) in release.replace("\\\n    ", "")
    closed = ("--no-pypi", "--find-links", home.env["PIP_FIND_LINKS"]) if CLOSED else ()
    python = ("--python", sys.executable, "--output-file", str(made))
    home.run(program(from_pypi("pex"), "pex"), str(wheel), *kind, *python, *closed)
    assert made.stat().st_size < 30 << 20
    home.env["PATH"] = f"{Path(sys.executable).parent}:{home.env['PATH']}"
    home.wan(str(made))
