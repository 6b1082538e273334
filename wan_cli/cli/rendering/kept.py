"""What was made, as an asset's table: its request field by field, and where its files are below the root."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_cli import naming
from wan_cli.cli.assets import ROLES
from wan_cli.cli.rendering.stored import refuse_stored
from wan_cli.dataclass import dataclass, replace
from wan_cli.errors import UsageError
from wan_cli.lock import Made
from wan_cli.manifest import Asset, Manifest
from wan_cli.manifest.assets import MEDIA, WHERE
from wan_cli.models import Cancelled, Failed, Lost, Saved
from wan_cli.pattern import pattern
from wan_cli.render.places import Places
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.models import Job, Media, Task

FIELD_OF = {role: field for field, role in ROLES.items()}
PLAIN = (
    "size", "aspect", "seed", "watermark", "thinking", "negative", "duration", "resolution", "audio_setting", "route",
)  # fmt: skip
"""What a job and a row of a manifest call by the same name."""
MOST_TASKS = 10_000
"""How far back the other tasks of a take are looked for."""
_HIDDEN = pattern(r"sha256:[0-9a-f]{64}")
"""What the ledger keeps of a prompt with ``[privacy] store_prompts = false`` (:mod:`wan_cli.record`)."""
_NUMBER = pattern(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What FILE or TASK means: how it was made, and the paths of its files.

    ``whole`` is false for one file of several; ``siblings`` are the other tasks that made an asset together with it.
    """

    task: Task
    paths: tuple[str, ...]
    whole: bool
    siblings: tuple[Task, ...] = ()

    @property
    def cost(self) -> float | None:
        """What all of it cost; ``None`` is unknown."""
        costs = [task.cost for task in (self.task, *self.siblings)]
        known = [cost.estimated if cost.actual is None else cost.actual for cost in costs]
        return None if any(amount is None for amount in known) else round(sum(filter(None, known)), 9)


def find(app: App, what: str) -> Found:
    """Look FILE or TASK up in the ledger. Raises ``UsageError`` where it is not there, or its files are not here."""
    refuse_stored(what)
    path = app.cwd / what
    if path.is_file():
        task = app.ledger.find_file(_digest(path))
        if task is None:
            raise UsageError(
                f"the ledger does not know how {one_line(what)} was made"
                + ("" if app.sandbox else " (if the sandbox made it: --sandbox)"),
                hint="write the asset into the manifest, then wan render MANIFEST --accept ID",
            )
        several = isinstance(task.state, Saved) and len(task.state.files) > 1
        if not (several and task.job.verb == "sequence"):
            return Found(task=task, paths=(str(path),), whole=not several)
        app.talk(f"{one_line(what)} is one of a set, and is kept with all of it")
        return _whole(app, task)
    if "/" in what or os.sep in what or Path(what).suffix.lower() in naming.TRUE_EXTENSIONS:
        raise UsageError(f"{one_line(what)} does not exist or is no file", hint="wan status")
    return _whole(app, app.ledger.get(what))


def _whole(app: App, task: Task) -> Found:
    """Return all the files of a task. Raises ``UsageError`` where one is not there, or is another task's by now."""
    if isinstance(task.state, Failed | Cancelled | Lost):
        raise UsageError(f"{task.name} ended without a file", hint="wan status")
    if not isinstance(task.state, Saved):
        raise UsageError(f"{task.name} has no files here yet", hint=task.command("wait"))
    paths = tuple(file.path or "" for file in task.state.files)
    for file, path in zip(task.state.files, paths, strict=True):
        refuse_stored(path)
        if not Path(path).is_file():
            gone = one_line(path) or "what went to standard output"
            raise UsageError(f"{gone} is not there any more", hint="wan status")
        digest = _digest(Path(path))
        other = app.ledger.find_file(digest) if digest != file.sha256 else None
        if other is not None and other.id != task.id:
            raise UsageError(
                f"{one_line(path)} is now what {other.name} made", hint="give the FILE instead of the TASK"
            )
    return Found(task=task, paths=paths, whole=True)


