"""What every provider must do, whatever its contract: one suite, run through the real engine, client and ledger.

A provider joins with one :class:`Candidate`. Outside this repository::

    from conformance import Candidate, Conformance, candidates

    class TestMine(Conformance):
        candidate = candidates(Candidate(label="mine", adapter=lambda: Mine("https://mine.example"), key="k",
                                         wire=lambda world: MyContract(world), model="wan2.7-image"))

``wire`` is an httpx transport that plays the provider's side. The sandbox's ``World`` counts purchases, draws pictures
and serves results; a transport that has its own books gives ``purchases`` as well. The provider has to be registered,
since the engine looks the model up by the provider's name.
"""

from __future__ import annotations

import asyncio
import functools
import io
import json
import ssl
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wan_cli.catalog import Inputs, Model, Offer
from wan_cli.download import Fetcher, result_client
from wan_cli.engine import Engine, Service
from wan_cli.errors import UsageError
from wan_cli.fit import fit
from wan_cli.ledger import Ledger
from wan_cli.media import local_file
from wan_cli.models import (
    Cancelled,
    Done,
    Event,
    Failed,
    File,
    Job,
    Kind,
    Lost,
    Media,
    Pending,
    Role,
    Saved,
    State,
    Target,
    Task,
    TaskChanged,
    Unknown,
    Verb,
)
from wan_cli.providers.base import Provider
from wan_cli.record import from_document, to_document
from wan_cli.sandbox import InProcess, World
from wan_cli.transport.client import AnswerLost, Api
from wan_cli.transport.drive import Refusal, drive

SUFFIXES: dict[Kind, str] = {"image": "png", "video": "mp4", "audio": "mp3"}
OPTIONS: dict[str, Any] = {"watermark": True, "thinking": True, "negative": "blur", "audio_setting": "auto"}
TOKEN = "wan-conformance-0123456789abcdef"
BEGIN = 1_795_251_600.0
"""2026-11-21T09:00:00Z."""
AN_ACCOUNT = 12
"""Purchases that no account is too poor for."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One provider, on one of its routes, for one kind of result.

    ``key`` is the one its contract takes; ``n`` how many pictures a request asks for (1 where it cannot ask for more).
    ``takes`` says whether ``wire`` takes a change right at a documented limit, where it plays one server of many.
    """

    label: str
    adapter: Callable[[], Provider]
    key: str
    wire: Callable[[World], httpx.AsyncBaseTransport]
    model: str
    route: Literal["sync", "async"] | None = None
    n: int = 1
    makes: Kind = "image"
    takes: Callable[[Mapping[str, Any]], bool] = lambda said: True
    purchases: Callable[[World], int] = lambda world: len(world.purchases())
    results: Callable[[World], httpx.AsyncBaseTransport] = lambda world: InProcess(world, "results")

    @functools.cached_property
    def provider(self) -> Provider:
        """The adapter."""
        return self.adapter()

    @property
    def models(self) -> list[Model]:
        """Its models of this kind."""
        return [model for model in self.provider.capabilities.models if model.makes == self.makes]

    @property
    def offers(self) -> Iterator[tuple[Model, Verb, Offer]]:
        """What each of its models does."""
        for model in self.models:
            for verb, offer in model.verbs.items():
                yield model, verb, offer

    @property
    def seeded(self) -> bool:
        """Are two purchases with the same seed alike? A contract without seeds makes other pictures each time."""
        model = self.provider.capabilities.find(self.model)
        return model is not None and model.verbs["generate"].seed is not None


def candidates(*rows: Candidate) -> Any:
    """Return the fixture that runs a suite once for each row."""

    @pytest.fixture(params=rows, ids=lambda row: row.label)
    def candidate(self: Any, request: pytest.FixtureRequest) -> Candidate:
        row: Candidate = request.param
        return row

    return candidate


class Killed(BaseException):
    """The process ends here, as after ``kill -9``: nothing more is written."""


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds)
        await asyncio.sleep(0)


