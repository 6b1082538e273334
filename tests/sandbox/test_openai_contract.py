"""OpenAI's images API: what its reference has is accepted and answered as it says; all else is refused."""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from wan_cli.sandbox import openai
from wan_cli.sandbox.world import World

if TYPE_CHECKING:
    from pathlib import Path

START = 1_800_000_000.5
GPT = "gpt-image-1"


def encoded(width: int = 512, height: int = 512, kind: str = "PNG", colour: Any = (200, 30, 30), **more: Any) -> bytes:
    """Return an encoded picture; four numbers of a colour make it transparent."""
    data = io.BytesIO()
    Image.new("RGBA" if len(colour) == 4 else "RGB", (width, height), colour).save(data, kind, **more)
    return data.getvalue()


def painted(_: str, width: int, height: int, **__: Any) -> bytes:
    """Stand in for the drawing: a blue picture of the size."""
    return encoded(width, height, colour=(0, 0, 255))


class Sandbox:
    """A world whose clock is moved by hand, and a client of it that sends the test key."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.world = World(folder, clock=lambda: self.now, latency=2, draw=painted)

    def send(self, method: str, path: str, key: str = f"Bearer {openai.KEY}", **more: Any) -> httpx.Response:
        """Send a request."""
        headers = {"Authorization": key, **more.pop("headers", {})}
        request = httpx.Request(method, f"https://api.openai.com/v1{path}", headers=headers, **more)
        request.read()
        response = openai.handle(request, self.world)
        assert re.fullmatch(r"req_\w+", response.headers["x-request-id"])
        return response

    def ask(self, **fields: Any) -> httpx.Response:
        """Ask for pictures."""
        return self.send("POST", "/images/generations", json={"model": GPT, "prompt": "a fox", **fields})

    def edit(self, *files: tuple[str, bytes], **fields: str) -> httpx.Response:
        """Ask for an edit."""
        named = [(name, ("a.png", data, "image/png")) for name, data in files]
        data = {"model": GPT, "prompt": "make it blue", **fields}
        return self.send("POST", "/images/edits", data=data, files=named or {"none": (None, b"")})

    def drawn(self) -> list[dict[str, Any]]:
        """Return the pictures of the newest order."""
        task = self.world.task("openai", self.world.purchases()[-1]["task_id"])
        assert task is not None
        return [picture.model_dump() for picture in task.pictures]


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """Return a sandbox on a fresh folder."""
    return Sandbox(tmp_path)


def refused(response: httpx.Response, status: int, code: str | None, param: str | None = None) -> None:
    """Check the error envelope."""
    error = response.json()["error"]
    assert set(response.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert (response.status_code, error["code"], error["param"]) == (status, code, param), error


def images(response: httpx.Response) -> list[Image.Image]:
    """Return the pictures of an answer in base64."""
    assert response.status_code == 200, response.text
    return [Image.open(io.BytesIO(b64decode(item["b64_json"]))) for item in response.json()["data"]]


def test_gpt_answers_base64(sandbox: Sandbox) -> None:
    """A GPT image model answers base64 alone, says how it drew, and counts tokens."""
    response = sandbox.ask(n=2, size="1536x1024", quality="low", user="u", moderation="low", background="opaque")
    assert [image.size for image in images(response)] == [(1536, 1024)] * 2
    answer = response.json()
    assert set(answer) == {"created", "data", "background", "output_format", "quality", "size", "usage"}
    assert (answer["created"], answer["quality"], answer["size"]) == (int(START), "low", "1536x1024")
    assert all(set(item) == {"b64_json"} for item in answer["data"])
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens_details"] == {"image_tokens": 0, "text_tokens": 1}


@pytest.mark.parametrize(("wanted", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_output_format(sandbox: Sandbox, wanted: str, kind: str) -> None:
    """The picture really is of the format asked for."""
    assert images(sandbox.ask(output_format=wanted, output_compression=40))[0].format == kind


def test_transparent_background(sandbox: Sandbox) -> None:
    """A transparent background is transparent at the corners, in PNG and WebP, and refused for JPEG."""
    for kind in ("png", "webp"):
        image = images(sandbox.ask(background="transparent", output_format=kind))[0].convert("RGBA")
        assert (image.getpixel((0, 0))[3], image.getpixel((512, 512))[3]) == (0, 255)  # type: ignore[index]
    refused(sandbox.ask(background="transparent", output_format="jpeg"), 400, "invalid_value", "background")


def test_dall_e_answers_links(sandbox: Sandbox) -> None:
    """dall-e answers a link unless base64 is asked for; dall-e-3 says how it revised the prompt; no usage."""
    answer = sandbox.ask(model="dall-e-3", quality="hd", style="natural", size="1792x1024").json()
    assert set(answer) == {"created", "data"}
    assert set(answer["data"][0]) == {"url", "revised_prompt"}
    answer = sandbox.ask(model="dall-e-2", response_format="b64_json", size="256x256", n=3)
    assert [image.size for image in images(answer)] == [(256, 256)] * 3
    default = sandbox.send("POST", "/images/generations", json={"prompt": "a fox"}).json()
    assert set(default["data"][0]) == {"url"}


def test_self_hosted_model(sandbox: Sandbox) -> None:
    """Any other model id takes a seed, a negative prompt and every size in reach, and answers a link."""
    answer = sandbox.ask(model="wan2.7-image", seed=7, negative_prompt="blur", size="2720x1530", n=1).json()
    assert set(answer["data"][0]) == {"url"}
    assert "usage" in answer
    drawn = sandbox.drawn()[0]
    assert (drawn["seed"], drawn["width"], drawn["height"]) == (7, 2720, 1530)
    assert len(images(sandbox.ask(model="sd-cpp-local", response_format="b64_json"))) == 1


@pytest.mark.parametrize(
    ("model", "size", "fits"),
    [
        (GPT, "auto", True), (GPT, "1024x1024", True), (GPT, "512x512", False), (GPT, "1024*1024", False),
        (GPT, "2K", False), ("gpt-image-1.5", "1024x1536", True), ("gpt-image-2", "2048x1152", True),
        ("gpt-image-2", "2050x1152", False), ("gpt-image-2", "3200x1024", False), ("gpt-image-2", "3840x2160", True),
        ("gpt-image-2", "3856x2160", False), ("chatgpt-image-latest", "512x512", False), ("dall-e-2", "512x512", True),
        ("dall-e-2", "auto", True), ("dall-e-3", "512x512", False), ("wan2.7-image", "32x64", False),
        ("wan2.7-image", "4096x4096", True), ("wan2.7-image", "2048*2048", False),
    ],
)  # fmt: skip
def test_sizes(sandbox: Sandbox, model: str, size: str, fits: bool) -> None:
    """Each model has its own sizes, always written with x."""
    response = sandbox.ask(model=model, size=size, **({} if "gpt" in model else {"response_format": "url"}))
    if fits:
        assert response.status_code == 200, response.text
    else:
        refused(response, 400, "invalid_value", "size")
        assert sandbox.world.purchases() == []


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"response_format": "url"}, "unknown_parameter", "response_format"),
        ({"seed": 1}, "unknown_parameter", "seed"),
        ({"negative_prompt": "x"}, "unknown_parameter", "negative_prompt"),
        ({"style": "vivid"}, "unknown_parameter", "style"),
        ({"watermark": True}, "unknown_parameter", "watermark"),
        ({"input_fidelity": "high"}, "unknown_parameter", "input_fidelity"),
        ({"model": "dall-e-3", "background": "opaque"}, "unknown_parameter", "background"),
        ({"model": "wan2.7-image", "watermark": True}, "unknown_parameter", "watermark"),
        ({"n": 0}, "invalid_value", "n"),
        ({"n": 11}, "invalid_value", "n"),
        ({"n": "1"}, "invalid_value", "n"),
        ({"model": "dall-e-3", "n": 2}, "invalid_value", "n"),
        ({"quality": "hd"}, "invalid_value", "quality"),
        ({"quality": "best"}, "invalid_value", "quality"),
        ({"model": "dall-e-3", "quality": "low"}, "invalid_value", "quality"),
        ({"output_compression": 101}, "invalid_value", "output_compression"),
        ({"stream": True}, "invalid_value", "stream"),
        ({"prompt": ""}, "invalid_value", "prompt"),
        ({"prompt": None}, "invalid_value", "prompt"),
    ],
)
def test_refused_parameters(sandbox: Sandbox, fields: dict[str, Any], code: str, param: str) -> None:
    """A parameter that the model does not have is unknown, a wrong value invalid; both are named and cost nothing."""
    refused(sandbox.ask(**fields), 400, code, param)
    assert sandbox.world.purchases() == []


def test_refused_bodies(sandbox: Sandbox) -> None:
    """A body must be a JSON object with a prompt."""
    refused(sandbox.send("POST", "/images/generations", json={}), 400, "missing_required_parameter", "prompt")
    refused(sandbox.send("POST", "/images/generations", json=[]), 400, "invalid_value")
    json_type = {"Content-Type": "application/json"}
    refused(sandbox.send("POST", "/images/generations", content=b"{", headers=json_type), 400, None)
    refused(sandbox.send("POST", "/images/generations", content=b"{}"), 400, "unsupported_content_type")


def test_keys_and_paths(sandbox: Sandbox) -> None:
    """Another key is 401 invalid_api_key, an unknown path or method 404."""
    for key in ("", "Bearer x", openai.KEY):
        refused(sandbox.send("GET", "/models", key=key), 401, "invalid_api_key")
    refused(sandbox.send("GET", "/nothing"), 404, None)
    refused(sandbox.send("GET", "/images/edits"), 404, None)


def test_words_that_steer(sandbox: Sandbox) -> None:
    """A prompt can ask for moderation (by either name), for an empty account and for a failure."""
    refused(sandbox.ask(prompt="sandbox:moderation"), 400, "moderation_blocked")
    refused(sandbox.ask(model="dall-e-3", prompt="sandbox:moderation"), 400, "content_policy_violation")
    refused(sandbox.ask(prompt="sandbox:quota"), 429, "insufficient_quota")
    refused(sandbox.ask(prompt="sandbox:fail"), 400, "generation_failed")
    assert sandbox.world.purchases() == []


def test_models(sandbox: Sandbox) -> None:
    """The list names OpenAI's image models, a self-hosted one and the one that answers with a task."""
    listed = sandbox.send("GET", "/models").json()
    assert listed["object"] == "list"
    assert {"gpt-image-1", "dall-e-3", "wan2.7-image", "async-image"} <= {item["id"] for item in listed["data"]}


