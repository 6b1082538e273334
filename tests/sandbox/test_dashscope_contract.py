"""DashScope's contract: keys, headers, models, and pictures; what its pages show is taken, all else is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support_dashscope import (
    ASYNC,
    ENABLED,
    RESOLVED,
    START,
    SYNC,
    UUID,
    VIDEO,
    A,
    B,
    Sandbox,
    body_of,
    inline,
    invalid,
    png,
    refused,
)

from wan_cli.sandbox import dashscope

if TYPE_CHECKING:
    from pathlib import Path

# The requests of Alibaba's page on Wan 2.7 pictures and of contracts.md 5.2, with addresses of our own.
DOCUMENTED = (
    """
{"model":"wan2.7-image-pro","input":{"messages":[{"role":"user","content":[{"text":"一间有着精致窗户的花店"}]}]},
"parameters":{"size":"2K","n":1,"watermark":false,"thinking_mode":true}}

{"model":"wan2.7-image-pro","input":{"messages":[{"role":"user","content":[{"image":"A"},{"image":"B"},{"text":"t"}]}]},
"parameters":{"size":"2K","n":1,"watermark":false}}

{"model":"wan2.7-image-pro","input":{"messages":[{"role":"user","content":[{"image":"A"},{"image":"B"},{"text":"t"}]}]},
"parameters":{"bbox_list":[[],[[189,115,438,481]]],"size":"2K","n":1}}

{"model":"wan2.7-image-pro","input":{"messages":[{"role":"user","content":[{"text":"四季"}]}]},
"parameters":{"enable_sequential":true,"n":4,"size":"2K"}}

