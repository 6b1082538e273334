"""What a file really is (reliability.md I07-I14, D04, D16, D17, S12, S13, R14)."""

import base64
import hashlib
import io
import os
import socket
import struct
import wave
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wan_cli import media
from wan_cli.catalog import Inputs
from wan_cli.errors import FileInvalid
from wan_cli.media import Sniffed, check_structure, decode_b64, inspect, local_file, sniff

ANY = Inputs(count=(1, 9))
STRICT = Inputs(
    count=(1, 9),
    mimes=("image/jpeg", "image/png", "image/bmp", "image/webp"),
    max_bytes=100_000,
    sides=(16, 400),
    max_ratio=8.0,
    alpha=False,
)
"""Modelverse's limits (contracts.md), on a small scale."""


def picture(form: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 20), **options: Any) -> bytes:
    """Draw a small picture with some detail."""
    grey = Image.effect_mandelbrot(size, (-2, -1, 1, 1), 20)
    image = grey.convert("RGB").convert(mode)
    if mode == "RGBA":
        image.putalpha(grey)
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def animation(form: str) -> bytes:
    """Draw two different frames."""
    frames = [Image.new("RGB", (40, 20), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, form, save_all=True, append_images=frames[1:], duration=50)
    return out.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """Build a PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, width: int = 40, height: int = 20, colour: int = 2) -> bytes:
    """Build a PNG around ``chunks``."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND")


def box(kind: bytes, data: bytes = b"") -> bytes:
    """Build an ISO box."""
    return struct.pack(">I", 8 + len(data)) + kind + data


BOMB = png(chunk(b"IDAT", zlib.compress(bytes(50_000_000), 9)), width=20_000, height=20_000)
"""49 KB that declare 400 million pixels (reliability.md S12)."""
MP4 = box(b"ftyp", b"isom\0\0\2\0isomiso2") + box(b"moov", b"x" * 20) + box(b"mdat", b"y" * 50)
WEBM = b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm"
WHOLE = {
    "png": picture(),
    "png-alpha": picture(mode="RGBA"),
    "png-palette": picture(mode="P"),
    "apng": animation("PNG"),
    "jpeg": picture("JPEG"),
    "progressive": picture("JPEG", progressive=True),
    "cmyk": picture("JPEG", mode="CMYK"),
    "restarts": picture("JPEG", restart_marker_rows=1),
    "thumbnail": picture("JPEG", exif=b"Exif\0\0" + picture("JPEG")),
    "webp": picture("WEBP"),
    "webp-lossless": picture("WEBP", lossless=True),
    "webp-alpha": picture("WEBP", mode="RGBA"),
    "webp-extended": picture("WEBP", exif=b"Exif\0\0MM"),
    "webp-animated": animation("WEBP"),
    "gif": picture("GIF"),
    "gif-animated": animation("GIF"),
    "bmp": picture("BMP"),
    "bmp-grey": picture("BMP", mode="L"),
    "avif": picture("AVIF"),
    "mp4": MP4,
    "mov": box(b"ftyp", b"qt  \0\0\2\0qt  ") + box(b"moov"),
}


