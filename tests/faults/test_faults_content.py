"""Answers that are damaged, odd or hostile (R01-R17), over real sockets, for every provider they apply to.

A purchase whose answer cannot be read is never repeated without a key, its raw answer is in the ledger; with a key it
is repeated under the same one, and charged once. A poll that cannot be read is asked again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support_cli import Ran, picture
from support_wire import KEYED, SYNC, TASKS, UNKEYED, WAYS, Exchange, Fault, Line, Way, every

from wan_cli.ledger import Ledger
from wan_cli.ledger.attempts import Attempt

Change = Callable[[Any], None]


def edited(change: Change) -> Fault:
    """Return a fault that lets the provider answer well, and changes the document."""

    def fault(exchange: Exchange) -> None:
        data = exchange.accept().json()
        change(data)
        exchange.answer(httpx.Response(200, json=data))

    return fault


def rewritten(change: Callable[[bytes], bytes], **headers: str) -> Fault:
    """Return a fault that lets the provider answer well, and changes the bytes."""
    return lambda exchange: exchange.say(200, change(exchange.accept().content), **headers)


def attempts(line: Line) -> list[Attempt]:
    """Return what the ledger keeps of the requests of the only task."""
    with Ledger.open(line.cli.root / "state", clock=line.cli.clock) as ledger:
        (task,) = ledger.recent(10)
        return ledger.attempts(task.id)


def unknown(line: Line, ran: Ran, raw: bytes) -> None:
    """Hold an unkeyed purchase whose answer cannot be read against the contract: 9, one request, raw answer kept."""
    assert (ran.code, ran.said("charged")) == (9, "unknown"), ran.err
    assert ran.said("hint").startswith("wan recover ")
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1
    (attempt,) = attempts(line)
    assert attempt.raw == raw
    assert not line.cli.files()


def kept_once(line: Line, ran: Ran, way: Way) -> None:
    """Hold a keyed purchase against the contract: asked again under the same key, charged once, the file is here."""
    assert ran.code == 0, ran.err
    sent = line.wire.asked("submit")
    assert len(sent) == 2
    assert len({seen.headers["idempotency-key"] for seen in sent}) == 1
    assert line.wire.purchases == 1
    assert line.cli.files() == [f"fox{way.ext}"]


def bought(line: Line, ran: Ran, way: Way) -> None:
    """Hold a command that ended well against the contract."""
    assert ran.code == 0, ran.err
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1
    assert line.cli.files() == [f"fox{way.ext}"]


PAGE = b"<!doctype html><html><title>Sign in</title><body>please</body></html>"
DEEP = b"[" * 200_000
DAMAGED = [
    pytest.param(lambda good: good[: len(good) // 2], id="r01-cut"),
    pytest.param(lambda _: b"OK", id="r01-text"),
    pytest.param(lambda _: b'"ok"', id="r01-other"),
    pytest.param(lambda _: PAGE, id="r02-page"),
    pytest.param(lambda good: good[:-1] + b',"x":"\xff\xfe"}', id="r04-utf8"),
    pytest.param(lambda good: good[:-1] + b',"x":"\\ud800"}', id="r04-surrogate"),
    pytest.param(lambda good: good[:-1] + b',"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}", id="r05-deep"),
    pytest.param(lambda good: good[:-1] + b',"x":' + b"9" * 5_000 + b"}", id="r05-number"),
]
"""Bodies that mean nothing, made of a good one; the deepest of R05 is in a test of its own, for its size."""


@every(UNKEYED)
@pytest.mark.parametrize("change", DAMAGED)
def test_r01_r02_r04_r05_an_unreadable_answer_to_a_purchase(
    line: Line, way: Way, change: Callable[[bytes], bytes]
) -> None:
    """Without a key the purchase stays unknown, its raw answer is in the ledger, and nothing is sent again."""
    said: list[bytes] = []

    def damaged(good: bytes) -> bytes:
        said.append(change(good))
        return said[0]

    line.wire.script["submit"] = [rewritten(damaged)]
    ran = line.buy(way)
    unknown(line, ran, said[0])
    if said[0] == PAGE:
        assert "looks like a login or proxy page" in ran.err
    assert "\ud800" not in ran.err
    again = line.run("wait", "--all")  # waiting never buys
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1
    assert again.code == 0, again.err


@every(KEYED)
@pytest.mark.parametrize("change", DAMAGED)
def test_r01_r02_r04_r05_an_unreadable_answer_under_a_key(
    line: Line, way: Way, change: Callable[[bytes], bytes]
) -> None:
    """With a key the same request goes again, the provider answers its first task, and it is charged once."""
    line.wire.script["submit"] = [rewritten(change)]
    kept_once(line, line.buy(way), way)


@every(TASKS)
def test_r01_r02_r04_r05_r06_unreadable_polls(line: Line, way: Way) -> None:
    """A poll that cannot be read, however it is broken, is asked again: one file in the end."""
    changes = [param.values[0] for param in DAMAGED]
    endless: Fault = lambda exchange: exchange.say(200, b'{"id": "' + b"x" * 200_000)  # noqa: E731
    line.wire.script["poll"] = [*map(rewritten, changes), endless]
    ran = line.buy(way)
    bought(line, ran, way)
    assert len(line.wire.asked("poll")) == len(changes) + 2


@every()
def test_r05_the_deepest_of_answers(line: Line, way: Way) -> None:
    """200,000 levels exhaust no stack, neither in an answer nor in a refusal."""
    deep = b'{"id":"task_1","status":"queued","x":' + DEEP + b"]" * len(DEEP) + b"}"
    line.cli.engine["api"] = {"deadlines": wider(line)}
    line.wire.always["submit"] = lambda exchange: exchange.say(200, deep)
    ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (9, "unknown")
    assert attempts(line)[0].raw == deep
    line.wire.always["submit"] = lambda exchange: exchange.say(400, deep)
    assert line.buy(way).code == 4


def wider(line: Line) -> Any:
    """Return the deadlines with room for a deep answer."""
    from dataclasses import replace

    return replace(line.cli.engine["api"]["deadlines"], answer_bytes=1 << 20)


@every()
def test_r03_another_media_type(line: Line, way: Way) -> None:
    """Good JSON is good JSON, whatever its header calls it."""
    line.wire.always["submit"] = lambda exchange: exchange.answer(content_type="text/plain; charset=iso-8859-1")
    line.wire.always["poll"] = line.wire.always["submit"]
    bought(line, line.buy(way), way)


@every()
def test_r04_a_byte_order_mark(line: Line, way: Way) -> None:
    """A byte order mark in front of good JSON loses no purchase."""
    line.wire.always["submit"] = line.wire.always["poll"] = rewritten(lambda good: b"\xef\xbb\xbf" + good)
    bought(line, line.buy(way), way)


@every()
def test_r04_a_lone_surrogate_in_a_refusal(line: Line, way: Way) -> None:
    """A message that no encoding can hold is shown all the same, and kept."""
    body = b'{"error": {"code": "oops", "message": "bad \\ud800 luck"}}'
    line.wire.script["submit"] = [lambda exchange: exchange.say(400, body)]
    ran = line.buy(way, "--json")
    assert ran.code == 4
    assert "bad \\ud800 luck" in ran.task["error"]["message"]
    assert line.run("status").code == 0


@every()
def test_r05_not_a_number_and_repeated_names(line: Line, way: Way) -> None:
    """NaN beside the point is no reason to lose a task, nor in what is kept; of repeated names the last counts."""

    def change(good: bytes) -> bytes:
        repeated = "".join(f'"{name}":"first",' for name in ("status", "data") if name in json.loads(good))
        return b'{"usage":{"a":NaN,"b":1e999},"reserved_credits":NaN,"created":NaN,' + repeated.encode() + good[1:]

    line.wire.always["submit"] = line.wire.always["poll"] = rewritten(change)
    ran = line.buy(way, "--json")
    bought(line, ran, way)
    assert "NaN" not in ran.out
    assert line.run("status", "--json").code == 0


@every(UNKEYED)
def test_r06_an_answer_without_end(line: Line, way: Way) -> None:
    """Reading stops at the cap, and what came is kept; the purchase stays unknown and is not sent again."""
    line.wire.script["submit"] = [endless]
    ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (9, "unknown")
    assert "larger than" in ran.err
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1
    cap = 64 * 1024 + (1024 * 1024 if way.sync else 0)
    (attempt,) = attempts(line)
    assert attempt.raw
    assert len(attempt.raw) == cap


@every(KEYED)
def test_r06_an_answer_without_end_under_a_key(line: Line, way: Way) -> None:
    """With a key the request goes again."""
    line.wire.script["submit"] = [endless]
    kept_once(line, line.buy(way), way)


def endless(exchange: Exchange) -> None:
    """Take the order, and never stop answering."""
    exchange.accept()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{")
    while not exchange.over and not exchange.wire.stopping.is_set():
        exchange.send(b'"x":"' + b"y" * 65_536 + b'",')


# -- ids


def put_id(way: Way, value: Any) -> Change:
    """Return the change that puts ``value`` where the answer to a submit has the task's id; ``KeyError``: nothing."""

    def change(data: Any) -> None:
        place = data["output"] if way.provider == "modelverse" else data
        for name in ("id", "task_id"):
            if name in place:
                place[name] = value
                if value is KeyError:
                    del place[name]

    return change