def with_siblings(app: App, found: Found, asset: Asset) -> Found:
    """Return all that was made together for an asset of several results; a take is chosen as a whole."""
    if asset.count == 1:
        return found
    recent = [] if found.task.siblings == 1 else app.ledger.recent(MOST_TASKS)
    together = sorted((task for task in recent if _made_with(task, found.task)), key=lambda task: task.item)
    whole = [_whole(app, task) for task in together or [found.task]]
    return Found(
        task=whole[0].task, paths=tuple(path for one in whole for path in one.paths), whole=True,
        siblings=tuple(one.task for one in whole[1:]),
    )  # fmt: skip


def _made_with(task: Task, other: Task) -> bool:
    return task.batch == other.batch and task.fingerprint == other.fingerprint


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same(asset: Asset, fields: Mapping[str, Any]) -> bool:
    """Tell whether a request is that of an asset of the manifest, which may leave open who makes it."""
    own = {**asset.stated, "count": asset.count}
    said = {"count": 1, **{name: value for name, value in fields.items() if name not in ("id", *WHERE)}}
    for name in MEDIA:
        if name in said:
            said[name] = said[name] if isinstance(said[name], list) else [said[name]]
    if said.pop("provider") not in (asset.providers or (fields["provider"],)):
        return False
    own.setdefault("model", said["model"])
    return own == said


def made_of(root: Path, path: str) -> Made:
    """Return a file as the lock has it. Raises ``UsageError`` where it is not below the root, with the command."""
    name = below(root, path)
    return Made(path=name, sha256=_digest(Path(path)), bytes=Path(path).stat().st_size)


def below(root: Path, path: str) -> str:
    """Return a path as a manifest has it: below the root, with ``/``, links followed."""
    full, base = os.path.realpath(path), os.path.realpath(root)
    inside = full.startswith(base.rstrip(os.sep) + os.sep)
    if not inside:
        raise UsageError(
            f"{one_line(path)} is not below {root}, and a manifest names nothing outside",
            hint=f"{_quoted('mv', path, str(root))}, then run the command again",
        )
    name = Path(os.path.relpath(full, base)).as_posix()
    if why := next(filter(None, map(naming.fault, name.split("/"))), None):
        raise UsageError(f"{one_line(name)}: {why}", hint="give it another name, then run the command again")
    return name


def _quoted(*words: str) -> str:
    import shlex

    return one_line(shlex.join(words[:-1]) + " " + shlex.quote(words[-1].rstrip("/") + "/"), 1000)


def table_of(root: Path, name: str, found: Found) -> dict[str, Any]:
    """Return the asset's row without ``output``: the request as it was sent.

    Raises ``UsageError`` where a manifest cannot state it: a prompt that was not stored, a file outside the root.
    """
    job = found.task.job
    texts = [job.prompt, job.negative or "", *(value for value in job.params.values() if isinstance(value, str))]
    if any(map(_HIDDEN.fullmatch, texts)):
        raise UsageError(
            "the prompt is not stored ([privacy] store_prompts = false)",
            hint="write the asset into the manifest, then wan render MANIFEST --accept ID",
        )
    said: dict[str, Any] = {"id": name, "verb": job.verb, "provider": found.task.provider, "model": job.model}
    said["prompt"] = job.prompt.replace("\r\n", "\n").replace("\r", "\n").strip()
    if images := [_reference(root, medium) for medium in job.media if medium.role in ("reference", "edit_source")]:
        said["images"] = images
    for medium in job.media:
        if medium.role in FIELD_OF:
            said[FIELD_OF[medium.role]] = _reference(root, medium)
    said |= {field: value for field in PLAIN if (value := getattr(job, field)) is not None}
    if job.params:
        said["param"] = dict(job.params)
    if (count := _count(job, found)) > 1:
        said["count"] = count
    flags = ("convert", "sidecar", "poster", "embed")
    said |= {field: True for field in flags if getattr(found.task.target, field)}
    if any(medium.file and medium.file.original for medium in job.media):
        said["shrink_references"] = True
    return said


