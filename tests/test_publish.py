"""From bytes to a file under its final name (reliability.md 4.8, D04-D16, S03-S05, S08, S13, S18)."""

import errno
import hashlib
import io
import os
import shutil
import stat
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wan_cli import media
from wan_cli.convert import CONVERTIBLE, convert
from wan_cli.errors import DownloadFailed, WriteFailed
from wan_cli.publish import Part, ensure_space, free_space

CAP = 10_000_000


def drawn(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """Encode a picture."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def png(width: int, height: int, body: bytes) -> bytes:
    """Build a one-bit PNG whose checksums are right, whatever its body is."""

    def chunk(kind: bytes, data: bytes = b"") -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND")


PICTURE = drawn(Image.effect_mandelbrot((40, 20), (-2, -1, 1, 1), 20).convert("RGB"))
MP4 = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moov"


def tokens() -> Callable[[], str]:
    """Make names count up, so that tests know them."""
    numbers: Iterator[int] = iter(range(1_000_000))
    return lambda: f"t{next(numbers)}"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Name the file that the result will become."""
    return tmp_path / "fox.png"


def filled(target: Path, data: bytes = PICTURE, **options: Any) -> Part:
    """Return a part that has received ``data``."""
    part = Part(target, **{"cap": CAP, "token": tokens(), **options})
    part.write(data)
    return part


def names(folder: Path) -> list[str]:
    """List a folder."""
    return sorted(path.name for path in folder.iterdir())


def broken(monkeypatch: pytest.MonkeyPatch, name: str, code: int = errno.EIO, *, only: str = "") -> None:
    """Let the system call fail; where ``only`` is given, for paths that contain it."""
    real = getattr(os, name)

    def failing(*args: Any, **kwargs: Any) -> Any:
        if only in str(args[0]):
            raise OSError(code, os.strerror(code))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, failing)


def test_a_part_becomes_a_file(target: Path) -> None:
    """Written in pieces, hashed on the way, checked and published: exactly the bytes, and nothing else, are there."""
    with Part(target, cap=CAP, token=tokens()) as part:
        for at in range(0, len(PICTURE), 50):
            assert part.write(PICTURE[at : at + 50]) == len(PICTURE[at : at + 50])

        assert part.path == target.with_name(".fox.t0.part")
        assert (part.size, part.head) == (len(PICTURE), PICTURE[:64])
        assert part.sha256 == hashlib.sha256(PICTURE).hexdigest()
        assert (part.check().width, part.check().mime) == (40, "image/png")
        assert part.publish(target, overwrite=False) == target

    assert target.read_bytes() == PICTURE
    assert names(target.parent) == ["fox.png"]


def test_the_part_is_private_and_the_file_is_not(target: Path) -> None:
    """0600 while it arrives; then what the umask leaves of 0666, and the umask is as before."""
    old = os.umask(0o027)
    try:
        part = filled(target)
        assert stat.S_IMODE(part.path.stat().st_mode) == 0o600
        part.publish(target, overwrite=False)
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
    finally:
        assert os.umask(old) == 0o027


def test_names_are_random_by_default(target: Path) -> None:
    """Two parts for one target do not meet."""
    with Part(target, cap=1) as one, Part(target, cap=1) as two:
        assert one.path != two.path
        assert one.path.parent == target.parent


def test_an_unpublished_part_is_removed(target: Path) -> None:
    """Leaving the block, by an error too, leaves nothing; discarding twice is no fault."""
    with pytest.raises(RuntimeError), filled(target) as part:
        raise RuntimeError
    part.discard()

    assert names(target.parent) == []


def test_s18_a_missing_folder_is_made_again(tmp_path: Path) -> None:
    """A folder that was deleted in mid-run is recreated."""
    with Part(tmp_path / "a" / "b" / "x.png", cap=CAP) as part:
        assert part.path.parent == tmp_path / "a" / "b"


