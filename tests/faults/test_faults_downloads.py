"""Downloads that go wrong (D01-D20), as a whole command line sees them; tests/test_download*.py has the details.

Whatever happens to the bytes: nothing stands under the final name that is not whole, nothing is bought again, and the
hint brings the file once the fault is gone.
"""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import time
import zlib
from dataclasses import replace
from typing import Any

import httpx
import pytest
from support_cli import Ran, picture
from support_wire import NIMBLE, WAYS, Exchange, Fault, Line, Way, every, whole

PAIR = tuple(way for way in WAYS if way.label in {"rivya", "yunwu"})
"""A provider with tasks, and one whose answer is all, with addresses in it."""
SEVERAL = tuple(way for way in WAYS if way.label in {"modelverse", "modelverse-sync"})
"""Those that draw several pictures for one request."""


def name_of(line: Line, way: Way, ran: Ran) -> str:
    """Return what continues with the only task: its handle, or its local id where the provider keeps no task."""
    if way.sync:
        return ran.err.split()[0]
    (sold,) = line.wire.world.purchases()
    return f"{way.provider}:{sold['task_id']}"


def stuck(line: Line, way: Way, ran: Ran, *left: str, code: int = 12) -> None:
    """Hold a download that failed against the contract: charged, the command that continues, one purchase, no file."""
    assert (ran.code, ran.said("charged")) == (code, "yes"), ran.err
    kept = code == 12 or not way.sync  # else nobody has it any more
    assert ran.said("hint") == (f"wan wait {name_of(line, way, ran)}" if kept else "run the command that made it again")
    assert line.cli.files() == sorted(left)
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1


def comes(line: Line, way: Way, ran: Ran, *files: str) -> None:
    """Run the hint once the fault is gone: the files are here and nothing was bought again."""
    line.wire.always.clear()
    again = line.run("wait", name_of(line, way, ran))
    assert again.code == 0, again.err
    assert line.cli.files() == sorted(files or [f"fox{way.ext}"])
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1


def here(line: Line, way: Way, ran: Ran) -> None:
    """Hold a download that went well in the end against the contract."""
    assert ran.code == 0, ran.err
    assert line.cli.files() == [f"fox{way.ext}"]
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1


def limits(line: Line, **changes: Any) -> None:
    """Divide the limits of downloads further."""
    line.cli.engine["fetcher"]["limits"] = replace(NIMBLE, **changes)


