"""A video's job held against what a model offers."""

from __future__ import annotations

from typing import Any

import pytest

from wan_cli.errors import UnsupportedOption, UsageError
from wan_cli.fit import fit
from wan_cli.models import Job, Kind, LocalFile, Media, Role
from wan_cli.registry import capabilities

ENDINGS: dict[Kind, str] = {"image": "png", "video": "mp4", "audio": "mp3"}


def far(role: Role, kind: Kind = "image") -> Media:
    """Return a medium by its address."""
    return Media(role=role, kind=kind, url=f"https://cdn.example.com/{role}.{ENDINGS[kind]}")


def near(role: Role, kind: Kind = "image") -> Media:
    """Return a local file."""
    mime = {"image": "image/png", "video": "video/mp4", "audio": "audio/mpeg"}[kind]
    return Media(
        role=role, kind=kind, file=LocalFile(path=f"/a/x.{ENDINGS[kind]}", sha256="ab" * 32, size=3, mime=mime)
    )


FIRST, LAST = far("first_frame"), far("last_frame")
CLIP, SOUND, VOICE = far("first_clip", "video"), far("driving_audio", "audio"), far("voice", "audio")
REFERENCE, FOOTAGE, SOURCE = far("reference"), near("reference", "video"), far("edit_source", "video")
LOCAL = near("edit_source", "video")


def fitted(provider: str, *media: Media, verb: Any = "generate", **said: Any) -> Job:
    """Return the job as it would be sent."""
    model = capabilities(provider).find("wan2.7-video")
    assert model is not None
    job = Job(verb=verb, provider=provider, model=model.name, makes="video", prompt="a fox", media=media, **said)
    found = fit(job, model)
    assert found.warnings == ()
    return found.job


def refused(provider: str, *media: Media, verb: Any = "generate", **said: Any) -> UsageError:
    """Return why the job is refused."""
    with pytest.raises(UsageError) as caught:
        fitted(provider, *media, verb=verb, **said)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(("provider", "media"), [
    ("rivya", ()), ("rivya", (FIRST,)), ("rivya", (FIRST, LAST)), ("rivya", (LAST, FIRST)),
    ("toapis", (FIRST,)), ("toapis", (FIRST, LAST)), ("modelverse", (SOUND,)), ("modelverse", (FIRST, SOUND)),
    ("modelverse", (FIRST, LAST)), ("modelverse", (FIRST, LAST, SOUND)), ("modelverse", (CLIP,)),
    ("modelverse", (CLIP, LAST)), ("modelverse", (near("first_frame"), near("last_frame"))),
    *(("dashscope", media) for media in (
        (), (SOUND,), (FIRST,), (FIRST, SOUND), (FIRST, LAST), (FIRST, LAST, SOUND), (CLIP,), (CLIP, LAST),
        (near("first_clip", "video"), LAST), (near("driving_audio", "audio"), near("first_frame")),
    )),
])  # fmt: skip
def test_legal_sets_pass(provider: str, media: tuple[Media, ...]) -> None:
    """Every set of contracts.md 5.3 that a provider takes passes unchanged, in any order."""
    assert fitted(provider, *media).media == media


@pytest.mark.parametrize(("provider", "media", "words"), [
    ("rivya", (LAST,), "--last-frame"), ("toapis", (LAST,), "--first-frame"), ("modelverse", (LAST,), "--first-frame"),
    ("modelverse", (CLIP, FIRST), "--first-clip"), ("modelverse", (CLIP, SOUND), "--audio"),
    ("dashscope", (LAST,), "--first-frame"), ("dashscope", (LAST, SOUND), "--audio"),
    ("dashscope", (CLIP, FIRST), "--first-clip"), ("dashscope", (CLIP, LAST, SOUND), "--first-clip"),
])  # fmt: skip
def test_other_sets_are_refused(provider: str, media: tuple[Media, ...], words: str) -> None:
    """A set that is not legal is refused with those that are."""
    error = refused(provider, *media)
    assert isinstance(error, UnsupportedOption)
    assert words in error.message
    assert error.hint == "leave one of them out"


