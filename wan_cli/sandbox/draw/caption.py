"""The caption bar: the prompt, and a second line that names the sandbox, seed and size."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFilter

from .fonts import length, readable, runs
from .stage import CAPTION_FREE

if TYPE_CHECKING:
    from .palette import RGB

# Longer prompts cannot fit the bar anyway; cutting first keeps 5,000 characters as fast as 50.
_LONGEST = 400
_SMALLEST_TEXT = 6
_SMALLEST_SIDE = 40


def add_caption(image: Image.Image, prompt: str, seed: int, *, watermark: bool) -> None:
    """Draw the caption bar over the bottom of `image` in place, with an "AI generated" mark when asked."""
    width, height = image.size
    if min(width, height) < _SMALLEST_SIDE:
        return
    top = round(height * CAPTION_FREE)
    bar = height - top
    _darken(image, top)
    margin = max(4, round(min(width * 0.035, bar * 0.3)))
    big = max(_SMALLEST_TEXT, round(min(bar * 0.30, width * 0.058)))
    small = max(_SMALLEST_TEXT, round(big * 0.58))
    draw = ImageDraw.Draw(image)
    room = width - 2 * margin
    facts = _fitted(f"SANDBOX · seed {seed} · {width}x{height}", small, room, 2)
    facts_height = round(small * 1.4) * len(facts)
    count = max(1, int((bar - margin * 0.9 - facts_height) / (big * 1.3)))
    lines = _fitted(readable(prompt[:_LONGEST]), big, room, min(count, 6))
    block = round(big * 1.3) * len(lines) + facts_height
    y = top + max(1, (bar - block) / 2)
    for line in lines:
        _write(draw, (margin, y + big * 1.0), line, big, (255, 255, 255))
        y += round(big * 1.3)
    for line in facts:
        _write(draw, (margin, y + small * 1.1), line, small, (200, 204, 214))
        y += round(small * 1.4)
    if watermark:
        _mark(image, top, margin, small)


def _darken(image: Image.Image, top: int) -> None:
    """Blur and darken everything below `top`, so that white text reads on any picture."""
    part = image.crop((0, top, image.width, image.height))
    ratio = min(1.0, 320 / max(part.size))
    small = part.resize((max(1, round(part.width * ratio)), max(1, round(part.height * ratio))), Image.Resampling.BOX)
    soft = small.filter(ImageFilter.GaussianBlur(3)).resize(part.size, Image.Resampling.BICUBIC)
    image.paste(Image.blend(soft, Image.new("RGB", part.size, (10, 12, 20)), 0.66), (0, top))


def _mark(image: Image.Image, top: int, margin: int, size: int) -> None:
    """Write "AI generated" on a small plate just above the bar, at the right."""
    text = readable("AI generated")
    wide, pad = length(text, size), size * 0.5
    if wide + 2 * pad > image.width:
        return
    right, bottom = image.width - margin, top - round(margin * 0.6)
    box = (round(right - wide - 2 * pad), round(bottom - size * 1.6), right, bottom)
    plate = image.crop(box)
    image.paste(Image.blend(plate, Image.new("RGB", plate.size, (10, 12, 20)), 0.6), box[:2])
    _write(ImageDraw.Draw(image), (box[0] + pad, bottom - size * 0.45), text, size, (255, 255, 255))


def _write(draw: ImageDraw.ImageDraw, start: tuple[float, float], text: str, size: int, colour: RGB) -> None:
    x, y = start
    for font, piece in runs(text, size):
        draw.text((x, y), piece, font=font, fill=colour, anchor="ls")
        x += font.getlength(piece)


def _fitted(text: str, size: int, room: float, most: int) -> list[str]:
    """Break `text` into at most `most` lines no wider than `room` pixels; what does not fit ends in an ellipsis."""
    lines: list[str] = []
    rest = text
    while rest and len(lines) < most:
        count = _prefix(rest, size, room)
        if count < len(rest):
            if len(lines) == most - 1:
                dots = readable("…")
                lines.append(rest[: _prefix(rest, size, room - length(dots, size))].rstrip() + dots)
                return lines
            count = _break_before(rest, count)
        lines.append(rest[:count].rstrip())
        rest = rest[count:].lstrip()
    return lines


def _prefix(text: str, size: int, room: float) -> int:
    """Return how many characters of `text`, at least one, fit into `room` pixels."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if length(text[:middle], size) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _break_before(text: str, count: int) -> int:
    """Return the best place to break at or before `count`: after a space or a wide (Chinese, Japanese) character."""
    for place in range(count, max(1, count // 2), -1):
        if text[place] == " " or unicodedata.east_asian_width(text[place - 1]) == "W":
            return place
    return count
