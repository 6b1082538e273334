"""Which addresses are admitted, which network addresses are connected to, and what an answer's headers mean."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_cli.download.address import Hop, Resolver, Rules, connectable, is_public, pinned, system_resolver
from wan_cli.download.answer import Resume, Span, content_length, content_range, unsatisfied_total
from wan_cli.errors import DownloadFailed
from wan_cli.retry_after import retry_after

PUBLIC = "https://rivya.ai"


def resolver(*answers: str) -> Resolver:
    """Return a resolver that always gives these answers."""

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return answers

    return resolve


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::1"])
def test_public_addresses_are_public(address: str) -> None:
    """An address on the internet, plain or wrapped, may be connected to."""
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", [
    "127.0.0.1", "0.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.8",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%1",
    "fc00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "64:ff9b::7f00:1",
    "64:ff9b::808:808", "64:ff9b:1::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "2001::1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
])  # fmt: skip
def test_s9_other_addresses_are_not(address: str) -> None:
    """S9: private, link-local, shared, reserved, multicast, translated and wrapped private addresses are refused."""
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(("origin", "raw", "scope"), [
    (PUBLIC, "https://cdn.example.com/a.png?Signature=x", "public"),
    (PUBLIC, "https://cdn.example.com:443/a.png", "public"),
    (PUBLIC, "https://bücher.example/a.png", "public"),
    (PUBLIC, "https://8.8.8.8/a.png", "public"),
    (PUBLIC, "https://[2606:4700::1111]/a.png", "public"),
    (PUBLIC, "https://rivya.ai/a.png", "own"),
    (PUBLIC, "https://RIVYA.ai./a.png", "own"),
    (PUBLIC, "http://rivya.ai/a.png", "private"),
    (PUBLIC, "https://rivya.ai:8443/a.png", "private"),
    ("https://relay.example:8443", "https://relay.example:8443/a.png", "own"),
    ("https://relay.example:8443", "https://relay.example/a.png", "own"),
    ("https://8.8.8.8:8443", "https://8.8.8.8:8443/a.png", "own"),
    ("http://127.0.0.1:8484", "http://127.0.0.1:9000/a.png", "own"),
    ("http://127.0.0.1:8484", "http://localhost:9000/a.png", "own"),
    ("http://localhost:8484", "http://[::1]:9000/a.png", "own"),
    ("http://127.0.0.1:8484", "https://cdn.example.com/a.png", "public"),
    ("http://relay.example", "http://relay.example:9000/a.png", "own"),
    ("https://10.0.0.5", "http://10.0.0.5:9000/a.png", "own"),
])  # fmt: skip
def test_addresses_that_are_admitted(origin: str, raw: str, scope: str) -> None:
    """Https on port 443 is admitted, and more where the API's own host is that way (interface.md section 8)."""
    hop = Rules(origin).result(raw)

    assert (hop.scope, hop.keyed) == (scope, False)


@pytest.mark.parametrize(("origin", "raw"), [
    *((PUBLIC, raw) for raw in [
        "", "//cdn.example.com/x", "http://cdn.example.com/x", "https://cdn.example.com:8443/x", "ftp://cdn.example.com/x",
        "https://user:pw@cdn.example.com/x", "https://user@cdn.example.com/x", "https://cdn.example.com/a\nb",
        "https://cdn.example.com/\x1b[2J", "https://cdn.example.com\\@127.0.0.1/x", "https:///x", "https://", "https://a.example/b\\c",
        "https://cdn.example.com:99999/x", "https://[::1/x", "javascript:alert(1)", "https://127.0.0.1/x",
        "https://localhost/x", "https://a.localhost/x", "https://169.254.169.254/latest/meta-data", "https://[::1]/x",
        "https://2130706433/x", "https://0x7f000001/x", "https://127.1/x", "https://0177.0.0.1/x", "https://127.0.0.1./x",
        "https://10.0.0.1/x", "https://[64:ff9b::7f00:1]/x", "http://127.0.0.1:8484/x", " https://cdn.example.com/x",
        " //cdn.example.com/x", "https://cdn.example.com/\u202egnp", "https://cdn.example.com/" + "x" * 70_000,
    ]),
    ("http://127.0.0.1:8484", "http://10.0.0.1/x"),
    ("http://127.0.0.1:8484", "http://evil.example/x"),
    ("http://relay.example", "http://127.0.0.1/x"),
    ("http://relay.example", "http://other.example/x"),
    ("https://10.0.0.5", "https://10.0.0.6/x"),
    ("https://8.8.8.8", "http://8.8.8.8/x"),
])  # fmt: skip
def test_d14_addresses_that_are_refused(origin: str, raw: str) -> None:
    """D14: every other scheme, port, user name, odd character and private spelling is refused by its text alone."""
    with pytest.raises(DownloadFailed) as caught:
        Rules(origin).result(raw)

    assert caught.value.hint == ""
    assert "pw" not in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("raw", [
    "file:///home/x.jpg", "FILE:x", "C:\\out\\x.png", "c:/out/x.png", "/home/me/.xinference/image/a.jpg", "/tmp/a.png",
])  # fmt: skip
def test_a_path_on_the_servers_machine_is_explained(raw: str) -> None:
    """A file path is refused with the way to get bytes instead."""
    with pytest.raises(DownloadFailed, match="on its own machine") as refused:
        Rules("http://127.0.0.1:1").result(raw)
    assert "b64_json" in refused.value.hint


