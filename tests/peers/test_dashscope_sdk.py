"""Alibaba's own DashScope SDK against the sandbox's port: it asks as it asks the real service, and understands us."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support_cli import picture
from support_dashscope import UUID, wav
from support_installing import from_pypi, program
from support_leaks import clip
from support_port import Server

from wan_cli.sandbox import dashscope

pytestmark = pytest.mark.peers

SCRIPT = Path(__file__).with_name("dashscope_customer.py")
MODELS = ("wan2.7-i2v", "wan2.7-r2v", "wan2.7-videoedit")


class Use:
    """The SDK at work in a process of its own, for a sandbox on a port."""

    def __init__(self, environment: Path, folder: Path, **world: Any) -> None:
        self._python = program(environment, "python")
        self._folder = folder
        self.port = Server(folder / "port", film=clip, **world)

    def __call__(self, *wanted: str) -> list[dict[str, Any]]:
        """Return what the SDK returned, step by step, for each of the customer's errands."""
        (self._folder / "a.png").write_bytes(picture(1280, 720))
        (self._folder / "a.wav").write_bytes(wav(4))
        (self._folder / "a.mp4").write_bytes(clip("", 1280, 720, seconds=4))
        base, home = f"{self.port.url}/dashscope", str(self._folder)
        env = {"PATH": os.environ["PATH"], "HOME": home, "NO_PROXY": "127.0.0.1"}
        command = [self._python, str(SCRIPT), base, dashscope.KEY, home, *wanted]
        ended = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.fixture(scope="module")
def environment() -> Path:
    """Return the environment that the SDK is installed in, with what its clients of models import and no more."""
    return from_pypi("dashscope")


@pytest.fixture(scope="module")
def used(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Return what became of three errands, while the sandbox still serves; and what it charged."""
    errands = ("pictures", "videos", "refusals")
    use = Use(environment, tmp_path_factory.mktemp("sdk"))
    with use.port:
        done = dict(zip(errands, use(*errands), strict=True))
        yield {**done, "purchases": use.port.purchases}


def links(step: dict[str, Any]) -> list[str]:
    """Return the pictures of an answer."""
    assert step["status_code"] == 200, step
    return [choice["message"]["content"][0]["image"] for choice in step["output"]["choices"]]


def test_pictures(used: dict[str, Any]) -> None:
    """The SDK makes pictures at once and by a task, uploads a local file for it, and its links hold pictures."""
    steps = used["pictures"]
    counts = {"conversation": 1, "at once": 2, "edit": 1, "edited by file URL": 1, "fetched": 4, "waited": 4}
    assert {name: len(links(steps[name])) for name in counts} == counts
    assert steps["at once"]["usage"]["size"] == "1024*768"
    assert steps["edit"]["usage"]["size"] == "1344*756", "the tier in the shape of what was uploaded"
    assert steps["begun"]["output"]["task_status"] == "PENDING"
    assert steps["waited"]["usage"]["image_count"] == 4
    for name in ("conversation", "waited"):
        assert httpx.get(links(steps[name])[0]).content.startswith(b"\x89PNG")


def test_videos(used: dict[str, Any]) -> None:
    """The SDK makes a video with each of the four models, uploading pictures, footage and sound for it."""
    steps = used["videos"]
    for step in (*(steps[model] for model in MODELS), steps["waited"]):
        assert step["output"]["task_status"] == "SUCCEEDED", step
        assert httpx.get(step["output"]["video_url"]).content[4:8] == b"ftyp"
        assert (step["usage"]["output_video_duration"], step["usage"]["SR"]) == (2, 720)
    assert [steps[model]["usage"]["duration"] for model in MODELS] == [2, 6, 6]
    assert steps["waited"]["usage"]["ratio"] == "1:1"
    assert UUID.fullmatch(steps["begun"]["output"]["task_id"])


def test_tasks(environment: Path, tmp_path: Path) -> None:
    """The SDK takes a waiting task back once, sees what became of it, and pages through the list."""
    use = Use(environment, tmp_path, latency=3600)
    with use.port:
        (steps,) = use("tasks")
    first, second = (steps[name]["output"]["task_id"] for name in ("first", "second"))
    assert (steps["cancelled"]["status_code"], steps["cancelled"]["code"]) == (200, None)
    assert (steps["again"]["status_code"], steps["again"]["code"]) == (400, "UnsupportedOperation")
    assert steps["fetched"]["output"]["task_status"] == "CANCELED"
    assert steps["running"]["output"]["task_status"] == "PENDING"
    assert steps["unknown"]["output"]["task_status"] == "UNKNOWN"
    page = steps["listed"]["output"]
    assert ([line["task_id"] for line in page["data"]], page["total"], page["total_page"]) == ([first], 2, 2)
    assert [line["task_id"] for line in steps["canceled"]["output"]["data"]] == [first]
    assert second != first


def test_refusals(used: dict[str, Any]) -> None:
    """What the sandbox refuses the SDK returns with status, code and message; charged is what was accepted alone."""
    steps = used["refusals"]
    told = {name: (step["status_code"], step["code"]) for name, step in steps.items() if "code" in step}
    assert told["key"] == (401, "InvalidApiKey")
    assert told["model"] == told["parameter"] == (400, "InvalidParameter")
    assert told["content"] == (400, "DataInspectionFailed")
    output = steps["failed"]["output"]
    assert (output["task_status"], output["code"]) == ("FAILED", "InternalError.Algo")
    assert "url error" in steps["older"]["raised"]
    assert "Model not exist." in steps["upload"]["raised"]
    assert used["purchases"] == 5 + 4 + 1, "pictures, videos, and the task that failed"
