"""OpenAI's images API, and servers that copy it, from the server's side.

Source: `contracts.md` section 6, cited as [6.x]; parameters are in `openai_orders`, the edits' form in `openai_edits`.
GPT image models answer base64 and nothing else; dall-e and self-hosted models answer a link unless `response_format`
asks for `b64_json`. The model id `async-image` stands for relays that answer with a task ([6.2], last row) in the shape
of `contracts.md` 4.3.

Words in a prompt steer the outcome:
    sandbox:fail        the request is refused (400, `generation_failed`); a task is accepted and ends `failed`
    sandbox:moderation  400 `moderation_blocked`, for dall-e `content_policy_violation`
    sandbox:quota       429 `insufficient_quota`
"""

from __future__ import annotations

import json
import re
import secrets
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import httpx

from wan_cli.sandbox import openai_edits
from wan_cli.sandbox.openai_orders import Order, RefusedError, pixels, read, refuse
from wan_cli.sandbox.world import RESULT_LIFETIME, Picture, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from wan_cli.sandbox.world import World

NAME = "openai"
KEY = "sk-sandbox-openai"
HOSTS: tuple[str, ...] = ("api.openai.com",)
ASYNC = "async-image"
MODELS = ("gpt-image-1", "gpt-image-1-mini", "gpt-image-1.5", "gpt-image-2", "dall-e-2", "dall-e-3", "wan2.7-image")
_SEEDS = 2147483647
_TOKENS = 1056  # of a 1024x1024 image; the true numbers are not documented here
_PROGRESS = {"queued": 0, "running": 50, "ended": 100}  # percent
_OWNERS = {True: "system", False: "sandbox"}


def handle(request: httpx.Request, world: World) -> httpx.Response:
    """Answer one request whose body has been read; whatever a client sends, a refusal is an envelope [6.1]."""
    try:
        response = httpx.Response(200, json=_route(request, world))
    except RefusedError as refused:
        status, error = refused.args
        response = httpx.Response(status, json={"error": error})
    response.headers.update({"x-request-id": f"req_{secrets.token_hex(16)}", "openai-processing-ms": "1"})
    return response


def _route(request: httpx.Request, world: World) -> dict[str, Any]:
    for pattern, method, answer in _ROUTES:
        match = re.fullmatch(pattern, request.url.path)
        if match is not None and request.method == method:
            if request.headers.get("authorization") != f"Bearer {KEY}":
                refuse(401, "invalid_api_key", "Incorrect API key provided.")
            return answer(request, world, *match.groups())
    return refuse(404, None, f"Invalid URL ({request.method} {request.url.path})")


def _generate(request: httpx.Request, world: World) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        refuse(400, "unsupported_content_type", "Content-Type: application/json is required.")
    try:
        sent = json.loads(request.content)
    except ValueError:
        refuse(400, None, "We could not parse the JSON body of your request.")
    order = read(sent, edit=False)
    return _sold(order, _pictures(order, pixels(order), (), ""), request.content, world)


def _edit(request: httpx.Request, world: World) -> dict[str, Any]:
    edit = openai_edits.form(request)
    inputs = tuple(world.keep(image) for image in edit.images)
    mask = world.keep(edit.mask) if edit.mask else ""
    body = {**edit.order.model_dump(mode="json", exclude_unset=True), "images": inputs, "mask": mask}
    drawn = _pictures(edit.order, pixels(edit.order, edit.shape), inputs, mask)
    return _sold(edit.order, drawn, json.dumps(body).encode(), world)


def _pictures(order: Order, sides: tuple[int, int], inputs: tuple[str, ...], mask: str) -> tuple[Picture, ...]:
    first = Picture(
        prompt=order.prompt, width=sides[0], height=sides[1],
        seed=order.seed if order.seed >= 0 else secrets.randbelow(_SEEDS + 1),
        verb=("generate", "edit", "fuse")[min(len(inputs), 2)] if not mask else "edit",
        inputs=inputs, mask=mask, format=order.output_format, quality=order.output_compression,
        cutout=order.background == "transparent",
    )  # fmt: skip
    return tuple(first.model_copy(update={"index": index}) for index in range(1, order.n + 1))


