"""Makes things go wrong around a contract, in this process and on the port alike.

What each fault does, and what it costs (`wan_cli.sandbox.faults` has their grammar, interface.md section 7 the list):

    429, 500, html, drop-before, expired-url    the contract never hears of the request: nothing is accepted or charged
    moderation, fail                            the contract's own: the prompt becomes the word that it refuses or fails
                                                for; a synchronous contract, which has no task to fail, refuses
    k-of-n, wrong-size                          the order is charged, with one result fewer (where there are two) or
                                                with sides half as long
    jpeg-as-png                                 the picture is JPEG under the name and type of a PNG
    drop-after, truncate, stall                 the request is answered, and the answer is lost, cut or late
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import httpx

from wan_cli.sandbox.faults import Fault, Place, Tally
from wan_cli.sandbox.records import Clip
from wan_cli.sandbox.refusals import oss_refusal, refusal

if TYPE_CHECKING:
    from wan_cli.sandbox.records import Task
    from wan_cli.sandbox.world import World

Handle = Callable[[httpx.Request, "World"], httpx.Response]

_UPLOADS = re.compile(r"/(files|uploads)(/|$)")
_POLICIES = "/api/v1/uploads"  # DashScope's, asked for before each upload
_QUESTIONS = re.compile(r"/tasks/[^/]+/cancel")  # which orders nothing
_PROMPT_PART = re.compile(rb'(name="prompt"[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n)[^\r\n]+')
_PAGE = b"<!doctype html>\n<html><head><title>Sign in</title></head><body><h1>Welcome</h1></body></html>\n"
_MANY = 2


class DroppedError(Exception):
    """The connection is to be closed without an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be sent; `cut` is how many bytes of the body really leave, None all of them."""

    response: httpx.Response
    cut: int | None = None


class Faulty:
    """Answers requests for one `world` as their contract would, unless one of `faults` strikes.

    They are asked in their order, and the first that ends a request wins. `sleep` is what a stall waits with.
    """

    def __init__(
        self,
        world: World,
        faults: Sequence[Fault] = (),
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._world = world
        self._faults = faults
        self._sleep = sleep
        self._tally = Tally(world.folder)

    async def answer(self, request: httpx.Request, contract: str, handle: Handle) -> Answer:
        """Answer a request whose body has been read; `contract` is a contract's name, or "results".

        Raises DroppedError, and what `handle` raises; `handle` runs in a thread.
        """
        if not self._faults:
            return Answer(await asyncio.to_thread(handle, request, self._world))
        place = _place(request, contract)
        met = [fault for fault in self._faults if fault.applies(place)]
        if (instead := self._instead(met, contract)) is not None:
            answer = Answer(instead)
        else:
            answer = Answer(await asyncio.to_thread(self._handled, request, met, handle))
        return await self._on_its_way(answer, met)

    def _instead(self, met: list[Fault], contract: str) -> httpx.Response | None:
        """Return what is said in place of the contract. Raises DroppedError."""
        for fault in met:
            if fault.kind not in ("429", "500", "html", "drop-before", "expired-url") or not self._tally.strikes(fault):
                continue
            if fault.kind == "drop-before":
                raise DroppedError
            if fault.kind == "html":
                return httpx.Response(200, headers={"Content-Type": "text/html; charset=utf-8"}, content=_PAGE)
            if fault.kind == "expired-url":
                return oss_refusal(403, "AccessDenied", "Request has expired.")
            return refusal(contract, int(fault.kind), retry_after=fault.seconds)
        return None

    def _handled(self, request: httpx.Request, met: list[Fault], handle: Handle) -> httpx.Response:
        bent = _Bent(self._world, request.content)
        for fault in met:
            if fault.kind in ("moderation", "fail") and self._tally.strikes(fault):
                request = _steered(request, fault.kind)
            elif fault.kind == "wrong-size" and self._tally.strikes(fault):
                bent.bends.append(_halved)
            elif fault.kind == "k-of-n":
                bent.bends.append(lambda order, fault=fault: self._fewer(order, fault))  # type: ignore[misc]
        jpeg = next((fault for fault in met if fault.kind == "jpeg-as-png"), None)
        if jpeg is not None and request.method == "GET":  # a part of a PNG would be no part of a JPEG
            request.headers.pop("range", None)
        response = handle(request, cast("World", bent))
        return self._as_jpeg(response, jpeg) if jpeg is not None else response

    def _fewer(self, order: Task, fault: Fault) -> Task:
        if len(order.pictures) < _MANY or not self._tally.strikes(fault):
            return order
        return order.model_copy(update={"pictures": order.pictures[:-1]})

    def _as_jpeg(self, response: httpx.Response, fault: Fault) -> httpx.Response:
        kind = response.headers.get("content-type", "")
        if response.status_code != httpx.codes.OK or not kind.startswith(("image/png", "application/json")):
            return response
        content = _jpeg(response.content) if kind.startswith("image/png") else _with_jpegs(response.content)
        if content is None or not self._tally.strikes(fault):
            return response
        etag = f'"{hashlib.sha256(content).hexdigest()[:32].upper()}"'
        return httpx.Response(200, headers={"Content-Type": kind, "ETag": etag}, content=content)

    async def _on_its_way(self, answer: Answer, met: list[Fault]) -> Answer:
        for fault in met:
            if fault.kind not in ("drop-after", "truncate", "stall") or not self._tally.strikes(fault):
                continue
            if fault.kind == "drop-after":
                raise DroppedError
            if fault.kind == "truncate":
                answer = Answer(answer.response, len(answer.response.content) // 2)
            else:
                await self._sleep(fault.seconds or 0.0)
        return answer


def _place(request: httpx.Request, contract: str) -> Place:
    path = request.url.path
    if contract == "results":
        return "upload" if request.method == "POST" else "download"
    if path.endswith(_POLICIES):
        return "upload"
    if request.method != "POST" or _QUESTIONS.search(path):
        return "poll"
    return "upload" if _UPLOADS.search(path) else "submit"


class _Bent:
    """A world in which an order is taken otherwise than it was meant; everything else is the world's own.

    The order is remembered with the body that was sent, so that its idempotency key keeps its meaning.
    """

    def __init__(self, world: World, body: bytes) -> None:
        self._world = world
        self._body = body
        self.bends: list[Callable[[Task], Task]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def accept(self, order: Task, body: bytes, *, allowance: int | None = None) -> Task:
        for bend in self.bends:
            order = bend(order)
        sent = self._body if _is_json(self._body) else body
        return self._world.accept(order, sent, allowance=allowance)


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _halved(order: Task) -> Task:
    def half(ordered: Any) -> Any:
        step = 2 if isinstance(ordered, Clip) else 1  # a clip has even sides
        sides = (max(step, side // 2 // step * step) for side in (ordered.width, ordered.height))
        return ordered.model_copy(update=dict(zip(("width", "height"), sides, strict=True)))

    pictures, clips = tuple(map(half, order.pictures)), tuple(map(half, order.clips))
    return order.model_copy(update={"pictures": pictures, "clips": clips})


def _steered(request: httpx.Request, word: str) -> httpx.Request:
    """Return the request with a prompt that makes every contract do what `word` says; a malformed one as it is."""
    steer = f"sandbox:{word}"
    content = _PROMPT_PART.sub(lambda match: match[1] + steer.encode(), request.content)
    if _is_json(content):
        sent = json.loads(content)
        _replace_prompt(sent, steer)
        content = json.dumps(sent).encode()
    headers = {name: value for name, value in request.headers.items() if name != "content-length"}
    return httpx.Request(request.method, request.url, headers=headers, content=content)


def _replace_prompt(sent: Any, steer: str) -> None:
    """Set `prompt` at the top or below `input` and each text of a message, wherever one is, or media without one."""
    inner = sent.get("input") if isinstance(sent, dict) else None
    for home in (sent, inner):
        if isinstance(home, dict) and isinstance(home.get("prompt"), str) and home["prompt"]:
            home["prompt"] = steer
    if isinstance(inner, dict) and isinstance(inner.get("media"), list) and not inner.get("prompt"):
        inner["prompt"] = steer
    messages = inner.get("messages") if isinstance(inner, dict) else None
    for message in messages if isinstance(messages, list) else ():
        contents = message.get("content") if isinstance(message, dict) else None
        for item in contents if isinstance(contents, list) else ():
            if isinstance(item, dict) and isinstance(item.get("text"), str) and item["text"]:
                item["text"] = steer


def _jpeg(png: bytes) -> bytes | None:
    """Return a picture as JPEG, None for what is no picture."""
    from PIL import Image, UnidentifiedImageError

    buffer = BytesIO()
    try:
        with Image.open(BytesIO(png)) as image:
            image.convert("RGB").save(buffer, "JPEG", quality=90)
    except UnidentifiedImageError:
        return None
    return buffer.getvalue()


def _with_jpegs(answer: bytes) -> bytes | None:
    """Return an answer whose pictures inside it are JPEG, None where there are none."""
    said = json.loads(answer)
    items = said.get("data") if isinstance(said, dict) else None
    changed = False
    for item in items if isinstance(items, list) else ():
        try:
            picture = _jpeg(base64.b64decode(item["b64_json"], validate=True))
        except (KeyError, TypeError, binascii.Error):
            continue
        if picture is not None:
            item["b64_json"] = base64.b64encode(picture).decode()
            changed = True
    return json.dumps(said).encode() if changed else None
