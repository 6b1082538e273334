"""Another format where ``--convert`` asks for one: the only place that opens a result with Pillow."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, cast

from wan_cli import media
from wan_cli.errors import DownloadFailed
from wan_cli.publish import Part
from wan_cli.text import one_line

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_QUALITY = 95
_FLAT = {"image/jpeg", "image/bmp"}
_ENCODERS = {
    "image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "GIF", "image/bmp": "BMP",
    "image/avif": "AVIF",
}  # fmt: skip

CONVERTIBLE = frozenset(_ENCODERS)
"""The formats that :func:`convert` reads and writes."""


def convert(part: Part, mime: str, *, cap: int | None = None) -> Part:
    """Re-encode a checked picture as ``mime`` (one of ``CONVERTIBLE``) into a new part beside it.

    ``cap`` is the most bytes it may have (the part's own, where not given). JPEG and BMP get transparency on white.
    The old part is left as it is: after ``DownloadFailed``, which says why it could not be done, the picture can still
    be published as it came.
    """
    from PIL import Image

    made = Part(part.target, cap=part.cap if cap is None else cap, expected=part.expected, token=part.token)
    try:
        with part.reading() as file:
            source = media.inspect(file)
            if source.animated or not CONVERTIBLE.issuperset({source.mime, mime}):
                what = f"{'an animated ' if source.animated else ''}{media.spoken(source.mime)}"
                raise _unconverted(part, mime, f"{what} is not re-encoded")
            file.seek(0)
            try:
                with Image.open(file, formats=[_ENCODERS[source.mime]]) as image:
                    if image.width * image.height > media.MAX_PIXELS:
                        raise _unconverted(part, mime, f"it has more than {media.MAX_PIXELS:,} pixels")
                    _encode(image, mime, made)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, RuntimeWarning) as error:
                raise _unconverted(part, mime, str(error)) from error
    except BaseException:
        made.discard()
        raise
    return made


def _unconverted(part: Part, mime: str, why: str) -> DownloadFailed:
    return DownloadFailed(
        f"{part.target.name}: cannot be converted to {media.spoken(mime)}: {one_line(why)}",
        hint="keep it as it came: leave out --convert",
    )


def _encode(image: Picture, mime: str, made: Part) -> None:
    """Save a picture with its colour profile and EXIF (a CMYK or grey profile would be wrong for RGB)."""
    ready = _plain(image, mime)
    if image.mode in {"CMYK", "LA", "1"}:
        ready.info.pop("icc_profile", None)
    kept: dict[str, Any] = {name: ready.info[name] for name in ("icc_profile", "exif") if ready.info.get(name)}
    ready.save(cast("IO[bytes]", made), format=_ENCODERS[mime], quality=_QUALITY, **kept)


def _plain(image: Picture, mime: str) -> Picture:
    """Return the picture in a mode that every encoder takes: L, RGB or RGBA; on white where there is no alpha."""
    if image.mode.startswith("I"):  # 16 bits a pixel: keep the upper eight, as converting would only clip
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if not image.has_transparency_data:
        return image if image.mode == "L" else image.convert("RGB")
    clear = image.convert("RGBA")
    if mime not in _FLAT:
        return clear
    white = clear.copy()
    white.paste("white", (0, 0, *clear.size))
    white.alpha_composite(clear)
    return white.convert("RGB")
