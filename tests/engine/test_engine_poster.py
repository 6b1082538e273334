"""Posters beside videos: what is written, what is left alone, and that no result is lost for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_film import film

from wan_cli.engine.poster import Postered, with_poster
from wan_cli.media import film as films
from wan_cli.models import File, Target

WANTED = Target(template=None, poster=True)


def clip(folder: Path, **more: str) -> File:
    """Put a clip on disk and return its record."""
    path = folder / "clip.mp4"
    path.write_bytes(film())
    return File(index=1, path=str(path), bytes=1, sha256="ab", mime=more.pop("mime", "video/mp4"), **more)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_poster_is_written_and_recorded(tmp_path: Path) -> None:
    """The record has the poster's path; one that is there already is not made again; one that went is."""
    file = clip(tmp_path)
    made = with_poster(WANTED, file)
    assert made
    assert made.notes == ()
    assert made.file.poster == str(tmp_path / "clip.poster.jpg")
    assert (tmp_path / "clip.poster.jpg").read_bytes() == films.poster(tmp_path / "clip.mp4")
    assert with_poster(WANTED, made.file) is None
    assert with_poster(WANTED, file) == made  # the same bytes are its own
    (tmp_path / "clip.poster.jpg").unlink()
    assert with_poster(WANTED, made.file) == made
    assert names(tmp_path) == ["clip.mp4", "clip.poster.jpg"]


def test_who_has_no_poster(tmp_path: Path) -> None:
    """A result that failed, one on standard output, a picture, and a video of which none was asked for."""
    assert with_poster(WANTED, None) is None
    file = File(index=1, path=None, bytes=1, sha256="ab", mime="video/mp4")
    assert with_poster(WANTED, file) is None
    assert with_poster(WANTED, clip(tmp_path, mime="image/png")) is None
    assert with_poster(Target(template=None), clip(tmp_path)) is None


def told(made: Postered | None, file: File, *words: str) -> None:
    """Hold that there is no poster, and that it is said."""
    assert made
    assert made.file == file
    (note,) = made.notes
    for word in words:
        assert word in note


def test_another_file_stays(tmp_path: Path) -> None:
    """What stands in the poster's place is left, but with --overwrite."""
    file, path = clip(tmp_path), tmp_path / "clip.poster.jpg"
    path.write_bytes(b"mine")
    told(with_poster(WANTED, file), file, "clip.poster.jpg exists and was left")
    assert path.read_bytes() == b"mine"
    made = with_poster(Target(template=None, poster=True, overwrite=True), file)
    assert made
    assert made.file.poster == str(path)
    assert path.read_bytes() != b"mine"


def test_no_poster_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A film that cannot be decoded, a folder in the way, a full disk and a missing extra cost the poster only."""
    file, path = clip(tmp_path), tmp_path / "clip.poster.jpg"
    path.mkdir()
    told(with_poster(WANTED, file), file, "could not be written")
    path.rmdir()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        told(with_poster(WANTED, file), file, "could not be written: No space left on device")
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(40))
    told(with_poster(WANTED, file), file, "clip.poster.jpg was not made: Invalid data")
    monkeypatch.setattr(films, "installed", lambda: False)
    told(with_poster(WANTED, file), file, "PyAV (the extra [video]) is missing; python -m pip install 'av>=15'")
    assert names(tmp_path) == ["clip.mp4"]
