"""Faults of the sandbox: how they are written, when they strike, and what a user sees of each (interface section 7)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from PIL import Image
from support_cli import BEGIN, Cli, drawn, picture

from wan_cli.errors import UsageError
from wan_cli.sandbox import faulty
from wan_cli.sandbox.faults import APPLIES, FORMS, Fault, Kind, Place, Tally, parse, parse_all
from wan_cli.sandbox.faulty import Faulty
from wan_cli.sandbox.records import Clip, Task
from wan_cli.sandbox.refusals import refusal
from wan_cli.sandbox.transport import CONTRACTS, InProcess
from wan_cli.sandbox.world import World

RV = ("generate", "a fox", "-p", "rivya", "--sandbox")
MV = ("generate", "a fox", "-p", "modelverse", "--sync", "--sandbox")


# -- how they are written ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("500", Fault("500")),
        ("429:retry-after=2", Fault("429", seconds=2)),
        ("429", Fault("429")),
        ("429:retry-after=2*1/submit", Fault("429", seconds=2, times=1, place="submit")),
        ("stall=5", Fault("stall", seconds=5)),
        ("stall=0.25@0.5/poll", Fault("stall", seconds=0.25, rate=0.5, place="poll")),
        ("drop-after@.1", Fault("drop-after", rate=0.1)),
        ("truncate/download*3", Fault("truncate", times=3, place="download")),
        ("jpeg-as-png@1", Fault("jpeg-as-png", rate=1)),
    ],
)
def test_a_fault_is_read(text: str, fault: Fault) -> None:
    """A fault is its kind, with a rate or a number of times, and a place, in any order; it can be written again."""
    assert parse(text) == fault
    assert parse(str(fault)) == fault


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_is_read_and_named(kind: str) -> None:
    """Every kind of the interface can be asked for, is listed in the forms and in the topic, and applies somewhere."""
    fault = parse(f"{kind}=5" if kind == "stall" else kind)
    assert [place for place in get_args(Place) if fault.applies(place)] == list(APPLIES[fault.kind])
    assert kind in FORMS


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a fault"),
        ("404", "not a fault"),
        ("drop", "not a fault"),
        ("500:retry-after=2", "only 429"),
        ("stall", "needs its seconds"),
        ("500=3", "only a stall"),
        ("stall=9999", "at most 3600"),
        ("500@1.5", "0 to 1"),
        ("500@2", "not a fault"),
        ("500*x", "not a fault"),
        ("500@0.5*2", "not a fault"),
        ("500/nowhere", "/submit and /poll and /upload and /download only"),
        ("fail/poll", "/submit only"),
        ("500/poll*1/submit", "one place"),
        ("\x1b[31m500", "not a fault"),
    ],
)
def test_what_is_no_fault(text: str, why: str) -> None:
    """Anything else is a usage error that says why, names every form, and shows no control characters."""
    with pytest.raises(UsageError, match=why) as caught:
        parse(text)
    assert FORMS in caught.value.message
    assert "\x1b" not in caught.value.message


def test_several_in_a_text() -> None:
    """Spaces and commas part faults, and their order is kept."""
    assert parse_all(["500*1, html", "", "fail,"]) == (Fault("500", times=1), Fault("html"), Fault("fail"))


# -- when they strike ----------------------------------------------------------------------------------------------


def test_times_are_counted_together(tmp_path: Path) -> None:
    """*TIMES is counted in the folder, so that two processes share it; starting over forgets it."""
    one, other, fault = Tally(tmp_path), Tally(tmp_path), parse("500*2")
    assert [one.strikes(fault), other.strikes(fault), one.strikes(fault)] == [True, True, False]
    other.start_over([fault])
    assert one.strikes(fault)
    assert all(one.strikes(parse("500")) for _ in range(3))
    assert [path.stat().st_mode & 0o77 for path in (tmp_path / "faults").iterdir()] == [0]


def test_a_rate_is_a_rate(tmp_path: Path) -> None:
    """@RATE strikes at that share of the requests, at the same ones in every world."""
    fault = parse("500@0.3")
    first = [Tally(tmp_path / "a").strikes(fault) for _ in range(400)]
    assert first == [Tally(tmp_path / "b").strikes(fault) for _ in range(400)]
    assert 90 < sum(first) < 150
    Tally(tmp_path / "a").start_over([fault])
    assert not any(Tally(tmp_path).strikes(parse("500@0")) for _ in range(20))
    assert all(Tally(tmp_path).strikes(parse("500@1")) for _ in range(20))


# -- what a user sees ----------------------------------------------------------------------------------------------


def bought(cli: Cli) -> int:
    """Return how many orders the sandbox charged."""
    return len(World(cli.root / "state" / "sandbox" / "world").purchases())


CASES = [
    (RV, "429:retry-after=2*1/submit", 0, "yes", 1),
    (MV, "429:retry-after=2*1", 0, "yes", 1),
    (MV, "429", 6, "no", 0),
    (RV, "429/submit", 6, "no", 0),
    (RV, "500*1/submit", 0, "yes", 1),
    (RV, "500*1/poll", 0, "yes", 1),
    (RV, "500/submit", 9, "unknown", 0),
    (MV, "500", 9, "unknown", 0),
    (RV, "drop-before*1/submit", 0, "yes", 1),
    (MV, "drop-before/submit", 9, "unknown", 0),
    (RV, "drop-after*1/submit", 0, "yes", 1),
    (MV, "drop-after*1/submit", 9, "unknown", 1),
    (RV, "drop-after*1/poll drop-before*1/download", 0, "yes", 1),
    (RV, "stall=5", 0, "yes", 1),
    (RV, "truncate*1", 0, "yes", 1),
    (MV, "truncate/submit", 9, "unknown", 1),
    (MV, "truncate*1/download", 0, "yes", 1),
    (MV, "truncate/download", 12, "yes", 1),
    (MV, "html/submit", 9, "unknown", 0),
    (MV, "html/download", 12, "yes", 1),
    (RV, "html*1", 0, "yes", 1),
    (MV, "500/download", 12, "yes", 1),
    (MV, "429/download", 12, "yes", 1),
    (MV, "expired-url", 10, "yes", 1),
    (RV, "expired-url*1", 0, "yes", 1),
    ((*MV, "-n", "2"), "k-of-n", 11, "yes", 1),
    (MV, "k-of-n", 0, "yes", 1),
    ((*MV, "-s", "1K", "--strict"), "wrong-size", 14, "yes", 1),
    ((*RV, "-s", "1K", "--strict"), "wrong-size", 14, "yes", 1),
    (RV, "fail", 7, "no", 1),
    ((*MV, "--async"), "fail", 7, "unknown", 1),
    (MV, "fail", 4, "no", 0),
    (RV, "moderation", 4, "no", 0),
    (MV, "moderation", 4, "no", 0),
    ((*MV, "--async"), "moderation", 4, "no", 0),
]


@pytest.mark.parametrize(("words", "faults", "code", "charged", "purchases"), CASES)
def test_exit_codes(cli: Cli, words: tuple[str, ...], faults: str, code: int, charged: str, purchases: int) -> None:
    """Each fault ends in its exit code, with the truth about money, and charges what it is documented to charge."""
    flags = [word for fault in faults.split() for word in ("--fault", fault)]
    ran = cli.run(*words, *flags, "--json")
    assert (ran.code, ran.task["charged"]) == (code, charged), ran.out
    assert bought(cli) == purchases
    if code in {0, 11, 14}:
        assert ran.task["files"]
        assert all((cli.cwd / file["path"]).stat().st_size == file["bytes"] for file in ran.task["files"])


def test_the_wait_that_was_asked_for_is_kept(cli: Cli) -> None:
    """The Retry-After of a 429 is obeyed, and a stall takes its seconds of the run's own clock."""
    assert cli.run(*MV, "--fault", "429:retry-after=7*1", "--fault", "stall=30*1/submit").code == 0
    assert any(seconds >= 7 for seconds in cli.clock.slept)
    assert 30 in cli.clock.slept


