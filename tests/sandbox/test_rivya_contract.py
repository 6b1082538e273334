"""Rivya's contract: what its pages show is accepted and answered as they show it; all else is refused."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from wan_cli.sandbox import rivya
from wan_cli.sandbox.world import World

if TYPE_CHECKING:
    from pathlib import Path

START = 1_778_457_600.25  # 2026-05-11T00:00:00.250Z
PNG, JPEG, WEBP = b"\x89PNG\r\n\x1a\nrest", b"\xff\xd8\xffrest", b"RIFF\x04\x00\x00\x00WEBPrest"
MP4 = b"\x00\x00\x00\x18ftypisom"
ITEM = {"url": "https://cdn.example.com/a.png", "kind": "image"}
# The two requests of seeds/000 and seeds/001, verbatim but for the line breaks.
MINIMAL = """{ "model": "wan-2-7-image-pro", "prompt": "A clean editorial product image on a soft studio background",
"params": { "aspect_ratio": "1:1", "resolution": "2K", "watermark": "false", "seed": 0 } }"""
REFERENCE = """{ "model": "wan-2-7-image-pro", "prompt": "A clean editorial product image on a soft studio background",
"params": { "aspect_ratio": "1:1", "resolution": "2K", "watermark": "false", "seed": 0, "referenceMediaItems": [
{ "url": "https://cdn.example.com/reference-image.png", "kind": "image",
"name": "reference-image.png", "mimeType": "image/png" } ] } }"""
UPLOADS = {
    "image": {"png": PNG, "jpeg": JPEG, "webp": WEBP},
    "video": {"mp4": MP4, "quicktime": b"\x00\x00\x00\x14ftypqt  ", "webm": b"\x1a\x45\xdf\xa3"},
    "audio": {"mpeg": b"ID3\x04", "mp4": MP4, "wav": b"RIFF\x04\x00\x00\x00WAVE", "aac": b"\xff\xf1P", "ogg": b"OggS"},
}
WRONG_PARAMS: dict[str, list[Any]] = {
    "watermark": [True, False, "yes", None],
    "seed": [-1, 2147483648, "1", 1.5, True, None],
    "aspect_ratio": ["2:1", "16x9", None],
    "resolution": ["4K", "2k", 2048],
    "n": [1],
    "negative_prompt": ["blur"],
    "references": [[ITEM]],
    "referenceMediaItems": [[], [ITEM] * 10, [{"url": ITEM["url"]}], [{"kind": "image"}], ITEM],
}
WRONG_ITEM: dict[str, list[Any]] = {
    "kind": ["video", "audio", "", None],
    "mime_type": ["image/png"],
    "mimeType": ["image/gif", "", None],
    "durationSeconds": [-1, "3"],
    "url": ["http://a.b/c.png", "data:image/png;base64,AA==", "/home/me/a.png", "file:///a.png", "https:///a.png"],
}
WRONG_BODY: dict[str, list[Any]] = {
    "model": ["wan2.7-image", None],
    "prompt": ["", 5, None, "é" * 5001],
    "files": [[]],
    "seed": [1],
    "params": [[], None],
    "client_request_id": ["x" * 129, 1],
}
WRONG_UPLOAD: list[tuple[bytes, str, str, str]] = [
    (PNG, "", "", "kind:"),
    (PNG, "picture", "", "kind:"),
    (PNG, "image", "gpt", "model:"),
    (MP4, "video", "wan-2-7-image", "kind:"),
    (b"", "image", "", "file:"),
    (b"GIF89a", "image", "", "file:"),
    (PNG, "video", "", "file:"),
    (MP4, "image", "", "file:"),
]


def flat(table: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    """Return the table as cases of (field, wrong value)."""
    return [(field, value) for field, values in table.items() for value in values]


class Sandbox:
    """A world whose clock is moved by hand, and a client of it that sends the test key."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.world = World(folder, clock=lambda: self.now, latency=2)

    def send(self, method: str, path: str, *, key: str | None = f"Bearer {rivya.KEY}", **more: Any) -> httpx.Response:
        """Send a request with the test key, or with `key`."""
        headers = {**({"Authorization": key} if key is not None else {}), **more.pop("headers", {})}
        request = httpx.Request(method, f"https://rivya.ai/api/v1{path}", headers=headers, **more)
        request.read()
        return rivya.handle(request, self.world)

    def create(self, body: str | dict[str, Any], **headers: str) -> httpx.Response:
        """Order a picture; underscores of header names become hyphens."""
        content = body if isinstance(body, str) else json.dumps(body)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send("POST", "/generations", content=content, headers={"Content-Type": "application/json", **names})

    def params(self, **params: Any) -> httpx.Response:
        """Order a picture with these params."""
        return self.create({"model": "wan-2-7-image-pro", "prompt": "a fox", "params": params})

    def upload(self, data: bytes, **fields: str) -> httpx.Response:
        """Upload a file whose name is not ASCII."""
        return self.send("POST", "/files", data=fields, files={"file": ("图 a.png", data, "application/octet-stream")})

    def drawn(self, response: httpx.Response) -> dict[str, Any]:
        """Return the one picture an order will draw."""
        task = self.world.task("rivya", response.json()["id"])
        assert task is not None
        assert len(task.pictures) == 1
        return task.pictures[0].model_dump()


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """Return a sandbox on a fresh folder."""
    return Sandbox(tmp_path)


