"""Request bodies read from files while they are sent.

A 20 MB picture as a data URI in a JSON body costs 129 MB of memory when it is built as text, and 3 MB when it is
encoded piece by piece (performance.md, section 3). The length is known beforehand, and the content is held against
the sha256 of the check before its last piece leaves, so a file that changed meanwhile is never sent whole.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING

import httpx

from wan_cli.errors import FileInvalid
from wan_cli.media.local import regular

if TYPE_CHECKING:
    from wan_cli.models import LocalFile
    from wan_cli.providers.base import Embedded, Form

PIECE = 48 * 1024
"""Bytes of a file that are encoded at a time: a multiple of three, so that Base64 needs no padding inside."""


class Pieces(httpx.AsyncByteStream):
    """A body of text and files in order; it can be iterated again for a retry."""

    def __init__(self, parts: Sequence[bytes | Encoded | LocalFile]) -> None:
        self.parts = parts

    @property
    def length(self) -> int:
        """Bytes of the whole body."""
        return sum(len(part) if isinstance(part, bytes) else _length(part) for part in self.parts)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body. Raises ``FileInvalid`` before the last piece of a file that changed."""
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
            elif isinstance(part, Encoded):
                yield part.head
                for piece in _read(part.file):
                    yield base64.b64encode(piece)
            else:
                yield from _read(part)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body; local files are read fast enough not to need a thread."""
        for piece in self:
            yield piece


class Encoded:
    """A file as Base64, after ``head`` (``data:MIME;base64,`` or nothing)."""

    def __init__(self, embedded: Embedded) -> None:
        self.file = embedded.file
        self.head = b"" if embedded.raw else f"data:{embedded.file.mime};base64,".encode()


def _length(part: Encoded | LocalFile) -> int:
    if isinstance(part, Encoded):
        return len(part.head) + (part.file.size + 2) // 3 * 4
    return part.size


def _read(file: LocalFile) -> Iterator[bytes]:
    digest, held, left = hashlib.sha256(), b"", file.size
    try:
        with regular(file.path) as source:  # by now it may be a pipe, which would block for ever (I14)
            while left and (piece := _fill(source.read, min(PIECE, left))):
                digest.update(piece)
                left -= len(piece)
                if held:
                    yield held
                held = piece
            grown = source.read(1)
    except OSError as error:
        raise FileInvalid(f"{file.path} cannot be read any more: {error.strerror}") from error
    if left or grown or digest.hexdigest() != file.sha256:
        raise FileInvalid(f"{file.path} changed after it was checked", hint="run the command again")
    if held:
        yield held


def _fill(read: object, size: int) -> bytes:
    """Read until ``size`` bytes are there or the file ends: a short piece would break the Base64."""
    piece = b""
    while len(piece) < size and (more := read(size - len(piece))):  # type: ignore[operator]
        piece += more
    return piece


def json_pieces(content: bytes, embedded: Sequence[Embedded]) -> Pieces:
    """Cut a JSON body at its placeholders.

    Raises ``FileInvalid`` where a text of the user's reads like one of them: it would be sent as the picture.
    """
    parts: list[bytes | Encoded | LocalFile] = [content]
    for item in embedded:
        expected = sum(item.placeholder == other.placeholder for other in embedded)
        if content.count(f'"{item.placeholder}"'.encode()) != expected:
            said = f"the prompt contains the mark that stands for {item.file.name}"
            raise FileInvalid(said, hint="reword the prompt")
    for item in embedded:
        mark = json.dumps(item.placeholder).encode()[1:-1]
        cut: list[bytes | Encoded | LocalFile] = []
        for part in parts:
            if not isinstance(part, bytes):
                cut.append(part)
                continue
            texts = part.split(b'"' + mark + b'"')
            for text in texts[:-1]:
                cut += [text + b'"', Encoded(item), b'"']
            cut.append(texts[-1])
        parts = cut
    return Pieces(parts)


def form_pieces(form: Form, boundary: str) -> Pieces:
    """Lay out a multipart body (RFC 7578); names are quoted as browsers do."""
    parts: list[bytes | Encoded | LocalFile] = []
    for name, value in form.fields.items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for name, file in form.files:
        shown = file.name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        parts += [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{shown}"\r\n'
            f"Content-Type: {file.mime}\r\n\r\n".encode("utf-8", "replace"),  # a name may be any bytes
            file,
            b"\r\n",
        ]
    parts.append(f"--{boundary}--\r\n".encode())
    return Pieces(parts)


def sendable(request: httpx.Request) -> httpx.Request:
    """Return the request as it goes over the wire: placeholders and forms turned into streams."""
    embedded, form = request.extensions.get("embedded", ()), request.extensions.get("form")
    if not embedded and form is None:
        return request
    headers = httpx.Headers({k: v for k, v in request.headers.items() if k.lower() != "content-length"})
    if form is not None:
        boundary = secrets.token_hex(16)
        headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
        pieces = form_pieces(form, boundary)
    else:
        pieces = json_pieces(request.content, embedded)
    headers["Content-Length"] = str(pieces.length)
    return httpx.Request(request.method, request.url, headers=headers, stream=pieces)
