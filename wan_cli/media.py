"""What a file really is: its kind, sides and wholeness, read from its bytes and never from its name.

Own small parsers instead of Pillow: nothing from outside is decoded (reliability.md S12), and a check costs a few reads
instead of a library. Formats: PNG (W3C), JPEG (ITU T.81), WebP (RFC 9649), GIF89a, BMP, ISO BMFF (14496-12), EBML.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
import struct
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import IO, TYPE_CHECKING

from wan_cli.errors import FileInvalid
from wan_cli.models import Kind, LocalFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from wan_cli.catalog import Inputs

EXTENSIONS: Mapping[str, str] = MappingProxyType({
    "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif", "image/bmp": ".bmp",
    "image/avif": ".avif", "video/mp4": ".mp4", "video/quicktime": ".mov", "video/webm": ".webm",
})  # fmt: skip
"""The extension of each kind of result that is ever saved: an allow-list (reliability.md S6)."""

MAX_PIXELS = 64_000_000
"""A picture with more is refused unopened: a 49 KB PNG can declare 400 million (reliability.md D12, I13)."""

UNKNOWN = "application/octet-stream"
"""The mime of bytes that are nothing known here."""

_MIMES = {
    **{extension: mime for mime, extension in EXTENSIONS.items()},
    ".jpeg": "image/jpeg", ".mp3": "audio/mpeg", ".wav": "audio/wav", ".ogg": "audio/ogg", ".flac": "audio/flac",
    ".m4a": "audio/mp4", ".aac": "audio/aac",
}  # fmt: skip
_MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "image/bmp"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "image/tiff"),
    (re.compile(rb"\x1aE\xdf\xa3.*webm", re.DOTALL), "video/webm"),
    (re.compile(rb"\x1aE\xdf\xa3"), "video/x-matroska"),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), "audio/wav"),
    (re.compile(rb"OggS"), "audio/ogg"),
    (re.compile(rb"fLaC"), "audio/flac"),
    (re.compile(rb"ADIF|\xff[\xf0\xf1\xf8\xf9]"), "audio/aac"),
    (re.compile(rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"), "audio/mpeg"),
    (re.compile(rb"%PDF-"), "application/pdf"),
)
_MARKUP = (
    (re.compile(rb"<svg|<!doctype\s+svg|<\?xml.*<svg", re.DOTALL), "image/svg+xml"),
    (re.compile(rb"<!doctype\s+html|<(html|head|body|script|title|h1|div)\b|<!--"), "text/html"),
    (re.compile(rb"<\?xml.*<html", re.DOTALL), "text/html"),
    (re.compile(rb"<"), "application/xml"),
    (re.compile(rb"[{\[]"), "application/json"),
)
_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_BRANDS = {b"qt  ": "video/quicktime", b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"M4P ": "audio/mp4"}
_SPOKEN = {"text/plain": "text", "image/svg+xml": "SVG", "video/quicktime": "QuickTime", UNKNOWN: "unknown data"}

_HEAD = 512
_PIECE = 1 << 20
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_JPEG_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, 0xD8})
_JPEG_SOS, _JPEG_EOI = 0xDA, 0xD9
_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER, _GIF_CONTROL = 0x21, 0x2C, 0x3B, 0xF9
_BMP_CORE = 12


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What the bytes say: sides in pixels (``None``: not read from this format, or not there)."""

    mime: str
    width: int | None = None
    height: int | None = None
    alpha: bool = False
    animated: bool = False

    @property
    def pixels(self) -> int:
        """Width times height; 0 where unknown."""
        return (self.width or 0) * (self.height or 0)


def sniff(head: bytes) -> str | None:
    """Return the mime of a file that begins with ``head`` (64 bytes are enough but for wordy XML), or ``None``."""
    if head[4:8] == b"ftyp":
        return _brand(head)
    return next((mime for magic, mime in _MAGIC if magic.match(head)), None) or _sniff_text(head)


def _brand(head: bytes) -> str:
    major = head[8:12]
    length = int.from_bytes(head[:4], "big")
    brands = {major, *(head[at : at + 4] for at in range(16, min(length, len(head)), 4))}
    if major in _BRANDS:
        return _BRANDS[major]
    if brands & _AVIF:
        return "image/avif"
    return "image/heic" if major in _HEIC else "video/mp4"


def _sniff_text(head: bytes) -> str | None:
    if head.startswith(_BOMS):
        return "text/plain"
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # a character cut at the end is no fault
    except UnicodeDecodeError:
        return None
    if not text.strip() or any(char < " " and char not in "\t\n\f\r\x1b" for char in text):
        return None
    start = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    return next((mime for markup, mime in _MARKUP if markup.match(start)), "text/plain")


