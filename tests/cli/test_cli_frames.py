"""A clip where a frame is wanted, and posters beside videos: what is sent, what is written, what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support_cli import Cli, Ran, picture
from support_film import SHADES, film, shade_of
from support_render import assets

from wan_cli.media import film as films

VIDEO = ("-m", "wan2.7-video", "-d", "5", "--resolution", "720p")
LARGE = (640, 360)
NEAR = 6


@pytest.fixture
def studio(cli: Cli) -> Cli:
    """Return the harness with a clip and a picture, whose sandbox answers with a small real film at once."""
    cli.world["film"] = lambda *_, **__: film(sides=LARGE)
    cli.write("clip.mp4", film(sides=LARGE))
    cli.write("a.png", picture(*LARGE))
    return cli


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the extra away."""
    monkeypatch.setattr(films, "installed", lambda: False)


def frames(cli: Cli) -> list[Path]:
    """Return the frames that are kept in the sandbox's state folder."""
    return sorted(cli.root.glob("**/sandbox/frames/*"))


def shade(path: Path) -> int:
    """Return the grey of a picture on disk."""
    with Image.open(path) as image:
        return shade_of(image)


def refused(ran: Ran, code: int, *words: str) -> None:
    """Hold a refusal before anything is sent."""
    assert (ran.code, ran.said("charged")) == (code, "no"), ran.err
    for word in words:
        assert word in f"{ran.said('error')} {ran.said('hint')}"


@pytest.mark.parametrize("provider", ["rivya", "modelverse", "toapis"])
def test_a_clip_goes_on_with_its_last_frame(studio: Cli, provider: str) -> None:
    """``--first-frame clip.mp4`` uploads the clip's last frame, as a PNG; the video is made and the clip untouched."""
    before = (studio.cwd / "clip.mp4").read_bytes()
    words = ("generate", "it goes on", "--first-frame", "clip.mp4", *VIDEO[2:], "-p", provider, "--sandbox")
    ran = studio.run(*words, "-o", "next.mp4", "--json")
    assert ran.code == 0, ran.err
    (kept,) = frames(studio)
    assert abs(shade(kept) - SHADES[-1]) <= NEAR
    assert ran.task["request"]["references"] == [kept.name]
    assert (studio.cwd / "clip.mp4").read_bytes() == before
    assert sorted(studio.files()) == ["a.png", "clip.mp4", "next.mp4"]


def test_a_video_ends_where_a_clip_begins(studio: Cli) -> None:
    """``--last-frame clip.mp4`` is the clip's first frame, also when one clip stands at both ends, or is piped."""
    words = ("generate", "between", "--first-frame", "clip.mp4", "--last-frame", "clip.mp4", *VIDEO[2:])
    assert studio.run(*words, "-p", "modelverse", "--sandbox", "-o", "next.mp4").code == 0
    first, last = frames(studio)
    assert first.name.endswith("-first.png")
    assert abs(shade(first) - SHADES[0]) <= NEAR
    assert abs(shade(last) - SHADES[-1]) <= NEAR
    words = ("generate", "on", "--first-frame", "-", *VIDEO[2:], "-p", "modelverse", "--sandbox", "-o", "piped.mp4")
    assert studio.run(*words, stdin=film(sides=LARGE)).code == 0
    assert frames(studio) == [first, last]


def test_the_same_clip_is_the_same_request(studio: Cli) -> None:
    """Under an idempotency key a retried call finds its task, and the frame is cut once."""
    words = ("generate", "on", "--first-frame", "clip.mp4", *VIDEO[2:], "-p", "rivya", "--sandbox", "-o", "next.mp4")
    one = studio.run(*words, "--idempotency-key", "k", "--json")
    (kept,) = frames(studio)
    os.utime(kept, (1, 1))
    two = studio.run(*words, "--idempotency-key", "k", "--json")
    assert (one.task["id"], two.code) == (two.task["id"], 0), two.err
    assert frames(studio) == [kept]
    studio.write("clip.mp4", film(sides=LARGE, shades=(10, 200)))
    assert studio.run(*words, "--idempotency-key", "k").code == 2


