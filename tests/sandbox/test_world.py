"""What the sandbox remembers, who may read it, and when it charges."""

from __future__ import annotations

import json
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from wan_cli import sandbox
from wan_cli.sandbox.world import (
    KeyReusedError,
    LinkRefusedError,
    Picture,
    StoredFile,
    Task,
    TooFewCreditsError,
    World,
)

if TYPE_CHECKING:
    from pathlib import Path

START = 1_800_000_000.0


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Drawer:
    """Stands in for `wan_cli.sandbox.draw.picture` and remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, prompt: str, width: int, height: int, **details: Any) -> bytes:
        """Return bytes that tell the picture."""
        self.calls.append({"prompt": prompt, "width": width, "height": height, **details})
        return f"{prompt} {width}x{height} {details['index']}".encode()


def order(name: str, *, key: str | None = None, count: int = 1, price: int | None = 12, **more: Any) -> Task:
    """Return an order for pictures."""
    pictures = tuple(Picture(prompt="a fox", width=8, height=4, seed=7, index=n + 1, **more) for n in range(count))
    return Task(id=name, provider="rivya", model="m", pictures=pictures, credits=price, idempotency_key=key)


def link(url: str) -> tuple[str, int, str, str]:
    """Return the parts of a link: task, picture, time, signature."""
    parsed = httpx.URL(url)
    _, _, name, number = parsed.path.split("/")
    return name, int(number.removesuffix(".png")), parsed.params["Expires"], parsed.params["Signature"]


def test_second_world_sees_everything(tmp_path: Path) -> None:
    """Two World objects on one folder (as in two processes) share tasks, files, purchases, keys and pictures."""
    clock, drawer = Clock(), Drawer()
    one, two = World(tmp_path, clock=clock, draw=drawer), World(tmp_path, clock=clock, draw=drawer)
    task = one.accept(order("t1", key="k"), b'{"a": 1}')
    file = StoredFile(
        id="f1",
        provider="rivya",
        created=1,
        kind="image",
        mime="image/png",
        name="a.png",
        size=3,
        sha256=one.keep(b"abc"),
    )
    one.add_file(file)
    assert two.task("rivya", "t1") == task
    assert two.file("f1") == file
    assert two.blob(file.sha256) == b"abc"
    assert two.accept(order("t2", key="k"), b'{"a": 1}') == task
    assert one.purchases() == two.purchases()
    assert one.result(*link(one.urls(task)[0])) == two.result(*link(two.urls(task)[0]))
    assert len(drawer.calls) == 1


def test_purchase_line(tmp_path: Path) -> None:
    """A paid acceptance is one line with the documented keys, and the request is kept byte for byte."""
    world = World(tmp_path, clock=Clock())
    world.accept(order("t1", key="k", count=3), b'{ "a":1}')
    world.accept(order("t2", price=None), b"{}")
    assert world.purchases() == [
        {
            "time": START,
            "provider": "rivya",
            "model": "m",
            "count": 3,
            "credits": 12,
            "idempotency_key": "k",
            "task_id": "t1",
        },
        {
            "time": START,
            "provider": "rivya",
            "model": "m",
            "count": 1,
            "credits": None,
            "idempotency_key": None,
            "task_id": "t2",
        },
    ]
    assert (tmp_path / "requests" / "t1.json").read_bytes() == b'{ "a":1}'


def test_repeated_key_charges_once(tmp_path: Path) -> None:
    """The same key and value answer the first task; another value is refused; another provider's key is its own."""
    world = World(tmp_path)
    first = world.accept(order("t1", key="k"), b'{"a": 1, "b": 2}')
    assert world.accept(order("t2", key="k"), b'{"b":2,"a":1}') == first
    with pytest.raises(KeyReusedError):
        world.accept(order("t3", key="k"), b'{"a": true, "b": 2}')
    other = order("t4", key="k").model_copy(update={"provider": "other"})
    assert world.accept(other, b"{}").id == "t4"
    assert [line["task_id"] for line in world.purchases()] == ["t1", "t4"]


