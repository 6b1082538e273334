"""Processes that are signalled, stopped, suspended, or that fail of themselves (reliability.md 3.6, rows P and O08)."""

from __future__ import annotations

import json
import re
import signal
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_cli import RIVYA_KEY, document_check, line_check, picture
from support_processes import PATIENCE_S, Machine, SlowProvider, until
from support_wire import WAYS, Exchange, Line, Way, every
from sweep_processes import Traced, needs_strace

from wan_cli.engine import delivery, submit
from wan_cli.engine.leftovers import Leftovers
from wan_cli.engine.loop import Engine
from wan_cli.publish import Part

RIVYA, MODELVERSE, SYNC, _, BASE64, VIDEO = WAYS
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
CALL = ("generate", "a fox", "-o", "fox.png", "--json")


@pytest.fixture
def slow() -> Iterator[SlowProvider]:
    """Return a provider whose steps can be held."""
    with SlowProvider() as server:
        server.at_once = True
        yield server
        server.let_go()


@pytest.fixture
def machine(tmp_path: Path, slow: SlowProvider) -> Iterator[Machine]:
    """Return a place to run wan in, with keys for the provider."""
    made = Machine(tmp_path, slow)
    made.env = {name: value for name, value in made.env.items() if not name.startswith("COVERAGE_")}
    yield made
    made.close()


def told(process: Any, text: bytes) -> None:
    """Wait until a process has said something on standard error."""
    said = b""
    while text not in said:
        line = process.stderr.readline()
        assert line, said
        said += line


def document(ended: Any, code: int) -> Any:
    """Return the one task of a document that says how a signal ended the command."""
    assert ended.code == code, ended
    document_check().validate(ended.json)
    assert (ended.json["exit_code"], ended.json["ok"]) == (code, False)
    assert "Traceback" not in ended.err
    assert re.search(r"(?m)^error: .*\ncharged: .*\nhint: .", ended.err)
    (task,) = ended.json["tasks"]
    return task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_p08_p09_a_signal_during_the_purchase_waits_for_its_answer(
    machine: Machine, slow: SlowProvider, number: signal.Signals
) -> None:
    """SIGTERM and SIGHUP let a purchase under way finish within the grace, and name the handle."""
    slow.hold("submit")
    process = machine.start(*CALL, "-p", "modelverse")
    assert slow.reached["submit"].wait(PATIENCE_S)
    process.send_signal(number)
    told(process, b"finishing the submit")
    slow.let_go()
    task = document(machine.end(process), CODES[number])
    assert (task["state"], task["handle"], task["charged"]) == ("pending", "modelverse:mv-1", "yes")
    assert (slow.purchases, machine.states()) == (1, ["pending"])


@pytest.mark.parametrize(("first", "second"), [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGHUP)])
def test_p06_p08_o08_a_second_signal_gives_the_answer_up(
    machine: Machine, slow: SlowProvider, first: signal.Signals, second: signal.Signals
) -> None:
    """The second signal ends at once with one valid document that says unknown, and nothing is ever bought again."""
    slow.hold("submit")
    process = machine.start(*CALL, "-p", "modelverse", "--idempotency-key", "k")
    assert slow.reached["submit"].wait(PATIENCE_S)
    process.send_signal(first)
    told(process, b"finishing the submit")
    begun = time.monotonic()
    process.send_signal(second)
    ended = machine.end(process)
    assert time.monotonic() - begun < 3
    task = document(ended, 9)
    assert (task["state"], task["charged"], task["error"]["code"]) == ("unknown", "unknown", "outcome_unknown")
    assert f"hint: wan recover {task['id']}" in ended.err
    slow.let_go()
    assert machine.run(*CALL, "-p", "modelverse", "--idempotency-key", "k").code == 9
    assert (slow.purchases, len(slow.asked("submit")), machine.files()) == (1, 1, [])


@pytest.mark.parametrize("number", list(CODES))
def test_p06_p08_p09_a_signal_during_an_upload_buys_nothing(
    machine: Machine, slow: SlowProvider, number: signal.Signals
) -> None:
    """A signal while a file goes up ends at once: nothing was bought, and it says so."""
    (machine.work / "a.png").write_bytes(picture(512, 512))
    slow.hold("upload")
    process = machine.start("edit", "a.png", "blue", "-p", "rivya", "-o", "fox.png", "--json")
    assert slow.reached["upload"].wait(PATIENCE_S)
    process.send_signal(number)
    task = document(machine.end(process), CODES[number])
    assert task["charged"] == "no"
    slow.let_go()
    assert (slow.purchases, machine.files()) == (0, ["a.png"])


