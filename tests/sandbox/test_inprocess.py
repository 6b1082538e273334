"""The in-process transport and the host of results and uploads."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from wan_cli.sandbox.transport import CONTRACTS, InProcess, results
from wan_cli.sandbox.world import Picture, StoredFile, Task, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DATA = bytes(range(256)) * 4
ETAG = f'"{hashlib.sha256(DATA).hexdigest()[:32].upper()}"'


def draw(*_: Any, **__: Any) -> bytes:
    """Stand in for the drawing."""
    return DATA


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a world that stands still."""
    return World(tmp_path, clock=lambda: 1_800_000_000.0, draw=draw)


@pytest.fixture
def url(world: World) -> str:
    """Return the link of a picture."""
    picture = Picture(prompt="p", width=8, height=8, seed=1)
    return world.urls(world.accept(Task(id="t1", provider="rivya", model="m", pictures=(picture,)), b"{}"))[0]


def ask(world: World, contract: str, request: httpx.Request) -> httpx.Response:
    """Send a request through the transport."""

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=InProcess(world, contract)) as client:
            return await client.send(request)

    return asyncio.run(send())


def fetch(world: World, url: str, **headers: str) -> httpx.Response:
    """Ask the file host itself."""
    return results(httpx.Request("GET", url, headers={k.replace("_", "-"): v for k, v in headers.items()}), world)


def test_every_contract_is_complete(world: World) -> None:
    """Each registered contract names itself, its key and hosts, and answers 404 in JSON for a path it does not know."""
    for name, contract in CONTRACTS.items():
        assert name == contract.NAME
        assert contract.KEY
        response = ask(world, name, httpx.Request("GET", f"https://{contract.HOSTS[0]}/no/such/path"))
        assert response.status_code == 404
        assert response.json().keys() & {"error", "code"}


def test_unknown_contract_is_refused(world: World) -> None:
    """A name that is not a contract is an error at construction that lists those there are."""
    with pytest.raises(ValueError, match=r"rivya, modelverse.*results"):
        InProcess(world, "nobody")


def test_response_carries_its_request(world: World) -> None:
    """The response has the request attached without a client's doing, and was made outside the event loop's thread."""
    threads: list[str] = []

    def clock() -> float:
        threads.append(threading.current_thread().name)
        return 1_800_000_000.0

    world.clock = clock
    request = httpx.Request(
        "POST",
        "https://rivya.ai/api/v1/generations",
        headers={"Authorization": "Bearer rvya_sk_sandbox"},
        json={"model": "wan-2-7-image", "prompt": "a fox"},
    )
    response = asyncio.run(InProcess(world, "rivya").handle_async_request(request))
    assert (response.request, response.status_code) == (request, 200)
    assert threads
    assert threading.main_thread().name not in threads


def test_streamed_upload_is_read(world: World) -> None:
    """A multipart body streamed by the client arrives whole."""
    request = httpx.Request(
        "POST",
        "https://rivya.ai/api/v1/files",
        headers={"Authorization": "Bearer rvya_sk_sandbox"},
        data={"kind": "image"},
        files={"file": ("a.png", b"\x89PNG\r\n\x1a\n" + DATA, "image/png")},
    )
    body = ask(world, "rivya", request).json()
    assert body["size"] == 8 + len(DATA)
    download = ask(world, "rivya", httpx.Request("GET", body["url"]))
    assert download.content == b"\x89PNG\r\n\x1a\n" + DATA
    assert download.headers["content-type"] == "image/png"


def test_wrong_content_length_fails_as_a_connection_would(world: World) -> None:
    """A body shorter or longer than its Content-Length is a protocol error; one without a length is fine."""

    async def body() -> AsyncIterator[bytes]:
        yield b"{}"

    for length in ("1", "3", "x"):
        request = httpx.Request("POST", "https://rivya.ai/x", headers={"Content-Length": length}, content=body())
        with pytest.raises(httpx.LocalProtocolError, match=f"Content-Length is {length}, the body has 2 bytes"):
            ask(world, "rivya", request)
    assert ask(world, "rivya", httpx.Request("POST", "https://rivya.ai/x", content=body())).status_code == 404


@pytest.mark.parametrize("contract", ["results", "rivya", "modelverse"])
def test_results_are_served_below_every_contract(world: World, url: str, contract: str) -> None:
    """A result link is answered whatever contract the client was built for."""
    response = ask(world, contract, httpx.Request("GET", url))
    assert (response.status_code, response.content) == (200, DATA)


