"""What ToAPIs' endpoints share: its name and key, strict bodies, and the error envelope in both its forms.

Source: `contracts.md` 4.5: `{"error":{"code","message","type"?}}`, the code a string, but for a task that is not there
the integer 404 with type not_found_error. Uploads have a form of their own (4.4).
"""

from __future__ import annotations

from typing import NoReturn

NAME = "toapis"
KEY = "sk-sandbox-toapis"


class RefusedError(Exception):
    """A refusal: `args` are the HTTP status and the body, and headers where there are any."""


def refuse(status: int, code: str | int, message: str, kind: str = "", **headers: str) -> NoReturn:
    """Raise RefusedError; `kind` becomes the error's `type` where it is not empty."""
    error = {"code": code, "message": message}
    raise RefusedError(status, {"error": {**error, "type": kind} if kind else error}, headers)


def refuse_upload(message: str) -> NoReturn:
    """Refuse an upload: 400 `{"success":false,"message"}` (4.4)."""
    raise RefusedError(400, {"success": False, "message": message})