class Wire(httpx.AsyncBaseTransport):
    """Passes requests on and notes them; ``before`` and ``after`` are raised instead at the first purchase."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.seen: list[httpx.Request] = []
        self.before: BaseException | None = None
        self.after: BaseException | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        paid = request.method == "POST" and request.headers["content-type"].startswith("application/json")
        if paid and (error := self.before):
            self.before = None
            raise error
        response = await self.inner.handle_async_request(request)
        if paid and (error := self.after):
            self.after = None
            raise error
        return response


@functools.cache
def painted(width: int, height: int, shade: int) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.new("L", (width, height), shade).save(data, "PNG")
    return data.getvalue()


def drawn(prompt: str, width: int, height: int, *, seed: int, index: int, **_: Any) -> bytes:
    """Stand in for the sandbox's drawing: a picture that depends on seed and place, made at once."""
    return painted(width, height, (seed * 7 + index * 31) % 256)


def _box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return (len(data) + 8).to_bytes(4, "big") + kind + data


def filmed(prompt: str, width: int, height: int, *, seed: int, seconds: float, **_: Any) -> bytes:
    """Stand in for the sandbox's clips: an MP4 whose boxes tell sides and duration, and whose frames are its seed."""
    del prompt
    movie = _box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, round(seconds * 1000)), bytes(80))
    track = _box(b"tkhd", bytes(76), struct.pack(">II", width << 16, height << 16))
    return _box(b"ftyp", b"isom\0\0\2\0isom") + _box(b"moov", movie, _box(b"trak", track)) + _box(b"mdat", b"%d" % seed)


