"""mitmproxy as a hostile middle between wan and the sandbox's port: each purchase is counted where it is sold."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_installing import from_pypi, program
from support_peers import Peer
from support_port import Server
from support_processes import Ended, Machine

pytestmark = pytest.mark.peers

ADDON = Path(__file__).with_name("mitm_addon.py")
KEYED = ("generate", "a fox", "-p", "rivya", "-s", "1K", "-o", "fox.png")
UNKEYED = ("generate", "a fox", "-p", "modelverse", "--sync", "-s", "1K", "-o", "fox.png")


@pytest.fixture(scope="session")
def environment() -> Path:
    """Return the environment that mitmproxy is installed in."""
    return from_pypi("mitmproxy")


@pytest.fixture(scope="module")
def port() -> int:
    """Return a port for the sandbox, which is another one for each test and sits behind the same mitmproxy."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        number: int = bound.getsockname()[1]
        return number


@pytest.fixture(scope="module")
def mitmproxy(environment: Path, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Return mitmproxy in front of that port; it keeps the Host header, so that links to results lead through it."""
    folder = tmp_path_factory.mktemp("mitmproxy")
    (folder / "plan").touch()
    mode = f"reverse:http://127.0.0.1:{port}"
    words = ("-p", "{port}", "--listen-host", "127.0.0.1", "--mode", mode, "-s", str(ADDON))
    options = ("keep_host_header=true", f"confdir={folder}", "connection_strategy=lazy", "flow_detail=0")
    sets = [word for option in options for word in ("--set", option)]
    with Peer((program(environment, "mitmdump"), *words, *sets), folder) as peer:
        yield peer


class Middle:
    """A customer of the sandbox who reaches it through mitmproxy alone."""

    def __init__(self, root: Path, peer: Peer, server: Server) -> None:
        self.peer = peer
        self.server = server
        self.machine = Machine(root)
        self.machine.env |= {name: value.replace(server.url, peer.url) for name, value in server.env.items()}

    def __call__(self, plan: str, *argv: str, **env: str) -> Ended:
        """Run wan while mitmproxy follows a plan; every request went through it."""
        (self.peer.log.parent / "plan").write_text(plan, encoding="ascii")
        (self.peer.log.parent / "seen").write_text("", encoding="ascii")
        return self.machine.run(*argv, "--json", env=env)

    @property
    def seen(self) -> list[str]:
        """What passed by: a word of the plan, method and path."""
        return (self.peer.log.parent / "seen").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def middle(mitmproxy: Peer, port: int, tmp_path: Path) -> Iterator[Middle]:
    """Return wan, mitmproxy and a sandbox that has sold nothing."""
    with Server(tmp_path / "port", port=port) as server:
        one = Middle(tmp_path, mitmproxy, server)
        yield one
        one.machine.close()


# What is done to the first requests, what is bought (Rivya honours an idempotency key, Modelverse has none), wan's
# exit, and how many orders the sandbox has charged in the end.
PLANS = [
    ("limit", UNKEYED, 0, 1),
    ("kill-before", KEYED, 0, 1),
    ("kill-before", UNKEYED, 9, 0),
    ("kill-after", KEYED, 0, 1),
    ("kill-after", UNKEYED, 9, 1),
    ("cut", KEYED, 0, 1),
    ("cut", UNKEYED, 9, 1),
    ("page", UNKEYED, 9, 1),
    ("gateway", UNKEYED, 9, 0),
    ("elsewhere", UNKEYED, 3, 0),
    ("pass kill-after cut page", UNKEYED, 0, 1),
    ("kill-after cut limit pass gateway kill-before", KEYED, 0, 1),
]


@pytest.mark.parametrize(
    ("plan", "words", "code", "sold"), PLANS, ids=[f"{row[0].replace(' ', '+')} of {row[1][3]}" for row in PLANS]
)
def test_counted_purchases(middle: Middle, plan: str, words: tuple[str, ...], code: int, sold: int) -> None:
    """Whatever the middle does, one order is charged at most; a lost answer without a key is not sent again."""
    ran = middle(plan, *words)
    assert (ran.code, middle.server.purchases) == (code, sold), (ran, middle.seen)
    assert (middle.machine.files() == ["fox.png"]) == (code == 0)
    (task,) = ran.json["tasks"]
    assert task["charged"] == {0: "yes", 3: "no", 9: "unknown"}[code]
    if code:
        assert middle.seen == [f"{plan} POST /modelverse/v1/images/generations"]


def test_a_certificate_that_nobody_vouches_for(middle: Middle) -> None:
    """A middle that breaks TLS open is refused before a byte of the request: no request, no key, nothing bought."""
    secure = {"MODELVERSE_BASE_URL": middle.machine.env["MODELVERSE_BASE_URL"].replace("http:", "https:")}
    ran = middle("", *UNKEYED, **secure)
    assert ran.json["error"]["charged"] == "no"
    assert (ran.code, middle.seen, middle.server.purchases) == (3, [], 0), ran
    assert "certificate" in ran.json["error"]["message"]


def test_a_certificate_that_the_user_trusts(middle: Middle) -> None:
    """With the middle's own authority in SSL_CERT_FILE, as companies have it, everything works through it."""
    base = middle.machine.env["MODELVERSE_BASE_URL"].replace("http:", "https:")
    authority = str(middle.peer.log.parent / "mitmproxy-ca-cert.pem")
    ran = middle("", *UNKEYED, MODELVERSE_BASE_URL=base, SSL_CERT_FILE=authority)
    assert (ran.code, middle.server.purchases) == (0, 1), ran
    assert [line.split("?")[0].split()[0:2] for line in middle.seen] == [["pass", "POST"], ["pass", "GET"]]
