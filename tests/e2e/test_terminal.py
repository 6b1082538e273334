"""wan in a real terminal of 80 columns and 24 lines: what is seen while it waits, and what stays afterwards."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pyte
import pytest
from support_graphics import kitty_image
from support_processes import PATIENCE_S, Machine, SlowProvider, until
from support_terminal import Terminal

from wan_cli.ui.preview.answers import QUESTIONS

ESCAPE = b"\x1b"


@pytest.fixture
def still(slow: SlowProvider) -> Iterator[SlowProvider]:
    """Return a provider that answers a purchase at once and holds the picture back."""
    slow.at_once = True
    slow.hold("download")
    return slow


def buy(machine: Machine, *more: str, **env: str) -> Terminal:
    """Buy a picture of a fox with Rivya."""
    return Terminal(machine, "generate", "a fox", "-p", "rivya", "-o", "fox.png", *more, **env)


def test_a_line_is_there_while_it_waits_and_gone_afterwards(machine: Machine) -> None:
    """The sandbox draws with a progress line on the screen, and only the file's name and the provider stay."""
    terminal = Terminal(machine, "generate", "a fox", "--sandbox", "-s", "1K", "-o", "fox.png")
    until(lambda: terminal.shows("pending"), "the progress line")
    (line,) = [line for line in terminal.lines if "pending" in line]
    assert "(sandbox)" in line
    assert re.search(r"  ~\d+s left  ", line)
    assert len(line) < 80
    assert terminal.end() == 0
    assert terminal.lines == ["provider: rivya (first in the sandbox that can do this)", "fox.png"]
    assert machine.files() == ["fox.png"]


def test_ctrl_c_leaves_what_has_to_be_known(machine: Machine) -> None:
    """After Ctrl-C in the sandbox the progress line is gone, and error, charge and the next command stay."""
    terminal = Terminal(machine, "generate", "a fox", "--sandbox", "-s", "1K", "-o", "fox.png")
    until(lambda: terminal.shows("pending"), "the progress line")
    terminal.press(b"\x03")
    assert terminal.end() == 130
    said = [line for line in terminal.lines if line != "^C"]
    assert [line.partition(":")[0] for line in said] == ["provider", "error", "charged", "hint"]
    assert re.fullmatch(r"hint: wan wait rivya:\S+ --sandbox", said[-1])


def test_p07_ctrl_c_in_a_download_leaves_what_has_to_be_known(machine: Machine, still: SlowProvider) -> None:
    """Ctrl-C in the middle of a picture: no trace of the display, no half file, and the command that goes on."""
    terminal = buy(machine)
    until(lambda: terminal.shows("downloading"), "the bytes")
    terminal.press(b"\x03")
    assert terminal.end() == 130
    said = [line for line in terminal.lines if line != "^C"]
    assert [line.partition(":")[0] for line in said] == ["error", "charged", "hint"]
    assert said[1:] == ["charged: yes", "hint: wan wait rivya:task_1"]
    assert machine.files() == []


def test_p06_two_ctrl_c_in_a_purchase_leave_what_has_to_be_known(machine: Machine, still: SlowProvider) -> None:
    """The first Ctrl-C says what it waits for; after the second the doubt stands there, and the display is gone."""
    still.hold("submit")
    terminal = Terminal(machine, "generate", "a fox", "-p", "modelverse", "-o", "fox.png")
    assert still.reached["submit"].wait(PATIENCE_S)
    terminal.press(b"\x03")
    until(lambda: terminal.shows("finishing the submit"), "the first signal")
    terminal.press(b"\x03")
    assert terminal.end() == 9
    still.let_go()
    said = [line for line in terminal.lines if not line.startswith("^C")]
    assert [line.partition(":")[0] for line in said if ": " in line][-3:] == ["error", "charged", "hint"]
    assert "charged: unknown" in said
    assert re.fullmatch(r"hint: wan recover \w{6}", said[-1])
    assert machine.files() == []


