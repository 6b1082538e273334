"""Real processes over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support_processes import Machine, SlowProvider


@pytest.fixture
def slow() -> Iterator[SlowProvider]:
    """Return a provider whose steps can be held."""
    with SlowProvider() as server:
        yield server
        server.let_go()


@pytest.fixture
def machine(tmp_path: Path, slow: SlowProvider) -> Iterator[Machine]:
    """Return a place to run wan in, with keys for the provider."""
    made = Machine(tmp_path, slow)
    yield made
    made.close()