@pytest.mark.parametrize("number", list(CODES))
def test_p06_p08_p09_a_signal_during_a_download_keeps_the_result(
    machine: Machine, slow: SlowProvider, number: signal.Signals
) -> None:
    """A signal in the middle of the picture ends at once, leaves no half file, and ``wan wait`` brings it in."""
    slow.hold("download")
    process = machine.start(*CALL, "-p", "rivya")
    assert slow.reached["download"].wait(PATIENCE_S)
    process.send_signal(number)
    task = document(machine.end(process), CODES[number])
    assert (task["charged"], task["error"]["hint"]) == ("yes", f"wan wait {task['handle']}")
    assert machine.files() == []
    slow.let_go()
    ended = machine.run("wait", task["handle"])
    assert (ended.code, ended.out, machine.files()) == (0, "fox.png\n", ["fox.png"]), ended
    assert slow.purchases == 1


@pytest.mark.parametrize("step", ["submit", "download"])
def test_o08_events_after_ctrl_c_end_with_a_summary(machine: Machine, slow: SlowProvider, step: str) -> None:
    """With --jsonl every line stays valid after SIGINT, and the last is a summary with the exit code."""
    slow.hold(step)
    process = machine.start("generate", "a fox", "-o", "fox.png", "--jsonl", "-p", "rivya")
    assert slow.reached[step].wait(PATIENCE_S)
    process.send_signal(signal.SIGINT)
    if step == "submit":
        told(process, b"finishing the submit")
        slow.let_go()
    ended = machine.end(process)
    assert ended.code == 130, ended
    events = [json.loads(line) for line in ended.out.splitlines()]
    for event in events:
        line_check().validate(event)
    assert (events[-1]["event"], events[-1]["exit_code"]) == ("summary", 130)
    assert slow.purchases == 1


def test_p13_a_suspended_process_goes_on(machine: Machine, slow: SlowProvider) -> None:
    """A process that is stopped in the middle of a download and continued delivers, having bought once."""
    slow.hold("download")
    process = machine.start(*CALL, "-p", "rivya")
    assert slow.reached["download"].wait(PATIENCE_S)
    process.send_signal(signal.SIGSTOP)
    until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "the stop")
    slow.let_go()
    time.sleep(0.05)
    process.send_signal(signal.SIGCONT)
    ended = machine.end(process)
    assert (ended.code, machine.files(), slow.purchases) == (0, ["fox.png"], 1), ended


@every((RIVYA, MODELVERSE, VIDEO))
@pytest.mark.parametrize("jump", [25 * 3600.0, -25 * 3600.0])
def test_p13_a_clock_that_jumps_ends_no_waiting(line: Line, way: Way, jump: float) -> None:
    """A machine that sleeps a day (or whose clock is set back) while it waits still collects what it bought."""
    own = line.cli.clock
    line.cli.engine["now"] = lambda: own() + (jump if line.wire.asked("poll") else 0.0)
    ran = line.buy(way, "--json")
    assert ran.code == 0, ran.err
    assert (ran.task["state"], line.wire.purchases) == ("succeeded", 1)