def cut(exchange: Exchange) -> None:
    """Announce the whole length, send half of it, and close."""
    response = exchange.accept()
    data = whole(response)
    exchange.send(data[: len(data) - len(response.content) // 2])
    exchange.close()


def moved(way: Way, url: str) -> Fault:
    """Return a fault of the answer that has the result: another address."""

    def fault(exchange: Exchange) -> None:
        data = exchange.accept().json()
        if way.provider == "rivya" and data.get("result"):
            data["result"] = {"urls": [url], "primary_url": url}
        elif way.sync:
            data["data"] = [{"url": url}]
        exchange.answer(httpx.Response(200, json=data))

    return fault


def answers(line: Line, way: Way, fault: Fault) -> None:
    """Let ``fault`` give every answer that can have results."""
    line.wire.always["submit" if way.sync else "poll"] = fault


# -- D01, D02: addresses that are refused


@every(PAIR)
@pytest.mark.parametrize("status", [403, 404])
def test_d01_d02_an_address_that_is_refused_while_it_is_good(line: Line, way: Way, status: int) -> None:
    """By its own account it is good for a day, so the result is not given up: looked at twice, 12, and it comes."""
    line.wire.always["download"] = lambda exchange: exchange.say(status, b"<Error>no</Error>")
    ran = line.buy(way)
    stuck(line, way, ran)
    assert f"HTTP {status}" in ran.said("error")
    assert len(line.wire.asked("download")) == 2
    assert len(line.wire.asked("poll")) == (0 if way.sync else 2), "fresh addresses are asked for once"
    comes(line, way, ran)


@every(PAIR)
@pytest.mark.parametrize(("status", "said"), [(403, b"<Message>Request has expired.</Message>"), (410, b"gone")])
def test_d01_d02_an_address_that_has_ended(line: Line, way: Way, status: int, said: bytes) -> None:
    """Where the host says that it is over, fresh addresses are asked for once, and then the result is lost: 10."""
    line.wire.always["download"] = lambda exchange: exchange.say(status, said)
    stuck(line, way, line.buy(way), code=10)
    assert len(line.wire.asked("download")) == 2
    assert len(line.wire.asked("poll")) == (0 if way.sync else 2)


@every(PAIR)
def test_d01_a_refusal_that_passes(line: Line, way: Way) -> None:
    """A refusal that is not repeated costs a second look."""
    line.wire.script["download"] = [lambda exchange: exchange.say(403, b"Request has expired.")]
    here(line, way, line.buy(way))


# -- D03 to D07: bodies that do not come whole


@every(PAIR)
def test_d03_a_body_that_ends_early(line: Line, way: Way) -> None:
    """Continued from where it ended; where it always ends early, 12 after six tries, and nothing half is left."""
    line.wire.script["download"] = [cut]
    here(line, way, line.buy(way))
    first, second = line.wire.asked("download")
    assert "range" not in first.headers
    assert second.headers["range"].startswith("bytes=")
    assert second.headers["if-range"]


@every(PAIR)
def test_d03_a_body_that_always_ends_early(line: Line, way: Way) -> None:
    """Six tries, then 12; nothing half is left, and it comes later."""
    line.wire.always["download"] = cut
    ran = line.buy(way)
    stuck(line, way, ran)
    assert len(line.wire.asked("download")) == 6
    comes(line, way, ran)


@every(PAIR)
def test_d04_half_a_file_without_a_length(line: Line, way: Way) -> None:
    """A close looks like the end, and the picture's own structure tells that it is none: 12 after three tries."""

    def half(exchange: Exchange) -> None:
        content = exchange.accept().content
        exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + content[: len(content) // 2])
        exchange.close()

    line.wire.always["download"] = half
    ran = line.buy(way)
    stuck(line, way, ran)
    assert "not whole" in ran.said("error")
    assert len(line.wire.asked("download")) == 3
    comes(line, way, ran)


@every(PAIR)
def test_d05_a_body_that_stops_coming(line: Line, way: Way) -> None:
    """Silence is cut off and continued; where it is always silent, 12."""
    limits(line, read_stall_s=0.1, tries=2)

    def stalled(exchange: Exchange) -> None:
        exchange.send(whole(exchange.accept())[:-100])
        exchange.stall()

    line.wire.always["download"] = stalled
    ran = line.buy(way)
    stuck(line, way, ran)
    assert "range" in line.wire.asked("download")[1].headers
    comes(line, way, ran)


@every(PAIR)
def test_d06_a_body_that_drips(line: Line, way: Way) -> None:
    """Fewer bytes than the pace allows are cut off and continued; where it always drips, 12."""
    limits(line, window_s=0.1, min_rate=100_000.0, tries=2)
    line.cli.engine["fetcher"]["now"] = time.monotonic

    def drips(exchange: Exchange) -> None:
        data = whole(exchange.accept())
        head = data.index(b"\r\n\r\n") + 10
        exchange.send(data[:head])
        exchange.drip(data[head:], 0.01)
        exchange.close()

    line.wire.always["download"] = drips
    ran = line.buy(way)
    stuck(line, way, ran)
    assert "too slow" in ran.said("error")
    comes(line, way, ran)


def ignored(exchange: Exchange) -> None:
    """Answer a continuation with the whole file."""
    bare = httpx.Headers([pair for pair in exchange.seen.headers.multi_items() if pair[0] != "range"])
    exchange.answer(exchange.wire.handled(replace(exchange.seen, headers=bare)))


@every(PAIR)
@pytest.mark.parametrize(
    "second",
    [
        ignored,
        lambda exchange: exchange.answer(content_range="bytes 0-9/10"),
        lambda exchange: exchange.answer(etag='"another"'),
        lambda exchange: exchange.say(416, b"", content_range="bytes */5"),
    ],
    ids=["ignored", "elsewhere", "changed", "416"],
)
def test_d07_a_continuation_that_is_none(line: Line, way: Way, second: Fault) -> None:
    """Whatever answers the question for the rest: the file is whole in the end."""
    line.wire.script["download"] = [cut, second]
    here(line, way, line.buy(way))
    assert (line.cli.cwd / "fox.png").read_bytes()[-8:-4] == b"IEND"


# -- D08 to D12, D16, D17: bytes that are something else


@every(PAIR)
@pytest.mark.parametrize(
    ("body", "said"),
    [(b"<!doctype html><h1>Sign in</h1>", 'got HTML: "<!doctype html><h1>Sign in</h1>"'),
     (b"<?xml version='1.0'?><Error/>", "got XML"), (b'{"error": "later"}', "got JSON"), (b"", "got an empty file")],
    ids=["html", "xml", "json", "empty"],
)  # fmt: skip
def test_d08_d16_something_else_than_a_picture(line: Line, way: Way, body: bytes, said: str) -> None:
    """A page or nothing under 200 is tried three times and quoted: 12, no .png; given once, it does no harm."""
    line.wire.always["download"] = lambda exchange: exchange.say(200, body)
    ran = line.buy(way)
    stuck(line, way, ran)
    assert said in ran.said("error")
    assert len(line.wire.asked("download")) == 3
    line.wire.script["download"] = [lambda exchange: exchange.say(200, body)]
    comes(line, way, ran)


@every(PAIR)
def test_d09_another_type_than_was_asked_for(line: Line, way: Way) -> None:
    """The true extension is used, a warning says so, and the bytes are kept as they came."""
    jpeg = picture(1024, 1024, "JPEG")
    line.wire.always["download"] = lambda exchange: exchange.say(200, jpeg, content_type="image/png")
    ran = line.buy(way)
    assert ran.code == 0, ran.err
    assert line.cli.files() == ["fox.jpg"]
    assert (line.cli.cwd / "fox.jpg").read_bytes() == jpeg
    assert "image/jpeg" in ran.said("warning")
    assert line.wire.purchases == 1


def endless(exchange: Exchange) -> None:
    """Send a picture that never ends, without a length."""
    exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + picture(8, 8))
    while not exchange.over and not exchange.wire.stopping.is_set():
        exchange.send(b"\0" * 65_536)


@every(PAIR)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda exchange: exchange.answer(content_length=str(1 << 40)), "larger than"),
        (endless, "larger than"),
        (lambda exchange: exchange.answer(content_length="300", connection="close"), "not whole"),
    ],
    ids=["announced", "endless", "too-short"],
)
def test_d10_larger_than_the_cap(line: Line, way: Way, fault: Fault, said: str) -> None:
    """Reading stops at the cap, or before it where the length says so; a length that lies is no whole picture."""
    limits(line, image_bytes=1 << 20)

    def once(exchange: Exchange) -> None:
        fault(exchange)
        exchange.close()

    line.wire.always["download"] = once
    ran = line.buy(way)
    stuck(line, way, ran)
    assert said in ran.said("error")
    comes(line, way, ran)


