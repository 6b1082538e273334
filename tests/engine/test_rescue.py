"""The recovery file: where it stands, what it says, and that it is whole or not there (reliability.md S02)."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support_engine import Stage

from wan_cli import __version__
from wan_cli.engine import rescue
from wan_cli.engine.rescue import Rescue
from wan_cli.models import Target, Task

NAME = "wan-recovery-k3f9x2.json"


def task_for(stage: Stage, template: Path | str | None, **said: Any) -> Task:
    """Make a task with results at ``template``."""
    return stage.task(id="k3f9x2", add=False, target=Target(template=template and str(template)), **said)


def told(folder: Path, name: str = NAME) -> Any:
    """Read what is written down."""
    return json.loads((folder / name).read_text(encoding="ascii"))


def test_the_numbers_of_the_format() -> None:
    """Another number means that an older wan must refuse; the size is that of any answer with pictures."""
    assert (rescue.FORMAT, rescue.MAX_BYTES) == (1, 268_435_456)


def test_it_is_made_by_itself_alone() -> None:
    """The file is opened for writing, new, through no link, and is no other program's."""
    wanted = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    assert wanted == rescue._FLAGS


def test_it_says_what_it_is(stage: Stage, tmp_path: Path) -> None:
    """Format, version and the task, and the command that reads it, quoted for the shell."""
    folder = tmp_path / "my pictures"
    folder.mkdir()
    kept = Rescue()
    said = kept.keep(task_for(stage, folder / "fox.png"), {"id": "k3f9x2", "prompt": "f\u00fcchs"})
    assert told(folder) == {
        "wan_recovery": 1, "version": __version__, "task": {"id": "k3f9x2", "prompt": "f\u00fcchs"},
    }  # fmt: skip
    assert (folder / NAME).read_text(encoding="ascii").startswith('{\n "wan_recovery": 1,\n')
    assert said == f"; it is written down, so: wan recover --import '{folder / NAME}'"
    assert kept.ways == {"k3f9x2": f"wan recover --import '{folder / NAME}'"}


def test_a_later_state_replaces_the_first(stage: Stage, tmp_path: Path) -> None:
    """There is one file a task, with the newest; the command stays, and nothing half written is left beside it."""
    kept, task = Rescue([tmp_path]), task_for(stage, None, sandbox=True)
    first = kept.keep(task, {"state": 1})
    assert first == f"; it is written down, so: wan recover --import {tmp_path / NAME} --sandbox"
    assert kept.keep(task, {"state": 2}) == first
    assert told(tmp_path)["task"] == {"state": 2}
    assert [path.name for path in tmp_path.glob("*wan-recovery*")] == [NAME]
    kept.drop(task.id)
    assert not (tmp_path / NAME).exists()
    assert kept.ways == {}
    kept.drop(task.id)


def test_where_the_first_place_is_gone_another_is_found(stage: Stage, tmp_path: Path) -> None:
    """A folder that went away meanwhile is no reason to lose the newest state."""
    away, spare = tmp_path / "away", tmp_path / "spare"
    away.mkdir()
    spare.mkdir()
    kept, task = Rescue([spare]), task_for(stage, away / "fox.png")
    assert str(away) in kept.keep(task, {"state": 1})
    (away / NAME).unlink()
    away.rmdir()
    assert str(spare) in kept.keep(task, {"state": 2})
    assert told(spare)["task"] == {"state": 2}


def test_a_replacement_that_fails_leaves_the_first_whole(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails while the newer state is written keeps the older file, and no piece of the newer."""
    kept, task = Rescue([tmp_path]), task_for(stage, None)
    kept.keep(task, {"state": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert kept.keep(task, {"state": 2}) == ""
    assert told(tmp_path)["task"] == {"state": 1}
    assert [path.name for path in tmp_path.glob("*wan-recovery*")] == [NAME]


def test_it_is_on_disk_before_it_is_told(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file is synced, all of it has been handed to the system, and it is the user's alone."""
    synced: list[tuple[bytes, int]] = []

    def look(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced.append(((tmp_path / NAME).read_bytes(), found.st_mode & 0o777))

    monkeypatch.setattr(os, "fsync", look)
    Rescue([tmp_path]).keep(task_for(stage, None), {"state": 1})
    assert synced == [((tmp_path / NAME).read_bytes(), 0o600)]
    assert json.loads(synced[0][0])["task"] == {"state": 1}


@pytest.mark.parametrize(
    ("taken", "name"), [(0, NAME), (1, "wan-recovery-k3f9x2-2.json"), (4, "wan-recovery-k3f9x2-5.json"), (5, None)]
)
def test_five_names_are_tried(stage: Stage, tmp_path: Path, taken: int, name: str | None) -> None:
    """What has the name is somebody's; after the fifth such the folder is given up."""
    for number in range(1, taken + 1):
        (tmp_path / ("wan-recovery-k3f9x2" + (f"-{number}" if number > 1 else "") + ".json")).write_text("mine")
    said = Rescue([tmp_path]).keep(task_for(stage, None), {"state": 1})
    assert said == (f"; it is written down, so: wan recover --import {tmp_path / name}" if name else "")
    assert [path.read_text() for path in tmp_path.glob("wan-recovery*")].count("mine") == taken
    assert name is None or told(tmp_path, name)["task"] == {"state": 1}


def test_a_folder_that_cannot_be_written_leads_to_the_next(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk fails in the middle of the first, half a file goes, and the second folder has the whole."""
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.mkdir()
    good.mkdir()
    tries, sync = iter([True]), os.fsync

    def once(descriptor: int) -> None:
        if next(tries, False):
            raise OSError(5, "input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", once)
    said = Rescue([bad, good]).keep(task_for(stage, None), {"state": 1})
    assert said.endswith(str(good / NAME))
    assert list(bad.iterdir()) == []


def test_a_folder_whose_name_is_not_known_yet_is_the_one_above(stage: Stage, tmp_path: Path) -> None:
    """Fields in the path are filled in when the result comes: the file stands above the first of them."""
    task = task_for(stage, tmp_path / "{provider}" / "{model}" / "fox.png")
    assert Rescue().keep(task, {}).endswith(f" {tmp_path / NAME}")
    beside = tmp_path / "known"
    beside.mkdir()
    kept = Rescue([tmp_path]).keep(replace(task, target=Target(template=str(beside / "{id}.png"))), {})
    assert kept.endswith(f" {beside / NAME}")
