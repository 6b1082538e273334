"""Rivya's adapter against contracts.md section 1."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from support_adapter import adapter, answered, fault, job, outcome, verdict

from wan_cli.media import mime_of_extension
from wan_cli.models import Done, Failed, LocalFile, Media, Output, Pending
from wan_cli.providers.base import Unreadable
from wan_cli.registry import capabilities

TASK = {"id": "task_1", "status": "queued", "reserved_credits": 12, "final_credits": 0, "result": None, "error": None}
REFUSALS = [  # contracts.md 1.6; interface.md section 4
    ("public_api_disabled", 503, "provider_unavailable", 6),
    ("api_key_missing", 401, "key_rejected", 3),
    ("api_key_invalid", 401, "key_rejected", 3),
    ("api_key_revoked", 401, "key_rejected", 3),
    ("api_key_expired", 401, "key_rejected", 3),
    ("api_scope_denied", 403, "key_rejected", 3),
    ("rate_limited", 429, "rate_limited", 6),
    ("validation_failed", 400, "request_rejected", 4),
    ("not_found", 404, "model_unknown", 4),
    ("webhook_url_rejected", 400, "request_rejected", 4),
    ("chat_model_not_supported", 400, "model_unknown", 4),
    ("chat_attachment_not_supported", 400, "request_rejected", 4),
    ("chat_session_conflict", 409, "request_rejected", 4),
    ("idempotency_conflict", 409, "request_rejected", 4),
    ("insufficient_credits", 402, "insufficient_credits", 5),
    ("insufficient_credits", 400, "insufficient_credits", 5),  # its status is not documented: the code decides
    ("insufficient_credits", 403, "insufficient_credits", 5),
]
PICTURE = LocalFile(path="/a/fox.png", sha256="ab" * 32, size=3, mime="image/png")


def polled(body: Any) -> Any:
    return answered(adapter("rivya").poll(Pending(task_id="task_1")), TASK | body)


@pytest.mark.parametrize(("code", "status", "ours", "exit_code"), REFUSALS)
def test_a_documented_code_has_its_class(code: str, status: int, ours: str, exit_code: int) -> None:
    """Every documented error code ends as the documented class, its exit code, and nothing charged."""
    body = {"error": {"code": code, "message": "no\x1b[31m", "requestId": "req_7"}}
    found = verdict(adapter("rivya"), status, body)
    assert outcome(found) == (ours, exit_code, "no")
    error = found.error  # type: ignore[union-attr]
    assert (error.provider_code, error.http_status, error.request_id) == (code, status, "req_7")
    assert code in error.message
    assert "req_7" in error.message
    assert "\x1b" not in error.message
    assert error.hint


def test_the_table_of_codes_is_the_documents() -> None:
    """The adapter knows the documented codes and no others."""
    assert set(adapter("rivya").errors) == {code for code, *_ in REFUSALS}


def test_an_undocumented_code_is_decided_by_the_status() -> None:
    """New codes may appear (1.1): a 4xx is a refusal, a 5xx leaves the outcome open."""
    body = {"error": {"code": "quota_shape_unknown", "message": "?"}}
    assert outcome(verdict(adapter("rivya"), 400, body)) == ("request_rejected", 4, "no")
    assert outcome(verdict(adapter("rivya"), 502, body)) == ("outcome_unknown", 9, "unknown")


@pytest.mark.parametrize("shown", [str.lower, str.upper, str.title])
@pytest.mark.parametrize(
    ("status", "kind"),
    [("queued", "pending"), ("processing", "pending"), ("succeeded", "done"), ("success", "done"),
     ("completed", "done"), ("failed", "failed"), ("failure", "failed"), ("expired", "failed"),
     ("cancelled", "cancelled"), ("canceled", "cancelled")],
)  # fmt: skip
def test_a_status_is_read_in_any_case(status: str, kind: str, shown: Any) -> None:
    """The four documented words mean the same in any case, and so do the words that others use for them (R10)."""
    state = polled({"status": shown(status)})
    assert state.kind == kind
    if state.kind == "pending":
        assert (state.task_id, state.note, state.ref) == ("task_1", status, {"task_id": "task_1"})


@pytest.mark.parametrize("status", ["throttled", "", "done"])
def test_an_unknown_status_is_still_pending(status: str) -> None:
    """A word that is not documented is neither success nor failure, and is named (reliability.md R09)."""
    state = polled({"status": status, "result": {"urls": ["https://cdn.example.com/1.png"]}})
    assert isinstance(state, Pending)
    assert repr(status) in state.note


def test_a_success_names_its_results_and_its_price() -> None:
    """Addresses come from ``urls`` without repeats, the price from ``final_credits``, the end from ``updated_at``."""
    urls = ["https://cdn.example.com/1.png", "https://cdn.example.com/1.png", "https://cdn.example.com/2.png"]
    state = polled({"status": "succeeded", "final_credits": 12, "updated_at": "2026-05-11T00:00:00.000Z",
                    "result": {"primary_url": urls[0], "urls": urls}})  # fmt: skip
    assert isinstance(state, Done)
    assert state.outputs == (Output(url=urls[0]), Output(url=urls[2]))
    assert state.facts is not None
    assert (state.facts.charged_amount, state.facts.finished_at) == (12, 1778457600)


def test_a_success_with_only_a_primary_url_has_that_one() -> None:
    """``primary_url`` alone is a result; none at all is an empty success, which the engine asks about again."""
    assert polled({"status": "succeeded", "result": {"primary_url": "https://x/1.png"}}).outputs == (
        Output(url="https://x/1.png"),
    )
    assert polled({"status": "succeeded"}).outputs == ()


@pytest.mark.parametrize(("final", "charged"), [(0, "no"), (12, "yes"), (None, "unknown")])
def test_a_failure_is_charged_as_the_provider_says(final: int | None, charged: str) -> None:
    """A failed task costs its ``final_credits``; without them nobody knows (contracts.md 1.4)."""
    error = {"code": "generation_failed", "message": "the model refused"}
    state = polled({"status": "failed", "final_credits": final, "error": error})
    assert isinstance(state, Failed)
    assert (state.code, state.provider_code, state.message) == ("task_failed", *error.values())
    assert state.charged == charged


def test_a_failure_without_a_reason_says_so() -> None:
    """A missing error object still gives a message."""
    assert polled({"status": "failed"}).message == "the provider gives no reason"


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", {"status": "queued"}, {**TASK, "id": None}, {**TASK, "id": 7}, {**TASK, "id": "../credits"},
     {**TASK, "id": "a?b"}, {**TASK, "id": "a\nb"}, {**TASK, "id": "x" * 201}, {**TASK, "status": None},
     b"[" * 100_000],
)  # fmt: skip
def test_an_answer_without_a_usable_task_is_unreadable(body: Any) -> None:
    """No id, or one that could change an address, is never a task (reliability.md R01, R05, R07, R08)."""
    with pytest.raises(Unreadable):
        answered(adapter("rivya").submit(job(), token="t"), body)


def test_what_the_user_did_not_say_is_not_in_the_body() -> None:
    """Unset options leave no key; the watermark is the text of a select; parameters go as given."""
    bare = json.loads(next(adapter("rivya").submit(job(), token="t" * 200)).content)
    assert bare == {"model": "wan-2-7-image", "prompt": "a fox", "params": {}, "client_request_id": "t" * 128}
    said = job(model="some-new-model", watermark=True, params={"style": "ink"})
    assert json.loads(next(adapter("rivya").submit(said, token="t")).content) == {
        "model": "some-new-model", "prompt": "a fox", "params": {"watermark": "true", "style": "ink"},
        "client_request_id": "t",
    }  # fmt: skip


def test_a_reference_says_what_it_is() -> None:
    """An uploaded file has its own name and type and its token; an address what its path says (contracts.md 1.3)."""
    media = (
        Media(role="reference", kind="image", url="https://cdn/x", file=PICTURE, duration_token="dur_1"),
        Media(role="reference", kind="image", url="https://cdn.example.com/a/b.webp?x=1"),
        Media(role="reference", kind="image", url="https://cdn.example.com"),
    )
    items = json.loads(next(adapter("rivya").submit(job(media=media), token="t")).content)["params"]
    assert items["referenceMediaItems"] == [
        {"url": "https://cdn/x", "kind": "image", "name": "fox.png", "mimeType": "image/png", "durationToken": "dur_1"},
        {"url": "https://cdn.example.com/a/b.webp?x=1", "kind": "image", "name": "b.webp", "mimeType": "image/webp"},
        {"url": "https://cdn.example.com", "kind": "image", "name": "reference"},
    ]
    assert mime_of_extension("reference") is None


@pytest.mark.parametrize("wrap", [lambda file: file, lambda file: {"file": file}, lambda file: {"data": file},
                                  lambda file: {"id": "outer", "url": None, "file": file}])  # fmt: skip
def test_the_files_answer_is_read_leniently(wrap: Any) -> None:
    """The address is found at the top, under ``file`` and under ``data`` (contracts.md 1.5)."""
    file = {"id": "file_1", "url": "https://cdn/x.png", "duration_token": "dur_1", "kind": "image", "more": [1]}
    found = answered(adapter("rivya").upload(PICTURE, model="wan2.7-image", trace="t"), wrap(file))
    assert (found.url, found.file_id, found.duration_token) == ("https://cdn/x.png", "file_1", "dur_1")


@pytest.mark.parametrize("body", [{}, {"file": {}}, {"url": ""}, {"data": {"id": "file_1"}}])
def test_an_upload_without_an_address_is_unreadable(body: Any) -> None:
    """An upload that names no address is of no use."""
    with pytest.raises(Unreadable, match="no url"):
        answered(adapter("rivya").upload(PICTURE, model="wan2.7-image", trace="t"), body)


def test_an_upload_is_a_form() -> None:
    """The form has the file, its kind, the provider's name of the model, and at most 128 characters of trace."""
    request = next(adapter("rivya").upload(PICTURE, model="wan2.7-image-pro", trace="t" * 200))
    form = request.extensions["form"]
    assert (request.method, str(request.url)) == ("POST", "https://rivya.ai/api/v1/files")
    assert form.fields == {"kind": "image", "model": "wan-2-7-image-pro", "client_request_id": "t" * 128}
    assert form.files == [("file", PICTURE)]


