"""Smaller copies of pictures that are too large: they fit, keep what the picture carries, and are said aloud."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from wan_cli.catalog import Inputs
from wan_cli.errors import FileInvalid
from wan_cli.media.local import TooLarge, local_file
from wan_cli.media.shrinking import KEPT_S, shrink
from wan_cli.models import LocalFile, Media

SIDES = Inputs(count=(1, 9), sides=(10, 200))
ORIENTATION = 0x0112
TURNED = 6


def noise(mode: str = "RGB", size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Return a picture that no format makes small."""
    bands = [Image.effect_noise(size, 120 + 10 * number) for number in range(len(Image.new(mode, (1, 1)).getbands()))]
    return bands[0].convert(mode) if len(bands) == 1 else Image.merge(mode, bands)


class Shop:
    """A folder with pictures and one for copies; ``told`` is what the user was told."""

    def __init__(self, root: Path) -> None:
        self.root, self.copies = root, root / "copies"
        self.copies.mkdir()
        self.told: list[str] = []

    def save(self, image: Image.Image, name: str, **how: Any) -> Path:
        """Write a picture."""
        image.save(self.root / name, **how)
        return self.root / name

    def shrink(self, path: Path, inputs: Inputs) -> LocalFile:
        """Shrink it where it has to be."""
        return shrink(str(path), inputs, self.copies, self.told.append, label="picture")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Return an empty shop."""
    return Shop(tmp_path)


def test_what_fits_is_sent_as_it_is(shop: Shop) -> None:
    """A picture within the limits is not touched, not copied, and nothing is said."""
    path = shop.save(noise(size=(200, 120)), "fits.png")
    found = shop.shrink(path, SIDES)
    assert (found.path, found.original) == (str(path), None)
    assert not shop.told
    assert not list(shop.copies.iterdir())


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
def test_sides(shop: Shop, name: str) -> None:
    """Sides that are too long are cut to the longest that is taken, in the same shape and format."""
    path = shop.save(noise(), name)
    found = shop.shrink(path, SIDES)
    assert (found.width, found.height) == (200, 150)
    assert found.original == local_file(str(path), Inputs(count=(1, 1)))
    assert found.mime == found.original.mime
    assert found.name == name
    (said,) = shop.told
    assert "(400x300, " in said
    assert "(200x150, " in said
    assert "--shrink-references" in said
    assert Path(found.path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
@pytest.mark.parametrize("share", [0.9, 0.3])
def test_bytes(shop: Shop, name: str, share: float) -> None:
    """A file that is too large fits afterwards, and its sides are not longer than they were."""
    path = shop.save(noise(), name, **({"quality": 100} if name[-3:] in ("jpg", "ebp") else {}))
    most = int(path.stat().st_size * share)
    found = shop.shrink(path, Inputs(count=(1, 9), max_bytes=most))
    assert found.size <= most
    assert (found.width or 0) <= 400
    assert (found.width or 0) > 80
    with Image.open(found.path) as image:
        image.load()


def test_a_badly_packed_picture_loses_nothing(shop: Shop) -> None:
    """Where packing it better is enough, every pixel stays."""
    image = Image.linear_gradient("L").resize((400, 300))
    path = shop.save(image, "loose.png", compress_level=0)
    found = shop.shrink(path, Inputs(count=(1, 9), max_bytes=path.stat().st_size // 2))
    with Image.open(found.path) as copy:
        assert copy.tobytes() == image.tobytes()


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_orientation_and_colours_are_kept(shop: Shop, name: str) -> None:
    """EXIF with its orientation, and the colour profile, are in the copy; the pixels are not turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = shop.save(noise(), name, exif=exif, icc_profile=profile)
    found = shop.shrink(path, SIDES)
    with Image.open(found.path) as copy:
        assert copy.getexif()[ORIENTATION] == TURNED
        assert copy.info["icc_profile"] == profile
        assert copy.size == (200, 150)
    assert any("EXIF orientation 6" in said for said in shop.told)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparency_is_kept(shop: Shop, mode: str) -> None:
    """What is transparent stays so, whichever way the picture says it."""
    how: dict[str, Any] = {}
    image = Image.new(mode, (400, 300))
    if mode == "P":
        how["transparency"] = 0
    elif mode == "RGB":
        how["transparency"] = (0, 0, 0)
    found = shop.shrink(shop.save(image, "clear.png", **how), SIDES)
    with Image.open(found.path) as copy:
        assert copy.has_transparency_data
        assert copy.convert("RGBA").getpixel((100, 75))[3] == 0  # type: ignore[index]


def test_a_lossless_picture_stays_lossless(shop: Shop) -> None:
    """A copy of a lossless WebP is one."""
    found = shop.shrink(shop.save(noise(), "exact.webp", lossless=True), SIDES)
    assert b"VP8L" in Path(found.path).read_bytes()[:64]