@dataclass
class Bench:
    """A machine: one folder with state and results, one provider behind a wire, and any number of processes."""

    candidate: Candidate
    folder: Path
    clock: Clock = field(default_factory=Clock)
    events: list[Event] = field(default_factory=list)
    processes: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.provider = self.candidate.provider
        self.world = World(self.folder / "world", clock=self.clock, draw=drawn, film=filmed)
        self.wire = Wire(self.candidate.wire(self.world))
        self.results = Wire(self.candidate.results(self.world))

    @property
    def purchases(self) -> int:
        """How often the provider was paid."""
        return self.candidate.purchases(self.world)

    def picture(self, number: int = 1) -> Path:
        """Make an input picture."""
        path = self.folder / f"input-{number}.png"
        path.write_bytes(painted(512, 512, number))
        return path

    def clip(self) -> Path:
        """Make an input video."""
        path = self.folder / "input.mp4"
        path.write_bytes(filmed("", 640, 360, seed=1, seconds=4))
        return path

    def medium(self, role: Role, kind: Kind, number: int, inputs: Inputs) -> Media:
        """Return an input: a local file, or an address where only those are taken."""
        if kind in inputs.remote_only or kind == "audio":
            return Media(role=role, kind=kind, url=f"https://cdn.example.com/{number}.{SUFFIXES[kind]}")
        path = self.clip() if kind == "video" else self.picture(number)
        return Media(role=role, kind=kind, file=local_file(str(path), inputs, kind=kind))

    @staticmethod
    def far(verb: Verb, offer: Offer, count: int) -> Iterator[Media]:
        """Yield inputs that are somewhere else."""
        kind = offer.inputs.kinds[0] if offer.inputs else "image"
        for number in range(count):
            url = f"https://cdn.example.com/{number}.{SUFFIXES[kind]}"
            yield Media(role="edit_source" if verb == "edit" else "reference", kind=kind, url=url)

    def job(self, verb: Verb = "generate", *, model: str = "", inputs: int | None = None, roles: Iterable[str] = (),
            **said: Any) -> Job:  # fmt: skip
        """Return a job within the limits, with as many local files as the verb needs, and one more for each role."""
        named = self.provider.capabilities.find(model or self.candidate.model)
        assert named is not None
        offer = named.verbs[verb]
        count = (offer.inputs.count[0] if offer.inputs else 0) if inputs is None else inputs
        role: Role = "edit_source" if verb == "edit" else "reference"
        media = [self.medium(role, offer.inputs.kinds[0], number, offer.inputs)
                 for number in range(1, count + 1) if offer.inputs]  # fmt: skip
        media += [
            self.medium(cast("Role", extra), offer.roles[extra].kinds[0], 9, offer.roles[extra]) for extra in roles
        ]
        usual: dict[str, Any] = {"prompt": "a paper crane", "n": self.candidate.n if offer.count else 1}
        if named.makes == "video":
            usual |= {"duration": offer.durations[0], "resolution": offer.resolutions[0]}
        else:
            usual["size"] = offer.sizes[0] if offer.sizes else None
        usual |= {"seed": 7} if offer.seed else {}
        return Job(verb=verb, provider=self.provider.name, model=named.name, makes=named.makes, media=tuple(media),
                   route=self.candidate.route, **(usual | said))  # fmt: skip

    def task(self, job: Job | None = None) -> Task:
        """Plan a task, as the making verbs do."""
        task = self.planned(job or self.job())
        with self.ledger() as ledger:
            ledger.add([task])
        return task

    def planned(self, job: Job, name: str = "k3f9x2") -> Task:
        """Return a task that is in no ledger yet."""
        model = self.provider.capabilities.find(job.model)
        assert model is not None
        return Task(
            id=name, provider=self.provider.name, origin=self.provider.origin, job=fit(job, model).job,
            provider_model=model.id, token=f"{TOKEN}-{name}", created_at=self.clock.now,
            target=Target(template=str(self.folder / "out" / "crane-{index}{ext}")),
        )  # fmt: skip

    def ledger(self) -> Ledger:
        """Open the ledger as a process of its own: earlier ones are dead."""
        self.processes += 1
        return Ledger.open(self.folder / "state", clock=self.clock, boot_id=f"boot-{self.processes}")

    def store(self, task: Task, state: State) -> Task:
        """Write a state down."""
        task = replace(task, state=state)
        with self.ledger() as ledger:
            ledger.save(task)
        return task

    def run(self, task: Task, *, key: str = "", **how: Any) -> Task:
        """Take the task along in a new process, as far as it goes or until it is killed."""
        with self.ledger() as ledger:
            ledger.release = lambda _: None  # type: ignore[method-assign] - a killed process lets nothing go
            try:
                return asyncio.run(self._run(ledger, task, key or self.candidate.key, how))
            except Killed:
                return ledger.get(task.id)

    def ordered(self, jobs: Iterable[Job]) -> list[Task]:
        """Take many jobs along in one process, one after the other, up to the provider's word on the order."""
        tasks = [self.planned(job, f"{number:06d}") for number, job in enumerate(jobs)]

        async def one_by_one() -> list[Task]:
            return [await self._run(ledger, task, self.candidate.key, {"wait": False}) for task in tasks]

        with self.ledger() as ledger:
            ledger.add(tasks)
            return asyncio.run(one_by_one())

    async def _run(self, ledger: Ledger, task: Task, key: str, how: dict[str, Any]) -> Task:
        async with result_client(lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), transport=self.results) as client:
            api = Api(self.provider.origin, lambda: key, transport=self.wire)
            fetcher = Fetcher(
                api_origin=self.provider.origin, client=lambda: client, with_key=api.fetch, check_addresses=False,
                sleep=self.clock.sleep, now=self.clock, rand=lambda: 0.5,
            )  # fmt: skip
            service = Service(self.provider, api, fetcher, api.close)
            engine = Engine(
                ledger=ledger, service=lambda _: service, report=self.events.append, scratch=self.folder / "scratch",
                now=self.clock, monotonic=self.clock, sleep=self.clock.sleep, rand=lambda: 0.5,
            )  # fmt: skip
            try:
                return await engine.run(task, **how)
            finally:
                await api.close()

    def saved(self, task: Task) -> tuple[File, ...]:
        """Return the files of a task that must be saved, after a look at the disk: whole, and nothing beside them."""
        assert isinstance(task.state, Saved), (task.state, task.trouble)
        on_disk = {str(path): path.read_bytes() for path in (self.folder / "out").iterdir()}
        assert set(on_disk) == {file.path for file in task.state.files}
        assert all(len(on_disk[file.path or ""]) == file.bytes for file in task.state.files)
        return task.state.files

    def named(self, files: tuple[File, ...]) -> list[tuple[str, str]]:
        """Return what tells two deliveries apart: names, and contents or (where no two purchases are alike) sides."""
        seeded = self.candidate.seeded
        return [(Path(f.path or "").name, f.sha256 if seeded else f"{f.width}x{f.height}") for f in files]


