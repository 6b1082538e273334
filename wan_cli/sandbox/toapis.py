"""ToAPIs, from the server's side: videos in two request shapes, their tasks, and uploads.

Sources: `seeds/004` [S] and `contracts.md` section 4, cited as [4.x]. The bodies are in `toapis_video`, whose docstring
says which of their names are documented; uploads are in `toapis_files`. What the documents leave open (the status of a
media model on the chat endpoint) is marked beside the rule.

Words in a prompt steer the outcome:
    sandbox:fail        the task is accepted and ends `failed`, code `generation_failed` [4.3]
    sandbox:moderation  `content_policy_violation`, 422 [4.5]
    sandbox:quota       `insufficient_quota`, 402 [4.5]
"""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from wan_cli.sandbox import toapis_files, toapis_video
from wan_cli.sandbox.toapis_envelope import KEY, NAME, RefusedError, refuse
from wan_cli.sandbox.world import RESULT_LIFETIME, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from wan_cli.sandbox.world import World

__all__ = ["HOSTS", "KEY", "NAME", "handle"]

HOSTS: tuple[str, ...] = ("toapis.com", "toapis.cn")  # [4.2]
MODELS = ("wan-2-7-video", "wan2.6", "wan2.6-flash")
_MINUTE = 60
_LIMITS = {"async_submit": 300, "async_query": 3000}  # a minute and user [4.5]
_PROGRESS = {"queued": 0, "running": 50, "ended": 100}  # percent; the way there is not documented


def handle(request: httpx.Request, world: World) -> httpx.Response:
    """Answer one request whose body has been read; whatever a client sends, a refusal is an envelope [4.5]."""
    try:
        response = httpx.Response(200, json=_route(request, world))
    except RefusedError as refused:
        status, body, *headers = refused.args
        response = httpx.Response(status, headers=dict(*headers), json=body)
    response.headers.update(_limits(request, world))
    return response


def _limits(request: httpx.Request, world: World) -> dict[str, str]:
    """Return the rate-limit headers [4.5]; orders are counted, queries are not."""
    category = "async_query" if request.method == "GET" else "async_submit"
    begin = int(world.clock()) // _MINUTE * _MINUTE
    used = sum(line["provider"] == NAME and line["time"] >= begin for line in world.purchases())
    left = max(0, _LIMITS[category] - (used if category == "async_submit" else 1))
    return {
        "X-RateLimit-Limit": str(_LIMITS[category]),
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": str(begin + _MINUTE),
        "X-RateLimit-Category": category,
    }


def _route(request: httpx.Request, world: World) -> dict[str, Any]:
    for pattern, method, answer in _ROUTES:
        match = re.fullmatch(pattern, request.url.path)
        if match is None:
            continue
        if request.method != method:
            refuse(405, "method_not_allowed", f"{request.url.path} answers {method} only", Allow=method)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            refuse(401, "authentication_error", "the API key is missing or not known", "authentication_error")
        return answer(request, world, *match.groups())
    return refuse(404, 404, f"no such endpoint: {request.url.path}", "not_found_error")


def _submit(request: httpx.Request, world: World) -> dict[str, Any]:
    """Accept a task. There is no idempotency key [4.2]: every request that passes is charged."""
    try:
        sent = json.loads(request.content)
    except ValueError:
        refuse(400, "invalid_request", "the body is not JSON")
    order = toapis_video.read(sent)
    guide = isinstance(order, toapis_video.Guide)
    prompt = order.input.prompt if isinstance(order, toapis_video.Guide) else order.prompt
    if "sandbox:moderation" in prompt:
        refuse(422, "content_policy_violation", "the prompt was refused by the content policy")
    if "sandbox:quota" in prompt:
        refuse(402, "insufficient_quota", "the balance is too low")
    clips, name = (toapis_video.clip(order, world),), f"{'task' if guide else 'tsk_vid'}_{secrets.token_hex(12)}"
    task = Task(id=name, provider=NAME, model=order.model, clips=clips, fails="sandbox:fail" in prompt)
    task = world.accept(task, request.content)
    if not isinstance(order, toapis_video.Guide):
        return _begun(task)
    created = datetime.fromtimestamp(task.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"task_id": task.id, "model": task.model, "mode": order.mode, "status": "queued", "created_at": created}


def _begun(task: Task) -> dict[str, Any]:
    shown = {"id": task.id, "object": "generation.task", "model": task.model, "status": "queued", "progress": 0}
    return {**shown, "created_at": int(task.created), "metadata": {}}


def _status(_: httpx.Request, world: World, task_id: str) -> dict[str, Any]:
    """Answer where a task is, in the documented shape whichever shape ordered it [4.3]."""
    task = world.task(NAME, task_id)
    if task is None:
        refuse(404, 404, "task not found", "not_found_error")
    stage = world.stage(task)
    status = {"queued": "queued", "running": "in_progress", "ended": "failed" if task.fails else "completed"}[stage]
    answer = {**_begun(task), "status": status, "progress": _PROGRESS[stage]}
    ended = int(task.created + world.lasts(task))
    if status == "failed":
        answer["error"] = {"code": "generation_failed", "message": "the sandbox made it fail (sandbox:fail)"}
    if status == "completed":
        data = [{"url": url, "format": "mp4"} for url in world.urls(task)]
        answer |= {"completed_at": ended, "expires_at": ended + RESULT_LIFETIME}
        answer["result"] = {"type": "video", "data": data}
    return answer


def _chat(_: httpx.Request, __: World) -> dict[str, Any]:
    """Refuse a media model on a chat endpoint [S]; neither status nor code is documented."""
    return refuse(400, "invalid_api_type", "invalid apitype: -1")


def _models(_: httpx.Request, __: World) -> dict[str, Any]:
    listed = [{"id": model, "object": "model", "created": 1767225600, "owned_by": "alibaba"} for model in MODELS]
    return {"object": "list", "data": listed}


_ROUTES: tuple[tuple[str, str, Callable[..., dict[str, Any]]], ...] = (  # [4.2, 4.3, 4.4]
    (r"/v1/videos/generations", "POST", _submit),
    (r"/v1/videos/generations/([^/]+)", "GET", _status),
    (r"/v1/uploads/images", "POST", toapis_files.images),
    (r"/v1/uploads/videos", "POST", toapis_files.videos),
    (r"/v1/chat/completions", "POST", _chat),
    (r"/v1/models", "GET", _models),
)