@pytest.mark.parametrize(
    ("mode", "name", "expected"),
    [
        ("1", "a.png", "L"),
        ("I;16", "a.png", "L"),
        ("CMYK", "a.jpg", "CMYK"),
        ("P", "a.png", "RGB"),
        ("L", "a.jpg", "L"),
    ],
)
def test_other_modes(shop: Shop, mode: str, name: str, expected: str) -> None:
    """Single bits, 16 bits, a palette and CMYK become what can be made smaller without other colours."""
    if mode == "I;16":
        image = Image.new("I;16", (400, 300), 0x8000)
    else:
        image = Image.new(mode, (400, 300), 1 if mode == "1" else None)  # type: ignore[arg-type]
    found = shop.shrink(shop.save(image, name), SIDES)
    with Image.open(found.path) as copy:
        assert copy.mode == expected
        if mode == "I;16":
            assert copy.getpixel((5, 5)) == 0x80


def test_the_same_copy_twice(shop: Shop) -> None:
    """The same picture gives the same copy in the same place, so that an upload is known again."""
    path = shop.save(noise(), "a.png")
    first, second = shop.shrink(path, SIDES), shop.shrink(path, SIDES)
    assert first == second
    assert len([file for file in shop.copies.rglob("*") if file.is_file()]) == 1


def test_old_copies_are_forgotten(shop: Shop) -> None:
    """A copy that was not made again for a month goes when another is made."""
    old = shop.shrink(shop.save(noise(), "old.png"), SIDES)
    long_ago = time.time() - KEPT_S - 60
    os.utime(Path(old.path).parent, (long_ago, long_ago))
    new = shop.shrink(shop.save(noise(), "new.png"), SIDES)
    assert not Path(old.path).parent.exists()
    assert Path(new.path).is_file()


def _animated() -> bytes:
    data = io.BytesIO()
    frames = [Image.new("RGB", (400, 300), colour) for colour in ("red", "blue")]
    frames[0].save(data, "WEBP", save_all=True, append_images=frames[1:])
    return data.getvalue()


def test_what_cannot_be_helped_is_refused(shop: Shop) -> None:
    """A shape or kind that is not taken, moving pictures, damage and what cannot fit are refused, and no copy stays."""
    thin = shop.save(noise(size=(4000, 100)), "thin.png")
    clear = shop.save(noise("RGBA"), "clear.png")
    moving = shop.root / "moving.webp"
    moving.write_bytes(_animated())
    broken = shop.save(noise(), "broken.png")
    broken.write_bytes(broken.read_bytes()[:-40])
    plain = shop.save(noise(), "plain.png")
    cases = [
        (thin, SIDES, "cannot be made to fit"),
        (plain, Inputs(count=(1, 1), max_bytes=60), "cannot be made to fit"),
        (plain, Inputs(count=(1, 1), sides=(1, 200), mimes=("image/jpeg",)), "jpeg is taken"),
        (plain, Inputs(count=(1, 1), sides=(1, 200), max_ratio=1.1), "1.1 times"),
        (clear, Inputs(count=(1, 1), sides=(1, 200), alpha=False), "transparency"),
        (moving, SIDES, "animated"),
        (broken, SIDES, "cut off"),
        (shop.root / "none.png", SIDES, "does not exist"),
    ]
    for path, inputs, why in cases:
        with pytest.raises(FileInvalid, match=why) as refused:
            shop.shrink(path, inputs)
        assert str(path) in refused.value.message
        assert "--shrink-references" not in refused.value.hint
    assert not [file for file in shop.copies.rglob("*") if file.is_file()]
    assert not shop.told


def test_the_refusal_names_the_way_out(shop: Shop) -> None:
    """Without the flag the hint is to add it, only where that helps."""
    path = shop.save(noise(), "a.png")
    with pytest.raises(TooLarge) as refused:
        local_file(str(path), SIDES)
    assert refused.value.hint == "add --shrink-references"
    with pytest.raises(FileInvalid) as other:
        local_file(str(path), Inputs(count=(1, 1), sides=(500, 900)))
    assert other.value.hint == "give another picture"


def test_a_picture_that_no_decoder_reads(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Pillow cannot open, or no disk takes, is an error that says so, and not a crash."""
    path = shop.save(noise(), "a.png")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no decoder")

    with monkeypatch.context() as patched:
        patched.setattr(Image, "open", refuse)
        with pytest.raises(FileInvalid, match="cannot be made smaller: no decoder"):
            shop.shrink(path, SIDES)
    shop.copies.rmdir()
    shop.copies.write_text("a file", encoding="utf-8")
    with pytest.raises(FileInvalid, match="no smaller copy can be written"):
        shop.shrink(path, SIDES)


def test_identity_is_the_picture_that_was_named(shop: Shop) -> None:
    """What a request is told by is the content of the picture that the user gave, whatever copy of it is sent."""
    path = shop.save(noise(), "a.png")
    plain = local_file(str(path), Inputs(count=(1, 1)))
    small = shop.shrink(path, SIDES)
    assert small.sha256 != plain.sha256
    named = [Media(role="edit_source", kind="image", file=file).identity for file in (plain, small)]
    assert named[0] == named[1] == f"sha256:{plain.sha256}"
