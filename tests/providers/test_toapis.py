"""ToAPIs' adapter against seed 004 and contracts.md section 4."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from support_adapter import adapter, answered, fault, job, outcome, verdict

from wan_cli.errors import UsageError
from wan_cli.fit import fit
from wan_cli.models import Done, Failed, Job, LocalFile, Media, Output, Pending, Upload
from wan_cli.providers.base import Unreadable
from wan_cli.registry import capabilities
from wan_cli.transport.retry import Later

PICTURE = LocalFile(path="/a/fox.png", sha256="ab" * 32, size=3, mime="image/png")
MOVIE = LocalFile(path="/a/fox.mov", sha256="cd" * 32, size=3, mime="video/quicktime")
URL = "https://cdn.example.com/"
FIRST, LAST = (
    Media(role=role, kind="image", url=f"{URL}{role}.png") for role in ("first_frame", "last_frame")  # type: ignore[arg-type]
)  # fmt: skip
SOURCE = Media(role="edit_source", kind="video", url=f"{URL}fox.mp4")
ONE, TWO = (Media(role="reference", kind="image", url=f"{URL}{name}.png") for name in ("one", "two"))
MODES = [  # seed 004's four modes: verb, media, mode, what is added to the input
    ("generate", (), "text-to-video", {}),
    ("generate", (FIRST,), "image-to-video", {"image_urls": [FIRST.url]}),
    ("generate", (LAST, FIRST), "image-to-video", {"image_urls": [FIRST.url, LAST.url]}),
    ("fuse", (ONE, TWO), "reference-to-video", {"reference_urls": [ONE.url, TWO.url]}),
    ("edit", (SOURCE,), "video-edit", {"video_url": SOURCE.url}),
]  # fmt: skip
CODES = [  # seed 004's table; contracts.md 4.5
    ("invalid_request_error", 400, "request_rejected", 4),
    ("invalid_request", 400, "request_rejected", 4),
    ("authentication_error", 401, "key_rejected", 3),
    ("unauthorized", 401, "key_rejected", 3),
    ("insufficient_quota", 402, "insufficient_credits", 5),
    ("content_policy_violation", 422, "moderation", 4),
    ("rate_limit_exceeded", 429, "rate_limited", 6),
    ("rate_limit_unavailable", 503, "rate_limited", 6),
]


def asked(**said: Any) -> Job:
    """Return a small job for a video."""
    return job("toapis", **({"model": "wan2.7-video", "makes": "video"} | said))


def body_of(wanted: Job, **quirks: Any) -> Any:
    """Return the JSON that would be sent."""
    request = next(adapter("toapis", **quirks).submit(wanted, token="never-sent"))
    assert str(request.url) == "https://toapis.com/v1/videos/generations"
    assert "idempotency-key" not in request.headers
    return json.loads(request.content)


def polled(body: Any) -> Any:
    """Return what a poll's answer means."""
    return answered(adapter("toapis").poll(Pending(task_id="task_1")), body)


@pytest.mark.parametrize(("verb", "media", "mode", "more"), MODES)
def test_verb_and_roles_choose_the_mode(verb: Any, media: tuple[Media, ...], mode: str, more: Any) -> None:
    """The seed's shape has one of its four modes, by verb and by what the media are for; frames go first, last."""
    assert body_of(asked(verb=verb, media=media)) == {
        "model": "wan-2-7-video", "mode": mode, "input": {"prompt": "a fox"} | more,
    }  # fmt: skip


def test_options_are_in_the_input() -> None:
    """Every option has its name in ``input``, the duration as a number; the seed's gemini_omni table plays no part."""
    wanted = asked(duration=10, resolution="1080p", aspect="9:16", negative="blur", seed=3, watermark=False,
                   params={"prompt_extend": False})  # fmt: skip
    assert body_of(wanted)["input"] == {
        "prompt": "a fox", "duration": 10, "resolution": "1080p", "aspect_ratio": "9:16", "negative_prompt": "blur",
        "seed": 3, "watermark": False, "prompt_extend": False,
    }  # fmt: skip
    assert body_of(asked(verb="edit", media=(SOURCE,), audio_setting="origin"))["input"]["audio_setting"] == "origin"


@pytest.mark.parametrize(("verb", "media", "quirk", "name"), [
    ("generate", (FIRST,), {"images_field": "images"}, "images"),
    ("fuse", (ONE,), {"references_field": "references"}, "references"),
    ("edit", (SOURCE,), {"video_field": "video"}, "video"),
])  # fmt: skip
def test_every_undocumented_name_is_a_switch(verb: Any, media: tuple[Media, ...], quirk: Any, name: str) -> None:
    """The seed names prompt and duration only, so each other name can be changed in the configuration."""
    assert set(body_of(asked(verb=verb, media=media), **quirk)["input"]) == {"prompt", name}
    assert type(adapter("toapis")).quirk_fault(quirk) is None


