"""Faults after a request left, or while it does: cut, garbled, late. Nothing is bought twice or lost."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from support_wire import KEYED, SYNC, TASKS, UNKEYED, WAYS, Exchange, Fault, Line, Way, every, slammed, whole

from wan_cli.ledger import Ledger

RIVYA = KEYED[0]
UNKEYED_TASKS = tuple(way for way in TASKS if not way.keyed)
UPLOADING = (
    Way("rivya", "rivya", ("-p", "rivya"), keyed=True),
    Way("toapis", "toapis", ("-p", "toapis", "-m", "wan2.7-video", "--first-frame", "big.png"), ext=".mp4"),
)
SHORT = {"submit_read": 0.25, "submit_total": 0.4, "sync_read": 0.25, "sync_total": 0.4, "poll_total": 0.4,
         "upload_total": 1.5, "write": 0.3}  # fmt: skip
PAGE = b"<!DOCTYPE html><html><title>Hotel Wi-Fi</title>Please log in</html>"


def stored(line: Line) -> Any:
    """Return the state of the only task as the ledger has it."""
    (row,) = line.tasks()
    with Ledger.open(line.cli.root / "state", clock=line.cli.clock) as ledger:
        return ledger.get(row["id"]).state


def wrote(data: bytes, end: Callable[[Exchange], None], *, taken: bool = False) -> Fault:
    """Return a fault that writes ``data`` and ends the connection, after taking the order or without."""

    def fault(exchange: Exchange) -> None:
        if taken:
            exchange.accept()
        exchange.send(data)
        time.sleep(0.01)  # what was written arrives before the end does
        end(exchange)

    return fault


CUTS = {
    "reset": wrote(b"", Exchange.reset),
    "reset, taken": wrote(b"", Exchange.reset, taken=True),
    "closed": wrote(b"", Exchange.close),
    "closed, taken": wrote(b"", Exchange.close, taken=True),
    "garbage": wrote(b"\x16\x03\x01\x00 no http \r\n\r\n", Exchange.close),
    "half a status line": wrote(b"HTTP/1.1 2", Exchange.close, taken=True),
    "half the headers": wrote(b"HTTP/1.1 200 OK\r\nContent-Le", Exchange.reset, taken=True),
}
every_cut = pytest.mark.parametrize("cut", CUTS)


@every(UNKEYED)
def test_n07_a_reset_on_accept_without_a_key(line: Line, way: Way) -> None:
    """A reset before the server read anything looks like one after it did: in doubt, sent once, never again."""
    line.wire.door = [slammed]
    line.left_in_doubt(way, sends=0, taken=0)
    assert line.wire.connections == 1


def test_n07_a_reset_on_accept_with_a_key(line: Line) -> None:
    """Under a key the same is asked again, and bought once."""
    line.wire.door = [slammed]
    line.bought_once(RIVYA, sends=1)


@every_cut
@every(UNKEYED)
def test_n08_a_cut_without_a_key_is_never_sent_again(line: Line, way: Way, cut: str) -> None:
    """However the connection ends after the whole request, an unkeyed purchase is in doubt and stays there."""
    line.wire.script["submit"] = [CUTS[cut]]
    ran = line.left_in_doubt(way, taken=int("taken" in cut or "half" in cut))
    assert "does not send it again by itself" in ran.said("error")


@every_cut
def test_n09_a_cut_with_a_key_is_asked_again_under_it(line: Line, cut: str) -> None:
    """Under a key the very same request is repeated, and bought once."""
    line.wire.script["submit"] = [CUTS[cut]]
    line.bought_once(RIVYA, sends=2)


def test_n09_a_cut_that_stays_ends_in_doubt(line: Line) -> None:
    """Three attempts under one key within ten minutes, then a person decides; it was bought once."""
    line.wire.always["submit"] = CUTS["reset, taken"]
    line.left_in_doubt(RIVYA, sends=3, taken=1)
    keys = {seen.headers["idempotency-key"] for seen in line.wire.asked("submit")}
    assert len(keys) == 1
    assert sum(line.cli.clock.slept) < 600


def late(exchange: Exchange) -> None:
    exchange.accept()
    exchange.stall()


@every(UNKEYED_TASKS)
def test_n10_no_answer_in_time_without_a_key(line: Line, way: Way) -> None:
    """A purchase that is not answered in time may have been taken: in doubt."""
    line.hurry(**SHORT)
    line.wire.script["submit"] = [late]
    line.left_in_doubt(way, taken=1)


def test_n10_no_answer_in_time_with_a_key(line: Line) -> None:
    """Under a key it is asked again, and bought once."""
    line.hurry(**SHORT)
    line.wire.script["submit"] = [late]
    line.bought_once(RIVYA, sends=2)


@pytest.mark.parametrize("fault", [late, lambda exchange: (exchange.accept(), exchange.say(524, b"<html>524</html>"))],
                         ids=["silence", "524"])  # fmt: skip
@every(SYNC)
def test_n11_a_synchronous_purchase_without_an_answer(line: Line, way: Way, fault: Fault) -> None:
    """The picture may exist and cannot be fetched: the message says so, and names --async where there is one."""
    line.hurry(**SHORT)
    line.wire.script["submit"] = [fault]
    said = line.left_in_doubt(way, taken=1).said("error")
    assert "What was drawn cannot be fetched" in said
    assert ("--async" in said) is (way.provider == "modelverse")


@every(TASKS)
def test_n12_every_purchase_has_a_connection_of_its_own(line: Line, way: Way) -> None:
    """No purchase goes over a connection that was used before, so none can meet one that is closed already."""
    served: list[tuple[str, int]] = []

    def noted(exchange: Exchange) -> None:
        served.append((exchange.seen.step, id(exchange.sock)))
        exchange.answer()
        kept.append(exchange.sock)

    kept: list[socket.socket] = []
    line.wire.always = {"submit": noted, "poll": noted}
    assert line.buy(way).code == 0
    assert line.run("generate", "a hen", *way.argv, "-o", f"hen{way.ext}").code == 0
    for step, connection in served:
        assert step == "poll" or [row for row in served if row[1] == connection] == [(step, connection)]
    assert line.wire.purchases == 2


@every(TASKS)
def test_n12_a_stale_connection_costs_a_poll_at_most(line: Line, way: Way) -> None:
    """A server that closes idle connections without a word disturbs nobody."""
    line.wire.always["poll"] = lambda exchange: (exchange.answer(), exchange.close())
    line.bought_once(way, sends=1)


def halved(exchange: Exchange) -> None:
    """Take the order and reset the connection in the middle of the answer."""
    data = whole(exchange.accept())
    body = data.index(b"\r\n\r\n") + 4
    exchange.send(data[: body + (len(data) - body) * 3 // 4])
    time.sleep(0.05)
    exchange.reset()


@every(UNKEYED)
def test_n13_a_reset_in_the_middle_of_a_good_answer(line: Line, way: Way) -> None:
    """What came of the answer is kept for a person to look at; nothing is sent again."""
    line.wire.script["submit"] = [halved]
    line.left_in_doubt(way, taken=1)
    state = stored(line)
    assert state.http_status == 200
    assert state.raw.startswith("{")


def test_n13_a_reset_in_the_middle_of_a_good_answer_with_a_key(line: Line) -> None:
    """Under a key the answer comes whole the second time, for the one purchase."""
    line.wire.script["submit"] = [halved]
    line.bought_once(RIVYA, sends=2)


def dripped(exchange: Exchange) -> None:
    exchange.drip(whole(exchange.accept()))


@every(UNKEYED)
def test_n14_a_purchase_that_drips(line: Line, way: Way) -> None:
    """An answer byte by byte never lets a read time out; the clock of the whole call does: in doubt."""
    line.hurry(**SHORT)
    line.wire.script["submit"] = [dripped]
    said = line.left_in_doubt(way, taken=1).said("error")
    assert "no whole answer within" in said


@every(TASKS)
def test_n14_a_poll_that_drips(line: Line, way: Way) -> None:
    """A poll that drips is given up and asked again."""
    line.hurry(**SHORT)
    line.wire.script["poll"] = [dripped]
    line.bought_once(way, sends=1)


def big_picture(line: Line) -> None:
    """Make a picture that no socket's buffers hold, for both providers that take uploads."""
    noise = random.Random(7).randbytes(1600 * 1600 * 3)  # noqa: S311 - any bytes that do not compress
    Image.frombytes("RGB", (1600, 1600), noise).save(line.cli.cwd / "big.png", compress_level=0)