BAD_IDS = [KeyError, None, 7, "", "../../credits", "x?y", "a\r\nX-Evil: 1", "x" * 201, "..", "a b", "é"]


@every(tuple(way for way in TASKS if way in UNKEYED))
@pytest.mark.parametrize("value", BAD_IDS, ids=ascii)
def test_r07_r08_a_task_id_that_is_none(line: Line, way: Way, value: Any) -> None:
    """An id that is missing, of another type or no plain name is never used: unknown, with the answer kept."""
    line.wire.script["submit"] = [edited(put_id(way, value))]
    ran = line.buy(way)
    unknown(line, ran, attempts(line)[0].raw or b"")
    assert b"output" in (attempts(line)[0].raw or b"") or way.provider != "modelverse"
    assert not line.wire.asked("poll")


@every(KEYED)
@pytest.mark.parametrize("value", BAD_IDS, ids=ascii)
def test_r07_r08_a_task_id_that_is_none_under_a_key(line: Line, way: Way, value: Any) -> None:
    """With a key the task is asked for again, and its good id is used."""
    line.wire.script["submit"] = [edited(put_id(way, value))]
    kept_once(line, line.buy(way), way)
    assert all(seen.path.endswith(line_id(line)) for seen in line.wire.asked("poll"))


def line_id(line: Line) -> str:
    """Return the provider's id of the only task."""
    (sold,) = line.wire.world.purchases()
    return str(sold["task_id"])


