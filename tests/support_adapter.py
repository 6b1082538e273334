"""Short hands for driving one adapter without a network."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import httpx

from wan_cli import errors
from wan_cli.models import Flow, Job
from wan_cli.providers import load
from wan_cli.providers.base import Fault, Provider
from wan_cli.registry import capabilities
from wan_cli.transport.retry import Unclear, Verdict, judge

T = TypeVar("T")
DATE = "Sat, 21 Nov 2026 09:00:00 GMT"


def adapter(name: str, base_url: str | None = None, **quirks: Any) -> Provider:
    """Return the adapter on its default base URL, or on another."""
    return load(name)(base_url or capabilities(name).base_url, quirks)


def job(provider: str = "rivya", **said: Any) -> Job:
    """Return a small job."""
    return Job(**({"verb": "generate", "provider": provider, "model": "wan2.7-image", "prompt": "a fox"} | said))


def answered(flow: Flow[T], body: Any) -> T:
    """Send one 200 answer (JSON, or bytes as they are) to ``flow`` and return what it makes of it."""
    request = next(flow)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        flow.send(httpx.Response(200, content=content, request=request))
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("the flow wants another request")


def fault(provider: Provider, status: int, body: Any, **headers: str) -> Fault:
    """Return what the adapter reads out of a refusal."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    found = provider.fault(httpx.Response(status, content=content, headers=named))
    assert found is not None
    return found


def verdict(provider: Provider, status: int, body: Any, **headers: str) -> Verdict:
    """Return what a refused submit means."""
    return judge(provider, fault(provider, status, body, **headers), date=headers.get("date"))


def outcome(found: Verdict) -> tuple[str, int, str]:
    """Return code, exit code and charge of a verdict, as a user meets them."""
    if isinstance(found, Unclear):
        kind = errors.OutcomeUnknown
        return kind.code, kind.default_exit, kind.default_charged
    return found.error.code, found.error.exit_code, found.error.charged
