"""The life of a task at its provider (T01-T12), over real sockets, for every provider that has tasks.

A task that was bought is never bought again by itself, whatever becomes of it; what may still come is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support_cli import BEGIN, Clock, Ran
from support_wire import KEYED, TASKS, UNKEYED, Exchange, Fault, Line, Way, every

DAY = 86_400.0
LOOSE = tuple(way for way in TASKS if way in UNKEYED)


def sold(line: Line) -> str:
    """Return the provider's id of the only task that it sold."""
    (purchase,) = line.wire.world.purchases()
    return str(purchase["task_id"])


def handle(line: Line, way: Way) -> str:
    """Return the handle of the only task."""
    return f"{way.provider}:{sold(line)}"


def ends(line: Line, ran: Ran, code: int, charged: str) -> None:
    """Hold a command's end against the contract: code, money, one purchase, and nothing under the final name."""
    assert (ran.code, ran.said("charged")) == (code, charged), ran.err
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1
    if code:
        assert line.cli.files() == []


def comes(line: Line, way: Way) -> None:
    """Collect the task once all is well: the file is here, and nothing was bought again."""
    line.wire.always.clear()
    ran = line.run("wait", handle(line, way))
    assert ran.code == 0, ran.err
    assert line.cli.files() == [f"fox{way.ext}"]
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1


def edited(change: Callable[[Any], None]) -> Fault:
    """Return a fault that lets the provider answer well, and changes the document."""

    def fault(exchange: Exchange) -> None:
        data = exchange.accept().json()
        change(data)
        exchange.answer(httpx.Response(200, json=data))

    return fault


def ended(way: Way, word: str, **more: Any) -> Fault:
    """Return a fault that makes a task end with ``word``, and with the error that the provider's form has."""

    def change(data: Any) -> None:
        if way.provider == "modelverse":
            said = {"error_message": "code=BadLuck, message=no luck"} if more.pop("why", True) else {}
            data["output"] = {"task_id": data["output"]["task_id"], "task_status": word, **said}
            data["request_id"] = "req_77"
        else:
            said = {"error": {"code": "BadLuck", "message": "no luck"}} if more.pop("why", True) else {}
            data |= {"status": word, "result": None, **said, **more}

    return edited(change)


def missing(exchange: Exchange) -> None:
    """Answer as the provider does where it does not know the task."""
    if "/modelverse/" in exchange.seen.path:
        exchange.say(400, b'{"error": {"code": "InvalidParameter", "message": "invalid task_id"}}')
    else:
        exchange.say(404, b'{"error": {"code": "not_found", "message": "no such task"}}')


# -- T01, T06: the ends of a task


@every(LOOSE)
def test_t01_a_task_that_fails(line: Line, way: Way) -> None:
    """7 with code and message; whether it was charged is unknown, and no new task is made."""
    line.wire.always["poll"] = ended(way, "failed")
    ran = line.buy(way)
    ends(line, ran, 7, "unknown")
    assert "no luck (BadLuck)" in ran.said("error")
    if way.provider == "modelverse":
        assert "[request req_77]" in ran.said("error")
    assert len(line.wire.asked("poll")) == 1
    ends(line, line.run("wait", handle(line, way)), 7, "unknown")


@every(KEYED)
@pytest.mark.parametrize(("amount", "charged"), [(0, "no"), (5, "yes"), (None, "unknown")])
def test_t01_a_failed_task_says_what_it_cost(line: Line, way: Way, amount: int | None, charged: str) -> None:
    """The provider's own amount decides: none charged, some charged, or nobody knows."""
    line.wire.always["poll"] = ended(way, "failed", final_credits=amount)
    ran = line.buy(way)
    ends(line, ran, 7, charged)
    assert "no luck (BadLuck)" in ran.said("error")
    task = line.run("status", handle(line, way), "--json").task
    assert (task["charged"], task["cost"]["actual"]) == (charged, amount)


@every(TASKS)
@pytest.mark.parametrize("word", ["Cancelled", "CANCELED", "Expired"])
def test_t06_a_task_that_was_cancelled_or_expired(line: Line, way: Way, word: str) -> None:
    """Both are final: 7, no more questions, no new task."""
    line.wire.always["poll"] = ended(way, word, final_credits=None)
    ran = line.buy(way)
    ends(line, ran, 7, "unknown")
    assert len(line.wire.asked("poll")) == 1
    state = line.run("status", handle(line, way), "--json").task["state"]
    assert state == ("failed" if word == "Expired" else "cancelled")


