"""Yunwu's contract: what the seed shows is accepted and answered as it shows it; all else is refused."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from wan_cli.sandbox import yunwu
from wan_cli.sandbox.world import World

if TYPE_CHECKING:
    from pathlib import Path

START = 1_778_142_759.913
# The four requests of seeds/003, verbatim but for the line breaks.
EXAMPLES = [
    '{ "model": "wan2.7-image-pro", "prompt": "一间有着精致窗户的花店,漂亮的木质门,摆放着花朵" }',
    '{ "model": "wan2.7-image-pro", "prompt": "雪山湖泊日出,写实摄影", "size": "4K" }',
    '{ "model": "wan2.7-image-pro", "prompt": "宽银幕城市夜景", "size": "1920*1080", "watermark": false }',
    '{ "model": "wan2.7-image-pro", "prompt": "相同种子复现测试,红色玫瑰", "size": "2K", "n": 1, '
    '"watermark": false, "seed": 42 }',
]
SIZES = [(2048, 2048), (4096, 4096), (1920, 1080), (2048, 2048)]
FORMAT = (
    "invalid request body: json: cannot unmarshal string into Go struct field "
    "GeneralOpenAIRequest.response_format of type dto.ResponseFormat"
)
WRONG: list[tuple[str, Any]] = [
    ("n", 0), ("n", 5), ("n", "1"), ("n", None), ("n", 1.5),
    ("size", "3K"), ("size", "1920 x 1080"), ("size", "100x100"), ("size", "4097x4097"), ("size", "9000x1000"),
    ("size", 2048), ("size", None), ("seed", -1), ("seed", 2147483648), ("seed", "1"), ("watermark", "false"),
    ("watermark", 0), ("prompt", ""), ("prompt", None), ("model", None), ("image", "https://a/b.png"),
    ("images", []), ("negative_prompt", "x"), ("input", {}), ("parameters", {}), ("quality", "high"),
]  # fmt: skip
CAT = "https://example.com/cat.png"


class Sandbox:
    """A world that stands still, and a client of it that sends the test key."""

    def __init__(self, folder: Path, *, through: bool = False) -> None:
        self.world = World(folder, clock=lambda: START, yunwu_passthrough=through)

    def send(self, method: str, path: str, key: str = f"Bearer {yunwu.KEY}", **more: Any) -> httpx.Response:
        """Send a request."""
        request = httpx.Request(method, f"https://yunwu.ai/v1{path}", headers={"Authorization": key}, **more)
        return yunwu.handle(request, self.world)

    def ask(self, body: str | None = None, **fields: Any) -> httpx.Response:
        """Ask for pictures."""
        content = body or json.dumps({"model": "wan2.7-image-pro", "prompt": "a fox", **fields})
        return self.send("POST", "/images/generations", content=content)

    def drawn(self) -> list[dict[str, Any]]:
        """Return the pictures of the newest order."""
        task = self.world.task("yunwu", self.world.purchases()[-1]["task_id"])
        assert task is not None
        return [picture.model_dump() for picture in task.pictures]


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """Return a strict relay."""
    return Sandbox(tmp_path)


@pytest.fixture
def through(tmp_path: Path) -> Sandbox:
    """Return a relay that lets Alibaba's fields through."""
    return Sandbox(tmp_path, through=True)


