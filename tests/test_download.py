"""Fetching a result over real sockets on loopback: every way a download goes wrong (reliability.md section 3.5)."""

from __future__ import annotations

import asyncio
import base64
import gzip
import random
import ssl
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from wan_cli.download import Expired, Fetcher, Limits, result_client
from wan_cli.download.body import Again, Pace
from wan_cli.errors import DownloadFailed, WriteFailed
from wan_cli.media import Sniffed
from wan_cli.models import Kind, Output
from wan_cli.publish import Part

KEY = "sk-CANARY-5b2f"
FAST = Limits(read_stall_s=0.15, connect_s=2.0)
ETAG = {"ETag": '"v1"'}


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size: int = 60_000) -> bytes:
    """Return a whole picture of about ``size`` bytes."""
    noise = random.Random(7).randbytes(size)  # noqa: S311 - bytes that do not compress
    head = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(noise)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PICTURE = png()
HALF = len(PICTURE) // 2


@dataclass
class Asked:
    """One request as it came over the wire."""

    raw: bytes
    reader: asyncio.StreamReader

    @property
    def path(self) -> str:
        """The request's target."""
        return self.raw.split(b" ")[1].decode()

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case."""
        lines = self.raw.decode().split("\r\n")[1:-2]
        return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


Script = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """Answers request by request from a list of scripts; the last one serves for all that follow."""

    scripts: Sequence[Script]
    asked: list[Asked] = field(default_factory=list)
    serving: list[asyncio.Task[None] | None] = field(default_factory=list)
    server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening, and let every script end."""
        assert self.server is not None
        self.server.close()
        await asyncio.gather(*filter(None, self.serving))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.append(asyncio.current_task())
        request = Asked(await reader.readuntil(b"\r\n\r\n"), reader)
        self.asked.append(request)
        try:
            await self.scripts[min(len(self.asked), len(self.scripts)) - 1](request, writer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            writer.close()


def head(status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a response's head."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return f"HTTP/1.1 {status} X\r\nConnection: close\r\n{lines}\r\n".encode()


def answer(
    status: int = 200, body: bytes = PICTURE, headers: Mapping[str, str] | None = None, length: int | None = -1
) -> Script:
    """Answer and hang up; ``length`` is the Content-Length (-1: the true one, ``None``: none)."""

    async def script(_: Asked, writer: asyncio.StreamWriter) -> None:
        announced = {} if length is None else {"Content-Length": str(len(body) if length < 0 else length)}
        writer.write(head(status, {**announced, **(headers or {})}) + body)

    return script


def redirect(to: str, status: int = 302) -> Script:
    """Send the client elsewhere."""
    return answer(status, b"", {"Location": to})


def stall(body: bytes = PICTURE[:HALF], *, start: bytes | None = None) -> Script:
    """Send the head and a part of the body, then nothing until the client has gone."""

    async def script(request: Asked, writer: asyncio.StreamWriter) -> None:
        begin = head(200, {"Content-Length": str(len(PICTURE)), **ETAG}) if start is None else start
        writer.write(begin + body)
        await writer.drain()
        await request.reader.read()

    return script


async def ranged(request: Asked, writer: asyncio.StreamWriter) -> None:
    """Honour Range as a good server does."""
    first = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
    rest = PICTURE[first:]
    span = f"bytes {first}-{len(PICTURE) - 1}/{len(PICTURE)}"
    writer.write(head(206, {"Content-Length": str(len(rest)), "Content-Range": span, **ETAG}) + rest)


SHORT = answer(body=PICTURE[:HALF], length=len(PICTURE), headers=ETAG)


@dataclass
class Run:
    """What came of a download."""

    asked: list[Asked]
    data: bytes
    sniffed: Sniffed | None
    error: Exception | None
    sleeps: list[float]
    progress: list[tuple[int, int | None]]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without the proxies of the machine the tests run on."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def no_tls() -> ssl.SSLContext:
    """Fail: nothing here may need a certificate authority."""
    raise AssertionError


async def collect(fetcher: Fetcher, output: Output, part: Part, kind: Kind, run: Run) -> None:
    """Fetch, and put what happens into ``run``."""
    try:
        run.sniffed = await fetcher.fetch(output, part, kind=kind, progress=lambda *seen: run.progress.append(seen))
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
        run.error = error
    if not part.suspect:
        with part.reading() as file:
            run.data = file.read()


def download(
    tmp_path: Path, *scripts: Script, url: str = "{origin}/a.png", output: Output | None = None, limits: Limits = FAST,
    kind: Kind = "image", before: bytes = b"", cap: int = 10**9, **options: Any,
) -> Run:  # fmt: skip
    """Fetch one result from a server that follows ``scripts``; ``{origin}`` in ``url`` is the server's."""
    run = Run([], b"", None, None, [], [])

    async def sleep(seconds: float) -> None:
        run.sleeps.append(seconds)

    async def work() -> None:
        async with RawServer(scripts) as server, result_client(no_tls) as client:  # the client closes first
            run.asked = server.asked
            given: dict[str, Any] = {
                "api_origin": server.origin, "client": lambda: client, "with_key": None, "limits": limits,
                "sleep": sleep, "rand": lambda: 0.5,
            }  # fmt: skip
            fetcher = Fetcher(**{**given, **options})
            with Part(tmp_path / "out.png", cap=cap) as part:
                part.write(before)
                result = output or Output(url=url.format(origin=server.origin))
                await collect(fetcher, result, part, kind, run)

    asyncio.run(asyncio.wait_for(work(), 20))
    return run


def in_process(tmp_path: Path, answered: Callable[[httpx.Request], httpx.Response], url: str, **options: Any) -> Run:
    """Fetch one result over an in-process transport."""
    run = Run([], b"", None, None, [], [])

    async def sleep(seconds: float) -> None:
        run.sleeps.append(seconds)

    async def work() -> None:
        async with result_client(no_tls, httpx.MockTransport(answered)) as client:
            given: dict[str, Any] = {
                "api_origin": "https://rivya.ai", "client": lambda: client, "with_key": None, "limits": FAST,
                "sleep": sleep, "check_addresses": False,
            }  # fmt: skip
            with Part(tmp_path / "out.png", cap=10**9) as part:
                await collect(Fetcher(**{**given, **options}), Output(url=url), part, "image", run)

    asyncio.run(asyncio.wait_for(work(), 20))
    return run


def failed(run: Run, *words: str) -> DownloadFailed:
    """Return the run's ``DownloadFailed``, whose message holds ``words`` and no byte that is not printable."""
    assert isinstance(run.error, DownloadFailed), run.error
    assert all(word in run.error.message for word in words), run.error.message
    assert run.error.message.isprintable()
    assert run.error.hint == ""
    return run.error


def good(run: Run, requests: int) -> None:
    """Hold that the whole picture is there, after so many requests."""
    assert run.error is None, run.error
    assert run.data == PICTURE
    assert run.sniffed == Sniffed("image/png", 64, 48)
    assert len(run.asked) == requests
    assert run.progress[-1][0] == len(PICTURE)


def test_a_picture_arrives(tmp_path: Path) -> None:
    """A good answer is written as it is, with progress in bytes of the announced total."""
    run = download(tmp_path, answer())

    good(run, 1)
    assert run.progress[-1] == (len(PICTURE), len(PICTURE))
    assert run.sleeps == []


def test_s1_a_request_carries_nothing_secret(tmp_path: Path) -> None:
    """S1, S10: the request says who asks and that no compression is wanted, and nothing else."""
    run = download(tmp_path, answer(), url="{origin}/a.png?Signature=x#frag")

    assert sorted(run.asked[0].headers) == ["accept", "accept-encoding", "host", "user-agent"]
    assert run.asked[0].headers["accept-encoding"] == "identity"
    assert run.asked[0].path == "/a.png?Signature=x"


def test_a_client_full_of_secrets_leaks_none(tmp_path: Path) -> None:
    """S1: even a client with default headers, cookies and credentials sends none of them."""
    secrets = {"Authorization": f"Bearer {KEY}", "X-Api-Key": KEY}
    leaky = httpx.AsyncClient(headers=secrets, cookies={"session": KEY}, auth=("user", KEY))

    run = download(tmp_path, answer(headers={"Set-Cookie": "a=b"}), client=lambda: leaky)

    good(run, 1)
    assert KEY.encode() not in run.asked[0].raw
    assert not {"authorization", "cookie", "x-api-key"} & set(run.asked[0].headers)


@pytest.mark.parametrize("text", [
    base64.b64encode(PICTURE).decode(),
    base64.urlsafe_b64encode(PICTURE).decode().rstrip("="),
    "data:image/png;base64," + base64.encodebytes(PICTURE).decode(),
])  # fmt: skip
def test_r14_bytes_inside_the_answer_need_no_request(tmp_path: Path, text: str) -> None:
    """R14: base64 in its usual dialects is decoded in place of whatever the part held."""
    run = download(tmp_path, answer(), output=Output(b64=text), before=b"half of another")

    good(run, 0)


def test_a_data_address_is_bytes_too(tmp_path: Path) -> None:
    """A data: address is decoded like base64."""
    good(download(tmp_path, output=Output(url="data:image/png;base64," + base64.b64encode(PICTURE).decode())), 0)


@pytest.mark.parametrize(("text", "limits", "word"), [
    ("not base64!", FAST, "decoded"),
    (base64.b64encode(PICTURE).decode(), Limits(image_bytes=1000), "larger than 1,000"),
    (base64.b64encode(PICTURE).decode(), Limits(image_bytes=len(PICTURE) - 1), "larger"),
])  # fmt: skip
def test_bytes_inside_the_answer_can_be_wrong(tmp_path: Path, text: str, limits: Limits, word: str) -> None:
    """What is no base64, or too much of it, is a failed download at once."""
    failed(download(tmp_path, output=Output(b64=text), limits=limits), word)


def test_d03_a_short_body_is_continued(tmp_path: Path) -> None:
    """D03: after a short body, Range and If-Range ask for the rest alone."""
    run = download(tmp_path, SHORT, ranged)

    good(run, 2)
    assert run.asked[1].headers["range"] == f"bytes={HALF}-"
    assert run.asked[1].headers["if-range"] == '"v1"'
    assert run.sleeps == [0.5]


@pytest.mark.parametrize("etag", [{}, {"ETag": 'W/"v1"'}])
def test_d03_without_a_strong_validator_it_starts_again(tmp_path: Path, etag: dict[str, str]) -> None:
    """D03: a weak or missing ETag does not prove that the rest belongs to the beginning."""
    run = download(tmp_path, answer(body=PICTURE[:HALF], length=len(PICTURE), headers=etag), answer())

    good(run, 2)
    assert "range" not in run.asked[1].headers


def test_d03_six_tries_with_growing_waits(tmp_path: Path) -> None:
    """D03: it gives up after six tries, waiting with jitter of 1, 2, 4, ... s, at most 30 s."""
    run = download(tmp_path, SHORT, answer(500, b"busy"), limits=Limits(backoff_cap_s=6.0))

    assert failed(run, "6 tries", "HTTP 500", "busy").http_status == 500
    assert len(run.asked) == 6
    assert run.sleeps == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_d04_half_a_file_that_ends_like_a_whole_one_is_fetched_again(tmp_path: Path) -> None:
    """D04: the structure tells that a close-delimited body was cut, and it starts from zero."""
    run = download(tmp_path, answer(body=PICTURE[:HALF], length=None, headers=ETAG), answer(length=None))

    good(run, 2)
    assert "range" not in run.asked[1].headers
    assert run.progress[-1] == (len(PICTURE), None)


def test_d04_a_broken_picture_is_given_up_after_three_tries(tmp_path: Path) -> None:
    """D04: bytes that stay broken are not fetched for ever."""
    run = download(tmp_path, answer(body=PICTURE[:-20]))

    failed(run, "3 tries", "cut off")
    assert len(run.asked) == 3
    assert run.data == b""


def test_d05_a_stall_is_continued(tmp_path: Path) -> None:
    """D05: silence ends the attempt, and the next one goes on from there."""
    run = download(tmp_path, stall(), ranged)

    good(run, 2)
    assert run.asked[1].headers["range"] == f"bytes={HALF}-"


def test_d05_a_silent_server_is_a_stall_too(tmp_path: Path) -> None:
    """D05: a server that never answers costs one try."""
    good(download(tmp_path, stall(b"", start=b""), answer()), 2)


def test_d06_a_drip_is_cut_off_and_continued(tmp_path: Path) -> None:
    """D06: bytes that come, but too slowly, end the attempt; the next one goes on from there."""
    clock = chain([0.0, 61.0], repeat(100.0))

    run = download(tmp_path, stall(PICTURE[:1000]), ranged, now=lambda: next(clock))

    good(run, 2)
    assert run.asked[1].headers["range"] == "bytes=1000-"


def test_d06_the_rate_is_counted_in_windows() -> None:
    """D06: less than the rate over one window fails; enough of it opens the next window."""
    clock = iter([0.0, 30.0, 60.0, 90.0, 121.0])
    pace = Pace(Limits(), lambda: next(clock))

    pace.count(30_000)
    pace.count(40_000)
    pace.count(0)
    with pytest.raises(Again, match="too slow: 10 bytes in 61 s"):
        pace.count(10)


@pytest.mark.parametrize("second", [
    answer(headers=ETAG),
    answer(headers={"ETag": '"v2"'}),
], ids=["range ignored", "another document"])  # fmt: skip
def test_d07_a_whole_answer_replaces_the_beginning(tmp_path: Path, second: Script) -> None:
    """D07: where the server sends all of it again, what was here is thrown away."""
    good(download(tmp_path, SHORT, second), 2)


@pytest.mark.parametrize("second", [
    answer(206, PICTURE[HALF + 1 :], {"Content-Range": f"bytes {HALF + 1}-{len(PICTURE) - 1}/{len(PICTURE)}"}),
    answer(206, PICTURE[HALF:], {"Content-Range": f"bytes {HALF}-{len(PICTURE) - 1}/{len(PICTURE)}", "ETag": '"v2"'}),
    answer(206, PICTURE[HALF:]),
    answer(416, b"", {"Content-Range": "bytes */7"}),
], ids=["other place", "other etag", "no range", "other size"])  # fmt: skip
def test_d07_a_wrong_continuation_starts_from_zero(tmp_path: Path, second: Script) -> None:
    """D07: what does not go on exactly here is dropped, and the next try asks for all of it."""
    run = download(tmp_path, SHORT, second, answer())

    good(run, 3)
    assert "range" not in run.asked[2].headers


def test_d07_a_part_that_nobody_asked_for_is_no_file(tmp_path: Path) -> None:
    """D07: 206 without a Range is retried."""
    good(download(tmp_path, answer(206, PICTURE[:HALF]), answer()), 2)


def test_d07_416_at_the_end_is_done(tmp_path: Path) -> None:
    """D07: when all of it had come before the connection broke, 416 confirms it."""

    async def all_but_the_end(_: Asked, writer: asyncio.StreamWriter) -> None:
        body = f"{len(PICTURE):x}\r\n".encode() + PICTURE + b"\r\n"
        writer.write(head(200, {"Transfer-Encoding": "chunked", **ETAG}) + body)

    good(download(tmp_path, all_but_the_end, answer(416, b"", {"Content-Range": f"bytes */{len(PICTURE)}"})), 2)


def test_d07_416_without_a_range_is_final(tmp_path: Path) -> None:
    """A 4xx that has nothing to do with us is not retried."""
    assert failed(download(tmp_path, answer(416, b"no")), "HTTP 416").http_status == 416


@pytest.mark.parametrize(("body", "words"), [
    (b"<!doctype html><html><title>Sign \x1b[2Jin</title>" + b"x" * 500, ["HTML", "Sign", "…"]),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', ["XML", "AccessDenied"]),
    (b'{"error": "expired"}', ["JSON", "expired"]),
    (b"", ["empty"]),
])  # fmt: skip
def test_threat_s13_d08_a_page_is_no_picture(tmp_path: Path, body: bytes, words: list[str]) -> None:
    """D08, D16, S13: pages, messages and nothing at all are tried again, then quoted, and never kept."""
    run = download(tmp_path, answer(body=body))

    failed(run, "3 tries", "expected a picture", *words)
    assert len(run.asked) == 3
    assert run.data == b""


def test_d16_an_empty_answer_may_pass(tmp_path: Path) -> None:
    """D16: zero bytes are a failure that the next try may mend."""
    good(download(tmp_path, answer(body=b""), answer()), 2)


@pytest.mark.parametrize("kind", ["image", "video"])
@pytest.mark.parametrize("length", [-1, None])
def test_d10_nothing_larger_than_the_cap(tmp_path: Path, kind: Kind, length: int | None) -> None:
    """D10, S11: an announced size over the cap is refused unread, an unannounced one at the cap; once."""
    limits = Limits(**{f"{kind}_bytes": 20_000})

    run = download(tmp_path, answer(length=length), limits=limits, kind=kind)

    failed(run, "larger than 20,000 bytes", *([] if length is None else [f"{len(PICTURE):,} announced"]))
    assert len(run.asked) == 1
    assert len(run.data) <= (20_000 if length is None else 0)


def test_s03_a_full_disk_is_seen_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S03: where the announced size does not fit on the disk, nothing is written."""
    monkeypatch.setattr("wan_cli.publish.free_space", lambda _: 10)

    run = download(tmp_path, answer())

    assert isinstance(run.error, WriteFailed)
    assert run.data == b""


def test_a_disk_error_is_not_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails ends the download; the network is not to blame."""

    def refuse(*_: object) -> None:
        raise WriteFailed("disk")

    monkeypatch.setattr(Part, "write", lambda part, data: refuse() if data else 0)

    run = download(tmp_path, answer())

    assert isinstance(run.error, WriteFailed)
    assert len(run.asked) == 1


def test_d11_compression_is_refused(tmp_path: Path) -> None:
    """D11, S10: a body in another coding than asked for is not unpacked, nor kept."""
    run = download(tmp_path, answer(body=gzip.compress(b"0" * 10**6), headers={"Content-Encoding": "gzip"}))

    failed(run, "compressed (gzip)")
    assert (len(run.asked), run.data) == (1, b"")


def test_d12_a_pixel_bomb_is_kept_aside_and_not_fetched_again(tmp_path: Path) -> None:
    """D12: too many pixels come again with every try, so there is one."""
    size = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")

    run = download(tmp_path, answer(body=bomb))

    assert isinstance(run.error, DownloadFailed)
    assert len(run.asked) == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".suspect"]


def test_d13_redirects_are_followed(tmp_path: Path) -> None:
    """D13: up to five hops, relative ones included, each a bare request."""
    hops = [redirect(f"/{n}", status) for n, status in enumerate((301, 302, 303, 307, 308))]

    run = download(tmp_path, *hops, answer())

    good(run, 6)
    assert [request.path for request in run.asked] == ["/a.png", "/0", "/1", "/2", "/3", "/4"]


@pytest.mark.parametrize(("scripts", "words"), [
    ([redirect(f"/{n}") for n in range(7)], ["more than 5 redirects"]),
    ([redirect("/b"), redirect("/a.png")], ["a redirect loop"]),
    ([redirect("")], ["a redirect loop"]),
    ([redirect("file:///etc/passwd")], ["refused", "file"]),
    ([redirect("http://169.254.169.254/latest")], ["http://169.254.169.254 is not https"]),
    ([redirect("https://169.254.169.254/latest?secret")], ["https://169.254.169.254 is not a public address"]),
])  # fmt: skip
def test_d13_redirects_that_are_refused(tmp_path: Path, scripts: list[Script], words: list[str]) -> None:
    """D13: loops, chains and hops to where a result may not be are refused at once, and the hop is named."""
    run = download(tmp_path, *scripts)

    assert "secret" not in failed(run, *words).message
    assert len(run.asked) <= 6
    assert run.sleeps == []


def test_d13_a_public_apis_result_cannot_reach_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D13, S9: from a host that is allowed, a redirect to a server on this machine is not followed."""

    async def work() -> tuple[int, int, Run]:
        run = Run([], b"", None, None, [], [])
        async with RawServer([answer()]) as inner, RawServer([redirect(f"{inner.origin}/secret")]) as outer:
            monkeypatch.setenv("http_proxy", outer.origin)
            async with result_client(no_tls) as client:
                fetcher = Fetcher(api_origin="http://relay.example", client=lambda: client, with_key=None, limits=FAST)
                with Part(tmp_path / "a.png", cap=10**9) as part:
                    await collect(fetcher, Output(url="http://relay.example/a.png"), part, "image", run)
            return len(outer.asked), len(inner.asked), run

    outer, inner, run = asyncio.run(work())

    failed(run, "127.0.0.1", "not https")
    assert (outer, inner) == (1, 0)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_d01_d02_an_expired_address_is_told_at_once(tmp_path: Path, status: int) -> None:
    """D01, D02: 403, 404 and 410 are not retried: the engine asks for a fresh address."""
    run = download(tmp_path, answer(status, b"<Code>Request has\x1b expired</Code>" + b"x" * 3000))

    assert isinstance(run.error, Expired)
    assert run.error.status == status
    assert "Request has^[ expired" in run.error.head
    assert len(run.error.head) <= 200
    assert len(run.asked) == 1


def test_an_expired_address_counts_even_if_its_words_never_come(tmp_path: Path) -> None:
    """The status is enough: a stalling body of a 403 does not hide it."""
    run = download(tmp_path, stall(b"", start=head(403, {"Content-Length": "10"})))

    assert isinstance(run.error, Expired)
    assert run.error.head == "no reason given"


def test_server_errors_pass(tmp_path: Path) -> None:
    """5xx twice, then good: the picture is there after two waits."""
    run = download(tmp_path, answer(500, b"a"), answer(503, b"b"), answer())

    good(run, 3)
    assert run.sleeps == [0.5, 1.0]


@pytest.mark.parametrize(("header", "wait"), [({"Retry-After": "7"}, 7.0), ({"Retry-After": "0"}, 1.0), ({}, 0.5)])
def test_429_waits_as_asked(tmp_path: Path, header: dict[str, str], wait: float) -> None:
    """429 is waited out for as long as it says, at least a second."""
    run = download(tmp_path, answer(429, b"slow", header), answer())

    good(run, 2)
    assert run.sleeps == [wait]


def test_a_long_retry_after_is_for_the_user(tmp_path: Path) -> None:
    """A wait beyond two minutes ends the download and says for how long."""
    run = download(tmp_path, answer(429, b"slow", {"Retry-After": "3600"}))

    error = failed(run, "1 try", "3,600 s")
    assert (error.retry_after_s, error.http_status) == (3600.0, 429)
    assert run.sleeps == []


@pytest.mark.parametrize("status", [204, 304, 400, 401, 451])
def test_other_answers_are_final(tmp_path: Path, status: int) -> None:
    """Any other status is no result, and asking again would not change it."""
    run = download(tmp_path, answer(status, b"", length=None))

    assert failed(run, f"HTTP {status}").http_status == status
    assert len(run.asked) == 1


def test_a_refused_connection_is_retried(tmp_path: Path) -> None:
    """Nobody listening is a failure that may pass, and takes all six tries."""
    run = download(tmp_path, url="http://127.0.0.1:1/a.png")

    failed(run, "6 tries", "http://127.0.0.1:1")
    assert len(run.sleeps) == 5


def test_threat_s11_the_wall_clock_ends_it(tmp_path: Path) -> None:
    """S11: however the time is spent, it is limited."""
    run = download(tmp_path, stall(), limits=Limits(wall_s=0.1))

    failed(run, "within 0.1 s")


def test_a_time_out_of_somebody_elses_is_not_ours(tmp_path: Path) -> None:
    """A TimeoutError from within is not mistaken for the wall clock."""

    async def with_key(_: httpx.Request) -> httpx.Response:
        raise TimeoutError

    assert isinstance(download(tmp_path, url="/a.png", with_key=with_key).error, TimeoutError)


def test_a_relative_address_goes_to_the_api_with_the_key(tmp_path: Path) -> None:
    """A relative address is asked of the API through its own client, with the same care for the bytes."""
    seen: list[httpx.Request] = []

    async def with_key(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if len(seen) == 1:
            raise httpx.ReadError("broken")
        return httpx.Response(200, content=PICTURE, request=request)

    run = download(tmp_path, url="/v1/files/a.png", with_key=with_key)

    good(run, 0)
    assert [request.url.path for request in seen] == ["/v1/files/a.png"] * 2
    assert seen[0].headers["Accept-Encoding"] == "identity"


def test_s2_a_redirect_is_never_followed_with_the_key(tmp_path: Path) -> None:
    """S2: a redirect of a keyed request is an error."""

    async def with_key(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": "https://cdn.example.com/a.png"}, request=request)

    run = download(tmp_path, url="/a.png", with_key=with_key)

    assert failed(run, "never followed with the key").http_status == 302


def test_without_a_key_a_relative_address_is_an_ordinary_one(tmp_path: Path) -> None:
    """A server that needs no key is asked like any other, redirects included."""
    good(download(tmp_path, redirect("/b.png"), answer(), url="/a.png"), 2)


def test_s1_s2_the_second_server_never_sees_the_key(tmp_path: Path) -> None:
    """S1, S2: of two servers, the one that is not the API gets no secret: not directly, nor by a redirect."""
    runs: list[Run] = []

    async def work() -> tuple[list[Asked], list[Asked]]:
        async with RawServer([answer()]) as cdn, RawServer([answer(), redirect(f"{cdn.origin}/r.png")]) as api:
            async with httpx.AsyncClient() as keyed, result_client(no_tls) as client:

                async def with_key(request: httpx.Request) -> httpx.Response:
                    request.headers["Authorization"] = f"Bearer {KEY}"
                    return await keyed.send(request, stream=True)

                fetcher = Fetcher(api_origin=api.origin, client=lambda: client, with_key=with_key, limits=FAST)
                for url in ("/own.png", f"{cdn.origin}/a.png", "/own.png", f"{api.origin}/b.png"):
                    run = Run([], b"", None, None, [], [])
                    with Part(tmp_path / "a.png", cap=10**9) as part:
                        await collect(fetcher, Output(url=url), part, "image", run)
                    runs.append(run)
            return api.asked, cdn.asked

    api, cdn = asyncio.run(work())

    assert [type(run.error) for run in runs] == [type(None), type(None), DownloadFailed, type(None)]
    assert [KEY.encode() in request.raw for request in api] == [True, True, False]
    assert [request.path for request in cdn] == ["/a.png", "/r.png"]
    assert not any(KEY.encode() in request.raw for request in cdn)


def listed(*answers: str | OSError) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """Return a resolver that gives one answer a call: addresses with commas between, or a failure."""
    left = list(answers)

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, OSError):
            raise found
        return found.split(",")

    return resolve


def test_s9_the_connection_goes_to_the_checked_address(tmp_path: Path) -> None:
    """S9: the host is replaced by an address that was checked; name and certificate stay the host's; per hop."""
    seen: list[httpx.Request] = []

    def answered(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if len(seen) == 1:
            return httpx.Response(302, headers={"Location": "https://b.example.com/x"})
        return httpx.Response(200, content=PICTURE)

    resolve = listed("8.8.8.8", "1.1.1.1")
    run = in_process(tmp_path, answered, "https://a.example.com/x", check_addresses=True, resolve=resolve)

    assert run.data == PICTURE
    assert [(r.url.host, r.headers["Host"], r.extensions["sni_hostname"]) for r in seen] == [
        ("8.8.8.8", "a.example.com", "a.example.com"),
        ("1.1.1.1", "b.example.com", "b.example.com"),
    ]


def test_s9_a_private_answer_is_refused_before_connecting(tmp_path: Path) -> None:
    """S9: a name that leads inside is refused, at the second try as at the first (rebinding)."""
    resolve = listed("8.8.8.8", "8.8.8.8,10.0.0.1")
    seen: list[str] = []

    def answered(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(500)

    run = in_process(tmp_path, answered, "https://a.example.com/x", check_addresses=True, resolve=resolve)

    failed(run, "https://a.example.com leads to 10.0.0.1")
    assert seen == ["8.8.8.8"]


def test_the_next_address_is_tried_where_one_leads_nowhere(tmp_path: Path) -> None:
    """An address that refuses costs no try while the host has another; a name that fails to resolve costs one."""
    seen: list[str] = []

    def answered(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        if request.url.host != "1.1.1.1":
            raise httpx.ConnectError("no route")
        return httpx.Response(200, content=PICTURE)

    resolve = listed(OSError("no such name"), "2606:4700::1111", "2606:4700::1111,1.1.1.1")
    run = in_process(tmp_path, answered, "https://a.example.com/x", check_addresses=True, resolve=resolve)

    assert run.data == PICTURE
    assert seen == ["2606:4700::1111", "2606:4700::1111", "1.1.1.1"]
    assert len(run.sleeps) == 2


def test_a_name_that_never_resolves_is_named(tmp_path: Path) -> None:
    """A failed look-up ends after all tries, with the host in the message."""
    resolve = listed(OSError("no such name"))
    run = in_process(
        tmp_path, lambda _: httpx.Response(500), "https://a.example.com/x", check_addresses=True, resolve=resolve
    )

    failed(run, "https://a.example.com cannot be found", "no such name", "6 tries")


def test_behind_a_proxy_the_name_is_not_resolved_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S9: where the proxy does the resolving, the request goes out by name."""
    monkeypatch.setenv("https_proxy", "http://proxy.example:1")
    seen: list[str] = []

    def answered(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(200, content=PICTURE)

    resolve = listed("10.0.0.1")
    run = in_process(tmp_path, answered, "https://a.example.com/x", check_addresses=True, resolve=resolve)

    assert run.data == PICTURE
    assert seen == ["a.example.com"]


def test_an_untrusted_certificate_is_not_retried(tmp_path: Path) -> None:
    """S21: a certificate that fails the check fails it again, at whatever address."""
    seen: list[str] = []

    def answered(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        raise httpx.ConnectError("bad") from ssl.SSLCertVerificationError("self-signed")

    resolve = listed("8.8.8.8,1.1.1.1")
    run = in_process(tmp_path, answered, "https://a.example.com/x", check_addresses=True, resolve=resolve)

    failed(run, "certificate", "https://a.example.com")
    assert (seen, run.sleeps) == (["8.8.8.8"], [])


def test_a_transport_that_cannot_is_not_asked_again(tmp_path: Path) -> None:
    """An address that the HTTP library refuses stays refused."""

    def answered(_: httpx.Request) -> httpx.Response:
        raise httpx.UnsupportedProtocol("not this one")

    run = in_process(tmp_path, answered, "https://a.example.com/x")

    failed(run, "not this one")
    assert run.sleeps == []


@pytest.mark.parametrize(("announced", "kept"), [(10, b""), (10**6, PICTURE)])
def test_d10_a_length_that_lies_is_a_broken_attempt(tmp_path: Path, announced: int, kept: bytes) -> None:
    """D10: more bytes than announced leave nothing, fewer a beginning (in process, no HTTP parser holds them to it)."""
    headers = {"Content-Length": str(announced)}

    run = in_process(
        tmp_path, lambda _: httpx.Response(200, headers=headers, content=PICTURE), "https://a.example.com/x"
    )

    failed(run, "the body ended after", f"of {announced:,} bytes")
    assert run.data == kept


def test_cancelling_stops_at_once(tmp_path: Path) -> None:
    """Ctrl-C in mid-download goes through: nothing is retried, and the part can be removed."""

    async def work() -> int:
        async with RawServer([stall()]) as server, result_client(no_tls) as client:
            fetcher = Fetcher(api_origin=server.origin, client=lambda: client, with_key=None)
            with Part(tmp_path / "a.png", cap=10**9) as part:
                here = asyncio.Event()
                output = Output(url=f"{server.origin}/a.png")
                task = asyncio.create_task(fetcher.fetch(output, part, kind="image", progress=lambda *_: here.set()))
                await here.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            return len(server.asked)

    assert asyncio.run(work()) == 1
    assert list(tmp_path.iterdir()) == []
