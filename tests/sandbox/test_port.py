"""The sandbox on a port: wan, curl and openai-python as its clients, faults over sockets, how it starts and ends."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from support_cli import Cli, drawn
from support_port import Server

from wan_cli.errors import ConfigInvalid
from wan_cli.registry import BUILTIN
from wan_cli.sandbox import serve
from wan_cli.sandbox.faults import parse_all
from wan_cli.sandbox.port import Port, base_urls
from wan_cli.sandbox.transport import CONTRACTS
from wan_cli.sandbox.world import NeedsExtraError

MV = ("generate", "a fox", "-p", "modelverse", "--sync", "-s", "1K")
RV = ("generate", "a fox", "-p", "rivya", "-s", "1K")
WORDS = {
    "rivya": RV,
    "modelverse": MV,
    "yunwu": ("generate", "a fox", "-p", "yunwu", "-s", "1K"),
    "openai": ("generate", "a fox", "-p", "openai", "-m", "gpt-image-1"),
    "toapis": ("generate", "a fox", "-p", "toapis", "-m", "wan2.7-video", "-d", "5"),
    "dashscope": ("generate", "a fox", "-p", "dashscope", "-s", "1K"),
}
needs_uvicorn = pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="uvicorn is not installed")


# -- wan as its client ---------------------------------------------------------------------------------------------


@needs_uvicorn
@pytest.mark.parametrize("provider", [name for name in CONTRACTS if name in BUILTIN])
def test_wan_as_the_client(cli: Cli, tmp_path: Path, provider: str) -> None:
    """With the variables that the server prints, wan makes a file through every contract, and pays once."""
    with Server(tmp_path / "port", film=None) as server:
        ran = cli.run(*WORDS[provider], "--json", env=server.env)
        assert ran.code == 0, ran.err
        assert not ran.task["sandbox"]
        assert ran.task["origin"] == server.url
        assert server.purchases == 1
    assert len(cli.files()) == 1


FAULTS = [
    (RV, "429:retry-after=1*1/submit", 0, 1),
    (MV, "429:retry-after=1*1", 0, 1),
    (MV, "429", 6, 0),
    (RV, "500*1/submit", 0, 1),
    (MV, "500/submit", 9, 0),
    (RV, "drop-before*1/submit", 0, 1),
    (MV, "drop-before/submit", 9, 0),
    (RV, "drop-after*1/submit", 0, 1),
    (MV, "drop-after/submit", 9, 1),
    (RV, "drop-after*1/poll drop-before*2/download", 0, 1),
    (MV, "stall=0.01", 0, 1),
    (MV, "truncate*1/download", 0, 1),
    (MV, "truncate/download", 12, 1),
    (MV, "truncate/submit", 9, 1),
    (RV, "truncate*1/submit", 0, 1),
    (MV, "html/submit", 9, 0),
    (MV, "html/download", 12, 1),
    (MV, "expired-url", 10, 1),
    (RV, "expired-url*1", 0, 1),
    ((*MV, "-n", "2"), "k-of-n", 11, 1),
    ((*MV, "--strict"), "wrong-size", 14, 1),
    (RV, "fail", 7, 1),
    (MV, "moderation", 4, 0),
    (RV, "moderation", 4, 0),
]


@needs_uvicorn
@pytest.mark.parametrize(("words", "faults", "code", "purchases"), FAULTS)
def test_faults_over_sockets(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], faults: str, code: int, purchases: int
) -> None:
    """Each fault ends over real sockets as it does in the process: keyed orders recover, unkeyed ones are in doubt."""
    with Server(tmp_path / "port", *faults.split()) as server:
        ran = cli.run(*words, "--json", env=server.env)
        assert (ran.code, server.purchases) == (code, purchases), ran.err


@needs_uvicorn
def test_jpeg_as_png_over_sockets(cli: Cli, tmp_path: Path) -> None:
    """JPEG bytes on the port get their true extension, with a warning."""
    with Server(tmp_path / "port", "jpeg-as-png") as server:
        ran = cli.run(*MV, "-o", "fox.png", "--json", env=server.env)
    assert ran.code == 0
    assert cli.files() == ["fox.jpg"]
    assert ran.task["warnings"]


# -- the server as a process ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(env: Mapping[str, str], *words: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Start ``wan sandbox`` and yield it with the lines it prints before it serves."""
    command = [sys.executable, "-m", "wan_cli", "sandbox", "--port", "0", *words]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, **env}, **pipes) as process:
        try:
            assert process.stdout is not None
            yield process, [process.stdout.readline().rstrip("\n") for _ in range(2 * len(CONTRACTS))]
        finally:
            if process.poll() is None:
                process.kill()