def test_s13_a_planted_link_is_not_followed(target: Path) -> None:
    """A temporary name that was made by somebody else is left alone, and another is taken."""
    victim = target.parent / "victim"
    victim.write_bytes(b"precious")
    target.with_name(".fox.t0.part").symlink_to(victim)

    part = filled(target)

    assert part.path.name == ".fox.t1.part"
    assert victim.read_bytes() == b"precious"


def test_a_folder_full_of_taken_names_ends(target: Path) -> None:
    """A source of names that never gives a new one is an error, not a loop."""
    filled(target, token=lambda: "same")

    with pytest.raises(WriteFailed, match="name for a temporary file is taken"):
        Part(target, cap=CAP, token=lambda: "same")


def test_d10_the_cap_holds(target: Path) -> None:
    """Not a byte beyond it is written; up to it everything is."""
    part = filled(target, b"1234", cap=8)
    part.write(b"5678")

    with pytest.raises(DownloadFailed, match="more than the 8 bytes") as caught:
        part.write(b"9")

    assert part.size == part.path.stat().st_size == 8
    assert caught.value.charged == "yes"


def test_d07_a_part_can_start_again(target: Path) -> None:
    """After truncate, only what comes then counts: size, head, hash and file."""
    part = filled(target, b"<html>" * 100)
    part.truncate()
    assert (part.size, part.head) == (0, b"")
    part.write(PICTURE)

    assert part.sha256 == hashlib.sha256(PICTURE).hexdigest()
    assert part.check().mime == "image/png"
    assert part.path.read_bytes() == PICTURE


def test_writing_goes_on_after_reading(target: Path) -> None:
    """Reading moves no writing position: a resumed download appends."""
    part = filled(target, PICTURE[:100])
    with part.reading() as file:
        assert file.read(8) == PICTURE[:8]
    part.write(PICTURE[100:])

    assert part.path.read_bytes() == PICTURE


