"""Modelverse's contract: what its page shows is accepted and answered as it shows it; all else is refused."""

from __future__ import annotations

import io
import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from wan_cli.sandbox import modelverse
from wan_cli.sandbox.world import World

if TYPE_CHECKING:
    from pathlib import Path

START = 1_775_115_000.75
CAT = "https://umodelverse-inference.cn-wlcb.ufileos.com/亿恩科技-maxcot.jpg"
# The requests of seeds/002, verbatim but for the line breaks; CAT stands for the page's sample address.
SYNC = """
{ "model": "wan2.7-image", "prompt": "A futuristic cloud data center floating above the sea at sunrise", "size": "1K",
"seed": 123456, "watermark": false }

{ "model": "wan2.7-image-pro", "prompt": "把这只猫改成赛博朋克风格,霓虹灯光,电影感构图", "image": "CAT", "size": "2K",
"thinking_mode": true, "watermark": false }

{ "model": "wan2.7-image-pro", "prompt": "融合两张参考图的主体特征,生成一张高级感品牌海报", "images": [ "CAT", "CAT" ],
"size": "2048x2048", "thinking_mode": true, "seed": 20260402 }

{ "model": "wan2.7-image-pro", "prompt": "生成一组同一角色在春夏秋冬四季中的海报,人物形象保持一致", "size": "2K",
"thinking_mode": true, "enable_sequential": true, "n": 4 }
""".replace("CAT", CAT).split("\n\n")
TASKS = """
{ "model": "wan2.7-image-pro", "input": { "prompt": "一只坐在咖啡馆窗边的布偶猫", "images": [ "CAT" ] }, "parameters":
{ "size": "2K", "prompt_extend": true, "enable_sequential": true, "n": 4, "seed": 123456, "watermark": false } }

{ "model": "wan2.7-image", "input": { "prompt": "A futuristic cloud data center floating above the sea at sunrise" },
"parameters": { "size": "1K", "seed": 123456 } }

{ "model": "wan2.7-image-pro", "input": { "prompt": "把这只猫改成赛博朋克风格,霓虹灯光,电影感构图", "img_url": "CAT" },
"parameters": { "size": "2K", "prompt_extend": true, "watermark": false } }

{ "model": "wan2.7-image-pro", "input": { "prompt": "融合两张参考图的主体特征,生成一张高级感品牌海报", "images":
[ "CAT", "CAT" ] }, "parameters": { "size": "2048x2048", "prompt_extend": true, "seed": 20260402 } }

{ "model": "wan2.7-image-pro", "input": { "prompt": "生成一组同一角色在春夏秋冬四季中的海报,人物形象保持一致" },
"parameters": { "size": "2K", "prompt_extend": true, "enable_sequential": true, "n": 4 } }
""".replace("CAT", CAT).split("\n\n")
VERBS = [("generate", 0, 1), ("edit", 1, 1), ("fuse", 2, 1), ("sequence", 0, 4)]


class Sandbox:
    """A world whose clock is moved by hand, and a client of it that sends the test key."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.world = World(folder, clock=lambda: self.now, latency=2)

    def send(
        self, method: str, path: str, *, key: str | None = f"Bearer {modelverse.KEY}", **more: Any
    ) -> httpx.Response:
        """Send a request with the test key, or with `key`."""
        headers = {**({"Authorization": key} if key is not None else {}), **more.pop("headers", {})}
        return modelverse.handle(
            httpx.Request(method, f"https://api.modelverse.cn/v1{path}", headers=headers, **more), self.world
        )

    def post(self, path: str, body: str | dict[str, Any], kind: str = "application/json") -> httpx.Response:
        """Post JSON."""
        content = body if isinstance(body, str) else json.dumps(body)
        return self.send("POST", path, content=content, headers={"Content-Type": kind})

    def sync(self, **fields: Any) -> httpx.Response:
        """Ask for pictures at once."""
        return self.post("/images/generations", {"model": "wan2.7-image-pro", "prompt": "a fox", **fields})

    def task(self, parameters: dict[str, Any] | None = None, **inputs: Any) -> httpx.Response:
        """Submit a task."""
        body = {"model": "wan2.7-image-pro", "input": inputs, "parameters": parameters or {}}
        return self.post("/tasks/submit", body)

    def status(self, task_id: str) -> httpx.Response:
        """Ask where a task is."""
        return self.send("GET", "/tasks/status", params={"task_id": task_id})

    def drawn(self, response: httpx.Response) -> list[dict[str, Any]]:
        """Return the pictures the newest order will draw."""
        assert response.status_code == 200, response.text
        task = self.world.task("modelverse", self.world.purchases()[-1]["task_id"])
        assert task is not None
        return [picture.model_dump() for picture in task.pictures]


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """Return a sandbox on a fresh folder."""
    return Sandbox(tmp_path)


def invalid(response: httpx.Response, word: str = "") -> None:
    """Check a refusal in the shape of the Wan 2.7 pages."""
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (400, "InvalidParameter"), body
    assert set(body) == {"error", "request_id"}
    assert set(body["error"]) == {"code", "message"}
    assert re.fullmatch(r"req_\w+", body["request_id"])
    assert word in body["error"]["message"]


def refused(response: httpx.Response, status: int, code: str) -> None:
    """Check a refusal in the gateway's common shape."""
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (status, code), body
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "code", "param"}
    assert body["error"]["type"] == "invalid_request_error"
    assert re.fullmatch(r"req_\w+", body["error"]["param"])


