"""A label put into a picture's container: PNG, JPEG and WebP. Its compressed data are copied as they are.

Never into a file that a signature (C2PA) vouches for: a changed byte would make it say that it was tampered with.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeAlias

from wan_cli.dataclass import dataclass
from wan_cli.media import xmp
from wan_cli.media.formats import FACTS, JPEG_SOS, jpeg_segments, png_chunks, webp_chunks
from wan_cli.media.metadata import EXIF_MARK, XMP_KEYWORD, XMP_MARK, Metadata, read_metadata, segment_length
from wan_cli.media.structure import inspect

KEYWORD = "wan"
"""The keyword of the PNG text that holds the imprint."""
SEGMENT = 65_533
"""The most bytes of one JPEG segment's data (ITU T.81, B.1.1.4: two bytes count themselves as well)."""
_JFIF, _APP1, _APP2 = 0xE0, 0xE1, 0xE2
_XMP_FLAG, _ALPHA_FLAG = 0x04, 0x10
_VP8X_BYTES = 10

_OWN = (KEYWORD.encode(), XMP_KEYWORD.encode())
"""The texts that are written anew."""

Pieces: TypeAlias = "list[bytes | tuple[int, int]]"
"""New bytes, and spans of the file that are copied."""


class Unlabelled(ValueError):
    """The file cannot carry a label; the message says why."""


@dataclass(frozen=True, slots=True)
class Label:
    """``imprint`` is JSON, ASCII only; ``system`` who made it, ``prompt`` from what, where that may be told."""

    imprint: str
    system: str
    prompt: str | None = None

    def said(self) -> dict[str, str]:
        """Return it as XMP says it."""
        own = {"imprint": self.imprint, "digital_source_type": xmp.TRAINED, "system": self.system}
        return own if self.prompt is None else {**own, "prompt": self.prompt}


def carries(path: Path) -> bool:
    """Tell whether a file has a label, or could not have one: of another format, signed, or not to be read."""
    try:
        with path.open("rb") as file:
            mime = inspect(file).mime
            there = read_metadata(file, mime)
    except (OSError, ValueError):
        return True
    said = xmp.values(there.xmp)
    return mime not in LABELLED or there.c2pa is not None or not {"imprint", "provenance"}.isdisjoint(said)


LABELLED = ("image/png", "image/jpeg", "image/webp")
"""The formats that take a label."""


def labelled(file: IO[bytes], size: int, mime: str, label: Label) -> Pieces:
    """Return the pieces of a whole file of ``size`` bytes with the label in it; one that it had is replaced.

    Raises ``Unlabelled``.
    """
    writer = _WRITERS.get(mime)
    if writer is None:
        msg = f"{mime.rpartition('/')[2]} has no place for it"
        raise Unlabelled(msg)
    there = read_metadata(file, mime)
    if there.c2pa is not None or "provenance" in xmp.values(there.xmp):
        msg = "it carries a C2PA signature, which a change would break"
        raise Unlabelled(msg)
    try:
        return writer(file, size, label, there)
    except (EOFError, struct.error, ValueError) as error:
        raise Unlabelled(str(error) or "it is cut off") from error


def _packet(there: Metadata, said: Mapping[str, str]) -> bytes:
    return xmp.merged(there.xmp, said) if there.xmp else xmp.packet(said)