def test_one_image_edit(sandbox: Sandbox) -> None:
    """`image` is one picture, numbers of a form are text, and "auto" follows the picture's shape."""
    response = sandbox.edit(("image", encoded(600, 300, "JPEG")), n="2", input_fidelity="high", stream="false")
    assert [image.size for image in images(response)] == [(1536, 1024)] * 2
    drawn = sandbox.drawn()[0]
    assert (drawn["verb"], len(drawn["inputs"]), drawn["mask"]) == ("edit", 1, "")
    assert response.json()["usage"]["input_tokens_details"]["image_tokens"] > 0


def test_several_images(sandbox: Sandbox) -> None:
    """`image[]` is up to 16 pictures, joined."""
    many = [("image[]", encoded(300, 300, colour=(n, n, n))) for n in range(17)]
    assert len(images(sandbox.edit(*many[:16]))) == 1
    drawn = sandbox.drawn()[0]
    assert (drawn["verb"], len(drawn["inputs"])) == ("fuse", 16)
    refused(sandbox.edit(*many), 400, "invalid_value", "image")
    refused(sandbox.edit(*many[:2], model="dall-e-2"), 400, "invalid_value", "image")
    assert sandbox.edit(*many[:2], model="wan2.7-image", seed="3", size="1024x768").status_code == 200
    assert sandbox.drawn()[0]["seed"] == 3


