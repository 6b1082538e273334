"""Videos of the sandbox: a camera that moves over one large drawn picture, encoded as H.264 in MP4 by PyAV."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageChops, ImageDraw

from . import scene
from .caption import add_caption
from .compose import SOFTWARE, decode
from .stage import CAPTION_FREE, seeded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import av

__all__ = ["clip"]

_ZOOM = 1.2  # how much closer the camera comes; drawn scenes are this much larger than the video, so they stay sharp
_FADE = 0.6  # where in the video the last frame begins to come through
_BATCH = 16  # frames drawn ahead of the encoder
_THREADS = 4  # fixed, since what an encoder makes may depend on it
_MOVING = {b"ftyp": 4, b"\x1a\x45\xdf\xa3": 0}  # how MP4, QuickTime and WebM begin, and at which byte
# Alibaba's files are H.264 too (contracts.md 5.3); speed counts here, not size. With a fixed quantiser x264 makes the
# same bytes every time; with its rate control (crf) it did not.
_ENCODER = {"preset": "superfast", "qp": "24"}


class _Shot(NamedTuple):
    """One camera move: the picture it sees, where it is drawn to (0 to 1 across and down), and whether it backs off."""

    picture: Image.Image
    focus: tuple[float, float]
    backwards: bool


class _Plate(NamedTuple):
    """A part of the frame that stands still, and where its upper left corner is."""

    picture: Image.Image
    place: tuple[int, int]


def clip(
    prompt: str,
    width: int,
    height: int,
    *,
    seed: int,
    seconds: float,
    fps: int = 24,
    inputs: Sequence[bytes] = (),
    verb: str = "generate",
    watermark: bool = False,
) -> bytes:
    """Return an MP4 of `width` x `height` pixels (both even) and round(`seconds` * `fps`) frames that shows `prompt`.

    The same arguments give the same bytes on one machine. `inputs` are whole image or video files (of a video its first
    frame is seen): "generate" starts at the first and ends at the second, "edit" changes the first, "fuse" joins all.
    The caption bar stands still and names the sandbox; a line along its top shows how far the video is.

    Raises ValueError as `wan_cli.sandbox.draw.picture` does, and for odd sides or no frames at all.
    """
    frames = round(seconds * fps)
    if width % 2 or height % 2 or frames < 1:
        message = f"a video has even sides and a frame at least, not {width}x{height} and {frames} frames"
        raise ValueError(message)
    stills = [_still(data, prompt) for data in inputs]
    shots = _shots(prompt, (width, height), seed, stills, verb)
    plates = _plates(shots[0], (width, height), prompt, seed, watermark=watermark)
    return _encoded(_frames(shots, plates, (width, height), frames), (width, height), fps, prompt)


def _shots(prompt: str, size: tuple[int, int], seed: int, stills: Sequence[bytes], verb: str) -> list[_Shot]:
    """Return the one camera move, or the two that melt into each other."""
    rng = seeded(seed, prompt, "camera")
    focus, backwards = (rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.7)), rng.random() < 0.5 and not stills
    if verb == "generate" and stills:
        # A first frame is what the video starts with, so the camera can only come closer; to a last frame it backs off.
        first = _Shot(decode(stills[0], *size), focus, backwards=False)
        return [first, *(_Shot(decode(still, *size), focus, backwards=True) for still in stills[1:2])]
    large = round(size[0] * _ZOOM), round(size[1] * _ZOOM)
    return [_Shot(scene(prompt, *large, seed=seed, inputs=stills, verb=verb), focus, backwards)]


def _plates(shot: _Shot, size: tuple[int, int], prompt: str, seed: int, *, watermark: bool) -> list[_Plate]:
    """Return what stands still on every frame: the caption bar and, when asked for, the mark above it."""
    bare = _seen(shot, size, 0.0)
    captioned = bare.copy()
    add_caption(captioned, prompt, seed, watermark=watermark)
    top = round(size[1] * CAPTION_FREE)
    boxes = [(0, top, *size)]
    marked = ImageChops.difference(captioned, bare).crop((0, 0, size[0], top)).getbbox()
    if marked is not None:
        boxes.append(marked)
    return [_Plate(captioned.crop(box), box[:2]) for box in boxes]


def _frames(
    shots: Sequence[_Shot], plates: Sequence[_Plate], size: tuple[int, int], count: int
) -> Iterator[Image.Image]:
    """Yield every frame, drawn a few ahead by several threads (Pillow lets go of the interpreter while it resizes)."""

    def frame(number: int) -> Image.Image:
        time = number / max(1, count - 1)
        image = _seen(shots[0], size, time)
        if len(shots) > 1 and time > _FADE:
            image = Image.blend(image, _seen(shots[1], size, time), (time - _FADE) / (1 - _FADE))
        for plate in plates:
            image.paste(plate.picture, plate.place)
        top = round(size[1] * CAPTION_FREE)
        line = (0, top, round((size[0] - 1) * time), top + max(1, size[1] // 240))
        ImageDraw.Draw(image).rectangle(line, fill=(236, 190, 92))
        return image

    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, count, _BATCH):
            yield from pool.map(frame, range(start, min(count, start + _BATCH)))


def _seen(shot: _Shot, size: tuple[int, int], time: float) -> Image.Image:
    """Return what the camera sees at `time`, 0 to 1: the whole picture at first, the part around `focus` at last."""
    time = 1 - time if shot.backwards else time
    wide, high = shot.picture.size
    part = 1 / (1 + (_ZOOM - 1) * time * time * (3 - 2 * time))
    left, top = wide * (1 - part) * shot.focus[0], high * (1 - part) * shot.focus[1]
    box = (left, top, left + wide * part, top + high * part)
    return shot.picture.resize(size, Image.Resampling.BILINEAR, box=box)


def _still(data: bytes, prompt: str) -> bytes:
    """Return an image file: `data` itself, or a video's first frame; one that cannot be read gives a plain colour."""
    if not any(data.startswith(start, place) for start, place in _MOVING.items()):
        return data
    import av

    try:
        with av.open(BytesIO(data), "r") as container:
            image = next(container.decode(video=0)).to_image()  # type: ignore[no-untyped-call]
    except (av.FFmpegError, StopIteration, IndexError):
        shade = seeded(prompt, data)
        image = Image.new("RGB", (512, 512), (shade.randrange(256), shade.randrange(256), shade.randrange(256)))
    still = BytesIO()
    image.save(still, "PNG", compress_level=1)
    return still.getvalue()


def _encoded(frames: Iterator[Image.Image], size: tuple[int, int], fps: int, prompt: str) -> bytes:
    import av

    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        container.metadata["comment"] = SOFTWARE
        container.metadata["title"] = prompt.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")
        stream: av.VideoStream = container.add_stream("libx264", rate=fps, options=_ENCODER)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = _THREADS
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(image)))  # type: ignore[no-untyped-call]
        container.mux(stream.encode(None))
    return buffer.getvalue()