@every(SYNC)
def test_r07_r08_a_relay_that_names_no_usable_task(line: Line, way: Way) -> None:
    """A synchronous provider that says "queued" under an id of no use leaves the purchase unknown."""

    def queued(data: Any) -> None:
        data.clear()
        data |= {"status": "queued", "id": "../x", "data": []}

    line.wire.script["submit"] = [edited(queued)]
    ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (9, "unknown")
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1
    assert attempts(line)[0].raw


@every(TASKS)
def test_r08_a_handle_that_is_no_id(line: Line, way: Way) -> None:
    """The same holds for a handle that a person types: nothing is sent."""
    for name in ("../../credits", "x?y", "a\r\nb", "a/b", "..", "x" * 201):
        assert line.run("wait", f"{way.provider}:{name}").code == 2
    assert not line.wire.seen


@every(TASKS)
def test_r17_two_different_ids(line: Line, way: Way) -> None:
    """The documented field wins, the other stays in the ledger's answer, and polls keep the id they began with."""

    def second(data: Any) -> None:
        place = data["output"] if way.provider == "modelverse" else data
        other = {"rivya": "task_id", "modelverse": "id", "toapis": "request_task_id"}[way.provider]
        place[other] = "another-one"

    def renamed(data: Any) -> None:
        put_id(way, "task_of_somebody_else")(data)

    line.wire.script["submit"] = [edited(second)]
    line.wire.script["poll"] = [edited(renamed), edited(renamed)]
    line.wire.world.latency = 12
    ran = line.buy(way, "--json")
    bought(line, ran, way)
    assert ran.task["handle"] == f"{way.provider}:{line_id(line)}"
    assert all(line_id(line) in seen.path for seen in line.wire.asked("poll"))
    assert b"another-one" in (attempts(line)[0].raw or b"")