def test_jpeg_as_png(cli: Cli) -> None:
    """JPEG bytes under a PNG's name get their true extension, and a warning."""
    ran = cli.run(*MV, "-o", "fox.png", "--fault", "jpeg-as-png", "--json")
    assert ran.code == 0
    assert cli.files() == ["fox.jpg"]
    assert any("jp" in warning for warning in ran.task["warnings"])


@pytest.mark.parametrize(
    "fault", ["500*1", "drop-before*1", "drop-after*1", "truncate*1", "429:retry-after=1*1", "html*1"]
)
def test_uploads(cli: Cli, fault: str) -> None:
    """An upload, which costs nothing, survives what happens once, or ends in a code that says nothing was bought."""
    cli.write("a.png", picture())
    ran = cli.run("upload", "a.png", "-p", "rivya", "--sandbox", "--fault", f"{fault}/upload", "--json")
    assert ran.code in ({0} if fault != "html*1" else {0, 6}), ran.out
    assert bought(cli) == 0


def test_wait_and_status_play_too(cli: Cli) -> None:
    """Status and wait take faults: a task outlives a failed poll and a failed download."""
    submitted = cli.run(*RV, "--no-wait", "--latency", "60").lines
    assert cli.run("status", *submitted, "--sandbox", "--fault", "500/poll", "--latency", "60").code == 8
    assert cli.run("status", *submitted, "--wait", "--sandbox", "--fault", "html/download", "--latency", "0").code == 12
    ran = cli.run("wait", *submitted, "--sandbox", "--fault", "500*1", "--latency", "0")
    assert ran.code == 0
    assert bought(cli) == 1


