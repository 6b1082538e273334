"""``-p a,b,c``: on to the next only where the one before certainly did not take the task (interface.md, section 5)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from support_cli import MODELVERSE_KEY, Cli
from support_provider import Say

from wan_cli.ledger import Ledger

FOX = ("generate", "a fox")
ORDERS = (("modelverse", "rivya"), ("rivya", "modelverse"))


def refusal(status: int, code: str = "", message: str = "no") -> Say:
    """Return a refusal in the form that the providers share."""
    return Say(status, {"error": {"code": code, "message": message}})


def closed_port() -> str:
    """Return the address of a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def asked(cli: Cli) -> list[str]:
    """Return whom each order went to."""
    return ["rivya" if seen.path.startswith("/api/") else "modelverse" for seen in cli.provider.asked("submit")]


# When it moves on.


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([refusal(401, message="bad key")], "bad key"),
        ([refusal(403, message="not yours")], "not yours"),
        ([refusal(402, message="nothing left")], "nothing left"),
        ([refusal(404, message="no such model")], "no such model"),
        ([refusal(429, message="slow")] * 4, "slow"),
    ],
)
def test_it_moves_on(live: Cli, order: Sequence[str], answers: list[Say], why: str) -> None:
    """After a certain refusal the next is asked: one purchase, its provider on the task, the reason in warnings."""
    live.provider.script["submit"] = list(answers)
    ran = live.run(*FOX, "-p", ",".join(order), "-o", "fox.png", "--json")
    assert ran.code == 0, ran.err
    first, second = order
    assert asked(live) == [first] * len(answers) + [second]
    assert live.provider.purchases == 1
    assert (ran.task["provider"], ran.task["handle"].partition(":")[0]) == (second, second)
    assert (ran.task["charged"], ran.task["error"]) == ("yes", None)
    assert ran.task["cost"]["unit"] == ("credits" if second == "rivya" else None)
    (warning,) = ran.task["warnings"]
    assert warning.startswith(f"{first} did not take it (")
    assert why in warning
    assert warning.endswith(f", so {second} was asked")
    assert f"warning: {warning}" in ran.err or warning in ran.err
    assert live.files() == ["fox.png"]


@pytest.mark.parametrize("order", ORDERS)
def test_connection_refused(live: Cli, order: Sequence[str]) -> None:
    """Where nobody listens nothing was bought, so the next is asked."""
    first, second = order
    named = {f"{first.upper()}_BASE_URL": closed_port()}
    ran = live.run(*FOX, "-p", ",".join(order), "--json", env=named)
    assert ran.code == 0, ran.err
    assert (ran.task["provider"], live.provider.purchases) == (second, 1)
    assert first in ran.task["warnings"][0]


def test_a_long_way(live: Cli) -> None:
    """Each step has its reason, in order; who is named twice is asked once."""
    live.env |= {"YUNWU_BASE_URL": live.provider.url, "YUNWU_API_KEY": MODELVERSE_KEY}
    live.provider.script["submit"] = [refusal(402), refusal(401)]
    ran = live.run(*FOX, "-p", " modelverse, rivya,modelverse,yunwu", "-m", "wan2.7-image-pro", "--json")
    assert ran.code == 0, ran.err
    assert ran.task["provider"] == "yunwu"
    assert [text.partition(" ")[0] for text in ran.task["warnings"]] == ["modelverse", "rivya"]
    assert len(live.provider.asked("submit")) == 3


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        (("-p", "rivya,modelverse", "-s", "4K", "-m", "wan2.7-image-pro"), "renders 1K and 2K"),
        (("-p", "yunwu,modelverse", "--thinking"), "has no such option"),
        (("-p", "toapis,modelverse"), "makes no pictures"),
    ],
)
def test_who_cannot_is_passed_over(live: Cli, words: Sequence[str], passed: str) -> None:
    """A provider without an option that is asked for is never sent anything, and a warning says why."""
    live.env |= {"YUNWU_API_KEY": MODELVERSE_KEY, "TOAPIS_API_KEY": MODELVERSE_KEY}
    ran = live.run(*FOX, *words, "--json")
    assert ran.code == 0, ran.err
    assert asked(live) == ["modelverse"]
    (warning,) = ran.task["warnings"]
    assert "was passed over" in warning
    assert passed in warning


def test_who_has_no_key_is_passed_over(live: Cli) -> None:
    """A provider without a key is passed over with a warning; where none has one it is the error (3)."""
    ran = live.run(*FOX, "-p", "yunwu,rivya", "--json")
    assert (ran.code, ran.task["provider"]) == (0, "rivya")
    assert "YUNWU_API_KEY is not set" in ran.task["warnings"][0]
    ran = live.run(*FOX, "-p", "yunwu,toapis", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "key_missing")


