"""The workflows of ``.github/recipes``: their own shell commands, over real git, against the sandbox on a port.

What a runner does beside them is played here: a checkout is a shallow clone, an artifact is copied, a secret is a
variable, and a step with ``if:`` is taken or left as the runner would.
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support_cli import picture
from support_port import Server

import wan_cli
from wan_cli.cli.topics import TOPICS
from wan_cli.lock import loads

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / ".github" / "recipes"
MANIFEST = re.search(r"```toml\n(# assets\.toml\n(?:.*\n)*?)```", (ROOT / "README.md").read_text(encoding="utf-8"))
SET_UP = re.findall(r"(?m)^  ((?:echo|printf) .+)$", TOPICS["render"]())
"""What ``wan help render`` says of a repository, beside the merge driver, which each workflow sets by itself."""
IDS = ["hero", "icon-fox", "icon-owl", "poster"]
SECONDS = 60
pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
    pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="uvicorn is not installed"),
]


def _recipe(name: str) -> Any:
    """Return a workflow."""
    yaml = pytest.importorskip("ruamel.yaml").YAML(typ="safe", pure=True)
    return yaml.load((RECIPES / f"{name}.yml").read_text(encoding="utf-8"))


def sketch(prompt: str, width: int, height: int, **_details: Any) -> bytes:
    """Stand in for the sandbox's drawing: quick, and another picture for another prompt."""
    data = io.BytesIO()
    Image.new("L", (width, height), zlib.crc32(prompt.encode()) % 251).save(data, "PNG")
    return data.getvalue()


class Runner:
    """One machine of a CI service: an empty home, a state of its own, and a shallow clone of the project."""

    def __init__(self, root: Path, project: Path, server: Server | None, **event: str) -> None:
        self.root, self.project = root, project
        self.temp = root / "temp"
        self.temp.mkdir(parents=True)
        self.event = event
        self.failed = False
        self.env = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(root / "home"),
            "WAN_STATE_DIR": str(root / "state"), "RUNNER_TEMP": str(self.temp), "CI": "true", "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1", "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(root / "summary.md"),
            "GITHUB_WORKSPACE": str(project), "PYTHONWARNINGS": "error",
            "PYTHONPATH": str(Path(wan_cli.__file__).parents[1]),
        }  # fmt: skip
        self.secrets = server.env if server else {}
        self.printed = ""

    def run(self, job: Any, **matrix: object) -> int:
        """Take a job's steps; return 0, or the code of the first that failed."""
        code = 0
        env = {**self.env, **self._variables(job.get("env", {}), matrix)}
        for step in job["steps"]:
            if not self._is_due(step.get("if", "success()"), failed=bool(code)):
                continue
            if "uses" in step:
                self._use(step)
            elif not step["run"].startswith("python -m pip install"):
                code = self._shell(step["run"], env) or code
        return code

    def _variables(self, said: Any, matrix: dict[str, object]) -> dict[str, str]:
        """Fill in what the runner would; with the key comes the port's address."""
        found: dict[str, str] = {}
        for name, value in said.items():
            if "secrets." in value:
                found |= {key: text for key, text in self.secrets.items() if key.startswith("RIVYA_")}
            else:
                found[name] = re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda hit: str(matrix[hit[1]]), value)
        return found

    def _is_due(self, condition: str, *, failed: bool) -> bool:
        if condition == "always()":
            return True
        asked = re.fullmatch(r"github\.event_name == '(\w+)'", condition)
        return not failed and (condition == "success()" or (asked is not None and asked[1] == self.event["name"]))

    def _use(self, step: Any) -> None:
        if "actions/checkout" in step["uses"]:
            origin = self.event["origin"]
            command = ["git", "clone", "-q", "--depth=1", "-b", "main", f"file://{origin}", str(self.project)]
            subprocess.run(command, check=True, env=self.env)

    def _shell(self, script: str, env: dict[str, str]) -> int:
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd=self.project, env=env, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
        )  # fmt: skip
        self.printed += ran.stdout
        return ran.returncode


