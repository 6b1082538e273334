"""A new-api relay of the Yunwu family, wan2.7-image-pro from text, from the server's side.

Sources: `seeds/003` [S], whose schema takes six fields and no other, and `contracts.md` section 3, cited as [3.x]. The
seed shows one error: `response_format` cannot be read. Its page files it under "服务器内部错误" (internal error),
so it is a 500 here; its code says that the request was at fault. Other refusals have the statuses that are usual.

With the World's option `yunwu_passthrough` a body may also hold Alibaba's `input` and `parameters` [3.3]: `parameters`
then replaces `size`, `n` and `watermark`, and without an `n` of its own Alibaba's default counts: four pictures, twelve
with `enable_sequential` (`contracts.md` 8, contradiction 5). The answer then has `metadata`, Alibaba's own.

Words in a prompt steer the outcome:
    sandbox:fail        `bad_response`, 400: a 500 would leave open whether it was charged
    sandbox:moderation  `sensitive_words_detected`, 400
    sandbox:quota       `insufficient_user_quota`, 403
"""

from __future__ import annotations

import json
import secrets
import string
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wan_cli.sandbox import canvas
from wan_cli.sandbox.references import on_the_web
from wan_cli.sandbox.world import Picture, Task

if TYPE_CHECKING:
    from wan_cli.sandbox.world import World

NAME = "yunwu"
KEY = "sk-sandbox-yunwu"
HOSTS: tuple[str, ...] = ("yunwu.ai", "api.yunwu.ai")  # [3.1]
MODEL = "wan2.7-image-pro"
_SEEDS = 2147483647  # [S]
_UNREADABLE = "invalid request body: json: cannot unmarshal string into Go struct field"
_FORMAT = f"{_UNREADABLE} GeneralOpenAIRequest.response_format of type dto.ResponseFormat"  # the seed's very words
_INLINE = ("data:image/png;base64,", "data:image/jpeg;base64,", "data:image/webp;base64,", "data:image/bmp;base64,")
_COUNT, _SEQUENCE, _INPUTS = 4, 12, 9  # what `parameters` takes (`contracts.md` 5.2)


class RefusedError(Exception):
    """A refusal: `args` are the HTTP status, the code and the message of the error envelope."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


_Size = Annotated[str, Field(pattern=canvas.SIZE, max_length=64)]
_Seed = Annotated[int, Field(ge=0, le=_SEEDS)]


class _Create(_Strict):
    """The seed's schema, field by field."""

    model: Literal["wan2.7-image-pro"]
    prompt: str = Field(min_length=1)
    size: _Size = "2K"
    n: Annotated[int, Field(ge=1, le=_COUNT)] = 1
    watermark: bool = False
    seed: _Seed = -1


class _Content(_Strict):
    image: str = ""
    text: str = ""


class _Message(_Strict):
    role: Literal["user"]
    content: Annotated[list[_Content], Field(min_length=1)]


class _Input(_Strict):
    messages: Annotated[list[_Message], Field(min_length=1, max_length=1)]


class _Parameters(_Strict):
    """Alibaba's parameters (`contracts.md` 5.2)."""

    size: _Size = "2K"
    n: Annotated[int, Field(ge=1, le=_SEQUENCE)] | None = None
    watermark: bool = False
    seed: _Seed = -1
    thinking_mode: bool = True
    enable_sequential: bool = False
    color_palette: list[dict[str, str]] = Field(default=[])
    bbox_list: list[list[list[int]]] = Field(default=[])


class _Through(_Create):
    """What a relay that passes things on takes besides [3.3]."""

    input: _Input | None = None
    parameters: _Parameters | None = None


def handle(request: httpx.Request, world: World) -> httpx.Response:
    """Answer one request whose body has been read; whatever a client sends, a refusal is an envelope [3.4]."""
    request_id = f"{datetime.fromtimestamp(world.clock(), UTC):%Y%m%d%H%M%S%f}000{_letters(8)}"
    try:
        return _route(request, world)
    except RefusedError as refused:
        status, code, message, kind = refused.args
        error = {"message": f"{message} (request id: {request_id})", "type": kind, "param": "", "code": code}
        return httpx.Response(status, json={"error": error}, headers={"X-Oneapi-Request-Id": request_id})


def _letters(count: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(count))


def _route(request: httpx.Request, world: World) -> httpx.Response:
    known = {"/v1/images/generations": "POST", "/v1/models": "GET"}
    if known.get(request.url.path) != request.method:
        _refuse(404, "", f"Invalid URL ({request.method} {request.url.path})", kind="invalid_request_error")
    if request.headers.get("authorization") != f"Bearer {KEY}":
        _refuse(401, None, "无效的令牌")  # new-api's own words, its code null
    if request.method == "GET":
        listed = {"id": MODEL, "object": "model", "created": 1626777600, "owned_by": "ali"}
        return httpx.Response(200, json={"object": "list", "data": [listed]})
    return httpx.Response(200, json=_generate(request, world))


def _refuse(status: int, code: str | None, message: str, *, kind: str = "new_api_error") -> NoReturn:
    raise RefusedError(status, code, message, kind)


