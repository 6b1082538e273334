"""Videos from the command line: what chooses them, the modes of each provider, what is refused, what is saved."""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Sequence
from typing import Any

import av
import pytest
from support_cli import Cli, Ran, picture

VIDEO = ("-m", "wan2.7-video")
SHORT = ("-d", "5", "--resolution", "720p")
PROVIDERS = ("rivya", "modelverse", "toapis")
CLIP, SOUND = "https://example.com/clip.mp4", "https://example.com/song.mp3"

FIRST = ("--first-frame", "a.png")
MODES = {
    "text": ("generate", "a fox", *VIDEO),
    "first": ("generate", "it runs", *FIRST),
    "frames": ("generate", "it runs", *FIRST, "--last-frame", "b.png"),
    "edit": ("edit", "clip.mp4", "make it snow", *VIDEO),
    "fuse": ("fuse", "a.png", "b.png", "they dance", *VIDEO),
}


def box(kind: bytes, body: bytes) -> bytes:
    """Return one box of an MP4."""
    return struct.pack(">I", 8 + len(body)) + kind + body


def movie(width: int, height: int, seconds: int) -> bytes:
    """Return the boxes of an MP4 without a picture in it."""
    head = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, seconds * 1000) + bytes(80))
    track = box(b"trak", box(b"tkhd", bytes(76) + struct.pack(">II", width << 16, height << 16)))
    return box(b"ftyp", b"isom\0\0\2\0isomiso2") + box(b"moov", head + track) + box(b"mdat", b"\0" * 64)


@pytest.fixture
def studio(cli: Cli) -> Cli:
    """Return the harness with media in the working folder and videos that are boxes only."""
    cli.world["film"] = lambda _prompt, width, height, *, seconds, **_: movie(width, height, seconds)
    cli.write("a.png", picture(640, 360))
    cli.write("b.png", picture(640, 360))
    cli.write("clip.mp4", movie(1280, 720, 5))
    cli.write("plain", movie(1280, 720, 5))
    return cli


def words_of(mode: str, provider: str) -> Sequence[str]:
    """Return the words of a mode; Modelverse takes videos as addresses only."""
    return [CLIP if word == "clip.mp4" and provider == "modelverse" else word for word in MODES[mode]]


def bodies(cli: Cli, *words: str) -> list[Any]:
    """Return the bodies that a dry run shows; the last is the order."""
    ran = cli.run(*words, "--dry-run", "--json")
    assert ran.code == 0, ran.err
    return [entry["body"] for entry in ran.json["requests"]]


def refused(ran: Ran, *words: str) -> str:
    """Hold a refusal before anything is sent, whose message or hint has all of ``words``."""
    assert ran.code == 2, (ran.err, ran.out)
    said = f"{ran.said('error')} {ran.said('hint')}"
    assert ran.said("charged") == "no"
    for word in words:
        assert word in said, said
    return said


# What chooses a video.


@pytest.mark.parametrize(
    ("words", "makes"),
    [
        (("generate", "a fox"), "image"),
        (("edit", "a.png", "snow"), "image"),
        (("fuse", "a.png", "b.png", "one"), "image"),
        (("edit", "a.png", "snow", "-o", "out/x.png"), "image"),
        (("generate", "a fox", *VIDEO), "video"),
        (("generate", "a fox", "-m", "wan-2-7-video"), "video"),
        (("generate", "a fox", "-d", "5"), "video"),
        (("generate", "a fox", "--resolution", "720p"), "video"),
        (("generate", "a fox", "-o", "fox.mp4"), "video"),
        (("generate", "it runs", *FIRST), "video"),
        (("fuse", "a.png", "one", "-d", "5"), "video"),
        (("edit", "clip.mp4", "snow", "--audio-setting", "origin"), "video"),
    ],
)
def test_what_chooses_a_video(studio: Cli, words: Sequence[str], makes: str) -> None:
    """A model, a video-only option or an output named .mp4 chooses a video; a picture never does."""
    order = bodies(studio, *words, "-p", "rivya")[-1]
    assert order["model"] == {"video": "wan-2-7-video", "image": "wan-2-7-image"}[makes]


def test_a_video_that_is_given_chooses_none(studio: Cli) -> None:
    """An edit of a video without anything that says so is refused, since a picture is wanted."""
    refused(studio.run("edit", "clip.mp4", "snow", "-p", "rivya", "--sandbox"), "picture")


def test_image_with_generate_names_edit(studio: Cli) -> None:
    """``generate --image`` is a usage error that names ``wan edit``."""
    refused(studio.run("generate", "a fox", "--image", "a.png"), "wan edit")