@pytest.mark.usefixtures("without")
def test_without_the_extra_nothing_is_sent(studio: Cli) -> None:
    """A clip as a frame and a poster need the extra: exit 3 with the command that brings it, also in a dry run."""
    frame = ("generate", "on", "--first-frame", "clip.mp4", "-p", "rivya", "--sandbox")
    for words in (frame, (*frame, "--dry-run"), ("generate", "a fox", *VIDEO, "-p", "rivya", "--sandbox", "--poster")):
        refused(studio.run(*words), 3, "PyAV", "python -m pip install 'av>=15'")
    assert studio.run("wait", "--poster", "--sandbox").code == 3
    assert studio.run("generate", "on", "--first-frame", "a.png", "-p", "rivya", "--dry-run").code == 0
    assert studio.files() == ["a.png", "clip.mp4"]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("https://example.com/clip.mp4?x=1", "download it"),
        ("small.mp4", "the last frame of small.mp4: it is 16x16"),
        ("half.mp4", "its last frame cannot be taken"),
        ("nowhere.mp4", "nowhere.mp4 does not exist"),
    ],
)
def test_what_gives_no_frame_is_refused(studio: Cli, frame: str, said: str) -> None:
    """An address, too small a clip, half a clip and none are usage errors that name what the user typed."""
    studio.write("small.mp4", film(sides=(16, 16)))
    studio.write("half.mp4", film(sides=LARGE)[:-300])
    words = ("generate", "on", "--first-frame", frame, "-p", "modelverse", "--sandbox")
    refused(studio.run(*words), 2, said)