def test_latency(cli: Cli) -> None:
    """--latency is how long a task takes."""
    assert cli.run(*RV, "--latency", "100").code == 0
    assert cli.clock.now >= BEGIN + 100


def test_from_the_environment(cli: Cli) -> None:
    """WAN_SANDBOX_FAULTS is announced; its *TIMES counts across commands, that of a flag begins with its command."""
    env = {"WAN_SANDBOX_FAULTS": "moderation*1, stall=2*1"}
    first = cli.run(*MV, env=env)
    assert first.code == 4
    assert "WAN_SANDBOX_FAULTS is set: moderation*1 stall=2*1" in first.err
    assert cli.run(*MV, env=env).code == 0
    assert [cli.run(*MV, "--fault", "moderation*1").code for _ in range(2)] == [4, 4]
    assert cli.run(*MV, env={"WAN_SANDBOX_FAULTS": " "}).code == 0


@pytest.mark.parametrize("words", [("--fault", "500"), ("--latency", "1")])
def test_only_in_the_sandbox(cli: Cli, words: tuple[str, ...]) -> None:
    """Without the sandbox --fault and --latency are usage errors; WAN_SANDBOX=1 is the sandbox."""
    for verb in (("generate", "a fox"), ("status",), ("wait",), ("upload", "a.png")):
        ran = cli.run(*verb, *words)
        assert ran.code == 2
        assert "--sandbox" in ran.said("hint")
    assert cli.run("status", *words, env={"WAN_SANDBOX": "1"}).code == 0


def test_a_wrong_fault_buys_nothing(cli: Cli) -> None:
    """A fault that is none is exit 2 before anything is sent, from a flag or from the environment."""
    assert cli.run(*MV, "--fault", "nonsense").code == 2
    assert cli.run(*MV, env={"WAN_SANDBOX_FAULTS": "500 nonsense"}).code == 2
    assert not (cli.root / "state" / "sandbox" / "world").exists()


# -- at the contracts ----------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a world that stands still."""
    return World(tmp_path, clock=lambda: BEGIN, draw=drawn, film=lambda *_, **__: b"film", latency=0)


def ask(world: World, contract: str, request: httpx.Request, *faults: str) -> httpx.Response:
    """Send one request through the transport, and read the answer."""

    async def send() -> httpx.Response:
        transport = InProcess(world, contract, faults=parse_all(faults))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.send(request)

    return asyncio.run(send())


