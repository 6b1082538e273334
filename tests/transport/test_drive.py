"""Running a flow: what is sent, what is refused, what cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from support_adapter import adapter, job

from wan_cli.models import Flow
from wan_cli.providers.base import Unreadable
from wan_cli.transport.client import AnswerLost
from wan_cli.transport.drive import Refusal, drive

Send = Callable[[httpx.Request], Awaitable[httpx.Response]]


def sender(*answers: httpx.Response | Exception) -> tuple[Send, list[httpx.Request]]:
    sent: list[httpx.Request] = []
    left = list(answers)

    async def send(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return send, sent


def three(closed: list[str]) -> Flow[str]:
    """A flow of three requests, as an upload with policy, PUT and confirmation would be."""
    try:
        said = ""
        for step in "abc":
            response = yield httpx.Request("POST", f"https://h/{step}")
            said += response.text
        return said
    finally:
        closed.append("closed")


def run(flow: Flow[Any], send: Send) -> Any:
    return asyncio.run(drive(flow, adapter("rivya"), send))


def test_every_request_of_a_flow_is_sent_in_order() -> None:
    """A flow may need several requests; each answer goes back into it, and its value comes out."""
    closed: list[str] = []
    send, sent = sender(*(httpx.Response(200, text=text) for text in ("x", "y", "z")))
    assert run(three(closed), send) == "xyz"
    assert [request.url.path for request in sent] == ["/a", "/b", "/c"]
    assert closed == ["closed"]


def test_a_flow_may_send_nothing() -> None:
    """A flow without a request just has its value."""
    send, sent = sender()
    assert run(adapter("modelverse").balance(), send) == ""
    assert sent == []


def test_a_refusal_ends_the_flow() -> None:
    """The provider's no is raised with fault, date and what came, and no further request is sent."""
    closed: list[str] = []
    body = b'{"error": {"code": "rate_limited", "message": "slow"}}'
    answer = httpx.Response(429, content=body, headers={"Date": "D", "Retry-After": "3"})
    send, sent = sender(httpx.Response(200), answer)
    with pytest.raises(Refusal, match="slow") as refused:
        run(three(closed), send)
    assert (refused.value.fault.code, refused.value.fault.retry_after) == ("rate_limited", "3")
    assert (refused.value.date, refused.value.raw) == ("D", body)
    assert len(sent) == 2
    assert closed == ["closed"]


def test_an_answer_that_cannot_be_read_is_lost_with_what_came() -> None:
    """A 200 that means nothing leaves the outcome open; its bytes are kept (reliability.md R01)."""
    send, _ = sender(httpx.Response(201, content=b'{"id": 7}'))
    with pytest.raises(AnswerLost, match=r"cannot be read: id") as lost:
        run(adapter("rivya").submit(job(), token="t"), send)
    assert (lost.value.raw, lost.value.status) == (b'{"id": 7}', 201)


def test_a_flow_that_fails_before_its_first_request_has_no_answer() -> None:
    """An adapter that cannot make a request at all is told apart: nothing came."""

    def broken() -> Flow[str]:
        raise Unreadable("no")
        yield

    send, _ = sender()
    with pytest.raises(AnswerLost) as lost:
        run(broken(), send)
    assert (lost.value.raw, lost.value.status) == (b"", None)


def test_what_sending_raises_passes_through() -> None:
    """Failures of the transport are the caller's, and the flow is closed."""
    closed: list[str] = []
    send, _ = sender(AnswerLost("gone"))
    with pytest.raises(AnswerLost, match="gone"):
        run(three(closed), send)
    assert closed == ["closed"]