def whole(data: bytes) -> str | None:
    """Check the structure of ``data``."""
    return check_structure(io.BytesIO(data), inspect(io.BytesIO(data)).mime, len(data))


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (picture(), "image/png"),
        (picture("JPEG"), "image/jpeg"),
        (picture("WEBP"), "image/webp"),
        (picture("GIF"), "image/gif"),
        (picture("BMP"), "image/bmp"),
        (picture("AVIF"), "image/avif"),
        (picture("TIFF"), "image/tiff"),
        (MP4, "video/mp4"),
        (box(b"ftyp", b"qt  \0\0\0\0"), "video/quicktime"),
        (box(b"ftyp", b"M4A \0\0\0\0isom"), "audio/mp4"),
        (box(b"ftyp", b"heic\0\0\0\0mif1"), "image/heic"),
        (box(b"ftyp", b"mif1\0\0\0\0avif"), "image/avif"),
        (WEBM, "video/webm"),
        (WEBM.replace(b"webm", b"matr"), "video/x-matroska"),
        (b"ID3\4\0", "audio/mpeg"),
        (b"\xff\xfb\x90d", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"ADIF", "audio/aac"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"OggS\0", "audio/ogg"),
        (b"fLaC\0", "audio/flac"),
        (b"%PDF-1.7", "application/pdf"),
        (b"<svg xmlns=''>", "image/svg+xml"),
        (b"<?xml version='1.0'?>\n<svg>", "image/svg+xml"),
        (b"<!DOCTYPE html>", "text/html"),
        (b"\n <HTML>", "text/html"),
        (b"\xef\xbb\xbf<html>", "text/html"),
        (b"<?xml version='1.0'?><html>", "text/html"),
        (b"<!-- x -->", "text/html"),
        (b"<?xml version='1.0'?><Error>", "application/xml"),
        (b"<Error><Code>", "application/xml"),
        (b' {"error": 1}', "application/json"),
        (b"[1]", "application/json"),
        (b"prompt: a fox", "text/plain"),
        ("füchse".encode()[:2], "text/plain"),
        ("füchse".encode("utf-16"), "text/plain"),
        (b"\x1b[31mred", "text/plain"),
        (b"BM and more of such words", "text/plain"),
        (b"", None),
        (b"  \n", None),
        (b"\0\1\2\3", None),
        (b"\xe9t\xe9", None),
        (b"a\0b", None),
    ],
)
def test_threat_s13_the_kind_comes_from_the_bytes(head: bytes, mime: str | None) -> None:
    """Sixty-four bytes tell pictures, videos, sounds, documents and texts apart."""
    assert sniff(head[:64]) == mime


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_sniffing_never_fails(head: bytes) -> None:
    """Any bytes give a mime or none."""
    assert sniff(head) is None or "/" in str(sniff(head))


@pytest.mark.parametrize(
    ("mime", "word"),
    [
        ("text/html", "HTML"),
        ("text/plain", "text"),
        ("image/svg+xml", "SVG"),
        ("image/x-icon", "ICON"),
        (media.UNKNOWN, "unknown data"),
    ],
)
def test_kinds_have_a_spoken_name(mime: str, word: str) -> None:
    """Messages say HTML, not text/html."""
    assert media.spoken(mime) == word


@pytest.mark.parametrize(
    ("name", "mime"),
    [
        ("a.png", "image/png"),
        ("A.JPEG", "image/jpeg"),
        ("a.b.jpg", "image/jpeg"),
        ("a.mov", "video/quicktime"),
        ("v.m4a", "audio/mp4"),
        ("https://x/y.webp", "image/webp"),
        ("a.txt", None),
        ("png", None),
        (".png", None),
        ("", None),
    ],
)
def test_an_extension_stands_for_a_mime(name: str, mime: str | None) -> None:
    """Case does not matter; a bare dot-name has no extension."""
    assert media.mime_of_extension(name) == mime


def test_a_prompt_can_look_like_a_file(tmp_path: Path) -> None:
    """A media extension without blanks is a name; with blanks it is one where the file exists."""
    spaced = tmp_path / "two words.png"
    spaced.touch()

    for name in ("fox.png", "a/b.jpeg", "clip.mp4", " fox.PNG\n", str(spaced)):
        assert media.looks_like_media_name(name)
    for name in (
        "a fox",
        "a poster that says logo.png",
        "fox",
        ".png",
        "x" * 300 + " a.png",
        "a\0 b.png",
        "\ud800 .png",
    ):
        assert not media.looks_like_media_name(name)


@pytest.mark.parametrize(
    ("name", "alpha", "animated"),
    [
        ("png", False, False),
        ("png-alpha", True, False),
        ("apng", False, True),
        ("jpeg", False, False),
        ("progressive", False, False),
        ("cmyk", False, False),
        ("restarts", False, False),
        ("thumbnail", False, False),
        ("webp", False, False),
        ("webp-lossless", False, False),
        ("webp-alpha", True, False),
        ("webp-extended", False, False),
        ("webp-animated", False, True),
        ("gif", False, False),
        ("gif-animated", True, True),
        ("bmp", False, False),
        ("bmp-grey", False, False),
        ("png-palette", False, False),
    ],
)
def test_sides_alpha_and_motion_are_read(name: str, *, alpha: bool, animated: bool) -> None:
    """Every variant of every format that Pillow writes is understood, also through an open file."""
    sniffed = inspect(io.BytesIO(WHOLE[name]))

    assert (sniffed.width, sniffed.height) == (40, 20)
    assert (sniffed.alpha, sniffed.animated) == (alpha, animated)
    assert sniffed.pixels == 800