def test_the_balance_is_in_credits() -> None:
    """``GET /api/v1/credits`` is shown as a number of credits."""
    flow = adapter("rivya").balance()
    assert answered(flow, {"current_credits": 123}) == "123 credits"
    assert str(next(adapter("rivya").balance()).url) == "https://rivya.ai/api/v1/credits"


def test_a_task_id_is_one_part_of_the_path() -> None:
    """An id typed by a user is quoted, so it cannot reach another endpoint (reliability.md R08)."""
    request = next(adapter("rivya").poll(adapter("rivya").adopt("../credits?x")))
    assert str(request.url) == "https://rivya.ai/api/v1/generations/..%2Fcredits%3Fx"


@pytest.mark.parametrize(
    ("given", "base"),
    [("https://rivya.ai", "https://rivya.ai"), ("https://rivya.ai/", "https://rivya.ai"),
     ("https://h/relay", "https://h/relay"), ("https://h/relay/", "https://h/relay"),
     ("https://rivya.ai/api/v1", "https://rivya.ai"), ("https://h/relay/api/v1/", "https://h/relay"),
     ("https://rivya.ai/api/v1/generations", "https://rivya.ai"), ("https://rivya.ai/api/v1/files/", "https://rivya.ai"),
     ("https://h:8443/p/api/v1/credits", "https://h:8443/p")],
)  # fmt: skip
def test_a_base_url_may_have_any_of_its_forms(given: str, base: str) -> None:
    """Origin, prefix, version prefix and full endpoint, with or without a slash, reach the same address."""
    made = adapter("rivya", given)
    assert str(next(made.submit(job(), token="t")).url) == f"{base}/api/v1/generations"
    assert made.origin == "/".join(base.split("/")[:3])


