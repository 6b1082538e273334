"""Modelverse's adapter against contracts.md section 2, and what every adapter inherits."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from support_adapter import adapter, answered, fault, job, outcome, verdict

from wan_cli.models import Cancelled, Done, Facts, Failed, Flow, Job, LocalFile, Media, Output, Pending
from wan_cli.providers import load
from wan_cli.providers.base import Provider, Unreadable
from wan_cli.registry import capabilities, names

ACCEPTED = {"output": {"task_id": "mv-1"}, "request_id": "req_1"}
REFUSALS = [  # contracts.md 2.6; interface.md section 4
    ("param_error", 400, "request_rejected", 4, "no"),
    ("invalid_messages", 400, "request_rejected", 4, "no"),
    ("sensitive_check_error", 400, "moderation", 4, "no"),
    ("websearch_error", 400, "request_rejected", 4, "no"),
    ("model_error", 400, "model_unknown", 4, "no"),
    ("tokens_too_long", 400, "request_rejected", 4, "no"),
    ("auth_error", 401, "key_rejected", 3, "no"),
    ("timeout", 408, "outcome_unknown", 9, "unknown"),
    ("rate_limit", 429, "rate_limited", 6, "no"),
    ("internal_error", 500, "outcome_unknown", 9, "unknown"),
    ("model_server_error", 500, "outcome_unknown", 9, "unknown"),
    ("gateway_timeout_error", 504, "outcome_unknown", 9, "unknown"),
    ("InvalidParameter", 400, "request_rejected", 4, "no"),
    ("DataInspectionFailed", 400, "moderation", 4, "no"),
    ("permission_error", 403, "insufficient_credits", 5, "no"),
    ("forbidden", 403, "insufficient_credits", 5, "no"),
]
PICTURE = LocalFile(path="/a/fox.png", sha256="ab" * 32, size=3, mime="image/png")
OTHER = LocalFile(path="/a/owl.jpg", sha256="cd" * 32, size=3, mime="image/jpeg")
PENDING = Pending(task_id="mv-1", ref={"task_id": "mv-1"})


def order(**said: Any) -> Job:
    return job("modelverse", **said)


def body_of(made: Provider, wanted: Job) -> Any:
    return json.loads(next(made.submit(wanted, token="t")).content)


def polled(output: Any, **more: Any) -> Any:
    return answered(adapter("modelverse").poll(PENDING), {"output": {"task_id": "mv-1", **output}, **more})


@pytest.mark.parametrize("envelope", ["gateway", "wan"])
@pytest.mark.parametrize(("code", "status", "ours", "exit_code", "charged"), REFUSALS)
def test_a_documented_code_has_its_class(
    code: str, status: int, ours: str, exit_code: int, charged: str, envelope: str
) -> None:
    """Every documented code, in either envelope, ends as its class, exit code and charge."""
    body: dict[str, Any] = {"error": {"code": code, "message": "no"}, "request_id": "req_7"}
    if envelope == "gateway":
        body = {"error": {"message": "no", "type": "invalid_request_error", "code": code, "param": "req_7"}}
    found = verdict(adapter("modelverse"), status, body)
    assert outcome(found) == (ours, exit_code, charged)
    assert fault(adapter("modelverse"), status, body).request_id == "req_7"
    assert "no" in (found.reason if charged == "unknown" else found.error.message)  # type: ignore[union-attr]


def test_the_table_of_codes_is_the_documents() -> None:
    """The adapter's table holds exactly the documented codes that say "not accepted"."""
    assert set(adapter("modelverse").errors) == {code for code, *_, charged in REFUSALS if charged == "no"}


@pytest.mark.parametrize("param", ["prompt", "", None, 7, "size"])
def test_a_parameters_name_is_no_request_id(param: Any) -> None:
    """``param`` holds the request id only where it looks like one."""
    body = {"error": {"message": "no", "type": "invalid_request_error", "code": "param_error", "param": param}}
    assert fault(adapter("modelverse"), 400, body).request_id is None


