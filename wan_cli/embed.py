"""How a picture was made, written into it: on its way to disk, before it has its name (``--embed``)."""

from __future__ import annotations

from wan_cli import media
from wan_cli.media.labels import Label, Unlabelled, labelled
from wan_cli.publish import Part

_PIECE = 1 << 20
ROOM = 16 * 1024 * 1024
"""Bytes that a label may add to a result of the largest size."""


def embed(part: Part, label: Label) -> Part:
    """Copy a checked picture with the label in it into a new part beside it; its compressed data stay as they are.

    The old part is left as it is: after ``Unlabelled``, which says why the picture cannot carry one, it can still be
    published as it came. Raises ``WriteFailed``.
    """
    made = Part(part.target, cap=part.cap + ROOM, expected=part.expected, token=part.token)
    try:
        with part.reading() as file:
            before = media.inspect(file)
            for piece in labelled(file, part.size, before.mime, label):
                if isinstance(piece, bytes):
                    made.write(piece)
                    continue
                start, end = piece
                file.seek(start)
                while start < end and (data := file.read(min(end - start, _PIECE))):
                    made.write(data)
                    start += len(data)
        with made.reading() as file:
            fault = media.check_structure(file, before.mime, made.size)
            if fault or media.inspect(file) != before:
                raise Unlabelled(fault or "it would not be the same picture")
    except BaseException:
        made.discard()
        raise
    return made