# -- T02, T03, T10: a task that is not found


@every(TASKS)
def test_t02_a_task_that_is_not_found_any_more(line: Line, way: Way) -> None:
    """Known once and then unknown three times within a minute: 10 with the date, and found again it is collected."""
    line.wire.world.latency = 60
    line.wire.script["poll"] = [Exchange.answer]
    line.wire.always["poll"] = missing
    ran = line.buy(way)
    ends(line, ran, 10, "yes")
    assert "2026-11-21 09:00 UTC" in ran.said("error")
    assert len(line.wire.asked("poll")) >= 4
    assert line.cli.clock.now - BEGIN >= 60
    comes(line, way)


@every(TASKS)
def test_t03_a_task_that_is_not_found_yet(line: Line, way: Way) -> None:
    """Just after the purchase a task may not be everywhere: the question is asked again."""
    line.wire.script["poll"] = [missing, missing]
    ran = line.buy(way)
    assert ran.code == 0, ran.err
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1
    assert len(line.wire.asked("poll")) == 3


@every(TASKS)
def test_t10_a_task_taken_up_a_day_later(line: Line, way: Way) -> None:
    """25 hours on the provider knows nothing: 10, with the date of the purchase, and nothing is bought again."""
    assert line.buy(way, "--no-wait").code == 0
    line.cli.clock.now += 25 * 3600
    line.wire.always["poll"] = missing
    ran = line.run("wait", handle(line, way))
    ends(line, ran, 10, "yes")
    assert "2026-11-21 09:00 UTC" in ran.said("error")


@every(TASKS)
def test_t10_an_address_that_is_a_day_old(line: Line, way: Way) -> None:
    """25 hours on the task is known and its address is not: a try, a fresh address, another try, then 10 with dates."""
    assert line.buy(way, "--no-wait").code == 0
    line.cli.clock.now += 25 * 3600
    ran = line.run("wait", handle(line, way))
    ends(line, ran, 10, "yes")
    assert "the address was good until 2026-11-22" in ran.said("error")
    assert len(line.wire.asked("download")) == len(line.wire.asked("poll")) == 2


# -- T04, T05, T07, T12: a task that takes its time, and a provider that does


@every(TASKS)
def test_t04_a_task_that_never_ends(line: Line, way: Way) -> None:
    """At the limit the command stops with 8 and the handle; the same task is collected later."""
    line.wire.world.latency = 10 * DAY
    ran = line.buy(way)
    ends(line, ran, 8, "yes")
    assert ran.said("hint") == f"wan wait {handle(line, way)}"
    limit = 3600 if way.ext == ".mp4" else 900
    assert limit <= line.cli.clock.now - BEGIN <= limit + 40
    line.cli.clock.now += 10 * DAY
    comes(line, way)


@every(TASKS)
def test_t05_a_status_that_goes_backwards(line: Line, way: Way) -> None:
    """Running, queued, running again and then success is a success; once there are addresses, nobody asks any more."""
    line.wire.world.latency = 30
    words = {"modelverse": ["Running", "Pending", "Running"], "rivya": ["processing", "queued", "processing"]}
    chosen = words.get(way.provider, ["in_progress", "queued", "in_progress"])
    line.wire.script["poll"] = [flapping(way, word) for word in chosen]
    line.wire.script["download"] = [lambda exchange: exchange.say(400, b"later")]
    ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (12, "yes"), ran.err
    line.wire.always["poll"] = flapping(way, chosen[1])
    before = len(line.wire.asked("poll"))
    assert line.run("wait", handle(line, way)).code == 0
    assert len(line.wire.asked("poll")) == before
    assert line.wire.purchases == 1


def flapping(way: Way, word: str) -> Fault:
    """Return a fault that gives a poll's answer another status."""

    def change(data: Any) -> None:
        if way.provider == "modelverse":
            data["output"]["task_status"] = word
        else:
            data["status"] = word

    return edited(change)


@every(TASKS)
def test_t07_t12_hours_of_maintenance(line: Line, way: Way) -> None:
    """A page with 503 for as long as anybody asks ends with 8, told once; afterwards the file comes."""
    page = b"<html><h1>Back soon</h1></html>"
    line.wire.always["poll"] = lambda exchange: exchange.say(503, page, content_type="text/html")
    ran = line.buy(way)
    ends(line, ran, 8, "yes")
    assert ran.said("hint") == f"wan wait {handle(line, way)}"
    assert ran.err.count("polls in a row failed") == 1
    assert "could not be asked: <html><h1>Back soon" in ran.said("error")
    ends(line, line.run("wait", handle(line, way), "--timeout", "2m"), 8, "yes")
    comes(line, way)


