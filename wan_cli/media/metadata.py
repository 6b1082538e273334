"""What a picture or a video says of itself beside its pixels: texts, XMP, EXIF, and whether it is signed (C2PA).

Own readers, each part within a limit (reliability.md S12): a text that unpacks to gigabytes, a chunk that claims them
and a file that ends in the middle cost a few megabytes and say less; they never fail. Places: PNG (W3C) 11.3.3, XMP
part 3 (2020) for JPEG, PNG and WebP, C2PA 2.2, A.3 for the manifest store of each format.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO

from wan_cli.dataclass import dataclass, field
from wan_cli.media.formats import JPEG_SOS, MOST_PARTS, jpeg_segments, png_chunks, webp_chunks

MOST_TEXT = 4 * 1024 * 1024
"""Bytes of one text, unpacked: a large workflow of ComfyUI has a tenth of it."""
MOST_TEXTS = 64
MOST_EXIF = 1024 * 1024
MOST_MANIFEST = 2 * 1024 * 1024
"""Bytes of a C2PA manifest store that are looked at; its pictures of ingredients may be larger."""
MOST_TOGETHER = 32 * 1024 * 1024
"""Bytes of a file that are kept in memory at once."""

XMP_KEYWORD = "XML:com.adobe.xmp"
XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
EXIF_MARK = b"Exif\0\0"
_APP1, _APP11 = 0xE1, 0xEB
_C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_JUMBF_HEAD, _BOX_HEAD = 8, 8
"""Bytes of an APP11 segment before its box (ISO 19566-5, D.2), and of the box's header, which each segment repeats."""


@dataclass(slots=True)
class Metadata:
    """What was found. ``c2pa`` is the manifest store as far as it was read; ``None`` where there is none.

    ``texts`` are those of a PNG by keyword; ``problems`` say what was there and could not be read.
    """

    texts: dict[str, str] = field(default_factory=dict)
    xmp: bytes = b""
    exif: bytes = b""
    c2pa: bytearray | None = None
    problems: list[str] = field(default_factory=list)
    room: int = MOST_TOGETHER

    def take(self, file: IO[bytes], length: int, most: int, what: str) -> bytes | None:
        """Read a part of ``length`` bytes; ``None``, and a problem, where it is larger than ``most``."""
        if length > min(most, self.room):
            self.problem(f"{what} of {length:,} bytes is not read")
            return None
        data = file.read(length)
        self.room -= len(data)
        if len(data) < length:
            raise EOFError
        return data

    def problem(self, what: str) -> None:
        """Note something that could not be read, once."""
        if what not in self.problems and len(self.problems) < MOST_TEXTS:
            self.problems.append(what)

    def store(self, data: bytes) -> None:
        """Add a piece of the C2PA manifest store."""
        if self.c2pa is None:
            self.c2pa = bytearray()
        self.c2pa += data[: MOST_MANIFEST - len(self.c2pa)]


def read_metadata(file: IO[bytes], mime: str) -> Metadata:
    """Return what an open file of that kind says of itself. Raises ``OSError`` only."""
    found = Metadata()
    reader = _READERS.get(mime)
    try:
        if reader:
            reader(file, found)
    except (EOFError, ValueError, struct.error):
        found.problem("the file is cut off or damaged")
    return found


def png_text(kind: bytes, data: bytes) -> tuple[str, str]:
    """Return keyword and text of a ``tEXt``, ``zTXt`` or ``iTXt`` chunk. Raises ``ValueError``."""
    keyword, _, rest = data.partition(b"\0")
    packed, encoding = kind == b"zTXt", "latin-1"
    if packed:
        rest = rest[1:]
    elif kind == b"iTXt":
        packed, encoding = rest[:1] == b"\1", "utf-8"
        rest = rest[2:].split(b"\0", 2)[-1]
    if packed:
        rest = _unpacked(rest)
    return keyword.decode("latin-1"), rest.decode(encoding, "replace")


