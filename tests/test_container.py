"""The container's recipe: its lines are read; no engine runs here, so its build stage is done in a folder (peers)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support_installing import large

import wan_cli

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / ".container" / "Containerfile"
pytestmark = pytest.mark.skipif(not RECIPE.is_file(), reason="this is an sdist: it has no container's recipe")


def instructions() -> list[tuple[str, str]]:
    """Return the recipe's instructions in order, continued lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", RECIPE.read_text(encoding="utf-8")).replace("\\\n", "")
    lines = [line.partition(" ") for line in text.splitlines() if line]
    return [(name, rest.strip()) for name, _, rest in lines]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage, its FROM first."""
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found


def test_the_bases_are_named_in_full() -> None:
    """Both stages stand on one image, named with its registry and the tag of a Python that wan supports."""
    bases = [rest.split(" ")[0] for name, rest in instructions() if name == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    found = re.fullmatch(r"docker\.io/library/python:3\.(\d+)-slim-[a-z]+", bases[0])
    assert found is not None
    assert int(found[1]) >= 11


def test_nothing_is_installed_unseen() -> None:
    """What is installed is a wheel with a hash, or the one that was built; nothing is fetched, no key is named."""
    told = [rest for name, rest in instructions() if name == "RUN"]
    installs = [part for rest in told for part in rest.split("&&") if " install " in part and " pip " in part]
    assert len(installs) == 3
    for part in installs:
        assert "--require-hashes --only-binary :all: -r" in part or "--no-index --no-deps dist/*.whl" in part, part
    names = {name for name, _ in instructions()}
    assert names <= {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "VOLUME", "ENTRYPOINT", "CMD"}
    assert not re.search(r"(?i)_api_key|curl |wget |https?://|sudo|chmod 777", RECIPE.read_text(encoding="utf-8"))


def test_it_runs_as_nobody_and_keeps_the_ledger() -> None:
    """The last stage ends as a user by number, whose ledger is on a volume and nobody else's; signals reach wan."""
    last = stages()[-1]
    said = dict(last)
    assert said["USER"] == "10001:10001"
    names = [name for name, _ in last]
    assert set(names[names.index("USER") :]) <= {"USER", "WORKDIR", "VOLUME", "ENTRYPOINT", "CMD"}
    assert f"WAN_STATE_DIR={said['VOLUME']}" in said["ENV"].split()
    assert f"install -d -m 0700 -o 10001 -g 10001 {said['VOLUME']} " in said["RUN"]
    assert said["ENTRYPOINT"] == '["wan"]'


def test_bytecode_is_compiled() -> None:
    """What is copied into the last stage is compiled, by content and not by time; the base's own library is too."""
    compiled = [rest for name, rest in instructions() if name == "RUN" and "compileall" in rest]
    assert len(compiled) == 2
    assert all("--invalidation-mode unchecked-hash" in rest for rest in compiled)
    assert "PYTHONDONTWRITEBYTECODE=1" in dict(stages()[-1])["ENV"]


def test_only_what_is_needed_is_sent() -> None:
    """Everything the recipe copies is here, and let through by ``.dockerignore``, which holds back all else."""
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert kept[0] == "*"
    copied = {
        word for name, rest in instructions() if name == "COPY" and "--from" not in rest for word in rest.split()[:-1]
    }
    assert copied == {line[1:] for line in kept if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)


def test_every_script_is_one() -> None:
    """``sh`` reads every RUN."""
    for name, rest in instructions():
        if name == "RUN":
            subprocess.run(["sh", "-n", "-c", rest], check=True)


@pytest.mark.peers
@pytest.mark.timeout(600)
@large("what the container holds")
def test_the_build_stage(tmp_path: Path) -> None:
    """The build stage's own commands, below a folder instead of ``/``, leave a wan that runs from compiled bytecode."""
    (tmp_path / "opt").mkdir()
    place = Path("/")
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    for name, rest in stages()[0]:
        if name == "WORKDIR":
            place = tmp_path / rest.lstrip("/")
            place.mkdir(parents=True)
        elif name == "ENV":
            env |= dict(word.split("=", 1) for word in rest.split())
        elif name == "COPY":
            *sources, target = rest.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place / target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, place / target)
        elif name == "RUN":
            moved = rest.replace("/opt/", f"{tmp_path}/opt/")
            ran = subprocess.run(
                ["sh", "-euc", moved], cwd=place, env=env, capture_output=True, text=True, check=False, timeout=300
            )
            assert ran.returncode == 0, ran.stdout + ran.stderr
    venv = tmp_path / "opt" / "wan"
    modules = list((venv / "lib").rglob("wan_cli/*.py"))
    assert modules
    assert all(list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc")) for path in modules)
    env |= {"PYTHONDONTWRITEBYTECODE": "1", "WAN_STATE_DIR": str(tmp_path / "state")}
    words = ("generate", "a paper crane", "--sandbox", "--size", "1K", "-o", str(tmp_path / "crane.png"), "-q")
    for argv in (("--version",), words):
        ran = subprocess.run([venv / "bin" / "wan", *argv], env=env, capture_output=True, text=True, check=True)
        assert wan_cli.__version__ in ran.stdout or ran.stdout.endswith("crane.png\n")
    subprocess.run([venv / "bin" / "python", "-c", "import uvicorn, ruamel.yaml"], env=env, check=True)