def picture(width: int, height: int, kind: str = "PNG", mode: str = "RGB", **more: Any) -> bytes:
    """Return an encoded picture."""
    data = io.BytesIO()
    Image.new(mode, (width, height)).save(data, kind, **more)
    return data.getvalue()


def inline(data: bytes, mime: str = "image/png") -> str:
    """Return a data URI."""
    return f"data:{mime};base64,{b64encode(data).decode()}"


@pytest.mark.parametrize(("body", "verb"), list(zip(SYNC, VERBS, strict=True)))
def test_documented_sync_requests(sandbox: Sandbox, body: str, verb: tuple[str, int, int]) -> None:
    """The page's four synchronous requests are accepted verbatim and answered at once with created and urls alone."""
    response = sandbox.post("/images/generations", body)
    answer = response.json()
    assert set(answer) == {"created", "data"}
    assert answer["created"] == int(START)
    assert all(set(item) == {"url"} for item in answer["data"])
    drawn = sandbox.drawn(response)
    assert (drawn[0]["verb"], len(drawn[0]["inputs"]), len(answer["data"])) == verb
    assert [item["index"] for item in drawn] == list(range(1, verb[2] + 1))
    assert drawn[0]["prompt"] == json.loads(body)["prompt"]
    assert drawn[0]["seed"] == json.loads(body).get("seed", drawn[0]["seed"])


@pytest.mark.parametrize(("body", "verb"), list(zip(TASKS, [("sequence", 1, 4), *VERBS], strict=True)))
def test_documented_tasks(sandbox: Sandbox, body: str, verb: tuple[str, int, int]) -> None:
    """The page's five task requests are accepted verbatim; then Pending, Running, Success."""
    response = sandbox.post("/tasks/submit", body)
    answer = response.json()
    assert set(answer) == {"output", "request_id"}
    assert re.fullmatch(r"req_\w+", answer["request_id"])
    task_id = answer["output"].pop("task_id")
    assert answer["output"] == {}
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", task_id)
    drawn = sandbox.drawn(response)
    assert (drawn[0]["verb"], len(drawn[0]["inputs"]), len(drawn)) == verb
    output = {"task_id": task_id, "task_status": "Pending", "submit_time": int(START)}
    assert sandbox.status(task_id).json() == {"output": output, "request_id": ""}
    sandbox.now += 0.5
    assert sandbox.status(task_id).json() == {"output": {**output, "task_status": "Running"}, "request_id": ""}
    sandbox.now += 9
    done = sandbox.status(task_id).json()
    urls = done["output"].pop("urls")
    assert done == {
        "output": {**output, "task_status": "Success", "finish_time": int(START + 2)},
        "usage": {"completion_tokens": verb[2], "total_tokens": verb[2]},
        "request_id": "",
    }
    assert [url.partition("?")[0] for url in urls] == [
        f"https://sandbox.invalid/results/{task_id}/{n}.png" for n in range(1, verb[2] + 1)
    ]