def refused(response: httpx.Response, status: int, code: str | None, word: str = "") -> None:
    """Check new-api's envelope, whose message ends with the request id."""
    error = response.json()["error"]
    assert set(response.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert (response.status_code, error["code"], error["param"]) == (status, code, ""), error
    assert re.search(r" \(request id: \d{23}[A-Za-z0-9]{8}\)$", error["message"])
    assert word in error["message"]


@pytest.mark.parametrize(("body", "size"), list(zip(EXAMPLES, SIZES, strict=True)))
def test_documented_requests(sandbox: Sandbox, body: str, size: tuple[int, int]) -> None:
    """The seed's four requests are accepted verbatim and answered with links, what is unset being an empty string."""
    answer = sandbox.ask(body).json()
    assert set(answer) == {"created", "data"}
    assert answer["created"] == int(START)
    assert [set(item) for item in answer["data"]] == [{"url", "b64_json", "revised_prompt"}]
    assert answer["data"][0]["url"].startswith("https://sandbox.invalid/results/")
    assert (answer["data"][0]["b64_json"], answer["data"][0]["revised_prompt"]) == ("", "")
    drawn = sandbox.drawn()[0]
    sent = json.loads(body)
    assert (drawn["width"], drawn["height"], drawn["prompt"]) == (*size, sent["prompt"])
    assert drawn["seed"] == sent.get("seed", drawn["seed"])


def test_all_six_fields(sandbox: Sandbox) -> None:
    """Several pictures of one size and seed are sold in one order, in either spelling of pixels."""
    for size in ("1920x1080", "1920*1080"):
        assert len(sandbox.ask(size=size, n=4, watermark=True, seed=2147483647).json()["data"]) == 4
        drawn = sandbox.drawn()
        assert {(p["width"], p["height"], p["seed"], p["watermark"]) for p in drawn} == {(1920, 1080, 2147483647, True)}
        assert [p["index"] for p in drawn] == [1, 2, 3, 4]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_refused_fields(sandbox: Sandbox, field: str, value: Any) -> None:
    """Nothing but the six fields in their ranges passes; a refusal names the field and costs nothing."""
    refused(sandbox.ask(**{field: value}), 400, "invalid_request", field)
    assert sandbox.world.purchases() == []


@pytest.mark.parametrize("value", ["url", "b64_json", {"type": "text"}])
def test_response_format(sandbox: Sandbox, value: Any) -> None:
    """`response_format` is answered with the seed's very error, as the internal error its page calls it."""
    response = sandbox.ask(response_format=value)
    refused(response, 500, "invalid_request", FORMAT)
    assert response.json()["error"]["type"] == "new_api_error"


def test_words_that_steer(sandbox: Sandbox) -> None:
    """A prompt can ask for moderation, for an empty account and for a failure; none is charged."""
    refused(sandbox.ask(prompt="sandbox:moderation"), 400, "sensitive_words_detected")
    refused(sandbox.ask(prompt="sandbox:quota"), 403, "insufficient_user_quota")
    refused(sandbox.ask(prompt="sandbox:fail"), 400, "bad_response")
    assert sandbox.world.purchases() == []


def test_other_refusals(sandbox: Sandbox) -> None:
    """Edits, unknown paths and methods are 404; a wrong key is 401 with a null code; an unknown model has none."""
    refused(sandbox.send("POST", "/images/edits"), 404, "", "Invalid URL (POST /v1/images/edits)")
    refused(sandbox.send("GET", "/images/generations"), 404, "")
    refused(sandbox.send("GET", "/models", key="Bearer sk-other"), 401, None)
    refused(sandbox.ask(model="wan2.7-image"), 503, "model_not_found", "wan2.7-image")
    refused(sandbox.ask("{"), 400, "invalid_request", "JSON")
    refused(sandbox.ask("[]"), 400, "invalid_request", "object")


def test_models(sandbox: Sandbox) -> None:
    """The list has the one model."""
    assert [item["id"] for item in sandbox.send("GET", "/models").json()["data"]] == ["wan2.7-image-pro"]


def test_passthrough_parameters(through: Sandbox) -> None:
    """Alibaba's parameters replace the fields beside them, and without n of their own they bill four pictures."""
    answer = through.ask(n=1, seed=1, size="1K", parameters={"size": "2K", "seed": 7, "thinking_mode": True}).json()
    assert set(answer) == {"created", "data", "metadata"}
    assert len(answer["data"]) == 4
    assert answer["metadata"]["usage"] == {"image_count": 4, "size": "2048*2048"}
    assert answer["metadata"]["output"]["choices"][0]["message"]["content"][0]["image"] == answer["data"][0]["url"]
    assert {(p["seed"], p["width"]) for p in through.drawn()} == {(7, 2048)}
    assert len(through.ask(parameters={"enable_sequential": True}).json()["data"]) == 12
    assert len(through.ask(parameters={"n": 1}).json()["data"]) == 1
    assert set(through.ask(n=2).json()) == {"created", "data"}


def test_passthrough_input(through: Sandbox) -> None:
    """Alibaba's input brings pictures, inline or by URL; without `parameters` the fields beside it count."""
    inline = f"data:image/png;base64,{b64encode(b'bytes').decode()}"
    content = [{"image": CAT}, {"image": inline}, {"text": "make it blue"}]
    assert through.ask(input={"messages": [{"role": "user", "content": content}]}, size="1K").status_code == 200
    drawn = through.drawn()[0]
    assert (drawn["prompt"], drawn["verb"], drawn["width"], len(drawn["inputs"])) == ("make it blue", "fuse", 1024, 2)
    assert through.world.blob(drawn["inputs"][1]) == b"bytes"


@pytest.mark.parametrize(
    ("content", "parameters", "word"),
    [
        ([{"image": CAT}] * 10, {}, "at most 9"),
        ([{"image": "http://a/b.png"}], {}, "https"),
        ([{"image": "data:image/png;base64,?"}], {}, "base64"),
        ([{"image": CAT}], {"size": "4K"}, "4K"),
        ([{"text": "x"}], {"size": "4K", "enable_sequential": True}, "4K"),
        ([{"image": CAT}], {"size": "4096x4096"}, "size"),
        ([{"text": "x"}], {"n": 5}, "at most 4"),
        ([{"text": "x"}], {"negative_prompt": "x"}, "negative_prompt"),
        ([], {}, "content"),
    ],
)
def test_refused_passthrough(through: Sandbox, content: Any, parameters: Any, word: str) -> None:
    """What Alibaba would refuse is refused behind the relay too."""
    body = {"input": {"messages": [{"role": "user", "content": content}]}, "parameters": parameters}
    refused(through.ask(**body), 400, "invalid_request", word)
    assert through.world.purchases() == []
