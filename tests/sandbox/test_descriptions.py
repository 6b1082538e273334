"""The OpenAPI documents: their examples fit their schemas, and the contracts agree with them about bodies."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from support_cli import BEGIN, drawn, picture

from wan_cli.sandbox.port import description
from wan_cli.sandbox.transport import CONTRACTS, InProcess
from wan_cli.sandbox.world import World

SHARED = os.environ.get("WAN_SHARED") or Path(__file__).resolve().parents[3] / "shared"
SEEDS = Path(SHARED) / "seeds"
METHODS = ("get", "post")


@functools.cache
def document(provider: str) -> dict[str, Any]:
    """Return a contract's document."""
    found = description(provider)
    assert found is not None
    return found


def fits(provider: str, schema: Any, value: Any) -> bool:
    """Tell whether a value fits a schema of a document."""
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema], **document(provider)}
    return Draft202012Validator(whole, format_checker=FormatChecker()).is_valid(value)


def operations(provider: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return path, method and operation of a document."""
    for path, item in document(provider)["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def contents(provider: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return everything with a schema: name and media type object."""
    parts = document(provider)["components"]
    for path, method, operation in operations(provider):
        bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for name, body in bodies.items():
            for media in body.get("content", {}).values():
                yield f"{method} {path} {name}", media
    for name, body in parts["responses"].items():
        yield name, body["content"]["application/json"]


def examples(provider: str) -> Iterator[tuple[str, Any, Any]]:
    """Return name, schema and value of every example."""
    for name, media in contents(provider):
        for key, example in media.get("examples", {}).items():
            yield f"{name}: {key}", media["schema"], example["value"]


@pytest.mark.parametrize("provider", CONTRACTS)
def test_every_example_fits(provider: str) -> None:
    """Every documented example validates against its schema, and there are some for the order and its answer."""
    found = list(examples(provider))
    assert len(found) > 6
    for name, schema, value in found:
        assert fits(provider, schema, value), name


@pytest.mark.parametrize("provider", CONTRACTS)
def test_the_document_is_one(provider: str) -> None:
    """Each document is OpenAPI 3.1 with sound schemas, bearer auth, unique operations and no loose reference."""
    whole = document(provider)
    assert whole["openapi"] == "3.1.0"
    assert whole["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
    assert whole["security"] == [{"bearer": []}]
    ids = [operation["operationId"] for _, _, operation in operations(provider)]
    assert len(ids) == len(set(ids))
    for schema in whole["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    text = json.dumps(whole)
    for kind, parts in (("schemas", whole["components"]["schemas"]), ("responses", whole["components"]["responses"])):
        for name in parts:
            assert f'"#/components/{kind}/{name}"' in text, name
        assert text.count(f'"#/components/{kind}/') == sum(
            text.count(f'"#/components/{kind}/{name}"') for name in parts
        )


def needed(provider: str, method: str, path: str) -> dict[str, str]:
    """Return the headers without which an operation refuses every request."""
    operation = document(provider)["paths"].get(path, {}).get(method.lower(), {})
    there = [part for part in operation.get("parameters", ()) if part["in"] == "header" and part.get("required")]
    return {part["name"]: part["schema"]["const"] for part in there if "const" in part["schema"]}


def ask(world: World, contract: str, method: str, path: str, **parts: Any) -> httpx.Response:
    """Send one request to a contract with its key, and read the answer."""
    url = f"https://{CONTRACTS[contract].HOSTS[0]}{path}"
    headers = {"Authorization": f"Bearer {CONTRACTS[contract].KEY}", **needed(contract, method, path)}
    headers |= parts.pop("headers", {})

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=InProcess(world, contract)) as client:
            return await client.request(method, url, headers=headers, **parts)

    return asyncio.run(send())


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a world whose tasks end at once, and whose videos need no drawing."""
    return World(tmp_path, clock=lambda: BEGIN, latency=0, draw=drawn, film=lambda *_, **__: b"film")


ORDERS = {
    "rivya": "/api/v1/generations",
    "modelverse": "/v1/images/generations",
    "yunwu": "/v1/images/generations",
    "openai": "/v1/images/generations",
    "toapis": "/v1/videos/generations",
    "dashscope": "/api/v1/services/aigc/video-generation/video-synthesis",
}
GOOD: dict[str, list[dict[str, Any]]] = {
    "rivya": [
        {"model": "wan-2-7-image", "prompt": "p"},
        {
            "model": "wan-2-7-image-pro",
            "prompt": "p",
            "params": {"aspect_ratio": "8:1", "watermark": "true", "seed": 5},
        },
        {"model": "wan-2-7-video", "prompt": "p", "params": {"duration": "15", "resolution": "1080p"}},
    ],
    "modelverse": [
        {"model": "wan2.7-image", "prompt": "p"},
        {"model": "wan2.7-image-pro", "images": ["https://example.com/a.png"], "size": "1024*1024"},
        {"model": "wan2.7-image", "prompt": "p", "n": 12, "enable_sequential": True},
    ],
    "yunwu": [
        {"model": "wan2.7-image-pro", "prompt": "p"},
        {"model": "wan2.7-image-pro", "prompt": "p", "size": "1920*1080", "n": 4, "seed": 0, "watermark": True},
    ],
    "openai": [
        {"prompt": "p"},
        {"model": "gpt-image-1", "prompt": "p", "size": "1536x1024", "background": "transparent"},
        {"model": "dall-e-3", "prompt": "p", "style": "natural", "quality": "hd"},
        {"model": "async-image", "prompt": "p"},
        {"model": "my-model", "prompt": "p", "seed": 1, "negative_prompt": "n", "size": "640x480"},
    ],
    "toapis": [
        {"model": "wan-2-7-video", "mode": "text-to-video", "input": {"prompt": "p"}},
        {"model": "wan2.6", "prompt": "p", "duration": 10},
        {"model": "wan-2-7-video", "prompt": "p", "duration": 3},
    ],
    "dashscope": [
        {"model": "wan2.7-t2v", "input": {"prompt": "p"}},
        {"model": "wan2.7-t2v-2026-06-12", "input": {"prompt": "p"}, "parameters": {"ratio": "1:1", "duration": 15}},
        {"model": "wan2.7-i2v", "input": {"media": [{"type": "first_clip", "url": "https://example.com/a.mp4"}]}},
        {
            "model": "wan2.7-videoedit", "input": {"media": [{"type": "video", "url": "https://example.com/a.mp4"}]},
            "parameters": {"duration": 0, "audio_setting": "origin"},
        },
    ],
}  # fmt: skip
BAD: dict[str, list[Any]] = {
    "rivya": [
        [], {}, {"model": "wan-2-7-image"}, {"model": "x", "prompt": "p"}, {"model": "wan-2-7-image", "prompt": ""},
        {"model": "wan-2-7-image", "prompt": "p", "n": 2}, {"model": "wan-2-7-image", "prompt": "p" * 5001},
        {"model": "wan-2-7-image", "prompt": "p", "params": {"watermark": True}},
        {"model": "wan-2-7-image", "prompt": "p", "params": {"resolution": "4K"}},
        {"model": "wan-2-7-image", "prompt": "p", "params": {"seed": -1}},
        {"model": "wan-2-7-image", "prompt": "p", "params": {"referenceMediaItems": []}},
        {"model": "wan-2-7-video", "prompt": "p", "params": {"duration": 5}},
        {"model": "wan-2-7-video", "prompt": "p", "params": {"resolution": "720P"}},
    ],
    "modelverse": [
        [], {}, {"model": "wan2.7-image"}, {"model": "x", "prompt": "p"},
        {"model": "wan2.7-image", "prompt": "p", "response_format": "url"},
        {"model": "wan2.7-image", "image": ""}, {"model": "wan2.7-image", "prompt": ""},
        {"model": "wan2.7-image", "prompt": "p", "n": 5}, {"model": "wan2.7-image", "prompt": "p", "n": "1"},
        {"model": "wan2.7-image", "prompt": "p", "size": "2k"}, {"model": "wan2.7-image", "images": []},
        {"model": "wan2.7-image", "prompt": "p", "n": 13, "enable_sequential": True},
        {"model": "wan2.7-image", "prompt": "p", "watermark": "false"},
    ],
    "yunwu": [
        [], {}, {"model": "wan2.7-image-pro"}, {"model": "wan2.7-image", "prompt": "p"},
        {"model": "wan2.7-image-pro", "prompt": ""}, {"model": "wan2.7-image-pro", "prompt": "p", "n": 5},
        {"model": "wan2.7-image-pro", "prompt": "p", "response_format": "url"},
        {"model": "wan2.7-image-pro", "prompt": "p", "seed": 2**31},
        {"model": "wan2.7-image-pro", "prompt": "p", "parameters": {}},
        {"model": "wan2.7-image-pro", "prompt": "p", "image": "https://example.com/a.png"},
    ],
    "openai": [
        [], {}, {"prompt": ""}, {"prompt": "p", "n": 11}, {"prompt": "p", "colour": "red"}, {"prompt": "p", "n": "2"},
        {"model": "gpt-image-1", "prompt": "p", "response_format": "url"},
        {"model": "gpt-image-1", "prompt": "p", "seed": 1}, {"model": "gpt-image-1", "prompt": "p", "quality": "hd"},
        {"model": "dall-e-3", "prompt": "p", "n": 2}, {"model": "dall-e-2", "prompt": "p", "style": "vivid"},
        {"model": "my-model", "prompt": "p", "size": "640*480"},
        {"prompt": "p", "stream": True}, {"prompt": "p", "background": "auto"},
    ],
    "toapis": [
        [], {}, {"model": "wan-2-7-video", "input": {"prompt": "p"}}, {"model": "wan2.6"},
        {"model": "wan-2-7-video", "mode": "text-to-video", "input": {"prompt": "p", "duration": "5"}},
        {"model": "wan2.6", "mode": "text-to-video", "input": {"prompt": "p"}},
        {"model": "wan2.6", "prompt": "p", "aspect_ratio": None},
        {"model": "wan2.6", "prompt": "p", "duration": 6}, {"model": "wan2.6", "prompt": "p", "resolution": "720P"},
        {"model": "wan2.6", "prompt": "p", "image_urls": ["https://example.com/a.png"], "aspect_ratio": "16:9"},
        {"model": "wan-2-7-video", "mode": "text-to-video", "input": {"prompt": "p"}, "prompt": "p"},
    ],
    "dashscope": [
        [], {}, {"model": "wan2.7-t2v"}, {"model": "x", "input": {"prompt": "p"}},
        {"model": "wan2.7-t2v", "input": {"prompt": ""}}, {"model": "wan2.7-t2v", "input": {"prompt": "p"}, "n": 1},
        {"model": "wan2.7-image", "input": {"prompt": "p"}}, {"model": "wan2.7-i2v", "input": {"prompt": "p"}},
        {"model": "wan2.7-t2v", "input": {"prompt": "p"}, "parameters": {"resolution": "720p"}},
        {"model": "wan2.7-t2v", "input": {"prompt": "p"}, "parameters": {"duration": "5"}},
        {"model": "wan2.7-t2v", "input": {"prompt": "p"}, "parameters": {"audio_setting": "auto"}},
        {"model": "wan2.7-t2v", "input": {"prompt": "p", "img_url": "https://example.com/a.png"}},
        {
            "model": "wan2.7-i2v", "input": {"media": [{"type": "first_frame", "url": "https://example.com/a.png"}]},
            "parameters": {"ratio": "16:9"},
        },
        {
            "model": "wan2.7-videoedit", "input": {"media": [{"type": "video", "url": "https://example.com/a.mp4"}]},
            "parameters": {"duration": 1},
        },
        {"model": "wan2.7-videoedit", "input": {"media": [{"type": "video", "url": "data:video/mp4;base64,AAAA"}]}},
        {
            "model": "wan2.7-r2v",
            "input": {"prompt": "p", "media": [{"type": "last_frame", "url": "https://example.com/a.png"}]},
        },
    ],
}  # fmt: skip


@pytest.mark.parametrize("provider", CONTRACTS)
def test_orders(world: World, provider: str) -> None:
    """Contract and document agree about bodies: each is accepted by both, or refused by both in the error's form."""
    path = ORDERS[provider]
    operation = document(provider)["paths"][path]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    refused = document(provider)["components"]["schemas"]["Error"]
    for body in GOOD[provider]:
        assert fits(provider, schema, body), body
        response = ask(world, provider, "POST", path, json=body)
        assert response.status_code == 200, (body, response.text)
        assert fits(provider, answer, response.json()), response.text
    for body in BAD[provider]:
        assert not fits(provider, schema, body), body
        response = ask(world, provider, "POST", path, json=body)
        assert response.status_code >= 400, body
        assert fits(provider, refused, response.json()), response.text


@pytest.mark.parametrize("provider", CONTRACTS)
def test_documented_orders_are_taken(world: World, provider: str) -> None:
    """Each example of an order is accepted by the contract, and nothing is at a documented path but what is there."""
    for path, method, operation in operations(provider):
        for media in (operation.get("requestBody", {}).get("content", {}).get("application/json", {}),):
            for example in media.get("examples", {}).values():
                response = ask(world, provider, method.upper(), path, json=example["value"])
                assert response.status_code == 200, response.text


FOLLOWED = [
    ("rivya", "/api/v1/generations", {"model": "wan-2-7-image", "prompt": "{}"}, "/api/v1/generations/{}", "id"),
    ("toapis", "/v1/videos/generations", {"model": "wan2.6", "prompt": "{}"}, "/v1/videos/generations/{}", "id"),
    ("openai", "/v1/images/generations", {"model": "async-image", "prompt": "{}"}, "/v1/images/generations/{}", "id"),
    (
        "modelverse", "/v1/tasks/submit", {"model": "wan2.7-image", "input": {"prompt": "{}"}},
        "/v1/tasks/status?task_id={}", "output.task_id",
    ),
    *(
        (
            "dashscope", f"/api/v1/services/aigc/{path}", {"model": model, "input": said}, "/api/v1/tasks/{}",
            "output.task_id",
        )
        for path, model, said in (
            ("video-generation/video-synthesis", "wan2.7-t2v", {"prompt": "{}"}),
            (
                "image-generation/generation", "wan2.7-image",
                {"messages": [{"role": "user", "content": [{"text": "{}"}]}]},
            ),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "submit", "body", "status", "name"), FOLLOWED)
@pytest.mark.parametrize("prompt", ["p", "sandbox:fail"])
@pytest.mark.parametrize("latency", [0, 60])
def test_tasks(
    world: World, provider: str, submit: str, body: dict[str, Any], status: str, name: str, prompt: str, latency: int
) -> None:
    """A task's answers fit the document at every stage, ended well or badly."""
    world.latency = latency
    filled = json.loads(json.dumps(body).replace("{}", prompt))
    task: Any = ask(world, provider, "POST", submit, json=filled).json()
    for key in name.split("."):
        task = task[key]
    response = ask(world, provider, "GET", status.format(task))
    found = document(provider)["paths"]
    pattern = re.sub(r"\{\}", "{taskId}", status.partition("?")[0])
    schema = found[pattern]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert fits(provider, schema, response.json()), response.text


@pytest.mark.parametrize(
    ("provider", "path", "form"),
    [
        ("rivya", "/api/v1/files", {"kind": "image"}),
        ("toapis", "/v1/uploads/images", {}),
        ("openai", "/v1/images/edits", {"prompt": "p", "model": "gpt-image-1"}),
    ],
)
def test_forms(world: World, provider: str, path: str, form: dict[str, str]) -> None:
    """Multipart requests are answered by their schemas, and an incomplete one is refused by the error's."""
    schema = document(provider)["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    part = "image" if provider == "openai" else "file"
    response = ask(world, provider, "POST", path, data=form, files={part: ("a.png", picture(64, 64), "image/png")})
    assert response.status_code == 200, response.text
    assert fits(provider, schema, response.json()), response.text
    response = ask(world, provider, "POST", path, data=form, files={"other": ("a.png", b"", "image/png")})
    assert response.status_code == 400
    assert fits(provider, document(provider)["components"]["schemas"]["Error"], response.json()), response.text


@pytest.mark.parametrize("provider", CONTRACTS)
def test_the_other_endpoints(world: World, provider: str) -> None:
    """Lists and balances fit their schemas; without a key everything but the public list is 401 in the error's form."""
    for path, method, operation in operations(provider):
        if "{" in path or "200" not in operation["responses"]:
            continue
        if method == "get" and not operation.get("parameters"):
            response = ask(world, provider, "GET", path)
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            assert fits(provider, schema, response.json()), response.text
        response = ask(world, provider, method.upper(), path, headers={"Authorization": ""})
        assert response.status_code == (200 if operation.get("security") == [] else 401), (path, response.text)


def test_no_description() -> None:
    """A contract without a document has none."""
    assert description("nobody") is None


@pytest.mark.skipif(not SEEDS.exists(), reason="the seeds are not here")
def test_the_seeds_own_schema() -> None:
    """The schema of seed 003 and this document's agree about every body of the tables."""
    (seed,) = SEEDS.glob("003_*")
    text = seed.read_text(encoding="utf-8")
    published = json.JSONDecoder(strict=False).raw_decode(text, text.index('{ "type": "application/json"'))[0][
        "jsonSchema"
    ]
    ours = document("yunwu")["components"]["schemas"]["Generate"]
    for body in [*GOOD["yunwu"], *BAD["yunwu"]]:
        assert Draft202012Validator(published).is_valid(body) == Draft202012Validator(ours).is_valid(body), body