@settings(deadline=None)
@given(st.lists(st.binary(max_size=90), max_size=6))
def test_the_head_is_the_first_64_bytes(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    """However the bytes are cut."""
    with Part(tmp_path_factory.getbasetemp() / "x.png", cap=CAP) as part:
        for piece in pieces:
            part.write(piece)
        assert part.head == b"".join(pieces)[:64]
        assert part.sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_short_writes_are_continued(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that writes less than it was given is given the rest."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))

    assert filled(target).path.read_bytes() == PICTURE


@pytest.mark.parametrize(
    ("data", "expected", "message"),
    [
        (b"", "picture", "expected a picture, got an empty file"),
        (
            b"<!DOCTYPE html>\n<p>Not\x1b[2J \xe2\x80\xaefound",
            "picture",
            'got HTML: "<!DOCTYPE html> <p>Not^[[2J <U+202E>found"',
        ),
        (b"<?xml version='1.0'?><Error/>", "picture", "got XML: \"<?xml version='1.0'?><Error/>\""),
        (b'{"message": "expired"}', "video", 'expected a video, got JSON: "{"message": "expired"}"'),
        (b"gone", "picture", 'got text: "gone"'),
        (b"\0\1\2\3", "picture", "got unknown data"),
        (b"%PDF-1.7", "picture", "got PDF"),
        (b"<svg/>", "picture", "got SVG"),
        (PICTURE[:-10], "picture", "the picture is not whole: it is cut off"),
        (MP4[:-8], "video", "the video is not whole: it is cut off"),
    ],
)
def test_d04_d08_d16_what_is_no_picture_is_refused(data: bytes, expected: str, message: str, target: Path) -> None:
    """Error pages, empty files and cut ones never get the final name, and the message quotes what came, made safe."""
    part = filled(target, data, expected=expected)

    with pytest.raises(DownloadFailed) as caught:
        part.check()

    assert caught.value.message.startswith("fox.png: ")
    assert message in caught.value.message
    assert caught.value.hint
    assert part.suspect is None


def test_d08_a_long_page_is_quoted_shortly(target: Path) -> None:
    """At most two hundred characters of it."""
    with pytest.raises(DownloadFailed) as caught:
        filled(target, b"<html>" + b"x" * 100_000).check()

    assert len(caught.value.message) < 260


def test_d09_another_kind_of_media_is_accepted(target: Path) -> None:
    """A video where a picture was expected was paid for."""
    assert filled(target, MP4).check().mime == "video/mp4"


def test_d12_a_pixel_bomb_is_kept_as_a_suspect(target: Path) -> None:
    """It is not opened and not published under its name, but what was paid for is kept, and nothing is overwritten."""
    taken = target.with_name("fox.png.suspect")
    taken.write_bytes(b"mine")
    data = png(20_000, 20_000, zlib.compress(bytes(50_000_000), 9))
    assert len(data) < 50_000

    with (
        filled(target, data) as part,
        pytest.raises(DownloadFailed, match="20000x20000, more than 64,000,000") as caught,
    ):
        part.check()

    assert part.suspect == target.with_name("fox.png-2.suspect")
    assert str(part.suspect) in caught.value.message
    assert part.suspect.read_bytes() == data
    assert taken.read_bytes() == b"mine"
    assert not target.exists()


@pytest.mark.parametrize("links", [True, False])
def test_d15_a_name_that_was_taken_meanwhile_gets_a_number(
    links: bool, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With hard links and without: the file that is there stays, and the returned path says where the new one is."""
    if not links:
        broken(monkeypatch, "link", errno.EPERM)
    target.write_bytes(b"mine")
    target.with_name("fox-2.png").symlink_to("nowhere")

    assert filled(target).publish(target, overwrite=False) == target.with_name("fox-3.png")
    assert target.read_bytes() == b"mine"
    assert target.with_name("fox-3.png").read_bytes() == PICTURE
    assert names(target.parent) == ["fox-2.png", "fox-3.png", "fox.png"]


@pytest.mark.parametrize("links", [True, False])
def test_a_free_name_is_used_as_it_is(links: bool, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems without hard links get the same result, with the same mode."""
    if not links:
        broken(monkeypatch, "link", errno.ENOTSUP)
    old = os.umask(0o022)
    try:
        assert filled(target).publish(target, overwrite=False) == target
    finally:
        os.umask(old)

    assert names(target.parent) == ["fox.png"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_s8_overwriting_replaces_a_link_and_not_what_it_names(target: Path) -> None:
    """--overwrite is atomic and never writes through a link."""
    victim = target.parent / "victim"
    victim.write_bytes(b"precious")
    target.symlink_to(victim)

    assert filled(target).publish(target, overwrite=True) == target
    assert not target.is_symlink()
    assert target.read_bytes() == PICTURE
    assert victim.read_bytes() == b"precious"


def test_a_leftover_second_name_is_no_failure(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the temporary name cannot be removed, the result is published all the same."""
    part = filled(target)
    broken(monkeypatch, "unlink", errno.EIO)

    assert part.publish(target, overwrite=False) == target
    assert target.read_bytes() == PICTURE
    part.discard()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EFBIG])
@pytest.mark.parametrize("call", ["open", "write", "ftruncate", "fsync", "fchmod", "dup"])
def test_s03_s05_every_failing_call_is_a_write_failure(
    call: str, code: int, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Path and reason are named, the result is still at the provider, and neither a part nor a final file is left."""

    def deliver() -> None:
        with Part(target, cap=CAP) as part:
            part.write(PICTURE)
            part.check()
            part.truncate()
            part.publish(target, overwrite=False)

    broken(monkeypatch, call, code)
    with pytest.raises(WriteFailed) as caught:
        deliver()
    monkeypatch.undo()

    assert (
        caught.value.message
        == f"{target} could not be written: {os.strerror(code)}; the result is still at the provider"
    )
    assert ("free some space" in caught.value.hint) == (code in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
    assert "wan wait" in caught.value.hint
    assert caught.value.exit_code == 12
    assert names(target.parent) == []


def test_a_failing_rename_leaves_no_empty_file(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hard links, the claimed name is given back when the bytes cannot be moved to it."""
    broken(monkeypatch, "link", errno.EPERM)
    broken(monkeypatch, "replace", errno.EIO)

    with pytest.raises(WriteFailed), filled(target) as part:
        part.publish(target, overwrite=False)

    assert names(target.parent) == []


def test_a_folder_cannot_be_overwritten(target: Path) -> None:
    """A folder that appeared under the final name is a write failure."""
    target.mkdir()

    with pytest.raises(WriteFailed), filled(target) as part:
        part.publish(target, overwrite=True)

    assert names(target.parent) == ["fox.png"]


@pytest.mark.parametrize(
    ("code", "fails"), [(errno.EINVAL, False), (errno.EACCES, False), (errno.EIO, True), (errno.ENOSPC, True)]
)
def test_folders_are_synced_where_that_is_possible(
    code: int, fails: bool, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that cannot sync folders is forgiven; a disk that fails is not."""
    part = filled(target)
    real = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)

    if fails:
        with pytest.raises(WriteFailed):
            part.publish(target, overwrite=False)
    else:
        part.publish(target, overwrite=False)
    assert target.read_bytes() == PICTURE


def test_bytes_are_synced_before_they_are_named(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the file, then the name, then the folder (reliability.md 4.8)."""
    part = filled(target)
    calls = []

    def noted(name: str) -> None:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            is_folder = name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode)
            calls.append("folder" if is_folder else name)
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    for name in ("fsync", "fchmod", "link", "unlink"):
        noted(name)
    part.publish(target, overwrite=False)

    assert calls == ["fsync", "fchmod", "link", "unlink", "folder"]


def test_a_system_without_modes_publishes_too(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no fchmod."""
    part = filled(target)
    monkeypatch.delattr(os, "fchmod")

    assert part.publish(target, overwrite=False).read_bytes() == PICTURE


SOURCES = {
    "rgb": drawn(Image.new("RGB", (8, 8), "red")),
    "grey": drawn(Image.new("L", (8, 8), 99)),
    "palette": drawn(Image.new("P", (8, 8))),
    "clear": drawn(Image.new("RGBA", (8, 8), (255, 0, 0, 0))),
    "cmyk": drawn(Image.new("CMYK", (8, 8)), "JPEG", icc_profile=b"x" * 200),
    "deep": drawn(Image.new("I;16", (8, 8), 0x8000)),
    "webp": drawn(Image.new("RGB", (8, 8)), "WEBP"),
    "gif": drawn(Image.new("P", (8, 8)), "GIF"),
    "bmp": drawn(Image.new("RGB", (8, 8)), "BMP"),
    "avif": drawn(Image.new("RGB", (8, 8)), "AVIF"),
    "bit": drawn(Image.new("1", (8, 8))),
}


def opened(part: Part) -> Image.Image:
    """Decode what a part holds."""
    return Image.open(io.BytesIO(part.path.read_bytes())).convert("RGBA")


@pytest.mark.parametrize("mime", sorted(CONVERTIBLE))
@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_picture_can_become_every_format(name: str, mime: str, target: Path) -> None:
    """What comes out passes the same check as what a provider sends, in a part of its own."""
    with filled(target, SOURCES[name]) as part, convert(part, mime) as made:
        sniffed = made.check()

        assert sniffed.mime == mime
        assert opened(made).size == (8, 8)
        assert made.sha256 == hashlib.sha256(made.path.read_bytes()).hexdigest()
        assert part.check().mime in media.EXTENSIONS
        assert made.path != part.path

    assert names(target.parent) == []


@pytest.mark.parametrize(
    ("mime", "pixel"),
    [("image/jpeg", (255, 255, 255, 255)), ("image/bmp", (255, 255, 255, 255)), ("image/webp", (255, 0, 0, 0))],
)
def test_transparency_goes_onto_white_where_there_is_none(mime: str, pixel: tuple[int, ...], target: Path) -> None:
    """JPEG and BMP show white where the picture was clear; the others stay clear."""
    with filled(target, SOURCES["clear"]) as part, convert(part, mime) as made:
        seen = opened(made).getpixel((4, 4))
        assert isinstance(seen, tuple)
        assert seen[3] == pixel[3]
        assert seen == pixel or not pixel[3]


def test_deep_grey_keeps_its_brightness(target: Path) -> None:
    """Sixteen bits become their upper eight instead of white."""
    with filled(target, SOURCES["deep"]) as part, convert(part, "image/bmp") as made:
        assert opened(made).getpixel((4, 4)) == (128, 128, 128, 255)


def test_profile_and_exif_survive(target: Path) -> None:
    """The colours keep their meaning, and the orientation is not lost; a CMYK profile is, with its colours."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = drawn(Image.new("RGB", (8, 8)), "PNG", icc_profile=b"profile", exif=exif)
    with filled(target, data) as part, convert(part, "image/jpeg") as made, Image.open(made.path) as image:
        assert image.info["icc_profile"] == b"profile"
        assert image.getexif()[0x0112] == 6
    with filled(target, SOURCES["cmyk"]) as part, convert(part, "image/png") as made, Image.open(made.path) as image:
        assert "icc_profile" not in image.info


def refused(part: Part, mime: str = "image/jpeg", **options: Any) -> str:
    """Return why a conversion failed; the part itself is still there, and it alone."""
    with pytest.raises(DownloadFailed) as caught:
        convert(part, mime, **options)
    assert names(part.path.parent) == [part.path.name]
    assert part.check().mime in media.EXTENSIONS
    return caught.value.message


def test_what_cannot_be_converted_can_still_be_published(target: Path) -> None:
    """Animations, videos, strange targets and pictures that do not decode are refused with the reason."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    moving = drawn(frames[0], "WEBP", save_all=True, append_images=frames[1:])

    with filled(target, moving) as part:
        assert "animated WEBP is not re-encoded" in refused(part)
    with filled(target, MP4) as part:
        assert "MP4 is not re-encoded" in refused(part)
    with filled(target, SOURCES["rgb"]) as part:
        assert "cannot be converted to MP4: PNG is not" in refused(part, "video/mp4")
    with filled(target, png(8, 8, b"no zlib stream")) as part:
        assert "cannot be converted to JPEG" in refused(part)


def test_a_converted_picture_has_a_cap_too(target: Path) -> None:
    """A picture that grows past the cap stops there."""
    with filled(target, SOURCES["rgb"]) as part:
        assert "more than the 100 bytes" in refused(part, "image/bmp", cap=100)


def test_d12_a_picture_without_known_sides_is_measured_before_it_is_decoded(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AVIF's sides are known to the decoder only: its header decides, before any pixel is made."""
    with filled(target, SOURCES["avif"]) as part:
        monkeypatch.setattr(media, "MAX_PIXELS", 63)
        assert "more than 63 pixels" in refused(part)


def test_d12_the_decoders_own_alarm_is_heard(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's warning about a bomb refuses the conversion where warnings are errors, and so does its error."""
    with filled(target, SOURCES["avif"]) as part, warnings.catch_warnings():
        warnings.simplefilter("error")
        for limit in (60, 20):
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
            assert "decompression bomb" in refused(part)


def test_s03_a_full_disk_while_converting_is_a_write_failure(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not mistaken for a picture that does not decode."""
    with filled(target, SOURCES["rgb"]) as part:
        broken(monkeypatch, "write", errno.ENOSPC)
        with pytest.raises(WriteFailed, match="No space left"):
            convert(part, "image/webp")


def test_free_space_is_that_of_the_nearest_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is not there yet will be made on its parent's disk."""
    asked = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(free=1_100)

    monkeypatch.setattr(shutil, "disk_usage", usage)

    assert free_space(tmp_path / "a" / "b") == 1_100
    assert asked == [tmp_path]


def test_s03_space_is_ensured_with_a_tenth_to_spare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits with ten per cent more passes; what does not says how much there is."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_100))

    ensure_space(tmp_path, 1_000)
    with pytest.raises(WriteFailed, match="1,100 bytes free, and the result needs 1,010"):
        ensure_space(tmp_path, 1_010)


def test_space_that_cannot_be_asked_is_a_write_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder and the reason are named."""

    def failing(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(shutil, "disk_usage", failing)

    with pytest.raises(WriteFailed, match="Input/output error"):
        ensure_space(tmp_path, 1)