@every(PAIR)
def test_d11_a_compressed_body(line: Line, way: Way) -> None:
    """Compression was not asked for, so it is not undone: a bomb stays small."""
    bomb = gzip.compress(b"\0" * (1 << 20))
    line.wire.always["download"] = lambda exchange: exchange.say(200, bomb, content_encoding="gzip")
    ran = line.buy(way)
    stuck(line, way, ran)
    assert "compressed (gzip)" in ran.said("error")
    assert line.wire.asked("download")[0].headers["accept-encoding"] == "identity"
    comes(line, way, ran)


@every(PAIR)
def test_d12_too_many_pixels(line: Line, way: Way) -> None:
    """The file is kept aside unopened, once, and there is no picture: 12."""
    small = picture(8, 8)
    header = b"IHDR" + struct.pack(">II", 30_000, 30_000) + small[24:29]
    bomb = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
    line.wire.always["download"] = lambda exchange: exchange.say(200, bomb)
    ran = line.buy(way)
    stuck(line, way, ran, "fox.png.suspect")
    assert "30000x30000" in ran.said("error")
    assert (line.cli.cwd / "fox.png.suspect").read_bytes() == bomb
    comes(line, way, ran, "fox.png", "fox.png.suspect")


@every(PAIR)
def test_d17_bytes_after_the_end(line: Line, way: Way) -> None:
    """What follows the picture is kept as it came."""
    odd = picture(1024, 1024) + b"PK\x03\x04 and so on"
    line.wire.always["download"] = lambda exchange: exchange.say(200, odd)
    here(line, way, line.buy(way))
    assert (line.cli.cwd / "fox.png").read_bytes() == odd