@every(TASKS)
def test_t07_polls_that_fail_in_every_way(line: Line, way: Way) -> None:
    """429, 500, 502, a reset, an empty answer and silence are all asked again."""
    line.wire.script["poll"] = [
        lambda exchange: exchange.say(429, b'{"error": {"message": "slowly"}}', retry_after="3"),
        lambda exchange: exchange.say(500, b'{"error": {"message": "oops"}}'),
        lambda exchange: exchange.say(502, b"bad gateway"),
        Exchange.reset,
        Exchange.close,
        Exchange.stall,
        lambda exchange: exchange.say(200),
    ]
    assert line.buy(way).code == 0
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1
    assert len(line.wire.asked("poll")) == 8


# -- T08, T11: keys


@every(TASKS)
def test_t08_a_key_that_is_refused_in_the_middle(line: Line, way: Way) -> None:
    """401 while polling stops the asking with 8, for the task is bought; with the key mended it is collected."""
    line.wire.world.latency = 60
    line.wire.script["poll"] = [Exchange.answer]
    line.wire.always["poll"] = lambda exchange: exchange.say(401, b'{"error": {"message": "revoked"}}')
    ran = line.buy(way)
    ends(line, ran, 8, "yes")
    assert "mend the key" in ran.said("hint")
    assert f"wan wait {handle(line, way)}" in ran.said("hint")
    assert len(line.wire.asked("poll")) == 2
    line.cli.clock.now += 60
    comes(line, way)


@every(TASKS)
def test_t11_another_accounts_key(line: Line, way: Way) -> None:
    """Under another key the task is not even asked about: 8; under its own it is collected."""
    assert line.buy(way, "--no-wait").code == 0
    before = len(line.wire.seen)
    other = {f"{way.provider.upper()}_API_KEY": "sk-another-accounts-key-0123456789"}
    ran = line.run("wait", handle(line, way), env=other)
    ends(line, ran, 8, "yes")
    assert "another key" in ran.said("error")
    assert len(line.wire.seen) == before
    comes(line, way)


# -- T09: a clock that is wrong


class Skewed(Clock):
    """This machine's clock, ``off`` seconds wrong, while the time itself passes as it does."""

    def __init__(self, true: Clock) -> None:
        super().__init__()
        self.true = true
        self.off = 0.0

    def __call__(self) -> float:
        return self.true.now + self.off

    async def sleep(self, seconds: float) -> None:
        """Let the true time pass."""
        await self.true.sleep(seconds)


@every(TASKS)
@pytest.mark.parametrize("jump", [DAY, -DAY, 40 * DAY], ids=["forward", "back", "far"])
def test_t09_a_clock_that_jumps(line: Line, way: Way, jump: float) -> None:
    """A jump in the middle neither ends the waiting nor makes a result count as gone: the deadline is monotonic."""
    true, wrong = line.cli.clock, Skewed(line.cli.clock)
    line.cli.clock = wrong
    line.cli.engine["monotonic"] = true
    line.wire.world.latency = 300

    def jumps(exchange: Exchange) -> None:
        wrong.off = jump
        exchange.answer()

    line.wire.script["poll"] = [Exchange.answer, missing, jumps, missing]
    ran = line.buy(way)
    assert ran.code == 0, ran.err
    assert line.cli.files() == [f"fox{way.ext}"]
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1
    assert true.now - BEGIN >= 300


@every(TASKS)
@pytest.mark.parametrize("off", [2 * DAY, -2 * DAY], ids=["ahead", "behind"])
def test_t09_an_address_is_only_gone_when_it_is_refused(line: Line, way: Way, off: float) -> None:
    """By a clock two days ahead every address has expired, and is fetched all the same; the host's own date decides."""
    wrong = Skewed(line.cli.clock)
    line.cli.engine["monotonic"] = line.cli.clock
    line.cli.clock, wrong.off = wrong, off
    refused: Fault = lambda exchange: exchange.say(403, b"no", date="Sat, 21 Nov 2026 09:00:10 GMT")  # noqa: E731
    line.wire.always["download"] = refused
    ran = line.buy(way)
    ends(line, ran, 12, "yes")
    assert "good until 2026-11-22" in ran.said("error")
    comes(line, way)
