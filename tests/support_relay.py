"""Two servers on loopback: one speaks just enough DashScope below a relay's prefix, one stores files without a key."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support_cli import picture
from support_provider import FakeProvider, Say, Seen

KEY = "sk-canary-0123456789abcdef0123"
PREFIX = "/alibailian"
DIR = "dashscope-instant/52af/2026-11-21/e2f1"
API = f"{PREFIX}/api/v1"


class Store(FakeProvider):
    """Takes files and hands out results; ``files`` are the bodies that came, by key."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.refuse: Say | None = None

    def answer(self, seen: Seen) -> Say:
        """Answer one request."""
        self.seen.append(seen)
        assert "authorization" not in seen.headers
        if seen.method == "GET":
            return Say(200, picture(64, 64), {"Content-Type": "image/png"})
        if self.refuse:
            return self.refuse
        (key,) = re.findall(rb'name="key"\r\n\r\n([^\r]+)', seen.body)
        assert re.findall(rb'; name="([^"]+)"', seen.body)[-1] == b"file"
        self.files[key.decode()] = seen.body
        return Say(200, b"", {"Content-Type": "application/xml"})


class FakeDashScope(FakeProvider):
    """``tasks`` are the accepted ones, newest first, each with its status; ``say`` replaces the next answer."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.tasks: dict[str, dict[str, Any]] = {}
        self.ends = "SUCCEEDED"
        self.say: list[Say] = []
        self.upload_host = store.url

    def answer(self, seen: Seen) -> Say:
        """Answer one request."""
        self.seen.append(seen)
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        if self.say:
            return self.say.pop(0)
        parts = urlsplit(seen.path)
        path = parts.path.removeprefix(API)
        if path == "/uploads":
            return Say(200, {"request_id": "r", "data": self._policy(parse_qs(parts.query))})
        if path.startswith("/services/"):
            return self._submit(seen)
        if path == "/tasks":
            return self._list(parse_qs(parts.query))
        return self._task(path.split("/")[2], cancel=path.endswith("/cancel"))

    def _policy(self, query: dict[str, list[str]]) -> dict[str, str]:
        assert query["action"] == ["getPolicy"]
        return {"policy": "eyJ", "signature": "c2VjcmV0LXNpZ25hdHVyZQ", "upload_dir": f"{DIR}/{query['model'][0]}",
                "upload_host": self.upload_host, "oss_access_key_id": "LTAI5t-canary", "x_oss_object_acl": "private",
                "x_oss_forbid_overwrite": "true"}  # fmt: skip

    def _submit(self, seen: Seen) -> Say:
        body = seen.json
        stored = [text for text in re.findall(r'oss://([^"]+)', json.dumps(body)) if text]
        assert bool(stored) == (seen.headers.get("x-dashscope-ossresourceresolve") == "enable")
        assert all(key in self.store.files and f"/{body['model']}/" in key for key in stored)
        if "multimodal" in seen.path:
            part = {"image": f"{self.store.url}/1.png", "type": "image"}
            choices = [{"finish_reason": "stop", "message": {"role": "assistant", "content": [part]}}]
            return Say(200, {"output": {"choices": choices, "finished": True}, "usage": {"image_count": 1}})
        assert seen.headers["x-dashscope-async"] == "enable"
        name = f"task-{len(self.tasks) + 1}"
        self.tasks = {name: {"status": "PENDING", "model": body["model"], "body": body}, **self.tasks}
        return Say(200, {"output": {"task_status": "PENDING", "task_id": name}, "request_id": "r-1"})

    def _list(self, query: dict[str, list[str]]) -> Say:
        number, size = int(query["page_no"][0]), int(query["page_size"][0])
        rows = [
            {"task_id": name, "status": task["status"], "model_name": task["model"], "gmt_create": 1_795_251_590_000}
            for name, task in self.tasks.items()
        ]
        page = rows[(number - 1) * size : number * size]
        return Say(200, {"data": page, "total": len(rows), "total_page": -(-len(rows) // size), "page_no": number})

    def _task(self, name: str, *, cancel: bool) -> Say:
        task = self.tasks.get(name)
        if task is None:
            return Say(200, {"output": {"task_id": name, "task_status": "UNKNOWN"}, "request_id": "r"})
        if cancel and task["status"] != "PENDING":
            said = "Failed to cancel the task, please confirm if the task is in PENDING status."
            return Say(400, {"code": "UnsupportedOperation", "message": said, "request_id": "r"})
        if cancel:
            task["status"] = "CANCELED"
            return Say(200, {"request_id": "r"})
        task["status"] = self.ends if task["status"] == "PENDING" else task["status"]
        output: dict[str, Any] = {"task_id": name, "task_status": task["status"]}
        if task["status"] == "SUCCEEDED":
            output["results"] = [{"url": f"{self.store.url}/{name}.png"}]
        return Say(200, {"output": output, "usage": {"image_count": 1}, "request_id": "r"})
