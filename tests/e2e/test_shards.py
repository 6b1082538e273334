"""The recipes for a render over several machines: a plain process stands for each, with a state of its own.

What a scheduler does is played here: it sets its variables, starts a part again, and carries artifacts. Purchases are
counted at the sandbox on a port.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support_port import Server

import wan_cli
from wan_cli.lock import Entry, Lock
from wan_cli.render.plan import shard_of

FOLDER = Path(__file__).resolve().parents[2] / ".github" / "recipes"
ICONS = ("bee", "cat", "elk", "fox", "hen", "owl", "yak")
TOTAL = 2 + len(ICONS)
MANIFEST = f"""
[defaults]
provider = "rivya"
size = "1K"
output = "assets/{{id}}{{ext}}"

[[asset]]
id = "hero"
prompt = "a lighthouse"

[[asset]]
id = "poster"
verb = "edit"
images = ["@hero"]
prompt = "at night"

[[asset]]
id = "{{animal}}"
prompt = "an icon of a {{animal}}"
matrix = {{ animal = [{", ".join(f'"{icon}"' for icon in ICONS)}] }}
"""
PATIENCE_S = 60.0
pytestmark = [
    pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="uvicorn is not installed"),
]


class Site:
    """A project in a folder that all machines share, and a provider that counts what is bought."""

    def __init__(self, root: Path, server: Server) -> None:
        self.root, self.server = root, server
        self.folder = root / "project"
        self.folder.mkdir()
        (self.folder / "assets.toml").write_text(MANIFEST, encoding="utf-8")
        self.env = {
            **server.env, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "CI": "true",
            "HOME": str(root / "home"), "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1", "PYTHONWARNINGS": "error",
            "PYTHONPATH": str(Path(wan_cli.__file__).parents[1]),
        }  # fmt: skip

    def start(self, command: Sequence[str], cwd: Path | None = None, **env: str) -> subprocess.Popen[str]:
        """Begin a command on a machine: it has its own home, and the variables that are given."""
        return subprocess.Popen(
            command, cwd=cwd or self.folder, env={**self.env, **env}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, command: Sequence[str], cwd: Path | None = None, **env: str) -> tuple[int, str]:
        """Run a command to its end; return its exit code and what it printed."""
        return ended(self.start(command, cwd, **env))

    def check(self) -> tuple[int, str]:
        """Ask whether all is up to date, without key or provider."""
        bare = {name: "" for name in self.env if name.startswith("RIVYA_")}
        return self.run(["wan", "render", "assets.toml", "--check"], WAN_STATE_DIR=str(self.root / "check"), **bare)

    def is_whole(self) -> None:
        """Hold the shared folder against a render that bought each asset once."""
        assert self.check()[0] == 0
        assert self.server.purchases == len(self.lock())
        assert not list(self.folder.glob("*.journal"))

    def lock(self) -> dict[str, Entry]:
        """Return what the lock and the journals beside it say."""
        return dict(Lock(self.folder / "assets.lock").entries)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a process."""
    out, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out


