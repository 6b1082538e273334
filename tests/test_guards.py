"""The guards of conftest.py do guard."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import httpx
import pytest
from support_guards import OWN_VARIABLE, StrangerError

from wan_cli.config import state_folder
from wan_cli.config.settings import config_path


@pytest.mark.parametrize("address", [("192.0.2.1", 443), ("8.8.8.8", 53), ("example.com", 80), ("0.0.0.0", 0)])  # noqa: S104
@pytest.mark.parametrize("call", ["connect", "connect_ex", "bind"])
def test_no_stranger_is_reached(address: tuple[str, int], call: str) -> None:
    """A socket to anything but loopback fails before a packet leaves."""
    with socket.socket() as sock, pytest.raises(StrangerError):
        getattr(sock, call)(address)


def test_no_datagram_leaves() -> None:
    """UDP is held to the same rule."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(StrangerError):
        sock.sendto(b"", ("192.0.2.1", 53))


def test_no_name_is_looked_up() -> None:
    """Names other than localhost are not resolved, by httpx either."""
    with pytest.raises(StrangerError):
        socket.getaddrinfo("rivya.ai", 443)
    with pytest.raises(StrangerError), httpx.Client() as client:
        client.get("http://rivya.ai")


def test_loopback_works() -> None:
    """A loopback socket can be opened by address and connected to by name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("localhost", port)) as there:
            assert there.getpeername()[1] == port


def test_the_home_folder_is_nobodys(tmp_path: Path) -> None:
    """Home, configuration and state are below tmp_path, and nothing of them exists beforehand."""
    assert Path.home() == tmp_path / "home"
    assert config_path(os.environ).is_relative_to(tmp_path)
    assert state_folder(os.environ) == tmp_path / "state"
    assert state_folder({}).is_relative_to(tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_setting_is_inherited() -> None:
    """No key, base URL, proxy or setting of the machine is seen by a test."""
    allowed = {"WAN_STATE_DIR", *(f"XDG_{name}_HOME" for name in ("CONFIG", "STATE", "DATA", "CACHE"))}
    assert {name for name in os.environ if OWN_VARIABLE.match(name)} == allowed


@pytest.mark.parametrize(
    "name",
    ["RIVYA_API_KEY", "OPENAI_API_KEY_FILE", "WAN_SANDBOX", "https_proxy", "HTTPS_PROXY", "XDG_RUNTIME_DIR", "CI"],
)
def test_what_is_cleared(name: str) -> None:
    """The pattern of cleared variables covers keys, settings, proxies and CI marks."""
    assert OWN_VARIABLE.match(name)


def test_time_zone_and_language_are_fixed() -> None:
    """Dates in names and texts do not depend on the machine."""
    assert time.strftime("%H:%M", time.localtime(0)) == "00:00"
    assert os.environ["LANG"] == "C.UTF-8"
