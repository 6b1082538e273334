"""What a render keeps of each asset: ten thousand of them take little more than a hundred. Counted, never timed."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wan_cli.engine.leftovers import MOST_FOLDERS, Leftovers
from wan_cli.errors import InternalError, WanError
from wan_cli.intake import TooLarge, lines_of, read_regular
from wan_cli.lock import Entry, Lock, Made
from wan_cli.manifest import Asset, read
from wan_cli.models import Cost, File, Job, Saved, Target, Task
from wan_cli.render.item import Item
from wan_cli.render.plan import Plan, Wanted, plan
from wan_cli.render.run import Result, Run
from wan_cli.render.shelf import Together
from wan_cli.render.sight import Sight
from wan_cli.ui.document import dumps, line_by_line

FEW, MANY = 50, 350
PLANNED_BYTES = 2_000
"""Bytes that a planned asset may take, manifest and plan; it took 650 when this was written, as rows of JSONL."""
ENDED_BYTES = 900
"""Bytes that an asset's result may take; it took 340."""
LOCKED_BYTES = 800
"""Bytes that an asset's block in the lock may take while a run is under way; it took 310."""


def each(keep: Callable[[int], object]) -> float:
    """Return how many bytes ``keep(number)`` holds on to for each of ``number``."""
    keep(FEW)  # what is made once is made here
    held = []
    for number in (FEW, MANY):
        gc.collect()
        tracemalloc.start()
        try:
            kept = keep(number)
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        del kept
    return (held[1] - held[0]) / (MANY - FEW)


def alive(kind: type) -> int:
    """Count the objects of a kind."""
    gc.collect()
    return sum(type(one) is kind for one in gc.get_objects())