def stopped(process: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[int, str]:
    """Tell a server to stop; return its exit code and what it said."""
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    return process.returncode, said


@needs_uvicorn
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command(tmp_path: Path, number: int) -> None:
    """``wan sandbox`` prints what a shell can evaluate, serves, and ends with 0 when it is told to stop."""
    with started({}, "--latency", "0", "--state", str(tmp_path / "kept"), "--fault", "429*1/submit") as (
        process,
        lines,
    ):
        told = dict(re.fullmatch(r"export ([A-Z]+_(?:BASE_URL|API_KEY))=(\S+)", line).groups() for line in lines)  # type: ignore[union-attr]
        assert set(told) == {f"{name.upper()}_{part}" for name in CONTRACTS for part in ("BASE_URL", "API_KEY")}
        headers = {"Authorization": f"Bearer {told['MODELVERSE_API_KEY']}"}
        order = {"model": "wan2.7-image", "prompt": "p", "size": "768x768"}
        url = f"{told['MODELVERSE_BASE_URL']}/v1/images/generations"
        assert httpx.post(url, json=order, headers=headers).status_code == 429
        answer = httpx.post(url, json=order, headers=headers)
        assert answer.status_code == 200
        assert Image.open(BytesIO(httpx.get(answer.json()["data"][0]["url"]).content)).size == (768, 768)
        code, said = stopped(process, number)
    assert code == 0
    assert "Ctrl-C ends it" in said
    assert "Traceback" not in said
    assert (tmp_path / "kept" / "purchases.jsonl").exists()


@needs_uvicorn
def test_under_way_when_told_to_stop(tmp_path: Path) -> None:
    """A request that is stalled does not keep the server from ending with 0."""
    with started({}, "--state", str(tmp_path / "kept"), "--fault", "stall=60") as (process, lines):
        address = httpx.URL(lines[0].partition("=")[2])
        with socket.create_connection((address.host, address.port or 80)) as sock:
            sock.sendall(b"GET /rivya/api/v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            assert httpx.get(f"http://{address.host}:{address.port}/").status_code == 200
            code, _ = stopped(process)
    assert code == 0


@needs_uvicorn
def test_a_taken_port(cli: Cli) -> None:
    """A port that is taken is exit 2 with the way out, and prints nothing that a shell could evaluate."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = cli.run("sandbox", "--port", taken.getsockname()[1])
    assert ran.code == 2
    assert "--port 0" in ran.said("hint")
    assert ran.out == ""


@needs_uvicorn
@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_threat_s19_the_state_folder_that_it_makes_is_private(cli: Cli) -> None:
    """A server that runs before anything else leaves no state folder behind that others can read."""
    state = cli.root / "new" / "state"
    cli.env["WAN_STATE_DIR"] = str(state)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        cli.run("sandbox", "--port", taken.getsockname()[1])
    assert [folder.stat().st_mode & 0o777 for folder in (state, state / "sandbox")] == [0o700, 0o700]


class Listening:
    """Stands in for a socket: what it would be bound to is all that matters."""

    def __init__(self, host: str) -> None:
        self.host = host

    def getsockname(self) -> tuple[str, int]:
        return self.host, 8484


@needs_uvicorn
@pytest.mark.parametrize(
    ("host", "url", "loopback"),
    [
        ("127.0.0.1", "http://127.0.0.1:8484", True),
        ("::1", "http://[::1]:8484", True),
        ("0.0.0.0", "http://127.0.0.1:8484", False),  # noqa: S104
        ("::", "http://[::1]:8484", False),
        ("192.168.1.5", "http://192.168.1.5:8484", False),
    ],
)
def test_addresses(cli: Cli, monkeypatch: pytest.MonkeyPatch, host: str, url: str, loopback: bool) -> None:
    """Only a host that is named is listened on; whoever lets other machines in is told so."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET6 if ":" in host else socket.AF_INET,)])
    monkeypatch.setattr(socket, "create_server", lambda *_, **__: Listening(host))
    bound = serve.bind(host, 8484)
    assert (bound.url, bound.loopback) == (url, loopback)
    monkeypatch.setattr(serve, "serve", lambda *_, **__: None)
    ran = cli.run("sandbox", "--host", host)
    assert ran.code == 0
    assert f"export RIVYA_BASE_URL={url}/rivya" in ran.lines
    assert f"export OPENAI_BASE_URL={url}/openai/v1" in ran.lines
    assert ("other machines" in ran.err) is not loopback


@needs_uvicorn
def test_an_unwritable_folder(cli: Cli) -> None:
    """A state folder that cannot be made is exit 3 and names the option."""
    cli.write("file", b"")
    ran = cli.run("sandbox", "--port", "0", "--state", "file/below")
    assert ran.code == 3
    assert "--state" in ran.said("hint")
    assert ran.out == ""


def test_without_uvicorn(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing uvicorn is exit 3 with the command that installs it."""
    monkeypatch.setattr(serve, "find_spec", lambda _: None)
    ran = cli.run("sandbox")
    assert ran.code == 3
    assert ran.said("hint") == "python -m pip install 'uvicorn>=0.34'"
    with pytest.raises(ConfigInvalid):
        serve.bind("127.0.0.1", 0)


# -- the application itself ----------------------------------------------------------------------------------------


class Visit:
    """One request at the application, without a server; `hung_up` is whose connection it closed."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.sent: list[MutableMapping[str, Any]] = []

    def __call__(
        self, method: str, path: str, *chunks: bytes, query: str = "", host: str = "127.0.0.1:1", gone: bool = False
    ) -> httpx.Response:
        """Return what was answered; `gone` means that the client leaves before its request is whole."""
        inbox: list[MutableMapping[str, Any]] = [
            {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
        ]
        inbox.append({"type": "http.disconnect"} if gone else {"type": "http.request", "more_body": False})
        inbox.append({"type": "http.request"})
        self.sent = []

        async def receive() -> MutableMapping[str, Any]:
            return inbox.pop(0) if inbox else {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            self.sent.append(message)

        scope = {
            "type": "http", "method": method, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": [(b"host", host.encode()), (b"authorization", b"Bearer rvya_sk_sandbox")], "client": ("c", 1),
        }  # fmt: skip
        asyncio.run(self.port(scope, receive, send))
        if not self.sent:
            return httpx.Response(599)
        start, body = self.sent
        headers = [(key.decode(), value.decode()) for key, value in start["headers"] if key != b"content-length"]
        return httpx.Response(start["status"], headers=headers, content=body["body"])


@pytest.fixture
def hung_up() -> list[Any]:
    """Return the clients whose connection was closed."""
    return []


@pytest.fixture
def visit(tmp_path: Path, hung_up: list[Any]) -> Visit:
    """Return an application that takes bodies of 100 bytes."""
    return Visit(Port(tmp_path, "http://127.0.0.1:8484", hang_up=hung_up.append, most=100))


def test_the_front_page(visit: Visit) -> None:
    """The root tells base URLs, keys and descriptions at the address that was asked; other paths are 404 in JSON."""
    shown = visit("GET", "/", host="sandbox:9").json()["sandbox"]
    assert {name: entry["base_url"] for name, entry in shown.items()} == base_urls("http://sandbox:9")
    assert shown["rivya"]["openapi"] == "http://sandbox:9/rivya/openapi.json"
    for path in ("/nothing", "/rivyax/api/v1/models", "//"):
        answer = visit("GET", path)
        assert answer.status_code == 404
        assert "/rivya" in answer.json()["error"]["message"]


@pytest.mark.parametrize("contract", CONTRACTS)
def test_descriptions_are_served(visit: Visit, contract: str) -> None:
    """/<provider>/openapi.json describes a server that is this one: its paths lead to the contract."""
    document = visit("GET", f"/{contract}/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": f"http://127.0.0.1:1/{contract}"}]


def test_a_contract_without_description(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract that has none is 404."""
    monkeypatch.setattr("wan_cli.sandbox.port.description", lambda _: None)
    assert visit("GET", "/rivya/openapi.json").status_code == 404


def test_paths_and_queries(visit: Visit) -> None:
    """What follows the provider's name reaches the contract whole, with escapes and queries, and without more."""
    assert visit("GET", "/rivya/api/v1/credits").json() == {"current_credits": 1000}
    assert visit("GET", "/rivya").json()["error"]["code"] == "not_found"
    assert "a%2Fb" not in visit("GET", "/rivya/api/v1/generations/a%2Fb").json()["error"]["message"]
    assert visit("GET", "/results/none/1.png", query="Expires=1").status_code == 403
    assert visit("GET", "/files/none.png").status_code == 404


def test_a_body_that_is_too_large(visit: Visit) -> None:
    """A body above the cap is 413 before it is whole, and the connection ends."""
    answer = visit("POST", "/rivya/api/v1/generations", b"x" * 60, b"x" * 60, b"x" * 60)
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert visit("POST", "/rivya/api/v1/generations", b"x" * 50, b"x" * 50).status_code == 400


def test_a_client_that_leaves(visit: Visit, hung_up: list[Any]) -> None:
    """A client that goes away in the middle of its request is not answered."""
    visit("POST", "/rivya/api/v1/generations", b"{", gone=True)
    assert visit.sent == []
    assert hung_up == []


def test_hanging_up(tmp_path: Path, hung_up: list[Any]) -> None:
    """A dropped request is not answered, a cut one is announced whole; both times the connection is closed."""
    port = Port(tmp_path, "http://x", faults=parse_all(["drop-before*1 truncate"]), hang_up=hung_up.append)
    visit = Visit(port)
    visit("GET", "/rivya/api/v1/credits")
    assert (visit.sent, hung_up) == ([], [("c", 1)])
    answer = visit("GET", "/rivya/api/v1/credits")
    assert answer.content == b'{"current_c' + b"r"
    assert dict(visit.sent[0]["headers"])[b"content-length"] == b"24"
    assert visit.sent[1]["more_body"] is True
    assert hung_up == [("c", 1)] * 2


def test_hosts_that_are_believed(visit: Visit) -> None:
    """Links begin with the host that a client used, unless it is none, or one of too many."""
    for number in range(40):
        visit("GET", "/", host=f"host{number}")
    shown = visit("GET", "/", host="host1").json()["sandbox"]
    assert shown["rivya"]["base_url"] == "http://host1/rivya"
    for host in ("host39", "evil/../x", ""):
        shown = visit("GET", "/", host=host).json()["sandbox"]
        assert shown["rivya"]["base_url"] == "http://127.0.0.1:8484/rivya"
    assert visit("GET", "/", host="[::1]:80").json()["sandbox"]["rivya"]["base_url"].startswith("http://127.0.0.1:8484")


def test_a_video_without_its_extra(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that cannot be drawn is refused for good, and the message names the extra."""

    def refuse(*_: object) -> None:
        message = "PyAV (the extra [video]) is missing; python -m pip install 'av>=15'"
        raise NeedsExtraError(message)

    monkeypatch.setattr(CONTRACTS["rivya"], "handle", refuse)
    answer = visit("POST", "/rivya/api/v1/generations", b"{}")
    assert answer.status_code == 400
    assert "python -m pip install 'av>=15'" in answer.json()["error"]["message"]


def test_nothing_but_requests(visit: Visit) -> None:
    """Scopes other than http are left alone."""
    asyncio.run(visit.port({"type": "lifespan"}, None, None))  # type: ignore[arg-type]


# -- a peer --------------------------------------------------------------------------------------------------------


@needs_uvicorn
@pytest.mark.peers
def test_openai_python(tmp_path: Path) -> None:
    """openai-python takes the port for OpenAI: images, edits, models, refusals and a limit that it sits out itself."""
    openai = pytest.importorskip("openai", reason="openai-python is not installed")
    with Server(tmp_path / "port", "429:retry-after=0*1/submit", draw=drawn) as server:
        client = openai.OpenAI(base_url=server.env["OPENAI_BASE_URL"], api_key=server.env["OPENAI_API_KEY"])
        with client:
            made = client.images.generate(model="gpt-image-1", prompt="a paper crane", n=2, size="1536x1024")
            pictures = [Image.open(BytesIO(base64.b64decode(item.b64_json))) for item in made.data]
            assert [image.size for image in pictures] == [(1536, 1024)] * 2
            assert made.usage.total_tokens > 0
            linked = client.images.generate(model="wan2.7-image", prompt="a crane", size="512x512")
            assert httpx.get(linked.data[0].url).content.startswith(b"\x89PNG")
            changed = client.images.edit(
                model="gpt-image-1", prompt="make it blue", image=[("a.png", _png()), ("b.png", _png())]
            )
            assert changed.data[0].b64_json
            assert "gpt-image-1" in [model.id for model in client.models.list()]
            for code, parameters in REFUSED:
                with pytest.raises(openai.BadRequestError) as caught:
                    client.images.generate(**parameters)
                assert caught.value.code == code
        stranger = openai.OpenAI(base_url=server.env["OPENAI_BASE_URL"], api_key="sk-other", max_retries=0)
        with stranger, pytest.raises(openai.AuthenticationError):
            stranger.models.list()
        assert server.purchases == 3


REFUSED = [
    ("moderation_blocked", {"model": "gpt-image-1", "prompt": "sandbox:moderation"}),
    ("unknown_parameter", {"model": "gpt-image-1", "prompt": "p", "extra_body": {"colour": "red"}}),
    ("invalid_value", {"model": "dall-e-3", "prompt": "p", "n": 2}),
]


def _png() -> bytes:
    data = BytesIO()
    Image.new("RGB", (64, 64)).save(data, "PNG")
    return data.getvalue()


@needs_uvicorn
@pytest.mark.peers
def test_curl(tmp_path: Path) -> None:
    """What the server prints, curl takes: an order, then its file; a dropped connection is an empty reply."""
    with Server(tmp_path / "port", "drop-after*1") as server:
        env = server.env
        order = json.dumps({"model": "wan2.7-image-pro", "prompt": "p", "size": "1K"})
        command = ["curl", "-sS", "-H", f"Authorization: Bearer {env['YUNWU_API_KEY']}", "-d", order]
        command.append(f"{env['YUNWU_BASE_URL']}/v1/images/generations")
        first = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        assert first.returncode == 52
        second = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        url = json.loads(second.stdout)["data"][0]["url"]
        file = subprocess.run(["curl", "-sS", "-f", url], capture_output=True, check=True, timeout=20)
        assert file.stdout.startswith(b"\x89PNG")
        assert server.purchases == 2
