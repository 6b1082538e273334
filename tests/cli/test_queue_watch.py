"""What a render does while others make its tasks, and what a worker does where something is wrong: piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wan_cli.errors import ProviderUnavailable, StateUnusable, UsageError
from wan_cli.ledger.group import Ended
from wan_cli.models import Failed, File, Job, LocalFile, Media, New, Pending, Saved, State, Target, Task, Unknown

pytest.importorskip("procrastinate")

from wan_cli.cli.hints import of_queue, spelled, without_password
from wan_cli.cli.queued.folders import Folders, moved
from wan_cli.cli.queued.hands import Hands
from wan_cli.cli.queued.making import BROKEN_S, TROUBLED_S, Making, Served
from wan_cli.cli.queued.watch import AGAIN_S, PATIENCE_S, Watch
from wan_cli.cli.rendering.lined import Queued, withdraw
from wan_cli.engine.signals import Signal
from wan_cli.ledger.postgres.line import Job as Place
from wan_cli.ledger.postgres.line import queue_name
from wan_cli.ledger.postgres.roster import Seen
from wan_cli.ledger.postgres.schema import NewerWan

AWAY = StateUnusable("the database is away")
PENDING = Pending(task_id="t-1")


def a_task(name: str = "a", state: State | None = None, **changes: Any) -> Task:
    task = Task(
        id=name, provider="rivya", origin="https://rivya.ai", provider_model="m", token="t",
        job=Job(verb="generate", provider="rivya", model="wan2.7-image", prompt="a fox"),
        target=Target(template="/far/{id}{ext}"), created_at=1.0, state=state or New(), batch="queue-m",
    )  # fmt: skip
    return replace(task, **changes)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Rig:
    """A watch whose database is this object: ``rows`` are what changed, look by look."""

    def __init__(self) -> None:
        self.clock, self.said, self.put_in, self.noted, self.withdrawn = Clock(), [], [], [], []
        self.rows: list[Any] = []
        self.alive, self.why = True, None
        self.watch = Watch(
            roster=self, line=self, note=self.noted.extend, hold_back=lambda _: self.why,  # type: ignore[arg-type]
            withdraw=self.withdrawn.append, say=self.said.append, monotonic=self.clock, sleep=self.sleep,
        )  # fmt: skip

    async def sleep(self, seconds: float) -> None:
        self.clock.now += max(seconds, AGAIN_S)
        await asyncio.sleep(0)

    async def put(self, jobs: list[Any]) -> None:
        self.put_in += [job.task for job in jobs]

    def changed(self, known: dict[str, str]) -> list[Seen]:
        found = self.rows.pop(0) if self.rows else []
        if isinstance(found, Exception):
            raise found
        return [Seen(f"{self.clock.now}", held, task) for task, held in found]

    def idle(self, ids: list[str]) -> frozenset[str]:
        return frozenset(ids)

    def hands(self) -> list[Any]:
        return [SimpleNamespace(worker=SimpleNamespace(alive=self.alive))]

    def until(self, task: Task, *, wait: bool = True, limit: float | None = None) -> Task:
        """Wait for one task, with the watch running."""

        async def both() -> Task:
            looking = asyncio.ensure_future(self.watch.run())
            looking.add_done_callback(self.watch.broke)
            try:
                job = Place(task.id, "q")
                return await asyncio.wait_for(self.watch.until(task, job, wait=wait, limit=limit), 5)
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)

        return asyncio.run(both())


def test_a_task_is_lined_up_and_waited_for() -> None:
    """It is put in the line once, told of at each change, and ended when nobody holds its end any more."""
    rig, saved = Rig(), a_task(state=Saved(files=()))
    failed = a_task(state=Failed(code="key_rejected", message="no", charged="no"))
    rig.rows = [[(a_task(), False)], [(failed, True)], [(a_task(), False)], [(saved, True)], [(saved, False)]]
    assert rig.until(a_task()) == saved
    assert rig.put_in[0] == "a"
    assert rig.noted == [a_task(), failed, a_task(), saved, saved]


def test_without_waiting_it_is_enough_that_it_is_in_the_line() -> None:
    """``--no-wait`` ends as soon as the job is there."""
    rig = Rig()
    assert rig.until(a_task(), wait=False) == a_task()
    assert rig.put_in == ["a"]


def test_the_limit_counts_from_the_beginning_of_the_task() -> None:
    """Time in the line is not counted; a task that takes longer is returned as it is."""
    rig, pending = Rig(), a_task(state=PENDING)
    rig.rows = [[], [], [], [(pending, True)]]
    assert rig.until(a_task(), limit=30.0) == pending
    assert rig.clock.now >= 100 + 3 * AGAIN_S + 30


def test_trouble_with_a_bought_result_ends_the_waiting() -> None:
    """A result that could not be brought in is told, once its worker has let go of it."""
    rig = Rig()
    trouble = a_task(state=PENDING, trouble=Failed(code="network", message="no"))
    rig.rows = [[(trouble, False)]]
    assert rig.until(a_task(state=PENDING)) == trouble


def test_what_is_held_back_is_withdrawn() -> None:
    """After a failure with ``--fail-fast`` what nobody has begun is taken back."""
    rig = Rig()
    rig.why = ProviderUnavailable("not sent")  # type: ignore[assignment]
    gone = a_task(state=Failed(code="provider_unavailable", message="not sent", charged="no"))
    rig.rows = [[(a_task(), False)], [(gone, False)]]
    assert rig.until(a_task()) == gone
    assert rig.withdrawn == [a_task()]


def test_a_lost_job_is_put_back_and_a_lonely_queue_told_of() -> None:
    """What is planned and nobody's is put in the line again; that no worker is at work is said once."""
    rig = Rig()
    rig.alive = False
    rig.rows = [[], [(a_task(), False)], [], [(a_task(state=Saved(files=())), False)]]
    rig.until(a_task())
    assert rig.put_in == ["a", "a", "a"]
    assert len(rig.said) == 1
    assert "no worker is at work" in rig.said[0]


