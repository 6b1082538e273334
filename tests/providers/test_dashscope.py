"""DashScope's adapter against contracts.md section 5."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from support_adapter import adapter, answered, fault, job, outcome, verdict

from wan_cli.fit import fit
from wan_cli.models import Cancelled, Done, Failed, Job, LocalFile, Media, Output, Pending, Upload
from wan_cli.providers.base import Unreadable
from wan_cli.providers.dashscope_refusals import CODES
from wan_cli.registry import capabilities
from wan_cli.transport.retry import Later, Refused

HOST = "https://dashscope.aliyuncs.com"
AIGC = "/api/v1/services/aigc"
STORE = "https://dashscope-file.oss-cn-beijing.aliyuncs.com"
PICTURE = LocalFile(path="/home/me/my secret fox.png", sha256="ab" * 32, size=3, mime="image/png")
MOVIE = LocalFile(path="/a/fox.mov", sha256="cd" * 32, size=3, mime="video/quicktime")
SOUND = LocalFile(path="/a/fox.wav", sha256="ef" * 32, size=3, mime="audio/wav")
NEAR = Media(role="edit_source", kind="image", file=PICTURE)
POLICY = {
    "policy": "eyJ", "signature": "g5K", "upload_dir": "dashscope-instant/52af/2026-11-21/e2f1", "upload_host": STORE,
    "expire_in_seconds": 300, "max_file_size_mb": 1024, "capacity_limit_mb": 999999999, "oss_access_key_id": "LTA",
    "x_oss_object_acl": "private", "x_oss_forbid_overwrite": "true",
}  # fmt: skip
REFUSALS = [  # contracts.md 5.6: code, HTTP status, ours
    ("InvalidParameter", 400, "request_rejected", 4),
    ("InvalidParameter.DataInspection", 400, "request_rejected", 4),
    ("DataInspectionFailed", 400, "moderation", 4),
    ("IPInfringementSuspect", 400, "moderation", 4),
    ("InvalidURL", 400, "request_rejected", 4),
    ("BadRequest", 400, "request_rejected", 4),
    ("UnsupportedOperation", 400, "request_rejected", 4),
    ("Arrearage", 400, "insufficient_credits", 5),
    ("InvalidApiKey", 401, "key_rejected", 3),
    ("AccessDenied", 403, "key_rejected", 3),
    ("AccessDenied.Unpurchased", 403, "key_rejected", 3),
    ("Model.AccessDenied", 403, "model_unknown", 4),
    ("Workspace.AccessDenied", 403, "key_rejected", 3),
    ("AllocationQuota", 403, "insufficient_credits", 5),
    ("AllocationQuota.FreeTierOnly", 403, "insufficient_credits", 5),
    ("ModelNotFound", 404, "model_unknown", 4),
    ("WorkSpaceNotFound", 404, "key_rejected", 3),
    ("NotFound", 404, "model_unknown", 4),
    ("Throttling", 429, "rate_limited", 6),
    ("Throttling.RateQuota", 429, "rate_limited", 6),
    ("Throttling.AllocationQuota", 429, "rate_limited", 6),
    ("Throttling.BurstRate", 429, "rate_limited", 6),
    ("PrepaidBillOverdue", 429, "insufficient_credits", 5),
    ("PostpaidBillOverdue", 429, "insufficient_credits", 5),
    ("CommodityNotPurchased", 429, "insufficient_credits", 5),
]


def asked(**said: Any) -> Job:
    """Return a small job."""
    return job("dashscope", **said)


def film(*media: Media, **said: Any) -> Job:
    """Return a small job for a video."""
    return job("dashscope", **({"model": "wan2.7-video", "makes": "video", "media": media} | said))


def sent(wanted: Job, base: str | None = None, **quirks: Any) -> httpx.Request:
    """Return the request that would be sent."""
    return next(adapter("dashscope", base, **quirks).submit(wanted, token="never-sent"))


def body_of(wanted: Job, **quirks: Any) -> Any:
    """Return its JSON."""
    request = sent(wanted, **quirks)
    assert "idempotency-key" not in request.headers
    assert b"never-sent" not in request.content
    return json.loads(request.content)


def polled(output: Any, **more: Any) -> Any:
    """Return what a poll's answer means."""
    return answered(adapter("dashscope").poll(Pending(task_id="t-1")), {"output": output, **more})


