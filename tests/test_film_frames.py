"""Claims about what a decoder says of videos: which frame is which, and facts that our own reader does not find."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from support_film import SHADES, SIDES, film, shade_of, turned

from wan_cli.errors import ConfigInvalid, FileInvalid, StateUnusable
from wan_cli.media import film as films
from wan_cli.media import inspect
from wan_cli.media.film import cut, frame, poster, poster_path, with_film_facts

NEAR = 6
"""How far a shade may be off: video has fewer greys than RGB."""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Return a clip of four frames on disk."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(film())
    return path


@pytest.mark.parametrize(("form", "codec"), [("mp4", "libx264"), ("mov", "mpeg4"), ("webm", "libvpx-vp9")])
def test_first_and_last_are_what_is_shown_first_and_last(tmp_path: Path, form: str, codec: str) -> None:
    """The first and the last frame in the order in which they are shown, whatever order they are stored in."""
    path = tmp_path / f"clip.{form}"
    path.write_bytes(film(form, codec))
    for which, shade in (("first", SHADES[0]), ("last", SHADES[-1])):
        image = frame(path, which)  # type: ignore[arg-type] # one of the two
        assert (image.mode, image.size) == ("RGB", SIDES)
        assert abs(shade_of(image) - shade) <= NEAR


def test_a_clip_without_an_index_is_read_from_its_start() -> None:
    """Where nothing is found behind the last key frame, all of it is decoded; where there is nothing, nothing is."""

    class Movie:
        def __init__(self, *finds: list[str]) -> None:
            self.finds, self.sought = list(finds), list[int]()

        def seek(self, start: int, **_: object) -> None:
            self.sought.append(start)

        def decode(self, _: object) -> list[str]:
            return self.finds.pop(0)

    class Stream:
        start_time, duration, thread_type = None, 40, ""

    movie = Movie([], ["a", "b"])
    assert films._last(movie, Stream()) == "b"  # type: ignore[arg-type,comparison-overlap]
    assert movie.sought == [40, 0]
    assert films._last(Movie([], []), Stream()) is None  # type: ignore[arg-type]


def test_a_long_clip_ends_with_its_last_frame(tmp_path: Path) -> None:
    """Behind the last key frame, everything to the end is decoded."""
    path = tmp_path / "long.mp4"
    path.write_bytes(film(shades=tuple(range(20, 220, 2))))
    assert abs(shade_of(frame(path, "last")) - 218) <= NEAR


def test_a_turned_clip_stands_upright(tmp_path: Path) -> None:
    """What a telephone noted about how it was held is obeyed: a player would show it so too."""
    path = tmp_path / "turned.mp4"
    path.write_bytes(turned(film()))
    assert frame(path, "last").size == SIDES[::-1]


def test_wide_pixels_are_made_square(clip: Path) -> None:
    """A clip whose pixels are twice as wide as high is shown twice as wide."""

    class Stream:
        sample_aspect_ratio = 2

    class Frame:
        rotation = 0

        def to_image(self) -> Image.Image:
            return Image.new("RGB", (10, 10))

    assert films._upright(Frame(), Stream()).size == (20, 10)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"#EXTM3U\n/etc/passwd\n", "no video"), (b"", "no video"), (b"RIFF\0\0\0\0WEBP", "no video"),
     (film()[:-400], "cannot be taken"), (b"\0\0\0\x18ftypisom" + bytes(64), "cannot be taken")],
)  # fmt: skip
def test_what_is_no_clip_gives_no_frame(tmp_path: Path, data: bytes, why: str) -> None:
    """A playlist, a picture, rubbish and half a clip are refused with their name and a way on; nothing is left."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    with pytest.raises(FileInvalid, match=why) as caught:
        cut(str(path), "last", tmp_path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert "Errno" not in caught.value.message
    assert [left.name for left in tmp_path.iterdir()] == ["clip.mp4"]


def test_sound_alone_has_no_frame(tmp_path: Path) -> None:
    """An MP4 without a picture says so."""
    path = tmp_path / "sound.mp4"
    path.write_bytes(film(codec="", sound="aac"))
    with pytest.raises(ValueError, match="it holds no picture"):
        frame(path, "first")


def test_too_many_pixels_are_not_opened(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip that says it has more than the bound is refused before it is decoded."""
    monkeypatch.setattr(films, "MAX_PIXELS", 100)
    with pytest.raises(ValueError, match="320x180; at most 100 pixels"):
        frame(clip, "first")


def test_a_frame_is_cut_once_for_each_content(clip: Path, tmp_path: Path) -> None:
    """The same content gives the same file, by whatever name, for this user alone; using it again keeps it young."""
    folder = tmp_path / "frames"
    folder.mkdir()
    last = cut(str(clip), "last", folder)
    with Image.open(last) as image:
        assert image.format == "PNG"
        assert abs(shade_of(image) - SHADES[-1]) <= NEAR
    assert stat.S_IMODE(last.stat().st_mode) == 0o600
    os.utime(last, (1, 1))
    again = tmp_path / "again.mp4"
    again.write_bytes(clip.read_bytes())
    assert cut(str(again), "last", folder) == last
    assert last.stat().st_mtime > 1
    assert cut(str(again), "first", folder) != last
    assert len(list(folder.iterdir())) == 2


def test_a_frame_that_cannot_be_kept_stops_the_call(clip: Path, tmp_path: Path) -> None:
    """Where the state folder takes no file, nothing goes on; and a clip that is gone is said to be."""
    with pytest.raises(StateUnusable, match="could not be written"):
        cut(str(clip), "last", tmp_path / "missing")
    with pytest.raises(FileInvalid, match="cannot be read"):
        cut(str(tmp_path / "nowhere.mp4"), "last", tmp_path)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs PyAV says so and how to get it; where it is there nothing is said."""
    films.require("a look")
    monkeypatch.setattr(films, "installed", lambda: False)
    with pytest.raises(ConfigInvalid, match="a look needs PyAV") as caught:
        films.require("a look")
    assert caught.value.exit_code == 3
    assert caught.value.hint == "python -m pip install 'av>=15'"


def test_a_poster_is_the_first_frame(clip: Path) -> None:
    """A JPEG of the clip's own size, the same every time."""
    image = Image.open(io.BytesIO(poster(clip)))
    assert (image.format, image.size) == ("JPEG", SIDES)
    assert abs(shade_of(image) - SHADES[0]) <= NEAR
    assert poster(clip) == poster(clip)
    assert poster_path(Path("a/b.c.mp4")) == Path("a/b.c.poster.jpg")


# -- facts


FORMS = [
    ("mp4", "libx264", "aac", ("h264", "aac")), ("mp4", "libx264", "", ("h264", None)),
    ("mp4", "mpeg4", "libmp3lame", ("mpeg4", "mp3")), ("mov", "mpeg4", "aac", ("mpeg4", "aac")),
    ("mp4", "libvpx-vp9", "", ("vp9", None)),
]  # fmt: skip


@pytest.mark.parametrize(("form", "codec", "sound", "codecs"), FORMS)
def test_our_own_reader_says_what_the_decoder_says(
    form: str, codec: str, sound: str, codecs: tuple[str, str | None]
) -> None:
    """Sides, seconds, rate and codecs out of the boxes are those that PyAV finds, for each codec and container."""
    data = film(form, codec, sound=sound)
    own = inspect(io.BytesIO(data))
    assert (own.width, own.height, own.duration_s, own.fps) == (*SIDES, 1.0, 4.0)
    assert (own.video_codec, own.audio_codec) == codecs
    blank = replace(own, width=None, height=None, duration_s=None, fps=None, video_codec=None, audio_codec=None)
    assert with_film_facts(blank, io.BytesIO(data)) == own
    assert with_film_facts(own, io.BytesIO(b"not looked at")) == own


def test_webm_is_read_by_the_decoder() -> None:
    """What our own reader knows nothing of is asked of PyAV."""
    data = film("webm", "libvpx-vp9")
    own = inspect(io.BytesIO(data))
    assert own.width is None
    seen = with_film_facts(own, io.BytesIO(data))
    assert (seen.width, seen.height, seen.duration_s, seen.fps, seen.video_codec) == (*SIDES, 1.0, 4.0, "vp9")


def test_facts_stay_open_where_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, for pictures, and for what cannot be opened, what was known stays and nothing is raised."""
    own = inspect(io.BytesIO(film("webm", "libvpx-vp9")))
    assert with_film_facts(own, io.BytesIO(b"rubbish")) == own
    picture = inspect(io.BytesIO(b"\x89PNG\r\n\x1a\n"))
    assert with_film_facts(picture, io.BytesIO(film())) == picture
    monkeypatch.setattr(films, "installed", lambda: False)
    assert with_film_facts(own, io.BytesIO(film("webm", "libvpx-vp9"))) == own
