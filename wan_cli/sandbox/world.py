"""What the sandbox remembers: tasks, uploaded files, idempotency keys, purchases and drawn results, all on disk.

Layout under `World.folder` (folders 0700, files 0600, each file written beside its place and moved into it):

    lock                  held while an order is accepted; nothing is ever read from it
    purchases.jsonl       append-only, one line a paid acceptance; the line is the moment of the charge
    tasks/<id>.json       a Task            requests/<id>.json  its request body, byte for byte
    files/<id>.json       a StoredFile      blobs/<sha256>      bytes of uploads and inputs
    drawn/<id>-<n>.*      result pictures and clips, drawn at the first download
    cancelled/<id>        an order taken back before it ran, and when (Unix seconds)

Nothing runs in the background: a task's stage is a function of the clock, so several processes agree about it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel

from wan_cli.sandbox.developing import developed_clip, developed_picture, require_video
from wan_cli.sandbox.records import (
    Clip,
    KeyReusedError,
    LinkRefusedError,
    NeedsExtraError,
    Picture,
    StoredFile,
    Task,
    TooFewCreditsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = [
    "Clip",
    "KeyReusedError",
    "LinkRefusedError",
    "NeedsExtraError",
    "Picture",
    "StoredFile",
    "Task",
    "TooFewCreditsError",
    "World",
]

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _hold(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
else:
    import fcntl

    def _hold(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


RESULT_LIFETIME = 24 * 3600  # seconds, counted from the end of the task (contracts.md 2.2; Rivya states none, 1.4)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Stage = Literal["queued", "running", "ended"]
_Kept = TypeVar("_Kept", bound=BaseModel)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # created 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.replace(name, path)  # noqa: PTH105


class World:
    """One folder of sandbox state; any number of World objects, threads and processes may share it.

    `clock` answers Unix seconds, `latency` is the seconds from acceptance to result, `public_url` the origin (and path
    prefix) under which results and files are served. `draw` replaces `wan_cli.sandbox.draw.picture`, and `film`
    `wan_cli.sandbox.draw.video.clip`. `yunwu_passthrough` says that this Yunwu lets `input` and `parameters` through.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        latency: float = 1.5,
        public_url: str = "https://sandbox.invalid",
        draw: Callable[..., bytes] | None = None,
        film: Callable[..., bytes] | None = None,
        yunwu_passthrough: bool = False,
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.latency = latency
        self.public_url = public_url.rstrip("/")
        self.yunwu_passthrough = yunwu_passthrough
        self._draw = draw
        self._film = film
        self._purchases: list[dict[str, Any]] = []
        self._keys: dict[tuple[str, str | None], str] = {}
        self._spent: Counter[str] = Counter()
        self._read = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    def accept(self, order: Task, body: bytes, *, allowance: int | None = None) -> Task:
        """Charge and remember an order; a repeated idempotency key answers the first task, uncharged.

        `body` is the request's JSON; under a repeated key it is compared as a value, so order and spacing are free.
        `allowance` is the credits the account started with. Raises KeyReusedError (other body), TooFewCreditsError, and
        NeedsExtraError for clips that cannot be drawn here; then nothing is accepted.
        """
        if order.clips and self._film is None:
            require_video()
        digest = hashlib.sha256(json.dumps(json.loads(body), sort_keys=True).encode()).hexdigest()
        task = order.model_copy(update={
            "body_sha256": digest, "created": self.clock(), "latency": self.latency, "secret": secrets.token_hex(),
        })  # fmt: skip
        with self._locked():
            earlier = self._load(Task, "tasks", self._keys.get((task.provider, task.idempotency_key), ""))
            if earlier is not None:
                if earlier.body_sha256 != task.body_sha256:
                    raise KeyReusedError
                return earlier
            if allowance is not None and self._spent[task.provider] + (task.credits or 0) > allowance:
                raise TooFewCreditsError
            # The task comes first and the line last: the line alone charges and claims the key, so a process killed
            # between the two has sold nothing.
            _write(self.folder / "requests" / f"{task.id}.json", body)
            _write(self.folder / "tasks" / f"{task.id}.json", task.model_dump_json().encode())
            self._charge(task)
        return task

    def purchases(self) -> list[dict[str, Any]]:
        """Return every paid acceptance, oldest first.

        Keys: time, provider, model, count, credits (or None), idempotency_key (or None), task_id.
        """
        with self._locked():
            return [dict(line) for line in self._purchases]

    def task(self, provider: str, task_id: str) -> Task | None:
        """Return the task if `provider` accepted one under this id."""
        task = self._load(Task, "tasks", task_id)
        return task if task is not None and task.provider == provider else None

    def tasks(self, provider: str) -> list[Task]:
        """Return what `provider` accepted, newest first."""
        names = [line["task_id"] for line in self.purchases() if line["provider"] == provider]
        return [task for name in reversed(names) if (task := self._load(Task, "tasks", name)) is not None]

    def cancel(self, task: Task) -> None:
        """Take an order back: its stage goes on, but who asks `cancelled` first knows. Its purchase stays a line."""
        _write(self.folder / "cancelled" / task.id, repr(self.clock()).encode())

    def cancelled(self, task: Task) -> float | None:
        """Return when an order was taken back, in Unix seconds; None if it was not."""
        try:
            return float((self.folder / "cancelled" / task.id).read_bytes())
        except FileNotFoundError:
            return None

    def stage(self, task: Task) -> Stage:
        """Return queued (the first quarter of its latency), running (until that) or ended, by the clock alone."""
        age, latency = self.clock() - task.created, self.lasts(task)
        if age < latency / 4:
            return "queued"
        return "running" if age < latency else "ended"

    def lasts(self, task: Task) -> float:
        """Return the seconds from acceptance to result: who ordered it decided (a world from before, this one)."""
        return self.latency if task.latency is None else task.latency

    def urls(self, task: Task) -> list[str]:
        """Return each result's link: `<public_url>/results/<id>/<n>.<suffix>?Expires=<unix>&Signature=<hex>`."""
        expires = str(int(task.created + self.lasts(task)) + RESULT_LIFETIME)
        return [
            f"{self.public_url}/results/{task.id}/{n}.{result.suffix}"
            f"?Expires={expires}&Signature={_signature(task, n, expires)}"
            for n, result in enumerate(task.results, 1)
        ]

    def result(self, task_id: str, number: int, expires: str, signature: str) -> bytes:
        """Return the file behind a link, drawing it the first time. Raises LinkRefusedError."""
        task = self._load(Task, "tasks", task_id)
        if task is None or not hmac.compare_digest(_signature(task, number, expires).encode(), signature.encode()):
            code, message = "SignatureDoesNotMatch", "The request signature we calculated does not match yours."
            raise LinkRefusedError(code, message)
        if self.clock() > int(expires):
            code, message = "AccessDenied", "Request has expired."
            raise LinkRefusedError(code, message)
        return self.delivered(task, number)

    def delivered(self, task: Task, number: int) -> bytes:
        """Return the file of a task's result, counted from 1, drawing it the first time. Raises NeedsExtraError."""
        ordered = task.results[number - 1]
        path = self.folder / "drawn" / f"{task.id}-{number}.{ordered.suffix}"
        if not path.exists():
            if isinstance(ordered, Clip):
                _write(path, developed_clip(ordered, self.blob, self._film))
            else:
                _write(path, developed_picture(ordered, self.blob, self._draw))
        return path.read_bytes()

    def keep(self, data: bytes) -> str:
        """Remember bytes under their sha256 (hex), which is returned."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.folder / "blobs" / sha256
        if not path.exists():
            _write(path, data)
        return sha256

    def keep_stand_in(self, url: str) -> str:
        """Remember a plain 512x512 picture in a colour taken from `url`, which no network is here to fetch."""
        from PIL import Image

        colour = hashlib.sha256(url.encode()).digest()
        png = BytesIO()
        Image.new("RGB", (512, 512), (colour[0], colour[1], colour[2])).save(png, "PNG")
        return self.keep(png.getvalue())

    def blob(self, sha256: str) -> bytes:
        """Return bytes remembered by `keep`."""
        return (self.folder / "blobs" / sha256).read_bytes()

    def add_file(self, file: StoredFile) -> None:
        """Remember an upload whose bytes `keep` has already taken."""
        _write(self.folder / "files" / f"{file.id}.json", file.model_dump_json().encode())

    def file(self, file_id: str) -> StoredFile | None:
        """Return the upload of this id, if there is one."""
        return self._load(StoredFile, "files", file_id)

    def _load(self, record: type[_Kept], folder: str, name: str) -> _Kept | None:
        if not _ID.fullmatch(name):  # never let a URL name a path
            return None
        try:
            return record.model_validate_json((self.folder / folder / f"{name}.json").read_bytes())
        except FileNotFoundError:
            return None

    def _charge(self, task: Task) -> None:
        line = {"time": task.created, "provider": task.provider, "model": task.model, "count": len(task.results)}
        line |= {"credits": task.credits, "idempotency_key": task.idempotency_key, "task_id": task.id}
        descriptor = os.open(self.folder / "purchases.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.truncate(self._read)  # drops the torn line of a process killed while it wrote
            file.write(json.dumps(line).encode() + b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the folder, with the purchases of all processes read in."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _hold(descriptor)
            self._catch_up()
            yield
        finally:
            os.close(descriptor)  # which lets go of it

    def _catch_up(self) -> None:
        try:
            with (self.folder / "purchases.jsonl").open("rb") as file:
                file.seek(self._read)
                whole = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return
        self._read += len(whole[0]) + len(whole[1])
        for text in whole[0].splitlines():
            line = json.loads(text)
            self._purchases.append(line)
            self._spent[line["provider"]] += line["credits"] or 0
            if line["idempotency_key"] is not None:
                self._keys[line["provider"], line["idempotency_key"]] = line["task_id"]


def _signature(task: Task, number: int, expires: str) -> str:
    return hmac.new(task.secret.encode(), f"{number}\n{expires}".encode(), "sha256").hexdigest()
