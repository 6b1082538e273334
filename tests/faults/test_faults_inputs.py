"""Inputs that cannot be used end the call with exit 2 before a byte leaves (reliability.md 3.8), at every provider.

The limits are read from the catalogue, so a provider that joins is held to its own. ``line`` runs whole command lines
against a server of every provider's contract on loopback; ``wire.seen`` is all that ever left.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support_cli import Ran, picture
from support_wire import Exchange, Line

from wan_cli.catalog import Inputs, Offer
from wan_cli.registry import capabilities

MAKERS: dict[str, tuple[str, ...]] = {
    "rivya": (), "modelverse": (), "yunwu": (), "openai": ("-m", "gpt-image-1"), "toapis": ("-m", "wan2.7-video"),
}  # fmt: skip
"""What makes something of a prompt alone, at each provider."""

TAKERS = ("rivya", "modelverse", "openai", "toapis")
"""Who takes a local picture; Yunwu documents none."""

EMBEDDERS = ("modelverse", "openai")
"""Who is sent the bytes inside the purchase itself."""

every_maker = pytest.mark.parametrize("maker", MAKERS)
every_taker = pytest.mark.parametrize("taker", TAKERS)


def offer(maker: str, verb: str = "generate") -> Offer:
    """Return what the provider's model of ``MAKERS`` offers."""
    name = MAKERS[maker][1] if MAKERS[maker] else capabilities(maker).models[0].name
    model = capabilities(maker).find(name) or capabilities(maker).unlisted(name)
    return model.verbs[verb]


def make(line: Line, maker: str, prompt: str, *more: object, **how: Any) -> Ran:
    """Ask for something of a prompt."""
    ran: Ran = line.run("generate", prompt, "-p", maker, *MAKERS[maker], *more, **how)
    return ran


def change(line: Line, taker: str, asset: object, *more: object, **how: Any) -> Ran:
    """Give one picture to a provider: to be edited, or as a video's first frame where it makes videos only."""
    words: tuple[object, ...] = ("edit", asset, "in blue")
    if taker == "toapis":
        words = ("generate", "in blue", f"--first-frame={asset}")
    ran: Ran = line.run(*words, "-p", taker, *MAKERS[taker], *more, **how)
    return ran


def refused(line: Line, ran: Ran, *words: str) -> str:
    """Hold a call to exit 2 with nothing sent, bought, stored or written, and return what it said."""
    said = ran.said("error")
    assert ran.code == 2, ran.err
    assert ran.said("charged") == "no"
    assert not line.wire.seen
    assert line.wire.connections == 0
    assert not line.wire.purchases
    assert not any(name.endswith((".part", ".mp4")) for name in line.cli.files())
    for word in words:
        assert word in said, said
    return said


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)


def sent(line: Line) -> list[str]:
    """Return the texts of the one purchase that left."""
    (seen,) = line.wire.asked("submit")
    return list(texts(json.loads(seen.body)))


def stored(line: Line, data: bytes, name: str = "a.png") -> Path:
    """Write an input file."""
    path: Path = line.cli.write(name, data)
    return path


def drawn(form: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (512, 512), **options: Any) -> bytes:
    """Return a picture."""
    data = io.BytesIO()
    Image.new(mode, size, 90 if mode != "RGB" else (9, 90, 200)).save(data, form, **options)
    return data.getvalue()


# -- prompts


@every_maker
def test_i01_a_prompt_is_sent_as_typed(line: Line, maker: str) -> None:
    """Emoji, right-to-left, joiners, decomposed letters, tabs and line breaks arrive letter for letter as UTF-8."""
    prompt = "fox \U0001f468\u200d\U0001f469\u200d\U0001f467 שלום cafe\u0301\twith\nlines"
    assert make(line, maker, prompt).code == 0
    assert prompt in sent(line)


