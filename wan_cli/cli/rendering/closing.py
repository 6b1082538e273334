"""What the tasks of an asset leave behind: its files for the lock, and what is told of them at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wan_cli.cli.rendering.stored import name_of
from wan_cli.dataclass import replace
from wan_cli.errors import UsageError
from wan_cli.lock import Made
from wan_cli.models import Saved, Target, Task

if TYPE_CHECKING:
    from wan_cli.manifest import Manifest
    from wan_cli.render.sight import Sight


def made_files(tasks: Sequence[Task], manifest: Manifest, sight: Sight) -> list[Made]:
    """Return the files of saved tasks as the lock has them. Raises ``UsageError`` for one outside of the root."""
    files = []
    for task in tasks:
        assert isinstance(task.state, Saved)  # noqa: S101 - the caller has just looked
        for file in task.state.files:
            if (path := name_of(manifest, file.path or "")) is None:
                raise UsageError(
                    f"{task.name} was saved to {file.path}, and its provider keeps it no longer",
                    hint=f"move it below {manifest.home or manifest.root}, then wan keep FILE --as ID", charged="yes",
                )  # fmt: skip
            files.append(Made(path=path, sha256=file.sha256, bytes=file.bytes, store=manifest.home))
            sight.learn(path, file.sha256)
    return files


def told(task: Task) -> Task:
    """Return what is told of a task at the end: ten thousand of them are kept until then."""
    return replace(task, token="", user_key=None, fingerprint="", target=Target(template=None))
