"""Claims about a render's progress: a bar over the assets under way, one plain line or JSON line an asset."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from wan_cli.models import Cost, Pending, Sending, Task, TaskChanged, Transfer, Warned
from wan_cli.ui.asset_board import AssetBoard
from wan_cli.ui.jsonl import JsonlReporter
from wan_cli.ui.live import LiveReporter
from wan_cli.ui.overall import AssetEnded, Overall, Workload
from wan_cli.ui.plain_assets import PlainAssetsReporter
from wan_cli.ui.reporter import QuietReporter, reporter_for

Make = Callable[..., Any]
"""A fixture that builds what it is named after."""

LOAD = Workload(title="assets.toml", total=4, estimate="48 credits", name_of=lambda task: {"k3f9x2": "hero"}[task.id])


def many(total: int, estimate: str = "") -> Workload:
    """Return work whose assets are named after their tasks."""
    return Workload(title="assets.toml", total=total, estimate=estimate)


def ended(name: str = "hero", ending: str = "made", **more: Any) -> AssetEnded:
    """Return the end of an asset."""
    return AssetEnded(id=name, ending=ending, **more)


def test_the_bar_counts_assets_money_and_time(tale: list[Task], clock: Any) -> None:
    """Above the assets under way stand a bar, the count, failures, the price so far and the time that is left."""
    board = AssetBoard(clock, "…", LOAD)
    board.note(TaskChanged(task=tale[0]))
    assert text(board) == ["─" * 30 + "  0/4  0 of 48 credits  0s", "hero  submitting     0s  estimated 12 credits"]
    clock.now += 10
    board.note(TaskChanged(task=tale[1]))
    assert text(board)[1] == "hero  pending       10s  queued  estimated 12 credits  rivya:task_1"
    assert "12 of 48 credits" in text(board)[0], "what was accepted is bought"
    board.note(TaskChanged(task=tale[3]))
    board.ended(ended())
    assert text(board) == ["━" * 7 + "─" * 23 + "  1/4  12 of 48 credits  10s"]
    board.ended(ended("owl", "failed"))
    board.ended(ended("fox"))
    clock.now += 20
    assert text(board) == ["━" * 22 + "─" * 8 + "  3/4  1 failed  12 of 48 credits  30s, about 10s left"]
    assert [line.style for line in board.lines(90, 20)] == ["red"]


def text(board: AssetBoard, width: int = 90) -> list[str]:
    """Return the board as it is read."""
    return [line.head + line.state + line.rest for line in board.lines(width, 20)]


def test_a_narrow_terminal_shows_less_and_nothing_is_broken(task: Make, clock: Any) -> None:
    """The time goes first, then the price, the bar last; and in ASCII where it must be."""
    board = AssetBoard(clock, "...", many(340, "680 credits"))
    for number in range(20):
        sending = task(id=f"asset-number-{number}-with-a-very-long-name", state=Sending(at=0.0))
        board.note(TaskChanged(task=sending))
    assert text(board, 60)[0] == "-" * 30 + "  0/340  0 of 680 credits  0s"
    assert text(board, 35)[0] == "-" * 10 + "  0/340  0 of 680 credits"
    assert text(board, 20)[0] == "-" * 13 + "  0/340"
    assert text(board, 6)[0] == "0/340"
    assert all(len(line) <= 40 for line in text(board, 40))
    assert len(board.lines(40, 20)) == 13
    assert len(board.lines(40, 3)) == 3
    assert len(board.lines(40, 1)) == 1


def test_tasks_of_one_asset_are_numbered(task: Make, clock: Any) -> None:
    """Where a provider has no count, an asset's tasks stand below each other as 1/2 and 2/2."""
    board = AssetBoard(clock, "…", replace(many(1), name_of=lambda _task: "icon"))
    for item in (1, 2):
        board.note(TaskChanged(task=task(id=f"t{item}", item=item, siblings=2, state=Sending(at=0.0))))
    assert [line.head for line in board.lines(80, 20)[1:]] == ["icon 1/2  ", "icon 2/2  "]


