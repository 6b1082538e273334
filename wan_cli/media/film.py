"""What only a decoder can say of a video: its frames, and facts of containers that wan does not read itself.

The extra ``[video]`` (PyAV) does it. The container is named by our own look at the first bytes, never guessed by the
library from the content: else a playlist that is called ``clip.mp4`` would open other files (reliability.md S12).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from wan_cli.dataclass import replace
from wan_cli.errors import ConfigInvalid, FileInvalid, StateUnusable
from wan_cli.extras import install
from wan_cli.intake import digest_of, open_regular
from wan_cli.media.formats import Sniffed
from wan_cli.media.sniffing import MAX_PIXELS
from wan_cli.media.structure import inspect
from wan_cli.whole import whole

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from PIL.Image import Image

Which = Literal["first", "last"]
"""Which frame of a video: the one that it begins or ends with."""

DEMUXERS = {
    "video/mp4": "mov", "video/quicktime": "mov", "video/webm": "matroska", "video/x-matroska": "matroska",
}  # fmt: skip
"""FFmpeg's reader of each container that is opened; no other is."""

POSTER_SUFFIX = ".poster.jpg"
POSTER_BYTES = 64 * 1024 * 1024
"""Bytes of a file in a poster's place that are compared; no poster has as many."""
POSTER_QUALITY = 90
"""JPEG quality, 1 to 95 (Pillow's handbook): a poster is looked at in full size."""

_FULL_TURN, _QUARTER = 360, 90


def installed() -> bool:
    """Tell whether PyAV is there, without importing it."""
    return find_spec("av") is not None


def require(what: str) -> None:
    """Raise ``ConfigInvalid`` where the extra is missing; ``what`` is what needs it."""
    if not installed():
        raise ConfigInvalid(f"{what} needs PyAV (the extra [video]), which is not installed", hint=install("video"))


def frame(path: Path, which: Which) -> Image:
    """Decode one frame, upright and with square pixels, in RGB.

    Raises ``ValueError`` for what holds no frame that can be shown, ``OSError`` and PyAV's own errors.
    """
    with open_regular(path) as file, _opened(file) as movie:
        if not movie.streams.video:
            raise ValueError("it holds no picture")
        stream = movie.streams.video[0]
        if stream.width * stream.height > MAX_PIXELS:
            raise ValueError(f"it is {stream.width}x{stream.height}; at most {MAX_PIXELS:,} pixels are opened")
        found = next(movie.decode(stream), None) if which == "first" else _last(movie, stream)
        if found is None:
            raise ValueError("it holds no picture")
        return _upright(found, stream)


def _last(movie: InputContainer, stream: av.VideoStream) -> av.VideoFrame | None:
    """Decode from the last key frame to the end; from the start where that finds nothing."""
    stream.thread_type = "AUTO"
    found = None
    for start in ((stream.start_time or 0) + (stream.duration or 0), 0):
        movie.seek(start, stream=stream, backward=True)
        for found in movie.decode(stream):  # noqa: B007 - the last one is wanted
            pass
        if found is not None:
            return found
    return None


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[InputContainer]:
    """Open a video by what its first bytes say it is. Raises ``ValueError`` for another kind."""
    import av

    container = DEMUXERS.get(inspect(file).mime)
    if container is None:
        raise ValueError("it is no video that can be opened")
    file.seek(0)
    with av.open(file, "r", format=container) as movie:
        yield movie


def _upright(found: av.VideoFrame, stream: av.VideoStream) -> Image:
    """Return the picture as a player shows it: turned as the file says, and its pixels square."""
    image: Image = found.to_image()  # type: ignore[no-untyped-call] # as av is
    shape = stream.sample_aspect_ratio
    if shape and shape != 1:
        image = image.resize((max(1, round(image.width * shape)), image.height))
    turns = round(found.rotation / _QUARTER) * _QUARTER % _FULL_TURN
    return image.rotate(turns, expand=True) if turns else image


def with_film_facts(known: Sniffed, file: IO[bytes]) -> Sniffed:
    """Return ``known`` with what PyAV says where our own reader found nothing; as it is without the extra.

    ``file`` is open and seekable. Raises nothing: what is not known stays open.
    """
    wanted = (known.duration_s, known.fps, known.video_codec, known.width)
    if known.mime not in DEMUXERS or None not in wanted or not installed():
        return known
    with suppress(Exception), _opened(file) as movie:  # whatever a decoder makes of a file
        seconds = movie.duration / 1_000_000 if movie.duration else None  # libav counts microseconds
        pictures, sounds = movie.streams.video, movie.streams.audio
        film = pictures[0] if pictures else None
        rate = film.average_rate if film else None
        return replace(
            known,
            width=known.width or (film.width if film else None) or None,
            height=known.height or (film.height if film else None) or None,
            duration_s=known.duration_s or (round(seconds, 3) if seconds else None),
            fps=known.fps or (round(float(rate), 3) if rate else None),
            video_codec=known.video_codec or (film.codec.canonical_name if film else None),
            audio_codec=known.audio_codec or (sounds[0].codec.canonical_name if sounds else None),
        )
    return known


def cut(path: str, which: Which, folder: Path) -> Path:
    """Return the PNG of a clip's first or last frame, made once for each content, so that a request stays the same.

    ``folder`` is made for this user alone by the caller. Raises ``FileInvalid`` for a clip that cannot be opened, and
    ``StateUnusable`` where the picture cannot be kept.
    """
    digest = digest_of(path)
    if digest is None:
        raise FileInvalid(f"{path} cannot be read", hint="check the path and its permissions")
    kept = folder / f"{digest[:40]}-{which}.png"
    with suppress(OSError):
        os.utime(kept)  # its age counts from its last use
        return kept
    try:
        image = frame(Path(path), which)
    except Exception as error:  # whatever a decoder makes of a file
        why = getattr(error, "strerror", None) or error  # PyAV's own words beside it are a number
        raise FileInvalid(f"{path}: its {which} frame cannot be taken: {why}", hint="give a picture") from error
    try:
        with whole(kept, mode=0o600) as out:
            image.save(out, "PNG")
    except OSError as error:
        raise StateUnusable(f"{kept} could not be written: {error.strerror}", hint="wan doctor") from error
    return kept


def poster_path(video: Path) -> Path:
    """Return where the poster of a video stands: ``clip.poster.jpg`` for ``clip.mp4``."""
    return video.with_name(video.stem + POSTER_SUFFIX)


def poster(path: Path) -> bytes:
    """Return a video's first frame as a JPEG of its own size. Raises what :func:`frame` raises."""
    data = BytesIO()
    frame(path, "first").save(data, "JPEG", quality=POSTER_QUALITY, optimize=True)
    return data.getvalue()