{"model":"wan2.7-image","input":{"messages":[{"role":"user","content":[{"text":"t"}]}]},
"parameters":{"size":"1024*768","n":2,"seed":42,"color_palette":[{"hex":"#C2D1E6","ratio":"23.51%"},
{"hex":"#636574","ratio":"26.49%"},{"hex":"#CACAD2","ratio":"50.00%"}]}}
""".replace('"A"', f'"{A}"')
    .replace('"B"', f'"{B}"')
    .strip()
    .split("\n\n")
)
VERBS = [("generate", 0, 1), ("fuse", 2, 1), ("fuse", 2, 1), ("sequence", 0, 4), ("generate", 0, 2)]


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """Return a sandbox on a fresh folder."""
    return Sandbox(tmp_path)


@pytest.mark.parametrize(("text", "verb"), list(zip(DOCUMENTED, VERBS, strict=True)))
def test_documented_pictures(sandbox: Sandbox, text: str, verb: tuple[str, int, int]) -> None:
    """Each documented order is answered at once, one choice a picture, with what was made and a request id."""
    response = sandbox.order(SYNC, body_of(text))
    answer = response.json()
    assert set(answer) == {"output", "usage", "request_id"}
    assert response.headers["x-request-id"] == answer["request_id"]
    assert set(answer["output"]) == {"choices", "finished"}
    drawn = sandbox.ordered(response)
    assert (drawn[0]["verb"], len(drawn[0]["inputs"]), len(drawn)) == verb
    usage = answer["usage"]
    assert (usage["image_count"], usage["size"]) == (verb[2], f"{drawn[0]['width']}*{drawn[0]['height']}")
    assert len(answer["output"]["choices"]) == verb[2]
    for choice in answer["output"]["choices"]:
        (content,) = choice["message"].pop("content")
        assert choice == {"finish_reason": "stop", "message": {"role": "assistant"}}
        assert content["type"] == "image"
        assert content["image"].startswith("https://sandbox.invalid/results/")


@pytest.mark.parametrize("text", DOCUMENTED)
def test_the_same_as_a_task(sandbox: Sandbox, text: str) -> None:
    """The other endpoint takes the same orders: PENDING, RUNNING, SUCCEEDED, with times in Beijing."""
    response = sandbox.order(ASYNC, body_of(text))
    answer = response.json()
    task_id = answer["output"].pop("task_id")
    assert UUID.fullmatch(task_id)
    assert (answer["output"], set(answer)) == ({"task_status": "PENDING"}, {"output", "request_id"})
    begun: dict[str, Any] = {"task_id": task_id, "task_status": "PENDING", "submit_time": "2026-07-14 16:43:28.681"}
    assert sandbox.task(task_id) == {"output": begun}
    sandbox.now += 1
    running = begun | {"task_status": "RUNNING", "scheduled_time": "2026-07-14 16:43:29.681"}
    assert sandbox.task(task_id) == {"output": running}
    sandbox.now += 3
    ended = sandbox.task(task_id)
    choices, usage = ended["output"].pop("choices"), ended.pop("usage")
    done = running | {"task_status": "SUCCEEDED", "end_time": "2026-07-14 16:43:32.681", "finished": True}
    assert ended == {"output": done}
    assert len(choices) == usage["image_count"] == len(sandbox.ordered(response))


def test_the_asynchronous_header(sandbox: Sandbox) -> None:
    """Where tasks are the only way the header is needed with its one value; where they are no way it is refused."""
    for value in ("", "true", "Enable", "ENABLE", "disable"):
        for path in (ASYNC, VIDEO):
            response = sandbox.order(path, body_of(DOCUMENTED[0]), {"X-DashScope-Async": value})
            refused(response, 403, "AccessDenied", "current user api does not support synchronous calls")
    response = sandbox.order(SYNC, body_of(DOCUMENTED[0]), ENABLED)
    refused(response, 403, "AccessDenied", "current user api does not support asynchronous calls")
    assert sandbox.purchases == 0


@pytest.mark.parametrize("prefix", ["", "/alibailian", "/wan"])
def test_prefixes(sandbox: Sandbox, prefix: str) -> None:
    """Every path also answers below the prefixes of the relays that pass it on."""
    assert sandbox.order(SYNC, body_of(DOCUMENTED[0]), prefix=prefix).status_code == 200
    assert sandbox.send("GET", "/tasks/x", prefix=prefix).json()["output"]["task_status"] == "UNKNOWN"


def test_keys(sandbox: Sandbox) -> None:
    """A missing or wrong key is 401 InvalidApiKey everywhere, a workspace that cannot be one 403."""
    for method_path in (f"POST {SYNC}", f"POST {VIDEO}", "GET /tasks/x", "GET /tasks", "GET /uploads"):
        for key in (None, "", dashscope.KEY, "Bearer ", "Bearer sk-other"):
            refused(sandbox.send(*method_path.split(), key=key), 401, "InvalidApiKey")
    order = body_of(DOCUMENTED[0])
    assert sandbox.order(SYNC, order, {"X-DashScope-WorkSpace": "llm-abc123"}).status_code == 200
    refused(sandbox.order(SYNC, order, {"X-DashScope-WorkSpace": "a b"}), 403, "Workspace.AccessDenied")


def test_unknown_paths_and_methods(sandbox: Sandbox) -> None:
    """Unknown paths are 404 and wrong methods 405, which name the right one, in the flat envelope."""
    for path in ("/nothing", "/services/aigc/text2image/other", f"{SYNC}/"):
        refused(sandbox.send("POST", path), 404, "NotFound")
    for method_path in (f"GET {SYNC}", f"DELETE {VIDEO}", "POST /tasks/x", "GET /tasks/x/cancel", "POST /uploads"):
        answer = sandbox.send(*method_path.split())
        refused(answer, 405, "MethodNotAllowed")
        assert answer.headers["allow"] == {"GET": "POST", "POST": "GET", "DELETE": "POST"}[method_path.split()[0]]


def test_models(sandbox: Sandbox) -> None:
    """A model nobody has does not exist; one of another endpoint has the wrong URL, also on those of older models."""
    for path in (SYNC, ASYNC, VIDEO, "/services/aigc/text2image/image-synthesis"):
        for model in ("wan2.8-image", "wan-2-7-image", "WAN2.7-IMAGE"):
            invalid(sandbox.order(path, {"model": model, "input": {"prompt": "p"}}), "Model not exist.")
    pictured, filmed = body_of(DOCUMENTED[0]), {"model": "wan2.7-t2v", "input": {"prompt": "p"}}
    for path, body in ((SYNC, filmed), (ASYNC, filmed), (VIDEO, pictured)):
        invalid(sandbox.order(path, body), "url error")
    for path in ("text2image/image-synthesis", "image2image/image-synthesis", "image2video/video-synthesis"):
        invalid(sandbox.order(f"/services/aigc/{path}", filmed), "url error")
    assert sandbox.purchases == 0


def test_broken_bodies(sandbox: Sandbox) -> None:
    """A body is a JSON object of that type, with a model and an input in it; each lack has its code."""
    for text in ("", "{", "[]", "1"):
        headers = {"Content-Type": "application/json"}
        invalid(sandbox.send("POST", SYNC, content=text, headers=headers), "missing or invalid")
    for body in ({}, {"model": ""}, {"model": 1, "input": {"a": 1}}):
        refused(sandbox.order(SYNC, body), 400, "BadRequest.EmptyModel")
    for body in ({"model": "wan2.7-image"}, {"model": "wan2.7-image", "input": {}}):
        refused(sandbox.order(SYNC, body), 400, "BadRequest.EmptyInput")
    invalid(sandbox.send("POST", SYNC, content=DOCUMENTED[0], headers={"Content-Type": "text/plain"}), "Content-Type")


def test_steered(sandbox: Sandbox) -> None:
    """Words in a prompt are refused as content, rights or money are, on all endpoints, uncharged."""
    for path in (SYNC, ASYNC):
        refused(sandbox.draw(path=path, prompt="sandbox:moderation"), 400, "DataInspectionFailed")
        refused(sandbox.draw(path=path, prompt="sandbox:infringement"), 400, "IPInfringementSuspect")
        refused(sandbox.draw(path=path, prompt="sandbox:quota"), 400, "Arrearage")
    refused(sandbox.film(prompt="sandbox:moderation"), 400, "DataInspectionFailed")
    invalid(sandbox.draw(prompt="sandbox:fail"))
    refused(sandbox.draw(prompt="sandbox:inspection"), 400, "DataInspectionFailed")
    assert sandbox.purchases == 0


@pytest.mark.parametrize(
    ("word", "code"), [("sandbox:fail", "InternalError.Algo"), ("sandbox:inspection", "DataInspectionFailed")]
)
def test_failing_tasks(sandbox: Sandbox, word: str, code: str) -> None:
    """A task may end FAILED: with code and message in its output, and neither result nor receipt."""
    for response in (sandbox.draw(path=ASYNC, prompt=word), sandbox.film(prompt=word)):
        ended = sandbox.done(response)
        assert set(ended) == {"output"}
        expected = {"task_id", "task_status", "submit_time", "scheduled_time", "end_time", "code", "message"}
        assert set(ended["output"]) == expected
        assert (ended["output"]["task_status"], ended["output"]["code"]) == ("FAILED", code)


def test_counts(sandbox: Sandbox) -> None:
    """Without n come four pictures, in a sequence twelve, and they are charged; with it as many as it says."""
    order = body_of(DOCUMENTED[0])
    for parameters, count in (({}, 4), ({"enable_sequential": True}, 12), ({"n": 3}, 3)):
        response = sandbox.order(SYNC, {**order, "parameters": parameters})
        assert len(response.json()["output"]["choices"]) == len(sandbox.ordered(response)) == count
    assert len(sandbox.ordered(sandbox.order(SYNC, {key: order[key] for key in ("model", "input")}))) == 4
    invalid(sandbox.draw(n=5), "n: at most 4")
    assert [line["count"] for line in sandbox.world.purchases()] == [4, 12, 3, 4]


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({}, (2048, 2048)),
        ({"size": "1K"}, (1024, 1024)),
        ({"size": "4K"}, (4096, 4096)),
        ({"size": "1024*768"}, (1024, 768)),
        ({"size": "6144*768"}, (6144, 768)),
        ({"size": "768*768"}, (768, 768)),
        ({"size": "2048*2048", "model": "wan2.7-image"}, (2048, 2048)),
    ],
)
def test_sizes(sandbox: Sandbox, parameters: dict[str, Any], size: tuple[int, int]) -> None:
    """From text a tier is a square, and W*H is what is drawn."""
    drawn = sandbox.ordered(sandbox.draw(**parameters))[0]
    assert (drawn["width"], drawn["height"]) == size


def test_a_tier_follows_the_last_picture(sandbox: Sandbox) -> None:
    """With pictures a tier has the last one's aspect."""
    drawn = sandbox.ordered(sandbox.draw(A, inline(png(1920, 1080)), size="2K"))[0]
    assert (drawn["width"], drawn["height"]) == (2720, 1530)
    assert drawn["verb"] == "fuse"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"size": "4K", "model": "wan2.7-image"}, "size: 4K"),
    ({"size": "4K", "enable_sequential": True}, "size: 4K"),
    ({"size": "2049*2048", "model": "wan2.7-image"}, "size"),
    ({"size": "2049*2048", "enable_sequential": True}, "size"),
    ({"size": "4097*4096"}, "size"),
    ({"size": "768*767"}, "size"),
    ({"size": "6145*768"}, "size"),
    *(({"size": size}, "size") for size in ("1024x1024", "2k", "3K", "", "1024*", 1024, None, "9" * 60 + "*10")),
    *(({"n": n}, "n:") for n in (0, 13, "2", True, 1.5)),
    *(({"seed": seed}, "seed") for seed in (-1, 2**31, "1", None)),
    ({"watermark": "false"}, "watermark"),
    ({"thinking_mode": 1}, "thinking_mode"),
    ({"enable_sequential": "true"}, "enable_sequential"),
    ({"negative_prompt": "blur"}, "negative_prompt"),
    ({"prompt_extend": True}, "prompt_extend"),
    ({"response_format": "url"}, "response_format"),
    ({"bbox_list": [[[1, 2, 3, 4]]]}, "bbox_list: 1 lists for 0 images"),
    *(({name: None}, f"{name}: null is not taken") for name in ("n", "color_palette", "bbox_list")),
]


