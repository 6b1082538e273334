"""Colours: mixing, the palettes of each light, and the palette a brief asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

    from .words import Brief

RGB = tuple[int, int, int]

WHITE: Final[RGB] = (255, 255, 255)
BLACK: Final[RGB] = (0, 0, 0)

NAMED_COLOURS: Final[dict[str, RGB]] = {
    "red": (206, 48, 44),
    "orange": (232, 126, 42),
    "yellow": (240, 196, 64),
    "green": (64, 148, 84),
    "teal": (38, 160, 160),
    "blue": (46, 98, 196),
    "purple": (126, 72, 178),
    "pink": (236, 132, 160),
    "white": (242, 240, 236),
    "black": (38, 38, 44),
    "brown": (124, 82, 54),
    "grey": (142, 146, 152),
}


@dataclass(frozen=True)
class Palette:
    """The colours of one picture, each channel 0 to 255.

    `top`, `mid` and `low` are the sky from the zenith to the horizon, `light` the sun or moon, `far` and `near`
    the ends of the range in which things fade into the distance, `ground` the foreground, `accents` five contrasting
    colours; `stars` tells whether stars are out, `haze` (0 to 1) how much mist lies between the layers.
    """

    top: RGB
    mid: RGB
    low: RGB
    light: RGB
    far: RGB
    near: RGB
    ground: RGB
    accents: tuple[RGB, RGB, RGB, RGB, RGB]
    stars: bool = False
    haze: float = 0.25

    def leaning(self, hue: RGB, amount: float) -> Palette:
        """Return the palette with sky and land moved by about `amount` (0 to 0.6) to `hue`."""
        return replace(
            self,
            top=tint(self.top, hue, amount * 1.6),
            mid=tint(self.mid, hue, amount),
            low=tint(self.low, hue, amount * 0.5),
            far=tint(self.far, hue, amount),
            near=tint(self.near, hue, amount),
        )


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """Return the colour `share` (0 to 1) of the way from `first` to `second`."""
    return (
        round(first[0] + (second[0] - first[0]) * share),
        round(first[1] + (second[1] - first[1]) * share),
        round(first[2] + (second[2] - first[2]) * share),
    )


def shade(colour: RGB, factor: float) -> RGB:
    """Return `colour` darkened (`factor` 0 to 1) or lightened towards white (`factor` 1 to 2)."""
    return mix(BLACK, colour, factor) if factor <= 1 else mix(colour, WHITE, factor - 1)


def luminance(colour: RGB) -> float:
    """Return the perceived brightness of `colour`, 0 to 255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def tint(colour: RGB, target: RGB, amount: float) -> RGB:
    """Return `colour` moved by `amount` (0 to 1) to the hue of `target` while its brightness stays about the same."""
    ratio = luminance(colour) / max(1.0, luminance(target))
    same = shade(target, ratio) if ratio <= 1 else mix(target, WHITE, min(1.0, (ratio - 1) / 1.6))
    return mix(colour, same, amount)


_CLASSIC: Final = ((16, 48, 78), (226, 88, 62), (244, 214, 164), (92, 194, 208), (150, 26, 66))
_DUSKY: Final = ((58, 40, 84), (222, 96, 96), (252, 206, 146), (108, 132, 190), (170, 58, 110))
_FRESH: Final = ((28, 78, 96), (240, 148, 78), (250, 234, 196), (116, 186, 148), (204, 78, 92))
_ELECTRIC: Final = ((30, 16, 70), (255, 62, 150), (96, 240, 240), (140, 90, 255), (255, 196, 84))
_COOL: Final = ((20, 32, 74), (112, 140, 214), (226, 230, 246), (88, 188, 206), (176, 120, 200))

PALETTES: Final[dict[str, Palette]] = {
    "dawn": Palette(
        (70, 86, 146),
        (222, 150, 158),
        (255, 214, 172),
        (255, 240, 212),
        (196, 152, 166),
        (52, 46, 76),
        (40, 34, 58),
        _DUSKY,
    ),
    "day": Palette(
        (54, 128, 200),
        (132, 192, 230),
        (232, 242, 240),
        (255, 252, 232),
        (156, 192, 208),
        (30, 74, 84),
        (30, 82, 66),
        _FRESH,
    ),
    "sunset": Palette(
        (62, 36, 96),
        (212, 86, 92),
        (255, 184, 104),
        (255, 230, 164),
        (190, 98, 104),
        (50, 22, 48),
        (36, 16, 38),
        _CLASSIC,
    ),
    "night": Palette(
        (7, 11, 34),
        (20, 36, 82),
        (64, 88, 142),
        (238, 242, 255),
        (52, 70, 118),
        (9, 14, 34),
        (7, 11, 26),
        _COOL,
        stars=True,
        haze=0.2,
    ),
    "neon": Palette(
        (16, 7, 42),
        (78, 22, 112),
        (226, 64, 158),
        (255, 220, 246),
        (96, 38, 130),
        (16, 7, 34),
        (12, 5, 26),
        _ELECTRIC,
        stars=True,
        haze=0.2,
    ),
    "space": Palette(
        (8, 8, 28),
        (34, 30, 84),
        (60, 112, 136),
        (255, 236, 204),
        (70, 70, 130),
        (12, 10, 34),
        (8, 8, 24),
        _COOL,
        stars=True,
        haze=0.1,
    ),
}


