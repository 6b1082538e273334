"""The adapter for every server with OpenAI's image API, against contracts.md section 6."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from support_adapter import adapter, answered, fault, job, outcome, verdict

from wan_cli.download.address import Rules
from wan_cli.errors import DownloadFailed, UnsupportedOption, UsageError
from wan_cli.fit import fit
from wan_cli.models import Done, Failed, Job, LocalFile, Media, Output, Pending
from wan_cli.providers.base import Provider, Unreadable
from wan_cli.registry import capabilities

B64 = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
OPENAI = {
    "created": 1713833628, "data": [{"b64_json": B64}], "background": "opaque", "output_format": "png",
    "quality": "high", "size": "1024x1024", "usage": {"input_tokens": 50, "total_tokens": 100},
}  # fmt: skip
SERVERS: dict[str, tuple[Any, list[Output]]] = {  # contracts.md 6.1 and, row by row, 6.2
    "openai": (OPENAI, [Output(b64=B64)]),
    "dall-e": (
        {"created": 1, "data": [{"url": "https://h/1.png", "revised_prompt": "x"}]}, [Output(url="https://h/1.png")]),
    "litellm": (
        {"created": 1, "data": [{"b64_json": None, "revised_prompt": None, "url": "https://h/1.png"}],
         "usage": {"input_tokens": 0}, "model": "another", "hidden_params": {"x": 1}},
        [Output(url="https://h/1.png")],
    ),
    "vllm-omni": (
        {"created": 1, "data": [{"b64_json": B64, "url": None, "revised_prompt": None}]}, [Output(b64=B64)]),
    "sglang": (
        {"id": "img_1", "created": 1, "data": [{"url": "/v1/images/img_1/content", "b64_json": None}]},
        [Output(url="/v1/images/img_1/content")],
    ),
    "localai": (
        {"created": 1, "id": "a-b", "data": [{"index": 0, "url": "http://h:8080/generated-images/b6.png"}],
         "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
        [Output(url="http://h:8080/generated-images/b6.png")],
    ),
    "stable-diffusion.cpp": (
        {"created": "2026-05-11T00:00:00Z", "output_format": "png", "data": [{"b64_json": B64}]}, [Output(b64=B64)]),
    "xinference": (
        {"created": 1, "data": [{"url": "/home/me/.xinference/image/1.jpg", "b64_json": None}]},
        [Output(url="/home/me/.xinference/image/1.jpg")],
    ),
    "new-api": (
        {"created": 1, "data": [{"url": "https://h/1.png?Expires=1", "b64_json": "", "revised_prompt": ""}],
         "metadata": {"output": {}}},
        [Output(url="https://h/1.png?Expires=1")],
    ),
    "new-api, bytes": ({"created": 1, "data": [{"url": "", "b64_json": B64}]}, [Output(b64=B64)]),
    "qvac": ({"data": [{"url": f"data:image/png;base64,{B64}"}]}, [Output(url=f"data:image/png;base64,{B64}")]),
    "nothing": ({"created": 1, "data": []}, []),
    "null": ({"created": 1, "data": None}, []),
    "no more than these": ({"data": [{"url": "https://h/1.png"}, {}]}, [Output(url="https://h/1.png")]),
}  # fmt: skip
ENVELOPES = [  # contracts.md 6.1, 6.2, 6.3 rule 5: body, code, message, request id
    ({"error": {"message": "no", "type": "t", "param": None, "code": "a_code"}}, "a_code", "no", None),
    ({"error": {"message": "no", "type": "server_error", "param": "size", "code": None}}, "server_error", "no", None),
    ({"error": {"message": "no", "type": "None", "param": "None", "code": "401"}}, "401", "no", None),
    ({"error": {"message": "no", "code": 404, "type": "not_found_error"}}, "404", "no", None),
    ({"error": {"message": "no (request id: 2026abcXYZ)", "type": "new_api_error", "code": None}}, "new_api_error",
     "no (request id: 2026abcXYZ)", "2026abcXYZ"),
    ({"error": "prompt required"}, None, "prompt required", None),
    ({"code": 20012, "message": "no", "request_id": "r1"}, "20012", "no", "r1"),
    ({"detail": "Model not found"}, None, "Model not found", None),
    ({"detail": [{"loc": ["body", "size"], "msg": "bad size"}, "and more"]}, None, "bad size; and more", None),
    ({"success": False, "message": "no room"}, None, "no room", None),
    ({"success": False}, None, "the provider reports no success", None),
    (b"<html>Bad gateway</html>", None, "<html>Bad gateway</html>", None),
    (b"", None, "Bad Request", None),
]  # fmt: skip
REFUSALS = [  # contracts.md 6.1
    ("invalid_api_key", 401, "key_rejected", 3),
    ("insufficient_quota", 429, "insufficient_credits", 5),
    ("billing_hard_limit_reached", 400, "insufficient_credits", 5),
    ("rate_limit_exceeded", 429, "rate_limited", 6),
    ("model_not_found", 404, "model_unknown", 4),
    ("moderation_blocked", 400, "moderation", 4),
    ("content_policy_violation", 400, "moderation", 4),
    ("invalid_request_error", 400, "request_rejected", 4),
]
PICTURE = LocalFile(path="/a/fox.png", sha256="ab" * 32, size=3, mime="image/png")
MASK = LocalFile(path="/a/mask.png", sha256="cd" * 32, size=4, mime="image/png")
ITEM = {"b64_json": None, "url": None}


def submit(provider: Provider, wanted: Job) -> httpx.Request:
    """Return what would be sent."""
    return next(provider.submit(wanted, token="never-sent"))


def asked(**said: Any) -> Job:
    """Return a small job for gpt-image-1."""
    return job("openai", model="gpt-image-1", **said)


def body_of(wanted: Job, **quirks: Any) -> Any:
    """Return the JSON that would be sent."""
    return json.loads(submit(adapter("openai", **quirks), wanted).content)


def form_of(wanted: Job, **quirks: Any) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the fields of the form that would be sent, and its files by field and name."""
    request = submit(adapter("openai", **quirks), wanted)
    assert (request.method, request.url.path, request.content) == ("POST", "/v1/images/edits", b"")
    form = request.extensions["form"]
    return dict(form.fields), [(field, file.name) for field, file in form.files]


