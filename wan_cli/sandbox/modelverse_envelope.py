"""What Modelverse's endpoints share: name and key, strict bodies, and the two error shapes (`contracts.md` 2.6)."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pydantic import ValidationError

from wan_cli.sandbox.strict import Strict

if TYPE_CHECKING:
    import httpx

NAME = "modelverse"
KEY = "sk-sandbox"


class RefusedError(Exception):
    """A refusal: `args` are the HTTP status and the body, and headers where there are any."""


Body = TypeVar("Body", bound=Strict)


def refuse(status: int, code: str, message: str, **headers: str) -> NoReturn:
    """Refuse in the gateway's own error shape, whose `param` holds the request id [2.6]."""
    error = {"message": message, "type": "invalid_request_error", "code": code, "param": request_id()}
    raise RefusedError(status, {"error": error}, headers)


def refuse_input(message: str) -> NoReturn:
    """Refuse in the error shape of the Wan 2.7 pages [2.6]."""
    raise RefusedError(400, {"error": {"code": "InvalidParameter", "message": message}, "request_id": request_id()})


def request_id() -> str:
    """Return a fresh request id."""
    return f"req_{secrets.token_hex(12)}"


def checked(body: type[Body], request: httpx.Request) -> Body:
    """Return the request's JSON read as `body`; anything wrong in it is a refusal that names the field."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        refuse_input("Content-Type: application/json is required")
    try:
        return body.model_validate_json(request.content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        refuse_input(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}")


def named_model(body: bytes) -> Any:
    """Return what a JSON body has as its model; None where there is none, or no JSON object."""
    try:
        sent = json.loads(body)
    except ValueError:
        return None
    return sent.get("model") if isinstance(sent, dict) else None