@every_maker
def test_i01_a_prompt_is_measured_both_ways(line: Line, maker: str) -> None:
    """A prompt within the limit in characters and above it in UTF-16 units is refused, with both numbers."""
    half = offer(maker).prompt_max // 2 + 1
    ran = make(line, maker, "\U0001f98a" * half)
    refused(line, ran, f"{half:,} characters ({half * 2:,} UTF-16 units)", f"takes {offer(maker).prompt_max:,}")


@every_maker
def test_i02_a_prompt_that_is_too_long_says_both_numbers(line: Line, maker: str) -> None:
    """One character too many, and a megabyte: the message has what was given and what the model takes."""
    most = offer(maker).prompt_max
    for length in (most + 1, 1_000_000):
        refused(line, make(line, maker, "x" * length), f"{length:,} characters", f"takes {most:,}")
    refused(line, line.run("generate", "--prompt", "x" * (most + 1), "-p", maker, *MAKERS[maker]))


class Endless(io.RawIOBase):
    """A pipe that never ends, and counts what was taken from it."""

    def __init__(self) -> None:
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.taken += len(buffer)
        buffer[:] = b"x" * len(buffer)
        return len(buffer)


class Pipe(io.TextIOWrapper):
    """Standard input over a raw stream of the test's."""

    raw: io.RawIOBase

    def __init__(self, data: bytes, *, tty: bool) -> None:
        super().__init__(io.BufferedReader(self.raw), encoding="utf-8")


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Endless:
    """Make every standard input endless."""
    Pipe.raw = Endless()
    monkeypatch.setattr("support_cli.Input", Pipe)
    return Pipe.raw


@every_maker
def test_i02_standard_input_is_read_to_the_cap_only(line: Line, endless: Endless, maker: str) -> None:
    """A pipe that never ends is read to 64 KiB and one byte (and a buffer's length), then refused."""
    refused(line, line.run("generate", "-", "-p", maker, *MAKERS[maker]), "more than 65,536 bytes")
    assert endless.taken <= 65_537 + 2 * io.DEFAULT_BUFFER_SIZE


@every_taker
def test_i02_i07_a_picture_from_standard_input_is_read_to_the_cap_only(
    line: Line, endless: Endless, monkeypatch: pytest.MonkeyPatch, taker: str
) -> None:
    """A picture that never ends is given up at its cap as well."""
    monkeypatch.setattr("wan_cli.cli.prompt.STDIN_PICTURE_BYTES", 1 << 20)
    refused(line, change(line, taker, "-"), "more than 1,048,576 bytes")
    assert endless.taken <= (1 << 20) + (1 << 17)


@every_maker
@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a\0b", "(U+0000) at position 2"),
        ("\x1b[2Jfox", "(U+001B) at position 1"),
        ("fox\x7f", "(U+007F) at position 4"),
        ("fox\x9b2J", "(U+009B) at position 4"),
        ("caf\udce9", "(U+DCE9) at position 4"),
    ],
)
def test_i03_what_is_no_text_is_refused_with_its_place(line: Line, maker: str, prompt: str, words: str) -> None:
    """NUL, C0, DEL, C1 and arguments that are not UTF-8 (PEP 383) are refused where they stand."""
    refused(line, make(line, maker, prompt), words)


@pytest.mark.parametrize("option", ["--param=style=caf\udce9", "--model=caf\udce9"])
def test_i03_no_option_carries_what_cannot_be_sent(line: Line, option: str) -> None:
    """A model and a parameter that are not UTF-8 are refused as the prompt is."""
    refused(line, line.run("generate", "a fox", "-p", "rivya", option), "cannot be sent")


# -- numbers


@every_maker
@pytest.mark.parametrize("seed", ["-1", "2147483648", "1.5", "abc", "true", "99999999999999999999", "NaN", "٣"])
def test_i04_what_is_no_seed_is_refused(line: Line, maker: str, seed: str) -> None:
    """Below and above the range, a fraction, a word: never sent, never rounded."""
    if seed == "٣" and maker != "openai":  # Python's int() reads digits of every script; it is sent as a plain 3
        assert make(line, maker, "a fox", f"--seed={seed}").code == 0
        assert '"seed": 3' in line.wire.asked("submit")[0].body.decode()
        return
    refused(line, make(line, maker, "a fox", f"--seed={seed}"), "seed")