@pytest.mark.parametrize("shown", [str.lower, str.upper, str.title])
@pytest.mark.parametrize(
    ("status", "kind", "note"),
    [("pending", "pending", "queued"), ("running", "pending", "processing"), ("success", "done", None),
     ("failure", "failed", None), ("cancelled", "cancelled", None), ("queued", "pending", "queued"),
     ("in_progress", "pending", "processing"), ("completed", "done", None), ("failed", "failed", None),
     ("canceled", "cancelled", None), ("succeeded", "done", None), ("expired", "failed", None)],
)  # fmt: skip
def test_both_vocabularies_are_read_in_any_case(status: str, kind: str, note: str | None, shown: Any) -> None:
    """The words of the page and those of the OpenAPI file mean the same in any case (contracts.md 2.3)."""
    state = polled({"task_status": shown(status)})
    assert state.kind == kind
    if note:
        assert (state.note, state.task_id, state.ref) == (note, "mv-1", {"task_id": "mv-1"})


@pytest.mark.parametrize("status", ["Throttled", "", None])
def test_an_unknown_status_is_still_pending(status: str | None) -> None:
    """A word that is not documented is neither success nor failure, and is named (reliability.md R09)."""
    state = polled({"task_status": status, "urls": ["https://x/1.png"]})
    assert isinstance(state, Pending)
    assert repr(status) in state.note


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [("code=InvalidParameter, message=invalid image url", "InvalidParameter", "invalid image url"),
     ("code=X,message=a, b\nc=d", "X", "a, b\nc=d"), ("something else", None, "something else"),
     ("", None, "the provider gives no reason"), (None, None, "the provider gives no reason")],
)  # fmt: skip
def test_a_failure_is_taken_apart(text: str | None, code: str | None, message: str) -> None:
    """``code=..., message=...`` becomes code and message; any other text is the message. Its charge is unknown."""
    state = polled({"task_status": "Failure", "error_message": text})
    assert isinstance(state, Failed)
    assert (state.code, state.provider_code, state.message, state.charged) == ("task_failed", code, message, "unknown")


def test_a_cancelled_task_is_cancelled() -> None:
    """``Cancelled`` is an end of its own, and keeps the request id."""
    state = polled({"task_status": "Cancelled"}, request_id="req_5")
    assert isinstance(state, Cancelled)
    assert state.facts is not None
    assert state.facts.request_id == "req_5"


def test_repeated_and_empty_addresses_count_once() -> None:
    """Each distinct address is one result (reliability.md R13)."""
    state = polled({"task_status": "Success", "urls": ["https://x/1.png", "", "https://x/1.png", "https://x/2.png"]})
    assert [output.url for output in state.outputs] == ["https://x/1.png", "https://x/2.png"]


def test_camel_case_names_are_read_as_well() -> None:
    """Relays in front of Modelverse write ``taskId``; the meaning is the same."""
    body = {"output": {"taskId": "mv-1"}, "request_id": ""}
    assert answered(adapter("modelverse").submit(order(), token="t"), body).task_id == "mv-1"


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", {"output": {}}, {"output": {"task_id": None}},
                                  {"output": {"task_id": "a/../b"}}, {"output": None}])  # fmt: skip
def test_an_acceptance_without_a_usable_id_is_unreadable(body: Any) -> None:
    """An answer to a submit that names no task leaves the outcome open (reliability.md R07, R08)."""
    with pytest.raises(Unreadable):
        answered(adapter("modelverse").submit(order(), token="t"), body)


def test_a_synchronous_answer_may_hold_pictures_as_text() -> None:
    """The first non-empty of ``b64_json`` and ``url`` counts, repeats and empty items do not (contracts.md 6.3)."""
    data = [{"b64_json": "data:image/png;base64,aGk=", "url": "https://x/0.png"}, {"b64_json": "", "url": "https://x/1"},
            {"url": "https://x/1"}, {}]  # fmt: skip
    state = answered(adapter("modelverse").submit(order(route="sync"), token="t"), {"data": data, "request_id": "r"})
    assert isinstance(state, Done)
    assert state.outputs == (Output(b64="data:image/png;base64,aGk="), Output(url="https://x/1"))
    assert state.facts is not None
    assert (state.task_id, state.facts.request_id) == (None, "r")


def test_base64_that_cannot_be_decoded_is_kept() -> None:
    """A picture that cannot be decoded is paid for: its text is the result (reliability.md R14)."""
    state = answered(adapter("modelverse").submit(order(route="sync"), token="t"), {"data": [{"b64_json": "!!!"}]})
    assert state.outputs == (Output(b64="!!!"),)


