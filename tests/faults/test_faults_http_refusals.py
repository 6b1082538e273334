"""Refusals in each provider's own codes (contracts.md 1.6, 2.6, 3.4, 4.5, 6.1): certain, free, and in its own words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image
from support_wire import WAYS, Exchange, Fault, Line, Way, every

from wan_cli.sandbox import CONTRACTS

BY_NAME = {way.label: way for way in WAYS}
IMAGE_EDIT = Way("modelverse", "modelverse", ("-p", "modelverse"))


def envelope(name: str, code: object, message: str) -> bytes:
    """Return a refusal as the provider words it."""
    if name == "rivya":
        return json.dumps({"error": {"code": code, "message": message, "requestId": "req_77"}}).encode()
    said = {"message": message, "type": "invalid_request_error", "code": code, "param": "req_77"}
    if name == "modelverse" and code in ("InvalidParameter", "DataInspectionFailed"):
        return json.dumps({"error": {"code": code, "message": message}, "request_id": "req_77"}).encode()
    if name == "yunwu":
        said |= {"type": "new_api_error", "param": "", "message": f"{message} (request id: req_77)"}
    return json.dumps({"error": said}).encode()


def refusing(name: str, status: int, code: object, message: str = "no such luck", **headers: str) -> Fault:
    return lambda exchange: exchange.say(status, envelope(name, code, message), **headers)


KEYS = [
    ("rivya", 401, "api_key_missing"), ("rivya", 401, "api_key_invalid"), ("rivya", 401, "api_key_revoked"),
    ("rivya", 401, "api_key_expired"), ("rivya", 403, "api_scope_denied"), ("modelverse", 401, "auth_error"),
    ("modelverse-sync", 401, "auth_error"), ("yunwu", 401, ""), ("yunwu", 403, "access_denied"),
    ("openai", 401, "invalid_api_key"), ("toapis", 401, "unauthorized"), ("toapis", 401, "authentication_error"),
    ("openai", 403, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "code"), KEYS)
def test_h10_a_refused_key(line: Line, name: str, status: int, code: Any) -> None:
    """A key that is refused is exit 3 at once, with the variable to mend; the key is not shown, though it is echoed."""
    way = BY_NAME[name]
    key = CONTRACTS[way.provider].KEY
    line.wire.always["submit"] = refusing(way.provider, status, code, f"Incorrect API key provided: {key}.")
    ran = line.nothing_bought(way, 3, "-v", sends=1)
    assert way.provider in ran.said("error")
    assert f"{way.provider.upper()}_API_KEY" in ran.said("error")
    assert not code or f"({code})" in ran.said("error")
    assert key not in ran.err + ran.out
    kept = [path for path in (line.cli.root / "state").rglob("*") if path.is_file()]
    assert [path for path in kept if key.encode() in path.read_bytes()] == []


FUNDS = [
    ("rivya", 402, "insufficient_credits"), ("rivya", 400, "insufficient_credits"), ("rivya", 402, None),
    ("modelverse", 403, "permission_error"), ("modelverse-sync", 403, "forbidden"),
    ("yunwu", 403, "insufficient_user_quota"), ("yunwu", 503, "pre_consume_token_quota_failed"),
    ("openai", 429, "insufficient_quota"), ("openai", 400, "billing_hard_limit_reached"),
    ("toapis", 402, "insufficient_quota"), ("toapis", 402, 402),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "code"), FUNDS)
def test_h11_too_few_credits(line: Line, name: str, status: int, code: Any) -> None:
    """No credits or no quota is exit 5, whatever the status: one request, nothing bought, and where to top up."""
    way = BY_NAME[name]
    line.wire.always["submit"] = refusing(way.provider, status, code, "api key quota exceeded")
    ran = line.nothing_bought(way, 5, sends=1)
    assert "top up" in ran.said("hint")
    assert "quota exceeded" in ran.said("error")


def test_h11_what_it_takes_and_what_is_there(line: Line) -> None:
    """Rivya tells what is left: the message has the price of the task and the credits of the account."""
    line.wire.always["submit"] = refusing("rivya", 402, "insufficient_credits")
    ran = line.nothing_bought(BY_NAME["rivya"], 5, sends=1)
    assert "this takes about 5 credits; the account has" in ran.said("error")
    assert [seen.path for seen in line.wire.seen if seen.path.endswith("/credits")] == ["/rivya/api/v1/credits"]


@pytest.mark.parametrize("fault", [Exchange.reset, lambda exchange: exchange.say(500)], ids=["reset", "500"])
def test_h11_a_balance_that_cannot_be_asked(line: Line, fault: Fault) -> None:
    """Where the balance cannot be asked for, the refusal is told all the same."""
    line.wire.script["poll"] = [fault]
    line.wire.always["submit"] = refusing("rivya", 402, "insufficient_credits")
    ran = line.nothing_bought(BY_NAME["rivya"], 5, sends=1)
    assert "this takes about 5 credits" in ran.said("error")
    assert "the account has" not in ran.said("error")


REJECTED = [
    ("rivya", 400, "validation_failed", "request_rejected"), ("rivya", 422, "validation_failed", "request_rejected"),
    ("modelverse", 400, "param_error", "request_rejected"), ("modelverse", 400, "tokens_too_long", "request_rejected"),
    ("modelverse", 400, "sensitive_check_error", "moderation"),
    ("modelverse", 400, "InvalidParameter", "request_rejected"),
    ("modelverse", 400, "DataInspectionFailed", "moderation"),
    ("modelverse-sync", 400, "sensitive_check_error", "moderation"),
    ("yunwu", 400, "invalid_request", "request_rejected"), ("yunwu", 500, "sensitive_words_detected", "moderation"),
    ("yunwu", 400, "prompt_blocked", "moderation"), ("yunwu", 500, "convert_request_failed", "request_rejected"),
    ("openai", 400, "moderation_blocked", "moderation"), ("openai", 400, "content_policy_violation", "moderation"),
    ("openai", 400, "invalid_request_error", "request_rejected"), ("openai", 400, None, "request_rejected"),
    ("toapis", 400, "invalid_request", "request_rejected"),
    ("toapis", 400, "invalid_request_error", "request_rejected"),
    ("toapis", 422, "content_policy_violation", "moderation"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "code", "ours"), REJECTED)
def test_h12_a_request_that_is_rejected(line: Line, name: str, status: int, code: Any, ours: str) -> None:
    """Validation and moderation are exit 4, with the provider's code, words and request id; nothing was bought."""
    way = BY_NAME[name]
    line.wire.always["submit"] = refusing(way.provider, status, code, "not this picture", X_Request_Id="req_77")
    ran = line.nothing_bought(way, 4, "--json", sends=1)
    error = ran.json["error"]
    assert (error["code"], error["http_status"], error["retry_safe"]) == (ours, status, False)
    assert error["provider_code"] == (code or "invalid_request_error")
    assert ran.json["tasks"][0]["request_id"] == "req_77"
    assert "not this picture" in error["message"]


