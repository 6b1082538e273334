"""Tasks that never were bought, streams that remember, and a clock that is turned by hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from wan_cli.models import Cost, Done, Failed, File, Job, Output, Pending, Saved, Sending, Target, Task
from wan_cli.ui.streams import Streams

SHA = "ab" * 32


@dataclass
class Clock:
    """Seconds that pass only when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def build_task(**changes: Any) -> Task:
    """Build a task of ``rivya``; ``job`` may be a mapping of changes to its job."""
    job = Job(verb="generate", provider="rivya", model="wan2.7-image-pro", prompt="a fox", size="2K", seed=7)
    job = replace(job, **changes.pop("job", {}))
    task = Task(
        id="k3f9x2", provider="rivya", origin="https://rivya.ai", job=job, provider_model="wan-2-7-image-pro",
        token="t", target=Target(template="/srv/out/{slug}{ext}"), created_at=1_795_251_600.9,
        cost=Cost(estimated=12.0, unit="credits"),
    )  # fmt: skip
    return replace(task, **changes)


def saved_file(index: int = 1, path: str | None = "/srv/out/fox.png") -> File:
    """Build a file of 2048 x 2048 pixels."""
    return File(index=index, path=path, bytes=1_048_576, sha256=SHA, mime="image/png", width=2048, height=2048)


def story() -> list[Task]:
    """Tell one purchase from the first commit to the file."""
    sending = build_task(state=Sending(at=1.0))
    pending = replace(sending, state=Pending(task_id="task_1"), task_id="task_1", charged="yes", submitted_at=2.0)
    done = replace(pending, state=Done(outputs=(Output(url="https://cdn.example/1.png"),), task_id="task_1"))
    paid = replace(done, cost=Cost(estimated=12, actual=12, unit="credits"), finished_at=3.0)
    return [sending, pending, paid, replace(paid, state=Saved(files=(saved_file(),)))]


def build_streams(**changes: Any) -> Streams:
    """Build streams that are kept in memory; no terminal, empty environment."""
    given: dict[str, Any] = {"stdout_tty": False, "stderr_tty": False, "env": {}}
    return Streams(**{"stdout": io.StringIO(), "stderr": io.StringIO(), **given, **changes})


def failed(**changes: Any) -> Failed:
    """Build a failure that the provider reports."""
    return Failed(**{"code": "task_failed", "message": "the upstream model failed", "charged": "no", **changes})


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def task() -> Callable[..., Task]:
    """Return the builder of tasks."""
    return build_task


@pytest.fixture
def streams() -> Callable[..., Streams]:
    """Return the builder of streams."""
    return build_streams


@pytest.fixture
def tale() -> list[Task]:
    """Return one purchase, state by state."""
    return story()


@pytest.fixture
def fake() -> Callable[..., Failed]:
    """Return the builder of failures."""
    return failed


@pytest.fixture
def file() -> Callable[..., File]:
    """Return the builder of saved files."""
    return saved_file