@every(tuple(way for way in TASKS if way.provider == "toapis"))
def test_r17_id_before_task_id(line: Line, way: Way) -> None:
    """Where a provider writes both of its documented names, ``id`` counts (contracts.md 4.3)."""
    line.wire.script["submit"] = [edited(lambda data: data.update(id=data["task_id"], task_id="another-one"))]
    bought(line, line.buy(way), way)


# -- statuses and results


def status(way: Way, word: str) -> Change:
    """Return the change that gives a poll's answer another status."""

    def change(data: Any) -> None:
        if way.provider == "modelverse":
            data["output"]["task_status"] = word
        else:
            data["status"] = word

    return change


@every(TASKS)
@pytest.mark.parametrize("word", ["Throttled", ""])
def test_r09_a_status_that_nobody_documented(line: Line, way: Way, word: str) -> None:
    """It is still running, told once as a warning, until the limit: 8, and the file comes once the status is known."""
    line.wire.always["poll"] = edited(status(way, word))
    ran = line.buy(way, "--timeout", "10m")
    assert (ran.code, ran.said("charged")) == (8, "yes")
    assert ran.said("hint") == f"wan wait {way.provider}:{line_id(line)}"
    if word:
        assert ran.err.count("warning:") == 1
        assert word.casefold() in ran.err.casefold()
    line.wire.always.clear()
    assert line.run("wait", f"{way.provider}:{line_id(line)}").code == 0
    assert line.wire.purchases == 1


@every(TASKS)
@pytest.mark.parametrize("word", ["success", "SUCCEEDED", "Completed"])
def test_r10_a_status_in_another_spelling(line: Line, way: Way, word: str) -> None:
    """Case and the other words for the same thing make no difference."""
    line.wire.world.latency = 0
    line.wire.always["poll"] = edited(status(way, word))
    bought(line, line.buy(way), way)


def addresses(way: Way, change: Callable[[list[str]], list[str]]) -> Change:
    """Return the change of a result's addresses; an answer that has none stays."""

    def edit(data: Any) -> None:
        if way.provider == "rivya" and data.get("result"):
            data["result"]["urls"] = change(data["result"]["urls"])
            data["result"]["primary_url"] = (data["result"]["urls"] or [None])[0]
        elif way.label == "modelverse" and data["output"].get("urls"):
            data["output"]["urls"] = change(data["output"]["urls"])
        elif way.provider == "toapis" and data.get("result"):
            data["result"]["data"] = [{"url": url} for url in change([it["url"] for it in data["result"]["data"]])]
        elif way.label == "openai" and data.get("data"):
            data["data"] = [{"b64_json": text} for text in change([it["b64_json"] for it in data["data"]])]
        elif way.sync and data.get("data"):
            data["data"] = [{"url": url} for url in change([it["url"] for it in data["data"]])]

    return edit