def _unpacked(data: bytes) -> bytes:
    """Unpack a text that may claim to be as long as it likes. Raises ``ValueError``."""
    try:
        found = zlib.decompressobj().decompress(data, MOST_TEXT + 1)
    except zlib.error as error:
        msg = "a packed text is damaged"
        raise ValueError(msg) from error
    if len(found) > MOST_TEXT:
        msg = f"a packed text is longer than {MOST_TEXT:,} bytes"
        raise ValueError(msg)
    return found


def _png(file: IO[bytes], found: Metadata) -> None:
    seen = 0
    for kind, length in png_chunks(file):
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            seen += 1
            if seen > MOST_TEXTS:
                found.problem(f"of the texts the first {MOST_TEXTS} are read")
            elif (data := found.take(file, length, MOST_TEXT, "a text")) is not None:
                _png_text(kind, data, found)
        elif kind == b"eXIf":
            found.exif = found.take(file, length, MOST_EXIF, "EXIF") or b""
        elif kind == b"caBX":
            found.store(file.read(min(length, MOST_MANIFEST)))
        elif kind == b"IEND":
            return


def _png_text(kind: bytes, data: bytes, found: Metadata) -> None:
    try:
        keyword, text = png_text(kind, data)
    except ValueError as error:
        found.problem(str(error))
        return
    if keyword == XMP_KEYWORD:
        found.xmp = found.xmp or text.encode()
    else:
        found.texts.setdefault(keyword, text)


def segment_length(file: IO[bytes]) -> int:
    """Return the bytes of the JPEG segment at whose data ``file`` stands. Raises ``EOFError`` or ``ValueError``."""
    file.seek(-2, os.SEEK_CUR)
    length = int.from_bytes(file.read(2), "big") - 2
    if length < 0:
        msg = "a segment is shorter than its header"
        raise ValueError(msg)
    return length


def _jpeg(file: IO[bytes], found: Metadata) -> None:
    for marker in jpeg_segments(file):
        if marker == JPEG_SOS:
            return
        if marker not in (_APP1, _APP11):
            continue
        data = file.read(segment_length(file))
        if marker == _APP11 and data.startswith(b"JP"):
            first = found.c2pa is None
            found.store(data[_JUMBF_HEAD:] if first else data[_JUMBF_HEAD + _BOX_HEAD :])
        elif data.startswith(XMP_MARK):
            found.xmp = found.xmp or data[len(XMP_MARK) :]
        elif data.startswith(EXIF_MARK):
            found.exif = found.exif or data


def _webp(file: IO[bytes], found: Metadata) -> None:
    for kind in webp_chunks(file):
        if kind not in (b"EXIF", b"XMP ", b"C2PA"):
            continue
        file.seek(-4, os.SEEK_CUR)
        length = int.from_bytes(file.read(4), "little")
        if kind == b"EXIF":
            found.exif = found.exif or found.take(file, length, MOST_EXIF, "EXIF") or b""
        elif kind == b"XMP ":
            found.xmp = found.xmp or found.take(file, length, MOST_TEXT, "XMP") or b""
        else:
            found.store(file.read(min(length, MOST_MANIFEST)))


def _movie(file: IO[bytes], found: Metadata) -> None:
    """Look for the ``uuid`` box of C2PA at the top of an ISO file (MP4, QuickTime, AVIF, HEIC)."""
    for length in _uuid_boxes(file):
        if file.read(len(_C2PA_UUID)) == _C2PA_UUID:
            found.store(file.read(max(0, min(length - len(_C2PA_UUID), MOST_MANIFEST))))


def _uuid_boxes(file: IO[bytes]) -> Iterator[int]:
    """Yield the content's length of each ``uuid`` box; the file then stands at its content."""
    size, at = file.seek(0, os.SEEK_END), 0
    for _ in range(MOST_PARTS):
        if at + 8 > size:
            return
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            length, head = int.from_bytes(file.read(8), "big"), 16
        length = length or size - at
        if length < head:
            msg = "a box is shorter than its header"
            raise ValueError(msg)
        if kind == b"uuid":
            yield length - head
        at += length


_READERS: Mapping[str, Callable[[IO[bytes], Metadata], None]] = {
    "image/png": _png, "image/jpeg": _jpeg, "image/webp": _webp, "image/avif": _movie, "image/heic": _movie,
    "video/mp4": _movie, "video/quicktime": _movie,
}  # fmt: skip
