"""Every exit code over real sockets, with what it says about money, and how many purchases there were (section 4)."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from support_cli import Cli, Ran, picture
from support_provider import Say

RV = ("generate", "a fox", "-p", "rivya")
MV = ("generate", "a fox", "-p", "modelverse")


def refusal(code: Any, message: str = "no", status: int = 400) -> Say:
    """Return a refusal in the form that both providers use."""
    return Say(status, {"error": {"code": code, "message": message}})


def ends(ran: Ran, exit_code: int, code: Any, charged: str) -> Any:
    """Hold exit code, error code and charge of a --json run."""
    assert ran.code == exit_code, (ran.err, ran.out)
    error = ran.json["error"]
    assert (error["code"], error["exit_code"], error["charged"]) == (code, exit_code, charged)
    return error


def test_zero(live: Cli) -> None:
    """0: every file asked for is on disk and verified."""
    ran = live.run(*RV, "--json")
    assert ran.code == 0
    assert ran.json["error"] is None
    assert ran.task["state"] == "succeeded"
    assert live.provider.purchases == 1


@pytest.mark.parametrize("words", [RV, MV])
@pytest.mark.parametrize(
    ("answer", "exit_code", "code"),
    [
        (refusal("api_key_invalid", status=401), 3, "key_rejected"),
        (refusal("", status=403), 3, "key_rejected"),
        (refusal("validation_failed"), 4, "request_rejected"),
        (refusal("", status=422), 4, "request_rejected"),
        (refusal("", status=404), 4, "model_unknown"),
        (refusal("", status=402), 5, "insufficient_credits"),
        (Say(302, None, {"Location": "https://example.com/"}), 3, "config_invalid"),
    ],
)
def test_refused_submits(live: Cli, words: Sequence[str], answer: Say, exit_code: int, code: Any) -> None:
    """3, 4, 5: a refusal means nothing was bought, and it is sent once."""
    live.provider.always["submit"] = answer
    error = ends(live.run(*words, "--json"), exit_code, code, "no")
    assert error["http_status"] == answer.status
    assert len(live.provider.asked("submit")) == 1


@pytest.mark.parametrize(
    ("words", "code", "exit_code", "name"),
    [
        (RV, "api_key_revoked", 3, "key_rejected"),
        (RV, "insufficient_credits", 5, "insufficient_credits"),
        (RV, "not_found", 4, "model_unknown"),
        (MV, "auth_error", 3, "key_rejected"),
        (MV, "sensitive_check_error", 4, "moderation"),
        (MV, "DataInspectionFailed", 4, "moderation"),
        (MV, "permission_error", 5, "insufficient_credits"),
        (MV, "model_error", 4, "model_unknown"),
    ],
)
def test_the_providers_code_decides(live: Cli, words: Sequence[str], code: Any, exit_code: int, name: str) -> None:
    """A stable code of the provider decides before the HTTP status, and is kept for scripts."""
    live.provider.always["submit"] = refusal(code, "as they say")
    error = ends(live.run(*words, "--json"), exit_code, name, "no")
    assert error["provider_code"] == code
    assert "as they say" in error["message"]


@pytest.mark.parametrize("words", [RV, MV])
def test_rate_limited_to_the_end(live: Cli, words: Sequence[str]) -> None:
    """6: 429 with retries used up; nothing was bought, and the wait that was asked for is passed on."""
    live.provider.always["submit"] = Say(429, {"error": {"code": "", "message": "slow"}}, {"Retry-After": "7"})
    error = ends(live.run(*words, "--json"), 6, "rate_limited", "no")
    assert error["retry_safe"] is True
    assert error["retry_after_s"] == 7
    assert len(live.provider.asked("submit")) == 4
    assert max(live.clock.slept) >= 7


def test_rate_limited_once(live: Cli) -> None:
    """A 429 followed by acceptance is one purchase."""
    live.provider.script["submit"] = [Say(429, {"error": {"message": "slow"}}, {"Retry-After": "3"})]
    assert live.run(*RV).code == 0
    assert live.provider.purchases == 1


def test_rate_limited_for_long(live: Cli) -> None:
    """A Retry-After beyond two minutes is not waited for."""
    live.provider.always["submit"] = Say(429, {"error": {"message": "slow"}}, {"Retry-After": "3600"})
    assert ends(live.run(*RV, "--json"), 6, "rate_limited", "no")["retry_after_s"] == 3600
    assert len(live.provider.asked("submit")) == 1


def test_nobody_listens(live: Cli) -> None:
    """6: connection refused; no byte left, nothing was bought."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ran = live.run(*MV, "--json", env={"MODELVERSE_BASE_URL": f"http://127.0.0.1:{port}"})
    assert ends(ran, 6, "network", "no")["retry_safe"] is True