def answers(line: Line, way: Way, fault: Fault) -> None:
    """Let every answer with results be changed by ``fault``."""
    line.wire.always["submit" if way.sync else "poll"] = fault


@every()
def test_r11_success_without_a_result(line: Line, way: Way) -> None:
    """A task is asked three more times, an answer that was all is not; then 10, charged, nothing is bought again."""
    answers(line, way, edited(addresses(way, lambda _: [])))
    ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (10, "yes")
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1
    assert line.cli.files() == []
    if not way.sync:
        assert len(line.wire.asked("poll")) >= 4
        line.wire.always.clear()
        assert line.run("wait", f"{way.provider}:{line_id(line)}").code == 0, "the provider found it after all"
        assert line.wire.purchases == 1


COUNTED = tuple(way for way in WAYS if way.provider in {"modelverse", "yunwu", "openai"})


@every(COUNTED)
def test_r12_fewer_results_than_asked_for(line: Line, way: Way) -> None:
    """What came is saved, the difference is told, and the exit code is 11."""
    answers(line, way, edited(addresses(way, lambda found: found[:3])))
    ran = line.buy(way, "-n", 4)
    assert (ran.code, ran.said("charged")) == (11, "yes")
    assert "3 of 4 results" in ran.err
    assert line.cli.files() == ["fox-1.png", "fox-2.png", "fox-3.png"]
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1


@every(tuple(way for way in WAYS if way.label != "openai"))
def test_r13_the_same_address_twice(line: Line, way: Way) -> None:
    """Each address is fetched once."""
    answers(line, way, edited(addresses(way, lambda found: [*found, *found])))
    bought(line, line.buy(way), way)
    assert len(line.wire.asked("download")) == 1


@every(COUNTED)
def test_r13_more_results_than_asked_for(line: Line, way: Way) -> None:
    """An extra result is saved too, and noted: exit 0."""
    extra = f"{line.wire.url}/results/other/1.png"
    text = base64.b64encode(picture(8, 8)).decode()
    line.wire.script["download"] = [lambda exchange: exchange.say(200, picture(8, 8))] * 2
    answers(line, way, edited(addresses(way, lambda found: [*found, text if way.label == "openai" else extra])))
    ran = line.buy(way)
    assert ran.code == 0, ran.err
    assert "1 results were asked for, 2 delivered" in ran.err
    assert line.cli.files() == ["fox-1.png", "fox-2.png"]


# -- Base64 inside the answer

GOOD = base64.b64encode(picture(8, 8)).decode()
READABLE = {
    "prefix": f"data:image/png;base64,{GOOD}",
    "newlines": "\n".join(GOOD[at : at + 76] for at in range(0, len(GOOD), 76)) + "\r\n",
    "no-padding": GOOD.rstrip("="),
    "url-safe": GOOD.replace("+", "-").replace("/", "_"),
}


def inside(text: str, **more: str) -> Fault:
    """Return a fault that puts Base64 into the answer in place of what the provider drew."""
    return edited(lambda data: data.update(data=[{"b64_json": text, **more}]))


@every(SYNC)
@pytest.mark.parametrize("text", READABLE.values(), ids=list(READABLE))
def test_r14_base64_of_every_manner(line: Line, way: Way, text: str) -> None:
    """Prefixes, line ends, missing padding and the other alphabet are all read, without a request for the bytes."""
    line.wire.script["submit"] = [inside(text)]
    bought(line, line.buy(way), way)
    assert (line.cli.cwd / "fox.png").read_bytes() == picture(8, 8)
    assert not line.wire.asked("download")


@every(SYNC)
def test_r14_an_empty_text_beside_an_address(line: Line, way: Way) -> None:
    """An empty ``b64_json`` is none: the address beside it counts."""
    url = f"{line.wire.url}/results/other/1.png"
    line.wire.script["download"] = [lambda exchange: exchange.say(200, picture(8, 8))]
    line.wire.script["submit"] = [inside("", url=url)]
    bought(line, line.buy(way), way)


