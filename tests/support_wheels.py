"""Python packages that nobody here wrote and no test environment has: fetched once, into a folder of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

INSTALL_S = 90


def fetched(name: str, wheels: tuple[str, ...]) -> Path:
    """Return a folder to put on the path of another interpreter, which holds the named wheels and nothing they need.

    It is below the system's temporary folder, belongs to this user alone, is named ``name`` and appears when it is
    complete. Where the wheels cannot be had the test is skipped. Nothing is built, and no wheel's code is run.
    """
    root = Path(tempfile.gettempdir()) / f"wan-peers-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    about = root.lstat()
    if about.st_uid != os.getuid() or about.st_mode & 0o077 or root.is_symlink():
        pytest.skip(f"{root} is not this user's alone, so nothing in it is run")
    place = root / f"{name}-py{sys.version_info.major}.{sys.version_info.minor}"
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=root) as fresh:
            made = Path(fresh, "made")
            _fetch(made, wheels)
            with contextlib.suppress(OSError):  # another run was faster
                made.rename(place)
    return place


def _fetch(made: Path, wheels: tuple[str, ...]) -> None:
    quiet = ("-q", "--no-input", "--disable-pip-version-check", "--no-compile", "--retries", "1", "--timeout", "10")
    command = [sys.executable, "-m", "pip", "install", *quiet, "--no-deps", "--only-binary", ":all:", "--target", made]
    # The suite's own installation finds no index; this one may.
    env = {key: value for key, value in os.environ.items() if key not in ("PIP_NO_INDEX", "PIP_FIND_LINKS")}
    env |= {"HOME": str(Path.home()), "PYTHONPATH": ""}
    try:
        ended = subprocess.run(
            [*command, *wheels], env=env, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip took more than {INSTALL_S} s to fetch {wheels[0]}")
    if ended.returncode:
        said = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")]
        pytest.skip(f"pip could not fetch {wheels[0]}: {'; '.join(said[:2])}")
