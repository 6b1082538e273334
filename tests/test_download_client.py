"""The client for results: what it never carries, and which way its requests go."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from wan_cli.download.client import PINNED, Route, is_untrusted, proxy_for, result_client
from wan_cli.errors import DownloadFailed

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b; Path=/\r\n\r\nok"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without the proxies of the machine the tests run on."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def no_tls() -> ssl.SSLContext:
    """Fail: nothing in the test may need a certificate authority."""
    raise AssertionError


async def served(
    work: Callable[[int], object], answer: bytes = GOOD, context: ssl.SSLContext | None = None
) -> tuple[list[bytes], list[object]]:
    """Run ``work(port)`` against a server that answers everything alike; return request heads and peers."""
    heads: list[bytes] = []
    peers: list[object] = []
    serving: list[asyncio.Task[None] | None] = []

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        peers.append(writer.get_extra_info("peername"))
        with contextlib.suppress(asyncio.IncompleteReadError):  # until the client hangs up
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answered, "127.0.0.1", 0, ssl=context)
    try:
        await work(server.sockets[0].getsockname()[1])  # type: ignore[misc]
    finally:
        server.close()
        await asyncio.gather(*filter(None, serving))
    return heads, peers


def test_s1_the_client_sends_nothing_of_its_own_but_its_name() -> None:
    """S1: no cookies come back and no default header goes out, over the connection of the request before."""

    async def work(port: int) -> None:
        async with result_client(no_tls) as client:
            for _ in range(2):
                assert (await client.get(f"http://127.0.0.1:{port}/x")).text == "ok"
            assert not client.cookies

    heads, peers = asyncio.run(served(work))

    names = [line.split(b":")[0].lower() for line in heads[1].split(b"\r\n")[1:-2]]
    assert sorted(names) == [b"host", b"user-agent"]
    assert len(peers) == 1


def test_a_transport_replaces_the_network() -> None:
    """An in-process transport gets the requests, and redirects are not followed."""

    async def work() -> httpx.Response:
        transport = httpx.MockTransport(lambda _: httpx.Response(302, headers={"Location": "https://x.example"}))
        async with result_client(no_tls, transport) as client:
            return await client.get("https://cdn.example.com")

    assert asyncio.run(work()).status_code == 302


@pytest.mark.parametrize(("env", "url", "proxy"), [
    ({}, "https://a.example/", None),
    ({"HTTPS_PROXY": "http://p:1"}, "https://a.example/", "http://p:1"),
    ({"HTTPS_PROXY": "p:1"}, "https://a.example/", "http://p:1"),
    ({"HTTPS_PROXY": "http://p:1"}, "http://a.example/", None),
    ({"ALL_PROXY": "socks5://p:1"}, "https://a.example/", "socks5://p:1"),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "https://cdn.a.example/", None),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://b.example/", None),
])  # fmt: skip
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], url: str, proxy: str | None
) -> None:
    """The standard variables are read, the exceptions of NO_PROXY included."""
    for name, value in env.items():
        monkeypatch.setenv(name.lower(), value)

    assert proxy_for(httpx.URL(url)) == proxy


def test_requests_go_by_the_proxy_unless_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request by name goes to the proxy, a pinned one straight to its address."""

    async def work(port: int) -> None:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        async with result_client(no_tls) as client:
            await client.get("http://relay.example/x")
            await client.get(f"http://127.0.0.1:{port}/y", extensions={PINNED: "relay.example"})

    heads, _ = asyncio.run(served(work))

    assert [head.split(b" ")[1] for head in heads] == [b"http://relay.example/x", b"/y"]


@pytest.mark.parametrize("proxy", ["socks5://u:CANARY@p:1", "gopher://u:CANARY@p:1", "http://u:CANARY@p:port"])
def test_an_unusable_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """A proxy that cannot be used is a failed download that quotes nothing of it."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("all_proxy", proxy)

    async def work() -> None:
        async with result_client(no_tls) as client:
            await client.get("http://a.example")

    with pytest.raises(DownloadFailed, match="ALL_PROXY") as caught:
        asyncio.run(work())
    assert "CANARY" not in caught.value.message


def test_a_proxy_may_be_spelled_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    """``HTTPS://`` in front of a proxy is https: it is spoken to over TLS, also for what is plain itself."""
    made: list[ssl.SSLContext] = []

    def context() -> ssl.SSLContext:
        made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return made[-1]

    async def work() -> None:
        async with result_client(context) as client:
            await client.get("http://a.example", timeout=5)

    with socket.create_server(("127.0.0.1", 0)) as gone:
        monkeypatch.setenv("http_proxy", f"HTTPS://127.0.0.1:{gone.getsockname()[1]}")
    with pytest.raises(httpx.ConnectError):
        asyncio.run(work())
    assert len(made) == 1


def test_certificate_authorities_are_read_once_and_only_for_https(monkeypatch: pytest.MonkeyPatch) -> None:
    """The TLS context is made at the first https request and shared."""
    made: list[ssl.SSLContext] = []

    def tls() -> ssl.SSLContext:
        made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return made[-1]

    async def work(port: int) -> None:
        async with httpx.AsyncClient(transport=Route(tls)) as client:
            await client.get(f"http://127.0.0.1:{port}/")
            assert made == []
            for proxy in ("", "http://127.0.0.1:1", ""):
                monkeypatch.setenv("https_proxy", proxy)
                with pytest.raises(httpx.ConnectError):
                    await client.get("https://127.0.0.1:1/")

    asyncio.run(served(work))

    assert len(made) == 1


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a self-signed certificate for ``name``; return the server's context and that of a client that trusts it."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    client = ssl.create_default_context(cafile=str(cert))
    return server, client


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with the openssl command")
@pytest.mark.parametrize(("name", "trusted"), [("cdn.example.com", True), ("other.example.com", False)])
def test_s9_a_pinned_connection_is_held_to_the_hosts_name(tmp_path: Path, name: str, trusted: bool) -> None:
    """S9: over a connection to a checked address, the certificate must be the host's, and not the address's."""
    server, trusting = certificate(tmp_path, "cdn.example.com")
    failures: list[BaseException] = []

    async def work(port: int) -> None:
        async with result_client(lambda: trusting) as client:
            try:
                await client.get(f"https://127.0.0.1:{port}/x", headers={"Host": name}, extensions={PINNED: name})
            except httpx.ConnectError as error:
                failures.append(error)

    heads, _ = asyncio.run(served(work, context=server))

    assert len(heads) == trusted
    assert [is_untrusted(error) for error in failures] == ([] if trusted else [True])


def test_another_failure_is_not_about_trust() -> None:
    """A refused connection is not taken for a bad certificate."""
    assert not is_untrusted(httpx.ConnectError("refused"))
