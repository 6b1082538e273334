"""ToAPIs' contract: the guide's body and the documented flat one are taken and answered as documented; no more."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from wan_cli.sandbox import toapis
from wan_cli.sandbox.world import World

if TYPE_CHECKING:
    from pathlib import Path

START = 1_776_211_200.0  # 2026-04-15T00:00:00.000Z
# The request of seeds/004, verbatim but for the line breaks.
MINIMAL = """{ "model": "wan-2-7-video", "mode": "text-to-video", "input": {
"prompt": "A cinematic city sunrise with soft fog and moving traffic.", "duration": 5 } }"""
A, B, CLIP = "https://example.com/a.png", "https://example.com/b.png", "https://example.com/c.mp4"
PNG, MP4 = b"\x89PNG\r\n\x1a\nrest", b"\x00\x00\x00\x18ftypisom"
FILES = {
    "images": {"png": PNG, "jpeg": b"\xff\xd8\xffrest", "webp": b"RIFF\x04\x00\x00\x00WEBPrest", "gif": b"GIF89a"},
    "videos": {"mp4": MP4, "quicktime": b"\x00\x00\x00\x14ftypqt  ", "webm": b"\x1a\x45\xdf\xa3"},
}


class Sandbox:
    """A world whose clock is moved by hand, and a client of it that sends the test key."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.world = World(folder, clock=lambda: self.now, latency=2, film=lambda *_, **__: b"film")

    def send(self, method: str, path: str, key: str = f"Bearer {toapis.KEY}", **more: Any) -> httpx.Response:
        """Send a request."""
        headers = {"Authorization": key, **more.pop("headers", {})}
        request = httpx.Request(method, f"https://toapis.com/v1{path}", headers=headers, **more)
        request.read()
        return toapis.handle(request, self.world)

    def ask(self, body: Any) -> httpx.Response:
        """Order a video."""
        content = body if isinstance(body, str) else json.dumps(body)
        return self.send("POST", "/videos/generations", content=content)

    def guide(self, mode: str, **given: Any) -> httpx.Response:
        """Order a video in the guide's shape."""
        return self.ask({"model": "wan-2-7-video", "mode": mode, "input": {"prompt": "a fox", **given}})

    def flat(self, model: str = "wan2.6", **given: Any) -> httpx.Response:
        """Order a video in the documented flat shape."""
        return self.ask({"model": model, "prompt": "a fox", **given})

    def upload(self, kind: str, *parts: tuple[str, Any]) -> httpx.Response:
        """Upload a file."""
        return self.send("POST", f"/uploads/{kind}", files=list(parts))

    def drawn(self) -> dict[str, Any]:
        """Return the clip of the newest order."""
        task = self.world.task("toapis", self.world.purchases()[-1]["task_id"])
        assert task is not None
        return task.clips[0].model_dump()


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """Return a sandbox on a fresh folder."""
    return Sandbox(tmp_path)


def refused(response: httpx.Response, status: int, code: str | int, kind: str = "", word: str = "") -> None:
    """Check the error envelope in the form that has this code."""
    error = response.json()["error"]
    assert (response.status_code, error["code"], error.get("type", "")) == (status, code, kind), error
    assert set(error) == ({"code", "message", "type"} if kind else {"code", "message"})
    assert word in error["message"]


def test_the_guides_request(sandbox: Sandbox) -> None:
    """The seed's request is taken verbatim and answered with exactly the seed's five keys."""
    response = sandbox.ask(MINIMAL)
    assert response.status_code == 200
    answer = response.json()
    assert re.fullmatch(r"task_\w+", answer.pop("task_id"))
    assert answer == {
        "model": "wan-2-7-video",
        "mode": "text-to-video",
        "status": "queued",
        "created_at": "2026-04-15T00:00:00.000Z",
    }
    drawn = sandbox.drawn()
    assert (drawn["width"], drawn["height"], drawn["seconds"], drawn["verb"]) == (1280, 720, 5, "generate")


