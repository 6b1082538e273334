"""Rivya's wan-2-7-video: what its table has is accepted and answered as a task; all else is refused."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from wan_cli.sandbox import rivya
from wan_cli.sandbox.world import World

if TYPE_CHECKING:
    from pathlib import Path

A, B = ({"url": f"https://cdn.example.com/{name}.png", "kind": "image"} for name in "ab")
FILES = {"video": b"\x00\x00\x00\x18ftypisom", "audio": b"ID3\x04", "image": b"\x89PNG\r\n\x1a\nrest"}


class Sandbox:
    """A world whose clock is moved by hand, and a client of it that sends the test key."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_778_457_600.0
        self.world = World(folder, clock=lambda: self.now, latency=2, film=lambda *_, **__: b"film")

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request."""
        headers = {"Authorization": f"Bearer {rivya.KEY}"}
        request = httpx.Request(method, f"https://rivya.ai/api/v1{path}", headers=headers, **more)
        request.read()
        return rivya.handle(request, self.world)

    def film(self, *items: dict[str, Any], **params: Any) -> httpx.Response:
        """Order a video."""
        given = {**params, **({"referenceMediaItems": list(items)} if items else {})}
        body = {"model": "wan-2-7-video", "prompt": "a fox", **({"params": given} if given else {})}
        return self.send("POST", "/generations", json=body)

    def item(self, kind: str, data: bytes | None = None, **more: Any) -> dict[str, Any]:
        """Upload a file and return the item that refers to it."""
        files = {"file": ("a.bin", data or FILES[kind])}
        answer = self.send("POST", "/files", data={"kind": kind, "model": "wan-2-7-video"}, files=files).json()
        token = {"durationToken": answer["duration_token"]} if kind != "image" else {}
        return {"url": answer["url"], "kind": kind, **token, **more}

    def drawn(self) -> dict[str, Any]:
        """Return the clip of the newest order."""
        task = self.world.task("rivya", self.world.purchases()[-1]["task_id"])
        assert task is not None
        return task.clips[0].model_dump()


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """Return a sandbox on a fresh folder."""
    return Sandbox(tmp_path)


def invalid(response: httpx.Response, word: str) -> None:
    """Check a validation_failed envelope that names the field."""
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "validation_failed"), error
    assert word in error["message"]


def test_from_text(sandbox: Sandbox) -> None:
    """Text alone is 80 credits, 5 s of 1280x720, and ends with the link of an MP4."""
    begun = sandbox.film().json()
    assert (begun["model"], begun["status"], begun["reserved_credits"]) == ("wan-2-7-video", "queued", 80)
    drawn = sandbox.drawn()
    assert (drawn["width"], drawn["height"], drawn["seconds"], drawn["verb"]) == (1280, 720, 5, "generate")
    sandbox.now += 2
    done = sandbox.send("GET", f"/generations/{begun['id']}").json()
    assert (done["status"], done["final_credits"]) == ("succeeded", 80)
    assert f"/results/{begun['id']}/1.mp4?" in done["result"]["primary_url"]


def test_every_param(sandbox: Sandbox) -> None:
    """Every param of the table is taken, the selects as strings."""
    response = sandbox.film(
        resolution="1080p", duration="15", aspect_ratio="3:4", negative_prompt="blur", prompt_extend="false",
        watermark="true", audio_setting="origin", seed=2147483647,
    )  # fmt: skip
    assert response.status_code == 200
    drawn = sandbox.drawn()
    assert (drawn["width"], drawn["height"], drawn["seconds"]) == (1248, 1648, 15)
    assert (drawn["seed"], drawn["watermark"]) == (2147483647, True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("duration", 5), ("duration", "7"), ("duration", 5.0), ("resolution", "720P"), ("resolution", "4K"),
        ("aspect_ratio", "21:9"), ("watermark", False), ("prompt_extend", True), ("audio_setting", "off"),
        ("seed", -1), ("seed", 2147483648), ("n", 1), ("negative_prompt", None), ("mode", "edit"),
    ],
)  # fmt: skip
def test_refused_params(sandbox: Sandbox, field: str, value: Any) -> None:
    """A key, type or value that the table does not have is refused by name and costs nothing."""
    invalid(sandbox.film(**{field: value}), f"params.{field}")
    assert sandbox.world.purchases() == []


def test_roles(sandbox: Sandbox) -> None:
    """With roles, each legal set is taken, and its pictures are drawn in their order."""
    clip, sound = sandbox.item("video", role="first_clip"), sandbox.item("audio", role="driving_audio")
    source = sandbox.item("video", role="edit_source")
    first, last, ref = {**A, "role": "first_frame"}, {**B, "role": "last_frame"}, {**B, "role": "reference"}
    moving = sandbox.item("video", role="reference")
    for items, inputs, verb in (
        ([first], 1, "generate"), ([last, first], 2, "generate"), ([first, sound], 1, "generate"),
        ([first, last, sound], 2, "generate"), ([clip], 1, "generate"), ([clip, last], 2, "generate"),
        ([ref] * 5, 5, "fuse"), ([ref, moving], 2, "fuse"), ([ref, first], 2, "fuse"), ([source], 1, "edit"),
        ([source, *[ref] * 4], 5, "edit"),
    ):  # fmt: skip
        response = sandbox.film(*items)
        assert response.status_code == 200, response.text
        drawn = sandbox.drawn()
        assert (len(drawn["inputs"]), drawn["verb"]) == (inputs, verb)


def test_items_without_roles(sandbox: Sandbox) -> None:
    """A lone picture is the first frame, a lone video what is edited, sound drives, everything else is a reference."""
    video, sound = sandbox.item("video"), sandbox.item("audio")
    for items, verb in (
        ([A], "generate"), ([A, sound], "generate"), ([A, B], "fuse"), ([video], "edit"), ([video, A], "edit"),
        ([video, video], "fuse"),
    ):  # fmt: skip
        assert sandbox.film(*items).status_code == 200
        assert sandbox.drawn()["verb"] == verb


def test_footage_ends_at_ten_seconds(sandbox: Sandbox) -> None:
    """An edit of 15 s is normalised to 10, and so is a video made from footage; a first frame is not."""
    for items, seconds in (([sandbox.item("video")], 10), ([sandbox.item("video", role="reference")], 10), ([A], 15)):
        assert sandbox.film(*items, duration="15").status_code == 200
        assert sandbox.drawn()["seconds"] == seconds


def test_shape_follows_the_frame(sandbox: Sandbox) -> None:
    """Image-to-video has the ratio nearest to its first frame's, whatever ratio is asked for."""
    data = io.BytesIO()
    Image.new("RGB", (300, 500)).save(data, "PNG")
    assert sandbox.film(sandbox.item("image", data.getvalue()), aspect_ratio="16:9").status_code == 200
    assert (sandbox.drawn()["width"], sandbox.drawn()["height"]) == (720, 1280)
    assert sandbox.film(sandbox.item("video"), aspect_ratio="1:1").status_code == 200
    assert (sandbox.drawn()["width"], sandbox.drawn()["height"]) == (960, 960)


