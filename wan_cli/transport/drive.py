"""Runs an adapter's flow against a way of sending."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from wan_cli.providers.base import Fault, Provider, Unreadable
from wan_cli.transport.client import AnswerLost

if TYPE_CHECKING:
    import httpx

    from wan_cli.models import Flow

T = TypeVar("T")


class Refusal(Exception):
    """The provider answered, and the answer is no."""

    def __init__(self, fault: Fault, response: httpx.Response) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.date = response.headers.get("date")
        self.raw = response.content


async def drive(flow: Flow[T], provider: Provider, send: Callable[[httpx.Request], Awaitable[httpx.Response]]) -> T:
    """Send what ``flow`` yields until it returns.

    Raises :class:`Refusal` for a refusal, :class:`~wan_cli.transport.client.AnswerLost` for an answer that cannot be
    read, and whatever ``send`` raises.
    """
    response: httpx.Response | None = None
    try:
        request = next(flow)
        while True:
            response = await send(request)
            if fault := provider.fault(response):
                raise Refusal(fault, response)
            request = flow.send(response)
    except StopIteration as stop:
        value: T = stop.value
        return value
    except Unreadable as error:
        raw, status = (response.content, response.status_code) if response is not None else (b"", None)
        raise AnswerLost(f"the answer cannot be read: {error.reason}", raw=raw, status=status) from error
    finally:
        flow.close()


async def replay(flow: Flow[T], provider: Provider, *, status: int, raw: bytes, body_sha256: str | None) -> T:
    """Return what ``flow`` makes of an answer that came before: ``status`` and ``raw``.

    It is the answer to the request of that hash (``None``: to any one).

    Nothing is sent. Raises what :func:`drive` raises; ``AnswerLost`` too where the flow asks for something else.
    """
    import httpx

    answers = [httpx.Response(status, content=raw)]

    async def send(request: httpx.Request) -> httpx.Response:
        if not answers or body_sha256 not in (None, hashlib.sha256(request.content).hexdigest()):
            raise AnswerLost("the answer is to another request")
        answer = answers.pop()
        answer.request = request
        return answer

    return await drive(flow, provider, send)
