"""Duration and sides of movies, from their boxes alone."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from wan_cli.media import check_structure, inspect
from wan_cli.media.formats import Sniffed
from wan_cli.media.movie import movie_facts
from wan_cli.sandbox.draw.video import clip


def box(kind: bytes, *content: bytes, long: bool = False) -> bytes:
    """Return a box; ``long`` gives it a 64-bit length."""
    data = b"".join(content)
    if long:
        return struct.pack(">I", 1) + kind + struct.pack(">Q", len(data) + 16) + data
    return struct.pack(">I", len(data) + 8) + kind + data


def header(ticks: int = 5000, scale: int = 1000, *, version: int = 0) -> bytes:
    """Return a movie header (ISO 14496-12, 8.2.2)."""
    times = struct.pack(">QQIQ" if version else ">IIII", 0, 0, scale, ticks)
    return box(b"mvhd", bytes([version, 0, 0, 0]), times, bytes(80))


def track(width: int, height: int, *, version: int = 0) -> bytes:
    """Return a track with a header (8.3.2), whose sides are 16.16 fixed point."""
    start = bytes([version, 0, 0, 7]) + bytes(84 if version else 72)
    return box(b"trak", box(b"tkhd", start, struct.pack(">II", width << 16, height << 16)))


FTYP = box(b"ftyp", b"isom", bytes(4), b"isom")
MDAT = box(b"mdat", bytes(64))
WHOLE = Sniffed("video/mp4", 1280, 720, duration_s=5.0)


def facts(*boxes: bytes) -> Sniffed:
    """Return what is read from these boxes."""
    return movie_facts(io.BytesIO(b"".join(boxes)))


@pytest.mark.parametrize(("width", "height", "seconds", "fps"), [(160, 90, 0.5, 24), (64, 96, 0.2, 10)])
def test_a_real_clip_is_read(width: int, height: int, seconds: float, fps: int, tmp_path: Path) -> None:
    """Sides and duration of a file that a real encoder made, by path or by stream."""
    data = clip("a fox", width, height, seed=1, seconds=seconds, fps=fps)
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    told = Sniffed("video/mp4", width, height, duration_s=seconds, fps=fps, video_codec="h264")
    assert inspect(path) == inspect(io.BytesIO(data)) == told
    assert check_structure(io.BytesIO(data), "video/mp4", len(data)) is None


def test_a_real_clip_that_is_cut_is_noticed() -> None:
    """However much of a clip is missing, it is not called whole, and reading it raises nothing."""
    data = clip("a fox", 64, 64, seed=1, seconds=0.2)
    for size in {0, 1, 7, 8, 31, 32, 40, len(data) // 2, len(data) - 1}:
        cut = data[:size]
        assert check_structure(io.BytesIO(cut), "video/mp4", size)
        movie_facts(io.BytesIO(cut))


@pytest.mark.parametrize("boxes", [
    (FTYP, box(b"moov", header(), track(1280, 720)), MDAT),
    (FTYP, MDAT, box(b"moov", header(), track(1280, 720))),
    (FTYP, box(b"mdat", bytes(64), long=True), box(b"moov", header(), track(1280, 720), long=True)),
    (FTYP, box(b"moov", header(version=1), track(1280, 720, version=1)), MDAT),
    (FTYP, box(b"moov", track(0, 0), header(), track(1280, 720), track(0, 0)), MDAT),
    (FTYP, box(b"moov", header(450_000, 90_000), track(1280, 720), header(1, 1)), MDAT),
    (FTYP, box(b"moov", header(), track(320, 180), track(1280, 720)), MDAT),
    (FTYP, box(b"free", b"mvhd"), box(b"moov", box(b"udta", b"junk"), header(), track(1280, 720)), MDAT),
    (FTYP, box(b"moov", header(), track(1280, 720)), bytes(4) + b"mdat" + bytes(64)),
])  # fmt: skip
def test_boxes_may_stand_in_any_form(boxes: tuple[bytes, ...]) -> None:
    """Index first or last, 64-bit lengths, version 1 headers, sound tracks without sides, a last box without length."""
    assert facts(*boxes) == WHOLE


@pytest.mark.parametrize(("boxes", "found"), [
    ((), (None, None, None)),
    ((FTYP,), (None, None, None)),
    ((FTYP, box(b"moov")), (None, None, None)),
    ((FTYP, box(b"moov", header())), (None, None, 5.0)),
    ((FTYP, box(b"moov", header(scale=0), track(8, 6))), (8, 6, None)),
    ((FTYP, box(b"moov", box(b"mvhd", bytes(10)), track(8, 6))), (8, 6, None)),
    ((FTYP, box(b"moov", box(b"mvhd", b"\1" + bytes(26)), track(8, 6))), (8, 6, None)),
    ((FTYP, box(b"moov", header(), box(b"trak", box(b"tkhd", bytes(83))))), (None, None, 5.0)),
    ((FTYP, box(b"moov", header(), box(b"trak", box(b"tkhd", b"\1" + bytes(90))))), (None, None, 5.0)),
    ((FTYP, box(b"moov", header())[:-20]), (None, None, None)),
    ((FTYP, struct.pack(">I", 3) + b"moov", header()), (None, None, None)),
    ((FTYP, struct.pack(">I4sQ", 1, b"moov", 4), header()), (None, None, None)),
    ((FTYP, struct.pack(">I4sQ", 1, b"moov", 2**63), header()), (None, None, None)),
    ((FTYP, box(b"moov", header(0))), (None, None, 0.0)),
])  # fmt: skip
def test_what_is_not_said_stays_open(
    boxes: tuple[bytes, ...], found: tuple[int | None, int | None, float | None]
) -> None:
    """Missing, short, cut or impossible boxes leave their fact open and stop the reading; nothing is raised."""
    read = facts(*boxes)
    assert (read.width, read.height, read.duration_s) == found


def described(kind: bytes, entry: bytes, *, runs: bytes = b"", scale: int = 1000, version: int = 0) -> bytes:
    """Return a track of ``kind`` (``vide``, ``soun``) with the first entry of its sample description."""
    times = struct.pack(">QQI" if version else ">III", 0, 0, scale)
    media = box(b"mdhd", bytes([version, 0, 0, 0]), times, bytes(12))
    handler = box(b"hdlr", bytes(8), kind, bytes(12))
    table = box(b"stsd", bytes(4), struct.pack(">I", 1), struct.pack(">I", len(entry) + 4), entry)
    return box(b"trak", box(b"mdia", media, handler, box(b"minf", box(b"stbl", table, box(b"stts", bytes(4), runs)))))


def esds(kind: bytes, object_type: int, *, long: bool = False) -> bytes:
    """Return a sample entry with an esds; ``long`` writes lengths in four bytes, as QuickTime does."""
    length = b"\x80\x80\x80\x10" if long else b"\x10"
    return kind + bytes(28) + b"esds" + bytes(4) + b"\3" + length + bytes(3) + b"\4" + length + bytes([object_type, 0])


RUNS = struct.pack(">IIIII", 2, 23, 1000, 1, 1000)


@pytest.mark.parametrize(("tracks", "found"), [
    ([described(b"vide", b"avc1", runs=RUNS, scale=24_000)], (24.0, "h264", None)),
    ([described(b"vide", b"hvc1", runs=RUNS, scale=24_000, version=1)], (24.0, "hevc", None)),
    ([described(b"soun", b"Opus"), described(b"vide", b"av01", runs=RUNS, scale=30_000)], (30.0, "av1", "opus")),
    ([described(b"vide", esds(b"mp4v", 0x20)), described(b"soun", esds(b"mp4a", 0x40, long=True))],
     (None, "mpeg4", "aac")),
    ([described(b"vide", b"what"), described(b"soun", esds(b"mp4a", 0xFF))], (None, None, None)),
    ([described(b"vide", b"mp4v"), described(b"soun", b"mp4a" + b"esds" + bytes(4) + b"\3\x10")], (None, None, None)),
    ([described(b"soun", b"mp4a" + b"esds" + bytes(4) + b"\3\1" + bytes(3) + b"\4\x81\1")], (None, None, None)),
    ([described(b"vide", b"avc1", runs=struct.pack(">III", 1, 1, 5))], (None, "h264", None)),
    ([described(b"vide", b"avc1", runs=struct.pack(">III", 1, 9, 0))], (None, "h264", None)),
    ([described(b"vide", b"avc1", runs=struct.pack(">III", 2, 9, 5))], (None, "h264", None)),
    ([described(b"vide", b"avc1", runs=struct.pack(">I", 1 << 31))], (None, "h264", None)),
    ([described(b"vide", b"avc1", runs=RUNS, scale=0)], (None, "h264", None)),
    ([box(b"trak", box(b"mdia", box(b"mdhd", bytes(6)), box(b"hdlr", bytes(8), b"vide")))], (None, None, None)),
])  # fmt: skip
def test_rate_and_codecs(tracks: list[bytes], found: tuple[float | None, str | None, str | None]) -> None:
    """Frames a second from the runs of the film's track, codecs by their four letters or esds; else nothing."""
    read = facts(FTYP, box(b"moov", header(), *tracks), MDAT)
    assert (read.fps, read.video_codec, read.audio_codec) == found


def test_boxes_nested_without_end_are_left() -> None:
    """A file of containers in containers is read to a fixed depth only."""
    deep = header()
    for _ in range(500):
        deep = box(b"trak", deep)
    assert facts(FTYP, box(b"moov", deep)).duration_s is None


def test_quicktime_keeps_its_name() -> None:
    """A .mov has the same boxes and its own type."""
    data = box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"moov", header(), track(1280, 720)) + MDAT
    assert inspect(io.BytesIO(data)) == Sniffed("video/quicktime", 1280, 720, duration_s=5.0)