@pytest.mark.parametrize(("media", "flag"), [(SOUND, "--audio"), (CLIP, "--first-clip")])
@pytest.mark.parametrize("provider", ["rivya", "toapis"])
def test_a_role_names_who_has_it(provider: str, media: Media, flag: str) -> None:
    """Sound where none is taken, and a clip to go on from, name the provider that can."""
    error = refused(provider, media)
    assert flag in error.message
    assert error.message.endswith("; modelverse and dashscope can")
    assert error.hint == "use -p modelverse"


def test_a_role_that_nobody_has_points_to_the_list() -> None:
    """A mask for a video is nobody's: the hint is the provider's list."""
    assert refused("rivya", far("mask")).hint == "wan models rivya"


def test_a_voice_goes_with_references() -> None:
    """``--voice`` stands beside references and is not part of a set of frames."""
    assert fitted("modelverse", REFERENCE, VOICE, verb="fuse").media == (REFERENCE, VOICE)
    assert fitted("modelverse", REFERENCE, FIRST, verb="fuse").media == (REFERENCE, FIRST)
    assert "--voice" in refused("rivya", REFERENCE, VOICE, verb="fuse").message


@pytest.mark.parametrize(("provider", "seconds", "verb", "media"), [
    ("rivya", 5, "generate", ()), ("rivya", 15, "generate", (FIRST,)), ("rivya", 10, "edit", (LOCAL,)),
    ("rivya", 15, "fuse", (REFERENCE,)), ("rivya", 10, "fuse", (FOOTAGE,)), ("modelverse", 2, "generate", ()),
    ("modelverse", 15, "fuse", (REFERENCE,)), ("modelverse", 10, "fuse", (far("reference", "video"),)),
    ("modelverse", None, "generate", ()),
])  # fmt: skip
def test_legal_durations_pass(provider: str, seconds: int | None, verb: str, media: tuple[Media, ...]) -> None:
    """What a model makes in this many seconds passes."""
    assert fitted(provider, *media, verb=verb, duration=seconds).duration == seconds


@pytest.mark.parametrize(("provider", "seconds", "verb", "media", "words", "hint"), [
    ("rivya", 7, "generate", (), "makes 5, 10, 15 s with generate; modelverse and dashscope can", "use -p modelverse"),
    ("toapis", 2, "generate", (), "makes 5, 10, 15 s", "use -p modelverse"),
    ("modelverse", 16, "generate", (), "makes 2 to 15 s", "wan models modelverse"),
    ("modelverse", 0, "generate", (), "makes 2 to 15 s", "wan models modelverse"),
    ("modelverse", 11, "fuse", (far("reference", "video"),), "makes 2 to 10 s", "wan models modelverse"),
    ("rivya", 15, "edit", (LOCAL,), "makes 5, 10 s", "wan models rivya"),
    ("rivya", 15, "fuse", (FOOTAGE,), "makes 5, 10 s with fuse", None),
    ("toapis", 15, "fuse", (FOOTAGE,), "makes 5, 10 s with fuse", None),
])  # fmt: skip
def test_other_durations_name_who_can(
    provider: str, seconds: int, verb: str, media: tuple[Media, ...], words: str, hint: str | None
) -> None:
    """A duration that a model does not have is refused with those it has; with footage the shorter list holds."""
    error = refused(provider, *media, verb=verb, duration=seconds)
    assert words in error.message
    assert hint is None or error.hint == hint


def test_resolutions_are_lower_case() -> None:
    """``1080P`` and ``1080p`` are one; others are refused with those there are."""
    assert fitted("rivya", resolution="1080P").resolution == "1080p"
    assert "720p and 1080p" in refused("rivya", resolution="4K").message


def test_a_size_is_for_pictures() -> None:
    """A tier or pixels for a video point to ``--resolution``."""
    for size in ("2K", "1280x720"):
        assert "--resolution" in refused("modelverse", size=size).message


@pytest.mark.parametrize("media", [(FIRST,), (FIRST, LAST), (CLIP,)])
def test_a_frame_decides_the_shape(media: tuple[Media, ...]) -> None:
    """``--aspect`` with a frame or clip would change nothing, so it is refused."""
    assert "leave --aspect out" in refused("modelverse", *media, aspect="16:9").hint


