"""Claims about pictures on a terminal: what each kind of terminal is sent, decoded again; and when nothing is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyte
import pytest
from PIL import Image
from support_film import film
from support_graphics import furthest, iterm2_image, kitty_image, sixel_image

from wan_cli.media.pixels import DARK, LIGHT, Pixels, as_png, reduced, small_pixels
from wan_cli.ui.preview import encoding, preview, showing
from wan_cli.ui.preview.answers import Answers, best, typed, understood
from wan_cli.ui.preview.screen import CELL, Screen, screen_of
from wan_cli.ui.streams import Streams

Make = Callable[..., Streams]
SCREEN = Screen(20, 10, (8, 16), told=True)
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)]


def striped(width: int, height: int) -> Pixels:
    """Return diagonal stripes of five colours, no two alike in a corner."""
    rgb = b"".join(bytes(COLOURS[(left + 2 * top) % 5]) for top in range(height) for left in range(width))
    return Pixels(width, height, rgb, (width, height))


def image_of(pixels: Pixels) -> Image.Image:
    """Return the pixels as a picture."""
    return Image.frombytes("RGB", (pixels.width, pixels.height), pixels.rgb)


# -- what is sent, decoded again


@pytest.mark.parametrize("sides", [(1, 1), (7, 6), (5, 13), (64, 48), (300, 5)])
def test_sixel_decodes_to_the_same_pixels(sides: tuple[int, int]) -> None:
    """A decoder written from the specification finds every pixel again, in each band, run and rest of a band."""
    pixels = striped(*sides)
    indices, palette = reduced(pixels, 256)
    assert furthest(sixel_image(encoding.sixel(pixels, indices, palette)), image_of(pixels)) <= 2


def test_sixel_keeps_to_the_terminals_colours() -> None:
    """No more colours are named than the terminal has, and runs are written short."""
    pixels = Pixels(100, 12, bytes(range(100)) * 36, (100, 12))
    text = encoding.sixel(pixels, *reduced(pixels, 4))
    assert len(re.findall(r"#\d+;2;", text)) <= 4
    plain = Pixels(200, 6, b"\x40" * 3600, (200, 6))
    assert "!200~" in encoding.sixel(plain, *reduced(plain, 2))


@pytest.mark.parametrize("cells", [None, (5, 3)])
def test_kitty_decodes_to_the_same_picture(cells: tuple[int, int] | None) -> None:
    """Pieces of at most 4096 bytes join to a PNG of the very pixels, the terminal is told not to answer."""
    pixels = striped(300, 200)
    said, image = kitty_image(encoding.kitty(as_png(pixels), cells))
    assert furthest(image, image_of(pixels)) == 0
    assert (said["a"], said["f"], said["q"]) == ("T", "100", "2")
    assert (said.get("c"), said.get("r")) == ((str(cells[0]), str(cells[1])) if cells else (None, None))


def test_iterm2_decodes_to_the_same_picture() -> None:
    """One inline image of the very pixels, with its size and the box of cells that it fits in."""
    pixels = striped(40, 30)
    said, image = iterm2_image(encoding.iterm2(as_png(pixels), (5, 2)))
    assert furthest(image, image_of(pixels)) == 0
    assert (said["inline"], said["width"], said["height"], said["preserveAspectRatio"]) == ("1", "5", "2", "1")


def seen_by_pyte(lines: list[str], columns: int) -> pyte.Screen:
    """Return the screen of a terminal emulator that was sent these lines."""
    screen = pyte.Screen(columns, len(lines) + 1)
    pyte.Stream(screen).feed("\r\n".join(lines))
    return screen


@pytest.mark.parametrize("sides", [(1, 1), (7, 4), (9, 5)])
def test_half_blocks_show_the_same_pixels(sides: tuple[int, int]) -> None:
    """On an emulator's screen each cell has the upper pixel as colour and the lower as ground; an odd end is bare."""
    width, height = sides
    pixels = striped(width, height)
    screen = seen_by_pyte(encoding.blocks(pixels, deep=True), width + 2)
    for top in range(0, height, 2):
        for left in range(width):
            cell = screen.buffer[top // 2][left]
            assert cell.data == "▀"
            assert cell.fg == bytes(COLOURS[(left + 2 * top) % 5]).hex()
            below = bytes(COLOURS[(left + 2 * top + 2) % 5]).hex() if top + 1 < height else "default"
            assert cell.bg == below
    assert screen.buffer[0][width].data == " "
    assert screen.buffer[0][width].bg == "default"


@pytest.mark.parametrize(
    ("colour", "spelled"),
    [((255, 0, 0), "5;196"), ((0, 0, 0), "5;16"), ((255, 255, 255), "5;231"), ((8, 8, 8), "5;232"),
     ((128, 128, 128), "5;244"), ((95, 135, 175), "5;67"), ((238, 238, 238), "5;255")],
)  # fmt: skip
def test_the_nearest_of_256_colours(colour: tuple[int, int, int], spelled: str) -> None:
    """Without 24-bit colour the nearest of the cube and the greys is named."""
    pixels = Pixels(1, 1, bytes(colour), (1, 1))
    assert encoding.blocks(pixels, deep=False) == [f"\x1b[38;{spelled};49m▀\x1b[0m"]


# -- what is opened


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_made_small(tmp_path: Path, form: str) -> None:
    """It fits the room, keeps its shape, and says how large it is as a whole."""
    path = tmp_path / "a.bin"
    Image.new("RGB", (1600, 400), (200, 30, 60)).save(path, form)
    pixels = small_pixels(path, SCREEN.in_pixels)
    assert (pixels.width, pixels.height, pixels.whole) == (160, 40, (1600, 400))
    assert furthest(image_of(pixels), Image.new("RGB", (160, 40), (200, 30, 60))) <= 3


def test_clear_is_a_checkerboard(tmp_path: Path) -> None:
    """What is transparent shows the board, what is half so shows through, in each way that a PNG can say it."""
    path = tmp_path / "a.png"
    Image.new("RGBA", (32, 32), (255, 0, 0, 0)).save(path)
    board = image_of(small_pixels(path, SCREEN.in_pixels))
    assert [board.getpixel(place) for place in ((0, 0), (8, 0), (8, 8), (0, 8))] == [LIGHT, DARK, LIGHT, DARK]
    assert image_of(small_pixels(path, SCREEN.in_pixels, square=2)).getpixel((2, 0)) == DARK
    flat = Image.new("P", (32, 32), 3)
    flat.putpalette([0, 0, 0] * 3 + [9, 9, 9])
    flat.save(path, transparency=3)
    assert image_of(small_pixels(path, SCREEN.in_pixels)).getpixel((8, 0)) == DARK
    Image.new("LA", (32, 32), (0, 128)).save(path)
    assert image_of(small_pixels(path, SCREEN.in_pixels)).getpixel((0, 0)) == (102, 102, 102)


def test_a_turned_photo_stands_upright(tmp_path: Path) -> None:
    """EXIF is obeyed, and the sides are told as they are seen."""
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 200), "red").save(path, exif=exif)
    pixels = small_pixels(path, SCREEN.in_pixels)
    assert (pixels.width, pixels.height, pixels.whole) == (80, 160, (200, 400))