def spoken(mime: str) -> str:
    """Return what a person calls this kind: ``HTML``, ``PNG``, ``text``."""
    return _SPOKEN.get(mime, mime.rpartition("/")[2].removeprefix("x-").upper())


def mime_of_extension(name: str) -> str | None:
    """Return the mime that the name's extension stands for (pictures, videos, audio), or ``None``."""
    return _MIMES.get(PurePath(name).suffix.lower())


def looks_like_media_name(text: str) -> bool:
    """Tell whether a prompt is really a file's name: a media extension, and no blanks unless the file exists."""
    name = text.strip()
    return mime_of_extension(name) is not None and (not re.search(r"\s", name) or os.path.isfile(name))  # noqa: PTH113 - false for odd names


def inspect(source: str | os.PathLike[str] | IO[bytes]) -> Sniffed:
    """Return what a file (or its open, seekable stream) is, reading its headers only. Raises ``OSError``."""
    if isinstance(source, (str, os.PathLike)):
        with Path(source).open("rb") as file:
            return inspect(file)
    source.seek(0)
    mime = sniff(source.read(_HEAD)) or UNKNOWN
    facts = _FACTS.get(mime)
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
    check = _CHECKS.get(mime)
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


def local_file(path: str, inputs: Inputs, *, kind: Kind = "image", label: str = "picture") -> LocalFile:
    """Return the checked facts of a file that goes to a provider, reading it once opened and never by name again.

    ``inputs`` are the provider's limits; with no mimes listed, the kinds wan knows are taken. Raises ``FileInvalid``.
    """
    try:
        with _regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            sniffed = inspect(file)
            fault = (
                _size_fault(size, inputs)
                or _kind_fault(sniffed.mime, inputs, kind, label)
                or _sides_fault(sniffed, inputs)
                or check_structure(file, sniffed.mime, size)
            )
            if fault:
                raise FileInvalid(f"{path}: {fault}", hint=f"give another {label}")
            digest = _sha256(file, size)
    except FileNotFoundError as error:
        what = "is a link to nothing" if Path(path).is_symlink() else "does not exist"
        raise FileInvalid(f"{path} {what}", hint="check the path; an https:// address is taken as well") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise FileInvalid(f"{path} cannot be read: {why}", hint="check the path and its permissions") from error
    if digest is None:
        raise FileInvalid(f"{path} changed while it was read", hint="run the command again")
    return LocalFile(
        path=path, sha256=digest, size=size, mime=sniffed.mime, width=sniffed.width, height=sniffed.height
    )  # fmt: skip


@contextmanager
def _regular(path: str) -> Iterator[IO[bytes]]:
    """Open a regular file. O_NONBLOCK: a pipe without a writer would block for ever (reliability.md I14)."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise FileInvalid(f"{path} is {what}, not a file", hint="name a file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _size_fault(size: int, inputs: Inputs) -> str | None:
    if size == 0:
        return "it is empty"
    if inputs.max_bytes is not None and size > inputs.max_bytes:
        return f"it has {size:,} bytes; at most {inputs.max_bytes:,} are taken"
    return None


def _kind_fault(mime: str, inputs: Inputs, kind: Kind, label: str) -> str | None:
    known = dict.fromkeys([*EXTENSIONS, *_MIMES.values()])
    taken = inputs.mimes or tuple(entry for entry in known if entry.startswith(f"{kind}/"))
    if mime in taken:
        return None
    names = [entry.rpartition("/")[2] for entry in taken]
    listed = f"{', '.join(names[:-1])} and {names[-1]} are" if len(names) > 1 else f"{names[0]} is"
    article = "an" if label[:1] in "aeiou" else "a"
    strange = "" if mime.startswith(f"{kind}/") and mime in known else f", not {article} {label}"
    return f"it is {spoken(mime)}{strange}; {listed} taken"


def _sides_fault(sniffed: Sniffed, inputs: Inputs) -> str | None:
    if sniffed.animated:
        return f"it is an animated {spoken(sniffed.mime)}; only still pictures are taken"
    if sniffed.alpha and not inputs.alpha and sniffed.mime == "image/png":
        return "it has transparency; only PNG without an alpha channel is taken"
    if not sniffed.width or not sniffed.height:
        return None
    return _measures_fault(sniffed.width, sniffed.height, inputs)


def _measures_fault(width: int, height: int, inputs: Inputs) -> str | None:
    shown, sides = f"{width}x{height}", sorted((width, height))
    if width * height > MAX_PIXELS:
        return f"it declares {shown}, {width * height:,} pixels; at most {MAX_PIXELS:,} are taken"
    if inputs.sides and not inputs.sides[0] <= sides[0] <= sides[1] <= inputs.sides[1]:
        return f"it is {shown}; each side must have {inputs.sides[0]:,} to {inputs.sides[1]:,} pixels"
    if inputs.max_ratio is not None and sides[1] > sides[0] * inputs.max_ratio:
        return f"it is {shown}; the longer side may be at most {inputs.max_ratio:g} times the shorter"
    return None


def _sha256(file: IO[bytes], size: int) -> str | None:
    """Return the hex digest of a file that still has ``size`` bytes, else ``None``."""
    import hashlib

    digest, seen = hashlib.sha256(), 0
    file.seek(0)
    while seen <= size and (piece := file.read(_PIECE)):
        digest.update(piece)
        seen += len(piece)
    return digest.hexdigest() if seen == size else None


def _take(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _png_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield each chunk's type and length in bytes; the file then stands at its data."""
    at = 8
    while True:
        file.seek(at)
        length, kind = struct.unpack(">I4s", _take(file, 8))
        yield kind, length
        at += 12 + length