def test_a_foreign_task_has_vanished_only_when_not_found() -> None:
    """A 404 on a poll is "unknown task"; other refusals are not (contracts.md 1.4)."""
    made = adapter("rivya")
    assert made.vanished(fault(made, 404, {"error": {"code": "not_found", "message": "no such task"}}))
    assert not made.vanished(fault(made, 503, b"down"))


@pytest.mark.parametrize(
    ("status", "body", "code", "message", "request_id"),
    [
        (400, {"error": {"code": 7, "message": "m", "request_id": "r"}}, "7", "m", "r"),
        (400, {"error": {"type": "t", "message": "m (request id: abc-1)"}}, "t", "m (request id: abc-1)", "abc-1"),
        (400, {"error": "plain", "requestId": "r"}, None, "plain", "r"),
        (400, {"error": "", "code": "c", "message": "m", "request_id": "r"}, "c", "m", "r"),
        (422, {"detail": "d"}, None, "d", None),
        (422, {"detail": [{"msg": "a"}, {"other": 1}, "b"]}, None, "a; {'other': 1}; b", None),
        (400, {"success": False, "message": "m"}, None, "m", None),
        (400, {"success": False}, None, "the provider reports no success", None),
        (400, {"nothing": 1}, None, '{"nothing": 1}', None),
        (400, [1], None, "[1]", None),
        (502, b"<html>bad gateway", None, "<html>bad gateway", None),
        (504, b"", None, "Gateway Timeout", None),
        (200, {"error": {"code": "rate_limited", "message": "m"}}, "rate_limited", "m", None),
        (200, {"success": False, "message": "m"}, None, "m", None),
    ],
)
def test_every_form_of_refusal_is_read(
    status: int, body: Any, code: str | None, message: str, request_id: str | None
) -> None:
    """The forms of contracts.md 6.3 rules 4 and 5 are found in that order, whoever sends them."""
    found = fault(adapter("rivya"), status, body, retry_after="3")
    assert (found.status, found.code, found.message, found.request_id) == (status, code, message, request_id)
    assert found.retry_after == "3"


