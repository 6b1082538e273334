"""Each format's own parser: sides and wholeness, in a few reads.

PNG (W3C), JPEG (T.81), WebP (RFC 9649), GIF89a, BMP, ISO BMFF (14496-12): ``EOFError`` is cut, ``ValueError`` broken.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO

from wan_cli.dataclass import dataclass
from wan_cli.pattern import pattern

_PIECE = 1 << 20
_JPEG_MARKER = pattern(rb"\xff[^\x00\xd0-\xd7\xff]")
JPEG_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, 0xD8})
JPEG_SOS, _JPEG_EOI = 0xDA, 0xD9
_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER, _GIF_CONTROL = 0x21, 0x2C, 0x3B, 0xF9
_BMP_CORE = 12
MOST_PARTS = 1 << 19
"""Parts that are walked over: 100 MB of GIF have 411,000 blocks, nothing has more, and empty ones would take hours."""
TOO_MANY = "it has more parts than any picture"


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What the bytes say: sides in pixels (``None``: not read from this format, or not there)."""

    mime: str
    width: int | None = None
    height: int | None = None
    alpha: bool = False
    animated: bool = False
    duration_s: float | None = None
    fps: float | None = None
    video_codec: str | None = None
    audio_codec: str | None = None

    @property
    def pixels(self) -> int:
        """Width times height; 0 where unknown."""
        return (self.width or 0) * (self.height or 0)