def test_mask(sandbox: Sandbox) -> None:
    """Where the mask is opaque the first picture stays; where it is transparent the drawing shows."""
    mask = Image.new("RGBA", (512, 512), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (256, 0, 512, 512))
    data = io.BytesIO()
    mask.save(data, "PNG")
    image = images(sandbox.edit(("image", encoded()), ("mask", data.getvalue()), size="1024x1024"))[0].convert("RGB")
    assert image.getpixel((100, 500)) == (200, 30, 30)
    assert image.getpixel((900, 500)) == (0, 0, 255)


@pytest.mark.parametrize(
    "mask",
    [encoded(), encoded(256, 256, colour=(0, 0, 0, 0)), encoded(kind="WEBP", colour=(0, 0, 0, 0))],
    ids=["no-alpha", "size", "no-png"],
)
def test_refused_masks(sandbox: Sandbox, mask: bytes) -> None:
    """A mask is a PNG with alpha as large as the first image."""
    refused(sandbox.edit(("image", encoded()), ("mask", mask)), 400, "invalid_mask", "mask")
    assert sandbox.world.purchases() == []


def test_refused_forms(sandbox: Sandbox) -> None:
    """Missing, doubled, unreadable and mixed files, unknown and doubled fields, and bodies that are no form."""
    one, clear = ("image", encoded()), ("mask", encoded(colour=(0, 0, 0, 0)))
    refused(sandbox.edit(), 400, "unknown_parameter", "none")
    refused(sandbox.edit(("mask", clear[1])), 400, "missing_required_parameter", "image")
    refused(sandbox.edit(one, one), 400, "duplicate_parameter", "image")
    refused(sandbox.edit(one, clear, clear), 400, "duplicate_parameter", "mask")
    refused(sandbox.edit(one, ("image[]", encoded())), 400, "invalid_value", "image")
    refused(sandbox.edit(("image", b"GIF89a")), 400, "invalid_image", "image")
    refused(
        sandbox.edit(
            one,
            moderation="low",
        ),
        400,
        "unknown_parameter",
        "moderation",
    )
    refused(sandbox.edit(one, model="dall-e-3"), 400, "invalid_value", "model")
    refused(sandbox.edit(one, n="many"), 400, "invalid_value", "n")
    refused(sandbox.send("POST", "/images/edits", json={"prompt": "x"}), 400, "invalid_multipart")
    plain = [("image", (None, b"https://a/b.png")), ("prompt", (None, b"x"))]
    refused(sandbox.send("POST", "/images/edits", files=plain), 400, "invalid_value", "image")
    twice = [("prompt", (None, b"x")), ("prompt", (None, b"y"))]
    refused(sandbox.send("POST", "/images/edits", files=twice), 400, "duplicate_parameter", "prompt")
    assert sandbox.world.purchases() == []


