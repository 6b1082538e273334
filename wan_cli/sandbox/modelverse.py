"""Modelverse (UCloud AstraFlow), wan2.7-image and wan2.7-image-pro, from the server's side.

Sources: `seeds/002` [S] and `contracts.md` section 2, cited as [2.x]. The page names the fields; the stricter rules (no
other fields, pixel totals, input pictures) are the OpenAPI file's. What neither says is marked beside the rule.

Two words in a prompt steer the outcome:
    sandbox:fail        a task is accepted and ends `Failure`; a synchronous request is refused with InvalidParameter,
                        since a 500 would leave open whether it was charged
    sandbox:moderation  the request is refused with `sensitive_check_error` [2.6]
"""

from __future__ import annotations

import re
import secrets
import uuid
from base64 import b64decode
from io import BytesIO
from math import gcd, isqrt, sqrt
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NoReturn, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wan_cli.sandbox.world import Picture, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from wan_cli.sandbox.world import World

NAME = "modelverse"
KEY = "sk-sandbox"
HOSTS: tuple[str, ...] = (  # [2.1]
    "api.modelverse.cn",
    "api.umodelverse.ai",
    "api-sg.umodelverse.ai",
    "api-us-ca.umodelverse.ai",
    "api-ge-fra.umodelverse.ai",
)

PRO = "wan2.7-image-pro"
_TIERS = {"1K": 1024, "2K": 2048, "4K": 4096}  # sides in pixels
_LEAST = 768 * 768  # pixels in all, of every explicit size [2.2]
_COUNT, _SEQUENCE = 4, 12  # pictures a request; with enable_sequential [2.2, 2.3]
_SLIMMEST = 8  # 1:8 to 8:1, results and inputs alike [2.2]
_SIDES = range(240, 8001)  # pixels of an input picture's side [2.2]
_BYTES = 20 * 1024 * 1024  # of an input picture [2.2]
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # [2.2]
_DATA_URI = re.compile(r"data:image/(?:jpeg|jpg|png|bmp|webp);base64,")  # [2.4] has both this and bare base64
_FINE = 32  # the least multiple of an aspect that stays near its tier


class RefusedError(Exception):
    """A refusal: `args` are the HTTP status and the body."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


_Model = Literal["wan2.7-image", "wan2.7-image-pro"]
_Pictures = Annotated[list[str], Field(min_length=1, max_length=9)]
_Size = Annotated[str, Field(pattern=r"^(?:[124]K|[1-9][0-9]*[x*][1-9][0-9]*)$", max_length=64)]
_Count = Annotated[int, Field(ge=1, le=_SEQUENCE)]
_Seed = Annotated[int, Field(ge=0)]  # 0 is "unset"; no upper bound is documented


class _Settings(_Strict):
    size: _Size = "2K"
    n: _Count = 1
    seed: _Seed = 0
    watermark: bool = False
    enable_sequential: bool = False


class _Sync(_Settings):
    """POST /v1/images/generations [2.2]."""

    model: _Model
    prompt: str = ""
    image: str = ""
    images: _Pictures = []
    thinking_mode: bool = False


class _Input(_Strict):
    prompt: str = ""
    images: _Pictures = []
    img_url: str = ""
    first_frame_url: str = ""


class _Parameters(_Settings):
    prompt_extend: bool = False


class _Async(_Strict):
    """POST /v1/tasks/submit [2.3]."""

    model: _Model
    input: _Input
    parameters: _Parameters = _Parameters()


_Body = TypeVar("_Body", bound=_Strict)


class _Source(NamedTuple):  # an input picture, sides in pixels
    sha256: str
    width: int
    height: int


def handle(request: httpx.Request, world: World) -> httpx.Response:
    """Answer one request whose body has been read; whatever a client sends, a refusal is an envelope [2.6]."""
    try:
        return _route(request, world)
    except RefusedError as refused:
        status, body = refused.args
        return httpx.Response(status, json=body)


def _route(request: httpx.Request, world: World) -> httpx.Response:
    if request.url.path not in _ROUTES:
        _refuse(404, "not_found", f"no such endpoint: {request.url.path}")
    method, answer = _ROUTES[request.url.path]
    if request.method != method:
        _refuse(405, "method_not_allowed", f"{request.url.path} answers {method} only")
    if request.headers.get("authorization") != f"Bearer {KEY}":
        _refuse(401, "auth_error", "the API key is missing or not known")
    return httpx.Response(200, json=answer(request, world))


def _refuse(status: int, code: str, message: str) -> NoReturn:
    """Refuse in the gateway's own error shape, whose `param` holds the request id [2.6]."""
    error = {"message": message, "type": "invalid_request_error", "code": code, "param": _request_id()}
    raise RefusedError(status, {"error": error})


