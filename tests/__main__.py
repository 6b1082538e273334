"""``python -m tests``: the four checks of this repository, one after the other; the first that fails ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WORKERS = str((os.cpu_count() or 1) + 1)
"""One more than there are cores: a good part of the time is spent waiting, for pictures of the sandbox among others."""

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    # fails below the coverage in pyproject.toml
    ("pytest", "-n", WORKERS, "--dist", "worksteal", "--cov", "--cov-branch", "--cov-report=term"),
)


def main() -> int:
    """Run the checks from the repository's root and return the exit code of the last one that ran."""
    root = Path(__file__).resolve().parent.parent
    for tool, *arguments in CHECKS:
        print(f"== {' '.join([tool, *arguments])}", flush=True)  # noqa: T201 - this is a command
        code = subprocess.run([sys.executable, "-m", tool, *arguments], cwd=root, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