def test_ten_thousand_ended_assets_take_no_room(tale: list[Task], clock: Any) -> None:
    """Board and counts keep nothing of what has ended."""
    board, overall = AssetBoard(clock, "…", many(10_000)), Overall(many(10_000), clock)
    for number in range(1000):
        for state in (tale[0], tale[3]):
            event = TaskChanged(task=replace(state, id=f"t{number}"))
            board.note(event)
            overall.note(event)
        board.ended(ended(f"t{number}"))
    assert len(board.lines(80, 20)) == 1
    assert not board._rows
    assert not board._active
    assert not +board._states
    assert not overall._open
    assert overall.spent == "12000 credits"


def test_what_an_earlier_run_bought_is_no_price_of_this_one(tale: list[Task], clock: Any) -> None:
    """A task that is pending when it is first seen costs this run nothing; sandbox tasks never do."""
    overall = Overall(many(2), clock)
    overall.note(TaskChanged(task=tale[1]))
    assert (overall.spent, overall.under_way) == ("", 1)
    overall.note(TaskChanged(task=tale[3]))
    assert (overall.spent, overall.under_way) == ("", 0)
    overall.note(TaskChanged(task=replace(tale[0], sandbox=True)))
    overall.note(TaskChanged(task=replace(tale[3], sandbox=True)))
    assert overall.spent == ""


def test_an_unknown_price_stays_unknown(tale: list[Task], clock: Any) -> None:
    """What has no known price is said to be unknown, under way and afterwards, and several units stand side by side."""
    overall = Overall(many(2, "3 CNY and something unknown"), clock)
    overall.note(TaskChanged(task=tale[0]))
    overall.note(TaskChanged(task=replace(tale[1], cost=Cost())))
    assert overall.spent == "something unknown"
    overall.note(TaskChanged(task=replace(tale[3], cost=Cost())))
    assert overall.spent == "something unknown"
    paid = Cost(estimated=1.0, unit="CNY")
    overall.note(TaskChanged(task=replace(tale[0], id="b")))
    overall.note(TaskChanged(task=replace(tale[3], id="b", cost=paid)))
    assert overall.spent == "1 CNY + something unknown"
    assert overall.price == "1 CNY + something unknown of 3 CNY and something unknown"
    assert Overall(many(2), clock).price == ""


def test_the_time_left_follows_the_last_assets(clock: Any) -> None:
    """Before three ends nobody guesses; up-to-date assets and those not begun do not make it look fast."""
    overall = Overall(many(100), clock)
    for _ in range(2):
        clock.now += 10
        overall.ended(ended())
    assert overall.left is None
    overall.ended(ended(ending="skipped"))
    overall.ended(ended(ending="current", counts=False))
    clock.now += 10
    overall.ended(ended(ending="failed"))
    assert overall.done == 4
    assert overall.left == pytest.approx(10 * 96)
    for _ in range(60):
        clock.now += 1
        overall.ended(ended())
    assert overall.left == pytest.approx(36)
    for _ in range(36):
        overall.ended(ended())
    assert overall.left is None


PLAIN = """\
warning: hero: seed 0 is read as no seed
[1/4] hero  made  rivya wan2.7-image-pro  12 credits  8s  out/hero.png
[2/4] owl  failed  the model failed ^[[31mred
[3/4] fox  skipped  @owl is not there
"""


def tell(reporter: Any, tale: list[Task], clock: Any) -> None:
    """Tell of a render: one asset made, one failed, one not begun, one up to date."""
    for state in tale:
        clock.now += 2
        reporter(TaskChanged(task=state))
        if isinstance(state.state, Pending):
            reporter(Warned(message="seed 0 is read as no seed", task=state))
        reporter(Transfer(task=state, name="hero.png", done=1, total=2))
    clock.now += 2
    done = {"made_by": "rivya wan2.7-image-pro", "cost": "12 credits", "files": ["out/hero.png"]}
    reporter.ended(ended(document={"id": "hero"}, **done))
    reporter.ended(ended("owl", "failed", note="the model failed\n\x1b[31mred", document={"id": "owl"}))
    reporter.ended(ended("fox", "skipped", note="@owl is not there", document={"id": "fox"}))
    reporter.ended(ended("bear", "current", counts=False, document={"id": "bear"}))


