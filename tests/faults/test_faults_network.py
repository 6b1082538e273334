"""Faults before a request leaves: no route, no name, no trust, no proxy. Nothing is bought."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from support_cli import Cli
from support_proxy import PASSWORD, Proxy
from support_wire import KEYED, SYNC, TASKS, Line, Way, Wire, every, line_for

from wan_cli.transport.client import Deadlines
from wan_cli.transport.retry import RETRIES

RIVYA = KEYED[0]
SOME = every((KEYED[0], TASKS[1], SYNC[1]))
"""A keyed provider, one with tasks and no key, one whose answer is all."""
BACKOFF = [0.5, 1.0, 2.0]
"""Three repeats at half of 1, 2 and 4 seconds."""


def waits(line: Line) -> list[float]:
    return [seconds for seconds in line.cli.clock.slept if seconds]


@every()
def test_n01_a_closed_port_is_tried_four_times(line: Line, way: Way) -> None:
    """A refused connection is tried again three times, costs nothing, and the same call buys once it is open."""
    with line.wire.down():
        ran = line.buy(way, "--idempotency-key", "k")
    assert (ran.code, ran.said("charged")) == (6, "no"), ran.err
    assert f"could not reach {line.wire.url}" in ran.said("error")
    assert "run the command again" in ran.said("hint")
    assert waits(line) == BACKOFF
    assert [task["state"] for task in line.tasks()] == ["failed"]
    assert line.buy(way, "--idempotency-key", "k").code == 0
    assert line.wire.purchases == 1


def broken_names(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Let the look-up of ``names`` fail; return those that were looked up."""
    look_up, asked = socket.getaddrinfo, []

    def getaddrinfo(host: Any, *args: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in names:
            asked.append(name)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def by_name(line: Line, name: str = "localhost") -> None:
    """Point every base URL at the wire by a name."""
    line.cli.env |= {key: value.replace("127.0.0.1", name) for key, value in line.cli.env.items()}


@every()
def test_n02_a_name_that_cannot_be_resolved(line: Line, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed look-up names the host, is tried again like a refused connection, and costs nothing."""
    by_name(line)
    with monkeypatch.context() as patch:
        asked = broken_names(patch, "localhost")
        ran = line.buy(way, "--idempotency-key", "k")
    assert (ran.code, ran.said("charged")) == (6, "no"), ran.err
    assert f"http://localhost:{line.wire.port}: [Errno -2] Name or service not known" in ran.said("error")
    assert len(asked) == 1 + RETRIES
    assert waits(line) == BACKOFF
    assert line.buy(way, "--idempotency-key", "k").code == 0
    assert line.wire.purchases == 1


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example"], ids=["empty", "long"])
@SOME
def test_n02_a_proxys_name_that_is_none(line: Line, way: Way, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot even be looked up is like one that is not found; as a base URL's it is refused before."""
    base = f"{way.provider.upper()}_BASE_URL"
    line.cli.env[base] = f"https://{name}"
    assert line.buy(way).code == 3
    line.cli.env[base] = "https://provider.invalid"
    monkeypatch.setenv("HTTPS_PROXY", f"http://ann:{PASSWORD}@{name}:3128")
    ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (6, "no"), ran.err
    assert "the host's name is none: a part of it is empty or longer than 63" in ran.said("error")
    no_password(ran)
    assert [task["state"] for task in line.tasks()] == ["failed"]


def test_n02_the_proxy_in_use_is_named(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a proxy's name cannot be resolved, the message has the provider and the proxy, without its password."""
    line.cli.env["RIVYA_BASE_URL"] = "https://rivya.invalid"
    monkeypatch.setenv("HTTPS_PROXY", f"http://ann:{PASSWORD}@proxy.invalid:3128")
    asked = broken_names(monkeypatch, "proxy.invalid", "rivya.invalid")
    ran = line.buy(RIVYA)
    assert (ran.code, ran.said("charged")) == (6, "no")
    assert "could not reach https://rivya.invalid through the proxy http://***@proxy.invalid:3128" in ran.said("error")
    assert "HTTPS_PROXY" in ran.said("hint")
    assert set(asked) == {"proxy.invalid"}


@contextmanager
def black_hole(host: str, port: int = 0) -> Iterator[int]:
    """Listen and never accept: once the queue is full, connecting gets no answer."""
    with socket.socket() as hole:
        hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hole.bind((host, port))
        hole.listen(0)
        queued = [socket.socket() for _ in range(4)]
        for sock in queued:
            sock.setblocking(False)
            sock.connect_ex(hole.getsockname())
        yield hole.getsockname()[1]
        for sock in queued:
            sock.close()


@SOME
def test_n03_a_black_hole_is_given_up(line: Line, way: Way) -> None:
    """Connecting without any answer ends after four tries, and with the real deadlines after 40 seconds of them."""
    line.hurry(connect=0.1)
    with black_hole("127.0.0.1") as port:
        line.cli.env[f"{way.provider.upper()}_BASE_URL"] = f"http://127.0.0.1:{port}"
        ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (6, "no"), ran.err
    assert "ConnectTimeout" in ran.said("error")
    assert waits(line) == BACKOFF
    assert Deadlines().connect * (1 + RETRIES) <= 40
    assert line.cli.files() == []


@SOME
def test_n03_the_clock_of_the_whole_call_ends_it_too(line: Line, way: Way) -> None:
    """Where the whole call's deadline passes before there is a connection, nothing has left: exit 6, not 9."""
    line.hurry(connect=5.0, submit_total=0.1, sync_total=0.1)
    with black_hole("127.0.0.1") as port:
        line.cli.env[f"{way.provider.upper()}_BASE_URL"] = f"http://127.0.0.1:{port}"
        ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (6, "no"), ran.err
    assert "no connection within 0.1 s" in ran.said("error")


# -- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def served(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def self_signed(authority: trustme.CA, tmp_path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.private_key_pem.write_to_path(tmp_path / "ca.key")
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "ca.key")
    return context


@contextmanager
def secured(tmp_path: Path, cli: Cli, context: ssl.SSLContext) -> Iterator[Line]:
    with Wire(tmp_path / "world", cli.clock, context) as wire:
        line = line_for(cli, wire)
        yield line


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SSL_CERT_FILE name the test's authority."""
    authority.cert_pem.write_to_path(tmp_path / "trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))


def refuses(line: Line, reason: str) -> None:
    ran = line.buy(RIVYA)
    assert (ran.code, ran.said("charged")) == (3, "no"), ran.err
    assert f"the certificate of {line.wire.url} is not trusted" in ran.said("error")
    assert reason in ran.said("error")
    assert "SSL_CERT_FILE" in ran.said("hint")
    assert "checks cannot be turned off" in ran.said("hint")
    assert (line.wire.connections, line.wire.seen, waits(line)) == (1, [], [])
    assert [task["state"] for task in line.tasks()] == ["failed"]


@pytest.mark.usefixtures("trusted")
def test_n04_an_expired_certificate(authority: trustme.CA, tmp_path: Path, cli: Cli) -> None:
    """A certificate past its day ends the command at once, before a byte of the request."""
    old = authority.issue_cert("127.0.0.1", not_before=datetime(2020, 1, 1, tzinfo=UTC),
                               not_after=datetime(2021, 1, 1, tzinfo=UTC))  # fmt: skip
    with secured(tmp_path, cli, served(old)) as line:
        refuses(line, "expired")


@pytest.mark.usefixtures("trusted")
def test_n04_a_certificate_for_another_host(authority: trustme.CA, tmp_path: Path, cli: Cli) -> None:
    """A good certificate of another host is none."""
    with secured(tmp_path, cli, served(authority.issue_cert("other.example"))) as line:
        refuses(line, "127.0.0.1")


def test_n04_a_self_signed_certificate(authority: trustme.CA, tmp_path: Path, cli: Cli) -> None:
    """A certificate that nobody vouches for is refused, however good it looks."""
    with secured(tmp_path, cli, self_signed(authority, tmp_path)) as line:
        refuses(line, "self-signed certificate")


@pytest.mark.usefixtures("trusted")
@every()
def test_n04_the_users_own_authority_is_trusted(
    authority: trustme.CA, tmp_path: Path, cli: Cli, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With SSL_CERT_FILE a private authority's certificate serves the whole purchase, by one TLS context."""
    made, create = [], httpx.create_ssl_context

    def counted(*args: Any, **named: Any) -> ssl.SSLContext:
        made.append(create(*args, **named))
        return made[-1]

    monkeypatch.setattr(httpx, "create_ssl_context", counted)
    with secured(tmp_path, cli, served(authority.issue_cert("127.0.0.1"))) as line:
        line.bought_once(way, sends=1)
        assert line.wire.asked("download") or way.provider == "openai"  # whose pictures are in the answer
    assert len(made) == 1


@SOME
def test_n05_plain_http_on_the_tls_port(line: Line, way: Way) -> None:
    """Where plain HTTP answers, the handshake fails before the request: four tries, nothing bought."""
    name = f"{way.provider.upper()}_BASE_URL"
    line.cli.env[name] = line.cli.env[name].replace("http:", "https:")
    line.hurry(connect=0.2)
    ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (6, "no"), ran.err
    assert f"could not reach https://127.0.0.1:{line.wire.port}" in ran.said("error")
    assert (line.wire.connections, line.wire.seen) == (4, [])


# -- proxies


def no_password(ran: Any) -> None:
    assert PASSWORD not in ran.err + ran.out


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_n06_a_dead_proxy(line: Line, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that cannot be reached is a network error that names it, without its password."""
    line.cli.env["RIVYA_BASE_URL"] = line.cli.env["RIVYA_BASE_URL"].replace("http:", f"{scheme}:")
    with Proxy() as proxy:
        pass
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy.url)
    ran = line.buy(RIVYA, "-v")
    assert (ran.code, ran.said("charged")) == (6, "no"), ran.err
    assert f"through the proxy {proxy.shown}" in ran.said("error")
    no_password(ran)
    assert line.wire.seen == []


@pytest.mark.parametrize("scheme", ["http", "https"])
@SOME
def test_n06_a_proxy_that_refuses(line: Line, way: Way, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that does not know the user (407) is a matter of the set-up: exit 3, one try, nothing sent on."""
    name = f"{way.provider.upper()}_BASE_URL"
    line.cli.env[name] = line.cli.env[name].replace("http:", f"{scheme}:")
    with Proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy.url)
        ran = line.buy(way, "-v")
    assert (ran.code, ran.said("charged")) == (3, "no"), ran.err
    assert f"the proxy {proxy.shown} refused: 407" in ran.said("error")
    assert "HTTPS_PROXY" in ran.said("hint")
    no_password(ran)
    assert (len(proxy.heads), line.wire.seen) == (1, [])
    assert [task["state"] for task in line.tasks()] == ["failed"]


@pytest.mark.parametrize("how", [{"refusal": b"HTTP/1.1 502 Bad Gateway\r\n\r\n"}, {"silent": True}])
@SOME
def test_n06_a_tunnel_that_is_not_opened(
    line: Line, way: Way, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a tunnel stands nothing of the request has left, whether the proxy says 502 or nothing at all."""
    name = f"{way.provider.upper()}_BASE_URL"
    line.cli.env[name] = line.cli.env[name].replace("http:", "https:")
    line.hurry(submit_read=0.1, sync_read=0.1)
    with Proxy(**how) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (6, "no"), ran.err
    assert f"through the proxy {proxy.shown}" in ran.said("error")
    assert len(proxy.heads) == 4
    assert line.wire.seen == []


def test_n06_a_socks_proxy_without_its_extra(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socks proxy needs a package: exit 3 with the command that installs it, and nothing sent."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", f"socks5://ann:{PASSWORD}@127.0.0.1:1")
    ran = line.buy(RIVYA)
    assert (ran.code, ran.said("charged")) == (3, "no"), ran.err
    assert "pip install 'httpx[socks]'" in ran.said("hint")
    no_password(ran)
    assert line.wire.seen == []


def test_n06_a_proxy_address_that_is_none(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's address that cannot be read is refused without being quoted, for it holds a password."""
    monkeypatch.setenv("HTTP_PROXY", f"http://ann:{PASSWORD}@127.0.0.1:port")
    ran = line.buy(RIVYA)
    assert (ran.code, ran.said("charged")) == (3, "no"), ran.err
    no_password(ran)
    assert line.wire.seen == []


@SOME
def test_n06_a_plain_proxy_that_works(line: Line, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a proxy for plain http everything goes well, and its password reaches neither provider nor talk."""
    with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        no_password(line.bought_once(way, "-v", sends=1))
    assert any(head.startswith("POST http://") for head in proxy.heads)
    assert not any("proxy-authorization" in seen.headers for seen in line.wire.seen)


@pytest.mark.usefixtures("trusted")
@SOME
def test_n06_a_tunnel_that_works(
    authority: trustme.CA, tmp_path: Path, cli: Cli, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a tunnel the proxy sees no request and no key, and the provider nothing of the proxy."""
    with secured(tmp_path, cli, served(authority.issue_cert("127.0.0.1"))) as line, Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        no_password(line.bought_once(way, "-v", sends=1))
        assert not any("proxy-authorization" in seen.headers for seen in line.wire.seen)
    assert all(head.startswith("CONNECT ") for head in proxy.heads)
    assert proxy.heads
    assert "Bearer" not in "".join(proxy.heads)


# -- addresses


def addresses(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    """Let ``localhost`` have these addresses, in this order."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **named: Any) -> Any:
        if host not in ("localhost", b"localhost"):
            return look_up(host, port, *args, **named)
        rows = [look_up(address, port, *args, **named) for address in found]
        return [row for group in rows for row in group]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@every()
def test_n19_a_dead_first_address(line: Line, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where IPv6 is refused and IPv4 is not, the second address is taken, and one purchase made."""
    by_name(line)
    line.hurry(connect=2.0)
    addresses(monkeypatch, "::1", "127.0.0.1")
    line.bought_once(way, sends=1)
    assert waits(line)[:1] not in ([0.5], [1.0])


@SOME
def test_n19_a_first_address_that_never_answers(line: Line, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first address is a black hole, the second is tried long before the deadline."""
    by_name(line)
    line.hurry(connect=2.0)
    addresses(monkeypatch, "127.0.0.2", "127.0.0.1")
    with black_hole("127.0.0.2", line.wire.port):
        line.bought_once(way, sends=1)
    assert waits(line)[:1] not in ([0.5], [1.0])
