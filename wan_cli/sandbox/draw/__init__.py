"""Draws the pictures of the offline sandbox with Pillow: no model, no network, the same pixels every time."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from PIL.PngImagePlugin import PngInfo

from .caption import add_caption
from .compose import SOFTWARE, edit, fuse, keep
from .palette import palette_for
from .scenes import paint
from .stage import seeded
from .words import Brief, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

__all__ = ["picture", "scene"]

# The light and season of each frame of a sequence; a longer sequence starts over with the colours turned a little.
_PHASES: tuple[tuple[str, str | None], ...] = (
    ("dawn", "spring"),
    ("day", None),
    ("sunset", "autumn"),
    ("night", "winter"),
    ("day", "winter"),
    ("sunset", None),
    ("night", None),
    ("day", "autumn"),
)


def picture(
    prompt: str,
    width: int,
    height: int,
    *,
    seed: int,
    index: int = 1,
    inputs: Sequence[bytes] = (),
    verb: str = "generate",
    watermark: bool = False,
) -> bytes:
    """Return a PNG of exactly `width` x `height` pixels that illustrates `prompt`.

    The same arguments always give the same pixels. `seed` is any integer, `index` counts from 1: a variation of the
    seed, or with verb "sequence" the next moment of one scene. `inputs` are whole image files (PNG, JPEG, WebP, BMP,
    GIF): "edit" changes the first, "fuse" joins all, "sequence" keeps them in view; "generate" given inputs edits them.
    `watermark` adds a visible "AI generated" mark.

    Raises ValueError for a size or index below 1, an unknown verb, an edit or fusion without inputs, and an input
    that cannot be decoded.
    """
    image = scene(prompt, width, height, seed=seed, index=index, inputs=inputs, verb=verb)
    add_caption(image, prompt, seed, watermark=watermark)
    return _png(image, prompt)


def scene(
    prompt: str,
    width: int,
    height: int,
    *,
    seed: int,
    index: int = 1,
    inputs: Sequence[bytes] = (),
    verb: str = "generate",
) -> Image.Image:
    """Return the picture of `picture` before its caption, as RGB. Raises ValueError as that does."""
    _check(width, height, index, inputs, verb)
    turn = 1 if verb == "sequence" else index
    # A sequence keeps one key, hence one layout; other verbs vary everything with the index.
    return _draw(read(prompt), f"{seed}\x1f{turn}\x1f{prompt}", (width, height), index, inputs, verb)


def _check(width: int, height: int, index: int, inputs: Sequence[bytes], verb: str) -> None:
    if width < 1 or height < 1 or index < 1:
        message = f"width, height and index must be at least 1, not {width}, {height} and {index}"
        raise ValueError(message)
    if verb not in ("generate", "edit", "fuse", "sequence"):
        message = f"unknown verb {verb!r}"
        raise ValueError(message)
    if verb in ("edit", "fuse") and not inputs:
        message = f"{verb} needs at least one input image"
        raise ValueError(message)


def _draw(brief: Brief, key: str, size: tuple[int, int], index: int, inputs: Sequence[bytes], verb: str) -> Image.Image:
    if verb == "sequence":
        brief = brief.at(*_PHASES[(index - 1) % len(_PHASES)])
    palette = palette_for(brief, seeded(key, "palette"))
    if verb == "sequence" and index > len(_PHASES):
        lean = seeded(key, "phase", index)
        palette = palette.leaning((lean.randrange(256), lean.randrange(256), lean.randrange(256)), 0.4)
    painted = paint(brief, palette, key, *size)
    if verb == "fuse":
        return fuse(inputs, painted)
    if verb == "sequence" and inputs:
        return keep(inputs, painted, palette)
    return edit(inputs, painted, palette) if inputs else painted


def _png(image: Image.Image, prompt: str) -> bytes:
    """Encode with the marks that tell the picture was drawn here; fast rather than small."""
    marks = PngInfo()
    marks.add_text("Software", SOFTWARE)
    # PNG text cannot hold NUL or lone surrogates; Pillow picks iTXt by itself for what is not Latin-1.
    marks.add_text("Description", prompt.replace("\0", " ").encode("utf-8", "replace").decode("utf-8"))
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1, pnginfo=marks)
    return buffer.getvalue()
