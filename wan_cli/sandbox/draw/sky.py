"""Skies: gradient, clouds, sun or moon with its glow, stars, falling rain and snow."""

from __future__ import annotations

from PIL import Image

from .palette import RGB, mix, shade
from .stage import Point, Stage, cloud, column, falloff


def paint_sky(stage: Stage, horizon: float, sun: Point, radius: float) -> None:
    """Paint the sky down to `horizon` (y in pixels; the rest continues it) with a sun or moon of `radius` at `sun`."""
    palette = stage.palette
    width, height = stage.soft_size()
    scale = height / stage.height
    small = Image.new("RGB", (width, height), palette.low)
    sky_height = max(2, round(horizon * scale))
    small.paste(column((palette.top, palette.mid, palette.low), sky_height).resize((width, sky_height)))
    clouds = cloud(stage.rng("clouds"), (width, height), 1.6, 3.2)
    pale = mix(palette.low, palette.light, 0.3)
    small.paste(pale, (0, 0), clouds.point([round(max(0, value - 118) * 0.85) for value in range(256)]))
    deep = mix(palette.top, palette.mid, 0.3)
    small.paste(deep, (0, 0), clouds.point([round(max(0, 116 - value) * 0.7) for value in range(256)]))
    _halo(small, (sun[0] * scale, sun[1] * scale), radius * scale * 7, mix(palette.low, palette.light, 0.6), 0.75)
    _halo(small, (sun[0] * scale, sun[1] * scale), radius * scale * 3.4, palette.light, 0.5)
    stage.background(small)
    if palette.stars:
        paint_stars(stage, horizon)
    _disc(stage, sun, radius)


def _halo(small: Image.Image, centre: Point, radius: float, colour: RGB, strength: float) -> None:
    size = max(2, round(radius * 2))
    mask = falloff().point([round(value * strength) for value in range(256)]).resize((size, size))
    small.paste(colour, (round(centre[0] - radius), round(centre[1] - radius)), mask)


def _disc(stage: Stage, sun: Point, radius: float) -> None:
    x, y = sun
    light = stage.palette.light
    stage.oval(x, y, radius, radius, light)
    if stage.palette.stars:
        # A moon: a few faint seas keep it from reading as a sun.
        sea = shade(light, 0.93)
        for dx, dy, size in ((-0.35, -0.2, 0.24), (0.15, 0.3, 0.3), (0.38, -0.3, 0.16), (-0.3, 0.45, 0.12)):
            stage.oval(x + dx * radius, y + dy * radius, size * radius, size * radius * 0.85, sea)


def paint_stars(stage: Stage, horizon: float) -> None:
    """Scatter stars above `horizon` (y in pixels), fewer near it."""
    rng = stage.rng("stars")
    count = min(700, round(170 * stage.width * horizon / stage.unit**2))
    for _ in range(count):
        x, depth, bright = rng.random() * stage.width, rng.random(), rng.random()
        y = depth**1.4 * horizon
        colour = mix(stage.palette.mid, (255, 250, 240), 0.35 + 0.65 * bright * (1 - depth * 0.5))
        size = stage.unit * (0.0007 + 0.0018 * bright**4)
        stage.oval(x, y, size, size, colour)


def paint_weather(stage: Stage) -> None:
    """Let it rain or snow over the finished scene when the brief says so."""
    if "rain" in stage.brief.weather:
        _rain(stage)
    elif stage.brief.season == "winter" and stage.brief.scene != "desk":
        _snowfall(stage)


def _rain(stage: Stage) -> None:
    rng = stage.rng("rain")
    unit = stage.unit
    count = min(900, round(230 * stage.width * stage.height / unit**2))
    for _ in range(count):
        x, y, near = rng.random() * stage.width, rng.random() * stage.height, rng.random()
        length = unit * (0.012 + 0.03 * near)
        spot = stage.image.getpixel((int(x), int(y)))
        # Each drop lightens what is behind it, so that rain never covers the picture like paint.
        colour = mix(spot if isinstance(spot, tuple) else stage.palette.mid, stage.palette.light, 0.14 + 0.2 * near)  # type: ignore[arg-type]
        stage.line([(x, y), (x - length * 0.22, y + length)], colour, unit * 0.0012)


def _snowfall(stage: Stage) -> None:
    rng = stage.rng("snow")
    unit = stage.unit
    flake = mix(stage.palette.low, (255, 255, 255), 0.75)
    for _ in range(min(500, round(110 * stage.width * stage.height / unit**2))):
        size = unit * (0.0012 + 0.0034 * rng.random() ** 3)
        stage.oval(rng.random() * stage.width, rng.random() * stage.height, size, size, flake)
