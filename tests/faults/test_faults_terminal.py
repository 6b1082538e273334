"""What is shown where: narrow, dumb and old terminals, redirected output, an interrupt; rows O05 to O08."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest
from support_cli import Cli, Output
from support_processes import Machine, SlowProvider, until
from support_provider import Say

from wan_cli.cli.main import COMMANDS

RV = ("generate", "a fox", "-p", "rivya")
TTY = ("stdout", "stderr")
ESCAPE = re.compile(r"\x1b")


@pytest.mark.parametrize(
    ("env", "coloured"),
    [({"COLUMNS": "20"}, True), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1", "COLUMNS": "20"}, False),
     ({"CI": "true"}, False), ({"COLUMNS": "1"}, True), ({"COLUMNS": "0"}, True), ({"COLUMNS": "x"}, True)],
)  # fmt: skip
def test_o05_a_terminal_that_cannot_redraw_gets_lines(live: Cli, env: dict[str, str], coloured: bool) -> None:
    """In 20 columns, on a dumb terminal or in CI each change is a line; nothing moves the cursor, nothing hides it."""
    live.provider.always["submit"] = Say(402, {"error": {"code": "insufficient_credits", "message": "no"}})
    ran = live.run(*RV, tty=TTY, env={"TERM": "xterm", **env}, command=False)
    assert ran.code == 5
    assert bool(ESCAPE.search(ran.err)) is coloured
    if env.get("COLUMNS") not in ("0", "x"):
        assert set(re.findall(r"\x1b\[[0-9;?]*[A-Za-z]", ran.err)) <= {"\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[0m"}
    assert "\x1b[?25l" not in ran.err
    lines = re.sub(r"\x1b\[\d*[A-Za-z]|\r", "", ran.err).splitlines()
    assert [line.partition(":")[0] for line in lines[-3:]] == ["error", "charged", "hint"]


def test_o05_the_console_of_old_windows_gets_no_escapes(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where escape sequences would be shown as they are written, none is: no display, no colours."""
    monkeypatch.setattr("wan_cli.ui.streams.WINDOWS", True)
    monkeypatch.setattr("rich.console.detect_legacy_windows", lambda: True)
    monkeypatch.setattr("wan_cli.ui.live.detect_legacy_windows", lambda: True)
    assert live.run(*RV, tty=TTY, env={"TERM": "xterm"}).code == 0
    live.provider.always["submit"] = Say(402, {"error": {"code": "insufficient_credits", "message": "no"}})
    for words in ((*RV,), ("status",), ("models", "rivya"), ("generate", "--no-such-option")):
        ran = live.run(*words, tty=TTY, env={"TERM": "xterm"})
        assert not ESCAPE.search(ran.out + ran.err), words
    monkeypatch.setattr("rich.console.detect_legacy_windows", lambda: False)
    assert ESCAPE.search(live.run(*RV, tty=TTY, env={"TERM": "xterm"}, command=False).err)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[tuple[Machine, SlowProvider]]:
    """Return a place for processes, and their provider."""
    with SlowProvider() as slow:
        made = Machine(tmp_path, slow)
        yield made, slow
        made.close()
        slow.let_go()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT], ids=lambda one: one.name)
def test_o05_o08_a_terminal_is_whole_after_the_end(
    machine: tuple[Machine, SlowProvider], ending: signal.Signals
) -> None:
    """Killed or interrupted in 44 columns while it redraws: the cursor is there, and a JSON document is one."""
    place, slow = machine
    slow.hold("poll")
    screen, raw = pyte.Screen(44, 24), bytearray()
    stream = pyte.ByteStream(screen)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 44, 0, 0))
    told = place.work / "told.json"
    with told.open("wb") as out:
        process = place.start(*RV, "--json", stdin=slave, stdout=out, stderr=slave, env={"COLUMNS": ""})
    os.close(slave)

    def read() -> None:
        while True:
            try:
                data = os.read(master, 65_536)
            except OSError:
                return
            if not data:
                return
            raw.extend(data)
            stream.feed(data)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    until(lambda: b"pending" in raw, "the line of a task that is waited for")
    process.send_signal(ending)
    slow.let_go()
    process.wait(20)
    reader.join(20)
    os.close(master)
    assert not screen.cursor.hidden
    assert b"\x1b[?25l" not in raw
    assert screen.mode == pyte.Screen(44, 24).mode
    if ending is signal.SIGINT:
        said = json.loads(told.read_text())
        (task,) = said["tasks"]
        assert (process.returncode, said["exit_code"]) == (130, 130)
        assert (task["state"], task["handle"], said["error"]["charged"]) == ("pending", "rivya:task_1", "yes")
        assert said["error"]["hint"] == "wan wait rivya:task_1"
        assert slow.purchases == 1


ASKED = {
    "generate": ("a fox", "-p", "rivya"), "edit": ("a.png", "blue", "-p", "rivya"),
    "fuse": ("a.png", "a.png", "x", "-p", "rivya"),
    "sequence": ("a fox", "-n", "2", "-p", "modelverse"), "upload": ("a.png",), "status": (), "wait": (), "models": (),
    "auth": ("list",), "config": ("show",), "cancel": ("zzzzzz",), "recover": (), "doctor": (),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_o07_json_is_one_document_and_nothing_else(live: Cli, name: str) -> None:
    """Of every command, well or not, on a terminal or not, standard output is one whole JSON document in ASCII."""
    from support_cli import picture

    if name not in COMMANDS:
        pytest.skip("no such command yet")
    live.write("a.png", picture(512, 512))
    for words in (
        (name, *ASKED[name]),
        (name, "--no-such-option"),
        (name, *ASKED[name], "too", "many", "words", "x", "-p", "nobody"),
    ):
        for tty in ((), TTY):
            ran = live.run(*words, "--json", tty=tty, command=not tty)
            document = json.loads(ran.out)
            assert ran.out.isascii()
            assert ran.out.endswith("}\n")
            assert (document["exit_code"], document["ok"]) == (ran.code, ran.code == 0)
            if ran.code:
                assert document["error"]["code"]


@pytest.mark.parametrize("encoding", ["ascii", "cp936", "latin-1"])
def test_o06_a_poor_encoding_costs_no_result(live: Cli, encoding: str) -> None:
    """Text that the stream cannot spell is escaped; the result is saved, the exit code is 0."""
    from wan_cli.ui.streams import _lenient

    out = Output()
    out.reconfigure(encoding=encoding)
    assert isinstance(_lenient(out), io.TextIOWrapper)
    ran = live.run("generate", "a fox \U0001f98a \u72d0 \u00e9", "-p", "rivya", "-o", "\u72d0.png", stdout=out)
    assert ran.code == 0
    assert live.files() == ["\u72d0.png"]


@pytest.mark.parametrize("mode", ["--json", "--jsonl"])
def test_o08_an_interrupt_leaves_a_whole_document(live: Cli, mode: str) -> None:
    """Ctrl-C while waiting: the document says what was bought and how to go on; the exit code is 130."""
    live.provider.always["poll"] = Say(200, {"id": "task_1", "status": "processing"})
    sleep = live.clock.sleep

    async def stopped(seconds: float) -> None:
        if live.provider.purchases:
            os.kill(os.getpid(), signal.SIGINT)
        await sleep(seconds)

    live.engine["sleep"] = stopped
    ran = live.run(*RV, mode)
    error = ran.json["error"] if mode == "--json" else ran.events[-1]["error"]
    assert (ran.code, error["code"], error["charged"], error["hint"]) == (
        130,
        "interrupted",
        "yes",
        "wan wait rivya:task_1",
    )
