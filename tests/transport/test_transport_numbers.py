"""The numbers of reliability.md section 5, and what happens exactly at each of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support_adapter import adapter, outcome, verdict

from wan_cli import errors
from wan_cli.errors import FileInvalid
from wan_cli.models import LocalFile
from wan_cli.providers.base import Form
from wan_cli.transport import retry
from wan_cli.transport.body import PIECE, form_pieces
from wan_cli.transport.client import KEY_BYTES, AnswerLost, Api, Deadlines, NotSent
from wan_cli.transport.retry import Again, Later, Purchase, Refused, Unclear

ORIGIN = "https://api.example.com"
LATER = errors.RateLimited("slow down")
LOST = Unclear("reset")


class Body(httpx.AsyncByteStream):
    """An answer's body that notes whether it was closed."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.closed = pieces, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def aclose(self) -> None:
        self.closed = True


class Net(httpx.AsyncBaseTransport):
    """Answers with ``says`` (raised where it is an exception, awaited where it is ``None``: for ever)."""

    def __init__(self, says: Any = None) -> None:
        self.says, self.asked = says, list[httpx.Request]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if isinstance(self.says, Exception):
            raise self.says
        if self.says is None:
            await asyncio.Event().wait()
        return self.says  # type: ignore[no-any-return]


def send(net: Net, *, method: str = "POST", key: str = "canary-key-0123456789", limits: Deadlines | None = None,
         form: Form | None = None, **how: Any) -> httpx.Response:  # fmt: skip
    """Send one request through ``net``."""

    async def work() -> httpx.Response:
        api = Api(ORIGIN, lambda: key, transport=net, deadlines=limits)
        request = httpx.Request(method, f"{ORIGIN}/x", extensions={"form": form} if form else {})
        try:
            return await api.send(request, **how)
        finally:
            await api.close()

    return asyncio.run(work())


def test_the_numbers_are_those_of_the_table() -> None:
    """Deadlines in seconds, caps in bytes, attempts and windows: reliability.md section 5, one by one."""
    assert Deadlines() == Deadlines(
        turn=120, connect=10, submit_read=60, submit_total=90, sync_read=600, sync_total=660, poll_total=30,
        upload_total=600, write=60, answer_bytes=8_388_608, b64_bytes=50_331_648,
    )  # fmt: skip
    assert (retry.RETRIES, retry.KEYED_ATTEMPTS, retry.KEYED_WINDOW_S) == (3, 3, 600)
    assert (retry.BACKOFF_CAP_S, retry.RETRY_AFTER_CAP_S) == (20, 120)
    assert (retry.BUDGET, retry.RETRY_COST, retry.SLOW_COST) == (500, 5, 10)


LIMITS = Deadlines(turn=5, connect=1, submit_read=2, submit_total=0.011, sync_read=3, sync_total=0.012,
                   poll_total=0.013, upload_total=0.014, write=4)  # fmt: skip


@pytest.mark.parametrize(
    ("how", "form", "total", "read"),
    [
        ({"paid": True}, False, 0.011, 2), ({"paid": True, "sync": True}, False, 0.012, 3), ({}, False, 0.013, 0.013),
        ({}, True, 0.014, 2),
    ],
)  # fmt: skip
def test_each_request_has_its_own_deadlines(how: dict[str, bool], form: bool, total: float, read: float) -> None:
    """A purchase, a synchronous one, a question and an upload: whole time, read, connect and write."""
    net = Net()
    with pytest.raises(AnswerLost, match=f"no whole answer within {total:g} s"):
        send(net, limits=LIMITS, form=Form({}, []) if form else None, **how)
    timeout = net.asked[0].extensions["timeout"]
    assert (timeout["read"], timeout["connect"], timeout["write"]) == (read, 1, 4)
    assert timeout["pool"] == (0.014 if form else 5)  # an upload may wait as long as it may take