def test_the_other_models_are_flat() -> None:
    """wan2.6 has the documented flat body, references in ``metadata`` (contracts.md 4.7)."""
    assert body_of(asked(model="wan2.6", duration=5)) == {"model": "wan2.6", "prompt": "a fox", "duration": 5}
    assert body_of(asked(model="wan2.6", media=(FIRST,)))["image_urls"] == [FIRST.url]
    fused = body_of(asked(model="wan2.6", verb="fuse", media=(ONE, TWO)))
    assert fused == {"model": "wan2.6", "prompt": "a fox", "metadata": {"reference_urls": [ONE.url, TWO.url]}}


def test_the_shape_is_a_switch() -> None:
    """``shape`` sends every model in the one shape or the other."""
    assert "mode" not in body_of(asked(), shape="flat")
    assert body_of(asked(model="wan2.6"), shape="guide")["mode"] == "text-to-video"
    assert body_of(asked(model="wan3.0-video"))["model"] == "wan3.0-video"


@pytest.mark.parametrize("body", [
    {"task_id": "task_1", "model": "wan-2-7-video", "status": "queued", "created_at": "2026-04-15T00:00:00.000Z"},
    {"id": "task_1", "object": "generation.task", "status": "queued", "progress": 0, "created_at": 1, "metadata": {}},
    {"code": 200, "data": [{"status": "submitted", "task_id": "task_1"}]},
    {"id": "task_1"},
])  # fmt: skip
def test_every_form_of_acceptance_is_read(body: Any) -> None:
    """``id`` or ``task_id``, at the top or in the older list."""
    made = adapter("toapis")
    assert made.fault(httpx.Response(200, json=body)) is None
    state = answered(made.submit(asked(), token="t"), body)
    assert isinstance(state, Pending)
    assert (state.task_id, state.note) == ("task_1", "queued")
    assert str(next(made.poll(state)).url) == "https://toapis.com/v1/videos/generations/task_1"


@pytest.mark.parametrize("body", [{}, {"id": ""}, {"id": "../x"}, {"status": "queued"}, {"data": []}, b"[]"])
def test_an_acceptance_without_an_id_is_unreadable(body: Any) -> None:
    """Without a usable id the purchase stays unknown."""
    with pytest.raises(Unreadable):
        answered(adapter("toapis").submit(asked(), token="t"), body)


@pytest.mark.parametrize("more", [
    {"result": {"type": "video", "data": [{"url": f"{URL}1.mp4", "format": "mp4"}]}, "expires_at": 1},
    {"url": f"{URL}1.mp4"}, {"data": [{"url": f"{URL}1.mp4", "status": "completed"}], "status": None},
    {"result": {"data": [{"url": f"{URL}1.mp4"}]}, "url": f"{URL}1.mp4", "expires_at": "soon", "progress": "100"},
])  # fmt: skip
def test_a_finished_task_has_its_video(more: Any) -> None:
    """The address is nested, at the top or in the older list, and counts once; odd facts beside it do no harm."""
    assert polled({"id": "task_1", "status": "completed"} | more) == Done(
        outputs=(Output(url=f"{URL}1.mp4"),), task_id="task_1"
    )  # fmt: skip


@pytest.mark.parametrize(("status", "note"), [
    ("queued", "queued"), ("submitted", "queued"), ("in_progress", "processing"), ("dreaming", "status 'dreaming'"),
])  # fmt: skip
def test_a_task_under_way_is_pending(status: str, note: str) -> None:
    """Both vocabularies, and a word nobody knows, mean that it is under way; the progress is shown."""
    state = polled({"id": "task_1", "status": status, "progress": 40})
    assert (state.kind, state.note, state.progress) == ("pending", note, 40)


@pytest.mark.parametrize(("more", "code", "message"), [
    ({"error": {"code": "generation_failed", "message": "no"}}, "generation_failed", "no"),
    ({"error": {"code": 500, "message": "no"}}, "500", "no"), ({"fail_reason": "no"}, None, "no"),
    ({"error": "no"}, None, "no"),
    ({}, None, "the provider gives no reason"),
])  # fmt: skip
def test_a_failed_task_keeps_its_reason(more: Any, code: str | None, message: str) -> None:
    """Both forms of a reason are read, and the hint says what to do when it was charged (the seed's FAQ)."""
    body = {"id": "task_1", "status": "failed"} | more
    assert adapter("toapis").fault(httpx.Response(200, json=body)) is None
    state = polled(body)
    assert isinstance(state, Failed)
    assert (state.code, state.provider_code, state.message) == ("task_failed", code, message)
    assert "charged" in state.hint


