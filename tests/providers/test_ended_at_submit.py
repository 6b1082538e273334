"""A task may have ended when its purchase is answered: it is known by its id all the same."""

from __future__ import annotations

from typing import Any

import pytest
from support_adapter import adapter, answered, job

VIDEO = {"model": "wan2.7-video", "makes": "video"}
ANSWERS = {
    "rivya": ({}, lambda status: {"id": "task_1", "status": status, "reserved_credits": 12, "final_credits": 0}),
    "modelverse": ({}, lambda status: {"output": {"task_id": "task_1", "task_status": status}, "request_id": "r"}),
    "toapis": (VIDEO, lambda status: {"id": "task_1", "status": status}),
}
"""What is ordered at each provider that has tasks, and its answer."""


@pytest.mark.parametrize(("status", "kind"), [("failed", "failed"), ("cancelled", "cancelled")])
@pytest.mark.parametrize("provider", ANSWERS)
def test_an_end_at_submit_names_its_task(provider: str, status: str, kind: str) -> None:
    """A task that has ended in the answer to its submit keeps its id; Modelverse's is asked about once more."""
    said, body = ANSWERS[provider]
    order: Any = job(provider, **said)  # type: ignore[arg-type]
    state = answered(adapter(provider).submit(order, token="t"), body(status))  # type: ignore[operator]
    assert (state.kind, getattr(state, "task_id", None)) == ("pending" if provider == "modelverse" else kind, "task_1")
