"""Completion at TAB, signals in the middle of a purchase, odd names and several tasks at once."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support_cli import Cli, Run, picture
from support_provider import Say, Seen

from wan_cli.cli import run
from wan_cli.cli.main import main

RV = ("generate", "a fox", "-p", "rivya")


def completed(monkeypatch: pytest.MonkeyPatch, typed: str) -> list[str]:
    """Return what bash is offered after ``typed``."""
    words = typed.split(" ")
    monkeypatch.setenv("_WAN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    return out.getvalue().split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("wan ge", {"generate"}),
        ("wan generate -p mod", {"modelverse"}),
        ("wan generate -m wan2.7-image-p", {"wan2.7-image-pro"}),
        ("wan generate -p rivya -s ", {"1K", "2K"}),
        ("wan generate -p rivya -a 16", {"16:9"}),
        ("wan generate -p modelverse -a 16", {"16:9"}),
        ("wan models riv", {"rivya"}),
        ("wan completion z", {"zsh"}),
        ("wan help exit", {"exit-codes"}),
    ],
)
def test_completion_at_tab(monkeypatch: pytest.MonkeyPatch, typed: str, offered: set[str]) -> None:
    """What is offered at TAB comes from the catalogue and the table of commands."""
    assert offered <= set(completed(monkeypatch, typed))


def at_submit(live: Cli, *signals: str) -> None:
    """Send signals to this process while the purchase is at the provider."""
    usual = live.provider.answer

    def answer(seen: Seen) -> Say:
        if seen.method == "POST" and signals:
            for name in signals:
                os.kill(os.getpid(), getattr(signal, name))
                time.sleep(0.05)
        return usual(seen)

    live.provider.answer = answer


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_while_buying(live: Cli, name: str, code: int) -> None:
    """The first signal lets the purchase finish, says so, and ends with the command that goes on."""
    at_submit(live, name)
    ran = live.run(*RV, "-o", "fox.png", "--json")
    assert ran.code == code, ran.err
    assert "finishing the submit" in ran.err
    assert ran.json["error"]["hint"] == "wan wait rivya:task_1"
    assert (ran.task["state"], ran.task["charged"]) == ("pending", "yes")
    del live.provider.answer
    assert live.run("wait", "rivya:task_1").lines == ["fox.png"]
    assert live.provider.purchases == 1


def test_two_signals_while_buying(live: Cli) -> None:
    """The second gives the answer up: nobody knows then, and the same key finds out without buying again."""
    at_submit(live, "SIGINT", "SIGINT")
    ran = live.run(*RV, "-o", "fox.png", "--json")
    assert ran.code in (9, 130), ran.err
    assert ran.json["error"]["charged"] == "unknown"
    assert ran.task["charged"] == "unknown"
    time.sleep(0.1)
    del live.provider.answer
    assert live.provider.purchases <= 1
    assert live.run("wait", ran.task["id"], command=False).code in (0, 9)
    assert live.provider.purchases == 1


def test_a_signal_before_the_second_task(live: Cli) -> None:
    """Tasks of -n that were not sent yet are not sent any more."""
    at_submit(live, "SIGINT")
    ran = live.run(*RV, "-n", "3", "--json", env={"WAN_JOBS": "1"})
    assert ran.code == 130
    assert live.provider.purchases == 1
    assert sorted(task["charged"] for task in ran.json["tasks"]) == ["no", "no", "yes"]


def test_a_failed_and_a_running_task(live: Cli) -> None:
    """11: one of several failed while another is still running."""
    live.provider.script["poll"] = [Say(200, {"id": "task_1", "status": "failed", "final_credits": 0})]
    live.provider.always["poll"] = Say(200, {"id": "task_2", "status": "processing"})
    assert live.run(*RV, "-n", "2", "--timeout", "30s").code == 11


def test_several_still_running(live: Cli) -> None:
    """8: none failed, some are still running."""
    live.provider.script["poll"] = [
        Say(
            200,
            {"id": "task_1", "status": "succeeded", "result": {"urls": [f"{live.provider.url}/results/task_1/1.png"]}},
        )
    ]
    live.provider.always["poll"] = Say(200, {"id": "task_2", "status": "processing"})
    ran = live.run(*RV, "-n", "2", "--timeout", "30s", "-o", "fox.png")
    assert ran.code == 8
    assert len(live.files()) == 1


def test_a_name_that_is_not_utf8(live: Cli) -> None:
    """A file whose name is no text can be used or is refused; it is never a bug."""
    name = os.fsdecode(b"\xff.png")
    (live.cwd / name).write_bytes(picture(512, 512))
    for provider in ("rivya", "modelverse"):
        ran = live.run("edit", name, "in blue", "-p", provider, "--json")
        assert ran.code in (0, 2), ran.err
    assert live.run("generate", "x", "-o", name).code == 2
    assert live.run("upload", name, "--json").code in (0, 2)


@pytest.mark.parametrize("name", ["fox\nerror: fake.png", "a\x1b[31m.png", "wide\u202egnp.png"])
def test_hostile_file_names(live: Cli, name: str) -> None:
    """A hostile name of an input neither forges a line nor reaches the terminal raw."""
    (live.cwd / name).write_bytes(b"no picture")
    ran = live.run("edit", name, "in blue", "-p", "modelverse")
    assert ran.code == 2
    assert not any(char in ran.err for char in "\x1b\u202e")
    assert ran.err.count("\n") == 3


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("90", 90), ("1.5m", 90), ("1h", 3600), ("90s", 90)])
def test_times(live: Cli, text: str, seconds: float) -> None:
    """A time is bare seconds or has a unit; zero asks nothing more."""
    live.provider.always["poll"] = Say(200, {"id": "task_1", "status": "processing"})
    before = live.clock.now
    assert live.run(*RV, "--timeout", text).code == 8
    assert live.clock.now - before == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize("text", ["", "-1", "1e3", ".", "s", "1w", "\u00b2", "1 0"])
def test_times_that_are_none(live: Cli, text: str) -> None:
    """Anything else is exit 2 before anything is sent."""
    assert live.run(*RV, "--timeout", text).code == 2
    assert not live.provider.seen


def test_the_key_of_a_dry_run_is_the_users(wan: Run) -> None:
    """A dry run shows the idempotency key that would be sent."""
    ran = wan(*RV, "--dry-run", "--json", "--idempotency-key", "build-7")
    assert ran.json["requests"][0]["headers"]["Idempotency-Key"] == "build-7"


def test_a_table_of_tasks_on_a_terminal(live: Cli) -> None:
    """On a terminal the list of tasks is a table, and hostile prompts are harmless in it."""
    live.run("generate", "\u202e[bold]fox", "-p", "rivya", "-o", "a.png")
    ran = live.run("status", tty=["stdout"], env={"COLUMNS": "120"})
    assert "\t" not in ran.out
    assert "\u202e" not in ran.out
    assert "[bold]fox" in ran.out


@pytest.mark.parametrize("usage", [{"a": [1, {"b": None}]}, {"x": 1e308}, {"deep": {"er": {"est": True}}}])
def test_usage_is_kept_as_it_is(live: Cli, usage: dict[str, Any]) -> None:
    """A usage that the provider reports is in the document as it says it."""
    output = {"task_id": "mv-1", "task_status": "Success", "urls": [f"{live.provider.url}/results/mv-1/1.png"]}
    live.provider.script["poll"] = [Say(200, {"output": output, "usage": usage})]
    assert live.run("generate", "x", "-p", "modelverse", "--json").task["usage"] == usage


@pytest.mark.parametrize("option", ["-p", "-m", "-s", "-a", "-o", "--timeout", "--prompt-file", "--idempotency-key"])
def test_options_without_a_value(live: Cli, option: str) -> None:
    """An empty value (a script's unset variable) is never taken for "not said"."""
    assert live.run("generate", *(() if option == "--prompt-file" else ("x",)), option, "").code == 2
    assert not live.provider.seen


def test_caps_and_times_of_the_environment_that_are_none(live: Cli) -> None:
    """A variable that cannot be read stops the command before anything is sent."""
    for name in ("WAN_MAX_COST", "WAN_TIMEOUT"):
        assert live.run(*RV, env={name: "plenty!"}).code in (2, 3)
    assert not live.provider.seen


def test_without_download_the_state_is_told_truly(live: Cli) -> None:
    """--no-download is exit 0 with the result at the provider; a later wait fetches it."""
    ran = live.run(*RV, "--no-download", "--json")
    assert ran.task["state"] in ("downloading", "succeeded")
    assert ran.task["charged"] == "yes"
    assert live.run("wait", "rivya:task_1").code == 0
    assert len(live.files()) == 1


def test_a_signal_that_comes_twice_at_once_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM told to a process and then to its group gives nothing up; a later one, another one and Ctrl-C do."""
    taken: list[float] = []
    clock = [100.0]
    monkeypatch.setattr(run.time, "monotonic", lambda: clock[0])
    engine: Any = SimpleNamespace(interrupt=lambda *, grace: taken.append(grace))

    def told(*signals: tuple[str, float]) -> int:
        handlers: dict[int, Any] = {}
        loop = SimpleNamespace(add_signal_handler=lambda number, take, *args: handlers.update({number: (take, args)}))
        monkeypatch.setattr(run.asyncio, "get_running_loop", lambda: loop)
        session: Any = run.Session(app=cast("Any", None))
        session._listen(engine)
        taken.clear()
        for name, later in signals:
            clock[0] += later
            take, args = handlers[int(getattr(signal, name))]
            take(*args)
        return len(taken)

    assert told(("SIGTERM", 0), ("SIGTERM", 0.5)) == 1
    assert told(("SIGTERM", 0), ("SIGTERM", 1.5)) == 2
    assert told(("SIGTERM", 0), ("SIGHUP", 0.1)) == 2
    assert told(("SIGINT", 0), ("SIGINT", 0.1)) == 2
