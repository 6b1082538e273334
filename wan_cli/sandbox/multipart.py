"""A strict reader of multipart/form-data (RFC 7578), for the contracts that take uploads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import httpx

_TYPE = re.compile(r'multipart/form-data;.*\bboundary="?([^";]+)"?', re.IGNORECASE)
_TOLD = re.compile(r'[; ](name|filename)="([^"]*)"')


class MalformedError(Exception):
    """The body is no multipart form; `args` is what is wrong, beginning with the place."""


class Part(NamedTuple):
    """One part of a form: the field, the filename ("" for a plain field), and the content."""

    name: str
    filename: str
    data: bytes

    @property
    def text(self) -> str:
        """The content as text; what is not UTF-8 becomes replacement characters."""
        return self.data.decode(errors="replace")


def parts(request: httpx.Request) -> list[Part]:
    """Return the parts of a request whose body has been read, in order. Raises MalformedError."""
    boundary = _TYPE.fullmatch(request.headers.get("content-type", ""))
    if boundary is None:
        message = "Content-Type: multipart/form-data with a boundary is required"
        raise MalformedError(message)
    _, *pieces = (b"\r\n" + request.content).split(f"\r\n--{boundary[1]}".encode())
    if not pieces or not pieces[-1].startswith(b"--"):
        message = "body: the multipart body does not end"
        raise MalformedError(message)
    return [_part(piece) for piece in pieces[:-1]]


def _part(piece: bytes) -> Part:
    head, _, data = piece.partition(b"\r\n\r\n")
    told = {"name": "", "filename": ""}
    told |= dict(_TOLD.findall(head.decode(errors="replace")))
    return Part(told["name"], told["filename"], data)
