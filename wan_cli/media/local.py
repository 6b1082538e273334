"""References on this machine, checked before anything is sent (reliability.md 3.8)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from wan_cli.dataclass import replace
from wan_cli.errors import FileInvalid
from wan_cli.media.formats import FACTS, Sniffed
from wan_cli.media.notices import notices
from wan_cli.media.sniffing import EXTENSIONS, MAX_PIXELS, MIMES, spoken
from wan_cli.media.structure import check_structure, inspect
from wan_cli.models import Kind, LocalFile

if TYPE_CHECKING:
    from wan_cli.catalog import Inputs

_PIECE = 1 << 20
_SLACK_S = 0.5
"""Seconds beyond a provider's limits that are left to it: headers round, and sound ends after the pictures."""
SHRINKABLE = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/bmp": "BMP"}
"""The formats of which :mod:`wan_cli.media.shrinking` makes smaller copies, by Pillow's names."""


class TooLarge(FileInvalid):
    """A picture has more bytes or pixels than the provider takes, and a smaller copy of it could be sent."""


def local_file(
    path: str, inputs: Inputs, *, kind: Kind = "image", label: str = "picture", notice: Callable[[str], object] = str
) -> LocalFile:
    """Return the checked facts of a file that goes to a provider, reading it once opened and never by name again.

    ``inputs`` are the provider's limits; with no mimes listed, the kinds wan knows are taken. ``notice`` is given what
    the user should know of a file that is taken. Raises ``FileInvalid``.
    """
    try:
        with regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            sniffed = inspect(file)
            large = _too_large(size, sniffed, inputs, kind)
            fault = (
                _size_fault(size, inputs)
                or _kind_fault(sniffed.mime, inputs, kind, label)
                or _sides_fault(sniffed, inputs)
                or _seconds_fault(file, sniffed, inputs)
                or check_structure(file, sniffed.mime, size)
            )
            if large:
                other = _other_fault(file, sniffed, size, inputs, kind, label)
                if other is None:
                    raise TooLarge(f"{path}: {fault}", hint="add --shrink-references")
                fault = other
            if fault:
                raise FileInvalid(f"{path}: {fault}", hint=f"give another {label}")
            digest = _sha256(file, size)
            said = notices(file, sniffed.mime)
    except FileNotFoundError as error:
        what = "is a link to nothing" if Path(path).is_symlink() else "does not exist"
        raise FileInvalid(f"{path} {what}", hint="check the path, or give an https:// address") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise FileInvalid(f"{path} cannot be read: {why}", hint="check the path and its permissions") from error
    if digest is None:
        raise FileInvalid(f"{path} changed while it was read", hint="run the command again")
    for text in said:
        notice(f"{os.path.basename(path)} {text}")  # noqa: PTH119 - a name as typed, any bytes
    return LocalFile(
        path=path, sha256=digest, size=size, mime=sniffed.mime, width=sniffed.width, height=sniffed.height
    )  # fmt: skip


