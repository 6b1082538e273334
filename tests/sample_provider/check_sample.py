"""The suite that every provider of wan passes, run untouched over the installed sample.

Run by ``tests/test_entry_points.py`` in a process of its own, where the package is installed and ``conformance`` can be
imported; its name keeps it out of the main run.
"""

from __future__ import annotations

import json
import secrets

import httpx
import pytest

pytest.register_assert_rewrite("conformance")

from conformance import Candidate, Conformance, candidates  # noqa: E402 - after the line above
from wan_sample.adapter import Sample  # noqa: E402

from wan_cli.sandbox.world import Picture, Task, World  # noqa: E402

KEY = "sample-key-0123456789"


class Contract(httpx.AsyncBaseTransport):
    """The provider's side."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sell one picture."""
        body = await request.aread()
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return httpx.Response(401, json={"error": {"code": "bad_key", "message": "no such key"}}, request=request)
        sent = json.loads(body)
        picture = Picture(prompt=sent["prompt"], width=1024, height=1024, seed=sent.get("seed", 1))
        order = Task(id=secrets.token_hex(8), provider="sample", model="sample-1", pictures=(picture,),
                     idempotency_key=request.headers["once"])  # fmt: skip
        urls = self.world.urls(self.world.accept(order, body))
        return httpx.Response(200, json={"pictures": urls}, request=request)


class TestSample(Conformance):
    """The sample."""

    candidate = candidates(
        Candidate(label="sample", adapter=lambda: Sample("https://sample.example"), key=KEY, wire=Contract,
                  model="sample-1")
    )  # fmt: skip
