"""How each contract says "later" and "broken": the envelopes of the faults 429 and 500, and the file host's own.

Sources: `contracts.md` 1.6 (Rivya), 2.6 (Modelverse), 3.4 (new-api), 4.5 (ToAPIs), 5.6 (DashScope, whose envelope is
flat), 6.1 (OpenAI). Where no code is
documented for the status, the nearest that is: Rivya has none for a 500, new-api none of its own for a 429.
"""

from __future__ import annotations

import secrets
import uuid
from typing import Any
from xml.sax.saxutils import escape

import httpx

_LATER = "too many requests in the current window (a fault of the sandbox)"
_BROKEN = "something went wrong here (a fault of the sandbox)"


def refusal(contract: str, status: int, *, retry_after: float | None = None) -> httpx.Response:
    """Return a refusal with 429 or 500 as `contract` words it; `results` is the file host. `retry_after` in seconds."""
    later = status == httpx.codes.TOO_MANY_REQUESTS
    message = _LATER if later else _BROKEN
    if contract == "results":
        response = oss_refusal(status, "Throttling" if later else "InternalError", message)
    elif contract == "dashscope":
        code = "Throttling.RateQuota" if later else "InternalError"
        response = httpx.Response(status, json={"code": code, "message": message, "request_id": str(uuid.uuid4())})
    else:
        response = httpx.Response(status, json={"error": _error(contract, message, later=later)})
    if retry_after is not None:
        response.headers["Retry-After"] = f"{retry_after:g}"
    if contract == "toapis" and later:  # [4.5]
        response.headers.update({"X-RateLimit-Limit": "300", "X-RateLimit-Remaining": "0"})
    return response


def _error(contract: str, message: str, *, later: bool) -> dict[str, Any]:
    request_id = f"req_{secrets.token_hex(12)}"
    if contract == "rivya":
        return {"code": "rate_limited" if later else "internal_error", "message": message, "requestId": request_id}
    if contract == "modelverse":
        kind, code = ("rate_limit_error", "rate_limit") if later else ("internal_error", "internal_error")
        return {"message": message, "type": kind, "code": code, "param": request_id}
    if contract == "yunwu":
        kind, code = ("new_api_error", "") if later else ("upstream_error", "bad_response_status_code")
        return {"message": f"{message} (request id: {request_id})", "type": kind, "param": "", "code": code}
    if contract == "toapis":
        kind, code = ("rate_limit_error", "rate_limit_exceeded") if later else ("internal_error", "internal_error")
        return {"code": code, "message": message, "type": kind}
    kind, said = ("requests", "rate_limit_exceeded") if later else ("server_error", None)
    return {"message": message, "type": kind, "param": None, "code": said}


def oss_refusal(status: int, code: str, message: str) -> httpx.Response:
    """Return a refusal as Alibaba OSS words it, where Wan's results really are."""
    request_id = secrets.token_hex(12).upper()
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n'
        f"  <Code>{escape(code)}</Code>\n  <Message>{escape(message)}</Message>\n"
        f"  <RequestId>{request_id}</RequestId>\n  <HostId>sandbox.invalid</HostId>\n</Error>\n"
    )
    headers = {"Content-Type": "application/xml", "x-oss-request-id": request_id}
    return httpx.Response(status, headers=headers, content=body.encode())