def order(contract: str, **more: Any) -> httpx.Request:
    """Return a small order."""
    path, body = {
        "rivya": ("/api/v1/generations", {"model": "wan-2-7-image", "prompt": "p"}),
        "modelverse": ("/v1/images/generations", {"model": "wan2.7-image", "prompt": "p"}),
        "yunwu": ("/v1/images/generations", {"model": "wan2.7-image-pro", "prompt": "p"}),
        "openai": ("/v1/images/generations", {"model": "gpt-image-1", "prompt": "p"}),
        "toapis": (
            "/v1/videos/generations",
            {"model": "wan-2-7-video", "mode": "text-to-video", "input": {"prompt": "p"}},
        ),
        "dashscope": (
            "/api/v1/services/aigc/multimodal-generation/generation",
            {"model": "wan2.7-image", "input": {"messages": [{"role": "user", "content": [{"text": "p"}]}]}},
        ),
    }[contract]
    headers = {"Authorization": f"Bearer {CONTRACTS[contract].KEY}"}
    url = f"https://{CONTRACTS[contract].HOSTS[0]}{path}"
    return httpx.Request("POST", url, json={**body, **more}, headers=headers)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """Return what a refusal says, which DashScope's does without an envelope."""
    said: dict[str, Any] = response.json()
    return said.get("error", said)


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize(("fault", "status"), [("429:retry-after=2", 429), ("500", 500)])
def test_refusals_are_the_contracts_own(world: World, contract: str, fault: str, status: int) -> None:
    """429 and 500 come in the contract's envelope, with Retry-After as asked; nothing is charged."""
    response = ask(world, contract, order(contract), fault)
    assert response.status_code == status
    assert error_of(response)["message"]
    assert response.headers.get("retry-after") == ("2" if status == 429 else None)
    assert world.purchases() == []


@pytest.mark.parametrize("contract", CONTRACTS)
def test_moderation_is_the_contracts_own(world: World, contract: str) -> None:
    """The fault is answered exactly as the contract refuses a prompt that it does not like."""
    steered = order(contract)
    body = json.loads(steered.content.replace(b'"p"', b'"sandbox:moderation"'))
    asked = ask(
        world,
        contract,
        httpx.Request("POST", steered.url, headers={"Authorization": steered.headers["authorization"]}, json=body),
    )
    response = ask(world, contract, order(contract), "moderation")
    assert response.status_code == asked.status_code >= 400
    assert error_of(response).get("code") == error_of(asked).get("code")
    assert world.purchases() == []


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize(("fault", "charged"), [("drop-before", 0), ("drop-after", 1)])
def test_dropped(world: World, contract: str, fault: str, charged: int) -> None:
    """Before: closed and not charged. After: charged and closed."""
    with pytest.raises(httpx.ReadError):
        ask(world, contract, order(contract), fault)
    assert len(world.purchases()) == charged


def test_truncated(world: World) -> None:
    """Half the body comes under its whole length, and the stream breaks."""

    async def take(response: httpx.Response, data: bytearray) -> None:
        async for chunk in response.aiter_raw():
            data += chunk

    async def read() -> tuple[bytes, str]:
        transport, data = InProcess(world, "yunwu", faults=[parse("truncate")]), bytearray()
        response = await transport.handle_async_request(order("yunwu"))
        with pytest.raises(httpx.RemoteProtocolError, match=r"received \d+ bytes, expected \d+"):
            await take(response, data)
        return bytes(data), response.headers["content-length"]

    data, length = asyncio.run(read())
    assert len(data) == int(length) // 2
    assert len(world.purchases()) == 1


def test_under_a_repeated_key(world: World) -> None:
    """An order that a fault steers keeps the body that was sent: its key finds it again, whatever strikes then."""
    request = order("rivya")
    request.headers["Idempotency-Key"] = "k"
    first = ask(world, "rivya", request, "fail").json()
    again = order("rivya")
    again.headers["Idempotency-Key"] = "k"
    assert ask(world, "rivya", again).json()["id"] == first["id"]
    assert first["status"] == "failed"
    assert len(world.purchases()) == 1


def test_pictures_inside_the_answer(world: World) -> None:
    """jpeg-as-png and wrong-size reach Base64 as well, and a malformed or foreign answer stays as it is."""
    answer = ask(world, "openai", order("openai", size="1024x1024"), "jpeg-as-png", "wrong-size").json()
    image = Image.open(BytesIO(base64.b64decode(answer["data"][0]["b64_json"])))
    assert (image.format, image.size) == ("JPEG", (512, 512))
    assert "url" in ask(world, "yunwu", order("yunwu"), "jpeg-as-png").json()["data"][0]
    assert ask(world, "openai", order("openai", n=99), "jpeg-as-png").status_code == 400
    assert ask(world, "rivya", order("rivya"), "jpeg-as-png").status_code == 200


@pytest.mark.parametrize("answer", [b"[]", b'{"data": 1}', b'{"data": [1, {"b64_json": "!"}, {"b64_json": "AAAA"}]}'])
def test_no_picture_inside(answer: bytes) -> None:
    """What holds no picture is not changed."""
    assert faulty._with_jpegs(answer) is None