def far(role: str, kind: str = "image", name: str = "x") -> Media:
    """Return a medium that the provider can fetch."""
    return Media(role=role, kind=kind, url=f"https://cdn.example.com/{name}")  # type: ignore[arg-type]


def test_the_count_is_always_said() -> None:
    """Without ``n`` four pictures are made and billed, and twelve of a sequence, so that it never stays unsaid."""
    assert body_of(asked())["parameters"] == {"n": 1}
    assert body_of(asked(route="sync"))["parameters"] == {"n": 1}
    assert body_of(asked(verb="sequence", n=5, n_said=True))["parameters"] == {"n": 5, "enable_sequential": True}


@pytest.mark.parametrize(("said", "path", "header"), [
    ({}, f"{AIGC}/image-generation/generation", "enable"),
    ({"route": "async"}, f"{AIGC}/image-generation/generation", "enable"),
    ({"route": "sync"}, f"{AIGC}/multimodal-generation/generation", None),
    ({"model": "wan2.7-video", "makes": "video"}, f"{AIGC}/video-generation/video-synthesis", "enable"),
])  # fmt: skip
def test_each_interface_has_its_address(said: dict[str, Any], path: str, header: str | None) -> None:
    """Tasks are asked for with the header without which the provider refuses, pictures at once without it."""
    request = sent(asked(**said))
    assert str(request.url) == HOST + path
    assert request.headers.get("x-dashscope-async") == header
    assert "x-dashscope-ossresourceresolve" not in request.headers


def test_every_option_of_pictures_has_its_parameter() -> None:
    """Sizes have an asterisk, whatever sign was typed; the provider's own parameters go as given."""
    palette = [{"hex": "#C2D1E6", "ratio": "50.00%"}, {"hex": "#CDD8E9", "ratio": "30.00%"},
               {"hex": "#000000", "ratio": "20.00%"}]  # fmt: skip
    boxes = [[], [[989, 515, 1138, 681]]]
    wanted = asked(size="2720x1530", n=2, seed=0, watermark=False, thinking=True,
                   params={"color_palette": palette, "bbox_list": boxes})  # fmt: skip
    assert body_of(wanted)["parameters"] == {
        "size": "2720*1530", "n": 2, "seed": 0, "watermark": False, "thinking_mode": True,
        "color_palette": palette, "bbox_list": boxes,
    }  # fmt: skip
    assert body_of(asked(size="1024X768"))["parameters"]["size"] == "1024*768"


def test_pictures_stand_before_the_text_in_order() -> None:
    """A local picture is a data URI that the transport fills in, a far one its address."""
    request = sent(asked(verb="fuse", media=(NEAR, far("reference"))))
    content = json.loads(request.content)["input"]["messages"]
    mark = f"<data:image/png;sha256={PICTURE.sha256}>"
    wanted = [{"image": mark}, {"image": "https://cdn.example.com/x"}, {"text": "a fox"}]
    assert content == [{"role": "user", "content": wanted}]
    assert [item.file for item in request.extensions["embedded"]] == [PICTURE]


