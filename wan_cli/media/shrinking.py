"""A picture that is larger than a provider takes, made to fit (``--shrink-references``); never unasked or in silence.

The copy has the picture's own format, with its EXIF (so its orientation), colour profile and transparency; it is never
larger than the picture was. The same picture and limits give the same copy, so that an upload is known again.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_cli.dataclass import dataclass, replace
from wan_cli.errors import FileInvalid
from wan_cli.media.formats import webp_chunks
from wan_cli.media.local import SHRINKABLE, TooLarge, local_file
from wan_cli.models import LocalFile
from wan_cli.naming import safe_component
from wan_cli.text import one_line
from wan_cli.whole import whole

if TYPE_CHECKING:
    from PIL.Image import Image

    from wan_cli.catalog import Inputs

QUALITY = {"JPEG": 92, "WEBP": 90}
"""Of a copy, 1 to 95 (Pillow's handbook): what is lost is not seen."""
MOST_TRIES = 12
"""Each is at least a twentieth smaller in bytes than the one before."""
_MARGIN = 0.97
"""Sides are cut a little more than the bytes ask for, since smaller pictures hold more to a pixel."""
KEPT_S = 30 * 86_400
"""Seconds that a copy is kept: a purchase that nobody knows the outcome of may be sent again (``wan recover``)."""


@dataclass(frozen=True, slots=True)
class _Room:
    """What a copy may have: bytes, and pixels on its longer and shorter side (``None``: any number)."""

    most_bytes: int | None
    longest: int | None
    shortest: int


def shrink(path: str, inputs: Inputs, folder: Path, notice: Callable[[str], object], *, label: str) -> LocalFile:
    """Return the checked facts of a picture, or where it is too large those of a copy below ``folder`` that fits.

    ``folder`` is there, and private. ``notice`` is given what the user should know, before and after among it. Raises
    ``FileInvalid`` where the picture is refused for another reason, or cannot be made to fit.
    """
    try:
        return local_file(path, inputs, label=label, notice=notice)
    except TooLarge as error:
        refused = error
    before = local_file(path, replace(inputs, max_bytes=None, sides=None), label=label)
    room = _Room(inputs.max_bytes, inputs.sides[1] if inputs.sides else None, inputs.sides[0] if inputs.sides else 1)
    data = _copy(before, room, refused)
    place = _store(folder, before, data)
    after = local_file(str(place), inputs, label=label, notice=notice)
    notice(
        f"{before.name} is too large ({_shown(before)}), so a smaller copy is sent ({_shown(after)}), "
        "as --shrink-references says"
    )
    return replace(after, original=before)


def _shown(file: LocalFile) -> str:
    return f"{file.width}x{file.height}, {file.size:,} bytes"


def _copy(before: LocalFile, room: _Room, refused: FileInvalid) -> bytes:
    """Return the bytes of a copy that fits."""
    from PIL import Image as Images

    form = SHRINKABLE[before.mime]
    try:
        with Images.open(before.path, formats=[form]) as image:
            for width, height in _sides(before, room):
                if min(width, height) < room.shortest:
                    break
                ready = _plain(image)
                if (width, height) != ready.size:
                    ready = ready.resize((width, height), Images.Resampling.LANCZOS, reducing_gap=3.0)
                data = _encoded(ready, image, form, before)
                if room.most_bytes is None or len(data) <= room.most_bytes:
                    return data
    except (OSError, ValueError, SyntaxError, Images.DecompressionBombError, RuntimeWarning) as error:
        why = one_line(str(error))
        raise FileInvalid(f"{before.path}: it cannot be made smaller: {why}", hint="give another picture") from error
    raise FileInvalid(f"{refused.message}; it cannot be made to fit", hint="give another picture")


def _sides(before: LocalFile, room: _Room) -> Iterator[tuple[int, int]]:
    """Yield the sides to try, in pixels: as large as may be first, then smaller ones."""
    width, height = before.width or 1, before.height or 1
    scale = min(1.0, room.longest / max(width, height)) if room.longest else 1.0
    yield _scaled(width, height, scale)
    if room.most_bytes is None:
        return
    expected = before.size * scale * scale
    scale *= min(_MARGIN, math.sqrt(room.most_bytes / max(expected, 1)) * _MARGIN)
    for _ in range(MOST_TRIES):
        yield _scaled(width, height, scale)
        scale *= 0.85


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(1, int(width * scale)), max(1, int(height * scale))


def _plain(image: Image) -> Image:
    """Return the picture in a mode that can be made smaller: no palette, no single bits, 8 bits a channel."""
    if image.mode.startswith("I"):  # 16 bits: keep the upper eight, as converting would only clip
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in {"RGBA", "LA"}:
        return image
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGB") if image.mode == "P" else image


def _encoded(ready: Image, image: Image, form: str, before: LocalFile) -> bytes:
    how: dict[str, Any] = {name: image.info[name] for name in ("icc_profile", "exif") if image.info.get(name)}
    if image.mode == "1":
        how.pop("icc_profile", None)
    if form in QUALITY:
        how["quality"] = QUALITY[form]
    if form == "WEBP":
        with open(before.path, "rb") as file:  # noqa: PTH123 - a name of any bytes
            how["lossless"] = b"VP8L" in set(webp_chunks(file))
    ready.info.pop("transparency", None)
    data = BytesIO()
    ready.save(data, form, **how)
    return data.getvalue()


def _store(folder: Path, before: LocalFile, data: bytes) -> Path:
    """Write the copy under the picture's own name, in a folder named after its content; forget old ones."""
    import hashlib

    _forget(folder)
    place = folder / hashlib.sha256(data).hexdigest()[:24] / safe_component(before.name)
    try:
        place.parent.mkdir(mode=0o700, exist_ok=True)
        with whole(place, mode=0o600) as out:
            out.write(data)
        os.utime(place.parent)
    except OSError as error:
        why = error.strerror or error
        raise FileInvalid(f"{before.path}: no smaller copy can be written to {folder}: {why}") from error
    return place


def _forget(folder: Path) -> None:
    """Remove copies that nobody made again for a month."""
    with contextlib.suppress(OSError):
        for place in list(folder.iterdir()):
            if place.stat().st_mtime < time.time() - KEPT_S:
                for file in list(place.iterdir()):
                    file.unlink()
                place.rmdir()
