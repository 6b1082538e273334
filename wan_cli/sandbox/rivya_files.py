"""Rivya's Files API: uploads, told by their content, and the tokens that video and audio references need.

Source: `contracts.md` 1.5, cited as [1.5]. The JSON of a file is documented only in part: an id, `url`, metadata and,
for video and audio, `duration_token`.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from wan_cli.sandbox import multipart
from wan_cli.sandbox.references import file_url
from wan_cli.sandbox.rivya_envelope import NAME, Strict, iso, refuse, refuse_input
from wan_cli.sandbox.world import StoredFile

if TYPE_CHECKING:
    import httpx

    from wan_cli.sandbox.world import World

VIDEO = "wan-2-7-video"
_LIMITS = {"image": 10 << 20, "video": 50 << 20, "audio": 10 << 20}  # bytes, without a model [1.5]; MB read as MiB
_WAN_LIMIT = 20 << 20  # bytes of a picture for a wan-2-7-image model [1.5, S]
_SIGNATURES = {  # by kind, then MIME subtype [1.5]; the first match wins
    "image": {"jpeg": rb"\xff\xd8\xff", "png": rb"\x89PNG\r\n\x1a\n", "webp": rb"RIFF.{4}WEBP"},
    "video": {"quicktime": rb".{4}ftypqt  ", "mp4": rb".{4}ftyp", "webm": rb"\x1a\x45\xdf\xa3"},
    "audio": {"mp4": rb".{4}ftyp", "wav": rb"RIFF.{4}WAVE", "aac": rb"\xff[\xf0\xf1\xf8\xf9]", "ogg": rb"OggS"}
    | {"mpeg": rb"ID3|\xff[\xe0-\xff]"},
}


class _Upload(Strict):
    kind: Literal["image", "video", "audio"]
    model: Literal["wan-2-7-image", "wan-2-7-image-pro", "wan-2-7-video"] | None = None
    client_request_id: str = Field(default="", max_length=128)


def upload(request: httpx.Request, world: World) -> dict[str, Any]:
    """Answer POST /api/v1/files."""
    fields = _form(request)
    name, data = fields.pop("file", ("", b""))
    if not name:
        refuse_input("file: a file part with a filename is required")
    form = _Upload.checked({field: value.decode(errors="replace") for field, (_, value) in fields.items()})
    if form.model not in (None, VIDEO) and form.kind != "image":
        refuse_input(f"kind: {form.model} takes images only")
    # The limits of wan-2-7-video are not documented; the general ones are.
    limit = _LIMITS[form.kind] if form.model in (None, VIDEO) else _WAN_LIMIT
    if len(data) > limit:
        refuse_input(f"file: {len(data)} bytes, at most {limit} are taken")
    types = _SIGNATURES[form.kind].items()
    subtype = next((subtype for subtype, start in types if re.match(start, data, re.DOTALL)), None)
    if subtype is None:
        refuse_input(f"file: its content is not a supported {form.kind}")
    shown = {"kind": form.kind, "mime": f"{form.kind}/{subtype}", "name": name, "size": len(data)}
    ours = {"id": f"file_{secrets.token_hex(12)}", "provider": NAME, "created": world.clock()}
    file = StoredFile.model_validate({**ours, **shown, "sha256": world.keep(data)})
    world.add_file(file)
    return _file(file, world)


def _form(request: httpx.Request) -> dict[str, tuple[str, bytes]]:
    """Return the filename (or "") and the content of each part, by field."""
    try:
        parts = multipart.parts(request)
    except multipart.MalformedError as error:
        refuse_input(str(error))
    fields: dict[str, tuple[str, bytes]] = {}
    for part in parts:
        if part.name in fields:
            refuse_input(f"{part.name}: given twice")
        fields[part.name] = (part.filename, part.data)
    return fields


def _file(file: StoredFile, world: World) -> dict[str, Any]:
    """Return PublicApiFile: an id, `url`, metadata and duration_token are documented, the exact JSON is not [1.5]."""
    shown: dict[str, Any] = {"id": file.id, "url": file_url(file, world), "kind": file.kind, "mime_type": file.mime}
    shown |= {"size": file.size, "name": file.name, "created_at": iso(file.created)}
    return shown if file.kind == "image" else shown | {"duration_token": duration_token(file)}


def status(_: httpx.Request, world: World, file_id: str) -> dict[str, Any]:
    """Answer GET /api/v1/files/{fileId}."""
    file = world.file(file_id)
    if file is None or file.provider != NAME:
        refuse(404, "not_found", "no such file")
    return _file(file, world)


def duration_token(file: StoredFile) -> str:
    """Return what proves how long an uploaded video or audio file is."""
    return f"dur_{file.sha256[:32]}"
