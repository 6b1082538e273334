"""Workers of a queue as real processes: killed, drained, and cut off from their database."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from support_processes import PATIENCE_S, Ended, Machine, SlowProvider, until

if TYPE_CHECKING:
    from support_postgres import PostgresServer

LEASE_S = 2.0
HASTY = (
    "import wan_cli.ledger.postgres.shared as shared\n"
    f"shared.LEASE_S, shared.HEARTBEAT_S = {LEASE_S}, 0.2\n"
    "from wan_cli.__main__ import run\n"
    "run()\n"
)
"""A wan whose workers count as dead after seconds."""


class Crew:
    """A machine beside a queue."""

    def __init__(self, machine: Machine, server: PostgresServer) -> None:
        self.machine = machine
        self.server = server
        machine.env["WAN_QUEUE"] = server.url

    def manifest(self, *names: str, provider: str = "modelverse") -> None:
        rows = [{"id": name, "prompt": f"a picture of {name}", "provider": provider} for name in names]
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        (self.machine.work / "assets.jsonl").write_text(text, encoding="utf-8")

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        how: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        how["bufsize"] = 0  # what is read of it line by line leaves the rest where it is
        command = [sys.executable, "-c", HASTY, *argv]
        process = subprocess.Popen(command, cwd=self.machine.work, env=self.machine.env, **how)
        self.machine.started.append(process)
        return process

    def worker(self, *more: str) -> subprocess.Popen[bytes]:
        return self.start("worker", "--jobs", "8", *more)

    def render(self, *more: str) -> subprocess.Popen[bytes]:
        return self.start("render", "assets.jsonl", *more)

    def end(self, process: subprocess.Popen[bytes]) -> Ended:
        return self.machine.end(process, 3 * PATIENCE_S)  # a worker that lost something tries again after seconds

    def line(self) -> int:
        """Return how many tasks are in line."""
        ((count,),) = self.server.ask("SELECT count(*) FROM wan_queue.procrastinate_jobs")
        return int(count)

    def states(self) -> list[str]:
        if self.server.ask("SELECT to_regclass('wan.task')") == [(None,)]:
            return []
        return sorted(row[0] for row in self.server.ask("SELECT kind FROM wan.task"))

    def in_doubt(self) -> list[str]:
        found = self.end(self.start("recover", "--json", "--queue", self.server.url)).json
        return sorted(task["id"] for task in found["tasks"])


def heard(stream: Any, word: str) -> list[str]:
    """Return the lines of a process up to one with that word."""
    lines = []
    while line := stream.readline().decode():
        lines.append(line)
        if word in line:
            break
    return lines


@pytest.fixture
def crew(machine: Machine, postgres: PostgresServer) -> Crew:
    """Return a machine whose renders and workers share a queue."""
    return Crew(machine, postgres)


def test_what_a_killed_worker_had_bought_is_collected_by_another(crew: Crew, slow: SlowProvider) -> None:
    """Killed while its tasks are made, a worker leaves them to the next, which collects them a lease later."""
    crew.manifest("fox", "hen", "elk")
    slow.hold("poll")
    first, render = crew.worker(), crew.render()
    until(lambda: crew.states() == ["pending"] * 3, "the purchases")
    crew.machine.kill(first)
    second, killed = crew.worker(), time.monotonic()
    slow.let_go()
    ended = crew.end(render)
    assert time.monotonic() - killed < 4 * LEASE_S
    assert (ended.code, slow.purchases) == (0, 3), ended.err
    assert sorted(ended.out.split()) == ["elk.png", "fox.png", "hen.png"]
    second.send_signal(signal.SIGTERM)
    assert crew.end(second).code == 0
    assert crew.end(crew.render()).code == 0
    assert slow.purchases == 3


def test_what_a_killed_worker_was_sending_is_in_doubt(crew: Crew, slow: SlowProvider) -> None:
    """Killed while a purchase without a key is under way, it is never made again, and a person is asked."""
    crew.manifest("fox", "hen")
    slow.hold("submit")
    first, render = crew.worker(), crew.render()
    until(lambda: crew.states() == ["sending"] * 2 and slow.purchases == 2, "the purchases")
    crew.machine.kill(first)
    slow.let_go()
    second = crew.worker()
    ended = crew.end(render)
    assert ended.code == 9, ended.err
    assert "--queue URL" in ended.err
    assert len(crew.in_doubt()) == 2
    assert crew.end(crew.render()).code == 9
    second.send_signal(signal.SIGTERM)
    assert crew.end(second).code == 0
    assert (slow.purchases, crew.states()) == (2, ["unknown"] * 2)


def test_a_drained_worker_leaves_nothing_in_doubt(crew: Crew, slow: SlowProvider) -> None:
    """SIGTERM lets a purchase have its answer, gives back what is not done, and is 0; others go on at once."""
    crew.manifest("fox", "hen", "elk", "cat", "dog", "owl")
    slow.hold("submit")
    first = crew.start("worker", "--jobs", "2", "--jsonl")
    assert crew.end(crew.render("--no-wait")).code == 0
    until(lambda: slow.purchases == 2, "the purchases")
    first.send_signal(signal.SIGTERM)
    lines = heard(first.stdout, "draining")
    slow.let_go()
    ended = crew.end(first)
    events = [json.loads(line) for line in [*lines, *ended.out.splitlines()]]
    assert (ended.code, slow.purchases) == (0, 2), ended.err
    assert [event["what"] for event in events if event["event"] == "worker"] == ["started", "draining", "ended"]
    assert crew.states() == ["new"] * 4 + ["pending"] * 2
    assert crew.end(crew.worker("--until-empty")).code == 0
    assert (crew.states(), slow.purchases) == (["saved"] * 6, 6)


@pytest.mark.parametrize(("provider", "state"), [("modelverse", "unknown"), ("rivya", "sending")])
def test_a_second_signal_ends_at_once(crew: Crew, slow: SlowProvider, provider: str, state: str) -> None:
    """The second signal gives up what is being sent, which is in doubt then; under a key it can be asked again."""
    crew.manifest("fox", provider=provider)
    slow.hold("submit")
    first = crew.worker()
    assert crew.end(crew.render("--no-wait")).code == 0
    until(lambda: slow.purchases == 1, "the purchase")
    first.send_signal(signal.SIGINT)
    heard(first.stderr, "draining")
    first.send_signal(signal.SIGINT)
    ended = crew.end(first)
    assert (ended.code, crew.states()) == (130, [state]), ended.err
    assert "ended at once; what became of a purchase that was being sent is not known" in ended.err
    assert "charged: unknown" in ended.err
    slow.let_go()


def test_an_interrupted_render_leaves_its_tasks_in_the_line(crew: Crew, slow: SlowProvider) -> None:
    """Ctrl-C ends the waiting and nothing else; the next render goes on, also while the database restarts."""
    crew.manifest("fox", "hen")
    render = crew.render()
    until(lambda: crew.states() == ["new"] * 2, "the queue")
    until(lambda: crew.line() == 2, "the line")
    render.send_signal(signal.SIGINT)
    ended = crew.end(render)
    assert (ended.code, slow.purchases) == (130, 0), ended.err
    crew.server.ask("TRUNCATE wan_queue.procrastinate_jobs CASCADE")  # the line can be lost: tasks are in the ledger
    slow.hold("poll")
    render = crew.render()
    until(lambda: crew.line() == 2, "the line, put back by a render that waits")
    worker = crew.worker()
    until(lambda: crew.states() == ["pending"] * 2, "the purchases")
    crew.server.restart()
    slow.let_go()
    ended = crew.end(render)
    assert (ended.code, slow.purchases) == (0, 2), ended.err
    worker.send_signal(signal.SIGTERM)
    assert crew.end(worker).code == 0
