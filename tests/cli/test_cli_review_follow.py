"""``wan wait`` and ``wan status`` beyond the usual: another origin or account, tasks that seemed lost, many names."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
from dataclasses import replace
from typing import Any

import pytest
from support_cli import Cli, picture
from support_provider import FakeProvider, Say, Seen

from wan_cli.cli import following
from wan_cli.engine import Engine, collect, delivery
from wan_cli.engine.loop import Stopped
from wan_cli.ledger import Ledger
from wan_cli.models import Task

RV = ("generate", "a fox", "-p", "rivya")
EMPTY = Say(200, {"id": "task_1", "status": "succeeded", "result": {"urls": []}})


@pytest.fixture
def bought(live: Cli) -> str:
    """Buy one task and leave it at the provider; return its handle."""
    (handle,) = live.run(*RV, "--no-wait", "-o", "fox.png").lines
    return handle


@pytest.mark.parametrize("command", ["wait", "status"])
def test_another_origin_is_asked_nothing(live: Cli, bought: str, command: str) -> None:
    """A task is asked about only where it was bought: 8, both origins named, and it goes on with the old base URL."""
    with FakeProvider() as other:
        ran = live.run(command, bought, "--json", env={"RIVYA_BASE_URL": other.url})
        assert other.seen == []
    assert ran.code == 8
    error = ran.task["error"]
    assert error["code"] == "key_origin"
    assert error["message"] == f"{bought} was bought at {live.provider.url}, the base URL is {other.url}"
    assert error["charged"] == "yes"
    assert live.run("wait", bought).lines == ["fox.png"]


def test_nothing_is_resent_at_another_origin(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purchase whose answer was not seen stays as it is at another origin, and is taken up at its own."""

    async def killed(engine: Engine, task: Task, *_: Any, **__: Any) -> Any:
        await engine.begin(task, lambda: None)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr("wan_cli.engine.submit._attempt", killed)
        live.run(*RV, "-o", "fox.png")
    with FakeProvider() as other:
        ran = live.run("wait", "--json", env={"RIVYA_BASE_URL": other.url})
        assert other.seen == []
    assert (ran.code, ran.task["error"]["charged"]) == (8, "unknown")
    assert live.provider.purchases == 0
    assert live.run("wait").lines == ["fox.png"]
    assert live.provider.purchases == 1


def test_failed_questions_make_no_task_lost(live: Cli, bought: str) -> None:
    """Between empty successes, a network that fails does not count as the provider's word."""
    live.provider.script["poll"] = [EMPTY, *[Say(drop=True)] * (collect.EMPTY_TRIES + 2), EMPTY]
    ran = live.run("wait", bought)
    assert (ran.code, ran.lines) == (0, ["fox.png"])


def test_an_expired_address_gets_a_second_look_later(live: Cli, bought: str) -> None:
    """A refusal that passes costs no result: wan waits a little before it asks for a fresh address."""
    live.provider.script["download"] = [Say(403, "expired")]
    assert live.run("wait", bought).lines == ["fox.png"]
    assert delivery.SECOND_LOOK_S in live.clock.slept


def test_a_lost_result_is_looked_for_once_more(live: Cli, bought: str) -> None:
    """``wan wait TASK`` of a lost task asks again; a bare ``wan wait`` leaves it alone."""
    live.provider.always["download"] = Say(403, "expired")
    assert live.run("wait", bought).code == 10
    assert "nothing is outstanding" in live.run("wait").err
    live.provider.always.clear()
    assert live.run("wait", bought).lines == ["fox.png"]


def test_status_asks_about_a_vanished_task_once_more(live: Cli, bought: str) -> None:
    """``wan status TASK`` of a vanished task believes the provider that knows it again, and nobody else."""
    live.provider.always["poll"] = EMPTY
    assert live.run("wait", bought).code == 10
    live.provider.always["poll"] = Say(404, {"error": {"code": "not_found", "message": "no such task"}})
    assert live.run("status", bought, "--json").task["state"] == "lost"
    with FakeProvider() as other:
        assert live.run("status", bought, env={"RIVYA_BASE_URL": other.url}).code == 10
        assert other.seen == []
    live.provider.always.clear()
    assert live.run("status", bought).code == 8
    assert live.run("wait", bought).lines == ["fox.png"]


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        ("x.png", ["x-1.png", "x-2.png"]), ("x", ["x-1.png", "x-2.png"]), ("x{ext}", ["x-1.png", "x-2.png"]),
        ("{index:02}.png", ["01.png", "02.png"]), ("new/", None), ("{id}.png", None),
    ],
)  # fmt: skip
def test_several_results_have_names_of_their_own(live: Cli, bought: str, output: str, lines: list[str] | None) -> None:
    """``wan wait A B -o x.png`` numbers the results, unless the name tells them apart."""
    (second,) = live.run(*RV, "--no-wait").lines
    ran = live.run("wait", bought, second, "-o", output)
    assert ran.code == 0, ran.err
    assert len(set(ran.lines)) == 2
    assert lines is None or ran.lines == lines