def _count(job: Job, found: Found) -> int:
    return job.n if found.whole else 1


def _reference(root: Path, medium: Media) -> str:
    """Return a medium as a manifest names it. Raises ``UsageError`` for one outside the root."""
    if medium.file is None:
        return str(medium.url)
    source = medium.file.original or medium.file
    if not Path(source.path).is_file():
        raise UsageError(f"{one_line(source.path)}, which it was made from, is not there any more", hint="put it back")
    return below(root, source.path)


def changed_inputs(root: Path, job: Job, inputs: Mapping[str, str]) -> list[str]:
    """Return the references whose content today is not what the job was given."""
    files = [medium.file.original or medium.file for medium in job.media if medium.file]
    given = {below(root, file.path): file.sha256 for file in files}
    return [name for name, digest in given.items() if inputs.get(name, digest) != digest]


def output_for(
    manifest: Manifest, name: str, fields: Mapping[str, Any], made: Sequence[Made], default: str | None
) -> dict[str, Any]:  # fmt: skip
    """Return ``fields`` with the output that leads to the files: the ``default`` where it does, else a path.

    Raises ``UsageError`` for several files whose names have no pattern that a template can say.
    """
    wanted = [made_file.path for made_file in made]
    first = wanted[0].replace("{", "{{").replace("}", "}}")
    several = [_numbered(first, match) for match in reversed(list(_NUMBER.finditer(first))) if int(match[0]) == 1]
    plain = re.sub(r"-1(\.\w+)$", r"\1", first)
    for output in filter(None, (default or "{id}{ext}", first, plain, *several)):
        said = {**fields, "output": output}
        if _places(manifest, name, said, wanted) == wanted:
            return said
    raise UsageError(
        f"no output can name {', '.join(map(one_line, wanted[:3]))} together", hint="keep them one by one, as files"
    )


def _numbered(first: str, match: re.Match[str]) -> str:
    digits = len(match[0])
    field = "{index}" if digits == 1 else f"{{index:0{digits}}}"
    return f"{first[: match.start()]}{field}{first[match.end() :]}"


def _places(manifest: Manifest, name: str, fields: Mapping[str, Any], paths: Sequence[str]) -> list[str] | None:
    """Return where an asset's files would go, below the root; ``None`` where its output cannot say."""
    asset = Asset(id=name, verb=fields["verb"], fields={**fields, "count": len(paths)})
    try:
        return Places(manifest).expected(asset, paths)
    except UsageError:
        return None


def without_defaults(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row without what ``[defaults]`` says alike, and with what they would change said against them."""
    kept = {field: value for field, value in fields.items() if defaults.get(field) != value}
    if fields["verb"] == "generate" and "verb" not in defaults:
        kept.pop("verb", None)
    if "count" in defaults and "count" not in fields:
        kept["count"] = 1
    return kept


def added_by_defaults(fields: Mapping[str, Any], asset: Asset) -> list[str]:
    """Return what ``[defaults]`` adds to a request (``fields``) that was made without it."""
    own = {*WHERE, "count", "prompt"}
    more = [name for name in {**asset.fields, **asset.references} if name not in fields and name not in own]
    if "param" in fields and asset.fields["param"] != fields["param"]:
        more.append("param")
    return more


def resting(found: Found, made: Sequence[Made]) -> bool:
    """Tell whether the files are those that were delivered."""
    states = [task.state for task in (found.task, *found.siblings)]
    delivered = {file.sha256 for state in states if isinstance(state, Saved) for file in state.files}
    return all(one.sha256 in delivered for one in made)


def with_path(manifest: Manifest, path: Path) -> Manifest:
    """Return the manifest as that of another file."""
    return replace(manifest, path=path)
