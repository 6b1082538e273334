"""Estimate, caps, consent, prices, and the key under which nothing is bought twice (sections 2 and 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from support_cli import Cli
from support_provider import Say

MV = ("generate", "a fox", "-p", "modelverse")
RV = ("generate", "a fox", "-p", "rivya")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((*RV, "--max-cost", "5credits"), 0),
        ((*RV, "--max-cost", "5 Credits"), 0),
        ((*RV, "--max-cost", "5"), 0),
        ((*RV, "--max-cost", "4.5credits"), 5),
        ((*RV, "--max-cost", "4"), 5),
        ((*RV, "-n", "2", "--max-cost", "9credits"), 5),
        ((*RV, "-n", "2", "--max-cost", "10credits"), 0),
        ((*RV, "-m", "wan2.7-image-pro", "--max-cost", "11credits"), 5),
        ((*RV, "--max-cost", "1CNY", "--max-cost", "5credits"), 0),
        ((*RV, "--max-cost", "much"), 2),
        ((*RV, "--max-results", "1", "-n", "2"), 5),
        ((*RV, "--max-results", "2", "-n", "2"), 0),
        ((*RV, "--max-results", "0"), 2),
        ((*MV, "--max-cost", "5CNY"), 5),
        ((*MV, "--max-cost", "5CNY", "--allow-unknown-cost"), 0),
        (MV, 0),
    ],
)
def test_caps(live: Cli, words: Sequence[str], code: Any) -> None:
    """A cap is held before anything is sent; an unknown price cannot be held unless that is allowed."""
    ran = live.run(*words, "--json")
    assert ran.code == code, ran.err
    if code:
        assert not live.provider.seen
        assert ran.json["error"]["charged"] == "no"
    if code == 5:
        assert ran.json["error"]["code"] == "over_budget"


def test_an_unknown_price_is_null(live: Cli) -> None:
    """A cost that is not known is null, never 0, and said to be unknown in a dry run."""
    assert live.run(*MV, "--json").task["cost"] == {"estimated": None, "actual": None, "unit": None}
    ran = live.run(*MV, "--dry-run")
    assert "estimate: unknown" in ran.err


def test_what_the_provider_took(live: Cli) -> None:
    """Rivya says what it took: actual, and on whose word."""
    task = live.run(*RV, "--json").task
    assert task["cost"] == {"estimated": 5, "actual": 5, "unit": "credits"}
    assert (task["charged"], task["charge_basis"]) == ("yes", "provider")
    task = live.run(*MV, "--json").task
    assert (task["charged"], task["charge_basis"]) == ("yes", "assumed")
    assert task["usage"] == {"total_tokens": 1}


def test_a_users_own_price(live: Cli) -> None:
    """[prices] of the user's file is the estimate, and caps hold against it."""
    live.config('[prices."modelverse/wan2.7-image"]\namount = 0.2\nunit = "CNY"\nper = "image"\n')
    assert live.run(*MV, "-n", "3", "--json").task["cost"]["estimated"] == 0.6
    assert live.run(*MV, "-n", "3", "--max-cost", "0.5CNY").code == 5
    assert live.run(*MV, "-n", "3", "--max-cost", "0.6CNY").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-n", "20"], 0),
        (["-n", "21"], 5),
        (["-n", "21", "--yes"], 0),
        (["-n", "21", "--max-cost", "105credits"], 0),
        (["-n", "21", "--max-results", "21"], 0),
        (["-n", "21", "--max-results", "20"], 5),
    ],
)
def test_consent_above_twenty(live: Cli, words: Sequence[str], code: Any) -> None:
    """More than 20 results need a yes; without a terminal --yes, --max-cost or --max-results stand for it."""
    ran = live.run(*RV, *words, "--no-wait", "--json")
    assert ran.code == code, ran.err
    assert live.provider.purchases == (int(words[1]) if code == 0 else 0)


@pytest.mark.parametrize(("said", "code"), [("y\n", 0), ("Yes\n", 0), ("n\n", 5), ("\n", 5), ("", 5)])
def test_consent_is_asked_on_a_terminal(live: Cli, said: str, code: Any) -> None:
    """At a terminal the question is put on stderr, and anything but yes declines."""
    ran = live.run(*RV, "-n", "21", "--no-wait", stdin=said, tty=["stdin", "stderr"], env={"TERM": "dumb"},
                   command=False)  # fmt: skip
    assert ran.code == code
    assert "Buy 21 results for 105 credits? [y/N]" in ran.err
    assert "[y/N]" not in ran.out
    assert live.provider.purchases == (21 if code == 0 else 0)