def test_purchases(sandbox: Sandbox) -> None:
    """Every accepted request is charged by its pictures, without credits or key: a repeated one is charged again."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    for _ in range(2):
        sandbox.send("POST", "/images/generations", content=SYNC[3], headers=headers)
    sandbox.post("/tasks/submit", TASKS[1])
    lines = [(p["model"], p["count"], p["credits"], p["idempotency_key"]) for p in sandbox.world.purchases()]
    assert lines == [("wan2.7-image-pro", 4, None, None)] * 2 + [("wan2.7-image", 1, None, None)]


def test_failing_prompt(sandbox: Sandbox) -> None:
    """`sandbox:fail` ends a task in Failure with a message and no urls; a sync request is refused, uncharged."""
    task_id = sandbox.task(prompt="sandbox:fail").json()["output"]["task_id"]
    assert sandbox.status(task_id).json()["output"]["task_status"] == "Pending"
    sandbox.now += 2
    done = sandbox.status(task_id).json()
    assert set(done) == {"output", "request_id"}
    assert set(done["output"]) == {"task_id", "task_status", "submit_time", "finish_time", "error_message"}
    assert done["output"]["task_status"] == "Failure"
    assert done["output"]["error_message"].startswith("code=InternalError, message=")
    invalid(sandbox.sync(prompt="sandbox:fail"))
    assert len(sandbox.world.purchases()) == 1


def test_moderated_prompt(sandbox: Sandbox) -> None:
    """`sandbox:moderation` is 400 sensitive_check_error in the common shape, on both endpoints, and not charged."""
    refused(sandbox.sync(prompt="sandbox:moderation"), 400, "sensitive_check_error")
    refused(sandbox.task(prompt="sandbox:moderation"), 400, "sensitive_check_error")
    assert sandbox.world.purchases() == []


@pytest.mark.parametrize(
    ("fields", "width", "height"),
    [
        ({}, 2048, 2048),
        ({"size": "1K"}, 1024, 1024),
        ({"size": "4K"}, 4096, 4096),
        ({"size": "1024x768"}, 1024, 768),
        ({"size": "1024*768"}, 1024, 768),
        ({"size": "4096x4096"}, 4096, 4096),
        ({"size": "768x768"}, 768, 768),
        ({"size": "6144x768"}, 6144, 768),
        ({"model": "wan2.7-image", "size": "2048x2048"}, 2048, 2048),
    ],
)
def test_sizes(sandbox: Sandbox, fields: dict[str, Any], width: int, height: int) -> None:
    """From text a tier is a square and WxH or W*H is taken as it is, up to the totals of its case."""
    drawn = sandbox.drawn(sandbox.sync(**fields))[0]
    assert (drawn["width"], drawn["height"]) == (width, height)


@pytest.mark.parametrize(
    ("sides", "size", "width", "height"),
    [
        ((1920, 1080), "2K", 2720, 1530),
        ((800, 600), "1K", 1180, 884),
        ((500, 500), "2K", 2048, 2048),
        ((1201, 601), "2K", 2894, 1448),
        ((251, 509), "1K", 718, 1458),
    ],
)
def test_tier_follows_the_last_picture(
    sandbox: Sandbox, sides: tuple[int, int], size: str, width: int, height: int
) -> None:
    """With pictures a tier has the last one's aspect, even sides, an area within the tier and above the least."""
    drawn = sandbox.drawn(sandbox.sync(images=[CAT, inline(picture(*sides))], size=size))[0]
    side = {"1K": 1024, "2K": 2048}[size]
    assert drawn["width"] % 2 == drawn["height"] % 2 == 0
    assert 768 * 768 <= drawn["width"] * drawn["height"] <= side * side
    assert drawn["width"] / drawn["height"] == pytest.approx(sides[0] / sides[1], rel=0.01)
    assert (drawn["width"], drawn["height"]) == pytest.approx((width, height), abs=4)


@pytest.mark.parametrize(
    "fields",
    [
        {"size": "4K", "model": "wan2.7-image"},
        {"size": "4K", "image": CAT},
        {"size": "4K", "enable_sequential": True},
        {"size": "2049x2048", "model": "wan2.7-image"},
        {"size": "2049x2048", "image": CAT},
        {"size": "2049x2048", "enable_sequential": True},
        {"size": "4097x4096"},
        {"size": "768x767"},
        {"size": "6145x768"},
        {"size": "3K"},
        {"size": "2k"},
        {"size": "1024X1024"},
        {"size": "1024x1024 "},
        {"size": "0x0"},
        {"size": "x"},
        {"size": ""},
        {"size": 1024},
        {"size": None},
        {"size": "9" * 5000 + "x1"},
    ],
)
def test_refused_sizes(sandbox: Sandbox, fields: dict[str, Any]) -> None:
    """4K and large totals outside pro text-to-image, other totals, aspects and spellings out of bounds are refused."""
    invalid(sandbox.sync(**fields), "size")
    assert sandbox.world.purchases() == []