def refused(response: httpx.Response, status: int, code: str, word: str = "") -> None:
    """Check the error envelope."""
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (status, code), body
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "requestId"}
    assert re.fullmatch(r"req_\w+", body["error"]["requestId"])
    assert word in body["error"]["message"]


def invalid(response: httpx.Response, word: str = "") -> None:
    """Check a validation_failed envelope."""
    refused(response, 400, "validation_failed", word)


@pytest.mark.parametrize("body", [MINIMAL, REFERENCE])
def test_documented_requests(sandbox: Sandbox, body: str) -> None:
    """Both requests of the model page are accepted verbatim and answered with exactly the keys it shows."""
    response = sandbox.create(body)
    assert response.status_code == 200
    answer = response.json()
    assert re.fullmatch(r"task_[A-Za-z0-9_-]+", answer.pop("id"))
    assert answer == {
        "status": "queued",
        "model": "wan-2-7-image-pro",
        "reserved_credits": 12,
        "final_credits": 0,
        "created_at": "2026-05-11T00:00:00.250Z",
        "updated_at": "2026-05-11T00:00:00.250Z",
        "result": None,
        "error": None,
    }


@pytest.mark.parametrize(("model", "price"), [("wan-2-7-image", 5), ("wan-2-7-image-pro", 12)])
def test_a_task_from_queued_to_succeeded(sandbox: Sandbox, model: str, price: int) -> None:
    """GET answers the same object moving queued, processing, succeeded; the price is final at the end."""
    first = sandbox.create({"model": model, "prompt": "a fox"}).json()
    path = f"/generations/{first['id']}"
    assert sandbox.send("GET", path).json() == first
    sandbox.now += 0.5
    running = sandbox.send("GET", path).json()
    assert running == {**first, "status": "processing", "updated_at": "2026-05-11T00:00:00.750Z"}
    sandbox.now += 60
    done = sandbox.send("GET", path).json()
    urls = done["result"]["urls"]
    assert done == {
        **first,
        "status": "succeeded",
        "final_credits": price,
        "updated_at": "2026-05-11T00:00:02.250Z",
        "result": {"primary_url": urls[0], "urls": urls},
    }
    assert len(urls) == 1
    assert urls[0].startswith(f"https://sandbox.invalid/results/{first['id']}/1.png?Expires=")


def test_failing_prompt(sandbox: Sandbox) -> None:
    """`sandbox:fail` is accepted and ends failed, with the documented error, no result and no final credits."""
    first = sandbox.create({"model": "wan-2-7-image", "prompt": "sandbox:fail please"}).json()
    assert first["status"] == "queued"
    sandbox.now += 2
    done = sandbox.send("GET", f"/generations/{first['id']}").json()
    assert (done["status"], done["result"], done["final_credits"]) == ("failed", None, 0)
    assert set(done["error"]) == {"code", "message"}
    assert done["error"]["code"] == "generation_failed"


def test_moderated_prompt(sandbox: Sandbox) -> None:
    """`sandbox:moderation` is refused at once and not charged."""
    invalid(sandbox.create({"model": "wan-2-7-image", "prompt": "sandbox:moderation"}), "content policy")
    assert sandbox.world.purchases() == []


DRAWN = ["1:1 2K 2048x2048", "16:9 2K 2720x1530", "9:16 2K 1530x2720", "4:3 2K 2360x1770", "21:9 2K 3108x1332"]
DRAWN += ["1:1 1K 1024x1024", "3:4 1K 882x1176", "1:8 1K 362x2896", "8:1 2K 5792x724"]


