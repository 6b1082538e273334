"""Modelverse's Wan 2.7 videos: both shapes thought to work are taken, by Alibaba's rules; all else is refused."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from wan_cli.sandbox import modelverse
from wan_cli.sandbox.world import World

if TYPE_CHECKING:
    from pathlib import Path

A, B, CLIP, SOUND = (f"https://example.com/{name}" for name in ("a.png", "b.png", "c.mp4", "d.mp3"))
# The working client's request of contracts.md 2.8, shape A.
TOONFLOW = {
    "model": "wan2.7-i2v",
    "input": {"prompt": "..", "media": [{"type": "first_frame", "url": A}]},
    "parameters": {"duration": 5, "resolution": "720P"},
}


def inline(width: int, height: int, mode: str = "RGB") -> str:
    """Return a PNG as a data URI."""
    data = io.BytesIO()
    Image.new(mode, (width, height)).save(data, "PNG")
    return f"data:image/png;base64,{b64encode(data.getvalue()).decode()}"


def media(**named: str) -> list[dict[str, str]]:
    """Return media by type."""
    return [{"type": name, "url": url} for name, url in named.items()]


class Sandbox:
    """A world whose clock is moved by hand, and a client of it that sends the test key."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_775_115_000.0
        self.world = World(folder, clock=lambda: self.now, latency=2, film=lambda *_, **__: b"film")

    def send(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Send a request."""
        keyed = {"Authorization": f"Bearer {modelverse.KEY}", **(headers or {})}
        url = f"https://api.modelverse.cn/v1{path}"
        return modelverse.handle(httpx.Request(method, url, headers=keyed, **more), self.world)

    def film(self, model: str, *, flat: bool = False, prompt: str = "a fox", **more: Any) -> httpx.Response:
        """Order a video; names of `parameters` go there, all else into `input`."""
        names = {"resolution", "ratio", "duration", "prompt_extend", "watermark", "seed", "audio_setting", "shot_type"}
        body: dict[str, Any] = {"model": model, "input": {"prompt": prompt} if prompt else {}, "parameters": {}}
        for name, value in more.items():
            body["parameters" if name in names else "input"][name] = value
        headers = {"X-DashScope-Async": "enable"} if flat else {}
        return self.send("POST", "/tasks/submit", headers, json=body)

    def drawn(self) -> dict[str, Any]:
        """Return the clip of the newest order."""
        task = self.world.task("modelverse", self.world.purchases()[-1]["task_id"])
        assert task is not None
        return task.clips[0].model_dump()


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """Return a sandbox on a fresh folder."""
    return Sandbox(tmp_path)


def invalid(response: httpx.Response, word: str) -> None:
    """Check a refusal that names the field."""
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "InvalidParameter"), error
    assert word in error["message"]


def test_the_working_clients_request(sandbox: Sandbox) -> None:
    """Shape A is accepted; the task ends in Success with urls and a receipt of its seconds, resolution and ratio."""
    begun = sandbox.send("POST", "/tasks/submit", json=TOONFLOW).json()
    assert set(begun) == {"output", "request_id"}
    sandbox.now += 2
    done = sandbox.send("GET", "/tasks/status", params={"task_id": begun["output"]["task_id"]}).json()
    assert done["output"]["task_status"] == "Success"
    assert "/1.mp4?Expires=" in done["output"]["urls"][0]
    receipt = {"duration": 5, "output_video_duration": 5, "video_count": 1, "SR": 720, "ratio": "1:1"}
    assert done["usage"] == receipt  # the stand-in for a picture on the web is square


def test_from_text(sandbox: Sandbox) -> None:
    """Text-to-video takes every parameter; its defaults are 5 s of 1920x1080, and it may have sound."""
    assert sandbox.film("wan2.7-t2v").status_code == 200
    drawn = sandbox.drawn()
    assert (drawn["width"], drawn["height"], drawn["seconds"], drawn["verb"]) == (1920, 1080, 5, "generate")
    more = {"negative_prompt": "blur", "audio_url": SOUND, "resolution": "720P", "ratio": "9:16", "duration": 15}
    more |= {"prompt_extend": False, "watermark": True, "seed": 42}
    assert sandbox.film("wan2.7-t2v", **more).status_code == 200
    drawn = sandbox.drawn()
    assert (drawn["width"], drawn["height"], drawn["seconds"], drawn["seed"]) == (720, 1280, 15, 42)
    assert (drawn["watermark"], drawn["inputs"]) == (True, ())


LEGAL = [
    ("wan2.7-i2v", media(first_frame=A), 1, "generate"),
    ("wan2.7-i2v", media(first_frame=A, driving_audio=SOUND), 1, "generate"),
    ("wan2.7-i2v", media(first_frame=A, last_frame=B), 2, "generate"),
    ("wan2.7-i2v", media(first_frame=A, last_frame=B, driving_audio=SOUND), 2, "generate"),
    ("wan2.7-i2v", media(first_clip=CLIP), 1, "generate"),
    ("wan2.7-i2v", media(first_clip=CLIP, last_frame=B), 2, "generate"),
    ("wan2.7-r2v", media(reference_image=A) * 5, 5, "fuse"),
    ("wan2.7-r2v", media(reference_image=A, reference_video=CLIP, first_frame=B), 3, "fuse"),
    ("wan2.7-videoedit", media(video=CLIP), 1, "edit"),
    ("wan2.7-videoedit", [*media(video=CLIP), *media(reference_image=A) * 4], 5, "edit"),
]


@pytest.mark.parametrize(("model", "items", "inputs", "verb"), LEGAL)
def test_legal_sets(sandbox: Sandbox, model: str, items: list[Any], inputs: int, verb: str) -> None:
    """Every set of media that Alibaba's pages allow is taken."""
    response = sandbox.film(model, media=items)
    assert response.status_code == 200, response.text
    assert (len(sandbox.drawn()["inputs"]), sandbox.drawn()["verb"]) == (inputs, verb)


@pytest.mark.parametrize(
    ("model", "items"),
    [
        ("wan2.7-i2v", media(last_frame=B)),
        ("wan2.7-i2v", media(driving_audio=SOUND)),
        ("wan2.7-i2v", media(first_clip=CLIP, driving_audio=SOUND)),
        ("wan2.7-i2v", media(first_clip=CLIP, first_frame=A)),
        ("wan2.7-i2v", media(first_frame=A) * 2),
        ("wan2.7-i2v", media(reference_image=A)),
        ("wan2.7-i2v", None),
        ("wan2.7-i2v", []),
        ("wan2.7-t2v", media(first_frame=A)),
        ("wan2.7-r2v", media(first_frame=A)),
        ("wan2.7-r2v", media(reference_image=A) * 6),
        ("wan2.7-r2v", [*media(reference_image=A), *media(first_frame=B) * 2]),
        ("wan2.7-r2v", media(video=CLIP)),
        ("wan2.7-videoedit", media(reference_image=A)),
        ("wan2.7-videoedit", media(video=CLIP) * 2),
        ("wan2.7-videoedit", [*media(video=CLIP), *media(reference_image=A) * 5]),
    ],
)
def test_illegal_sets(sandbox: Sandbox, model: str, items: list[Any] | None) -> None:
    """Every other set is refused, uncharged."""
    invalid(sandbox.film(model, **({} if items is None else {"media": items})), "media")
    assert sandbox.world.purchases() == []


@pytest.mark.parametrize(
    ("model", "more", "word"),
    [
        ("wan2.7-t2v", {"prompt": ""}, "prompt"),
        ("wan2.7-r2v", {"prompt": "", "media": media(reference_image=A)}, "prompt"),
        ("wan2.7-t2v", {"duration": 1}, "duration"),
        ("wan2.7-t2v", {"duration": 16}, "duration"),
        ("wan2.7-t2v", {"duration": "5"}, "duration"),
        ("wan2.7-t2v", {"duration": 0}, "duration"),
        ("wan2.7-t2v", {"resolution": "720p"}, "resolution"),
        ("wan2.7-t2v", {"ratio": "21:9"}, "ratio"),
        ("wan2.7-t2v", {"audio_setting": "auto"}, "audio_setting"),
        ("wan2.7-t2v", {"seed": 2147483648}, "seed"),
        ("wan2.7-t2v", {"shot_type": "multi"}, "shot_type"),
        ("wan2.7-t2v", {"audio_url": "data:audio/mpeg;base64,AA=="}, "https"),
        ("wan2.7-i2v", {"media": media(first_frame=A), "ratio": "16:9"}, "ratio"),
        ("wan2.7-i2v", {"media": media(first_frame="data:image/png;base64,AA==")}, "image"),
        ("wan2.7-i2v", {"media": media(first_frame=inline(100, 300))}, "100x300"),
        ("wan2.7-i2v", {"media": media(first_clip="data:video/mp4;base64,AA==")}, "https"),
        ("wan2.7-i2v", {"media": [{**media(first_frame=A)[0], "reference_voice": SOUND}]}, "reference_voice"),
        ("wan2.7-r2v", {"media": [{**media(reference_image=A)[0], "reference_voice": "x"}]}, "reference_voice"),
        ("wan2.7-r2v", {"media": media(reference_video=CLIP), "duration": 11}, "duration"),
        ("wan2.7-videoedit", {"media": media(video=CLIP), "duration": 1}, "duration"),
        ("wan2.7-videoedit", {"media": media(video=CLIP), "duration": 11}, "duration"),
    ],
)
def test_refused_orders(sandbox: Sandbox, model: str, more: dict[str, Any], word: str) -> None:
    """Each model has its own parameters and seconds; pictures may be inline, video and sound may not."""
    invalid(sandbox.film(model, **more), word)
    assert sandbox.world.purchases() == []


def test_inline_pictures_and_voices(sandbox: Sandbox) -> None:
    """A picture may be a data URI, transparent too, and gives the video its shape; a reference may have a voice."""
    assert sandbox.film("wan2.7-i2v", media=media(first_frame=inline(300, 500, "RGBA")), prompt="").status_code == 200
    assert (sandbox.drawn()["width"], sandbox.drawn()["height"]) == (1080, 1920)
    item = {**media(reference_image=A)[0], "reference_voice": SOUND}
    assert sandbox.film("wan2.7-r2v", media=[item], ratio="4:3", duration=15).status_code == 200
    assert (sandbox.drawn()["width"], sandbox.drawn()["seconds"]) == (1648, 15)


def test_edits_keep_their_length(sandbox: Sandbox) -> None:
    """An edit without a duration, or with 0, keeps the source's; the ratio may be asked for."""
    for more in ({}, {"duration": 0}):
        assert sandbox.film("wan2.7-videoedit", media=media(video=CLIP), **more).status_code == 200
        assert sandbox.drawn()["seconds"] == 5
    edit = {"media": media(video=CLIP), "ratio": "3:4", "audio_setting": "origin", "duration": 10, "prompt": ""}
    assert sandbox.film("wan2.7-videoedit", **edit).status_code == 200
    assert (sandbox.drawn()["width"], sandbox.drawn()["seconds"]) == (1248, 10)


@pytest.mark.parametrize(
    ("model", "fields", "inputs", "verb"),
    [
        ("wan2.7-i2v", {"first_frame_url": A, "last_frame_url": B, "audio_url": SOUND}, 2, "generate"),
        ("wan2.7-i2v", {"img_url": A}, 1, "generate"),
        ("wan2.7-r2v", {"images": [A, B]}, 2, "fuse"),
        ("wan2.7-videoedit", {"video_url": CLIP, "images": [A], "audio_setting": "origin"}, 2, "edit"),
    ],
)
def test_flattened_shape(sandbox: Sandbox, model: str, fields: dict[str, Any], inputs: int, verb: str) -> None:
    """Shape B is taken with the header that its pages require, and refused without."""
    invalid(sandbox.film(model, **fields), "X-DashScope-Async")
    response = sandbox.film(model, flat=True, **fields)
    assert response.status_code == 200, response.text
    assert (len(sandbox.drawn()["inputs"]), sandbox.drawn()["verb"]) == (inputs, verb)


@pytest.mark.parametrize(
    ("model", "fields", "word"),
    [
        ("wan2.7-i2v", {"first_frame_url": A, "media": media(first_frame=A)}, "do not mix"),
        ("wan2.7-i2v", {"images": [A]}, "images"),
        ("wan2.7-t2v", {"first_frame_url": A}, "first_frame_url"),
        ("wan2.7-r2v", {"reference_urls": [A]}, "reference_urls"),
        ("wan2.7-videoedit", {"images": [A]}, "media"),
    ],
)
def test_refused_flat_fields(sandbox: Sandbox, model: str, fields: dict[str, Any], word: str) -> None:
    """The shapes do not mix, and each model has its own fields."""
    invalid(sandbox.film(model, flat=True, **fields), word)
    assert sandbox.world.purchases() == []


def test_words_that_steer(sandbox: Sandbox) -> None:
    """A prompt can ask for moderation and for a failure."""
    refused = sandbox.film("wan2.7-t2v", prompt="sandbox:moderation")
    assert refused.json()["error"]["code"] == "sensitive_check_error"
    task = sandbox.film("wan2.7-t2v", prompt="sandbox:fail").json()["output"]["task_id"]
    sandbox.now += 2
    failed = sandbox.send("GET", "/tasks/status", params={"task_id": task}).json()
    assert failed["output"]["task_status"] == "Failure"


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"model": []}'])
def test_bodies_that_name_no_model(sandbox: Sandbox, content: bytes) -> None:
    """A body that names no model is refused like any other."""
    headers = {"Content-Type": "application/json"}
    assert sandbox.send("POST", "/tasks/submit", headers, content=content).status_code == 400
