"""What the shapes of providers' answers are made of.

Adapters import their shapes when an answer is there: a request can be built, and shown by ``--dry-run``, without
pydantic, which takes longer to load than everything else (performance.md, section 1).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

TaskId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]*[A-Za-z0-9_:-][A-Za-z0-9._:-]*$", max_length=200)]
"""A provider's task id; anything else, and what is only dots, never becomes part of an address (R07, R08)."""


def _or_nothing(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


Aside = WrapValidator(_or_nothing)
"""Marks a field beside the point: an odd value counts as absent there, for the task it stands beside is paid for."""


class Reply(BaseModel):
    """An answer's shape: extra fields are ignored, since providers add some without notice."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)
