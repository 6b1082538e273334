"""Short words for times, sizes and what a task has reached, the same in every kind of talk."""

from __future__ import annotations

from wan_cli.models import Cancelled, Done, Failed, Lost, New, Pending, Saved, Sending, Task, Unknown
from wan_cli.text import one_line
from wan_cli.ui.money import amount

NAMES = {
    New: "planned", Sending: "submitting", Pending: "pending", Done: "succeeded", Saved: "succeeded",
    Failed: "failed", Cancelled: "cancelled", Unknown: "unknown", Lost: "lost",
}  # fmt: skip
"""The ``state`` of a task in JSON and in talk (interface.md, section 3)."""

ENDED = frozenset({"succeeded", "failed", "cancelled", "unknown", "lost"})


def state_name(task: Task, *, fetching: bool = False) -> str:
    """Return the word for the task's state.

    Finished at the provider is ``downloading`` while its results are fetched (``fetching``), and when fetching them
    was tried and did not work.
    """
    if isinstance(task.state, Done) and (fetching or task.trouble is not None):
        return "downloading"
    return NAMES[type(task.state)]


def under_way(task: Task) -> str:
    """Return the word for the state of a task that this process works on: results with a target are being fetched."""
    return state_name(task, fetching=task.target.template is not None or task.target.stdout)


def elapsed(seconds: float) -> str:
    """Return ``12s``, ``1m05s`` or ``2h03m``; what is before zero is ``0s``."""
    whole = max(0, int(seconds))
    if whole < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004 - minutes in an hour
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"


def age(seconds: float) -> str:
    """Return one rounded-down unit: ``40s``, ``3m``, ``2h``, ``5d``."""
    whole = max(0, int(seconds))
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if whole >= length:
            return f"{whole // length}{unit}"
    return f"{whole}s"


def transferred(done: int, total: int | None) -> str:
    """Return bytes as ``1.2 MB`` or ``1.2/4.0 MB`` (10**6 bytes each)."""
    part = f"{done / 1e6:.1f}"
    return f"{part} MB" if total is None else f"{part}/{total / 1e6:.1f} MB"


def cost(task: Task) -> str:
    """Return what the task cost, else what it is expected to cost."""
    if task.cost.actual is not None:
        return amount(task.cost.actual, task.cost.unit)
    return f"estimated {amount(task.cost.estimated, task.cost.unit)}"


def remark(task: Task, note: str = "") -> str:
    """Return the one short thing to say beside the state, made safe and on one line; it may be empty."""
    if note:
        return one_line(note)
    match task.state:
        case Pending(note=said):
            return one_line(said)
        case Failed(message=said) | Cancelled(message=said) | Lost(message=said) | Unknown(reason=said):
            return one_line(said)
        case Done() if task.trouble is not None:
            return one_line(task.trouble.message)
        case Saved(files=files):
            return "1 file" if len(files) == 1 else f"{len(files)} files"
        case _:
            return ""