@pytest.mark.parametrize(("code", "status", "ours", "exit_code"), CODES)
def test_a_documented_code_has_its_class(code: str, status: int, ours: str, exit_code: int) -> None:
    """Every code of the seed and of the documents ends as its class and exit code, with nothing charged."""
    assert outcome(verdict(adapter("toapis"), status, {"error": {"code": code, "message": "no"}})) == (
        ours,
        exit_code,
        "no",
    )


def test_the_table_of_codes_is_the_documents() -> None:
    """The adapter knows the documented codes and no others; internal_error leaves open whether it was charged."""
    assert set(adapter("toapis").errors) == {code for code, *_ in CODES}
    body = {"error": {"code": "internal_error", "message": "no"}}
    assert outcome(verdict(adapter("toapis"), 500, body))[0] == "outcome_unknown"


def test_a_code_may_be_a_number() -> None:
    """``404`` with its type is read, and the status decides; on a poll it means that nobody knows the task."""
    body = {"error": {"code": 404, "message": "no task", "type": "not_found_error"}}
    found = fault(adapter("toapis"), 404, body)
    assert (found.code, found.message) == ("404", "no task")
    assert adapter("toapis").vanished(found)


@pytest.mark.parametrize("wait", [None, "4"])
def test_too_many_requests_are_repeated_later(wait: str | None) -> None:
    """429 is sent again after ``Retry-After``, or after a growing time with jitter (the seed's table)."""
    headers = {"retry_after": wait} if wait else {}
    found = verdict(adapter("toapis"), 429, {"error": {"code": "rate_limit_exceeded", "message": "no"}}, **headers)
    assert isinstance(found, Later)
    assert found.wait == (4.0 if wait else None)


def test_the_faq_is_a_hint() -> None:
    """``invalid apitype: -1`` means the wrong endpoint, and the hint says so."""
    found = verdict(adapter("toapis"), 400, {"error": {"code": "x", "message": "Invalid ApiType: -1"}})
    assert "chat endpoint" in found.error.hint  # type: ignore[union-attr]
    assert "TOAPIS_BASE_URL" in found.error.hint  # type: ignore[union-attr]


@pytest.mark.parametrize(("file", "path"), [(PICTURE, "images"), (MOVIE, "videos")])
def test_files_are_uploaded_by_kind(file: LocalFile, path: str) -> None:
    """Pictures and videos have an endpoint each, and the answer's address is what the task is given."""
    flow = adapter("toapis").upload(file, model="wan2.7-video", trace="t")
    request = next(flow)
    assert str(request.url) == f"https://toapis.com/v1/uploads/{path}"
    form = request.extensions["form"]
    assert (dict(form.fields), list(form.files)) == ({"purpose": "generation"}, [("file", file)])
    stored = {"id": "f1", "url": f"{URL}f1", "mime_type": file.mime, "size": 3}
    flow = adapter("toapis").upload(file, model="wan2.7-video", trace="t")
    assert answered(flow, {"success": True, "message": "", "data": stored}) == Upload(url=f"{URL}f1", file_id="f1")


def test_a_refused_upload_says_why() -> None:
    """Uploads have an error form of their own (contracts.md 4.4)."""
    assert fault(adapter("toapis"), 400, {"success": False, "message": "too large"}).message == "too large"


@pytest.mark.parametrize(
    "given", ["https://toapis.com/v1", "https://toapis.com/v1/videos/generations/", "https://toapis.com"]
)
def test_a_base_url_may_have_any_of_its_forms(given: str) -> None:
    """Origin, version prefix and endpoint reach the same address."""
    assert str(next(adapter("toapis", given).submit(asked(), token="t")).url).count("/v1/") == 1


@pytest.mark.parametrize("said", [
    {"duration": 6}, {"resolution": "4K"}, {"resolution": "480p"}, {"aspect": "21:9"}, {"seed": -1}, {"size": "1K"},
    {"thinking": True}, {"verb": "edit"}, {"verb": "fuse"}, {"verb": "sequence"}, {"media": (FIRST,), "aspect": "1:1"},
    {"media": (LAST,)}, {"verb": "edit", "media": (SOURCE,), "duration": 15},
])  # fmt: skip
def test_what_it_does_not_have_is_refused_here(said: dict[str, Any]) -> None:
    """Durations, resolutions, shapes and media that are not offered end before any request."""
    with pytest.raises(UsageError):
        fit(asked(**said), capabilities("toapis").models[0])
