"""The recipes of ``.github/recipes`` beside GitHub's: make, GitLab and pre-commit, their own commands, in the sandbox.

GitHub's workflows are run by ``test_recipes.py``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / ".github" / "recipes"
MANIFEST = (
    '[defaults]\nprovider = "rivya"\nsize = "1K"\noutput = "assets/{id}{ext}"\n\n'
    '[[asset]]\nid = "hero"\nprompt = "a lighthouse"\n'
)
INSTALL = "python -m pip install ./tools/wan"

QUICK = """
import io, sys
from PIL import Image
from wan_cli.cli.context import App
from wan_cli.cli.main import main

def drawn(prompt, width, height, **details):
    data = io.BytesIO()
    Image.new("L", (width, height), len(prompt)).save(data, "PNG")
    return data.getvalue()

app = App.standard()
app.world_parts = {"draw": drawn, "latency": 0.0}
sys.exit(main(sys.argv[1:], app=app))
"""
"""wan, whose sandbox takes no time to draw."""


class Project:
    """A project's folder with a manifest; commands run there in the sandbox."""

    def __init__(self, root: Path) -> None:
        self.folder, self.state = root / "project", root / "state"
        (self.folder / "prompts").mkdir(parents=True)
        (self.folder / "assets.toml").write_text(MANIFEST, encoding="utf-8")
        (self.folder / "prompts" / "fox.txt").write_text("a fox\n", encoding="utf-8")
        quick = root / "bin" / "wan"
        quick.parent.mkdir()
        quick.write_text(f"#!{sys.executable}\n{QUICK}", encoding="utf-8")
        quick.chmod(0o755)
        self.tools = quick.parent

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command."""
        path = f"{self.tools}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "WAN_SANDBOX": "1", "WAN_STATE_DIR": str(self.state), "CI": "true"}
        return subprocess.run(
            command, cwd=self.folder, env={**os.environ, **own, **env}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, encoding="utf-8", check=False, timeout=60,
        )  # fmt: skip

    @property
    def purchases(self) -> int:
        """How many were made."""
        path = self.state / "sandbox" / "world" / "purchases.jsonl"
        return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project in which nothing is rendered."""
    return Project(tmp_path)


def _yaml(name: str) -> Any:
    yaml = pytest.importorskip("ruamel.yaml").YAML(typ="safe", pure=True)
    return yaml.load((FOLDER / name).read_text(encoding="utf-8"))


def test_every_recipe_is_tested() -> None:
    """There are these recipes and no others, and each is a link on the README."""
    here = {"Makefile", "gitlab-ci.yml", "pre-commit-config.yaml"}
    told = Path(__file__).with_name("test_recipes.py").read_text(encoding="utf-8")
    workflows = set(re.findall(r'_recipe\("([\w-]+)"\)', told))
    parts = {path.name for path in FOLDER.glob("*-parts.*")}  # tests/e2e/test_shards.py
    parts |= {path.name for path in FOLDER.glob("*-workers.*")}  # tests/e2e/test_workers.py
    assert {path.name for path in FOLDER.iterdir()} == here | parts | {f"{name}.yml" for name in workflows}
    page = (FOLDER.parents[1] / "README.md").read_text(encoding="utf-8")
    assert {f".github/recipes/{path.name}" for path in FOLDER.iterdir()} <= set(re.findall(r"\]\(([^)]+)\)", page))


def test_make(project: Project) -> None:
    """``make assets`` renders once, the check follows it, and a picture follows its text; nothing is bought twice."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shutil.copy(FOLDER / "Makefile", project.folder)
    assert "hero" in project.run("make", "assets-plan").stdout
    assert project.run("make", "assets-check").returncode != 0
    for _ in range(2):
        ran = project.run("make", "assets", "assets-check", "pictures/fox.png")
        assert ran.returncode == 0, ran
    assert project.purchases == 2
    assert (project.folder / "pictures" / "fox.png").stat().st_size > 0
    (project.folder / "pictures" / "fox.png").unlink()  # stopped after it was bought, say
    assert project.run("make", "pictures/fox.png").returncode == 0
    assert project.purchases == 2


def test_gitlab(project: Project) -> None:
    """The job's script renders and leaves JUnit; the check of a merge request is 13 before and 0 after."""
    jobs = _yaml("gitlab-ci.yml")
    render, check = ([line for line in jobs[name]["script"] if line != INSTALL] for name in ("assets", "assets-check"))
    assert all(INSTALL in jobs[name]["script"] for name in ("assets", "assets-check"))
    assert project.run("bash", "-ec", "\n".join(check)).returncode == 13
    ran = project.run("bash", "-ec", "\n".join(render))
    assert ran.returncode == 0, ran
    assert "<testsuite" in (project.folder / jobs["assets"]["artifacts"]["reports"]["junit"]).read_text(
        encoding="utf-8"
    )
    assert project.purchases == 1
    assert project.run("bash", "-ec", "\n".join(check)).returncode == 0


def test_gitlab_saves_what_was_bought(project: Project, tmp_path: Path) -> None:
    """What follows the script commits files and lock and pushes them, also where nothing changed."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    commands = _yaml("gitlab-ci.yml")["assets"]["after_script"]
    far = tmp_path / "far.git"
    project.run("git", "init", "-q", "--bare", str(far))
    project.run("git", "init", "-q", "-b", "main")
    (project.folder / "assets.lock").write_text("{}", encoding="utf-8")
    (project.folder / "assets.xml").write_text("<testsuite/>", encoding="utf-8")
    script = "\n".join(commands)
    pushed = re.sub(r'"https://[^"]+"', f"'{far}'", script)
    assert pushed != script
    for _ in range(2):
        ran = project.run("bash", "-ec", pushed, CI_COMMIT_BRANCH="main")
        assert ran.returncode == 0, ran
    kept = project.run("git", "-C", str(far), "ls-tree", "-r", "--name-only", "main").stdout.split()
    assert kept == ["assets.lock", "assets.toml", "prompts/fox.txt"]


def test_pre_commit(project: Project) -> None:
    """The hook stops a commit while a picture is missing, costs nothing, and looks at the right files."""
    (hook,) = _yaml("pre-commit-config.yaml")["repos"][0]["hooks"]
    assert (hook["language"], hook["pass_filenames"]) == ("system", False)
    assert project.run("bash", "-ec", hook["entry"]).returncode == 13
    assert project.purchases == 0
    looked = re.compile(hook["files"])
    assert all(looked.search(name) for name in ("assets.toml", "assets.lock", "assets/hero.png", "prompts/fox.txt"))
    assert not looked.search("src/main.py")
