"""``wan cancel``: where the provider can, and what it says where it cannot (interface.md, section 1)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from support_cli import BEGIN, Cli, Ran
from support_provider import Say

from wan_cli.ledger import Ledger
from wan_cli.models import Cancelled, Done, Failed, New, Output, Pending, Sending, State, Unknown
from wan_cli.providers import load

RV = ("generate", "a fox", "-p", "rivya", "-o", "fox.png")


@pytest.fixture
def bought(live: Cli) -> str:
    """Buy one task and leave it at the provider; return its handle."""
    (handle,) = live.run(*RV, "--no-wait").lines
    return handle


def put(live: Cli, handle: str, state: State, **said: Any) -> str:
    """Give the task another state, and return its id."""
    with Ledger.open(live.root / "state", clock=live.clock) as book:
        task = book.get(handle)
        book.save(replace(task, state=state, **said))
    return task.id


def test_no_built_in_provider_documents_a_way(live: Cli, bought: str) -> None:
    """The command says so, that the task goes on and is charged, and asks nobody: exit 2."""
    before = len(live.provider.seen)
    for name in (bought, "rivya:made_elsewhere"):
        ran = live.run("cancel", name, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (2, "unsupported_option")
        assert "goes on, and is charged" in ran.json["error"]["message"]
        assert ran.said("hint") == f"wan status {name}"
    assert live.run("cancel", bought).said("charged") == "yes"
    assert len(live.provider.seen) == before
    assert len(live.run("status", "--json").json["tasks"]) == 1


def test_a_planned_task_is_cancelled_here(live: Cli, bought: str) -> None:
    """What was never sent costs nothing, and needs no key."""
    name = put(live, bought, New(), task_id=None, charged="no", submitted_at=None)
    ran = live.run("cancel", name, "--json", env={"RIVYA_API_KEY": ""})
    assert (ran.code, ran.task["state"], ran.task["charged"]) == (0, "cancelled", "no")
    again = live.run("cancel", name)
    assert (again.code, again.said("charged")) == (2, "no")


@pytest.mark.parametrize(
    ("state", "verb"),
    [
        (Done(outputs=(Output(url="https://x.example/1"),)), "wait"), (Unknown(reason="reset"), "recover"),
        (Sending(at=BEGIN), "recover"), (Failed(code="task_failed", message="no"), "status"),
    ],
)  # fmt: skip
def test_only_what_runs_can_be_cancelled(live: Cli, bought: str, state: State, verb: str) -> None:
    """A task that has ended, or is in doubt, is exit 2 with the command that goes on."""
    put(live, bought, state, charged="unknown")
    ran = live.run("cancel", bought)
    assert (ran.code, ran.said("charged")) == (2, "unknown")
    assert ran.said("hint") == f"wan {verb} {bought}"


@pytest.mark.parametrize("name", ["nobody", "nobody:task_1"])
def test_cancel_what_is_not_there(live: Cli, name: str) -> None:
    """A name that fits no task, or no provider, is exit 2."""
    assert live.run("cancel", name).code == 2


@pytest.fixture
def cancelling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Rivya a way to cancel, as an installed adapter may have one."""

    def cancel(self: Any, pending: Pending) -> Any:
        answer = yield self.request("POST", f"/api/v1/generations/{pending.task_id}/cancel")
        said = json.loads(answer.content)["status"]
        if said == "cancelled":
            return Cancelled()
        if said == "failed":
            return Failed(code="task_failed", message="it had failed", charged="no")
        return Pending(task_id=pending.task_id, ref=pending.ref, note=said)

    monkeypatch.setattr(load("rivya"), "cancel", cancel)


def cancel(live: Cli, handle: str, say: Say, *words: str) -> Ran:
    """Cancel, with the provider's answer scripted."""
    live.provider.script["submit"] = [say]
    return live.run("cancel", handle, *words)


@pytest.mark.usefixtures("cancelling")
def test_cancel(live: Cli, bought: str) -> None:
    """The provider is asked once; the task is cancelled, and whether it was charged is not claimed: exit 0."""
    ran = cancel(live, bought, Say(200, {"id": "task_1", "status": "cancelled"}))
    assert (ran.code, ran.lines) == (0, [bought])
    assert "is cancelled; charged: unknown" in ran.err
    assert live.run("status", bought, "--json").task["state"] == "cancelled"
    assert live.provider.purchases == 1


@pytest.mark.usefixtures("cancelling")
def test_cancel_a_task_made_elsewhere(live: Cli, bought: str) -> None:
    """A handle works without the ledger that knows it."""
    put(live, bought, Cancelled(), task_id="task_0")
    ran = cancel(live, bought, Say(200, {"id": "task_1", "status": "cancelled"}), "--json")
    assert (ran.code, ran.task["handle"], ran.task["state"]) == (0, bought, "cancelled")


@pytest.mark.usefixtures("cancelling")
@pytest.mark.parametrize(
    "say",
    [Say(409, {"error": {"code": "running", "message": "it already runs"}}),
     Say(200, {"id": "task_1", "status": "processing"}), Say(drop=True)],
)  # fmt: skip
def test_a_cancel_that_is_refused(live: Cli, bought: str, say: Say) -> None:
    """A task that already runs goes on, bought, and can still be collected: exit 8."""
    ran = cancel(live, bought, say)
    assert (ran.code, ran.said("charged")) == (8, "yes")
    live.provider.script["submit"] = []
    assert live.run("wait", bought).lines == ["fox.png"]


@pytest.mark.usefixtures("cancelling")
def test_a_task_that_had_failed(live: Cli, bought: str) -> None:
    """What the provider says of it counts: exit 7."""
    ran = cancel(live, bought, Say(200, {"id": "task_1", "status": "failed"}), "--json")
    assert (ran.code, ran.task["state"], ran.task["charged"]) == (7, "failed", "no")


@pytest.mark.usefixtures("cancelling")
def test_cancel_with_another_account(live: Cli, bought: str) -> None:
    """With another key, none, or at another base URL, nobody is asked: exit 8, for the task goes on."""
    before = len(live.provider.seen)
    for env, code in (({"RIVYA_API_KEY": "rvya_sk_another_key_entirely"}, "key_rejected"),
                      ({"RIVYA_API_KEY": ""}, "key_missing"),
                      ({"RIVYA_BASE_URL": "https://relay.example"}, "key_origin")):  # fmt: skip
        ran = live.run("cancel", bought, "--json", env=env)
        assert (ran.code, ran.json["error"]["code"], ran.json["error"]["charged"]) == (8, code, "yes")
    assert len(live.provider.seen) == before