@pytest.mark.parametrize("case", DRAWN)
def test_drawn_size(sandbox: Sandbox, case: str) -> None:
    """A picture has exactly its aspect, even sides, and at most its tier's area."""
    aspect, resolution, size = case.split()
    drawn = sandbox.drawn(sandbox.params(aspect_ratio=aspect, resolution=resolution))
    assert f"{drawn['width']}x{drawn['height']}" == size
    assert drawn["width"] * drawn["height"] <= {"1K": 1024, "2K": 2048}[resolution] ** 2


def test_what_is_drawn(sandbox: Sandbox) -> None:
    """Prompt, seed and watermark are the request's; the defaults are 1:1, 2K, no watermark and a random seed."""
    drawn = sandbox.drawn(sandbox.params(seed=2147483647, watermark="true"))
    assert (drawn["prompt"], drawn["seed"], drawn["watermark"], drawn["verb"]) == (
        "a fox",
        2147483647,
        True,
        "generate",
    )
    plain = [sandbox.drawn(sandbox.create({"model": "wan-2-7-image", "prompt": "a fox"})) for _ in range(4)]
    assert {(p["width"], p["height"], p["watermark"]) for p in plain} == {(2048, 2048, False)}
    assert len({p["seed"] for p in plain}) > 1
    assert sandbox.drawn(sandbox.params(seed=0))["seed"] == 0


def test_references_choose_the_verb(sandbox: Sandbox) -> None:
    """One reference is an edit, several are fused; each gives an input, and all optional fields are taken."""
    more = {"name": "b", "mimeType": "image/webp", "durationSeconds": 0.5, "durationToken": "x"}
    one, two = ITEM, {"url": "https://cdn.example.com/b.png", "kind": "image", **more}
    edit, fuse = (sandbox.drawn(sandbox.params(referenceMediaItems=items)) for items in ([one], [one, two]))
    assert (edit["verb"], len(edit["inputs"])) == ("edit", 1)
    assert (fuse["verb"], len(set(fuse["inputs"]))) == ("fuse", 2)
    assert sandbox.params(referenceMediaItems=[one] * 9).status_code == 200


@pytest.mark.parametrize(("field", "value"), flat(WRONG_PARAMS))
def test_refused_params(sandbox: Sandbox, field: str, value: Any) -> None:
    """A params key, type or value the tables do not have is validation_failed, names the field and costs nothing."""
    invalid(sandbox.params(**{field: value}), f"params.{field}")
    assert sandbox.world.purchases() == []


@pytest.mark.parametrize(("field", "value"), flat(WRONG_ITEM))
def test_refused_references(sandbox: Sandbox, field: str, value: Any) -> None:
    """A reference that is no picture under an https URL, or says more than the table, is refused by its place."""
    items = [ITEM, {**ITEM, field: value}]
    invalid(sandbox.params(referenceMediaItems=items), f"params.referenceMediaItems.1.{field}:")
    assert sandbox.world.purchases() == []


@pytest.mark.parametrize(("field", "value"), flat(WRONG_BODY))
def test_refused_bodies(sandbox: Sandbox, field: str, value: Any) -> None:
    """An unknown top-level key, a wrong type or a text too long is validation_failed and names the field."""
    invalid(sandbox.create({"model": "wan-2-7-image", "prompt": "a fox", field: value}), f"{field}:")


def test_missing_fields_and_broken_json(sandbox: Sandbox) -> None:
    """Model and prompt are required, the body must be a JSON object, and its type must be said."""
    invalid(sandbox.create({"prompt": "a fox"}), "model:")
    invalid(sandbox.create({"model": "wan-2-7-image"}), "prompt:")
    invalid(sandbox.create("[]"), "body:")
    invalid(sandbox.create("{"), "body:")
    invalid(sandbox.create(MINIMAL, Content_Type="text/plain"), "Content-Type")
    assert sandbox.create(MINIMAL, Content_Type="application/json; charset=utf-8").status_code == 200


def test_longest_texts(sandbox: Sandbox) -> None:
    """5000 characters are counted as code points, and a trace id may have 128."""
    body = {"model": "wan-2-7-image", "prompt": "\U0001f98a" * 5000, "client_request_id": "x" * 128}
    assert sandbox.create(body).status_code == 200