def _without(cuts: Sequence[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the spans from ``start`` to ``end`` between the cuts, which are in order."""
    for first, last in cuts:
        if start <= first < end:
            if start < first:
                yield start, first
            start = last
    if start < end:
        yield start, end


def _with(at: int, fresh: bytes, cuts: Sequence[tuple[int, int]], size: int) -> Pieces:
    return [*_without(cuts, 0, at), fresh, *_without(cuts, at, size)]


def _png(file: IO[bytes], size: int, label: Label, there: Metadata) -> Pieces:
    """Put an ``iTXt`` chunk with the imprint and one with XMP behind the header."""
    at, cuts, said = 0, list[tuple[int, int]](), 0
    for kind, length in png_chunks(file):
        start = file.tell() - 8
        if kind == b"IHDR":
            at = start + 12 + length
        elif kind in (b"tEXt", b"zTXt", b"iTXt") and (keyword := _keyword(file, length)) in _OWN:
            said += keyword == XMP_KEYWORD.encode()
            cuts.append((start, start + 12 + length))
        elif kind == b"IEND":
            break
    if said != bool(there.xmp):
        msg = "it has XMP that nothing can be added to"
        raise ValueError(msg)
    fresh = _itxt(KEYWORD, label.imprint.encode()) + _itxt(XMP_KEYWORD, _packet(there, label.said()))
    return _with(at, fresh, cuts, size)


def _keyword(file: IO[bytes], length: int) -> bytes:
    """Return the keyword of the text at whose data ``file`` stands: 79 bytes at the most."""
    return file.read(min(length, 80)).partition(b"\0")[0]


def _itxt(keyword: str, text: bytes) -> bytes:
    body = b"iTXt" + keyword.encode() + b"\0\0\0\0\0" + text
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _jpeg(file: IO[bytes], size: int, label: Label, there: Metadata) -> Pieces:
    """Put XMP into an APP1 segment behind JFIF and EXIF, which readers want first.

    The places in an index of several pictures (MPF) count from that index, so what is in front of it may grow.
    """
    at, cuts, indexed = 2, list[tuple[int, int]](), False
    leading = True
    for marker in jpeg_segments(file):
        if marker == JPEG_SOS:
            break
        start = file.tell() - 4
        length = segment_length(file)
        head = file.read(min(length, len(XMP_MARK)))
        indexed = indexed or (marker == _APP2 and head.startswith(b"MPF\0"))
        if marker == _APP1 and head == XMP_MARK:
            if indexed or cuts:
                msg = "it has XMP that nothing can be added to"
                raise ValueError(msg)
            cuts.append((start, start + 4 + length))
        leading = leading and (marker == _JFIF or (marker == _APP1 and head.startswith((EXIF_MARK, XMP_MARK))))
        at = start + 4 + length if leading else at
    body = _fitting(there, label)
    return _with(at, b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body, cuts, size)


def _fitting(there: Metadata, label: Label) -> bytes:
    """Return the segment's data; a prompt that is too long for it stands in the imprint alone."""
    for said in (label.said(), {name: value for name, value in label.said().items() if name != "prompt"}):
        body = XMP_MARK + _packet(there, said)
        if len(body) <= SEGMENT:
            return body
    msg = f"a JPEG has room for {SEGMENT:,} bytes, and there are {len(body):,}"
    raise ValueError(msg)


def _webp(file: IO[bytes], size: int, label: Label, there: Metadata) -> Pieces:
    """Put an ``XMP `` chunk at the end, and say so in ``VP8X``, which is made where it is missing (RFC 9649, 2.7)."""
    cuts, first, head, end = list[tuple[int, int]](), b"", b"", 12
    for kind in webp_chunks(file):
        start = file.tell() - 8
        file.seek(start + 4)
        length = int.from_bytes(file.read(4), "little")
        end = min(start + 8 + length + length % 2, size)
        if not first:
            first, head = kind, file.read(min(length, _VP8X_BYTES))
        elif kind == b"XMP ":
            cuts.append((start, end))
    if len(cuts) > 1 or (cuts and not there.xmp):
        msg = "it has XMP that nothing can be added to"
        raise ValueError(msg)
    body = _packet(there, label.said())
    tail = b"XMP " + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    begin = 12
    if first == b"VP8X":
        begin += 8 + _VP8X_BYTES
        wide = b"VP8X" + struct.pack("<I", _VP8X_BYTES) + bytes([_take(head)[0] | _XMP_FLAG]) + head[1:]
    else:
        wide = _vp8x(file)
    kept = list(_without(cuts, begin, end))
    pad = b"\0" if kept and kept[-1][1] % 2 else b""  # the last chunk's own padding was left out
    length = 4 + len(wide) + sum(last - start for start, last in kept) + len(pad) + len(tail)
    after = [(end, size)] if end < size else []
    return [b"RIFF" + struct.pack("<I", length) + b"WEBP", wide, *kept, pad + tail, *after]


def _take(head: bytes) -> bytes:
    if len(head) < _VP8X_BYTES:
        raise EOFError
    return head


def _vp8x(file: IO[bytes]) -> bytes:
    facts = FACTS["image/webp"](file)
    if not facts.width or not facts.height:
        msg = "its header says nothing of its sides"
        raise ValueError(msg)
    flags = _XMP_FLAG | (_ALPHA_FLAG if facts.alpha else 0)
    sides = (facts.width - 1).to_bytes(3, "little") + (facts.height - 1).to_bytes(3, "little")
    return b"VP8X" + struct.pack("<I", _VP8X_BYTES) + bytes([flags, 0, 0, 0]) + sides


_WRITERS: Mapping[str, Callable[[IO[bytes], int, Label, Metadata], Pieces]] = {
    "image/png": _png, "image/jpeg": _jpeg, "image/webp": _webp,
}  # fmt: skip