def with_picture(way: Way) -> tuple[str, ...]:
    if way.provider == "toapis":
        return way.call()
    return ("edit", "big.png", "bluer", *way.argv, "-o", "fox.png")


def never_reads(line: Line) -> Callable[[socket.socket], None]:
    def door(sock: socket.socket) -> None:
        line.wire.stopping.wait(1.0)
        sock.close()

    return door


@every(UPLOADING)
def test_n14_an_upload_that_drips(line: Line, way: Way) -> None:
    """An upload's answer that drips is given up; uploads are free, so it is sent again, and one purchase made."""
    line.hurry(**SHORT)
    big_picture(line)
    line.wire.script["upload"] = [dripped]
    ran = line.run(*with_picture(way))
    assert ran.code == 0, ran.err
    assert (len(line.wire.asked("upload")), line.wire.purchases) == (2, 1)


@every(UPLOADING)
def test_n15_n20_an_upload_that_the_peer_does_not_read(line: Line, way: Way) -> None:
    """A peer that takes nothing in, or a path that drops what is large: three tries, nothing bought; then it works."""
    line.hurry(**SHORT)
    big_picture(line)
    line.wire.door = [never_reads(line)] * 3
    ran = line.run(*with_picture(way), "--idempotency-key", "k")
    assert (ran.code, ran.said("charged")) == (6, "no"), ran.err
    assert "upload of big.png" in ran.said("error")
    assert (line.wire.connections, line.wire.seen) == (3, [])
    assert [task["state"] for task in line.tasks()] == ["failed"]
    again = line.run(*with_picture(way), "--idempotency-key", "k")
    assert (again.code, line.wire.purchases) == (0, 1), again.err


