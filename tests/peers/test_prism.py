"""wan against Prism, which holds every request against OpenAI's own description of its image API.

The description is read from the shared folder (``WAN_SHARED``, otherwise ``../shared``), already mended: OpenAI's file
keeps the ``nullable`` of an older dialect, with which Prism checks nothing (``peers-setup/normalise_openapi.py``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support_cli import picture
from support_installing import from_npm, script
from support_peers import Customer, Peer

pytestmark = pytest.mark.peers

VERSION = "5.16.0"
SHARED = Path(os.environ.get("WAN_SHARED") or Path(__file__).resolve().parents[3] / "shared")
DESCRIPTION = SHARED / "peers-setup" / "openai-images.json"
PASSED = "The request passed the validation rules"
GENERATE = ("generate", "a paper crane", "-o", "out/")


@pytest.fixture(scope="session")
def package() -> Path:
    """Return the folder that Prism is installed in."""
    if not DESCRIPTION.is_file():
        pytest.skip(f"{DESCRIPTION} is not there, so Prism has nothing to judge by")
    return from_npm("@stoplight/prism-cli", VERSION)


@pytest.fixture(scope="module")
def prism(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Return Prism. It leaves out the path of the description's server, so that is put before each path."""
    folder = tmp_path_factory.mktemp("prism")
    description = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
    description["paths"] = {f"/v1{path}": what for path, what in description["paths"].items()}
    (folder / "openai.json").write_text(json.dumps(description), encoding="utf-8")
    words = ("mock", "-p", "{port}", "-h", "127.0.0.1", "openai.json", "--errors")
    with Peer((*script(package, "prism"), *words), folder) as peer:
        yield peer


@pytest.fixture
def wan(prism: Peer, customer: Callable[[Peer], Customer]) -> Customer:
    """Return ``wan(*argv)``, a customer of Prism with three pictures."""
    made = customer(prism)
    for name in ("a.png", "b.png", "mask.png"):
        (made.machine.work / name).write_bytes(picture(64, 64))
    return made


VALID = [
    GENERATE,
    (*GENERATE, "-n", "2", "-s", "1536x1024"),
    (*GENERATE, "--param", "quality=high", "--param", "output_compression=80"),
    ("edit", "a.png", "make it blue", "-o", "out/"),
    ("edit", "a.png", "make it blue", "--mask", "mask.png", "-n", "2", "-s", "1024x1024", "-o", "out/"),
]


@pytest.mark.parametrize("words", VALID, ids=["plain", "n and size", "params", "edit", "edit with a mask"])
def test_what_wan_sends_is_valid(wan: Customer, prism: Peer, words: tuple[str, ...]) -> None:
    """OpenAI's description admits what wan sends; Prism's answer, ``"string"`` for a picture, never becomes a file."""
    before = prism.said.count(PASSED)
    ran = wan(*words)
    assert prism.said.count(PASSED) == before + 1, ran
    assert ran.code == 12, ran
    error = ran.json["error"]
    assert (error["code"], error["charged"]) == ("download_failed", "yes")
    assert "expected a picture" in error["message"]
    assert _made(wan) == []


WRONG = [("quality=best", "body property quality"), ("background=7", "body property background")]


@pytest.mark.parametrize(("param", "complaint"), WRONG)
def test_what_is_wrong_is_judged(wan: Customer, prism: Peer, param: str, complaint: str) -> None:
    """A parameter that the user got wrong goes out as it was given, is refused with 422, and nothing was bought."""
    ran = wan(*GENERATE, "--param", param)
    assert ran.code == 4, ran
    error = ran.json["error"]
    assert (error["http_status"], error["code"], error["charged"]) == (422, "request_rejected", "no")
    assert complaint in prism.said
    assert _made(wan) == []


def test_the_judge_judges(prism: Peer) -> None:
    """Prism refuses a raw request with two faults and names both, and one without a key."""
    answer = prism.ask("POST", "/v1/images/generations", json={"prompt": 5, "n": 99})
    assert answer.status_code == 422
    assert [fault["location"] for fault in answer.json()["validation"]] == [["body", "prompt"], ["body", "n"]]
    assert prism.ask("POST", "/v1/images/generations", key=None, json={"prompt": "a"}).status_code == 401


def test_what_it_takes_is_learnt(wan: Customer, prism: Peer) -> None:
    """--probe finds from refusals alone that Prism takes ``image`` only, and edits with several pictures work then."""
    sold = prism.said.count(PASSED)
    ran = wan.machine.run("doctor", "--probe", "-p", "openai", "--json")
    assert ran.code == 0, ran
    assert prism.said.count(PASSED) == sold, "no request of the probe may pass"
    learnt = [
        row["finding"].partition(" (")[0] for row in ran.json["doctor"] if row["check"] == "gateway" and row["ok"]
    ]
    assert learnt == ["edits: yes", "response_format: url, b64_json", "image_field: image"]
    assert wan("edit", "a.png", "b.png", "put them side by side", "-o", "out/").code == 12
    assert prism.said.count(PASSED) == sold + 1


def test_several_pictures(wan: Customer, prism: Peer) -> None:
    """``image[]``, which OpenAI's own SDKs send, is not in OpenAI's description; the switch sends ``image``."""
    words = ("edit", "a.png", "b.png", "put them side by side", "-o", "out/")
    assert wan(*words).code == 4
    assert "must have required property 'image'" in prism.said
    config = wan.machine.root / "config.toml"
    config.write_text('[providers.openai]\nimage_field = "image"\n', encoding="utf-8")
    config.chmod(0o600)
    before = prism.said.count(PASSED)
    assert wan(*words, WAN_CONFIG=str(config)).code == 12
    assert prism.said.count(PASSED) == before + 1


def _made(wan: Customer) -> list[str]:
    """Return the files that are there now and were not there before."""
    files = (path for path in wan.machine.work.rglob("*") if path.is_file())
    return sorted({path.name for path in files} - {"a.png", "b.png", "mask.png"})
