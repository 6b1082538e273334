"""An httpx transport that answers inside the process: contracts, and the host of results and uploads.

`InProcess` is what `--sandbox` puts below the client. `CONTRACTS` is the one place that knows the contracts; a new one
is a module with `NAME`, `KEY`, `HOSTS` and `handle`, and one line here.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import httpx

from wan_cli.errors import ConfigInvalid
from wan_cli.extras import install
from wan_cli.sandbox import dashscope, dashscope_uploads, modelverse, openai, rivya, toapis, yunwu
from wan_cli.sandbox.faulty import Answer, DroppedError, Faulty
from wan_cli.sandbox.refusals import oss_refusal
from wan_cli.sandbox.world import LinkRefusedError, NeedsExtraError
from wan_cli.transport.client import NotSent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wan_cli.sandbox.faults import Fault
    from wan_cli.sandbox.world import World

_RESULT = re.compile(r"/results/([A-Za-z0-9_-]+)/([1-9][0-9]{0,3})\.(png|jpeg|webp|mp4)")
_FILE = re.compile(r"/files/([A-Za-z0-9_-]+)\.[a-z0-9]+")
_MIMES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "mp4": "video/mp4"}
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
        yunwu.NAME: yunwu,
        toapis.NAME: toapis,
        dashscope.NAME: dashscope,
        openai.NAME: openai,
    }
)


class InProcess(httpx.AsyncBaseTransport):
    """Answer every request out of `world`, as `contract` (a name of CONTRACTS, or "results") would; opens no socket.

    A URL below `world.public_url` is answered by the file host whatever the contract, so that one client can submit and
    download. `faults` are what goes wrong, and `sleep` is what a stall waits with. Raises ValueError for a name that is
    not a contract.
    """

    def __init__(
        self,
        world: World,
        contract: str,
        *,
        faults: Sequence[Fault] = (),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if contract != "results" and contract not in CONTRACTS:
            message = f"no sandbox contract {contract!r}; there are {', '.join([*CONTRACTS, 'results'])}"
            raise ValueError(message)
        self._world = world
        self._contract = contract
        self._faulty = Faulty(world, faults, sleep=sleep)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer with `request` attached.

        Raises httpx.ReadError where a fault closes the connection (a body it cuts short raises RemoteProtocolError),
        httpx.LocalProtocolError where the body is not as long as its Content-Length, as a real connection does, and
        `wan_cli.transport.client.NotSent` (final, exit 3) for an order of videos where PyAV is missing.
        """
        body = await request.aread()
        declared = request.headers.get("content-length")
        if declared is not None and declared != str(len(body)):
            message = f"Content-Length is {declared}, the body has {len(body)} bytes"
            raise httpx.LocalProtocolError(message, request=request)
        contract = "results" if below(request.url, self._world.public_url) else self._contract
        handle = results if contract == "results" else CONTRACTS[contract].handle
        try:
            answer = await self._faulty.answer(request, contract, handle)
        except DroppedError as dropped:
            message = "the connection was closed (a fault of the sandbox)"
            raise httpx.ReadError(message, request=request) from dropped
        except NeedsExtraError as missing:
            # As certain as a refused connection: the order was not accepted, and asking again cannot help.
            error = ConfigInvalid(f"the sandbox cannot draw videos: {missing}", hint=install("video"))
            raise NotSent(error, final=True) from missing
        response = answer.response if answer.cut is None else _cut(answer, answer.cut)
        response.request = request
        return response


class _Cut(httpx.AsyncByteStream):
    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self._size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data
        received = f"(received {len(self._data)} bytes, expected {self._size})"
        message = f"peer closed connection without sending complete message body {received}"
        raise httpx.RemoteProtocolError(message)


def _cut(answer: Answer, size: int) -> httpx.Response:
    whole = answer.response
    return httpx.Response(
        whole.status_code, headers=whole.headers, stream=_Cut(whole.content[:size], len(whole.content))
    )


def results(request: httpx.Request, world: World) -> httpx.Response:
    """Serve a signed result link or an uploaded file, whole or in part (RFC 9110 section 14, one range).

    Refusals are XML like that of Alibaba OSS, where Wan's results really are: 403 for a forged or old link, 404, 405.
    Files for DashScope come in here as well, by a form; they are for the models alone, and cannot be fetched.
    """
    path = request.url.path.removeprefix(httpx.URL(world.public_url).path.rstrip("/"))
    if path.rstrip("/") == dashscope_uploads.PLACE:
        return dashscope_uploads.receive(request, world)
    if request.method != "GET":
        return oss_refusal(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
    result, upload = _RESULT.fullmatch(path), _FILE.fullmatch(path)
    if result is not None:
        query = request.url.params
        try:
            data = world.result(result[1], int(result[2]), query.get("Expires", ""), query.get("Signature", ""))
        except LinkRefusedError as refused:
            return oss_refusal(403, *refused.args)
        except NeedsExtraError as missing:
            return oss_refusal(501, "NotImplemented", str(missing))
        return _content(request, data, _MIMES[result[3]])
    file = world.file(upload[1]) if upload is not None else None
    if file is None or file.provider == dashscope.NAME:
        return oss_refusal(404, "NoSuchKey", "The specified key does not exist.")
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


def below(url: httpx.URL, public_url: str) -> bool:
    """Tell whether a URL is one of the file host's."""
    base = httpx.URL(public_url)
    same = (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)
    return same and url.path.startswith(f"{base.path.rstrip('/')}/")
