"""What Rivya's endpoints share: its name and key, strict bodies, and the error envelope (`contracts.md` 1.6)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NoReturn, Self

from pydantic import BaseModel, ConfigDict, ValidationError

NAME = "rivya"
KEY = "rvya_sk_sandbox"


class RefusedError(Exception):
    """A refusal: `args` are the HTTP status, the code and the message of the error envelope, and headers."""


class Strict(BaseModel):
    """A body that takes nothing it does not name."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def checked(cls, sent: bytes | dict[str, str]) -> Self:
        """Return the body read from JSON text or form fields; what is wrong in it is a refusal that names the field."""
        try:
            return cls.model_validate_json(sent) if isinstance(sent, bytes) else cls.model_validate(sent)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            refuse_input(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}")


def refuse(status: int, code: str, message: str, **headers: str) -> NoReturn:
    """Raise RefusedError."""
    raise RefusedError(status, code, message, headers)


def refuse_input(message: str) -> NoReturn:
    """Refuse what was sent: 400 validation_failed."""
    refuse(400, "validation_failed", message)


def iso(moment: float) -> str:
    """Return a moment in Unix seconds as the pages write it, with milliseconds and Z."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