class Conformance:
    """The suite. A subclass names its :func:`candidates`."""

    @pytest.fixture
    def bench(self, candidate: Candidate, tmp_path: Path) -> Bench:
        """Return a fresh machine."""
        return Bench(candidate, tmp_path / "bench")

    @pytest.fixture
    def reference(self, candidate: Candidate, tmp_path: Path) -> list[tuple[str, str]]:
        """Return name and content of the files that an undisturbed run makes."""
        bench = Bench(candidate, tmp_path / "undisturbed")
        return bench.named(bench.saved(bench.run(bench.task())))

    def test_every_verb_goes_from_new_to_files(self, candidate: Candidate, tmp_path: Path) -> None:
        """Each verb of each model ends in as many files as asked for, with one purchase, and differs in nothing."""
        for model, verb, offer in candidate.offers:
            bench = Bench(candidate, tmp_path / model.name / verb)
            task = bench.run(bench.task(bench.job(verb, model=model.name)))
            assert len(bench.saved(task)) == (candidate.n if offer.count else 1)
            assert (bench.purchases, task.charged, task.warnings, task.differences) == (1, "yes", (), ())
            bench.run(task)
            assert bench.purchases == 1
            if model.makes == "video":
                lasting = [(file.mime, file.duration_s) for file in bench.saved(task)]
                assert lasting == [("video/mp4", offer.durations[0])]

    def test_the_request_is_the_same_every_time(self, bench: Bench) -> None:
        """A submit makes the same bytes for the same job and token, below its own origin and without the key."""
        job = bench.task().job
        first, second = (next(bench.provider.submit(job, token=TOKEN)) for _ in range(2))
        assert (first.method, first.url, first.content) == (second.method, second.url, second.content)
        assert str(first.url).startswith(bench.provider.base + "/")
        assert "authorization" not in first.headers

    def test_a_purchase_that_may_have_arrived_is_made_once(
        self, bench: Bench, reference: list[tuple[str, str]]
    ) -> None:
        """After a kill with the order at the provider: a key brings the same task; without one nobody buys again."""
        bench.wire.after = Killed()
        task = bench.run(bench.task())
        assert (task.state.kind, bench.purchases) == ("sending", 1)
        task = bench.run(task)
        assert bench.purchases == 1
        self.settled(bench, task, reference)

    def test_a_purchase_that_never_left_is_made_once_at_most(
        self, bench: Bench, reference: list[tuple[str, str]]
    ) -> None:
        """After a kill before the order arrived: a key buys now; without one it stays unknown."""
        bench.wire.before = Killed()
        task = bench.run(bench.task())
        assert (task.state.kind, bench.purchases) == ("sending", 0)
        task = bench.run(task)
        assert bench.purchases == int(bench.provider.idempotent)
        self.settled(bench, task, reference)

    @pytest.mark.parametrize("error", [httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x"), httpx.WriteError("x")])
    def test_a_lost_answer_never_buys_twice(
        self, bench: Bench, reference: list[tuple[str, str]], error: Exception
    ) -> None:
        """An answer that is lost on the way is asked for again under the key, or leaves the task unknown."""
        bench.wire.after = error
        task = bench.run(bench.task())
        assert bench.purchases == 1
        self.settled(bench, task, reference)

    @staticmethod
    def settled(bench: Bench, task: Task, reference: list[tuple[str, str]]) -> None:
        """Hold a disturbed purchase against what the provider's contract allows; another run changes nothing."""
        if bench.provider.idempotent:
            assert bench.named(bench.saved(task)) == reference
        else:
            assert (task.state.kind, task.charged) == ("unknown", "unknown")
        before = bench.purchases
        assert bench.run(task).state == task.state
        assert bench.purchases == before

    def test_a_connection_that_fails_buys_later(self, bench: Bench, reference: list[tuple[str, str]]) -> None:
        """What certainly was not sent is sent again, with or without a key."""
        bench.wire.before = httpx.ConnectError("refused")
        assert bench.named(bench.saved(bench.run(bench.task()))) == reference
        assert bench.purchases == 1

    def test_an_accepted_task_is_collected_by_another_process(
        self, bench: Bench, reference: list[tuple[str, str]]
    ) -> None:
        """``--no-wait`` and a later wait make the same files with one purchase."""
        task = bench.run(bench.task(), wait=False)
        assert isinstance(task.state, (Pending, Done))
        assert task.charged == "yes"
        assert bench.named(bench.saved(bench.run(task))) == reference
        assert bench.purchases == 1

    def test_a_handle_is_enough(self, bench: Bench, reference: list[tuple[str, str]]) -> None:
        """A task that was made elsewhere is collected from its id alone, where the provider has tasks."""
        task = bench.run(bench.task(), wait=False)
        if task.task_id is None:
            assert isinstance(task.state, Done)
            return
        task = bench.store(task, bench.provider.adopt(task.task_id))
        assert bench.named(bench.saved(bench.run(task))) == reference
        assert bench.purchases == 1

    def test_a_finished_task_is_fetched_without_what_is_here(
        self, bench: Bench, reference: list[tuple[str, str]]
    ) -> None:
        """From ``Done`` with none, some or all files on disk: the same files, only the missing ones are fetched."""
        done = bench.run(bench.task(), download=False)
        assert isinstance(done.state, Done)
        files = bench.saved(bench.run(done))
        for kept in range(len(files) + 1):
            for file in files[kept:]:
                Path(file.path or "").unlink(missing_ok=True)
            bench.results.seen.clear()
            again = bench.store(done, replace(done.state, files=files))
            assert bench.named(bench.saved(bench.run(again))) == reference
            assert len(bench.results.seen) == sum(output.url is not None for output in done.state.outputs[kept:])
        assert bench.purchases == 1

    def test_an_ended_task_is_left_alone(self, bench: Bench) -> None:
        """Nothing is sent for a task that is saved, failed, cancelled, unknown or lost."""
        saved = bench.run(bench.task())
        bench.saved(saved)
        bench.wire.seen.clear()
        ends = (saved.state, Failed(code="task_failed", message="no"), Cancelled(), Unknown(reason="?"),
                Lost(code="task_vanished", message="gone"))  # fmt: skip
        for state in ends:
            assert bench.run(bench.store(saved, state)).state == state
        assert bench.wire.seen == []
        assert bench.purchases == 1

    def test_a_wrong_key_buys_nothing(self, bench: Bench) -> None:
        """A key that the provider refuses ends the task, uncharged, with the setting to mend."""
        task = bench.run(bench.task(), key="wrong-key")
        assert isinstance(task.state, Failed)
        assert (task.state.code, task.charged, bench.purchases) == ("key_rejected", "no", 0)
        assert bench.provider.capabilities.key_env in task.state.message

    def test_what_is_documented_is_refused_here(self, bench: Bench) -> None:
        """Each limit of the catalogue is held before any request, with a hint; what is at the limit passes."""
        for model, verb, offer in bench.candidate.offers:
            for said in beyond(offer, model.makes, bench.provider.capabilities.param_options):
                job = bench.job(verb, model=model.name)
                media = said.pop("media", None)
                pictures = job.media if media is None else tuple(bench.far(verb, offer, media))
                with pytest.raises(UsageError) as refused:
                    fit(replace(job, media=pictures, **said), model)
                assert refused.value.exit_code == 2
        assert bench.wire.seen == []

    def test_what_is_at_the_limit_is_accepted_there(self, candidate: Candidate, tmp_path: Path) -> None:
        """The provider's side takes everything that passes the check here: the limits are not too wide."""
        for model, verb, offer in candidate.offers:
            limits = list(filter(candidate.takes, within(offer, model.makes)))
            for first in range(0, len(limits), AN_ACCOUNT):
                bench = Bench(candidate, tmp_path / model.name / verb / str(first))
                said = limits[first : first + AN_ACCOUNT]
                jobs = [bench.job(verb, model=model.name, inputs=one.pop("media", None), **one) for one in said]
                for task in bench.ordered(jobs):
                    assert isinstance(task.state, (Pending, Done)), (task.job, task.state)

    def test_every_state_survives_the_ledger(self, bench: Bench, candidate: Candidate) -> None:
        """Each state that a task goes through reads back from its document, and no file of ours holds the key."""
        bench.run(bench.task())
        states = [event.task for event in bench.events if isinstance(event, TaskChanged)]
        assert {"sending", "done", "saved"} <= {task.state.kind for task in states}
        for task in states:
            assert from_document(json.loads(json.dumps(to_document(task)))) == task
        for folder in ("state", "out"):
            for path in (bench.folder / folder).rglob("*"):
                assert path.is_dir() or candidate.key.encode() not in path.read_bytes(), path

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_no_answer_breaks_the_adapter(self, candidate: Candidate, data: st.DataObject) -> None:
        """Whatever comes back with whatever status is an answer, a refusal or unreadable, and nothing else."""
        provider = candidate.provider
        body = data.draw(st.one_of(st.sampled_from(ODD), st.builds(lambda v: json.dumps(v).encode(), answers)))
        status = data.draw(st.sampled_from([200, 201, 204, 302, 400, 401, 404, 409, 429, 500, 503]))

        async def send(request: httpx.Request) -> httpx.Response:
            return httpx.Response(status, content=body, request=request)

        job = Job(verb="generate", provider=provider.name, model=candidate.model, makes=candidate.makes,
                  prompt="x", route=candidate.route)  # fmt: skip
        for flow in (provider.submit(job, token=TOKEN), provider.poll(provider.adopt("task_1"))):
            try:
                answer = asyncio.run(drive(flow, provider, send))
            except (Refusal, AnswerLost):
                continue
            assert answer.kind in ("pending", "done", "failed", "cancelled")
            from_document(to_document(replace(BARE, state=answer)))


BARE = Task(
    id="k3f9x2", provider="x", origin="https://x", job=Job(verb="generate", provider="x", model="m", prompt="p"),
    provider_model="m", token=TOKEN, target=Target(template=None), created_at=0.0,
)  # fmt: skip
ODD = [b"", b"null", b"[]", b"{}", b"<html>", b"\xff\xfe", b"1e999", b"NaN", b"[" * 5000, b'{"id":"a"}\x00']
_WORDS = [
    "id", "task_id", "status", "task_status", "output", "data", "url", "urls", "result", "error", "code", "message",
    "error_message", "usage", "request_id", "b64_json", "created", "updated_at", "final_credits", "primary_url",
    "success", "detail", "finish_time", "param",
]  # fmt: skip
_TEXTS = ["", "task_1", "succeeded", "Success", "failed", "queued", "a/../b", "https://h/1.png", "2026-05-11T00:00:00Z"]
_VALUES = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**12), st.just(0.5), st.sampled_from(_TEXTS))
answers = st.recursive(
    _VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=6),
    max_leaves=12,
)