def _refuse_input(message: str) -> NoReturn:
    """Refuse in the error shape of the Wan 2.7 pages [2.6]."""
    raise RefusedError(400, {"error": {"code": "InvalidParameter", "message": message}, "request_id": _request_id()})


def _request_id() -> str:
    return f"req_{secrets.token_hex(12)}"


def _generate(request: httpx.Request, world: World) -> dict[str, Any]:
    """Answer the synchronous request: the pictures' links at once, valid 24 h, nothing but `url` in an item [2.2]."""
    sent = _checked(_Sync, request)
    sources = [*sent.images] or [image for image in (sent.image,) if image]
    pictures = _pictures(sent.model, sent.prompt, sources, sent, world)
    if "sandbox:fail" in sent.prompt:
        _refuse_input("the prompt asked for a failure: sandbox:fail")
    task = Task(id=str(uuid.uuid4()), provider=NAME, model=sent.model, pictures=pictures)
    task = world.accept(task, request.content)
    return {"created": int(task.created), "data": [{"url": url} for url in world.urls(task)]}


def _submit(request: httpx.Request, world: World) -> dict[str, Any]:
    """Accept a task [2.3]. There is no idempotency key: every request that passes is charged."""
    sent = _checked(_Async, request)
    sources = [*sent.input.images] or [url for url in (sent.input.img_url, sent.input.first_frame_url) if url][:1]
    pictures = _pictures(sent.model, sent.input.prompt, sources, sent.parameters, world)
    failing = "sandbox:fail" in sent.input.prompt
    task = Task(id=str(uuid.uuid4()), provider=NAME, model=sent.model, pictures=pictures, fails=failing)
    return {"output": {"task_id": world.accept(task, request.content).id}, "request_id": _request_id()}


def _status(request: httpx.Request, world: World) -> dict[str, Any]:
    """Answer where a task is; `request_id` is the empty string, as in the page's examples [S]."""
    task = world.task(NAME, request.url.params.get("task_id", ""))
    if task is None:
        _refuse_input("invalid task_id")
    stage = world.stage(task)
    status = {"queued": "Pending", "running": "Running", "ended": "Failure" if task.fails else "Success"}[stage]
    output: dict[str, Any] = {"task_id": task.id, "task_status": status, "submit_time": int(task.created)}
    answer: dict[str, Any] = {"output": output, "request_id": ""}
    if stage == "ended":
        output["finish_time"] = int(task.created + world.latency)
    if status == "Failure":
        output["error_message"] = "code=InternalError, message=the prompt asked for a failure: sandbox:fail"
    if status == "Success":
        output["urls"] = world.urls(task)
        answer["usage"] = {"completion_tokens": len(task.pictures), "total_tokens": len(task.pictures)}
    return answer