def test_repeated_idempotency_key(sandbox: Sandbox) -> None:
    """The same key and body answer the same task, later with its later status, and are charged once."""
    first = sandbox.create(MINIMAL, Idempotency_Key="k").json()
    assert sandbox.create(MINIMAL, Idempotency_Key="k").json() == first
    sandbox.now += 5
    again = sandbox.create(json.dumps(json.loads(MINIMAL)), Idempotency_Key="k").json()
    assert (again["id"], again["status"]) == (first["id"], "succeeded")
    assert sandbox.create(MINIMAL).json()["id"] != first["id"]
    assert [line["idempotency_key"] for line in sandbox.world.purchases()] == ["k", None]


def test_reused_idempotency_key(sandbox: Sandbox) -> None:
    """The same key with another body is 409 idempotency_conflict and not charged."""
    sandbox.create(MINIMAL, Idempotency_Key="k")
    refused(sandbox.create(REFERENCE, Idempotency_Key="k"), 409, "idempotency_conflict", "Idempotency-Key")
    assert len(sandbox.world.purchases()) == 1


def test_length_of_the_idempotency_key(sandbox: Sandbox) -> None:
    """An empty key and one beyond 255 characters are refused; 255 are taken."""
    for key in ("", "x" * 256):
        invalid(sandbox.create(MINIMAL, Idempotency_Key=key), "Idempotency-Key")
    assert sandbox.create(MINIMAL, Idempotency_Key="x" * 255).status_code == 200


