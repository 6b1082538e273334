"""Standard output that cannot be written: what that means depends on whether something was bought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.cli.hints import spelled
from wan_cli.errors import Charged, WriteFailed

if TYPE_CHECKING:
    from wan_cli.cli.context import App

FREE = 1
"""The exit code where nothing was bought, so that no result is stuck: that of other programs whose output fails."""


def unwritten(app: App) -> WriteFailed:
    """Return the error of a command that did what it was to do, and could not say so.

    The files of a purchase are saved: only their names could not be told.
    """
    failed = app.streams.stdout_error
    why = f"standard output cannot be written: {failed.strerror if failed else 'it is closed'}"
    if not app.ended:
        return WriteFailed(why, hint=spelled("run the command again", app.words), charged="no", exit_code=FREE)
    said = {task.charged for task in app.ended}
    charged: Charged = "unknown" if "unknown" in said else "yes" if "yes" in said else "no"
    one = app.ended[0].command("status") if len(app.ended) == 1 else "wan status"
    if app.command == "cancel":
        return WriteFailed(why, hint=one, charged=charged, exit_code=FREE)
    return WriteFailed(f"{why}; what was bought is safe", hint=one, charged=charged)