def _checked(body: type[_Body], request: httpx.Request) -> _Body:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        _refuse_input("Content-Type: application/json is required")
    try:
        return body.model_validate_json(request.content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        _refuse_input(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}")


def _pictures(model: str, prompt: str, sent: list[str], settings: _Settings, world: World) -> tuple[Picture, ...]:
    """Return what is to be drawn, or refuse the request for what no single field shows."""
    if not prompt and not sent:
        _refuse_input("prompt: one of prompt and an input picture is required")
    if "sandbox:moderation" in prompt:
        _refuse(400, "sensitive_check_error", "prompt: refused by the content check")
    if settings.n > _COUNT and not settings.enable_sequential:
        _refuse_input(f"n: at most {_COUNT}; up to {_SEQUENCE} with enable_sequential")
    # 4K and the larger totals are for the pro model, from text alone, one by one [2.2].
    large = model == PRO and not sent and not settings.enable_sequential
    _check_size(settings.size, large=large)
    sources = [_source(text, world) for text in sent]
    width, height = _pixels(settings.size, sources)
    verb = "sequence" if settings.enable_sequential else ("generate", "edit", "fuse")[min(len(sources), 2)]
    seed = settings.seed or secrets.randbelow(2**31 - 1) + 1
    inputs, mark = tuple(source.sha256 for source in sources), settings.watermark
    first = Picture(prompt=prompt, width=width, height=height, seed=seed, verb=verb, inputs=inputs, watermark=mark)
    return tuple(first.model_copy(update={"index": index}) for index in range(1, settings.n + 1))


def _check_size(size: str, *, large: bool) -> None:
    if size in _TIERS:
        if size == "4K" and not large:
            _refuse_input(f"size: 4K needs {PRO}, no input picture and no enable_sequential")
        return
    width, height = _sides(size)
    most = _TIERS["4K" if large else "2K"] ** 2
    if not _LEAST <= width * height <= most:
        _refuse_input(f"size: {size} has {width * height} pixels, {_LEAST} to {most} are taken here")
    if max(width, height) > _SLIMMEST * min(width, height):
        _refuse_input(f"size: {size} is slimmer than 1:{_SLIMMEST}")


def _sides(size: str) -> tuple[int, int]:
    width, _, height = size.replace("*", "x").partition("x")
    return int(width), int(height)


def _pixels(size: str, sources: list[_Source]) -> tuple[int, int]:
    """Return the sides of a result: a tier is square from text, and follows the last input picture otherwise [2.2].

    The sides are w*k x h*k of the reduced aspect, k the largest even number whose area fits the tier. A photograph's
    aspect may reduce to terms so large that such a k falls far short of the tier, even below the least total; then both
    sides are rounded down to even numbers instead (not documented).
    """
    if size not in _TIERS:
        return _sides(size)
    _, width, height = sources[-1] if sources else ("", 1, 1)
    side = _TIERS[size]
    width, height = width // gcd(width, height), height // gcd(width, height)
    k = isqrt(side * side // (width * height)) // 2 * 2
    if k >= _FINE:
        return width * k, height * k
    scale = side / sqrt(width * height)
    return int(width * scale) // 2 * 2, int(height * scale) // 2 * 2


def _source(text: str, world: World) -> _Source:
    """Return an input picture: a data URI or bare base64 is decoded and checked, an https URL gets a stand-in [2.4]."""
    if re.match(r"https://[^\s/?#]", text):
        return _Source(world.keep_stand_in(text), 512, 512)
    match = _DATA_URI.match(text)
    try:
        data = b64decode(text[match.end() :] if match else text, validate=True)
    except ValueError:
        _refuse_input("invalid image url")  # the page's own words [S]
    if len(data) > _BYTES:
        _refuse_input(f"image: {len(data)} bytes, at most {_BYTES} are taken")
    width, height = _measure(data)
    return _Source(world.keep(data), width, height)


def _measure(data: bytes) -> tuple[int, int]:
    from PIL import Image

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            (width, height), transparent = image.size, image.has_transparency_data and image.format == "PNG"
    except (OSError, SyntaxError, ValueError, *bombs):
        _refuse_input(f"image: not a readable picture ({', '.join(_FORMATS)})")
    if transparent:
        _refuse_input("image: a PNG must not have an alpha channel")
    if width not in _SIDES or height not in _SIDES:
        _refuse_input(f"image: {width}x{height}, sides of 240 to 8000 pixels are taken")
    if max(width, height) > _SLIMMEST * min(width, height):
        _refuse_input(f"image: {width}x{height} is slimmer than 1:{_SLIMMEST}")
    return width, height


_ROUTES: dict[str, tuple[str, Callable[[httpx.Request, World], dict[str, Any]]]] = {
    "/v1/images/generations": ("POST", _generate),
    "/v1/tasks/submit": ("POST", _submit),
    "/v1/tasks/status": ("GET", _status),
}
