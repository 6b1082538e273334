"""What is learnt of gateways that differ, from requests that no correct one could sell."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from wan_cli.providers.openai import OpenAI
from wan_cli.providers.openai_complaints import Complaints
from wan_cli.providers.openai_described import described
from wan_cli.providers.openai_probe import MARK, NOWHERE, Learnt, probe

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
PROMPT = {"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}
COUNT = {"loc": ["body", "n"], "msg": "Input should be a valid integer", "type": "int_parsing"}
Gateway = Callable[[httpx.Request, Mapping[str, Any]], httpx.Response]


def fields(request: httpx.Request) -> dict[str, Any]:
    """Return the fields of a JSON body or of a form; a file is its content."""
    if request.headers["content-type"].startswith("multipart/"):
        found = re.findall(r'name="([^"]+)"[^\r]*(?:\r\nContent-Type[^\r]*)?\r\n\r\n([^\r]*)', request.content.decode())
        return dict(found)
    told = json.loads(request.content)
    return told if isinstance(told, dict) else {}


def ask(gateway: Gateway, *, models: Any = None, description: Any = None) -> tuple[Learnt, list[httpx.Request]]:
    """Run a probe against ``gateway``, which answers POSTs; return what was learnt and what was sent."""
    learnt, sent = Learnt(), []
    flow = probe(OpenAI("https://gateway.example/v1"), learnt)
    answer: httpx.Response | None = None
    try:
        request = next(flow)
        while True:
            sent.append(request)
            if request.method == "POST":
                answer = gateway(request, fields(request))
            else:
                told = models if request.url.path == "/v1/models" else description
                answer = httpx.Response(404, text="not found") if told is None else httpx.Response(200, json=told)
            request = flow.send(answer)
    except StopIteration:
        pass
    never_sold(sent)
    return learnt, sent


def never_sold(sent: list[httpx.Request]) -> None:
    """Hold every request against the promise: no prompt, and no number of pictures."""
    for request in sent:
        assert request.url.host == "gateway.example"
        if request.method == "POST":
            said = fields(request)
            assert "prompt" not in said
            assert said.get("n", MARK) == MARK
            assert MARK.encode() in request.content
        else:
            assert (request.method, request.content) == ("GET", b"")


def fastapi(
    *, formats: tuple[str, ...] = ("b64_json",), pictures: tuple[str, ...] = ("image",), mark: str = "x"
) -> Gateway:
    """Return a gateway that tells of every fault at once, as FastAPI does."""

    def answer(request: httpx.Request, said: Mapping[str, Any]) -> httpx.Response:
        if request.url.path == NOWHERE:
            return httpx.Response(404, json={"detail": "Not Found"})
        if not said:
            return httpx.Response(422, json={"detail": [{"loc": ["body"], "msg": "Input should be an object"}]})
        faults: list[Any] = [PROMPT, COUNT]
        if said.get("response_format", formats[0]) not in formats:
            faults.append({"loc": ["body", "response_format"], "msg": f"Input should be {formats}", "type": "enum"})
        if not re.fullmatch(rf"\d+{re.escape(mark)}\d+", said.get("size", f"1{mark}1")):
            faults.append({"loc": ["body", "size"], "msg": "String should match the pattern", "type": "pattern"})
        if request.url.path == EDITS and not any(name in said for name in pictures):
            faults.append({"loc": ["body", pictures[0]], "msg": "Field required", "type": "missing"})
        return httpx.Response(422, json={"detail": faults})

    return answer


def first_fault(*order: str, unknown: tuple[str, ...] = (), listed: str = "") -> Gateway:
    """Return a gateway that tells of its first fault only, in OpenAI's envelope."""

    def answer(request: httpx.Request, said: Mapping[str, Any]) -> httpx.Response:
        def refuse(message: str, param: str | None, status: int = 400) -> httpx.Response:
            return httpx.Response(status, json={"error": {"message": message, "param": param, "code": None}})

        if request.url.path == NOWHERE:
            return refuse("Invalid URL", None, 404)
        for name in order:
            if name in unknown and name in said:
                return refuse(f"Unknown parameter: '{name}'.", name)
            if name == "prompt":
                return refuse("Missing required parameter: 'prompt'.", "prompt")
            if name == "image" and request.url.path == EDITS and "image[]" not in said:
                return refuse("Missing required parameter: 'image[]'.", None)
            if said.get(name) == MARK:
                return refuse(f"Invalid value: '{MARK}'. Supported values are: {listed}.", name)
        return refuse("bad", None)

    return answer