@pytest.mark.parametrize(("parameters", "words"), WRONG)
def test_refused_parameters(sandbox: Sandbox, parameters: dict[str, Any], words: str) -> None:
    """Sizes, counts, types and names that the page does not have are refused by name, on both endpoints, uncharged."""
    invalid(sandbox.draw(**parameters), words)
    invalid(sandbox.draw(path=ASYNC, **parameters), words)
    assert sandbox.purchases == 0


def test_4k_needs_text_alone(sandbox: Sandbox) -> None:
    """With a picture neither 4K nor more pixels than 2K has."""
    invalid(sandbox.draw(A, size="4K"), "4K")
    invalid(sandbox.draw(A, size="2049*2048"), "size")


def palette(*ratios: str, colour: str = "#A0B1c2") -> list[dict[str, str]]:
    """Return a palette."""
    return [{"hex": colour, "ratio": ratio} for ratio in ratios]


def test_palettes(sandbox: Sandbox) -> None:
    """Three to ten colours, shares with two decimals that sum to 100.00%, and never in a sequence."""
    good = palette("33.33%", "33.33%", "33.34%")
    assert sandbox.draw(color_palette=good).status_code == 200
    assert sandbox.draw(color_palette=palette(*["10.00%"] * 10)).status_code == 200
    invalid(sandbox.draw(color_palette=good, enable_sequential=True), "enable_sequential")
    for bad in (good[:2], palette(*["9.09%"] * 11), palette("50.00%", "25.00%", "25.00%", colour="red"), [1, 2, 3]):
        invalid(sandbox.draw(color_palette=bad), "color_palette")
    for ratios in (("50%", "25%", "25%"), ("33.33%",) * 3, ("50.0%", "25.00%", "25.00%"), ("0.50", "0.25", "0.25")):
        invalid(sandbox.draw(color_palette=palette(*ratios)), "color_palette: ")
    invalid(sandbox.draw(color_palette=[{**good[0], "name": "x"}, *good[1:]]), "name")


