"""Regular expressions that are compiled when something is first asked of them.

A command uses a tenth of the hundred that its modules have, and each takes 50 to 300 µs: 5 ms of a purchase.
"""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


class _Pattern:
    def __init__(self, *said: Any) -> None:
        self._said = said

    def __getattr__(self, name: str) -> Any:
        asked = getattr(re.compile(*self._said), name)
        setattr(self, name, asked)  # from now on it is found without coming here
        return asked


def pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return what :func:`re.compile` would; raises ``re.error`` when it is first used."""
    return cast("re.Pattern[AnyStr]", _Pattern(text, flags))