def kill_when_bought(process: subprocess.Popen[str], journal: Path) -> None:
    """End a part, and all that it started, as soon as it has written that a purchase of it was taken."""
    ends = time.monotonic() + PATIENCE_S
    while not (journal.exists() and '"pending"' in journal.read_text(encoding="utf-8")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def yaml(name: str) -> Any:
    """Read a recipe."""
    return pytest.importorskip("ruamel.yaml").YAML(typ="safe", pure=True).load((FOLDER / name).read_text("utf-8"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a project in which nothing is rendered."""
    with Server(tmp_path / "port", latency=0.3) as server:
        yield Site(tmp_path, server)


def test_kubernetes(site: Site) -> None:
    """Pods of an indexed job write one lock in one folder; one that is killed goes on in the next pod."""
    spec = yaml("kubernetes-parts.yaml")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    said = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    assert spec["completionMode"] == "Indexed"
    assert said["PARTS"] == str(spec["completions"])
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container["name"]

    def pod(index: int) -> subprocess.Popen[str]:
        return site.start([*container["command"], *container["args"]], **said, JOB_COMPLETION_INDEX=str(index))

    victim = shard_of("hero", spec["completions"])
    pods = [pod(index) for index in range(spec["completions"])]
    kill_when_bought(pods[victim - 1], site.folder / f"assets.lock.{victim}-of-{spec['completions']}.journal")
    others = [ended(each) for number, each in enumerate(pods, start=1) if number != victim]
    assert [code for code, _ in others] == [0] * len(others), others
    assert site.check()[0] == 13
    last = ended(pod(victim - 1))
    assert last[0] == 0, last
    assert len(site.lock()) == TOTAL
    site.is_whole()


def test_slurm(tmp_path: Path) -> None:
    """A task of an array that fails leaves the others' work; it alone is run once more, and another number follows."""
    script = FOLDER / "slurm-parts.sbatch"
    text = script.read_text(encoding="utf-8")
    array = re.search(r"^#SBATCH --array=1-(\d+)$", text, re.MULTILINE)
    assert array
    count = int(array[1])

    with Server(tmp_path / "port", "moderation*1/submit") as server:
        site = Site(tmp_path, server)

        def task(number: int, of: int, **env: str) -> subprocess.Popen[str]:
            said = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": str(of)}
            return site.start(["bash", str(script)], tmp_path, SLURM_SUBMIT_DIR=str(site.folder), **said, **env)

        tasks = [ended(each) for each in [task(number, count) for number in range(1, count + 1)]]
        (failed,) = (number for number, (code, _) in enumerate(tasks, start=1) if code)
        assert tasks[failed - 1][0] in (4, 11), tasks
        assert server.purchases == sum(1 for entry in site.lock().values() if entry.files) > 0
        assert site.check()[0] == 13

        code, out = ended(task(0, count))
        assert (code, "add 1 to an index" in out) == (2, True), out
        assert ended(task(count, 1))[0] == 2  # --array=4 alone, without PARTS
        code, out = ended(task(failed, 1, PARTS=str(count)))
        assert code == 0, out
        assert server.purchases == len(site.lock()) == TOTAL

        manifest = site.folder / "assets.toml"
        manifest.write_text(MANIFEST.replace('"yak"', '"yak", "emu"'), encoding="utf-8")
        empty = next(part for part in range(1, 100) if part not in {shard_of(name, 99) for name in site.lock()})
        for number in {shard_of("emu", 99), empty}:
            code, out = ended(task(number, 99))
            assert code == 0, out
        assert server.purchases == len(site.lock()) == TOTAL + 1
        site.is_whole()


@pytest.mark.skipif(shutil.which("xargs") is None, reason="xargs is not installed")
def test_xargs(site: Site) -> None:
    """Processes of one machine share folder and state; each asset is bought once, whatever the number of parts."""
    for parts in ("3", "2"):  # the script ends with --check
        code, out = site.run(["sh", str(FOLDER / "render-parts.sh"), parts], WAN_STATE_DIR=str(site.root / "state"))
        assert code == 0, out
        assert site.server.purchases == len(site.lock()) == TOTAL
    assert not list(site.folder.glob("*.journal"))


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_gitlab(site: Site) -> None:
    """Runners have a clone each; the join has what all of them bought, also one that was killed, which goes on."""
    jobs = yaml("gitlab-parts.yml")
    part, join = jobs["assets-part"], jobs["assets-join"]
    assert join["needs"] == ["assets-part"]
    install = "python -m pip install ./tools/wan"
    origin = site.root / "origin.git"
    git = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
    first = f"""
        printf 'assets.lock text eol=lf merge=wan\\n' > .gitattributes
        printf '%s\\n' '*.lock.journal' '*.part' > .gitignore
        git init -q -b main . && git add -A && git {" ".join(git)} commit -qm first && git clone -q --bare . {origin}
    """
    assert site.run(["bash", "-ec", first]) == (0, "")

    def runner(name: str) -> Path:
        clone = site.root / name
        assert site.run(["git", "clone", "-q", "--depth=1", f"file://{origin}", str(clone)])[0] == 0
        return clone

    def start(job: Any, steps: str, clone: Path, number: int = 0) -> subprocess.Popen[str]:
        script = "\n".join(line for line in job[steps] if line != install)
        script = re.sub(r'"https://[^"]+"', f"'{origin}'", script)
        said = {"CI_NODE_INDEX": str(number), "CI_NODE_TOTAL": str(part["parallel"]), "CI_COMMIT_BRANCH": "main"}
        return site.start(["bash", "-ec", script], clone, WAN_STATE_DIR=str(clone) + "-state", **said)

    def pipeline(name: str, victim: int) -> tuple[int, str]:
        numbers = range(1, part["parallel"] + 1)
        clones = {number: runner(f"{name}{number}") for number in numbers}
        begun = {number: start(part, "script", clone, number) for number, clone in clones.items()}
        if victim:
            journal = clones[victim] / f"assets.lock.{victim}-of-{part['parallel']}.journal"
            kill_when_bought(begun[victim], journal)
        done = {number: ended(process) for number, process in begun.items() if number != victim}
        assert not any(code for code, _ in done.values()), done
        last = runner(f"{name}-join")
        for number, clone in clones.items():
            assert ended(start(part, "after_script", clone, number))[0] == 0
            shutil.copy(clone / f"part-{number}.bundle", last)
        return ended(start(join, "script", last))

    assert pipeline("first", shard_of("hero", part["parallel"]))[0] == 13
    bought = site.server.purchases
    code, out = pipeline("second", 0)
    assert code == 0, out
    assert bought < site.server.purchases == TOTAL
    clone = runner("fresh")
    assert sorted(Lock(clone / "assets.lock").entries) == sorted(["hero", "poster", *ICONS])
    assert sorted(path.stem for path in (clone / "assets").iterdir()) == sorted(["hero", "poster", *ICONS])
    assert not list(clone.glob("*.journal"))
    assert not list(clone.glob("*.bundle"))
