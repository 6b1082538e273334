"""Results that go to an object store: made on this machine as any other, put there whole, and only then removed here.

Where a result waits is ``STATE/staged/TASK/``, and the ledger has that path until the store has said that the object is
there. So whatever ends in between is made good by the next ``wan wait`` or run of the same command: the staged file is
put again, under the same name, where the same content counts as put. Nothing is fetched or bought for it.
"""

from __future__ import annotations

import io
import itertools
import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.dataclass import replace
from wan_cli.engine.sidecar import sidecar_path, write_sidecar
from wan_cli.errors import WanError, WriteFailed
from wan_cli.intake import digest_of, open_regular
from wan_cli.media import film, mime_of_extension
from wan_cli.models import File, Target, Task, TaskChanged
from wan_cli.stores import Address, StoreFault, is_address
from wan_cli.stores.places import address_of, local_template

if TYPE_CHECKING:
    from wan_cli.engine.loop import Engine
    from wan_cli.media import Sniffed
    from wan_cli.publish import Part

_NAME_TRIES = 100
_PIECE = 1 << 20
_SIDECAR_BYTES = 1 << 20


def folder(engine: Engine, task: Task) -> Path:
    """Return where the results of a task wait for a store."""
    return engine.scratch.with_name("staged") / task.id


def template_here(engine: Engine, task: Task) -> str:
    """Return the template of the task's files on this machine: the target's own, but for one in a store."""
    template = task.target.template or ""
    return local_template(template, folder(engine, task)) if is_address(template) else template


def in_store(task: Task) -> bool:
    """Tell whether the task's results go to a store."""
    return is_address(task.target.template)


def waiting(engine: Engine, task: Task, file: File | None) -> Path | None:
    """Return where a result waits for a store, whole, that is not to be put as it is; else ``None``.

    It goes to this machine now, or is to be converted.
    """
    if file is None or file.path is None or is_address(file.path):
        return None
    wanted = mime_of_extension(task.target.template or "") if task.target.convert else None
    if in_store(task) and (not wanted or wanted == file.mime):
        return None
    path = Path(file.path)
    return path if path.is_relative_to(folder(engine, task)) and digest_of(path) == file.sha256 else None


def taken_over(path: Path, part: Part) -> Sniffed:
    """Copy a result that waits into a part, and check it as one that was fetched. Raises ``WanError``."""
    try:
        with open_regular(path) as source:
            while piece := source.read(_PIECE):
                part.write(piece)
    except OSError as error:
        raise WriteFailed(f"{path} cannot be read: {error.strerror}") from error
    return part.check()


def tidied(engine: Engine, task: Task) -> None:
    """Remove what waited: all of it is where it belongs now."""
    shutil.rmtree(folder(engine, task), ignore_errors=True)


async def put_away(engine: Engine, task: Task, public: Task, file: File, wanted: Path) -> tuple[File, list[str]]:
    """Put a staged result, and what stands beside it, into the store; return it as it is there, and what to say.

    ``wanted`` is the staged name that its address is made from. Raises ``WriteFailed``, which names where it waits.
    """
    from wan_cli.stores.objects import put, require

    staged, address, notes = Path(file.path or ""), address_of(wanted, folder(engine, task)), list[str]()
    engine.tell(TaskChanged(task=task, note=f"putting {address.name} into {address.scheme}://{address.bucket}"))
    try:
        require(str(address))
        real = await _put_free(address, staged, file, task.target)
        if real != address:
            notes.append(f"{address.name} was taken meanwhile, so the result is {real.name}")
        if task.target.sidecar:
            notes += await _sidecar(public, file, staged.with_name(real.name), real)
        if file.poster and (poster := Path(file.poster)).exists():
            beside = real.beside(film.poster_path(Path(real.name)).name)
            try:
                digest = digest_of(poster) or ""
                await put(beside, poster, sha256=digest, mime="image/jpeg", overwrite=task.target.overwrite)
            except StoreFault as fault:
                if fault.kind != "taken":
                    raise
                notes.append(f"{beside.name} exists and was left as it is, so the video has no poster")
                file = replace(file, poster=None)
            else:
                file = replace(file, poster=str(beside))
    except (StoreFault, OSError, WanError) as error:
        why = getattr(error, "why", None) or getattr(error, "strerror", None) or str(error)
        hint = getattr(error, "hint", "")
        more = f" ({hint})" if hint else ""
        raise WriteFailed(f"{address} could not be written: {why}{more}; the result waits in {staged}") from error
    return replace(file, path=str(real)), notes


async def _put_free(address: Address, staged: Path, file: File, target: Target) -> Address:
    """Put a file where it belongs, or under the first free name (``NAME-2``, ...) where that was taken meanwhile."""
    from wan_cli.stores.objects import put

    for one in itertools.islice(_candidates(address), _NAME_TRIES):
        overwrite = one == address and await _may_replace(one, target)
        try:
            await put(one, staged, sha256=file.sha256, mime=file.mime, overwrite=overwrite)
        except StoreFault as fault:
            if fault.kind != "taken":
                raise
        else:
            return one
    raise StoreFault("failed", "every name for it is taken")


def _candidates(address: Address) -> Iterator[Address]:
    yield address
    stem, suffix = Path(address.name).stem, Path(address.name).suffix
    for number in itertools.count(2):
        yield address.beside(f"{stem}-{number}{suffix}")


async def _may_replace(address: Address, target: Target) -> bool:
    """Tell whether what is there may go: one that was changed while its successor was made stays."""
    from wan_cli.stores.objects import asked, digest

    if target.replaces is None or not target.overwrite:
        return target.overwrite
    return await asked(partial(digest, address)) in target.replaces


async def _sidecar(public: Task, file: File, here: Path, real: Address) -> list[str]:
    """Put how it was made beside it; an older sidecar is replaced, what is none is left."""
    from wan_cli.stores.objects import asked, put

    write_sidecar(public, replace(file, path=str(here)), here)
    said, beside = sidecar_path(here), real.beside(f"{real.name}.json")
    overwrite = public.target.overwrite and public.target.replaces is None
    overwrite = overwrite or await asked(partial(is_sidecar, beside))
    try:
        digest = digest_of(said) or ""
        await put(beside, said, sha256=digest, mime="application/json", overwrite=overwrite)
    except StoreFault as fault:
        if fault.kind != "taken":
            raise
        return [f"{beside.name} is no sidecar and was left as it is, so the file has none"]
    return []


def is_sidecar(address: Address) -> bool:
    """Tell whether an object is a sidecar of ours. Raises ``StoreFault``."""
    from wan_cli.stores.objects import fetch, look

    if (found := look(address)) is None or found.size > _SIDECAR_BYTES:
        return False
    out = io.BytesIO()
    fetch(address, out, _SIDECAR_BYTES)
    try:
        said = json.loads(out.getvalue())
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and "wan" in said
