"""A task as its provider lists it, whoever made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.dataclass import dataclass

if TYPE_CHECKING:
    from wan_cli.models import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One entry of a provider's own list. Times are seconds since the epoch, ``None`` where it does not say.

    ``state`` knows no results: a list names none.
    """

    task_id: str
    model: str
    state: Answer
    created_at: float | None = None
    finished_at: float | None = None
    request_id: str | None = None
