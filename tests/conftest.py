"""Guards for every test: loopback only, no real home, no keys; and the harness of the command line."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "providers")]
pytest.register_assert_rewrite("conformance")

from support_guards import OWN_VARIABLE, StrangerError, guarded, is_here  # noqa: E402 - after the lines above


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sockets reach this machine and nothing else, and no name be looked up."""
    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, guarded(name))
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **named: Any) -> Any:
        if not is_here(host):
            raise StrangerError(f"look-up of {host!r}: tests talk to loopback only")
        return look_up(host, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture(autouse=True)
def nobodys_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Point every folder of the user below ``tmp_path`` (nothing is made), clear keys and settings, fix time zone."""
    for name in [name for name in os.environ if OWN_VARIABLE.match(name)]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    folders = {"CONFIG": ".config", "STATE": ".local/state", "DATA": ".local/share", "CACHE": ".cache"}
    for name, place in folders.items():
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / place))
    monkeypatch.setenv("WAN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("LANG", "C.UTF-8")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Any]:
    """Return the harness of the command line; afterwards no file and no output may hold a canary key."""
    from support_cli import Cli

    harness = Cli(tmp_path)
    yield harness
    harness.search_for_keys()


@pytest.fixture
def wan(cli: Any) -> Any:
    """Return ``wan(*args, stdin=, env=, tty=)``: runs one command line in this process."""
    return cli.run


@pytest.fixture
def provider() -> Iterator[Any]:
    """Return a loopback server that speaks just enough Rivya and Modelverse, scripted by the test."""
    from support_provider import FakeProvider

    with FakeProvider() as server:
        yield server


@pytest.fixture
def live(cli: Any, provider: Any) -> Any:
    """Return the harness with base URLs and canary keys set for the loopback server."""
    from support_cli import MODELVERSE_KEY, RIVYA_KEY

    cli.env |= {
        "RIVYA_BASE_URL": provider.url, "MODELVERSE_BASE_URL": provider.url,
        "RIVYA_API_KEY": RIVYA_KEY, "MODELVERSE_API_KEY": MODELVERSE_KEY,
    }  # fmt: skip
    cli.provider = provider
    return cli


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return an S3 server with an empty bucket, and the environment that leads to it."""
    from support_store import Store, serving

    from wan_cli.stores import objects

    with serving(Store()) as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        objects.forget()
        yield server
    objects.forget()


@pytest.fixture
def wire(tmp_path: Path, cli: Any) -> Iterator[Any]:
    """Return a server of raw sockets that speaks every provider's contract, and breaks where the test says."""
    from support_wire import Wire

    with Wire(tmp_path / "world", cli.clock) as server:
        yield server


@pytest.fixture
def line(cli: Any, wire: Any) -> Any:
    """Return the command line with every provider at ``wire``, and every deadline divided."""
    from support_wire import line_for

    return line_for(cli, wire)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """Return a PostgreSQL server that is there for all tests; skip where none can be started."""
    from support_postgres import Absent, running

    context = running()
    try:
        server = context.__enter__()
    except Absent as absent:
        pytest.skip(f"no PostgreSQL here: {absent}")
    yield server
    context.__exit__(None, None, None)


@pytest.fixture
def postgres(postgres_server: Any) -> Any:
    """Return the server without anything of an earlier test."""
    postgres_server.clean()
    return postgres_server


@pytest.fixture
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return what opens the same ledger: in files, or where ``@BOTH`` says so (support_ledger) in PostgreSQL."""
    from functools import partial

    from wan_cli.ledger import Ledger

    if getattr(request, "param", "sqlite") == "postgresql":
        return partial(Ledger.open_url, request.getfixturevalue("postgres").url)
    return partial(Ledger.open, tmp_path / "state")