def test_n15_n20_a_purchase_that_the_peer_does_not_read(line: Line) -> None:
    """Where the picture goes inside the purchase, nobody knows how much of it was read: in doubt."""
    line.hurry(**SHORT)
    big_picture(line)
    line.wire.door = [never_reads(line)]
    way = Way("modelverse", "modelverse", ("-p", "modelverse"))
    ran = line.run(*with_picture(way))
    assert (ran.code, ran.said("charged")) == (9, "unknown"), ran.err
    assert [task["state"] for task in line.tasks()] == ["unknown"]
    assert (line.wire.connections, line.wire.purchases) == (1, 0)


@every(TASKS)
def test_n16_twenty_minutes_without_a_network(line: Line, way: Way) -> None:
    """While nothing answers, polls go on in silence up to every half minute, and the result is collected after."""
    clock = line.cli.clock
    begun = clock()

    def cut_off(exchange: Exchange) -> None:
        exchange.reset() if clock() - begun < 1200 else exchange.answer()

    line.wire.always["poll"] = cut_off
    ran = line.bought_once(way, "--timeout", "1h", sends=1)
    assert clock() - begun >= 1200
    assert 30 < len(line.wire.asked("poll")) < 90
    assert ran.err.count("polls in a row failed") == 1


@every(TASKS)
def test_n16_offline_until_the_deadline(line: Line, way: Way) -> None:
    """At the deadline nothing is lost: exit 8, and ``wan wait`` collects it once the network is back."""
    line.wire.always["poll"] = Exchange.reset
    ran = line.buy(way, "--timeout", "10m")
    assert (ran.code, ran.said("charged")) == (8, "yes"), ran.err
    hint = ran.said("hint").split()
    assert hint[:2] == ["wan", "wait"]
    line.wire.always.clear()
    assert line.run(*hint[1:]).code == 0
    assert (len(line.wire.asked("submit")), line.wire.purchases) == (1, 1)
    assert line.cli.files() == [f"fox{way.ext}"]


@pytest.mark.parametrize(
    ("way", "status"),
    [(way, 307) for way in WAYS] + [(SYNC[0], status) for status in (300, 301, 302, 303, 308)],
    ids=str,
)
def test_n17_a_redirect_is_never_followed(line: Line, way: Way, status: int) -> None:
    """A redirect of a purchase is a wrong base URL: exit 3, one request, and the key goes nowhere else."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        origin = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"
        line.wire.script["submit"] = [lambda ex: ex.say(status, b"", Location=f"{origin}/login?sig=canary")]
        ran = line.nothing_bought(way, 3, sends=1)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert f"a redirect to {origin}, which is never followed" in ran.said("error")
    assert f"{way.provider.upper()}_BASE_URL" in ran.said("hint")
    assert "canary" not in ran.err


@every(TASKS)
def test_n17_a_redirect_of_a_poll_keeps_the_task(line: Line, way: Way) -> None:
    """A poll that is redirected is a failed poll; the task is collected."""
    line.wire.script["poll"] = [lambda exchange: exchange.say(307, b"", Location="http://127.0.0.1:1/")]
    line.bought_once(way, sends=1)


@every()
def test_n18_a_captive_portal_meets_the_purchase(line: Line, way: Way) -> None:
    """A login page in place of the answer leaves the purchase in doubt, and says what it looks like."""
    line.wire.always = dict.fromkeys(("submit", "poll", "download"), lambda exchange: exchange.say(200, PAGE))
    ran = line.left_in_doubt(way, sends=3 if way.keyed else 1, taken=0)
    assert "looks like a login or proxy page" in ran.said("error")
    assert "Please log in" in stored(line).raw


@every(TASKS)
def test_n18_a_captive_portal_while_polling(line: Line, way: Way) -> None:
    """A login page in place of a task's status is a failed poll, and in place of a result no picture."""
    line.wire.script["poll"] = [lambda exchange: exchange.say(200, PAGE)] * 3
    line.wire.script["download"] = [lambda exchange: exchange.say(200, PAGE, Content_Type="text/html")]
    line.bought_once(way, sends=1)