def _sold(order: Order, drawn: tuple[Picture, ...], body: bytes, world: World) -> dict[str, Any]:
    """Accept the order and answer its pictures, or its task."""
    failing, slow = "sandbox:fail" in order.prompt, order.model == ASYNC
    if failing and not slow:  # a 500 would leave open whether it was charged
        refuse(400, "generation_failed", "the sandbox made it fail (sandbox:fail)", kind="image_generation_user_error")
    name = f"img_{secrets.token_hex(12)}"
    task = Task(id=name, provider=NAME, model=order.model, pictures=drawn, fails=failing)
    task = world.accept(task, body)
    if slow:
        return _begun(task)
    answer: dict[str, Any] = {"created": int(task.created), "data": _data(order, task, world)}
    if order.family == "gpt":
        answer |= {
            "background": "transparent" if drawn[0].cutout else "opaque",
            "output_format": order.output_format,
            "quality": "high" if order.quality == "auto" else order.quality,
            "size": f"{drawn[0].width}x{drawn[0].height}",
        }
    return answer if order.family.startswith("dall-e") else {**answer, "usage": _usage(order, drawn)}


def _data(order: Order, task: Task, world: World) -> list[dict[str, str]]:
    """Return one item a picture: base64 or a link; dall-e-3 also says how it revised the prompt."""
    revised = {"revised_prompt": order.prompt} if order.family == "dall-e-3" else {}
    if order.family != "gpt" and order.response_format == "url":
        return [{"url": url, **revised} for url in world.urls(task)]
    files = [world.delivered(task, number) for number in range(1, len(task.pictures) + 1)]
    return [{"b64_json": b64encode(file).decode(), **revised} for file in files]


def _usage(order: Order, drawn: tuple[Picture, ...]) -> dict[str, Any]:
    text, image = max(1, len(order.prompt) // 4), _TOKENS * len(drawn[0].inputs)
    made = sum(round(_TOKENS * picture.width * picture.height / 1024**2) for picture in drawn)
    return {
        "input_tokens": text + image,
        "input_tokens_details": {"image_tokens": image, "text_tokens": text},
        "output_tokens": made,
        "total_tokens": text + image + made,
    }


def _begun(task: Task) -> dict[str, Any]:
    shown = {"id": task.id, "object": "generation.task", "model": task.model, "status": "queued", "progress": 0}
    return {**shown, "created_at": int(task.created), "metadata": {}}


def _status(_: httpx.Request, world: World, task_id: str) -> dict[str, Any]:
    """Answer where a task of `async-image` is (`contracts.md` 4.3)."""
    task = world.task(NAME, task_id)
    if task is None or task.model != ASYNC:
        refuse(404, "task_not_found", "task not found", kind="not_found_error")
    stage, ended = world.stage(task), int(task.created + world.lasts(task))
    status = {"queued": "queued", "running": "in_progress", "ended": "failed" if task.fails else "completed"}[stage]
    answer = {**_begun(task), "status": status, "progress": _PROGRESS[stage]}
    if status == "failed":
        answer["error"] = {"code": "generation_failed", "message": "the sandbox made it fail (sandbox:fail)"}
    if status == "completed":
        answer |= {"completed_at": ended, "expires_at": ended + RESULT_LIFETIME}
        answer["result"] = {"type": "image", "data": [{"url": url} for url in world.urls(task)]}
    return answer


def _models(_: httpx.Request, __: World) -> dict[str, Any]:
    ids = (*MODELS, ASYNC)
    listed = [
        {"id": model, "object": "model", "created": 1767225600, "owned_by": _OWNERS[model.startswith(("gpt", "dall"))]}
        for model in ids
    ]
    return {"object": "list", "data": listed}


_ROUTES: tuple[tuple[str, str, Callable[..., dict[str, Any]]], ...] = (
    (r"/v1/images/generations", "POST", _generate),
    (r"/v1/images/generations/([^/]+)", "GET", _status),
    (r"/v1/images/edits", "POST", _edit),
    (r"/v1/models", "GET", _models),
)
