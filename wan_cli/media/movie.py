"""Duration and sides of an MP4 or QuickTime file, from its boxes (ISO 14496-12); nothing is decoded."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import islice
from typing import IO

from wan_cli.media.formats import MOST_PARTS, Sniffed

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})
_HEADER, _LONG_HEADER = 8, 16
_DEPTH = 8


def movie_facts(file: IO[bytes]) -> Sniffed:
    """Return what the boxes say; sides and duration stay ``None`` where they say nothing. Raises ``EOFError``."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    seconds: float | None = None
    sides: tuple[int, int] | None = None
    for kind, start, end in islice(_walk(file, 0, size, 0), MOST_PARTS):
        if kind == b"mvhd" and seconds is None:
            seconds = _duration(_body(file, start, end, 32))
        elif kind == b"tkhd":
            found = _sides(_body(file, start, end, 96))
            sides = max(sides or (0, 0), found, key=lambda pair: pair[0] * pair[1])
    width, height = sides or (0, 0)
    return Sniffed("video/mp4", width or None, height or None, duration_s=seconds)


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
