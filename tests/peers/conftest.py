"""A person with a key, in front of somebody else's server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support_peers import Customer, Peer


@pytest.fixture
def customer(tmp_path: Path) -> Iterator[Callable[[Peer], Customer]]:
    """Return ``customer(peer)``: a place to run wan in, with the variables that lead to the peer."""
    made: list[Customer] = []

    def come(peer: Peer) -> Customer:
        made.append(Customer(tmp_path, peer))
        return made[-1]

    yield come
    for one in made:
        one.close()