@pytest.mark.parametrize("answer", [Say(drop=True, accept=True), Say(500, "boom", accept=False), Say(200, "what?")])
def test_an_answer_that_is_lost_on_modelverse(live: Cli, answer: Say) -> None:
    """9: without an idempotency key an unclear answer is never sent again; the task is unknown."""
    live.provider.always["submit"] = answer
    ran = live.run(*MV, "--json")
    error = ends(ran, 9, "outcome_unknown", "unknown")
    assert error["retry_safe"] is False
    assert ran.task["state"] == "unknown"
    assert len(live.provider.asked("submit")) == 1
    listed = live.run("status", "--json").task
    assert (listed["state"], listed["charged"]) == ("unknown", "unknown")


def test_an_answer_that_is_lost_on_rivya(live: Cli) -> None:
    """With a documented key the same purchase is asked for again: one task, one purchase, exit 0."""
    live.provider.script["submit"] = [Say(accept=True, drop=True), Say(503, "down")]
    ran = live.run(*RV, "--json")
    assert ran.code == 0, ran.err
    assert live.provider.purchases == 1
    assert len({seen.headers["idempotency-key"] for seen in live.provider.asked("submit")}) == 1
    assert len(live.provider.asked("submit")) == 3


def test_rivya_unclear_to_the_end(live: Cli) -> None:
    """9: three unclear answers under one key, and it stays unknown."""
    live.provider.always["submit"] = Say(500, "boom")
    ends(live.run(*RV, "--json"), 9, "outcome_unknown", "unknown")
    assert len(live.provider.asked("submit")) == 3


@pytest.mark.parametrize(
    ("words", "poll", "charged"),
    [
        (RV, {"id": "task_1", "status": "failed", "final_credits": 0, "error": {"message": "bad luck"}}, "no"),
        (RV, {"id": "task_1", "status": "failed", "final_credits": 5, "error": {"message": "bad luck"}}, "yes"),
        (RV, {"id": "task_1", "status": "failed", "error": {"message": "bad luck"}}, "unknown"),
        (MV, {"output": {"task_id": "mv-1", "task_status": "Failure", "error_message": "bad luck"}}, "unknown"),
    ],
)
def test_a_task_that_fails(live: Cli, words: Sequence[str], poll: dict[str, Any], charged: str) -> None:
    """7: the task failed; charged is what the provider says, else unknown."""
    live.provider.always["poll"] = Say(200, poll)
    ran = live.run(*words, "--json")
    assert ends(ran, 7, "task_failed", charged)["message"].startswith("bad luck")
    assert ran.task["charged"] == charged


def test_a_task_that_is_cancelled(live: Cli) -> None:
    """7 as well, with its own code."""
    live.provider.always["poll"] = Say(200, {"output": {"task_id": "mv-1", "task_status": "CANCELED"}})
    ends(live.run(*MV, "--json"), 7, "cancelled", "unknown")


@pytest.mark.parametrize(
    ("words", "poll"),
    [(RV, {"id": "task_1", "status": "processing"}), (MV, {"output": {"task_id": "mv-1", "task_status": "Running"}})],
)
def test_still_running(live: Cli, words: Sequence[str], poll: dict[str, Any]) -> None:
    """8: the time is up; the hint is the command that goes on, and it does."""
    live.provider.always["poll"] = Say(200, poll)
    ran = live.run(*words, "--timeout", "30s", "--json")
    error = ends(ran, 8, "timeout_waiting", "yes")
    assert error["hint"] == f"wan wait {ran.task['handle']}"
    assert sum(live.clock.slept) <= 31
    live.provider.always.clear()
    assert live.run(*error["hint"].split()[1:]).code == 0
    assert live.provider.purchases == 1


