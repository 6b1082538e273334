"""wan under the judgement of llmock, which watches how a client takes faults and prints a verdict.

Its pictures are SVG inside the answer, so what was bought never becomes a file (exit 12): here only conduct counts.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support_installing import from_pypi, program
from support_peers import Customer, Peer

pytestmark = pytest.mark.peers

BOUGHT = 12


@pytest.fixture(scope="session")
def environment() -> Path:
    """Return the environment that llmock is installed in."""
    return from_pypi("llmock")


@pytest.fixture(scope="module")
def server(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Return llmock, which does what its queue of scenarios says."""
    words = ("serve", "-h", "127.0.0.1", "-p", "{port}", "--log-level", "warning")
    with Peer((program(environment, "llmock"), *words), tmp_path_factory.mktemp("llmock")) as peer:
        yield peer


@pytest.fixture
def llmock(server: Peer) -> Peer:
    """Return llmock, which has forgotten every request and every scenario."""
    assert server.ask("POST", "/_llmock/reset").is_success
    return server


@pytest.fixture
def wan(llmock: Peer, customer: Callable[[Peer], Customer]) -> Customer:
    """Return ``wan(*argv)``, a customer of llmock."""
    return customer(llmock)


def fail(status: int, times: int, **more: Any) -> dict[str, Any]:
    """Return a behaviour: the next requests are refused with this status."""
    return {"type": "fail", "status": status, "times": times, **more}


def verdict(environment: Path, peer: Peer, *words: str) -> tuple[int, Any]:
    """Return the exit code and the document of ``llmock report``."""
    command = [program(environment, "llmock"), "report", "--url", peer.url, "--json", *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return ran.returncode, json.loads(ran.stdout)


# Behaviours in order, wan's exit, how many requests are made, and what llmock warns of (nothing: a strict pass).
CONDUCT = [
    ([fail(429, 1, retry_after=0.7)], BOUGHT, 2, []),
    ([fail(429, 2)], BOUGHT, 3, []),
    ([fail(400, 1)], 4, 1, []),
    # A paid request without an idempotency key is not sent again when it may have been taken: llmock, which knows chats
    # and no purchases, would have it repeated, and warns; it is no error of conduct.
    ([fail(500, 1)], 9, 1, ["gave_up"]),
    ([fail(503, 1, retry_after=0.7)], 9, 1, ["gave_up"]),
]


@pytest.mark.parametrize(
    ("behaviours", "code", "requests", "warnings"), CONDUCT,
    ids=["429 with Retry-After", "429 twice", "400", "500", "503"],
)  # fmt: skip
def test_the_verdict(
    wan: Customer,
    llmock: Peer,
    environment: Path,
    behaviours: list[Any],
    code: int,
    requests: int,
    warnings: list[str],
) -> None:
    """The verdict on wan's conduct is PASS: limits are waited out, and what may have been bought stays alone."""
    assert llmock.ask("POST", "/_llmock/scenario", json={"behaviors": behaviours}).is_success
    ran = wan("generate", "a paper crane", "-o", "out/")
    assert ran.code == code, ran
    ended, said = verdict(environment, llmock)
    assert (ended, said["passed"], said["errors"]) == (0, True, 0), said
    assert said["attempts"] == requests
    assert said["calls"] == 1
    assert said["faults_injected"] == sum(behaviour["times"] for behaviour in behaviours)
    assert [found["code"] for found in said["findings"]] == warnings
    assert not wan.machine.files() or list((wan.machine.work / "out").iterdir()) == []


def test_a_limit_that_stays(wan: Customer, llmock: Peer, environment: Path) -> None:
    """A limit that never ends is given up after a few waits: exit 6, nothing bought, and still a strict pass."""
    behaviour = fail(429, 50, retry_after=0.2)
    assert llmock.ask("POST", "/_llmock/scenario", json={"behaviors": [behaviour]}).is_success
    ran = wan("generate", "a paper crane", "-o", "out/")
    assert (ran.code, ran.json["error"]["charged"]) == (6, "no"), ran
    ended, said = verdict(environment, llmock, "--strict")
    assert (ended, said["findings"]) == (0, []), said
    assert 2 <= said["attempts"] <= 6


def test_the_judge_judges(llmock: Peer, environment: Path) -> None:
    """A client that hurries past Retry-After, and one that repeats a 400, are both found out."""
    order = {"model": "gpt-image-1", "prompt": "a paper crane"}
    for behaviour in (fail(429, 1, retry_after=5), fail(400, 1)):
        assert llmock.ask("POST", "/_llmock/scenario", json={"behaviors": [behaviour]}).is_success
        for _ in range(2):
            llmock.ask("POST", "/v1/images/generations", json=order)
    ended, said = verdict(environment, llmock)
    assert ended == 1
    assert {found["code"] for found in said["findings"]} == {"retry_after_ignored", "retried_non_retryable"}
