"""Small promises of the transport that one wrong character would break."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from support_adapter import adapter, fault

from wan_cli.errors import NetworkError, RequestRejected
from wan_cli.transport.client import AnswerLost, Api, Deadlines, NotSent
from wan_cli.transport.drive import replay
from wan_cli.transport.lost import unreachable, untrusted, unusable
from wan_cli.transport.retry import Again, Purchase, Repeats, Unclear, as_error

ORIGIN = "https://api.example"
DOUBT = Unclear("the connection broke")


def mocked(answer: Any, **limits: Any) -> Api:
    """Return a client whose network is a function."""
    return Api(ORIGIN, lambda: "canary-key-0123456789", transport=httpx.MockTransport(answer),
               deadlines=Deadlines(**limits))  # fmt: skip


def test_a_tunnel_that_never_opens_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the request's own bytes are written it has not left, whatever else went over the connection."""
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    async def ask() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        api = Api(ORIGIN, lambda: "", tls=ssl.create_default_context, deadlines=Deadlines(submit_total=0.2))
        try:
            with pytest.raises(NotSent, match=r"no connection within 0\.2 s") as raised:
                await api.send(httpx.Request("POST", f"{ORIGIN}/v1", content=b"{}"), paid=True)
            assert raised.value.slow
        finally:
            await api.close()
            await gone.wait()
            server.close()
            await server.wait_closed()

    asyncio.run(ask())


@pytest.mark.parametrize(("size", "whole"), [(30, True), (31, False)])
def test_a_result_from_the_api_itself_may_hold_two_pictures(size: int, whole: bool) -> None:
    """The cap of what is fetched with the key is an answer and two pictures, to the byte."""
    api = mocked(lambda _: httpx.Response(200, content=b"x" * size), answer_bytes=10, b64_bytes=10)
    if whole:
        assert len(asyncio.run(api.fetch(httpx.Request("GET", f"{ORIGIN}/file"))).content) == size
    else:
        with pytest.raises(httpx.ReadError, match="larger than 30 bytes"):
            asyncio.run(api.fetch(httpx.Request("GET", f"{ORIGIN}/file")))


def test_no_cookie_is_kept() -> None:
    """What a server sets is not sent back."""
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, headers={"Set-Cookie": "track=me; Path=/"}, content=b"{}")

    async def twice() -> None:
        api = mocked(answer)
        for _ in range(2):
            await api.send(httpx.Request("GET", f"{ORIGIN}/v1"))

    asyncio.run(twice())
    assert ["cookie" in headers for headers in seen] == [False, False]


def asking(*bodies: bytes) -> Iterator[Any]:
    """Yield a request for each body, and return the last answer."""
    answer = None
    for body in bodies:
        answer = yield httpx.Request("POST", f"{ORIGIN}/v1", content=body)
    return answer


@pytest.mark.parametrize("digest", [None, hashlib.sha256(b"mine").hexdigest()])
def test_an_answer_on_record_is_read_for_its_own_request(digest: str | None) -> None:
    """The one whose hash it was kept under, or any where none is known; a second request has no answer."""
    kept: dict[str, Any] = {"status": 200, "raw": b"kept", "body_sha256": digest}
    rivya = adapter("rivya")
    assert asyncio.run(replay(asking(b"mine"), rivya, **kept)).content == b"kept"  # type: ignore[arg-type]
    with pytest.raises(AnswerLost, match="another request"):
        asyncio.run(replay(asking(b"mine", b"mine"), rivya, **kept))  # type: ignore[arg-type]
    if digest:
        with pytest.raises(AnswerLost, match="another request"):
            asyncio.run(replay(asking(b"yours"), rivya, **kept))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("proxy", "hint"), [(None, "check the network,"), ("http://p:1", "check the network and HTTPS")]
)
def test_no_way_says_what_to_look_at(proxy: str | None, hint: str) -> None:
    """The proxy is only named where one is in use; the exception's text is the error's."""
    lost = unreachable(ORIGIN, proxy, "refused")
    assert isinstance(lost.error, NetworkError)
    assert lost.error.hint.startswith(hint)
    assert str(lost) == lost.error.message
    assert ("through the proxy" in str(lost)) == bool(proxy)
    assert not lost.slow
    assert unreachable(ORIGIN, proxy, "no connection within 10 s", slow=True).slow


def test_an_answer_that_takes_too_long_is_a_slow_loss() -> None:
    """The request left, so it is a loss; and a slow one, which costs more of the budget for repeats."""

    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(AnswerLost, match=r"no whole answer within 0\.05 s") as raised:
        asyncio.run(mocked(never, poll_total=0.05).send(httpx.Request("GET", f"{ORIGIN}/v1")))
    assert raised.value.slow


@pytest.mark.parametrize(("error", "told"), [
    (ImportError("no socksio"), True), (OSError("no such file"), True), (ValueError("http://me:secret@proxy"), False),
])  # fmt: skip
def test_a_setting_that_cannot_be_used_is_quoted_without_secrets(error: Exception, told: bool) -> None:
    """What quotes a proxy's address may hold its password, so only its kind of error is told."""
    assert (str(error) in unusable(error).message) == told


@pytest.mark.parametrize(("said", "shown"), [("self-signed certificate", "self-signed"), ("", "bad certificate")])
def test_a_certificate_is_refused_with_its_reason(said: str, shown: str) -> None:
    """OpenSSL's own words where there are any, else the exception's."""
    cause = ssl.SSLCertVerificationError(1, "bad certificate")
    cause.verify_message = said
    error = httpx.ConnectError("failed")
    error.__cause__ = cause
    refused = untrusted(ORIGIN, error)
    assert refused is not None
    assert refused.final
    assert shown in str(refused)


@pytest.mark.parametrize(("left", "again"), [(100.0, True), (1.0, False)])
def test_a_key_is_trusted_until_the_attempt_and_not_only_until_now(left: float, again: bool) -> None:
    """The pause before an attempt counts: one that would leave after the window is not made."""
    purchase = Purchase(keyed=True, begun=500.0, repeats=Repeats(keyed_window_s=1000.0))
    assert isinstance(purchase.after(DOUBT, 1500.0 - left, 1.0), Again) == again


def test_what_was_not_taken_is_not_given_back() -> None:
    """Repeats that the budget refused return nothing; a success is worth one token, whatever was refused before."""
    repeats = Repeats(tokens=0)
    purchase = Purchase(keyed=True, begun=0.0, repeats=repeats)
    assert [purchase.after(DOUBT, 0.0, 1.0) for _ in range(2)] == [DOUBT, DOUBT]
    purchase.succeeded()
    assert repeats.tokens == 1


def test_what_a_provider_says_is_quoted_up_to_a_length() -> None:
    """500 characters of its reason, 80 of a request id, 100 of where a redirect leads: an error stays readable."""
    rivya, long = adapter("rivya"), "z" * 600
    said = fault(rivya, 400, {"error": {"code": "invalid_request", "message": long}})
    assert longest(as_error(rivya, replace(said, request_id=None), RequestRejected).message) == 499  # and the ellipsis
    assert longest(as_error(rivya, replace(said, message="", code=long), RequestRejected).message) == 59
    assert longest(as_error(rivya, replace(said, message="", request_id=long), RequestRejected).message) == 79
    moved = replace(said, status=302, location=f"https://{long}.example/x", request_id=None)
    assert longest(as_error(rivya, moved, RequestRejected).message) == 99 - len("https://")


def longest(text: str) -> int:
    """Return the length of the longest run of z."""
    return max(map(len, re.findall("z+", text)))
