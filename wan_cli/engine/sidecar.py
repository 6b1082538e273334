"""The JSON file beside a result that says how it was made: no key, no signed address."""

from __future__ import annotations

import json
from pathlib import Path

from wan_cli.errors import WriteFailed
from wan_cli.imprint import VERSION, imprint, references
from wan_cli.intake import read_regular
from wan_cli.models import File, Task
from wan_cli.whole import whole

_MOST_BYTES = 1024 * 1024
"""Of a sidecar: prompts and names are shorter by far."""


def sidecar_path(path: Path) -> Path:
    """Return where the sidecar of a file stands: ``fox.png.json`` for ``fox.png``."""
    return path.with_name(path.name + ".json")


def stranger(path: Path) -> bool:
    """Tell whether a file that is no sidecar has the name of that of ``path``. A link is replaced, not followed."""
    there = sidecar_path(path)
    if there.is_symlink() or not there.is_file():
        return False
    try:
        said = json.loads(read_regular(there, _MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return True
    return not (isinstance(said, dict) and "wan" in said)


def write_sidecar(task: Task, file: File, path: Path) -> None:
    """Write how the file was made beside it. Raises ``WriteFailed``."""
    job = task.job
    said = {
        "wan": VERSION, "file": path.name, **imprint(task), "sha256": file.sha256, "bytes": file.bytes,
        "mime": file.mime, "width": file.width, "height": file.height, "task": task.id, "handle": task.handle,
        "prompt": job.prompt, "size": job.size, "aspect": job.aspect, "seed": job.seed, "watermark": job.watermark,
        "thinking": job.thinking, "params": dict(job.params),
        "references": references(job),
        "cost": {"estimated": task.cost.estimated, "actual": task.cost.actual, "unit": task.cost.unit},
    }  # fmt: skip
    target = sidecar_path(path)
    # a name of any bytes has surrogates, and what stands for one then is what JSON has for it: \udcff
    data = (json.dumps(said, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "backslashreplace")
    try:
        with whole(target, token=f"{task.id}-{file.index}-") as out:
            out.write(data)
    except OSError as error:
        raise WriteFailed(f"{target} could not be written: {error.strerror}") from error