@every_maker
def test_i04_a_seed_of_zero_is_a_seed_or_is_warned_of(line: Line, maker: str) -> None:
    """Zero goes to those who take it; where it means "none" it is left out with a warning, never sent in silence."""
    here = offer(maker)
    ran = make(line, maker, "a fox", "--seed=0")
    if here.seed is None:
        refused(line, ran, "has no such option")
        return
    body = line.wire.asked("submit")[0].body.decode()
    assert ran.code == 0, ran.err
    assert ('"seed": 0' in body) is (here.seed_unset != 0)
    assert ("reads it as no seed" in ran.err) is (here.seed_unset == 0)


@every_maker
def test_i05_a_count_is_at_least_one_and_at_most_what_is_offered(line: Line, maker: str) -> None:
    """Zero, below zero, and one more than the provider makes in a request are refused; the message has the range."""
    for count in (0, -1):
        refused(line, make(line, maker, "a fox", f"-n{count}"), "at least 1")
    if most := offer(maker).count:
        refused(line, make(line, maker, "a fox", f"-n{most[1] + 1}"), f"makes {most[0]} to {most[1]}")
    for word in ("1.5", "two", "1001", "4294967296"):
        refused(line, make(line, maker, "a fox", f"-n{word}", "--yes"), word)


@every_maker
def test_i05_a_shape_that_is_not_made_lists_those_that_are(line: Line, maker: str) -> None:
    """A ratio outside the limit or the list, and what is none at all; the message has the allowed set."""
    here = offer(maker)
    for aspect in ("17:1", "1:17"):
        allowed = here.aspects or (f"{here.max_ratio:g}:1",)
        refused(line, make(line, maker, "a fox", f"--aspect={aspect}"), *allowed)
    for aspect in ("0:1", "16-9", "inf:1", "-1:1", "1:1:1"):
        refused(line, make(line, maker, "a fox", f"--aspect={aspect}"), f"--aspect {aspect}")


@pytest.mark.parametrize("maker", [name for name in MAKERS if name != "toapis"])
def test_i05_a_size_that_is_not_made_is_refused(line: Line, maker: str) -> None:
    """What is no size, and pixels beyond every model: refused with what there is."""
    for size in ("8K", "0x0", "1024", "1024x", "1e3x1e3", "-1x5"):
        refused(line, make(line, maker, "a fox", f"--size={size}"), f"--size {size}")
    refused(line, make(line, maker, "a fox", "--size=99999x99999"), "--size 99999x99999")


@pytest.mark.parametrize(("taker", "model"), [("rivya", "wan2.7-image-pro"), ("modelverse", "wan2.7-image-pro")])
def test_i05_4k_with_references_is_refused(line: Line, taker: str, model: str) -> None:
    """4K is for text to image only, or not made at all: never quietly smaller."""
    stored(line, drawn())
    refused(line, line.run("edit", "a.png", "in blue", "-p", taker, "-m", model, "--size=4K"), "4K")


# -- files


@pytest.mark.parametrize("taker", ["rivya", "modelverse", "openai"])
def test_i06_too_many_references_name_the_limit(line: Line, taker: str) -> None:
    """One picture more than the model takes is refused with the limit, before any is opened or uploaded."""
    inputs = offer(taker, "fuse").inputs
    assert inputs
    most = inputs.count[1]
    ran = line.run("fuse", *["missing.png"] * (most + 1), "join them", "-p", taker, *MAKERS[taker])
    refused(line, ran, f"at most {most}")


PLACES = [
    (provider, model.name, verb, role, inputs)
    for provider in MAKERS for model in capabilities(provider).models for verb, given in model.verbs.items()
    for role, inputs in {**({"": given.inputs} if given.inputs else {}), **given.roles}.items()
    if inputs.max_bytes and "image" in inputs.kinds and not (role == "reference" and model.makes == "video")
]  # fmt: skip
"""Every place of the catalogue where a local picture can stand."""


