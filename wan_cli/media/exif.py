"""The texts of EXIF that programs keep a prompt in. EXIF is a TIFF (Exif 2.32, 4.5)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from wan_cli.media.metadata import EXIF_MARK

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_DESCRIPTION, _MAKE, _MODEL, _EXIF, _COMMENT = 0x010E, 0x010F, 0x0110, 0x8769, 0x9286
_TEXTS = (_DESCRIPTION, _MAKE, _MODEL)
_INLINE = 4
MOST_TAGS = 1_000


def exif_texts(data: bytes) -> tuple[str, list[str]]:
    """Return the user's comment, and the texts of make, model and description; nothing of what is damaged."""
    data = data.removeprefix(EXIF_MARK)
    order = _ORDERS.get(data[:4])
    if order is None:
        return "", []
    comment, texts = "", []
    try:
        for tag, value in _tags(data, order, *struct.unpack_from(f"{order}I", data, 4)):
            if tag in _TEXTS:
                texts.append(value.rstrip(b"\0").decode("utf-8", "replace"))
            elif tag == _EXIF:
                for inner, said in _tags(data, order, *struct.unpack(f"{order}I", value[:4])):
                    comment = _comment(said, order) if inner == _COMMENT else comment
    except struct.error:
        pass
    return comment, texts


def _tags(data: bytes, order: str, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each entry of a directory; what is longer than four bytes stands elsewhere."""
    (count,) = struct.unpack_from(f"{order}H", data, start)
    for entry in range(min(count, MOST_TAGS)):
        tag, kind, items, value = struct.unpack_from(f"{order}HHI4s", data, start + 2 + 12 * entry)
        if kind not in (1, 2, 4, 7) or tag not in (*_TEXTS, _EXIF, _COMMENT):  # bytes, text, number, bytes
            continue
        if kind != 4 and items > _INLINE:  # noqa: PLR2004 - the kind of a number
            (at,) = struct.unpack(f"{order}I", value)
            value = data[at : at + items]
        yield tag, value


def _comment(value: bytes, order: str) -> str:
    """Decode a user's comment: eight bytes say how it is written; UNICODE is UTF-16, in whichever order."""
    code, text = value[:8], value[8:]
    if not code.startswith(b"UNICODE"):
        return text.rstrip(b"\0").decode("utf-8", "replace")
    zeros = text[::2].count(0), text[1::2].count(0)  # of Latin text every other byte is 0
    big = zeros[0] > zeros[1] if zeros[0] != zeros[1] else order == ">"
    return text.decode("utf-16-be" if big else "utf-16-le", "replace").rstrip("\0")