WRONG: dict[str, list[Any]] = {
    "response_format": ["url"],
    "prompt_extend": [True],
    "negative_prompt": ["blur"],
    "n": [0, 5, True, "2", None],
    "seed": [-1, 1.5, "1", None],
    "watermark": ["false", 0],
    "thinking_mode": ["true"],
    "enable_sequential": [1],
    "model": ["wan-2-7-image", None],
    "prompt": [1, "", None],
    "images": [[], [CAT] * 10, CAT],
    "image": [[CAT]],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_refused_fields(sandbox: Sandbox, field: str, value: Any) -> None:
    """Fields the schema does not have, other types and counts out of range are InvalidParameter by name, uncharged."""
    invalid(sandbox.sync(**{field: value}), field)
    assert sandbox.world.purchases() == []


def test_refused_tasks(sandbox: Sandbox) -> None:
    """A task takes no thinking_mode, no stray field at any level, and needs an input with something in it."""
    invalid(sandbox.task({"thinking_mode": True}, prompt="a fox"), "parameters.thinking_mode")
    invalid(sandbox.task({"response_format": "url"}, prompt="a fox"), "parameters.response_format")
    invalid(sandbox.task({"n": 5}, prompt="a fox"), "n:")
    invalid(sandbox.sync(n=13, enable_sequential=True), "n:")
    invalid(sandbox.task(prompt="a fox", image=CAT), "input.image")
    invalid(sandbox.task(), "prompt")
    invalid(sandbox.post("/tasks/submit", {"model": "wan2.7-image"}), "input")
    invalid(sandbox.post("/tasks/submit", {"model": "wan2.7-image", "input": {"prompt": "x"}, "n": 1}), "n:")
    body = {"model": "wan2.7-image", "input": {"prompt": "x"}}
    assert sandbox.post("/tasks/submit", body).status_code == 200


def test_broken_bodies(sandbox: Sandbox) -> None:
    """A body must be a JSON object, and its type must be said."""
    invalid(sandbox.post("/images/generations", "{"), "body:")
    invalid(sandbox.post("/images/generations", "[]"), "body:")
    invalid(sandbox.post("/images/generations", "{}"), "model:")
    invalid(sandbox.post("/images/generations", SYNC[0], "text/plain"), "Content-Type")
    assert sandbox.post("/images/generations", SYNC[0], "application/json; charset=utf-8").status_code == 200


def test_counts_and_seeds(sandbox: Sandbox) -> None:
    """Up to 4 pictures, 12 in a sequence; all of a request share one seed; 0 or none means a random one."""
    assert len(sandbox.drawn(sandbox.sync(n=4))) == 4
    twelve = sandbox.drawn(sandbox.sync(n=12, enable_sequential=True, seed=5, watermark=True))
    assert {(p["seed"], p["watermark"], p["verb"]) for p in twelve} == {(5, True, "sequence")}
    assert [p["index"] for p in twelve] == list(range(1, 13))
    seeds = {sandbox.drawn(sandbox.sync(**fields))[0]["seed"] for fields in ({}, {}, {"seed": 0}, {"seed": 0})}
    assert len(seeds) > 1
    assert min(seeds) > 0


def test_precedence(sandbox: Sandbox) -> None:
    """`images` wins over `image`; `images` over `img_url` over `first_frame_url`; a picture needs no prompt."""
    one, two, three = (inline(picture(240 + n, 300)) for n in range(3))

    def sides(response: httpx.Response) -> list[int]:
        names = sandbox.drawn(response)[0]["inputs"]
        return [Image.open(io.BytesIO(sandbox.world.blob(name))).width for name in names]

    assert sides(sandbox.sync(image=one, images=[three, two])) == [242, 241]
    assert sides(sandbox.sync(image=one)) == [240]
    assert sides(sandbox.task(images=[three], img_url=one, first_frame_url=two)) == [242]
    assert sides(sandbox.task(img_url=one, first_frame_url=two)) == [240]
    assert sides(sandbox.task(first_frame_url=two)) == [241]
    assert sides(sandbox.sync(prompt="", image=one)) == [240]


@pytest.mark.parametrize(
    "text",
    [
        inline(picture(240, 1920)),
        inline(picture(300, 300, "JPEG"), "image/jpeg"),
        inline(picture(300, 300, "WEBP"), "image/webp"),
        inline(picture(300, 300, "BMP"), "image/bmp"),
        inline(picture(300, 300, "JPEG"), "image/jpg"),
        inline(picture(300, 300, "WEBP", "RGBA", lossless=True), "image/webp"),
        inline(picture(300, 300, mode="L")),
        b64encode(picture(8000, 1000, mode="1")).decode(),
        CAT,
    ],
    ids=["slim", "jpeg", "webp", "bmp", "jpg", "webp-alpha", "grey", "bare", "url"],
)
def test_accepted_pictures(sandbox: Sandbox, text: str) -> None:
    """URLs, data URIs and bare base64 of the documented formats and sides are taken on both endpoints."""
    assert sandbox.sync(image=text).status_code == 200
    assert sandbox.task(img_url=text).status_code == 200


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (inline(picture(239, 300)), "239x300"),
        (inline(picture(8001, 2000, mode="1")), "8001x2000"),
        (inline(picture(240, 1921)), "1:8"),
        (inline(picture(300, 300, mode="RGBA")), "alpha"),
        (inline(picture(300, 300, mode="LA")), "alpha"),
        (inline(picture(300, 300, mode="P", transparency=0)), "alpha"),
        (inline(picture(300, 300, "GIF")), "not a readable picture"),
        (inline(b"plain text"), "not a readable picture"),
        (inline(picture(14000, 14000, mode="1")), "not a readable picture"),
        (inline(picture(300, 300), "image/gif"), "invalid image url"),
        ("http://example.com/a.png", "invalid image url"),
        ("file:///a.png", "invalid image url"),
        ("/home/me/a.png!", "invalid image url"),
        ("https://", "invalid image url"),
        ("data:image/png;base64,@@", "invalid image url"),
        ("é", "invalid image url"),
    ],
)
def test_refused_pictures(sandbox: Sandbox, text: str, word: str) -> None:
    """Sides, aspect, alpha, format and encoding are checked; what is no https URL and no base64 is no picture."""
    invalid(sandbox.sync(image=text), word)
    invalid(sandbox.task(prompt="a fox", images=[CAT, text]), word)
    assert sandbox.world.purchases() == []