@pytest.mark.parametrize(("raw", "url"), [
    ("/v1/files/a.png?x=1#top", "https://rivya.ai/v1/files/a.png?x=1"),
    ("/generated-images/x.jpg", "https://rivya.ai/generated-images/x.jpg"),
    ("files/a.png", "https://rivya.ai/files/a.png"),
    ("/../../a.png", "https://rivya.ai/a.png"),
])  # fmt: skip
def test_a_relative_address_goes_to_the_api(raw: str, url: str) -> None:
    """A relative address is resolved against the API's origin, is keyed, and loses its fragment."""
    assert Rules(PUBLIC).result(raw) == Hop(httpx.URL(url), "own", keyed=True)


@given(st.text(max_size=40))
def test_no_text_leads_the_key_elsewhere(raw: str) -> None:
    """Whatever the text, an address that gets the key is on the API's own origin."""
    try:
        hop = Rules(PUBLIC).result(raw)
    except DownloadFailed:
        return

    assert not hop.keyed or (hop.url.scheme, hop.url.host, hop.url.port) == ("https", "rivya.ai", None)


@pytest.mark.parametrize(
    "location", ["http://cdn.example.com/x", "file:///etc/passwd", "https://127.0.0.1/", "//10.0.0.1/x"]
)
def test_d13_a_redirect_is_held_to_the_same_rules(location: str) -> None:
    """D13: a redirect cannot lead where a result's address could not."""
    with pytest.raises(DownloadFailed):
        Rules(PUBLIC).redirect(httpx.URL("https://cdn.example.com/a"), location)


def test_a_relative_redirect_stays_without_the_key() -> None:
    """A relative redirect is joined to the hop it came from and never keyed."""
    hop = Rules(PUBLIC).redirect(httpx.URL("https://cdn.example.com/a/b"), "../c")

    assert hop == Hop(httpx.URL("https://cdn.example.com/c"), "public")


@pytest.mark.parametrize(("raw", "answers", "expected"), [
    ("https://cdn.example.com/x", ["8.8.8.8", "2606:4700::1111", "8.8.8.8"], ("8.8.8.8", "2606:4700::1111")),
    ("https://8.8.8.8/x", ["10.0.0.1"], ()),
    ("https://rivya.ai/x", ["10.0.0.1"], ()),
    ("https://rivya.ai:8443/x", ["10.0.0.1"], ("10.0.0.1",)),
    ("http://rivya.ai/x", ["127.0.0.1"], ("127.0.0.1",)),
])  # fmt: skip
def test_checked_addresses(raw: str, answers: list[str], expected: tuple[str, ...]) -> None:
    """What passed the check is what is connected to; the API's own host needs none, other ports only a private one."""
    hop = Rules(PUBLIC).result(raw)

    assert asyncio.run(connectable(hop, resolver(*answers))) == expected


@pytest.mark.parametrize(("raw", "answers"), [
    ("https://cdn.example.com/x", ["8.8.8.8", "127.0.0.1"]),
    ("https://cdn.example.com/x", ["64:ff9b::7f00:1"]),
    ("https://cdn.example.com/x", ["nonsense"]),
    ("http://rivya.ai/x", ["10.0.0.1", "8.8.8.8"]),
    ("https://rivya.ai:8443/x", ["8.8.8.8"]),
])  # fmt: skip
def test_s9_one_wrong_address_refuses_the_host(raw: str, answers: list[str]) -> None:
    """S9: every address of the name has to pass, whatever their order."""
    with pytest.raises(DownloadFailed, match="leads to"):
        asyncio.run(connectable(Rules(PUBLIC).result(raw), resolver(*answers)))


def test_a_name_without_addresses_is_an_os_error() -> None:
    """An empty answer is a failed look-up, which may pass, and no permission."""
    with pytest.raises(OSError, match="no address"):
        asyncio.run(connectable(Rules(PUBLIC).result("https://cdn.example.com/x"), resolver()))


def test_the_systems_resolver_answers_with_text() -> None:
    """The default resolver returns addresses as text (a literal needs no network)."""
    assert asyncio.run(system_resolver("127.0.0.1", 80)) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["a..example", "x" * 64 + ".example"])
def test_a_name_that_is_none_is_an_os_error(host: str) -> None:
    """What Python cannot encode has no address; it is no bug."""
    with pytest.raises(OSError, match="the host's name is none"):
        asyncio.run(system_resolver(host, 443))


