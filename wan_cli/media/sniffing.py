"""What a file is, from its first bytes and never from its name."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType

EXTENSIONS: Mapping[str, str] = MappingProxyType({
    "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif", "image/bmp": ".bmp",
    "image/avif": ".avif", "video/mp4": ".mp4", "video/quicktime": ".mov", "video/webm": ".webm",
})  # fmt: skip
"""The extension of each kind of result that is ever saved: an allow-list (reliability.md S6)."""

MAX_PIXELS = 64_000_000
"""A picture with more is refused unopened: a 49 KB PNG can declare 400 million (reliability.md D12, I13)."""

UNKNOWN = "application/octet-stream"
"""The mime of bytes that are nothing known here."""

MIMES = {
    **{extension: mime for mime, extension in EXTENSIONS.items()},
    ".jpeg": "image/jpeg", ".mp3": "audio/mpeg", ".wav": "audio/wav", ".ogg": "audio/ogg", ".flac": "audio/flac",
    ".m4a": "audio/mp4", ".aac": "audio/aac",
}  # fmt: skip
_MAGIC = (
    # patterns, which re compiles and keeps when they are first asked for: most commands look at no file
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"(?s)RIFF....WEBP", "image/webp"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"(?s)BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "image/bmp"),
    (rb"II[*+]\0|MM\0[*+]", "image/tiff"),
    (rb"(?s)\x1aE\xdf\xa3.*webm", "video/webm"),
    (rb"\x1aE\xdf\xa3", "video/x-matroska"),
    (rb"(?s)RIFF....WAVE", "audio/wav"),
    (rb"OggS", "audio/ogg"),
    (rb"fLaC", "audio/flac"),
    (rb"ADIF|\xff[\xf0\xf1\xf8\xf9]", "audio/aac"),
    (rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", "audio/mpeg"),
    (rb"%PDF-", "application/pdf"),
)
_MARKUP = (
    (rb"(?s)<svg|<!doctype\s+svg|<\?xml.*<svg", "image/svg+xml"),
    (rb"<!doctype\s+html|<(html|head|body|script|title|h1|div)\b|<!--", "text/html"),
    (rb"(?s)<\?xml.*<html", "text/html"),
    (rb"<", "application/xml"),
    (rb"[{\[]", "application/json"),
)
_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_BRANDS = {b"qt  ": "video/quicktime", b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"M4P ": "audio/mp4"}
_SPOKEN = {"text/plain": "text", "image/svg+xml": "SVG", "video/quicktime": "QuickTime", UNKNOWN: "unknown data"}


def sniff(head: bytes) -> str | None:
    """Return the mime of a file that begins with ``head`` (64 bytes are enough but for wordy XML), or ``None``."""
    if head[4:8] == b"ftyp":
        return _brand(head)
    return next((mime for magic, mime in _MAGIC if re.match(magic, head)), None) or _sniff_text(head)


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
    return next((mime for markup, mime in _MARKUP if re.match(markup, start)), "text/plain")


def spoken(mime: str) -> str:
    """Return what a person calls this kind: ``HTML``, ``PNG``, ``text``."""
    return _SPOKEN.get(mime, mime.rpartition("/")[2].removeprefix("x-").upper())


def mime_of_extension(name: str) -> str | None:
    """Return the mime that the name's extension stands for (pictures, videos, audio), or ``None``."""
    return MIMES.get(PurePath(name).suffix.lower())


def looks_like_media_name(text: str) -> bool:
    """Tell whether a prompt is really a file's name: a media extension, and no blanks unless the file exists."""
    name = text.strip()
    if mime_of_extension(name) is None:
        return False
    return not re.search(r"\s", name) or os.path.isfile(name)  # noqa: PTH113 - false, not an error, for odd names
