"""DashScope's tasks: one by its id, all of the last day, and taking one back that has not begun.

Source: `contracts.md` 5.3 and 5.4 and Alibaba's page on asynchronous tasks, cited as [page]. A task is known for 24
hours after its end; then, and for an id that never was, its status is UNKNOWN under HTTP 200. The list's dates are as
in the tasks themselves, UTC+8. How many a page may have at most is not stated; a hundred are taken.
"""

from __future__ import annotations

import contextlib
import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from wan_cli.sandbox import dashscope_images
from wan_cli.sandbox.dashscope_envelope import NAME, ZONE, refuse, refuse_input, said_at
from wan_cli.sandbox.world import RESULT_LIFETIME

if TYPE_CHECKING:
    import httpx

    from wan_cli.sandbox.world import Task, World

_STATUSES = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED", "UNKNOWN")
_DAY = 24 * 3600.0
_PAGE = 100
_MOMENT = re.compile(r"[0-9]{14}")
_FILTERS = {"task_id", "start_time", "end_time", "model_name", "status", "page_no", "page_size", "api_key_id", "region"}
_KEY_ID, _ACCOUNT, _REGION = "150000", "1000000000000001", "cn-beijing"
_INDEX = {
    "image": "apikey:v1:aigc:image-generation:generation",
    "video": "apikey:v1:aigc:video-generation:video-synthesis",
}


def status(_: httpx.Request, world: World, task_id: str) -> dict[str, Any]:
    """Answer GET /api/v1/tasks/{task_id}."""
    task = _known(world, task_id)
    if task is None:
        return {"output": {"task_id": task_id, "task_status": "UNKNOWN"}}
    said, about = _status(task, world), _about(task)
    begun, ended = _begun(task, world), _ended(task, world)
    output: dict[str, Any] = {"task_id": task.id, "task_status": said, "submit_time": said_at(task.created)}
    if said in ("RUNNING", "SUCCEEDED", "FAILED"):
        output["scheduled_time"] = said_at(begun)
    if ended is not None:
        output["end_time"] = said_at(ended)
    if said == "FAILED":
        output |= about["error"]
    if said != "SUCCEEDED":
        return {"output": output}
    if task.pictures:
        return {"output": output | dashscope_images.output(task, world), "usage": dashscope_images.usage(task)}
    output |= {"orig_prompt": task.clips[0].prompt, "video_url": world.urls(task)[0]}
    return {"output": output, "usage": about["usage"]}


def cancel(_: httpx.Request, world: World, task_id: str) -> dict[str, Any]:
    """Answer POST /api/v1/tasks/{task_id}/cancel: the request id alone, for a task that is PENDING [page]."""
    task = _known(world, task_id)
    if task is None or _status(task, world) != "PENDING":
        message = "Failed to cancel the task, please confirm if the task is in PENDING status."
        refuse(400, "UnsupportedOperation", message)
    world.cancel(task)
    return {}


def listed(request: httpx.Request, world: World) -> dict[str, Any]:
    """Answer GET /api/v1/tasks: filters and pages, newest first [page]."""
    query = dict(request.url.params)
    strange = sorted(set(query) - _FILTERS)
    if strange:
        refuse_input(f"{strange[0]}: not a parameter of this list")
    if query.get("status", "PENDING") not in _STATUSES:
        refuse_input(f"status: one of {', '.join(_STATUSES)}")
    start, end = _range(query, world.clock())
    number, size = _count(query, "page_no", 1, 10**6), _count(query, "page_size", 10, _PAGE)
    found = [
        task
        for task in world.tasks(NAME)
        if _known(world, task.id) is not None
        and start <= task.created <= end
        and query.get("task_id", task.id) == task.id
        and query.get("model_name", task.model) == task.model
        and query.get("status") in (None, _status(task, world))
        and query.get("api_key_id", _KEY_ID) == _KEY_ID
        and query.get("region", _REGION) == _REGION
    ]
    data = [_line(task, world) for task in found[(number - 1) * size : number * size]]
    pages = -(-len(found) // size)
    return {"data": data, "page_no": number, "page_size": size, "total": len(found), "total_page": pages}


def _line(task: Task, world: World) -> dict[str, Any]:
    said, about, ended = _status(task, world), _about(task), _ended(task, world)
    line: dict[str, Any] = {
        "api_key_id": _KEY_ID,
        "caller_parent_id": _ACCOUNT,
        "caller_uid": _ACCOUNT,
        "gmt_create": round(task.created * 1000),
        "model_name": task.model,
        "region": _REGION,
        "request_id": about["request_id"],
        "status": said,
        "task_id": task.id,
        "user_api_unique_key": f"{_INDEX[about['kind']]}:{task.model}",
    }
    if said not in ("PENDING", "CANCELED"):
        line["start_time"] = round(_begun(task, world) * 1000)
    if ended is not None:
        line["end_time"] = round(ended * 1000)
    return line


def _known(world: World, task_id: str) -> Task | None:
    """Return a task that can still be asked for; what was answered at once never was one."""
    task = world.task(NAME, task_id)
    if task is None or _about(task)["kind"] == "sync":
        return None
    ended = _ended(task, world)
    return None if ended is not None and world.clock() - ended > RESULT_LIFETIME else task


def _status(task: Task, world: World) -> str:
    if world.cancelled(task) is not None:
        return "CANCELED"
    return {"queued": "PENDING", "running": "RUNNING", "ended": "FAILED" if task.fails else "SUCCEEDED"}[
        world.stage(task)
    ]


def _begun(task: Task, world: World) -> float:
    return task.created + world.lasts(task) / 4


def _ended(task: Task, world: World) -> float | None:
    taken_back = world.cancelled(task)
    if taken_back is not None:
        return taken_back
    return task.created + world.lasts(task) if world.stage(task) == "ended" else None


def _about(task: Task) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(task.note)
    return about


def _range(query: dict[str, str], now: float) -> tuple[float, float]:
    """Return from when to when, in Unix seconds: at most 24 hours, which is also what a lone end or start means."""
    start, end = _moment(query, "start_time"), _moment(query, "end_time")
    if start is None:
        start = (now if end is None else end) - _DAY
    if end is None:
        end = start + _DAY
    if not 0 <= end - start <= _DAY:
        refuse_input("start_time: not after end_time, and at most 24 hours before it")
    return start, end


def _moment(query: dict[str, str], name: str) -> float | None:
    text = query.get(name)
    if text is None:
        return None
    if _MOMENT.fullmatch(text):  # strptime takes fewer digits as well
        with contextlib.suppress(ValueError):
            return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=ZONE).timestamp()
    return refuse_input(f"{name}: YYYYMMDDhhmmss is required")


def _count(query: dict[str, str], name: str, unset: int, most: int) -> int:
    text = query.get(name, str(unset))
    if not re.fullmatch(r"[1-9][0-9]{0,6}", text) or int(text) > most:
        refuse_input(f"{name}: a number from 1 to {most}")
    return int(text)