def test_the_transfer_is_shown(machine: Machine, still: SlowProvider) -> None:
    """While a picture comes in, the line says so, is redrawn in colour, and leaves nothing behind."""
    terminal = buy(machine)
    until(lambda: terminal.shows("downloading") and terminal.shows(" MB"), "the bytes")
    still.let_go()
    assert terminal.end() == 0
    assert terminal.lines == ["fox.png"]
    assert b"\x1b[3" in terminal.raw


def test_no_color_means_no_colour(machine: Machine, still: SlowProvider) -> None:
    """NO_COLOR keeps the display and takes every colour out of it."""
    terminal = buy(machine, NO_COLOR="1")
    until(lambda: terminal.shows("downloading"))
    still.let_go()
    assert terminal.end() == 0
    assert not re.search(rb"\x1b\[[0-9;]*m", terminal.raw.replace(b"\x1b[0m", b""))
    assert terminal.lines == ["fox.png"]


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"CI": "true"}])
def test_o05_a_dumb_terminal_gets_plain_lines(machine: Machine, still: SlowProvider, env: dict[str, str]) -> None:
    """TERM=dumb and CI get one plain line a change, without a single escape."""
    terminal = buy(machine, **env)
    until(lambda: terminal.shows("downloading"))
    still.let_go()
    assert terminal.end() == 0
    assert ESCAPE not in terminal.raw
    *talk, data = terminal.lines
    assert data == "fox.png"
    assert any("downloading" in line for line in talk)
    assert "succeeded" in talk[-1]


def test_quiet_shows_the_file_only(machine: Machine, still: SlowProvider) -> None:
    """-q leaves the screen to the file's name."""
    still.let_go()
    terminal = buy(machine, "-q")
    assert terminal.end() == 0
    assert terminal.raw == b"fox.png\r\n"


OLD = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}


@pytest.mark.parametrize(("env", "name"), [({"LANG": "C"}, "ein-f\u00fcchslein.png"), (OLD, "ein-f-chslein.png")])
def test_o06_an_old_locale_costs_no_result(
    machine: Machine, still: SlowProvider, env: dict[str, str], name: str
) -> None:
    """Where the system spells ASCII only, the prompt goes out as it is, and the file gets a name it can spell."""
    still.let_go()
    (machine.work / "prompt.txt").write_text("ein F\u00fcchslein", encoding="utf-8")
    terminal = Terminal(machine, "generate", "@prompt.txt", "-p", "rivya", "-o", "{slug}{ext}", **env)
    assert terminal.end() == 0
    assert machine.files() == [name, "prompt.txt"]
    assert terminal.lines == [name]
    assert still.orders[0].body["prompt"] == "ein F\u00fcchslein"


def test_o06_a_name_of_another_locale_keeps_the_result(machine: Machine, still: SlowProvider) -> None:
    """A name that was planned in UTF-8 and cannot be written now is told, and the result stays to be collected."""
    (machine.work / "prompt.txt").write_text("ein F\u00fcchslein", encoding="utf-8")
    process = machine.start("generate", "@prompt.txt", "-p", "rivya", "-o", "{slug}{ext}")
    assert still.reached["download"].wait(PATIENCE_S)
    machine.kill(process)
    still.let_go()
    ended = machine.run("wait", env=OLD)
    assert ended.code == 12, ended
    assert "locale" in ended.err
    assert "hint: wan wait rivya:task_1" in ended.err
    ended = machine.run("wait", "-o", "fox.png", "rivya:task_1", env=OLD)
    assert (ended.code, ended.out) == (0, "fox.png\n"), ended
    assert still.purchases == 1


def test_i19_without_standard_input_nothing_hangs(machine: Machine, still: SlowProvider) -> None:
    """With standard input closed a prompt in the arguments works, and one that is to be read is a usage error."""
    still.let_go()
    shell = {"stdin": None, "preexec_fn": lambda: os.close(0)}
    ended = machine.run("generate", "a fox", "-p", "rivya", "-o", "fox.png", **shell)
    assert (ended.code, ended.out) == (0, "fox.png\n"), ended
    ended = machine.run("generate", "-", "-p", "rivya", **shell)
    assert ended.code == 2, ended
    assert "error: " in ended.err
    assert still.purchases == 1


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_p10_a_closed_stream_costs_no_result(machine: Machine, still: SlowProvider, stream: str) -> None:
    """A stream that is closed from the start is no reason to lose a picture."""
    still.let_go()
    number = {"stdout": 1, "stderr": 2}[stream]
    how: dict[str, Any] = {stream: None, "preexec_fn": lambda: os.close(number)}
    process = machine.start("generate", "a fox", "-p", "rivya", "-o", "fox.png", **how)
    ended = machine.end(process)
    assert ended.code == (0 if stream == "stderr" else 12), ended
    assert machine.files() == ["fox.png"]