def test_illegal_sets(sandbox: Sandbox) -> None:
    """Media that do not go together are refused as a set, uncharged."""
    clip, sound = sandbox.item("video", role="first_clip"), sandbox.item("audio")
    source, ref = sandbox.item("video", role="edit_source"), {**B, "role": "reference"}
    first, last = {**A, "role": "first_frame"}, {**B, "role": "last_frame"}
    for items in (
        [last], [sound], [first, first], [first, clip], [clip, sound], [last, sound], [ref] * 6, [ref, last],
        [ref, first, first], [ref, sound], [source, source], [source, first], [source, *[ref] * 5],
    ):  # fmt: skip
        invalid(sandbox.film(*items), "params.referenceMediaItems:")
    assert sandbox.world.purchases() == []


def test_refused_items(sandbox: Sandbox) -> None:
    """Sound and video need the token of their own upload; kinds, roles, types and addresses must agree."""
    video, image = sandbox.item("video"), sandbox.item("image")
    for item, word in (
        ({**video, "durationToken": "dur_other"}, "durationToken"),
        ({key: value for key, value in video.items() if key != "durationToken"}, "durationToken"),
        ({"url": "https://example.com/a.mp4", "kind": "video", "durationToken": "x"}, "durationToken"),
        ({**A, "role": "edit_source"}, "role"),
        ({**A, "role": "start"}, "role"),
        ({**A, "mimeType": "video/mp4"}, "mimeType"),
        ({**A, "mimeType": "image/gif"}, "mimeType"),
        ({**A, "url": "http://example.com/a.png"}, "url"),
        ({**image, "url": image["url"] + "x"}, "no such file"),
        ({**video, "kind": "image"}, "not image"),
        ({**A, "durationSeconds": -1}, "durationSeconds"),
    ):
        invalid(sandbox.film(item), word)
    assert sandbox.world.purchases() == []


def test_listed_with_its_params(sandbox: Sandbox) -> None:
    """The public list shows the model, its price, kinds and selects."""
    models = {m["id"]: m for m in sandbox.send("GET", "/models").json()["models"]}
    model = models["wan-2-7-video"]
    assert (model["category"], model["base_credits"], len(model["file_kinds"])) == ("video", 80, 3)
    duration = next(param for param in model["params"] if param["key"] == "duration")
    assert duration == {"key": "duration", "type": "select", "default": "5", "options": ["5", "10", "15"]}
    json.dumps(models)