def test_largest_picture(sandbox: Sandbox) -> None:
    """An input may have 20 MB and no byte more."""
    twenty = 20 * 1024 * 1024
    assert sandbox.sync(image=inline(picture(300, 300).ljust(twenty, b"\0"))).status_code == 200
    invalid(sandbox.sync(image=inline(picture(300, 300).ljust(twenty + 1, b"\0"))), f"at most {twenty}")


def test_unknown_tasks(sandbox: Sandbox) -> None:
    """A task id that is not known, missing, or another provider's answers 400 "invalid task_id"."""
    for task_id in ("nobody", "../tasks/x", ""):
        invalid(sandbox.status(task_id), "invalid task_id")
    invalid(sandbox.send("GET", "/tasks/status"), "invalid task_id")


def test_keys(sandbox: Sandbox) -> None:
    """A missing or wrong key is 401 auth_error in the common shape, on every endpoint."""
    for method_path in ("POST /images/generations", "POST /tasks/submit", "GET /tasks/status"):
        for key in (None, "", modelverse.KEY, "Bearer sk-other"):
            refused(sandbox.send(*method_path.split(), key=key), 401, "auth_error")


def test_unknown_paths_and_methods(sandbox: Sandbox) -> None:
    """Unknown paths are 404 and wrong methods 405, in the common shape."""
    for path in ("/nothing", "/images/edits", "/tasks/submit/"):
        refused(sandbox.send("POST", path), 404, "not_found")
    for method_path in ("GET /images/generations", "GET /tasks/submit", "POST /tasks/status", "DELETE /tasks/status"):
        answer = sandbox.send(*method_path.split())
        refused(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == {"GET": "POST", "POST": "GET", "DELETE": "GET"}[method_path.split()[0]]