@pytest.mark.parametrize("option", [("-d", "5"), FIRST, ("--audio-setting", "auto"), ("--voice", SOUND)])
def test_a_picture_model_has_no_video_options(studio: Cli, option: Sequence[str]) -> None:
    """A picture's model with an option of videos is refused, with the model that takes it."""
    refused(studio.run("generate", "a fox", "-m", "wan2.7-image", *option, "--sandbox"), "makes pictures", "-m wan2.7")


# The modes.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_mode_in_the_sandbox(studio: Cli, provider: str, mode: str) -> None:
    """Each provider's sandbox takes each mode as it is sent, and the file has its seconds and sides."""
    words = (*words_of(mode, provider), *SHORT, "-p", provider, "--sandbox", "-o", f"{mode}.mp4")
    ran = studio.run(*words, "--json")
    assert ran.code == 0, ran.err
    (file,) = ran.task["files"]
    assert (file["path"], file["mime"], file["duration_s"]) == (f"{mode}.mp4", "video/mp4", 5)
    assert min(file["width"], file["height"]) >= 700
    assert ran.task["warnings"] == []
    assert ran.task["model"] == "wan2.7-video"
    expected = {"estimated": 80, "actual": 80, "unit": "credits"}
    assert ran.task["cost"] == (expected if provider == "rivya" else dict.fromkeys(expected))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("generate", "it goes on", "--first-clip", CLIP), [("first_clip", CLIP)]),
        (("generate", "on", "--first-clip", CLIP, "--last-frame", "https://example.com/e.png"),
         [("first_clip", CLIP), ("last_frame", "https://example.com/e.png")]),
        (("edit", CLIP, "https://example.com/hat.png", "put it on", *VIDEO),
         [("video", CLIP), ("reference_image", "https://example.com/hat.png")]),
        (("fuse", CLIP, "https://example.com/hat.png", "both", *VIDEO),
         [("reference_video", CLIP), ("reference_image", "https://example.com/hat.png")]),
        (("generate", "it sings", "--first-frame", "https://example.com/a.png", "--audio", SOUND),
         [("first_frame", "https://example.com/a.png"), ("driving_audio", SOUND)]),
    ],
)  # fmt: skip
def test_media_of_modelverse(studio: Cli, words: Sequence[str], said: Any) -> None:
    """What only Modelverse takes goes in its roles, and its sandbox makes a video of it."""
    order = bodies(studio, *words, "-p", "modelverse")[-1]
    assert [(item["type"], item["url"]) for item in order["input"]["media"]] == said
    assert studio.run(*words, *SHORT, "-p", "modelverse", "--sandbox").code == 0


def test_audio_and_voice(studio: Cli) -> None:
    """Sound alone drives a video of text; a voice goes with the references."""
    order = bodies(studio, "generate", "a song", "--audio", SOUND, "-p", "modelverse")[-1]
    assert (order["model"], order["input"]["audio_url"]) == ("wan2.7-t2v", SOUND)
    fused = bodies(studio, "fuse", "a.png", "she speaks", "--voice", SOUND, "-p", "modelverse")[-1]
    assert fused["input"]["media"][0]["reference_voice"] == SOUND


@pytest.mark.parametrize(
    ("mode", "model"),
    [("text", "wan2.7-t2v"), ("first", "wan2.7-i2v"), ("edit", "wan2.7-videoedit"), ("fuse", "wan2.7-r2v")],
)
def test_modelverse_has_a_model_a_mode(studio: Cli, mode: str, model: str) -> None:
    """Verb and media choose which of Modelverse's four models is asked; seconds are a number, 720P is upper case."""
    order = bodies(studio, *words_of(mode, "modelverse"), *SHORT, "-p", "modelverse")[-1]
    assert order["model"] == model
    assert order["parameters"] == {"resolution": "720P", "duration": 5}


@pytest.mark.parametrize(
    ("mode", "named", "field"),
    [
        ("text", "text-to-video", None), ("first", "image-to-video", "image_urls"),
        ("edit", "video-edit", "video_url"), ("fuse", "reference-to-video", "reference_urls"),
    ],
)  # fmt: skip
def test_modes_of_toapis(studio: Cli, mode: str, named: str, field: str | None) -> None:
    """ToAPIs is told the mode, with whole seconds as a number."""
    order = bodies(studio, *MODES[mode], *SHORT, "-p", "toapis")[-1]
    assert order["mode"] == named
    assert order["input"]["duration"] == 5
    fields = {name for name in order["input"] if name.endswith(("_url", "_urls"))}
    assert fields == ({field} if field else set())


