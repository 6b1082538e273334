"""What schemathesis is told besides: what a JSON Schema cannot say. It runs inside schemathesis's own environment.

The descriptions say in words what they cannot say as a schema: how many pixels a size may have, which files are
pictures, that a link has to be https, which media go together, that shares are a whole, and when a task can be taken
back. A request that fits the schema and breaks such a rule is refused, rightly; so instead of its own check "valid data
is accepted" this one is used, which knows those rules by their words. One more is JSON's: 2.0 is an integer to a
schema, and not to servers that read it into one.
"""

from __future__ import annotations

import re
from typing import Any

import schemathesis

TOLD = re.compile(
    r"size: |Supported values are|an? https URL|its content is not a supported|not a readable|media: "
    r"|no such (upload|file)|duration: |duration_token|takes images only|[Bb]ase64|invalid task_id|invalid image url"
    r"|enable is required|reference_voice|do not mix|does not take|takes no|needs |is not for"
    r"|Input should be a valid integer|lists for [0-9]+ images|a box is |ratios must sum|YYYYMMDDhhmmss"
    r"|start_time: not after|Unable to download the media|The media format is not|Failed to cancel the task"
)
BAD_REQUEST = 400


@schemathesis.check
def accepted_unless_told(ctx: Any, response: Any, case: Any) -> None:
    """Fail where a request that fits the schema is refused with 400 for a reason that the schema could have said."""
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    if positive and response.status_code == BAD_REQUEST and not TOLD.search(response.text):
        message = f"it fits the schema and is refused: {response.text[:300]}"
        raise AssertionError(message)
    return None  # noqa: RET501, PLR1711 - the checks' own form