def test_a_key_refused_while_collecting(live: Cli) -> None:
    """8: what is bought waits for the key to be mended; it says key_rejected and is charged."""
    live.provider.always["poll"] = refusal("api_key_revoked", status=401)
    ran = live.run(*RV, "--json")
    error = ends(ran, 8, "key_rejected", "yes")
    assert error["retry_safe"] is False
    assert ran.task["state"] == "pending"
    live.provider.always.clear()
    assert live.run("wait", ran.task["handle"]).code == 0


def test_the_network_gone_while_collecting(live: Cli) -> None:
    """8, not 6: what is bought is never called safe to buy again."""
    live.provider.always["poll"] = Say(drop=True)
    ran = live.run(*RV, "--timeout", "2m", "--json")
    assert ends(ran, 8, "timeout_waiting", "yes")["retry_safe"] is False


def test_a_result_that_expired(live: Cli) -> None:
    """10: the address is dead, and a fresh one too."""
    live.provider.always["download"] = Say(403, "expired")
    ran = live.run(*RV, "--json")
    ends(ran, 10, "result_expired", "yes")
    assert ran.task["state"] == "lost"
    assert len(live.provider.asked("poll")) == 2


def test_a_result_that_expired_once(live: Cli) -> None:
    """A dead address is asked for again before anything counts as lost."""
    live.provider.script["download"] = [Say(404, "gone")]
    assert live.run(*RV).code == 0


def test_a_task_that_vanished(live: Cli) -> None:
    """10: the provider no longer knows the task, said three times over a minute."""
    live.provider.always["poll"] = refusal("not_found", status=404)
    ends(live.run(*RV, "--json"), 10, "task_vanished", "yes")
    assert len(live.provider.asked("poll")) >= 3


def test_success_without_result(live: Cli) -> None:
    """10: a task that ended well and names no result, also when asked again."""
    live.provider.always["poll"] = Say(200, {"id": "task_1", "status": "succeeded", "final_credits": 5})
    ends(live.run(*RV, "--json"), 10, "task_vanished", "yes")


def test_fewer_results_than_asked(live: Cli) -> None:
    """11: two of three pictures came; both are kept."""
    live.provider.results = lambda order: order.n - 1
    ran = live.run(*MV, "-n", "3", "--json")
    ends(ran, 11, "partial", "yes")
    assert len(live.files()) == 2


def test_one_task_of_several_failed(live: Cli) -> None:
    """11: one of two tasks failed; the other one's file is printed and kept."""
    live.provider.script["poll"] = [Say(200, {"id": "task_1", "status": "failed", "final_credits": 0})]
    ran = live.run(*RV, "-n", "2")
    assert ran.code == 11
    assert len(ran.lines) == 1
    assert live.files() == ran.lines


def test_all_failed_alike(live: Cli) -> None:
    """7: all failed alike, so it is their common code."""
    live.provider.always["poll"] = Say(200, {"id": "task_1", "status": "failed", "final_credits": 0})
    assert live.run(*RV, "-n", "2").code == 7


def test_the_serious_one_decides(live: Cli) -> None:
    """9 outranks everything else among several."""
    live.provider.script["submit"] = [Say(500, "boom")] * 3
    ran = live.run(*RV, "-n", "3", "--json", env={"WAN_JOBS": "1"})
    assert ran.code == 9
    assert sorted(task["state"] for task in ran.json["tasks"]) == ["succeeded", "succeeded", "unknown"]


@pytest.mark.parametrize("answer", [Say(500, "down"), Say(drop=True), Say(200, "<html>"), Say(200, picture(), cut=9)])
def test_a_result_that_cannot_be_fetched(live: Cli, answer: Say) -> None:
    """12: it is bought and still at the provider; nothing is bought again, and wait brings it."""
    live.provider.always["download"] = answer
    ran = live.run(*RV, "-o", "fox.png", "--json")
    error = ends(ran, 12, "download_failed", "yes")
    assert error["hint"] == "wan wait rivya:task_1"
    assert error["retry_safe"] is False
    assert live.files() == []
    live.provider.always.clear()
    again = live.run("wait", "rivya:task_1")
    assert (again.code, again.lines) == (0, ["fox.png"])
    assert live.provider.purchases == 1


def test_a_result_on_another_origin(live: Cli) -> None:
    """12: an address that is neither public https nor the API's loopback is not fetched."""
    result = {"primary_url": "http://192.0.2.7/x.png", "urls": []}
    live.provider.always["poll"] = Say(200, {"id": "task_1", "status": "succeeded", "result": result})
    error = ends(live.run(*RV, "--json"), 12, "download_failed", "yes")
    assert "refused" in error["message"]


