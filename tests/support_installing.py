"""Software that nobody here wrote, installed once for all runs: from npm by version, from PyPI by version and hash.

Everything lies in ``wan-peers-UID`` in the system's temporary folder, which belongs to this user alone, and appears
under its name when it is complete. What cannot be installed is skipped, and the reason says what is missing. What takes
minutes is installed when the variable ``WAN_PEERS`` is ``all``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

INSTALL_S = 90
LARGE_S = 600
LOCKS = Path(__file__).resolve().parent / "peers" / "locks"
QUICK = ("--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
WHEELS = ("--no-compile", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--retries", "1")
# Read when this is imported, since the fixtures for all tests clear such variables.
ALL = os.environ.get("WAN_PEERS") == "all"
ASKING = {
    name: value
    for name, value in os.environ.items()
    if re.fullmatch(
        r"(?i)(all|https?|no)_proxy|ssl_cert_(file|dir)|requests_ca_bundle|pip_cert|node_extra_ca_certs", name
    )
}
"""How this machine reaches the registries."""


def large(what: str) -> pytest.MarkDecorator:
    """Return a mark for tests of what takes minutes to install: they run when ``WAN_PEERS`` is ``all``."""
    return pytest.mark.skipif(not ALL, reason=f"{what} takes minutes to install; WAN_PEERS=all asks it too")


def from_npm(package: str, version: str, *others: str) -> Path:
    """Return the folder that holds an npm package, and `others` (``name@version``) beside it; scripts are not run."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip(f"npm is not installed, so {package} is not asked")
    wanted = [f"{package}@{version}", *others]

    def install(folder: Path, log: Path) -> None:
        _run([npm, "i", "--ignore-scripts", *QUICK, "--prefix", str(folder), *wanted], log, INSTALL_S, package)

    return _kept(f"{package.replace('/', '+')}-{version}", install)


def from_pypi(name: str) -> Path:
    """Return the virtual environment that holds exactly what ``locks/NAME.lock`` names, held against its hashes."""
    lock = LOCKS / f"{name}.lock"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    return _environment(f"{name}-{digest}", ["--require-hashes", *WHEELS, "-r", str(lock)], INSTALL_S, name)


def from_pypi_unlocked(name: str, *requirements: str) -> Path:
    """Return a virtual environment for something large: its own version is given, those of its parts are not."""
    wanted = ["--no-compile", "--disable-pip-version-check", *requirements]
    digest = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:12]
    return _environment(f"{name}-{digest}", wanted, LARGE_S, name)


def program(environment: Path, name: str) -> str:
    """Return the path of a program in a virtual environment."""
    return str(environment / "bin" / name)


def script(folder: Path, name: str) -> tuple[str, str]:
    """Return the command of a program in a folder of npm's."""
    return "node", str(folder / "node_modules" / ".bin" / name)


def _environment(name: str, arguments: list[str], seconds: int, what: str) -> Path:
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"

    def install(folder: Path, log: Path) -> None:
        # An environment cannot be moved: its programs name their interpreter. So it is made where it stays.
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], log, seconds, what)
        python = program(folder, "python")
        _run([sys.executable, "-m", "pip", "--python", python, "install", "-q", *arguments], log, seconds, what)

    return _kept(f"py{minor}-{name}", install, movable=False)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock between processes; pytest's workers want the same peer at the same time."""
    import fcntl

    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _kept(name: str, install: Callable[[Path, Path], None], *, movable: bool = True) -> Path:
    """Return the folder of this name, made by ``install(folder, log)`` when no run before has."""
    root = Path(tempfile.gettempdir()) / f"wan-peers-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    about = root.lstat()
    if about.st_uid != os.getuid() or about.st_mode & 0o077 or root.is_symlink():
        pytest.skip(f"{root} is not this user's alone, so nothing in it is run")
    place, whole = root / name, root / f"{name}.whole"
    done = place if movable else whole
    with _alone(root / f"{name}.lock"):
        if done.exists():
            return place
        with tempfile.TemporaryDirectory(dir=root) as fresh:
            log = Path(fresh, "log")
            if movable:
                made = Path(fresh, "made")
                made.mkdir()
                install(made, log)
                made.rename(place)
            else:
                shutil.rmtree(place, ignore_errors=True)
                install(place, log)
                whole.touch()
    return place


def _run(command: list[str], log: Path, seconds: int, what: str) -> None:
    """Run an installer, which may ask the registries; skip where it fails."""
    env = {name: value for name, value in os.environ.items() if name not in ("PIP_NO_INDEX", "PIP_FIND_LINKS")} | ASKING
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=log.parent, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.skip(f"installing {what} took more than {seconds} s")
        finally:
            end(process)
    if code:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = "; ".join([line for line in lines if line.lower().startswith(("npm error", "error"))][:3])
        pytest.skip(f"{what} could not be installed: {said or lines[-1:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return