def test_a_database_that_is_away_for_a_while() -> None:
    """It is asked again, and said once; after two minutes whoever waits is told, with what is true of the money."""
    rig, saved = Rig(), a_task(state=Saved(files=()))
    rig.rows = [AWAY, AWAY, [(saved, False)]]
    assert rig.until(a_task(state=PENDING)) == saved
    assert len(rig.said) == 1
    rig.rows = [AWAY] * (int(PATIENCE_S / AGAIN_S) + 3)
    with pytest.raises(StateUnusable) as told:
        rig.until(a_task(state=PENDING, charged="yes"))
    assert told.value.charged == "yes"


def test_a_bug_in_the_watch_is_raised_where_somebody_waits() -> None:
    """Nobody waits for ever for a watch that has ended."""
    rig = Rig()
    rig.rows = [ValueError("a bug")]
    with pytest.raises(ValueError, match="a bug"):
        rig.until(a_task(state=PENDING))


# -- a worker's tasks


class Shop:
    """A worker's surroundings: a ledger of one task, a line that notes what is done, an engine that is scripted."""

    def __init__(self, stored: Task, *results: Any) -> None:
        self.stored, self.results = stored, list(results)
        self.calls: list[Any] = []
        self.said: list[str] = []
        self.away: set[str] = set()
        self.clock, self.stop, self.mine = Clock(), Signal(), True
        self.writing = self
        self.paces = SimpleNamespace(broken=False, refusals=5)
        self.unwritten: Task | None = None
        served = {"rivya": Served(name="rivya", origin="https://rivya.ai", key_print="k")}
        self.making = Making(
            engine=self, ledger=self, line=self, folders=Folders(root=None), served=served,  # type: ignore[arg-type]
            say=lambda what, said, **_: self.said.append(what), monotonic=self.clock,
        )  # fmt: skip

    # the engine
    async def do(self, call: Callable[..., Any], *args: Any) -> Any:
        return call(*args)

    async def run(self, task: Task) -> Task:
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        self.stored = result
        return result

    def pace(self, provider: str) -> Any:
        return self.paces

    def unsaved(self, name: str) -> Task | None:
        return self.unwritten

    # the ledger
    def _asked(self, what: str) -> None:
        self.calls.append(what)
        if what in self.away:
            raise AWAY

    def claim(self, name: str) -> bool:
        self._asked("claim")
        return self.mine

    def get(self, name: str) -> Task:
        self._asked("get")
        return self.stored

    def inward(self, task: Task) -> Task:
        return task

    def save(self, task: Task) -> None:
        self._asked("save")
        self.stored = task

    def give_back(self, name: str) -> None:
        self._asked("give back")

    # the line
    def done(self, job: Any) -> None:
        self.calls.append("done")

    async def tidy(self) -> None:
        """Nothing waits."""

    async def back(self, job: Any, *, after_s: float = 0.0) -> None:
        self._asked(f"back {after_s:g}")

    def make(self) -> list[str]:
        self.calls.clear()
        asyncio.run(self.making.made(Place("a", "q", 1)))
        return [call for call in self.calls if call not in ("claim", "get")]