def test_small_pictures_stay_small() -> None:
    """Nothing is made larger than it is, and nothing smaller than a pixel."""
    assert SCREEN.in_pixels(10, 5) == (10, 5)
    assert SCREEN.in_pixels(16_000, 3) == (160, 1)
    assert SCREEN.in_halves(1024, 1024) == (20, 20)
    assert SCREEN.cells(9, 16) == (2, 1)
    assert Screen(80, 60, (20, 40)).in_pixels(4000, 2000) == (1000, 500)


# -- choosing


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", Answers()),
        (b"\x1b[?62;22c", Answers(answered=True)),
        (b"\x1b[?62;4;22c", Answers(answered=True, sixel=True)),
        (b"\x1b[?64;14c", Answers(answered=True)),
        (b"\x1b_Gi=7227;OK\x1b\\\x1b[6;20;10t\x1b[?62c", Answers(kitty=True, answered=True, cell=(10, 20))),
        (b"\x1b_Gi=7227;ENOTSUPPORTED:no\x1b\\\x1b[?62c", Answers(answered=True)),
        (b"\x1b_Gi=1;OK\x1b\\\x1b[?62c", Answers(answered=True)),
        (b"\x1bP>|iTerm2 3.5.0\x1b\\\x1b[?62;4c", Answers(iterm2=True, answered=True, sixel=True)),
        (b"\x1bP>|XTerm(379)\x1b\\\x1b[?64;4c", Answers(answered=True, sixel=True)),
        (b"\x1b]1337;ReportCellSize=17.5;8.5;2.0\x1b\\\x1b[?62c", Answers(iterm2=True, answered=True, cell=(17, 35))),
        (b"\x1b]1337;ReportCellSize=16;8\x07\x1b[?62c", Answers(iterm2=True, answered=True, cell=(8, 16))),
        (b"\x1b]1337;ReportCellSize=..;8\x07\x1b[?62c", Answers(iterm2=True, answered=True)),
        (b"\x1b[6;0;0t\x1b[?62c", Answers(answered=True)),
        (b"\x1b[6;9999;10t\x1b[?62c", Answers(answered=True)),
        (b"\x1b[?1;0;16S\x1b[?62;4c", Answers(answered=True, sixel=True, colours=16)),
        (b"\x1b[?1;0;65536S\x1b[?62;4c", Answers(answered=True, sixel=True)),
        (b"\x1b[?1;3;16S\x1b[?62;4c", Answers(answered=True, sixel=True)),
    ],
)  # fmt: skip
def test_what_a_terminal_answers(data: bytes, found: Answers) -> None:
    """Each answer is read for what it says; what is missing, refused or absurd counts as not said."""
    assert understood(data) == found
    assert typed(b"l" + data + b"s\r") == b"ls\r"