def test_the_flat_request(sandbox: Sandbox) -> None:
    """A documented flat order is answered with the documented task, which goes queued, in_progress, completed."""
    begun = sandbox.flat(duration=5, resolution="720p", aspect_ratio="9:16", audio=True, shot_type="multi").json()
    assert re.fullmatch(r"tsk_vid_\w+", begun["id"])
    assert begun == {
        "id": begun["id"], "object": "generation.task", "model": "wan2.6", "status": "queued", "progress": 0,
        "created_at": int(START), "metadata": {},
    }  # fmt: skip
    path = f"/videos/generations/{begun['id']}"
    assert sandbox.send("GET", path).json() == begun
    sandbox.now += 1
    assert sandbox.send("GET", path).json() == {**begun, "status": "in_progress", "progress": 50}
    sandbox.now += 1
    done = sandbox.send("GET", path).json()
    url = done["result"]["data"][0]["url"]
    assert url.startswith(f"https://sandbox.invalid/results/{begun['id']}/1.mp4?Expires=")
    assert done == {
        **begun, "status": "completed", "progress": 100, "completed_at": int(START) + 2,
        "expires_at": int(START) + 2 + 86400, "result": {"type": "video", "data": [{"url": url, "format": "mp4"}]},
    }  # fmt: skip
    assert (sandbox.drawn()["width"], sandbox.drawn()["height"]) == (720, 1280)


def test_failing_task(sandbox: Sandbox) -> None:
    """`sandbox:fail` is accepted, charged, and ends failed with the documented error."""
    task = sandbox.guide("text-to-video", prompt="sandbox:fail").json()["task_id"]
    sandbox.now += 2
    failed = sandbox.send("GET", f"/videos/generations/{task}").json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "generation_failed")
    assert len(sandbox.world.purchases()) == 1


@pytest.mark.parametrize(
    ("mode", "given", "inputs", "verb"),
    [
        ("text-to-video", {"resolution": "1080P", "aspect_ratio": "4:3", "seed": 7, "duration": 15}, 0, "generate"),
        ("image-to-video", {"image_urls": [A], "negative_prompt": "blur", "prompt_extend": False}, 1, "generate"),
        ("image-to-video", {"image_urls": [A, B], "watermark": True}, 2, "generate"),
        ("reference-to-video", {"reference_urls": [A, B, CLIP], "duration": 10}, 3, "fuse"),
        ("video-edit", {"video_url": CLIP, "audio_setting": "origin", "duration": 0}, 1, "edit"),
        ("video-edit", {"video_url": CLIP, "reference_urls": [A] * 4}, 5, "edit"),
    ],
)
def test_modes(sandbox: Sandbox, mode: str, given: dict[str, Any], inputs: int, verb: str) -> None:
    """Each of the four modes reads its own media, in order."""
    response = sandbox.guide(mode, **given)
    assert response.status_code == 200, response.text
    assert response.json()["mode"] == mode
    drawn = sandbox.drawn()
    assert (len(drawn["inputs"]), drawn["verb"]) == (inputs, verb)
    assert drawn["seconds"] == (given.get("duration") or 5)
    assert drawn["watermark"] == given.get("watermark", False)