def test_boxes(sandbox: Sandbox) -> None:
    """One list a picture, at most two boxes in it, each within its picture; then sizes are tiers."""
    image = inline(png(400, 300))
    assert sandbox.draw(A, image, bbox_list=[[], [[0, 0, 400, 300], [1, 1, 2, 2]]]).status_code == 200
    assert sandbox.draw(A, bbox_list=[[[989, 515, 1138, 681]]]).status_code == 200  # its sides are not known here
    for boxes in ([[]], [[], [], []], [[], [[0, 0, 1, 1]] * 3]):
        invalid(sandbox.draw(A, image, bbox_list=boxes), "bbox_list")
    for box in ([0, 0, 401, 300], [0, 0, 400, 301], [5, 0, 5, 9], [0, 9, 5, 9], [0, 0, 1], [-1, 0, 1, 1], "1"):
        invalid(sandbox.draw(image, bbox_list=[[box]]), "bbox_list")
    invalid(sandbox.draw(image, bbox_list=[[]], size="1024*1024"), "size")


def test_messages(sandbox: Sandbox) -> None:
    """One message of one user with exactly one text, up to nine pictures, and nothing else."""
    order = body_of(DOCUMENTED[0])

    def said(messages: Any) -> Any:
        return sandbox.order(SYNC, {**order, "input": {"messages": messages}})

    text = {"text": "t"}
    for content in ([], [{}], [{"image": A}], [text, text], [{"text": ""}], [{"text": "t", "image": A}], ["t"], "t"):
        invalid(said([{"role": "user", "content": content}]), "content")
    invalid(said([{"role": "system", "content": [text]}]), "role")
    invalid(said([]), "messages")
    invalid(said([{"role": "user", "content": [text]}] * 2), "messages")
    invalid(said([{"role": "user", "content": [*[{"image": A}] * 10, text]}]), "at most 9")
    invalid(said([{"role": "user", "content": [{"video": A}, text]}]), "video")
    invalid(sandbox.order(SYNC, {**order, "input": {"prompt": "p"}}), "input.messages")
    invalid(sandbox.order(SYNC, {**order, "size": "2K"}), "size")
    assert len(sandbox.ordered(sandbox.draw(*[A] * 9))[0]["inputs"]) == 9