def test_racing_requests_with_one_key(sandbox: Sandbox) -> None:
    """Requests racing with one key are answered one task and charged once."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: sandbox.create(MINIMAL, Idempotency_Key="k").json()["id"], range(32)))
    assert len(set(answers)) == 1
    assert len(sandbox.world.purchases()) == 1


def test_credits_run_out(sandbox: Sandbox) -> None:
    """The balance starts at 1000 and falls by each price; what it cannot pay is 402 insufficient_credits."""
    assert sandbox.send("GET", "/credits").json() == {"current_credits": 1000}
    for _ in range(83):
        assert sandbox.create(MINIMAL, Idempotency_Key=f"k{_}").status_code == 200
    assert sandbox.send("GET", "/credits").json() == {"current_credits": 4}
    refused(sandbox.create(MINIMAL), 402, "insufficient_credits")
    assert sandbox.create(MINIMAL, Idempotency_Key="k0").status_code == 200
    assert len(sandbox.world.purchases()) == 83


@pytest.mark.parametrize(("kind", "subtype"), [(kind, name) for kind, types in UPLOADS.items() for name in types])
def test_upload(sandbox: Sandbox, kind: str, subtype: str) -> None:
    """Every documented type is told by its signature; video and audio get a duration token; GET answers the same."""
    data = UPLOADS[kind][subtype]
    response = sandbox.upload(data, kind=kind, client_request_id="trace")
    assert response.status_code == 200
    answer = response.json()
    assert sandbox.send("GET", f"/files/{answer['id']}").json() == answer
    assert answer.pop("url") == f"https://sandbox.invalid/files/{answer['id']}.{subtype}"
    assert re.fullmatch(r"file_[A-Za-z0-9_-]+", answer.pop("id"))
    assert (answer.pop("duration_token", None) is None) == (kind == "image")
    assert answer.pop("created_at") == "2026-05-11T00:00:00.250Z"
    assert answer == {"kind": kind, "mime_type": f"{kind}/{subtype}", "size": len(data), "name": "图 a.png"}


def test_upload_then_refer(sandbox: Sandbox) -> None:
    """An uploaded picture can be referred to, and its bytes are the input; a video or a wrong suffix cannot."""
    data = PNG + b"\r\n--not-the-boundary\r\n\r\n" + bytes(range(256))
    url = sandbox.upload(data, kind="image", model="wan-2-7-image").json()["url"]
    drawn = sandbox.drawn(sandbox.params(referenceMediaItems=[{"url": url, "kind": "image"}]))
    assert [sandbox.world.blob(name) for name in drawn["inputs"]] == [data]
    invalid(sandbox.params(referenceMediaItems=[{"url": url + "x", "kind": "image"}]), "no such file")
    video = sandbox.upload(MP4, kind="video").json()["url"]
    invalid(sandbox.params(referenceMediaItems=[{"url": video, "kind": "image"}]), "video")


def test_own_files_on_a_port(tmp_path: Path) -> None:
    """When the sandbox itself is served over http, its own file URLs are still taken."""
    sandbox = Sandbox(tmp_path)
    sandbox.world.public_url = "http://127.0.0.1:8484"
    url = sandbox.upload(PNG, kind="image").json()["url"]
    assert sandbox.params(referenceMediaItems=[{"url": url, "kind": "image"}]).status_code == 200


def test_upload_limits(sandbox: Sandbox) -> None:
    """A picture may have 10 MB, or 20 MB when a Wan image model is named."""
    ten, twenty = 10 * 1024 * 1024, 20 * 1024 * 1024
    assert sandbox.upload(PNG.ljust(ten), kind="image").status_code == 200
    invalid(sandbox.upload(PNG.ljust(ten + 1), kind="image"), f"at most {ten}")
    assert sandbox.upload(PNG.ljust(twenty), kind="image", model="wan-2-7-image-pro").status_code == 200
    invalid(sandbox.upload(PNG.ljust(twenty + 1), kind="image", model="wan-2-7-image"), f"at most {twenty}")


@pytest.mark.parametrize(("data", "kind", "model", "word"), WRONG_UPLOAD)
def test_refused_uploads(sandbox: Sandbox, data: bytes, kind: str, model: str, word: str) -> None:
    """A missing or wrong kind or model, and content of another type than the kind, are refused by name."""
    fields = {name: text for name, text in (("kind", kind), ("model", model)) if text}
    invalid(sandbox.upload(data, **fields), word)


def test_refused_multipart(sandbox: Sandbox) -> None:
    """An unknown field, a body that is no form or does not end, a field twice and a file without a name are refused."""
    invalid(sandbox.upload(PNG, kind="image", purpose="x"), "purpose:")
    invalid(sandbox.upload(PNG, kind="image", client_request_id="x" * 129), "client_request_id:")
    invalid(sandbox.send("POST", "/files", json={"kind": "image"}), "multipart/form-data")
    kind = ("kind", (None, b"image"))
    invalid(sandbox.send("POST", "/files", files=[kind, ("other", ("a", PNG))]), "file:")
    invalid(sandbox.send("POST", "/files", files=[kind, ("file", (None, PNG))]), "file:")
    twice = [("file", ("a.png", PNG)), ("file", ("b.png", PNG))]
    invalid(sandbox.send("POST", "/files", files=[kind, *twice]), "file: given twice")
    headers = {"Content-Type": "multipart/form-data; boundary=abc"}
    for content in (b"--abc\r\n", b""):
        invalid(sandbox.send("POST", "/files", headers=headers, content=content), "body:")


KEYED = ("GET /generations/task_x", "GET /files/file_x", "GET /credits", "POST /generations", "POST /files")


@pytest.mark.parametrize("method_path", KEYED)
def test_keys(sandbox: Sandbox, method_path: str) -> None:
    """Without a Bearer key: api_key_missing; with another: api_key_invalid; both 401, before anything else."""
    method, path = method_path.split()
    for key in (None, "", rivya.KEY, f"Basic {rivya.KEY}", "Bearer "):
        refused(sandbox.send(method, path, key=key), 401, "api_key_missing")
    refused(sandbox.send(method, path, key="Bearer rvya_sk_other"), 401, "api_key_invalid")


def test_models_need_no_key(sandbox: Sandbox) -> None:
    """The public list is answered without a key and has both models with prices and parameters."""
    models = {model["id"]: model for model in sandbox.send("GET", "/models", key=None).json()["models"]}
    assert {name: model["base_credits"] for name, model in models.items()} == rivya.PRICES
    params = {item["key"]: item for item in models["wan-2-7-image"]["params"]}
    assert params["resolution"] == {"key": "resolution", "type": "select", "default": "2K", "options": ["1K", "2K"]}
    assert params["seed"]["max"] == 2147483647
    assert set(params) == {"aspect_ratio", "resolution", "watermark", "seed"}


def test_unknown_things(sandbox: Sandbox) -> None:
    """Unknown paths, tasks and files are 404 not_found; a wrong method is 405; all in the error envelope."""
    for path in ("/generations/task_nobody", "/generations/..", "/files/file_nobody", "/nothing", "/generations/"):
        refused(sandbox.send("GET", path), 404, "not_found")
    for method_path in ("GET /generations", "DELETE /generations/task_x", "DELETE /files/x", "POST /credits"):
        answer = sandbox.send(*method_path.split())
        refused(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == {"GET": "POST", "POST": "GET", "DELETE": "GET"}[method_path.split()[0]]
