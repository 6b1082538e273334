"""What a terminal makes of a picture: kitty's, iTerm2's and sixel's codes decoded, by their specifications alone."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, field

from PIL import Image

PERCENT = 100


@dataclass
class Sixels:
    """A sixel picture, painted as DEC's manual says (VT330/VT340 Programmer Reference, chapter 14)."""

    width: int = 0
    height: int = 0
    colours: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    painted: dict[tuple[int, int], tuple[int, int, int]] = field(default_factory=dict)

    def image(self) -> Image.Image:
        """Return it; what was not painted is magenta."""
        image = Image.new("RGB", (self.width, self.height), (255, 0, 255))
        for place, colour in self.painted.items():
            image.putpixel(place, colour)
        return image


def sixel_image(text: str) -> Image.Image:
    """Decode one sixel picture; anything that is no sixel fails."""
    found = re.fullmatch(r"\x1bP([0-9;]*)q(.*)\x1b\\", text, re.DOTALL)
    assert found, "no sixel"
    picture, colour, left, top = Sixels(), 0, 0, 0
    step = re.compile(r'"(\d+);(\d+);(\d+);(\d+)|#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|(\$)|(-)')
    at = 0
    while at < len(found[2]):
        token = step.match(found[2], at)
        assert token, f"not sixel: {found[2][at : at + 20]!r}"
        at = token.end()
        if token[1]:
            picture.width, picture.height = int(token[3]), int(token[4])
        elif token[5]:
            colour = int(token[5])
            if token[6]:
                red, green, blue = (round(int(token[place]) * 255 / PERCENT) for place in (6, 7, 8))
                picture.colours[colour] = red, green, blue
        elif token[12]:
            left = 0
        elif token[13]:
            left, top = 0, top + 6
        else:
            count, char = (int(token[9]), token[10]) if token[9] else (1, token[11])
            bits = ord(char) - 63
            for column in range(left, left + count):
                for line in range(6):
                    if bits >> line & 1:
                        picture.painted[column, top + line] = picture.colours[colour]
            left += count
    return picture.image()


def kitty_image(text: str) -> tuple[dict[str, str], Image.Image]:
    """Decode one picture of kitty's protocol; return the keys of its first piece, and the picture."""
    pieces = re.findall(r"\x1b_G([^;\x1b]*);([^\x1b]*)\x1b\\", text)
    assert "".join(f"\x1b_G{keys};{body}\x1b\\" for keys, body in pieces) == text, "something is between the pieces"
    said = [dict(pair.split("=") for pair in keys.split(",")) for keys, _ in pieces]
    assert [keys["m"] for keys in said] == ["1"] * (len(pieces) - 1) + ["0"]
    assert all(set(keys) == {"q", "m"} for keys in said[1:])
    assert all(len(body) <= 4096 and (number == len(pieces) or len(body) % 4 == 0)
               for number, (_, body) in enumerate(pieces, start=1))  # fmt: skip
    return said[0], Image.open(io.BytesIO(base64.b64decode("".join(body for _, body in pieces), validate=True)))


def iterm2_image(text: str) -> tuple[dict[str, str], Image.Image]:
    """Decode one inline image of iTerm2; return what is said of it, and the picture."""
    found = re.fullmatch(r"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\x07", text)
    assert found, "no inline image"
    data = base64.b64decode(found[2], validate=True)
    said = dict(pair.split("=") for pair in found[1].split(";"))
    assert int(said["size"]) == len(data)
    return said, Image.open(io.BytesIO(data))


def furthest(one: Image.Image, other: Image.Image) -> int:
    """Return how far the furthest channel of two pictures of one size is apart."""
    assert one.size == other.size
    pairs = zip(one.convert("RGB").tobytes(), other.convert("RGB").tobytes(), strict=True)
    return max(abs(left - right) for left, right in pairs)
