"""Find the machine's fonts and choose, glyph by glyph, one that can show a character."""

from __future__ import annotations

import os
import sys
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# File name and face index, best first: Latin faces, then faces for Chinese, Japanese and Korean.
_FACES: Final[tuple[tuple[str, int], ...]] = (
    ("NotoSans-Regular.ttf", 0),
    ("segoeui.ttf", 0),
    ("HelveticaNeue.ttc", 0),
    ("Helvetica.ttc", 0),
    ("LiberationSans-Regular.ttf", 0),
    ("DejaVuSans.ttf", 0),
    ("Arial.ttf", 0),
    ("arial.ttf", 0),
    ("NotoSansCJK-Regular.ttc", 2),
    ("NotoSansCJKsc-Regular.otf", 0),
    ("NotoSansSC-Regular.otf", 0),
    ("NotoSansSC-Regular.ttf", 0),
    ("PingFang.ttc", 0),
    ("Hiragino Sans GB.ttc", 0),
    ("STHeiti Light.ttc", 0),
    ("msyh.ttc", 0),
    ("YuGothM.ttc", 0),
    ("malgun.ttf", 0),
    ("wqy-microhei.ttc", 0),
    ("wqy-zenhei.ttc", 0),
    ("DroidSansFallbackFull.ttf", 0),
    ("Arial Unicode.ttf", 0),
)
# A code point that is no character, so that every font answers with its "missing glyph" box.
_NO_CHARACTER: Final = "\uffff"
_PROBE_SIZE: Final = 24
_MAX_DEPTH: Final = 4


def folders() -> tuple[Path, ...]:
    """Return the folders in which this operating system keeps fonts, those of the user first."""
    home = Path.home()
    if sys.platform == "win32":  # pragma: no cover - the tests run on one operating system
        return (
            Path(os.environ.get("LOCALAPPDATA", str(home))) / "Microsoft/Windows/Fonts",
            Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts",
        )
    if sys.platform == "darwin":  # pragma: no cover - the tests run on one operating system
        return home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")
    return (
        home / ".local/share/fonts",
        home / ".fonts",
        Path("/usr/local/share/fonts"),
        Path("/usr/share/fonts"),
    )


@cache
def font_files() -> tuple[tuple[str, int], ...]:
    """Return path and face index of every known font found, best first; looked up once per process."""
    wanted = {name for name, _ in _FACES}
    found: dict[str, str] = {}
    for folder in folders():
        for place, below, names in os.walk(folder):
            if len(Path(place).relative_to(folder).parts) >= _MAX_DEPTH:
                below.clear()
            for name in sorted(wanted.intersection(names)):
                found.setdefault(name, str(Path(place) / name))
    return tuple((found[name], face) for name, face in _FACES if name in found)


@lru_cache(maxsize=64)
def load(path: str, face: int, size: int) -> Font | None:
    """Return the font at `size` pixels, or None when the file is not a font this Pillow can read."""
    try:
        # The basic layout gives the same pixels whether or not Raqm is installed.
        return ImageFont.truetype(path, size, index=face, layout_engine=ImageFont.Layout.BASIC)
    except OSError:
        return None


@lru_cache(maxsize=64)
def built_in(size: int) -> Font:
    """Return Pillow's own font at `size` pixels, the last resort."""
    return ImageFont.load_default(size)


def _mask(font: Font, text: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(text, mode="L")
    return mask.size, bytes(mask)


@lru_cache(maxsize=64)
def _missing(path: str, face: int) -> tuple[tuple[int, int], bytes] | None:
    font = built_in(_PROBE_SIZE) if not path else load(path, face, _PROBE_SIZE)
    return None if font is None else _mask(font, _NO_CHARACTER)


@lru_cache(maxsize=8192)
def _shows(path: str, face: int, character: str) -> bool:
    font = built_in(_PROBE_SIZE) if not path else load(path, face, _PROBE_SIZE)
    if font is None:
        return False
    (width, height), pixels = drawn = _mask(font, character)
    return drawn != _missing(path, face) and width > 0 and height > 0 and any(pixels)


@lru_cache(maxsize=8192)
def face_for(character: str) -> tuple[str, int] | None:
    """Return the first font that has a glyph for `character` ("" is Pillow's own), or None when none has."""
    for path, face in (*font_files(), ("", 0)):
        if character == " " or _shows(path, face, character):
            return path, face
    return None


def readable(text: str) -> str:
    r"""Return `text` in one line, without invisible characters, what no font can show written as \uXXXX."""
    parts = []
    for character in text:
        category = unicodedata.category(character)
        if character.isspace() or category in ("Cc", "Zl", "Zp", "Zs"):
            parts.append(" ")
        elif category in ("Cf", "Mn", "Me"):
            # Joiners and combining marks have no picture of their own.
            continue
        elif category != "Cs" and face_for(character) is not None:
            parts.append(character)
        else:
            code = ord(character)
            parts.append(f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}")
    return " ".join("".join(parts).split())


def runs(text: str, size: int) -> list[tuple[Font, str]]:
    """Split `text` (from `readable`) into pieces of one font each, at `size` pixels."""
    pieces: list[tuple[tuple[str, int], str]] = []
    for character in text:
        face = pieces[-1][0] if pieces and character == " " else face_for(character) or ("", 0)
        if pieces and pieces[-1][0] == face:
            pieces[-1] = (face, pieces[-1][1] + character)
        else:
            pieces.append((face, character))
    return [((load(path, face, size) if path else None) or built_in(size), piece) for (path, face), piece in pieces]


def length(text: str, size: int) -> float:
    """Return the width of `text` in pixels at `size`."""
    return sum(font.getlength(piece) for font, piece in runs(text, size))