@pytest.mark.parametrize(("said", "model"), [
    ({}, "wan2.7-t2v"), ({"media": (far("driving_audio", "audio"),)}, "wan2.7-t2v"),
    ({"media": (far("first_frame"),)}, "wan2.7-i2v"), ({"media": (far("first_clip", "video"),)}, "wan2.7-i2v"),
    ({"verb": "fuse", "media": (far("reference"),)}, "wan2.7-r2v"),
    ({"verb": "edit", "media": (far("edit_source", "video"),)}, "wan2.7-videoedit"),
    ({"model": "wan2.7-i2v-2026-04-25", "media": (far("first_frame"),)}, "wan2.7-i2v-2026-04-25"),
])  # fmt: skip
def test_verb_and_media_choose_the_model(said: dict[str, Any], model: str) -> None:
    """The canonical model is four at the provider, also where a file is uploaded; another name goes as it is."""
    wanted = film(**said)
    assert body_of(wanted)["model"] == model
    assert adapter("dashscope").model_for(wanted) == model


def test_sound_without_a_frame_is_the_texts_own() -> None:
    """Text to video takes ``audio_url``, image to video a medium (contracts.md 5.3)."""
    sound = far("driving_audio", "audio", "a.mp3")
    assert body_of(film(sound))["input"] == {"prompt": "a fox", "audio_url": sound.url}
    assert body_of(film(far("first_frame"), sound))["input"]["media"][1] == {"type": "driving_audio", "url": sound.url}


def test_every_option_of_videos_has_its_parameter() -> None:
    """The resolution is in capitals, the negative prompt beside the prompt; what was not said leaves no trace."""
    wanted = film(resolution="1080p", aspect="9:16", duration=7, seed=1, watermark=True, negative="blur",
                  params={"prompt_extend": False})  # fmt: skip
    assert body_of(wanted) == {
        "model": "wan2.7-t2v", "input": {"prompt": "a fox", "negative_prompt": "blur"},
        "parameters": {"resolution": "1080P", "ratio": "9:16", "duration": 7, "seed": 1, "watermark": True,
                       "prompt_extend": False},
    }  # fmt: skip
    assert body_of(film()) == {"model": "wan2.7-t2v", "input": {"prompt": "a fox"}}


@pytest.mark.parametrize("address", ["oss://dashscope-instant/a/b.png", "<upload:a.png>"])
def test_a_stored_file_needs_its_header(address: str) -> None:
    """What is in the temporary storage is resolved only where the request says so (contracts.md 5.5)."""
    stored = Media(role="edit_source", kind="image", url=address, file=PICTURE)
    request = sent(asked(verb="edit", media=(stored,)))
    assert request.headers["x-dashscope-ossresourceresolve"] == "enable"
    assert json.loads(request.content)["input"]["messages"][0]["content"][0] == {"image": address}
    assert request.extensions["embedded"] == ()


def test_a_medium_without_anything_is_a_mistake() -> None:
    """Neither an address nor a file: nothing is sent."""
    with pytest.raises(Unreadable):
        body_of(asked(verb="edit", media=(Media(role="edit_source", kind="image"),)))


@pytest.mark.parametrize("given", [
    "", "/", "/api/v1", "/api/v1/", "/compatible-mode/v1", "/api/v1/tasks", "/api/v1/uploads",
    f"{AIGC}/image-generation/generation", f"{AIGC}/multimodal-generation/generation",
    f"{AIGC}/video-generation/video-synthesis/",
])  # fmt: skip
@pytest.mark.parametrize("origin", [HOST, "https://yunwu.ai/alibailian", "https://api.apiyi.com/wan"])
def test_a_base_url_may_have_any_of_its_forms(origin: str, given: str) -> None:
    """Origin, prefix, version prefix and every endpoint reach the same addresses, behind a relay's prefix too."""
    made = adapter("dashscope", origin + given)
    assert made.base == origin
    assert str(sent(film(), origin + given).url) == f"{origin}{AIGC}/video-generation/video-synthesis"
    assert str(next(made.poll(Pending(task_id="t-1"))).url) == f"{origin}/api/v1/tasks/t-1"