@pytest.mark.parametrize(("raw", "address", "url", "host", "name"), [
    ("https://cdn.example.com/a?b=c", "8.8.8.8", "https://8.8.8.8/a?b=c", "cdn.example.com", "cdn.example.com"),
    ("http://nas.lan.:81/a", "2606:4700::1111", "http://[2606:4700::1111]:81/a", "nas.lan.:81", "nas.lan"),
    ("https://bücher.example/", "8.8.8.8", "https://8.8.8.8/", "xn--bcher-kva.example", "xn--bcher-kva.example"),
])  # fmt: skip
def test_pinning_replaces_only_the_host(raw: str, address: str, url: str, host: str, name: str) -> None:
    """The connection goes to the address; the Host header and the name for TLS stay the host's."""
    assert pinned(httpx.URL(raw), address) == (httpx.URL(url), host, name)


@pytest.mark.parametrize(("header", "span"), [
    ("bytes 5-9/10", Span(5, 9, 10)), ("bytes 5-9/*", Span(5, 9, None)), ("bytes 9-5/10", None),
    ("bytes 5-10/10", None), ("bytes */10", None), ("items 5-9/10", None),
    ("bytes 5-9/10, 1-2/10", None), ("", None), (None, None),
])  # fmt: skip
def test_content_range(header: str | None, span: Span | None) -> None:
    """Only a range that makes sense is believed."""
    assert content_range(header) == span


@pytest.mark.parametrize(("header", "total"), [("bytes */10", 10), ("bytes 0-9/10", None), (None, None)])
def test_unsatisfied_total(header: str | None, total: int | None) -> None:
    """A 416 names the size of the document."""
    assert unsatisfied_total(header) == total


@pytest.mark.parametrize(("text", "length"), [("10", 10), ("-1", None), ("1e3", None), ("", None)])
def test_content_length(text: str, length: int | None) -> None:
    """Only a plain number is a length."""
    assert content_length(httpx.Headers({"Content-Length": text})) == length


@pytest.mark.parametrize(("headers", "seconds"), [
    ({"Retry-After": "7"}, 7.0), ({"Retry-After": "7.5"}, None), ({"Retry-After": "soon"}, None), ({}, None),
    ({"Retry-After": "Sat, 21 Nov 2026 09:00:30 GMT", "Date": "Sat, 21 Nov 2026 09:00:00 GMT"}, 30.0),
    ({"Retry-After": "Sat, 21 Nov 2026 08:00:00 GMT", "Date": "Sat, 21 Nov 2026 09:00:00 GMT"}, 0.0),
    ({"Retry-After": "Sat, 21 Nov 2026 09:00:30 GMT"}, None),
])  # fmt: skip
def test_retry_after_is_strict(headers: dict[str, str], seconds: float | None) -> None:
    """Whole seconds, or a date against the answer's own clock; anything else is as if absent."""
    found = httpx.Headers(headers)
    assert retry_after(found.get("retry-after"), found.get("date")) == seconds


@pytest.mark.parametrize(("etag", "asked"), [('"v1"', True), ('W/"v1"', False), ("v1", False), ("", False)])
def test_only_a_strong_validator_resumes(etag: str, asked: bool) -> None:
    """D03: a range is asked for only with a strong ETag, in If-Range, and only when there is something to continue."""
    resume = Resume()
    resume.begins(httpx.Headers({"ETag": etag, "Content-Length": "10"}))

    assert resume.headers(0) == {}
    assert resume.headers(4) == ({"Range": "bytes=4-", "If-Range": etag} if asked else {})


@pytest.mark.parametrize(("headers", "fits"), [
    ({"Content-Range": "bytes 4-9/10"}, True),
    ({"Content-Range": "bytes 4-9/*"}, True),
    ({"Content-Range": "bytes 4-9/10", "Content-Length": "6", "ETag": '"v1"'}, True),
    ({"Content-Range": "bytes 4-9/10", "Content-Length": "5"}, False),
    ({"Content-Range": "bytes 3-9/10"}, False),
    ({"Content-Range": "bytes 4-10/11"}, False),
    ({"Content-Range": "bytes 4-9/10", "ETag": '"v2"'}, False),
    ({}, False),
])  # fmt: skip
def test_d07_a_partial_answer_must_continue_where_we_are(headers: dict[str, str], fits: bool) -> None:
    """D07: another start, size, length or ETag is another document."""
    resume = Resume('"v1"', 10)

    assert resume.continues(httpx.Headers(headers), 4) is fits
    assert resume.total == 10


def test_a_partial_answer_may_tell_the_size_first() -> None:
    """A size that was not announced before is taken from the range."""
    resume = Resume('"v1"')

    assert resume.continues(httpx.Headers({"Content-Range": "bytes 4-9/10"}), 4)
    assert resume.total == 10


@pytest.mark.parametrize(("total", "header", "size", "done"), [
    (10, "bytes */10", 10, True), (None, "bytes */10", 10, True), (10, "bytes */10", 4, False),
    (12, "bytes */10", 10, False), (10, "", 10, False),
])  # fmt: skip
def test_d07_a_416_at_the_end_means_done(total: int | None, header: str, size: int, done: bool) -> None:
    """D07: 416 with the size that is here means that all of it is here."""
    assert Resume('"v1"', total).complete(httpx.Headers({"Content-Range": header}), size) is done