def test_the_target_folder_is_gone(live: Cli) -> None:
    """12: the folder became a file while the task ran; freed, wait writes it."""
    real = live.provider.deliver

    def spoil(order: Any, number: Any) -> Any:
        folder = live.cwd / "out"
        if folder.is_dir():
            folder.rmdir()
            folder.write_text("in the way")
        return real(order, number)

    live.provider.deliver = spoil
    live.provider.script["download"] = []
    ran = live.run(*RV, "--no-wait", "-o", "out/fox.png")
    assert ran.code == 0
    (live.cwd / "out").rmdir()
    live.write("out", "in the way")
    ran = live.run("wait", "--all", "--json")
    ends(ran, 12, "write_failed", "yes")
    (live.cwd / "out").unlink()
    live.provider.deliver = real
    assert live.run("wait").lines == ["out/fox.png"]


def test_strict(live: Cli) -> None:
    """14: --strict, and the delivery differs; the files are kept."""
    live.provider.deliver = lambda *_: picture(512, 512)
    ran = live.run(*RV, "-s", "1K", "--strict", "--json")
    ends(ran, 14, "delivery_mismatch", "yes")
    assert len(live.files()) == 1
    assert live.run(*RV, "-s", "1K").code == 0


def test_a_bug(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """1: a bug is three lines and a crash file of mode 0600 without the key; no traceback is shown."""
    import wan_cli.cli.making

    def explode(*_: Any) -> Any:
        raise ZeroDivisionError(f"while holding {live.env['RIVYA_API_KEY']}")

    monkeypatch.setattr(wan_cli.cli.making, "read_order", explode)
    ran = live.run(*RV, "--json")
    ends(ran, 1, "internal", "unknown")
    assert "Traceback" not in ran.err
    (crash,) = (live.root / "state").glob("crash-*.txt")
    assert crash.stat().st_mode & 0o777 == 0o600
    assert "ZeroDivisionError" in crash.read_text()


@pytest.mark.parametrize("words", [RV, MV])
def test_retry_after_a_refusal_is_a_new_purchase(live: Cli, words: Sequence[str]) -> None:
    """A call without a key that is made again after a refusal buys once."""
    live.provider.script["submit"] = [refusal("", status=402)]
    assert live.run(*words).code == 5
    assert live.run(*words).code == 0
    assert live.provider.purchases == 1


def test_ctrl_c_before_anything(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """130: Ctrl-C before a purchase says that nothing was charged; in the middle of one it does not know."""
    import wan_cli.cli.making
    import wan_cli.cli.run

    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(wan_cli.cli.making, "read_order", stop)
        ends(live.run(*RV, "--json"), 130, "interrupted", "no")
    monkeypatch.setattr(wan_cli.cli.run.Session, "run", stop)
    ends(live.run(*RV, "--json"), 130, "interrupted", "unknown")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_while_waiting(live: Cli, name: str, code: Any) -> None:
    """129, 130, 143: the signal stops the waiting; the hint's command brings the result, bought once."""
    import os
    import signal

    sleep = live.clock.sleep

    async def interrupted(seconds: Any) -> Any:
        if len(live.clock.slept) == 2:
            os.kill(os.getpid(), getattr(signal, name))
        await sleep(seconds)

    live.engine["sleep"] = interrupted
    live.provider.always["poll"] = Say(200, {"id": "task_1", "status": "processing"})
    ran = live.run(*RV, "--json")
    error = ends(ran, code, "interrupted", "yes")
    assert error["hint"] == "wan wait rivya:task_1"
    live.engine.clear()
    live.provider.always.clear()
    assert live.run("wait", "rivya:task_1").code == 0
    assert live.provider.purchases == 1


def test_errors_are_never_retried_into_a_purchase(live: Cli) -> None:
    """Over all of the above, what the ledger holds is what was bought: charged tasks equal purchases."""
    live.provider.script["submit"] = [refusal("", status=402), refusal("", status=400)]
    for _ in range(4):
        live.run(*RV, command=False)
    listed = json.loads(live.run("status", "--json").out)["tasks"]
    assert sum(task["charged"] == "yes" for task in listed) == live.provider.purchases == 2