def beyond(offer: Offer, makes: Kind, params: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield one change to a good job for each limit, just past it."""
    yield {"prompt": "x" * (offer.prompt_max + 1)}
    yield {"prompt": "😀" * (offer.prompt_max // 2 + 1)}
    yield from ({"prompt": prompt} for prompt in ("", " \n", "a\x00b", "a\x1bb", "a\ud800b"))
    yield from ({"params": {"style": text}} for text in ("\udcff", "a\ud800"))
    yield {"n": 0}
    if offer.count:
        yield {"n": offer.count[1] + 1}
    if offer.seed:
        yield {"seed": offer.seed[1] + 1}
        yield {"seed": -1}
    else:
        yield {"seed": 7}
    yield from ({"aspect": aspect} for aspect in ("9:1", "1:9", "wide", "0:1"))
    if offer.inputs is None:
        yield {"media": 1}
    else:
        yield {"media": offer.inputs.count[1] + 1}
        if offer.inputs.count[0]:
            yield {"media": offer.inputs.count[0] - 1}
    yield from ({option: value} for option, value in OPTIONS.items() if option not in offer.options)
    yield from ({"params": {name: 1}} for name in params)
    yield from beyond_video(offer) if makes == "video" else beyond_picture(offer)


def beyond_picture(offer: Offer) -> Iterator[dict[str, Any]]:
    """Yield what only pictures have: tiers and pixels."""
    if not offer.tiers_as_pixels:
        yield from ({"size": tier} for tier in ("1K", "2K", "4K") if tier not in offer.sizes)
    yield from ({"size": size} for size in ("big", "1024", "0x0", "8K"))
    if offer.pixels:
        least, most = (int(pixels**0.5) for pixels in offer.pixels)
        yield {"size": f"{most + 1}x{most}"}
        if least > 1:
            yield from ({"size": f"{least - 1}{sign}{least}"} for sign in "x*")
    else:
        yield {"size": "1000x1000"}
    yield {"size": "1024x1024", "aspect": "16:9"}


def beyond_video(offer: Offer) -> Iterator[dict[str, Any]]:
    """Yield what only videos have: seconds and resolutions."""
    yield from ({"size": size} for size in ("1K", "1024x1024"))
    yield from ({"duration": seconds} for seconds in (0, -5, 1, 3600, offer.durations[-1] + 1))
    yield from ({"resolution": name} for name in ("", "8K", "720", "480p"))
    if offer.negative_max and "negative" in offer.options:
        yield {"negative": "x" * (offer.negative_max + 1)}


def within(offer: Offer, makes: Kind) -> Iterator[dict[str, Any]]:
    """Yield one change to a good job for each limit, right at it."""
    yield {"prompt": "x" * offer.prompt_max}
    if offer.count:
        yield from ({"n": n} for n in offer.count)
    if offer.seed:
        yield from ({"seed": seed} for seed in offer.seed)
    yield {"seed": None}
    if offer.inputs and offer.inputs.count[1] > 2:
        yield {"media": offer.inputs.count[1]}
    texts: dict[str, tuple[Any, ...]] = {
        "negative": ("blur", "x" * (offer.negative_max or 100)), "audio_setting": ("auto", "origin"),
    }  # fmt: skip
    yield from ({option: value} for option in offer.options for value in texts.get(option, (True, False)))
    yield from within_video(offer) if makes == "video" else within_picture(offer)


def within_picture(offer: Offer) -> Iterator[dict[str, Any]]:
    """Yield what only pictures have."""
    yield from ({"size": tier} for tier in (("1K", "2K", "4K") if offer.tiers_as_pixels else offer.sizes))
    yield {"size": None}
    if offer.pixels:
        side, least = int(offer.pixels[1] ** 0.5), int(offer.pixels[0] ** 0.5)
        yield from ({"size": size} for size in (f"{side}x{side}", f"{side}*{side}", f"{least}x{least}", "2176x272"))
    yield from ({"aspect": aspect} for aspect in offer.aspects or ("8:1", "1:8", "16:9", "1:1"))


def within_video(offer: Offer) -> Iterator[dict[str, Any]]:
    """Yield what only videos have."""
    yield from ({"duration": seconds} for seconds in (None, *offer.durations))
    yield from ({"resolution": name} for name in (None, *offer.resolutions, *map(str.upper, offer.resolutions)))
    yield from ({"aspect": aspect} for aspect in offer.aspects)
    yield from ({"roles": tuple(roles)} for roles in offer.sets)
