"""What made a file: the ledger, a project's lock, a sidecar, or what the file itself says, in this order.

The ledger and the lock are the user's own and the project's. A sidecar and what is inside a file may be anybody's:
they name no provider's address and no path, and whoever reads them says where it was from.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_cli.cli.prompt import asset_path
from wan_cli.cli.provenance.locks import locked
from wan_cli.dataclass import dataclass, field, replace
from wan_cli.errors import FileInvalid, StateUnusable
from wan_cli.imprint import task_of
from wan_cli.intake import open_regular, read_regular
from wan_cli.media import Sniffed, foreign, inspect, xmp
from wan_cli.media.exif import exif_texts
from wan_cli.media.labels import KEYWORD
from wan_cli.media.metadata import Metadata, read_metadata
from wan_cli.models import File, Task
from wan_cli.stores import is_address
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App

SIDECAR_BYTES = 1024 * 1024
MOST_SAID = 65_536
"""Characters of a text of another program that are taken."""
OWN = ("ledger", "lock")
"""Sources that nobody but the user and the project writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One file and what is known of it. ``task`` is what made it, where that was ``wan``; ``said`` what others say.

    ``source`` names where that is from, ``where`` which lock or sidecar it was. ``program`` and ``kind`` are what a
    C2PA manifest or IPTC's properties claim; ``signed`` tells that there is a manifest, whose signature nobody checked.
    """

    name: str
    path: Path
    sha256: str
    size: int
    sniffed: Sniffed
    source: str = ""
    where: str = ""
    task: Task | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    signed: bool = False
    program: str | None = None
    kind: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def own(self) -> bool:
        """Whether the user or the project says it, and not just anybody's file."""
        return self.source in OWN


def look(app: App, name: str) -> Origin:
    """Return what is known of a file, here or in a store; its ``source`` is empty where that is nothing.

    Raises ``FileInvalid``.
    """
    path = Path(asset_path(app, name)) if is_address(name) else app.cwd / name
    try:
        with open_regular(path) as file:
            sniffed = inspect(file)
            metadata = read_metadata(file, sniffed.mime)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise FileInvalid(f"{one_line(name)} cannot be read: {one_line(str(why))}", hint="check the path") from error
    found = Origin(name=name, path=path, sha256=digest, size=size, sniffed=sniffed, notes=tuple(metadata.problems))
    return _claimed(_known(app, found, metadata), metadata)


def _known(app: App, found: Origin, metadata: Metadata) -> Origin:
    """Ask one source after the other; the first that knows the file decides."""
    notes = list(found.notes)
    for source, where, task in (*_ledgers(app, found, notes), *_beside(app, found, notes)):
        return replace(found, source=source, where=where, task=task, notes=tuple(notes))
    file = _file(found)
    for text in (metadata.texts.get(KEYWORD), xmp.values(metadata.xmp).get("imprint")):
        if text and (inside := task_of(_parsed(text), file)):
            return replace(found, source="embedded", task=inside, notes=tuple(notes))
    for source, said in _foreign(metadata):
        if said:
            kept = {name: value[:MOST_SAID] if isinstance(value, str) else value for name, value in said.items()}
            return replace(found, source=source, said=kept, notes=tuple(notes))
    if old := _sidecar(found, notes, changed=True):
        return replace(found, source="sidecar", where=f"{found.name}.json", task=old, notes=tuple(notes))
    return replace(found, notes=tuple(notes))


def _file(found: Origin) -> File:
    seen = found.sniffed
    return File(
        index=1, path=str(found.path), bytes=found.size, sha256=found.sha256, mime=seen.mime, width=seen.width,
        height=seen.height, duration_s=seen.duration_s,
    )  # fmt: skip


def _ledgers(app: App, found: Origin, notes: list[str]) -> Iterator[tuple[str, str, Task]]:
    """Ask the ledger, and then the sandbox's (or the real one); a ledger that is not there is not made for it."""
    from wan_cli.config import state_folder
    from wan_cli.ledger import Ledger

    for sandbox in (app.sandbox, not app.sandbox):
        try:
            top = state_folder(app.env)
            folder = top / "sandbox" if sandbox else top
            if not (folder / "ledger.db").exists():
                continue
            with Ledger.open(folder, store_prompts=app.config.store_prompts, clock=app.now) as ledger:
                task = ledger.find_file(found.sha256)
        except (StateUnusable, OSError) as error:
            notes.append(f"the ledger cannot be asked: {one_line(str(error))}")
            continue
        if task:
            yield "ledger", "", task


def _beside(app: App, found: Origin, notes: list[str]) -> Iterator[tuple[str, str, Task]]:
    """Ask the locks of the project, and the sidecar if it is about the file as it is."""
    if known := locked(app, found.path, _file(found), notes):
        yield "lock", known[1], known[0]
    if task := _sidecar(found, notes, changed=False):
        yield "sidecar", f"{found.name}.json", task


def _sidecar(found: Origin, notes: list[str], *, changed: bool) -> Task | None:
    """Read the JSON file beside it. ``changed``: also where it is about what the file was before."""
    path = found.path.with_name(f"{found.path.name}.json")
    try:
        said = _parsed(read_regular(path, SIDECAR_BYTES).decode("utf-8", "replace"))
    except (OSError, ValueError):
        return None
    if not isinstance(said, dict) or ("sha256" in said and not isinstance(said["sha256"], str)):
        return None
    same = said.get("sha256") == found.sha256
    if same == changed:
        return None
    task = task_of(said, _file(found))
    if task and changed:
        notes.append("the file has changed since its sidecar was written")
    return task


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _foreign(metadata: Metadata) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what other programs wrote into the file: ComfyUI's graph, and the text of A1111 and those who copied it."""
    comment, texts = exif_texts(metadata.exif)
    graphs = [metadata.texts.get("prompt", "")]
    graphs += [text[len("prompt:") :] for text in texts if text[:7].casefold() == "prompt:"]
    graphs += [comment] if comment.startswith("{") else []
    for graph in graphs:
        yield "comfyui", foreign.comfyui(graph) if graph else {}
    yield "a1111", foreign.a1111(metadata.texts.get("parameters", ""))
    yield "a1111", foreign.a1111(comment)


def _claimed(found: Origin, metadata: Metadata) -> Origin:
    """Add what a C2PA manifest and IPTC's properties claim; where nothing else is known, that is what is known."""
    said = xmp.values(metadata.xmp)
    program, kind = said.get("system"), (said.get("digital_source_type") or "").rpartition("/")[2] or None
    source = found.source or ("iptc" if program or kind else "")
    notes = found.notes
    if metadata.c2pa is not None:
        generator, claimed = foreign.c2pa(metadata.c2pa)
        program, kind = generator or program, claimed or kind
        source = found.source or "c2pa"
        notes = (*notes, "it carries a C2PA manifest; neither its signature nor its issuer was verified")
    short = [text if text is None else text[:MOST_SAID] for text in (program, kind)]
    if source == "iptc" and said.get("prompt"):
        found = replace(found, said={"prompt": said["prompt"][:MOST_SAID]})
    return replace(found, source=source, program=short[0], kind=short[1], signed=metadata.c2pa is not None, notes=notes)
