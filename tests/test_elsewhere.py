"""Windows' and macOS's habits, as far as they can be played here: code pages, missing modules, names, terminals."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support_cli import Cli

import wan_cli
from wan_cli import naming
from wan_cli.errors import UsageError
from wan_cli.targets import check_targets

PACKAGE = Path(wan_cli.__file__).parent
OLD = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CODE_PAGES = {"cp936": {"PYTHONIOENCODING": "cp936"}, "cp1252": {"PYTHONIOENCODING": "cp1252"}, "C": OLD}
POSIX_ONLY = {
    "fork", "forkpty", "geteuid", "getuid", "getgid", "getegid", "fchmod", "fchown", "chown", "killpg", "setsid",
    "getpgid", "getpgrp", "mkfifo", "mknod", "sysconf", "uname", "statvfs", "fstatvfs", "pread", "pwrite", "sendfile",
    "wait", "wait3", "wait4", "waitid", "WNOHANG", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY",
    "sync", "fdatasync", "nice", "getloadavg", "ttyname", "openpty", "posix_fallocate", "posix_spawn", "lchown",
}  # fmt: skip
"""What the os module of Windows does not have (docs.python.org, "os")."""
GUARDED = {
    "config/private.py": {"getuid"}, "cli/provenance/locks.py": {"getuid"}, "publish.py": {"fchmod"},
    "config/settings.py": {"getuid", "geteuid"}, "ledger/folder.py": {"geteuid"}, "cli/doctor/state.py": {"geteuid"},
    "ui/preview/asking.py": {"O_CLOEXEC", "O_NOCTTY", "ttyname", "getpgrp"},
}  # fmt: skip
"""Where some of it is used all the same, behind ``os.name == "posix"`` or ``hasattr``."""

PLAYED = """
import asyncio, importlib, json, os, pkgutil, signal, sys, types
import anyio._backends._asyncio, h11, httpx, PIL.Image, PIL.ImageDraw, PIL.ImageFont, PIL.PngImagePlugin
import platformdirs, pydantic.dataclasses, rich.live, rich.table, sqlite3, tempfile, tomlkit
import wan_cli

def every():
    for module in pkgutil.walk_packages(wan_cli.__path__, "wan_cli."):
        if module.name != "wan_cli.__main__":
            importlib.import_module(module.name)

every()  # what others wrote is loaded as what it is; wan itself is then loaded anew
for name in [name for name in sys.modules if name.partition(".")[0] == "wan_cli"]:
    del sys.modules[name]
for name in ("fcntl", "termios", "tty", "pty", "pwd", "grp", "resource", "readline", "syslog"):
    sys.modules[name] = None  # importing it now raises ImportError
held = []
windows = types.ModuleType("msvcrt")
windows.LK_LOCK, windows.LK_NBLCK, windows.LK_UNLCK = 1, 2, 0
windows.locking = lambda descriptor, mode, size: held.append((mode, size))
sys.modules["msvcrt"] = windows
for name in POSIX_ONLY - {"statvfs"}:  # shutil was made for this system
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGALRM", "SIGKILL", "pthread_sigmask"):
    delattr(signal, name)
sys.platform = "win32"
import wan_cli
every()
import wan_cli.ledger.folder
wan_cli.ledger.folder._POSIX = False
asyncio.BaseEventLoop.add_signal_handler = lambda *_: (_ for _ in ()).throw(NotImplementedError())
del asyncio.SelectorEventLoop.add_signal_handler
from wan_cli.cli.main import main
codes = [main(words) for words in json.loads(sys.argv[1])]
assert (1, 1) in held or (2, 1) in held, held
sys.exit(max(codes))
"""


def _run(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    surroundings = {**os.environ, "WAN_STATE_DIR": str(cwd / "state"), **env}
    return subprocess.run(
        [sys.executable, "-m", "wan_cli", *words], cwd=cwd, env=surroundings, capture_output=True, check=False,
        stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("page", CODE_PAGES)
def test_pipes_carry_utf8_whatever_the_console_says(tmp_path: Path, page: str) -> None:
    """With a code page for a console, a prompt it cannot spell is bought, and both streams are UTF-8."""
    words = ("generate", "狐狸 🦊 é", "-p", "rivya", "--sandbox", "--dry-run")
    ran = _run(*words, "--json", cwd=tmp_path, **CODE_PAGES[page])
    assert ran.returncode == 0, ran
    assert json.loads(ran.stdout)["tasks"][0]["prompt"] == "狐狸 🦊 é"
    ran = _run(*words, cwd=tmp_path, **CODE_PAGES[page])
    assert "狐狸 🦊 é" in ran.stdout.decode("utf-8")
    assert ran.returncode == 0


@pytest.mark.parametrize("page", ["cp936", "cp1252"])
def test_a_path_in_a_pipe_is_the_path(tmp_path: Path, page: str) -> None:
    """The path on standard output leads to the file, whatever the console could spell of its name."""
    ran = _run("generate", "狐狸 🦊", "-p", "rivya", "--size", "1K", "--sandbox", "--latency", "0", "-q", "-o",
               "{slug}{ext}", cwd=tmp_path, **CODE_PAGES[page])  # fmt: skip
    assert ran.returncode == 0, ran
    assert (tmp_path / ran.stdout.decode("utf-8").rstrip("\r\n")).stat().st_size > 0


def test_help_and_errors_need_no_utf8(tmp_path: Path) -> None:
    """Help, topics, tables and errors are told in UTF-8 with an ASCII console, without a traceback."""
    for words, code in ((("--help",), 0), (("help", "agents"), 0), (("models",), 0), (("help", "狐"), 2)):
        ran = _run(*words, cwd=tmp_path, **OLD)
        assert ran.returncode == code, ran
        assert b"Traceback" not in ran.stderr
        ran.stdout.decode("utf-8")
        ran.stderr.decode("utf-8")


def test_a_prompt_file_of_powershell(cli: Cli) -> None:
    """A file that PowerShell's ``>`` wrote, UTF-16 with its mark, is read as what it says."""
    words = ("generate", "@prompt.txt", "-p", "rivya", "--sandbox", "--dry-run", "--json")
    for encoding in ("utf-16", "utf-8-sig", "utf-8"):
        cli.write("prompt.txt", "ein F\u00fcchslein\r\n".encode(encoding))
        assert cli.run(*words).task["prompt"] == "ein F\u00fcchslein"
    cli.write("prompt.txt", b"\xff\xfe\x00")
    assert cli.run(*words).code == 2