def edit(*roles: str, **said: Any) -> Job:
    """Return an edit of local files in these roles."""
    media = [Media(role=role, kind="image", file=MASK if role == "mask" else PICTURE) for role in roles]  # type: ignore[arg-type]
    return asked(verb="edit", media=tuple(media), **said)


@pytest.mark.parametrize(("body", "wanted"), SERVERS.values(), ids=SERVERS)
def test_every_servers_answer_is_read(body: Any, wanted: list[Output]) -> None:
    """Rules 2 and 3: the first non-empty of b64_json and url; null, empty and extra fields do not matter."""
    made = adapter("openai")
    assert made.fault(httpx.Response(200, json=body)) is None
    state = answered(made.submit(asked(), token="t"), body)
    assert isinstance(state, Done)
    assert list(state.outputs) == wanted
    assert state.task_id is None


@pytest.mark.parametrize("created", [1, "2026-05-11T00:00:00Z", "1", None, 1.5, [], "absent"])
def test_created_may_be_anything(created: Any) -> None:
    """Rule 3: when it was made is a number, a text or missing, and costs no picture."""
    body = {"data": [{"url": "https://h/1.png"}]} | ({} if created == "absent" else {"created": created})
    assert answered(adapter("openai").submit(asked(), token="t"), body).outputs == (Output(url="https://h/1.png"),)


@pytest.mark.parametrize("odd", [7, "", "../x", "a b", "x" * 300, None, [], {}])
def test_an_odd_label_costs_no_picture(odd: Any) -> None:
    """Ids, status, usage and request id of a strange form count as absent beside a picture."""
    body = dict.fromkeys(("id", "task_id", "status", "usage", "request_id"), odd) | {
        "data": [{"url": "https://h/1.png"}]
    }
    assert answered(adapter("openai").submit(asked(), token="t"), body).outputs == (Output(url="https://h/1.png"),)


def test_facts_are_kept() -> None:
    """Usage, request id and the first revised prompt stand beside the pictures; the same picture twice counts once."""
    item = {"url": "https://h/1.png", "revised_prompt": "a red fox"}
    body = {"data": [item, item], "usage": {"total_tokens": 3}, "request_id": "r1"}
    state = answered(adapter("openai").submit(asked(), token="t"), body)
    assert state.outputs == (Output(url="https://h/1.png"),)
    assert (state.facts.request_id, state.facts.revised_prompt, state.facts.usage) == (
        "r1",
        "a red fox",
        {"total_tokens": 3},
    )