@pytest.mark.parametrize(("provider", "model", "verb", "role", "inputs"), PLACES, ids=lambda value: str(value)[:14])
def test_i07_one_byte_too_many_is_measured_before_it_is_sent(
    line: Line, provider: str, model: str, verb: str, role: str, inputs: Inputs
) -> None:
    """In every place for a picture a file of the limit and one byte is refused with both numbers."""
    assert inputs.max_bytes
    os.truncate(stored(line, drawn(), "big.png"), inputs.max_bytes + 1)
    stored(line, drawn())
    given = offer_of(provider, model, verb).inputs
    assets = ["a.png"] * (given.count[0] if given else 0)
    if role:
        first = ["--first-frame=a.png"] if role == "last_frame" else []
        assets += [f"--{role.replace('_', '-')}=big.png", *first]
    else:
        assets = ["big.png", *assets[1:]]
    options = [word for word in assets if word.startswith("--")]
    words = [word for word in assets if not word.startswith("--")]
    extra = ["-n2"] if verb == "sequence" else []
    ran = line.run(verb, *words, "in blue", "-p", provider, "-m", model, *options, *extra)
    refused(line, ran, "big.png", f"{inputs.max_bytes + 1:,} bytes; at most {inputs.max_bytes:,}")


def offer_of(provider: str, model: str, verb: str) -> Offer:
    """Return one entry of the catalogue."""
    found = capabilities(provider).find(model)
    assert found
    return found.verbs[verb]


def heic() -> bytes:
    """Return the beginning of a phone's photograph."""
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400)


@every_taker
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"a poem about foxes\n", "text"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (heic(), "HEIC"),
        (b"%PDF-1.7\n%...", "PDF"),
        (b"<!doctype html><title>log in</title>", "HTML"),
        (b"\x7fELF\2\1\1\0" + bytes(64), "unknown data"),
        (b"", "empty"),
    ],
)
def test_i08_the_name_makes_no_picture(line: Line, taker: str, data: bytes, kind: str) -> None:
    """What is not a picture is refused by its bytes, whatever its extension says."""
    stored(line, data)
    refused(line, change(line, taker, "a.png"), "a.png", kind)


def moving(form: str) -> bytes:
    """Return an animation of two pictures."""
    frames = [Image.new("RGB", (300, 300), colour) for colour in ("red", "blue")]
    data = io.BytesIO()
    frames[0].save(data, form, save_all=True, append_images=frames[1:], duration=100)
    return data.getvalue()


@every_taker
@pytest.mark.parametrize(("form", "name"), [("GIF", "a.gif"), ("WEBP", "a.webp"), ("PNG", "a.png")])
def test_i09_animations_are_refused(line: Line, taker: str, form: str, name: str) -> None:
    """GIF, WebP and APNG that move are refused: which of their pictures would be meant is nobody's guess."""
    stored(line, moving(form), name)
    said = refused(line, change(line, taker, name), name)
    assert "animated" in said or "GIF" in said


def kept(line: Line, taker: str, data: bytes) -> bool:
    """Tell whether the picture left byte for byte."""
    if taker == "modelverse":
        import base64

        return any(base64.b64encode(data).decode() in text for text in sent(line))
    step = "submit" if taker in EMBEDDERS else "upload"
    return any(data in seen.body for seen in line.wire.asked(step))


def deep_png() -> bytes:
    """Return a picture of 16 bits a pixel."""
    return drawn(mode="I;16")


def palette_png() -> bytes:
    """Return a palette of which one colour is clear."""
    return drawn(mode="P", transparency=0)


