"""``kill -9`` around the put into a store, then the same again: one purchase, one object."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support_processes import Machine, SlowProvider, until
from support_store import Fault, Store, serving

CALL = ("generate", "a fox", "-p", "rivya", "-o", "s3://studio/fox.png", "--idempotency-key", "night-1")


@pytest.fixture
def store(machine: Machine) -> Iterator[Store]:
    """Return an S3 server that the machine's processes find."""
    with serving(Store()) as server:
        machine.env |= server.variables()
        yield server


def staged(machine: Machine) -> list[str]:
    """Return the names of the results that wait on the machine."""
    return [path.name for path in (machine.root / "state" / "staged").rglob("*") if path.is_file()]


@pytest.mark.parametrize("again", ["the call", "wait"])
def test_a_kill_while_the_put_is_answered(machine: Machine, slow: SlowProvider, store: Store, again: str) -> None:
    """The object is there and the ledger does not know: the next one finds it, and buys and puts nothing."""
    import threading

    slow.at_once, store.held = True, threading.Event()
    process = machine.start(*CALL)
    assert store.put.wait(20)
    machine.kill(process)
    store.held.set()
    store.held = None
    until(lambda: "fox.png" in store.objects, "the object")
    kept = store.objects["fox.png"]
    assert staged(machine) == ["fox.png"]
    ended = machine.run(*(CALL if again == "the call" else ("wait", "--all")))
    assert (ended.code, ended.out) == (0, "s3://studio/fox.png\n"), ended
    assert list(store.objects) == ["fox.png"]
    assert store.objects["fox.png"] is kept
    assert (slow.purchases, staged(machine)) == (1, [])
    assert len(slow.asked("download")) == 1


def test_a_kill_before_the_put(machine: Machine, slow: SlowProvider, store: Store) -> None:
    """While the store is down and retried the process is killed: the staged file is put by the next one."""
    slow.at_once = True
    store.faults.append(Fault("PUT", 503))
    process = machine.start(*CALL)
    until(lambda: staged(machine) == ["fox.png"] and store.puts(), "the first try")
    machine.kill(process)
    store.faults.clear()
    ended = machine.run("wait", "--all")
    assert (ended.code, ended.out) == (0, "s3://studio/fox.png\n"), ended
    assert list(store.objects) == ["fox.png"]
    assert (slow.purchases, len(slow.asked("download")), staged(machine)) == (1, 1, [])
