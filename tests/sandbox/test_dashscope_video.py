"""DashScope's videos: the four models, every legal set of media, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support_dashscope import (
    CLIP,
    RESOLVED,
    SOUND,
    UUID,
    VIDEO,
    A,
    B,
    Sandbox,
    inline,
    invalid,
    media,
    png,
    refused,
    wav,
)
from support_leaks import clip

if TYPE_CHECKING:
    from pathlib import Path

# The requests of Alibaba's four pages (contracts.md 5.3), with addresses of our own.
DOCUMENTED: list[tuple[dict[str, Any], tuple[int, int, int]]] = [
    (
        {
            "model": "wan2.7-t2v",
            "input": {"prompt": "一只小猫", "negative_prompt": "低分辨率", "audio_url": SOUND},
            "parameters": {"resolution": "720P", "ratio": "16:9", "prompt_extend": True, "duration": 10, "seed": 1},
        },
        (1280, 720, 10),
    ),
    (
        {
            "model": "wan2.7-i2v",
            "input": {"prompt": "rap", "media": media(first_frame=A, driving_audio=SOUND)},
            "parameters": {"resolution": "720P", "duration": 10, "prompt_extend": True, "watermark": True},
        },
        (960, 960, 10),
    ),
    (
        {
            "model": "wan2.7-r2v",
            "input": {
                "prompt": "视频1抱着图1",
                "media": [
                    {"type": "reference_image", "url": A, "reference_voice": SOUND},
                    {"type": "reference_video", "url": CLIP},
                ],
            },
            "parameters": {"resolution": "1080P", "ratio": "9:16", "duration": 10},
        },
        (1080, 1920, 10),
    ),
    (
        {
            "model": "wan2.7-videoedit",
            "input": {"prompt": "clay", "media": media(video=CLIP, reference_image=A)},
            "parameters": {"resolution": "720P", "ratio": "4:3", "audio_setting": "origin"},
        },
        (1104, 832, 5),
    ),
]


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """Return a sandbox on a fresh folder."""
    return Sandbox(tmp_path)


@pytest.mark.parametrize(("body", "made"), DOCUMENTED, ids=lambda value: value.get("model") if "model" in value else "")
def test_documented_videos(sandbox: Sandbox, body: dict[str, Any], made: tuple[int, int, int]) -> None:
    """Each documented order becomes a task, and at its end one link with what was paid for."""
    response = sandbox.order(VIDEO, body)
    answer = response.json()
    assert UUID.fullmatch(answer["output"].pop("task_id"))
    assert (answer["output"], set(answer)) == ({"task_status": "PENDING"}, {"output", "request_id"})
    (drawn,) = sandbox.ordered(response)
    assert (drawn["width"], drawn["height"], drawn["seconds"]) == made
    ended = sandbox.done(sandbox.order(VIDEO, body))
    url = ended["output"].pop("video_url")
    assert url.startswith("https://sandbox.invalid/results/")
    assert set(ended["output"]) == {
        "task_id", "task_status", "submit_time", "scheduled_time", "end_time", "orig_prompt",
    }  # fmt: skip
    assert ended["output"]["orig_prompt"] == body["input"]["prompt"]
    usage = ended["usage"]
    assert set(usage) == {
        "duration", "input_video_duration", "output_video_duration", "video_count", "SR", "ratio",
    }  # fmt: skip
    assert (usage["output_video_duration"], usage["SR"]) == (made[2], int(body["parameters"]["resolution"][:-1]))


STARTS = [
    {"first_frame": A},
    {"first_frame": A, "driving_audio": SOUND},
    {"first_frame": A, "last_frame": B},
    {"first_frame": A, "last_frame": B, "driving_audio": SOUND},
    {"first_clip": CLIP},
    {"first_clip": CLIP, "last_frame": B},
]


@pytest.mark.parametrize("start", STARTS, ids="+".join)
def test_starts(sandbox: Sandbox, start: dict[str, str]) -> None:
    """The six legal sets of image-to-video are taken, in any order, with and without a prompt."""
    assert sandbox.film("wan2.7-i2v", media(**start)).status_code == 200
    assert sandbox.film("wan2.7-i2v", media(**start)[::-1], prompt=None).status_code == 200


REFUSED_SETS = [
    ("wan2.7-t2v", media(first_frame=A)),
    ("wan2.7-i2v", None),
    ("wan2.7-i2v", []),
    ("wan2.7-i2v", media(last_frame=A)),
    ("wan2.7-i2v", media(driving_audio=SOUND)),
    ("wan2.7-i2v", media(first_frame=A, first_clip=CLIP)),
    ("wan2.7-i2v", media(first_clip=CLIP, driving_audio=SOUND)),
    ("wan2.7-i2v", media(first_frame=A) * 2),
    ("wan2.7-i2v", media(reference_image=A)),
    ("wan2.7-i2v", media(video=CLIP)),
    ("wan2.7-r2v", None),
    ("wan2.7-r2v", media(first_frame=A)),
    ("wan2.7-r2v", media(reference_image=A) * 6),
    ("wan2.7-r2v", media(reference_image=A) * 3 + media(reference_video=CLIP) * 3),
    ("wan2.7-r2v", media(reference_image=A) + media(first_frame=A) * 2),
    ("wan2.7-r2v", media(reference_image=A, last_frame=B)),
    ("wan2.7-videoedit", None),
    ("wan2.7-videoedit", media(reference_image=A)),
    ("wan2.7-videoedit", media(video=CLIP) * 2),
    ("wan2.7-videoedit", media(video=CLIP) + media(reference_image=A) * 5),
    ("wan2.7-videoedit", media(video=CLIP, first_frame=A)),
    ("wan2.7-i2v", [{"type": "picture", "url": A}]),
    ("wan2.7-i2v", [{"type": "first_frame", "url": ""}]),
    ("wan2.7-i2v", [{"type": "first_frame", "url": A, "role": "x"}]),
    ("wan2.7-i2v", [{"type": "first_frame", "url": A, "reference_voice": SOUND}]),
]


@pytest.mark.parametrize(("model", "shown"), REFUSED_SETS)
def test_refused_sets(sandbox: Sandbox, model: str, shown: list[dict[str, str]] | None) -> None:
    """Each model takes its own sets of media, and nothing else, uncharged."""
    invalid(sandbox.film(model, shown), "media")
    assert sandbox.purchases == 0


def test_legal_sets_of_references(sandbox: Sandbox) -> None:
    """Up to five references and a first frame; an edit with up to four pictures."""
    five = media(reference_image=A) * 3 + media(reference_video=CLIP) * 2
    assert sandbox.film("wan2.7-r2v", five + media(first_frame=B)).status_code == 200
    assert sandbox.film("wan2.7-videoedit", media(video=CLIP) + media(reference_image=A) * 4).status_code == 200
    assert sandbox.film("wan2.7-videoedit", media(video=CLIP), prompt=None).status_code == 200


PARAMETERS: list[tuple[str, dict[str, Any], str]] = [
    ("wan2.7-t2v", {"duration": 1}, "duration"),
    ("wan2.7-t2v", {"duration": 16}, "duration"),
    ("wan2.7-t2v", {"duration": "5"}, "duration"),
    ("wan2.7-t2v", {"duration": 0}, "duration"),
    ("wan2.7-t2v", {"resolution": "720p"}, "resolution"),
    ("wan2.7-t2v", {"resolution": "480P"}, "resolution"),
    ("wan2.7-t2v", {"ratio": "21:9"}, "ratio"),
    ("wan2.7-t2v", {"ratio": None}, "ratio: null is not taken"),
    ("wan2.7-t2v", {"size": "1280*720"}, "size"),
    ("wan2.7-t2v", {"shot_type": "multi"}, "shot_type"),
    ("wan2.7-t2v", {"audio_setting": "auto"}, "audio_setting"),
    ("wan2.7-t2v", {"seed": -1}, "seed"),
    ("wan2.7-t2v", {"prompt_extend": "true"}, "prompt_extend"),
    ("wan2.7-i2v", {"ratio": "16:9"}, "ratio"),
    ("wan2.7-i2v", {"audio_setting": "auto"}, "audio_setting"),
    ("wan2.7-r2v", {"duration": 11}, "duration"),
    ("wan2.7-r2v", {"audio_setting": "auto"}, "audio_setting"),
    ("wan2.7-videoedit", {"duration": 1}, "duration"),
    ("wan2.7-videoedit", {"duration": 11}, "duration"),
    ("wan2.7-videoedit", {"audio_setting": "mute"}, "audio_setting"),
]
SHOWN = {
    "wan2.7-t2v": None,
    "wan2.7-i2v": media(first_frame=A),
    "wan2.7-r2v": media(reference_image=A, reference_video=CLIP),
    "wan2.7-videoedit": media(video=CLIP),
}


@pytest.mark.parametrize(("model", "parameters", "words"), PARAMETERS)
def test_refused_parameters(sandbox: Sandbox, model: str, parameters: dict[str, Any], words: str) -> None:
    """Ranges, spellings and what a model does not take are refused by name, uncharged."""
    invalid(sandbox.film(model, SHOWN[model], **parameters), words)
    assert sandbox.purchases == 0


def test_legal_durations(sandbox: Sandbox) -> None:
    """2 to 15 seconds, with a reference picture alone as well; an edit keeps its length by 0."""
    for seconds in (2, 15):
        assert sandbox.ordered(sandbox.film(duration=seconds))[0]["seconds"] == seconds
        assert sandbox.film("wan2.7-r2v", media(reference_image=A), duration=seconds).status_code == 200
    assert sandbox.ordered(sandbox.film("wan2.7-videoedit", media(video=CLIP), duration=0))[0]["seconds"] == 5


def test_inputs(sandbox: Sandbox) -> None:
    """Text and references need a prompt; fields of older models are refused; what the official SDK adds is taken."""
    for model in ("wan2.7-t2v", "wan2.7-r2v"):
        for prompt in ("", None):
            invalid(sandbox.film(model, SHOWN[model], prompt=prompt, inputs={"negative_prompt": "x"}), "input.prompt")
    for name, value in (("img_url", A), ("reference_urls", [A]), ("first_frame_url", A), ("template", "x")):
        invalid(sandbox.film(inputs={name: value}), name)
    invalid(sandbox.film("wan2.7-i2v", SHOWN["wan2.7-i2v"], inputs={"audio_url": SOUND}), "audio_url")
    added = {"extend_prompt": True, "function": "video-synthesis", "prompt": None}
    assert sandbox.film("wan2.7-i2v", SHOWN["wan2.7-i2v"], inputs=added).status_code == 200
    invalid(sandbox.order(VIDEO, {"model": "wan2.7-t2v", "input": {"prompt": "p"}, "duration": 5}), "duration")


def test_dated_names(sandbox: Sandbox) -> None:
    """The dated names of a model are that model; other dates are none."""
    for model in ("wan2.7-t2v-2026-06-12", "wan2.7-t2v-2026-04-25"):
        assert sandbox.film(model).status_code == 200
    assert sandbox.film("wan2.7-i2v-2026-04-25", media(first_frame=A)).status_code == 200
    assert sandbox.film("wan2.7-r2v-2026-06-12", media(reference_image=A)).status_code == 200
    invalid(sandbox.film("wan2.7-t2v-2020-01-01"), "Model not exist.")


def test_a_long_prompt_is_cut(sandbox: Sandbox) -> None:
    """What is beyond 5000 characters is cut off, not refused."""
    ended = sandbox.done(sandbox.film(prompt="x" * 6000, inputs={"negative_prompt": "y" * 900}))
    assert ended["output"]["orig_prompt"] == "x" * 5000


def movie(seconds: int, width: int = 1280, height: int = 720) -> bytes:
    """Return an MP4."""
    return clip("", width, height, seconds=seconds)


def test_footage(sandbox: Sandbox) -> None:
    """Uploaded footage is measured: it gives the shape, an edit its length, and is paid for with what is made."""

    def made(model: str, role: str, data: bytes, **parameters: Any) -> tuple[Any, ...]:
        shown = media(**{role: sandbox.upload(data, model)})
        response = sandbox.film(model, shown, headers=RESOLVED, **parameters)
        (drawn,), usage = sandbox.ordered(response), sandbox.done(response)["usage"]
        return drawn["width"], drawn["height"], drawn["seconds"], usage["duration"], usage["input_video_duration"]

    assert made("wan2.7-videoedit", "video", movie(8, 720, 1280)) == (1080, 1920, 8, 16, 8)
    assert made("wan2.7-videoedit", "video", movie(8), duration=3, ratio="1:1") == (1440, 1440, 3, 11, 8)
    assert made("wan2.7-videoedit", "video", movie(4), duration=9, resolution="720P") == (1280, 720, 4, 8, 4)
    assert made("wan2.7-r2v", "reference_video", movie(30), duration=6) == (1920, 1080, 6, 36, 30)
    assert made("wan2.7-i2v", "first_clip", movie(3), duration=15, resolution="720P") == (1280, 720, 15, 15, 0)


def test_refused_footage(sandbox: Sandbox) -> None:
    """Length, sides and form of a video are checked; none comes as a data URI."""
    for role, model, data, words in (
        ("video", "wan2.7-videoedit", movie(1), "1 s"),
        ("video", "wan2.7-videoedit", movie(11), "11 s"),
        ("first_clip", "wan2.7-i2v", movie(11), "11 s"),
        ("reference_video", "wan2.7-r2v", movie(31), "31 s"),
        ("video", "wan2.7-videoedit", movie(5, 200, 300), "200*300"),
        ("video", "wan2.7-videoedit", movie(5, 4097, 3000), "4097*3000"),
        ("video", "wan2.7-videoedit", movie(5, 4000, 400), "1:8"),
    ):
        shown = media(**{role: sandbox.upload(data, model)})
        invalid(sandbox.film(model, shown, headers=RESOLVED), words)
    for data in (png(300, 300), b"\0\0\0\x18ftypisom" + bytes(16)):
        shown = media(video=sandbox.upload(data, "wan2.7-videoedit"))
        response = sandbox.film("wan2.7-videoedit", shown, headers=RESOLVED)
        refused(response, 400, "InvalidParameter.DataInspection", "format")
    link = inline(movie(5), "video/mp4")
    refused(sandbox.film("wan2.7-videoedit", media(video=link)), 400, "InvalidURL", "input.media.0.url")
    assert sandbox.purchases == 0


def test_pictures(sandbox: Sandbox) -> None:
    """A frame may be a data URI, gives the video its shape, and is measured as pictures are."""
    response = sandbox.film("wan2.7-i2v", media(first_frame=inline(png(600, 800))), resolution="720P")
    (drawn,) = sandbox.ordered(response)
    assert (drawn["width"], drawn["height"]) == (832, 1104)
    invalid(sandbox.film("wan2.7-i2v", media(first_frame=inline(png(100, 800)))), "input.media.0.url: 100*800")
    invalid(sandbox.film("wan2.7-r2v", media(reference_image=inline(png(300, 300, "RGBA")))), "alpha")


def test_sound(sandbox: Sandbox) -> None:
    """Sound as wav and mp3 is taken from the web and from uploads, of the documented length, never inline."""

    def driven(data: bytes) -> Any:
        shown = media(first_frame=A, driving_audio=sandbox.upload(data, "wan2.7-i2v"))
        return sandbox.film("wan2.7-i2v", shown, headers=RESOLVED)

    for data in (wav(2), wav(30), b"ID3" + bytes(100), b"\xff\xfb" + bytes(100)):
        assert driven(data).status_code == 200
    for data, words in ((wav(1), "1 s"), (wav(30.5), "30.5 s"), (b"ID3" + bytes(15 << 20), "bytes")):
        invalid(driven(data), words)
    for data in (b"OggS", wav(3)[:20]):
        refused(driven(data), 400, "InvalidParameter.DataInspection", "format")
    link = inline(wav(3), "audio/wav")
    refused(sandbox.film(inputs={"audio_url": link}), 400, "InvalidURL", "input.audio_url")
    voice = sandbox.upload(wav(11), "wan2.7-r2v")
    shown = [{"type": "reference_image", "url": A, "reference_voice": voice}]
    invalid(sandbox.film("wan2.7-r2v", shown, headers=RESOLVED), "reference_voice: 11 s")