def test_a_header_names_the_request_where_the_body_does_not() -> None:
    """``x-request-id`` is kept for the provider's support."""
    assert fault(adapter("rivya"), 500, b"", x_request_id="req_9").request_id == "req_9"


@pytest.mark.parametrize("body", [TASK | {"error": {"code": "x", "message": "y"}}, {"ok": True}, [1]])
def test_an_answer_that_mentions_an_error_is_an_answer(body: Any) -> None:
    """A 200 with a task, or without any error form, is no refusal."""
    assert adapter("rivya").fault(httpx.Response(200, json=body)) is None


def test_rivya_makes_one_picture_a_task() -> None:
    """The catalogue says what contracts.md 1.9 says: two models, tiers, shapes, seeds, references, no count."""
    offered = [model for model in capabilities("rivya").models if model.makes == "image"]
    assert [(m.name, m.id, m.price.amount if m.price else None) for m in offered] == [
        ("wan2.7-image", "wan-2-7-image", 5), ("wan2.7-image-pro", "wan-2-7-image-pro", 12),
    ]  # fmt: skip
    for model in offered:
        assert set(model.verbs) == {"generate", "edit", "fuse"}
        for offer in model.verbs.values():
            assert (offer.prompt_max, offer.sizes, offer.pixels, offer.count) == (5000, ("1K", "2K"), None, None)
            assert offer.aspects == ("1:1", "16:9", "4:3", "21:9", "3:4", "9:16", "8:1", "1:8")
            assert (offer.seed, offer.options) == ((0, 2147483647), {"watermark"})
        inputs = model.verbs["edit"].inputs
        assert inputs is not None
        assert (inputs.count, inputs.max_bytes) == ((1, 9), 20 * 1024 * 1024)
        assert set(inputs.mimes) == {"image/jpeg", "image/png", "image/webp"}


