"""DashScope (Alibaba Model Studio), the upstream: pictures at once or as tasks, videos as tasks, temporary uploads.

Source: contracts.md section 5; for the list of tasks and for cancelling
https://help.aliyun.com/zh/model-studio/manage-asynchronous-tasks. Relays serve the same below a prefix (contracts.md
3.5): ``[providers.NAME] contract = "dashscope"`` with that base URL. Switches for what those leave open:
``image_transport`` is ``data-uri`` (default) or ``upload`` for pictures that go through the temporary storage as well,
``poll_path`` is ``tasks`` (default) or ``endpoint`` for relays that are asked below the address of the submit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from wan_cli.errors import WanError
from wan_cli.models import Answer, Cancelled, Facts, Flow, Job, LocalFile, Media, Pending, Upload
from wan_cli.providers.base import Embedded, Fault, Provider, Unreadable, form_for, path_part, without_unsaid
from wan_cli.providers.dashscope_refusals import CODES, HINTS, meaning, store_fault
from wan_cli.providers.dashscope_replies import Accepted, Page, Policy, Task
from wan_cli.providers.upstream_video import video_body, video_media, video_model

if TYPE_CHECKING:
    import httpx

    from wan_cli.providers.listed import Listed

IMAGES = "/api/v1/services/aigc/image-generation/generation"
IMAGES_AT_ONCE = "/api/v1/services/aigc/multimodal-generation/generation"
VIDEOS = "/api/v1/services/aigc/video-generation/video-synthesis"
TASKS = "/api/v1/tasks"
UPLOADS = "/api/v1/uploads"
COMPATIBLE = "/compatible-mode/v1"
"""Where the same host speaks OpenAI's language about texts: what many a configuration has as its base URL."""

AS_TASK = MappingProxyType({"X-DashScope-Async": "enable"})
STORED = MappingProxyType({"X-DashScope-OssResourceResolve": "enable"})
PAGE = 10
"""Tasks of a page of the list where nobody says: no largest page is documented."""
EXTENSIONS: Mapping[str, str] = MappingProxyType({
    "image/jpeg": ".jpg", "image/png": ".png", "image/bmp": ".bmp", "image/webp": ".webp", "video/mp4": ".mp4",
    "video/quicktime": ".mov", "audio/mpeg": ".mp3", "audio/wav": ".wav",
})  # fmt: skip
"""What the names of uploaded files end with."""