def test_result_headers(world: World, url: str) -> None:
    """A whole result has its type, length, strong ETag and Accept-Ranges."""
    response = fetch(world, url)
    assert response.status_code == 200
    assert dict(response.headers) == {
        "content-type": "image/png",
        "etag": ETAG,
        "accept-ranges": "bytes",
        "content-length": "1024",
    }


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-", 100, 1024),
        ("bytes=1000-5000", 1000, 1024),
        ("bytes=-24", 1000, 1024),
        ("bytes=-5000", 0, 1024),
        ("bytes=0-1023", 0, 1024),
    ],
)
def test_one_range(world: World, url: str, wanted: str, start: int, end: int) -> None:
    """A single range answers 206 with just those bytes and says which; also under the ETag the client knows."""
    for headers in ({}, {"If_Range": ETAG}):
        response = fetch(world, url, Range=wanted, **headers)
        assert response.status_code == 206
        assert response.content == DATA[start:end]
        assert response.headers["content-range"] == f"bytes {start}-{end - 1}/1024"
        assert response.headers["content-length"] == str(end - start)
        assert response.headers["etag"] == ETAG


@pytest.mark.parametrize("wanted", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
def test_range_past_the_end(world: World, url: str, wanted: str) -> None:
    """A range that begins past the end answers 416 and the size."""
    response = fetch(world, url, Range=wanted)
    assert (response.status_code, response.headers["content-range"]) == (416, "bytes */1024")


@pytest.mark.parametrize("wanted", ["bytes=9-3", "bytes=0-1,5-6", "lines=0-1", "bytes=-", "bytes=a-b"])
def test_ranges_to_ignore(world: World, url: str, wanted: str) -> None:
    """Reversed, several, foreign and broken ranges are ignored: the whole picture comes."""
    response = fetch(world, url, Range=wanted)
    assert (response.status_code, response.content) == (200, DATA)


@pytest.mark.parametrize("known", ['"other"', f"W/{ETAG}", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_if_range_of_other_bytes(world: World, url: str, known: str) -> None:
    """A range asked for under another, a weak or a dated validator answers the whole picture."""
    response = fetch(world, url, Range="bytes=5-", If_Range=known)
    assert (response.status_code, response.content) == (200, DATA)


@pytest.mark.parametrize(
    "change", [("Signature=", "Signature=0"), ("Expires=", "Expires=1"), ("?", "?x="), ("t1", "t2")]
)
def test_forged_link(world: World, url: str, change: tuple[str, str]) -> None:
    """A link that was tampered with answers 403 and XML as Alibaba OSS does."""
    response = fetch(world, url.replace(*change))
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/xml"
    assert "<Code>SignatureDoesNotMatch</Code>" in response.text


def test_expired_link(world: World, url: str) -> None:
    """A link a day past its task answers 403 AccessDenied, in XML."""
    world.clock = lambda: 1_800_000_000.0 + 2 * 86400
    response = fetch(world, url)
    assert response.status_code == 403
    assert "<Code>AccessDenied</Code>" in response.text
    assert "<Message>Request has expired.</Message>" in response.text


@pytest.mark.parametrize("path", ["/", "/results/t1/0.png", "/results/t1/1.jpg", "/files/nobody.png", "/files/nobody"])
def test_no_such_object(world: World, path: str) -> None:
    """Paths that are neither a result nor an upload answer 404 NoSuchKey."""
    response = fetch(world, f"{world.public_url}{path}")
    assert response.status_code == 404
    assert "<Code>NoSuchKey</Code>" in response.text


def test_results_are_read_only(world: World, url: str) -> None:
    """Any method but GET answers 405."""
    assert results(httpx.Request("PUT", url), world).status_code == 405


def test_public_url_with_a_path(tmp_path: Path) -> None:
    """Under a public URL with a port and a path, files are found, and only URLs below it go to the file host."""
    world = World(tmp_path, public_url="http://127.0.0.1:8484/cdn")
    file = StoredFile(
        id="f1",
        provider="rivya",
        created=1,
        kind="image",
        mime="image/png",
        name="a.png",
        size=3,
        sha256=world.keep(b"abc"),
    )
    world.add_file(file)
    assert ask(world, "rivya", httpx.Request("GET", "http://127.0.0.1:8484/cdn/files/f1.png")).content == b"abc"
    for other in ("http://127.0.0.1:8484/files/f1.png", "http://127.0.0.1:8485/cdn/files/f1.png"):
        assert ask(world, "rivya", httpx.Request("GET", other)).json()["error"]["code"] == "not_found"