@pytest.mark.parametrize("cap", [0, 5])
def test_an_answer_is_closed_whatever_its_size(cap: int) -> None:
    """One byte within the cap is read, one above it is given up, and the connection is let go of both times."""
    whole, more = Body(b"12345"), Body(b"12345", b"6")
    limits = Deadlines(answer_bytes=5 - cap, b64_bytes=cap)
    assert send(Net(httpx.Response(200, stream=whole)), limits=limits, pictures=1).content == b"12345"
    with pytest.raises(AnswerLost, match="larger than 5 bytes"):
        send(Net(httpx.Response(200, stream=more)), limits=limits, pictures=1)
    assert whole.closed
    assert more.closed


@pytest.mark.parametrize("error", [httpx.ReadError(""), httpx.WriteError(""), httpx.RemoteProtocolError("")])
def test_a_wordless_failure_has_its_class_for_a_name(error: Exception) -> None:
    """An error without a text is told by its kind."""
    with pytest.raises(AnswerLost, match=type(error).__name__):
        send(Net(error))
    with pytest.raises(AnswerLost, match="the words"):
        send(Net(type(error)("the words")))


def test_a_wordless_time_out_while_connecting_has_a_name_too() -> None:
    """Nothing was sent, and the message says what happened."""
    with pytest.raises(NotSent, match=r"could not reach .*ConnectTimeout"):
        send(Net(httpx.ConnectTimeout("")))


def test_a_key_of_eight_bytes_is_blinded_and_a_shorter_one_is_a_word() -> None:
    """What an answer repeats of a real key is taken out; a word of seven letters may stand anywhere."""
    for length, there in ((KEY_BYTES - 1, True), (KEY_BYTES, False)):
        key = "k3y-w0rd"[:length]
        answer = send(Net(httpx.Response(200, content=f"say {key}".encode())), key=key)
        assert (key.encode() in answer.content) is there
    assert KEY_BYTES == 8


def test_verbose_says_how_long_a_long_body_is(caplog: pytest.LogCaptureFixture) -> None:
    """The first 4,096 bytes are shown, and the length only where there is more."""
    with caplog.at_level(logging.DEBUG, "wan.http"):
        send(Net(httpx.Response(200, content=b"a" * 4096)))
        assert "bytes)" not in caplog.text
        send(Net(httpx.Response(200, content=b"b" * 4097)))
    assert "b" * 4096 in caplog.text
    assert "b" * 4097 not in caplog.text
    assert "(4,097 bytes)" in caplog.text


def test_a_form_ends_with_its_mark(tmp_path: Path) -> None:
    """The last boundary closes the form (RFC 7578), else servers wait for more."""
    file = LocalFile(path=str(tmp_path / "gone.png"), sha256="0" * 64, size=1, mime="image/png")
    pieces = form_pieces(Form({"a": "b"}, []), "MARK")
    assert b"".join(pieces) == b'--MARK\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--MARK--\r\n'
    with pytest.raises(FileInvalid, match="cannot be read any more: No such file"):
        list(form_pieces(Form({}, [("file", file)]), "MARK"))


# -- exactly at the limits


def test_a_keyed_purchase_waits_two_then_four_seconds_and_no_more() -> None:
    """Three attempts under one key: the waits double, are never under a second, and the third doubt is the end."""
    for rand, waits in ((1.0, [2.0, 4.0]), (0.0, [1.0, 1.0])):
        purchase = Purchase(keyed=True, begun=0)
        asked = [purchase.after(LOST, 0, rand) for _ in range(3)]
        assert [again.wait for again in asked if isinstance(again, Again)] == waits
        assert asked[2] is LOST


def test_a_key_is_trusted_to_the_last_second_of_its_window() -> None:
    """A repeat that would leave exactly 600 s after the first attempt goes; one later does not."""
    for now, goes in ((599.0, True), (599.1, False), (0.0, True), (-0.1, False)):
        for verdict_ in (LOST, Later(LATER)):
            purchase = Purchase(keyed=True, begun=0, doubt=LOST, unclear=1)
            again = isinstance(purchase.after(verdict_, now, 0.0 if verdict_ is LOST else 1.0), Again)
            assert again is goes, (now, verdict_)