def test_a_relay_may_be_asked_below_the_submit() -> None:
    """One relay's client polls there (contracts.md 3.5): a switch, like the way of pictures."""
    made = adapter("dashscope", poll_path="endpoint")
    assert next(made.poll(Pending(task_id="t-1"))).url.path == f"{AIGC}/video-generation/video-synthesis/t-1"
    assert type(made).quirk_fault({"poll_path": "endpoint", "image_transport": "upload"}) is None
    assert type(made).quirk_fault({"poll_path": "elsewhere"})


@pytest.mark.parametrize("output", [
    {"task_id": "t-1", "task_status": "PENDING"}, {"taskId": "t-1", "taskStatus": "pending"}, {"task_id": "t-1"},
])  # fmt: skip
def test_an_acceptance_is_read_in_both_spellings(output: Any) -> None:
    """Relays write camel case; the id is what matters."""
    state = answered(adapter("dashscope").submit(asked(), token="t"), {"output": output, "request_id": "r"})
    assert (state.kind, state.task_id, state.note, state.facts.request_id) == ("pending", "t-1", "queued", "r")


@pytest.mark.parametrize("body", [
    {}, {"output": {}}, {"output": {"task_id": "../x"}}, {"output": {"task_id": ""}}, {"output": []}, b"<html>",
])  # fmt: skip
@pytest.mark.parametrize("wanted", [asked(), film()])
def test_an_acceptance_without_an_id_is_unreadable(wanted: Job, body: Any) -> None:
    """Without a usable id the purchase stays unknown."""
    with pytest.raises(Unreadable):
        answered(adapter("dashscope").submit(wanted, token="t"), body)


def test_pictures_at_once_are_done() -> None:
    """One choice a picture, each address once; nothing at all is a delivery of nothing, and odd parts do no harm."""

    def choice(*content: Any) -> Any:
        return {"finish_reason": "stop", "message": {"role": "assistant", "content": list(content)}}

    flow = adapter("dashscope").submit(asked(route="sync", n=3), token="t")
    choices = [
        choice({"image": "https://h/1.png", "type": "image"}), choice({"text": "so"}, 7), None, 3,
        choice({"image": "https://h/2.png"}, {"image": "https://h/1.png"}), {"message": {"content": "x"}},
    ]  # fmt: skip
    state = answered(flow, {"output": {"choices": choices, "finished": True}, "usage": {"image_count": 2}})
    assert [output.url for output in state.outputs] == ["https://h/1.png", "https://h/2.png"]
    assert (state.kind, state.task_id, state.facts.usage) == ("done", None, {"image_count": 2})
    empty = answered(adapter("dashscope").submit(asked(route="sync"), token="t"), {"output": {"choices": None}})
    assert (empty.kind, empty.outputs) == ("done", ())


def test_a_relay_may_answer_with_a_task() -> None:
    """What was asked for at once may come as a task: it is bought, and is waited for."""
    body = {"output": {"task_id": "t-9", "task_status": "RUNNING"}}
    state = answered(adapter("dashscope").submit(asked(route="sync"), token="t"), body)
    assert (state.kind, state.task_id, state.note) == ("pending", "t-9", "processing")


@pytest.mark.parametrize(("status", "note"), [
    ("PENDING", "queued"), ("running", "processing"), (None, "queued"), ("SUSPENDED", "status 'SUSPENDED'"),
])  # fmt: skip
def test_a_task_under_way_is_pending(status: str | None, note: str) -> None:
    """Whatever the case; a word that nobody knows means that it goes on."""
    state = polled({"task_id": "t-1", "task_status": status})
    assert (state.kind, state.note) == ("pending", note)


@pytest.mark.parametrize("more", [
    {"video_url": "https://h/1.mp4"}, {"videoUrl": "https://h/1.mp4"}, {"results": [{"url": "https://h/1.mp4"}, 4]},
    {"choices": [{"message": {"content": [{"image": "https://h/1.mp4"}]}}], "video_url": "https://h/1.mp4"},
])  # fmt: skip
def test_a_finished_task_has_its_results(more: Any) -> None:
    """Pictures, videos and subtasks, each address once, with what was used and the prompt as it was extended."""
    state = polled({"task_id": "t-1", "task_status": "SUCCEEDED", "actual_prompt": "a red fox", **more},
                   usage={"duration": 5}, request_id="r")  # fmt: skip
    assert isinstance(state, Done)
    assert state.outputs == (Output(url="https://h/1.mp4"),)
    assert state.facts is not None
    assert (state.facts.usage, state.facts.revised_prompt, state.facts.request_id) == (
        {"duration": 5},
        "a red fox",
        "r",
    )


