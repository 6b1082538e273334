"""The JSON file beside a result that says how it was made: no key, no signed address."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from wan_cli.errors import WriteFailed
from wan_cli.imprint import VERSION, imprint, references
from wan_cli.models import File, Task


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
    target = path.with_name(path.name + ".json")
    part = target.with_name(f".{target.name}.{task.id}-{file.index}-{secrets.token_hex(3)}.part")
    try:
        with open(part, "x", encoding="utf-8") as out:  # noqa: PTH123 - exclusive creation
            out.write(json.dumps(said, ensure_ascii=False, indent=2) + "\n")
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise WriteFailed(f"{target} could not be written: {error.strerror}") from error