@pytest.mark.parametrize("body", [{"data": {}}, b"[]"])
def test_a_damaged_synchronous_answer_is_unreadable(body: Any) -> None:
    """An answer of another shape does not count as read."""
    with pytest.raises(Unreadable):
        answered(adapter("modelverse").submit(order(route="sync"), token="t"), body)


def test_a_synchronous_answer_without_data_has_no_results() -> None:
    """``data: null`` is an empty success."""
    assert answered(adapter("modelverse").submit(order(route="sync"), token="t"), {"data": None}).outputs == ()


def test_a_relay_may_answer_with_a_task_instead() -> None:
    """A synchronous request that is answered with a task under way is followed as one (contracts.md 6.2)."""
    flow = adapter("modelverse").submit(order(route="sync"), token="t")
    state = answered(flow, {"id": 7, "data": [{"task_id": "mv-9", "status": "QUEUED", "revised_prompt": "x"}]})
    assert state == Pending(task_id="mv-9", ref={"task_id": "mv-9"}, note="queued", facts=Facts())
    done = answered(adapter("modelverse").submit(order(route="sync"), token="t"), {"id": "mv-9", "status": "done"})
    assert done.outputs == ()


def test_what_the_user_did_not_say_is_not_in_the_body() -> None:
    """Unset options leave no key on either contract; a sequence always says its count (upstream's default is 12)."""
    made, bare = adapter("modelverse"), {"model": "wan2.7-image", "prompt": "a fox"}
    assert body_of(made, order(route="sync")) == bare
    assert body_of(made, order()) == {"model": "wan2.7-image", "input": {"prompt": "a fox"}}
    assert body_of(made, order(route="sync", verb="sequence")) == bare | {"enable_sequential": True, "n": 1}
    assert body_of(made, order(verb="sequence"))["parameters"] == {"enable_sequential": True, "n": 1}
    assert body_of(made, order(thinking=False, model="other", params={"x": 1})) == {
        "model": "other", "input": {"prompt": "a fox"}, "parameters": {"prompt_extend": False, "x": 1},
    }  # fmt: skip


@pytest.mark.parametrize("raw", [False, True])
def test_local_pictures_are_placeholders(raw: bool) -> None:
    """One picture has a field of its own, several a list; what is sent is said by ``image_encoding``."""
    made = adapter("modelverse", image_encoding="raw" if raw else "data-uri")
    one, two = Media(role="reference", kind="image", file=PICTURE), Media(role="reference", kind="image", file=OTHER)
    far = Media(role="reference", kind="image", url="https://x/y.png")
    request = next(made.submit(order(verb="fuse", media=(one, far, two)), token="t"))
    assert [(item.file, item.raw) for item in request.extensions["embedded"]] == [(PICTURE, raw), (OTHER, raw)]
    head = "<base64:" if raw else "<data:"
    first, second = f"{head}image/png;sha256={'ab' * 32}>", f"{head}image/jpeg;sha256={'cd' * 32}>"
    assert json.loads(request.content)["input"]["images"] == [first, "https://x/y.png", second]
    assert body_of(made, order(verb="edit", media=(one,)))["input"]["img_url"] == first
    assert body_of(made, order(verb="edit", media=(one,), route="sync"))["image"] == first
    assert body_of(made, order(verb="sequence", media=(one,)))["input"]["images"] == [first]


def test_only_a_local_file_is_embedded() -> None:
    """An address is never taken for a file's content."""
    with pytest.raises(ValueError, match="only local files"):
        adapter("modelverse")._embedded(Media(role="reference", kind="image", url="https://x/y"))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "base"),
    [("https://api.modelverse.cn", "https://api.modelverse.cn"), ("https://api.modelverse.cn/", "https://api.modelverse.cn"),
     ("https://h/relay", "https://h/relay"), ("https://h/relay/v1/", "https://h/relay"),
     ("https://api.modelverse.cn/v1", "https://api.modelverse.cn"),
     ("https://api.modelverse.cn/v1/images/generations", "https://api.modelverse.cn"),
     ("https://h/relay/v1/tasks/submit/", "https://h/relay"), ("https://h:1/v1/tasks/status", "https://h:1")],
)  # fmt: skip
def test_a_base_url_may_have_any_of_its_forms(given: str, base: str) -> None:
    """Origin, prefix, version prefix and full endpoint, with or without a slash, reach the same addresses."""
    made = adapter("modelverse", given)
    assert str(next(made.submit(order(route="sync"), token="t")).url) == f"{base}/v1/images/generations"
    assert str(next(made.submit(order(), token="t")).url) == f"{base}/v1/tasks/submit"
    assert str(next(made.poll(made.adopt("a b&c"))).url) == f"{base}/v1/tasks/status?task_id=a+b%26c"
    assert made.origin == "/".join(base.split("/")[:3])