def test_a_transparent_colour_is_alpha() -> None:
    """PNG's tRNS chunk and GIF's control block count as transparency."""
    assert inspect(io.BytesIO(picture(transparency=(0, 0, 0)))).alpha
    assert inspect(io.BytesIO(picture("GIF", mode="P", transparency=0))).alpha


def test_old_and_upside_down_bitmaps_are_read() -> None:
    """BMP with a 12-byte header, and with a negative height."""
    core = b"BM" + struct.pack("<IIIIHHHH", 26 + 8, 0, 26, 12, 2, 1, 1, 24) + bytes(8)
    down = bytearray(WHOLE["bmp"])
    down[22:26] = struct.pack("<i", -20)

    assert inspect(io.BytesIO(core)) == Sniffed("image/bmp", 2, 1)
    assert whole(core) is None
    assert inspect(io.BytesIO(bytes(down))).height == 20
    assert whole(bytes(down)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\1",
        b"text",
        WHOLE["avif"],
        MP4,
        WHOLE["png"][:30],
        b"RIFF\x20\0\0\0WEBPJUNK" + struct.pack("<I", 12) + bytes(12),
        WHOLE["webp"][:22],
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0",
        WHOLE["gif"][:7],
        WHOLE["bmp"][:20],
        b"RIFF\x04\0\0\0WEBP",
        b"\xff\xd8\xff\xda\0\4xx\xff\xd9",
    ],
)
def test_sides_that_cannot_be_read_are_none(data: bytes) -> None:
    """Damaged heads and formats without a reader have no sides; that is no error here."""
    assert (inspect(io.BytesIO(data)).width, inspect(io.BytesIO(data)).height) == (None, None)


def test_sides_of_zero_are_none() -> None:
    """A picture that declares no width has no known width."""
    assert inspect(io.BytesIO(png(width=0))).width is None
    assert inspect(io.BytesIO(png(width=0))).pixels == 0


def test_a_path_is_inspected_as_well(tmp_path: Path) -> None:
    """The name plays no part."""
    path = tmp_path / "a.txt"
    path.write_bytes(WHOLE["webp"])

    assert inspect(path) == inspect(str(path)) == Sniffed("image/webp", 40, 20)


def test_threat_s12_a_bomb_is_measured_unopened() -> None:
    """400 million pixels in 49 KB are seen in the header, and only a little of the file is read."""

    class Counting(io.BytesIO):
        seen = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.seen += len(data)
            return data

    file = Counting(BOMB)

    assert len(BOMB) < 50_000
    assert inspect(file).pixels == 400_000_000 > media.MAX_PIXELS
    assert file.seen < 1_000


@pytest.mark.parametrize("name", WHOLE)
def test_d17_whole_files_pass(name: str) -> None:
    """What encoders write is whole, and pictures may have something after their end (but for box files)."""
    assert whole(WHOLE[name]) is None
    if name not in {"avif", "mp4", "mov"}:
        assert whole(WHOLE[name] + b"<html>polyglot") is None


