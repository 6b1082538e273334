"""ToAPIs' uploads: POST /v1/uploads/images and /v1/uploads/videos, multipart (`contracts.md` 4.4)."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

from wan_cli.sandbox import multipart
from wan_cli.sandbox.references import file_url
from wan_cli.sandbox.toapis_envelope import NAME, refuse_upload
from wan_cli.sandbox.world import StoredFile

if TYPE_CHECKING:
    import httpx

    from wan_cli.sandbox.world import World

_LIMITS = {"image": 10 << 20, "video": 50 << 20}  # bytes; MB read as MiB
_PURPOSE = 64  # characters; only "generation" is documented
_SIGNATURES = {  # by kind, then MIME subtype; the first match wins
    "image": {"jpeg": rb"\xff\xd8\xff", "png": rb"\x89PNG\r\n\x1a\n", "webp": rb"RIFF.{4}WEBP", "gif": rb"GIF8[79]a"},
    "video": {"quicktime": rb".{4}ftypqt  ", "mp4": rb".{4}ftyp", "webm": rb"\x1a\x45\xdf\xa3"},
}


def images(request: httpx.Request, world: World) -> dict[str, Any]:
    """Answer POST /v1/uploads/images: jpeg, png, webp or gif, at most 10 MB."""
    return _upload(request, world, "image")


def videos(request: httpx.Request, world: World) -> dict[str, Any]:
    """Answer POST /v1/uploads/videos: mp4, webm or mov, at most 50 MB."""
    return _upload(request, world, "video")


def _upload(request: httpx.Request, world: World, kind: str) -> dict[str, Any]:
    name, data = _file(request)
    if len(data) > _LIMITS[kind]:
        refuse_upload(f"file: {len(data)} bytes, at most {_LIMITS[kind]} are taken")
    types = _SIGNATURES[kind].items()
    subtype = next((subtype for subtype, start in types if re.match(start, data, re.DOTALL)), None)
    if subtype is None:
        refuse_upload(f"file: its content is not a supported {kind}")
    mime, known = f"{kind}/{subtype}", {"provider": NAME, "created": world.clock(), "kind": kind, "name": name}
    file = StoredFile.model_validate(
        {"id": f"file_{secrets.token_hex(12)}", "mime": mime, "size": len(data), "sha256": world.keep(data), **known}
    )
    world.add_file(file)
    shown = {"id": file.id, "url": file_url(file, world), "mime_type": mime, "size": file.size}
    return {"success": True, "message": "", "data": shown}


def _file(request: httpx.Request) -> tuple[str, bytes]:
    """Return the filename and the content of the one `file` of a form that may also say its `purpose`."""
    try:
        parts = multipart.parts(request)
    except multipart.MalformedError as error:
        refuse_upload(str(error))
    files = [part for part in parts if part.name == "file" and part.filename]
    if len(files) != 1:
        refuse_upload("file: one file part with a filename is required")
    for part in parts:
        if part.name not in {"file", "purpose"} or (part.name == "purpose" and not 1 <= len(part.text) <= _PURPOSE):
            refuse_upload(f"{part.name}: not a field of this form")
    return files[0].filename, files[0].data