def test_what_ended_badly_says_why() -> None:
    """A failed task has the provider's code and words, a cancelled one is cancelled."""
    state = polled({"task_id": "t-1", "task_status": "FAILED", "code": "InternalError.Algo", "message": "no"})
    assert isinstance(state, Failed)
    assert (state.provider_code, state.message, state.charged) == ("InternalError.Algo", "no", "unknown")
    silent = polled({"task_status": "FAILED"})
    assert (silent.provider_code, silent.message) == (None, "the provider gives no reason")
    assert polled({"task_status": "CANCELED"}).kind == "cancelled"


@pytest.mark.parametrize(("body", "unknown"), [
    ({"output": {"task_id": "t-1", "task_status": "UNKNOWN"}, "request_id": "r"}, True),
    ({"output": {"taskStatus": "unknown UNKNOWN"}}, False), ({"output": {"taskStatus": "UNKNOWN"}}, True),
    ({"output": {"task_status": "FAILED", "message": "UNKNOWN"}}, False), ({"output": "UNKNOWN"}, False),
    (["UNKNOWN"], False), (b"UNKNOWN", False), ({"output": {"task_status": ["UNKNOWN"]}}, False),
])  # fmt: skip
def test_a_task_that_is_too_old_has_vanished(body: Any, unknown: bool) -> None:
    """After a day its id answers 200 with the status UNKNOWN; only the status counts."""
    made = adapter("dashscope")
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = made.fault(httpx.Response(200, content=content))
    assert (found is not None and made.vanished(found)) is unknown
    assert made.vanished(fault(made, 404, {"code": "NotFound", "message": "no"}))
    assert not made.vanished(fault(made, 400, {"code": "InvalidParameter", "message": "no"}))


def test_only_the_tasks_that_wait_are_cancelled() -> None:
    """The provider names the task in the path and answers with a request id; a refusal keeps its words."""
    made = adapter("dashscope")
    flow = made.cancel(Pending(task_id="t-1"))
    request = next(flow)
    assert (request.method, str(request.url)) == ("POST", f"{HOST}/api/v1/tasks/t-1/cancel")
    state = answered(made.cancel(Pending(task_id="t-1")), {"request_id": "45ac7f13"})
    assert isinstance(state, Cancelled)
    assert (state.task_id, state.facts and state.facts.request_id) == ("t-1", "45ac7f13")
    for more, refused in (({"code": "", "message": ""}, False), ({"code": "X", "message": ""}, True)):
        found = made.fault(httpx.Response(200, json={"request_id": "45ac7f13", **more}))
        assert (found is not None) is refused
    said = "Failed to cancel the task, please confirm if the task is in PENDING status."
    assert fault(made, 400, {"code": "UnsupportedOperation", "message": said}).message == said


ENTRY = {  # https://help.aliyun.com/zh/model-studio/manage-asynchronous-tasks, the example answer
    "api_key_id": "15", "caller_uid": "x", "end_time": 1745568302481, "gmt_create": 1745568293253,
    "model_name": "wanx2.1-t2i-turbo", "region": "cn-beijing", "request_id": "f6bf34d9", "start_time": 1745568293273,
    "status": "SUCCEEDED", "task_id": "3c777dbc-8cc6-4d80-aa90-xxxxxx",
}  # fmt: skip