@pytest.mark.parametrize("name", WHOLE)
def test_d04_i12_every_cut_is_noticed(name: str) -> None:
    """However much of the end is missing, the file is not whole (a pad byte alone is no loss)."""
    data = WHOLE[name]
    for length in {*range(26, len(data) - 1, max(len(data) // 97, 1)), len(data) - 2}:
        cut = data[:length]
        if inspect(io.BytesIO(cut)).mime in media.EXTENSIONS:
            boundary = name in {"mov", "mp4"} and length == len(data) - 58
            assert boundary or check_structure(io.BytesIO(cut), inspect(io.BytesIO(data)).mime, length), length


def test_d16_nothing_is_empty() -> None:
    """Zero bytes are no picture, whatever the type."""
    assert check_structure(io.BytesIO(), "image/png", 0) == "it is empty"
    assert check_structure(io.BytesIO(), "video/webm", 0) == "it is empty"
    assert check_structure(io.BytesIO(WEBM), "video/webm", len(WEBM)) is None


def flipped(data: bytes, at: int) -> bytes:
    """Damage one byte."""
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (flipped(WHOLE["png"], 29), "IHDR"),
        (flipped(WHOLE["png"], len(WHOLE["png"]) - 30), "IDAT"),
        (png(), "no picture"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT") + chunk(b"IEND"), "header"),
        (b"\xff\xd8\xff\xe0\0\2\xff\xd9", "no picture"),
        (b"RIFF\x16\0\0\0WEBPJUNK\x0a\0\0\0" + bytes(10), "no picture"),
        (b"RIFF\x16\0\0\0WEBPVP8 \x0b\0\0\0" + bytes(10), "past the end"),
        (WHOLE["gif"][:6] + b"\1\0\1\0\0\0\0;", "no picture"),
        (WHOLE["gif"][:6] + b"\1\0\1\0\0\0\0\x55", "unknown block 0x55"),
        (box(b"ftyp", b"isom") + box(b"mdat"), "moov"),
        (box(b"ftyp", b"isom") + b"\0\0\0\4moov", "shorter than its header"),
        (box(b"ftyp", b"isom") + b"\0\0\0\1moov" + struct.pack(">Q", 15), "shorter"),
        (box(b"ftyp", b"avif"), "no picture"),
        (MP4 + b"xyz", "cut off"),
    ],
)
def test_damage_is_named(data: bytes, why: str) -> None:
    """Wrong checksums, missing parts and impossible sizes say what they are."""
    assert why in str(whole(data))


def test_rare_but_whole_forms_pass() -> None:
    """64-bit and open-ended boxes, an empty GIF extension, a stuffed JPEG, a packed bitmap, a wrong small CRC."""
    wide = b"\0\0\0\1mdat" + struct.pack(">Q", 20) + b"1234"
    gif = WHOLE["gif"]
    tables = 13 + (3 << (gif[10] & 7) + 1)
    jpeg = WHOLE["jpeg"].replace(b"\xff\xdb", b"\xff\x01\xff\xff\xff\xdb", 1)
    rle = b"BM" + struct.pack("<IIIIiiHHI", 54, 0, 54, 40, 900, 900, 1, 8, 1) + bytes(20)

    assert whole(box(b"ftyp", b"isom") + wide + b"\0\0\0\0moovrest") is None
    assert whole(gif[:tables] + b"!\xfe\0" + gif[tables:]) is None
    assert whole(jpeg) is None
    assert whole(rle) is None
    assert whole(png(chunk(b"tEXt", b"a")[:-1] + b"\0", chunk(b"IDAT", b"x"))) is None


def test_a_marker_across_two_reads_is_found() -> None:
    """A JPEG's end is seen where its two bytes fall into two pieces of 64 KiB."""
    head = b"\xff\xd8\xff\xc0\0\x0b\x08\0\1\0\1\1\1\x11\0\xff\xda\0\x02"

    for pad in range(65_530, 65_540):
        assert whole(head + b"\x11" * pad + b"\xff\xd9") is None


@settings(deadline=None)
@given(name=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_damaged_files_never_break_the_parsers(name: str, data: st.DataObject) -> None:
    """Any bytes changed anywhere give an answer, not an exception."""
    raw = bytearray(WHOLE[name])
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, min(len(raw) - 1, 200)))] = data.draw(st.integers(0, 255))
    mime = inspect(io.BytesIO(WHOLE[name])).mime

    inspect(io.BytesIO(raw))
    why = check_structure(io.BytesIO(raw), mime, len(raw))
    assert why is None or why.startswith("it ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("QUJD", (b"ABC", None)),
        (" QU\nJD\r\n", (b"ABC", None)),
        ("QQ==", (b"A", None)),
        ("QQ", (b"A", None)),
        ("QQ=", (b"A", None)),
        ("-_-_", (b"\xfb\xff\xbf", None)),
        ("+/+/", (b"\xfb\xff\xbf", None)),
        ("", (b"", None)),
        ("data:image/png;base64,QUJD", (b"ABC", "image/png")),
        ("\nDATA:image/webp;x=1;base64, QUJD", (b"ABC", "image/webp")),
        ("data:;base64,QUJD", (b"ABC", None)),
    ],
)
def test_r14_base64_is_read_tolerantly(text: str, expected: tuple[bytes, str | None]) -> None:
    """A data: prefix, blanks, missing padding and the url-safe alphabet are accepted."""
    assert decode_b64(text) == expected