def test_plain_lines_are_one_an_asset(streams: Make, tale: list[Task], clock: Any) -> None:
    """In CI each asset that was worked on has one line with the count; what was up to date has none."""
    where = streams()
    with PlainAssetsReporter(where, LOAD, clock=clock) as reporter:
        tell(reporter, tale, clock)
    assert where.stderr.getvalue() == PLAIN
    assert where.stdout.getvalue() == ""


def test_a_long_silence_is_broken(streams: Make, tale: list[Task], clock: Any) -> None:
    """After a minute without a line one says how far it is, so that CI does not take the job for dead."""
    where = streams()
    reporter = PlainAssetsReporter(where, LOAD, clock=clock)
    for _ in range(13):
        clock.now += 10
        reporter(TaskChanged(task=tale[1]))
    assert where.stderr.getvalue() == "[0/4] 1 under way after 1m00s\n[0/4] 1 under way after 2m00s\n"
    for name in "abc":
        reporter.ended(ended(name))
    clock.now += 60
    reporter(Warned(message="slow"))
    assert where.stderr.getvalue().endswith("[3/4] c  made\nwarning: slow\n")
    clock.now += 70
    reporter(TaskChanged(task=tale[1]))
    assert where.stderr.getvalue().endswith("[3/4] 1 under way after 4m20s, about 1m26s left\n")


def test_json_lines_tell_every_asset(streams: Make, tale: list[Task], clock: Any) -> None:
    """--jsonl has the events of every command, and one for each asset, also for what was up to date."""
    where = streams()
    with JsonlReporter(where, cwd="/srv", clock=clock) as reporter:
        tell(reporter, tale, clock)
    told = [json.loads(line) for line in where.stdout.getvalue().splitlines()]
    assert {event["event"] for event in told} == {"task", "transfer", "warning", "asset"}
    assert [event["asset"]["id"] for event in told if event["event"] == "asset"] == ["hero", "owl", "fox", "bear"]


def test_quiet_and_single_commands_say_nothing_of_assets(streams: Make, tale: list[Task], clock: Any) -> None:
    """-q says nothing, and what was made for one command takes the end of an asset without a word."""
    for options in ({"quiet": True}, {}):
        where = streams()
        reporter = reporter_for(where, cwd="/srv", clock=clock, **options)
        assert isinstance(reporter, QuietReporter) or not options
        reporter.ended(ended())
        assert where.stderr.getvalue() + where.stdout.getvalue() == ""
    where = streams(stderr_tty=True, env={"COLUMNS": "80", "LINES": "24", "TERM": "xterm"})
    with LiveReporter(where, clock=clock) as live:
        live(TaskChanged(task=tale[1]))
        live.ended(ended())
        assert "/4" not in where.stderr.getvalue()


def test_a_render_is_shown_as_one(streams: Make, tale: list[Task], clock: Any) -> None:
    """With work to do the reporter is the render's own: a bar on a terminal, lines with counts elsewhere."""
    assert type(reporter_for(streams(), cwd="/srv", clock=clock, load=LOAD)) is PlainAssetsReporter
    where = streams(stderr_tty=True, env={"COLUMNS": "80", "LINES": "24", "TERM": "xterm", "NO_COLOR": "1"})
    reporter = reporter_for(where, cwd="/srv", clock=clock, load=LOAD)
    assert type(reporter) is LiveReporter
    with reporter:
        tell(reporter, tale, clock)
    shown = where.stderr.getvalue()
    assert "0/4  0 of 48 credits" in shown
    assert "hero  submitting" in shown
    assert "warning: hero: seed 0" in shown