def pages(limit: int, *bodies: Any) -> tuple[list[str], Any]:
    """Answer the questions for the list one by one; return them and the list."""
    flow: Generator[httpx.Request, httpx.Response, Any] = adapter("dashscope").tasks(limit)
    queries, request = [], next(flow)
    for body in bodies:
        queries.append(request.url.query.decode())
        assert request.url.path == "/api/v1/tasks"
        try:
            request = flow.send(httpx.Response(200, json=body, request=request))
        except StopIteration as stop:
            return queries, stop.value
    raise AssertionError("the flow wants another page")


def test_the_list_is_read_page_by_page() -> None:
    """Ten a page, as documented, until there are enough or no more; times are in seconds."""
    other = {"task_id": "b", "status": "RUNNING", "end_time": None, "model_name": None}
    first = {"total": 11, "total_page": 2, "page_no": 1, "data": [ENTRY, ENTRY | other]}
    second = {"total_page": 2, "data": [{"task_id": "c", "status": "FAILED"}, {"task_id": "../x"}, 3, ENTRY]}
    queries, found = pages(50, first, second)
    assert queries == ["page_no=1&page_size=10", "page_no=2&page_size=10"]
    assert [(one.task_id, one.state.kind) for one in found] == [
        (ENTRY["task_id"], "done"), ("b", "pending"), ("c", "failed"),
    ]  # fmt: skip
    assert (found[0].created_at, found[0].finished_at, found[0].model) == (
        1745568293.253, 1745568302.481, "wanx2.1-t2i-turbo",
    )  # fmt: skip
    assert (found[1].model, found[1].finished_at, found[1].state.note) == ("", None, "processing")
    assert len(pages(1, first)[1]) == 1


@pytest.mark.parametrize("again", [{"data": []}, {"data": [ENTRY], "total_page": 99}])
def test_a_list_that_never_ends_is_left(again: Any) -> None:
    """A page with nothing new is the last one, whatever number of pages it claims."""
    assert len(pages(50, {"data": [ENTRY], "total_page": 99}, again)[1]) == 1


@pytest.mark.parametrize(("file", "model", "bound", "name"), [
    (PICTURE, "wan2.7-image-pro", "wan2.7-image-pro", "ab" * 16 + ".png"),
    (MOVIE, "wan2.7-videoedit", "wan2.7-videoedit", "cd" * 16 + ".mov"),
    (SOUND, "wan2.7-t2v", "wan2.7-t2v", "ef" * 16 + ".wav"),
    (MOVIE, "wan2.7-video", "wan2.7-i2v", "cd" * 16 + ".mov"),
])  # fmt: skip
def test_an_upload_is_a_policy_and_a_form(file: LocalFile, model: str, bound: str, name: str) -> None:
    """The policy is asked of the API for one model; the form goes to the store it names, and the address is oss://."""
    flow = adapter("dashscope").upload(file, model=model, trace="t")
    request = next(flow)
    assert str(request.url) == f"{HOST}/api/v1/uploads?action=getPolicy&model={bound}"
    store = flow.send(httpx.Response(200, json={"request_id": "r", "data": POLICY}, request=request))
    assert (store.method, str(store.url), store.extensions["elsewhere"]) == ("POST", STORE, True)
    form = store.extensions["form"]
    key = f"{POLICY['upload_dir']}/{name}"
    assert dict(form.fields) == {
        "OSSAccessKeyId": "LTA", "Signature": "g5K", "policy": "eyJ", "key": key, "x-oss-object-acl": "private",
        "x-oss-forbid-overwrite": "true", "success_action_status": "200",
    }  # fmt: skip
    assert list(form.files) == [("file", file)]
    with pytest.raises(StopIteration) as ended:
        flow.send(httpx.Response(200, request=store))
    assert ended.value.value == Upload(url=f"oss://{key}")
    assert "secret" not in key