def failure(code: str, **changes: Any) -> Task:
    return a_task(state=Failed(code=code, message="no", charged="no"), **changes)


def test_how_a_job_ends() -> None:
    """What was dealt with leaves the line; what was not sent is planned as before, and in the line again."""
    assert Shop(a_task(), a_task(state=Saved(files=()))).make() == ["give back", "done"]
    assert Shop(a_task(), failure("rejected")).make() == ["give back", "done"]
    assert Shop(a_task(), a_task()).make() == ["give back", "back 0"]
    shop = Shop(a_task(), failure("state_unusable"))
    assert shop.make() == ["save", "give back", "back 1"]
    assert shop.stored.state == New()


def test_a_job_whose_task_is_anothers() -> None:
    """A job whose task was begun by somebody leaves the line; where its holder may be dying it is looked at later."""
    for state, ends in ((PENDING, "done"), (New(), "back 10")):
        shop = Shop(a_task(state=state))
        shop.mine = False
        assert shop.make() == [ends]
    assert Shop(a_task(state=Unknown(reason="?"))).make() == ["give back", "done"]


def test_what_cannot_be_done_is_done_when_the_database_is_back() -> None:
    """Nothing of a task's end is lost with the database; that it is away is said once."""
    shop = Shop(a_task(), a_task(state=Saved(files=())))
    shop.unwritten = a_task(state=Saved(files=()))
    shop.away = {"save", "give back"}  # the save because another worker has the task
    shop.make()
    assert (shop.said, shop.making.down) == (["database"], True)
    shop.away = set()
    shop.calls.clear()
    asyncio.run(shop.making.catch_up())
    assert shop.calls == ["save", "give back"]
    shop.unwritten, shop.away = None, {"claim", "give back", "back 1"}
    assert shop.make() == ["give back", "back 1"]
    shop.away = set()
    shop.calls.clear()
    asyncio.run(shop.making.catch_up())
    assert shop.calls == ["give back", "back 1"]


def test_a_refused_key_and_a_provider_in_trouble() -> None:
    """What its key is refused for is left to others; a provider in trouble is left for a minute."""
    shop = Shop(a_task(), failure("rate_limited"), a_task(), failure("key_rejected"))
    assert shop.making.hold_back(a_task()) is None
    shop.paces.broken = True
    assert shop.making.hold_back(a_task()) is not None
    assert shop.make() == ["save", "give back", "back 0"]
    assert (shop.said, shop.making.open(), shop.paces.refusals) == (["paused"], [], 0)
    shop.clock.now += BROKEN_S
    assert len(shop.making.open()) == 1
    shop.make()
    shop.make()
    assert (shop.said, shop.making.served) == (["paused", "left"], {})
    assert shop.making.refused is not None
    assert shop.make() == ["give back", "back 0"], "it has no key for this one any more"


