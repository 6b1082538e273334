"""What an HTTP status means for a purchase: not accepted (exit 3 to 6, nothing bought), or nobody knows (exit 9)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support_wire import KEYED, TASKS, UNKEYED, Exchange, Fault, Line, Way, every

RIVYA = KEYED[0]
MODELVERSE = TASKS[1]
EXPIRING = "Sat, 21 Nov 2026 09:00:00 GMT"


def refusal(status: int, code: object = None, message: str = "no", **headers: str) -> Fault:
    """Return a fault that refuses in the envelope that all of them use."""
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return lambda exchange: exchange.say(status, body, **headers)


def raw(status: int, *headers: str) -> Fault:
    """Return a fault that answers with these header lines, whatever they are."""
    head = "\r\n".join([f"HTTP/1.1 {status} No", *headers, "Content-Length: 0"])
    return lambda exchange: exchange.send(head.encode("utf-8") + b"\r\n\r\n")


def waits(line: Line) -> list[float]:
    return [seconds for seconds in line.cli.clock.slept if seconds]


# -- asked to come later


@every()
def test_h01_a_rate_limit_is_waited_out(line: Line, way: Way) -> None:
    """429 with Retry-After 3 was not accepted: after 3 seconds and up to a fifth more the order is taken, once."""
    line.wire.script["submit"] = [refusal(429, Retry_After="3")]
    ran = line.bought_once(way, sends=2)
    assert waits(line)[0] == pytest.approx(3.3)
    assert "again in 3 s" in ran.err


@every()
def test_h01_h04_a_rate_limit_that_stays(line: Line, way: Way) -> None:
    """Four tries in all, with growing pauses where no header says otherwise; then exit 6 with nothing bought."""
    line.wire.always["submit"] = refusal(429, message="slow down")
    ran = line.nothing_bought(way, 6, sends=4)
    assert waits(line)[:3] == [0.5, 1.0, 2.0]
    assert "slow down" in ran.said("error")
    assert "run the command again" in ran.said("hint")


@every(UNKEYED)
def test_h02_a_date_counts_from_the_answers_own_clock(line: Line, way: Way) -> None:
    """A Retry-After date is held against the answer's Date, years away from this machine's clock."""
    line.wire.script["submit"] = [
        refusal(429, Retry_After="Sat, 01 Jan 2000 00:00:20 GMT", Date="Sat, 01 Jan 2000 00:00:10 GMT")
    ]
    line.bought_once(way, sends=2)
    assert waits(line)[0] == pytest.approx(11.0)


ODD = {
    "negative": ["Retry-After: -5"],
    "float": ["Retry-After: 1e9"],
    "too many digits": ["Retry-After: 99999999999999999999"],
    "inf": ["Retry-After: inf"],
    "nan": ["Retry-After: nan"],
    "words": ["Retry-After: soon"],
    "empty": ["Retry-After:"],
    "twice": ["Retry-After: 3", "Retry-After: 4"],
    "Arabic digits": ["Retry-After: \u0663"],
    "Arabic digits in a date": [f"Date: {EXPIRING}", "Retry-After: Sat, 21 Nov 2026 09:00:\u0663\u0663 GMT"],
    "a date without Date": ["Retry-After: Sat, 21 Nov 2026 09:00:30 GMT"],
    "a date that is none": [f"Date: {EXPIRING}", "Retry-After: Sat, 41 Nov 2026 09:00:30 GMT"],
    "a zone that overflows": [f"Date: {EXPIRING}", "Retry-After: Sat, 21 Nov 2026 09:00:30 +9999999999999999999"],
    "a year that overflows": [f"Date: {EXPIRING}", "Retry-After: Sat, 21 Nov 99999999999999999999 09:00:30 GMT"],
}


@pytest.mark.parametrize("odd", ODD)
def test_h03_a_header_that_means_nothing_is_ignored(line: Line, odd: str) -> None:
    """A malformed Retry-After is no Retry-After: the usual pause, then one purchase."""
    line.wire.script["submit"] = [raw(429, *ODD[odd])]
    line.bought_once(MODELVERSE, sends=2)
    assert waits(line)[0] == 0.5


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [(["Retry-After: 121"], 121), (["Retry-After: 999999999"], 999_999_999),
     ([f"Date: {EXPIRING}", "Retry-After: Sat, 21 Nov 2026 10:00:00 GMT"], 3600)],
)  # fmt: skip
@every((RIVYA, MODELVERSE))
def test_h03_a_long_wait_is_left_to_the_user(line: Line, way: Way, headers: list[str], seconds: float) -> None:
    """Beyond two minutes the command stops at once and says when to come back."""
    line.wire.always["submit"] = raw(429, *headers)
    ran = line.nothing_bought(way, 6, "--json", sends=1)
    assert ran.json["error"]["retry_after_s"] == seconds
    assert ran.said("hint") == f"wait {seconds:,} s, then run the command again"
    assert [wait for wait in waits(line) if wait >= 100] == []


def test_h03_h04_many_waits_are_no_long_wait(line: Line) -> None:
    """Waits within the cap do not add up beyond it: the second one of 100 seconds is not made."""
    line.wire.always["submit"] = raw(429, "Retry-After: 100")
    line.nothing_bought(MODELVERSE, 6, sends=2)
    assert sum(waits(line)) < 150


# -- nobody knows


def taken(status: int, body: bytes = b"<html>error</html>", **headers: str) -> Fault:
    """Return a fault that takes the order and answers with a status."""

    def fault(exchange: Exchange) -> None:
        exchange.accept()
        exchange.say(status, body, **headers)

    return fault


@pytest.mark.parametrize(
    ("way", "status"),
    [(way, status) for way in UNKEYED for status in (500, 503, 504)]
    + [(MODELVERSE, status) for status in (502, 408, 425, 520, 521, 522, 523, 524, 599)],
    ids=str,
)
def test_h05_h06_h07_a_servers_error_without_a_key(line: Line, way: Way, status: int) -> None:
    """5xx, 408 and 425 never say that the order was not taken: in doubt, sent once, never again."""
    line.wire.script["submit"] = [taken(status)]
    ran = line.left_in_doubt(way, taken=1)
    assert f"HTTP {status}" in ran.said("error")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 524])
def test_h05_h06_h07_a_servers_error_with_a_key(line: Line, status: int) -> None:
    """Under a key the same is asked again, and bought once."""
    line.wire.script["submit"] = [taken(status), refusal(status)]
    line.bought_once(RIVYA, sends=3)


def test_h05_a_servers_error_that_stays(line: Line) -> None:
    """Three attempts under a key, then in doubt."""
    line.wire.always["submit"] = taken(500)
    line.left_in_doubt(RIVYA, sends=3, taken=1)


CODED = [
    ("modelverse", 500, "internal_error"), ("modelverse", 500, "model_server_error"),
    ("modelverse", 504, "gateway_timeout_error"), ("yunwu", 500, "do_request_failed"),
    ("yunwu", 500, "bad_response_status_code"), ("toapis", 500, "internal_error"), ("openai", 500, "server_error"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "code"), CODED)
def test_h05_h07_documented_server_errors_are_in_doubt(line: Line, name: str, status: int, code: str) -> None:
    """The codes that providers document for their own failures do not say that nothing was made."""
    way = next(way for way in UNKEYED if way.provider == name)
    line.wire.script["submit"] = [refusal(status, code)]
    ran = line.left_in_doubt(way, taken=0)
    assert f"HTTP {status}" in ran.said("error")


@pytest.mark.parametrize(
    ("name", "code", "sends"),
    [("rivya", "public_api_disabled", 1), ("yunwu", "get_channel_failed", 1), ("yunwu", "channel:no_available_key", 1),
     ("toapis", "rate_limit_unavailable", 4)],
)  # fmt: skip
def test_h06_a_503_that_says_no(line: Line, name: str, code: str, sends: int) -> None:
    """Where a provider documents a 503 as "not accepted", nothing was bought: exit 6."""
    way = next(way for way in (RIVYA, *UNKEYED) if way.provider == name)
    line.wire.always["submit"] = refusal(503, code)
    ran = line.nothing_bought(way, 6, sends=sends)
    assert code in ran.said("error")


@every(UNKEYED)
def test_h06_a_503_with_retry_after_is_no_promise(line: Line, way: Way) -> None:
    """Retry-After on a 503 does not say that the order was not taken."""
    line.wire.script["submit"] = [taken(503, Retry_After="1")]
    line.left_in_doubt(way, taken=1)


def test_h08_a_conflict_on_a_first_attempt(line: Line) -> None:
    """409 on the first attempt is a refusal: this request was not accepted under this key."""
    line.wire.script["submit"] = [refusal(409, "idempotency_conflict", "key in use")]
    ran = line.nothing_bought(RIVYA, 4, sends=1)
    assert "key in use (idempotency_conflict)" in ran.said("error")


@every(UNKEYED)
def test_h08_a_conflict_without_a_key(line: Line, way: Way) -> None:
    """A 409 of a provider without keys is a refusal too."""
    line.wire.script["submit"] = [refusal(409, "conflict")]
    line.nothing_bought(way, 4, sends=1)


@pytest.mark.parametrize("first", [Exchange.reset, taken(500)], ids=["reset", "500"])
def test_h09_a_conflict_on_a_repeat_is_waited_out(line: Line, first: Fault) -> None:
    """While the first attempt is in flight the same key is asked again, and no other is made."""
    line.wire.script["submit"] = [first, refusal(409, "idempotency_conflict")]
    line.bought_once(RIVYA, sends=3)


def test_h09_a_conflict_that_stays_tells_the_first_failure(line: Line) -> None:
    """After two more tries it is in doubt, and the failure that is told is the first."""
    line.wire.script["submit"] = [taken(502), *[refusal(409, "idempotency_conflict")] * 3]
    ran = line.left_in_doubt(RIVYA, sends=3, taken=1)
    assert "HTTP 502" in ran.said("error")
    assert len({seen.headers["idempotency-key"] for seen in line.wire.asked("submit")}) == 1


# -- accepted, perhaps


@pytest.mark.parametrize("status", [200, 202, 204])
@every(UNKEYED)
def test_h16_a_2xx_with_nothing_inside(line: Line, way: Way, status: int) -> None:
    """An empty success was accepted or not: in doubt, never sent again."""
    line.wire.script["submit"] = [taken(status, b"")]
    line.left_in_doubt(way, taken=1)


def test_h16_a_2xx_with_nothing_inside_under_a_key(line: Line) -> None:
    """Under a key it is asked again, and answered."""
    line.wire.script["submit"] = [taken(202, b""), taken(204, b"")]
    line.bought_once(RIVYA, sends=3)


@every()
def test_h15_an_error_in_a_200_that_nobody_documents(line: Line, way: Way) -> None:
    """200 with an unknown error and no id may be a purchase: in doubt."""
    line.wire.always["submit"] = refusal(200, "odd", "something else")
    ran = line.left_in_doubt(way, sends=3 if way.keyed else 1, taken=0)
    assert "something else" in ran.said("error")


INFORMED = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def flooded(times: int | None) -> Fault:
    """Return a fault that sends ``times`` informational answers before the good one; ``None`` is without end."""

    def fault(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
        sent = 0
        while not exchange.over and not exchange.wire.stopping.is_set() and (times is None or sent < times):
            exchange.send(INFORMED * 50)
            sent += 50
        if times is not None:
            exchange.answer()

    return fault


@every()
def test_h17_informational_answers_are_passed_over(line: Line, way: Way) -> None:
    """100, 102 and five hundred 103 before the real answer change nothing, on the purchase or on a poll."""
    line.wire.script["submit"] = [flooded(500)]
    line.wire.script["poll"] = [flooded(500)]
    line.bought_once(way, sends=1)


@every((MODELVERSE, UNKEYED[2]))
def test_h17_a_flood_without_end(line: Line, way: Way) -> None:
    """Informational answers without end are cut off by the clock of the whole call: in doubt."""
    line.wire.script["submit"] = [flooded(None)]
    line.hurry(submit_total=0.4, sync_total=0.4)
    ran = line.left_in_doubt(way, taken=0)
    assert "no whole answer within" in ran.said("error")


def test_h17_a_flood_without_end_while_polling(line: Line) -> None:
    """A poll that is flooded is a failed poll, and an upgrade nobody asked for is one too."""
    line.hurry(poll_total=0.4)
    upgrade = raw(101, "Upgrade: websocket", "Connection: Upgrade")
    line.wire.script["poll"] = [flooded(None), upgrade, lambda ex: ex.send(b"HTTP/1.1 103 X\r\nA: " + b"a" * 200_000)]
    line.bought_once(RIVYA, sends=1)


@pytest.mark.parametrize(("asked", "pause"), [("7", 7), ("0", 2), ("4000", 60), ("soon", 5), ("-1", 5)])
@every((RIVYA, MODELVERSE))
def test_h18_retry_after_on_a_good_poll(line: Line, way: Way, asked: str, pause: Any) -> None:
    """A poll that succeeds may say when to ask next, within 2 to 60 seconds; what means nothing is ignored."""
    line.wire.world.latency = 1000
    line.wire.script["poll"] = [lambda exchange: exchange.answer(Retry_After=asked)]
    line.buy(way, "--timeout", "100s")
    assert waits(line)[:2] == [2.5, pause]