@pytest.mark.parametrize(
    ("answers", "env", "inside", "way"),
    [
        (Answers(kitty=True, iterm2=True, sixel=True), {}, False, "kitty"),
        (Answers(kitty=True, sixel=True), {}, True, "sixel"),
        (Answers(iterm2=True, sixel=True), {}, False, "iterm2"),
        (Answers(iterm2=True), {"TERM_PROGRAM": "iTerm.app"}, True, "blocks"),
        (Answers(), {"TERM_PROGRAM": "iTerm.app"}, False, "iterm2"),
        (Answers(), {"LC_TERMINAL": "iTerm2"}, False, "iterm2"),
        (Answers(sixel=True), {}, True, "sixel"),
        (Answers(answered=True), {}, False, "blocks"),
        (Answers(), {}, False, "blocks"),
    ],
)
def test_the_finest_way_is_taken(answers: Answers, env: dict[str, str], inside: bool, way: str) -> None:
    """Kitty before iTerm2 before sixel before half-blocks; through tmux only what tmux itself says it passes on."""
    assert best(answers, env, inside=inside) == way


def test_room_on_a_terminal(streams: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 80 columns, some lines left free, and the cell as the terminal says, else the system, else a guess."""
    place = streams(env={"COLUMNS": "200"})
    assert screen_of(place, (9, 18)) == Screen(80, 21, (9, 18), told=True)
    assert screen_of(streams(env={"COLUMNS": "30"}), None) == Screen(30, 21, CELL)


# -- showing


@pytest.fixture
def fox(tmp_path: Path) -> Path:
    """Return a picture of 400 x 300 pixels."""
    path = tmp_path / "fox.png"
    Image.linear_gradient("L").resize((400, 300)).convert("RGB").save(path)
    return path


def shown(make: Make, paths: list[Path], answers: Answers | None = None, **said: Any) -> str:
    """Return what a preview writes to a terminal that answers so."""
    env = {"TERM": "xterm", "COLUMNS": "60", **said.pop("env", {})}
    place = make(**{"stderr_tty": True, "stdout_tty": True, "env": env, **said})
    if answers is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(showing, "asked", lambda *_: answers)
            preview(place, paths, cwd=str(paths[0].parent))
    else:
        preview(place, paths, cwd="/")
    return str(place.stderr.getvalue())  # type: ignore[attr-defined] # kept in memory


ROOM = "\n" * 19 + "\x1b[19A\r\x1b7"
AFTER = "\x1b8" + "\n" * 19


def test_each_way_of_showing(streams: Make, fox: Path) -> None:
    """Room is made first, the picture drawn into it, the cursor put below; each is the picture made to fit."""
    expected = image_of(small_pixels(fox, Screen(60, 21).in_pixels))
    assert expected.size == (400, 300)
    told = {"cell": (8, 16), "answered": True}
    for answers, decoded in (
        (Answers(kitty=True, **told), lambda text: kitty_image(text)[1]),
        (Answers(iterm2=True, **told), lambda text: iterm2_image(text)[1]),
        (Answers(sixel=True, **told), sixel_image),
    ):
        text = shown(streams, [fox], answers)
        assert text.startswith(ROOM)
        assert text.endswith(AFTER)
        assert furthest(decoded(text[len(ROOM) : -len(AFTER)]), expected) <= 3
    text = shown(streams, [fox], Answers(answered=True), env={"COLORTERM": "truecolor"})
    assert len(text.splitlines()) == 21
    assert text.count("▀") == 56 * 21
    assert "48;2;" in text
    assert "48;5;" in shown(streams, [fox], Answers())


def test_a_cell_of_unknown_size_is_counted_in_cells(streams: Make, fox: Path) -> None:
    """Where nobody says how large a cell is, kitty is told how many the picture may take."""
    text = shown(streams, [fox], Answers(kitty=True))
    said, _ = kitty_image(text[len(ROOM) : -len(AFTER)])
    assert (said["c"], said["r"]) == ("50", "19")


def test_several_are_named(streams: Make, fox: Path) -> None:
    """Above each of several stands its name and size; of one only where standard output goes elsewhere."""
    other = fox.with_name("owl.png")
    other.write_bytes(fox.read_bytes())
    text = shown(streams, [fox, other], Answers())
    assert text.index("fox.png  400x300\n") < text.index("owl.png  400x300\n")
    assert "fox.png" not in shown(streams, [fox], Answers())
    assert "fox.png  400x300\n" in shown(streams, [fox], Answers(), stdout_tty=False)
    many = [fox] * 14
    assert "preview: 2 more are not shown" in shown(streams, many, Answers())


def test_a_video_shows_its_first_frame(streams: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A film is named as one; without the extra there is a warning with the command that brings it."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(film())
    text = shown(streams, [path], Answers(), env={"COLORTERM": "24bit"})
    assert text.startswith("clip.mp4  320x180  (first frame)\n")
    assert text.count("▀") == 60 * 17
    monkeypatch.setattr("wan_cli.media.film.installed", lambda: False)
    text = shown(streams, [path], Answers())
    assert text.startswith("warning: clip.mp4 cannot be shown: a look at a video needs PyAV")
    assert text.endswith("python -m pip install 'av>=15'\n")


HUGE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x2e\xe0\0\0\x2e\xe0\x08\2\0\0\0\xde'\x1b\xa6\0\0\0\0IDAT5\xaf\x06\x1e"
"""A PNG that declares 144 million pixels."""


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "unknown data is not shown"), (b"GIF89a\1\0\1\0\0\0\0;", "GIF is not shown"),
     (HUGE, "12000x12000"),
     (b"\xff\xd8\xff\xd9", ""), (b"\0\0\0\x18ftypisom" + bytes(40), "shown: Invalid data"), (b"\x89PNG\r\n\x1a\n", "")],
)  # fmt: skip
def test_what_cannot_be_shown_is_a_warning(streams: Make, tmp_path: Path, data: bytes, why: str) -> None:
    """Empty, foreign, huge and broken files, and one that is gone, cost a line each, and the next is still shown."""
    path = tmp_path / "a.png"
    path.write_bytes(data)
    good = tmp_path / "b.png"
    Image.new("RGB", (4, 4)).save(good)
    text = shown(streams, [path, tmp_path / "gone.png", good], Answers())
    warned, gone, *rest = text.splitlines()
    assert warned.startswith("warning: a.png cannot be shown: ")
    assert why in warned
    assert gone.startswith("warning: gone.png cannot be shown: ")
    assert rest[0] == "b.png  4x4"
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"NO_COLOR": "1"}, "preview: none, for NO_COLOR is set\n"),
        ({"TERM": "dumb"}, "preview: none, for TERM is dumb\n"),
        ({"CI": "true"}, "preview: none, for CI is set\n"),
        ({"FORCE_COLOR": "0"}, "preview: none, for the terminal's console has no colours\n"),
        ({"WAN_PREVIEW": "none"}, ""),
    ],
)
def test_no_picture_where_none_is_wanted(streams: Make, fox: Path, env: dict[str, str], said: str) -> None:
    """Without colour, on a dumb terminal and in CI nothing is asked or shown, and that is told; ``none`` is silent."""
    assert shown(streams, [fox], Answers(kitty="FORCE_COLOR" not in env), env=env) == said


def test_never_into_a_pipe(streams: Make, fox: Path) -> None:
    """Where standard error is no terminal nothing is written, whatever the variable says; nor without a file."""
    assert shown(streams, [fox], Answers(kitty=True), stderr_tty=False, env={"WAN_PREVIEW": "kitty"}) == ""
    place = streams(stderr_tty=True)
    preview(place, [], cwd="/")
    assert place.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_the_variable_wins(streams: Make, fox: Path) -> None:
    """WAN_PREVIEW names the way, asked or not; one that is none is told of, and the terminal's answer taken."""
    assert "\x1b_G" in shown(streams, [fox], Answers(), env={"WAN_PREVIEW": "kitty"})
    assert "\x1bP" in shown(streams, [fox], Answers(kitty=True), env={"WAN_PREVIEW": " Sixel "})
    assert "▀" in shown(streams, [fox], env={"WAN_PREVIEW": "blocks"})
    text = shown(streams, [fox], Answers(kitty=True), env={"WAN_PREVIEW": "ascii"})
    assert text.startswith("warning: WAN_PREVIEW=ascii is none of auto, kitty, iterm2, sixel, blocks, none\n")
    assert "\x1b_G" in text


def test_an_encoding_without_half_blocks(streams: Make, fox: Path) -> None:
    """A terminal that cannot spell them gets none, and is told so; graphics are plain ASCII and still come."""
    import io

    class Ascii(io.StringIO):
        encoding = "ascii"

    assert shown(streams, [fox], Answers(), stderr=Ascii()).endswith("encoding has no half-blocks\n")
    assert shown(streams, [fox], Answers(kitty=True), stderr=Ascii()).isascii()


def test_ctrl_c_ends_the_preview_only(streams: Make, fox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle closes what was begun, and the command goes on to its own end."""

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(encoding, "kitty", interrupted)
    text = shown(streams, [fox], Answers(kitty=True))
    assert text == "\x1b\\\x1b[0mpreview: broken off; the files are complete\n"