def test_polite_waits_may_add_up_to_the_cap_and_a_fifth() -> None:
    """Two waits of 72 s are 144 s, which is still waited; a little more is not."""
    for asked, goes in ((60.0, True), (60.1, False)):
        purchase = Purchase(keyed=False, begun=0)
        purchase.after(Later(LATER, asked), 0, 1.0)
        assert isinstance(purchase.after(Later(LATER, asked), 0, 1.0), Again) is goes


@pytest.mark.parametrize(
    ("status", "code", "redirect"),
    [(299, 9, False), (300, 3, True), (399, 3, True), (400, 4, False), (499, 4, False), (500, 9, False)],
)
def test_a_status_at_an_edge_has_its_own_class(status: int, code: int, redirect: bool) -> None:
    """Below 300 in doubt, 3xx a matter of the set-up, 4xx refused, 5xx in doubt: to the very number."""
    found = verdict(adapter("modelverse"), status, b'{"error": {"message": "no"}}')
    assert outcome(found)[1] == code
    assert ("redirect" in getattr(found, "error", LATER).message) is redirect


def test_a_retry_after_at_the_cap_is_waited() -> None:
    """120 s are obeyed, and one second more is left to the user."""
    made = adapter("modelverse")
    assert isinstance(verdict(made, 429, b"", retry_after="120"), Later)
    assert isinstance(verdict(made, 429, b"", retry_after="121"), Refused)


def test_the_budget_of_repeats_is_spent_and_given_back() -> None:
    """A repeat takes five tokens, one after a time-out ten; a success gives back its own, at least one."""
    repeats = retry.Repeats(tokens=15)
    purchase = Purchase(keyed=True, begun=0, repeats=repeats)
    assert isinstance(purchase.after(Unclear("late", slow=True), 0, 0.0), Again)
    assert repeats.tokens == 5
    assert isinstance(purchase.after(LOST, 0, 0.0), Again)
    assert (repeats.tokens, purchase.taken) == (0, 15)
    assert isinstance(Purchase(keyed=False, begun=0, repeats=repeats).after(Later(LATER), 0, 0.0), Refused)
    purchase.succeeded()
    assert repeats.tokens == 15
    Purchase(keyed=False, begun=0, repeats=repeats).succeeded()
    assert repeats.tokens == 16
    repeats.give(10_000)
    assert repeats.tokens == repeats.most == 500
    assert not repeats.take(501)
    assert repeats.take(500)


def test_a_closed_client_can_be_used_again() -> None:
    """Closing lets the connections go, and the next request makes new ones."""

    async def work() -> list[int]:
        api = Api(ORIGIN, lambda: "canary-key-0123456789", transport=Net(httpx.Response(200, content=b"{}")))
        found = []
        for _ in range(2):
            found.append((await api.send(httpx.Request("GET", f"{ORIGIN}/x"))).status_code)
            await api.close()
        return found

    assert asyncio.run(work()) == [200, 200]


@pytest.mark.parametrize("location", ["http://[::1", "https://cdn.example.com/x", "//", "\x7f"])
def test_a_redirect_is_an_answer_whatever_it_names(location: str) -> None:
    """A target that no parser takes must not read as "nothing was sent": the provider had the request."""
    answer = send(Net(httpx.Response(307, headers={"location": location}, content=b"{}")), paid=True)
    assert (answer.status_code, answer.headers["location"]) == (307, location)


def test_what_was_not_sent_has_its_words_and_is_not_final_by_itself() -> None:
    """The exception reads as its error; trying again may help, and no deadline ended it, unless it says so."""
    plain, error = NotSent(LATER), NotSent(LATER, final=True, slow=True)
    assert (str(plain), plain.final, plain.slow) == ("slow down", False, False)
    assert (error.error, error.final, error.slow) == (LATER, True, True)
    assert (str(AnswerLost("gone")), AnswerLost("gone").slow, AnswerLost("gone").raw) == ("gone", False, b"")


def test_a_piece_of_a_file_is_48_kib() -> None:
    """A multiple of three, so that Base64 needs no padding inside, and small enough for memory's sake."""
    assert PIECE == 49_152
