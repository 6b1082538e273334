"""Sizes of Wan 2.7 pictures, as the relays that pass them on state them alike (contracts.md 2.2, 3.2; seed 003)."""

from __future__ import annotations

from math import gcd, isqrt, sqrt

TIERS = {"1K": 1024, "2K": 2048, "4K": 4096}  # sides in pixels
LEAST = 768 * 768  # pixels in all, of every explicit size
SLIMMEST = 8  # 1:8 to 8:1, results and inputs alike
SIZE = r"^(?:[124]K|[1-9][0-9]*[x*][1-9][0-9]*)$"  # a tier, WxH or W*H
_FINE = 32  # the least multiple of an aspect that stays near its tier


def sides(size: str) -> tuple[int, int]:
    """Return width and height of `WxH` or `W*H`."""
    width, _, height = size.replace("*", "x").partition("x")
    return int(width), int(height)


def fault(size: str, tier: str) -> str:
    """Return what is wrong with an explicit size whose area may be that of `tier` at most; "" for a good one."""
    width, height = sides(size)
    most = TIERS[tier] ** 2
    if not LEAST <= width * height <= most:
        return f"{size} has {width * height} pixels, {LEAST} to {most} are taken here"
    if max(width, height) > SLIMMEST * min(width, height):
        return f"{size} is slimmer than 1:{SLIMMEST}"
    return ""


def pixels(size: str, shape: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """Return the sides of a result: an explicit size as it is, a tier in the aspect of `shape`.

    The sides are w*k x h*k of the reduced aspect, k the largest even number whose area fits the tier. A photograph's
    aspect may reduce to terms so large that such a k falls far short of the tier, even below the least total; then both
    sides are rounded down to even numbers instead (not documented).
    """
    if size not in TIERS:
        return sides(size)
    side = TIERS[size]
    width, height = shape[0] // gcd(*shape), shape[1] // gcd(*shape)
    k = isqrt(side * side // (width * height)) // 2 * 2
    if k >= _FINE:
        return width * k, height * k
    scale = side / sqrt(width * height)
    return int(width * scale) // 2 * 2, int(height * scale) // 2 * 2