@every_taker
@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (drawn("JPEG", "CMYK"), "a.jpg", "a.jpg is CMYK, so its colours may shift"),
        (deep_png(), "a.png", "a.png has 16 bits a channel"),
        (palette_png(), "a.png", "a.png has a palette with transparency"),
    ],
)
def test_i10_unusual_pictures_go_with_a_warning(line: Line, taker: str, data: bytes, name: str, words: str) -> None:
    """CMYK, 16 bits and a clear palette go as they are, with a warning; Modelverse documents "PNG without alpha"."""
    stored(line, data, name)
    ran = change(line, taker, name, "--json", "--seed=7" if taker != "openai" else "-n1")
    if taker == "modelverse" and "palette" in words:
        refused(line, ran, "transparency")
        return
    assert ran.code == 0, ran.err
    assert ran.err.count(words) == 1
    assert any(words in warning for warning in ran.task["warnings"])
    assert kept(line, taker, data)


def photographed(form: str = "JPEG", orientation: int = 6, *, place: bool = True, order: str = "<") -> bytes:
    """Return a picture as a camera held upright makes it, with or without where it was taken."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x0112] = orientation
    gps = {0: b"\2\3\0\0"} | ({1: "N", 2: (52.0, 30.0, 0.0)} if place else {})
    exif.get_ifd(0x8825).update(gps)
    return drawn(form, size=(500, 300), exif=exif.tobytes())


@every_taker
@pytest.mark.parametrize(("form", "order"), [("JPEG", "<"), ("JPEG", ">"), ("PNG", "<"), ("WEBP", ">")])
def test_i11_threat_s25_a_turned_picture_and_its_place_are_said(line: Line, taker: str, form: str, order: str) -> None:
    """Orientation and GPS of EXIF are warned of, once for a file, and the file goes byte for byte (S25)."""
    data, name = photographed(form, order=order), f"a.{form.lower()}"
    stored(line, data, name)
    ran = change(line, taker, name, "--json")
    assert ran.code == 0, ran.err
    assert f"{name} is stored turned or mirrored (EXIF orientation 6)" in ran.err
    assert f"{name} says where it was taken (GPS)" in ran.err
    assert len(ran.task["warnings"]) == len(set(ran.task["warnings"]))
    assert kept(line, taker, data)


def test_i11_an_upright_picture_without_a_place_is_not_talked_of(line: Line) -> None:
    """Orientation 1, and a GPS part that holds no place, are no news."""
    stored(line, photographed(orientation=1, place=False), "a.jpg")
    ran = change(line, "rivya", "a.jpg", "--json")
    assert (ran.code, ran.task["warnings"]) == (0, [])


@pytest.mark.parametrize("taker", ["rivya", "toapis"])
def test_i08_i11_threat_s25_an_upload_is_held_to_the_same(line: Line, taker: str) -> None:
    """``wan upload`` says what a picture brings along as well, and takes nothing else than pictures and videos."""
    stored(line, photographed(), "a.jpg")
    stored(line, b"a poem", "poem.png")
    refused(line, line.run("upload", "a.jpg", "poem.png", "-p", taker), "poem.png", "text")
    ran = line.run("upload", "a.jpg", "a.jpg", "-p", taker)
    assert ran.code == 0, ran.err
    assert ran.err.count("warning: a.jpg says where it was taken (GPS)") == 1
    assert "GPS" not in line.run("upload", "a.jpg", "-p", taker, "--quiet").err


@every_taker
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_i12_a_cut_picture_is_refused(line: Line, taker: str, form: str) -> None:
    """A picture that ends too early is noticed before it is sent."""
    data = drawn(form)
    stored(line, data[: len(data) * 2 // 3], "a.png")
    said = refused(line, change(line, taker, "a.png"), "a.png")
    assert "cut off" in said or "damaged" in said


def bomb(width: int = 20_000, height: int = 20_000) -> bytes:
    """Return a small PNG that declares 400 million pixels; everything but its content is right."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@every_taker