@pytest.mark.parametrize("formats", [("b64_json",), ("url",), ("url", "b64_json")])
@pytest.mark.parametrize("pictures", [("image",), ("image[]",), ("image", "image[]")])
@pytest.mark.parametrize("mark", ["x", "*"])
def test_all_faults_at_once(formats: tuple[str, ...], pictures: tuple[str, ...], mark: str) -> None:
    """A gateway that names every fault tells which values it takes, by what it does not complain about."""
    learnt, sent = ask(fastapi(formats=formats, pictures=pictures, mark=mark))
    assert learnt.facts == {
        "edits": ("yes",), "response_format": formats, "image_field": pictures, "size_separator": (mark,)
    }  # fmt: skip
    assert len(sent) == 2 + 2 + 3 + 3 + 3
    assert learnt.stopped == ""


def test_the_prompt_first() -> None:
    """A gateway that only ever misses the prompt tells that it has edits; the rest cannot be known without buying."""
    learnt, sent = ask(first_fault("prompt"), models={"data": [{"id": "gpt-4"}, {"id": "wan2.7-image"}, {"id": 5}, 7]})
    assert learnt.facts == {"models": ("wan2.7-image",), "edits": ("yes",)}
    assert {fields(request)["model"] for request in sent[4:]} == {"wan2.7-image"}


def test_unknown_parameters_first() -> None:
    """A gateway that refuses response_format as such is one to which none is sent."""
    gateway = first_fault("response_format", "size", "image", "prompt", unknown=("response_format",), listed="1x1")
    learnt, _ = ask(gateway)
    assert learnt.facts["response_format"] == ()
    assert learnt.facts["image_field"] == ("image[]",)


def test_sizes_are_read_from_the_refusal() -> None:
    """A list of sizes in a refusal is the list of sizes, and shows what stands between their sides."""
    learnt, _ = ask(first_fault("size", "prompt", listed="1024*1024, 768*1152 and 1024*1024"))
    assert learnt.facts["sizes"] == ("1024*1024", "768*1152")
    assert learnt.facts["size_separator"] == ("*",)


def test_a_field_that_is_not_there_has_no_values() -> None:
    """A gateway without ``size`` tells nothing of how a size is written."""
    learnt, _ = ask(first_fault("size", "prompt", unknown=("size",)))
    assert "size_separator" not in learnt.facts


def test_a_gateway_that_likes_no_size() -> None:
    """Where every size is refused, nothing is concluded."""
    learnt, _ = ask(fastapi(mark="by"))
    assert "size_separator" not in learnt.facts


@pytest.mark.parametrize("status", [404, 405, 501])
def test_no_edits(status: int) -> None:
    """Edits that are refused exactly like a path that nobody has are not there, and no picture's field is asked for."""
    usual = fastapi()

    def answer(request: httpx.Request, said: Mapping[str, Any]) -> httpx.Response:
        if request.url.path in (NOWHERE, EDITS):
            return httpx.Response(status, text="nothing here")
        return usual(request, said)

    learnt, sent = ask(answer)
    assert learnt.facts["edits"] == ("no",)
    assert "image_field" not in learnt.facts
    assert sum(request.url.path == EDITS for request in sent) == 1


@pytest.mark.parametrize(
    "edit", [httpx.Response(404, json={"error": {"code": "model_not_found"}}), httpx.Response(500, text="oh"),
             httpx.Response(404, json=[]), httpx.Response(303)],
)  # fmt: skip
def test_edits_that_nobody_can_tell(edit: httpx.Response) -> None:
    """A missing model and a broken server do not tell whether there are edits."""
    usual = fastapi()

    def answer(request: httpx.Request, said: Mapping[str, Any]) -> httpx.Response:
        if request.url.path == NOWHERE:
            return httpx.Response(404, json={"error": {"code": "no_route"}})
        return edit if request.url.path == EDITS else usual(request, said)

    assert "edits" not in ask(answer)[0].facts


@pytest.mark.parametrize("after", [0, 1, 2, 5, 9])
def test_a_success_ends_the_asking(after: int) -> None:
    """A gateway that sells what cannot be right is not asked again, and what that cost is not guessed."""
    usual, count = fastapi(), [0]

    def answer(request: httpx.Request, said: Mapping[str, Any]) -> httpx.Response:
        count[0] += 1
        return httpx.Response(200, json={"data": [{"url": "x"}]}) if count[0] > after else usual(request, said)

    learnt, sent = ask(answer)
    assert sum(request.method == "POST" for request in sent) == after + 1
    assert "cannot be right with HTTP 200" in learnt.stopped


@pytest.mark.parametrize(("status", "why", "refused"), [(401, "the key is refused", True), (429, "slow down", False)])
def test_a_refusal_that_ends_the_asking(status: int, why: str, refused: bool) -> None:
    """A key that is refused, and a limit, end the asking at once."""
    learnt, sent = ask(lambda *_: httpx.Response(status))
    assert (len(sent), why in learnt.stopped, learnt.refused) == (3, True, refused)