def test_base64_may_have_a_prefix_and_blanks() -> None:
    """Rule 2: ``data:image/png;base64,`` and line breaks are allowed in ``b64_json``."""
    text = f"data:image/png;base64,{B64[:4]}\n{B64[4:]}"
    state = answered(adapter("openai").submit(asked(), token="t"), {"data": [{"b64_json": text}]})
    assert state.outputs == (Output(b64=text),)


@pytest.mark.parametrize("body", [
    b"", b"null", b"[]", {"data": "x"}, {"data": [1]}, {"data": [{"url": 5}]},
])  # fmt: skip
def test_what_means_nothing_is_said_to_be_unreadable(body: Any) -> None:
    """An answer that is none of the known forms is unreadable, so that the purchase stays unknown."""
    with pytest.raises(Unreadable):
        answered(adapter("openai").submit(asked(), token="t"), body)


@pytest.mark.parametrize(("body", "code", "message", "request_id"), ENVELOPES)
def test_every_envelope_is_read(body: Any, code: str | None, message: str, request_id: str | None) -> None:
    """Rule 5: code, message and request id come out of whichever form the server has."""
    found = fault(adapter("openai"), 400, body)
    assert (found.code, found.message, found.request_id) == (code, message, request_id)


@pytest.mark.parametrize("body", [
    {"error": {"message": "no", "code": "moderation_blocked"}}, {"code": "x", "message": "no"}, {"error": "no"},
])  # fmt: skip
def test_a_success_that_holds_an_error_is_a_refusal(body: Any) -> None:
    """Rule 4: HTTP 200 with an error is read before any picture is looked for."""
    assert fault(adapter("openai"), 200, body).message == "no"


@pytest.mark.parametrize(("code", "status", "ours", "exit_code"), REFUSALS)
def test_a_documented_code_has_its_class(code: str, status: int, ours: str, exit_code: int) -> None:
    """Every code ends as its class and exit code with nothing charged, whatever its status."""
    found = verdict(adapter("openai"), status, {"error": {"message": "no", "type": "t", "code": code}})
    assert outcome(found) == (ours, exit_code, "no")


def test_the_table_of_codes_is_the_documents() -> None:
    """The adapter knows the documented codes and no others."""
    assert set(adapter("openai").errors) == {code for code, *_ in REFUSALS}


@pytest.mark.parametrize(("status", "ours"), [
    (400, "request_rejected"), (401, "key_rejected"), (404, "model_unknown"), (422, "request_rejected"),
    (429, "rate_limited"), (500, "outcome_unknown"), (503, "outcome_unknown"),
])  # fmt: skip
def test_without_a_code_the_status_decides(status: int, ours: str) -> None:
    """FastAPI's and stable-diffusion.cpp's refusals have no code; a 5xx leaves open whether it was charged."""
    for body in ({"detail": "no"}, {"error": "no"}):
        assert outcome(verdict(adapter("openai"), status, body))[0] == ours


def test_only_what_was_said_is_sent() -> None:
    """Rule 1: model and prompt alone, unless more was asked for; never response_format, user or quality."""
    assert body_of(asked()) == {"model": "gpt-image-1", "prompt": "a fox"}
    assert body_of(asked(n=1, n_said=True))["n"] == 1
    assert body_of(asked(n=3, size="1024x1536", params={"quality": "low"})) == {
        "model": "gpt-image-1", "prompt": "a fox", "n": 3, "size": "1024x1536", "quality": "low",
    }  # fmt: skip
    assert "idempotency-key" not in submit(adapter("openai"), asked()).headers


def test_switches_change_the_body() -> None:
    """``response_format`` and the sign between sides are switches; a size that is no pixels goes as it is."""
    assert body_of(asked(), response_format="b64_json")["response_format"] == "b64_json"
    assert body_of(asked(size="640*480"))["size"] == "640x480"
    assert body_of(asked(size="640x480"), size_separator="*")["size"] == "640*480"
    assert body_of(asked(size="auto"))["size"] == "auto"
    assert body_of(asked(seed=7, negative="blur")) == {
        "model": "gpt-image-1", "prompt": "a fox", "seed": 7, "negative_prompt": "blur",
    }  # fmt: skip