def test_a_video_is_always_a_task() -> None:
    """``--sync`` is for pictures, even where the provider has both interfaces."""
    assert refused("modelverse", route="sync").hint == "leave --sync out"
    assert fitted("modelverse", route="async").route == "async"


def test_shapes_are_a_list() -> None:
    """A shape of the list passes, with sound or references too; others are refused."""
    assert fitted("modelverse", SOUND, aspect="9:16").aspect == "9:16"
    assert "16:9, 9:16, 1:1, 4:3, 3:4" in refused("rivya", aspect="21:9").message


@pytest.mark.parametrize("media", [near("first_clip", "video"), near("driving_audio", "audio")])
def test_some_kinds_go_as_an_address_only(media: Media) -> None:
    """Modelverse takes videos and sound only from the web; pictures may be files."""
    assert "only as an https:// address" in refused("modelverse", media).message
    assert "give the address" in refused("modelverse", near("edit_source", "video"), verb="edit").hint


def test_openai_takes_local_pictures_only() -> None:
    """The other way round: an address is refused where only files go."""
    model = capabilities("openai").models[0]
    job = Job(verb="edit", provider="openai", model=model.name, prompt="p", media=(far("edit_source"),))
    with pytest.raises(UnsupportedOption, match="local file"):
        fit(job, model)


@pytest.mark.parametrize(("media", "verb"), [
    (far("first_frame", "video"), "generate"), (far("first_clip", "image"), "generate"), (far("edit_source"), "edit"),
    (far("reference", "audio"), "fuse"), (far("driving_audio", "video"), "generate"),
])  # fmt: skip
def test_a_medium_has_the_kind_of_its_place(media: Media, verb: str) -> None:
    """A video as a frame, a picture as a clip, sound as a reference: each is refused by name."""
    error = refused("modelverse", media, verb=verb)
    assert " is " in error.message
    assert "got" in error.message


def test_an_edit_has_one_video_and_some_pictures() -> None:
    """One video is changed, up to four pictures stand beside it, where the provider takes any."""
    assert len(fitted("modelverse", SOURCE, *[REFERENCE] * 4, verb="edit").media) == 5
    assert "at most 4" in refused("modelverse", SOURCE, *[REFERENCE] * 5, verb="edit").message
    assert "needs at least 1 video" in refused("modelverse", verb="edit").message
    assert "at most 1" in refused("modelverse", SOURCE, SOURCE, verb="edit").message
    assert "no pictures beside" in refused("toapis", SOURCE, REFERENCE, verb="edit").message


def test_what_is_not_wanted_may_be_so_long() -> None:
    """The upstream cuts a long negative prompt off without a word, so it is refused here (contracts.md 5.3)."""
    assert fitted("modelverse", negative="x" * 500).negative == "x" * 500
    assert "takes 500" in refused("modelverse", negative="x" * 501).message
    assert "--negative: yunwu" in _picture_error("yunwu", negative="blur")


def _picture_error(provider: str, **said: Any) -> str:
    model = capabilities(provider).models[0]
    with pytest.raises(UnsupportedOption) as caught:
        fit(Job(verb="generate", provider=provider, model=model.name, prompt="p", **said), model)
    return caught.value.message


@pytest.mark.parametrize(
    ("provider", "verb"), [("rivya", "sequence"), ("modelverse", "sequence"), ("toapis", "sequence")]
)
def test_a_verb_without_videos_is_refused(provider: str, verb: str) -> None:
    """No provider makes a sequence of videos."""
    assert refused(provider, verb=verb).hint == "wan models"


@pytest.mark.parametrize(("said", "flag"), [({"thinking": True}, "--thinking"), ({"audio_setting": "auto"}, "--audio")])
def test_an_option_of_other_models_is_not_denied_to_the_provider(said: dict[str, Any], flag: str) -> None:
    """Where the provider has an option, but not here, the message says where it is not."""
    error = refused("dashscope", **said)
    assert error.message.startswith(flag)
    assert "dashscope has no such option for wan2.7-video with generate" in error.message


def test_too_many_references_are_counted_in_words() -> None:
    """Pictures and videos together are spoken of as both."""
    assert refused("dashscope", *[REFERENCE] * 6, verb="fuse").message.startswith("6 pictures or videos: ")
