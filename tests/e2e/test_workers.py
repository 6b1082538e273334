"""Workers on a shared queue as real processes: the recipes for containers, and what is left when they are killed."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support_machines import Farm
from support_port import Server
from support_postgres import PostgresServer

import wan_cli
from wan_cli.lock import Lock

FOLDER = Path(__file__).resolve().parents[2] / ".github" / "recipes"
MANIFEST = """
[defaults]
provider = "rivya"
size = "1K"
output = "assets/{id}{ext}"

[[asset]]
id = "hero"
prompt = "a lighthouse"

[[asset]]
id = "poster"
verb = "edit"
images = ["@hero"]
prompt = "at night"

[[asset]]
id = "{animal}"
prompt = "an icon of a {animal}"
matrix = { animal = ["bee", "cat", "elk", "fox", "hen", "owl"] }
"""
TOTAL = 8
PATIENCE_S = 60.0
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="uvicorn is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("procrastinate") is None, reason="procrastinate is not installed"),
]


@dataclass(frozen=True)
class Container:
    """How one is begun: the arguments of ``wan``, variables by name, and how long it may take to end."""

    args: Sequence[str]
    env: frozenset[str]
    grace_s: float


def yaml() -> Any:
    """Return a reader."""
    return pytest.importorskip("ruamel.yaml").YAML(typ="safe", pure=True)


def compose() -> tuple[Container, int, Container]:
    """Return the worker, how many of it, and the render of the compose file."""
    services = yaml().load((FOLDER / "compose-workers.yaml").read_text("utf-8"))["services"]
    assert services["database"]["volumes"] == ["database:/var/lib/postgresql/data"]
    worker, render = (
        Container(one["command"], frozenset(one["environment"]), float(one.get("stop_grace_period", "10s")[:-1]))
        for one in (services["worker"], services["render"])
    )
    return worker, services["worker"]["deploy"]["replicas"], render


def kubernetes() -> tuple[Container, int, Container]:
    """Return the same of the Kubernetes manifests."""
    deployment, job = yaml().load_all((FOLDER / "kubernetes-workers.yaml").read_text("utf-8"))
    assert (deployment["kind"], job["kind"]) == ("Deployment", "Job")
    pods = [one["spec"]["template"]["spec"] for one in (deployment, job)]
    worker, render = (
        Container(
            pod["containers"][0]["args"], frozenset(each["name"] for each in pod["containers"][0]["env"]),
            pod["terminationGracePeriodSeconds"],
        )
        for pod in pods
    )  # fmt: skip
    assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]
    return worker, deployment["spec"]["replicas"], render


@pytest.mark.parametrize("recipe", [compose, kubernetes])
def test_recipes_for_workers_give_time_and_keys(recipe: Any) -> None:
    """A worker has more time to end than it takes, all have what they need, and both recipes run the same commands."""
    from wan_cli.cli.queued.worker import GRACE_S

    worker, _, render = recipe()
    assert worker.grace_s > GRACE_S["SIGTERM"]
    assert {"WAN_QUEUE", "RIVYA_API_KEY"} <= worker.env & render.env
    usual, _, usual_render = compose()
    assert (worker.args[: len(usual.args)], render.args) == (usual.args, usual_render.args)


def test_the_recipes_for_workers(postgres: PostgresServer, tmp_path: Path) -> None:
    """Each asset is bought once and is there; a worker that is asked to end in the middle ends well, and in time."""
    worker, replicas, render = compose()
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "assets.toml").write_text(MANIFEST, encoding="utf-8")

    with Server(tmp_path / "port", latency=0.3) as server:

        def start(container: Container, name: str) -> subprocess.Popen[str]:
            env = {
                **os.environ, **server.env, "WAN_QUEUE": postgres.url, "HOME": str(tmp_path / "home"), "CI": "true",
                "WAN_STATE_DIR": str(tmp_path / name), "PYTHONPATH": str(Path(wan_cli.__file__).parents[1]),
            }  # fmt: skip
            args = [str(folder) if word == "/work" else word for word in container.args]
            return subprocess.Popen(
                [sys.executable, "-m", "wan_cli", *args], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip

        def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
            out, _ = process.communicate(timeout=PATIENCE_S)
            return process.returncode, out

        rendering = start(render, "render")
        few = min(replicas, 2)  # each of them takes a second of the processor to begin
        workers = [start(worker, f"worker{number}") for number in range(few)]
        until = time.monotonic() + PATIENCE_S
        while not server.purchases:
            assert rendering.poll() is None, ended(rendering)
            assert time.monotonic() < until
            time.sleep(0.02)
        workers[0].send_signal(signal.SIGTERM)
        first = ended(workers[0])
        code, said = ended(rendering)
        for each in workers[1:]:
            each.send_signal(signal.SIGTERM)
        others = [ended(each) for each in workers[1:]]
        assert (code, first[0], [each[0] for each in others]) == (0, 0, [0] * (few - 1)), (said, first, others)
        assert server.purchases == TOTAL
    made = Lock(folder / "assets.lock").entries
    assert len(made) == TOTAL
    assert all((folder / each.path).is_file() for entry in made.values() for each in entry.files)


def test_what_is_bought_is_known_though_workers_are_killed(postgres: PostgresServer, tmp_path: Path) -> None:
    """With a worker killed and the database restarted each asset is bought once, or listed as in doubt; never both."""
    farm = Farm(tmp_path, postgres, assets=60, jobs=12, lease_s=3.0, latency=0.2)
    with farm:
        code, _ = farm.run(workers=2, kills=1, seed=5)
        farm.until(lambda: all(one.after_s is not None for one in farm.taken), PATIENCE_S)
        drained = farm.drain()
        bought, doubts, whole = farm.bought(), farm.doubts(), farm.whole()
    everything = {f"a{number:05}" for number in range(farm.assets)}
    assert drained == [0, 0], (tmp_path / "worker-0.log").read_text("utf-8")
    assert code == (9 if doubts else 0), (tmp_path / "render.log").read_text("utf-8")
    assert {name for name in everything - doubts if bought[name] == 1 and name in whole} == everything - doubts
    assert all(bought[name] <= 1 for name in doubts)
    assert all(int(name[1:]) % 2 for name in doubts), "a purchase with a key is never in doubt"
    assert len(farm.gone) == 3