def palette_for(brief: Brief, rng: Random) -> Palette:
    """Return the palette of `brief`: its light, then season, weather, colour words; `rng` fills what it leaves open."""
    palette = PALETTES[brief.light or _usual_light(brief.scene, rng)]
    if brief.scene == "orbs" and brief.light in (None, "dawn", "day", "sunset"):
        palette = replace(PALETTES["space"], accents=palette.accents)
    if brief.season is not None:
        palette = _SEASONED[brief.season](palette)
    if "fog" in brief.weather:
        palette = _fogged(palette)
    if brief.tints:
        palette = _tinted(palette, brief.tints)
    return _jittered(palette, rng)


def _usual_light(scene: str, rng: Random) -> str:
    choice = rng.random()
    usual = {
        "orbs": ("space",),
        "desk": ("dawn", "day"),
        "meadow": ("day", "dawn"),
        "city": ("sunset", "night", "dawn"),
    }
    lights = usual.get(scene, ("dawn", "day", "sunset"))
    return lights[int(choice * len(lights))]


def _winter(palette: Palette) -> Palette:
    snow = mix(palette.low, (226, 236, 250), 0.6)
    if palette.stars:
        snow = mix(snow, palette.mid, 0.55)
    return replace(
        palette,
        mid=mix(palette.mid, (196, 208, 232), 0.18),
        far=mix(palette.far, snow, 0.45),
        near=mix(palette.near, (64, 84, 122), 0.35),
        ground=mix(snow, palette.near, 0.12),
    )


def _autumn(palette: Palette) -> Palette:
    dim = 0.45 if palette.stars else 1.0
    return replace(
        palette,
        top=mix(palette.top, shade((122, 104, 62), dim), 0.55),
        mid=mix(palette.mid, shade((206, 150, 78), dim), 0.5),
        low=mix(palette.low, shade((246, 206, 138), dim), 0.55),
        far=mix(palette.far, shade((198, 140, 86), dim), 0.6),
        near=mix(palette.near, shade((74, 38, 22), dim), 0.6),
        ground=mix(palette.ground, shade((62, 34, 20), dim), 0.7),
        accents=((92, 44, 24), (204, 84, 36), (244, 196, 108), (150, 128, 58), (168, 44, 40)),
    )


def _spring(palette: Palette) -> Palette:
    dim = 0.5 if palette.stars else 1.0
    return replace(
        palette,
        low=mix(palette.low, shade((255, 224, 230), dim), 0.45),
        far=mix(palette.far, shade((196, 206, 170), dim), 0.4),
        near=mix(palette.near, shade((48, 96, 66), dim), 0.4),
        ground=mix(palette.ground, shade((58, 110, 64), dim), 0.5),
        accents=((60, 104, 84), (240, 138, 164), (255, 238, 218), (146, 196, 128), (250, 196, 108)),
    )


_SEASONED: Final = {"winter": _winter, "autumn": _autumn, "spring": _spring}


def _fogged(palette: Palette) -> Palette:
    pale = mix(palette.low, palette.mid, 0.35)
    return replace(
        palette,
        mid=mix(palette.mid, pale, 0.45),
        far=mix(palette.far, pale, 0.5),
        near=mix(palette.near, pale, 0.12),
        haze=0.85,
    )


def _tinted(palette: Palette, tints: tuple[RGB, ...]) -> Palette:
    first, second = tints[0], tints[-1]
    dark, *others = palette.accents
    return replace(
        palette,
        top=tint(palette.top, first, 0.6),
        mid=tint(palette.mid, first, 0.6),
        low=tint(palette.low, second, 0.5),
        far=tint(palette.far, second, 0.5),
        near=tint(palette.near, first, 0.5),
        ground=tint(palette.ground, first, 0.45),
        accents=(tint(dark, first, 0.7), first, others[1], second, tint(others[3], second, 0.6)),
    )


def _jittered(palette: Palette, rng: Random) -> Palette:
    """Shift the hue a little, so that two seeds of one prompt do not share every colour."""
    return palette.leaning((rng.randrange(256), rng.randrange(256), rng.randrange(256)), 0.10)
