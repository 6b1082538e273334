"""What a request to DashScope shows the model: pictures, videos and sound, by URL, `oss://` or data URI, checked.

Source: `contracts.md` 5.2 and 5.3, cited as [5.x], and Alibaba's page on temporary URLs. A URL on the web gets a
stand-in, since no network is here; a link to a result of this sandbox is that result. What a provider could not reach
(this machine, a private network) is not to be downloaded here either.
"""

from __future__ import annotations

import ipaddress
import re
import wave
from base64 import b64decode
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

from wan_cli.media.movie import movie_facts
from wan_cli.sandbox.canvas import SLIMMEST
from wan_cli.sandbox.dashscope_envelope import UNREACHABLE, UNREADABLE, refuse, refuse_input, refuse_media
from wan_cli.sandbox.dashscope_uploads import stored
from wan_cli.sandbox.records import LinkRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wan_cli.sandbox.world import World

_MB = 1 << 20
_PICTURE_SIDES, _VIDEO_SIDES = range(240, 8001), range(240, 4097)  # pixels [5.2, 5.3]
_PICTURE_MOST, _VIDEO_MOST, _SOUND_MOST = 20 * _MB, 100 * _MB, 15 * _MB  # bytes; MB read as MiB
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # [5.2]
_DATA_URI = re.compile(r"data:image/(?:jpeg|jpg|png|bmp|webp);base64,")  # [5.2]
_WEB = re.compile(r"https?://[^\s/?#]+[^\s]*")
_RESULT = re.compile(r"/results/([A-Za-z0-9_-]+)/([1-9][0-9]{0,3})\.[a-z0-9]+")
_MOVIE = re.compile(rb".{4}ftyp", re.DOTALL)
_SOUND = re.compile(rb"RIFF.{4}WAVE|ID3|\xff[\xe0-\xff]", re.DOTALL)
_UNKNOWN = (512, 512)  # sides of a stand-in


class Shown(NamedTuple):
    """One input: the sha256 of its bytes (or of a stand-in), its sides in pixels, and its seconds (None: not known)."""

    sha256: str
    sides: tuple[int, int] = _UNKNOWN
    seconds: float | None = None
    stands_in: bool = False


class Showing:
    """Reads the media of one call to `model`; `headers` say whether its `oss://` links are to be resolved."""

    def __init__(self, world: World, model: str, headers: Mapping[str, str]) -> None:
        self._world = world
        self._model = model
        self._resolves = headers.get("x-dashscope-ossresourceresolve") == "enable"

    def picture(self, url: str, field: str) -> Shown:
        """Return a picture: JPEG, PNG without alpha, BMP or WEBP, 240 to 8000 px, 1:8 to 8:1, at most 20 MB [5.2]."""
        match = _DATA_URI.match(url)
        if match is not None:
            try:
                data: bytes | None = b64decode(url[match.end() :], validate=True)
            except ValueError:
                refuse_media(UNREADABLE)
        else:
            data = self._fetched(url, field)
        if data is None:
            return Shown(self._world.keep_stand_in(url), stands_in=True)
        _weigh(data, _PICTURE_MOST, field)
        sides = _measured(data, field)
        _check_sides(sides, _PICTURE_SIDES, field)
        return Shown(self._world.keep(data), sides)

    def video(self, url: str, field: str, seconds: range) -> Shown:
        """Return a video: mp4 or mov, 240 to 4096 px, 1:8 to 8:1, at most 100 MB, and as long as `seconds` [5.3]."""
        data = self._fetched(url, field)
        if data is None:
            return Shown(self._world.keep_stand_in(url), stands_in=True)
        _weigh(data, _VIDEO_MOST, field)
        if _MOVIE.match(data) is None:
            refuse_media(UNREADABLE)
        facts = movie_facts(BytesIO(data))
        sides, long = (facts.width or 0, facts.height or 0), facts.duration_s
        if long is None or not all(sides):
            refuse_media(UNREADABLE)
        _check_sides(sides, _VIDEO_SIDES, field)
        _check_seconds(long, seconds, field)
        return Shown(self._world.keep(data), sides, long)

    def sound(self, url: str, field: str, seconds: range) -> Shown:
        """Return sound: wav or mp3, at most 15 MB, and (a wav, whose header says it) as long as `seconds` [5.3]."""
        data = self._fetched(url, field)
        if data is None:
            return Shown(self._world.keep_stand_in(url), stands_in=True)
        _weigh(data, _SOUND_MOST, field)
        if _SOUND.match(data) is None:
            refuse_media(UNREADABLE)
        long = _wave_seconds(data) if data.startswith(b"RIFF") else None
        if long is not None:
            _check_seconds(long, seconds, field)
        return Shown(self._world.keep(data), seconds=long)

    def _fetched(self, url: str, field: str) -> bytes | None:
        """Return the bytes behind a link; None for one on the web."""
        if url.startswith("oss://"):
            # Without the header the link stays what it is, and no media inspection can open it.
            data = stored(url, self._model, self._world) if self._resolves else None
            if data is None:
                refuse_media(UNREACHABLE if self._resolves else UNREADABLE)
            return data
        if _WEB.fullmatch(url) is None:
            refuse(400, "InvalidURL", f"Invalid URL provided in your request: {field}")
        if url.startswith(f"{self._world.public_url}/"):
            return self._result(url)
        if not _is_public(url):
            refuse_media(UNREACHABLE)
        return None

    def _result(self, url: str) -> bytes:
        parts = urlsplit(url.removeprefix(self._world.public_url))
        match, query = _RESULT.fullmatch(parts.path), parse_qs(parts.query)
        if match is None:
            refuse_media(UNREACHABLE)
        try:
            signed = (query.get(name, [""])[0] for name in ("Expires", "Signature"))
            return self._world.result(match[1], int(match[2]), *signed)
        except LinkRefusedError:
            refuse_media(UNREACHABLE)


def _is_public(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".localhost", ".internal"))


def _weigh(data: bytes, most: int, field: str) -> None:
    if len(data) > most:
        refuse_input(f"{field}: {len(data)} bytes, at most {most} are taken")


def _measured(data: bytes, field: str) -> tuple[int, int]:
    from PIL import Image

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            sides, transparent = image.size, image.has_transparency_data and image.format == "PNG"
    except (OSError, SyntaxError, ValueError, *bombs):
        refuse_media(UNREADABLE)
    if transparent:
        refuse_input(f"{field}: a PNG must not have an alpha channel")
    return sides


def _check_sides(sides: tuple[int, int], legal: range, field: str) -> None:
    width, height = sides
    if width not in legal or height not in legal:
        refuse_input(f"{field}: {width}*{height}, sides of {legal[0]} to {legal[-1]} pixels are taken")
    if max(sides) > SLIMMEST * min(sides):
        refuse_input(f"{field}: {width}*{height} is slimmer than 1:{SLIMMEST}")


def _check_seconds(long: float, legal: range, field: str) -> None:
    if not legal[0] <= long <= legal[-1]:
        refuse_input(f"{field}: {long:g} s, {legal[0]} to {legal[-1]} s are taken")


def _wave_seconds(data: bytes) -> float:
    try:
        with wave.open(BytesIO(data)) as sound:
            return float(sound.getnframes() / sound.getframerate())
    except (wave.Error, EOFError, ZeroDivisionError):
        refuse_media(UNREADABLE)