@pytest.mark.parametrize(("quirk", "wrong"), [
    ({"response_format": "file"}, "response_format"), ({"seed": "yes"}, "seed"), ({"colour": 1}, "colour"),
    ({"image_field": "images"}, "image_field"),
])  # fmt: skip
def test_a_strange_switch_is_named(quirk: dict[str, Any], wrong: str) -> None:
    """A switch or value that the adapter does not know is refused by name."""
    assert wrong in str(type(adapter("openai")).quirk_fault(quirk))
    assert type(adapter("openai")).quirk_fault({"response_format": "url", "seed": True}) is None


@pytest.mark.parametrize(("roles", "quirks", "fields"), [
    (("edit_source",), {}, ["image"]),
    (("edit_source", "reference"), {}, ["image[]", "image[]"]),
    (("edit_source",), {"image_field": "image[]"}, ["image[]"]),
    (("edit_source", "reference"), {"image_field": "image"}, ["image", "image"]),
    (("edit_source", "mask"), {}, ["image", "mask"]),
    (("mask", "edit_source"), {"mask_field": "mask_image"}, ["image", "mask_image"]),
])  # fmt: skip
def test_an_edit_is_a_form(roles: tuple[str, ...], quirks: dict[str, str], fields: list[str]) -> None:
    """Pictures go as ``image`` or ``image[]`` but never as both, the mask after them, everything else as text."""
    texts, files = form_of(edit(*roles, n=2, size="1024x1024"), **quirks)
    assert texts == {"model": "gpt-image-1", "prompt": "a fox", "n": "2", "size": "1024x1024"}
    assert [field for field, _ in files] == fields
    assert ("mask.png" in [name for _, name in files]) == ("mask" in roles)


def test_an_address_cannot_be_part_of_a_form() -> None:
    """An edit sends local files: an address is refused before anything is sent, here and in the adapter."""
    far = Media(role="edit_source", kind="image", url="https://h/1.png")
    wanted = asked(verb="edit", media=(far,))
    with pytest.raises(UnsupportedOption, match="local file"):
        fit(wanted, capabilities("openai").models[0])
    with pytest.raises(ValueError, match="local files"):
        submit(adapter("openai"), wanted)


@pytest.mark.parametrize(("given", "base"), [
    ("https://api.openai.com/v1", "https://api.openai.com"), ("https://api.openai.com/v1/", "https://api.openai.com"),
    ("https://api.openai.com", "https://api.openai.com"), ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
    ("https://h/relay/v1", "https://h/relay"), ("https://h/v1/images/generations", "https://h"),
    ("https://h/v1/images/edits/", "https://h"),
])  # fmt: skip
def test_a_base_url_may_have_any_of_its_forms(given: str, base: str) -> None:
    """With or without ``/v1``, slash and endpoint: both endpoints come out right."""
    made = adapter("openai", given)
    assert str(submit(made, asked()).url) == f"{base}/v1/images/generations"
    assert str(submit(made, edit("edit_source")).url) == f"{base}/v1/images/edits"


@pytest.mark.parametrize("body", [
    {"id": "task_9", "object": "generation.task", "status": "queued", "progress": 0},
    {"task_id": "task_9", "status": "submitted"},
    {"code": 200, "data": [{"task_id": "task_9", "status": "submitted"}]},
    {"id": "task_9", "status": "IN_PROGRESS", "data": None},
])  # fmt: skip
def test_a_relays_task_is_followed(body: Any) -> None:
    """Both shapes of a task are taken for what they are, and the task is asked for until it has pictures."""
    made = adapter("openai")
    assert made.fault(httpx.Response(200, json=body)) is None
    state = answered(made.submit(asked(), token="t"), body)
    assert isinstance(state, Pending)
    assert state.task_id == "task_9"
    assert str(next(made.poll(state)).url) == "https://api.openai.com/v1/images/generations/task_9"
    waiting = answered(made.poll(state), {"id": "task_9", "status": "in_progress", "progress": 40})
    assert (waiting.kind, waiting.progress, waiting.note) == ("pending", 40, "in_progress")
    strange = answered(made.poll(state), {"status": "dreaming"})
    assert (strange.kind, strange.note) == ("pending", "status 'dreaming'")


