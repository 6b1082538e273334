"""Sizes and shapes."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_cli import geometry
from wan_cli.errors import UsageError

NUMBERS = st.integers(1, 99_999)


@pytest.mark.parametrize("text", ["1920x1080", "1920X1080", "1920*1080"])
def test_pixels_are_read_in_every_spelling(text: str) -> None:
    """Both `x` and `*` separate the sides."""
    assert geometry.parse_pixels(text) == (1920, 1080)


@pytest.mark.parametrize(
    "text", ["", "2K", "0x1", "01x1", "1x", "1x1x1", "-1x1", "1 x 1", "\u0661x\u0661", "1x1\n", "1x1000000"]
)
def test_what_is_not_pixels_is_none(text: str) -> None:
    """Zeros, signs, blanks, foreign digits and more than six digits are no size."""
    assert geometry.parse_pixels(text) is None


@pytest.mark.parametrize(
    ("text", "expected"), [("16:9", (16, 9)), ("2:2", (2, 2)), ("0:1", None), ("16x9", None), ("1:1\n", None)]
)
def test_an_aspect_is_two_numbers_as_written(text: str, expected: tuple[int, int] | None) -> None:
    """A ratio is not reduced when read, and nothing else is a ratio."""
    assert geometry.parse_aspect(text) == expected


@pytest.mark.parametrize(
    ("tier", "aspect", "expected"),
    [
        ("2K", (16, 9), (2720, 1530)),
        ("1K", (1, 1), (1024, 1024)),
        ("2K", (32, 18), (2688, 1512)),
        ("4K", (9, 16), (3060, 5440)),
        ("1K", (1000, 999), (1000, 999)),
        ("1K", (512, 511), (1024, 1022)),
        ("1K", (2000, 1000), (1448, 724)),
        ("1K", (1500, 1498), (750, 749)),
    ],
)
def test_a_tier_and_a_shape_give_pixels(tier: str, aspect: tuple[int, int], expected: tuple[int, int]) -> None:
    """16:9 at 2K is the contract's 2720x1530; numbers count as written, and in lowest terms where they are too fine."""
    assert geometry.tier_pixels(tier, aspect) == expected


@pytest.mark.parametrize("aspect", [(1921, 1080), (99_999, 99_998), (1, 99_999_999)])
def test_a_shape_too_fine_for_its_tier_is_refused(aspect: tuple[int, int]) -> None:
    """A ratio whose own numbers exceed the tier is refused, not made bigger than the tier."""
    with pytest.raises(UsageError, match="has no 1K size") as caught:
        geometry.tier_pixels("1K", aspect)

    assert "16:9" in caught.value.hint


@settings(deadline=None)
@given(tier=st.sampled_from(["1K", "2K", "4K"]), width=NUMBERS, height=NUMBERS)
def test_tier_pixels_keep_the_shape_and_the_area(tier: str, width: int, height: int) -> None:
    """What comes out has exactly the ratio and never more than the tier's area; no larger even k would fit."""
    area = geometry.TIERS[tier] ** 2
    reduced = geometry.reduced(width, height)
    try:
        wide, high = geometry.tier_pixels(tier, (width, height))
    except UsageError:
        assert math.prod(reduced) > area
        return

    assert geometry.reduced(wide, high) == reduced
    assert wide * high <= area
    base = (width, height) if width * height * 4 <= area else reduced
    k = wide // base[0]
    assert k == 1 or k % 2 == 0
    assert math.prod(base) * (k + 2 - k % 2) ** 2 > area


@pytest.mark.parametrize(
    ("pixels", "aspect", "expected"),
    [
        ((2720, 1530), (16, 9), True),
        ((2730, 1530), (16, 9), True),
        ((1536, 1024), (16, 9), False),
        ((1530, 2720), (16, 9), False),
        ((0, 100), (1, 1), False),
        ((100, 0), (1, 1), False),
    ],
)
def test_a_shape_is_the_same_within_two_per_cent(
    pixels: tuple[int, int], aspect: tuple[int, int], *, expected: bool
) -> None:
    """Rounding to a model's grid is forgiven; another shape, a turned one or a side of zero is not."""
    assert geometry.same_shape(pixels, aspect) is expected
