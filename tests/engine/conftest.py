"""The stage of the engine's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support_engine import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Return a stage over an empty folder."""
    made = Stage(tmp_path)
    yield made
    made.close()