@pytest.mark.parametrize("more", [
    {"result": {"type": "image", "data": [{"url": "https://h/1.png"}]}}, {"url": "https://h/1.png"},
    {"data": [{"url": "https://h/1.png"}]}, {"result": {"data": [{"url": "https://h/1.png"}]}, "url": "https://h/1.png"},
])  # fmt: skip
def test_a_relays_task_ends_with_pictures(more: Any) -> None:
    """Pictures are found nested, listed or at the top, each once."""
    for status in ("completed", "succeeded", "SUCCESS"):
        state = answered(adapter("openai").poll(Pending(task_id="task_9")), {"status": status} | more)
        assert state == Done(outputs=(Output(url="https://h/1.png"),), task_id="task_9")


@pytest.mark.parametrize(("more", "code", "message"), [
    ({"error": {"code": "generation_failed", "message": "no"}}, "generation_failed", "no"),
    ({"error": {"code": 500, "message": "no"}}, "500", "no"), ({"error": "no"}, None, "no"),
    ({"fail_reason": "no"}, None, "no"), ({}, None, "the provider gives no reason"),
])  # fmt: skip
def test_a_relays_task_fails_with_its_reason(more: Any, code: str | None, message: str) -> None:
    """A failed task keeps the provider's code and words."""
    state = answered(adapter("openai").poll(Pending(task_id="task_9")), {"status": "failed", "id": "task_9"} | more)
    assert isinstance(state, Failed)
    assert (state.code, state.provider_code, state.message) == ("task_failed", code, message)


@pytest.mark.parametrize(("body", "kind"), [
    ({"id": 7, "status": "queued", "data": []}, None), ({"id": "../x", "status": "queued"}, None),
    ({"id": "task_9", "status": "completed", "data": []}, "done"), ({"id": "task_9", "data": [ITEM]}, "done"),
])  # fmt: skip
def test_only_a_task_under_way_is_followed(body: Any, kind: str | None) -> None:
    """A task without a usable id leaves the purchase unknown; an empty end is an end."""
    made = adapter("openai")
    if kind is None:
        with pytest.raises(Unreadable):
            answered(made.submit(asked(), token="t"), body)
    else:
        assert answered(made.submit(asked(), token="t"), body).outputs == ()


@pytest.mark.parametrize(("said", "size"), [
    ({"size": "1K"}, "1024x1024"), ({"size": "2K"}, "2048x2048"), ({"size": "4k"}, "4096x4096"),
    ({"aspect": "16:9"}, "1360x768"), ({"size": "2K", "aspect": "1:1"}, "2048x2048"), ({"aspect": "1:1"}, "1024x1024"),
    ({"size": "640x480"}, "640x480"), ({}, None),
])  # fmt: skip
def test_tiers_are_sent_as_pixels(said: dict[str, str], size: str | None) -> None:
    """The API knows pixels only: a tier, with or without a shape, becomes those of its area."""
    fitted = fit(asked(**said), capabilities("openai").models[0]).job
    sent = body_of(fitted).get("size")
    if "aspect" in said and said["aspect"] == "16:9":
        width, height = map(int, str(sent).split("x"))
        assert abs(width / height - 16 / 9) < 0.02
        assert width * height <= 1.1 * 1024**2
    else:
        assert sent == size


def test_a_seed_needs_its_switch() -> None:
    """OpenAI has neither seed nor negative prompt; they are refused unless the configuration switches them on."""
    model = capabilities("openai").models[0]
    for said in ({"seed": 7}, {"negative": "blur"}):
        with pytest.raises(UnsupportedOption):
            fit(asked(**said), model)
    with pytest.raises(UsageError):
        fit(replace(asked(), verb="sequence"), model)


def test_a_path_of_the_server_is_no_address() -> None:
    """Xinference's default answer names a file on its own disk: it cannot be fetched, and the hint says what to set."""
    body, (wanted,) = SERVERS["xinference"]
    (output,) = answered(adapter("openai").submit(asked(), token="t"), body).outputs
    assert output == wanted
    with pytest.raises(DownloadFailed) as refused:
        Rules("https://h").result(output.url or "")
    assert "response_format" in refused.value.hint
