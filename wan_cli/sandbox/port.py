"""The sandbox on a port, as an ASGI application: each contract below its own name, and the results beside them.

    /<provider>/...           the contract; /<provider>/openapi.json describes it
    /alibailian/..., /wan/... DashScope as relays pass it on, also below /dashscope
    /results/..., /files/...  the file host, and /oss, where DashScope's uploads are posted
    /                         base URLs and test keys, as JSON

It needs no server of a particular kind, but somebody who can hang up: no ASGI message closes a connection.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from wan_cli.sandbox import dashscope
from wan_cli.sandbox.faulty import Answer, DroppedError, Faulty
from wan_cli.sandbox.transport import CONTRACTS, results
from wan_cli.sandbox.world import NeedsExtraError, World

if TYPE_CHECKING:
    from wan_cli.sandbox.faults import Fault

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MOST = 256 << 20
"""Bytes of a request's body: nine pictures of 20 MB in Base64, the most that a contract takes (contracts.md 2.2)."""
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_WORLDS = 32
"""Names under which the port is known at the same time; more are not believed."""
_SUFFIX = {"openai": "/v1"}
"""What a base URL ends with where the provider's own does (interface.md, section 8)."""


class TooLargeError(Exception):
    """A request's body is above the cap."""


class GoneError(Exception):
    """The client went away before its request was whole."""


def base_urls(public_url: str) -> dict[str, str]:
    """Return each provider's base URL below `public_url`."""
    return {name: f"{public_url}/{name}{_SUFFIX.get(name, '')}" for name in CONTRACTS}


def exports(public_url: str) -> list[str]:
    """Return the lines for a shell that point every provider at the port, with its test key."""
    lines = []
    for name, url in base_urls(public_url).items():
        lines += [f"export {name.upper()}_BASE_URL={url}", f"export {name.upper()}_API_KEY={CONTRACTS[name].KEY}"]
    return lines


def description(provider: str) -> dict[str, Any] | None:
    """Return a contract's OpenAPI document, if there is one."""
    file = files("wan_cli.sandbox") / "openapi" / f"{provider}.json"
    if not file.is_file():
        return None
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return document


class Port:
    """The application. `public_url` is its address where a request names no other, `world` what a World takes further.

    `hang_up` closes the connection of a client (the `client` of an ASGI scope). Results are linked to under the host
    that the client used, so that they can be fetched from wherever it is.
    """

    def __init__(
        self,
        folder: Path,
        public_url: str,
        *,
        faults: Sequence[Fault] = (),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        hang_up: Callable[[Any], None],
        world: MutableMapping[str, Any] | None = None,
        most: int = MOST,
    ) -> None:
        self._folder = folder
        self._public_url = public_url
        self._faults = faults
        self._sleep = sleep
        self._hang_up = hang_up
        self._parts = world or {}
        self._most = most
        self._hosts: dict[str, tuple[World, Faulty]] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request. There is nothing to start or to end, and no web socket."""
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, await self._body(receive))
        except TooLargeError:
            answer = Answer(_said(413, {"message": f"a body has at most {self._most} bytes here"}))
            await _send(send, answer, close=True)
        except GoneError:
            return
        except DroppedError:
            await self._drop(scope, receive)
        else:
            await _send(send, answer)
            if answer.cut is not None:
                await self._drop(scope, receive)

    async def _body(self, receive: Receive) -> bytes:
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise GoneError
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._most:
                raise TooLargeError
        return bytes(body)

    async def _answer(self, scope: MutableMapping[str, Any], body: bytes) -> Answer:
        headers = httpx.Headers(list(scope["headers"]))
        path, query = scope["raw_path"].decode("ascii"), scope["query_string"].decode("ascii", "replace")
        world, faulty = self._at(headers.get("host", ""))
        _, name, *rest = path.split("/", 2)
        below = f"/{rest[0]}" if rest else "/"
        if name in ("results", "files", "oss"):
            contract, handle, below = "results", results, path
        elif name in dashscope.PREFIXES:
            contract, handle = dashscope.NAME, dashscope.handle
        elif name in CONTRACTS:
            contract, handle = name, CONTRACTS[name].handle
        else:
            return Answer(self._elsewhere(path, world))
        if contract != "results" and below == "/openapi.json":
            return Answer(_described(contract, base_urls(world.public_url)[contract]))
        url = f"{world.public_url}{below}{f'?{query}' if query else ''}"
        request = httpx.Request(scope["method"], url, headers=headers, content=body)
        try:
            return await faulty.answer(request, contract, handle)
        except NeedsExtraError as missing:  # the request is refused for good: nothing is accepted
            return Answer(_said(400, {"code": "sandbox_needs_extra", "message": f"the sandbox cannot draw: {missing}"}))

    def _at(self, host: str) -> tuple[World, Faulty]:
        """Return the world whose links begin with the host that a client used. All of them share one folder."""
        url = f"http://{host}"
        if url not in self._hosts and (len(self._hosts) >= _WORLDS or not _HOST.fullmatch(host)):
            url = self._public_url
        if url not in self._hosts:
            world = World(self._folder, public_url=url, **self._parts)
            self._hosts[url] = world, Faulty(world, self._faults, sleep=self._sleep)
        return self._hosts[url]

    def _elsewhere(self, path: str, world: World) -> httpx.Response:
        if path != "/":
            known = ", ".join(f"/{name}" for name in CONTRACTS)
            return _said(404, {"code": "not_found", "message": f"there are {known}"})
        urls = base_urls(world.public_url)
        shown = {
            name: {"base_url": url, "key": CONTRACTS[name].KEY, "openapi": f"{world.public_url}/{name}/openapi.json"}
            for name, url in urls.items()
        }
        return httpx.Response(200, json={"sandbox": shown})

    async def _drop(self, scope: MutableMapping[str, Any], receive: Receive) -> None:
        self._hang_up(scope["client"])
        while (await receive())["type"] != "http.disconnect":
            continue


def _described(provider: str, base_url: str) -> httpx.Response:
    document = description(provider)
    if document is None:
        return _said(404, {"code": "not_found", "message": f"{provider} has no description"})
    origin = base_url.removesuffix(_SUFFIX.get(provider, ""))
    return httpx.Response(200, json={**document, "servers": [{"url": origin}]})


def _said(status: int, error: dict[str, str]) -> httpx.Response:
    return httpx.Response(status, json={"error": error})


async def _send(send: Send, answer: Answer, *, close: bool = False) -> None:
    """Send an answer; one that is cut announces its whole length and stays open."""
    response = answer.response
    headers = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in response.headers.items()]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    cut = answer.cut
    await send({"type": "http.response.body", "body": response.content[:cut], "more_body": cut is not None})