def test_a_result_that_cannot_be_brought_in_rests() -> None:
    """A task that was taken over and is not done is let be for a while, each time for longer."""
    pending = a_task(state=PENDING)
    shop = Shop(pending, pending, pending, AWAY, a_task(state=Saved(files=())))
    for wait in (TROUBLED_S[0], 2 * TROUBLED_S[0]):
        asyncio.run(shop.making.collected(pending))
        assert shop.making.resting() == ["a"]
        shop.clock.now += wait
        assert shop.making.resting() == []
    asyncio.run(shop.making.collected(pending))
    asyncio.run(shop.making.collected(pending))
    assert shop.making._troubled == {}
    shop.results = [replace(pending, trouble=Failed(code="state_unusable", message="the database is away"))]
    asyncio.run(shop.making.collected(pending))
    assert shop.making.resting() == [], "it is taken up again as soon as the database is back"
    shop.results = [pending]
    shop.make()


# -- a worker's loop


class Floor(Shop):
    """A loop around a shop: ``jobs`` in the line, ``left`` by the dead."""

    def __init__(self, *jobs: Any, left: tuple[Task, ...] = ()) -> None:
        super().__init__(a_task(), *[a_task(state=Saved(files=()))] * 9)
        self.jobs, self.left = list(jobs), left
        self.beats: list[Any] = []
        self.lost: frozenset[str] = frozenset()
        self.waiting: dict[str, int] = {}
        self.folder: Any = None
        self.hands = Hands(
            making=self.making, ledger=self, roster=self, folders=self, jobs=2, until_empty=True,  # type: ignore[arg-type]
        )  # fmt: skip
        self.place = SimpleNamespace(root="/far", manifest="assets.toml")

    def places(self) -> dict[str, Any]:
        self._asked("places")
        return {"m": self.place}

    def here(self, place: Any) -> Any:
        return self.folder

    def lengths(self) -> dict[str, int]:
        self._asked("lengths")
        return self.waiting

    def take_over(self, room: int, accounts: Any, but: Any) -> list[Task]:
        left, self.left = self.left, ()
        return list(left)

    def release(self, name: str) -> None:
        self._asked("release")

    def heartbeat(self) -> frozenset[str]:
        said = self.beats.pop(0) if self.beats else frozenset()
        if isinstance(said, Exception):
            raise said
        return said

    def sign_off(self) -> None:
        self._asked("sign off")

    async def beat(self) -> None:
        self._asked("beat")

    async def stalled(self) -> list[Any]:
        return [Place("dead", "q", 7)]

    async def fetch(self, queues: Any, most: int) -> Any:
        self._asked("fetch")
        found, self.jobs = self.jobs[:most], self.jobs[most:]
        return found


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 5))


def test_a_loop_ends_when_nothing_is_left() -> None:
    """Jobs are made, what is in line twice leaves it, and the worker signs off; what it cannot place it gives back."""
    queue = queue_name("m", "rivya", "https://rivya.ai")
    floor = Floor(Place("a", queue, 1), Place("a", queue, 2), left=(a_task("b", PENDING),))
    floor.folder = "/here"
    run(floor.hands.run())
    assert floor.calls.count("done") == 2
    assert "taken_over" in floor.said
    assert floor.calls[-1] == "sign off"
    floor = Floor(left=(a_task("b", PENDING),))
    run(floor.hands.run())
    assert "release" in floor.calls
    assert floor.making.resting() == ["b"]


def test_a_bug_ends_the_worker_as_a_bug() -> None:
    """What nobody foresaw in one task ends the loop with an error that names the task; the others are let finish."""
    floor = Floor(Place("a", queue_name("m", "rivya", "https://rivya.ai"), 1))
    floor.folder, floor.results = "/here", [ValueError("odd")]
    run(floor.hands.run())
    assert "odd" in str(floor.hands.error)


def test_the_line_goes_on_when_the_database_is_back() -> None:
    """A round that the database cuts short is told once, and the next one goes on."""
    floor = Floor()
    floor.away = {"places"}

    async def both() -> None:
        working = asyncio.ensure_future(floor.hands.run())
        await asyncio.sleep(0.01)
        floor.away = {"lengths"}
        floor.hands._placed_at = None
        await asyncio.sleep(0.6)
        floor.away = set()
        await working

    run(both())
    assert floor.said[0] == "database"