@pytest.mark.parametrize(
    ("mode", "given", "word"),
    [
        ("text-to-video", {"image_urls": [A]}, "image_urls"),
        ("text-to-video", {"duration": "5"}, "duration"),
        ("text-to-video", {"duration": 1}, "duration"),
        ("text-to-video", {"duration": 16}, "duration"),
        ("text-to-video", {"resolution": "480p"}, "resolution"),
        ("text-to-video", {"aspect_ratio": "21:9"}, "aspect_ratio"),
        ("text-to-video", {"seed": -1}, "seed"),
        ("text-to-video", {"prompt": ""}, "prompt"),
        ("text-to-video", {"images": [A]}, "images"),
        ("image-to-video", {}, "media"),
        ("image-to-video", {"image_urls": [A, B, A]}, "image_urls"),
        ("image-to-video", {"image_urls": ["data:image/png;base64,AA=="]}, "upload the file first"),
        ("image-to-video", {"image_urls": ["https://sandbox.invalid/files/nobody.png"]}, "no such upload"),
        ("image-to-video", {"reference_urls": [A]}, "reference_urls"),
        ("reference-to-video", {"reference_urls": [A] * 6}, "media"),
        ("reference-to-video", {"reference_urls": [CLIP], "duration": 11}, "duration"),
        ("video-edit", {"reference_urls": [A]}, "media"),
        ("video-edit", {"video_url": CLIP, "reference_urls": [A] * 5}, "media"),
        ("video-edit", {"video_url": CLIP, "duration": 11}, "duration"),
        ("chat", {}, "mode"),
    ],
)
def test_refused_guides(sandbox: Sandbox, mode: str, given: dict[str, Any], word: str) -> None:
    """Names, types, ranges and media that do not go together are the seed's invalid_request_error, uncharged."""
    refused(sandbox.guide(mode, **given), 400, "invalid_request_error", "invalid_request_error", word)
    assert sandbox.world.purchases() == []


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"model": "wan3.0-video"}, "model"),
        ({"duration": 6}, "duration"),
        ({"duration": "5"}, "duration"),
        ({"resolution": "720P"}, "resolution"),
        ({"image_urls": [A, B]}, "image_urls"),
        ({"image_urls": [A], "metadata": {"reference_urls": [B]}}, "not together"),
        ({"image_urls": [A], "aspect_ratio": "16:9"}, "aspect_ratio"),
        ({"metadata": {"other": 1}}, "metadata.other"),
        ({"model": "wan2.6-flash"}, "needs"),
        ({"model": "wan-2-7-video", "duration": 16}, "duration"),
        ({"model": "wan-2-7-video", "metadata": {"reference_urls": [CLIP]}, "duration": 11}, "duration"),
        ({"image_urls": ["http://a/b.png"]}, "https"),
    ],
)
def test_refused_flat_bodies(sandbox: Sandbox, given: dict[str, Any], word: str) -> None:
    """What the documented body does not have is the documents' invalid_request, uncharged."""
    refused(sandbox.flat(**given), 400, "invalid_request", "", word)
    assert sandbox.world.purchases() == []


def test_flat_bodies_with_media(sandbox: Sandbox) -> None:
    """A picture follows its own shape; references are joined; wan-2-7-video is taken flat with its own seconds."""
    assert sandbox.flat("wan2.6-flash", image_urls=[A]).status_code == 200
    assert (sandbox.drawn()["width"], sandbox.drawn()["height"]) == (1440, 1440)  # the stand-in is square
    assert sandbox.flat(metadata={"reference_urls": [A, CLIP]}, duration=15).status_code == 200
    assert (sandbox.drawn()["verb"], sandbox.drawn()["seconds"]) == ("fuse", 15)
    assert sandbox.flat("wan-2-7-video", duration=3, client_business_id="b", trace_id="t").status_code == 200
    assert sandbox.drawn()["seconds"] == 3


def test_bodies_that_are_none(sandbox: Sandbox) -> None:
    """A body must be a JSON object."""
    refused(sandbox.ask("{"), 400, "invalid_request")
    refused(sandbox.ask("[]"), 400, "invalid_request")


@pytest.mark.parametrize("shape", ["guide", "flat"])
def test_words_that_steer(sandbox: Sandbox, shape: str) -> None:
    """A prompt can ask for moderation (422) and for an empty account (402), in both shapes."""
    for word, status, code in (
        ("sandbox:moderation", 422, "content_policy_violation"),
        ("sandbox:quota", 402, "insufficient_quota"),
    ):
        ask = sandbox.guide("text-to-video", prompt=word) if shape == "guide" else sandbox.flat(prompt=word)
        refused(ask, status, code)
    assert sandbox.world.purchases() == []


def test_other_refusals(sandbox: Sandbox) -> None:
    """Wrong keys, methods, tasks and endpoints; a media model on the chat endpoint is `invalid apitype: -1`."""
    refused(sandbox.send("GET", "/models", key="Bearer x"), 401, "authentication_error", "authentication_error")
    refused(sandbox.send("GET", "/videos/generations/task_x"), 404, 404, "not_found_error")
    refused(sandbox.send("GET", "/nothing"), 404, 404, "not_found_error")
    refused(sandbox.send("GET", "/videos/generations"), 405, "method_not_allowed")
    assert sandbox.send("GET", "/videos/generations").headers["allow"] == "POST"
    refused(sandbox.send("POST", "/chat/completions", json={}), 400, "invalid_api_type", "", "invalid apitype: -1")


