"""Results that are looked for once more: whether they are where they were saved, and asked for again if not."""

from __future__ import annotations

from wan_cli.dataclass import replace
from wan_cli.errors import WriteFailed
from wan_cli.intake import digest_of
from wan_cli.models import File, Lost, Pending, Saved, Task
from wan_cli.stores import StoreFault, is_address, read_address


def is_whole(file: File) -> bool:
    """Tell whether the recorded file is where it was saved, as recorded.

    Raises ``WriteFailed`` where it is in a store that cannot be asked: what is not known is not fetched again.
    """
    if file.path is None or not is_address(file.path):
        return file.path is not None and digest_of(file.path) == file.sha256
    from wan_cli.stores.objects import digest, require

    require(file.path)
    try:
        return digest(read_address(file.path)) == file.sha256
    except StoreFault as fault:
        raise WriteFailed(f"whether {file.path} is there is not known: {fault.why}") from fault


def reopened(task: Task, *, anew: bool = False, ask_stores: bool = True) -> Task:
    """Return a saved task whose files are gone as one to collect again; as it is where that cannot be.

    ``anew`` wants the results once more though they are here, or went to standard output. Without ``ask_stores`` what
    was put into a store counts as there. Raises ``WriteFailed``, see :func:`is_whole`.
    """
    if not isinstance(task.state, Saved) or task.task_id is None:
        return task
    try:
        if not anew and all(_settled(file, ask_stores=ask_stores) for file in task.state.files):
            return task
    except WriteFailed as error:
        error.hint = task.command("wait")
        raise
    return _again(task, task.task_id)


def sought(task: Task) -> Task:
    """Return a lost task as one to ask about once more, where there is something to ask; else as it is."""
    return _again(task, task.task_id) if isinstance(task.state, Lost) and task.task_id else task


def _settled(file: File, *, ask_stores: bool) -> bool:
    return file.path is None or (not ask_stores and is_address(file.path)) or is_whole(file)


def _again(task: Task, task_id: str) -> Task:
    ended = task.finished_at or task.created_at  # tells the engine that this is no task on its first way
    state = Pending(task_id=task_id, ref={"task_id": task_id}, note="asked again")
    return replace(task, state=state, finished_at=ended)