def test_a_long_prompt_is_cut(sandbox: Sandbox) -> None:
    """What is beyond 5000 characters is cut off, not refused."""
    assert sandbox.ordered(sandbox.draw(prompt="x" * 6000))[0]["prompt"] == "x" * 5000


PICTURES = {
    "png": inline(png(240, 1920)),
    "jpeg": inline(png(300, 300, form="JPEG"), "image/jpeg"),
    "webp": inline(png(300, 300, form="WEBP"), "image/webp"),
    "bmp": inline(png(300, 300, form="BMP"), "image/bmp"),
    "wide": inline(png(8000, 1000, "1")),
    "http": "http://example.com/a.png",
    "address": "https://8.8.8.8/a.png",
}


@pytest.mark.parametrize("name", PICTURES)
def test_accepted_pictures(sandbox: Sandbox, name: str) -> None:
    """Public URLs and data URIs of the documented formats and sides are taken."""
    assert sandbox.draw(PICTURES[name]).status_code == 200


@pytest.mark.parametrize(
    ("image", "code", "words"),
    [
        (inline(png(239, 300)), "InvalidParameter", "239*300"),
        (inline(png(8001, 2000, "1")), "InvalidParameter", "8001*2000"),
        (inline(png(240, 1921)), "InvalidParameter", "1:8"),
        (inline(png(300, 300, "RGBA")), "InvalidParameter", "alpha"),
        (inline(png(300, 300).ljust((20 << 20) + 1, b"\0")), "InvalidParameter", "bytes"),
        (inline(png(300, 300, form="GIF")), "InvalidParameter.DataInspection", "format"),
        (inline(b"plain text"), "InvalidParameter.DataInspection", "format"),
        ("data:image/png;base64,@@", "InvalidParameter.DataInspection", "format"),
        ("data:text/plain;base64,QQ==", "InvalidURL", "image 1"),
        ("/home/me/a.png", "InvalidURL", "image 1"),
        ("file:///a.png", "InvalidURL", "image 1"),
        ("https://", "InvalidURL", "image 1"),
        ("", "InvalidURL", "image 1"),
        ("http://127.0.0.1/a.png", "InvalidParameter.DataInspection", "download"),
        ("http://10.0.0.8/a.png", "InvalidParameter.DataInspection", "download"),
        ("http://localhost:8000/a.png", "InvalidParameter.DataInspection", "download"),
        ("https://nas.local/a.png", "InvalidParameter.DataInspection", "download"),
    ],
    ids=lambda value: None if len(value) > 60 else value,
)
def test_refused_pictures(sandbox: Sandbox, image: str, code: str, words: str) -> None:
    """Sides, aspect, alpha, size, format and encoding are checked, and what no provider can reach is not reached."""
    refused(sandbox.draw(image), 400, code, words)
    assert sandbox.purchases == 0