def test_what_is_uploaded_is_what_does_not_fit_into_the_request() -> None:
    """Videos and sound always; pictures where the user says so."""
    usual, stored = adapter("dashscope"), adapter("dashscope", image_transport="upload")
    assert [made.uploads_file(file) for made in (usual, stored) for file in (PICTURE, MOVIE, SOUND)] == [
        False, True, True, True, True, True,
    ]  # fmt: skip


def test_the_store_refuses_in_its_own_words() -> None:
    """Its XML is read and never taken for the key's refusal; a file that is there already is no refusal."""
    made = adapter("dashscope")
    store = httpx.Request("POST", STORE)

    def said(status: int, body: str) -> Any:
        return made.fault(httpx.Response(status, text=body, request=store))

    xml = "<?xml version='1.0'?>\n<Error><Code>{}</Code><Message>no</Message><RequestId>65A</RequestId></Error>"
    found = said(403, xml.format("AccessDenied"))
    assert (found.code, found.message, found.request_id) == ("ObjectStore.AccessDenied", "the file store: no", "65A")
    assert made.refusal(found).code == "request_rejected"
    assert said(409, xml.format("FileAlreadyExists")) is None
    assert said(200, "") is None
    assert said(403, "<html>").message == "the file store: Forbidden"
    busy = said(503, xml.format("ServiceUnavailable"))
    assert made.refusal(busy) is None
    assert made.fault(httpx.Response(403, text=xml.format("AccessDenied"))).code == "ObjectStore.AccessDenied"  # type: ignore[union-attr]


@pytest.mark.parametrize(("code", "status", "ours", "exit_code"), REFUSALS)
def test_a_documented_code_has_its_class(code: str, status: int, ours: str, exit_code: int) -> None:
    """Every code of the documents ends as its class and exit code, with nothing charged."""
    body = {"code": code, "message": "no", "request_id": "r"}
    assert outcome(verdict(adapter("dashscope"), status, body)) == (ours, exit_code, "no")


def test_the_table_of_codes_is_the_documents() -> None:
    """The adapter knows the documented codes and no others."""
    assert set(CODES) == {code for code, *_ in REFUSALS}


@pytest.mark.parametrize(("code", "status", "message", "ours"), [
    ("InvalidURL.Timeout", 400, "no", "request_rejected"), ("BadRequest.TooLarge", 400, "no", "request_rejected"),
    ("Throttling.Anything", 429, "no", "rate_limited"), ("Throttling.PostpaidBillOverdue", 429, "no",
                                                         "insufficient_credits"),
    ("InvalidParameter", 400, "Model not exist.", "model_unknown"),
    ("AccessDenied", 403, "current user api does not support synchronous calls", "request_rejected"),
    ("SomethingNew", 400, "no", "request_rejected"), ("SomethingNew", 403, "no", "key_rejected"),
])  # fmt: skip
def test_families_and_messages_count_where_codes_do_not(code: str, status: int, message: str, ours: str) -> None:
    """A sub-code that nobody lists is its family's; an unknown model and a wrong interface show in the message only."""
    assert outcome(verdict(adapter("dashscope"), status, {"code": code, "message": message}))[0] == ours


@pytest.mark.parametrize(("code", "status"), [
    ("InternalError", 500), ("InternalError.Algo", 500), ("InternalError.Timeout", 500), ("RequestTimeOut", 500),
    ("ModelServingError", 503), ("ModelUnavailable", 503),
])  # fmt: skip
def test_a_server_error_leaves_open_whether_it_was_bought(code: str, status: int) -> None:
    """The model may have run, and there is no key to ask again under."""
    assert outcome(verdict(adapter("dashscope"), status, {"code": code, "message": "no"}))[0] == "outcome_unknown"
    assert not type(adapter("dashscope")).idempotent


