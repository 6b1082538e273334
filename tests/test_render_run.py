"""The scheduler of a render, over graphs that nobody thought of."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from wan_cli.errors import RequestRejected, StillRunning
from wan_cli.lock import Entry, Flight
from wan_cli.manifest import Asset, Reference
from wan_cli.render.plan import Item
from wan_cli.render.run import Result, Run

FATES = ("made", "failed", "pending", "stopped", "current")
STATUSES = ("missing", "stale", "open", "current", "edited", "moved")


def flight() -> Flight:
    """Return a purchase under way."""
    return Flight(
        state="pending", request="0" * 64, provider="rivya", origin="o", model="m", token="t", at=1.0, key="k", task="x"
    )


@st.composite
def graphs(draw: Any) -> list[Item]:
    """Return items in which each uses some of those before it."""
    items = []
    for number in range(draw(st.integers(1, 12))):
        used = draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True)) if number else []
        asset = Asset(
            id=f"a{number}", verb="edit" if used else "generate", fields={"prompt": "x"},
            references={"images": tuple(Reference("asset", f"a{place}") for place in used)},
        )  # fmt: skip
        status = draw(st.sampled_from(STATUSES))
        items.append(Item(asset=asset, status=status, entry=Entry(open=(flight(),)) if status == "open" else None))
    return items


def fate(name: str) -> Result:
    """Return what an ending looks like."""
    error = {"failed": RequestRejected("no"), "pending": StillRunning("later")}.get(name)
    return Result(ending=name, error=error)  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(graphs(), st.data(), st.integers(1, 4), st.booleans())
def test_any_graph(items: list[Item], data: Any, jobs: int, fail_fast: bool) -> None:
    """Each item ends once, after those it uses; hands are bounded per lane; a failure stops buying, never collecting.

    What needs something that is not there is not begun, unless it was bought before.
    """
    fates = {item.asset.id: data.draw(st.sampled_from(FATES)) for item in items}
    turns = {item.asset.id: data.draw(st.integers(0, 3)) for item in items}
    lanes = {item.asset.id: data.draw(st.sampled_from("ab")) for item in items}
    busy: Counter[str] = Counter()
    begun: dict[str, bool] = {}
    ended: list[str] = []
    failed = [False]

    async def make(item: Item, may_buy: bool) -> Result:
        name = item.asset.id
        assert name not in begun
        assert set(item.asset.needs) <= set(ended)
        assert not (may_buy and fail_fast and failed[0])
        begun[name] = may_buy
        busy[lanes[name]] += 1
        assert busy[lanes[name]] <= jobs
        for _ in range(turns[name]):
            await asyncio.sleep(0)
        busy[lanes[name]] -= 1
        return fate(fates[name])

    def done(item: Item, result: Result) -> None:
        ended.append(item.asset.id)
        failed[0] = failed[0] or result.ending == "failed"

    run = Run(items=items, make=make, jobs=jobs, fail_fast=fail_fast, done=done, lane=lambda item: lanes[item.asset.id])
    results: Mapping[str, Result] = asyncio.run(run.all())
    assert sorted(ended) == sorted(results) == sorted(item.asset.id for item in items)
    for item in items:
        usable = all(results[need].usable for need in item.asset.needs)
        if item.status in ("current", "edited"):
            assert results[item.asset.id].ending == item.status
        elif usable or item.status == "open":
            assert item.asset.id in begun
            assert usable or not begun[item.asset.id]
        else:
            assert item.asset.id not in begun
            assert results[item.asset.id].ending in ("skipped", "stopped")


def test_a_slow_lane() -> None:
    """A provider that is slow does not hold up the items of another; what was bought already comes first."""
    order: list[str] = []
    slow = asyncio.Event()

    async def make(item: Item, may_buy: bool) -> Result:
        del may_buy
        order.append(item.asset.id)
        if item.asset.id.startswith("slow"):
            await slow.wait()
        elif item.asset.id == "quick2":
            slow.set()
        return Result(ending="made")

    def item(name: str, status: Any = "missing") -> Item:
        asset = Asset(id=name, verb="generate", fields={"prompt": "x"})
        return Item(asset=asset, status=status, entry=Entry(open=(flight(),)) if status == "open" else None)

    items = [item("slow1"), item("slow2"), item("quick1"), item("quick2"), item("slow3", "open")]
    run = Run(items=items, make=make, jobs=1, done=lambda *_: None, lane=lambda item: item.asset.id[:4])
    asyncio.run(run.all())
    assert order.index("slow3") < order.index("slow1")
    assert order.index("quick2") < order.index("slow2")