def test_a_system_without_posix(tmp_path: Path) -> None:
    """Every module can be imported, and a picture made and a manifest rendered, with what Windows has."""
    manifest = '[[asset]]\nid = "hero"\nprompt = "a fox"\nprovider = "rivya"\nsize = "1K"\n'
    (tmp_path / "assets.toml").write_text(manifest, encoding="utf-8")
    lines = [
        ["generate", "a fox", "-p", "rivya", "--size", "1K", "--sandbox", "--latency", "0", "-o", "fox.png", "-q"],
        ["render", "assets.toml", "--sandbox", "--latency", "0", "-q"],
        ["render", "assets.toml", "--sandbox", "--check", "-q"],
        ["status", "--sandbox"],
    ]
    script = f"POSIX_ONLY = {POSIX_ONLY!r}\n{PLAYED}"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, json.dumps(lines)], cwd=tmp_path, capture_output=True, text=True,
        env={**{name: value for name, value in os.environ.items() if not name.startswith("COV")},
             "WAN_STATE_DIR": str(tmp_path / "state")},
        check=False, stdin=subprocess.DEVNULL, timeout=90, encoding="utf-8",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert ran.stdout.splitlines()[:2] == ["fox.png", "hero.png"]


def test_nothing_forks_and_posix_is_asked_for_first() -> None:
    """No module uses what Windows' os lacks, but for those that look first; none forks or starts a shell."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                if node.attr in POSIX_ONLY:
                    found.setdefault(path.relative_to(PACKAGE).as_posix(), set()).add(node.attr)
                assert node.attr not in ("system", "popen", "fork"), path
    assert found == GUARDED


def test_text_is_read_and_written_as_utf8() -> None:
    """No file is opened as text in the system's own encoding: every call says which one."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr
            if isinstance(node, ast.Call) and called in ("read_text", "write_text"):
                assert any(word.arg == "encoding" for word in node.keywords), f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    "name",
    ["con", "CON.png", "aux.tar.png", "nul", "com1.jpg", "lpt¹.png", "a.", "a ", "a:b", "a?b", "a|b", 'a"b', "a\tb"],
)
def test_names_that_windows_cannot_have(name: str) -> None:
    """A name that only Windows refuses is refused here as well where it is typed, and mended where a text gave it."""
    assert naming.fault(name)
    assert naming.fault(naming.safe_component(name)) is None


@pytest.mark.parametrize("pair", [("Fox.png", "fox.png"), ("é.png", "e\u0301.png"), ("STRASSE.png", "straße.png")])
def test_names_that_are_one_on_other_systems(tmp_path: Path, pair: tuple[str, str]) -> None:
    """Two results whose names differ in case or composition only would be one file elsewhere: refused before buying."""
    with pytest.raises(UsageError, match="two results"):
        check_targets([tmp_path / name for name in pair], overwrite=False, skip_existing=False)


def test_dates_are_not_the_locales(tmp_path: Path) -> None:
    """A date in a name or a table is written in digits, whatever the locale."""
    ran = _run("generate", "x", "-p", "rivya", "--size", "1K", "--sandbox", "--latency", "0", "-q", "-o", "{date}{ext}",
               cwd=tmp_path, LC_ALL="C", LC_TIME="ar_SA.UTF-8")  # fmt: skip
    assert ran.stdout.decode().strip().removesuffix(".png").replace("-", "").isdigit()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        formats = "".join(re.findall(r"strftime\(\"([^\"]*)\"", text))
        assert set(re.findall("%(.)", formats)) <= set("YmdHMSfzZj"), path
        assert "setlocale" not in text