# -- D13, D14: addresses that must not be fetched


@every(PAIR)
@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254"), ("file:///etc/passwd", "its scheme is 'file'"),
        ("http://cdn.example.com/1.png", "cdn.example.com is not https"), ("https://10.0.0.1/1.png", "10.0.0.1"),
        ("SELF", "a redirect loop"), ("HOPS", "more than 5 redirects"),
    ],
)  # fmt: skip
def test_d13_a_redirect_to_where_it_must_not_lead(line: Line, way: Way, location: str, said: str) -> None:
    """The hop is refused and named, nothing is asked there: 12."""

    def redirect(exchange: Exchange) -> None:
        hops = {"SELF": exchange.seen.path, "HOPS": f"/results/x/{len(exchange.wire.asked('download'))}.png"}
        exchange.say(302, b"", location=hops.get(location, location))

    line.wire.always["download"] = redirect
    ran = line.buy(way)
    stuck(line, way, ran)
    assert said in ran.said("error")
    comes(line, way, ran)


@every(PAIR)
@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://127.0.0.1/1.png", "//127.0.0.1/1.png", "http://user:secret@127.0.0.1/1.png",
     "http://127.0.0.1\\@evil.example/1.png", "http://127.0.0.1/1.png\r\nX: y", "https://127.1.1.1.nip/\u0000",
     "javascript:alert(1)", "/etc/../root/.ssh/id_rsa\x00", "https://a..b/1.png", f"https://{'x' * 64}.example/1.png"],
    ids=ascii,
)  # fmt: skip
def test_d14_an_address_that_is_none_to_fetch(line: Line, way: Way, url: str) -> None:
    """It is refused without a request, and what it may hold as a secret is not shown: 12."""
    answers(line, way, moved(way, url))
    ran = line.buy(way)
    stuck(line, way, ran)
    assert not line.wire.asked("download")
    assert "secret" not in ran.err
    if not way.sync:  # the provider can be asked for a better one
        comes(line, way, ran)


# -- D15: names


@every(PAIR)
@pytest.mark.parametrize("overwrite", [False, True])
def test_d15_a_name_that_is_taken_meanwhile(line: Line, way: Way, overwrite: bool) -> None:
    """A file that appears while the task runs stays untouched, unless it was to be overwritten."""

    def appears(exchange: Exchange) -> None:
        line.cli.write("fox.png", b"mine")
        exchange.answer()

    line.wire.script["download"] = [appears]
    ran = line.buy(way, *(["--overwrite"] if overwrite else []))
    assert ran.code == 0, ran.err
    assert line.cli.files() == (["fox.png"] if overwrite else ["fox-2.png", "fox.png"])
    assert ((line.cli.cwd / "fox.png").read_bytes() == b"mine") is not overwrite
    if not overwrite:
        assert "fox.png was taken meanwhile" in ran.said("warning")
    assert line.wire.purchases == 1


