"""httpx without its own command line.

Where click and rich are installed, ``import httpx`` imports both for a command that nobody calls here: 45 ms of every
start (performance.md section 1). The packages that import httpx import this module first.
"""

import sys
from types import ModuleType

_UNUSED = "httpx._main"


def _main() -> None:
    """Stand in for httpx's command."""
    sys.exit("httpx's own command is not loaded inside of wan")


if "httpx" not in sys.modules:
    _stub = ModuleType(_UNUSED)
    _stub.main = _main  # type: ignore[attr-defined]
    sys.modules.setdefault(_UNUSED, _stub)
