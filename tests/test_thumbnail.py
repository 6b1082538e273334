"""Claims about small pictures: what can be opened has one, whatever else is there has none, and nothing ever fails."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import av
import pytest
from PIL import Image

from wan_cli.media.thumbnail import Small, thumbnail


def opened(small: Small) -> Image.Image:
    """Return the small picture."""
    assert small.jpeg is not None
    return Image.open(io.BytesIO(small.jpeg))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_picture_has_a_small_one(tmp_path: Path, form: str, mode: str) -> None:
    """The longer side is as asked, the shape stays, and the sides of the whole are told."""
    path = tmp_path / "a.bin"
    Image.new(mode, (800, 400), 120).save(path, form)
    small = thumbnail(path, 320)
    assert (small.width, small.height) == (800, 400)
    assert opened(small).size == (320, 160)
    assert opened(small).format == "JPEG"


def test_a_small_picture_is_not_enlarged_and_clear_is_white(tmp_path: Path) -> None:
    """What is smaller stays as it is; where a picture is transparent its preview is white."""
    path = tmp_path / "a.png"
    Image.new("RGBA", (40, 30), (255, 0, 0, 0)).save(path)
    shown = opened(thumbnail(path, 320))
    assert shown.size == (40, 30)
    assert min(shown.getpixel((5, 5))) > 250  # type: ignore[type-var,arg-type] # three numbers


def test_a_turned_photo_stands_upright(tmp_path: Path) -> None:
    """What a camera noted about the way it was held is obeyed."""
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 200), "red").save(path, exif=exif)
    assert opened(thumbnail(path, 100)).size == (50, 100)


def test_a_video_shows_its_first_frame(tmp_path: Path) -> None:
    """A film's preview is its first picture."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as movie:
        stream = movie.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 320, 160, "yuv420p"
        for shade in (250, 10, 10):
            frame = av.VideoFrame.from_image(Image.new("RGB", (320, 160), (shade, shade, shade)))
            movie.mux(stream.encode(frame))
        movie.mux(stream.encode())
    small = thumbnail(path, 160)
    assert (small.width, small.height) == (320, 160)
    assert opened(small).size == (160, 80)
    assert opened(small).convert("L").getpixel((80, 40)) > 200  # type: ignore[operator] # one number


def png(width: int, height: int, body: bytes = b"") -> bytes:
    """Return a PNG that says it has these sides."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "sides"),
    [(b"", (None, None)), (b"<html>", (None, None)), (png(20_000, 20_000), (20_000, 20_000)),
     (b"\x89PNG\r\n\x1a\n", (None, None)), (b"\0\0\0\x20ftypisom" + b"\0" * 40, (None, None)),
     (b"GIF89a\x05\0\x05\0\0\0\0;", (5, 5))],
)  # fmt: skip
def test_what_cannot_be_opened_has_none(tmp_path: Path, data: bytes, sides: tuple[int | None, int | None]) -> None:
    """Rubbish, bombs, broken films and formats that nobody asked for have no preview and raise nothing."""
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert thumbnail(path, 320) == Small(*sides)
    assert thumbnail(tmp_path / "missing.png", 320) == Small()
    assert thumbnail(tmp_path, 320) == Small()
