"""Claims about listings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from wan_cli.catalog import Model, Offer
from wan_cli.registry import every_model
from wan_cli.ui.rows import model_rows, status_row
from wan_cli.ui.tables import MODEL_COLUMNS, STATUS_COLUMNS, cell, table

Make = Callable[..., Any]
"""A fixture that builds what it is named after."""

HANDLE = "rivya:task_" + "0123456789" * 5


def shown(
    streams: Make, rows: list[dict[str, Any]], columns: Sequence[str], *, tty: bool = True, width: str = "80"
) -> list[str]:
    """Return what a table writes, line by line."""
    s = streams(stdout_tty=tty, env={"COLUMNS": width})
    table(rows, columns, s)
    return s.stdout.getvalue().splitlines()


def test_without_a_terminal_rows_are_tab_separated(streams: Make, task: Make) -> None:
    """One row a line, no header, nothing wrapped or cut, None is empty, tabs and newlines cannot break a row."""
    rows = [status_row(task(job={"prompt": "a\tfox\n" + "狐" * 50}), now=1_795_251_720.0), {"id": None, "state": "x"}]
    first, second = shown(streams, rows, STATUS_COLUMNS, tty=False, width="20")
    assert first.split("\t")[:6] == ["k3f9x2", "planned", "rivya", "wan2.7-image-pro", "estimated 12 credits", "1m"]
    assert len(first.split("\t")) == len(STATUS_COLUMNS)
    assert second == "\tx\t\t\t\t\t"


def test_on_a_terminal_a_table_fits_and_keeps_its_first_column(streams: Make, task: Make) -> None:
    """At 80 columns no line is longer, and the first column is whole on one line."""
    rows = [status_row(task(id=f"id{n:04d}", job={"prompt": "a red fox " * 9}), now=1_795_251_720.0) for n in range(3)]
    lines = shown(streams, rows, STATUS_COLUMNS)
    assert lines[0].split() == ["ID", "STATE", "PROVIDER", "MODEL", "COST", "AGE", "PROMPT"]
    assert max(map(len, lines)) <= 80
    assert [line[:6] for line in lines if line.startswith("id")] == ["id0000", "id0001", "id0002"]


def test_a_long_handle_is_never_broken(streams: Make) -> None:
    """A handle that a user will copy stays in one piece at 80 columns."""
    lines = shown(streams, [{"task": HANDLE, "state": "pending"}], ("task", "state"))
    assert any(HANDLE in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_what_does_not_fit_side_by_side_is_shown_in_blocks(streams: Make) -> None:
    """With too many columns each row is a block of names and values, and empty values are left out."""
    rows = model_rows(every_model())
    lines = shown(streams, rows, MODEL_COLUMNS)
    assert lines[0].split() == ["provider", "rivya"]
    assert lines.count("") == len(rows) - 1
    assert max(map(len, lines)) <= 80
    few = ("provider", "model", "verbs", "price")
    assert shown(streams, rows, few)[0].split() == [name.upper() for name in few]


def test_narrow_terminals_and_empty_listings_do_not_crash(streams: Make) -> None:
    """Any width works, and no rows write nothing."""
    rows = [{"a": "狐狸狐狸狐狸", "b": None}]
    for width in ("1", "2", "7", "20"):
        assert shown(streams, rows, ("a", "b"), width=width)
    assert shown(streams, [], ("a", "b")) == []
    assert shown(streams, [], ("a", "b"), tty=False) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (True, "true"), (12.0, "12"), (0.5, "0.5"), (math.nan, ""), (["1K", "2K"], "1K,2K"),
        ("[/x]\x1b[2J\x9b\u202e\r\n y", "[/x]^[[2J\\x9b<U+202E>^M y"),
    ],
)  # fmt: skip
def test_cells_are_harmless_and_plain(value: Any, text: str) -> None:
    """A cell is one line of printable text."""
    assert cell(value) == text


def test_model_rows_are_true_for_all_their_verbs() -> None:
    """Verbs share a row only where they offer the same; a price nobody published is unknown, not 0."""
    rows = model_rows(every_model())
    pro = [r for r in rows if (r["provider"], r["model"]) == ("modelverse", "wan2.7-image-pro")]
    assert [r["verbs"] for r in pro if "4K" in r["sizes"]] == [["generate"]]
    assert {r["price"] for r in pro} == {"unknown"}
    assert {r["amount"] for r in pro} == {None}
    rivya = next(r for r in rows if r["provider"] == "rivya")
    assert (rivya["price"], rivya["amount"], rivya["unit"]) == ("5 credits per task", 5, "credits")
    assert "seed 0-2147483647" in rivya["limits"]
    assert any("thinking is ineffective" in r["limits"] for r in pro)


def test_the_limits_of_a_video_are_seconds_and_resolutions() -> None:
    """A row about videos says how long they may be, and nothing of pixels, which no video has an option for."""
    films = [r for r in model_rows(every_model()) if r["makes"] == "video"]
    assert films
    assert not any("pixels" in r["limits"] for r in films)
    fuse = next(r for r in films if (r["provider"], r["verbs"]) == ("dashscope", ["fuse"]))
    assert "; 2-15 s; beside videos 2-10 s; 720p 1080p; aspects 16:9" in fuse["limits"]
    rivya = next(r for r in films if r["provider"] == "rivya" and "generate" in r["verbs"])
    assert "; 5 10 15 s; " in rivya["limits"]


def test_equal_offers_share_a_row() -> None:
    """A model whose verbs offer the same is one row."""
    offer = Offer(prompt_max=10, count=(1, 1))
    model = Model(
        provider="p", name="m", id="m", makes="image", price=None, formats=(), verbs={"generate": offer, "edit": offer}
    )
    (row,) = model_rows([model])
    assert row["verbs"] == ["generate", "edit"]
    assert row["limits"] == "prompt 10 characters; -n 1"