def test_racing_threads_charge_once(tmp_path: Path) -> None:
    """Many threads with one key, on several World objects, are answered one task and charged once."""
    worlds = [World(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(16) as pool:
        accepted = pool.map(lambda n: worlds[n % 4].accept(order(f"t{n}", key="k"), b"{}").id, range(64))
    assert len(set(accepted)) == 1
    assert len(worlds[0].purchases()) == 1


def test_racing_threads_never_overspend(tmp_path: Path) -> None:
    """Threads racing for the last credits get only as many pictures as the allowance pays for."""
    worlds = [World(tmp_path) for _ in range(2)]

    def buy(number: int) -> bool:
        try:
            worlds[number % 2].accept(order(f"t{number}"), b"{}", allowance=30)
        except TooFewCreditsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(buy, range(24))) == 2
    assert len(worlds[0].purchases()) == 2


def test_torn_line_is_dropped(tmp_path: Path) -> None:
    """The half line of a process killed while it wrote counts for nothing and spoils no later line."""
    World(tmp_path).accept(order("t1"), b"{}")
    with (tmp_path / "purchases.jsonl").open("ab") as file:
        file.write(b'{"time": 1, "prov')
    world = World(tmp_path)
    assert len(world.purchases()) == 1
    world.accept(order("t2"), b"{}")
    lines = (tmp_path / "purchases.jsonl").read_text().splitlines()
    assert [json.loads(line)["task_id"] for line in lines] == ["t1", "t2"]


@pytest.mark.parametrize(
    ("age", "stage"),
    [(-5, "queued"), (0, "queued"), (0.99, "queued"), (1, "running"), (3.99, "running"), (4, "ended"), (1e6, "ended")],
)
def test_stage_is_a_function_of_the_clock(tmp_path: Path, age: float, stage: str) -> None:
    """Queued for the first quarter of the latency, running until it is over, ended from then on."""
    clock = Clock()
    world = World(tmp_path, clock=clock, latency=4)
    task = world.accept(order("t1"), b"{}")
    clock.now += age
    assert world.stage(task) == stage


def test_no_latency_ends_at_once(tmp_path: Path) -> None:
    """With latency 0 a task has ended when it is accepted."""
    world = World(tmp_path, clock=Clock(), latency=0)
    assert world.stage(world.accept(order("t1"), b"{}")) == "ended"


def test_pictures_are_drawn_when_downloaded(tmp_path: Path) -> None:
    """Accepting draws nothing; the first download draws with the spec and the inputs' bytes; the second reads it."""
    drawer = Drawer()
    world = World(tmp_path, draw=drawer)
    task = world.accept(order("t1", count=2, verb="edit", inputs=(world.keep(b"input"),), watermark=True), b"{}")
    assert drawer.calls == []
    second = world.urls(task)[1]
    assert world.result(*link(second)) == world.result(*link(second)) == b"a fox 8x4 2"
    assert drawer.calls == [
        {
            "prompt": "a fox",
            "width": 8,
            "height": 4,
            "seed": 7,
            "index": 2,
            "inputs": [b"input"],
            "verb": "edit",
            "watermark": True,
        },
    ]


def test_default_drawer_is_the_sandbox_draw_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an injected drawer, `wan_cli.sandbox.draw.picture` is imported at the first download."""
    module = ModuleType("wan_cli.sandbox.draw")
    module.picture = Drawer()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wan_cli.sandbox.draw", module)
    world = World(tmp_path)
    urls = world.urls(world.accept(order("t1", count=2), b"{}"))
    assert [world.result(*link(url)) for url in urls] == [b"a fox 8x4 1", b"a fox 8x4 2"]


def test_links_live_a_day(tmp_path: Path) -> None:
    """A link is good for 24 hours after the end of the task and answers AccessDenied later."""
    clock = Clock()
    world = World(tmp_path, clock=clock, latency=10, draw=Drawer(), public_url="http://localhost:1/x/")
    task = world.accept(order("t1"), b"{}")
    url = world.urls(task)[0]
    assert url.startswith(f"http://localhost:1/x/results/t1/1.png?Expires={int(START) + 10 + 86400}&Signature=")
    expires = link(url.replace("/x/", "/"))
    clock.now += 10 + 86400
    world.result(*expires)
    clock.now += 1
    with pytest.raises(LinkRefusedError, match="AccessDenied"):
        world.result(*expires)


@pytest.mark.parametrize(
    ("part", "forged"),
    [(0, "other"), (0, "../tasks/t1"), (0, "n" * 300), (1, 2), (2, "99999999999"), (2, ""), (3, ""), (3, "\xe9")],
)
def test_forged_links_are_refused(tmp_path: Path, part: int, forged: Any) -> None:
    """Another task, picture, time or signature than the signed one is refused, and no id becomes a path."""
    world = World(tmp_path, draw=Drawer())
    parts: list[Any] = list(link(world.urls(world.accept(order("t1"), b"{}"))[0]))
    parts[part] = forged
    with pytest.raises(LinkRefusedError, match="SignatureDoesNotMatch"):
        world.result(*parts)


def test_unknown_ids(tmp_path: Path) -> None:
    """Unknown ids, ids that would leave the folder, and another provider's task are simply not there."""
    world = World(tmp_path)
    world.accept(order("t1"), b"{}")
    assert world.task("rivya", "t2") is None
    assert world.task("rivya", "../tasks/t1") is None
    assert world.task("modelverse", "t1") is None
    assert world.file("t1") is None


def test_stand_in_depends_on_the_url(tmp_path: Path) -> None:
    """The stand-in for a picture on the web is a PNG, the same for the same URL, another for another."""
    world = World(tmp_path)
    first = world.keep_stand_in("https://a/1.png")
    assert world.keep_stand_in("https://a/1.png") == first != world.keep_stand_in("https://a/2.png")
    assert world.blob(first).startswith(b"\x89PNG")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_only_the_owner_can_read(tmp_path: Path) -> None:
    """Folders are 0700 and files 0600, also when the folder was there before, and no temporary file stays behind."""
    folder = tmp_path / "sandbox"
    folder.mkdir(mode=0o755)
    world = World(folder, draw=Drawer())
    task = world.accept(order("t1"), b"{}")
    world.keep(b"abc")
    world.result(*link(world.urls(task)[0]))
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in [folder, *folder.rglob("*")]}
    assert modes == {(True, 0o700), (False, 0o600)}
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


def test_package_names() -> None:
    """The package offers its public names lazily and no others."""
    assert {name: getattr(sandbox, name).__name__ for name in ("World", "InProcess", "results")} == {
        "World": "World",
        "InProcess": "InProcess",
        "results": "results",
    }
    assert set(sandbox.CONTRACTS) >= {"rivya", "modelverse"}
    with pytest.raises(AttributeError, match="nothing"):
        _ = sandbox.nothing
