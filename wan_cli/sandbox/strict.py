"""Bodies that take nothing they do not name, and no null: what most contracts' orders are made of."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator


class Strict(BaseModel):
    """A body with these fields and no others; a null is refused but for `NULLS`."""

    NULLS: ClassVar[frozenset[str]] = frozenset()
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, sent: Any) -> Any:
        for name, value in sent.items() if isinstance(sent, dict) else ():
            if value is None and name not in cls.NULLS:
                message = f"{name}: null is not taken, leave it out"
                raise ValueError(message)
        return sent
