"""What a user should know of a picture before a provider sees it. Nothing here refuses a file.

Source: reliability.md I10, I11 and S25: a picture goes as it is, byte for byte, so what it brings along is said aloud.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

from wan_cli.media.formats import JPEG_SOF, JPEG_SOS, jpeg_segments, png_chunks, webp_chunks

_EXIF_MOST = 64 * 1024
"""Bytes of EXIF that are read: what one JPEG segment can hold."""
_APP1 = 0xE1
_CMYK_COMPONENTS = 4
_DEEP = 8
_PALETTE = 3
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _GPS = 0x0112, 0x8825
_PLACES = frozenset({2, 4})
"""GPSLatitude and GPSLongitude: cameras write a GPS part without a place as well (Exif 2.32, 4.6.6)."""
_UPRIGHT = 1


def notices(file: IO[bytes], mime: str) -> tuple[str, ...]:
    """Return what is to be said of an open picture, each beginning with a verb; nothing of one that is damaged."""
    readers = {"image/png": _png, "image/jpeg": _jpeg, "image/webp": _webp}
    reader = readers.get(mime)
    found: dict[str, None] = {}
    try:
        for notice in reader(file) if reader else ():
            found.setdefault(notice)
    except (EOFError, ValueError, struct.error):
        pass  # whether it is whole is check_structure's question
    return tuple(found)


def _png(file: IO[bytes]) -> Iterator[str]:
    palette = False
    for kind, length in png_chunks(file):
        if kind == b"IHDR":
            depth, colour = struct.unpack("8xBB", file.read(10))
            palette = colour == _PALETTE
            if depth > _DEEP:
                yield _deep(depth)
        elif kind == b"tRNS" and palette:
            yield "has a palette with transparency, which a provider may put on black or white"
        elif kind == b"eXIf":
            yield from _exif(file.read(min(length, _EXIF_MOST)))
        elif kind == b"IEND":
            return


def _jpeg(file: IO[bytes]) -> Iterator[str]:
    for marker in jpeg_segments(file):
        if marker == _APP1:
            data = file.read(_EXIF_MOST)
            if data.startswith(b"Exif\0\0"):
                yield from _exif(data)
        elif marker in JPEG_SOF:
            depth, components = struct.unpack("B4xB", file.read(6))
            if components == _CMYK_COMPONENTS:
                yield "is CMYK, so its colours may shift"
            if depth > _DEEP:
                yield _deep(depth)
        elif marker == JPEG_SOS:
            return


def _webp(file: IO[bytes]) -> Iterator[str]:
    for kind in webp_chunks(file):
        if kind == b"EXIF":
            yield from _exif(file.read(_EXIF_MOST))


def _deep(bits: int) -> str:
    return f"has {bits} bits a channel, of which a provider may use 8"


def _exif(data: bytes) -> Iterator[str]:
    """Read orientation and place out of EXIF, which is a TIFF (Exif 2.32, 4.5)."""
    data = data.removeprefix(b"Exif\0\0")
    order = _BYTE_ORDERS.get(data[:4])
    if order is None:
        return
    tags = dict(_tags(data, order, data[4:8]))
    turned = tags.get(_ORIENTATION, b"\0\0\0\0")
    (orientation,) = struct.unpack_from(f"{order}H", turned)
    if _UPRIGHT < orientation <= 8:  # noqa: PLR2004 - the eight ways a camera can be held
        yield f"is stored turned or mirrored (EXIF orientation {orientation}), which a provider may ignore"
    if _GPS in tags and _PLACES & {tag for tag, _ in _tags(data, order, tags[_GPS])}:
        yield "says where it was taken (GPS), and is sent as it is"


def _tags(data: bytes, order: str, pointer: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and value field of each entry of the directory that the four bytes of ``pointer`` lead to."""
    try:
        (start,) = struct.unpack(f"{order}I", pointer)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for entry in range(count):
            tag, value = struct.unpack_from(f"{order}H6x4s", data, start + 2 + 12 * entry)
            yield tag, value
    except struct.error:
        return