def test_nobody_is_asked_in_ci(live: Cli) -> None:
    """With CI set a terminal is not asked."""
    assert live.run(*RV, "-n", "21", stdin="y\n", tty=["stdin", "stderr"], env={"CI": "true"}).code == 5


def test_ask_above(live: Cli) -> None:
    """[spend] ask_above asks from an amount on."""
    live.config('[spend]\nask_above = "9credits"\n')
    assert live.run(*RV).code == 0
    refused = live.run(*RV, "-n", "2", "--json")
    assert refused.code == 5
    assert refused.json["error"]["code"] == "consent_missing"
    assert live.run(*RV, "-n", "2", "--yes").code == 0


def test_a_key_buys_once(live: Cli) -> None:
    """The same key with the same request returns the earlier task: one purchase, the same files, exit 0."""
    first = live.run(*RV, "--idempotency-key", "build-7", "-o", "fox.png", "--json")
    again = live.run(*RV, "--idempotency-key", "build-7", "-o", "fox.png", "--overwrite", "--json")
    assert (first.code, again.code) == (0, 0), again.err
    assert again.task["id"] == first.task["id"]
    assert live.provider.purchases == 1
    assert live.provider.orders[0].body["client_request_id"] == "build-7"


def test_a_retried_ci_step_does_not_buy_again(live: Cli) -> None:
    """The very same command line, target included, is exit 0 again and buys nothing."""
    words = (*RV, "--idempotency-key", "build-7", "-o", "fox.png", "--json")
    assert live.run(*words).code == 0
    again = live.run(*words)
    assert again.code == 0, again.err
    assert again.task["files"][0]["path"] == "fox.png"
    assert live.provider.purchases == 1


def test_a_key_resumes_what_was_left(live: Cli) -> None:
    """After --no-wait the same key collects the task instead of buying another."""
    assert live.run(*RV, "--idempotency-key", "k", "--no-wait").code == 0
    ran = live.run(*RV, "--idempotency-key", "k", "-o", "fox.png")
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    assert live.provider.purchases == 1


def test_a_key_with_another_request(live: Cli) -> None:
    """Another request under a used key is a usage error; nothing is sent."""
    assert live.run(*RV, "--idempotency-key", "k").code == 0
    seen = len(live.provider.seen)
    for other in (["--seed", "1"], ["-n", "2"], ["-m", "wan2.7-image-pro"]):
        ran = live.run(*RV, "--idempotency-key", "k", *other, "--json")
        assert ran.code == 2, other
        assert "used for another request" in ran.json["error"]["message"]
    assert len(live.provider.seen) == seen


def test_a_key_on_a_provider_without_one(live: Cli) -> None:
    """The ledger holds the key where the provider does not."""
    for _ in range(2):
        assert live.run(*MV, "--idempotency-key", "k").code == 0
    assert live.provider.purchases == 1


def test_a_key_over_several_tasks(live: Cli) -> None:
    """With -n each task has a key of its own under the user's; a repeat buys none of them again."""
    for _ in range(2):
        ran = live.run(*RV, "-n", "3", "--idempotency-key", "k", "--json")
        assert ran.code == 0, ran.err
        assert len(ran.json["tasks"]) == 3
    assert live.provider.purchases == 3


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\t", "é"])
def test_keys_that_are_none(live: Cli, key: str) -> None:
    """A key is 1 to 200 printable ASCII characters."""
    assert live.run(*RV, "--idempotency-key", key).code == 2


def test_a_refused_purchase_may_be_tried_again_under_its_key(live: Cli) -> None:
    """What was refused bought nothing, so the key is free for the same request."""
    live.provider.script["submit"] = [Say(402, {"error": {"code": "insufficient_credits", "message": "0 left"}})]
    assert live.run(*RV, "--idempotency-key", "k").code == 5
    assert live.run(*RV, "--idempotency-key", "k").code == 0
    assert live.provider.purchases == 1