@every(SYNC)
@pytest.mark.parametrize("text", ["!!!", GOOD[:-5] + "*", "QUJDR", "data:image/png,abc"])
def test_r14_base64_that_cannot_be_decoded(line: Line, way: Way, text: str) -> None:
    """The picture is paid: 12, the text stays in the ledger, and nothing is bought again, now or by waiting."""
    line.wire.script["submit"] = [inside(text)]
    ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (12, "yes")
    assert "cannot be decoded" in ran.said("error")
    assert "kept in the ledger" in ran.said("error")
    assert json.loads(attempts(line)[0].raw or b"")["data"] == [{"b64_json": text}]
    assert line.cli.files() == []
    assert line.run(*ran.said("hint").split()[1:]).code == 12
    assert line.wire.purchases == len(line.wire.asked("submit")) == 1


# -- words and amounts

HOSTILE = "\x1b]8;;http://evil\x07red\x1b[31m [/b] [link=http://evil]\n::error::x\r\n##[error]y\u202e\x9b"


def failing(way: Way, message: str) -> Change:
    """Return the change of a poll's answer into a failure with this message."""

    def change(data: Any) -> None:
        if way.provider == "modelverse":
            data["output"] |= {"task_status": "Failure", "error_message": f"code=Bad, message={message}"}
        else:
            data |= {"status": "failed", "error": {"code": "Bad", "message": message}}

    return change


@every(TASKS)
@pytest.mark.parametrize("runner", ["", "GITHUB_ACTIONS"])
def test_r15_a_message_that_means_harm(line: Line, way: Way, runner: str) -> None:
    """Escapes are spelled out, markup is text, and no line is a runner's command; 7, and nothing is bought again."""
    line.wire.script["poll"] = [edited(failing(way, HOSTILE))]
    with pytest.MonkeyPatch.context() as patch:
        if runner:
            patch.setenv(runner, "true")
        ran = line.buy(way, "--json")
    assert ran.code == 7
    assert not {char for char in ran.err + ran.out if char < " " and char != "\n"} | set(ran.err) & set("\u202e\x9b")
    assert "[/b]" in ran.err
    assert not [row for row in ran.err.splitlines() if row.lstrip().startswith("::")]
    if runner:
        assert "##[" not in ran.err + ran.out
    assert line.wire.purchases == 1


@every(KEYED)
@pytest.mark.parametrize(
    ("amount", "charged", "actual", "flag"),
    [(None, "yes", None, None), (-5, "yes", -5, "below zero"), (99, "yes", 99, "more than the"), (0, "no", 0, None),
     (KeyError, "yes", None, None), ("a lot", "yes", None, None)],
    ids=ascii,
)  # fmt: skip
def test_r16_odd_credits(line: Line, way: Way, amount: Any, charged: str, actual: Any, flag: str | None) -> None:
    """What is reported is shown as it is, an amount below zero or above the reservation is flagged; no number is 0."""

    def change(data: Any) -> None:
        data["final_credits"] = amount
        if amount is KeyError:
            del data["final_credits"]

    line.wire.always["poll"] = edited(change)
    ran = line.buy(way, "--json")
    bought(line, ran, way)
    assert (ran.task["charged"], ran.task["cost"]["actual"]) == (charged, actual)
    assert [flag in said for said in ran.task["warnings"]] == [True] if flag else not ran.task["warnings"]


@every(KEYED)
def test_r16_a_failure_with_less_than_nothing(line: Line, way: Way) -> None:
    """Of a failed task with an amount below zero nobody knows whether it was charged."""

    def change(data: Any) -> None:
        failing(way, "no luck")(data)
        data["final_credits"] = -1

    line.wire.script["poll"] = [edited(change)]
    ran = line.buy(way)
    assert (ran.code, ran.said("charged")) == (7, "unknown")