def test_a_result_as_an_input(sandbox: Sandbox) -> None:
    """The link of a result is that result; a forged or old one, and any other of that host, cannot be downloaded."""
    (choice,) = sandbox.draw(size="768*960").json()["output"]["choices"]
    link = choice["message"]["content"][0]["image"]
    sandbox.world._draw = lambda *_, **__: png(768, 960)
    drawn = sandbox.ordered(sandbox.draw(link, size="1K"))[0]
    assert drawn["width"] / drawn["height"] == pytest.approx(0.8)
    for wrong in (link.replace("Signature=", "Signature=0"), "https://sandbox.invalid/files/x.png"):
        refused(sandbox.draw(wrong), 400, "InvalidParameter.DataInspection", "download")
    sandbox.now += 86400 + 10
    refused(sandbox.draw(link), 400, "InvalidParameter.DataInspection", "download")


def test_uploads_are_inputs(sandbox: Sandbox) -> None:
    """`oss://` is resolved with its header's one value, for the model it was uploaded for, and for 48 hours."""
    link = sandbox.upload(png(1920, 1080))
    drawn = sandbox.ordered(sandbox.draw(link, size="2K", headers=RESOLVED))[0]
    assert (drawn["width"], drawn["height"]) == (2720, 1530)
    assert sandbox.draw(link, path=ASYNC, headers=RESOLVED).status_code == 200
    bought = sandbox.purchases
    for headers in ({}, {"X-DashScope-OssResourceResolve": "true"}):
        refused(sandbox.draw(link, headers=headers), 400, "InvalidParameter.DataInspection", "format")
    for other in (f"{link}x", "oss://x", "oss://"):
        refused(sandbox.draw(other, headers=RESOLVED), 400, "InvalidParameter.DataInspection", "download")
    response = sandbox.draw(link, model="wan2.7-image", headers=RESOLVED)
    refused(response, 400, "InvalidParameter.DataInspection", "download")
    sandbox.now = START + 48 * 3600 + 1
    refused(sandbox.draw(link, headers=RESOLVED), 400, "InvalidParameter.DataInspection", "download")
    assert sandbox.purchases == bought


def test_nothing_is_idempotent(sandbox: Sandbox) -> None:
    """The same order twice is two purchases, whatever key is sent along."""
    for _ in range(2):
        sandbox.order(SYNC, body_of(DOCUMENTED[0]), {"Idempotency-Key": "k"})
    assert sandbox.purchases == 2
    assert json.loads((sandbox.world.folder / "purchases.jsonl").read_text().splitlines()[0])["credits"] is None
