"""Modelverse (UCloud AstraFlow), wan2.7-image and wan2.7-image-pro, from the server's side; its videos are beside it.

Sources: `seeds/002` [S] and `contracts.md` section 2, cited as [2.x]. The page names the fields; the stricter rules (no
other fields, pixel totals, input pictures) are the OpenAPI file's. What neither says is marked beside the rule.

Two words in a prompt steer the outcome:
    sandbox:fail        a task is accepted and ends `Failure`; a synchronous request is refused with InvalidParameter,
                        since a 500 would leave open whether it was charged
    sandbox:moderation  the request is refused with `sensitive_check_error` [2.6]
"""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Literal

import httpx
from pydantic import Field

from wan_cli.sandbox import canvas
from wan_cli.sandbox import modelverse_video as videos
from wan_cli.sandbox.modelverse_envelope import (
    KEY,
    NAME,
    RefusedError,
    checked,
    named_model,
    refuse,
    refuse_input,
    request_id,
)
from wan_cli.sandbox.modelverse_media import picture_source
from wan_cli.sandbox.strict import Strict
from wan_cli.sandbox.world import Picture, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from wan_cli.sandbox.world import World

__all__ = ["HOSTS", "KEY", "NAME", "handle"]

HOSTS: tuple[str, ...] = (  # [2.1]
    "api.modelverse.cn",
    "api.umodelverse.ai",
    "api-sg.umodelverse.ai",
    "api-us-ca.umodelverse.ai",
    "api-ge-fra.umodelverse.ai",
)

PRO = "wan2.7-image-pro"
_COUNT, _SEQUENCE = 4, 12  # pictures a request; with enable_sequential [2.2, 2.3]
_Model = Literal["wan2.7-image", "wan2.7-image-pro"]
_Pictures = Annotated[list[str], Field(min_length=1, max_length=9)]
_Size = Annotated[str, Field(pattern=canvas.SIZE, max_length=64)]
_Count = Annotated[int, Field(ge=1, le=_SEQUENCE)]
_Seed = Annotated[int, Field(ge=0)]  # 0 is "unset"; no upper bound is documented


class _Settings(Strict):
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
    images: _Pictures = Field(default=[])
    thinking_mode: bool = False


class _Input(Strict):
    prompt: str = ""
    images: _Pictures = Field(default=[])
    img_url: str = ""
    first_frame_url: str = ""


class _Parameters(_Settings):
    prompt_extend: bool = False


class _Async(Strict):
    """POST /v1/tasks/submit [2.3]."""

    model: _Model
    input: _Input
    parameters: _Parameters = _Parameters()


def handle(request: httpx.Request, world: World) -> httpx.Response:
    """Answer one request whose body has been read; whatever a client sends, a refusal is an envelope [2.6]."""
    try:
        return _route(request, world)
    except RefusedError as refused:
        status, body, *headers = refused.args
        return httpx.Response(status, headers=dict(*headers), json=body)


def _route(request: httpx.Request, world: World) -> httpx.Response:
    if request.url.path not in _ROUTES:
        refuse(404, "not_found", f"no such endpoint: {request.url.path}")
    method, answer = _ROUTES[request.url.path]
    if request.method != method:
        refuse(405, "method_not_allowed", f"{request.url.path} answers {method} only", Allow=method)
    if request.headers.get("authorization") != f"Bearer {KEY}":
        refuse(401, "auth_error", "the API key is missing or not known")
    return httpx.Response(200, json=answer(request, world))


def _generate(request: httpx.Request, world: World) -> dict[str, Any]:
    """Answer the synchronous request: the pictures' links at once, valid 24 h, nothing but `url` in an item [2.2]."""
    sent = checked(_Sync, request)
    sources = [*sent.images] or [image for image in (sent.image,) if image]
    pictures = _pictures(sent.model, sent.prompt, sources, sent, world)
    if "sandbox:fail" in sent.prompt:
        refuse_input("the sandbox made it fail (sandbox:fail)")
    task = Task(id=str(uuid.uuid4()), provider=NAME, model=sent.model, pictures=pictures)
    task = world.accept(task, request.content)
    return {"created": int(task.created), "data": [{"url": url} for url in world.urls(task)]}


