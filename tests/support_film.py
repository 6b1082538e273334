"""Small real videos, made by a real encoder: each frame is a shade of its own, so that frames can be told apart."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence

import av
from PIL import Image

SHADES = (250, 10, 90, 170)
"""The grey of each frame, first to last."""
SIDES = (320, 180)


@functools.cache
def film(
    form: str = "mp4", codec: str = "libx264", *, sound: str = "", shades: Sequence[int] = SHADES, rate: int = 4,
    sides: tuple[int, int] = SIDES,
) -> bytes:  # fmt: skip
    """Return a video of one frame a shade. ``sound`` is the encoder of a silent track; either may be left out."""
    data = io.BytesIO()
    with av.open(data, "w", format=form) as movie:
        noise = movie.add_stream(sound, rate=48_000) if sound else None
        if codec:
            stream = movie.add_stream(codec, rate=rate)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = *sides, "yuv420p"
            for shade in shades:
                movie.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", sides, (shade,) * 3))))
            movie.mux(stream.encode(None))
        if isinstance(noise, av.AudioStream):
            silent = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
            silent.sample_rate, silent.pts = 48_000, 0
            for plane in silent.planes:
                plane.update(bytes(plane.buffer_size))
            movie.mux(noise.encode(silent))
            movie.mux(noise.encode(None))
    return data.getvalue()


def shade_of(image: Image.Image) -> int:
    """Return the grey in the middle of a picture."""
    found = image.convert("L").getpixel((image.width // 2, image.height // 2))
    assert isinstance(found, int)
    return found


def turned(data: bytes) -> bytes:
    """Return an MP4 whose track says that it is shown turned a quarter clockwise, as telephones write it."""
    upright = b"".join(number.to_bytes(4, "big") for number in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    quarter = b"".join(
        (number % (1 << 32)).to_bytes(4, "big") for number in (0, 1 << 16, 0, -(1 << 16), 0, 0, 180 << 16, 0, 1 << 30)
    )
    at = data.index(upright, data.index(b"tkhd"))
    return data[:at] + quarter + data[at + len(upright) :]