def description(*, edits: bool = True, closed: bool = False, **generate: Any) -> dict[str, Any]:
    """Return an OpenAPI description in the manner of FastAPI: schemas by reference."""
    form = {"properties": {"image": {"type": "array"}, "prompt": {}, "mask_image": {"type": "string"}}}
    paths = {"/v1/images/generations": {"post": {"requestBody": {"$ref": "#/components/requestBodies/G"}}}}
    if edits:
        content = {"multipart/form-data": {"schema": {"$ref": "#/components/schemas/E"}}}
        paths["/v1/images/edits"] = {"post": {"requestBody": {"content": content}}}
    told: dict[str, Any] = {"properties": {"prompt": {"type": "string"}, **generate}}
    if closed:
        told["additionalProperties"] = False
    schemas = {"E": form, "G": {"allOf": [told]}, "Format": {"enum": ["b64_json", "file", 5]}}
    bodies = {"G": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/G"}}}}}
    return {"paths": paths, "components": {"schemas": schemas, "requestBodies": bodies}}


def test_a_description_saves_the_asking() -> None:
    """What a gateway's own openapi.json tells is taken from there, and less is asked."""
    told = description(
        response_format={"anyOf": [{"$ref": "#/components/schemas/Format"}, {"type": "null"}]},
        size={"enum": ["1024x1024", "auto", "512x512"]},
    )
    learnt, sent = ask(fastapi(), description=told)
    assert learnt.facts == {
        "edits": ("yes",), "response_format": ("b64_json",), "sizes": ("1024x1024", "512x512"),
        "size_separator": ("x",), "image_field": ("image",), "mask_field": ("mask_image",),
    }  # fmt: skip
    assert set(learnt.how.values()) == {"its own openapi.json"}
    assert sum(request.method == "POST" for request in sent) == 2


def test_what_descriptions_say() -> None:
    """A closed schema without the field refuses it, an open one says nothing, and no edits are no edits."""
    assert described(description(edits=False, closed=True)) == {"edits": ("no",), "response_format": ()}
    assert described(description(edits=False)) == {"edits": ("no",)}
    assert described(description(response_format={"const": "url"}))["response_format"] == ("url",)
    assert "response_format" not in described(description(response_format={"type": "string"}))


@pytest.mark.parametrize(
    "told",
    [None, [], {}, {"paths": []}, {"paths": {"/x": {}, 5: {"post": {}}}}, {"paths": {"/v1/images/edits": {"post": 1}}}],
)
def test_descriptions_of_something_else(told: Any) -> None:
    """What is no description, or describes no images, tells nothing."""
    assert described(told) == {}


def test_descriptions_that_lead_nowhere() -> None:
    """References to themselves and to nothing, and lists that are none, come to an end."""
    loop = {"$ref": "#/components/schemas/A"}
    paths = {"/v1/images/generations": {"post": {"requestBody": {"content": {"application/json": {"schema": loop}}}}},
             "/v1/images/edits": {"post": {"requestBody": {"content": []}}}}  # fmt: skip
    for schema in (loop, {"properties": 5, "allOf": 7}, None):
        told = {"paths": paths, "components": {"schemas": {"A": schema}}}
        assert described(told) == {"edits": ("yes",)}


@pytest.mark.parametrize(
    ("body", "field", "missing", "strange"),
    [
        (
            {"error": {"message": "Unknown parameter: 'response_format'.", "param": None}},
            "response_format",
            False,
            True,
        ),
        ({"error": "image is required"}, "image", True, False),
        ({"message": "missing image"}, "image", True, False),
        ({"detail": "body.image[] is missing"}, "image[]", True, False),
        (
            {"validation": [{"location": ["body"], "message": "must have required property 'image'"}]},
            "image",
            True,
            False,
        ),
        ({"detail": [{"loc": ["body", "image", 0], "msg": "Field required"}, "odd"]}, "image", True, False),
        ({"errors": [{"loc": [], "message": "image: bad"}]}, "image", False, False),
        ({"error": {"message": "Invalid image file", "param": "image"}}, "image", False, False),
    ],
)
def test_complaints(body: Any, field: str, missing: bool, strange: bool) -> None:
    """Fields are found in every envelope, and what is missing is told from what is unknown."""
    found = Complaints(httpx.Response(400, json=body))
    assert (found.missing(field), found.strange(field)) == (missing, strange)


@pytest.mark.parametrize(
    ("text", "field"),
    [("the image size is too large", "size"), ("'image[]' is missing", "image"), ("<html>", "size"), ("[1", "size")],
)
def test_words_that_are_no_fields(text: str, field: str) -> None:
    """A word of a sentence is no field, and neither is the beginning of another one's name."""
    assert Complaints(httpx.Response(400, text=text)).of(field) == ""