def _refuse_input(message: str) -> NoReturn:
    _refuse(400, "invalid_request", message)


def _generate(request: httpx.Request, world: World) -> dict[str, Any]:
    """Answer with links at once; what is unset is an empty string [3.3]."""
    order = _read(request, world)
    if "sandbox:moderation" in order.prompt:
        _refuse(400, "sensitive_words_detected", "user sensitive words detected")
    if "sandbox:quota" in order.prompt:
        _refuse(403, "insufficient_user_quota", "用户额度不足")
    if "sandbox:fail" in order.prompt:
        _refuse(400, "bad_response", "the sandbox made it fail (sandbox:fail)")
    through = order if isinstance(order, _Through) and (order.input or order.parameters) else None
    pictures = _passed_on(through, world) if through else _pictures(order)
    task = Task(id=f"yunwu_{secrets.token_hex(12)}", provider=NAME, model=MODEL, pictures=pictures)
    task = world.accept(task, request.content)
    data = [{"url": url, "b64_json": "", "revised_prompt": ""} for url in world.urls(task)]
    answer: dict[str, Any] = {"created": int(task.created), "data": data}
    return answer | {"metadata": _upstream(task, world)} if through else answer


def _read(request: httpx.Request, world: World) -> _Create:
    try:
        sent = json.loads(request.content)
    except ValueError:
        _refuse_input("invalid request body: not JSON")
    if not isinstance(sent, dict):
        _refuse_input("invalid request body: not an object")
    if "response_format" in sent:
        _refuse(500, "invalid_request", _FORMAT)
    if isinstance(sent.get("model"), str) and sent["model"] != MODEL:
        _refuse(503, "model_not_found", f"no available channel for model {sent['model'][:80]}")
    try:
        order = (_Through if world.yunwu_passthrough else _Create).model_validate(sent)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        _refuse_input(f"invalid request body: {'.'.join(map(str, first['loc']))}: {first['msg']}")
    return order


def _checked_size(size: str, tier: str) -> str:
    wrong = canvas.fault(size, tier) if size not in canvas.TIERS else ""
    if wrong:
        _refuse_input(f"size: {wrong}")
    return size


def _pictures(order: _Create) -> tuple[Picture, ...]:
    width, height = canvas.pixels(_checked_size(order.size, "4K"))
    first = Picture(
        prompt=order.prompt, width=width, height=height, seed=_seed(order.seed), watermark=order.watermark
    )  # fmt: skip
    return tuple(first.model_copy(update={"index": index}) for index in range(1, order.n + 1))


def _seed(sent: int) -> int:
    return sent if sent >= 0 else secrets.randbelow(_SEEDS + 1)


def _passed_on(order: _Through, world: World) -> tuple[Picture, ...]:
    """Return what Alibaba would make of the order: `parameters` and `input` count, the fields beside them do not."""
    given = order.parameters or _Parameters(size=order.size, n=order.n, watermark=order.watermark)
    content = order.input.messages[0].content if order.input else [_Content(text=order.prompt)]
    images = [item.image for item in content if item.image]
    if len(images) > _INPUTS:
        _refuse_input(f"input.messages: at most {_INPUTS} images")
    inputs = tuple(_input(image, world) for image in images)
    most = _SEQUENCE if given.enable_sequential else _COUNT
    count = most if given.n is None else given.n
    if count > most:
        _refuse_input(f"parameters.n: at most {most}; up to {_SEQUENCE} with enable_sequential")
    if given.size == "4K" and (inputs or given.enable_sequential):
        _refuse_input("parameters.size: 4K is for text alone, one by one")
    _checked_size(given.size, "2K" if inputs or given.enable_sequential else "4K")
    width, height = canvas.pixels(given.size)
    verb = "sequence" if given.enable_sequential else ("generate", "edit", "fuse")[min(len(inputs), 2)]
    first = Picture(
        prompt=" ".join(item.text for item in content if item.text), width=width, height=height,
        seed=_seed(given.seed), verb=verb, inputs=inputs, watermark=given.watermark,
    )  # fmt: skip
    return tuple(first.model_copy(update={"index": index}) for index in range(1, count + 1))


def _input(image: str, world: World) -> str:
    """Return the digest of an input picture: inline, or a stand-in for one on the web."""
    from base64 import b64decode

    start = next((start for start in _INLINE if image.startswith(start)), None)
    if start is not None:
        try:
            return world.keep(b64decode(image[len(start) :], validate=True))
        except ValueError:
            _refuse_input("input.messages: an image is not base64")
    if not on_the_web(image):
        _refuse_input("input.messages: an image is a data URI or an https URL")
    return world.keep_stand_in(image)


def _upstream(task: Task, world: World) -> dict[str, Any]:
    """Return Alibaba's body, one choice a picture (`contracts.md` 5.2)."""
    choices = [
        {"finish_reason": "stop", "message": {"role": "assistant", "content": [{"image": url, "type": "image"}]}}
        for url in world.urls(task)
    ]
    first = task.pictures[0]
    usage = {"image_count": len(choices), "size": f"{first.width}*{first.height}"}
    return {"output": {"choices": choices, "finished": True}, "usage": usage, "request_id": task.id}
