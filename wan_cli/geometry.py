"""Sizes and shapes: tiers, pixels, aspect ratios."""

from __future__ import annotations

import math
import re

from wan_cli.errors import UsageError
from wan_cli.pattern import pattern

TIERS = {"1K": 1024, "2K": 2048, "4K": 4096}
"""A tier's side in pixels: its area is at most the side squared (interface.md, section 2)."""

_PIXELS = pattern(r"([1-9]\d{0,5})[xX*]([1-9]\d{0,5})", re.ASCII)
_ASPECT = pattern(r"([1-9]\d{0,4}):([1-9]\d{0,4})", re.ASCII)


def parse_pixels(size: str) -> tuple[int, int] | None:
    """Return width and height of ``WxH`` or ``W*H``, or ``None`` where ``size`` is neither."""
    match = _PIXELS.fullmatch(size)
    return (int(match[1]), int(match[2])) if match else None


def parse_aspect(aspect: str) -> tuple[int, int] | None:
    """Return the two numbers of ``W:H`` as written, or ``None``."""
    match = _ASPECT.fullmatch(aspect)
    return (int(match[1]), int(match[2])) if match else None


def reduced(width: int, height: int) -> tuple[int, int]:
    """Return the ratio in lowest terms."""
    common = math.gcd(width, height)
    return width // common, height // common


def tier_pixels(tier: str, aspect: tuple[int, int]) -> tuple[int, int]:
    """Return W·k x H·k for the largest even k whose area is at most the tier's side squared.

    16:9 at 2K is 2720x1530 (interface.md, section 2). The numbers count as written; a ratio too fine for an even k is
    taken in lowest terms, and then with the largest odd one. Raises ``UsageError`` where even that exceeds the tier:
    nothing of exactly that shape can be made at that size.
    """
    side = TIERS[tier]
    for width, height in (aspect, reduced(*aspect)):
        if k := math.isqrt(side * side // (width * height)) // 2 * 2:
            return width * k, height * k
    width, height = reduced(*aspect)
    if width * height > side * side:
        msg = f"{width}:{height} has no {tier} size: {width}x{height} is already more than {side}x{side} pixels"
        raise UsageError(msg, hint="use a simpler ratio such as 16:9, or pixels: --size WIDTHxHEIGHT")
    return width, height


def same_shape(pixels: tuple[int, int], aspect: tuple[int, int], tolerance: float = 0.02) -> bool:
    """Tell whether a picture has this shape: within ``tolerance``, since providers round to their model's grid.

    Sides of zero (a damaged picture's) are no shape at all.
    """
    if 0 in pixels:
        return False
    wanted, given = aspect[0] / aspect[1], pixels[0] / pixels[1]
    return abs(given - wanted) <= tolerance * wanted