def test_a_planned_asset_is_small(tmp_path: Path) -> None:
    """Reading and planning keep a bounded number of bytes of each asset."""

    def keep(number: int) -> tuple[Any, Plan]:
        path = tmp_path / "assets.jsonl"
        rows = [{"defaults": {"provider": "rivya", "size": "1K", "output": "art/{id}{ext}"}}]
        rows += [{"id": f"asset-{one:05}", "prompt": f"picture {one} of many, quite plain"} for one in range(number)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        manifest = read(path)
        return manifest, plan(manifest, {}, Sight(tmp_path, None, 0), Wanted())

    assert each(keep) < PLANNED_BYTES


def saved(name: str) -> Task:
    """Return a task that was saved."""
    sha = hashlib.sha256(name.encode()).hexdigest()
    file = File(index=1, path=f"/art/{name}.png", bytes=1000, sha256=sha, mime="image/png")
    job = Job(verb="generate", provider="rivya", model="wan2.7-image", prompt=f"picture {name} of many, quite plain")
    return Task(
        id=name, provider="rivya", origin="https://rivya.ai", job=job, provider_model="wan2.7-image", token="",
        target=Target(template=None), created_at=1_000.5, state=Saved(files=(file,)), task_id=f"task_{name}",
        cost=Cost(estimated=12, actual=12, unit="credits"), charged="yes", warnings=("a word",),
    )  # fmt: skip


def ended(number: int, fails: WanError | None = None) -> Run:
    """Run so many assets, each of which ends with a task."""

    async def make(item: Item, may_buy: bool) -> Result:
        del may_buy
        if fails:
            try:
                raise fails
            except WanError as error:
                return Result(ending="failed", error=error)
        return Result(ending="made", tasks=(saved(item.asset.id),))

    items = [
        Item(asset=Asset(id=f"asset-{one:05}", verb="generate", fields={"prompt": "x"}), status="missing")
        for one in range(number)
    ]
    run = Run(items=items, make=make, jobs=4, done=lambda *_: None)
    asyncio.run(run.all())
    run.items = ()
    return run


def test_an_ended_asset_is_small() -> None:
    """Of what an asset came to no task is kept as an object, few bytes, and all that the end of the run tells."""
    assert each(ended) < ENDED_BYTES
    before = alive(Task)
    run = ended(FEW)
    assert alive(Task) == before
    assert sum(map(len, (result.tasks for result in run.results.values()))) == FEW
    for name, result in run.results.items():
        assert list(result.tasks) == [saved(name)]
        assert result.tasks[0] == saved(name)
        assert result.tasks[:1] == (saved(name),)
    whole = Together([result.tasks for result in run.results.values()])
    assert len(whole) == FEW
    assert [task.id for task in whole] == list(run.results)
    assert whole[-1] == saved(list(run.results)[-1])
    assert whole[:2] == tuple(map(saved, list(run.results)[:2]))


def test_an_error_lets_go_of_its_frames() -> None:
    """The error of an asset that failed holds on to nothing of what the asset was made from."""
    cause = InternalError("cause")
    try:
        raise cause
    except WanError as first:
        wrong = InternalError("no")
        wrong.__cause__ = first
    run = ended(1, wrong)
    assert run.results["asset-00000"].error is wrong
    assert wrong.__traceback__ is None
    assert cause.__traceback__ is None


def test_a_finished_block_is_small(tmp_path: Path) -> None:
    """What a run has finished is packed in the lock's memory, and is the same at each look and on disk."""
    count = iter(range(100))

    def entry(number: int) -> Entry:
        sha = hashlib.sha256(str(number).encode()).hexdigest()
        return Entry(
            request=sha, stated={"verb": "generate", "prompt": f"picture {number} \u00e9"}, provider="rivya",
            model="wan2.7-image", handle=f"rivya:task_{number}", cost=12.5, unit="credits", pinned="rivya",
            files=(Made(path=f"art/asset-{number:05}.png", sha256=sha[::-1], bytes=1000),),
        )  # fmt: skip

    def keep(number: int) -> Lock:
        with Lock(tmp_path / f"{next(count)}.lock") as lock:
            for one in range(number):
                lock.put(f"asset-{one:05}", entry(one))
        return lock

    sync, os.fsync = os.fsync, lambda _: None
    try:
        assert each(keep) < LOCKED_BYTES
        before = alive(Entry)
        lock = keep(FEW)
        assert alive(Entry) == before
    finally:
        os.fsync = sync
    assert dict(lock.entries) == {f"asset-{one:05}": entry(one) for one in range(FEW)}
    assert Lock(lock.path).entries == lock.entries


def test_a_folder_is_looked_into_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier process left of a result goes; a folder is not listed for each of its results."""
    looks: list[object] = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: (looks.append(path), listdir(path))[1])
    left = tmp_path / ".a.png.abc123-1-f00f00.part"
    others = [tmp_path / name for name in ("abc123-1-x.part", ".a.abc123-2-x.part", ".a.abc123-1-x.png")]
    for path in (left, *others):
        path.write_bytes(b"x")
    leftovers = Leftovers()
    for number in range(20):
        leftovers.sweep(tmp_path, f"other{number}", 1)
    leftovers.sweep(tmp_path, "abc123", 1)
    leftovers.sweep(tmp_path, "abc123", 1)
    assert not left.exists()
    assert all(path.exists() for path in others)
    assert len(looks) == 1
    left.write_bytes(b"x")
    leftovers.forget()
    leftovers.sweep(tmp_path, "abc123", 1)
    assert not left.exists()
    for number in range(MOST_FOLDERS + 1):
        leftovers.sweep(tmp_path / str(number), "abc123", 1)  # none of them is there
        (tmp_path / f"d{number}").mkdir()
        leftovers.sweep(tmp_path / f"d{number}", "abc123", 1)
    assert len(leftovers._parts) <= MOST_FOLDERS


@pytest.mark.parametrize("rows", [[], [{}], [{"a": [1, {"b": "two\nlines ##[x]\x7f"}]}, {"c": None, "d": {}, "e": []}]])
def test_a_document_in_parts_is_the_same(rows: list[Any]) -> None:
    """A document that is written row by row is the one that is written at once, in whole lines."""
    doc = {"wan": 1, "tasks": rows, "ok": True, "assets": rows, "error": {"x": rows}}
    parts = list(line_by_line({**doc, "tasks": iter(rows), "assets": iter(rows)}))
    assert "\n".join(parts) == dumps(doc)
    assert "\n".join(line_by_line({**doc, "error": iter(rows)})) == dumps({**doc, "error": rows})


def test_files_are_read_up_to_a_bound(tmp_path: Path) -> None:
    """A file is read without room for the bound being reserved, whole or line by line, and never past the bound."""
    path = tmp_path / "x"
    path.write_bytes(b"one\ntwo\nthree")
    assert read_regular(path, 13) == b"one\ntwo\nthree"
    assert list(lines_of(path, 13)) == [b"one\n", b"two\n", b"three"]
    with pytest.raises(TooLarge):
        read_regular(path, 12)
    with pytest.raises(TooLarge):
        list(lines_of(path, 12))
    with pytest.raises(OSError, match="regular"):
        list(lines_of(Path(os.devnull), 12))
    tracemalloc.start()
    try:
        read_regular(path, 1 << 28)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