def _take(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _count(left: Iterator[int]) -> None:
    if next(left, None) is None:
        raise ValueError(TOO_MANY)


def png_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield each chunk's type and length in bytes; the file then stands at its data."""
    at = 8
    for _ in range(MOST_PARTS):
        file.seek(at)
        length, kind = struct.unpack(">I4s", _take(file, 8))
        yield kind, length
        at += 12 + length
    raise ValueError(TOO_MANY)


def _png_facts(file: IO[bytes]) -> Sniffed:
    width = height = colour = 0
    seen: set[bytes] = set()
    for kind, _ in png_chunks(file):
        seen.add(kind)
        if kind == b"IHDR":
            width, height, colour = struct.unpack(">IIxB", _take(file, 10))
        elif kind in {b"IDAT", b"IEND"}:
            break
    alpha = colour in {4, 6} or b"tRNS" in seen
    return Sniffed("image/png", width or None, height or None, alpha=alpha, animated=b"acTL" in seen)


def _png_check(file: IO[bytes], size: int) -> str | None:
    """Walk to IEND; the checksums of the chunks that a decoder cannot do without (capital letter) must be right."""
    seen: set[bytes] = set()
    for kind, length in png_chunks(file):
        if file.tell() + length + 4 > size:
            raise EOFError
        if not seen and kind != b"IHDR":
            return "it is damaged: it does not begin with a header"
        seen.add(kind)
        if kind[:1].isupper():
            crc, left = zlib.crc32(kind), length
            while left:
                piece = _take(file, min(left, _PIECE))
                crc, left = zlib.crc32(piece, crc), left - len(piece)
            if crc != int.from_bytes(_take(file, 4), "big"):
                return f"it is damaged: the checksum of its {kind.decode('latin-1')} chunk is wrong"
        if kind == b"IEND":
            break
    return None if b"IDAT" in seen else "it holds no picture"


def jpeg_segments(file: IO[bytes]) -> Iterator[int]:
    """Yield each segment's marker, up to the end of the picture; the file then stands at its data."""
    file.seek(2)
    for _ in range(MOST_PARTS):
        marker = _jpeg_marker(file)
        if marker in _JPEG_BARE:
            continue
        if marker == _JPEG_EOI:
            yield marker
            return
        start = file.tell()
        length = int.from_bytes(_take(file, 2), "big")
        yield marker
        file.seek(start + length)
    raise ValueError(TOO_MANY)


def _jpeg_marker(file: IO[bytes]) -> int:
    """Return the next marker, skipping compressed data (0xFF before 0 or a restart), in pieces that grow."""
    tail, size = b"", 256
    while block := file.read(size):
        data = tail + block
        if match := _JPEG_MARKER.search(data):
            file.seek(match.end() - len(data), os.SEEK_CUR)
            return data[match.end() - 1]
        tail = b"\xff" if data.endswith(b"\xff") else b""
        size = min(size * 2, 1 << 16)
    raise EOFError


def _jpeg_facts(file: IO[bytes]) -> Sniffed:
    for marker in jpeg_segments(file):
        if marker in JPEG_SOF:
            height, width = struct.unpack(">xHH", _take(file, 5))
            return Sniffed("image/jpeg", width or None, height or None)
    return Sniffed("image/jpeg")


def _jpeg_check(file: IO[bytes], _size: int) -> str | None:
    seen = set(jpeg_segments(file))
    return None if seen & JPEG_SOF and JPEG_SOS in seen else "it holds no picture"


def webp_chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield each chunk's type, within what RIFF says; the file then stands at its data."""
    file.seek(4)
    at, end = 12, 8 + int.from_bytes(_take(file, 4), "little")
    for _ in range(MOST_PARTS):
        if at + 8 > end:
            return
        file.seek(at)
        kind, length = struct.unpack("<4sI", _take(file, 8))
        if at + 8 + length > end:
            msg = "a chunk reaches past the end"
            raise ValueError(msg)
        yield kind
        at += 8 + length + length % 2
    raise ValueError(TOO_MANY)


def _webp_facts(file: IO[bytes]) -> Sniffed:
    kind = next(webp_chunks(file), b"")
    data = _take(file, 10)
    if kind == b"VP8X":
        width, height = int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
        return Sniffed("image/webp", width, height, alpha=bool(data[0] & 0x10), animated=bool(data[0] & 0x02))
    if kind == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return Sniffed("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, alpha=bool(bits >> 28 & 1))
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[6:10])
        return Sniffed("image/webp", width & 0x3FFF or None, height & 0x3FFF or None)
    return Sniffed("image/webp")


def _webp_check(file: IO[bytes], size: int) -> str | None:
    file.seek(4)
    if 8 + int.from_bytes(_take(file, 4), "little") > size:
        raise EOFError
    pictures = {b"VP8 ", b"VP8L", b"ANMF"}.intersection(list(webp_chunks(file)))
    return None if pictures else "it holds no picture"


def _gif_blocks(file: IO[bytes]) -> Iterator[tuple[int, bool]]:
    """Yield each block's introducer, and whether it is a control block that makes a colour transparent."""
    file.seek(10)
    _skip_colours(file, _take(file, 3)[0])
    blocks = iter(range(MOST_PARTS))
    while (kind := _take(file, 1)[0]) != _GIF_TRAILER:
        _count(blocks)
        transparent = False
        if kind == _GIF_EXTENSION:
            label, length = _take(file, 2)
            data = _take(file, length)
            transparent = label == _GIF_CONTROL and bool(data[:1] and data[0] & 1)
            if not length:
                yield kind, transparent
                continue
        elif kind == _GIF_IMAGE:
            _skip_colours(file, _take(file, 9)[8])
            _take(file, 1)
        else:
            raise ValueError(f"an unknown block 0x{kind:02x}")
        while length := _take(file, 1)[0]:
            _count(blocks)
            _take(file, length)
        yield kind, transparent


def _skip_colours(file: IO[bytes], flags: int) -> None:
    if flags & 0x80:
        _take(file, 3 << (flags & 7) + 1)


def _gif_facts(file: IO[bytes]) -> Sniffed:
    file.seek(6)
    width, height = struct.unpack("<HH", _take(file, 4))
    images, alpha = 0, False
    try:
        for kind, transparent in _gif_blocks(file):
            images += kind == _GIF_IMAGE
            alpha = alpha or transparent
            if images > 1:
                break
    except (EOFError, ValueError):
        pass  # the sides stand all the same; whether it is whole is check_structure's question
    return Sniffed("image/gif", width or None, height or None, alpha=alpha, animated=images > 1)


def _gif_check(file: IO[bytes], _size: int) -> str | None:
    kinds = {kind for kind, _ in _gif_blocks(file)}
    return None if _GIF_IMAGE in kinds else "it holds no picture"


def _bmp_sides(file: IO[bytes]) -> tuple[int, int, int, int]:
    """Return width, height, bits a pixel and compression."""
    file.seek(14)
    if int.from_bytes(_take(file, 4), "little") == _BMP_CORE:
        width, height, bits = struct.unpack("<HHxxH", _take(file, 8))
        return width, height, bits, 0
    width, height, bits, compression = struct.unpack("<iixxHI", _take(file, 16))
    return abs(width), abs(height), bits, compression


def _bmp_facts(file: IO[bytes]) -> Sniffed:
    width, height, _, _ = _bmp_sides(file)
    return Sniffed("image/bmp", width or None, height or None)


def _bmp_check(file: IO[bytes], size: int) -> str | None:
    width, height, bits, compression = _bmp_sides(file)
    file.seek(2)
    declared, start = struct.unpack("<I4xI", _take(file, 12))
    rows = (width * bits + 31) // 32 * 4 * height if compression in {0, 3} else 0
    if max(declared, start + rows) > size:
        raise EOFError
    return None


def _boxes(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield the type of each box at the top; their sizes have to add up to the file's."""
    at, boxes = 0, iter(range(MOST_PARTS))
    while at < size:
        _count(boxes)
        file.seek(at)
        length, kind = struct.unpack(">I4s", _take(file, 8))
        least = 8
        if length == 1:
            length, least = int.from_bytes(_take(file, 8), "big"), 16
        length = length or size - at
        if length < least:
            msg = "a box is shorter than its header"
            raise ValueError(msg)
        at += length
        yield kind
    if at > size:
        raise EOFError


def _movie_check(file: IO[bytes], size: int) -> str | None:
    return None if b"moov" in set(_boxes(file, size)) else "it is cut off: it has no index (moov)"


def _avif_check(file: IO[bytes], size: int) -> str | None:
    return None if b"meta" in set(_boxes(file, size)) else "it holds no picture"


FACTS: Mapping[str, Callable[[IO[bytes]], Sniffed]] = {
    "image/png": _png_facts, "image/jpeg": _jpeg_facts, "image/webp": _webp_facts, "image/gif": _gif_facts,
    "image/bmp": _bmp_facts,
}  # fmt: skip
CHECKS: Mapping[str, Callable[[IO[bytes], int], str | None]] = {
    "image/png": _png_check, "image/jpeg": _jpeg_check, "image/webp": _webp_check, "image/gif": _gif_check,
    "image/bmp": _bmp_check, "image/avif": _avif_check, "video/mp4": _movie_check, "video/quicktime": _movie_check,
}  # fmt: skip