def test_a_bad_setting_is_passed_over(live: Cli) -> None:
    """A setting that a later provider does not know is found before the first is asked."""
    live.config('[providers.rivya]\nrole_key = "odd"\n')
    live.provider.script["submit"] = [refusal(402)]
    ran = live.run(*FOX, "-p", "modelverse,rivya", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (5, "insufficient_credits")
    assert "rivya was passed over" in ran.task["warnings"][0]


def test_nobody_can(live: Cli) -> None:
    """Where none can do it, the error is the first one's, and nothing is sent."""
    ran = live.run(*FOX, "-p", "rivya,yunwu", "--thinking", "--json", env={"YUNWU_API_KEY": MODELVERSE_KEY})
    assert (ran.code, ran.json["error"]["code"]) == (2, "unsupported_option")
    assert "rivya" in ran.json["error"]["message"]
    assert not live.provider.seen


@pytest.mark.parametrize("words", [("-p", "rivya,nobody"), ("-p", "nobody,rivya"), ("-p", "rivya,"), ("-p", ",")])
def test_an_unknown_name(live: Cli, words: Sequence[str]) -> None:
    """A name in the list that is no provider is a usage error, wherever it stands."""
    ran = live.run(*FOX, *words)
    assert ran.code == 2
    assert "is not a provider" in ran.said("error")
    assert not live.provider.seen


# When it must not.


@pytest.mark.parametrize(
    ("answer", "bought"),
    [
        (refusal(500), 0), (refusal(408), 0), (Say(200, "what?"), 0),
        (Say(500, {"error": {"message": "boom"}}, accept=True), 1), (Say(drop=True, accept=True), 1),
        (Say(drop=True), 0),
        (Say(200, {"output": {"task_id": "x"}}, cut=5), 0),
    ],
)  # fmt: skip
def test_never_after_an_unclear_answer(live: Cli, answer: Say, bought: int) -> None:
    """9: what may have been bought is not bought elsewhere as well."""
    live.provider.always["submit"] = answer
    ran = live.run(*FOX, "-p", "modelverse,rivya", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (9, "outcome_unknown")
    assert (ran.json["error"]["charged"], ran.task["charged"]) == ("unknown", "unknown")
    assert (asked(live), live.provider.purchases) == (["modelverse"], bought)
    assert (ran.task["provider"], ran.task["warnings"]) == ("modelverse", [])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refusal(400, "validation_failed"), "request_rejected"),
        (refusal(422), "request_rejected"),
        (refusal(400, "DataInspectionFailed"), "moderation"),
    ],
)
def test_never_after_a_refusal_of_the_request(live: Cli, order: Sequence[str], answer: Say, code: str) -> None:
    """4: what is refused for what it is, the next would refuse too, or take for worse reasons."""
    live.provider.always["submit"] = answer
    ran = live.run(*FOX, "-p", ",".join(order), "--json")
    assert ran.code == 4, ran.err
    assert ran.json["error"]["code"] == (code if order[0] == "modelverse" else "request_rejected")
    assert asked(live) == [order[0]]
    assert live.provider.purchases == 0


def test_never_after_acceptance(live: Cli) -> None:
    """A task that was accepted and fails is not bought a second time elsewhere."""
    failed = {"id": "task_1", "status": "failed", "final_credits": 5, "error": {"code": "x", "message": "broke"}}
    live.provider.always["poll"] = Say(200, failed)
    ran = live.run(*FOX, "-p", "rivya,modelverse", "--json")
    assert ran.code == 7
    assert (asked(live), live.provider.purchases) == (["rivya"], 1)


@pytest.mark.parametrize(
    ("status", "exit_code", "code"), [(402, 5, "insufficient_credits"), (401, 3, "key_rejected"), (429, 6, None)]
)
def test_when_nobody_takes_it(live: Cli, status: int, exit_code: int, code: str | None) -> None:
    """The last one's refusal is the end, nothing is charged, and the steps before are in the warnings."""
    live.provider.always["submit"] = refusal(status)
    ran = live.run(*FOX, "-p", "modelverse,rivya", "--json")
    assert ran.code == exit_code
    assert ran.json["error"]["code"] == (code or "rate_limited")
    assert ran.json["error"]["charged"] == "no"
    assert (ran.task["provider"], len(ran.task["warnings"])) == ("rivya", 1)
    assert live.provider.purchases == 0


# Money, names, keys.