@pytest.mark.parametrize(
    "text",
    ["Q", "QUJDR", "QUJD=", "QQ===", "Q=QQ", "QU*D", "QUJD\u00e9", "data:image/png,QUJD", "data:image/png;base64"],
)
def test_r14_other_base64_is_refused(text: str) -> None:
    """Foreign characters, impossible lengths and padding in the wrong place are errors."""
    with pytest.raises(ValueError, match=r"\w"):
        decode_b64(text)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes]))
def test_r14_what_was_encoded_comes_back(data: bytes, encode: Callable[[bytes], bytes]) -> None:
    """Every encoder's output is read, with and without its padding."""
    text = encode(data).decode()

    assert decode_b64(text)[0] == decode_b64(text.replace("=", ""))[0] == data


def stored(folder: Path, data: bytes, name: str = "a.png") -> str:
    """Write a file and return its path."""
    path = folder / name
    path.write_bytes(data)
    return str(path)


def refused(path: str, inputs: Inputs = STRICT, **options: Any) -> str:
    """Return why a file is refused."""
    with pytest.raises(FileInvalid) as caught:
        local_file(path, inputs, **options)
    assert caught.value.hint
    assert caught.value.message.startswith(path)
    return caught.value.message


@pytest.mark.parametrize("name", ["png", "jpeg", "cmyk", "webp", "webp-alpha", "bmp"])
def test_a_good_file_has_its_facts(name: str, tmp_path: Path) -> None:
    """Path as given, hash, size, true type and sides; the extension plays no part."""
    data = WHOLE[name]
    path = stored(tmp_path, data, "x.dat")
    file = local_file(path, STRICT)

    assert (file.path, file.size, file.sha256) == (path, len(data), hashlib.sha256(data).hexdigest())
    assert (file.mime, file.width, file.height) == (inspect(path).mime, 40, 20)


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    """Users may link their references."""
    stored(tmp_path, WHOLE["png"])
    (tmp_path / "l").symlink_to("a.png")

    assert local_file(str(tmp_path / "l"), STRICT).mime == "image/png"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a poem", "it is text, not a picture; jpeg, png, bmp and webp are taken"),
        (b"<svg/>", "SVG, not a picture"),
        (b"%PDF-1.7", "PDF, not a picture"),
        (box(b"ftyp", b"heic\0\0\0\0"), "HEIC, not a picture"),
        (MP4, "MP4, not a picture"),
        (WHOLE["gif"], "it is GIF; jpeg, png"),
        (b"\0\1\2", "unknown data, not a picture"),
        (b"", "it is empty"),
        (picture(mode="RGBA"), "transparency"),
        (picture(transparency=(1, 2, 3)), "transparency"),
        (animation("PNG"), "animated PNG"),
        (animation("WEBP"), "animated WEBP"),
        (picture()[:-20], "cut off"),
        (BOMB, "20000x20000, 400,000,000 pixels; at most 64,000,000"),
        (picture(size=(15, 20)), "it is 15x20; each side must have 16 to 400 pixels"),
        (picture(size=(401, 200)), "each side"),
        (picture(size=(320, 20)), "at most 8 times"),
        (bytes(100_001), "100,001 bytes; at most 100,000"),
    ],
)
def test_i07_to_i13_a_bad_file_says_what_is_wrong(data: bytes, why: str, tmp_path: Path) -> None:
    """The message names the file, what is wrong and what would be taken."""
    assert why in refused(stored(tmp_path, data))


def test_limits_that_are_not_set_do_not_bind(tmp_path: Path) -> None:
    """Without listed types, every still picture that wan knows is taken, of any size, with alpha or without."""
    for name in ("gif", "png-alpha", "avif"):
        assert local_file(stored(tmp_path, WHOLE[name]), ANY).mime.startswith("image/")
    assert "animated GIF" in refused(stored(tmp_path, WHOLE["gif-animated"]), ANY)
    assert "TIFF, not a picture" in refused(stored(tmp_path, picture("TIFF")), ANY)


