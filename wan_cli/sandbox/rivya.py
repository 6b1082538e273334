"""Rivya's Public API v1, from the server's side.

Sources: `seeds/000` and `seeds/001` [S], pages of wan-2-7-image-pro, and `contracts.md` section 1, cited as [1.x].
Where they are silent (a file's JSON, the HTTP status of `insufficient_credits`) the choice is said beside the rule.

Two words in a prompt steer the outcome:
    sandbox:fail        the task is accepted and ends `failed`, code `generation_failed`, `final_credits` 0 [1.4]; the
                        balance keeps what acceptance took, since no page says when credits come back
    sandbox:moderation  the request is refused: `validation_failed`, with a message about the content policy
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from math import isqrt
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Self, get_args

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wan_cli.sandbox.world import KeyReusedError, Picture, StoredFile, Task, TooFewCreditsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wan_cli.sandbox.world import World

NAME = "rivya"
KEY = "rvya_sk_sandbox"
HOSTS: tuple[str, ...] = ("rivya.ai",)  # [1.1]
PRICES = {"wan-2-7-image": 5, "wan-2-7-image-pro": 12}  # credits a task, FIXED [1.9, S]
ALLOWANCE = 1000  # what a sandbox account starts with
_Model = Literal["wan-2-7-image", "wan-2-7-image-pro"]
_ASPECTS = Literal["1:1", "16:9", "4:3", "21:9", "3:4", "9:16", "8:1", "1:8"]  # [1.9, S]
_SIDES = {"1K": 1024, "2K": 2048}  # [1.9, S]; a tier's area is at most its side squared
_SEEDS = 2147483647  # [1.9, S]
_KEY_LENGTH = 255  # not documented; a usual bound
_LIMITS = {"image": 10 << 20, "video": 50 << 20, "audio": 10 << 20}  # bytes, without a model [1.5]; MB read as MiB
_WAN_LIMIT = 20 << 20  # bytes of a picture for a wan-2-7-image model [1.5, S]
_SIGNATURES = {  # by kind, then MIME subtype [1.5]; the first match wins
    "image": {"jpeg": rb"\xff\xd8\xff", "png": rb"\x89PNG\r\n\x1a\n", "webp": rb"RIFF.{4}WEBP"},
    "video": {"quicktime": rb".{4}ftypqt  ", "mp4": rb".{4}ftyp", "webm": rb"\x1a\x45\xdf\xa3"},
    "audio": {"mp4": rb".{4}ftyp", "wav": rb"RIFF.{4}WAVE", "aac": rb"\xff[\xf0\xf1\xf8\xf9]", "ogg": rb"OggS"}
    | {"mpeg": rb"ID3|\xff[\xe0-\xff]"},
}


class RefusedError(Exception):
    """A refusal: `args` are the HTTP status, the code and the message of the error envelope."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def checked(cls, sent: bytes | dict[str, str]) -> Self:
        try:
            return cls.model_validate_json(sent) if isinstance(sent, bytes) else cls.model_validate(sent)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            _refuse_input(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}")


class _Reference(_Strict):
    url: str
    kind: Literal["image"]  # a wan-2-7-image model takes no other [S]
    name: str = ""
    mime_type: Literal["image/jpeg", "image/png", "image/webp"] = Field(default="image/png", alias="mimeType")
    duration_seconds: Annotated[float, Field(ge=0)] = Field(default=0, alias="durationSeconds")
    duration_token: str = Field(default="", alias="durationToken")


_References = Annotated[list[_Reference], Field(min_length=1, max_length=9)]


class _Params(_Strict):
    aspect_ratio: _ASPECTS = "1:1"
    resolution: Literal["1K", "2K"] = "2K"
    watermark: Literal["false", "true"] = "false"  # a select: the JSON booleans are refused [1.3]
    seed: Annotated[int, Field(ge=0, le=_SEEDS)] = -1  # -1: left out, which means random [S]
    references: _References = Field(default=[], alias="referenceMediaItems")


class _Create(_Strict):
    model: _Model
    prompt: str = Field(min_length=1, max_length=5000)
    params: _Params = _Params()
    client_request_id: str = Field(default="", max_length=128)  # length from [1.5]


class _Upload(_Strict):
    kind: Literal["image", "video", "audio"]
    model: _Model | None = None
    client_request_id: str = Field(default="", max_length=128)


def handle(request: httpx.Request, world: World) -> httpx.Response:
    """Answer one request whose body has been read; whatever a client sends, a refusal is an envelope [1.6]."""
    try:
        return _route(request, world)
    except RefusedError as refused:
        status, code, message = refused.args
        error = {"code": code, "message": message, "requestId": f"req_{secrets.token_hex(12)}"}
        return httpx.Response(status, json={"error": error})


