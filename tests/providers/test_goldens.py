"""Requests and answers as the documents print them, held against the adapters.

``tests/golden/PROVIDER/*.json`` were cut out of the documents; ``source`` says where each stands. A golden has a
``request`` (made from ``job``, or by polling the task ``poll``), or a ``response`` to ``submit`` or ``poll`` with the
``state`` it means. The seed's sample addresses hold Chinese characters; they are kept as printed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from wan_cli.fit import fit
from wan_cli.models import Answer, Facts, Flow, Job, Media, Pending
from wan_cli.providers import load
from wan_cli.providers.base import Provider
from wan_cli.registry import capabilities, names

FOLDER = Path(__file__).parent.parent / "golden"
GOLDENS = {
    f"{path.parent.name}-{path.stem}": (path.parent.name, json.loads(path.read_text(encoding="utf-8")))
    for path in sorted(FOLDER.glob("*/*.json"))
}
REQUESTS = {name: golden for name, golden in GOLDENS.items() if "request" in golden[1]}
ANSWERS = {name: golden for name, golden in GOLDENS.items() if "response" in golden[1]}
TOKEN = "wan-0123456789abcdef"
ANY_JOB = {"verb": "generate", "model": "wan2.7-image", "prompt": "a fox"}


def adapter(name: str) -> Provider:
    return load(name)(capabilities(name).base_url)


def job_of(provider: str, said: dict[str, Any]) -> Job:
    role = "edit_source" if said["verb"] == "edit" else "reference"
    media = tuple(
        Media(role=role, kind="image", url=one) if isinstance(one, str) else Media(**one)
        for one in said.get("media", ())
    )
    return Job(provider=provider, **{**said, "media": media})


def flow_of(provider: Provider, golden: dict[str, Any]) -> Flow[Answer]:
    if "poll" in golden:
        return provider.poll(Pending(task_id=golden["poll"], ref={"task_id": golden["poll"]}))
    job = job_of(provider.name, golden.get("job", ANY_JOB | {"route": golden.get("route")}))
    return provider.submit(job, token=TOKEN)


def test_every_provider_has_goldens_with_their_source() -> None:
    """Every registered provider has requests and answers here, and each names the document it comes from."""
    for provider in names():
        mine = [golden for owner, golden in GOLDENS.values() if owner == provider]
        assert any("request" in golden for golden in mine)
        assert any("response" in golden for golden in mine)
        assert all(golden["source"].startswith(("seed 00", "contracts.md 5", "contracts.md 6")) for golden in mine)


@pytest.mark.parametrize(("provider", "golden"), REQUESTS.values(), ids=REQUESTS)
def test_a_documented_request_is_what_the_adapter_yields(provider: str, golden: dict[str, Any]) -> None:
    """Method, address and body are exactly those of the document, and the key is not in the request."""
    request = next(flow_of(adapter(provider), golden))
    wanted = golden["request"]
    assert (request.method, str(request.url)) == (wanted["method"], wanted["url"])
    body = json.loads(request.content) if request.content else None
    if provider == "rivya":
        assert body.pop("client_request_id") == TOKEN
        assert request.headers["idempotency-key"] == TOKEN
    else:
        assert "idempotency-key" not in request.headers
    assert body == wanted["body"]
    assert request.headers.get("content-type") == (None if body is None else "application/json")
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    ("provider", "golden"),
    [golden for golden in REQUESTS.values() if "job" in golden[1]],
    ids=[name for name, golden in REQUESTS.items() if "job" in golden[1]],
)
def test_a_documented_request_passes_the_local_check_unchanged(provider: str, golden: dict[str, Any]) -> None:
    """What the documents print as an example is never refused or translated before it is sent."""
    job = job_of(provider, golden["job"])
    model = capabilities(provider).find(job.model)
    assert model is not None
    assert fit(job, model).job == job


@pytest.mark.parametrize(("provider", "golden"), ANSWERS.values(), ids=ANSWERS)
def test_a_documented_answer_means_the_documented_state(provider: str, golden: dict[str, Any]) -> None:
    """Each example answer is read to exactly the state that the document describes, and is no refusal."""
    made, wanted = adapter(provider), golden["state"]
    flow = flow_of(made, golden)
    response = httpx.Response(200, json=golden["response"], request=next(flow))
    assert made.fault(response) is None
    with pytest.raises(StopIteration) as ended:
        flow.send(response)
    state = ended.value.value
    facts = Facts(**wanted["facts"])
    assert state.facts == facts
    match wanted["kind"]:
        case "pending":
            wanted_ref = {"task_id": wanted["task_id"]}
            assert state == Pending(task_id=wanted["task_id"], ref=wanted_ref, note=wanted["note"], facts=facts)
        case "done":
            assert (state.kind, state.task_id) == ("done", wanted.get("task_id"))
            assert [output.url for output in state.outputs] == wanted["urls"]
        case "failed":
            assert {name: getattr(state, name) for name in wanted if name != "facts"} == {
                name: value for name, value in wanted.items() if name != "facts"
            }