def test_other_kinds_are_called_by_their_label(tmp_path: Path) -> None:
    """Videos and sounds are checked by kind; the label is what the user calls the input."""
    clip, voice = stored(tmp_path, MP4, "a.mp4"), stored(tmp_path, b"ID3\4 song", "a.mp3")
    one = Inputs(count=(1, 1), mimes=("audio/wav",))

    assert local_file(clip, ANY, kind="video", label="first clip").mime == "video/mp4"
    assert local_file(voice, ANY, kind="audio", label="voice").mime == "audio/mpeg"
    assert "MPEG, not a first clip" in refused(voice, ANY, kind="video", label="first clip")
    assert "MP4, not an audio track; wav is taken" in refused(clip, one, kind="audio", label="audio track")


def test_i14_a_missing_file_and_a_dangling_link_are_told_apart(tmp_path: Path) -> None:
    """The link exists, and what it names does not."""
    (tmp_path / "l").symlink_to("nowhere")

    assert "does not exist" in refused(str(tmp_path / "gone.png"))
    assert "link to nothing" in refused(str(tmp_path / "l"))


def test_i14_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A folder, a pipe without a writer, a device and a socket are refused at once."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert "cannot be read" in refused(str(tmp_path / "s"))

    assert "is a folder" in refused(str(tmp_path))
    assert "a pipe or a device" in refused(str(tmp_path / "pipe"))
    assert "a pipe or a device" in refused("/dev/zero")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 300 + ".png", "\ud800.png"])
def test_impossible_names_are_refused(name: str) -> None:
    """NUL, too long, and half a character: a usage error like any other."""
    assert "cannot be read" in refused(name)


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's reason is in the message (as root, permissions have to be played)."""

    def denied(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    path = stored(tmp_path, WHOLE["png"])
    monkeypatch.setattr(os, "open", denied)

    assert refused(path) == f"{path} cannot be read: Permission denied"


@pytest.mark.parametrize("change", [-1, 10])
def test_i14_a_file_that_changes_while_it_is_read_is_refused(
    change: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is shorter or longer when hashed than when opened is not the checked one."""
    path = stored(tmp_path, WHOLE["png"] + bytes(20_000))
    check = media.check_structure

    def changing(file: Any, mime: str, size: int) -> str | None:
        os.truncate(path, size + change)
        return check(file, mime, size)

    monkeypatch.setattr("wan_cli.media.local.check_structure", changing)

    assert "changed while it was read" in refused(path)


def wave_of(seconds: float, rate: int = 8000) -> bytes:
    """Return silence."""
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(2 * int(seconds * rate)))
    return out.getvalue()


def film_of(seconds: float) -> bytes:
    """Return a film's headers that say how long it lasts."""
    header = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, int(seconds * 1000)) + bytes(80))
    return box(b"ftyp", b"isom\0\0\2\0isom") + box(b"moov", header) + box(b"mdat", b"x")


@pytest.mark.parametrize("make", [wave_of, film_of])
@pytest.mark.parametrize(
    ("seconds", "taken"), [(1.4, False), (1.6, True), (2, True), (10, True), (10.4, True), (10.6, False), (0, True)]
)
def test_how_long_a_film_or_a_sound_may_last(
    tmp_path: Path, make: Callable[[float], bytes], seconds: float, taken: bool
) -> None:
    """What lasts clearly less or more than the provider takes is refused here; a header that says nothing is not."""
    path = tmp_path / "long"
    path.write_bytes(make(seconds))
    kind: Any = "audio" if make is wave_of else "video"
    limits = Inputs(count=(0, 1), kinds=(kind,), seconds=(2, 10))
    if taken:
        assert local_file(str(path), limits, kind=kind).size == path.stat().st_size
        return
    with pytest.raises(FileInvalid, match=rf"it lasts {seconds:g} s; 2 to 10 s are taken"):
        local_file(str(path), limits, kind=kind)


def test_sound_whose_header_says_nothing_is_left_to_the_provider(tmp_path: Path) -> None:
    """A form that is not read (compressed) is no fault."""
    path = tmp_path / "sound.wav"
    path.write_bytes(wave_of(1).replace(b"fmt \x10\0\0\0\1\0", b"fmt \x10\0\0\0\2\0"))
    assert local_file(str(path), Inputs(count=(0, 1), kinds=("audio",), seconds=(2, 10)), kind="audio").size