def test_p10_a_reader_that_goes_away_costs_no_result(machine: Machine, still: SlowProvider) -> None:
    """``wan … | true`` saves the file and exits 141."""
    process = machine.start("generate", "a fox", "-p", "rivya", "-o", "fox.png")
    assert still.reached["download"].wait(PATIENCE_S)
    assert process.stdout
    process.stdout.close()
    process.stdout = None
    still.let_go()
    assert machine.end(process).code == 141
    assert machine.files() == ["fox.png"]


def test_p10_bytes_that_nobody_took_can_be_collected(machine: Machine, still: SlowProvider) -> None:
    """``wan … -o - | true`` exits 141, and ``wan wait HANDLE -o FILE`` still brings the picture, without a purchase."""
    process = machine.start("generate", "a fox", "-p", "rivya", "-o", "-")
    assert still.reached["download"].wait(PATIENCE_S)
    assert process.stdout
    process.stdout.close()
    process.stdout = None
    still.let_go()
    assert machine.end(process).code == 141
    ended = machine.run("wait", "rivya:task_1", "-o", "fox.png")
    assert (ended.code, ended.out) == (0, "fox.png\n"), ended
    assert still.purchases == 1


def test_p11_a_full_disk_behind_standard_output_is_told(machine: Machine, still: SlowProvider) -> None:
    """Where standard output cannot be written, the file is saved and the exit code says that something is missing."""
    still.let_go()
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        process = machine.start("generate", "a fox", "-p", "rivya", "-o", "fox.png", stdout=full)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 12
    assert b"standard output" in err
    assert machine.files() == ["fox.png"]


def test_a_preview_in_half_blocks(machine: Machine, still: SlowProvider) -> None:
    """On a terminal that answers nothing --preview shows half-blocks below the name, and the screen ends well."""
    still.let_go()
    before = buy(machine, "--preview", "-q")
    assert before.end() == 0
    assert before.raw == b"fox.png\r\n"
    terminal = buy(machine, "--preview", "--overwrite", COLORTERM="truecolor")
    assert terminal.end() == 0
    assert terminal.raw.count(QUESTIONS) == 1
    screen = pyte.Screen(80, 60)
    pyte.ByteStream(screen).feed(terminal.raw.replace(QUESTIONS, b""))  # which pyte would print
    name, *picture = (line.rstrip() for line in screen.display if line.strip())
    assert name == "fox.png"
    assert set("".join(picture)) == {"▀"}
    assert len({len(line) for line in picture}) == 1
    cells = [screen.buffer[line][0] for line in range(1, 1 + len(picture))]
    assert all(re.fullmatch(r"[0-9a-f]{6}", cell.fg) for cell in cells)


def test_a_preview_in_the_terminals_own_graphics(machine: Machine, still: SlowProvider) -> None:
    """A terminal that answers kitty's question gets a picture of it, whose pixels are those of the file made small."""
    still.let_go()
    terminal = buy(machine, "--preview", SSH_TTY="/dev/pts/9")  # waits longer: the answer comes from this process
    until(lambda: terminal.raw.endswith(b"\x1b[c"), "the question")
    terminal.press(b"\x1b_Gi=7227;OK\x1b\\\x1b[6;16;8t\x1b[?62c")
    assert terminal.process.wait(PATIENCE_S) == 0
    text = terminal.raw.decode()
    drawn = text[text.index("\x1b7") + 2 : text.index("\x1b8")]
    said, image = kitty_image(drawn)
    assert (said["f"], said["q"]) == ("100", "2")
    assert image.height <= 21 * 16
    assert image.width <= 80 * 8