def test_i13_a_pixel_bomb_is_refused_unopened(line: Line, taker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header's sides are enough: no decoder is asked."""
    stored(line, bomb())

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a decoder was asked")

    monkeypatch.setattr(Image, "open", never)
    said = refused(line, change(line, taker, "a.png"), "20000x20000")
    assert "400,000,000 pixels" in said or "each side" in said


@every_taker
def test_i13_a_picture_without_sides_is_refused(line: Line, taker: str) -> None:
    """A width of zero escapes no limit."""
    stored(line, bomb(0, 20_000))
    refused(line, change(line, taker, "a.png"), "width and height")


@every_taker
def test_i14_what_is_no_file_is_never_waited_for(line: Line, taker: str) -> None:
    """A folder, a pipe without a writer, a device and a link to nothing are refused at once, each by its kind."""
    work = line.cli.cwd
    (work / "folder.png").mkdir()
    os.mkfifo(work / "pipe.png")
    (work / "dangling.png").symlink_to("nowhere.png")
    (work / "device.png").symlink_to("/dev/zero")
    (work / "loop.png").symlink_to("loop.png")
    for name, words in {
        "folder.png": "is a folder", "pipe.png": "a pipe or a device", "device.png": "a pipe or a device",
        "dangling.png": "is a link to nothing", "gone.png": "does not exist", "loop.png": "cannot be read",
    }.items():  # fmt: skip
        refused(line, change(line, taker, name), name, words)


@every_taker
@pytest.mark.parametrize("how", ["other", "shorter", "gone", "pipe"])
def test_i14_a_file_that_is_replaced_after_its_check_is_not_sent(
    line: Line, taker: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was checked is what is sent: a file replaced before it leaves ends the task with nothing bought, exit 2."""
    from wan_cli.cli.run import Session

    path, run = stored(line, drawn()), Session.run

    def replacing(self: Any, work: Any) -> Any:
        size = path.stat().st_size
        path.unlink()
        if how == "pipe":
            os.mkfifo(path)
        elif how != "gone":
            path.write_bytes(bytes(size if how == "other" else size // 2))
        return run(self, work)

    monkeypatch.setattr(Session, "run", replacing)
    ran = change(line, taker, "a.png", "--json")
    assert ran.code == 2, ran.err
    assert (ran.json["error"]["code"], ran.json["error"]["charged"]) == ("file_invalid", "no")
    assert (ran.task["state"], ran.task["charged"]) == ("failed", "no")
    assert not line.wire.purchases
    assert all(len(seen.body) < int(seen.headers["content-length"]) for seen in line.wire.seen)


@pytest.mark.parametrize("prompt", ["@pipe", "@/dev/zero", "@folder", "@dangling"])
def test_i14_a_prompt_file_is_a_file(line: Line, prompt: str) -> None:
    """The prompt's file is held to the same: nothing is waited for, nothing endless is read."""
    os.mkfifo(line.cli.cwd / "pipe")
    (line.cli.cwd / "folder").mkdir()
    (line.cli.cwd / "dangling").symlink_to("nowhere")
    refused(line, line.run("generate", prompt, "-p", "rivya"), "does not exist or is no file")


@every_taker
@pytest.mark.parametrize(
    "address",
    [
        "http://cdn.example.com/a.png", "file:///etc/passwd", "ftp://cdn.example.com/a.png", "gopher://x.example/1",
        "https://localhost/a.png", "https://127.0.0.1/a.png", "https://127.1/a.png", "https://2130706433/a.png",
        "https://0x7f.1/a.png", "https://[::1]/a.png", "https://[::ffff:10.0.0.1]/a.png", "https://10.1.2.3/a.png",
        "https://169.254.169.254/latest/meta-data", "https://192.168.1.9:8443/a.png", "https://nas/a.png",
        "https://wiki.corp/a.png", "https://printer.local./a.png", "https://box.home.arpa/a.png",
        "https://me:pw@cdn.example.com/a.png", "https://@cdn.example.com/a.png", "https://cdn.example.com\\@10.0.0.1/",
        "https://cdn.example.com/a b.png", "https://cdn.example.com/\x1b[2J", "https://[::1/a.png", "https:///a.png",
        "https://cdn.example.com:99999/a.png",
    ],
)  # fmt: skip
def test_i15_addresses_that_no_provider_should_get(line: Line, taker: str, address: str) -> None:
    """Only https on the public internet goes on: anything else is of no use there, or tells an internal name."""
    said = refused(line, change(line, taker, address))
    assert "\x1b" not in said


@pytest.mark.parametrize("taker", ["rivya", "modelverse", "toapis"])
@pytest.mark.parametrize("address", ["https://8.8.8.8/a.png", "https://cdn.example.com:8443/a.png?sig=a%20b"])
def test_i15_public_addresses_go_as_given(line: Line, taker: str, address: str) -> None:
    """A public address is not fetched, resolved or uploaded here."""
    assert change(line, taker, address).code == 0
    assert address in sent(line)
    assert not line.wire.asked("upload")


def reject(exchange: Exchange) -> None:
    """Refuse an order as a provider does, with nothing taken."""
    exchange.say(402, json.dumps({"error": {"code": "insufficient_credits", "message": "no credits"}}).encode())


@pytest.mark.parametrize("taker", ["rivya", "toapis"])
def test_i16_an_upload_outlives_a_failed_submit(line: Line, taker: str) -> None:
    """The upload is kept in the ledger, used again by the next call while it is fresh, and made anew after a day."""
    stored(line, drawn())
    line.wire.script["submit"] = [reject]
    assert change(line, taker, "a.png").code == 5
    assert (len(line.wire.asked("upload")), line.wire.purchases) == (1, 0)
    assert change(line, taker, "a.png").code == 0
    assert (len(line.wire.asked("upload")), line.wire.purchases) == (1, 1)
    line.cli.clock.now += 86_401
    assert change(line, taker, "a.png").code == 0
    assert (len(line.wire.asked("upload")), line.wire.purchases) == (2, 2)


@every_maker
@pytest.mark.parametrize("words", [(), ("",), ("  \n\t",), ("-",), ("\ufeff",)])
def test_i17_no_prompt_never_hangs_at_a_terminal(line: Line, maker: str, words: tuple[str, ...]) -> None:
    """Without a prompt, with an empty one, or with ``-`` at a terminal the call ends at once."""
    ran = line.run("generate", *words, "-p", maker, *MAKERS[maker], tty=["stdin"])
    said = refused(line, ran)
    assert "prompt is" in said or "nothing is piped" in said


@pytest.mark.parametrize("taker", ["rivya", "modelverse", "openai"])
def test_i18_the_same_file_twice_keeps_its_places(line: Line, taker: str) -> None:
    """Order matters when pictures are joined: the file stands in both places, and is uploaded once."""
    first, second = drawn(), picture(400, 400)
    stored(line, first)
    stored(line, second, "b.png")
    assert line.run("fuse", "a.png", "b.png", "a.png", "join them", "-p", taker, *MAKERS[taker]).code == 0
    if taker == "openai":
        assert line.wire.asked("submit")[0].body.count(first) == 2
        return
    assert len(line.wire.asked("upload")) == (2 if taker == "rivya" else 0)
    places = [text for text in sent(line) if text.startswith(("data:image/", "http")) and "results" not in text]
    assert len(places) == 3
    assert places[0] == places[2] != places[1]


class Broken(io.RawIOBase):
    """A descriptor that cannot be read."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise OSError(9, "Bad file descriptor")


@every_taker
@pytest.mark.parametrize("how", ["closed", "unreadable"])
def test_i19_no_standard_input_is_no_input(line: Line, taker: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard input that is closed or cannot be read is an empty one, for a prompt and for a picture."""
    if how == "unreadable":
        Pipe.raw = Broken()
        monkeypatch.setattr("support_cli.Input", Pipe)
    stdin = None if how == "closed" else b""
    refused(line, line.run("generate", "-", "-p", taker, *MAKERS[taker], stdin=stdin), "the prompt is empty")
    refused(line, change(line, taker, "-", stdin=stdin), "standard input is empty")
