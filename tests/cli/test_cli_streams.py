"""stdout is data and stderr is talk: text, --json, --jsonl, -q, -v, broken streams (section 3)."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Any

import pytest
from support_cli import MODELVERSE_KEY, RIVYA_KEY, Cli, Output, Run, picture
from support_provider import Say

RV = ("generate", "a fox", "-p", "rivya", "-o", "fox.png")


def test_text_side_by_side(live: Cli) -> None:
    """Text mode: the path on stdout, every word about it on stderr, the task's id before the waiting."""
    ran = live.run(*RV)
    assert ran.out == "fox.png\n"
    first = ran.err.splitlines()[0]
    assert "rivya" in first
    assert "estimated 5 credits" in ran.err
    assert "rivya:task_1" in ran.err
    assert "fox.png" not in ran.err.splitlines()[0]


def test_json_side_by_side(live: Cli) -> None:
    """--json: one document on stdout, and the same talk on stderr."""
    ran = live.run(*RV, "--json")
    assert ran.out.startswith("{")
    assert ran.out.isascii()
    assert "rivya:task_1" in ran.err
    task = ran.task
    assert (task["handle"], task["origin"], task["sandbox"]) == ("rivya:task_1", live.provider.url, False)
    assert task["files"][0]["path"] == "fox.png"
    assert task["created_at"] == "2026-11-21T09:00:00Z"


def test_json_lines(live: Cli) -> None:
    """--jsonl: a line an event, tasks and bytes on the way, the summary with totals at the end."""
    ran = live.run(*RV, "--jsonl")
    assert ran.code == 0
    states = [event["task"]["state"] for event in ran.events if event["event"] == "task"]
    assert states[0] == "submitting"
    assert "pending" in states
    assert states[-1] == "succeeded"
    assert any(event["event"] == "transfer" for event in ran.events)
    assert ran.events[-1]["totals"] == [{"unit": "credits", "estimated": 5, "actual": 5}]


def test_json_lines_of_an_error(live: Cli) -> None:
    """--jsonl of a call that failed before any task is a summary with the error."""
    ran = live.run("generate", "--jsonl")
    assert ran.code == 2
    assert ran.events[-1]["error"]["code"] == "usage"


def test_json_of_an_unknown_option(wan: Run) -> None:
    """--json holds for errors of the parser too."""
    ran = wan("generate", "x", "--jsno", "--json")
    assert ran.code == 2
    assert ran.json["command"] == "generate"
    assert "--jsno" in ran.json["error"]["message"]


def test_quiet(live: Cli) -> None:
    """-q: the data, and nothing on stderr but errors."""
    ran = live.run(*RV, "-q")
    assert (ran.out, ran.err) == ("fox.png\n", "")
    assert live.run("generate", "x", "-q").err == ""
    live.provider.always["submit"] = Say(402, {"error": {"message": "empty"}})
    refused = live.run("generate", "x", "-q")
    assert [line.split(":")[0] for line in refused.err.splitlines()] == ["error", "charged", "hint"]


def test_verbose(live: Cli) -> None:
    """-v: requests and answers on stderr without the key, data unchanged."""
    ran = live.run(*RV, "-v")
    assert ran.out == "fox.png\n"
    assert "> POST" in ran.err
    assert "< 200" in ran.err
    assert RIVYA_KEY not in ran.err
    assert "a fox" in ran.err
    quiet_again = live.run("generate", "x", "-q")
    assert quiet_again.err == ""


@pytest.mark.parametrize("words", [("-v",), ("-v", "--json"), ("--jsonl",), ()])
def test_a_key_echoed_by_the_provider(live: Cli, words: Sequence[str]) -> None:
    """A provider that repeats the key in its refusal does not make wan print it."""
    live.provider.always["submit"] = Say(401, {"error": {"code": "x", "message": f"key {RIVYA_KEY} is bad"}})
    assert live.run(*RV, *words).code == 3


@pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m", "[bold red]x[/]", "a\u202eb", "a\nerror: fake", "\x9b31m"])
def test_foreign_text_is_harmless(live: Cli, text: str) -> None:
    """Control, escape and bidi characters of a provider are not printed, and markup is not parsed."""
    live.provider.always["submit"] = Say(400, {"error": {"code": "bad", "message": text}})
    ran = live.run(*RV)
    assert ran.code == 4
    assert not any(char in ran.err for char in "\x1b\x9b\u202e")
    assert len([line for line in ran.err.splitlines() if line.startswith("error:")]) == 1
    if text.startswith("[bold"):
        assert "[bold red]x[/]" in ran.err