def test_a_result_as_jpeg(world: World) -> None:
    """A download becomes JPEG whole, also where a part was asked for, under the type of a PNG; a video stays."""
    url = ask(world, "yunwu", order("yunwu")).json()["data"][0]["url"]
    response = ask(world, "yunwu", httpx.Request("GET", url, headers={"Range": "bytes=5-"}), "jpeg-as-png")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    assert response.content.startswith(b"\xff\xd8\xff")
    assert ask(world, "yunwu", httpx.Request("GET", url), "jpeg-as-png*0").content.startswith(b"\x89PNG")
    (path,) = (world.folder / "drawn").iterdir()
    path.write_bytes(b"not a picture")
    assert ask(world, "yunwu", httpx.Request("GET", url), "jpeg-as-png").content == b"not a picture"


def test_videos_are_halved_and_even() -> None:
    """Half a clip has even sides, half a picture any."""
    clip = Clip(prompt="p", width=1280, height=722, seed=1, seconds=2)
    halved = faulty._halved(Task(id="t", provider="p", model="m", clips=(clip,)))
    assert (halved.clips[0].width, halved.clips[0].height) == (640, 360)


def test_a_form_is_steered(world: World) -> None:
    """A fault reaches the prompt of a multipart edit."""
    files = {"image": ("a.png", picture(), "image/png")}
    headers = {"Authorization": f"Bearer {CONTRACTS['openai'].KEY}"}
    url = "https://api.openai.com/v1/images/edits"
    form = {"prompt": "p", "model": "gpt-image-1"}
    request = httpx.Request("POST", url, data=form, files=files, headers=headers)
    assert ask(world, "openai", request).status_code == 200
    request = httpx.Request("POST", url, data=form, files=files, headers=headers)
    response = ask(world, "openai", request, "moderation")
    assert response.json()["error"]["code"] == "moderation_blocked"
    request = httpx.Request("POST", url, data={**form, "n": "2"}, files=files, headers=headers)
    assert len(ask(world, "openai", request, "k-of-n").json()["data"]) == 1


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"prompt": 5}', b'{"prompt": ""}', b"\xff"])
def test_malformed_orders_are_refused_as_ever(world: World, body: bytes) -> None:
    """A fault that steers a prompt leaves an order without one to the contract, which refuses it."""
    request = httpx.Request(
        "POST", order("yunwu").url, content=body, headers={"Authorization": order("yunwu").headers["authorization"]}
    )
    assert ask(world, "yunwu", request, "fail", "moderation").status_code == 400


def test_once_means_once(world: World) -> None:
    """A fault that had nothing to do has not struck: k-of-n*1 waits for an order of several."""
    assert len(ask(world, "yunwu", order("yunwu"), "k-of-n*1").json()["data"]) == 1
    assert len(ask(world, "yunwu", order("yunwu", n=3), "k-of-n*1").json()["data"]) == 2
    assert len(ask(world, "yunwu", order("yunwu", n=3), "k-of-n*1").json()["data"]) == 3


def test_a_stall_is_waited_for(world: World) -> None:
    """A stall waits with the sleep it was given, after the order was taken."""
    charged: list[int] = []

    async def sleep(seconds: float) -> None:
        charged.append(len(world.purchases()))
        assert seconds == 5

    async def run() -> None:
        calm = Faulty(world, parse_all(["stall=5"]), sleep=sleep)
        answer = await calm.answer(order("yunwu"), "yunwu", CONTRACTS["yunwu"].handle)
        assert answer.response.status_code == 200

    asyncio.run(run())
    assert charged == [1]


def test_the_file_hosts_refusals() -> None:
    """The file host refuses in XML, like Alibaba OSS."""
    assert b"<Code>Throttling</Code>" in refusal("results", 429).content
    assert b"<Code>InternalError</Code>" in refusal("results", 500).content


def test_the_topic(cli: Cli) -> None:
    """``wan help sandbox`` names every fault, and the environment's topic the variable."""
    text = cli.run("help", "sandbox").out
    assert all(kind in text for kind in get_args(Kind))
    assert "WAN_SANDBOX_FAULTS" in cli.run("help", "environment").out
    assert os.environ.get("WAN_SANDBOX_FAULTS") is None
