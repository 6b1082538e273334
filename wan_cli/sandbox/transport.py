"""An httpx transport that answers inside the process: contracts, and the host of results and uploads.

`InProcess` is what `--sandbox` puts below the client. `CONTRACTS` is the one place that knows the contracts; a new one
is a module with `NAME`, `KEY`, `HOSTS` and `handle`, and one line here.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol
from xml.sax.saxutils import escape

import httpx

from wan_cli.sandbox import modelverse, rivya
from wan_cli.sandbox.world import LinkRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wan_cli.sandbox.world import World

_RESULT = re.compile(r"/results/([A-Za-z0-9_-]+)/([1-9][0-9]{0,3})\.png")
_FILE = re.compile(r"/files/([A-Za-z0-9_-]+)\.[a-z0-9]+")
_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")


class Contract(Protocol):
    """What a contract module offers: its name, the key it takes, the API hosts it stands for, and its answers."""

    NAME: str
    KEY: str
    HOSTS: tuple[str, ...]

    def handle(self, request: httpx.Request, world: World) -> httpx.Response:
        """Answer a request whose body has been read. May block: it writes files and may open pictures."""


CONTRACTS: Mapping[str, Contract] = MappingProxyType(
    {
        rivya.NAME: rivya,
        modelverse.NAME: modelverse,
    }
)


class InProcess(httpx.AsyncBaseTransport):
    """Answer every request out of `world`, as `contract` (a name of CONTRACTS, or "results") would; opens no socket.

    A URL below `world.public_url` is answered by the file host whatever the contract, so that one client can submit and
    download. Raises ValueError for a name that is not a contract.
    """

    def __init__(self, world: World, contract: str) -> None:
        if contract != "results" and contract not in CONTRACTS:
            message = f"no sandbox contract {contract!r}; there are {', '.join([*CONTRACTS, 'results'])}"
            raise ValueError(message)
        self._world = world
        self._handle = results if contract == "results" else CONTRACTS[contract].handle

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer with `request` attached.

        Raises httpx.LocalProtocolError where the body is not as long as its Content-Length, as a real connection does.
        """
        body = await request.aread()
        declared = request.headers.get("content-length")
        if declared is not None and declared != str(len(body)):
            message = f"Content-Length is {declared}, the body has {len(body)} bytes"
            raise httpx.LocalProtocolError(message, request=request)
        handle = results if _below(request.url, self._world.public_url) else self._handle
        response = await asyncio.to_thread(handle, request, self._world)
        response.request = request
        return response


def results(request: httpx.Request, world: World) -> httpx.Response:
    """Serve a signed result link or an uploaded file, whole or in part (RFC 9110 section 14, one range).

    Refusals are XML like that of Alibaba OSS, where Wan's results really are: 403 for a forged or old link, 404, 405.
    """
    if request.method != "GET":
        return _refusal(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
    path = request.url.path.removeprefix(httpx.URL(world.public_url).path.rstrip("/"))
    result, upload = _RESULT.fullmatch(path), _FILE.fullmatch(path)
    if result is not None:
        query = request.url.params
        try:
            data = world.result(result[1], int(result[2]), query.get("Expires", ""), query.get("Signature", ""))
        except LinkRefusedError as refused:
            return _refusal(403, *refused.args)
        return _content(request, data, "image/png")
    file = world.file(upload[1]) if upload is not None else None
    if file is None:
        return _refusal(404, "NoSuchKey", "The specified key does not exist.")
    return _content(request, world.blob(file.sha256), file.mime)


def _content(request: httpx.Request, data: bytes, mime: str) -> httpx.Response:
    etag = f'"{hashlib.sha256(data).hexdigest()[:32].upper()}"'
    headers = {"Content-Type": mime, "ETag": etag, "Accept-Ranges": "bytes"}
    wanted = _RANGE.fullmatch(request.headers.get("range", ""))
    # A part is only right for the same bytes; other units, several ranges and reversed ones are ignored (14.2).
    if wanted is None or request.headers.get("if-range", etag) != etag or _reversed(wanted):
        return httpx.Response(200, headers=headers, content=data)
    size = len(data)
    start = int(wanted[1]) if wanted[1] else max(0, size - int(wanted[3]))
    end = min(size, int(wanted[2]) + 1) if wanted[2] else size
    if start >= size:
        return httpx.Response(416, headers={"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return httpx.Response(206, headers=headers, content=data[start:end])


def _reversed(wanted: re.Match[str]) -> bool:
    return bool(wanted[1] and wanted[2] and int(wanted[2]) < int(wanted[1]))


def _refusal(status: int, code: str, message: str) -> httpx.Response:
    request_id = secrets.token_hex(12).upper()
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n'
        f"  <Code>{escape(code)}</Code>\n  <Message>{escape(message)}</Message>\n"
        f"  <RequestId>{request_id}</RequestId>\n  <HostId>sandbox.invalid</HostId>\n</Error>\n"
    )
    headers = {"Content-Type": "application/xml", "x-oss-request-id": request_id}
    return httpx.Response(status, headers=headers, content=body.encode())


def _below(url: httpx.URL, public_url: str) -> bool:
    base = httpx.URL(public_url)
    same = (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)
    return same and url.path.startswith(f"{base.path.rstrip('/')}/")