def test_roles_of_rivya(studio: Cli) -> None:
    """Rivya is told the seconds as a text, and each file is uploaded first."""
    *uploads, order = bodies(studio, *MODES["frames"], *SHORT, "-p", "rivya")
    assert len(uploads) == 2
    assert order["params"]["duration"] == "5"
    assert order["params"]["resolution"] == "720p"
    assert [item["role"] for item in order["params"]["referenceMediaItems"]] == ["first_frame", "last_frame"]


@pytest.mark.parametrize("provider", ["rivya", "toapis"])
@pytest.mark.parametrize("name", ["clip.mp4", "plain"])
def test_a_local_video_is_uploaded(studio: Cli, provider: str, name: str) -> None:
    """A video on this machine is known by its name or its bytes, uploaded, and changed."""
    ran = studio.run("edit", name, "snow", *VIDEO, *SHORT, "-p", provider, "--sandbox", "--json")
    assert ran.code == 0, ran.err
    assert ran.task["files"][0]["duration_s"] == 5


# What is refused.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("generate", "x", *VIDEO, "-s", "2K", "-p", "rivya"), ["--size 2K", "--resolution 720p"]),
        (("generate", "x", *VIDEO, "-d", "7", "-p", "rivya"), ["5, 10, 15 s", "and dashscope can", "-p modelverse"]),
        (("generate", "x", *VIDEO, "-d", "7", "-p", "toapis"), ["5, 10, 15 s", "and dashscope can", "-p modelverse"]),
        (("generate", "x", *VIDEO, "-d", "16", "-p", "modelverse"), ["2 to 15 s", "wan models modelverse"]),
        (("edit", CLIP, "x", *VIDEO, "-d", "15", "-p", "modelverse"), ["2 to 10 s"]),
        (("edit", "clip.mp4", "x", *VIDEO, "-d", "15", "-p", "rivya"), ["5, 10 s"]),
        (("fuse", "clip.mp4", "x", *VIDEO, "-d", "15", "-p", "rivya"), ["5, 10 s with fuse"]),
        (("edit", CLIP, "x", *VIDEO, "-p", "rivya"), ["a video only as a local file", "give its path"]),
        (("fuse", CLIP, "x", *VIDEO, "-p", "rivya"), ["a video only as a local file"]),
        (("fuse", CLIP, "x", *VIDEO, "-d", "15", "-p", "modelverse"), ["2 to 10 s with fuse"]),
        (("generate", "x", "--audio", SOUND, "-p", "rivya"), ["--audio", "and dashscope can", "-p modelverse"]),
        (("generate", "x", *FIRST, "--audio", SOUND, "-p", "toapis"), ["--audio", "and dashscope can"]),
        (("generate", "x", "--first-clip", CLIP, "-p", "rivya"), ["--first-clip", "and dashscope can"]),
        (("fuse", "a.png", "x", "--voice", SOUND, "-p", "toapis"), ["--voice", "and dashscope can"]),
        (("generate", "x", "--last-frame", "a.png", "-p", "rivya"), ["--last-frame", "--first-frame"]),
        (("generate", "x", "--first-clip", CLIP, *FIRST, "-p", "modelverse"), ["--first-clip with --first-frame"]),
        (("generate", "x", "--first-clip", CLIP, "--audio", SOUND, "-p", "modelverse"), ["takes"]),
        (("generate", "x", *FIRST, "-a", "16:9", "-p", "rivya"), ["--aspect", "--aspect"]),
        (("generate", "x", *VIDEO, "-a", "21:9", "-p", "rivya"), ["16:9, 9:16, 1:1, 4:3, 3:4"]),
        (("generate", "x", *VIDEO, "--resolution", "4k", "-p", "rivya"), ["720p and 1080p"]),
        (("generate", "x", *VIDEO, "--sync", "-p", "modelverse"), ["--sync", "task"]),
        (("generate", "x", *VIDEO, "--thinking", "-p", "modelverse"), ["--thinking"]),
        (("generate", "x", *VIDEO, "-p", "yunwu"), ["yunwu makes no videos", "rivya, modelverse, toapis"]),
        (("generate", "x", "-m", "wan3-t2i", "-p", "toapis"), ["toapis makes no pictures"]),
        (("generate", "x", "-d", "5", "-p", "yunwu"), ["yunwu makes no videos"]),
        (("sequence", "x", "-n", "3", *VIDEO, "-p", "rivya"), ["cannot sequence"]),
        (("edit", "a.png", "x", *VIDEO, "-p", "rivya"), ["at least 1 video"]),
        (("edit", "clip.mp4", "x", *VIDEO, "-p", "modelverse"), ["https:// address", "give the address"]),
        (("edit", CLIP, "a.png", "x", *VIDEO, "-p", "toapis"), ["pictures beside the video"]),
        (("edit", CLIP, CLIP.replace("clip", "two"), "x", *VIDEO, "-p", "toapis"), ["at most 1"]),
        (("generate", "x", "--first-frame", "clip.mp4", "-p", "rivya"), ["mp4", "picture"]),
        (("generate", "x", "--first-frame", "nowhere.png", "-p", "rivya"), ["does not exist"]),
        (("fuse", "song.mp3", "x", *VIDEO, "-p", "rivya"), ["got sound"]),
        (("generate", "x", *VIDEO, "-o", "x.png", "-p", "rivya"), ["delivers .mp4"]),
    ],
)  # fmt: skip
def test_what_is_refused(studio: Cli, words: Sequence[str], said: Sequence[str]) -> None:
    """What a provider cannot make is refused before anything is sent, with the one that can, or with what to do."""
    refused(studio.run(*words, "--sandbox"), *said)