def _submit(request: httpx.Request, world: World) -> dict[str, Any]:
    """Accept a task [2.3]. There is no idempotency key: every request that passes is charged."""
    if named_model(request.content) in videos.MODELS:
        clip = videos.clip(request, world)
        model, failing = str(named_model(request.content)), "sandbox:fail" in clip.prompt
        task = Task(id=str(uuid.uuid4()), provider=NAME, model=model, clips=(clip,), fails=failing)
        return {"output": {"task_id": world.accept(task, request.content).id}, "request_id": request_id()}
    sent = checked(_Async, request)
    sources = [*sent.input.images] or [url for url in (sent.input.img_url, sent.input.first_frame_url) if url][:1]
    pictures = _pictures(sent.model, sent.input.prompt, sources, sent.parameters, world)
    failing = "sandbox:fail" in sent.input.prompt
    task = Task(id=str(uuid.uuid4()), provider=NAME, model=sent.model, pictures=pictures, fails=failing)
    return {"output": {"task_id": world.accept(task, request.content).id}, "request_id": request_id()}


def _status(request: httpx.Request, world: World) -> dict[str, Any]:
    """Answer where a task is; `request_id` is the empty string, as in the page's examples [S]."""
    task = world.task(NAME, request.url.params.get("task_id", ""))
    if task is None:
        refuse_input("invalid task_id")
    stage = world.stage(task)
    status = {"queued": "Pending", "running": "Running", "ended": "Failure" if task.fails else "Success"}[stage]
    output: dict[str, Any] = {"task_id": task.id, "task_status": status, "submit_time": int(task.created)}
    answer: dict[str, Any] = {"output": output, "request_id": ""}
    if stage == "ended":
        output["finish_time"] = int(task.created + world.lasts(task))
    if status == "Failure":
        output["error_message"] = "code=InternalError, message=the sandbox made it fail (sandbox:fail)"
    if status == "Success":
        output["urls"] = world.urls(task)
        if task.clips:
            answer["usage"] = videos.usage(task.clips[0])
        else:
            answer["usage"] = {"completion_tokens": len(task.pictures), "total_tokens": len(task.pictures)}
    return answer


def _pictures(model: str, prompt: str, sent: list[str], settings: _Settings, world: World) -> tuple[Picture, ...]:
    """Return what is to be drawn, or refuse the request for what no single field shows."""
    if not prompt and not sent:
        refuse_input("prompt: one of prompt and an input picture is required")
    if "sandbox:moderation" in prompt:
        refuse(400, "sensitive_check_error", "prompt: refused by the content check")
    if settings.n > _COUNT and not settings.enable_sequential:
        refuse_input(f"n: at most {_COUNT}; up to {_SEQUENCE} with enable_sequential")
    # 4K and the larger totals are for the pro model, from text alone, one by one [2.2].
    large = model == PRO and not sent and not settings.enable_sequential
    if settings.size not in canvas.TIERS:
        wrong = canvas.fault(settings.size, "4K" if large else "2K")
        if wrong:
            refuse_input(f"size: {wrong}")
    elif settings.size == "4K" and not large:
        refuse_input(f"size: 4K needs {PRO}, no input picture and no enable_sequential")
    sources = [picture_source(text, world) for text in sent]
    # A tier is square from text, and follows the last input picture otherwise [2.2].
    width, height = canvas.pixels(settings.size, sources[-1].shape if sources else (1, 1))
    verb = "sequence" if settings.enable_sequential else ("generate", "edit", "fuse")[min(len(sources), 2)]
    seed = settings.seed or secrets.randbelow(2**31 - 1) + 1
    inputs, mark = tuple(source.sha256 for source in sources), settings.watermark
    first = Picture(prompt=prompt, width=width, height=height, seed=seed, verb=verb, inputs=inputs, watermark=mark)
    return tuple(first.model_copy(update={"index": index}) for index in range(1, settings.n + 1))


_ROUTES: dict[str, tuple[str, Callable[[httpx.Request, World], dict[str, Any]]]] = {
    "/v1/images/generations": ("POST", _generate),
    "/v1/tasks/submit": ("POST", _submit),
    "/v1/tasks/status": ("GET", _status),
}