@every(PAIR)
def test_d15_a_name_that_is_taken_before(line: Line, way: Way) -> None:
    """A name that is taken is found out before anything is sent."""
    line.cli.write("fox.png", b"mine")
    ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (2, "no")
    assert not line.wire.seen


# -- D18 to D20


@every(PAIR)
def test_d18_a_host_that_breaks_every_connection(line: Line, way: Way) -> None:
    """Six tries with growing waits, then 12 with the command that continues, and it comes later."""
    line.wire.always["download"] = Exchange.reset
    ran = line.buy(way)
    stuck(line, way, ran)
    assert len(line.wire.asked("download")) == 6
    comes(line, way, ran)


@every(PAIR)
def test_d18_a_host_that_is_down(line: Line, way: Way) -> None:
    """Nobody listens where the result is: 12; an hour later the same address brings it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        place = probe.getsockname()
    answers(line, way, moved(way, f"http://127.0.0.1:{place[1]}/1.png"))
    ran = line.buy(way)
    stuck(line, way, ran)
    line.cli.clock.now += 3600
    with socket.create_server(place) as server:
        thread = threading.Thread(target=_serves_once, args=(server,))
        thread.start()
        comes(line, way, ran)
        thread.join()


@every(tuple(way for way in PAIR if not way.sync))
def test_d18_a_host_that_has_moved(line: Line, way: Way) -> None:
    """Where a later command fails as well, the provider is asked once where the result is now; the same there: 12."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    answers(line, way, moved(way, f"http://127.0.0.1:{port}/1.png"))
    ran = line.buy(way)
    stuck(line, way, ran)
    assert len(line.wire.asked("poll")) == 1
    stuck(line, way, line.run("wait", name_of(line, way, ran)))
    assert len(line.wire.asked("poll")) == 2
    line.wire.always["poll"] = lambda exchange: exchange.say(503, b"later")
    again = line.run("wait", name_of(line, way, ran))
    stuck(line, way, again)
    assert "could not be asked" in again.said("error")
    comes(line, way, ran)


def _serves_once(server: socket.socket) -> None:
    sock, _ = server.accept()
    with sock:
        sock.recv(65_536)
        sock.sendall(whole(httpx.Response(200, content=picture(1024, 1024))))


@every(SEVERAL)
def test_d19_one_of_four_fails(line: Line, way: Way) -> None:
    """Three results are here and recorded, the fourth is what is fetched later: 12, then 0."""

    def second_fails(exchange: Exchange) -> None:
        if "/2.png" in exchange.seen.path:
            exchange.say(500, b"oops")
        else:
            exchange.answer()

    line.wire.always["download"] = second_fails
    ran = line.buy(way, "-n", 4)
    stuck(line, way, ran, "fox-1.png", "fox-3.png", "fox-4.png")
    before = len(line.wire.asked("download"))
    comes(line, way, ran, *(f"fox-{number}.png" for number in range(1, 5)))
    assert len(line.wire.asked("download")) == before + 1


@every(tuple(way for way in WAYS if way in SEVERAL or way.label in {"yunwu", "openai"}))
def test_d20_two_results_with_the_same_bytes(line: Line, way: Way) -> None:
    """Both are kept, and a warning says that they are the same; it is no difference to what was asked for."""
    ran = line.buy(way, "-n", 2, "--strict")
    assert ran.code == 0, ran.err
    assert line.cli.files() == ["fox-1.png", "fox-2.png"]
    assert "results 1 and 2 are the same, byte for byte" in ran.said("warning")
    assert line.wire.purchases == 1
