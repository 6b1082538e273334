"""Rivya's Public API v1, from the server's side.

Pictures are ordered here, videos in `rivya_video`, files are in `rivya_files`.
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
from math import isqrt
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import httpx
from pydantic import Field

from wan_cli.sandbox import rivya_files, rivya_video
from wan_cli.sandbox.references import NoSuchUploadError, on_the_web, upload
from wan_cli.sandbox.rivya_envelope import KEY, NAME, RefusedError, Strict, iso, refuse, refuse_input
from wan_cli.sandbox.world import KeyReusedError, Picture, Task, TooFewCreditsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wan_cli.sandbox.world import World

__all__ = ["HOSTS", "KEY", "NAME", "handle"]

HOSTS: tuple[str, ...] = ("rivya.ai",)  # [1.1]
# Credits a task, FIXED [1.9, S].
PRICES = {"wan-2-7-image": 5, "wan-2-7-image-pro": 12, rivya_video.MODEL: rivya_video.PRICE}
ALLOWANCE = 1000  # what a sandbox account starts with
_Model = Literal["wan-2-7-image", "wan-2-7-image-pro"]
_ASPECTS = Literal["1:1", "16:9", "4:3", "21:9", "3:4", "9:16", "8:1", "1:8"]  # [1.9, S]
_SIDES = {"1K": 1024, "2K": 2048}  # [1.9, S]; a tier's area is at most its side squared
_SEEDS = 2147483647  # [1.9, S]
_FAULT = "the sandbox made it fail (sandbox:fail)"
_KEY_LENGTH = 255  # not documented; a usual bound


class _Reference(Strict):
    url: str
    kind: Literal["image"]  # a wan-2-7-image model takes no other [S]
    name: str = ""
    mime_type: Literal["image/jpeg", "image/png", "image/webp"] = Field(default="image/png", alias="mimeType")
    duration_seconds: Annotated[float, Field(ge=0)] = Field(default=0, alias="durationSeconds")
    duration_token: str = Field(default="", alias="durationToken")


_References = Annotated[list[_Reference], Field(min_length=1, max_length=9)]


class _Params(Strict):
    aspect_ratio: _ASPECTS = "1:1"
    resolution: Literal["1K", "2K"] = "2K"
    watermark: Literal["false", "true"] = "false"  # a select: the JSON booleans are refused [1.3]
    seed: Annotated[int, Field(ge=0, le=_SEEDS)] = -1  # -1: left out, which means random [S]
    references: _References = Field(default=[], alias="referenceMediaItems")


class _Create(Strict):
    model: _Model
    prompt: str = Field(min_length=1, max_length=5000)
    params: _Params = _Params()
    client_request_id: str = Field(default="", max_length=128)  # length from [1.5]


def handle(request: httpx.Request, world: World) -> httpx.Response:
    """Answer one request whose body has been read; whatever a client sends, a refusal is an envelope [1.6]."""
    try:
        return _route(request, world)
    except RefusedError as refused:
        status, code, message, headers = refused.args
        error = {"code": code, "message": message, "requestId": f"req_{secrets.token_hex(12)}"}
        return httpx.Response(status, headers=headers, json={"error": error})


def _route(request: httpx.Request, world: World) -> httpx.Response:
    for pattern, method, needs_key, answer in _ROUTES:
        match = re.fullmatch(pattern, request.url.path)
        if match is None:
            continue
        if request.method != method:
            refuse(405, "method_not_allowed", f"{request.url.path} answers {method} only", Allow=method)
        if needs_key:
            _check_key(request)
        return httpx.Response(200, json=answer(request, world, *match.groups()))
    return refuse(404, "not_found", f"no such endpoint: {request.url.path}")


def _check_key(request: httpx.Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key:
        refuse(401, "api_key_missing", "send Authorization: Bearer rvya_sk_...")
    if key != KEY:
        refuse(401, "api_key_invalid", "this API key is not known")


def _create(request: httpx.Request, world: World) -> dict[str, Any]:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= _KEY_LENGTH:
        refuse_input(f"Idempotency-Key: 1 to {_KEY_LENGTH} characters")
    if not re.fullmatch(r"application/json(\s*;.*)?", request.headers.get("content-type", ""), re.IGNORECASE):
        refuse_input("Content-Type: application/json is required")
    order: _Create | rivya_video.Create
    if rivya_video.is_meant(request.content):
        order = rivya_video.Create.checked(request.content)
    else:
        order = _Create.checked(request.content)
    if "sandbox:moderation" in order.prompt:
        refuse_input("prompt: refused by the content policy")
    price, fails, name = PRICES[order.model], "sandbox:fail" in order.prompt, f"task_{secrets.token_hex(12)}"
    task = Task(id=name, provider=NAME, model=order.model, credits=price, idempotency_key=key, fails=fails)
    if isinstance(order, rivya_video.Create):
        task = task.model_copy(update={"clips": (rivya_video.clip(order, world),)})
    else:
        task = task.model_copy(update={"pictures": (_picture(order, world),)})
    try:
        return _task(world.accept(task, request.content, allowance=ALLOWANCE), world)
    except KeyReusedError:
        refuse(409, "idempotency_conflict", "Idempotency-Key: already used with another body")
    except TooFewCreditsError:  # its status is not documented; 402 is likely [1.6]
        refuse(402, "insufficient_credits", f"{order.model} costs {price} credits")


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
    try:
        file = upload(url, NAME, world)
    except NoSuchUploadError:
        refuse_input(f"{field}: no such file, upload it first")
    if file is not None:
        if file.kind != "image":
            refuse_input(f"{field}: the file is {file.kind}, not image")
        return file.sha256
    if not on_the_web(url):
        refuse_input(f"{field}: an https URL is required")
    return world.keep_stand_in(url)


def _task(task: Task, world: World) -> dict[str, Any]:
    stage = world.stage(task)
    status = {"queued": "queued", "running": "processing", "ended": "failed" if task.fails else "succeeded"}[stage]
    urls = world.urls(task) if status == "succeeded" else []
    moved = {"queued": 0.0, "running": world.lasts(task) / 4, "ended": world.lasts(task)}[stage]
    return {
        "id": task.id,
        "status": status,
        "model": task.model,
        "reserved_credits": task.credits,
        "final_credits": task.credits if urls else 0,
        "created_at": iso(task.created),
        "updated_at": iso(task.created + moved),
        "result": {"primary_url": urls[0], "urls": urls} if urls else None,
        "error": {"code": "generation_failed", "message": _FAULT} if status == "failed" else None,
    }


def _status(_: httpx.Request, world: World, task_id: str) -> dict[str, Any]:
    task = world.task(NAME, task_id)
    if task is None:
        refuse(404, "not_found", "no such task")
    return _task(task, world)


def _credits(_: httpx.Request, world: World) -> dict[str, Any]:
    spent = sum(line["credits"] for line in world.purchases() if line["provider"] == NAME)
    return {"current_credits": ALLOWANCE - spent}


def _models(_: httpx.Request, __: World) -> dict[str, Any]:
    """Return the public list: items as in [1.8], as far as their values are known; the wrapper is not documented."""
    fields = [(key, _Params.model_fields[key]) for key in ("aspect_ratio", "resolution", "watermark")]
    params = [{"key": k, "type": "select", "default": f.default, "options": get_args(f.annotation)} for k, f in fields]
    known: dict[str, Any] = {"runtime": "async_task", "billing_type": "FIXED", "max_prompt_length": 5000}
    known |= {"api_status": "available", "api_input_status": "available_url_input", "url_input_supported": True}
    known |= {"supported_api_inputs": ["text", "file"], "requires_files_api": False, "file_kinds": ["image"]}
    seed = {"key": "seed", "type": "number", "min": 0, "max": _SEEDS, "step": 1}
    image = {"category": "image", "params": [*params, seed], **known}
    video = {"category": "video", "params": [*rivya_video.listed(), seed], **known, "requires_files_api": True}
    video["file_kinds"] = ["image", "video", "audio"]
    kinds = {model: video if model == rivya_video.MODEL else image for model in PRICES}
    return {"models": [{"id": model, "base_credits": price, **kinds[model]} for model, price in PRICES.items()]}


_ROUTES: tuple[tuple[str, str, bool, Callable[..., dict[str, Any]]], ...] = (  # [1.2]
    (r"/api/v1/models", "GET", False, _models),
    (r"/api/v1/generations", "POST", True, _create),
    (r"/api/v1/generations/([^/]+)", "GET", True, _status),
    (r"/api/v1/files", "POST", True, rivya_files.upload),
    (r"/api/v1/files/([^/]+)", "GET", True, rivya_files.status),
    (r"/api/v1/credits", "GET", True, _credits),
)