def test_messages_have_their_hints() -> None:
    """A wrong interface names the other, a wrong key the region it may belong to; throttling is tried again."""

    def hint(status: int, code: str, message: str) -> str:
        found = verdict(adapter("dashscope"), status, {"code": code, "message": message})
        assert isinstance(found, Refused)
        return found.error.hint

    assert hint(403, "AccessDenied", "current user api does not support asynchronous calls.") == "add --sync"
    assert hint(403, "AccessDenied", "current user api does not support synchronous calls.") == "add --async"
    assert "DASHSCOPE_BASE_URL" in hint(401, "InvalidApiKey", "Invalid API-key provided.")
    found = verdict(adapter("dashscope"), 429, {"code": "Throttling.RateQuota", "message": "no"}, retry_after="3")
    assert isinstance(found, Later)
    assert found.wait == 3


@pytest.mark.parametrize("said", [
    {"size": "4K"}, {"verb": "edit", "media": (far("edit_source"),), "size": "4K", "model": "wan2.7-image-pro"},
    {"size": "700x700"}, {"n": 5}, {"verb": "sequence", "n": 13}, {"negative": "blur"}, {"seed": -1},
    {"aspect": "9:1"}, {"params": {"n": 3}}, {"params": {"negative_prompt": "x"}}, {"audio_setting": "auto"},
    {"verb": "fuse", "media": (far("reference"),)}, {"prompt": "x" * 5001},
])  # fmt: skip
def test_what_pictures_do_not_have_is_refused_here(said: dict[str, Any]) -> None:
    """Limits of contracts.md 5.2 end before any request."""
    refuse(asked(**said))


@pytest.mark.parametrize("wanted", [
    film(size="1K"), film(duration=1), film(duration=16), film(resolution="480p"), film(aspect="21:9"),
    film(thinking=True), film(route="sync"), film(negative="x" * 501), film(far("last_frame")),
    film(far("first_frame"), aspect="1:1"), film(far("first_clip", "video"), far("first_frame")),
    film(far("first_clip", "video"), far("driving_audio", "audio")), film(far("voice", "audio")),
    film(verb="edit"), film(far("edit_source", "video"), verb="edit", duration=11),
    film(far("edit_source", "video"), far("first_frame"), verb="edit"), film(verb="fuse"),
    film(far("edit_source", "video"), *(far("reference"),) * 5, verb="edit"),
    film(*(far("reference"),) * 6, verb="fuse"), film(far("reference"), far("last_frame"), verb="fuse"),
    film(far("reference", "video"), verb="fuse", duration=11), film(verb="sequence"),
    film(far("reference"), far("driving_audio", "audio"), verb="fuse"),
])  # fmt: skip
def test_what_videos_do_not_have_is_refused_here(wanted: Job) -> None:
    """Limits and illegal sets of contracts.md 5.3 end before any request."""
    refuse(wanted)


def refuse(wanted: Job) -> None:
    """Fail where the job passes."""
    from wan_cli.errors import UsageError

    model = capabilities("dashscope").find(wanted.model)
    assert model is not None
    with pytest.raises(UsageError):
        fit(wanted, model)


def test_what_an_upload_gives_is_taken() -> None:
    """An oss:// address may stand for a medium here, and with no other provider."""
    from wan_cli.errors import UnsupportedOption

    stored = Media(role="edit_source", kind="image", url="oss://dashscope-instant/a/b.png")
    model = capabilities("dashscope").models[0]
    assert fit(asked(verb="edit", media=(stored,)), model).job.media == (stored,)
    with pytest.raises(UnsupportedOption, match="oss://"):
        fit(job("modelverse", verb="edit", media=(stored,)), capabilities("modelverse").models[0])


def test_the_models_have_further_names() -> None:
    """The provider's four names and their dated forms are known as videos, with the price; they are sent as given."""
    offered = capabilities("dashscope")
    for name in ("wan2.7-i2v", "wan2.7-r2v-2026-06-12", "WAN2.7-videoedit"):
        found = offered.unlisted(name)
        assert (found.makes, found.id, found.listed) == ("video", name, False)
        assert found.price == offered.models[2].price
    assert offered.kin("wan2.7-i2vx") is None
    assert offered.unlisted("wan3.0-video", "video").price is None