def _peak_kib(pid: int) -> int:
    """Return the most memory that a process has held, as Linux tells; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) if found else 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc to read a peak from")
def test_p12_a_large_result_is_streamed(tmp_path: Path) -> None:
    """A video of 160 MiB passes through without being held in memory, so that no machine kills the process for it."""
    size, piece = 160, bytes(1 << 20)

    def large(exchange: Exchange) -> None:
        whole = exchange.accept()
        head = whole.content.partition(b"mdat")[0][:-4] + struct.pack(">I", 8 + (size << 20)) + b"mdat"
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(head) + (size << 20)) + head)
        for _ in range(size):
            exchange.send(piece)

    with Traced(tmp_path / "machine", VIDEO) as machine:
        machine.provider.always["download"] = large
        process = machine.start(*machine.call)
        peak = 0
        while process.poll() is None:  # what wait4 tells includes the process that was forked from, which may be large
            peak = max(peak, _peak_kib(process.pid))
            time.sleep(0.01)
        assert process.returncode == 0
        assert (machine.work / machine.name).stat().st_size > size << 20
        assert 0 < peak < 150 * 1024


# -- P14: what is on disk before what is sent


def _place(calls: list[tuple[str, str]], name: str, part: str, *, after: int = -1, before: int | None = None) -> int:
    """Return where the last call of a name with ``part`` in its arguments stands between two places."""
    found = [n for n, (call, rest) in enumerate(calls[:before]) if call == name and part in rest and n > after]
    assert found, (name, part, after, before)
    return found[-1]


@every((RIVYA, MODELVERSE, SYNC))
def test_p14_what_is_synced_before_what(tmp_path: Path, way: Way) -> None:
    """By the kernel's account: journal, then database are synced before the first byte of the purchase leaves.

    The answer is synced before it is used, the picture before it gets its name, and its folder afterwards.
    """
    needs_strace()
    with Traced(tmp_path / "machine", way) as machine:
        calls = machine.traced()
    bought = next(n for n, (name, rest) in enumerate(calls) if name == "sendto" and '"POST ' in rest)
    noted = _place(calls, "write", "journal.jsonl", before=bought)
    journal = _place(calls, "fsync", "journal.jsonl", after=noted, before=bought)
    written = _place(calls, "pwrite64", "ledger.db-wal", after=journal, before=bought)
    _place(calls, "fdatasync", "ledger.db-wal", after=written, before=bought)
    answered = next(n for n, (name, _) in enumerate(calls) if name == "recvfrom" and n > bought)
    following = next(n for n, (name, rest) in enumerate(calls) if name == "sendto" and n > answered and '"GET ' in rest)
    kept = _place(calls, "pwrite64", "ledger.db-wal", after=answered, before=following)
    _place(calls, "fdatasync", "ledger.db-wal", after=kept, before=following)
    _place(calls, "fsync", "journal.jsonl", after=answered, before=following)
    named = _place(calls, "link", "fox.png")
    filled = _place(calls, "write", ".part>", before=named)
    _place(calls, "fsync", ".part>", after=filled, before=named)
    hashed = _place(calls, "fdatasync", "ledger.db-wal", after=filled, before=named)
    assert hashed < named
    folder = next(n for n, (name, rest) in enumerate(calls) if n > named and name == "fsync" and "/work>" in rest)
    assert folder < _place(calls, "fdatasync", "ledger.db-wal")


# -- P15: bugs


class Bug(RuntimeError):
    """Nobody expects this one."""


def _raising(*_: object, **__: object) -> Any:
    raise Bug(f"a canary: {RIVYA_KEY}")


PLACES: dict[str, tuple[object, str]] = {
    "before the request": (submit, "drive"),
    "in the answer": (submit, "learn"),
    "when something is told": (Engine, "tell"),
    "in a download": (Leftovers, "sweep"),
    "at the name": (Part, "publish"),
    "at the end": (delivery, "differences"),
}


@every((RIVYA, MODELVERSE, BASE64))
@pytest.mark.parametrize("place", list(PLACES))
def test_p15_a_bug_after_sending_leaves_the_task_consistent(
    line: Line, way: Way, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug anywhere after "sending": exit 1, the task's id, a private crash file without the key, no second purchase.

    The same call afterwards delivers the one purchase, or says that it is unknown.
    """
    owner, name = PLACES[place]
    call = way.call("--idempotency-key", "k")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, _raising)
        ran = line.run(*call, "-q")
    assert ran.code == 1, ran.err
    assert ran.err.startswith("error: a bug in wan: Bug; details in ")
    assert ran.said("charged") == "unknown"
    (task,) = line.run("status", "--json").json["tasks"]
    assert task["id"] in ran.said("hint") or (task["handle"] and task["handle"] in ran.said("hint")), ran.err
    (crash,) = (line.cli.root / "state").glob("crash-*.txt")
    assert stat.S_IMODE(crash.stat().st_mode) == 0o600
    text = crash.read_text()
    assert "Bug" in text
    assert RIVYA_KEY not in text
    assert [name for name in line.cli.files() if name.endswith(".part")] == []
    bought = line.wire.purchases
    again = line.run(*call)
    if again.code == 9:
        assert not way.keyed
        assert task["state"] in ("submitting", "unknown")
        assert line.wire.purchases == bought <= 1
    else:
        assert again.code == 0, again.err
        assert (line.wire.purchases, line.cli.files()) == (1, [f"fox{way.ext}"])