def test_no_colour_without_a_terminal(live: Cli) -> None:
    """Piped talk is plain; FORCE_COLOR colours it, NO_COLOR wins over that."""
    assert "\x1b" not in live.run("generate").err
    forced = live.run("generate", env={"FORCE_COLOR": "1"}, command=False).err
    assert "\x1b[31m" in forced
    assert "\x1b" not in live.run("generate", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).err


def test_a_live_terminal(live: Cli) -> None:
    """On a terminal stderr is redrawn; stdout still has the path alone."""
    ran = live.run(*RV, tty=["stderr"], env={"TERM": "xterm", "COLUMNS": "100"}, command=False)
    assert ran.code == 0
    assert ran.out == "fox.png\n"
    assert "\x1b[" in ran.err


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"CI": "1"}])
def test_a_plain_terminal(live: Cli, env: dict[str, str]) -> None:
    """TERM=dumb and CI get plain lines on a terminal, without escapes."""
    ran = live.run(*RV, tty=["stderr", "stdout"], env=env)
    assert "\x1b" not in ran.err


def test_nothing_is_wrapped(live: Cli) -> None:
    """What a machine reads is as long as it is, whatever the terminal's width."""
    name = "x" * 110 + ".png"
    ran = live.run("generate", "a fox", "-o", f"{'d' * 100}/{name}", env={"COLUMNS": "40"}, tty=["stdout"])
    assert ran.lines == [f"{'d' * 100}/{name}"]
    rows = live.run("models", env={"COLUMNS": "40"}).lines
    assert all("\t" in row for row in rows)


def test_stdout_closed_early(live: Cli) -> None:
    """141: the reader went away; the file is saved all the same, and nothing is bought again."""
    ran = live.run(*RV, stdout=Output(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    assert ran.code == 141
    assert live.files() == ["fox.png"]
    assert "Traceback" not in ran.err
    assert live.run("status", "--json").task["state"] == "succeeded"


def test_stdout_full(live: Cli) -> None:
    """A full disk behind stdout is 12 with three lines; the file is saved."""
    ran = live.run(*RV, stdout=Output(OSError(errno.ENOSPC, "No space left on device")))
    assert ran.code == 12
    assert [line.split(":")[0] for line in ran.err.splitlines()[-3:]] == ["error", "charged", "hint"]
    assert live.files() == ["fox.png"]


def test_dev_full(live: Cli) -> None:
    """The same on the real /dev/full, also for --json."""
    for words in ((*RV, "--overwrite"), ("models",), ("status", "--json"), (*RV, "--overwrite", "--json")):
        with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
            ran = live.run(*words, stdout=_Real(full.fileno()))
        assert ran.code == (12 if words[0] == "generate" else 1), words
        assert ran.said("charged") == ("yes" if words[0] == "generate" else "no")


class _Real(Output):
    """A stream on a descriptor of the system."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        os.write(self.number, text.encode())
        return len(text)


def test_bytes_into_a_closed_pipe(live: Cli) -> None:
    """``-o -`` into a pipe that closes is 141; the task is finished, not bought again."""

    class Closing(Output):
        @property
        def buffer(self) -> Any:
            return self

        def write(self, _: Any) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

        def written(self) -> bytes:
            return b""

    assert live.run("generate", "a fox", "-o", "-", stdout=Closing()).code == 141
    assert live.provider.purchases == 1


def test_sandbox_is_announced(wan: Run) -> None:
    """WAN_SANDBOX=1 is announced on every run; the flag needs no announcement; results are flagged."""
    ran = wan("generate", "a fox", "--json", env={"WAN_SANDBOX": "1"})
    assert "sandbox" in ran.err.splitlines()[0]
    assert ran.task["sandbox"] is True
    summary = wan("generate", "a fox", "--jsonl", "--sandbox").events[-1]
    assert summary["totals"] == []


def test_modelverse_needs_no_rivya_key(live: Cli) -> None:
    """Each provider gets its own key and no other."""
    assert live.run("generate", "x", "-p", "modelverse").code == 0
    (submit,) = live.provider.asked("submit")
    assert submit.headers["authorization"] == f"Bearer {MODELVERSE_KEY}"
    assert picture(2048, 2048)