@contextmanager
def regular(path: str) -> Iterator[IO[bytes]]:
    """Open a regular file. O_NONBLOCK: a pipe without a writer would block for ever (reliability.md I14).

    Raises ``FileInvalid`` for what is something else, and ``OSError``.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise FileInvalid(f"{path} is {what}, not a file", hint="name a file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _too_large(size: int, sniffed: Sniffed, inputs: Inputs, kind: Kind) -> bool:
    """Tell whether it is a picture with more bytes or longer sides than are taken."""
    if kind != "image" or sniffed.mime not in SHRINKABLE or sniffed.animated:
        return False
    longest = max(sniffed.width or 0, sniffed.height or 0)
    return (inputs.max_bytes or size) < size or (inputs.sides is not None and longest > inputs.sides[1])


def _other_fault(
    file: IO[bytes], sniffed: Sniffed, size: int, inputs: Inputs, kind: Kind, label: str
) -> str | None:  # fmt: skip
    """Return what is wrong with a picture beside its size."""
    limits = replace(inputs, max_bytes=None, sides=None)
    return (
        _kind_fault(sniffed.mime, inputs, kind, label)
        or _sides_fault(sniffed, limits)
        or check_structure(file, sniffed.mime, size)
    )


def _size_fault(size: int, inputs: Inputs) -> str | None:
    if size == 0:
        return "it is empty"
    if inputs.max_bytes is not None and size > inputs.max_bytes:
        return f"it has {size:,} bytes; at most {inputs.max_bytes:,} are taken"
    return None


def _kind_fault(mime: str, inputs: Inputs, kind: Kind, label: str) -> str | None:
    known = dict.fromkeys([*EXTENSIONS, *MIMES.values()])
    taken = inputs.mimes or tuple(entry for entry in known if entry.startswith(f"{kind}/"))
    if mime in taken:
        return None
    names = [entry.rpartition("/")[2] for entry in taken]
    listed = f"{', '.join(names[:-1])} and {names[-1]} are" if len(names) > 1 else f"{names[0]} is"
    article = "an" if label[:1] in "aeiou" else "a"
    strange = "" if mime.startswith(f"{kind}/") and mime in known else f", not {article} {label}"
    return f"it is {spoken(mime)}{strange}; {listed} taken"


def _sides_fault(sniffed: Sniffed, inputs: Inputs) -> str | None:
    if sniffed.animated:
        return f"it is an animated {spoken(sniffed.mime)}; only still pictures are taken"
    if sniffed.alpha and not inputs.alpha and sniffed.mime == "image/png":
        return "it has transparency; only PNG without an alpha channel is taken"
    if not sniffed.width or not sniffed.height:
        return "it is damaged: it says nothing of its width and height" if sniffed.mime in FACTS else None
    return _measures_fault(sniffed.width, sniffed.height, inputs)


def _seconds_fault(file: IO[bytes], sniffed: Sniffed, inputs: Inputs) -> str | None:
    """Return what is wrong with a film's or sound's length, as far as its own header tells it."""
    if inputs.seconds is None:
        return None
    lasts = _wave_seconds(file) if sniffed.mime == "audio/wav" else sniffed.duration_s
    least, most = inputs.seconds
    if not lasts or least - _SLACK_S <= lasts <= most + _SLACK_S:
        return None
    return f"it lasts {lasts:.4g} s; {least:g} to {most:g} s are taken"


def _wave_seconds(file: IO[bytes]) -> float | None:
    """Return how long sound lasts that is not compressed, ``None`` where its header does not say."""
    import wave

    file.seek(0)
    try:
        with wave.open(file) as sound:
            return float(sound.getnframes() / sound.getframerate())
    except (wave.Error, EOFError, ZeroDivisionError):
        return None


def _measures_fault(width: int, height: int, inputs: Inputs) -> str | None:
    shown, sides = f"{width}x{height}", sorted((width, height))
    if width * height > MAX_PIXELS:
        return f"it declares {shown}, {width * height:,} pixels; at most {MAX_PIXELS:,} are taken"
    if inputs.sides and not inputs.sides[0] <= sides[0] <= sides[1] <= inputs.sides[1]:
        return f"it is {shown}; each side must have {inputs.sides[0]:,} to {inputs.sides[1]:,} pixels"
    if inputs.max_ratio is not None and sides[1] > sides[0] * inputs.max_ratio:
        return f"it is {shown}; the longer side may be at most {inputs.max_ratio:g} times the shorter"
    return None


def _sha256(file: IO[bytes], size: int) -> str | None:
    """Return the hex digest of a file that still has ``size`` bytes, else ``None``."""
    import hashlib

    digest, seen = hashlib.sha256(), 0
    file.seek(0)
    while seen <= size and (piece := file.read(_PIECE)):
        digest.update(piece)
        seen += len(piece)
    return digest.hexdigest() if seen == size else None