def test_h12_the_others_of_a_call_go_on(line: Line) -> None:
    """One of three tasks that is rejected takes no other with it: two files, exit 11."""
    line.wire.script["submit"] = [Exchange.answer, refusing("rivya", 400, "validation_failed")]
    ran = line.run("generate", "a fox", "-p", "rivya", "-n", "3", "-o", "fox-{index}.png", "--json")
    assert ran.code == 11, ran.err
    assert sorted(task["state"] for task in ran.json["tasks"]) == ["failed", "succeeded", "succeeded"]
    assert (line.wire.purchases, len(line.cli.files())) == (2, 2)


MODELS = [
    ("rivya", 404, "not_found"), ("rivya", 405, None), ("modelverse", 400, "model_error"), ("modelverse", 404, None),
    ("modelverse-sync", 405, None), ("yunwu", 503, "model_not_found"), ("yunwu", 500, "model_price_error"),
    ("yunwu", 500, "invalid_api_type"), ("openai", 404, "model_not_found"), ("toapis", 404, 404),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "code"), MODELS)
def test_h13_an_endpoint_that_does_not_serve_the_model(line: Line, name: str, status: int, code: Any) -> None:
    """An unknown model or endpoint is exit 4 with the models there are; nothing was bought."""
    way = BY_NAME[name]
    line.wire.always["submit"] = refusing(way.provider, status, code, "no permission to use the model")
    ran = line.nothing_bought(way, 4, "--json", sends=1)
    assert ran.json["error"]["code"] == "model_unknown"
    assert ran.said("hint") == f"wan models {way.provider}"