class DashScope(Provider):
    """Tasks by default, since a lost answer about a task can be asked for again; ``--sync`` for pictures at once."""

    name = "dashscope"
    endpoints = (IMAGES, IMAGES_AT_ONCE, VIDEOS, TASKS, UPLOADS, "/api/v1", COMPATIBLE)
    uploads = True
    upload_is_for_one_model = True
    quirk_values = MappingProxyType({"image_transport": ("data-uri", "upload"), "poll_path": ("tasks", "endpoint")})
    errors = CODES
    hints = HINTS

    def submit(self, job: Job, *, token: str) -> Flow[Answer]:
        """Ask for pictures or a video. DashScope documents no idempotency key, so ``token`` is not sent."""
        del token
        at_once = job.route == "sync"
        path = VIDEOS if job.makes == "video" else IMAGES_AT_ONCE if at_once else IMAGES
        if job.makes == "video":
            body = video_body(job, self.capabilities, video_media(job, self._address))
        else:
            body = self._images_body(job)
        stored = any(media.url and not media.url.startswith("https://") for media in job.media)
        headers = {**({} if at_once else AS_TASK), **(STORED if stored else {})}
        embedded = tuple(Embedded(media.file) for media in job.media if media.file and not media.url)
        response = yield self.request("POST", path, body=body, embedded=embedded, headers=headers)
        answer = self.parse(response, Task)
        return answer.at_once() if at_once else answer.accepted()

    def poll(self, pending: Pending) -> Flow[Answer]:
        """Ask for the task (contracts.md 5.4)."""
        path = VIDEOS if self.quirks["poll_path"] == "endpoint" else TASKS
        response = yield self.request("GET", f"{path}/{path_part(pending.task_id)}")
        return self.parse(response, Task).state(pending)

    def cancel(self, pending: Pending) -> Flow[Answer]:
        """Cancel a task that has not begun; any other is refused with UnsupportedOperation."""
        response = yield self.request("POST", f"{TASKS}/{path_part(pending.task_id)}/cancel")
        accepted = self.parse(response, Accepted)
        return Cancelled(task_id=pending.task_id, facts=Facts(request_id=accepted.request_id))

    def tasks(self, limit: int) -> Flow[tuple[Listed, ...]]:
        """List the account's tasks of the last 24 hours, page by page."""
        found: dict[str, Listed] = {}
        number = 1
        while len(found) < limit:
            query = {"page_no": str(number), "page_size": str(PAGE)}
            response = yield self.request("GET", TASKS, query=query)
            page = self.parse(response, Page)
            new = {entry.task_id: entry for entry in page.listed() if entry.task_id not in found}
            found |= new
            if not new or number >= (page.total_page or number):
                break
            number += 1
        return tuple(found.values())[:limit]

    def uploads_file(self, file: LocalFile) -> bool:
        """Videos and sound go through the temporary storage; pictures fit into the request (contracts.md 5.2, 5.3)."""
        return not file.mime.startswith("image/") or self.quirks["image_transport"] == "upload"

    def model_for(self, job: Job) -> str:
        """Return the provider's model, which an uploaded file is bound to (contracts.md 5.5)."""
        return video_model(job, self.capabilities) if job.makes == "video" else self.model_id(job.model)

    def upload(self, file: LocalFile, *, model: str, trace: str) -> Flow[Upload]:
        """Ask for a policy, and leave the file at the store that it names, without the key (contracts.md 5.5).

        The name in the store is the content's hash: the user's own name is nobody's business there.
        """
        del trace
        known = self.capabilities.find(model)
        bound = "wan2.7-i2v" if known and known.makes == "video" and known.name == model else self.model_id(model)
        response = yield self.request("GET", UPLOADS, query={"action": "getPolicy", "model": bound})
        policy = self.parse(response, Policy).data
        key = f"{policy.upload_dir.strip('/')}/{file.sha256[:32]}{EXTENSIONS.get(file.mime, '')}"
        yield self.elsewhere(policy.upload_host, form_for(file, policy.fields(key)))
        return Upload(url=f"oss://{key}")

    def refusal(self, fault: Fault) -> type[WanError] | None:
        """Return what a code stands for: its own entry, else its family's (``InvalidURL.Timeout``)."""
        return meaning(fault)

    def fault(self, response: httpx.Response) -> Fault | None:
        """Read a refusal: the API's, the object store's (XML), or a task that it does not know.

        An id that has expired, after 24 hours, answers 200 with the status UNKNOWN (contracts.md 5.3).
        """
        if self._is_store(response):
            return store_fault(response)
        found = super().fault(response)
        if found is None and _is_unknown(response.content):
            return Fault(status=response.status_code, code="UNKNOWN", message="the task does not exist, or is too old")
        return found

    def is_answer(self, data: Mapping[str, Any]) -> bool:
        """Tell whether a 2xx body is an answer all the same: an empty code, as some put it, is no error."""
        return super().is_answer(data) or ("error" not in data and data.get("code") == "")

    def _is_store(self, response: httpx.Response) -> bool:
        """Tell whether it was the object store that answered."""
        try:
            return not str(response.request.url).startswith(self.base)
        except RuntimeError:  # an answer without its request
            return b"<Error>" in response.content[:512]

    def vanished(self, fault: Fault) -> bool:
        """Tell whether the task is unknown: its status is, or the answer is 404."""
        return super().vanished(fault) or fault.code == "UNKNOWN"

    def _images_body(self, job: Job) -> dict[str, Any]:
        """Body of both interfaces for pictures (contracts.md 5.2); without an ``n`` four are made and billed."""
        content = [{"image": self._address(media)} for media in job.media] + [{"text": job.prompt}]
        said = {
            "size": job.size and job.size.replace("x", "*").replace("X", "*"), "n": job.n, "seed": job.seed,
            "watermark": job.watermark, "thinking_mode": job.thinking,
            "enable_sequential": job.verb == "sequence" or None,
        }  # fmt: skip
        return {
            "model": self.model_id(job.model), "input": {"messages": [{"role": "user", "content": content}]},
            "parameters": without_unsaid(said) | dict(job.params),
        }  # fmt: skip

    @staticmethod
    def _address(media: Media) -> str:
        if media.url:
            return media.url
        if media.file is None:
            raise Unreadable("a medium has neither an address nor a file")
        return Embedded(media.file).placeholder


def _is_unknown(content: bytes) -> bool:
    """Tell whether an answer is about a task that the provider does not know."""
    if b"UNKNOWN" not in content:
        return False
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return False
    output = data.get("output") if isinstance(data, dict) else None
    status = (output.get("task_status") or output.get("taskStatus")) if isinstance(output, dict) else None
    return isinstance(status, str) and status.casefold() == "unknown"


PROVIDER = DashScope