def test_an_invalid_task_id_means_the_task_is_unknown() -> None:
    """HTTP 400 "invalid task_id" is how Modelverse says "no such task" (contracts.md 2.6)."""
    made = adapter("modelverse")
    gone = {"error": {"code": "InvalidParameter", "message": "Invalid task_id"}, "request_id": "r"}
    other = {"error": {"code": "InvalidParameter", "message": "invalid image url"}, "request_id": "r"}
    assert made.vanished(fault(made, 400, gone))
    assert made.vanished(fault(made, 404, b""))
    assert not made.vanished(fault(made, 400, other))


def test_the_catalogue_says_what_the_documents_say() -> None:
    """Counts, sizes, pixels, pictures and regions are those of contracts.md 2.1 and 2.2; prices are not documented."""
    offered = capabilities("modelverse")
    assert set(offered.regions.values()) == {
        "https://api.modelverse.cn", "https://api.umodelverse.ai", "https://api-sg.umodelverse.ai",
        "https://api-us-ca.umodelverse.ai", "https://api-ge-fra.umodelverse.ai",
    }  # fmt: skip
    assert (offered.result_hours, set(offered.routes)) == (24, {"async", "sync"})
    for model in (model for model in offered.models if model.makes == "image"):
        assert model.price is None
        for verb, offer in model.verbs.items():
            large = model.name == "wan2.7-image-pro" and verb == "generate"
            assert offer.sizes == (("1K", "2K", "4K") if large else ("1K", "2K"))
            assert offer.pixels == (768**2, 4096**2 if large else 2048**2)
            assert offer.count == ((1, 12) if verb == "sequence" else (1, 4))
            assert (offer.max_ratio, offer.seed_unset, offer.options) == (8, 0, {"watermark", "thinking"})
            if offer.inputs:
                assert (offer.inputs.count[1], offer.inputs.max_bytes) == (9, 20 * 1024 * 1024)
                assert (offer.inputs.sides, offer.inputs.max_ratio, offer.inputs.alpha) == ((240, 8000), 8, False)
                assert set(offer.inputs.mimes) == {"image/jpeg", "image/png", "image/bmp", "image/webp"}


class Instant(Provider):
    """A provider that has only a submit."""

    name = "rivya"
    endpoints = ()

    def submit(self, job: Job, *, token: str) -> Flow[Any]:
        response = yield self.request("POST", "/x", body={})
        return Done(outputs=(Output(url=response.text),))


def test_an_adapter_needs_nothing_but_a_submit() -> None:
    """Poll and upload of a provider without tasks and uploads say so; its balance is an empty text."""
    made = Instant("https://h")
    with pytest.raises(Unreadable, match="no task"):
        next(made.poll(PENDING))
    with pytest.raises(Unreadable, match="no uploads"):
        next(made.upload(PICTURE, model="m", trace="t"))
    with pytest.raises(StopIteration) as ended:
        next(made.balance())
    assert ended.value.value == ""
    assert made.fault(httpx.Response(200, content=b"https://x")) is None


def test_the_registry_knows_its_names() -> None:
    """Every registered name loads, and another name is a ``KeyError``."""
    assert [load(name).name for name in names()] == list(names())
    with pytest.raises(KeyError):
        load("nobody")


@pytest.mark.parametrize("odd", ["", "soon", [], 7, None])
def test_odd_facts_do_not_cost_the_task(odd: Any) -> None:
    """What stands beside id, status and results is left out where it cannot be read: the task itself is paid for."""
    body = {"output": {"task_id": "mv-1"}, "usage": odd, "request_id": odd and [odd]}
    assert answered(adapter("modelverse").submit(order(), token="t"), body).task_id == "mv-1"
    assert polled({"task_status": "Running", "urls": None, "finish_time": odd}, usage=odd).kind == "pending"
    failed = polled({"task_status": "Failure", "urls": None, "error_message": [odd], "finish_time": "x"})
    assert (failed.kind, failed.message) == ("failed", "the provider gives no reason")