def test_models(sandbox: Sandbox) -> None:
    """The list has the video models."""
    assert [m["id"] for m in sandbox.send("GET", "/models").json()["data"]] == list(toapis.MODELS)


def test_rate_limit_headers(sandbox: Sandbox) -> None:
    """Orders and queries have limits of their own; orders of this minute are counted."""
    sandbox.flat()
    headers = sandbox.flat().headers
    assert headers["x-ratelimit-limit"] == "300"
    assert headers["x-ratelimit-remaining"] == "298"
    assert headers["x-ratelimit-category"] == "async_submit"
    assert int(headers["x-ratelimit-reset"]) == START + 60
    headers = sandbox.send("GET", "/videos/generations/x").headers
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-category"]) == ("3000", "async_query")


@pytest.mark.parametrize(("kind", "subtype"), [(kind, name) for kind, types in FILES.items() for name in types])
def test_uploads(sandbox: Sandbox, kind: str, subtype: str) -> None:
    """Every documented type is taken, told by its content, and answered in the documented shape."""
    data = FILES[kind][subtype]
    answer = sandbox.upload(kind, ("file", ("a.bin", data)), ("purpose", (None, b"generation"))).json()
    mime = f"{kind[:-1]}/{subtype}"
    url = f"https://sandbox.invalid/files/{answer['data']['id']}.{subtype}"
    shown = {"id": answer["data"]["id"], "url": url, "mime_type": mime, "size": len(data)}
    assert answer == {"success": True, "message": "", "data": shown}


def test_uploaded_files_are_inputs(sandbox: Sandbox) -> None:
    """An upload's bytes are what is drawn from; its kind decides what it can be."""
    image = sandbox.upload("images", ("file", ("a.png", PNG))).json()["data"]["url"]
    video = sandbox.upload("videos", ("file", ("a.mp4", MP4))).json()["data"]["url"]
    assert sandbox.guide("video-edit", video_url=video, reference_urls=[image]).status_code == 200
    assert [sandbox.world.blob(name) for name in sandbox.drawn()["inputs"]] == [MP4, PNG]
    assert sandbox.guide("reference-to-video", reference_urls=[video], duration=10).status_code == 200
    refused(sandbox.guide("video-edit", video_url=image), 400, "invalid_request_error", "invalid_request_error")
    refused(sandbox.guide("image-to-video", image_urls=[video]), 400, "invalid_request_error", "invalid_request_error")


@pytest.mark.parametrize(
    ("kind", "parts", "word"),
    [
        ("images", [("file", ("a.png", MP4))], "supported image"),
        ("videos", [("file", ("a.mp4", PNG))], "supported video"),
        ("images", [("file", ("a.png", PNG.ljust((10 << 20) + 1)))], "at most"),
        ("images", [("file", (None, PNG))], "file:"),
        ("images", [("file", ("a.png", PNG)), ("file", ("b.png", PNG))], "file:"),
        ("images", [("file", ("a.png", PNG)), ("model", (None, b"x"))], "model:"),
        ("images", [("file", ("a.png", PNG)), ("purpose", (None, b""))], "purpose:"),
    ],
)
def test_refused_uploads(sandbox: Sandbox, kind: str, parts: list[Any], word: str) -> None:
    """A refused upload is 400 with success false and a message."""
    response = sandbox.upload(kind, *parts)
    assert response.status_code == 400
    assert set(response.json()) == {"success", "message"}
    assert response.json()["success"] is False
    assert word in response.json()["message"]


def test_an_upload_that_is_no_form(sandbox: Sandbox) -> None:
    """A body that is no multipart form is refused in the uploads' own form."""
    assert sandbox.send("POST", "/uploads/images", json={}).json()["success"] is False