class Place:
    """A project at a git host, a sandbox on a port, and runners."""

    def __init__(self, root: Path, server: Server) -> None:
        self.root, self.server = root, server
        self.origin = root / "origin.git"
        self.count = 0
        assert MANIFEST
        assert len(SET_UP) == 3
        work = root / "first"
        (work / "prompts").mkdir(parents=True)
        (work / "refs").mkdir()
        (work / "assets.toml").write_text(MANIFEST[1], encoding="utf-8")
        (work / "prompts" / "poster.txt").write_text("a travel poster of the lighthouse\n", encoding="utf-8")
        (work / "refs" / "logo.png").write_bytes(picture(400, 400))
        script = f"""
            git init -q -b main . && git config user.name me && git config user.email me@example.com
            {" && ".join(SET_UP)}
            git add -A && git commit -qm first && git clone -q --bare . {self.origin}
        """.replace("\n            ", "\n")
        subprocess.run(["bash", "-e", "-c", script], cwd=work, check=True)

    def runner(self, name: str = "push", *, key: bool = True) -> Runner:
        """Return a fresh machine on which an event is taken care of."""
        self.count += 1
        root = self.root / f"runner{self.count}"
        project = root / "project"
        return Runner(root, project, self.server if key else None, name=name, origin=str(self.origin))

    def git(self, *words: str) -> str:
        """Ask the host's repository."""
        return subprocess.run(
            ["git", "-C", str(self.origin), *words], check=True, capture_output=True, text=True
        ).stdout  # fmt: skip

    def lock(self) -> Any:
        """Return the committed lock."""
        return loads(self.git("show", "main:assets.lock"), "assets.lock")

    def files(self) -> set[str]:
        """Return what is committed."""
        return set(self.git("ls-tree", "-r", "--name-only", "main").split())

    def edit(self, old: str, new: str) -> None:
        """Commit a change of the manifest, as a person does."""
        work = self.root / f"edit{len(list(self.root.iterdir()))}"
        subprocess.run(["git", "clone", "-q", str(self.origin), str(work)], check=True)
        text = (work / "assets.toml").read_text(encoding="utf-8")
        assert old in text
        (work / "assets.toml").write_text(text.replace(old, new), encoding="utf-8")
        name = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
        subprocess.run(["git", "-C", str(work), *name, "commit", "-qam", "edit"], check=True)
        subprocess.run(["git", "-C", str(work), "push", "-q"], check=True)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a project with nothing rendered."""
    with Server(tmp_path / "port", draw=sketch) as server:
        yield Place(tmp_path, server)


def _is_whole(place: Place) -> None:
    assert sorted(place.lock()) == IDS
    assert {f"assets/{name}.png" for name in IDS} <= place.files()
    assert not any(entry.open for entry in place.lock().values())
    assert not any("journal" in name or "sandbox" in name for name in place.files())


def test_render_on_push(place: Place) -> None:
    """A push renders and commits what is missing; the next buys only what changed; an unchanged one commits nothing."""
    job = _recipe("render-on-push")["jobs"]["render"]
    first = place.runner()
    assert first.run(job) == 0, first.printed
    _is_whole(place)
    assert place.server.purchases == 4
    assert "hero" in (first.root / "summary.md").read_text(encoding="utf-8")

    head = place.git("rev-parse", "main")
    assert place.runner().run(job) == 0
    assert place.git("rev-parse", "main") == head

    place.edit("flat icon of a {animal}", "line icon of a {animal}")
    assert place.runner().run(job) == 0
    assert place.server.purchases == 6
    _is_whole(place)


def test_a_failed_render_saves_what_was_bought(tmp_path: Path) -> None:
    """When one asset is refused the job fails, what the others made is committed, and the next run buys the rest."""
    job = _recipe("render-on-push")["jobs"]["render"]
    with Server(tmp_path / "port", "moderation*1/submit", draw=sketch) as server:
        place = Place(tmp_path, server)
        runner = place.runner()
        assert runner.run(job) == 11, runner.printed
        assert server.purchases == sum(name.startswith("assets/") for name in place.files()) > 0
        again = place.runner()
        assert again.run(job) == 0, again.printed
        _is_whole(place)
        assert server.purchases == 4


def test_check_of_a_fork_needs_no_key(place: Place) -> None:
    """Without key or provider the check tells what is not rendered, on the manifest's line, and passes when all is."""
    recipe = _recipe("check-pull-requests")
    job = recipe["jobs"]["check"]
    before = place.runner("pull_request", key=False)
    assert before.run(job) == 13
    assert "assets.toml:7: hero: missing" in before.printed
    assert "::error file=assets.toml,line=7" in before.printed

    assert place.runner().run(_recipe("render-on-push")["jobs"]["render"]) == 0
    after = place.runner("pull_request", key=False)
    assert after.run(job) == 0, after.printed
    assert recipe["permissions"] == {"contents": "read"}
    assert not any("pull_request_target" in path.read_text(encoding="utf-8") for path in RECIPES.iterdir())