@pytest.mark.parametrize(
    ("quirk", "more"),
    [({}, {"role": "first_frame"}), ({"role_key": "type"}, {"type": "first_frame"}), ({"role_key": "none"}, {})],
)
def test_a_video_says_what_its_media_are(quirk: dict[str, str], more: dict[str, str]) -> None:
    """A video task has duration and resolution; the name of a reference's role is a switch (contracts.md 1.9)."""
    frame = Media(role="first_frame", kind="image", url="https://cdn.example.com/a.png")
    wanted = job(model="wan2.7-video", makes="video", media=(frame,), resolution="1080p", duration=10, aspect="16:9",
                 negative="blur", seed=3)  # fmt: skip
    body = json.loads(next(adapter("rivya", **quirk).submit(wanted, token="t")).content)
    item = {"url": frame.url, "kind": "image", "name": "a.png", "mimeType": "image/png"}
    assert body["params"] == {
        "aspect_ratio": "16:9", "resolution": "1080p", "duration": "10", "negative_prompt": "blur", "seed": 3,
        "referenceMediaItems": [item | more],
    }  # fmt: skip


@pytest.mark.parametrize("odd", ["", "soon", [], {}, True, None, "1e999"])
def test_odd_facts_do_not_cost_the_task(odd: Any) -> None:
    """What stands beside id, status and result is left out where it cannot be read: the task itself is paid for."""
    beside = dict.fromkeys(("reserved_credits", "final_credits", "updated_at", "created_at"), odd)
    assert polled(beside).kind == "pending"
    failed = polled({"status": "failed", "error": odd} | beside)
    assert (failed.kind, failed.message) == ("failed", "the provider gives no reason")
    done = polled({"status": "succeeded", "result": {"urls": None, "primary_url": "https://x/1.png"}} | beside)
    assert done.outputs == (Output(url="https://x/1.png"),)


def test_a_videos_files_bring_their_tokens() -> None:
    """Footage goes with the token of its upload and says what it is for; an edit may keep the sound (1.5, 1.9)."""
    source = Media(role="edit_source", kind="video", url="https://cdn.example.com/fox.mp4", duration_token="tok",
                   file=LocalFile(path="/a/fox.mp4", sha256="ab" * 32, size=3, mime="video/mp4"))  # fmt: skip
    wanted = job(
        verb="edit", model="wan2.7-video", makes="video", media=(source,), audio_setting="origin", watermark=True
    )
    body = json.loads(next(adapter("rivya").submit(wanted, token="t")).content)
    assert body["model"] == "wan-2-7-video"
    assert body["params"] == {
        "watermark": "true", "audio_setting": "origin",
        "referenceMediaItems": [{"url": source.url, "kind": "video", "name": "fox.mp4", "mimeType": "video/mp4",
                                 "durationToken": "tok", "role": "edit_source"}],
    }  # fmt: skip


def test_a_videos_upload_says_its_kind() -> None:
    """Footage is uploaded as ``video`` for its model, and the token comes back with the address."""
    movie = LocalFile(path="/a/fox.mov", sha256="ab" * 32, size=3, mime="video/quicktime")
    fields = dict(next(adapter("rivya").upload(movie, model="wan2.7-video", trace="t")).extensions["form"].fields)
    assert (fields["kind"], fields["model"]) == ("video", "wan-2-7-video")
    answer = {"file": {"id": "f1", "url": "https://cdn.example.com/f1.mov", "duration_token": "tok"}}
    found = answered(adapter("rivya").upload(movie, model="wan2.7-video", trace="t"), answer)
    assert (found.url, found.file_id, found.duration_token) == ("https://cdn.example.com/f1.mov", "f1", "tok")


def test_a_picture_says_no_role() -> None:
    """The role is for videos: a picture's references are as the seed prints them."""
    far = Media(role="reference", kind="image", url="https://cdn.example.com/a.png")
    (item,) = json.loads(next(adapter("rivya").submit(job(verb="edit", media=(far,)), token="t")).content)["params"][
        "referenceMediaItems"
    ]
    assert "role" not in item
