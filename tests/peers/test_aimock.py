"""wan against aimock, an independent imitation of OpenAI's image API that can be made to misbehave."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support_cli import picture
from support_installing import from_npm, script
from support_peers import KEY, Customer, Peer

pytestmark = pytest.mark.peers

VERSION = "1.43.0"
SIDES = (64, 48)
CHAOS = {"hang up": "disconnectRate", "garble": "malformedRate", "drop": "dropRate"}
LIMIT = {
    "error": {"message": "Rate limit reached", "type": "rate_limit_error", "code": "rate_limit_exceeded"},
    "status": 429, "retryAfter": 1,
}  # fmt: skip
REFUSAL = {
    "error": {"message": "Rejected by the safety system", "type": "user_error", "code": "moderation_blocked"},
    "status": 400,
}  # fmt: skip


def _fixtures() -> list[dict[str, Any]]:
    """Return aimock's rules: what each prompt is answered with; the last one answers all others."""
    good = {"images": [{"b64Json": base64.b64encode(picture(*SIDES)).decode(), "revisedPrompt": "revised"}]}
    rules: list[dict[str, Any]] = [
        {"match": {"userMessage": "busy once", "sequenceIndex": 0}, "response": LIMIT},
        {"match": {"userMessage": "busy for good"}, "response": LIMIT},
        {"match": {"userMessage": "forbidden"}, "response": REFUSAL},
        *({"match": {"userMessage": prompt}, "response": good, "chaos": {rate: 1}} for prompt, rate in CHAOS.items()),
        {"match": {}, "response": good},
    ]
    return [rule | {"match": rule["match"] | {"endpoint": "image"}} for rule in rules]


@pytest.fixture(scope="session")
def package() -> Path:
    """Return the folder that aimock is installed in."""
    return from_npm("@copilotkit/aimock", VERSION)