def _route(request: httpx.Request, world: World) -> httpx.Response:
    for pattern, method, needs_key, answer in _ROUTES:
        match = re.fullmatch(pattern, request.url.path)
        if match is None:
            continue
        if request.method != method:
            _refuse(405, "method_not_allowed", f"{request.url.path} answers {method} only")
        if needs_key:
            _check_key(request)
        return httpx.Response(200, json=answer(request, world, *match.groups()))
    return _refuse(404, "not_found", f"no such endpoint: {request.url.path}")


def _check_key(request: httpx.Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key:
        _refuse(401, "api_key_missing", "send Authorization: Bearer rvya_sk_...")
    if key != KEY:
        _refuse(401, "api_key_invalid", "this API key is not known")


def _refuse(status: int, code: str, message: str) -> NoReturn:
    raise RefusedError(status, code, message)


def _refuse_input(message: str) -> NoReturn:
    _refuse(400, "validation_failed", message)


def _create(request: httpx.Request, world: World) -> dict[str, Any]:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= _KEY_LENGTH:
        _refuse_input(f"Idempotency-Key: 1 to {_KEY_LENGTH} characters")
    if not re.fullmatch(r"application/json(\s*;.*)?", request.headers.get("content-type", ""), re.IGNORECASE):
        _refuse_input("Content-Type: application/json is required")
    order = _Create.checked(request.content)
    if "sandbox:moderation" in order.prompt:
        _refuse_input("prompt: refused by the content policy")
    price, fails = PRICES[order.model], "sandbox:fail" in order.prompt
    name, pictures = f"task_{secrets.token_hex(12)}", (_picture(order, world),)
    task = Task(
        id=name, provider=NAME, model=order.model, pictures=pictures, credits=price, idempotency_key=key, fails=fails
    )
    try:
        return _task(world.accept(task, request.content, allowance=ALLOWANCE), world)
    except KeyReusedError:
        _refuse(409, "idempotency_conflict", "Idempotency-Key: already used with another body")
    except TooFewCreditsError:  # its status is not documented; 402 is likely [1.6]
        _refuse(402, "insufficient_credits", f"{order.model} costs {price} credits")


def _picture(order: _Create, world: World) -> Picture:
    params = order.params
    inputs = tuple(_input(reference.url, number, world) for number, reference in enumerate(params.references))
    width, height = map(int, params.aspect_ratio.split(":"))
    k = isqrt(_SIDES[params.resolution] ** 2 // (width * height)) // 2 * 2  # even sides: 16:9 at 2K is 2720x1530
    seed = params.seed if params.seed >= 0 else secrets.randbelow(_SEEDS + 1)
    verb, mark = ("generate", "edit", "fuse")[min(len(inputs), 2)], params.watermark == "true"
    return Picture(
        prompt=order.prompt, width=width * k, height=height * k, seed=seed, verb=verb, inputs=inputs, watermark=mark
    )


def _input(url: str, number: int, world: World) -> str:
    """Return the digest of the picture a reference names: an upload's own, or a stand-in for one on the web [1.5]."""
    field = f"params.referenceMediaItems.{number}.url"
    if url.startswith(f"{world.public_url}/files/"):
        file = world.file(url.removeprefix(f"{world.public_url}/files/").partition(".")[0])
        if file is None or file.provider != NAME or url != _file_url(file, world):
            _refuse_input(f"{field}: no such file, upload it first")
        if file.kind != "image":
            _refuse_input(f"{field}: the file is {file.kind}, not image")
        return file.sha256
    if not re.match(r"https://[^\s/?#]", url):
        _refuse_input(f"{field}: an https URL is required")
    return world.keep_stand_in(url)


def _task(task: Task, world: World) -> dict[str, Any]:
    stage = world.stage(task)
    status = {"queued": "queued", "running": "processing", "ended": "failed" if task.fails else "succeeded"}[stage]
    urls = world.urls(task) if status == "succeeded" else []
    moved = {"queued": 0.0, "running": world.latency / 4, "ended": world.latency}[stage]
    return {
        "id": task.id,
        "status": status,
        "model": task.model,
        "reserved_credits": task.credits,
        "final_credits": task.credits if urls else 0,
        "created_at": _iso(task.created),
        "updated_at": _iso(task.created + moved),
        "result": {"primary_url": urls[0], "urls": urls} if urls else None,
        "error": {"code": "generation_failed", "message": "sandbox:fail was asked for"} if status == "failed" else None,
    }


def _status(_: httpx.Request, world: World, task_id: str) -> dict[str, Any]:
    task = world.task(NAME, task_id)
    if task is None:
        _refuse(404, "not_found", "no such task")
    return _task(task, world)


def _upload(request: httpx.Request, world: World) -> dict[str, Any]:
    fields = _form(request)
    name, data = fields.pop("file", ("", b""))
    if not name:
        _refuse_input("file: a file part with a filename is required")
    form = _Upload.checked({field: value.decode(errors="replace") for field, (_, value) in fields.items()})
    if form.model and form.kind != "image":
        _refuse_input(f"kind: {form.model} takes images only")
    limit = _WAN_LIMIT if form.model else _LIMITS[form.kind]
    if len(data) > limit:
        _refuse_input(f"file: {len(data)} bytes, at most {limit} are taken")
    types = _SIGNATURES[form.kind].items()
    subtype = next((subtype for subtype, start in types if re.match(start, data, re.DOTALL)), None)
    if subtype is None:
        _refuse_input(f"file: its content is not a supported {form.kind}")
    shown = {"kind": form.kind, "mime": f"{form.kind}/{subtype}", "name": name, "size": len(data)}
    ours = {"id": f"file_{secrets.token_hex(12)}", "provider": NAME, "created": world.clock()}
    file = StoredFile.model_validate({**ours, **shown, "sha256": world.keep(data)})
    world.add_file(file)
    return _file(file, world)


def _form(request: httpx.Request) -> dict[str, tuple[str, bytes]]:
    """Return the filename (or "") and the content of each part of a multipart/form-data body (RFC 7578), by field."""
    boundary = re.fullmatch(r'multipart/form-data;.*\bboundary="?([^";]+)"?', request.headers.get("content-type", ""))
    if boundary is None:
        _refuse_input("Content-Type: multipart/form-data with a boundary is required")
    _, *parts = (b"\r\n" + request.content).split(f"\r\n--{boundary[1]}".encode())
    if not parts or not parts[-1].startswith(b"--"):
        _refuse_input("body: the multipart body does not end")
    fields: dict[str, tuple[str, bytes]] = {}
    for part in parts[:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        told = {"name": "", "filename": ""}
        told |= dict(re.findall(r'[; ](name|filename)="([^"]*)"', head.decode(errors="replace")))
        if told["name"] in fields:
            _refuse_input(f"{told['name']}: given twice")
        fields[told["name"]] = (told["filename"], data)
    return fields


def _file(file: StoredFile, world: World) -> dict[str, Any]:
    """Return PublicApiFile: an id, `url`, metadata and duration_token are documented, the exact JSON is not [1.5]."""
    shown: dict[str, Any] = {"id": file.id, "url": _file_url(file, world), "kind": file.kind, "mime_type": file.mime}
    shown |= {"size": file.size, "name": file.name, "created_at": _iso(file.created)}
    return shown if file.kind == "image" else shown | {"duration_token": f"dur_{file.sha256[:32]}"}


def _file_url(file: StoredFile, world: World) -> str:
    return f"{world.public_url}/files/{file.id}.{file.mime.partition('/')[2]}"


def _file_status(_: httpx.Request, world: World, file_id: str) -> dict[str, Any]:
    file = world.file(file_id)
    if file is None or file.provider != NAME:
        _refuse(404, "not_found", "no such file")
    return _file(file, world)


def _credits(_: httpx.Request, world: World) -> dict[str, Any]:
    spent = sum(line["credits"] for line in world.purchases() if line["provider"] == NAME)
    return {"current_credits": ALLOWANCE - spent}


def _models(_: httpx.Request, __: World) -> dict[str, Any]:
    """Return the public list: items as in [1.8], as far as their values are known; the wrapper is not documented."""
    fields = [(key, _Params.model_fields[key]) for key in ("aspect_ratio", "resolution", "watermark")]
    params = [{"key": k, "type": "select", "default": f.default, "options": get_args(f.annotation)} for k, f in fields]
    known = {"category": "image", "runtime": "async_task", "billing_type": "FIXED", "max_prompt_length": 5000}
    known |= {"params": [*params, {"key": "seed", "type": "number", "min": 0, "max": _SEEDS, "step": 1}]}
    known |= {"api_status": "available", "api_input_status": "available_url_input", "url_input_supported": True}
    known |= {"supported_api_inputs": ["text", "file"], "requires_files_api": False, "file_kinds": ["image"]}
    return {"models": [{"id": model, "base_credits": price, **known} for model, price in PRICES.items()]}


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_ROUTES: tuple[tuple[str, str, bool, Callable[..., dict[str, Any]]], ...] = (  # [1.2]
    (r"/api/v1/models", "GET", False, _models),
    (r"/api/v1/generations", "POST", True, _create),
    (r"/api/v1/generations/([^/]+)", "GET", True, _status),
    (r"/api/v1/files", "POST", True, _upload),
    (r"/api/v1/files/([^/]+)", "GET", True, _file_status),
    (r"/api/v1/credits", "GET", True, _credits),
)
