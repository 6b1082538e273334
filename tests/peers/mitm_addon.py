"""What mitmproxy does to the requests that pass it: a plan, one word for each request, beginning with the first.

The plan is the file ``plan`` in its working folder, written anew before each test; ``seen`` gets a line for each
request. It runs inside mitmproxy's own environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mitmproxy import http

KEPT = 50
PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
_turns: dict[str, str] = {}


def request(flow: Any) -> None:
    """Note the request, take the next word of the plan, and do what comes before the provider."""
    words = Path("plan").read_text(encoding="ascii").split()
    word = words.pop(0) if words else "pass"
    Path("plan").write_text(" ".join(words), encoding="ascii")
    _turns[flow.id] = word
    with Path("seen").open("a", encoding="utf-8") as seen:
        seen.write(f"{word} {flow.request.method} {flow.request.path}\n")
    if word == "limit":
        error = b'{"error": {"code": "rate_limited", "message": "slow down", "requestId": "req_mitm"}}'
        flow.response = http.Response.make(429, error, {"retry-after": "1", "content-type": "application/json"})
    elif word == "gateway":
        flow.response = http.Response.make(502, PAGE, {"content-type": "text/html"})
    elif word == "elsewhere":
        flow.response = http.Response.make(307, b"", {"location": "http://localhost:9/stolen"})
    elif word == "kill-before":
        flow.kill()


def response(flow: Any) -> None:
    """Do what comes after the provider has answered."""
    word = _turns.pop(flow.id, "pass")
    if word == "kill-after":
        flow.kill()
    elif word == "cut":
        flow.response.content = flow.response.content[:KEPT]
    elif word == "page":
        flow.response.content, flow.response.headers["content-type"] = PAGE, "text/html"