@pytest.fixture(scope="module")
def server(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Return aimock, which knows one key."""
    folder = tmp_path_factory.mktemp("aimock")
    (folder / "fixtures.json").write_text(json.dumps({"fixtures": _fixtures()}), encoding="utf-8")
    words = ("-p", "{port}", "-h", "127.0.0.1", "-f", "fixtures.json", "--validate-on-load", "--strict")
    with Peer((*script(package, "llmock"), *words), folder, AIMOCK_API_KEYS=KEY) as peer:
        yield peer


@pytest.fixture
def aimock(server: Peer) -> Peer:
    """Return aimock, which has forgotten every request."""
    assert server.ask("POST", "/__aimock/reset/journal").is_success
    return server


@pytest.fixture
def wan(aimock: Peer, customer: Callable[[Peer], Customer]) -> Customer:
    """Return ``wan(*argv)``, a customer of aimock."""
    return customer(aimock)


def arrived(peer: Peer) -> list[Any]:
    """Return the requests that aimock has received, oldest first."""
    found: list[Any] = peer.ask("GET", "/__aimock/journal").json()
    return found


@pytest.mark.parametrize("tail", ["", "/v1", "/v1/images/generations"], ids=["origin", "version", "endpoint"])
def test_a_picture(wan: Customer, aimock: Peer, tail: str) -> None:
    """A picture inside the answer becomes a file, by one request, however the base URL is written."""
    ran = wan("generate", "a paper crane", "-o", "crane.png", OPENAI_BASE_URL=aimock.url + tail)
    assert ran.code == 0, ran
    (task,) = ran.json["tasks"]
    assert task["revised_prompt"] == "revised"
    assert task["request_id"].startswith("req-")
    assert [file["path"] for file in task["files"]] == ["crane.png"]
    assert (wan.machine.work / "crane.png").read_bytes() == picture(*SIDES)
    (request,) = arrived(aimock)
    assert (request["method"], request["path"]) == ("POST", "/v1/images/generations")
    assert request["headers"]["content-type"] == "application/json"
    assert request["body"]["messages"] == [{"role": "user", "content": "a paper crane"}]
    assert request["headers"]["user-agent"].startswith("wan/")


@pytest.mark.parametrize("pictures", [("a.png",), ("a.png", "b.png")], ids=["one", "two"])
def test_an_edit(wan: Customer, aimock: Peer, pictures: tuple[str, ...]) -> None:
    """An edit goes as multipart, with one picture or several and a mask, and aimock finds the prompt in it."""
    for name in (*pictures, "mask.png"):
        (wan.machine.work / name).write_bytes(picture(64, 64))
    ran = wan("edit", *pictures, "make it blue", "--mask", "mask.png", "-o", "blue.png")
    assert ran.code == 0, ran
    assert (wan.machine.work / "blue.png").read_bytes() == picture(*SIDES)
    (request,) = arrived(aimock)
    assert request["path"] == "/v1/images/edits"
    assert request["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert request["body"]["messages"] == [{"role": "user", "content": "make it blue"}]


def test_a_probe_buys_nothing(wan: Customer, aimock: Peer) -> None:
    """Aimock would draw for any prompt, and refuses every request of a probe, which says what cannot be known."""
    ran = wan.machine.run("doctor", "--probe", "--json")
    assert ran.code == 0, ran
    asked = [request for request in arrived(aimock) if request["method"] == "POST"]
    assert {request["response"]["status"] for request in asked} == {400}
    told = {row["finding"].partition(":")[0]: row["ok"] for row in ran.json["doctor"] if row["check"] == "gateway"}
    assert told == {"models": True, "edits": True, "response_format": None, "image_field": None, "size_separator": None}


def test_fewer_than_asked(wan: Customer, aimock: Peer) -> None:
    """A server that answers two with one leaves one file and exit 11; the other is not bought again."""
    ran = wan("generate", "two cranes", "-n", "2", "-o", "crane.png")
    assert ran.code == 11, ran
    assert len(wan.machine.files()) == 1
    assert len(arrived(aimock)) == 1


REFUSED = [
    ("a crane", "sk-another", 3, "key_rejected", "invalid_api_key"),
    ("forbidden", KEY, 4, "moderation", "moderation_blocked"),
]


@pytest.mark.parametrize(("prompt", "key", "code", "name", "words"), REFUSED, ids=["key", "prompt"])
def test_refusals(wan: Customer, prompt: str, key: str, code: int, name: str, words: str) -> None:
    """A wrong key and a refused prompt are told apart by the server's own code, and nothing was bought."""
    ran = wan("generate", prompt, "-o", "crane.png", OPENAI_API_KEY=key)
    assert ran.code == code, ran
    error = ran.json["error"]
    assert (error["code"], error["provider_code"], error["charged"]) == (name, words, "no")
    assert not wan.machine.files()


def test_a_limit_that_passes(wan: Customer, aimock: Peer) -> None:
    """After a 429 the second request comes when Retry-After has passed, and the picture arrives."""
    ran = wan("generate", "busy once", "-o", "crane.png")
    assert ran.code == 0, ran
    first, second = arrived(aimock)
    assert (first["response"]["status"], second["response"]["status"]) == (429, 200)
    assert second["timestamp"] - first["timestamp"] >= 1000
    assert wan.machine.files() == ["crane.png"]


def test_a_limit_that_stays(wan: Customer, aimock: Peer) -> None:
    """When every answer is a 429, wan gives up after a few, says that nothing was bought, and when to come back."""
    ran = wan("generate", "busy for good", "-o", "crane.png")
    assert ran.code == 6, ran
    error = ran.json["error"]
    assert (error["code"], error["charged"], error["retry_after_s"]) == ("rate_limited", "no", 1.0)
    times = [request["timestamp"] for request in arrived(aimock)]
    assert 2 <= len(times) <= 6
    assert all(later - earlier >= 1000 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("prompt", CHAOS)
def test_a_lost_answer(wan: Customer, aimock: Peer, prompt: str) -> None:
    """A hung-up connection, a garbled answer and a bare 500 leave the outcome open: exit 9, one request, no file."""
    ran = wan("generate", prompt, "-o", "crane.png")
    assert ran.code == 9, ran
    assert (ran.json["error"]["code"], ran.json["error"]["charged"]) == ("outcome_unknown", "unknown")
    assert len(arrived(aimock)) == 1
    assert not wan.machine.files()
    assert [task["state"] for task in wan.machine.tasks()] == ["unknown"]


# aimock's own flags for chaos: each request meets one of these by chance, so what is claimed holds whatever comes.
FLAGS = {"ratelimit": "0.3", "disconnect": "0.2", "malformed": "0.15", "drop": "0.1"}
ASSETS = 12


@pytest.fixture
def stormy(package: Path, tmp_path: Path) -> Iterator[Peer]:
    """Return aimock with every chaos flag."""
    folder = tmp_path / "stormy"
    folder.mkdir()
    (folder / "fixtures.json").write_text(json.dumps({"fixtures": _fixtures()[-1:]}), encoding="utf-8")
    chaos = [word for name, rate in FLAGS.items() for word in (f"--chaos-{name}", rate)]
    words = ("-p", "{port}", "-h", "127.0.0.1", "-f", "fixtures.json", *chaos)
    with Peer((*script(package, "llmock"), *words), folder) as peer:
        yield peer


def test_a_storm(stormy: Peer, customer: Callable[[Peer], Customer]) -> None:
    """Under all chaos flags each order is taken once at most, and each asset ends as aimock's journal says."""
    wan = customer(stormy)
    assets = "\n".join(f'[[asset]]\nid = "a{n}"\nprompt = "crane number {n}."\n' for n in range(ASSETS))
    defaults = '[defaults]\nprovider = "openai"\nmodel = "gpt-image-1"\noutput = "out/{id}{ext}"\n'
    (wan.machine.work / "assets.toml").write_text(f"{defaults}\n{assets}", encoding="utf-8")
    ran = wan.machine.run("render", "assets.toml", "--json", "--jobs", str(ASSETS), "--yes")
    bought: dict[str, list[str]] = {}
    for request in arrived(stormy):
        chaos = request["response"].get("chaosAction") or "none"
        if chaos != "rateLimit":
            bought.setdefault(request["body"]["messages"][0]["content"], []).append(chaos)
    assert all(len(taken) == 1 for taken in bought.values()), bought
    expected = {}
    for n in range(ASSETS):
        (taken,) = bought.get(f"crane number {n}.", ["refused"])
        expected[f"a{n}"] = {"none": "succeeded", "refused": "rate_limited"}.get(taken, "outcome_unknown")
    ended = {task["prompt"]: (task["error"] or {"code": task["state"]})["code"] for task in ran.json["tasks"]}
    assert ended == {f"crane number {name[1:]}.": how for name, how in expected.items()}, ran
    good = [name for name, how in expected.items() if how == "succeeded"]
    assert sorted(path.stem for path in wan.machine.work.glob("out/*")) == sorted(good)
    unknown = "outcome_unknown" in expected.values()
    assert ran.code in ({9} if unknown else {0} if len(good) == ASSETS else {6, 11})
