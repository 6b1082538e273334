"""Yunwu's adapter against seed 003 and contracts.md section 3."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support_adapter import adapter, answered, fault, job, outcome, verdict

from wan_cli.errors import UnsupportedOption, UsageError
from wan_cli.fit import fit
from wan_cli.models import Job, Media, Output
from wan_cli.registry import capabilities

MODEL = "wan2.7-image-pro"
SIX = {"model", "prompt", "size", "n", "watermark", "seed"}
CODES = [  # contracts.md 3.4
    ("invalid_request", "request_rejected", 4),
    ("convert_request_failed", "request_rejected", 4),
    ("sensitive_words_detected", "moderation", 4),
    ("prompt_blocked", "moderation", 4),
    ("model_price_error", "model_unknown", 4),
    ("model_not_found", "model_unknown", 4),
    ("invalid_api_type", "model_unknown", 4),
    ("access_denied", "key_rejected", 3),
    ("insufficient_user_quota", "insufficient_credits", 5),
    ("pre_consume_token_quota_failed", "insufficient_credits", 5),
    ("get_channel_failed", "provider_unavailable", 6),
    ("channel:no_available_key", "provider_unavailable", 6),
]


def asked(**said: Any) -> Job:
    """Return a small job."""
    return job("yunwu", model=MODEL, **said)


def body_of(wanted: Job, **quirks: Any) -> Any:
    """Return the JSON that would be sent."""
    return json.loads(next(adapter("yunwu", **quirks).submit(wanted, token="never-sent")).content)


def test_nothing_but_the_six_fields_is_sent() -> None:
    """The schema forbids everything else, so response_format is never sent unasked, and no field without a wish."""
    assert body_of(asked()) == {"model": MODEL, "prompt": "a fox"}
    full = body_of(asked(size="1920x1080", n=2, watermark=False, seed=0))
    assert set(full) == SIX
    assert full == {"model": MODEL, "prompt": "a fox", "size": "1920x1080", "n": 2, "watermark": False, "seed": 0}


def test_switches_add_what_relays_differ_in() -> None:
    """``response_format`` and the upstream's own body are sent only by the configuration (contracts.md 3.3)."""
    assert body_of(asked(), response_format="b64_json")["response_format"] == "b64_json"
    body = body_of(asked(size="1920x1080", seed=7, watermark=True), passthrough=True)
    assert body["input"] == {"messages": [{"role": "user", "content": [{"text": "a fox"}]}]}
    assert body["parameters"] == {"size": "1920*1080", "n": 1, "watermark": True, "seed": 7}
    assert body_of(asked(), passthrough=True)["parameters"] == {"n": 1}


@pytest.mark.parametrize("said", [
    {"size": "1K"}, {"size": "2K"}, {"size": "4K"}, {"size": "1920*1080"}, {"size": "1920x1080"}, {"size": "768x768"},
    {"size": "4096x4096"}, {"size": "2176x272"}, {"n": 1}, {"n": 4}, {"seed": 0}, {"seed": 2147483647},
])  # fmt: skip
def test_what_the_seed_allows_passes(said: dict[str, Any]) -> None:
    """Tiers, pixels with either sign, counts and seeds within the bounds go as they are."""
    fitted = fit(asked(**said), capabilities("yunwu").models[0])
    assert fitted.job == asked(**said)
    assert fitted.warnings == ()


@pytest.mark.parametrize("said", [
    {"size": "767x768"}, {"size": "4097x4096"}, {"size": "2448x272"}, {"size": "8K"}, {"n": 0}, {"n": 5}, {"seed": -1},
    {"seed": 2147483648}, {"negative": "blur"}, {"thinking": True}, {"verb": "edit"}, {"verb": "fuse"},
    {"verb": "sequence", "n": 4}, {"media": (Media(role="reference", kind="image", url="https://h/1.png"),)},
    {"params": {"size": "1K"}}, {"prompt": ""}, {"route": "async"},
])  # fmt: skip
def test_what_the_seed_forbids_is_refused_here(said: dict[str, Any]) -> None:
    """Out of bounds, and everything that is not text to image, ends before a request, with exit 2."""
    with pytest.raises(UsageError) as refused:
        fit(asked(**said), capabilities("yunwu").models[0])
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("verb", ["edit", "fuse", "sequence"])
def test_who_can_is_named(verb: str) -> None:
    """A verb that Yunwu does not have names a provider that does."""
    with pytest.raises(UnsupportedOption, match="modelverse") as refused:
        fit(asked(verb=verb, n=2), capabilities("yunwu").models[0])
    assert refused.value.hint.startswith("use -p ")


@pytest.mark.parametrize(("item", "output"), [
    ({"url": "https://h/1.png?Expires=1", "revised_prompt": ""}, Output(url="https://h/1.png?Expires=1")),
    ({"url": "https://h/1.png", "b64_json": ""}, Output(url="https://h/1.png")),
    ({"url": "", "b64_json": "iVBORw0KGgo="}, Output(b64="iVBORw0KGgo=")),
    ({"url": "https://h/1.png", "b64_json": "iVBORw0KGgo="}, Output(b64="iVBORw0KGgo=")),
])  # fmt: skip
def test_either_field_may_be_empty(item: dict[str, str], output: Output) -> None:
    """The first that is not empty of b64_json and url is the picture; an empty revised prompt says nothing."""
    state = answered(adapter("yunwu").submit(asked(), token="t"), {"created": 1, "data": [item], "metadata": {}})
    assert state.outputs == (output,)
    assert state.facts.revised_prompt is None


@pytest.mark.parametrize(("code", "ours", "exit_code"), CODES)
@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_the_code_decides_whatever_the_status(code: str, ours: str, exit_code: int, status: int) -> None:
    """The status varies by the relay's version, so a documented code alone decides (contracts.md 3.4)."""
    body = {"error": {"message": "no", "type": "new_api_error", "param": "", "code": code}}
    assert outcome(verdict(adapter("yunwu"), status, body)) == (ours, exit_code, "no")


def test_the_table_of_codes_is_the_documents() -> None:
    """The adapter knows the documented codes and no others."""
    assert set(adapter("yunwu").errors) == {code for code, *_ in CODES}


@pytest.mark.parametrize("code", ["do_request_failed", "bad_response", "empty_response", 500, None])
def test_a_failure_upstream_stays_unknown(code: Any) -> None:
    """What broke behind the relay may have been charged: text, number or null, it is no certain refusal."""
    body = {"error": {"message": "no", "type": "upstream_error", "code": code}}
    assert outcome(verdict(adapter("yunwu"), 500, body)) == ("outcome_unknown", 9, "unknown")


def test_the_request_id_is_in_the_message() -> None:
    """The seed's own sample: the id stands at the end of the message."""
    message = "invalid request body: json: cannot unmarshal (request id: 20260507163239913971004ZVwereT)"
    found = fault(adapter("yunwu"), 500, {"error": {"message": message, "type": "new_api_error", "param": "",
                                                     "code": "invalid_request"}})  # fmt: skip
    assert (found.code, found.request_id) == ("invalid_request", "20260507163239913971004ZVwereT")