def test_what_cannot_be_read_is_told_of_by_its_check(studio: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that fails when it is looked at is no clip as far as anybody knows, and the usual check decides."""

    def broken(_: bytes) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("wan_cli.cli.frames.sniff", broken)
    words = ("generate", "on", "--first-frame", "clip.mp4", "-p", "rivya", "--sandbox")
    refused(studio.run(*words), 2, "it is MP4, not a picture")


def test_old_frames_are_forgotten(studio: Cli) -> None:
    """``wan status --prune`` takes the frames along that were last used before the time."""
    for name, shades in (("clip.mp4", SHADES), ("two.mp4", (5, 6))):
        studio.write(name, film(sides=LARGE, shades=shades))
        words = ("generate", "on", "--first-frame", name, *VIDEO[2:], "-p", "rivya", "--sandbox", "--dry-run")
        assert studio.run(*words).code == 0
    old, young = frames(studio)
    os.utime(old, (1, 1))
    os.utime(young, (2e9, 2e9))
    assert studio.run("status", "--prune", "30d", "--sandbox").code == 0
    assert frames(studio) == [young]


# -- facts and posters


def test_a_video_says_what_it_is(studio: Cli) -> None:
    """Seconds, frames a second and codecs stand in the document, beside the sides."""
    ran = studio.run("generate", "a fox", *VIDEO, "-p", "rivya", "--sandbox", "-o", "fox.mp4", "--json")
    (file,) = ran.task["files"]
    said = {name: file.get(name) for name in ("width", "height", "duration_s", "fps", "video_codec", "audio_codec")}
    assert said == {
        "width": 640, "height": 360, "duration_s": 1, "fps": 4, "video_codec": "h264", "audio_codec": None,
    }  # fmt: skip
    assert "poster" not in file


def test_a_poster_stands_beside_its_video(studio: Cli) -> None:
    """``--poster`` writes the first frame of each, says its path, and leaves the list of results as it is."""
    words = ("generate", "a fox", *VIDEO, "-p", "rivya", "--sandbox", "-n", "2", "--poster", "-o", "out/fox.mp4")
    ran = studio.run(*words, "--json")
    assert ran.code == 0, ran.err
    files = [file for task in ran.json["tasks"] for file in task["files"]]
    assert [file["path"] for file in files] == ["out/fox-1.mp4", "out/fox-2.mp4"]
    assert [file["poster"] for file in files] == ["out/fox-1.poster.jpg", "out/fox-2.poster.jpg"]
    for file in files:
        assert abs(shade(studio.cwd / file["poster"]) - SHADES[0]) <= NEAR
    refused(studio.run(*words), 2, "exists", "--overwrite")
    assert studio.run(*words, "--overwrite").lines == ["out/fox-1.mp4", "out/fox-2.mp4"]


def test_a_poster_is_not_put_over_a_file(studio: Cli) -> None:
    """A file in its place is refused before anything is bought; under the same idempotency key it is its own."""
    words = ("generate", "a fox", *VIDEO, "-p", "rivya", "--sandbox", "--poster", "-o", "fox.mp4")
    studio.write("fox.poster.jpg", b"mine")
    refused(studio.run(*words), 2, "fox.poster.jpg exists")
    (studio.cwd / "fox.poster.jpg").unlink()
    for _ in range(2):
        ran = studio.run(*words, "--idempotency-key", "k")
        assert (ran.code, ran.lines) == (0, ["fox.mp4"]), ran.err


def test_a_poster_is_of_a_video(studio: Cli) -> None:
    """A picture has none, and bytes on standard output have no name to put one beside."""
    refused(studio.run("generate", "a fox", "-p", "rivya", "--sandbox", "--poster"), 2, "only a video")
    refused(studio.run("generate", "a fox", *VIDEO, "-p", "rivya", "--sandbox", "--poster", "-o", "-"), 2, "--poster")
    refused(studio.run("wait", "--poster", "-o", "-", "--sandbox"), 2, "--poster")


def test_a_poster_comes_with_what_is_collected_later(studio: Cli) -> None:
    """``--no-wait --poster`` is kept with the task; ``wan wait --poster`` asks for one that nobody asked for before."""
    words = ("generate", "a fox", *VIDEO, "-p", "rivya", "--sandbox", "--no-wait", "-o")
    assert studio.run(*words, "one.mp4", "--poster").code == 0
    assert studio.run("wait", "--sandbox").code == 0
    assert studio.run(*words, "two.mp4").code == 0
    assert studio.run("wait", "--sandbox", "--poster").code == 0
    assert {"one.poster.jpg", "two.poster.jpg"} <= set(studio.files())


# -- render


CLIPS: list[dict[str, Any]] = [
    {"id": "one", "provider": "modelverse", "model": "wan2.7-video", "prompt": "it begins", "poster": True},
    {"id": "two", "provider": "modelverse", "model": "wan2.7-video", "prompt": "it goes on", "first_frame": "@one"},
    {"id": "still", "provider": "modelverse", "prompt": "a still", "size": "1K"},
]  # fmt: skip
RENDER = ("render", "assets.toml", "--sandbox")


def test_a_clip_of_a_manifest_goes_on(studio: Cli) -> None:
    """``first_frame = "@one"`` renders the clip first and goes on with its last frame; a new clip makes it stale."""
    assets(studio, *CLIPS[:2])
    assert studio.run(*RENDER, "--plan").code == 0
    ran = studio.run(*RENDER)
    assert ran.code == 0, ran.err
    assert sorted(ran.lines) == ["one.mp4", "two.mp4"]
    assert (studio.cwd / "one.poster.jpg").exists()
    (kept,) = frames(studio)
    assert abs(shade(kept) - SHADES[-1]) <= NEAR
    assert studio.run(*RENDER).lines == []
    again = {"id": "three", **CLIPS[1], "first_frame": "clip.mp4"} | {"id": "three"}
    assets(studio, *CLIPS[:2], again)
    assert studio.run(*RENDER).lines == ["three.mp4"]
    studio.write("clip.mp4", film(sides=LARGE, shades=(1, 2)))
    ran = studio.run(*RENDER, "--plan", "--json")
    assert [row["status"] for row in ran.json["plan"] if row["id"] == "three"] == ["stale"], ran.out


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize(("row", "said"), [(0, "poster = true"), (1, "--first-frame @one")])
def test_a_manifest_without_the_extra(studio: Cli, row: int, said: str) -> None:
    """A poster, or a clip that is not there yet, needs the extra before anything of the manifest is bought."""
    rows = [{**CLIPS[0], "poster": False}, CLIPS[1]] if row else CLIPS[:1]
    assets(studio, *rows)
    refused(studio.run(*RENDER), 3, said, "python -m pip install 'av>=15'")


@pytest.mark.usefixtures("without")
def test_a_picture_that_is_coming_needs_no_extra(studio: Cli) -> None:
    """A picture of another asset as first frame is planned without the extra."""
    assets(studio, CLIPS[2], {**CLIPS[1], "first_frame": "@still"})
    assert studio.run(*RENDER, "--plan").code == 0


def test_posters_follow_their_videos(studio: Cli) -> None:
    """A change of the output renames the poster too, --prune removes it, but not one that is somebody's own."""
    rows = [{**CLIPS[0], "id": name} for name in ("one", "own")]
    assets(studio, *rows)
    assert studio.run(*RENDER).code == 0
    assets(studio, *({**row, "output": "art/{id}.mp4"} for row in rows))
    assert studio.run(*RENDER).code == 0
    assert {"art/one.poster.jpg", "art/own.poster.jpg"} <= set(studio.files())
    studio.write("art/own.poster.jpg", b"mine")
    assets(studio, {"id": "fox", "provider": "rivya", "prompt": "fox"})
    assert studio.run(*RENDER, "--prune").code == 0
    assert [name for name in studio.files() if "poster" in name] == ["art/own.poster.jpg"]


def test_a_poster_that_is_asked_for_later_is_told(studio: Cli) -> None:
    """``poster = true`` makes nothing stale, and a warning says that it comes with the next result."""
    assets(studio, {**CLIPS[0], "poster": False})
    assert studio.run(*RENDER).code == 0
    assets(studio, CLIPS[0])
    ran = studio.run(*RENDER)
    assert ran.code == 0
    assert ran.lines == []
    assert "poster = true, and there is none: it takes effect" in ran.err


# -- preview


def test_preview_is_for_a_terminal_only(studio: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """--preview is told of each file that is there, in text only; -q, --json, -o - and a pipe never show anything."""
    asked: list[list[str]] = []
    show: Callable[..., None] = lambda _streams, paths, *, cwd: asked.append([os.path.relpath(p, cwd) for p in paths])  # noqa: E731
    monkeypatch.setattr("wan_cli.ui.preview.preview", show)
    words = ("generate", "a fox", "-p", "rivya", "--sandbox", "--preview")
    assert studio.run(*words, "-n", "2", "-o", "fox.png").lines == ["fox-1.png", "fox-2.png"]
    assert asked == [["fox-1.png", "fox-2.png"]]
    for more in (["-q", "-o", "a1.png"], ["--json", "-o", "a2.png"], ["--jsonl", "-o", "a3.png"]):
        assert studio.run(*words, *more).code == 0
    assert studio.run(*words, "-o", "-").raw.startswith(b"\x89PNG")
    assert studio.run(*words, "--no-wait", "-o", "late.png").code == 0
    assert studio.run("wait", "--sandbox", "--preview").lines == ["late.png"]
    assert [one for one in asked if one] == [["fox-1.png", "fox-2.png"], ["late.png"]]
    monkeypatch.undo()
    ran = studio.run(*words, "-o", "last.png")
    assert "\x1b" not in ran.err
    assert json.dumps(ran.out) == json.dumps("last.png\n")