def test_a_heartbeat_gives_up_what_others_have() -> None:
    """A task that another worker has is let go unless it is being sent; jobs of the dead go back in the line."""
    floor = Floor()
    floor.waiting = {"zzz.rivya.00000000": 1, "m.rivya.00000000": 2}
    floor.beats = [frozenset({"a", "s", "gone"}), frozenset()]

    async def beat() -> None:
        for name in ("a", "s"):
            floor.hands._begin(name, asyncio.sleep(3))
        floor.hands._sending.add("s")
        await floor.hands._beat()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert list(floor.hands._working) == ["s"]
        floor.hands._working.pop("s").remove_done_callback  # noqa: B018 - it is left as it is
        floor.hands._working.clear()
        await floor.hands._beat()
        await floor.hands._beat()

    run(beat())
    assert floor.said == ["lost", "left", "left"]
    assert floor.calls.count("back 0") == 3


@pytest.mark.parametrize(("error", "ends"), [(NewerWan("newer"), True), (AWAY, False)])
def test_a_newer_wan_ends_the_worker(error: StateUnusable, ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat that finds newer tables ends the worker; one that finds no database is made again."""
    from wan_cli.ledger.postgres import shared

    monkeypatch.setattr(shared, "HEARTBEAT_S", 0.01)
    floor = Floor()
    floor.hands.until_empty, floor.beats = False, [error]

    async def both() -> None:
        working = asyncio.ensure_future(floor.hands.run())
        await asyncio.sleep(0.05)
        if not ends:
            floor.stop.set()
        await working

    run(both())
    assert (floor.hands.error is error) is ends


def test_paths_of_another_machine() -> None:
    """Paths below the manifest's root are moved, and no others."""
    task = a_task(target=Target(template="/far/x/{id}{ext}"))
    assert moved(task, "/far", "/near").target.template == "/near/x/{id}{ext}"
    assert moved(task, "/fa", "/near") == task
    assert moved(task, "", "") is task


# -- a render's engine


class Books:
    """A ledger of one task, for a render's engine."""

    def __init__(self, stored: Task) -> None:
        self.stored, self.free, self.released = stored, True, 0

    def claim(self, name: str) -> bool:
        return self.free

    def get(self, name: str) -> Task:
        return self.stored

    def save(self, task: Task) -> None:
        self.stored = task

    def release(self, name: str) -> None:
        self.released += 1

    def plan(self, task: Task) -> Task:
        return task

    def all_of(self, calls: Any) -> Any:
        return [Ended.of(call) for call in calls]


def an_engine(books: Books, ends: Any, tmp_path: Path) -> Queued:
    """Return a render's engine whose watch says how a task ends."""

    async def until(task: Task, job: Any, **how: Any) -> Task:
        if ends is None:
            await asyncio.sleep(9)
        return ends  # type: ignore[no-any-return]

    clock = Clock()

    async def sleep(seconds: float) -> None:
        clock.now += seconds

    return Queued(
        ledger=books, service=None, report=lambda _: None, scratch=tmp_path, monotonic=clock, sleep=sleep,
        place=SimpleNamespace(mark="m"), root=tmp_path, watch=SimpleNamespace(until=until),
    )  # fmt: skip


def test_the_next_provider_is_asked_through_the_queue(tmp_path: Path) -> None:
    """What a render decides of a refused task is written while it holds the task, which then waits for a worker."""
    books, saved = Books(failure("rejected")), a_task(state=Saved(files=()))
    engine = an_engine(books, saved, tmp_path)

    async def moving(engine: Any, stored: Task) -> Task:
        assert books.released == 0
        return await engine.save(replace(stored, state=New(), provider="modelverse"))  # type: ignore[no-any-return]

    assert run(engine.run(failure("rejected"), first=moving)) == saved
    assert (books.stored.provider, books.released) == ("modelverse", 1)
    books.free = False
    with pytest.raises(UsageError):
        run(engine.run(failure("rejected"), first=moving))
    assert run(engine.run(a_task(state=PENDING), wait=False)).state == PENDING


def test_a_signal_ends_the_waiting(tmp_path: Path) -> None:
    """After Ctrl-C a render tells what the ledger has, and leaves it to the workers."""
    books = Books(a_task(state=PENDING))
    engine = an_engine(books, None, tmp_path)
    engine.stop.set()
    assert run(engine.run(a_task())) == books.stored


def test_a_file_that_does_not_come(tmp_path: Path) -> None:
    """A result that a worker saved and that is not here is no success: the folders are not the same."""
    file = File(index=1, path=str(tmp_path / "x.png"), bytes=1, sha256="0", mime="image/png")
    saved = a_task(state=Saved(files=(file,)), charged="yes")
    with pytest.raises(StateUnusable, match="same folder") as told:
        run(an_engine(Books(saved), saved, tmp_path).run(a_task()))
    assert told.value.charged == "yes"
    Path(str(file.path)).write_bytes(b"x")
    assert run(an_engine(Books(saved), saved, tmp_path).run(a_task())) == saved


def test_files_that_workers_cannot_read(tmp_path: Path) -> None:
    """A copy that was made smaller on this machine is not queued, nor a file outside of the manifest's root."""
    engine = an_engine(Books(a_task()), None, tmp_path)
    inside = LocalFile(path=str(tmp_path / "in.png"), sha256="0", size=1, mime="image/png")
    away = replace(inside, path="/elsewhere/in.png")

    def of(file: LocalFile) -> Task:
        medium = Media(role="reference", kind="image", file=file)
        return a_task(job=replace(a_task().job, media=(medium,)))

    assert run(engine.plan(of(inside))) == of(inside)
    for file, why in ((away, "not below"), (replace(away, original=inside), "smaller copy")):
        with pytest.raises(UsageError, match=why):
            run(engine.plan(of(file)))


def test_what_is_withdrawn() -> None:
    """What nobody has begun is taken back with the reason; what a worker has stays."""
    why = ProviderUnavailable("not sent")
    books = Books(a_task())
    withdraw(books, a_task(), None)  # type: ignore[arg-type]
    books.free = False
    withdraw(books, a_task(), why)  # type: ignore[arg-type]
    assert books.stored.state == New()
    books.free = True
    withdraw(books, a_task(), why)  # type: ignore[arg-type]
    assert (books.stored.state.kind, books.stored.charged) == ("failed", "no")
    books.stored = a_task(state=PENDING)
    withdraw(books, a_task(), why)  # type: ignore[arg-type]
    assert (books.stored.state, books.released) == (PENDING, 2)


@pytest.mark.parametrize(
    ("hint", "becomes"),
    [
        ("wan wait rivya:t-1", "wan status rivya:t-1 --queue URL"), ("wan recover abc", "wan recover abc --queue URL"),
        ("wan wait --all", "wan status --queue URL"), ("wan status", "wan status --queue URL"),
        ("wan help money", "wan help money"), ("wan status --queue URL", "wan status --queue URL"),
        ("wan recover --help", "wan recover --help"),
    ],
)  # fmt: skip
def test_hints_find_the_queue(hint: str, becomes: str) -> None:
    """A hint about a task of the queue is about that ledger; without a queue it stays as it is."""
    assert of_queue(hint, "postgresql://x") == becomes
    assert of_queue(hint, None) == hint


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:pw@h/d", "postgresql://me@h/d"), ("postgresql://h/d?password=pw&host=x", "postgresql://h/d?host=x"),
        ("postgresql://me@h/d?sslpassword=pw", "postgresql://me@h/d"), ("postgresql://h:5432/d", "postgresql://h:5432/d"),
    ],
)  # fmt: skip
def test_no_password_is_in_a_hint(url: str, shown: str) -> None:
    """The command that goes on is told without the password of the address."""
    assert without_password(url) == shown
    assert "pw" not in spelled("run the command again", ["render", "a.toml", f"--queue={url}"])
