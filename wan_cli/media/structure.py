"""Sides and wholeness of a file of any known format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from wan_cli.dataclass import replace
from wan_cli.media.formats import CHECKS, FACTS, Sniffed
from wan_cli.media.movie import movie_facts
from wan_cli.media.sniffing import UNKNOWN, sniff

_HEAD = 512
_MOVIES = frozenset({"video/mp4", "video/quicktime"})


def inspect(source: str | os.PathLike[str] | IO[bytes]) -> Sniffed:
    """Return what a file (or its open, seekable stream) is, reading its headers only. Raises ``OSError``."""
    if isinstance(source, (str, os.PathLike)):
        with Path(source).open("rb") as file:
            return inspect(file)
    source.seek(0)
    mime = sniff(source.read(_HEAD)) or UNKNOWN
    if mime in _MOVIES:
        return replace(movie_facts(source), mime=mime)
    facts = FACTS.get(mime)
    if facts is None:
        return Sniffed(mime)
    try:
        return facts(source)
    except (EOFError, ValueError):
        return Sniffed(mime)


def check_structure(file: IO[bytes], mime: str, size: int) -> str | None:
    """Return why a file of ``size`` bytes is not whole, or ``None``.

    Formats without a check of their own pass. Bytes after a picture's end are accepted (reliability.md D17).
    """
    if size == 0:
        return "it is empty"
    check = CHECKS.get(mime)
    if check is None:
        return None
    try:
        return check(file, size)
    except EOFError:
        return f"it is cut off: {size:,} bytes are not all of it"
    except ValueError as error:
        return f"it is damaged: {error}"


def decode_b64(text: str) -> tuple[bytes, str | None]:
    """Return the bytes of base64 and the mime of its ``data:`` prefix, if it has one (reliability.md R14).

    Blanks, missing padding and the url-safe alphabet are accepted. Raises ``ValueError`` for anything else.
    """
    import base64

    mime = None
    body = text.strip(" \t\r\n\f\v")
    if body[:5].lower() == "data:":
        prefix, comma, body = body[5:].partition(",")
        mime, *parameters = prefix.split(";")
        if not comma or "base64" not in parameters:
            msg = "the data: address is not base64"
            raise ValueError(msg)
    body = body.translate({ord(char): None for char in " \t\r\n\f\v"} | {ord("-"): "+", ord("_"): "/"})
    bare = body.rstrip("=")
    missing = -len(bare) % 4
    if missing == 3 or len(body) - len(bare) > missing:  # noqa: PLR2004 - one character over is half a byte
        msg = "base64 of an impossible length"
        raise ValueError(msg)
    return base64.b64decode(bare + "=" * missing, validate=True), mime or None