def media(role: Any, kind: Any, *, file: LocalFile | None = None) -> Media:
    return Media(role=role, kind=kind, url=None if file else f"https://x/{role}", file=file)


@pytest.fixture
def filming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the catalogue have the video model, whatever it lists today."""
    listed = capabilities("modelverse")
    film = replace(listed.models[0], name="wan2.7-video", id="wan2.7-video", makes="video")
    monkeypatch.setattr("wan_cli.providers.base.capabilities", lambda _: replace(listed, models=(*listed.models, film)))


def video(made: Provider, *found: Media, verb: str = "generate", **said: Any) -> Any:
    return body_of(made, order(verb=verb, model="wan2.7-video", makes="video", media=found, **said))


@pytest.mark.usefixtures("filming")
@pytest.mark.parametrize(
    ("verb", "found", "model", "sent"),
    [
        ("generate", (), "wan2.7-t2v", {}),
        ("generate", (media("driving_audio", "audio"),), "wan2.7-t2v", {"audio_url": "https://x/driving_audio"}),
        ("generate", (media("first_frame", "image"), media("driving_audio", "audio")), "wan2.7-i2v",
         {"media": [{"type": "first_frame", "url": "https://x/first_frame"},
                    {"type": "driving_audio", "url": "https://x/driving_audio"}]}),
        ("generate", (media("first_clip", "video"), media("last_frame", "image")), "wan2.7-i2v",
         {"media": [{"type": "first_clip", "url": "https://x/first_clip"},
                    {"type": "last_frame", "url": "https://x/last_frame"}]}),
        ("fuse", (media("reference", "image"), media("reference", "video"), media("voice", "audio")), "wan2.7-r2v",
         {"media": [{"type": "reference_image", "url": "https://x/reference", "reference_voice": "https://x/voice"},
                    {"type": "reference_video", "url": "https://x/reference", "reference_voice": "https://x/voice"}]}),
        ("edit", (media("edit_source", "video"), media("reference", "image")), "wan2.7-videoedit",
         {"media": [{"type": "video", "url": "https://x/edit_source"},
                    {"type": "reference_image", "url": "https://x/reference"}]}),
    ],
)  # fmt: skip
def test_a_video_has_the_upstreams_shape(verb: str, found: tuple[Media, ...], model: str, sent: dict[str, Any]) -> None:
    """Verb and media choose among the four upstream models, whose types and names are used (contracts.md 5.3)."""
    body = video(adapter("modelverse"), *found, verb=verb)
    assert body == {"model": model, "input": {"prompt": "a fox"} | sent}


@pytest.mark.usefixtures("filming")
def test_a_video_in_the_flat_shape() -> None:
    """``video_shape = flat`` names each medium by a field of its own (contracts.md 2.8 B)."""
    made = adapter("modelverse", video_shape="flat")
    frame = media("first_frame", "image", file=PICTURE)
    body = video(made, frame, media("driving_audio", "audio"), resolution="720p", duration=5, aspect="16:9", seed=3,
                 watermark=True, negative="blur")  # fmt: skip
    assert body == {
        "model": "wan2.7-i2v",
        "input": {"prompt": "a fox", "negative_prompt": "blur", "audio_url": "https://x/driving_audio",
                  "first_frame_url": f"<data:image/png;sha256={'ab' * 32}>"},
        "parameters": {"resolution": "720P", "duration": 5, "ratio": "16:9", "seed": 3, "watermark": True},
    }  # fmt: skip
    edit = video(made, media("edit_source", "video"), media("reference", "image"), verb="edit", audio_setting="origin")
    assert edit["input"] == {"prompt": "a fox", "video_url": "https://x/edit_source", "images": ["https://x/reference"]}
    assert edit["parameters"] == {"audio_setting": "origin"}


def test_a_video_model_that_is_not_in_the_catalogue_goes_as_given() -> None:
    """An id that nobody knows is sent as it is."""
    body = body_of(adapter("modelverse"), order(model="wan3.0-video", makes="video"))
    assert body == {"model": "wan3.0-video", "input": {"prompt": "a fox"}}