def test_h13_a_chat_endpoint_says_so_in_its_own_way(line: Line) -> None:
    """The seed's "invalid apitype" has the seed's advice."""
    line.wire.always["submit"] = refusing("toapis", 400, "invalid_request", "invalid apitype: -1")
    ran = line.nothing_bought(BY_NAME["toapis"], 4, sends=1)
    assert "the model was sent to a chat endpoint: check TOAPIS_BASE_URL" in ran.said("hint")


def pictures(line: Line) -> None:
    for name, side in (("small.png", 300), ("large.png", 900)):
        Image.effect_noise((side, side), 90).save(line.cli.cwd / name)


@pytest.mark.parametrize("status", [413, 431])
@every()
def test_h14_too_large_without_a_reference(line: Line, way: Way, status: int) -> None:
    """A request that is too large is exit 4, nothing bought."""
    line.wire.always["submit"] = lambda exchange: exchange.say(status, b"<html>Too Large</html>")
    line.nothing_bought(way, 4, sends=1)


@pytest.mark.parametrize("status", [413, 431])
@pytest.mark.parametrize("name", ["rivya", "modelverse"])
def test_h14_too_large_names_the_largest_reference(line: Line, name: str, status: int) -> None:
    """With references the message has the largest with its size, and the provider's limit."""
    pictures(line)
    line.wire.always["submit"] = lambda exchange: exchange.say(status, b"")
    ran = line.run("fuse", "small.png", "large.png", "both", "-p", name, "-o", "fox.png")
    assert (ran.code, ran.said("charged")) == (4, "no"), ran.err
    assert "the largest reference is large.png with 0.8 MB" in ran.said("error")
    assert f"{name} takes up to 21.0 MB" in ran.said("error")
    assert "smaller picture" in ran.said("hint")
    assert (len(line.wire.asked("submit")), line.wire.purchases) == (1, 0)


def test_h14_an_upload_that_is_too_large(line: Line) -> None:
    """An upload that is refused as too large names its file; nothing was bought, and nothing asked of the model."""
    pictures(line)
    line.wire.always["upload"] = lambda exchange: exchange.say(413, b"")
    ran = line.run("edit", "large.png", "bluer", "-p", "rivya", "-o", "fox.png")
    assert (ran.code, ran.said("charged")) == (4, "no"), ran.err
    assert "large.png with 0.8 MB" in ran.said("error")
    assert (len(line.wire.asked("upload")), line.wire.asked("submit")) == (1, [])


KNOWN = [
    ("rivya", "insufficient_credits", 5), ("rivya", "validation_failed", 4), ("rivya", "api_key_invalid", 3),
    ("modelverse", "sensitive_check_error", 4), ("modelverse-sync", "InvalidParameter", 4),
    ("yunwu", "sensitive_words_detected", 4), ("yunwu", "insufficient_user_quota", 5),
    ("openai", "moderation_blocked", 4), ("toapis", "insufficient_quota", 5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "code", "exit_code"), KNOWN)
def test_h15_a_documented_error_in_a_200(line: Line, name: str, code: str, exit_code: int) -> None:
    """200 with an error whose code the provider documents as "not accepted" is that refusal."""
    way = BY_NAME[name]
    line.wire.always["submit"] = refusing(way.provider, 200, code)
    ran = line.nothing_bought(way, exit_code, sends=1)
    assert f"({code})" in ran.said("error")


@every()
def test_h12_a_new_code_is_read_by_its_status(line: Line, way: Way) -> None:
    """New codes appear without notice: an unknown one on a 400 is a refusal of the request."""
    line.wire.always["submit"] = refusing(way.provider, 400, "brand_new")
    line.nothing_bought(way, 4, sends=1)