def test_a_pipe_is_not_waited_for(studio: Cli) -> None:
    """A named pipe without a writer is refused, not opened."""
    import os

    os.mkfifo(studio.cwd / "pipe")
    refused(studio.run("edit", "pipe", "x", *VIDEO, "-p", "rivya", "--sandbox"))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_several_videos_are_several_tasks(studio: Cli, provider: str) -> None:
    """No provider has a count for videos, so -n makes tasks, each priced."""
    words = ("generate", "a fox", *VIDEO, *SHORT, "-n", "2", "-p", provider, "--sandbox", "-o", "fox.mp4")
    ran = studio.run(*words, "--json")
    assert ran.code == 0, ran.err
    assert sorted(file["path"] for task in ran.json["tasks"] for file in task["files"]) == ["fox-1.mp4", "fox-2.mp4"]


# Money and time.


def test_a_video_has_its_price(studio: Cli) -> None:
    """80 credits a video on Rivya, in the estimate and against a cap."""
    ran = studio.run(*MODES["text"], "-p", "rivya", "--dry-run", "--json")
    assert ran.json["estimate"] == [{"amount": 80, "unit": "credits"}]
    assert studio.run(*MODES["text"], "-p", "rivya", "--sandbox", "--max-cost", "79credits").code == 5
    assert studio.run(*MODES["text"], "-p", "rivya", "--sandbox", "--max-cost", "80credits").code == 0


def test_a_price_by_the_second(studio: Cli) -> None:
    """A user's price per second is multiplied by the seconds, and unknown where no seconds are known."""
    studio.config('[prices."toapis/wan2.7-video"]\namount = 0.5\nunit = "CNY"\nper = "second"\n')
    words = (*MODES["text"], "-p", "toapis", "--dry-run", "--json")
    assert studio.run(*words, "-d", "10").json["estimate"] == [{"amount": 5, "unit": "CNY"}]


@pytest.mark.parametrize(("provider", "least"), [("rivya", 5), ("modelverse", 1), ("toapis", 10)])
def test_the_rhythm_of_videos(studio: Cli, provider: str, least: float) -> None:
    """A video of a model that nobody knows is asked about after 5 s, then no more often than the provider documents."""
    studio.world["latency"] = 120
    assert studio.run(*MODES["text"], *SHORT, "-p", provider, "--sandbox").code == 0
    first, *later = [pause for pause in studio.clock.slept if pause > 1]
    assert first == 5
    assert len(later) >= 3
    assert all(least <= pause <= 36 for pause in later)


# Real videos, and none.


def test_a_real_video(cli: Cli) -> None:
    """Without a stand-in, the sandbox's file is a video that a player can open, as long and as large as it says."""
    ran = cli.run(*MODES["text"], *SHORT, "-p", "toapis", "--sandbox", "-o", "clip.mp4", "--json", "--strict")
    assert ran.code == 0, ran.err
    (file,) = ran.task["files"]
    assert (file["width"], file["height"], file["duration_s"]) == (1280, 720, 5)
    with av.open(io.BytesIO((cli.cwd / "clip.mp4").read_bytes()), "r") as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (1280, 720)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_without_the_extra(cli: Cli, monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    """Without PyAV nothing is bought, and the error (3) names the extra."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "wan_cli.sandbox.developing.find_spec", lambda name, *rest: None if name == "av" else find(name, *rest)
    )
    ran = cli.run(*MODES["text"], *SHORT, "-p", provider, "--sandbox")
    assert (ran.code, ran.said("charged")) == (3, "no")
    assert ran.said("hint") == "python -m pip install 'av>=15'"
    assert cli.files() == []