def test_the_dearest_member_counts(live: Cli) -> None:
    """A cap has to hold for each of the list, though the first alone would fit."""
    live.config('[prices."modelverse/wan2.7-image"]\namount = 1\nunit = "credits"\n')
    ran = live.run(*FOX, "-p", "modelverse,rivya", "--max-cost", "4credits", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (5, "over_budget")
    assert live.run(*FOX, "-p", "modelverse,rivya", "--max-cost", "4credits", "--dry-run").code == 5
    assert live.run(*FOX, "-p", "modelverse", "--max-cost", "4credits", "--dry-run").code == 0
    assert not live.provider.seen
    assert live.run(*FOX, "-p", "modelverse,rivya", "--max-cost", "5credits").code == 0


def test_an_unknown_price_in_the_list(live: Cli) -> None:
    """With a cap, a member whose price nobody knows is refused unless that is allowed."""
    words = (*FOX, "-p", "rivya,modelverse", "--max-cost", "9credits")
    assert live.run(*words).code == 5
    assert live.run(*words, "--allow-unknown-cost").code == 0


def test_consent_for_each_price(live: Cli) -> None:
    """A yes to the cheaper is no yes to the dearer one: a person is asked for each price."""
    live.config(
        '[spend]\nask_above = "0.5credits"\n'
        '[prices."modelverse/wan2.7-image"]\namount = 1\nunit = "credits"\n'
    )  # fmt: skip
    words = (*FOX, "-p", "modelverse,rivya")
    ran = live.run(*words, stdin="y\nn\n", tty=["stdin", "stderr"], env={"CI": ""}, command=False)
    assert ran.code == 5, ran.err
    assert "Buy 1 results for 1 credits?" in ran.err
    assert "Buy 1 results for 5 credits?" in ran.err
    assert not live.provider.seen


@pytest.mark.parametrize("order", ORDERS)
def test_several_results_across_a_list(live: Cli, order: Sequence[str]) -> None:
    """-n 3 where one of the list has no count: three tasks, each of which finds its own way."""
    live.provider.script["submit"] = [refusal(402)]
    ran = live.run(*FOX, "-n", "3", "-p", ",".join(order), "-o", "fox.png", "--json")
    assert ran.code == 0, ran.err
    first, second = order
    assert sorted(task["provider"] for task in ran.json["tasks"]) == sorted([first, first, second])
    assert live.provider.purchases == 3
    assert [one.n for one in live.provider.orders] == [1, 1, 1]
    assert live.files() == ["fox-1.png", "fox-2.png", "fox-3.png"]


def test_a_key_of_the_user_across_a_list(live: Cli) -> None:
    """The same idempotency key and request finds the task where it was made; with another request it is an error."""
    live.provider.script["submit"] = [refusal(402)]
    words = (*FOX, "-p", "modelverse,rivya", "--idempotency-key", "ci-7", "-o", "fox.png", "--json")
    first, second = live.run(*words), live.run(*words)
    assert (first.code, second.code) == (0, 0), second.err
    assert (first.task["id"], first.task["handle"]) == (second.task["id"], second.task["handle"])
    assert live.provider.purchases == 1
    other = live.run("generate", "an owl", *words[2:])
    assert other.code == 2
    assert live.provider.purchases == 1


def test_a_key_after_nobody_took_it(live: Cli) -> None:
    """A step that is retried after everybody refused begins at the first again, and buys once."""
    words = (*FOX, "-p", "modelverse,rivya", "--idempotency-key", "ci-8", "--json")
    live.provider.script["submit"] = [refusal(402), refusal(402)]
    first = live.run(*words)
    assert first.code == 5
    again = live.run(*words)
    assert again.code == 0, again.err
    assert (again.task["id"], again.task["provider"]) == (first.task["id"], "modelverse")
    assert live.provider.purchases == 1


def test_a_file_is_named_by_who_made_it(live: Cli) -> None:
    """``{provider}`` and ``{model}`` in a name are of the one that took the task; all names are checked before."""
    live.provider.script["submit"] = [refusal(402)]
    words = (*FOX, "-p", "modelverse,rivya", "-o", "{provider}/{model}.png")
    ran = live.run(*words)
    assert ran.lines == ["rivya/wan2.7-image.png"]
    taken = live.run(*words)
    assert (taken.code, live.provider.purchases) == (2, 1)
    assert "rivya/wan2.7-image.png" in taken.said("error")


def test_uploads_then_data(live: Cli, fox: str) -> None:
    """A picture is uploaded where the first asks for that, and goes along where the second wants it so."""
    live.provider.script["submit"] = [refusal(402)]
    ran = live.run("edit", fox, "snow", "-p", "rivya,modelverse", "--json")
    assert ran.code == 0, ran.err
    assert len(live.provider.asked("upload")) == 1
    _, order = live.provider.asked("submit")
    assert order.json["input"]["img_url"].startswith("data:image/png;base64,")


def test_data_then_uploads(live: Cli, fox: str) -> None:
    """The other way round: nothing is uploaded before the first has refused."""
    live.provider.script["submit"] = [refusal(402)]
    ran = live.run("edit", fox, "snow", "-p", "modelverse,rivya", "--json")
    assert ran.code == 0, ran.err
    steps = [seen.path for seen in live.provider.seen if seen.method == "POST"]
    assert [path.rpartition("/")[2] for path in steps] == ["submit", "files", "generations"]
    order = live.provider.asked("submit")[1].json
    assert order["params"]["referenceMediaItems"][0]["url"].startswith("https://")


@pytest.fixture
def fox(live: Cli) -> str:
    """Return the name of a picture in the working folder."""
    from support_cli import picture

    live.write("fox.png", picture(640, 640))
    return "fox.png"


def test_a_dry_run_of_a_list(live: Cli) -> None:
    """A dry run shows what the first that can would be sent, and who was passed over; it needs no key."""
    ran = live.run(*FOX, "-p", "yunwu,modelverse,rivya", "--thinking", "--dry-run", "--json")
    assert ran.code == 0, ran.err
    assert [entry["provider"] for entry in ran.json["requests"]] == ["modelverse"]
    assert "yunwu was passed over" in ran.json["tasks"][0]["warnings"][0]
    assert not live.provider.seen


def test_a_list_in_the_sandbox(live: Cli) -> None:
    """Faults of the sandbox lead through a list just so."""
    ran = live.run(*FOX, "-p", "modelverse,rivya", "--sandbox", "--fault", "429*4/submit", "--json")
    assert ran.code == 0, ran.err
    assert (ran.task["provider"], ran.task["sandbox"]) == ("rivya", True)
    assert live.provider.purchases == 0


def test_a_list_of_the_environment(live: Cli) -> None:
    """``WAN_PROVIDER`` may hold a list too."""
    live.provider.script["submit"] = [refusal(402)]
    ran = live.run(*FOX, "--json", env={"WAN_PROVIDER": "modelverse,rivya"})
    assert (ran.code, ran.task["provider"]) == (0, "rivya")


def test_the_stream_of_events(live: Cli) -> None:
    """The events tell of the step as a warning, and the summary counts one purchase."""
    live.provider.script["submit"] = [refusal(402)]
    ran = live.run(*FOX, "-p", "modelverse,rivya", "--jsonl")
    assert ran.code == 0
    warnings: list[Any] = [event for event in ran.events if event["event"] == "warning"]
    assert ["rivya was asked" in event["message"] for event in warnings] == [True]
    assert ran.events[-1]["totals"] == [{"unit": "credits", "estimated": 5, "actual": 5}]


def test_waiting_for_a_task_that_moved(live: Cli) -> None:
    """A task that the second took is collected later from the second."""
    live.provider.script["submit"] = [refusal(402)]
    ran = live.run(*FOX, "-p", "modelverse,rivya", "--no-wait")
    (handle,) = ran.lines
    assert handle.startswith("rivya:")
    assert live.run("wait", handle, "-o", "later.png").code == 0
    assert live.files() == ["later.png"]


@pytest.mark.parametrize("held", [False, True], ids=["done meanwhile", "being done"])
def test_s07_who_moves_on_late_moves_nothing(live: Cli, monkeypatch: pytest.MonkeyPatch, held: bool) -> None:
    """Between a refusal and the move another process took the task up: what it bought is the result, bought once."""
    from wan_cli.cli import failover

    live.provider.script["submit"] = [refusal(402)]
    call = (*FOX, "-p", "rivya,modelverse", "-o", "fox.png", "--idempotency-key", "K")
    real, raced, codes = failover.moved, [], []

    def slow(app: Any, task: Any, candidate: Any) -> Any:
        fresh = real(app, task, candidate)
        if not raced:
            raced.append(task.id)
            other = threading.Thread(target=lambda: codes.append(live.run(*call, "--no-wait").code))
            other.start()
            other.join()
        return fresh

    monkeypatch.setattr(failover, "moved", slow)
    if held:
        taken: list[bool] = []
        claim = Ledger.claim

        def busy(book: Ledger, task_id: str) -> bool:
            if raced and not taken:
                taken.append(True)
                return False
            return claim(book, task_id)

        monkeypatch.setattr(Ledger, "claim", busy)
    ran = live.run(*call, "--json")
    assert (ran.code, codes) == (0, [0]), ran.err
    assert live.provider.purchases == 1
    assert live.files() == ["fox.png"]
