"""What the boxes of an MP4 or QuickTime file say (ISO 14496-12): sides, length, rate, codecs. Nothing is decoded."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import IO

from wan_cli.dataclass import dataclass
from wan_cli.media.formats import MOST_PARTS, Sniffed

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})
_HEADER, _LONG_HEADER = 8, 16
_DEPTH = 8
_ENTRY = 16
"""Bytes of a sample description's first entry that are read: its length and its four letters, behind the count."""
_RUNS = 4096
"""Runs of equally long frames that are counted; encoders write one, or one a frame where the rate varies."""

CODECS: Mapping[bytes, str] = {
    b"avc1": "h264", b"avc3": "h264", b"hvc1": "hevc", b"hev1": "hevc", b"av01": "av1", b"vp08": "vp8",
    b"vp09": "vp9", b"jpeg": "mjpeg", b"mjpa": "mjpeg", b"apcn": "prores", b"apch": "prores", b"ap4h": "prores",
    b"Opus": "opus", b"fLaC": "flac", b"alac": "alac", b"ac-3": "ac3", b"ec-3": "eac3", b".mp3": "mp3",
    b"sowt": "pcm_s16le", b"twos": "pcm_s16be",
}  # fmt: skip
"""FFmpeg's name of what each sample entry holds (mp4ra.org/registered-types/sampleentries)."""
_BY_ESDS: Mapping[int, str] = {
    0x20: "mpeg4", 0x6C: "mjpeg", 0x40: "aac", 0x66: "aac", 0x67: "aac", 0x68: "aac", 0x69: "mp3", 0x6B: "mp3",
}  # fmt: skip
"""What ``mp4v`` and ``mp4a`` hold, by the object type of their esds (mp4ra.org/registered-types/object-types)."""


@dataclass(slots=True)
class _Track:
    """One track, as far as it was read. ``entry`` is what its sample description begins with."""

    kind: bytes = b""
    scale: int = 0
    codec: str | None = None
    frames: int = 0
    ticks: int = 0


def movie_facts(file: IO[bytes]) -> Sniffed:
    """Return what the boxes say; what they do not say stays ``None``. Raises ``EOFError``."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    seconds: float | None = None
    sides: tuple[int, int] | None = None
    tracks = [_Track()]
    for kind, start, end in islice(_walk(file, 0, size, 0), MOST_PARTS):
        track = tracks[-1]
        if kind == b"mvhd" and seconds is None:
            seconds = _duration(_body(file, start, end, 32))
        elif kind == b"trak":
            tracks.append(_Track())
        elif kind == b"tkhd":
            found = _sides(_body(file, start, end, 96))
            sides = max(sides or (0, 0), found, key=lambda pair: pair[0] * pair[1])
        elif kind == b"mdhd":
            track.scale = _scale(_body(file, start, end, 24))
        elif kind == b"hdlr" and not track.kind:
            track.kind = _body(file, start, end, 12)[8:]
        elif kind == b"stsd":
            track.codec = _codec(_body(file, start, end, 512))
        elif kind == b"stts":
            track.frames, track.ticks = _timing(_body(file, start, end, 8 + 8 * _RUNS))
    width, height = sides or (0, 0)
    film = next((track for track in tracks if track.kind == b"vide"), _Track())
    sound = next((track for track in tracks if track.kind == b"soun"), _Track())
    return Sniffed(
        "video/mp4", width or None, height or None, duration_s=seconds, fps=_rate(film), video_codec=film.codec,
        audio_codec=sound.codec,
    )  # fmt: skip


def _walk(file: IO[bytes], at: int, end: int, depth: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield each box's kind, and where its content begins and ends; containers are gone into."""
    while at + _HEADER <= end:
        file.seek(at)
        head = file.read(_LONG_HEADER)
        length, kind, skip = int.from_bytes(head[:4], "big"), head[4:8], _HEADER
        if length == 1:
            length, skip = int.from_bytes(head[8:16], "big"), _LONG_HEADER
        length = length or end - at
        if length < skip or at + length > end:
            return
        yield kind, at + skip, at + length
        if kind in _CONTAINERS and depth < _DEPTH:
            yield from _walk(file, at + skip, at + length, depth + 1)
        at += length


def _body(file: IO[bytes], start: int, end: int, most: int) -> bytes:
    file.seek(start)
    return file.read(min(most, end - start))


def _duration(body: bytes) -> float | None:
    """Read the movie header: version 1 has 64-bit times."""
    long = body[:1] == b"\x01"
    try:
        scale, length = struct.unpack_from(">IQ", body, 20) if long else struct.unpack_from(">II", body, 12)
    except struct.error:
        return None
    return round(length / scale, 3) if scale else None


def _sides(body: bytes) -> tuple[int, int]:
    """Read a track header's width and height: 16.16 fixed point, the last eight bytes."""
    end = 96 if body[:1] == b"\x01" else 84
    if len(body) < end:
        return 0, 0
    width, height = struct.unpack_from(">II", body, end - 8)
    return width >> 16, height >> 16


def _scale(body: bytes) -> int:
    """Read a media header's ticks a second; 0 where it is too short."""
    at = 20 if body[:1] == b"\x01" else 12
    return int.from_bytes(body[at : at + 4], "big") if len(body) >= at + 4 else 0


def _codec(body: bytes) -> str | None:
    """Read the first entry of a sample description: its four letters, or what its esds says; ``None`` if unknown."""
    form = body[12:_ENTRY]
    if form not in (b"mp4v", b"mp4a"):
        return CODECS.get(form)
    _, found, rest = body.partition(b"esds")
    body, at = (rest, 4) if found else (b"", 0)  # behind version and flags
    while at < len(body) - 1 and body[at] in (0x03, 0x04):
        tag, at = body[at], at + 1
        while at < len(body) and body[at] & 0x80:  # a length in bytes of seven bits (ISO 14496-1, 8.3.3)
            at += 1
        at += 1
        if tag == 0x04:  # noqa: PLR2004 - DecoderConfigDescriptor, which begins with the object type
            return _BY_ESDS.get(body[at]) if at < len(body) else None
        at += 3  # ES_ID and flags; none of the optional parts is used in MP4 files
    return None


def _timing(body: bytes) -> tuple[int, int]:
    """Read how many frames the runs of a time-to-sample box have, and how many ticks they last; 0, 0 if too many."""
    runs = int.from_bytes(body[4:8], "big")
    if not 0 < runs <= _RUNS or len(body) < 8 + 8 * runs:
        return 0, 0
    pairs = list(struct.iter_unpack(">II", body[8 : 8 + 8 * runs]))
    return sum(count for count, _ in pairs), sum(count * ticks for count, ticks in pairs)


def _rate(track: _Track) -> float | None:
    """Return frames a second, of which one frame says nothing."""
    if track.frames < 2 or not track.ticks or not track.scale:  # noqa: PLR2004
        return None
    return round(track.frames * track.scale / track.ticks, 3)
