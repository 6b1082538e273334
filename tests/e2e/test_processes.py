"""Several processes at once over one state folder."""

from __future__ import annotations

import pytest
from support_cli import picture
from support_processes import Machine, SlowProvider, until

CALL = ("generate", "a fox", "-o", "fox.png", "-p", "rivya", "--idempotency-key", "night-1", "--json")


@pytest.mark.parametrize("count", [2, 8])
def test_s07_one_key_is_one_purchase(machine: Machine, slow: SlowProvider, count: int) -> None:
    """However many processes make the same call at once, one buys and all of them return the same file."""
    slow.at_once = True
    slow.hold("submit")
    processes = [machine.start(*CALL) for _ in range(count)]
    assert slow.reached["submit"].wait(20)
    until(lambda: machine.states() == ["sending"])
    slow.let_go()
    ended = [machine.end(process) for process in processes]
    assert [end.code for end in ended] == [0] * count, ended
    assert len(slow.asked("submit")) == slow.purchases == 1
    assert len(slow.asked("download")) == 1
    assert machine.files() == ["fox.png"]
    files = [end.json["tasks"][0]["files"] for end in ended]
    assert all(file == files[0] for file in files)
    assert len({end.json["tasks"][0]["id"] for end in ended}) == 1


def test_s07_a_watcher_takes_over_from_a_killed_process(machine: Machine, slow: SlowProvider) -> None:
    """When the buying process is killed, the one that watches asks again under the key: one purchase, one file."""
    slow.at_once = True
    slow.hold("submit")
    first = machine.start(*CALL)
    assert slow.reached["submit"].wait(20)
    second = machine.start(*CALL)
    assert second.stderr
    line = second.stderr.readline()
    assert b"this idempotency key was used before" in line
    machine.kill(first)
    slow.let_go()
    ended = machine.end(second)
    assert ended.code == 0, ended
    assert slow.purchases == 1
    assert machine.files() == ["fox.png"]


def test_s07_without_waiting_all_name_the_handle(machine: Machine, slow: SlowProvider) -> None:
    """With --no-wait every process prints the handle of the one purchase, also those that did not buy."""
    slow.hold("submit")
    call = ("generate", "a fox", "-p", "modelverse", "--idempotency-key", "night-1", "--no-wait")
    processes = [machine.start(*call) for _ in range(3)]
    assert slow.reached["submit"].wait(20)
    slow.let_go()
    ended = [machine.end(process) for process in processes]
    assert [(end.code, end.out) for end in ended] == [(0, "modelverse:mv-1\n")] * 3, ended
    assert slow.purchases == 1


def test_s07_different_tasks_share_ledger_and_folder(machine: Machine, slow: SlowProvider) -> None:
    """Eight processes that buy at once into one folder make eight files, eight purchases and eight saved tasks."""
    slow.at_once = True
    slow.deliver = lambda order, index: picture(320, 320 + int(order.id.removeprefix("task_")))
    slow.hold("submit")
    call = ("generate", "a fox", "-o", "out/{slug}{ext}", "-p", "rivya", "--json")
    processes = [machine.start(*call) for _ in range(8)]
    assert slow.reached["submit"].wait(20)
    until(lambda: machine.states() == ["sending"] * 8)
    slow.let_go()
    ended = [machine.end(process) for process in processes]
    assert [end.code for end in ended] == [0] * 8, ended
    assert slow.purchases == 8
    names = [end.json["tasks"][0]["files"][0]["path"] for end in ended]
    assert len(set(names)) == 8
    assert sorted(path.name for path in (machine.work / "out").iterdir()) == sorted(name[4:] for name in names)
    assert machine.states() == ["saved"] * 8
