"""``kill -9`` at any point, then the same call again: never two purchases, never a lost result."""

from __future__ import annotations

import signal

import pytest
from PIL import Image
from support_processes import Machine, SlowProvider, until

CALL = ("generate", "a fox", "-o", "fox.png", "--idempotency-key", "night-1")


def whole(machine: Machine) -> None:
    """Hold that the one picture is there, complete, and nothing beside it."""
    assert machine.files() == ["fox.png"]
    with Image.open(machine.work / "fox.png") as image:
        image.load()


def test_p02_a_keyed_purchase_survives_a_kill_before_its_answer(machine: Machine, slow: SlowProvider) -> None:
    """Killed while the purchase is under way, Rivya is asked again under the same key: one purchase, one file."""
    slow.hold("submit")
    process = machine.start(*CALL, "-p", "rivya")
    assert slow.reached["submit"].wait(20)
    machine.kill(process)
    slow.let_go()
    slow.at_once = True
    ended = machine.run(*CALL, "-p", "rivya")
    assert (ended.code, ended.out) == (0, "fox.png\n"), ended
    whole(machine)
    assert slow.purchases == 1
    first, second = slow.asked("submit")
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == "night-1"


def test_p02_an_unkeyed_purchase_is_unknown_after_a_kill_before_its_answer(
    machine: Machine, slow: SlowProvider
) -> None:
    """Killed while the purchase is under way, Modelverse is never asked again: exit 9, by every way to continue."""
    slow.hold("submit")
    process = machine.start(*CALL, "-p", "modelverse")
    assert slow.reached["submit"].wait(20)
    machine.kill(process)
    slow.let_go()
    for argv in ((*CALL, "-p", "modelverse"), (*CALL, "-p", "modelverse", "--json")):
        ended = machine.run(*argv)
        assert ended.code == 9, ended
    (task,) = ended.json["tasks"]
    assert (task["state"], task["charged"], task["error"]["code"]) == ("unknown", "unknown", "outcome_unknown")
    assert machine.run("wait", task["id"]).code == 9
    assert (slow.purchases, len(slow.asked("submit"))) == (1, 1)
    assert machine.files() == []


@pytest.mark.parametrize("provider", ["rivya", "modelverse"])
def test_p04_a_kill_while_polling_costs_nothing(machine: Machine, slow: SlowProvider, provider: str) -> None:
    """Killed while it waits for the result, the same call collects it without another purchase."""
    process = machine.start(*CALL, "-p", provider)
    until(lambda: machine.states() == ["pending"], "the purchase")
    machine.kill(process)
    ended = machine.run(*CALL, "-p", provider)
    assert (ended.code, ended.out) == (0, "fox.png\n"), ended
    whole(machine)
    assert len(slow.asked("submit")) == slow.purchases == 1
    again = machine.run(*CALL, "-p", provider)
    assert (again.code, again.out) == (0, "fox.png\n"), again
    assert len(slow.asked("submit")) == 1
    assert len(slow.asked("download")) == 1


@pytest.mark.parametrize("provider", ["rivya", "modelverse"])
def test_p05_a_kill_while_downloading_costs_nothing(machine: Machine, slow: SlowProvider, provider: str) -> None:
    """Killed in the middle of the picture, ``wan wait`` brings it in whole and sweeps the half one away."""
    slow.at_once = True
    slow.hold("download")
    process = machine.start(*CALL, "-p", provider)
    assert slow.reached["download"].wait(20)
    machine.kill(process)
    assert machine.files() != ["fox.png"]
    slow.let_go()
    ended = machine.run("wait", "--json")
    assert ended.code == 0, ended
    (task,) = ended.json["tasks"]
    assert (task["state"], task["charged"], task["files"][0]["path"]) == ("succeeded", "yes", "fox.png")
    whole(machine)
    assert len(slow.asked("submit")) == slow.purchases == 1


def test_p06_a_signal_during_the_purchase_waits_for_its_answer(machine: Machine, slow: SlowProvider) -> None:
    """Ctrl-C while the purchase is under way says so, waits for the answer, and names the handle."""
    slow.hold("submit")
    process = machine.start(*CALL, "-p", "modelverse", "--json")
    assert slow.reached["submit"].wait(20)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    said = b""
    while b"finishing the submit" not in said:
        line = process.stderr.readline()
        assert line
        said += line
    slow.let_go()
    ended = machine.end(process)
    assert ended.code == 130
    (task,) = ended.json["tasks"]
    assert (task["state"], task["handle"], task["charged"]) == ("pending", "modelverse:mv-1", "yes")
    assert task["error"]["code"] == "interrupted"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_p07_p08_p09_a_signal_while_polling_keeps_the_task(
    machine: Machine, slow: SlowProvider, number: signal.Signals, code: int
) -> None:
    """A signal while waiting ends at once with its own code, one valid document, the handle and the next command."""
    process = machine.start("generate", "a fox", "-p", "rivya", "--json")
    until(lambda: machine.states() == ["pending"], "the purchase")
    process.send_signal(number)
    ended = machine.end(process)
    assert ended.code == code, ended
    document = ended.json
    assert (document["ok"], document["exit_code"], document["error"]["code"]) == (False, code, "interrupted")
    (task,) = document["tasks"]
    assert (task["state"], task["handle"], task["charged"]) == ("pending", "rivya:task_1", "yes")
    assert "hint: wan wait rivya:task_1" in ended.err
    assert "Traceback" not in ended.err
    assert machine.files() == []