def _png_facts(file: IO[bytes]) -> Sniffed:
    width = height = colour = 0
    seen: set[bytes] = set()
    for kind, _ in _png_chunks(file):
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
    for kind, length in _png_chunks(file):
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


def _jpeg_segments(file: IO[bytes]) -> Iterator[int]:
    """Yield each segment's marker, up to the end of the picture; the file then stands at its data."""
    file.seek(2)
    while True:
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


def _jpeg_marker(file: IO[bytes]) -> int:
    """Return the next marker, skipping compressed data (where 0xFF is followed by 0 or a restart)."""
    tail = b""
    while block := file.read(1 << 16):
        data = tail + block
        if match := _JPEG_MARKER.search(data):
            file.seek(match.end() - len(data), os.SEEK_CUR)
            return data[match.end() - 1]
        tail = b"\xff" if data.endswith(b"\xff") else b""
    raise EOFError


def _jpeg_facts(file: IO[bytes]) -> Sniffed:
    for marker in _jpeg_segments(file):
        if marker in _JPEG_SOF:
            height, width = struct.unpack(">xHH", _take(file, 5))
            return Sniffed("image/jpeg", width or None, height or None)
    return Sniffed("image/jpeg")


def _jpeg_check(file: IO[bytes], _size: int) -> str | None:
    seen = set(_jpeg_segments(file))
    return None if seen & _JPEG_SOF and _JPEG_SOS in seen else "it holds no picture"


def _webp_chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield each chunk's type, within what RIFF says; the file then stands at its data."""
    file.seek(4)
    at, end = 12, 8 + int.from_bytes(_take(file, 4), "little")
    while at + 8 <= end:
        file.seek(at)
        kind, length = struct.unpack("<4sI", _take(file, 8))
        if at + 8 + length > end:
            msg = "a chunk reaches past the end"
            raise ValueError(msg)
        yield kind
        at += 8 + length + length % 2


def _webp_facts(file: IO[bytes]) -> Sniffed:
    kind = next(_webp_chunks(file), b"")
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
    pictures = {b"VP8 ", b"VP8L", b"ANMF"}.intersection(list(_webp_chunks(file)))
    return None if pictures else "it holds no picture"


def _gif_blocks(file: IO[bytes]) -> Iterator[tuple[int, bool]]:
    """Yield each block's introducer, and whether it is a control block that makes a colour transparent."""
    file.seek(10)
    _skip_colours(file, _take(file, 3)[0])
    while (kind := _take(file, 1)[0]) != _GIF_TRAILER:
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
            msg = f"an unknown block 0x{kind:02x}"
            raise ValueError(msg)
        while length := _take(file, 1)[0]:
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
    at = 0
    while at < size:
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


_FACTS: Mapping[str, Callable[[IO[bytes]], Sniffed]] = {
    "image/png": _png_facts, "image/jpeg": _jpeg_facts, "image/webp": _webp_facts, "image/gif": _gif_facts,
    "image/bmp": _bmp_facts,
}  # fmt: skip
_CHECKS: Mapping[str, Callable[[IO[bytes], int], str | None]] = {
    "image/png": _png_check, "image/jpeg": _jpeg_check, "image/webp": _webp_check, "image/gif": _gif_check,
    "image/bmp": _bmp_check, "image/avif": _avif_check, "video/mp4": _movie_check, "video/quicktime": _movie_check,
}  # fmt: skip
