"""DashScope (Alibaba Model Studio), where Wan 2.7 comes from, from the server's side: pictures, videos, tasks, uploads.

Sources: `contracts.md` section 5, cited as [5.x], Alibaba's pages behind it, and for the relays' prefixes 3.5: a path
may begin with `/alibailian` or `/wan`. The bodies are in `dashscope_images` and `dashscope_video`, what they show the
model in `dashscope_media`, the form for files in `dashscope_uploads`, tasks in `dashscope_tasks`.

Two endpoints take orders for pictures: one answers at once and refuses `X-DashScope-Async`, the other two (pictures and
videos) need it, with the value `enable`. There is no idempotency key: every order that passes is charged.

Words in a prompt steer the outcome:
    sandbox:fail          a task is accepted and ends FAILED, code InternalError.Algo; the endpoint that answers at once
                          refuses with InvalidParameter, since a 500 would leave open whether it was charged
    sandbox:inspection    a task is accepted and ends FAILED, code DataInspectionFailed (the result, not the prompt)
    sandbox:moderation    400 DataInspectionFailed
    sandbox:infringement  400 IPInfringementSuspect
    sandbox:quota         400 Arrearage
"""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any, NoReturn

import httpx

from wan_cli.sandbox import dashscope_images as images
from wan_cli.sandbox import dashscope_tasks as tasks
from wan_cli.sandbox import dashscope_uploads as uploads
from wan_cli.sandbox import dashscope_video as videos
from wan_cli.sandbox.dashscope_envelope import (
    KEY,
    NAME,
    RefusedError,
    refuse,
    refuse_input,
    request_id,
    sent_body,
)
from wan_cli.sandbox.world import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from wan_cli.sandbox.world import World

__all__ = ["HOSTS", "KEY", "NAME", "PREFIXES", "handle"]

HOSTS: tuple[str, ...] = (  # [5.1]; workspaces have hosts of their own below maas.aliyuncs.com
    "dashscope.aliyuncs.com",
    "dashscope-intl.aliyuncs.com",
    "dashscope-us.aliyuncs.com",
)
PREFIXES = ("alibailian", "wan")  # under which Yunwu and APIYI pass requests on
MODELS = (*images.MODELS, *videos.MODELS)
_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FAILURES = {
    "sandbox:fail": ("InternalError.Algo", "The sandbox made it fail (sandbox:fail)."),
    "sandbox:inspection": ("DataInspectionFailed", "Output data may contain inappropriate content."),
}


def handle(request: httpx.Request, world: World) -> httpx.Response:
    """Answer one request whose body has been read; whatever a client sends, a refusal is an envelope [5.6]."""
    name = request_id()
    try:
        response = httpx.Response(200, json={**_route(request, world, name), "request_id": name})
    except RefusedError as refused:
        status, code, message, headers = refused.args
        response = httpx.Response(status, json={"code": code, "message": message, "request_id": name}, headers=headers)
    response.headers["X-Request-Id"] = name
    return response


def _route(request: httpx.Request, world: World, name: str) -> dict[str, Any]:
    path = re.sub(rf"^/(?:{'|'.join(PREFIXES)})(?=/)", "", request.url.path)
    for pattern, method, answer in _ROUTES:
        match = re.fullmatch(pattern, path)
        if match is None:
            continue
        _check_call(request, method)
        return answer(request, world, *match.groups())
    if path in _ORDERS:
        _check_call(request, "POST")
        return _order(request, world, path, name)
    if _OLDER.fullmatch(path) and request.method == "POST":
        _check_key(request)
        _refuse_model(sent_body(request)["model"])
    return refuse(404, "NotFound", f"No such endpoint: {request.url.path}")


def _check_call(request: httpx.Request, method: str) -> None:
    if request.method != method:
        refuse(405, "MethodNotAllowed", f"Request method '{request.method}' is not supported.", Allow=method)
    _check_key(request)


def _check_key(request: httpx.Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key:
        refuse(401, "InvalidApiKey", "No API-key provided.")
    if key != KEY:
        refuse(401, "InvalidApiKey", "Invalid API-key provided.")
    workspace = request.headers.get("x-dashscope-workspace")
    if workspace is not None and _WORKSPACE.fullmatch(workspace) is None:
        refuse(403, "Workspace.AccessDenied", "Workspace access denied.")


def _order(request: httpx.Request, world: World, path: str, name: str) -> dict[str, Any]:
    """Accept an order: its result at once, or the task that will bring it."""
    kind = _ORDERS[path]
    asynchronous = request.headers.get("x-dashscope-async") == "enable"
    if asynchronous != (kind != "sync"):
        how = "asynchronous" if asynchronous else "synchronous"
        refuse(403, "AccessDenied", f"current user api does not support {how} calls.")
    sent = sent_body(request)
    model = sent["model"]
    if model not in (videos.MODELS if kind == "video" else images.MODELS):
        _refuse_model(model)
    about: dict[str, Any] = {"kind": kind, "request_id": name}
    task = Task(id=str(uuid.uuid4()), provider=NAME, model=model)
    if kind == "video":
        clip, about["usage"] = videos.clip(sent, request.headers, world)
        task, prompt = task.model_copy(update={"clips": (clip,)}), clip.prompt
    else:
        pictures = images.pictures(sent, request.headers, world)
        task, prompt = task.model_copy(update={"pictures": pictures}), pictures[0].prompt
    failure = next((failure for word, failure in _FAILURES.items() if word in prompt), None)
    if failure is not None:
        if kind == "sync":
            refuse(400, "DataInspectionFailed" if failure[0].startswith("Data") else "InvalidParameter", failure[1])
        about["error"] = dict(zip(("code", "message"), failure, strict=True))
    task = task.model_copy(update={"note": json.dumps(about), "fails": failure is not None})
    task = world.accept(task, request.content)
    if kind != "sync":
        return {"output": {"task_status": "PENDING", "task_id": task.id}}
    return {"output": images.output(task, world), "usage": images.usage(task)}


def _refuse_model(model: str) -> NoReturn:
    """Refuse a model that nobody has, or that has another endpoint."""
    refuse_input("url error, please check url！" if model in MODELS else "Model not exist.")  # noqa: RUF001 - its words


def _policy(request: httpx.Request, world: World) -> dict[str, Any]:
    return {"data": uploads.policy(request, world, MODELS)}


_ORDERS = {  # [5.2, 5.3]
    "/api/v1/services/aigc/multimodal-generation/generation": "sync",
    "/api/v1/services/aigc/image-generation/generation": "image",
    "/api/v1/services/aigc/video-generation/video-synthesis": "video",
}
_OLDER = re.compile(r"/api/v1/services/aigc/(?:text2image|image2image)/image-synthesis|.*/image2video/video-synthesis")
_ROUTES: tuple[tuple[str, str, Callable[..., dict[str, Any]]], ...] = (  # [5.4, 5.5]
    (r"/api/v1/tasks/?", "GET", tasks.listed),
    (r"/api/v1/tasks/([^/]+)", "GET", tasks.status),
    (r"/api/v1/tasks/([^/]+)/cancel", "POST", tasks.cancel),
    (r"/api/v1/uploads", "GET", _policy),
)