def test_parts_are_joined(place: Place) -> None:
    """Each asset is made in one part, the join has all locks and files, and a later change is made in its part only."""
    jobs = _recipe("render-in-parts")["jobs"]
    for bought, change in ((4, True), (5, False)):
        parts = jobs["part"]["strategy"]["matrix"]["part"]
        runners = [place.runner("workflow_dispatch") for _ in parts]
        with ThreadPoolExecutor() as pool:
            ended = list(pool.map(lambda runner, part: runner.run(jobs["part"], part=part), runners, parts))
        assert ended == [0] * len(parts), [runner.printed for runner in runners]
        assert place.server.purchases == bought
        join = place.runner("workflow_dispatch", key=False)
        for number, runner in enumerate(runners):
            (join.temp / "parts" / f"part-{number}").mkdir(parents=True)
            shutil.copy(runner.temp / "part.bundle", join.temp / "parts" / f"part-{number}")
        assert join.run(jobs["join"]) == 0, join.printed
        _is_whole(place)
        if change:
            place.edit('"refs/logo.png"]', '"refs/logo.png", "@icon-fox"]')


def test_submit_now_and_collect_later(place: Place) -> None:
    """The push submits and commits the open tasks; a scheduled run elsewhere collects them, never twice."""
    job = _recipe("submit-and-collect")["jobs"]["render"]
    submit = place.runner("push")
    assert submit.run(job) == 0, submit.printed
    open_ones = {name: entry.open for name, entry in place.lock().items() if entry.open}
    assert set(open_ones) == set(IDS) - {"poster"}  # it waits for hero
    assert not any(name.startswith("assets/") for name in place.files())
    assert place.server.purchases == 3

    collect = place.runner("schedule")
    assert collect.run(job) == 0, collect.printed
    _is_whole(place)
    assert place.server.purchases == 4


def test_the_action_is_pinned_and_takes_no_input_into_a_shell(tmp_path: Path) -> None:
    """What the action uses is pinned by hash; inputs are variables, and options are words that no shell reads."""
    text = (ROOT / ".github" / "actions" / "wan-render" / "action.yml").read_text(encoding="utf-8")
    action = pytest.importorskip("ruamel.yaml").YAML(typ="safe", pure=True).load(text)
    steps = action["runs"]["steps"]
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step)
    scripts = [step["run"] for step in steps if "run" in step]
    assert not any("${{" in script for script in scripts)
    env = {name: re.fullmatch(r"\$\{\{ inputs\.(\w+) \}\}", value) for name, value in steps[-1]["env"].items()}
    assert {name.lower(): match and match[1] for name, match in env.items()} == {
        name: name for name in action["inputs"]
    }

    wan = tmp_path / "wan"
    wan.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n", encoding="utf-8")
    wan.chmod(0o755)
    said = {"MANIFEST": "a b.toml; touch one", "OPTIONS": "--check $(touch two) ; touch three `touch four`"}
    ran = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", scripts[-1]], cwd=tmp_path, check=True,
        env={**said, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.stdout.splitlines() == ["render", *said["OPTIONS"].split(), "--", said["MANIFEST"]]
    assert [path.name for path in tmp_path.iterdir()] == ["wan"]
