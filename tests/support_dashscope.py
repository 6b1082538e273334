"""DashScope's sandbox asked by raw requests, with a clock that is moved by hand; and small files to show it."""

from __future__ import annotations

import io
import json
import re
import wave
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import httpx
from PIL import Image

from wan_cli.sandbox import dashscope
from wan_cli.sandbox.transport import results
from wan_cli.sandbox.world import World

if TYPE_CHECKING:
    from pathlib import Path

START = 1_784_018_608.681  # 2026-07-14 16:43:28.681 in Beijing
SYNC = "/services/aigc/multimodal-generation/generation"
ASYNC = "/services/aigc/image-generation/generation"
VIDEO = "/services/aigc/video-generation/video-synthesis"
ENABLED = {"X-DashScope-Async": "enable"}
RESOLVED = {"X-DashScope-OssResourceResolve": "enable"}
A, B, CLIP, SOUND = (f"https://example.com/{name}" for name in ("a.png", "b.png", "c.mp4", "d.mp3"))
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def png(width: int, height: int, mode: str = "RGB", form: str = "PNG") -> bytes:
    """Return a picture."""
    data = io.BytesIO()
    Image.new(mode, (width, height)).save(data, form)
    return data.getvalue()


def inline(data: bytes, mime: str = "image/png") -> str:
    """Return a data URI."""
    return f"data:{mime};base64,{b64encode(data).decode()}"


def wav(seconds: float) -> bytes:
    """Return silence."""
    data = io.BytesIO()
    with wave.open(data, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(100)
        sound.writeframes(bytes(int(seconds * 100)))
    return data.getvalue()


def media(**named: str) -> list[dict[str, str]]:
    """Return media by type."""
    return [{"type": name, "url": url} for name, url in named.items()]


def refused(response: httpx.Response, status: int, code: str, words: str = "") -> None:
    """Check a refusal: flat, and nothing besides."""
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    assert set(body) == {"code", "message", "request_id"}
    assert UUID.fullmatch(body["request_id"])
    assert words in body["message"], body


def invalid(response: httpx.Response, words: str = "") -> None:
    """Check that a field was refused."""
    refused(response, 400, "InvalidParameter", words)


class Sandbox:
    """A world whose tasks take four seconds, and a client of it that sends the test key."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.world = World(folder, clock=lambda: self.now, latency=4, film=lambda *_, **__: b"film")

    def send(
        self, method: str, path: str, *, key: str | None = f"Bearer {dashscope.KEY}", prefix: str = "", **more: Any
    ) -> httpx.Response:
        """Send a request with the test key, or with `key`."""
        headers = {**({"Authorization": key} if key is not None else {}), **more.pop("headers", {})}
        url = f"https://dashscope.aliyuncs.com{prefix}/api/v1{path}"
        return dashscope.handle(httpx.Request(method, url, headers=headers, **more), self.world)

    def order(self, path: str, body: Any, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Post an order, with the header that its endpoint needs."""
        needed = {} if path == SYNC else ENABLED
        return self.send("POST", path, json=body, headers={**needed, **(headers or {})}, **more)

    def draw(
        self, *images: str, path: str = SYNC, model: str = "wan2.7-image-pro", prompt: str = "a fox",
        headers: dict[str, str] | None = None, **parameters: Any,
    ) -> httpx.Response:  # fmt: skip
        """Order pictures."""
        content = [*({"image": image} for image in images), {"text": prompt}]
        body = {"model": model, "input": {"messages": [{"role": "user", "content": content}]}}
        return self.order(path, {**body, "parameters": {"n": 1, **parameters}}, headers)

    def film(
        self, model: str = "wan2.7-t2v", shown: list[dict[str, str]] | None = None, *, prompt: str | None = "a fox",
        inputs: dict[str, Any] | None = None, headers: dict[str, str] | None = None, **parameters: Any,
    ) -> httpx.Response:  # fmt: skip
        """Order a video; `inputs` go below `input` as well."""
        given: dict[str, Any] = {"prompt": prompt} if prompt is not None else {}
        given |= ({"media": shown} if shown is not None else {}) | (inputs or {})
        return self.order(VIDEO, {"model": model, "input": given, "parameters": parameters}, headers)

    def task(self, task_id: str) -> dict[str, Any]:
        """Ask for a task."""
        response = self.send("GET", f"/tasks/{task_id}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        assert UUID.fullmatch(found.pop("request_id"))
        return found

    def begun(self, response: httpx.Response) -> str:
        """Return the id of the task that an order began."""
        assert response.status_code == 200, response.text
        task_id: str = response.json()["output"]["task_id"]
        return task_id

    def done(self, response: httpx.Response) -> dict[str, Any]:
        """Return the task that an order began, at its end."""
        task_id = self.begun(response)
        self.now += 4
        return self.task(task_id)

    def ordered(self, response: httpx.Response) -> list[dict[str, Any]]:
        """Return what the newest order will draw."""
        assert response.status_code == 200, response.text
        task = self.world.task("dashscope", self.world.purchases()[-1]["task_id"])
        assert task is not None
        return [result.model_dump() for result in task.results]

    @property
    def purchases(self) -> int:
        """How many orders were charged."""
        return len(self.world.purchases())

    # -- uploads

    def policy(self, model: str = "wan2.7-image-pro") -> dict[str, Any]:
        """Ask for leave to upload."""
        response = self.send("GET", "/uploads", params={"action": "getPolicy", "model": model})
        assert response.status_code == 200, response.text
        data: dict[str, Any] = response.json()["data"]
        return data

    def form(self, policy: dict[str, Any], name: str = "a.png") -> dict[str, str]:
        """Return the documented form's fields."""
        return {
            "OSSAccessKeyId": policy["oss_access_key_id"],
            "Signature": policy["signature"],
            "policy": policy["policy"],
            "x-oss-object-acl": policy["x_oss_object_acl"],
            "x-oss-forbid-overwrite": policy["x_oss_forbid_overwrite"],
            "key": f"{policy['upload_dir']}/{name}",
            "success_action_status": "200",
        }

    def post(self, fields: dict[str, str], data: bytes, **more: Any) -> httpx.Response:
        """Post a form to the object store."""
        files = {**{name: (None, value) for name, value in fields.items()}, "file": ("a.png", data)}
        url = more.pop("url", f"{self.world.public_url}/oss")
        request = httpx.Request("POST", url, files=files, **more)
        request.read()
        return results(request, self.world)

    def upload(self, data: bytes, model: str = "wan2.7-image-pro") -> str:
        """Upload a file, and return its link."""
        fields = self.form(self.policy(model))
        response = self.post(fields, data)
        assert (response.status_code, response.content) == (200, b""), response.text
        return f"oss://{fields['key']}"


def body_of(text: str) -> dict[str, Any]:
    """Return a documented body."""
    found: dict[str, Any] = json.loads(text)
    return found
