"""What DashScope's endpoints share: name and key, strict bodies, the flat error envelope, ids, and how times are said.

Source: `contracts.md` 5.1 and 5.6, and Alibaba's pages of error codes and of asynchronous tasks: a refusal is
`{"code","message","request_id"}` at the top, never below `error`. Times are strings without a zone; the service stands
in Beijing, so they are taken to be UTC+8 (not documented).
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pydantic import ValidationError

from wan_cli.sandbox.strict import Strict

if TYPE_CHECKING:
    import httpx

NAME = "dashscope"
KEY = "sk-sandbox-dashscope"
ZONE = timezone(timedelta(hours=8))
UNREADABLE = "The media format is not supported or incorrect for the data inspection."
UNREACHABLE = "Unable to download the media resource during the data inspection process."


class RefusedError(Exception):
    """A refusal: `args` are the HTTP status, the code, the message and further headers."""


Body = TypeVar("Body", bound=Strict)


def refuse(status: int, code: str, message: str, **headers: str) -> NoReturn:
    """Raise RefusedError."""
    raise RefusedError(status, code, message, headers)


def refuse_input(message: str) -> NoReturn:
    """Refuse a field: 400 InvalidParameter (5.6)."""
    refuse(400, "InvalidParameter", message)


def refuse_media(message: str) -> NoReturn:
    """Refuse a file: 400 InvalidParameter.DataInspection (5.6)."""
    refuse(400, "InvalidParameter.DataInspection", message)


def request_id() -> str:
    """Return a fresh request id."""
    return str(uuid.uuid4())


def said_at(seconds: float) -> str:
    """Return a time as the tasks have it: `2026-07-14 16:43:28.681` (5.3)."""
    return datetime.fromtimestamp(seconds, ZONE).isoformat(sep=" ", timespec="milliseconds")[:23]


def utc(seconds: float) -> str:
    """Return a time as a policy has it: `2026-07-14T08:43:28.681Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def sent_body(request: httpx.Request) -> dict[str, Any]:
    """Return the JSON object of a model call, with a model and an input in it; may refuse (BadRequest.*, 5.6)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        refuse_input("Content-Type: application/json is required")
    try:
        sent = json.loads(request.content)
    except ValueError:
        refuse_input("Required parameter(s) missing or invalid, please check the request parameters.")
    if not isinstance(sent, dict):
        refuse_input("Required parameter(s) missing or invalid, please check the request parameters.")
    if not isinstance(sent.get("model"), str) or not sent["model"]:
        refuse(400, "BadRequest.EmptyModel", 'Required parameter "model" missing from request.')
    if not sent.get("input"):
        refuse(400, "BadRequest.EmptyInput", "Required input parameter missing from request.")
    return sent


def checked(body: type[Body], sent: dict[str, Any]) -> Body:
    """Return what was sent read as `body`; anything wrong in it is a refusal that names the field."""
    try:
        return body.model_validate(sent)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        refuse_input(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def refuse_steered(prompt: str) -> None:
    """Refuse a prompt that holds one of the words that `dashscope` lists, as the service's checks would (5.6)."""
    if "sandbox:moderation" in prompt:
        refuse(400, "DataInspectionFailed", "Input data may contain inappropriate content.")
    if "sandbox:infringement" in prompt:
        refuse(400, "IPInfringementSuspect", "Input data is suspected of being involved in IP infringement.")
    if "sandbox:quota" in prompt:
        refuse(400, "Arrearage", "Access denied, please make sure your account is in good standing.")