def test_a_task_named_twice_is_collected_once(live: Cli, bought: str) -> None:
    """By handle and by id: one task, one file."""
    name = live.run("status", "--json").task["id"]
    assert live.run("wait", bought, name, bought).lines == ["fox.png"]
    assert len(live.run("status", name, bought, "--json").json["tasks"]) == 1


@pytest.mark.parametrize("output", ["b.png", "-"])
def test_a_result_that_nobody_keeps_is_not_moved_silently(live: Cli, bought: str, output: str) -> None:
    """-o on a saved task without a provider's task is a usage error that tells what to do."""
    assert live.run("wait", bought).code == 0
    with Ledger.open(live.root / "state") as ledger:
        (task,) = ledger.recent()
        ledger.save(replace(task, task_id=None))
    ran = live.run("wait", task.id, "-o", output)
    assert (ran.code, ran.raw, live.files()) == (2, b"", ["fox.png"])
    assert live.run("wait", task.id).lines == ["fox.png"]


def test_an_adopted_task_counts_once_it_was_seen(live: Cli) -> None:
    """A handle the provider was never heard to know is not outstanding, nor said to be charged."""
    live.provider.always["poll"] = Say(401, {"error": {"code": "api_key_invalid", "message": "bad key"}})
    ran = live.run("wait", "rivya:task_9", "--json")
    assert (ran.code, ran.task["error"]["charged"]) == (8, "unknown")
    assert live.run("wait", "--json").json["tasks"] == []
    live.provider.always["poll"] = Say(200, {"id": "task_9", "status": "queued"})
    assert live.run("status", "rivya:task_9").code == 8
    assert live.run("wait", "--timeout", "5", "--json").task["handle"] == "rivya:task_9"


def test_an_adopted_task_has_no_differences(live: Cli, bought: str) -> None:
    """What was asked for elsewhere is unknown here, so --strict has nothing to hold the delivery against."""
    shutil.rmtree(live.root / "state")
    assert live.run("wait", bought, "-o", "x.jpg", "--strict").code == 0


def test_a_handle_of_a_provider_without_tasks(live: Cli) -> None:
    """A provider that answers at once has no task to ask about: 2."""
    for command in ("wait", "status"):
        assert live.run(command, "yunwu:abc", env={"YUNWU_API_KEY": "sk-yunwu-0123"}, command=False).code == 2


@pytest.mark.parametrize(("key", "code"), [("rvya_sk_another_key_entirely", "key_rejected"), ("", "key_missing")])
def test_a_task_of_another_account_stops_no_other(live: Cli, bought: str, key: str, code: str) -> None:
    """With two tasks of two keys, the one that can be collected is."""
    (other,) = live.run("generate", "x", "-p", "modelverse", "--no-wait", "-o", "mv.png").lines
    ran = live.run("wait", bought, other, "--json", env={"RIVYA_API_KEY": key})
    assert (ran.code, ran.json["error"]["code"], live.files()) == (8, code, ["mv.png"])


def test_the_list_reads_no_files(live: Cli, bought: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only --exit-status looks at what the tasks came to."""
    live.run("wait", bought)
    looked: list[str] = []
    real = following._state_error
    monkeypatch.setattr(following, "_state_error", lambda app, task: looked.append(task.id) or real(app, task))
    assert live.run("status").code == 0
    assert looked == []
    assert live.run("status", "--exit-status").code == 0
    assert len(looked) == 1


@pytest.mark.parametrize("command", ["upload", "status", "models"])
def test_ctrl_c_is_told(live: Cli, bought: str, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Ctrl-C in a free question is 130 ``interrupted``, charged no, and leaves no crash file."""
    live.write("a.png", picture())
    words = {"upload": ["a.png", "-p", "rivya"], "status": [bought], "models": ["rivya"]}[command]
    taken, usual, interrupt = threading.Event(), live.provider.answer, Engine.interrupt

    def answer(seen: Seen) -> Say:
        os.kill(os.getpid(), signal.SIGINT)
        assert taken.wait(5)
        said: Say = usual(seen)
        return said

    def noted(engine: Engine, *, grace: float) -> bool:
        finishing = interrupt(engine, grace=grace)
        asyncio.get_running_loop().call_later(0.05, taken.set)
        return finishing

    monkeypatch.setattr(live.provider, "answer", answer)
    monkeypatch.setattr(Engine, "interrupt", noted)
    ran = live.run(command, *words, "--json")
    taken.set()
    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["charged"]) == (130, "interrupted", "no")
    assert not list((live.root / "state").glob("crash*"))