def test_too_large_an_image(sandbox: Sandbox) -> None:
    """An image has less than 50 MB."""
    refused(sandbox.edit(("image", encoded().ljust(50 << 20))), 400, "image_too_large", "image")


def test_answers_that_are_a_task(sandbox: Sandbox) -> None:
    """`async-image` answers a task, which goes queued, in_progress, completed with links."""
    begun = sandbox.ask(model="async-image").json()
    assert begun == {
        "id": begun["id"], "object": "generation.task", "model": "async-image", "status": "queued", "progress": 0,
        "created_at": int(START), "metadata": {},
    }  # fmt: skip
    path = f"/images/generations/{begun['id']}"
    assert sandbox.send("GET", path).json() == begun
    sandbox.now += 1
    assert sandbox.send("GET", path).json() == {**begun, "status": "in_progress", "progress": 50}
    sandbox.now += 1
    done = sandbox.send("GET", path).json()
    assert (done["status"], done["progress"], done["result"]["type"]) == ("completed", 100, "image")
    assert done["expires_at"] - done["completed_at"] == 86400
    assert done["result"]["data"][0]["url"].startswith("https://sandbox.invalid/results/")


def test_tasks_that_fail_or_are_none(sandbox: Sandbox) -> None:
    """A failing task says why; a picture that was answered at once is no task."""
    task = sandbox.ask(model="async-image", prompt="sandbox:fail").json()["id"]
    sandbox.now += 2
    failed = sandbox.send("GET", f"/images/generations/{task}").json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "generation_failed")
    assert "result" not in failed
    sandbox.ask()
    for name in ("nobody", sandbox.world.purchases()[-1]["task_id"]):
        refused(sandbox.send("GET", f"/images/generations/{name}"), 404, "task_not_found")


def test_purchases(sandbox: Sandbox) -> None:
    """Every accepted request is charged by its pictures, and a form is kept as JSON."""
    sandbox.ask(n=2)
    sandbox.edit(("image", encoded()))
    assert [(line["count"], line["credits"]) for line in sandbox.world.purchases()] == [(2, None), (1, None)]
    name = sandbox.world.purchases()[1]["task_id"]
    kept = json.loads((sandbox.world.folder / "requests" / f"{name}.json").read_bytes())
    assert kept["prompt"] == "make it blue"
